"""Examine every episode of a data file in a process of its own: damage there may crash or hang what reads it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
from minari.serialization import deserialize_space

from demos.check.integrity import Expected, Findings, examined, shown
from demos.check.isolation import SILENCE_SECONDS, DiedError, Tell, limit_memory, messages_of
from demos.runtime.access import access_error

SPARE_MEMORY = 2**30
"""Bytes that reading may take, and eight times the file."""
EPISODE = re.compile(r"episode_(0|[1-9][0-9]{0,8})")
SPACES = ("observation_space", "action_space")


@dataclass
class ScanResult:
    """What was found in a data file.

    Attributes:
        faults: What is wrong with the file as a whole.
        space_faults: What is wrong with the spaces of the metadata.
        episodes: What was found in each, by its number.
    """

    faults: list[str] = field(default_factory=list)
    space_faults: list[str] = field(default_factory=list)
    episodes: dict[int, Findings] = field(default_factory=dict)


def scan(
    data_file: Path,
    *,
    observation_space: object,
    action_space: object,
    jpeg: bool,
    ours: bool,
    seeded: bool,
    tells_success: bool,
    episodes: int,
    isolated: bool = True,
    silence: float = SILENCE_SECONDS,
    advance: Callable[[], None] = lambda: None,
) -> ScanResult:
    """Examine a data file.

    An episode that kills the process, or has it hang, is noted as damaged; another process goes on with the next.

    Args:
        data_file: Of a dataset.
        observation_space: As the metadata have it.
        action_space: As the metadata have it.
        jpeg: Whether pictures are stored as JPEG.
        ours: Whether this package collected the episodes.
        seeded: Whether each episode should have a seed.
        tells_success: Whether each info should tell success.
        episodes: How many the metadata promise.
        isolated: Examine it in another process; in this one, damage may crash or hang it.
        silence: Seconds that one array may take.
        advance: Is called after each episode.

    Raises:
        OSError: The file is locked or may not be read, which is not damage.
    """
    found = ScanResult()
    settings = {
        "data_file": str(data_file),
        "observation_space": observation_space,
        "action_space": action_space,
        "jpeg": jpeg,
        "ours": ours,
        "seeded": seeded,
        "tells_success": tells_success,
        "episodes": episodes,
        "after": -1,
    }
    while True:
        at: dict[str, Any] = {"reading": "the file"}
        try:
            for message in _messages(settings, silence) if isolated else _messages_here(settings):
                at = message if "reading" in message else at
                if "findings" in message:
                    found.episodes[message["episode"]] = Findings(**message["findings"])
                    advance()
                elif "spaces" in message:
                    found.space_faults = message["spaces"]
                elif "no_access" in message:
                    raise OSError(message["no_access"])
                elif "file" in message:
                    found.faults = message["file"]
            return found
        except DiedError as died:
            fault = f"cannot be read: {died} while reading {at['reading']}"
            if "episode" not in at:
                found.faults.append(fault)
                return found
            found.episodes[at["episode"]] = Findings([fault])
            settings["after"] = at["episode"]
            advance()


def _messages(settings: dict[str, Any], silence: float) -> Iterator[dict[str, Any]]:
    return messages_of("demos.check.scan:examine_with_limits", settings, silence)


def _messages_here(settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    examine(settings, told.append)
    return iter(told)


def examine_with_limits(settings: dict[str, Any], tell: Tell) -> None:
    """The other process: examines, and takes no more memory than a sound file needs."""
    limit_memory(SPARE_MEMORY + 8 * Path(settings["data_file"]).stat().st_size)
    examine(settings, tell)


def examine(settings: dict[str, Any], tell: Tell) -> None:
    """Examine the episodes after the last one that was told of."""
    path = Path(settings["data_file"])
    file_bytes = path.stat().st_size
    spaces, space_faults = _spaces(settings)
    tell({"spaces": space_faults})
    expected = Expected(
        **spaces,
        jpeg=settings["jpeg"],
        ours=settings["ours"],
        seeded=settings["seeded"],
        tells_success=settings["tells_success"],
        file_bytes=file_bytes,
    )
    try:
        file = h5py.File(path, "r")
    except Exception as error:  # A damaged file may have h5py raise anything.
        locked = access_error(error, path)
        tell({"no_access": str(locked)} if locked else {"file": [shown(f"cannot be opened: {error}")]})
        return
    with file:
        numbers, faults = _listed(file, settings["episodes"], expected)
        tell({"file": faults})
        for number in numbers:
            if number > settings["after"]:
                _tell_episode(file, number, expected, tell)


def _tell_episode(file: h5py.File, number: int, expected: Expected, tell: Tell) -> None:
    found = examined(file, number, expected, lambda part: tell({"reading": part, "episode": number}))
    tell({"episode": number, "findings": dataclasses.asdict(found)})


def _spaces(settings: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the spaces, None for those that are damaged or not given, and what is wrong with them."""
    spaces: dict[str, Any] = dict.fromkeys(SPACES)
    faults: list[str] = []
    for name in SPACES:
        if isinstance(settings[name], str):
            try:
                spaces[name] = deserialize_space(settings[name])
            except Exception as error:  # Minari trusts what it reads: anything may come of it.
                faults.append(shown(f"{name} is no space: {type(error).__name__}: {error}"))
    return spaces, faults


def _listed(file: h5py.File, episodes: int, expected: Expected) -> tuple[list[int], list[str]]:
    """Return the numbers of the episodes in a file, and what is wrong with its list of them."""
    faults: list[str] = []
    try:
        names = list(file)
        faults += [f"has {shown(name)!r}, which is no episode" for name in names if not EPISODE.fullmatch(name)][:10]
        if expected.ours and len(file.attrs):
            faults.append(f"has attributes ({shown(str(list(file.attrs)))}), expected none")
    except Exception as error:  # A damaged list may have h5py raise anything; some names can still be found.
        faults.append(shown(f"its list of episodes cannot be read: {error}"))
        # No episode is smaller than its number's digits.
        names = [f"episode_{number}" for number in range(min(episodes, expected.file_bytes))]
    return sorted(int(match[1]) for match in map(EPISODE.fullmatch, names) if match), faults
