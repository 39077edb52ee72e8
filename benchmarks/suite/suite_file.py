"""Read a suite from YAML; an error names file, line and key.

An agent is a name, or a mapping with what differs for it in this suite::

    agents:
      - bc
      - {agent: gail, label: gail-from-scratch, settings: {warm_start: none}, environments: [LamReach-v0]}
      - {agent: bc, demonstrations: [10, 25, 50], demonstrator: [expert, noisy]}
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator, model_validator

from agents.registry import ARCHIVE
from agents.saving import archive
from benchmarks.suite.conditions import AS_TRAINED, Condition
from benchmarks.suite.fields import Count, Distinct, EnvironmentId, Items, OneOrMore, Seed, SuiteModel, Text, checked
from benchmarks.suite.suite import (
    AgentEntry,
    EvaluationSettings,
    PeriodicEvaluation,
    SpeedSuite,
    Suite,
    SuiteName,
    VideoSettings,
    check_settings,
    learns,
    needs_demonstrations,
)
<<<<<<< HEAD
from benchmarks.suite.yaml_checks import Checks
from benchmarks.suite.yaml_lines import Mapping, Sequence, plain, read
from demos.collection.demonstrators import DEMONSTRATORS, MIXED
from lam_envs.validation import MAX_PIXELS
=======
from benchmarks.suite.yaml_lines import line_of, plain, read
from demos.collection.demonstrators import MIXED, QUALITIES
>>>>>>> 50dcd56 (benchmarks: read suites by pydantic models)

SUITES = Path(__file__).parents[1] / "suites"
ANY = "any environment"
"""Key of numbers of demonstrations that hold for every environment."""

Demonstrator = Literal[(*QUALITIES, MIXED)]  # type: ignore[valid-type]  # names of a registry
Counts = Annotated[
    dict[str, OneOrMore[Count]], BeforeValidator(lambda value: value if isinstance(value, dict) else {ANY: value})
]
"""Numbers of demonstrations: by environment, or the same for all."""


class _Agent(SuiteModel):
    """An agent in the file of a suite; what it leaves out holds for all agents."""

    agent: str
    label: Text
    settings: dict[str, Any] = Field(default={}, validate_default=True)
    environments: Items[EnvironmentId] | None = None
    demonstrations: Counts | None = None
    demonstrator: OneOrMore[Demonstrator] | None = None

    @model_validator(mode="before")
    @classmethod
    def _labeled(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {"agent": value}
        return {"label": value["agent"], **value} if isinstance(value, dict) and "agent" in value else value

    @field_validator("agent")
    @classmethod
    def _there(cls, agent: str, info: ValidationInfo) -> str:
        if agent.endswith(ARCHIVE):
            if not info.context:
                raise ValueError(
                    f"{agent} can hold code that runs when it is loaded; add --allow-pickle if you trust its source"
                )
            checked(archive.check, agent)
        checked(learns, agent)
        return agent

    @field_validator("settings")
    @classmethod
    def _of_agent(cls, settings: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        agent = info.data.get("agent", "")
        json.dumps(settings, allow_nan=False)
        if agent.endswith(ARCHIVE):
            # The statistics of VecNormalize count like the archive itself.
            return checked(archive.settings_of, agent, settings)
        if agent and settings:
            checked(check_settings, agent, settings)
        return settings


class _SuiteFile(SuiteModel):
    """The file of a suite."""

    name: SuiteName
    agents: Items[_Agent]
    environments: Items[EnvironmentId] | None = None
    demonstrations: Counts | None = None
    demonstrator: OneOrMore[Demonstrator] = ("expert",)
    demonstration_seed: Seed | None = None
    training_seeds: Distinct[Seed] | None = None
    evaluation: EvaluationSettings
    videos: VideoSettings | None = None
    periodic_eval: PeriodicEvaluation | None = None
    conditions: dict[Text, Condition] = Field(default={AS_TRAINED: Condition()}, min_length=1)

    @field_validator("conditions")
    @classmethod
    def _nothing_changes_as_trained(cls, conditions: dict[str, Condition]) -> dict[str, Condition]:
        if AS_TRAINED in conditions and conditions[AS_TRAINED].model_fields_set:
            raise ValueError(f"under the condition {AS_TRAINED!r} nothing changes: expected {{}}")
        return conditions


MODELS: dict[str, type[SuiteModel]] = {
    "agents": _Agent,
    "evaluation": EvaluationSettings,
    "videos": VideoSettings,
    "periodic_eval": PeriodicEvaluation,
    "conditions": Condition,
}
"""Model of each part of a file that is a mapping of known keys."""
EXPECTED = {
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "int_type": "a whole number",
    "too_short": "at least one item",
    "string_pattern_mismatch": "letters, digits, '-' and '_'",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "less_than": "below {lt}",
    "multiple_of": "a multiple of {multiple_of}",
}
"""Expected value, by type of a validation's error; else pydantic's own words."""


class _SuiteError(ValueError):
    """A problem that concerns several parts of a file.

    Args:
        message: Description of the problem.
        place: Keys that lead to it.
    """

    def __init__(self, message: str, *place: str | int) -> None:
        super().__init__(message)
        self.place = place


def suite_names() -> list[str]:
    """Return the names of the suites that come with the package."""
    return sorted(file.stem for file in SUITES.glob("*.yaml"))


def suite_path(name: str) -> Path:
    """Return the file of a suite.

    Args:
        name: Name of a suite that comes with the package, or path of a YAML file.

    Raises:
        FileNotFoundError: There is no such suite.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else SUITES / f"{name}.yaml"
    if not path.is_file():
        if path.suffix in (".yaml", ".yml") and path.parent != SUITES:
            raise FileNotFoundError(f"there is no file {name}")
        there = ", ".join(suite_names())
        raise FileNotFoundError(f"no suite {name!r}; expected one of {there}, or the path of a YAML file")
    return path


