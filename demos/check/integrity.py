"""What one episode of a data file must be, and what is wrong with one that is not.

Nothing is believed: before a part is read, its links, type and size are looked at. Nothing is unpickled.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import h5py
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from minari.dataset.minari_storage import is_image_space
from PIL import Image

from demos.datasets.checksum import episode_digest
from demos.datasets.episode import DIGEST
from demos.datasets.reading import is_stepwise, read_dtype

STEPWISE = ("rewards", "terminations", "truncations")
PARTS = ("observations", "actions", *STEPWISE, "infos")
NUMBERS = "biuf"
MAX_DEPTH = 16
"""Groups in groups; more is a circle."""
MAX_ATTRIBUTE_BYTES = 4096
MAX_COMPRESSION = 1100
"""No deflated array is smaller by more than this factor."""
MAX_SHOWN = 200
"""Letters of a message that are shown."""


@dataclass(frozen=True)
class Expected:
    """What the episodes of a data file should be.

    Attributes:
        observation_space: None if it is not known.
        action_space: None if it is not known.
        jpeg: Whether pictures are stored as JPEG.
        ours: Whether this package collected the episodes: then each is signed and has exactly the types of the
            spaces. In other datasets, deviations that can still be read are notes.
        seeded: Whether each episode has a seed.
        tells_success: Whether the environment tells success in each info.
        file_bytes: Size of the file.
    """

    observation_space: gym.Space[Any] | None
    action_space: gym.Space[Any] | None
    jpeg: bool
    ours: bool
    seeded: bool
    tells_success: bool
    file_bytes: int


@dataclass
class Findings:
    """What was found in an episode.

    Attributes:
        faults: What is wrong with it.
        notes: Unusual properties, which are not faults in a dataset of a third party.
        digest: The checksum that it is signed with, if any.
        vouched: Whether the checksum is right.
        steps: How many it has, if it says.
        place: Where in the file it lies.
        infos: Name, type and shape at one moment of each info.
    """

    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    digest: str | None = None
    vouched: bool = False
    steps: int | None = None
    place: int | None = None
    infos: dict[str, str] = field(default_factory=dict)


class DamageError(Exception):
    """What stops the examination of an episode."""


def examined(file: h5py.File, number: int, expected: Expected, reading: Callable[[str], None]) -> Findings:
    """Examine an episode.

    Args:
        file: The data file.
        number: Of the episode.
        expected: What it should be.
        reading: Is told the name of each part before it is read.
    """
    found = Findings()
    try:
        reading("its group")
        _examine(file, number, expected, reading, found)
    except DamageError as fault:
        found.faults.append(str(fault))
    except Exception as error:  # A damaged file may have h5py, numpy and PIL raise anything.
        found.faults.append(shown(f"cannot be read: {type(error).__name__}: {error}"))
    return found


def shown(text: str) -> str:
    """Return a message that is no longer than one wants to read."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _examine(
    file: h5py.File, number: int, expected: Expected, reading: Callable[[str], None], found: Findings
) -> None:
    group = _linked(file, f"episode_{number}", "")
    if not isinstance(group, h5py.Group):
        raise DamageError(f"is {_kind(group)}, expected a group")
    found.place = int(h5py.h5o.get_info(group.id).addr)
    reading("its attributes")
    found.faults += _attribute_faults(group, number, expected, found)
    arrays = dict(_arrays(group, may_be_empty=not expected.ours))
    for path, part in arrays.items():
        _check_readable(path, part, expected.file_bytes)
        if expected.ours and len(part.attrs):
            found.faults.append(f"{path} has attributes ({shown(str(list(part.attrs)))}), expected none")
    found.faults += _part_faults(group, expected)
    if found.steps is not None:
        found.faults += _content_faults(arrays, found.steps, expected, reading, found.notes)
    found.infos = {
        path.removeprefix("infos/"): f"{part.dtype} of shape {part.shape[1:]}"
        for path, part in arrays.items()
        if path.startswith("infos/")
    }
    if found.digest is not None:
        reading("all of it, for its checksum")
        digest = episode_digest(group)
        found.vouched = digest == found.digest
        if not found.vouched:
            found.faults.append(f"is not what was signed: its SHA-256 is {digest}, expected {found.digest}")


def _attribute_faults(group: h5py.Group, number: int, expected: Expected, found: Findings) -> Iterator[str]:
    """Look at every attribute before it is read; notes the steps and the checksum."""
    names = set(group.attrs)
    for name in sorted(names):
        attribute = group.attrs.get_id(name)
        size = math.prod(attribute.shape or ()) * attribute.dtype.itemsize
        if size > MAX_ATTRIBUTE_BYTES:
            raise DamageError(f"attribute {shown(name)!r} has {size} bytes, expected at most {MAX_ATTRIBUTE_BYTES}")
        if attribute.dtype.kind not in NUMBERS + "S" and h5py.check_string_dtype(attribute.dtype) is None:
            raise DamageError(f"attribute {shown(name)!r} is of type {attribute.dtype}, expected numbers or a text")
        known = name in ("id", "seed", "total_steps", DIGEST) or name.startswith("options/")
        if expected.ours and not known:
            yield f"has an additional attribute {shown(name)!r}"
    required = ["id", "total_steps", *["seed"] * expected.seeded, *[DIGEST] * expected.ours]
    yield from (f"lacks the attribute {name!r}" for name in required if name not in names)
    values = {name: _whole_number(group, name) for name in ("id", "seed", "total_steps") if name in names}
    if values.get("id", number) != number:
        yield f"says that it is episode {values['id']}, expected {number}: it was moved, copied or renamed"
    if values.get("seed", 0) < 0:
        yield f"has seed {values['seed']}, expected none below 0"
    found.steps = values.get("total_steps")
    if found.steps is not None and found.steps < 1:
        yield f"has {found.steps} steps, expected at least 1"
    if DIGEST in names:
        found.digest = _digest_attribute(group)


