"""Saved models of the agent ``lam``: weights, and the entities, robots and controls that they are for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.imitation.lam.entities import Schema
from agents.imitation.lam.networks.base import ChunkNetwork
from agents.imitation.lam.settings import LamSettings
from agents.policies.encoders.sentences import check_encoder, encoder_record
from agents.policies.networks import set_weights
from agents.training.randomness import isolated_rng
from agents.training.saving.storage import WEIGHTS, read_weights
from agents.training.settings import read_settings, recorded_settings
from agents.types import JsonObject

MAX_ACTION = 64
"""Largest number of numbers in an action of a saved model, a third party's file."""
MAX_NAMES = 64
"""Largest number of names of robots, and of controls, in a saved model."""


def model_description(network: ChunkNetwork, controls: Sequence[str]) -> JsonObject:
    """Return what a network needs besides its settings, as plain data.

    Args:
        network: Network.
        controls: Names of the controls that it was trained with.
    """
    return {
        "schema": network.schema.as_json(),
        "robots": list(network.robots),
        "controls": list(controls),
        "action_size": network.action_size,
        **({"sentence_encoder": encoder_record()} if network.known_sentences else {}),
    }


@dataclass(frozen=True)
class SavedModel:
    """Saved model.

    Attributes:
        settings: All settings, by name.
        training: Record of the training; None without one.
        network: Network with the saved weights.
        controls: Names of the controls that it was trained with.
        checksum: SHA-256 of the weights.
    """

    settings: JsonObject
    training: JsonObject | None
    network: ChunkNetwork
    controls: tuple[str, ...]
    checksum: str


def read_model(name: str, directory: str | Path) -> SavedModel:
    """Read a saved model.

    Args:
        name: Name of the agent.
        directory: Folder of the model.

    Raises:
        FileNotFoundError: There is no saved model.
        ModuleNotFoundError: The sentence encoder that it matches instructions with is not installed.
        ValueError: The files are damaged or of another agent, or the installed sentence encoder has other weights.
    """
    description, weights = read_weights(directory, name, {})
    settings = read_settings(name, LamSettings, description["settings"])
    try:
        model = description["model"]
        schema = Schema.from_json(model["schema"])
        robots, controls = (tuple(map(str, model[part])) for part in ("robots", "controls"))
        action_size = int(model["action_size"])
        if max(len(robots), len(controls)) > MAX_NAMES or not 1 <= action_size <= MAX_ACTION:
            raise ValueError(f"it has {len(robots)} robots and actions of {action_size} numbers")
        if schema.by_name != settings.network_class.by_name:
            raise ValueError(f"its schema is not one of the network {settings.network}")
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"the description of the model in {directory} is damaged: {error!r}") from error
    if settings.match_sentences:
        check_encoder(model.get("sentence_encoder"))
    with isolated_rng(0):
        network = settings.network_class(schema, robots, action_size, settings.sizes)
    try:
        set_weights(network, weights)
    except ValueError as error:
        raise ValueError(f"the weights in {directory} do not fit their description: {error}") from error
    checksum = hashlib.sha256((Path(directory) / WEIGHTS).read_bytes()).hexdigest()
    complete = recorded_settings(LamSettings, settings.model_dump())
    return SavedModel(complete, description.get("training"), network, controls, checksum)
