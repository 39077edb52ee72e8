"""What a suite is: which agents are measured in which environments, on which seeds, read from YAML.

An agent is a name, or a mapping with what is peculiar to it in this suite::

    agents:
      - bc
      - {agent: gail, label: gail-from-nothing, settings: {warm_start: none}, environments: [LamReach-v0]}
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

import lam_envs
from agents.agent import Learning, find
from benchmarks.training import Watching
from demos.qualities import MIXED, QUALITIES
from lam_envs.keywords import MAX_PIXELS, known_name

SUITES = Path(__file__).with_name("suites")


EPISODE_SECONDS = 300


@dataclass(frozen=True)
class Evaluating:
    """The measurement of an agent.

    Attributes:
        first_seed: Of the first episode; the others follow.
        episodes: How many.
        episode_seconds: Wall time after which an episode, and with it the measurement, has failed.
    """

    first_seed: int
    episodes: int
    episode_seconds: int = EPISODE_SECONDS

    @property
    def seeds(self) -> range:
        """The seeds."""
        return range(self.first_seed, self.first_seed + self.episodes)


@dataclass(frozen=True)
class Filming:
    """Which agent, by its label, is filmed in its environments, for how many episodes, in how many pixels square."""

    agent: str
    episodes: int
    size: int


@dataclass(frozen=True)
class Entry:
    """An agent of a suite.

    Attributes:
        agent: A name of the registry, or ``package.module:Class``.
        label: What it is called in reports; two of one label are not measured in one environment.
        settings: Of the agent, that differ from its own.
        environments: Ids.
        demonstrations: Successful episodes, by environment.
        quality: Of the demonstrations, one of ``demos``.
    """

    agent: str
    label: str
    settings: dict[str, Any]
    environments: tuple[str, ...]
    demonstrations: dict[str, int]
    quality: str


@dataclass(frozen=True)
class Cell:
    """One measurement: an agent in an environment.

    Attributes:
        environment: An id.
        agent: A name of the registry, or ``package.module:Class``.
        label: What it is called in reports.
        settings: That differ from the agent's own.
        training_seed: None for an agent that does not learn.
        demonstrations: How many it learns from; None for an agent that needs none.
        demonstration_seed: Of their collection; None likewise.
        quality: Of them; None likewise.
        first_seed: Of the evaluation.
        episodes: Of the evaluation.
    """

    environment: str
    agent: str
    label: str
    settings: dict[str, Any]
    training_seed: int | None
    demonstrations: int | None
    demonstration_seed: int | None
    quality: str | None
    first_seed: int
    episodes: int

    @property
    def name(self) -> str:
        """A file name that tells environment, label and seed."""
        label = self.label
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,60}", label):
            safe = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in label)
            label = f"{safe[:50]}-{zlib.crc32(label.encode(errors='backslashreplace')):08x}"
        seed = "" if self.training_seed is None else f"-seed{self.training_seed}"
        return f"{self.environment}-{label}{seed}"


@dataclass(frozen=True)
class Suite:
    """What to measure.

    Attributes:
        name: Of the suite.
        agents: What is measured where.
        demonstration_seed: Of the collection of demonstrations.
        training_seeds: One training each.
        evaluation: Unseen seeds, the same for every agent.
        videos: What is filmed; None for nothing.
        curves: How closely the success of each training is watched as it goes; None for not at all.
    """

    name: str
    agents: tuple[Entry, ...]
    demonstration_seed: int
    training_seeds: tuple[int, ...]
    evaluation: Evaluating
    videos: Filming | None
    curves: Watching | None

    @property
    def environments(self) -> tuple[str, ...]:
        """All environments, in the order in which they come up."""
        return tuple(dict.fromkeys(environment for entry in self.agents for environment in entry.environments))

    def cells(self) -> list[Cell]:
        """All measurements, the ones that take longest first."""
        cells = [
            self._cell(environment, entry, seed)
            for entry in self.agents
            for environment in entry.environments
            for seed in (self.training_seeds if learns(entry.agent) else (None,))
        ]
        return sorted(cells, key=lambda cell: cell.training_seed is None)

    def _cell(self, environment: str, entry: Entry, seed: int | None) -> Cell:
        shown = seed is not None and needs_demonstrations(entry.agent)
        return Cell(
            environment=environment,
            agent=entry.agent,
            label=entry.label,
            settings=entry.settings,
            training_seed=seed,
            demonstrations=entry.demonstrations[environment] if shown else None,
            demonstration_seed=self.demonstration_seed if shown else None,
            quality=entry.quality if shown else None,
            first_seed=self.evaluation.first_seed,
            episodes=self.evaluation.episodes,
        )

    def as_json(self) -> dict[str, Any]:
        """The suite as plain data."""
        return asdict(self)


def learns(agent: str) -> bool:
    """Whether an agent has a way to learn.

    Raises:
        ValueError: There is no such agent.
    """
    return isinstance(find(agent), type) and issubclass(find(agent), Learning)


def needs_demonstrations(agent: str) -> bool:
    """Whether an agent that learns does so from demonstrations, and not from the reward alone.

    Raises:
        ValueError: There is no such agent.
    """
    return bool(getattr(find(agent), "needs_demonstrations", True))


def read_suite(name: str, extra_agents: tuple[str, ...] = ()) -> Suite:
    """Reads a suite.

    Args:
        name: Of a suite that comes with the package, or the path of a YAML file.
        extra_agents: Agents to measure besides, in all environments that the file names for all agents.

    Raises:
        FileNotFoundError: There is no such suite; says which there are.
        ValueError: The file lacks something or has something unknown; says what.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else SUITES / f"{name}.yaml"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in SUITES.glob("*.yaml")))
        raise FileNotFoundError(f"no suite {name!r}; expected one of {there}, or the path of a YAML file")
    try:
        data = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is no YAML: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path}: expected a mapping with the fields of a suite, such as in {SUITES}")
    data = {str(key): value for key, value in data.items()}
    _check_keys(data, f"{path}", needed=NEEDED, optional=OPTIONAL)
    try:
        suite = _suite(data, extra_agents)
    except (TypeError, AttributeError, ValueError, KeyError) as error:
        raise ValueError(f"{path}: {error}; see the suites in {SUITES} for the form") from error
    _check(suite, path)
    return suite


