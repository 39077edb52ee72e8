"""Read a suite from YAML; an error names file, line and key.

An agent is a name, or a mapping with what differs for it in this suite::

    agents:
      - bc
      - {agent: gail, label: gail-from-scratch, settings: {warm_start: none}, environments: [LamReach-v0]}
      - {agent: bc, demonstrations: [10, 25, 50], demonstrator: [expert, noisy]}
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from agents.pretraining.settings import ENCODER, ENCODER_SETTINGS
from agents.registry import AGENTS, find
from agents.spec import spec_of
from agents.training.provenance import settings_type
from agents.types import Keywords
from benchmarks.suite.conditions import AS_TRAINED, Condition
from benchmarks.suite.demonstrations import Demonstrations
from benchmarks.suite.fields import SuiteModel, call_third_party
from benchmarks.suite.schema import ANY, MODELS, AgentKeys, DatasetKeys, SuiteKeys
from benchmarks.suite.stages import Adaptation, Pretraining
from benchmarks.suite.suite import (
    AgentEntry,
    SpeedSuite,
    Suite,
    learns,
    needs_demonstrations,
)
from benchmarks.suite.yaml_lines import line_of, plain, read
from demos.collection.human_demonstrator import HUMAN

SUITES = Path(__file__).parents[1] / "suites"
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
        key_path: Keys that lead to it.
    """

    def __init__(self, message: str, *key_path: str | int) -> None:
        super().__init__(message)
        self.key_path = key_path


def suite_names() -> list[str]:
    """Return the names of the suites that come with the package."""
    return sorted(_suite_files())


def _suite_files() -> dict[str, Path]:
    return {file.stem: file for file in SUITES.rglob("*.yaml")}


def suite_path(name: str) -> Path:
    """Return the file of a suite.

    Args:
        name: Name of a suite that comes with the package, or path of a YAML file.

    Raises:
        FileNotFoundError: There is no such suite.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {name}")
        return path
    files = _suite_files()
    if name not in files:
        there = ", ".join(sorted(files))
        raise FileNotFoundError(f"no suite {name!r}; expected one of {there}, or the path of a YAML file")
    return files[name]


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
    with _errors_with_location(path, data):
        file = SuiteKeys.model_validate(plain(data), context=allow_pickle)
        entries = [_entry(agent, file, "agents", key_path) for key_path, agent in enumerate(file.agents)]
    labels = [entry.label for entry in entries]
    added = tuple(agent for agent in dict.fromkeys(extra_agents) if agent not in labels)
    for agent in added:
        try:
            entries.append(_entry(AgentKeys.model_validate(agent, context=allow_pickle), file))
        except ValueError as error:
            raise ValueError(f"--agent {agent}: {_described(error)[1]}") from error
    with _errors_with_location(path, data):
        if file.videos is not None and file.videos.agent not in labels:
            raise _SuiteError(f"{file.videos.agent!r} is not among the agents", "videos", "agent")
        same = {name: getattr(file, name) for name in ("name", "note", "demonstration_seed", "evaluation", "videos")}
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


def is_speed_suite(name: str) -> bool:
    """Return True if a suite measures the speed of environments: it has the key ``rounds``.

    Raises:
        FileNotFoundError: There is no such suite.
        ValueError: The file is not valid YAML.
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
    with _errors_with_location(path, data):
        return SpeedSuite.model_validate(plain(data))


