"""Request of an episode: its command, which success refers to, and its instruction, which an agent gets."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lam_envs.observation.instructions import (
    BYTE_PAIRS,
    SPLITS,
    Command,
    Split,
    check_instruction,
    instruction_from_numbers,
    instruction_to_numbers,
    normalize_instruction,
)
from lam_envs.tasks import Task

MAX_WORDING = 1 << 16
"""Upper bound of the number that selects a paraphrase."""


class Request(NamedTuple):
    """Command and instruction of an episode."""

    command: Command = ()
    """Command that success refers to."""
    wording: int = 0
    """Number that selects one of the paraphrases of a command."""
    instruction: str = ""
    """Sentence that an agent gets."""

    def to_numbers(self) -> list[float]:
        """Return the request as numbers of a state vector, see :func:`request_size`."""
        return [*self.command, self.wording, *instruction_to_numbers(self.instruction)]


def request_size(task: Task) -> int:
    """Return the length of the request in a state vector."""
    return len(task.command_high) + 1 + BYTE_PAIRS


def request_from_numbers(numbers: Sequence[float], task: Task) -> Request:
    """Invert :meth:`Request.to_numbers`.

    Raises:
        ValueError: The task cannot have this request.
    """
    size = len(task.command_high)
    command = check_command("the command in the state", numbers[:size], task)
    wording = numbers[size]
    # `in range(...)` would compare a float with each integer.
    if not (0 <= wording < MAX_WORDING and wording == int(wording)):
        raise ValueError(f"the wording in the state is {wording:g}; expected an integer from 0 to {MAX_WORDING - 1}")
    return Request(command, int(wording), instruction_from_numbers(numbers[size + 1 :]))


def wording_of(start: npt.NDArray[np.float64]) -> int:
    """Return the number that selects the paraphrase of an episode that begins in a state.

    It follows from the state instead of being sampled. So episodes do not depend on the sentences, and a state
    without an instruction continues with the same sentence.

    Args:
        start: Physical state of the scene, and the desired goal.
    """
    # Rounded, as processors may differ in the last bits.
    return zlib.crc32(np.round(start * 1e4).astype("<i8").tobytes()) % MAX_WORDING


def worded(task: Task, command: Command, wording: int, split: Split) -> Request:
    """Return the request of a command in the paraphrase that a number selects."""
    sentences = task.instructions_for(command).split(split)
    return Request(command, wording, sentences[wording % len(sentences)])


def check_paraphrases(task: Task, split: Split) -> None:
    """Check that each command of a task has sentences for training, and of a split.

    Raises:
        ValueError: A command has none.
    """
    sentences = {command: task.instructions_for(command) for command in task.commands()}
    for command, each in sentences.items():
        of_command = f" for the command {command}" if command else ""
        if not each.train:
            raise ValueError(
                f"the instructions of {type(task).__name__}{of_command} have no sentence in train; expected at least "
                "one"
            )
        if not each.split(split):
            complete = [name for name in SPLITS if all(one.split(name) for one in sentences.values())]
            raise ValueError(
                f"paraphrases is {split!r}, and task {task.name} has no such sentence{of_command}; expected "
                f"{' or '.join(complete)}"
            )


def check_command(what: str, command: Any, task: Task) -> Command:
    """Check that a value is a command of a task, and return it as a tuple of integers.

    Args:
        what: Name of the value in errors.
        command: The value.
        task: The task.

    Raises:
        ValueError: It has another length, a number is out of range, or the task has no such command.
    """
    try:
        numbers = np.asarray(command)
    except (TypeError, ValueError):
        numbers = np.array(None)
    high = task.command_high
    is_command = numbers.shape == (len(high),) and (numbers.dtype.kind in "iuf" or not high)
    if not is_command or any(
        number not in range(last + 1) for number, last in zip(numbers.tolist(), high, strict=True)
    ):
        limits = ", ".join(f"0 to {last}" for last in high)
        expected = f"{len(high)} integers ({limits})" if high else "(): this task always asks for the same"
        raise ValueError(f"{what} is {command!r}; expected {expected}")
    checked = tuple(int(number) for number in numbers.tolist())
    if high and checked not in task.commands():
        raise ValueError(f"{what} is {checked}, no command of {task.name}; env.unwrapped.commands lists them")
    return checked


def find_command(instruction: str, task: Task) -> Command | None:
    """Return the command that an instruction asks for, or None if no sentence of the task matches.

    Case, surrounding white space and ``.`` or ``!`` at the end are ignored.
    """
    normalized = normalize_instruction(instruction)
    for command in task.commands():
        sentences = task.instructions_for(command)
        if any(normalized == normalize_instruction(text) for split in SPLITS for text in sentences.split(split)):
            return command
    return None


def command_option(value: Any, task: Task) -> Command:
    """Return the command that an option of ``reset`` sets.

    Args:
        value: One of ``env.unwrapped.commands``, a tuple of integers. Success refers to it, and the instruction asks
            for it, unless the option ``instruction`` gives another one.
        task: The task.

    Raises:
        ValueError: The task has no such command.
    """
    return check_command("reset option 'command'", value, task)


def instruction_option(value: Any, task: Task) -> str:
    """Return the instruction that an option of ``reset`` sets.

    Args:
        value: Sentence that the agent gets, at most 128 bytes. A sentence of the task also sets its command. Other
            words need the option ``command`` in tasks with several commands.
        task: The task.

    Raises:
        ValueError: It is not a text, or is too long.
    """
    return check_instruction("reset option 'instruction'", value)


def complete(command: Command | None, instruction: str | None, task: Task) -> Command | None:
    """Return the command that an instruction asks for, if no command is given with it.

    Raises:
        ValueError: The words are unknown.
    """
    if command is not None or instruction is None or not task.command_high:
        return command
    found = find_command(instruction, task)
    if found is None:
        known = task.instructions_for(task.commands()[0]).train[0]
        raise ValueError(
            f"reset option 'instruction' is {instruction!r}, whose command is unknown; expected a sentence of the "
            f"task, such as {known!r}, or also the option 'command'"
        )
    return found
