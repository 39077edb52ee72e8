"""Agents that learn from labeled steps on behalf of another agent, which names one of them as its ``learner``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar, Literal, TypeAlias, cast

from pydantic import Field, create_model

from agents.data.features import NamedFeatures, feature_indices
from agents.imitation.bc import BCPolicy, SharedBCSettings
from agents.imitation.labels import LabeledSteps
from agents.imitation.sequence.act import ACT
from agents.imitation.sequence.agent import SequenceAgent, horizons_of
from agents.imitation.sequence.bc_rnn import RecurrentBC
from agents.imitation.sequence.diffusion import DiffusionAgent
from agents.imitation.sequence.settings import SequenceSettings
from agents.policies.sequence_policy import SequencePolicy
from agents.training.loop import Examples, LoopSettings
from agents.training.settings import AgentSettings, read_settings
from agents.types import Env, Space

LearnerSettings: TypeAlias = SharedBCSettings | SequenceSettings
"""Settings of a learner."""
LEARNERS: dict[str, type[SequenceAgent]] = {"bc-rnn": RecurrentBC, "act": ACT, "diffusion": DiffusionAgent}
"""Agents besides bc that can learn from labels, by name."""


class BCLearnerSettings(SharedBCSettings):
    """Settings of an agent that learns from labels, with bc as its learner."""

    later: ClassVar[frozenset[str]] = SharedBCSettings.later | {"learner"}

    learner: Literal["bc", "bc-rnn", "act", "diffusion"] = Field(
        "bc",
        description="Agent that learns from the labels; for others than bc, its settings are settings of this agent "
        "too.",
    )


@cache
def _settings_with(own: type[AgentSettings], learner: str) -> type[AgentSettings]:
    """Return the class of the settings of an agent with a learner: those of the learner and the agent's own."""
    learning = cast("type[AgentSettings]", LEARNERS[learner].spec.settings)
    field: Any = Field(learner, pattern=f"^{re.escape(learner)}$", description="Agent that learns from the labels.")
    name = f"{own.__name__}With{learner.title().replace('-', '')}"
    return create_model(name, __base__=(own, learning), learner=(str, field))


def choose_settings(
    own: type[AgentSettings], with_bc: type[AgentSettings], given: Mapping[str, object]
) -> type[AgentSettings]:
    """Return the class of the settings for the learner that is named in the given settings.

    Args:
        own: Class of the agent's own settings.
        with_bc: Class of its settings with bc.
        given: Settings that are given, by name.
    """
    learner = given.get("learner")
    return _settings_with(own, learner) if isinstance(learner, str) and learner in LEARNERS else with_bc


def check_idle_steps(name: str, settings: LearnerSettings, env: Env) -> None:
    """Check that ``idle_steps`` of a learner is not given: an agent that collects labels learns from all of them.

    Args:
        name: Name of the agent.
        settings: Its settings. Files of settings may have ``idle_steps``, which is for the learner alone.
        env: Environment of the training.

    Raises:
        ValueError: It is given.
    """
    if isinstance(settings, SharedBCSettings):
        return
    usual = read_settings(name, type(settings), {}, env).idle_steps
    if settings.idle_steps != usual:
        raise ValueError(f"idle_steps is {settings.idle_steps}; agent {name} learns from all steps: remove it")


def new_policy(
    settings: LearnerSettings, observation_space: Space, action_space: Space, features: NamedFeatures
) -> BCPolicy | SequencePolicy:
    """Return an untrained policy of a learner.

    Args:
        settings: Settings of the learner.
        observation_space: Space of the observations.
        action_space: Space of the actions.
        features: Named features of the observations.
    """
    if isinstance(settings, SharedBCSettings):
        return BCPolicy(observation_space, action_space, settings)
    encoder = settings.encoder_settings(features)
    return learner_of(settings).policy_class(observation_space, action_space, encoder, settings)


def learner_of(settings: SequenceSettings) -> type[SequenceAgent]:
    """Return the agent that settings name as the learner."""
    return LEARNERS[cast(Any, settings).learner]


def fit_inputs(policy: BCPolicy | SequencePolicy, settings: LearnerSettings, labels: LabeledSteps, env: Env) -> None:
    """Fit the normalizers of a policy, and let it know the words of instructions.

    Args:
        policy: Policy of :func:`new_policy`.
        settings: Settings of the learner.
        labels: Steps that it will learn from.
        env: Environment that names the features.
    """
    masked = feature_indices(settings.masked_features, env)
    if isinstance(settings, SequenceSettings) or settings.standardize:
        policy.fit_normalizer(labels.statistics_sums().result(), masked)
    if isinstance(policy, SequencePolicy):
        policy.fit_words(labels.instructions())


def examples_of(settings: LearnerSettings, labels: LabeledSteps) -> Examples:
    """Return the steps that a learner learns from, or windows around them."""
    if isinstance(settings, SharedBCSettings):
        return labels.transitions()
    return labels.sequences(*horizons_of(learner_of(settings), settings))


def loop_settings(settings: LearnerSettings, epochs: int, count: int) -> LoopSettings:
    """Return the settings of the training of one policy.

    Args:
        settings: Settings of the learner.
        epochs: Passes over the labels.
        count: Number of labels.
    """
    size = min(settings.batch_size, count)
    if isinstance(settings, SequenceSettings):
        return replace(settings.loop(epochs), batch_size=size)
    return LoopSettings(epochs, size, settings.learning_rate)
