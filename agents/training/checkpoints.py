"""Checkpoints: the state of an unfinished training in one file, written atomically, read without running code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from agents.types import State
from demos.runtime.files import write_atomically

TREE = "tree"
ARRAY, LIST, DICT = "array", "list", "dict"


def write_state(path: Path, state: object) -> Path:
    """Write a state.

    Args:
        path: Path of the file.
        state: Dicts, lists and tuples of tensors, NumPy arrays, numbers, strings, booleans and None.

    Raises:
        TypeError: The state holds an object of another type.
    """
    arrays: dict[str, torch.Tensor] = {}
    tree = json.dumps(_encode(state, arrays))
    return write_atomically(path, save(arrays, metadata={TREE: tree}))


def read_state(path: Path) -> State:
    """Read what :func:`write_state` wrote; tuples are lists now, and arrays are tensors.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is damaged.
    """
    # safetensors reports an unreadable file as missing: open raises the right error.
    path.open("rb").close()
    try:
        with safe_open(path, framework="pt") as file:
            state: State = _decode(json.loads(file.metadata()[TREE]), file)
            return state
    except (SafetensorError, OSError, TypeError, KeyError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}): delete it to train from scratch") from error


def _encode(part: object, arrays: dict[str, torch.Tensor]) -> object:
    if isinstance(part, (torch.Tensor, np.ndarray)):
        name = str(len(arrays))
        tensor = torch.as_tensor(part).detach().cpu()
        # Neither views nor tensors that share memory can be stored.
        arrays[name] = tensor.clone(memory_format=torch.contiguous_format)
        return [ARRAY, name]
    if isinstance(part, dict):
        return [DICT, [[_key(key), _encode(value, arrays)] for key, value in part.items()]]
    if isinstance(part, (list, tuple)):
        return [LIST, [_encode(value, arrays) for value in part]]
    if isinstance(part, np.generic):
        part = part.item()
    if part is None or isinstance(part, (bool, int, float, str)):
        return part
    raise TypeError(f"a checkpoint cannot hold a {type(part).__name__}")


def _key(key: object) -> str | int:
    if not isinstance(key, (str, int)):
        raise TypeError(f"a checkpoint cannot hold a key of type {type(key).__name__}")
    return key


def _decode(tree: Any, file: Any) -> Any:
    if not isinstance(tree, list):
        return tree
    kind, content = tree
    if kind == ARRAY:
        return file.get_tensor(content)
    if kind == DICT:
        return {key: _decode(value, file) for key, value in content}
    if kind == LIST:
        return [_decode(value, file) for value in content]
    raise ValueError(f"unknown kind of part {kind!r}")
