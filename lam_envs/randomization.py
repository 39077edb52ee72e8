"""What varies from episode to episode beyond poses and goals.

A :class:`Randomization` gives ranges; a :class:`RandomizationSample` is what was drawn for one episode. The draws
come from a stream of their own, so that a seed gives the same poses and goals whatever is randomized besides.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lam_envs.validation import known_name, unknown_field

VERSION = 1
"""Raise it when a seed's draws or their effects change: results and datasets with randomization are then outdated."""

Range = tuple[float, float]

MAX_DELAY = 10
"""Longest action delay, control steps: half a second."""
MAX_FACTOR = {"object_size": 1.3, "object_mass": 10.0, "friction": 5.0, "brightness": 4.0}
"""Largest factors. A cube that is 1.3 times as large still fits between the fingers with room to turn."""
MIN_FACTOR = {"object_size": 0.7, "object_mass": 0.1, "friction": 0.1, "brightness": 0.1}
MAX_CHANGE = {"object_color": 1.0, "scene_color": 1.0, "light": 2.0, "camera_position": 0.5, "camera_target": 0.5}
"""Largest changes either way: colors in [0, 1], directions and positions in meters."""
MAX_NOISE = 1.0


def _is_number(given: Any) -> bool:
    if isinstance(given, bool) or not isinstance(given, (int, float, np.integer, np.floating)):
        return False
    # Unlike math.isfinite it takes whole numbers that are too large for a float.
    return bool(-math.inf < given < math.inf)


@dataclass(frozen=True)
class Randomization:
    """Ranges from which each episode draws uniformly.

    Attributes:
        object_size: Factor on the edges of what can be moved (low, high).
        object_mass: Factor on its mass (low, high), uniform in its logarithm: half and double are as likely.
        friction: Factor on its friction (low, high).
        object_color: Largest change of each color channel of the objects, of 1.
        scene_color: The same for table and floor.
        brightness: Factor on the light (low, high).
        light: Largest change of the light's direction along each axis, meters at the light's distance of about 2.
        camera_position: Largest change of a camera's position along each axis, meters; half of it for one on the
            hand.
        camera_target: The same for the point that it looks at.
        sensor_noise: Standard deviation (low, high) of the noise on measured features, as a share of their scale:
            0.01 is 2 mm on a position.
        action_delay: Control steps of 1/20 s between an action and its effect (low, high), whole numbers.

    Raises:
        ValueError: A range that is no pair of finite numbers in order, or beyond what the simulation can do.
    """

    object_size: Range = (1.0, 1.0)
    object_mass: Range = (1.0, 1.0)
    friction: Range = (1.0, 1.0)
    object_color: float = 0.0
    scene_color: float = 0.0
    brightness: Range = (1.0, 1.0)
    light: float = 0.0
    camera_position: float = 0.0
    camera_target: float = 0.0
    sensor_noise: Range = (0.0, 0.0)
    action_delay: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        """Check every range."""
        for name, highest in MAX_FACTOR.items():
            self._check_range(name, MIN_FACTOR[name], highest)
        self._check_range("sensor_noise", 0.0, MAX_NOISE)
        delay = self.action_delay
        self._check_range("action_delay", 0, MAX_DELAY)
        if any(steps != int(steps) for steps in delay):
            raise ValueError(f"action_delay is {delay!r}; expected whole numbers of control steps")
        object.__setattr__(self, "action_delay", (int(delay[0]), int(delay[1])))
        for name, highest in MAX_CHANGE.items():
            given = getattr(self, name)
            if not _is_number(given) or not 0.0 <= given <= highest:
                raise ValueError(f"{name} is {given!r}; expected a number from 0 to {highest:g}")
            object.__setattr__(self, name, float(given))

    def _check_range(self, name: str, lowest: float, highest: float) -> None:
        given = getattr(self, name)
        pair = isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 2
        if not pair or not all(_is_number(end) for end in given) or not lowest <= given[0] <= given[1] <= highest:
            raise ValueError(
                f"{name} is {given!r}; expected a pair (low, high) with {lowest:g} <= low <= high <= {highest:g}"
            )
        # Ranges that are equal are then written alike, by which states of other ranges are told apart.
        object.__setattr__(self, name, (float(given[0]), float(given[1])))


PRESETS: dict[str, Randomization] = {
    "none": Randomization(),
    "physics": Randomization(object_size=(0.9, 1.1), object_mass=(0.5, 2.0), friction=(0.7, 1.3)),
    "visual": Randomization(
        object_color=0.3,
        scene_color=0.25,
        brightness=(0.7, 1.3),
        light=0.6,
        camera_position=0.03,
        camera_target=0.02,
    ),
}
PRESETS["full"] = dataclasses.replace(
    PRESETS["visual"],
    object_size=PRESETS["physics"].object_size,
    object_mass=PRESETS["physics"].object_mass,
    friction=PRESETS["physics"].friction,
    sensor_noise=(0.0, 0.01),
    action_delay=(0, 1),
)
"""The names that ``gym.make(..., randomize=name)`` knows."""


class PhysicsScale(NamedTuple):
    """What of a variation bodies are built with."""

    size: float = 1.0
    mass: float = 1.0
    friction: float = 1.0


