"""Types of environments, spaces, observations and tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from demos.runtime.types import Action, Array, Env, Info, JsonObject, Keywords, Memory, Observation, Space

if TYPE_CHECKING:
    import torch  # not every command needs it

__all__ = [
    "Action", "Array", "Env", "Info", "JsonObject", "Keywords", "Memory", "Observation", "Space", "Start", "State",
    "Tensors",
]  # fmt: skip

Tensors: TypeAlias = "torch.Tensor | dict[str, torch.Tensor]"
"""Observations of shape (N, ...) on a device, or a dict of such."""
State: TypeAlias = dict[str, Any]
"""State in a checkpoint: dicts, lists and tuples of tensors, arrays, numbers, strings, booleans and None."""
Start: TypeAlias = "Sequence[bool] | Array | None"
"""True for each environment whose episode starts; None if no episode starts."""
