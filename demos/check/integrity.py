"""Check the integrity of one episode of a data file.

The file is not trusted: links, type and size of a part are checked before it is read. Nothing is unpickled.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import h5py
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from minari.dataset.minari_storage import is_image_space

from demos.datasets.checksum import episode_digest
from demos.datasets.data_file import decode_image
from demos.datasets.episode import DIGEST, INSTRUCTION
from demos.datasets.reading import is_stepwise, read_dtype
from demos.runtime.types import Array, Space

STEPWISE = ("rewards", "terminations", "truncations")
PARTS = ("observations", "actions", *STEPWISE, "infos")
NUMBERS = "biuf"
MAX_DEPTH = 16
"""Largest depth of nested groups; deeper ones are a cycle."""
MAX_ATTRIBUTE_BYTES = 4096
MAX_COMPRESSION = 1100
"""Largest compression factor of deflated arrays."""
MAX_LENGTH = 200
"""Largest length of a message, characters."""


@dataclass(frozen=True)
class Expected:
    """Expected properties of the episodes of a data file.

    Attributes:
        observation_space: Observation space; None if unknown.
        action_space: Action space; None if unknown.
        jpeg: True if images are stored as JPEG.
        is_collected: True if this package collected the episodes: then each has a digest and exactly the types of the
            spaces. For other datasets, readable deviations are notes.
        seeded: True if each episode has a seed.
        records_success: True if each info records success.
        file_bytes: Size of the file in bytes.
    """

    observation_space: Space | None
    action_space: Space | None
    jpeg: bool
    is_collected: bool
    seeded: bool
    records_success: bool
    file_bytes: int


@dataclass
class Findings:
    """Findings about an episode.

    Attributes:
        faults: Damage.
        notes: Unusual properties that are not faults in a third-party dataset.
        digest: Stored checksum; None if there is none.
        verified: True if the checksum is correct.
        steps: Number of steps; None if unknown.
        address: Address of the group in the file.
        infos: Type and shape of each info at one step, by name.
    """

    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    digest: str | None = None
    verified: bool = False
    steps: int | None = None
    address: int | None = None
    infos: dict[str, str] = field(default_factory=dict)


class DamageError(Exception):
    """Damage that prevents further checks of an episode."""


def check_episode(file: h5py.File, number: int, expected: Expected, on_read: Callable[[str], None]) -> Findings:
    """Return the findings about an episode.

    Args:
        file: Data file.
        number: Number of the episode.
        expected: Expected properties.
        on_read: Called with the name of each part before it is read.
    """
    findings = Findings()
    try:
        on_read("its group")
        _check(file, number, expected, on_read, findings)
    except DamageError as fault:
        findings.faults.append(str(fault))
    except Exception as error:  # A damaged file may cause any exception in h5py, NumPy and PIL.
        findings.faults.append(shorten(f"cannot be read: {type(error).__name__}: {error}"))
    return findings


def shorten(text: str) -> str:
    """Return a message, shortened to a readable length."""
    return text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}..."


def _check(
    file: h5py.File, number: int, expected: Expected, on_read: Callable[[str], None], findings: Findings
) -> None:
    group = _linked(file, f"episode_{number}", "")
    if not isinstance(group, h5py.Group):
        raise DamageError(f"is {_kind(group)}, expected a group")
    findings.address = int(h5py.h5o.get_info(group.id).addr)
    on_read("its attributes")
    findings.faults += _attribute_faults(group, number, expected, findings)
    arrays = dict(_arrays(group, may_be_empty=not expected.is_collected))
    for path, part in arrays.items():
        _check_readable(path, part, expected.file_bytes)
        if expected.is_collected and len(part.attrs):
            findings.faults.append(f"{path} has attributes ({shorten(str(list(part.attrs)))}), expected none")
    findings.faults += _part_faults(group, expected)
    if findings.steps is not None:
        findings.faults += _content_faults(arrays, findings.steps, expected, on_read, findings.notes)
    findings.infos = {
        path.removeprefix("infos/"): f"{part.dtype} of shape {part.shape[1:]}"
        for path, part in arrays.items()
        if path.startswith("infos/")
    }
    if findings.digest is not None:
        on_read("all of it, for its checksum")
        digest = episode_digest(group)
        findings.verified = digest == findings.digest
        if not findings.verified:
            findings.faults.append(f"has the SHA-256 {digest}, expected {findings.digest}")


def _attribute_faults(group: h5py.Group, number: int, expected: Expected, findings: Findings) -> Iterator[str]:
    """Check every attribute before it is read; set steps and digest of the findings."""
    names = set(group.attrs)
    for name in sorted(names):
        attribute = group.attrs.get_id(name)
        size = math.prod(attribute.shape or ()) * attribute.dtype.itemsize
        if size > MAX_ATTRIBUTE_BYTES:
            raise DamageError(f"attribute {shorten(name)!r} has {size} bytes, expected at most {MAX_ATTRIBUTE_BYTES}")
        if attribute.dtype.kind not in NUMBERS + "S" and h5py.check_string_dtype(attribute.dtype) is None:
            raise DamageError(f"attribute {shorten(name)!r} is of type {attribute.dtype}, expected numbers or text")
        known = name in ("id", "seed", "total_steps", DIGEST, INSTRUCTION) or name.startswith("options/")
        if expected.is_collected and not known:
            yield f"has an additional attribute {shorten(name)!r}"
    required = ["id", "total_steps", *["seed"] * expected.seeded, *[DIGEST] * expected.is_collected]
    yield from (f"lacks the attribute {name!r}" for name in required if name not in names)
    values = {name: _whole_number(group, name) for name in ("id", "seed", "total_steps") if name in names}
    if values.get("id", number) != number:
        yield f"has the id {values['id']}, expected {number}: it was moved, copied or renamed"
    if values.get("seed", 0) < 0:
        yield f"has seed {values['seed']}, expected at least 0"
    findings.steps = values.get("total_steps")
    if findings.steps is not None and findings.steps < 1:
        yield f"has {findings.steps} steps, expected at least 1"
    if DIGEST in names:
        findings.digest = _digest_attribute(group)


def _whole_number(group: h5py.Group, name: str) -> int:
    attribute = group.attrs.get_id(name)
    if attribute.shape != () or attribute.dtype.kind not in "iu":
        raise DamageError(
            f"attribute {name!r} is of type {attribute.dtype} and shape {attribute.shape}, expected an integer"
        )
    return int(group.attrs[name])


def _digest_attribute(group: h5py.Group) -> str:
    attribute = group.attrs.get_id(DIGEST)
    value = group.attrs[DIGEST] if attribute.shape == () else None
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{64}", value):
        raise DamageError(f"attribute {DIGEST!r} is {shorten(repr(value))}, expected 64 hexadecimal digits")
    return value


def _linked(group: h5py.Group, name: str, path: str) -> h5py.Group | h5py.Dataset:
    """Return a member of a group that is no link: links may lead to other files, or form cycles."""
    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        kind = "missing" if link is None else f"a {type(link).__name__}"
        raise DamageError(f"{path}{shorten(name)} is {kind}, expected data in this file")
    return group[name]


def _arrays(
    group: h5py.Group, path: str = "", depth: int = 1, *, may_be_empty: bool
) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield each array of an episode with its path: ``observations/front``."""
    if depth > MAX_DEPTH:
        raise DamageError(f"{shorten(path)} is nested deeper than {MAX_DEPTH} groups")
    for name in group:
        part = _linked(group, name, path)
        if isinstance(part, h5py.Group):
            if not len(part) and not may_be_empty:
                raise DamageError(f"{path}{shorten(name)} is an empty group")
            yield from _arrays(part, f"{path}{name}/", depth + 1, may_be_empty=may_be_empty)
        elif isinstance(part, h5py.Dataset):
            yield f"{path}{name}", part
        else:
            raise DamageError(f"{path}{shorten(name)} is {_kind(part)}, expected an array or a group")