def read_suite(name: str, extra_agents: tuple[str, ...] = (), *, allow_pickle: bool = False) -> Suite:
    """Read a suite.

    Args:
        name: See :func:`suite_path`.
        extra_agents: Agents to measure besides, in all environments that the file names for all agents.
        allow_pickle: True allows models that can hold code: archives of Stable-Baselines3.

    Raises:
        FileNotFoundError: There is no such suite.
        ValueError: The file lacks a key, or has an unknown key or an invalid value.
    """
    path = suite_path(name)
    data = read(path)
    with _located(path, data):
        file = _SuiteFile.model_validate(plain(data), context=allow_pickle)
        entries = [_entry(agent, file, "agents", place) for place, agent in enumerate(file.agents)]
    labels = [entry.label for entry in entries]
    added = tuple(agent for agent in dict.fromkeys(extra_agents) if agent not in labels)
    for agent in added:
        try:
            entries.append(_entry(_Agent.model_validate(agent, context=allow_pickle), file))
        except ValueError as error:
            raise ValueError(f"--agent {agent}: {_described(error)[1]}") from error
    with _located(path, data):
        if file.videos is not None and file.videos.agent not in labels:
            raise _SuiteError(f"{file.videos.agent!r} is not among the agents", "videos", "agent")
        same = {name: getattr(file, name) for name in ("name", "demonstration_seed", "evaluation", "videos")}
        suite = Suite(
            **same,
            agents=tuple(entries),
            training_seeds=file.training_seeds or (),
            periodic_eval=file.periodic_eval,
            conditions={name: one.model_dump(exclude_unset=True) for name, one in file.conditions.items()},
            extra_agents=added,
        )
        _check_conditions(suite)
        _check_names(suite)
    return suite


def is_of_speed(name: str) -> bool:
    """Return True if a suite measures the speed of environments: it has the key ``rounds``.

    Raises:
        FileNotFoundError: There is no such suite.
        ValueError: The file is no YAML.
    """
    data = read(suite_path(name))
    return isinstance(data, dict) and "rounds" in data