@dataclass(frozen=True)
class RandomizationSample:
    """What one episode drew. The defaults vary nothing.

    Attributes:
        object_size: Factor.
        object_mass: Factor.
        friction: Factor.
        object_color: Added to red, green, blue.
        table_color: Added to red, green, blue.
        floor_color: Added to red, green, blue.
        brightness: Factor.
        light: Added to the light's direction.
        camera_position: Added to a camera's position, meters.
        camera_target: Added to the point that it looks at, meters.
        sensor_noise: Standard deviation, as a share of a feature's scale.
        noise_key: Seeds the noise.
        action_delay: Control steps.
    """

    object_size: float = 1.0
    object_mass: float = 1.0
    friction: float = 1.0
    object_color: tuple[float, ...] = (0.0, 0.0, 0.0)
    table_color: tuple[float, ...] = (0.0, 0.0, 0.0)
    floor_color: tuple[float, ...] = (0.0, 0.0, 0.0)
    brightness: float = 1.0
    light: tuple[float, ...] = (0.0, 0.0, 0.0)
    camera_position: tuple[float, ...] = (0.0, 0.0, 0.0)
    camera_target: tuple[float, ...] = (0.0, 0.0, 0.0)
    sensor_noise: float = 0.0
    noise_key: int = 0
    action_delay: int = 0

    @property
    def physics_scale(self) -> PhysicsScale:
        """What bodies are built with."""
        return PhysicsScale(self.object_size, self.object_mass, self.friction)

    def info(self) -> dict[str, Any]:
        """What was drawn, for ``info["randomization"]``: numbers and arrays by name."""
        drawn = dataclasses.asdict(self)
        return {name: np.array(value) if isinstance(value, tuple) else value for name, value in drawn.items()}

    def to_numbers(self) -> list[float]:
        """All draws in one list of fixed length, for states."""
        numbers: list[float] = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            numbers += value if isinstance(value, tuple) else [float(value)]
        return numbers

    @classmethod
    def from_numbers(cls, numbers: npt.NDArray[np.float64]) -> RandomizationSample:
        """The inverse of :meth:`to_numbers`.

        Raises:
            ValueError: Numbers that no randomization can draw.
        """
        parts: dict[str, Any] = {}
        rest = numbers.tolist()
        for field in dataclasses.fields(cls):
            count = len(field.default) if isinstance(field.default, tuple) else 1
            given, rest = rest[:count], rest[count:]
            low, high = _bounds(field.name)
            kind: type[Any] = type(field.default)
            if any(not low <= number <= high or (kind is int and number != int(number)) for number in given):
                raise ValueError(f"the state has {field.name} {given}; no randomization draws that")
            parts[field.name] = kind(given) if kind is tuple else kind(given[0])
        return cls(**parts)


def _bounds(name: str) -> Range:
    """Between what a number of a variation must be."""
    if name in MAX_FACTOR:
        return MIN_FACTOR[name], MAX_FACTOR[name]
    others = {"sensor_noise": MAX_NOISE, "noise_key": NOISE_KEYS - 1, "action_delay": MAX_DELAY}
    if name in others:
        return 0.0, others[name]
    change = MAX_CHANGE["scene_color" if name in ("table_color", "floor_color") else name]
    return -change, change


SAMPLE_SIZE = len(RandomizationSample().to_numbers())
"""Length of :meth:`RandomizationSample.to_numbers`."""
NOISE_KEYS = 10**6
"""How many noises there are; below the largest number of a state."""


def parse_randomization(given: Any) -> Randomization | None:
    """Turn the keyword ``randomize`` into ranges.

    Args:
        given: The name of a preset, a :class:`Randomization`, or a mapping of its fields.

    Returns:
        The ranges; None where nothing varies.

    Raises:
        TypeError: A mapping with an unknown field.
        ValueError: An unknown name, or a range that cannot be.
    """
    if isinstance(given, Mapping):
        known = [field.name for field in dataclasses.fields(Randomization)]
        for name in given:
            if name not in known:
                raise TypeError(unknown_field("randomize", str(name), known))
        fields: dict[str, Any] = dict(given)
        given = Randomization(**fields)
    elif not isinstance(given, Randomization):
        if not isinstance(given, str):
            raise ValueError(
                f"randomize is {given!r}; expected a Randomization, a mapping of its fields, or one of "
                f"{', '.join(PRESETS)}"
            )
        given = PRESETS[known_name("randomize", given, PRESETS)]
    return None if given == PRESETS["none"] else given


def sample_randomization(ranges: Randomization, rng: np.random.Generator) -> RandomizationSample:
    """Draw one episode's sample.

    Args:
        ranges: From what.
        rng: The episode's generator, which is left as it was: poses and goals do not depend on what varies.
    """
    own = np.random.default_rng([1, int(copy.deepcopy(rng).integers(2**63))])

    def spread(width: float) -> tuple[float, ...]:
        return tuple(own.uniform(-width, width, size=3).tolist())

    def within(ends: Range) -> float:
        return float(own.uniform(*ends))

    return RandomizationSample(
        object_size=within(ranges.object_size),
        # Half and double are as likely as each other.
        object_mass=math.exp(within((math.log(ranges.object_mass[0]), math.log(ranges.object_mass[1])))),
        friction=within(ranges.friction),
        object_color=spread(ranges.object_color),
        table_color=spread(ranges.scene_color),
        floor_color=spread(ranges.scene_color),
        brightness=within(ranges.brightness),
        light=spread(ranges.light),
        camera_position=spread(ranges.camera_position),
        camera_target=spread(ranges.camera_target),
        sensor_noise=within(ranges.sensor_noise),
        noise_key=int(own.integers(NOISE_KEYS)),
        action_delay=int(own.integers(ranges.action_delay[0], ranges.action_delay[1] + 1)),
    )


def sample_noise(sample: RandomizationSample, step: int, size: int) -> npt.NDArray[np.float64]:
    """Standard normal numbers, shape (size,): a function of the episode and the step, so that states continue."""
    return np.random.default_rng([2, sample.noise_key, step]).standard_normal(size)
