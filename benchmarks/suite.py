"""What a suite is: which environments, agents and seeds, read from YAML."""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

import lam_envs
from agents.agent import Learning, find

SUITES = Path(__file__).with_name("suites")


@dataclass(frozen=True)
class Evaluating:
    """Seeds of the measurement: ``first_seed`` and the following."""

    first_seed: int
    episodes: int

    @property
    def seeds(self) -> range:
        """The seeds."""
        return range(self.first_seed, self.first_seed + self.episodes)


@dataclass(frozen=True)
class Filming:
    """Which agent is filmed in each environment, for how many episodes, in how many pixels square."""

    agent: str
    episodes: int
    size: int


@dataclass(frozen=True)
class Cell:
    """One measurement: an agent in an environment.

    Attributes:
        environment: An id.
        agent: A name of the registry, or ``package.module:Class``.
        training_seed: None for an agent that does not learn.
        demonstrations: How many it learns from; None likewise.
        demonstration_seed: Of their collection; None likewise.
        first_seed: Of the evaluation.
        episodes: Of the evaluation.
    """

    environment: str
    agent: str
    training_seed: int | None
    demonstrations: int | None
    demonstration_seed: int | None
    first_seed: int
    episodes: int

    @property
    def name(self) -> str:
        """A file name that tells environment, agent and seed."""
        agent = self.agent
        if not agent.replace("_", "").isalnum():
            safe = "".join(letter if letter.isalnum() else "_" for letter in agent)
            agent = f"{safe}-{zlib.crc32(agent.encode()):08x}"
        seed = "" if self.training_seed is None else f"-seed{self.training_seed}"
        return f"{self.environment}-{agent}{seed}"


@dataclass(frozen=True)
class Suite:
    """What to measure.

    Attributes:
        name: Of the suite.
        environments: Ids.
        agents: Names of the registry, or ``package.module:Class``.
        demonstrations: Successful expert episodes an environment.
        demonstration_seed: Of their collection.
        training_seeds: One training each.
        evaluation: Unseen seeds, the same for every agent.
        videos: What is filmed; None for nothing.
    """

    name: str
    environments: tuple[str, ...]
    agents: tuple[str, ...]
    demonstrations: int
    demonstration_seed: int
    training_seeds: tuple[int, ...]
    evaluation: Evaluating
    videos: Filming | None

    def cells(self) -> list[Cell]:
        """All measurements, the ones that take longest first."""
        cells = [
            self._cell(environment, agent, seed)
            for agent in self.agents
            for environment in self.environments
            for seed in (self.training_seeds if learns(agent) else (None,))
        ]
        return sorted(cells, key=lambda cell: cell.training_seed is None)

    def _cell(self, environment: str, agent: str, seed: int | None) -> Cell:
        return Cell(
            environment=environment,
            agent=agent,
            training_seed=seed,
            demonstrations=None if seed is None else self.demonstrations,
            demonstration_seed=None if seed is None else self.demonstration_seed,
            first_seed=self.evaluation.first_seed,
            episodes=self.evaluation.episodes,
        )

    def as_json(self) -> dict[str, Any]:
        """The suite as plain data."""
        return asdict(self)


def learns(agent: str) -> bool:
    """Whether an agent has a way to learn from demonstrations.

    Raises:
        ValueError: There is no such agent.
    """
    return isinstance(find(agent), type) and issubclass(find(agent), Learning)


def read_suite(name: str, extra_agents: tuple[str, ...] = ()) -> Suite:
    """Reads a suite.

    Args:
        name: Of a suite that comes with the package, or the path of a YAML file.
        extra_agents: Agents to measure besides.

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
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path}: expected a mapping with the fields of a suite, such as in {SUITES}")
    data = {str(key): value for key, value in data.items()}
    fields = set(Suite.__dataclass_fields__)
    unknown, missing = set(data) - fields, fields - set(data) - {"videos"}
    if unknown or missing:
        raise ValueError(
            f"{path}: unknown {', '.join(sorted(unknown)) or 'none'}; missing {', '.join(sorted(missing)) or 'none'}"
        )
    try:
        videos = data.get("videos")
        suite = Suite(
            name=str(data["name"]),
            environments=tuple(str(environment) for environment in data["environments"]),
            agents=tuple(dict.fromkeys((*(str(agent) for agent in data["agents"]), *extra_agents))),
            demonstrations=_whole(data["demonstrations"]),
            demonstration_seed=_whole(data["demonstration_seed"]),
            training_seeds=tuple(_whole(seed) for seed in data["training_seeds"]),
            evaluation=Evaluating(**{key: _whole(value) for key, value in data["evaluation"].items()}),
            videos=None
            if videos is None
            else Filming(str(videos["agent"]), _whole(videos["episodes"]), _whole(videos["size"])),
        )
    except (TypeError, AttributeError, ValueError, KeyError) as error:
        raise ValueError(f"{path}: {error}; see the suites in {SUITES} for the form") from error
    _check(suite, path)
    return suite


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
    for agent in suite.agents:
        find(agent)
    if suite.videos is not None:
        if suite.videos.agent not in suite.agents:
            raise ValueError(f"{path}: videos.agent {suite.videos.agent!r} is not among the agents")
        if suite.videos.episodes < 1 or suite.videos.size < 2 or suite.videos.size % 2:
            raise ValueError(f"{path}: videos need at least 1 episode and an even size, not {suite.videos}")
    for what, number in (
        ("demonstrations", suite.demonstrations),
        ("evaluation.episodes", suite.evaluation.episodes),
        ("environments", len(suite.environments)),
        ("agents", len(suite.agents)),
        ("training_seeds", len(suite.training_seeds)),
    ):
        if number < 1:
            raise ValueError(f"{path}: {what} is {number}; expected at least 1")
    if not suite.name.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"{path}: the name {suite.name!r} is to be letters, digits, '-' and '_'")
