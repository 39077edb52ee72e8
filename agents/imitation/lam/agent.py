"""Agent ``lam``: one policy for several tasks, robots and instructions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import minari
import numpy as np
import torch
from pydantic import Field, model_validator

from agents.data.demonstrations import DemonstrationData, Demonstrations
from agents.data.spaces import spaces_of
from agents.imitation.lam.entities import Schema
from agents.imitation.lam.mixture import Mixture, Source, read_source
from agents.imitation.lam.network import LamNetwork, Sizes
from agents.imitation.lam.policy import Interface, LamPolicy
from agents.imitation.sequence.settings import Depth, Horizon, Width
from agents.policies.networks import set_weights, weights_of
from agents.registry import AgentSpec
from agents.saving.storage import read_weights, save_agent
from agents.training.loop import LoopSettings, TrainingLoop
from agents.training.policy_agent import PolicyAgent
from agents.training.provenance import training_record, training_versions
from agents.training.randomness import isolated_rng
from agents.training.run import Run
from agents.training.settings import AgentSettings, Count, Discount, NotNegative, Positive, check_seed
from agents.types import Env, JsonObject

MAX_ACTION = 64
"""Largest number of numbers in an action of a saved agent, a third party's file."""
MAX_NAMES = 64
"""Largest number of names of robots, and of controls, in a saved agent."""


class LamSettings(AgentSettings):
    """Settings of the network and its training."""

    epochs: Count = Field(28, description="Epochs of the training.")
    batches: Count = Field(200, description="Minibatches of an epoch.")
    batch_size: Count = Field(128, description="Steps in a minibatch.")
    learning_rate: Positive = Field(0.001, description="Initial learning rate; it decays to 0 on a cosine schedule.")
    weight_decay: NotNegative = Field(0.0001, description="Decoupled weight decay of AdamW.")
    max_grad_norm: NotNegative = Field(1.0, description="Largest norm of the gradient; 0 for no limit.")
    ema_decay: Discount = Field(0.0, description="Decay of the moving average of the weights that acts; 0 for none.")
    width: Width = Field(128, description="Numbers in a token.")
    layers: Depth = Field(2, description="Layers in which tokens see each other.")
    action_horizon: Horizon = Field(8, description="Actions of a chunk.")
    executed_actions: Horizon = Field(4, description="Actions of a chunk that are executed before the next one.")
    step_decay: Discount = Field(0.9, description="Factor of the weights in the loss from step to step of a chunk.")
    mirror: bool = Field(True, description="Also learn from mirrored demonstrations of control ee.")

    @model_validator(mode="after")
    def _check_horizons(self) -> LamSettings:
        if self.executed_actions > self.action_horizon:
            raise ValueError(
                f"executed_actions is {self.executed_actions} and action_horizon {self.action_horizon}; "
                "expected at most as many executed actions as a chunk has"
            )
        return self

    @property
    def sizes(self) -> Sizes:
        """Sizes of the network."""
        return Sizes(self.width, self.layers, self.action_horizon)

    def loop(self, epochs: int) -> LoopSettings:
        """Return the settings of the training loop."""
        return LoopSettings(
            epochs,
            self.batch_size,
            self.learning_rate,
            weight_decay=self.weight_decay,
            ema_decay=self.ema_decay,
            max_grad_norm=self.max_grad_norm,
        )


