"""Golden stages: losses and weights of pre-trained encoders and of adapted agents after a few updates."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import gymnasium as gym
import minari

import agents
import demos
from agents.data.demonstrations import DemonstrationData
from agents.deployment.adaptation.case import Case as Adaptation
from agents.deployment.adaptation.methods import METHODS as ADAPTATIONS
from agents.deployment.adaptation.methods import adaptation_settings, adaptation_versions, find_method
from agents.pretraining.methods import METHODS, pretraining_versions
from agents.pretraining.pretraining import pretrain
from demos.collection.versions import demonstration_versions
from tests.golden.case import Case
from tests.golden.trainings import Noted, demonstrations, folder

IMAGES: dict[str, Any] = {"image_width": 24, "image_height": 24}
DELAYED: dict[str, Any] = {"randomize": {"action_delay": [1, 1]}}
FEW: dict[str, Any] = {"updates": 10, "batch_size": 32}
ADAPTED: dict[str, tuple[int, dict[str, Any]]] = {
    "demonstrations": (1, FEW),
    "queries": (80, {**FEW, "iterations": 2}),
    "reward": (80, {"hidden_sizes": (16,), "learning_starts": 40}),
}
"""Budget and settings of each method of adaptation."""


@cache
def images() -> minari.MinariDataset:
    """Collect episodes with small images, once for all methods."""
    return demos.collect("LamReachPixels-v0", episodes=2, seed=3, env_kwargs=IMAGES, root=folder().name)


def pretrained(method: str) -> dict[str, Any]:
    """Pre-train an encoder for a few updates; return what it logged and the norms of its matrices.

    Biases are left out: some of them move all features alike, which changes no loss. Adam makes whole steps of the
    rounding errors of their gradients, which differ between processors.
    """
    run = Noted()
    encoder = pretrain(method, [images()], seed=5, budget=2, run=run, width=16, batch_size=16)
    norms = [float(each.norm()) for name, each in encoder.weights.items() if name.endswith(".weight")]
    return {"logged": run.numbers, "norms of weights": norms}


def adapted(method: str) -> list[float]:
    """Adapt an agent by a few updates; return the norms of its weights."""
    budget, settings = ADAPTED[method]
    home, env = gym.make("LamReach-v0"), gym.make("LamReach-v0", **DELAYED)
    try:
        data = DemonstrationData.of(demonstrations("LamReach-v0"))
        agent = agents.make("bc", home, hidden_sizes=(16,), batch_size=32)
        agent.learn(data, home, seed=5, budget=2)
        chosen = adaptation_settings(method, settings)
        changed = find_method(method).adapt(Adaptation(agent, env, budget, 5, chosen, Noted(), replay=data))
        return [float(value.norm()) for value in changed.weights().values()]
    finally:
        home.close()
        env.close()


def cases() -> list[Case]:
    """Return the golden cases of all methods."""
    seen = demonstration_versions("LamReachPixels-v0", IMAGES)
    acted = demonstration_versions("LamReach-v0", DELAYED)
    return [
        *(
            Case(
                "stages",
                f"pre-training by {method}",
                {**seen, **pretraining_versions(method)},
                partial(pretrained, method),
            )
            for method in METHODS
        ),
        *(
            Case(
                "stages",
                f"adaptation by {method}",
                {**acted, **adaptation_versions(method)},
                partial(adapted, method),
            )
            for method in ADAPTATIONS
        ),
    ]
