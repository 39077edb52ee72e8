"""Keys of a suite file and the types of their values."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from agents.deployment.adaptation.methods import METHODS as ADAPTATION_METHODS
from agents.deployment.adaptation.methods import adaptation_settings
from agents.pretraining.methods import METHODS, pretraining_settings
from agents.registry import ARCHIVE
from agents.training.saving import archive
from agents.types import JsonObject, Keywords
from benchmarks.suite.conditions import AS_TRAINED, Condition
from benchmarks.suite.fields import (
    Count,
    Distinct,
    EnvironmentId,
    EnvKeywords,
    Items,
    OneOrMore,
    Paragraph,
    Seed,
    SuiteModel,
    Text,
    call_third_party,
)
from benchmarks.suite.suite import (
    EvaluationSettings,
    PeriodicEvaluation,
    SuiteName,
    VideoSettings,
    check_settings,
    learns,
)
from demos.collection.catalog.recipe import read_recipe
from demos.collection.demonstrators import DEMONSTRATORS, MIXED
from demos.collection.human_demonstrator import HUMAN
from demos.human.motion.files import read_motion

ANY = "any environment"
"""Key of numbers of demonstrations that hold for every environment."""

Recorded = Literal[(*DEMONSTRATORS, MIXED)]  # type: ignore[valid-type]  # names of a registry
Demonstrator = Literal[(*DEMONSTRATORS, MIXED, HUMAN)]  # type: ignore[valid-type]  # names of a registry
Counts = Annotated[
    dict[str, OneOrMore[Count]], BeforeValidator(lambda value: value if isinstance(value, dict) else {ANY: value})
]
"""Numbers of demonstrations: by environment, or the same for all."""


class MotionKeys(SuiteModel):
    """Motion of a person: the name of one of the package, or the path of a file, and the speed of its imitation.

    The speed is that of the file by default.
    """

    recording: Text
    speed: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _recording_alone(cls, value: object) -> object:
        return {"recording": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_recording(self) -> MotionKeys:
        self.motion()
        return self

    def motion(self) -> JsonObject:
        """Return the motion as JSON."""
        motion = read_motion(self.recording)
        return (motion if self.speed is None else replace(motion, speed=self.speed)).as_json()


class DatasetKeys(SuiteModel):
    """Datasets of a mixture: one for each environment and demonstrator."""

    environments: Items[EnvironmentId]
    demonstrations: Count
    demonstrator: OneOrMore[Recorded] = ("expert",)
    seed: Seed | None = None
    env: EnvKeywords = Field(default={})


def _entries(mixture: object) -> object:
    """Return the entries of a recipe, in place of its name."""
    if not isinstance(mixture, str):
        return mixture
    recipe = read_recipe(mixture)
    return [{**entry.model_dump(), "seed": recipe.seed} for entry in recipe.datasets]


Mixture = Annotated[Items[DatasetKeys], BeforeValidator(_entries)]
"""Datasets of one training: a list, or the name of a recipe of :mod:`demos.collection.catalog.recipe`."""


class PretrainingKeys(SuiteModel):
    """Pre-training of the encoder of images that an agent starts from."""

    method: Literal[tuple(METHODS)]  # type: ignore[valid-type]  # names of a registry
    datasets: Items[DatasetKeys]
    settings: Keywords = Field(default={}, validate_default=True)
    freeze: bool = False

    @field_validator("settings")
    @classmethod
    def _check_settings(cls, settings: Keywords, info: ValidationInfo) -> Keywords:
        if "method" in info.data:
            pretraining_settings(info.data["method"], settings)
        return settings


class AdaptationKeys(SuiteModel):
    """Adaptation of a trained agent to a condition."""

    method: Literal[tuple(ADAPTATION_METHODS)]  # type: ignore[valid-type]  # names of a registry
    condition: Text
    budget: Count | None = None
    settings: Keywords = Field(default={}, validate_default=True)

    @field_validator("settings")
    @classmethod
    def _check_settings(cls, settings: Keywords, info: ValidationInfo) -> Keywords:
        if "method" in info.data:
            adaptation_settings(info.data["method"], settings)
        return settings


class AgentKeys(SuiteModel):
    """Agent in a suite file; for keys that it omits, the suite's own keys apply."""

    agent: str
    label: Text
    settings: Keywords = Field(default={}, validate_default=True)
    environments: Items[EnvironmentId] | None = None
    demonstrations: Counts | None = None
    demonstrator: OneOrMore[Demonstrator] | None = None
    motion: MotionKeys | None = None
    env: EnvKeywords | None = None
    training_env: EnvKeywords | None = None
    training_seeds: Distinct[Seed] | None = None
    periodic_eval: bool | None = None
    mixture: Mixture | None = None
    pretraining: PretrainingKeys | None = None
    adaptation: AdaptationKeys | None = None

    @model_validator(mode="before")
    @classmethod
    def _add_label(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {"agent": value}
        return {"label": value["agent"], **value} if isinstance(value, dict) and "agent" in value else value

    @field_validator("agent")
    @classmethod
    def _agent_exists(cls, agent: str, info: ValidationInfo) -> str:
        if agent.endswith(ARCHIVE):
            if not info.context:
                raise ValueError(
                    f"{agent} can hold code that runs when it is loaded; add --allow-pickle if you trust its source"
                )
            call_third_party(archive.check, agent)
        call_third_party(learns, agent)
        return agent

    @field_validator("settings")
    @classmethod
    def _check_settings(cls, settings: Keywords, info: ValidationInfo) -> Keywords:
        agent = info.data.get("agent", "")
        json.dumps(settings, allow_nan=False)
        if agent.endswith(ARCHIVE):
            # The statistics of VecNormalize count like the archive itself.
            return call_third_party(archive.settings_of, agent, settings)
        if agent and settings:
            call_third_party(check_settings, agent, settings)
        return settings


class SuiteKeys(SuiteModel):
    """The file of a suite."""

    name: SuiteName
    note: Paragraph | None = None
    agents: Items[AgentKeys]
    environments: Items[EnvironmentId] | None = None
    demonstrations: Counts | None = None
    demonstrator: OneOrMore[Demonstrator] = ("expert",)
    motion: MotionKeys | None = None
    demonstration_seed: Seed | None = None
    env: EnvKeywords = Field(default={})
    training_env: EnvKeywords = Field(default={})
    training_seeds: Distinct[Seed] | None = None
    evaluation: EvaluationSettings
    videos: VideoSettings | None = None
    periodic_eval: PeriodicEvaluation | None = None
    conditions: dict[Text, Condition] = Field(default={AS_TRAINED: Condition()}, min_length=1)

    @field_validator("conditions")
    @classmethod
    def _nothing_changes_as_trained(cls, conditions: dict[str, Condition]) -> dict[str, Condition]:
        if AS_TRAINED in conditions and conditions[AS_TRAINED].model_fields_set:
            raise ValueError(f"under the condition {AS_TRAINED!r} nothing changes: expected {{}}")
        return conditions


MODELS: dict[str, type[SuiteModel]] = {
    "agents": AgentKeys,
    "motion": MotionKeys,
    "mixture": DatasetKeys,
    "pretraining": PretrainingKeys,
    "datasets": DatasetKeys,
    "adaptation": AdaptationKeys,
    "evaluation": EvaluationSettings,
    "videos": VideoSettings,
    "periodic_eval": PeriodicEvaluation,
    "conditions": Condition,
}
"""Model of each part of a file that is a mapping of known keys."""
