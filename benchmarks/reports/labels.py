"""Descriptions of the agents of a suite by label, in words."""

from __future__ import annotations

from collections.abc import Sequence

from agents.types import JsonObject, Keywords


def label_descriptions(suite: JsonObject) -> dict[str, str]:
    """Return a description of each label that is not just the name of an agent."""
    parts = ("settings", "mixture", "env", "training_env", "training_seeds", "pretraining", "adaptation")
    return {
        entry["label"]: ", ".join(
            [
                entry["agent"],
                *(f"{name} {value}" for name, value in sorted(entry["settings"].items())),
                *_described_demonstrations(entry["demonstrations"], entry["demonstrators"]),
                *_described_mixture(entry.get("mixture", ())),
                *described_training(entry),
            ]
        )
        for entry in suite["agents"]
        if entry["label"] != entry["agent"] or any(entry.get(part) for part in parts)
    }


def has_own_seeds(suite: JsonObject) -> bool:
    """Return True if an agent of a suite has training seeds of its own."""
    return any(entry.get("training_seeds") is not None for entry in suite["agents"])


def described_training(entry: JsonObject) -> list[str]:
    """Describe the parts of a training that are not the default: motion, encoder, environments, adaptation and seeds.

    Args:
        entry: Agent of a suite, as plain data.
    """
    return [
        *_described_motion(entry.get("motion")),
        *_described_pretraining(entry.get("pretraining")),
        *_described_keywords("environment with", entry.get("env", {})),
        *_described_adaptation(entry.get("adaptation")),
        *_described_keywords("trained with", entry.get("training_env", {})),
        *_described_seeds(entry.get("training_seeds")),
    ]


def _described_motion(motion: JsonObject | None) -> list[str]:
    """Return the speed of the imitation of a person in words; empty for the person's own speed."""
    speed = 1.0 if motion is None else motion.get("speed", 1.0)
    return [] if speed == 1 else [f"recording imitated at up to {speed:g} times the person's speed"]


def _described_keywords(before: str, keywords: Keywords) -> list[str]:
    """Return keywords of an environment in words; empty without keywords."""
    return [f"{before} {name}={value}" for name, value in sorted(keywords.items())]


def _described_seeds(seeds: Sequence[int] | None) -> list[str]:
    """Return an agent's own training seeds in words; empty for those of the suite."""
    return [] if seeds is None else [f"training seed{'s' if len(seeds) > 1 else ''} {_enumerated(seeds)}"]


def _described_mixture(mixture: Sequence[JsonObject]) -> list[str]:
    """Return the datasets of a training for many environments in words; empty without a mixture."""
    count = sum(dataset["count"] for dataset in mixture)
    return [f"one training on {count} demonstrations of {len(mixture)} datasets"] if mixture else []


def _described_pretraining(pretraining: JsonObject | None) -> list[str]:
    """Return the pre-training of an encoder in words; empty without one."""
    if pretraining is None:
        return []
    count = sum(dataset["count"] for dataset in pretraining["datasets"])
    trained = "frozen" if pretraining["freeze"] else "fine-tuned"
    settings = [f"{name} {value}" for name, value in sorted(pretraining["settings"].items())]
    return [" ".join([f"{trained} encoder by {pretraining['method']} on {count} episodes", *settings])]


def _described_adaptation(adaptation: JsonObject | None) -> list[str]:
    """Return the adaptation of a trained agent in words; empty without one."""
    if adaptation is None:
        return []
    budget = "" if adaptation["budget"] is None else f" (budget {adaptation['budget']})"
    settings = [f"{name} {value}" for name, value in sorted(adaptation["settings"].items())]
    return [" ".join([f"adapted to {adaptation['condition']} by {adaptation['method']}{budget}", *settings])]


def _described_demonstrations(demonstrations: dict[str, list[int]], demonstrators: list[str]) -> list[str]:
    """Return the demonstrations of an agent in words; empty without demonstrations."""
    if not demonstrations:
        return []
    counts = _enumerated(sorted({count for own in demonstrations.values() for count in own}))
    if len(demonstrators) > 1:
        return [f"{counts} demonstrations of {_enumerated(demonstrators)}"]
    return [" ".join([counts, *(kind for kind in demonstrators if kind != "expert"), "demonstrations"])]


def _enumerated(items: Sequence[object]) -> str:
    """Return items as a phrase, such as ``expert, novice and human``."""
    *others, last = map(str, items)
    return f"{', '.join(others)} and {last}" if others else last
