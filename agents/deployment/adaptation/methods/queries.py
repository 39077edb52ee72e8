"""Adaptation by queries: the agent acts in the changed environment, and an expert labels the states it visits."""

from __future__ import annotations

from pydantic import Field

from agents.deployment.adaptation.case import AdaptationMethod, Case, TuningSettings
from agents.deployment.adaptation.rollouts import labels_of, rollout
from agents.deployment.adaptation.tuning import replayed, trainable_policies, tune
from agents.imitation.labels import Labels
from agents.training.policy_agent import PolicyAgent
from agents.training.settings import Count
from agents.training.stable_baselines.training import horizon_of, rollout_env
from demos.experts import make_expert


class QuerySettings(TuningSettings):
    """Settings of adaptation by queries."""

    iterations: Count = Field(4, description="Iterations of rollouts and training, which share the updates.")


class AdaptByQueries(AdaptationMethod):
    """DAgger (Ross et al. 2011) that starts from the saved agent: rollouts, labels, further training.

    Each iteration trains on the labels of all iterations so far.
    """

    name = "queries"
    unit = "labels"
    default_budget = 2000
    settings_class = QuerySettings

    def check(self, case: Case) -> None:
        """Check that the agent learns from labels, and that the budget is enough for an episode."""
        trainable_policies(case.agent)
        horizon = horizon_of(case.env)
        if case.budget < horizon:
            raise ValueError(f"the budget is {case.budget} labels; expected at least the {horizon} of an episode")

    def adapt(self, case: Case) -> PolicyAgent:
        """Return the agent, trained further."""
        settings: QuerySettings = case.settings
        episodes = case.budget // horizon_of(case.env)
        count = min(settings.iterations, episodes)
        borders = [episodes * number // count for number in range(count + 1)]
        updates = -(-settings.updates // count)
        rollouts = rollout_env(case.env, case.seed)
        expert, old = make_expert(rollouts), replayed(case.replay)
        saved = case.saved.get("collected") or {"iteration": 0, "labels": None}
        labels = None if saved["labels"] is None else Labels.from_state(saved["labels"])
        try:
            with case.run.training(f"{case.agent.spec.name} on labels", count * updates, "updates"):
                for number in range(saved["iteration"], count):
                    # The labels of the iteration in which the adaptation was interrupted are in the checkpoint.
                    if labels is None or number > saved["iteration"]:
                        rollouts.episode = borders[number]
                        acted = [
                            rollout(rollouts, case.agent, expert)[0]
                            for _ in range(borders[number], borders[number + 1])
                        ]
                        fresh = labels_of(acted)
                        labels = fresh if labels is None else labels + fresh
                    collected = {"iteration": number, "labels": labels.state()}
                    progress = {"updates": updates, "stage": number, "done": number * updates}
                    tune(case, labels, old, **progress, collected=collected)
        finally:
            rollouts.close()
        return case.agent