def _entry(agent: AgentKeys, file: SuiteKeys, *key_path: str | int) -> AgentEntry:
    """Return an agent of the suite; keys that it omits are those of the suite."""
    learned = learns(agent.agent)
    for key in ("training_env", "training_seeds", "periodic_eval"):
        # An empty training_env changes nothing for an agent that does not learn.
        if getattr(agent, key) not in (None, {}) and not learned:
            raise _SuiteError(f"{agent.agent} does not learn: remove {key}", *key_path, key)
    from_demonstrations = learned and needs_demonstrations(agent.agent)
    for key in ("demonstrations", "demonstrator"):
        if getattr(agent, key) is not None and not from_demonstrations:
            raise _SuiteError(f"{agent.agent} needs no demonstrations: remove {key}", *key_path, key)
    for key, needed in (("training_seeds", learned), ("demonstration_seed", from_demonstrations)):
        if needed and getattr(file, key) is None and getattr(agent, key, None) is None:
            raise _SuiteError(f"{agent.agent} learns, and the suite lacks {key}", *key_path, "agent")
    demonstrators = agent.demonstrator or file.demonstrator
    from_person = from_demonstrations and agent.mixture is None and HUMAN in demonstrators
    motion = agent.motion or file.motion
    if from_person and motion is None:
        raise _SuiteError(f"{agent.label} learns from a person; the suite lacks motion", *key_path, "demonstrator")
    if agent.motion is not None and not from_person:
        raise _SuiteError(f"{agent.label} does not learn from a person: remove motion", *key_path, "motion")
    environments = agent.environments or file.environments
    if environments is None:
        raise _SuiteError(f"agent {agent.label} has no environments; list ids, here or for all agents", *key_path)
    counts, mixture = {}, _mixture(agent, file, *key_path)
    if from_demonstrations and not mixture:
        numbers = agent.demonstrations or file.demonstrations or {}
        where = (*key_path, "demonstrations") if agent.demonstrations else ("demonstrations",)
        for name in environments:
            if name not in numbers and ANY not in numbers:
                raise _SuiteError(f"agent {agent.label} has no number of demonstrations for {name}", *where)
            counts[name] = numbers.get(name) or numbers[ANY]
    return AgentEntry(
        agent=agent.agent,
        label=agent.label,
        settings=agent.settings,
        environments=environments,
        demonstrations=counts,
        demonstrators=demonstrators,
        env=file.env if agent.env is None else agent.env,
        training_env=file.training_env if agent.training_env is None else agent.training_env,
        training_seeds=agent.training_seeds,
        periodic_eval=agent.periodic_eval is not False,
        motion=motion.motion() if from_person and motion is not None else None,
        mixture=mixture,
        pretraining=_pretraining(agent, file, *key_path),
        adaptation=_adaptation(agent, file, *key_path),
    )


def _pretraining(agent: AgentKeys, file: SuiteKeys, *key_path: str | int) -> Pretraining | None:
    """Return the pre-training of an agent's encoder; None without one."""
    keys = agent.pretraining
    if keys is None:
        return None
    where = (*key_path, "pretraining")
    if file.demonstration_seed is None:
        raise _SuiteError("pre-training needs episodes, and the suite lacks demonstration_seed", *where)
    kind = settings_type(agent.agent, agent.settings)
    if kind is None or ENCODER not in kind.model_fields:
        raise _SuiteError(f"{agent.agent} has no setting {ENCODER}: remove pretraining", *where)
    if ENCODER_SETTINGS & agent.settings.keys():
        raise _SuiteError(f"give {' or '.join(sorted(ENCODER_SETTINGS))} by pretraining", *key_path, "settings")
    datasets = _datasets(keys.datasets, file.env if agent.env is None else agent.env, file, *where)
    return Pretraining(keys.method, datasets, keys.settings, keys.freeze)


def _adaptation(agent: AgentKeys, file: SuiteKeys, *key_path: str | int) -> Adaptation | None:
    """Return the adaptation of a trained agent; None without one."""
    keys = agent.adaptation
    if keys is None:
        return None
    where = (*key_path, "adaptation")
    kind = find(agent.agent)
    if agent.agent not in AGENTS or not learns(agent.agent) or spec_of(kind).takes_several_environments:
        raise _SuiteError(f"{agent.agent} cannot be adapted: remove adaptation", *where)
    if keys.condition not in file.conditions:
        known = ", ".join(name for name in file.conditions if name != AS_TRAINED)
        raise _SuiteError(f"no condition {keys.condition!r}; expected one of {known}", *where, "condition")
    changes = file.conditions[keys.condition].model_fields_set
    if changes != {"env"}:
        raise _SuiteError(f"agents are adapted to changes of env; {keys.condition!r} has others", *where, "condition")
    env = file.conditions[keys.condition].env
    return Adaptation(keys.method, keys.condition, env, keys.budget, keys.settings)


def _mixture(agent: AgentKeys, file: SuiteKeys, *key_path: str | int) -> tuple[Demonstrations, ...]:
    """Return the datasets of an agent that learns from several at once; empty without a mixture."""
    if agent.mixture is None:
        return ()
    where = (*key_path, "mixture")
    kind = find(agent.agent)
    if not isinstance(kind, type) or not spec_of(kind).takes_several_environments:
        raise _SuiteError(f"{agent.agent} learns in one environment: remove mixture", *where)
    for key in ("demonstrations", "demonstrator"):
        if getattr(agent, key) is not None:
            raise _SuiteError(f"give {key} in mixture", *key_path, key)
    training_env = file.training_env if agent.training_env is None else agent.training_env
    keywords = {**(file.env if agent.env is None else agent.env), **training_env}
    return _datasets(agent.mixture, keywords, file, *where)