NEEDED = {"name", "agents", "demonstration_seed", "training_seeds", "evaluation"}
OPTIONAL = {"environments", "demonstrations", "videos", "curves"}
"""Fields of a suite; what it says of environments and demonstrations holds for agents that say nothing themselves."""


def _check_keys(data: Mapping[str, Any], where: str, *, needed: set[str], optional: set[str]) -> None:
    unknown, missing = set(data) - needed - optional, needed - set(data)
    if unknown or missing:
        raise ValueError(
            f"{where}: unknown {', '.join(sorted(unknown)) or 'none'}; missing {', '.join(sorted(missing)) or 'none'}"
        )


def _suite(data: Mapping[str, Any], extra_agents: tuple[str, ...]) -> Suite:
    for name, kind in (("agents", list), ("training_seeds", list), ("evaluation", dict)):
        _check_kind(name, data[name], kind)
    environments, demonstrations = data.get("environments"), data.get("demonstrations")
    evaluation = {str(key): value for key, value in data["evaluation"].items()}
    _check_keys(evaluation, "evaluation", needed={"first_seed", "episodes"}, optional={"episode_seconds"})
    named = [agent for agent in data["agents"] if isinstance(agent, str)]
    agents = [*data["agents"], *(agent for agent in dict.fromkeys(extra_agents) if agent not in named)]
    videos = data.get("videos")
    if videos is not None:
        _check_kind("videos", videos, dict)
        _check_keys(videos, "videos", needed={"agent", "episodes", "size"}, optional=set())
    curves = data.get("curves")
    if curves is not None:
        _check_kind("curves", curves, dict)
        _check_keys(curves, "curves", needed={"points", "episodes"}, optional=set())
    return Suite(
        name=str(data["name"]),
        agents=tuple(_entry(agent, environments, demonstrations) for agent in agents),
        demonstration_seed=_whole(data["demonstration_seed"]),
        training_seeds=tuple(_whole(seed) for seed in data["training_seeds"]),
        evaluation=Evaluating(**{key: _whole(value) for key, value in evaluation.items()}),
        videos=None
        if videos is None
        else Filming(str(videos["agent"]), _whole(videos["episodes"]), _whole(videos["size"])),
        curves=None if curves is None else Watching(_whole(curves["points"]), _whole(curves["episodes"])),
    )


