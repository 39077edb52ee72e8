"""Adaptation by a few demonstrations in the changed environment."""

from __future__ import annotations

from functools import partial

from agents.deployment.adaptation.case import AdaptationMethod, Case, TuningSettings
from agents.deployment.adaptation.rollouts import labels_of, rollout
from agents.deployment.adaptation.tuning import replayed, trainable_policies, tune
from agents.imitation.labels import LabeledSteps, Labels, demonstrated
from agents.training.policy_agent import PolicyAgent
from agents.training.stable_baselines.training import rollout_env
from agents.types import State
from demos.experts import make_expert

ATTEMPTS = 10
"""Largest mean number of attempts of the expert for each demonstration."""


class AdaptByDemonstrations(AdaptationMethod):
    """Collect demonstrations of the scripted expert, or take given ones, and train the agent further on them.

    Failed attempts are left out, as in ``demos collect``.
    """

    name = "demonstrations"
    unit = "demonstrations"
    default_budget = 20
    takes_demonstrations = True

    def check(self, case: Case) -> None:
        """Check that the agent learns from labels."""
        trainable_policies(case.agent)

    def adapt(self, case: Case) -> PolicyAgent:
        """Return the agent, trained further."""
        settings: TuningSettings = case.settings
        data = case.demonstrations
        labels: LabeledSteps
        if data is None:
            labels = own = self._collected(case)
            collected = {"attempts": 0, "labels": own.state()}
        else:
            # The first ones, as many as the budget.
            labels, collected = demonstrated(data, range(case.budget)), None
        with case.run.training(f"{case.agent.spec.name} on demonstrations", settings.updates, "updates"):
            tune(case, labels, replayed(case.replay), updates=settings.updates, stage=0, collected=collected)
        return case.agent

    @staticmethod
    def _collected(case: Case) -> Labels:
        """Return demonstrations of the scripted expert in the changed environment."""
        saved = case.saved.get("collected") or {"attempts": 0, "labels": None}
        attempts = saved["attempts"]
        labels = None if saved["labels"] is None else Labels.from_state(saved["labels"])
        count = 0 if labels is None else len(labels.lengths)
        rollouts = rollout_env(case.env, case.seed)
        expert = make_expert(rollouts)
        rollouts.episode = attempts
        try:
            with case.run.training("collecting demonstrations", case.budget, "demonstrations"):
                while labels is None or count < case.budget:
                    if attempts >= ATTEMPTS * case.budget:
                        raise ValueError(
                            f"the expert solved {count} of {attempts} episodes in the changed environment; "
                            f"expected {case.budget}. Use --method queries or reward, or give --demos"
                        )
                    attempts += 1
                    steps, is_success = rollout(rollouts, expert, expert)
                    if is_success:
                        fresh = labels_of([steps])
                        labels = fresh if labels is None else labels + fresh
                        count += 1
                    case.run.log(count)
                    case.checkpoint(partial(_state, attempts, labels))
        finally:
            rollouts.close()
        return labels


def _state(attempts: int, labels: Labels | None) -> State:
    """Return the state after an attempt."""
    return {"collected": {"attempts": attempts, "labels": None if labels is None else labels.state()}}
