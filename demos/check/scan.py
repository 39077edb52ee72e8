"""Scan a data file in a separate process, because damage may crash or hang the reading process."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h5py
from minari.serialization import deserialize_space

from demos.check.integrity import Expected, Findings, check_episode, shorten
from demos.check.isolation import READ_TIMEOUT_SECONDS, ProcessError, Send, limit_memory, messages_of
from demos.runtime.access import access_error
from demos.runtime.types import JsonObject, Space

SPARE_MEMORY = 2**30
"""Memory for reading, bytes, in addition to eight times the size of the file."""
EPISODE = re.compile(r"episode_(0|[1-9][0-9]{0,8})")
SPACES = ("observation_space", "action_space")


@dataclass
class ScanResult:
    """Result of the scan of a data file.

    Attributes:
        faults: Faults of the file as a whole.
        space_faults: Faults of the spaces in the metadata.
        episodes: Findings about each episode, by number.
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
    is_collected: bool,
    seeded: bool,
    records_success: bool,
    episodes: int,
    isolated: bool = True,
    timeout: float = READ_TIMEOUT_SECONDS,
    advance: Callable[[], None] = lambda: None,
) -> ScanResult:
    """Scan a data file.

    An episode that crashes or hangs the process counts as damaged; another process continues with the next one.

    Args:
        data_file: Data file of a dataset.
        observation_space: Observation space in the metadata.
        action_space: Action space in the metadata.
        jpeg: True if images are stored as JPEG.
        is_collected: True if this package collected the episodes.
        seeded: True if each episode should have a seed.
        records_success: True if each info should record success.
        episodes: Number of episodes in the metadata.
        isolated: Read in a separate process, because damage may crash or hang the reading one.
        timeout: Largest time to read one array, seconds.
        advance: Called after each episode.

    Raises:
        OSError: The file is locked or not readable.
    """
    result = ScanResult()
    settings = {
        "data_file": str(data_file),
        "observation_space": observation_space,
        "action_space": action_space,
        "jpeg": jpeg,
        "is_collected": is_collected,
        "seeded": seeded,
        "records_success": records_success,
        "episodes": episodes,
        "after": -1,
    }
    while True:
        at: JsonObject = {"reading": "the file"}
        try:
            for message in _messages(settings, timeout) if isolated else _messages_in_process(settings):
                at = message if "reading" in message else at
                if "findings" in message:
                    result.episodes[message["episode"]] = Findings(**message["findings"])
                    advance()
                elif "spaces" in message:
                    result.space_faults = message["spaces"]
                elif "no_access" in message:
                    raise OSError(message["no_access"])
                elif "file" in message:
                    result.faults = message["file"]
            return result
        except ProcessError as failure:
            fault = f"cannot be read: {failure} while reading {at['reading']}"
            if "episode" not in at:
                result.faults.append(fault)
                return result
            result.episodes[at["episode"]] = Findings([fault])
            settings["after"] = at["episode"]
            advance()


def _messages(settings: JsonObject, timeout: float) -> Iterator[JsonObject]:
    return messages_of("demos.check.scan:scan_with_limits", settings, timeout)


def _messages_in_process(settings: JsonObject) -> Iterator[JsonObject]:
    messages: list[JsonObject] = []
    scan_episodes(settings, messages.append)
    return iter(messages)


def scan_with_limits(settings: JsonObject, send: Send) -> None:
    """Scan in the separate process, with no more memory than an undamaged file needs."""
    limit_memory(SPARE_MEMORY + 8 * Path(settings["data_file"]).stat().st_size)
    scan_episodes(settings, send)


def scan_episodes(settings: JsonObject, send: Send) -> None:
    """Scan the episodes after the last reported one, and send the findings."""
    path = Path(settings["data_file"])
    file_bytes = path.stat().st_size
    spaces, space_faults = _spaces(settings)
    send({"spaces": space_faults})
    expected = Expected(
        **spaces,
        jpeg=settings["jpeg"],
        is_collected=settings["is_collected"],
        seeded=settings["seeded"],
        records_success=settings["records_success"],
        file_bytes=file_bytes,
    )
    try:
        file = h5py.File(path, "r")
    except Exception as error:  # A damaged file may cause any exception in h5py.
        locked = access_error(error, path)
        send({"no_access": str(locked)} if locked else {"file": [shorten(f"cannot be opened: {error}")]})
        return
    with file:
        numbers, faults = _episode_numbers(file, settings["episodes"], expected)
        send({"file": faults})
        for number in numbers:
            if number > settings["after"]:
                _send_episode(file, number, expected, send)


def _send_episode(file: h5py.File, number: int, expected: Expected, send: Send) -> None:
    result = check_episode(file, number, expected, lambda part: send({"reading": part, "episode": number}))
    send({"episode": number, "findings": dataclasses.asdict(result)})


def _spaces(settings: JsonObject) -> tuple[dict[str, Space | None], list[str]]:
    """Return the spaces, None if damaged or missing, and their faults."""
    spaces: dict[str, Space | None] = dict.fromkeys(SPACES)
    faults: list[str] = []
    for name in SPACES:
        if isinstance(settings[name], str):
            try:
                spaces[name] = deserialize_space(settings[name])
            except Exception as error:  # Minari trusts its files: damage may cause any exception.
                faults.append(shorten(f"{name} is not a valid space: {type(error).__name__}: {error}"))
    return spaces, faults


def _episode_numbers(file: h5py.File, episodes: int, expected: Expected) -> tuple[list[int], list[str]]:
    """Return the numbers of the episodes in a file, and the faults of their list."""
    faults: list[str] = []
    try:
        names = list(file)
        faults += [
            f"has {shorten(name)!r}, which is not an episode" for name in names if not EPISODE.fullmatch(name)
        ][:10]
        if expected.is_collected and len(file.attrs):
            faults.append(f"has attributes ({shorten(str(list(file.attrs)))}), expected none")
    except Exception as error:  # A damaged list may cause any exception; some names may still be found.
        faults.append(shorten(f"its list of episodes cannot be read: {error}"))
        # An episode takes at least a byte.
        names = [f"episode_{number}" for number in range(min(episodes, expected.file_bytes))]
    return sorted(int(match[1]) for match in map(EPISODE.fullmatch, names) if match), faults