def _entry(given: Any, environments: Any, demonstrations: Any) -> Entry:
    """Reads an agent: what it does not say itself is said for all."""
    if not isinstance(given, str):
        _check_kind("an agent", given, dict)
    data = {"agent": given} if isinstance(given, str) else {str(key): value for key, value in given.items()}
    optional = {"label", "settings", "environments", "demonstrations", "quality"}
    _check_keys(data, f"agent {data.get('agent', given)}", needed={"agent"}, optional=optional)
    agent = str(data["agent"])
    label = data.get("label", agent)
    if not isinstance(label, str) or not label.isprintable() or not label.strip() or "|" in label:
        raise ValueError(f"agent {agent} has label {label!r}; expected a text in one line without '|'")
    own = data.get("environments", environments)
    if not isinstance(own, list) or not own:
        raise ValueError(f"agent {label} has environments {own!r}; expected a list of ids, here or for all agents")
    shown = data.get("demonstrations", demonstrations)
    counts: dict[str, int] = {}
    if learns(agent) and needs_demonstrations(agent):
        for environment in own:
            count = shown.get(environment) if isinstance(shown, dict) else shown
            if count is None:
                raise ValueError(f"agent {label} lacks demonstrations for {environment}")
            counts[environment] = _whole(count)
    settings: Any = data.get("settings", {})
    if not isinstance(settings, dict):
        raise ValueError(f"agent {label} has settings {settings!r}; expected a mapping")
    try:
        json.dumps(settings, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"agent {label} has settings {settings!r}, which are no plain numbers and texts") from error
    quality = known_name("quality", data.get("quality", "expert"), (*QUALITIES, MIXED))
    return Entry(agent, label, settings, tuple(str(environment) for environment in own), counts, quality)


def _check_kind(name: str, value: Any, kind: type) -> None:
    """Refuses what is no list, or no mapping."""
    if not isinstance(value, kind):
        wanted = "a list" if kind is list else "a mapping"
        raise ValueError(f"{name} is {value!r}; expected {wanted}")


def _whole(number: Any) -> int:
    """Returns a whole number of at least 0.

    Raises:
        ValueError: It is none.
    """
    if type(number) is not int or number < 0:
        raise ValueError(f"found {number!r}; expected a whole number of at least 0")
    return number


def _check(suite: Suite, path: Path) -> None:
    for environment in suite.environments:
        if environment not in lam_envs.ENV_IDS:
            raise ValueError(
                f"{path}: unknown environment {environment!r}; expected one of {', '.join(lam_envs.ENV_IDS)}"
            )
    for seed in suite.training_seeds:
        if suite.training_seeds.count(seed) > 1:
            raise ValueError(
                f"{path}: training_seeds has {seed} more than once, which would count one training twice"
            )
    measured = [(environment, entry.label) for entry in suite.agents for environment in entry.environments]
    for environment, label in measured:
        if measured.count((environment, label)) > 1:
            raise ValueError(f"{path}: two agents are called {label!r} in {environment}; give one another label")
    # Some systems take upper and lower case for the same.
    names = [cell.name.casefold() for cell in suite.cells()]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{path}: two measurements would be kept as {name!r}; give one agent another label")
    if suite.videos is not None:
        if suite.videos.agent not in [entry.label for entry in suite.agents]:
            raise ValueError(f"{path}: videos.agent {suite.videos.agent!r} is not among the agents")
        if suite.videos.episodes < 1 or not 2 <= suite.videos.size <= MAX_PIXELS or suite.videos.size % 2:
            raise ValueError(
                f"{path}: videos need at least 1 episode and an even size of at most {MAX_PIXELS}, not {suite.videos}"
            )
    for what, number in (
        *(
            (f"demonstrations of {entry.label}", count)
            for entry in suite.agents
            for count in entry.demonstrations.values()
        ),
        ("evaluation.episodes", suite.evaluation.episodes),
        ("evaluation.episode_seconds", suite.evaluation.episode_seconds),
        ("agents", len(suite.agents)),
        ("training_seeds", len(suite.training_seeds)),
        *((f"curves.{name}", number) for name, number in (vars(suite.curves) if suite.curves else {}).items()),
    ):
        if number < 1:
            raise ValueError(f"{path}: {what} is {number}; expected at least 1")
    if not suite.name.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"{path}: the name {suite.name!r} is to be letters, digits, '-' and '_'")
