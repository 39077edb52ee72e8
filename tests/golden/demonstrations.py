"""Golden demonstrations: each expert, each demonstrator, each strategy, and a collected dataset."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial

import gymnasium as gym

import demos
from demos.collection.demonstrators import DEMONSTRATORS
from demos.collection.plan import Plan
from demos.collection.shards import Recorder
from demos.collection.strategies import STRATEGIES
from demos.collection.versions import demonstration_versions
from demos.datasets.checksum import checksum
from demos.experts import EXPERTS
from lam_envs.registration import env_id
from tests.golden.case import Case, digest


def recording(plan: Plan) -> str:
    """Hash the first episode of a collection: labels, executed actions, observations, rewards."""
    env = gym.make(plan.env_id, **plan.env_kwargs)
    try:
        episode, failed = Recorder(plan, env).episode(0)
    finally:
        env.close()
    parts = (episode.observations, episode.actions, episode.executed_actions, episode.rewards)
    return digest([*parts, episode.success, episode.seed, failed])


def collection(plan: Plan) -> str:
    """Return the checksum of a collected dataset."""
    with tempfile.TemporaryDirectory() as root:
        dataset = demos.collect(
            plan.env_id,
            episodes=plan.episodes,
            seed=plan.seed,
            demonstrator=plan.demonstrator,
            strategy=plan.strategy,
            root=root,
        )
        return checksum(dataset)


def cases() -> Iterator[Case]:
    """Yield the canonical demonstrations."""

    def case(name: str, plan: Plan, run: object = recording) -> Case:
        versions = demonstration_versions(plan.env_id, plan.env_kwargs, plan.demonstrators, plan.strategies)
        return Case("demonstrations", name, versions, partial(run, plan))  # type: ignore[arg-type]

    for task in EXPERTS:
        yield case(f"expert of {task}", Plan(env_id(task), seed=3))
    for control in ("ee_yaw", "joint", "discrete"):
        yield case(f"expert by {control}", Plan("LamGrasp-v0", {"control": control}, seed=3))
    for demonstrator in DEMONSTRATORS:
        yield case(f"{demonstrator} demonstrator", Plan("LamGrasp-v0", seed=3, demonstrator=demonstrator))
    yield case("noisy discrete demonstrator", Plan("LamReachDiscrete-v0", seed=3, demonstrator="noisy"))
    for strategy in STRATEGIES:
        yield case(f"strategy {strategy}", Plan("LamPickPlace-v0", seed=3, strategy=strategy))
    chain = Plan("LamTable-v0", {"chain": 2, "commands": ["lift", "close"]}, seed=3)
    yield case("successive commands", chain)
    mixed = Plan("LamReach-v0", episodes=6, seed=3, demonstrator="mixed", strategy="all")
    yield case("mixed dataset", mixed, collection)