def _datasets(
    entries: Sequence[DatasetKeys], keywords: Keywords, file: SuiteKeys, *where: str | int
) -> tuple[Demonstrations, ...]:
    """Return a dataset for each environment and demonstrator of each entry, all of them different."""
    seed = file.demonstration_seed or 0
    datasets = [
        Demonstrations(
            environment,
            entry.demonstrations,
            demonstrator,
            seed if entry.seed is None else entry.seed,
            keywords | entry.env,
        )
        for entry in entries
        for environment in entry.environments
        for demonstrator in entry.demonstrator
    ]
    ids = [dataset.id for dataset in datasets]
    twice = next((name for place, name in enumerate(ids) if name in ids[:place]), None)
    if twice is not None:
        raise _SuiteError(f"the dataset {twice} is listed twice", *where)
    return tuple(datasets)


def _check_conditions(suite: Suite) -> None:
    """Check that each environment can be made for each training and under each condition."""
    made: list[tuple[str, Condition]] = []

    def check(environment: str, condition: Condition, *key_path: str | int) -> None:
        if (environment, condition) not in made:
            made.append((environment, condition))
            try:
                call_third_party(condition.make, environment).close()
            except ValueError as error:
                raise _SuiteError(str(error), *key_path) from error

    for cell in suite.cells():
        for key in ("env", "training_env"):
            if getattr(cell, key):
                place = next(place for place, entry in enumerate(suite.agents) if entry.label == cell.label)
                check(
                    cell.environment,
                    Condition(env=cell.trained_env if key == "training_env" else cell.env),
                    "agents",
                    place,
                    key,
                )
        check(cell.environment, cell.perturbation, "conditions", cell.condition)


def _check_names(suite: Suite) -> None:
    """Check that no two cells would be stored in the same file, or have the same name in a report."""
    measured = [(environment, entry.label) for entry in suite.agents for environment in entry.environments]
    for environment, label in measured:
        if measured.count((environment, label)) > 1:
            raise _SuiteError(f"two agents have the label {label!r} in {environment}; change one", "agents")
    # Some file systems are case-insensitive.
    names = [cell.name.casefold() for cell in suite.cells()]
    twice = next((name for position, name in enumerate(names) if name in names[:position]), None)
    if twice is not None:
        raise _SuiteError(f"two results would be stored as {twice!r}; change the label of one agent", "agents")


@contextmanager
def _errors_with_location(path: Path, data: object) -> Iterator[None]:
    """Add file, line and key to the errors of a block."""
    try:
        yield
    except (ValidationError, _SuiteError) as error:
        key_path, message = _described(error)
        key = (
            ".".join(part for part in key_path if part not in ("[key]", ANY) and isinstance(part, str)) or "the suite"
        )
        raise ValueError(f"{path}, line {line_of(data, key_path)}, {key}: {message}") from None


def _keys(key_path: tuple[str | int, ...], whole: type[SuiteModel]) -> str:
    """Return the keys of the innermost part of a file on a path."""
    parts = [MODELS[name] for name in key_path if isinstance(name, str) and name in MODELS]
    return ", ".join((parts[-1] if parts else whole).model_fields)


def _described(error: ValueError) -> tuple[tuple[str | int, ...], str]:
    """Return key path and message of an error; of a validation, those of its first error, unknown keys first."""
    if not isinstance(error, ValidationError):
        return getattr(error, "key_path", ()), str(error)
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    key_path = first["loc"]
    whole = SpeedSuite if error.title == SpeedSuite.__name__ else SuiteKeys
    if first["type"] == "missing":
        return key_path[:-1], f"lacks {key_path[-1]}"
    if first["type"] == "extra_forbidden":
        return key_path, f"unknown key {key_path[-1]!r}; expected one of {_keys(key_path[:-1], whole)}"
    if first["type"] == "value_error":
        return key_path, str(first["ctx"]["error"])
    if first["type"] == "model_type":
        expected = f"a mapping with {_keys(key_path, whole)}"
    else:
        expected = EXPECTED.get(first["type"], first["msg"].removeprefix("Input should be "))
        expected = expected.format(**first.get("ctx", {}))
    return key_path, f"found {first['input']!r}; expected {expected}"
