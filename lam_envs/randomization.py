"""Randomization of episodes besides poses and goals: physics, appearance, sensors and delays.

A :class:`Randomization` has ranges; a :class:`RandomizationSample` has the values of one episode. They are sampled by
a separate random number generator, so that a seed gives the same poses and goals with every randomization. Exceptions
are Clutter and Table where the size of objects varies: they sample until the objects fit the scene. In Table the
distances between objects do not grow with their size. From 1.1 times the size on, objects may overlap at first, and
the first steps push them apart: in 4 of 8,076 scenes by up to 2 mm with 1.1, in 3% by up to 7 mm with 1.2, and in 10%
by up to 16 mm with 1.3.
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

from lam_envs.validation import check_name, unknown_field

VERSION = 1
"""Increase it when samples or their effects change: results and datasets with randomization are then outdated."""

Range = tuple[float, float]

MAX_DELAY = 10
"""Longest action delay, control steps: half a second."""
MAX_FACTOR = {"object_size": 1.3, "object_mass": 10.0, "friction": 5.0, "brightness": 4.0}
"""Largest factors. A cube with 1.3 times its size still fits between the fingers and can turn."""
MIN_FACTOR = {"object_size": 0.7, "object_mass": 0.1, "friction": 0.1, "brightness": 0.1}
MAX_CHANGE = {"object_color": 1.0, "scene_color": 1.0, "light": 2.0, "camera_position": 0.5, "camera_target": 0.5}
"""Largest changes in either direction: colors in [0, 1], directions and positions in meters. From 0.1 m on, displaced
cameras may see side faces of table and floor, which pixel observations lack: see ``bullet/ground.py``. With 0.5, the
wrist camera may be below the top of the table."""
MAX_NOISE = 1.0


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return False
    # Unlike math.isfinite, it accepts ints that are too large for a float.
    return bool(-math.inf < value < math.inf)


@dataclass(frozen=True)
class Randomization:
    """Ranges from which each episode samples uniformly.

    Attributes:
        object_size: Factor on the edges of movable objects (low, high).
        object_mass: Factor on their mass (low, high), uniform in its logarithm.
        friction: Factor on their friction (low, high).
        object_color: Largest change of each color channel of movable objects; channels are in [0, 1].
        scene_color: Largest change of each color channel of table and floor.
        brightness: Factor on the light (low, high).
        light: Largest offset of each component of the light's direction, a vector of length 1.9.
        camera_position: Largest displacement of a camera along each axis, meters; half of it for the wrist camera.
            From 0.1 on, observed images may show the background or objects behind the missing sides of the table.
        camera_target: Largest displacement of a camera's target along each axis, meters; half of it for the
            wrist camera.
        sensor_noise: Standard deviation (low, high) of the noise on measured features, as a fraction of their scale:
            0.01 is 2 mm for a position.
        action_delay: Control steps of 1/20 s between an action and its effect (low, high), whole numbers.

    Raises:
        ValueError: A range is not an ordered pair of finite numbers, or exceeds the limits of the simulation.
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
        """Check and normalize all ranges."""
        for name, highest in MAX_FACTOR.items():
            self._check_range(name, MIN_FACTOR[name], highest)
        self._check_range("sensor_noise", 0.0, MAX_NOISE)
        delay = self.action_delay
        self._check_range("action_delay", 0, MAX_DELAY)
        if any(steps != int(steps) for steps in delay):
            raise ValueError(f"action_delay is {delay!r}; expected whole numbers of control steps")
        object.__setattr__(self, "action_delay", (int(delay[0]), int(delay[1])))
        for name, highest in MAX_CHANGE.items():
            value = getattr(self, name)
            if not _is_number(value) or not 0.0 <= value <= highest:
                raise ValueError(f"{name} is {value!r}; expected a number from 0 to {highest:g}")
            object.__setattr__(self, name, float(value))

    def _check_range(self, name: str, lowest: float, highest: float) -> None:
        value = getattr(self, name)
        is_pair = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2
        if not is_pair or not all(map(_is_number, value)) or not lowest <= value[0] <= value[1] <= highest:
            raise ValueError(
                f"{name} is {value!r}; expected a pair (low, high) with {lowest:g} <= low <= high <= {highest:g}"
            )
        # Equal ranges then have an equal repr, which identifies the states of a randomization.
        object.__setattr__(self, name, (float(value[0]), float(value[1])))


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
"""Ranges by name, for ``gym.make(..., randomize=name)``."""


class PhysicsScale(NamedTuple):
    """Factors of a sample on the physics of movable objects."""

    size: float = 1.0
    mass: float = 1.0
    friction: float = 1.0


