"""Replace observations by those of another observation mode or camera, from the recorded states."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import cast

import gymnasium as gym
from typing_extensions import override

from demos.collection.recording import stack
from demos.datasets.episode import STATE, Episode
from demos.preprocess.preprocessor import EpisodeTransform, Preprocessor
from demos.preprocess.schema import DatasetSchema, schema_of_env
from demos.runtime.types import Env
from lam_envs.env import ManipulationEnv
from lam_envs.registration import is_lam_env
from lam_envs.scene.observer import OBSERVATIONS
from lam_envs.validation import check_name


@dataclass(frozen=True)
class StatesToObs(Preprocessor):
    """Set every recorded state and replace the observations by those of the environment in it.

    Actions, rewards, infos and the rate do not change. Contacts are computed by a step, not by setting a state, so
    touch features may differ from those of a live episode where a finger barely touches; images do not.

    Attributes:
        obs: Observation mode of :class:`lam_envs.env.ManipulationEnv`: ``state``, ``goal`` or ``pixels``.
        cameras: Names of cameras; those of the dataset's environment by default, as for the next settings.
        image_width: Width in pixels.
        image_height: Height in pixels.
        depth: Record depth (meters) beside each image.
        renderer: Renderer, ``tiny`` or ``egl``.
    """

    name = "states-to-obs"
    obs: str = "pixels"
    cameras: tuple[str, ...] = ()
    image_width: int | None = None
    image_height: int | None = None
    depth: bool | None = None
    renderer: str | None = None

    def __post_init__(self) -> None:
        """Check the settings that need no environment.

        Raises:
            ValueError: The observation mode is unknown.
        """
        check_name("obs", self.obs, OBSERVATIONS)

    @override
    def make_transform(self, schema: DatasetSchema) -> EpisodeTransform:
        plan = schema.plan
        if plan is None or not is_lam_env(plan.get("env_id")):
            raise ValueError("states can only be set in an environment of lam_envs; the dataset names none")
        if STATE not in schema.info_sizes:
            raise ValueError(f"the dataset has no info {STATE!r}; it has {', '.join(schema.info_sizes) or 'none'}")
        env_kwargs = {name: value for name, value in asdict(self).items() if value not in (None, ())}
        env_kwargs |= {"cameras": list(self.cameras)} if self.cameras else {}
        plan = {**plan, "env_kwargs": {**(plan.get("env_kwargs") or {}), **env_kwargs}}
        env = gym.make(plan["env_id"], **plan["env_kwargs"])
        new_schema = replace(schema_of_env(env, plan), rate=schema.rate, info_sizes=schema.info_sizes)
        return _ObservationTransform(
            replace(new_schema.with_action_space(schema.action_space), displacements=schema.displacements), env
        )


class _ObservationTransform(EpisodeTransform):
    """Transform that sets the states of episodes in ``env`` and records their observations."""

    def __init__(self, schema: DatasetSchema, env: Env) -> None:
        super().__init__(schema)
        self._env = env

    @override
    def apply(self, episode: Episode) -> Episode | None:
        inner = cast(ManipulationEnv, self._env.unwrapped)
        return replace(episode, observations=stack([inner.set_state(state)[0] for state in episode.infos[STATE]]))

    @override
    def close(self) -> None:
        self._env.close()
