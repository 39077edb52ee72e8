"""Submissions: the result of a third-party agent on a suite, as one JSON file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, model_validator

from agents.types import JsonObject
from benchmarks.runner.results import DAMAGE, CellResult, cell_content, checksum_of, parse_cell
from benchmarks.suite.fields import Items, SuiteModel, Text, problem_of
from benchmarks.suite.suite import AgentEntry, Cell, Suite, SuiteName
from demos.runtime.files import write_atomically

FORMAT = "lam-envs submission"
"""Value of ``format`` in the file of a submission."""
MAX_BYTES = 64 * 2**20
"""Largest file of a submission. Core has 3 MB."""


def _line(text: str) -> str:
    if not all(letter.isprintable() for letter in text):
        raise ValueError(f"found {text!r}; expected one line of printable text")
    return text


def _parsed(content: object) -> CellResult:
    if isinstance(content, CellResult):
        return content
    if not isinstance(content, dict):
        raise ValueError(f"expected a mapping, found {type(content).__name__}")
    try:
        return parse_cell(content)
    except DAMAGE as error:
        raise ValueError(problem_of(error)) from error


_BLANK: dict[str, Any] = {"agent": "", "label": "", "settings": {}}
"""Parts of a cell that only the agent determines, left blank."""
Line = Annotated[str, Field(max_length=500), AfterValidator(_line)]
Url = Annotated[str, Field(pattern=r"^(https?://[^\s\"'<>]+)?$", max_length=500)]
"""Address of a web page; empty for none."""
Command = Annotated[str, Field(max_length=4000), AfterValidator(_line)]
"""Command that measured a submission."""
Result = Annotated[CellResult, PlainValidator(_parsed), PlainSerializer(cell_content)]
"""Result of a cell, in the form of its file in a results folder."""


class SubmittedAgent(SuiteModel):
    """Description of an agent by its author."""

    name: Text = Field(description="Name on the leaderboard.")
    author: Line = Field(default="", description="Names of the authors.")
    url: Url = Field(default="", description="Web page of the agent: its code or paper.")
    data: Line = Field(default="", description="Training data.")
    version: Line = Field(default="", description="Version of its code, such as a Git commit.")


class Submission(SuiteModel):
    """Result of one agent on a suite."""

    format: Literal["lam-envs submission"] = "lam-envs submission"
    format_version: Literal[1] = 1
    agent: SubmittedAgent
    suite: SuiteName
    command: Command = Field(description="Command that measured it.")
    machine: JsonObject = Field(description="Machine that it was measured on.")
    results: Items[Result]

    @model_validator(mode="after")
    def _one_agent(self) -> Submission:
        names = [result.cell.name for result in self.results]
        twice = next((name for index, name in enumerate(names) if name in names[:index]), None)
        if twice is not None:
            raise ValueError(f"cell {twice!r} occurs twice; expected each cell once")
        other = next((result.cell.label for result in self.results if result.cell.label != self.agent.name), None)
        if other is not None:
            raise ValueError(f"found a result of agent {other!r}; expected only results of {self.agent.name!r}")
        return self

    @property
    def checksum(self) -> str:
        """Checksum of everything in the file."""
        return checksum_of(self.model_dump(mode="json"))


class _StoredSubmission(Submission):
    """A submission with the checksum that its file states."""

    stated: str = Field(alias="checksum")


def write_submission(path: Path, submission: Submission) -> Path:
    """Write a submission; if the process is killed, the file is complete or absent."""
    stored = _StoredSubmission(**dict(submission), checksum=submission.checksum)
    # Without indents: episodes are long lists of numbers.
    return write_atomically(path, stored.model_dump_json(by_alias=True) + "\n")


def read_submission(path: Path) -> Submission:
    """Read a submission, and check that it is complete and consistent.

    Args:
        path: File from an untrusted source.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, or its rates do not follow from its episodes.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it has {path.stat().st_size} bytes; expected at most {MAX_BYTES}")
        stored = _StoredSubmission.model_validate_json(path.read_bytes())
        submission = Submission(**{name: getattr(stored, name) for name in Submission.model_fields})
        if stored.stated != submission.checksum:
            raise ValueError("its checksum does not match")
    except DAMAGE as error:
        raise ValueError(f"the submission {path} is damaged: {problem_of(error)}") from error
    return submission