@dataclass(frozen=True)
class RandomizationSample:
    """Randomization of one episode. The defaults change nothing.

    Attributes:
        object_size: Factor on the edges of movable objects.
        object_mass: Factor on their mass.
        friction: Factor on their friction.
        object_color: Offset of their color, red, green, blue.
        table_color: Offset of the color of the table, red, green, blue.
        floor_color: Offset of the color of the floor, red, green, blue.
        brightness: Factor on the light.
        light: Offset of the light's direction, x, y, z.
        camera_position: Displacement of cameras, meters.
        camera_target: Displacement of the targets of cameras, meters.
        sensor_noise: Standard deviation of the noise, as a fraction of a feature's scale.
        noise_key: Seed of the noise.
        action_delay: Delay of actions, control steps.
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
        """Factors on the physics of movable objects."""
        return PhysicsScale(self.object_size, self.object_mass, self.friction)

    def info(self) -> dict[str, object]:
        """Return numbers and arrays by name, for ``info["randomization"]``."""
        values = dataclasses.asdict(self)
        return {name: np.array(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def to_numbers(self) -> list[float]:
        """Return all values in a list of fixed length, for states."""
        numbers: list[float] = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            numbers += value if isinstance(value, tuple) else [float(value)]
        return numbers

    @classmethod
    def from_numbers(cls, numbers: npt.NDArray[np.float64]) -> RandomizationSample:
        """Return the sample of a result of :meth:`to_numbers`.

        Raises:
            ValueError: A number is out of the range of all randomizations.
        """
        parts: dict[str, Any] = {}
        rest = numbers.tolist()
        for field in dataclasses.fields(cls):
            count = len(field.default) if isinstance(field.default, tuple) else 1
            values, rest = rest[:count], rest[count:]
            low, high = _bounds(field.name)
            kind: type = type(field.default)
            if any(not low <= number <= high or (kind is int and number != int(number)) for number in values):
                expected = f"{'whole ' if kind is int else ''}numbers from {low:g} to {high:g}"
                raise ValueError(f"{field.name} of the state is {values}; expected {expected}")
            parts[field.name] = kind(values) if kind is tuple else kind(values[0])
        return cls(**parts)


def _bounds(name: str) -> Range:
    """Return the range of a number of a sample."""
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
"""Number of seeds of the noise; below the largest number of a state."""


def parse_randomization(value: object) -> Randomization | None:
    """Return the ranges of the keyword ``randomize``.

    Args:
        value: Name of a preset, a :class:`Randomization`, or a mapping of its fields.

    Returns:
        The ranges; None without randomization.

    Raises:
        TypeError: The mapping has an unknown field.
        ValueError: The name is unknown, or a range is invalid.
    """
    if isinstance(value, Mapping):
        known = [field.name for field in dataclasses.fields(Randomization)]
        for name in value:
            if name not in known:
                raise TypeError(unknown_field("randomize", str(name), known))
        fields: dict[str, Any] = dict(value)
        value = Randomization(**fields)
    elif not isinstance(value, Randomization):
        if not isinstance(value, str):
            raise ValueError(
                f"randomize is {value!r}; expected a Randomization, a mapping of its fields, or one of "
                f"{', '.join(PRESETS)}"
            )
        value = PRESETS[check_name("randomize", value, PRESETS)]
    return None if value == PRESETS["none"] else value


def sample_randomization(ranges: Randomization, rng: np.random.Generator) -> RandomizationSample:
    """Sample the randomization of an episode.

    Args:
        ranges: Ranges of the values.
        rng: Random number generator of the episode. Its state does not change: poses and goals do not depend on the
            randomization.
    """
    generator = np.random.default_rng([1, int(copy.deepcopy(rng).integers(2**63))])

    def symmetric(width: float) -> tuple[float, ...]:
        return tuple(generator.uniform(-width, width, size=3).tolist())

    def uniform(ends: Range) -> float:
        return float(generator.uniform(*ends))

    def log_uniform(ends: Range) -> float:
        return math.exp(uniform((math.log(ends[0]), math.log(ends[1]))))

    return RandomizationSample(
        object_size=uniform(ranges.object_size),
        # Uniform in the logarithm: one half and 2 are equally likely. Clipped, as exp(log(10)) is above 10.
        object_mass=min(max(log_uniform(ranges.object_mass), MIN_FACTOR["object_mass"]), MAX_FACTOR["object_mass"]),
        friction=uniform(ranges.friction),
        object_color=symmetric(ranges.object_color),
        table_color=symmetric(ranges.scene_color),
        floor_color=symmetric(ranges.scene_color),
        brightness=uniform(ranges.brightness),
        light=symmetric(ranges.light),
        camera_position=symmetric(ranges.camera_position),
        camera_target=symmetric(ranges.camera_target),
        sensor_noise=uniform(ranges.sensor_noise),
        noise_key=int(generator.integers(NOISE_KEYS)),
        action_delay=int(generator.integers(ranges.action_delay[0], ranges.action_delay[1] + 1)),
    )


def sample_noise(sample: RandomizationSample, step: int, size: int) -> npt.NDArray[np.float64]:
    """Return standard normal noise of shape (size,), which depends only on the episode and the step."""
    return np.random.default_rng([2, sample.noise_key, step]).standard_normal(size)
