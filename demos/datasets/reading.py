"""Read the episodes of a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import h5py
import minari
import numpy as np
from gymnasium import spaces

from demos.datasets.data_file import DATA_FILE, DamagedError, decode, decode_attributes, decode_infos, open_data
from demos.datasets.episode import DIGEST, EXECUTED, INSTRUCTION, Episode, instruction_in
from demos.datasets.metadata import require_dataset
from demos.runtime.types import Array, Info, Keywords, Space


def episodes_of(dataset: minari.MinariDataset, indices: Iterable[int] | None = None) -> Iterator[Episode]:
    """Read episodes of a dataset, one at a time.

    Third-party datasets may store numbers of another type than their spaces, such as Python floats: these are
    converted to the type of the space, and the original actions are saved under :data:`EXECUTED`. Infos with a value
    for each step and none for the reset get the first value twice; infos without a value for each step are left out.

    Args:
        dataset: Minari dataset.
        indices: Numbers of the episodes in the file; those of the dataset, in its order, by default.

    Raises:
        ValueError: An episode is damaged, or the type of a space cannot hold one of its numbers.
    """
    require_dataset(dataset)
    with open_data(dataset.storage.data_path / DATA_FILE) as file:
        for index in dataset.episode_indices if indices is None else indices:
            yield _read_named(file, int(index), dataset)


def _read_named(file: h5py.File, index: int, dataset: minari.MinariDataset) -> Episode:
    try:
        return _read(file[f"episode_{index}"], dataset)
    except (KeyError, DamagedError) as error:
        raise ValueError(
            f"episode {index} of {dataset.id} is damaged: {error}; run `python -m demos check {dataset.id}`"
        ) from error


def _read(group: h5py.Group, dataset: minari.MinariDataset) -> Episode:
    """Return an episode of a dataset's data file."""
    attributes, jpeg = decode_attributes(group.attrs), bool(dataset.storage.jpeg_encoding)
    name = f"episode {attributes.get('id')} of {dataset.id}"
    stored = decode(group["actions"], dataset.action_space, jpeg=jpeg)
    observations = decode(group["observations"], dataset.observation_space, jpeg=jpeg)
    rewards = group["rewards"][:]
    actions = as_in_space(stored, dataset.action_space, f"the actions of {name}")
    infos = _stepwise_infos(decode_infos(group["infos"]) if "infos" in group else {}, len(rewards))
    if isinstance(actions, np.ndarray) and not np.array_equal(actions, stored):
        infos = {EXECUTED: _with_reset(stored), **infos}
    digest = attributes.get(DIGEST)
    return Episode(
        seed=None if attributes.get("seed") is None else int(attributes["seed"]),
        observations=as_in_space(observations, dataset.observation_space, f"the observations of {name}"),
        actions=actions,
        rewards=rewards,
        terminations=np.asarray(group["terminations"], dtype=bool),
        truncations=np.asarray(group["truncations"], dtype=bool),
        infos=infos,
        options=_options(attributes.get("options")),
        digest=digest if isinstance(digest, str) else None,
        instruction=_instruction(attributes, infos),
    )


def _instruction(attributes: Mapping[str, object], infos: Info) -> str | None:
    """Return the instruction of an episode: its attribute, or the info or option of third-party datasets."""
    values = infos.get(INSTRUCTION)
    rows = {INSTRUCTION: values[0]} if isinstance(values, np.ndarray) and len(values) else {}
    options = attributes.get("options")
    for recorded in (attributes, rows, options if isinstance(options, dict) else {}):
        text = instruction_in(dict(recorded))
        if text is not None:
            return text
    return None


def _options(stored: object) -> Keywords | None:
    """Return the options of a reset, without the one that Minari's DataCollector itself uses."""
    options = stored if isinstance(stored, dict) else {}
    return {name: value for name, value in options.items() if name != "minari_autoseed"} or None


def read_dtype(stored: np.dtype[Any], space: Space) -> np.dtype[Any]:
    """Return the type as which numbers of a space are read: that of the space, if it is of the same kind.

    Args:
        stored: Type in the file.
        space: Space of the numbers.
    """
    if not isinstance(space, (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
        return stored
    own = np.dtype(space.dtype)
    whole = stored.kind in "biu" and own.kind in "iu"
    return own if whole or stored.kind == own.kind == "f" else stored


def as_in_space(part: Any, space: Space, name: str) -> Any:
    """Return a part of an episode with the number types of its space; the part itself if it has them.

    Args:
        part: Array, dict of arrays, or other values of an episode.
        space: Space of one value.
        name: Name of the part for the error.

    Raises:
        ValueError: The type of the space cannot hold a number.
    """
    if isinstance(part, dict) and isinstance(space, spaces.Dict):
        inner = {key: as_in_space(value, space[key], f"{key} in {name}") for key, value in part.items()}
        return inner if any(inner[key] is not part[key] for key in part) else part
    if not isinstance(part, np.ndarray) or read_dtype(part.dtype, space) == part.dtype:
        return part
    with np.errstate(over="ignore"):
        read = part.astype(read_dtype(part.dtype, space))
    same = np.isfinite(read) == np.isfinite(part) if read.dtype.kind == "f" else read == part
    if not same.all():
        raise ValueError(
            f"{name} are {part.dtype} and hold {part[~same][0]}; expected {read.dtype}, the type of {space}"
        )
    return read


def _stepwise_infos(infos: Info, steps: int) -> Info:
    """Return the infos that have a value for each step."""
    result: Info = {}
    for name, values in infos.items():
        if isinstance(values, dict):
            result[name] = _stepwise_infos(values, steps)
        elif is_stepwise(np.shape(values), steps):
            result[name] = np.concatenate([values[:1], values]) if len(values) == steps else values
    return result


def is_stepwise(shape: tuple[int, ...], steps: int) -> bool:
    """Return True if an info of that shape has a value for each step of an episode, with or without the reset."""
    return len(shape) > 0 and shape[0] in (steps, steps + 1)


def _with_reset(actions: Array) -> Array:
    """Return the actions after a row of zeros: infos have one row more, for the reset."""
    return np.concatenate([np.zeros_like(actions[:1]), actions])
