"""Plan of a collection: collections with equal plans are equal, bit for bit."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field

import numpy as np

from demos.collection.demonstrators import DEMONSTRATORS, MIXED
from demos.collection.human_demonstrator import HUMAN, TELEOP
from demos.collection.strategies import STRATEGIES
from demos.collection.versions import demonstration_versions, library_versions
from demos.runtime.types import JsonObject, Keywords
from lam_envs.validation import check_name

PACKAGES = ("gymnasium", "minari", "numpy", "pybullet")
ALL_STRATEGIES = "all"
LONGEST_ID = 120
"""Characters of a derived id; the middle of a longer one becomes a checksum, because file names are limited."""
TIME_LIMIT, COMMAND_LIMIT = "max_episode_steps", "steps_per_command"
"""Keywords of ``gym.make`` for the length of episodes. Every plan of teleoperation has the first one, and those of
environments with successive commands have both."""


@dataclass(frozen=True)
class Plan:
    """Settings of a collection.

    Attributes:
        env_id: Registered environment id.
        env_kwargs: Keywords for ``gym.make``.
        episodes: Number of episodes.
        seed: Seed from which the seed of each episode is derived.
        demonstrator: Name in ``DEMONSTRATORS``; ``mixed``: each episode draws one; or ``teleop``, which only
            :mod:`demos.teleop` carries out.
        strategy: Name in ``STRATEGIES``, or ``all``: each episode draws one.
        policy: ``package.module:Name`` of a third-party policy that acts in place of the expert; with ``teleop``, a
            name of the policy that the person takes over from.
        motion: Motion of a person that the robot imitates in place of the expert, as JSON; the demonstrator is
            ``human``.
        keep_failures: Keep episodes that fail, instead of repeating them with another seed.
        jpeg: Store images as JPEG: smaller, with loss.

    Raises:
        ValueError: A number is out of range, or a name is unknown.
    """

    env_id: str
    env_kwargs: Keywords = field(default_factory=dict)
    episodes: int = 100
    seed: int = 0
    demonstrator: str = "expert"
    strategy: str = "direct"
    policy: str | None = None
    keep_failures: bool = False
    jpeg: bool = False
    motion: JsonObject | None = None

    def __post_init__(self) -> None:
        """Check the settings that need no environment."""
        for name, lowest in (("episodes", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < lowest:
                raise ValueError(f"{name} is {value!r}; expected a whole number of at least {lowest}")
        if self.motion is None:
            check_name("demonstrator", self.demonstrator, (*DEMONSTRATORS, MIXED, TELEOP))
        elif (self.demonstrator, self.strategy, self.policy) != (HUMAN, "direct", None):
            raise ValueError(f"a motion is imitated by the demonstrator {HUMAN!r} alone; omit strategy and policy")
        check_name("strategy", self.strategy, (*STRATEGIES, ALL_STRATEGIES))
        acting = ("expert", TELEOP)
        if self.policy is not None and (self.demonstrator not in acting or self.strategy != "direct"):
            raise ValueError(f"the policy {self.policy!r} acts by itself; omit demonstrator and strategy")

    def default_id(self) -> str:
        """Return a dataset id made of the settings."""
        parts = [self.env_id.rpartition(":")[2].rpartition("-v")[0] or self.env_id]
        drives = self.demonstrator == TELEOP
        keywords = {
            name: value
            for name, value in self.env_kwargs.items()
            if not (drives and name in (TIME_LIMIT, COMMAND_LIMIT))
        }
        parts += [f"{name}-{value}" for name, value in sorted(keywords.items())]
        parts += [TELEOP] * drives
        if self.policy is not None or not drives:
            parts.append(self.demonstrator if self.policy is None else self.policy.rpartition(":")[2])
        parts += [self.strategy] * (self.strategy != "direct")
        parts += ["failures"] * self.keep_failures + ["jpeg"] * self.jpeg
        # A person decides how many episodes there will be.
        parts += [*([] if drives else [str(self.episodes)]), f"seed{self.seed}"]
        safe = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in "-".join(parts))
        if len(safe) > LONGEST_ID:
            checksum = hashlib.sha256(safe.encode()).hexdigest()[:8]
            safe = f"{safe[: LONGEST_ID // 2]}-{checksum}-{safe[-LONGEST_ID // 3 :]}"
        return f"lam/{safe}-v0"

    def as_json(self) -> JsonObject:
        """Return the plan with the versions of the parts and of the libraries that carry it out."""
        fields = {"quality" if name == "demonstrator" else name: value for name, value in asdict(self).items()}
        if self.motion is None:
            del fields["motion"]
        names = {"qualities": list(self.demonstrators), "strategies": list(self.strategies)}
        versions = demonstration_versions(self.env_id, self.env_kwargs, self.demonstrators, self.strategies)
        return {**fields, **names, "versions": versions, "libraries": library_versions(PACKAGES)}

    @property
    def demonstrators(self) -> tuple[str, ...]:
        """Demonstrators that act in its episodes, in the order of the numbers that the episodes record."""
        if self.demonstrator == TELEOP:
            return (TELEOP,)
        if self.policy is not None:
            return ("policy",)
        if self.motion is not None:
            return (HUMAN,)
        return tuple(DEMONSTRATORS) if self.demonstrator == MIXED else (self.demonstrator,)

    @property
    def strategies(self) -> tuple[str, ...]:
        """Strategies that its episodes follow, in the order of the numbers that the episodes record."""
        return tuple(STRATEGIES) if self.strategy == ALL_STRATEGIES else (self.strategy,)


def episode_seed(seed: int, index: int, attempt: int = 0) -> int:
    """Return the 32-bit seed of an episode; it does not depend on the number of episodes.

    Args:
        seed: Seed of the collection.
        index: Number of the episode.
        attempt: Number of failed attempts before.
    """
    entropy = [seed, index] if attempt == 0 else [seed, index, attempt]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])
