"""Settings of teleoperation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from demos.collection.plan import COMMAND_LIMIT, TIME_LIMIT
from demos.collection.recording import Policy
from demos.runtime.types import Env, Keywords
from demos.runtime.web.messages import MAX_CAMERAS
from demos.teleop.asking import FailurePredictor
from lam_envs.bullet.cameras import CAMERAS
from lam_envs.bullet.simulation import CONTROL_HZ
from lam_envs.registration import has_chains
from lam_envs.validation import check_names

DEFAULT_SECONDS = 60.0
"""Longest episode, simulated seconds: people are slower than experts, for whom tasks have their time limits."""
IMAGE_SIZES = range(64, 641)
"""Pixels."""
MAX_SECONDS = 3600.0
REAL_TIME_FACTORS = (0.05, 2.0)


@dataclass(frozen=True)
class SessionSettings:
    """Settings of a session.

    Attributes:
        episodes: Number of episodes to record; the person may record more.
        cameras: Names of the one or two cameras of the live images.
        image_size: Width and height of a live image, pixels.
        real_time_factor: Simulated time per wall time: below 1 for slow motion.
        keep_failures: Allow to keep episodes that end without success.
    """

    episodes: int = 20
    cameras: tuple[str, ...] = ("front", "wrist")
    image_size: int = 240
    real_time_factor: float = 1.0
    keep_failures: bool = False

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: A camera is unknown, there are too many, or a number is out of range.
        """
        check_names("cameras", self.cameras, CAMERAS)
        if len(self.cameras) > MAX_CAMERAS:
            raise ValueError(f"cameras are {', '.join(self.cameras)}; expected at most {MAX_CAMERAS}")
        if self.episodes < 1:
            raise ValueError(f"episodes is {self.episodes}; expected at least 1")
        if self.image_size not in IMAGE_SIZES:
            raise ValueError(
                f"image_size is {self.image_size}; expected {IMAGE_SIZES.start} to {IMAGE_SIZES.stop - 1} pixels"
            )
        low, high = REAL_TIME_FACTORS
        if not low <= self.real_time_factor <= high:
            raise ValueError(f"real_time_factor is {self.real_time_factor:g}; expected {low:g} to {high:g}")


@dataclass(frozen=True)
class Watched:
    """Policy that a person watches and takes over from.

    Attributes:
        name: Name for the page and the dataset.
        make: Function that makes the policy for an environment.
        predict: Function that makes the predictor of its failures for an environment; None for a policy that never
            asks the person to take over.
    """

    name: str
    make: Callable[[Env], Policy]
    predict: Callable[[Policy, Env], FailurePredictor] | None = None

    def policy_and_predictor(self, env: Env) -> tuple[Policy, FailurePredictor | None]:
        """Return the policy for an environment, and the prediction of its failures."""
        policy = self.make(env)
        return policy, None if self.predict is None else self.predict(policy, env)


@dataclass(frozen=True)
class Recording:
    """Dataset that is recorded.

    Attributes:
        seed: Seed from which the seed of each scene is derived.
        env_kwargs: Keywords for ``gym.make``.
        seconds: Longest episode, simulated seconds; ``max_episode_steps`` among the keywords goes first.
        jpeg: Store observed images as JPEG.
        dataset_id: Id of the dataset; derived from the settings by default.
        root: Folder of all datasets; Minari's own by default.
        overwrite: Replace a dataset of that id, instead of adding episodes to it.
    """

    seed: int = 0
    env_kwargs: Keywords = field(default_factory=dict)
    seconds: float = DEFAULT_SECONDS
    jpeg: bool = False
    dataset_id: str | None = None
    root: str | Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: A number is out of range.
        """
        if not 1.0 <= self.seconds <= MAX_SECONDS:
            raise ValueError(f"seconds is {self.seconds:g}; expected 1 to {MAX_SECONDS:g}")

    def env_kwargs_with_limit(self, env_id: str) -> Keywords:
        """Return the keywords for ``gym.make`` with the time limit.

        Args:
            env_id: Registered environment id.
        """
        env_kwargs: Keywords = {TIME_LIMIT: round(self.seconds * CONTROL_HZ), **self.env_kwargs}
        if not has_chains(env_id):
            return env_kwargs
        # Its own limit must not end an episode earlier.
        return {COMMAND_LIMIT: env_kwargs[TIME_LIMIT], **env_kwargs}
