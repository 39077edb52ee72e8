"""Read a suite from YAML; an error names file, line and key.

An agent is a name, or a mapping with what is peculiar to it in this suite::

    agents:
      - bc
      - {agent: gail, label: gail-from-scratch, settings: {warm_start: none}, environments: [LamReach-v0]}
      - {agent: bc, demonstrations: [10, 25, 50], demonstrator: [expert, noisy]}
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gymnasium as gym

import lam_envs
from agents.registry import ARCHIVE
from agents.saving import archive
from agents.training.run import FIRST_SEED as WATCHED_FROM
from benchmarks.suite.conditions import AS_TRAINED, Condition
from benchmarks.suite.suite import (
    Entry,
    EvaluationSettings,
    PeriodicEvaluation,
    SpeedSuite,
    Suite,
    VideoSettings,
    check_settings,
    learns,
    needs_demonstrations,
)
from benchmarks.suite.yaml_checks import Checks
from benchmarks.suite.yaml_lines import Mapping, Sequence, plain, read
from demos.collection.demonstrators import DEMONSTRATORS, MIXED
from lam_envs.validation import MAX_PIXELS

SUITES = Path(__file__).parents[1] / "suites"
NAME = "a text in one line without '|' and ','"
EVERY = "all"
"""Of a suite of speed: all environments."""


def suite_names() -> list[str]:
    """Names of the suites that come with the package."""
    return sorted(file.stem for file in SUITES.glob("*.yaml"))


def suite_path(name: str) -> Path:
    """Returns the file of a suite.

    Args:
        name: Of a suite that comes with the package, or the path of a YAML file.

    Raises:
        FileNotFoundError: There is no such suite; says which there are.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else SUITES / f"{name}.yaml"
    if not path.is_file():
        if path.suffix in (".yaml", ".yml") and path.parent != SUITES:
            raise FileNotFoundError(f"there is no file {name}")
        there = ", ".join(suite_names())
        raise FileNotFoundError(f"no suite {name!r}; expected one of {there}, or the path of a YAML file")
    return path


def read_suite(name: str, extra_agents: tuple[str, ...] = (), *, trust: bool = False) -> Suite:
    """Reads a suite.

    Args:
        name: See :func:`suite_path`.
        extra_agents: Agents to measure besides, in all environments that the file names for all agents.
        trust: Whether models may be loaded that can hold code: archives of Stable-Baselines3.

    Raises:
        FileNotFoundError: There is no such suite; says which there are.
        ValueError: The file lacks something or has something unknown; says what, and in which line.
    """
    path = suite_path(name)
    return _Reader(path, extra_agents, trust=trust).suite(read(path))


def is_of_speed(name: str) -> bool:
    """Whether a suite measures environments, and no agents: it says how many rounds.

    Raises:
        FileNotFoundError: There is no such suite.
        ValueError: It is no YAML.
    """
    data = read(suite_path(name))
    return isinstance(data, Mapping) and "rounds" in data


def read_speed_suite(name: str) -> SpeedSuite:
    """Reads a suite that measures environments.

    Args:
        name: See :func:`suite_path`.

    Raises:
        FileNotFoundError: There is no such suite.
        ValueError: The file lacks something or has something unknown; says what, and in which line.
    """
    path = suite_path(name)
    return _Reader(path, (), trust=False).speed_suite(read(path))