class Lam(PolicyAgent):
    """Large Action Model: entities of a scene as tokens, an instruction that points at them, chunks of actions.

    The weights do not depend on the task, the robot or the instruction. The agent is trained on datasets of several
    environments. It acts in each environment whose entities and features it knows, and sees the instruction if the
    environment was made with ``instruct=True``.

    Args:
        env: Environment of lam_envs with ``obs="state"``.
        settings: Settings that differ from the defaults.

    Raises:
        ValueError: An unknown setting, a value out of range, or an environment without named features.

    Attributes:
        policy: Network in the environment.
        controls: Names of the controls that it was trained with.
        training: Record of the training; None before.
    """

    spec: ClassVar[AgentSpec] = AgentSpec(
        "lam", settings=LamSettings, budget_unit="epochs", takes_run=True, takes_several_environments=True
    )
    settings: LamSettings
    policy: LamPolicy

    def __init__(self, env: Env, **settings: Any) -> None:
        self._interface = Interface.of(env)
        self.controls: tuple[str, ...] = (self._interface.control,)
        super().__init__(env, **settings)

    def new_policy(self) -> LamPolicy:
        """Return an untrained policy for the environment alone."""
        interface = self._interface
        network = LamNetwork(
            Schema.of([interface.layout]), [interface.robot], interface.action_size, self.settings.sizes
        )
        return self._policy(network, interface)

    def _policy(self, network: LamNetwork, interface: Interface) -> LamPolicy:
        settings = self.settings
        made = LamPolicy(interface, network, executed=settings.executed_actions, decay=settings.step_decay)
        return made.eval()

    def learn(
        self,
        demonstrations: Demonstrations,
        env: Env | Sequence[Env],
        *,
        seed: int,
        budget: int | None = None,
        progress: bool = False,
        run: Run | None = None,
    ) -> None:
        """Fit the network to demonstrations of one or several environments.

        Each task with each robot is sampled equally often.

        Args:
            demonstrations: Datasets of lam_envs with ``obs="state"``.
            env: Environments for periodic evaluation; the training does not step them.
            seed: Seeds the weights and the order of examples.
            budget: Epochs; by default the setting.
            progress: Show a progress bar.
            run: Checkpoints, log and periodic evaluation; by default none.

        Raises:
            ValueError: A dataset has no named features, or cannot be mirrored; no environment; the budget is below 1
                or the seed negative; or the training diverged.
        """
        check_seed(seed)
        epochs = self.settings.epochs if budget is None else budget
        if epochs < 1:
            raise ValueError(f"the budget is {epochs} epochs; expected at least 1")
        environments = list(env) if isinstance(env, Sequence) else [env]
        run = run or Run(progress=progress)
        recorded = [read_source(dataset) for dataset in _datasets(demonstrations)]
        self.training = run.identity = self._record(recorded, environments, seed=seed, budget=budget)
        self.controls = tuple(sorted({source.interface.control for source in recorded}))
        with run.training(self.spec.name, epochs, "epochs"), isolated_rng(seed):
            mixture, network = self._begin(self._with_mirrored(recorded), environments, seed)
            self._fit(mixture, network, environments, run, epochs=epochs, seed=seed)

    def _with_mirrored(self, recorded: Sequence[Source]) -> list[Source]:
        """Return demonstrations and their mirror images."""
        if not self.settings.mirror:
            return list(recorded)
        return [*recorded, *(each.mirrored() for each in recorded if each.interface.control == "ee")]

    def _begin(self, sources: Sequence[Source], environments: Sequence[Env], seed: int) -> tuple[Mixture, LamNetwork]:
        """Return the examples, and an untrained network that knows their entities, robots and words."""
        interfaces = [*(source.interface for source in sources), *map(Interface.of, environments)]
        schema = Schema.of([each.layout for each in interfaces])
        robots = sorted({source.interface.robot for source in sources})
        action_size = max(each.action_size for each in interfaces)
        mixture = Mixture(sources, schema, robots, action_size, self.settings.action_horizon)
        network = LamNetwork(schema, robots, action_size, self.settings.sizes)
        network.sentences.fit(mixture.parsed)
        mixture.fit_words(network.sentences.numbers(mixture.parsed))
        network.fit(mixture.tables(np.random.default_rng(seed)))
        return mixture, network

    def _fit(
        self, mixture: Mixture, network: LamNetwork, environments: Sequence[Env], run: Run, *, epochs: int, seed: int
    ) -> None:
        settings = self.settings
        loop = TrainingLoop(
            self._policy(network, self._interface),
            mixture,
            settings.loop(epochs),
            seed=seed,
            device=run.device,
            sampler=mixture.sampler(settings.batch_size, settings.batches),
        )
        state = run.restored()
        if state is not None:
            loop.restore(state)
        while not loop.is_done:
            loop.epoch()
            loop.check_finite(self.spec.name)
            self.policy = loop.policy
            run.log(loop.epochs_done, **loop.logs)
            with loop.averaged() as acting:
                policies = [self._policy(acting.network, Interface.of(each)) for each in environments]
                run.evaluate_each(policies, environments, loop.epochs_done)
            run.checkpoint(loop.state)
        self.policy = loop.result()

    def _record(
        self, sources: Sequence[Source], environments: Sequence[Env], *, seed: int, budget: int | None
    ) -> JsonObject:
        """Return the record of a training (:func:`agents.training.provenance.training_record`)."""
        settings = self.settings.model_dump()
        records = [
            training_record(self.spec.name, settings, each, None, seed=seed, budget=budget) for each in environments
        ]
        if not records:
            raise ValueError("no environment: expected at least one")
        checksums = [source.checksum for source in sources]
        joined = hashlib.sha256("".join(checksums).encode()).hexdigest()
        return {
            **records[0],
            "demonstrations": {
                "id": ", ".join(source.name for source in sources),
                "episodes": sum(source.episodes for source in sources),
                "checksum": checksums[0] if len(sources) == 1 else joined,
            },
            "environments": [{name: each[name] for name in ("environment", "keywords")} for each in records],
            "versions": {
                name: version
                for each in environments
                for name, version in training_versions(self.spec.name, each).items()
            },
        }

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the weights that are saved: those of the network, which no environment changes."""
        return weights_of(self.policy.network)

    def save(self, directory: str | Path) -> Path:
        """Write ``agent.json`` and ``weights.safetensors``; return the folder."""
        network = self.policy.network
        model = {
            "schema": network.schema.as_json(),
            "robots": list(network.robots),
            "controls": list(self.controls),
            "action_size": network.action_size,
        }
        described = spaces_of(self.observation_space, self.action_space)
        settings = self.settings.model_dump()
        return save_agent(directory, self.spec.name, settings, described, self.weights(), self.training, model=model)

    @classmethod
    def load(cls, directory: str | Path, env: Env) -> Lam:
        """Read what :meth:`save` wrote, for any environment whose entities, features and control the model knows.

        Raises:
            FileNotFoundError: There is no saved agent.
            ValueError: The files are damaged, or the model does not know a part of the environment.
        """
        description, weights = read_weights(directory, cls.spec.name, {})
        agent = cls(env, **description["settings"])
        agent.training = description.get("training")
        try:
            model = description["model"]
            schema = Schema.from_json(model["schema"])
            robots, agent.controls = (tuple(map(str, model[name])) for name in ("robots", "controls"))
            action_size = int(model["action_size"])
            if max(len(robots), len(agent.controls)) > MAX_NAMES or not 1 <= action_size <= MAX_ACTION:
                raise ValueError(f"it has {len(robots)} robots and actions of {action_size} numbers")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the description of the model in {directory} is damaged: {error!r}") from error
        control = agent._interface.control
        if control not in agent.controls:
            raise ValueError(
                f"the agent in {directory} was trained with control {', '.join(agent.controls)}; this environment "
                f"has control {control!r}"
            )
        with isolated_rng(0):
            network = LamNetwork(schema, robots, action_size, agent.settings.sizes)
        try:
            set_weights(network, weights)
        except ValueError as error:
            raise ValueError(f"the weights in {directory} do not fit their description: {error}") from error
        agent.policy = agent._policy(network, agent._interface)
        return agent


def _datasets(demonstrations: Demonstrations) -> list[minari.MinariDataset]:
    """Return the datasets of demonstrations."""
    if isinstance(demonstrations, DemonstrationData):
        return list(demonstrations.datasets)
    return list(demonstrations) if isinstance(demonstrations, Sequence) else [demonstrations]