def _kind(part: object) -> str:
    return {h5py.Dataset: "an array", h5py.Group: "a group"}.get(type(part), "neither array nor group")


def _check_readable(path: str, part: h5py.Dataset, file_bytes: int) -> None:
    """Check that an array is safe to read.

    Raises:
        DamageError: It has a wrong type, is in another file, or claims to be larger than possible.
    """
    is_images = h5py.check_vlen_dtype(part.dtype) == np.uint8
    if part.dtype.kind not in NUMBERS + "S" and not is_images and h5py.check_string_dtype(part.dtype) is None:
        raise DamageError(f"{path} is of type {part.dtype}, expected numbers, text or images")
    if part.shape is None:
        raise DamageError(f"{path} has no shape, expected an array")
    if part.external or part.is_virtual:
        raise DamageError(f"{path} is stored in another file")
    at_most = file_bytes * (MAX_COMPRESSION if part.id.get_create_plist().get_nfilters() else 1)
    if part.nbytes > at_most:
        raise DamageError(f"{path} claims {part.nbytes} bytes (shape {part.shape}), and the file has {file_bytes}")


def _part_faults(group: h5py.Group, expected: Expected) -> Iterator[str]:
    names = set(group)
    required = [name for name in PARTS if expected.is_collected or name != "infos"]
    yield from (f"lacks {name}" for name in required if name not in names)
    yield from (f"has an additional part {shorten(name)!r}" for name in sorted(names - set(PARTS)))


