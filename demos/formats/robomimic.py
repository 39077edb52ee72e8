"""HDF5 files of robomimic (v0.3), as its ``SequenceDataset`` and its scripts read them.

https://robomimic.github.io/docs/v0.3/datasets/overview.html

Observations have flat keys: a single array is ``state``; entries of dicts keep their keys, and ``__`` joins nested
ones. Discrete actions are written one-hot. In addition to what robomimic reads, every ``demo_<i>`` holds
``terminations``, ``truncations`` and ``infos``, and the file ``lam_envs/provenance``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from gymnasium import spaces

from demos.datasets.episode import STATE, Episode
from demos.datasets.metadata import HIGHEST_RATE, changes_of, environment_rate
from demos.datasets.tree import tree_leaves, tree_nest
from demos.datasets.writing import episode_bytes
from demos.formats.format import Format, ImportedDataset, ImportedEpisode, end_flags, with_last
from demos.formats.provenance import Provenance, parse_provenance, provenance_text
from demos.formats.source import SeedAndDigest, Source
from demos.formats.spaces import flat_names, infer_action_space, infer_space, leaf_spaces
from demos.runtime.disk_space import require_space
from demos.runtime.types import Array, Info, Space

WHOLE = "state"
"""Key of observations that are one array."""
SEPARATOR = "__"
PROVENANCE = "lam_envs/provenance"
SEED, DIGEST = "lam_envs_seed", "lam_envs_sha256"
"""Attributes of a demonstration."""
GYM = 2
"""Type of Gym environments in robomimic."""
VALIDATION_FRACTION = 0.1
"""Fraction of the episodes in ``mask/valid``."""
MAX_ONE_HOT = 4096
"""Largest number of discrete actions."""
LARGEST_RATIO = 1100
"""Largest compression factor of HDF5 data."""
SMALL = 2**20
"""Bytes that may be read whatever the size of the file."""
END_FLAGS = {"dones": "done", "terminations": "terminated", "truncations": "truncated"}
"""Flags of the end of an episode by name of the array; robomimic itself has only ``dones``."""


def _write(source: Source, path: Path) -> list[str]:
    space = source.dataset.action_space
    if isinstance(space, spaces.Discrete) and space.n > MAX_ONE_HOT:
        raise ValueError(
            f"{space.n} discrete actions are too many for one-hot vectors; expected at most {MAX_ONE_HOT}"
        )
    names = _flat(source.dataset.observation_space)
    low, high = np.inf, -np.inf
    require_space(path.parent, 0, str(path))
    with h5py.File(path, "w") as file:
        data = file.create_group("data", track_order=True)
        for number, episode in enumerate(source.episodes()):
            actions = _vectors(episode.actions, space)
            low, high = min(low, float(actions.min())), max(high, float(actions.max()))
            # Observations are stored twice.
            require_space(path.parent, 2 * episode_bytes(episode) + actions.nbytes, str(path))
            _write_demo(
                data.create_group(f"demo_{number}"), episode, actions, names, source.seeds_and_digests[number]
            )
            # What HDF5 has not written yet would still count as free space.
            file.flush()
        data.attrs["total"] = source.steps
        data.attrs["env_args"] = json.dumps(
            {
                "env_name": source.env_id or source.dataset.id,
                "env_version": source.version,
                "type": GYM,
                "env_kwargs": source.env_kwargs,
            }
        )
        for name, demos in _split(len(source.lengths)).items():
            file[f"mask/{name}"] = np.array(demos, dtype="S")
        file[PROVENANCE] = provenance_text(source)
    losses = []
    if low < -1 or high > 1:
        losses.append(
            f"the action range [-1, 1] that robomimic expects: actions range from {low:g} to {high:g} and are "
            "not scaled"
        )
    return losses + _environment_losses(source)


def _environment_losses(source: Source) -> list[str]:
    """Return what is lost because robomimic evaluates in the environment of ``env_args``, without preprocessing."""
    losses = []
    own_rate = environment_rate(source.dataset)
    if source.rate is not None and source.rate != own_rate:
        reason = "that of the environment is unknown" if own_rate is None else f"{source.env_id} has {own_rate:g}"
        losses.append(f"the rate, {source.rate:g} steps per second: {reason} (saved in {PROVENANCE} for an import)")
    if changed := changes_of(source.dataset):
        losses.append(
            f"the reproduction of the episodes by their actions in the environment of env_args: they were changed by "
            f"{', '.join(changed)} (saved in {PROVENANCE} for an import)"
        )
    return losses


def _write_demo(
    demo: h5py.Group,
    episode: Episode,
    actions: Array,
    names: dict[str, str],
    identity: SeedAndDigest,
) -> None:
    demo.attrs["num_samples"] = len(episode)
    demo.attrs[DIGEST] = identity.sha256
    if identity.seed is not None:
        demo.attrs[SEED] = identity.seed
    demo["actions"] = actions
    demo["rewards"] = episode.rewards
    demo["dones"] = (episode.terminations | episode.truncations).astype(np.int64)
    states = episode.infos.get(STATE)
    if isinstance(states, np.ndarray):
        demo["states"] = states[:-1]
    for entry, values in tree_leaves(episode.observations):
        vectors = values[:, None] if values.ndim == 1 else values
        demo[f"obs/{names[entry]}"] = vectors[:-1]
        demo[f"next_obs/{names[entry]}"] = vectors[1:]
    demo["terminations"], demo["truncations"] = episode.terminations, episode.truncations
    for entry, values in tree_leaves(episode.infos, "infos"):
        demo[entry] = values


def _flat(space: Space) -> dict[str, str]:
    """Return the robomimic keys of the parts of an observation, by path."""
    names = leaf_spaces(space)
    return {"": WHOLE} if "" in names else flat_names(names, SEPARATOR)


def _vectors(actions: Array, space: Space) -> Array:
    """Return actions as vectors, shape (steps, size), as the networks of robomimic output them."""
    if isinstance(space, spaces.Discrete):
        one_hot: Array = actions[:, None] == space.start + np.arange(space.n)
        return one_hot.astype(np.float32)
    vectors: Array = np.ascontiguousarray(actions).reshape(len(actions), -1)
    return vectors


def _split(episodes: int) -> dict[str, list[str]]:
    """Return the names of the demonstrations for training and validation, by the number of episodes."""
    order = np.random.default_rng(0).permutation(episodes)
    valid = {int(number) for number in order[: round(VALIDATION_FRACTION * episodes)]}
    demos: dict[str, list[str]] = {"train": [], "valid": []}
    for number in range(episodes):
        demos["valid" if number in valid else "train"].append(f"demo_{number}")
    return demos


@contextmanager
def _read(path: Path) -> Iterator[ImportedDataset]:
    size = path.stat().st_size
    with h5py.File(path, "r") as file:
        data = _group(file, "data")
        names = sorted(data, key=_number)
        if not names:
            raise ValueError("data holds no demonstration; expected at least one")
        ours = "lam_envs" in file and "provenance" in _group(file, "lam_envs")
        provenance = parse_provenance(_text(_group(file, "lam_envs"), "provenance", size)) if ours else None
        demos = (_group(data, name) for name in names)
        if provenance is not None:
            episodes = (_exported_episode(demo, provenance, size) for demo in demos)
            yield ImportedDataset(
                provenance.observation_space, provenance.action_space, provenance, len(names), episodes
            )
            return
        first = _group(data, names[0])
        obs = _observations(first, _length(first, size), size)
        observations = spaces.Dict({name: infer_space(values) for name, values in obs.items()})
        only = observations.spaces[WHOLE] if set(obs) == {WHOLE} else None
        lengths = {name: _length(_group(data, name), size) for name in names}
        actions = infer_action_space(
            _array(_group(data, name), "actions", length, size) for name, length in lengths.items()
        )
        episodes = (_third_party_episode(demo, only is not None, size) for demo in demos)
        seen_space = observations if only is None else only
        yield ImportedDataset(seen_space, actions, None, len(names), episodes, _notes(first), _rate(data))


def _rate(data: h5py.Group) -> float | None:
    """Return the steps per second, ``control_freq`` of robosuite; None if not recorded."""
    try:
        rate = float(json.loads(data.attrs["env_args"])["env_kwargs"]["control_freq"])
    except (LookupError, TypeError, ValueError, RecursionError):
        return None
    return rate if 0 < rate <= HIGHEST_RATE else None


def _notes(demo: h5py.Group) -> dict[str, str]:
    """Return the substitutes for data that the file does not hold."""
    notes = {}
    if "next_obs" not in demo:
        notes["last_observation"] = "the one before it"
    if "rewards" not in demo:
        notes["rewards"] = "zeros"
    return notes


def _exported_episode(demo: h5py.Group, provenance: Provenance, size: int) -> ImportedEpisode:
    """Return an episode that our export wrote."""
    steps = _length(demo, size)
    seed = demo.attrs.get(SEED)
    names, shapes = _flat(provenance.observation_space), leaf_spaces(provenance.observation_space)
    obs = _observations(demo, steps, size)
    whole = {entry: obs[name].reshape(steps + 1, *(shapes[entry].shape or ())) for entry, name in names.items()}
    episode = Episode(
        seed=None if seed is None else int(seed),
        observations=whole[""] if "" in whole else tree_nest(whole),
        actions=_actions(_array(demo, "actions", steps, size), provenance),
        rewards=_array(demo, "rewards", steps, size),
        terminations=_array(demo, "terminations", steps, size),
        truncations=_array(demo, "truncations", steps, size),
        infos=_infos(_group(demo, "infos"), steps + 1, size) if "infos" in demo else {},
    )
    digest = demo.attrs.get(DIGEST)
    return ImportedEpisode(episode, digest if isinstance(digest, str) else None)


def _actions(vectors: Array, provenance: Provenance) -> Array:
    """Return actions from vectors: the inverse of :func:`_vectors`."""
    space = provenance.action_space
    if isinstance(space, spaces.Discrete):
        zero_or_one = (vectors == 0) | (vectors == 1)
        if vectors.shape[1:] != (space.n,) or not zero_or_one.all() or (vectors.sum(axis=1) != 1).any():
            raise ValueError(f"actions of shape {vectors.shape} are not one-hot vectors; expected {space.n} numbers")
        indices: Array = vectors.argmax(axis=1) + space.start
        return indices.astype(provenance.columns["actions"].dtype)
    actions: Array = vectors.reshape(len(vectors), *(space.shape or ()))
    return actions


def _third_party_episode(demo: h5py.Group, whole: bool, size: int) -> ImportedEpisode:
    """Return a third-party episode."""
    steps = _length(demo, size)
    obs = _observations(demo, steps, size)
    flags = {flag: _array(demo, name, steps, size) for name, flag in END_FLAGS.items() if name in demo}
    terminations, truncations = end_flags(flags, steps)
    rewards = _array(demo, "rewards", steps, size) if "rewards" in demo else np.zeros(steps)
    # Use another name than for our states, which this package can set in a simulator.
    infos = {"states": with_last(_array(demo, "states", steps, size))} if "states" in demo else {}
    return ImportedEpisode(
        Episode(
            seed=None,
            observations=obs[WHOLE] if whole and set(obs) == {WHOLE} else obs,
            actions=_array(demo, "actions", steps, size),
            rewards=rewards.astype(np.float64),
            terminations=terminations,
            truncations=truncations,
            infos=infos,
        ),
        None,
    )


def _observations(demo: h5py.Group, steps: int, size: int) -> dict[str, Array]:
    """Return the observations by key, including the last one."""
    before = _group(demo, "obs")
    after = _group(demo, "next_obs") if "next_obs" in demo else None
    obs = {}
    for name in before:
        values = _array(before, name, steps, size)
        obs[name] = with_last(values, None if after is None else _array(after, name, steps, size)[-1])
    if not obs:
        raise ValueError(f"{before.name} is empty; expected observations")
    return obs


def _infos(group: h5py.Group, length: int, size: int) -> Info:
    infos: Info = {}
    for name in group:
        inner = isinstance(group.get(name), h5py.Group)
        infos[name] = _infos(_group(group, name), length, size) if inner else _array(group, name, length, size)
    return infos


def _number(name: str) -> int:
    """Return the number in the name of a demonstration."""
    if not re.fullmatch(r"demo_[0-9]{1,12}", name):
        raise ValueError(f"data holds {name!r}; expected demo_0, demo_1, ...")
    return int(name[5:])


def _length(demo: h5py.Group, size: int) -> int:
    """Return the number of steps of a demonstration."""
    steps = int(_member(demo, "actions").shape[0])
    num_samples = int(demo.attrs["num_samples"])
    if steps != num_samples or steps < 1:
        raise ValueError(
            f"{demo.name} has {steps} actions, and num_samples is {num_samples}; expected equal positive numbers"
        )
    return steps


def _member(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    """Return a member that is stored in this file."""
    if name not in group:
        raise ValueError(f"{group.name} lacks {name!r}")
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{group.name}/{name} is a link; expected data in this file")
    return group[name]


def _group(group: h5py.Group, name: str) -> h5py.Group:
    member = _member(group, name)
    if not isinstance(member, h5py.Group):
        raise ValueError(f"{member.name} is an array; expected a group")
    return member


def _array(group: h5py.Group, name: str, length: int, size: int) -> Array:
    """Return an array of numbers.

    Args:
        group: Group of the array.
        name: Name of the array.
        length: Expected number of rows.
        size: Size of the file in bytes.

    Raises:
        ValueError: It is not such an array, or claims to be larger than possible.
    """
    member = _member(group, name)
    if not isinstance(member, h5py.Dataset) or member.external or member.is_virtual:
        raise ValueError(f"{member.name} is not an array in this file; expected one")
    if member.dtype.kind not in "biuf" or member.dtype.itemsize > 8 or member.shape[:1] != (length,):
        raise ValueError(f"{member.name} is {member.dtype} {member.shape}; expected {length} rows of numbers")
    if member.nbytes > max(SMALL, LARGEST_RATIO * size):
        raise ValueError(f"{member.name} claims {member.nbytes} bytes in a file of {size}; expected fewer")
    values: Array = member[()]
    return values


def _text(group: h5py.Group, name: str, size: int) -> bytes:
    member = _member(group, name)
    if not isinstance(member, h5py.Dataset) or member.external or member.is_virtual or member.shape != ():
        raise ValueError(f"{member.name} is not a text in this file; expected JSON")
    text = member[()]
    if not isinstance(text, bytes) or len(text) > size:
        raise ValueError(f"{member.name} is not a text; expected JSON")
    return text


FORMAT = Format("an HDF5 file of robomimic v0.3 with data/demo_0/obs and actions", _write, _read)
