"""Training of a network on a mixture, in one or several processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agents.imitation.lam.entities import Schema
from agents.imitation.lam.interface import Interface
from agents.imitation.lam.mixture import Mixture
from agents.imitation.lam.networks.base import ChunkNetwork
from agents.imitation.lam.objects import ObjectEstimator
from agents.imitation.lam.policy import LamPolicy
from agents.imitation.lam.settings import LamSettings
from agents.imitation.lam.sources import Source
from agents.imitation.lam.transfer import transfer
from agents.training.loop import TrainingLoop
from agents.training.parallel import ProcessGroup
from agents.training.randomness import isolated_rng
from agents.types import State
from lam_envs.observation.features import Layout


def policy_in(interface: Interface, network: ChunkNetwork, settings: LamSettings) -> LamPolicy:
    """Return the policy of a network in an environment.

    Args:
        interface: Environment.
        network: Network.
        settings: Settings of the agent.

    Raises:
        ValueError: The network does not know a part of the environment.
    """
    made = LamPolicy(
        interface,
        network,
        executed=settings.executed_actions,
        decay=settings.step_decay,
        use_instruction=settings.use_instruction,
        image_shift=settings.image_shift,
        word_dropout=settings.word_dropout,
    )
    return made.eval()


def new_schema(layouts: Iterable[Layout], settings: LamSettings) -> Schema:
    """Return the schema of a new network, without cameras.

    Args:
        layouts: Features of environments.
        settings: Settings of the agent.
    """
    by_name = settings.network_class.by_name
    return Schema.of(layouts, by_name=by_name, masked_features=settings.masked_features)


def prepare(
    settings: LamSettings,
    sources: Sequence[Source],
    interfaces: Sequence[Interface],
    *,
    seed: int,
    start: ChunkNetwork | None = None,
    objects: ObjectEstimator | None = None,
) -> tuple[Mixture, ChunkNetwork]:
    """Return the examples of a training, and a network that knows their entities, robots and words.

    Args:
        settings: Settings of the agent.
        sources: Demonstrations.
        interfaces: Environments whose entities it has to know, too.
        seed: Seeds the choice of steps that the normalizer is fitted to.
        start: Network that has the first weights; None for a training from scratch.
        objects: Trained estimator of the positions of objects; None without one, or for that of ``start``.

    Raises:
        ValueError: No environment has one of the masked features; or an environment has images, and nothing to learn
            from has any.
    """
    knows_images = start is not None and bool(start.schema.cameras)
    learns_images = knows_images or any(each.interface.images for each in sources)
    if not learns_images and any(each.images for each in interfaces):
        raise ValueError(
            "an environment has images, and no dataset has any to learn from: add demonstrations with images, "
            "such as of LamGraspPixels-v0, or use an environment without images"
        )
    known_interfaces = [*(source.interface for source in sources), *interfaces]
    if start is None:
        _check_masked(settings.masked_features, [each.layout for each in known_interfaces])
    make = settings.network_class
    schema = new_schema((), settings) if start is None else start.schema
    schema = schema.including(each.layout for each in known_interfaces)
    schema = schema.with_images(each.images for each in known_interfaces)
    if objects is not None:
        schema = replace(schema, estimated_objects=objects.names)
    known = () if start is None else start.robots
    robots = [*known, *sorted({source.interface.robot for source in sources} - set(known))]
    action_size = max(each.action_size for each in known_interfaces)
    if start is not None:
        action_size = max(action_size, start.action_size)
    mixture = Mixture(sources, schema, robots, action_size, settings.action_horizon)
    network = make(schema, robots, action_size, settings.sizes)
    network.fit(mixture.tables(np.random.default_rng(seed)))
    if start is not None:
        transfer(start, network)
    if objects is not None and network.objects is not None:
        network.objects.load_state_dict(objects.state_dict())
    network.sentences.extend(mixture.parsed)
    mixture.fit_words(network.sentences.numbers(mixture.parsed))
    if network.known_sentences is not None:
        for task, texts in mixture.texts.items():
            network.known_sentences.extend(task, texts)
    return mixture, network


def _check_masked(masked_features: Sequence[str], layouts: Sequence[Layout]) -> None:
    """Check that each masked feature is one of some environment, and not one that the geometry needs."""
    names = sorted({name for layout in layouts for name in layout})
    unknown = sorted(set(masked_features) - set(names))
    if unknown:
        raise ValueError(f"masked_features has {', '.join(map(repr, unknown))}; expected some of {', '.join(names)}")
    needed = [name for name in masked_features if name == "tool/position" or name.endswith("/present")]
    if needed:
        raise ValueError(
            f"masked_features has {', '.join(map(repr, needed))}; expected neither tool/position, from which "
            "directions are measured, nor a flag /present of an object"
        )


@dataclass(frozen=True)
class Fit:
    """Training of a network on a mixture.

    Attributes:
        settings: Settings of the agent.
        mixture: Examples, whose words have numbers.
        interface: Environment of the policy that is trained; the weights do not depend on it.
        epochs: Epochs.
        seed: Seeds the order of examples.
        shares: Share of each group of sources; None for their numbers of steps.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    settings: LamSettings
    mixture: Mixture
    interface: Interface
    epochs: int
    seed: int
    shares: Mapping[str, float] | None
    device: str

    def loop(self, network: ChunkNetwork) -> TrainingLoop[LamPolicy]:
        """Return the training loop of a network."""
        settings = self.settings
        return TrainingLoop(
            policy_in(self.interface, network, settings),
            self.mixture,
            settings.loop(self.epochs),
            seed=self.seed,
            device=self.device,
            sampler=self.mixture.sampler(settings.batch_size, settings.batches, self.shares),
            groups=self.mixture.groups,
        )


@dataclass(frozen=True)
class WorkerInput:
    """Input of the other processes of a training.

    Attributes:
        fit: Training.
        state: State of the loop to start from (:meth:`agents.training.loop.TrainingLoop.state`).
    """

    fit: Fit
    state: State


def run_worker(work: WorkerInput, group: ProcessGroup) -> None:
    """Train along with process 0, until all epochs are done.

    Args:
        work: Training, and the state that process 0 starts from.
        group: Process group of the training.
    """
    mixture = work.fit.mixture
    with isolated_rng(work.fit.seed):
        network = work.fit.settings.network_class(
            mixture.schema, mixture.robots, mixture.action_size, work.fit.settings.sizes
        )
        loop = work.fit.loop(network)
        loop.restore(work.state)
        loop.share(group)
        while not loop.is_done:
            loop.epoch()