def _whole_number(group: h5py.Group, name: str) -> int:
    attribute = group.attrs.get_id(name)
    if attribute.shape != () or attribute.dtype.kind not in "iu":
        raise DamageError(
            f"attribute {name!r} is of type {attribute.dtype} and shape {attribute.shape}, expected a whole number"
        )
    return int(group.attrs[name])


def _digest_attribute(group: h5py.Group) -> str:
    attribute = group.attrs.get_id(DIGEST)
    value = group.attrs[DIGEST] if attribute.shape == () else None
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{64}", value):
        raise DamageError(f"attribute {DIGEST!r} is {shown(repr(value))}, expected 64 hexadecimal digits")
    return value


def _linked(group: h5py.Group, name: str, path: str) -> Any:
    """Return a member that is in the group itself: links can lead to other files, and round in circles."""
    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        kind = "lost" if link is None else f"a {type(link).__name__}"
        raise DamageError(f"{path}{shown(name)} is {kind}, expected it to be there itself")
    return group[name]


def _arrays(
    group: h5py.Group, path: str = "", depth: int = 1, *, may_be_empty: bool
) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield every array of an episode with its way: ``observations/front``."""
    if depth > MAX_DEPTH:
        raise DamageError(f"{shown(path)} is nested deeper than {MAX_DEPTH} groups")
    for name in group:
        part = _linked(group, name, path)
        if isinstance(part, h5py.Group):
            if not len(part) and not may_be_empty:
                raise DamageError(f"{path}{shown(name)} is an empty group")
            yield from _arrays(part, f"{path}{name}/", depth + 1, may_be_empty=may_be_empty)
        elif isinstance(part, h5py.Dataset):
            yield f"{path}{name}", part
        else:
            raise DamageError(f"{path}{shown(name)} is {_kind(part)}, expected an array or a group")


def _kind(part: Any) -> str:
    return {h5py.Dataset: "an array", h5py.Group: "a group"}.get(type(part), "neither array nor group")


def _check_readable(path: str, part: h5py.Dataset, file_bytes: int) -> None:
    """Refuse an array that is not to be read.

    Raises:
        DamageError: It is of a type that is no data, is elsewhere, or claims to be larger than it can be.
    """
    is_pictures = h5py.check_vlen_dtype(part.dtype) == np.uint8
    if part.dtype.kind not in NUMBERS + "S" and not is_pictures and h5py.check_string_dtype(part.dtype) is None:
        raise DamageError(f"{path} is of type {part.dtype}, expected numbers, texts or pictures")
    if part.shape is None:
        raise DamageError(f"{path} has no shape, expected an array")
    if part.external or part.is_virtual:
        raise DamageError(f"{path} lies in another file")
    at_most = file_bytes * (MAX_COMPRESSION if part.id.get_create_plist().get_nfilters() else 1)
    if part.nbytes > at_most:
        raise DamageError(f"{path} claims {part.nbytes} bytes (shape {part.shape}), and the file has {file_bytes}")


def _part_faults(group: h5py.Group, expected: Expected) -> Iterator[str]:
    names = set(group)
    required = [name for name in PARTS if expected.ours or name != "infos"]
    yield from (f"lacks {name}" for name in required if name not in names)
    yield from (f"has an additional part {shown(name)!r}" for name in sorted(names - set(PARTS)))


def _content_faults(
    arrays: dict[str, h5py.Dataset],
    steps: int,
    expected: Expected,
    reading: Callable[[str], None],
    notes: list[str],
) -> Iterator[str]:
    tree_leaves: dict[str, gym.Space[Any]] = {}
    for name, space in (("observations", expected.observation_space), ("actions", expected.action_space)):
        if space is not None:
            tree_leaves |= _leaves(space, name)
            there = {path for path in arrays if path == name or path.startswith(f"{name}/")}
            wanted = _leaves(space, name).keys()
            yield from (f"lacks {path}" for path in sorted(wanted - there))
            yield from (f"has {shown(path)}, which is not in its space" for path in sorted(there - wanted))
    flags: dict[str, npt.NDArray[Any]] = {}
    for path, part in arrays.items():
        reading(shown(path))
        length = steps + 1 if path.startswith(("observations", "infos")) else steps
        if part.shape[:1] != (length,):
            fault = f"{path} has shape {part.shape}, expected {length} moments of {steps} steps"
            if expected.ours or not path.startswith("infos/"):
                yield fault
            else:
                read = is_stepwise(part.shape, steps)
                notes.append(f"{fault}: {'its first value is used for the reset too' if read else 'it is not read'}")
        elif path in tree_leaves:
            yield from _leaf_faults(path, part, tree_leaves[path], expected, notes)
        elif path in STEPWISE:
            values = _as_bools(part[()], path) if not expected.ours else part[()]
            yield from _stepwise_faults(path, values)
            flags[path] = values
        elif part.dtype.kind == "f":
            yield from _number_faults(path, part[()])
    if {"terminations", "truncations"} <= flags.keys():
        ended = flags["terminations"] | flags["truncations"]
        if expected.ours or ended.any():
            yield from _end_faults(ended)
        else:
            notes.append("ends neither terminated nor truncated")
    if expected.tells_success and "infos/is_success" not in arrays:
        yield "lacks infos/is_success"


def _leaves(space: gym.Space[Any], path: str) -> dict[str, gym.Space[Any]]:
    """Return the spaces of the arrays that Minari makes of a space."""
    if isinstance(space, spaces.Dict):
        inner = {f"{path}/{name}": part for name, part in space.spaces.items()}
    elif isinstance(space, spaces.Tuple):
        inner = {f"{path}/_index_{index}": part for index, part in enumerate(space.spaces)}
    else:
        return {path: space}
    return {key: leaf for name, part in inner.items() for key, leaf in _leaves(part, name).items()}


def _leaf_faults(
    path: str, part: h5py.Dataset, space: gym.Space[Any], expected: Expected, notes: list[str]
) -> Iterator[str]:
    read = part.dtype if expected.ours else read_dtype(part.dtype, space)
    if expected.jpeg and is_image_space(space):
        yield from _picture_faults(path, part, space)
    elif isinstance(space, spaces.Text):
        texts = [text.decode() if isinstance(text, bytes) else text for text in part[()]]
        yield from (f"{path} is outside {space} at {i}" for i, text in enumerate(texts) if not space.contains(text))
    elif read != space.dtype or part.shape[1:] != space.shape:
        yield f"{path} is {part.dtype} of shape {part.shape}, expected {space.dtype} of shape (any, *{space.shape})"
    else:
        values = part[()]
        if part.dtype != read:
            notes.append(f"{path} is {part.dtype}, and its space {read}: it is converted to that")
            # Limits of a space are rounded to its type. Integers stay, as those out of range would wrap around.
            with np.errstate(over="ignore"):
                values = values.astype(read) if read.kind == "f" else values
        yield from _number_faults(path, values)
        yield from _outside(path, values, space)


def _picture_faults(path: str, part: h5py.Dataset, space: gym.Space[Any]) -> Iterator[str]:
    for moment, content in enumerate(part[()]):
        with Image.open(io.BytesIO(content)) as picture:
            # The header first: a picture may claim more than memory holds.
            channels = len(picture.getbands())
            size = (picture.height, picture.width, channels)[: 2 if channels == 1 else 3]
            if size != space.shape:
                yield f"{path} at {moment} is a picture of shape {size}, expected {space.shape}"
                return
            picture.load()


def _number_faults(path: str, values: npt.NDArray[Any]) -> Iterator[str]:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        yield f"{path} has {values[place]} at {place}, expected finite numbers"


def _outside(path: str, values: npt.NDArray[Any], space: gym.Space[Any]) -> Iterator[str]:
    if isinstance(space, spaces.Box):
        low, high = space.low, space.high
    elif isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
        low = np.asarray(space.start)
        high = low + (space.n if isinstance(space, spaces.Discrete) else space.nvec) - 1
    else:
        low, high = np.zeros(space.shape or ()), np.ones(space.shape or ())
    outside = (values < low) | (values > high)
    if outside.any():
        place = tuple(int(i) for i in np.argwhere(outside)[0])
        yield f"{path} has {values[place]} at {place}, expected it in [{low[place[1:]]}, {high[place[1:]]}]"


def _stepwise_faults(path: str, values: npt.NDArray[Any]) -> Iterator[str]:
    wanted, kinds = ("numbers", "fiu") if path == "rewards" else ("truths", "b")
    if values.ndim != 1 or values.dtype.kind not in kinds:
        raise DamageError(f"{path} is {values.dtype} of shape {values.shape}, expected one of {wanted} for each step")
    yield from _number_faults(path, values)


def _as_bools(values: npt.NDArray[Any], path: str) -> npt.NDArray[Any]:
    """Return flags of 0 and 1 as bools; anything else unchanged."""
    if path != "rewards" and values.dtype.kind in "iu" and np.isin(values, (0, 1)).all():
        return values.astype(bool)
    return values


def _end_faults(ended: npt.NDArray[np.bool_]) -> Iterator[str]:
    if not ended.any():
        yield f"ends after {len(ended)} steps, neither terminated nor truncated"
    elif not ended[-1] or ended[:-1].any():
        yield f"goes on after its end: step {int(np.argmax(ended))} of {len(ended)} is terminated or truncated"