def _content_faults(
    arrays: dict[str, h5py.Dataset],
    steps: int,
    expected: Expected,
    on_read: Callable[[str], None],
    notes: list[str],
) -> Iterator[str]:
    leaf_spaces: dict[str, Space] = {}
    for name, space in (("observations", expected.observation_space), ("actions", expected.action_space)):
        if space is not None:
            leaf_spaces |= _leaves(space, name)
            existing = {path for path in arrays if path == name or path.startswith(f"{name}/")}
            expected_paths = _leaves(space, name).keys()
            yield from (f"lacks {path}" for path in sorted(expected_paths - existing))
            yield from (
                f"has {shorten(path)}, which is not in its space" for path in sorted(existing - expected_paths)
            )
    flags: dict[str, Array] = {}
    for path, part in arrays.items():
        on_read(shorten(path))
        length = steps + 1 if path.startswith(("observations", "infos")) else steps
        if part.shape[:1] != (length,):
            fault = f"{path} has shape {part.shape}, expected {length} rows for {steps} steps"
            if expected.is_collected or not path.startswith("infos/"):
                yield fault
            else:
                read = is_stepwise(part.shape, steps)
                notes.append(f"{fault}: {'its first value is also used for the reset' if read else 'it is not read'}")
        elif path in leaf_spaces:
            yield from _leaf_faults(path, part, leaf_spaces[path], expected, notes)
        elif path in STEPWISE:
            values = _as_bools(part[()], path) if not expected.is_collected else part[()]
            yield from _stepwise_faults(path, values)
            flags[path] = values
        elif part.dtype.kind == "f":
            yield from _number_faults(path, part[()])
    if {"terminations", "truncations"} <= flags.keys():
        ended = flags["terminations"] | flags["truncations"]
        if expected.is_collected or ended.any():
            yield from _end_faults(ended)
        else:
            notes.append("ends neither terminated nor truncated")
    if expected.records_success and "infos/is_success" not in arrays:
        yield "lacks infos/is_success"


def _leaves(space: Space, path: str) -> dict[str, Space]:
    """Return the spaces of the arrays in which Minari stores a space, by path."""
    if isinstance(space, spaces.Dict):
        inner = {f"{path}/{name}": part for name, part in space.spaces.items()}
    elif isinstance(space, spaces.Tuple):
        inner = {f"{path}/_index_{index}": part for index, part in enumerate(space.spaces)}
    else:
        return {path: space}
    return {key: leaf for name, part in inner.items() for key, leaf in _leaves(part, name).items()}


def _leaf_faults(path: str, part: h5py.Dataset, space: Space, expected: Expected, notes: list[str]) -> Iterator[str]:
    read = part.dtype if expected.is_collected else read_dtype(part.dtype, space)
    if expected.jpeg and is_image_space(space):
        yield from _image_faults(path, part, space)
    elif isinstance(space, spaces.Text):
        texts = [text.decode() if isinstance(text, bytes) else text for text in part[()]]
        yield from (f"{path} is outside {space} at {i}" for i, text in enumerate(texts) if not space.contains(text))
    elif read != space.dtype or part.shape[1:] != space.shape:
        yield f"{path} is {part.dtype} of shape {part.shape}, expected {space.dtype} of shape (any, *{space.shape})"
    else:
        values = part[()]
        if part.dtype != read:
            notes.append(f"{path} is {part.dtype}, and its space {read}: it is converted")
            # Bounds of a space are rounded to its type. Integers stay, because those out of range would wrap around.
            with np.errstate(over="ignore"):
                values = values.astype(read) if read.kind == "f" else values
        yield from _number_faults(path, values)
        yield from _outside(path, values, space)


def _image_faults(path: str, part: h5py.Dataset, space: Space) -> Iterator[str]:
    for step, content in enumerate(part[()]):
        try:
            decode_image(content, space)
        except ValueError as error:
            yield f"{path} at {step}: {error}"
            return


def _number_faults(path: str, values: Array) -> Iterator[str]:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        yield f"{path} has {values[index]} at {index}, expected finite numbers"


def _outside(path: str, values: Array, space: Space) -> Iterator[str]:
    if isinstance(space, spaces.Box):
        low, high = space.low, space.high
    elif isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
        low = np.asarray(space.start)
        high = low + (space.n if isinstance(space, spaces.Discrete) else space.nvec) - 1
    else:
        low, high = np.zeros(space.shape or ()), np.ones(space.shape or ())
    outside = (values < low) | (values > high)
    if outside.any():
        index = tuple(int(i) for i in np.argwhere(outside)[0])
        yield f"{path} has {values[index]} at {index}, expected it in [{low[index[1:]]}, {high[index[1:]]}]"


def _stepwise_faults(path: str, values: Array) -> Iterator[str]:
    expected, kinds = ("number", "fiu") if path == "rewards" else ("bool", "b")
    if values.ndim != 1 or values.dtype.kind not in kinds:
        raise DamageError(f"{path} is {values.dtype} of shape {values.shape}, expected a {expected} for each step")
    yield from _number_faults(path, values)


def _as_bools(values: Array, path: str) -> Array:
    """Return flags of 0 and 1 as bools, and other values unchanged."""
    if path != "rewards" and values.dtype.kind in "iu" and np.isin(values, (0, 1)).all():
        return values.astype(bool)
    return values


def _end_faults(ended: npt.NDArray[np.bool_]) -> Iterator[str]:
    if not ended.any():
        yield f"has {len(ended)} steps without a termination or truncation"
    elif not ended[-1] or ended[:-1].any():
        yield f"has steps after its end: step {int(np.argmax(ended))} of {len(ended)} is terminated or truncated"