class _Reader(Checks):
    """Reads one file."""

    def __init__(self, path: Path, extra_agents: tuple[str, ...], *, trust: bool) -> None:
        super().__init__(path)
        self._extra = extra_agents
        self._trust = trust

    def suite(self, data: Any) -> Suite:
        data = self.mapping(
            data,
            1,
            "the suite",
            needed=("name", "agents", "evaluation"),
            # What it says of environments and demonstrations holds for agents that say nothing themselves.
            optional=(
                "environments",
                "demonstrations",
                "demonstrator",
                "demonstration_seed",
                "training_seeds",
                "videos",
                "periodic_eval",
                "conditions",
            ),
        )
        name = self._name(data)
        evaluation = self.numbers(
            data, "evaluation", ("first_seed", "episodes"), ("episode_seconds",), from_0=("first_seed",)
        )
        if evaluation["first_seed"] + evaluation["episodes"] > WATCHED_FROM:
            self.fail(
                data["evaluation"].lines["first_seed"],
                "evaluation.first_seed",
                f"found {evaluation['first_seed']}; from 2**30 on are the seeds by which trainings are watched",
            )
        seeds = self.items(data, "training_seeds") if "training_seeds" in data else Sequence()
        for place, seed in enumerate(seeds):
            self.whole(seed, seeds.lines[place], "training_seeds", at_least=0)
            if seeds.index(seed) != place:
                self.fail(
                    seeds.lines[place], "training_seeds", f"{seed} comes twice, which would count one training twice"
                )
        agents = self.items(data, "agents")
        entries = [self._entry(given, agents.lines[place], data) for place, given in enumerate(agents)]
        own = [entry.label for entry in entries]
        added = tuple(agent for agent in dict.fromkeys(self._extra) if agent not in own)
        entries += [self._added(agent, data) for agent in added]
        suite = Suite(
            name=name,
            agents=tuple(entries),
            demonstration_seed=self.whole(
                data["demonstration_seed"], data.lines["demonstration_seed"], "demonstration_seed", at_least=0
            )
            if "demonstration_seed" in data
            else None,
            training_seeds=tuple(seeds),
            evaluation=EvaluationSettings(**evaluation),
            videos=self._videos(data, own),
            periodic_eval=PeriodicEvaluation(**self.numbers(data, "periodic_eval", ("evaluations", "episodes")))
            if "periodic_eval" in data
            else None,
            conditions=self._conditions(data, entries),
            extra_agents=added,
        )
        self._check_names(suite, data)
        return suite

    def speed_suite(self, data: Any) -> SpeedSuite:
        data = self.mapping(data, 1, "the suite", needed=("name", "environments", "steps", "rounds"))
        every = data["environments"] == EVERY
        return SpeedSuite(
            name=self._name(data),
            environments=lam_envs.ENV_IDS if every else self._environments(data, "of the suite", 1),
            steps=self.whole(data["steps"], data.lines["steps"], "steps", at_least=1),
            rounds=self.whole(data["rounds"], data.lines["rounds"], "rounds", at_least=1),
            compared=every,
        )

    def _name(self, data: Mapping) -> str:
        name = data["name"]
        if not isinstance(name, str) or not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
            self.fail(data.lines["name"], "name", f"found {name!r}; expected letters, digits, '-' and '_'")
        return name

    def _added(self, agent: str, data: Mapping) -> Entry:
        """Reads an agent that is not in the file."""
        try:
            return self._entry(agent, data.lines["agents"], data)
        except ValueError as error:
            told = str(error).removeprefix(f"{self.path}, line {data.lines['agents']}, agent: ")
            raise ValueError(f"--agent {agent}: {told}") from error

    def _entry(self, given: Any, line: int, data: Mapping) -> Entry:
        """Reads an agent: what it does not say itself is said for all."""
        if isinstance(given, str):
            own = Mapping(agent=given)
            own.line, own.lines = line, {"agent": line}
        else:
            own = self.mapping(
                given,
                line,
                "an agent",
                needed=("agent",),
                optional=("label", "settings", "environments", "demonstrations", "demonstrator"),
            )
        agent = own["agent"]
        if not isinstance(agent, str):
            self.fail(own.lines["agent"], "agent", f"found {agent!r}; expected a name, or package.module:Class")
        if agent.endswith(ARCHIVE) and not self._trust:
            self.fail(
                own.lines["agent"],
                "agent",
                f"{agent} can hold code that runs when it is loaded; if you trust where it is from, add --trust",
            )
        if agent.endswith(ARCHIVE):
            self.tried(lambda: archive.check(agent), own.lines["agent"], "agent")
        learned = self.tried(lambda: learns(agent), own.lines["agent"], "agent")
        shown = learned and needs_demonstrations(agent)
        for key, wanted in (("training_seeds", learned), ("demonstration_seed", shown)):
            if wanted and key not in data:
                self.fail(own.lines["agent"], "agent", f"{agent} learns, and the suite lacks {key}")
        label = own.get("label", agent)
        where = own.lines.get("label", line)
        if not _is_name(label):
            self.fail(where, "label", f"found {label!r}; expected {NAME}")
        environments = self._environments(own if "environments" in own else data, label, line)
        settings = plain(own.get("settings", {}))
        where = own.lines.get("settings", line)
        if not isinstance(settings, dict):
            self.fail(where, "settings", f"found {settings!r}; expected a mapping")
        self.tried(lambda: json.dumps(settings, allow_nan=False), where, "settings")
        if agent.endswith(ARCHIVE):
            # The statistics of VecNormalize count like the archive itself.
            settings = self.tried(lambda: archive.settings_of(agent, settings), where, "settings")
        elif settings:
            self.tried(lambda: check_settings(agent, settings), where, "settings")
        counts = {}
        if shown:
            told = own if "demonstrations" in own else data
            counts = {name: self._counts(told, name, label, line) for name in environments}
        demonstrators = self._demonstrators(own if "demonstrator" in own else data, line)
        return Entry(agent, label, settings, environments, counts, demonstrators)

    def _environments(self, data: Mapping, label: str, line: int) -> tuple[str, ...]:
        if "environments" not in data:
            self.fail(line, "environments", f"agent {label} has none; expected a list of ids, here or for all agents")
        found = self.items(data, "environments")
        for place, name in enumerate(found):
            if not isinstance(name, str) or not self.tried(
                lambda name=name: _is_known(name),  # type: ignore[misc]
                found.lines[place],
                "environments",
            ):
                self.fail(
                    found.lines[place],
                    "environments",
                    f"unknown environment {name!r}; expected one of {', '.join(lam_envs.ENV_IDS)}, or module:Id-v0 "
                    "of one of your own",
                )
        return tuple(found)

    def _counts(self, data: Mapping, environment: str, label: str, line: int) -> tuple[int, ...]:
        shown, where = data.get("demonstrations"), data.lines.get("demonstrations", line)
        if isinstance(shown, Mapping):
            where = shown.lines.get(environment, where)
            shown = shown.get(environment)
        if shown is None:
            self.fail(where, "demonstrations", f"agent {label} lacks a number for {environment}")
        counts = shown if isinstance(shown, list) else [shown]
        for count in counts:
            self.whole(count, where, "demonstrations", at_least=1)
        if not counts or len(set(counts)) < len(counts):
            self.fail(where, "demonstrations", f"found {plain(shown)!r}; expected numbers, none twice")
        return tuple(counts)

    def _demonstrators(self, data: Mapping, line: int) -> tuple[str, ...]:
        given, where = data.get("demonstrator", "expert"), data.lines.get("demonstrator", line)
        named = given if isinstance(given, list) else [given]
        known = (*DEMONSTRATORS, MIXED)
        for name in named:
            if name not in known:
                self.fail(where, "demonstrator", f"unknown demonstrator {name!r}; expected one of {', '.join(known)}")
        if not named or len(set(named)) < len(named):
            self.fail(where, "demonstrator", f"found {plain(given)!r}; expected names, none twice")
        return tuple(named)

    def _videos(self, data: Mapping, labels: Iterable[str]) -> VideoSettings | None:
        if "videos" not in data:
            return None
        line = data.lines["videos"]
        videos = self.mapping(data["videos"], line, "videos", needed=("agent", "size"))
        if videos["agent"] not in labels:
            self.fail(videos.lines["agent"], "videos.agent", f"{videos['agent']!r} is not among the agents")
        size = self.whole(videos["size"], videos.lines["size"], "videos.size", at_least=2)
        if size > MAX_PIXELS or size % 2:
            self.fail(
                videos.lines["size"], "videos.size", f"found {size}; expected an even number of at most {MAX_PIXELS}"
            )
        return VideoSettings(videos["agent"], size)

    def _conditions(self, data: Mapping, entries: Iterable[Entry]) -> dict[str, dict[str, Any]]:
        if "conditions" not in data:
            return {AS_TRAINED: {}}
        line = data.lines["conditions"]
        given = data["conditions"]
        if not isinstance(given, Mapping) or not given:
            self.fail(line, "conditions", f"found {given!r}; expected a mapping of names to what changes")
        found = {}
        for name, changes in given.items():
            where, key = given.lines[name], f"conditions.{name}"
            if not _is_name(name):
                self.fail(where, key, f"found {name!r}; expected {NAME}")
            if not isinstance(changes, Mapping):
                self.fail(where, key, f"found {changes!r}; expected a mapping of what changes, or {{}}")
            if name == AS_TRAINED and changes:
                self.fail(
                    where, key, f"found {plain(changes)!r}; as agents are trained, nothing changes: expected {{}}"
                )
            changes = self.mapping(changes, where, key, optional=("env", "action_noise", "pushes"))
            found[name] = plain(changes)
            if not isinstance(found[name].get("env", {}), dict):
                self.fail(changes.lines["env"], f"{key}.env", "expected a mapping of keywords of gym.make")
            for environment in dict.fromkeys(name for entry in entries for name in entry.environments):
                self.tried(
                    lambda changes=found[name], made=environment: Condition(**changes).make(made).close(),  # type: ignore[misc]
                    where,
                    key,
                )
        return found

    def _check_names(self, suite: Suite, data: Mapping) -> None:
        """Refuses measurements that would be kept in the same file, or called the same."""
        line = data.lines["agents"]
        measured = [(environment, entry.label) for entry in suite.agents for environment in entry.environments]
        for environment, label in measured:
            if measured.count((environment, label)) > 1:
                self.fail(line, "agents", f"two are called {label!r} in {environment}; give one another label")
        # Some systems take upper and lower case for the same.
        names: set[str] = set()
        for cell in suite.cells():
            name = cell.name.casefold()
            if name in names:
                self.fail(line, "agents", f"two measurements would be kept as {name!r}; give one agent another label")
            names.add(name)


def _is_known(name: str) -> bool:
    """Whether an environment can be made: one of ours, or ``module:Id`` of anybody's."""
    module, colon, own = name.rpartition(":")
    if colon:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError:
            return False
        except (Exception, SystemExit) as error:
            raise ValueError(f"module {module!r} of {name} fails when it is imported: {error!r}") from error
    return own in gym.registry


def _is_name(text: Any) -> bool:
    """Whether it can stand in a table: commas join a label to what else tells rows apart."""
    return isinstance(text, str) and text.isprintable() and bool(text.strip()) and not set("|,") & set(text)
