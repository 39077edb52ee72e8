"""Further training of an agent on labels, with a share of the demonstrations that it has learned from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.data.demonstrations import DemonstrationData
from agents.deployment.adaptation.case import Case, TuningSettings
from agents.imitation.bc import BCPolicy, BehaviorCloning
from agents.imitation.dagger import DAgger
from agents.imitation.labels import LabeledSteps, demonstrated, joined
from agents.imitation.learners import LEARNERS
from agents.imitation.sequence.agent import SequenceAgent, horizons_of
from agents.policies.ensemble import EnsemblePolicy
from agents.policies.sequence_policy import SequencePolicy
from agents.policies.torch_policy import TorchPolicy
from agents.training.loop import Examples, LoopSettings, Sampler, TrainingLoop
from agents.training.policy_agent import PolicyAgent
from agents.training.randomness import isolated_rng
from agents.types import State


def trainable_policies(agent: PolicyAgent) -> list[TorchPolicy[Any]]:
    """Return the policies of an agent that learn from labels.

    Raises:
        ValueError: The agent does not learn from labels, or is trained further by another command.
    """
    found = agent.policies if isinstance(agent, BehaviorCloning) else [agent.policy]
    if not all(isinstance(policy, (BCPolicy, EnsemblePolicy, SequencePolicy)) for policy in found):
        if agent.spec.takes_several_environments:
            raise ValueError(f"agent {agent.spec.name} is trained further by: python -m agents finetune")
        raise ValueError(
            f"agent {agent.spec.name} cannot be trained further on labels: use --method reward, or an agent such as "
            "bc or act"
        )
    return list(found)


def replayed(data: DemonstrationData | None) -> LabeledSteps | None:
    """Return the steps of demonstrations that an agent has learned from."""
    return None if data is None else demonstrated(data, range(len(data.episodes)))


def tune(
    case: Case,
    new: LabeledSteps,
    old: LabeledSteps | None,
    *,
    updates: int,
    stage: int,
    done: int = 0,
    collected: State | None = None,
) -> None:
    """Train the agent of a case further, in place; its normalizers stay as they are.

    It resumes from the last checkpoint if that belongs to this training.

    Args:
        case: Case whose settings are :class:`TuningSettings`.
        new: Labels in the changed environment.
        old: Labels that the agent has learned from; None without any.
        updates: Number of minibatches; the last epoch is completed.
        stage: Number of this training among those of the adaptation.
        done: Minibatches of earlier trainings, for the progress bar.
        collected: State of the collected data, which is stored in checkpoints.

    Raises:
        ValueError: The training diverged.
    """
    settings: TuningSettings = case.settings
    labels = new if old is None or not settings.replay_share else joined(new, old)
    sampler = _sampler(len(new), len(labels) - len(new), settings.replay_share)
    saved: State = case.saved.get("tuning") or {}
    resumes = saved.get("stage") == stage
    if resumes:
        case.agent.set_weights(saved["weights"])
    first = saved["number"] if resumes else 0
    policies = trainable_policies(case.agent)
    for number, policy in enumerate(policies[first:], start=first):
        own_seed = int(np.random.SeedSequence([case.seed, 5, stage, number]).generate_state(1)[0])
        with isolated_rng(own_seed):
            count = len(sampler(np.random.default_rng(0)))
            batch = min(settings.batch_size, count)
            epochs = math.ceil(updates / (count // batch))
            for _, encoder in policy.image_encoders():
                encoder.requires_grad_(not case.agent.settings.freeze_encoder)
            loop = TrainingLoop(
                policy,
                _examples(case.agent, labels),
                _loop_settings(case.agent, settings, epochs, batch),
                seed=own_seed,
                symmetry=case.agent.settings.symmetry(case.env),
                device=case.run.device,
                sampler=sampler,
            )
            if resumes and number == first:
                loop.restore(saved["loop"])
            position = {"stage": stage, "number": number}
            state = partial(_state, case.agent, loop, position, collected)
            while not loop.is_done:
                loop.epoch()
                loop.check_finite(case.agent.spec.name)
                share = (number + loop.epochs_done / epochs) / len(policies)
                case.run.log(done + round(share * updates), labels=len(new), **loop.logs)
                case.checkpoint(state, now=loop.is_done)
            loop.result()


def _state(agent: PolicyAgent, loop: TrainingLoop[Any], position: State, collected: State | None) -> State:
    """Return the state of a method after an epoch."""
    return {"collected": collected, "tuning": {**position, "weights": agent.weights(), "loop": loop.state()}}


def _sampler(new: int, old: int, share: float) -> Sampler:
    """Return a sampler of epochs that hold each new label once, and a share of old ones.

    Args:
        new: Number of new labels, which come first.
        old: Number of old labels.
        share: Share of the examples that are old.
    """
    replays = round(new * share / (1.0 - share)) if old else 0

    def sample(rng: np.random.Generator) -> npt.NDArray[np.int64]:
        chosen = np.concatenate([np.arange(new), new + rng.integers(0, max(1, old), replays)])
        return rng.permutation(chosen)

    return sample


def _examples(agent: PolicyAgent, labels: LabeledSteps) -> Examples:
    """Return the steps to learn from, or windows around them."""
    horizons: Sequence[int] | None = None
    if isinstance(agent, SequenceAgent):
        horizons = horizons_of(type(agent), agent.settings)
    elif isinstance(agent, DAgger) and isinstance(agent.policy, SequencePolicy):
        horizons = horizons_of(LEARNERS[agent.settings.learner], agent.settings)
    return labels.transitions() if horizons is None else labels.sequences(*horizons)


def _loop_settings(agent: PolicyAgent, settings: TuningSettings, epochs: int, batch: int) -> LoopSettings:
    own = agent.settings.loop(epochs) if isinstance(agent.policy, SequencePolicy) else LoopSettings(epochs, 1, 1.0)
    return replace(own, batch_size=batch, learning_rate=settings.learning_rate)
