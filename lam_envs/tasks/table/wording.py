"""Sentences of a person for the commands of Table, in place of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lam_envs.observation import Command, Instructions
from lam_envs.observation.instructions import SPLITS, check_instruction, normalize_instruction
from lam_envs.tasks.table.commands import (
    OBJECTS,
    TARGETS,
    VERBS,
    command_name,
    instructions_for,
    names_of,
    phrase,
)
from lam_envs.validation import unknown_name

PLACEHOLDERS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("lift", "bin", "drawer"), ("x",)),
    **dict.fromkeys(("left", "right", "push", "stack"), ("x", "y")),
    **dict.fromkeys(("open", "close"), ()),
}
"""Names in braces of the sentences of each verb: the moved object, and the target."""
LONGEST_OBJECT, LONGEST_TARGET = (max(map(phrase, names), key=len) for names in (OBJECTS, TARGETS))
"""Longest words for an object and for a target."""
Wording = Mapping[str, Sequence[str]]
"""Sentences of a verb."""


def check_wording(value: Any) -> Wording:
    """Check the keyword ``wording``, and return it.

    Args:
        value: A dict of lists of sentences by verb. In a sentence, ``{x}`` stands for the object that is moved, and
            ``{y}`` for the target.

    Raises:
        ValueError: A verb is unknown, or a sentence lacks a name or has another one.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"wording is {value!r}; expected a dict of sentences by verb, {{'bin': ['recycle {{x}}']}}")
    for verb, sentences in value.items():
        if verb not in VERBS:
            raise ValueError(f"wording: {unknown_name('verb', verb, VERBS)}")
        if isinstance(sentences, str) or not isinstance(sentences, Sequence) or not sentences:
            raise ValueError(f"wording of {verb} is {sentences!r}; expected a list of sentences")
        for sentence in sentences:
            _check_sentence(verb, sentence)
    return {verb: tuple(sentences) for verb, sentences in value.items()}


def _check_sentence(verb: str, sentence: Any) -> None:
    check_instruction(f"the wording of {verb}", sentence)
    placeholders = PLACEHOLDERS[verb]
    if not _has_placeholders(sentence, placeholders):
        names = " and ".join(f"{{{name}}}" for name in placeholders)
        expected = f"{names} once, and no other name in braces" if placeholders else "no name in braces"
        raise ValueError(f"a sentence in the wording of {verb} is {sentence!r}; expected {expected}")
    # With the longest names: an error later would end a collection.
    check_instruction(f"the wording of {verb}, with names,", _filled(sentence, LONGEST_OBJECT, LONGEST_TARGET))


def _has_placeholders(sentence: str, placeholders: Sequence[str]) -> bool:
    """Return True if a sentence has each name once, and no other braces: ``str.format`` would read attributes."""
    rest = sentence
    for name in placeholders:
        if rest.count(f"{{{name}}}") != 1:
            return False
        rest = rest.replace(f"{{{name}}}", "")
    return "{" not in rest and "}" not in rest


def check_distinct(wording: Wording, commands: Sequence[Command]) -> None:
    """Check that each sentence of the wording asks for one command only.

    Args:
        wording: Sentences by verb.
        commands: Commands of the environment.

    Raises:
        ValueError: Two commands have the same sentence, apart from case and final punctuation.
    """
    if not wording:
        return
    owners: dict[str, Command] = {}
    for command in commands:
        sentences = worded_instructions(command, wording)
        for sentence in (text for split in SPLITS for text in sentences.split(split)):
            owner = owners.setdefault(normalize_instruction(sentence), command)
            if owner != command and not wording.keys().isdisjoint({VERBS[owner[0]], VERBS[command[0]]}):
                raise ValueError(
                    f"wording: {sentence!r} asks for both {command_name(owner)!r} and {command_name(command)!r}; "
                    "expected different sentences for different commands"
                )


def worded_instructions(command: Command, wording: Wording) -> Instructions:
    """Return the sentences that ask for a command: those of the wording, or else those of the task."""
    verb = VERBS[command[0]]
    if verb not in wording:
        return instructions_for(command)
    one, other = names_of(command)
    filled = tuple(_filled(sentence, phrase(one), phrase(other)) for sentence in wording[verb])
    return Instructions(filled, filled)


def _filled(sentence: str, one: str, other: str) -> str:
    """Return a sentence with the words for the moved object and for the target."""
    return sentence.replace("{x}", one).replace("{y}", other)