def example_entry(suite: Suite, environment: str, *, from_demonstrations: bool) -> AgentEntry | None:
    """Return the entry of a suite whose demonstrations and keywords a submitted agent gets; None without one.

    Args:
        suite: Suite of the submission.
        environment: Id of an environment.
        from_demonstrations: True for an agent that learns from demonstrations.
    """
    own = (entry for entry in suite.agents if environment in entry.environments)
    return next((entry for entry in own if not from_demonstrations or environment in entry.demonstrations), None)


def check_episodes(submission: Submission, suite: Suite) -> None:
    """Check that a submission was trained and measured as its suite defines, and is complete.

    It must have all conditions of each of its environments. An agent that learns must have all training seeds of the
    suite and no others, and the demonstrations of the suite if it learns from demonstrations.

    Args:
        submission: Submission to check.
        suite: Suite that it names.

    Raises:
        ValueError: A result is of another environment, condition, set of episodes or training, or some are missing.
    """
    cells = [result.cell for result in submission.results]
    learned = any(cell.training_seed is not None for cell in cells)
    from_demonstrations = any(cell.demonstrations is not None for cell in cells)
    for environment in dict.fromkeys(cell.environment for cell in cells):
        own = [cell for cell in cells if cell.environment == environment]
        expected = _expected_cells(suite, environment, learned=learned, from_demonstrations=from_demonstrations)
        evaluated = [_evaluated(cell) for cell in expected]
        for cell in own:
            if _evaluated(cell) not in evaluated:
                raise ValueError(
                    f"{cell.name} was not measured in an environment, condition and episodes of {suite.name}: "
                    "measure it by python -m benchmarks submit"
                )
            if _request(cell) not in expected:
                raise ValueError(
                    f"{cell.name} was not trained as suite {suite.name} trains an agent: its training seed is "
                    f"{cell.training_seed}, and it has {_data(cell)}; expected training seeds "
                    f"{list(suite.training_seeds) if learned else 'of no training'}, and "
                    f"{' or '.join(dict.fromkeys(map(_data, expected)))}"
                )
        for cell in expected:
            if cell not in map(_request, own):
                missing = f"condition {cell.condition}"
                missing += "" if cell.training_seed is None else f", training seed {cell.training_seed}"
                missing += f", {_data(cell)}" if from_demonstrations else ""
                raise ValueError(
                    f"{submission.agent.name} has no result of {environment}, {missing}; "
                    f"expected all conditions, training seeds and datasets of {suite.name}"
                )


def _expected_cells(suite: Suite, environment: str, *, learned: bool, from_demonstrations: bool) -> list[Cell]:
    """Return the cells of a submitted agent in an environment, without what only the agent determines.

    They follow from the suite alone, because reading a submission must not import its agent.
    """
    example = example_entry(suite, environment, from_demonstrations=from_demonstrations)
    if example is None:
        return []
    return suite.cells_of(
        example.model_copy(update={**_BLANK, "mixture": (), "pretraining": None, "adaptation": None}),
        environment,
        example.datasets(environment) if from_demonstrations else [(None, None)],
        suite.training_seeds if learned else None,
    )


def _request(cell: Cell) -> Cell:
    """Return a cell without what only the agent determines."""
    return replace(cell, **_BLANK)


def _evaluated(cell: Cell) -> tuple[object, ...]:
    """Return the parts of a cell that determine its episodes."""
    return cell.environment, cell.condition, cell.changes, cell.env, cell.first_seed, cell.episodes


def _data(cell: Cell) -> str:
    """Return the demonstrations of a cell as text."""
    if cell.demonstrations is None:
        return "no demonstrations"
    return f"{cell.demonstrations} demonstrations of {cell.demonstrator} with seed {cell.demonstration_seed}"
