"""Words of the instruction that mattered: the action without each of them."""

from __future__ import annotations

import re

import numpy as np

from agents.explain.case import Case, Explanation
from agents.explain.functions import UnavailableError
from agents.explain.references import by_part
from agents.types import Observation
from lam_envs.observation.instructions import INSTRUCTION_KEY, decode_instruction, encode_instruction


def explain_words(case: Case) -> Explanation:
    """Return how much the action changes without each word."""
    first = case.trace.observations[0]
    if not (isinstance(first, dict) and INSTRUCTION_KEY in first):
        raise UnavailableError("the policy reads no instruction: make the environment with instruct=true")
    steps = []
    known: dict[int, list[list[object]]] = {}
    for step in case.steps:
        planned = case.trace.planned(step)
        key = planned * len(case.trace) + step - planned
        if key not in known:
            known[key] = word_changes(case, step, case.trace.observations[planned])
        steps.append(known[key])
    return Explanation(
        "Words that mattered",
        "Change of the action without each word of the instruction (root mean square over its numbers).",
        "words",
        steps,
    )


def word_changes(case: Case, step: int, observation: Observation) -> list[list[object]]:
    """Return pairs of each word and the change of the action without it."""
    parts = by_part(observation)
    text = decode_instruction(parts[INSTRUCTION_KEY])
    words = list(re.finditer(r"\S+", text))
    variants = [parts]
    for word in words:
        rest = f"{text[: word.start()]} {text[word.end() :]}".strip() or "."
        variants.append({**parts, INSTRUCTION_KEY: encode_instruction(rest)})
    outputs = case.actions(step, variants)
    changes = np.sqrt(np.mean((outputs[1:] - outputs[0]) ** 2, axis=1))
    return [[word.group(), round(float(change), 5)] for word, change in zip(words, changes, strict=True)]