def read_speed_suite(name: str) -> SpeedSuite:
    """Read a suite that measures the speed of environments.

    Args:
        name: See :func:`suite_path`.

    Raises:
        FileNotFoundError: There is no such suite.
        ValueError: The file lacks a key, or has an unknown key or an invalid value.
    """
    path = suite_path(name)
    data = read(path)
    with _located(path, data):
        return SpeedSuite.model_validate(plain(data))


<<<<<<< HEAD
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
=======
def _entry(agent: _Agent, file: _SuiteFile, *place: str | int) -> AgentEntry:
    """Return an agent with what holds for all agents in place of what it leaves out."""
    learned = learns(agent.agent)
    from_demonstrations = learned and needs_demonstrations(agent.agent)
    for key, needed in (("training_seeds", learned), ("demonstration_seed", from_demonstrations)):
        if needed and getattr(file, key) is None:
            raise _SuiteError(f"{agent.agent} learns, and the suite lacks {key}", *place, "agent")
    environments = agent.environments or file.environments
    if environments is None:
        raise _SuiteError(f"agent {agent.label} has no environments; list ids, here or for all agents", *place)
    counts = {}
    if from_demonstrations:
        numbers = agent.demonstrations or file.demonstrations or {}
        where = (*place, "demonstrations") if agent.demonstrations else ("demonstrations",)
        for name in environments:
            if name not in numbers and ANY not in numbers:
                raise _SuiteError(f"agent {agent.label} lacks a number for {name}", *where)
            counts[name] = numbers.get(name) or numbers[ANY]
    return AgentEntry(
        agent=agent.agent,
        label=agent.label,
        settings=agent.settings,
        environments=environments,
        demonstrations=counts,
        demonstrators=agent.demonstrator or file.demonstrator,
    )
>>>>>>> 50dcd56 (benchmarks: read suites by pydantic models)


def _check_conditions(suite: Suite) -> None:
    for name, changes in suite.conditions.items():
        for environment in suite.environments:
            try:
                checked(Condition(**changes).make, environment).close()
            except ValueError as error:
                raise _SuiteError(str(error), "conditions", name) from error


def _check_names(suite: Suite) -> None:
    """Refuse cells that would be stored in the same file, or have the same name in a report."""
    measured = [(environment, entry.label) for entry in suite.agents for environment in entry.environments]
    for environment, label in measured:
        if measured.count((environment, label)) > 1:
            raise _SuiteError(f"two agents have the label {label!r} in {environment}; change one", "agents")
    # Some file systems take upper and lower case for the same.
    names = [cell.name.casefold() for cell in suite.cells()]
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise _SuiteError(f"two results would be stored as {twice!r}; change the label of one agent", "agents")


@contextmanager
def _located(path: Path, data: Any) -> Iterator[None]:
    """Add file, line and key to the errors of a block."""
    try:
        yield
    except (ValidationError, _SuiteError) as error:
        place, message = _described(error)
        key = ".".join(part for part in place if part not in ("[key]", ANY) and isinstance(part, str)) or "the suite"
        raise ValueError(f"{path}, line {line_of(data, place)}, {key}: {message}") from None


def _described(error: ValueError) -> tuple[tuple[str | int, ...], str]:
    """Return place and message of an error; of a validation, those of its first error, unknown keys first."""
    if not isinstance(error, ValidationError):
        return getattr(error, "place", ()), str(error)
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    place = first["loc"]
    model = MODELS.get(str(place[0]), _SuiteFile) if len(place) > 1 else _SuiteFile
    if error.title == SpeedSuite.__name__:
        model = SpeedSuite
    if first["type"] == "missing":
        return place[:-1], f"lacks {place[-1]}"
    if first["type"] == "extra_forbidden":
        return place, f"unknown key {place[-1]!r}; expected one of {', '.join(model.model_fields)}"
    if first["type"] == "value_error":
        return place, str(first["ctx"]["error"])
    if first["type"] == "model_type":
        model = MODELS.get(str(place[0]), model) if place else model
        expected = f"a mapping with {', '.join(model.model_fields)}"
    else:
        expected = EXPECTED.get(first["type"], first["msg"].removeprefix("Input should be "))
        expected = expected.format(**first.get("ctx", {}))
    return place, f"found {first['input']!r}; expected {expected}"
