"""Agent ``lam``: one policy for several tasks, robots and instructions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import minari
import numpy as np
from gymnasium import spaces
from pydantic import Field

from agents.data.spaces import parts_of, spaces_of
from agents.imitation.lam.entities import EntityReader, Schema
from agents.imitation.lam.mixture import Mixture, read_source
from agents.imitation.lam.policy import LamNetwork, LamPolicy, Sizes
from agents.imitation.sequence.settings import Depth, Horizon, Width
from agents.policies.networks import set_weights, weights_of
from agents.registry import AgentSpec
from agents.saving.storage import read_weights, save_agent
from agents.training.loop import LoopSettings, TrainingLoop
from agents.training.provenance import training_record
from agents.training.randomness import isolated_rng
from agents.training.run import Run
from agents.training.settings import AgentSettings, Count, Discount, NotNegative, Positive, check_seed, read_settings
from agents.types import Array, Env, JsonObject, Memory, Observation, Space, Start
from demos.collection.environment_versions import part_name
from lam_envs.observation.features import Layout
from lam_envs.observation.instructions import INSTRUCTION_KEY, STATE_KEY

MAX_ACTION = 16
"""Largest number of numbers in an action that a saved agent may have."""
MAX_ROBOTS = 64


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


class Lam:
    """Large Action Model: entities of a scene as tokens, an instruction that points at them, chunks of actions.

    The weights do not depend on the task, the robot or the instruction. It is trained on datasets of several
    environments, acts in each environment whose entities and features it knows, and sees the instruction if the
    environment was made with ``instruct=True``.

    Args:
        env: Environment of lam_envs with features (``obs="state"``).
        settings: Settings that differ from the defaults.

    Raises:
        ValueError: An unknown setting, a value out of range, or an environment without features.

    Attributes:
        policy: Network in the environment.
        training: Record of the training; None before.
    """

    spec: ClassVar[AgentSpec] = AgentSpec("lam", settings=LamSettings, budget_unit="epochs", takes_run=True)

    def __init__(self, env: Env, **settings: Any) -> None:
        self.settings: LamSettings = read_settings(self.spec.name, LamSettings, settings, env)
        self.training: JsonObject | None = None
        self._place = _Place(env)
        network = self._new_network(Schema.of([self._place.layout]), [self._place.robot], self._place.action_size)
        self.policy = self._place.policy(network, self.settings)

    def _new_network(self, schema: Schema, robots: Sequence[str], action_size: int) -> LamNetwork:
        settings = self.settings
        sizes = Sizes(settings.width, settings.layers, settings.action_horizon, settings.executed_actions)
        with isolated_rng(0):
            return LamNetwork(schema, robots, action_size, sizes)

    def learn(
        self,
        demonstrations: minari.MinariDataset | Sequence[minari.MinariDataset],
        env: Env,
        *,
        seed: int,
        budget: int | None = None,
        progress: bool = False,
        run: Run | None = None,
    ) -> None:
        """Fit the network to demonstrations of one or several environments, each dataset alike.

        Args:
            demonstrations: Datasets of lam_envs with features.
            env: Environment for periodic evaluation; the training does not step it.
            seed: Seeds the weights and the order of examples.
            budget: Epochs; by default the setting.
            progress: Show a progress bar.
            run: Checkpoints, log and periodic evaluation; by default none.

        Raises:
            ValueError: A dataset has no features; the budget is below 1 or the seed negative; or the training
                diverged.
        """
        check_seed(seed)
        run = run or Run(progress=progress)
        epochs = self.settings.epochs if budget is None else budget
        if epochs < 1:
            raise ValueError(f"the budget is {epochs} epochs; expected at least 1")
        datasets = list(demonstrations) if isinstance(demonstrations, Sequence) else [demonstrations]
        sources = [read_source(dataset) for dataset in datasets]
        self.training = run.identity = {
            **training_record(self.spec.name, self.settings.model_dump(), env, None, seed=seed, budget=budget),
            "datasets": [{"id": source.name, "checksum": source.checksum} for source in sources],
        }
        schema = Schema.of([*(source.layout for source in sources), self._place.layout])
        robots = sorted({source.robot for source in sources})
        action_size = max(source.actions.shape[1] for source in sources)
        settings = self.settings
        loop_settings = LoopSettings(
            epochs,
            settings.batch_size,
            settings.learning_rate,
            weight_decay=settings.weight_decay,
            ema_decay=settings.ema_decay,
            max_grad_norm=settings.max_grad_norm,
        )
        with run.training(self.spec.name, epochs, "epochs"), isolated_rng(seed):
            mixture = Mixture(sources, schema, robots, action_size, settings.action_horizon)
            sizes = Sizes(settings.width, settings.layers, settings.action_horizon, settings.executed_actions)
            network = LamNetwork(schema, robots, action_size, sizes)
            network.sentences.fit(mixture.parsed)
            mixture.fit_words(network.sentences.numbers(mixture.parsed))
            network.fit(mixture.tables(np.random.default_rng(seed)))
            policy = self._place.policy(network, settings)
            sampler = mixture.sampler(settings.batch_size, settings.batches)
            loop = TrainingLoop(policy, mixture, loop_settings, seed=seed, device=run.device, sampler=sampler)
            state = run.restored()
            if state is not None:
                loop.restore(state)
            while not loop.is_done:
                loop.epoch()
                loop.check_finite(self.spec.name)
                self.policy = policy
                run.log(loop.epochs_done, **loop.logs)
                with loop.averaged() as acting:
                    run.evaluate(acting, env, loop.epochs_done)
                run.checkpoint(loop.state)
            self.policy = loop.result()

    def predict(
        self, observation: Observation, state: Memory = None, episode_start: Start = None, deterministic: bool = False
    ) -> tuple[Array, Memory]:
        """Return an action, or actions of shape (N, ...) for such observations, as Stable-Baselines3 does."""
        return self.policy.predict(observation, state, episode_start, deterministic)

    def save(self, directory: str | Path) -> Path:
        """Write ``agent.json`` and ``weights.safetensors``; return the folder."""
        network = self.policy.network
        model = {
            "schema": network.schema.as_json(),
            "robots": list(network.robots),
            "action_size": network.action_size,
        }
        described = spaces_of(self.policy.observation_space, self.policy.action_space)
        settings = self.settings.model_dump()
        return save_agent(
            directory, self.spec.name, settings, described, weights_of(network), self.training, model=model
        )

    @classmethod
    def load(cls, directory: str | Path, env: Env) -> Lam:
        """Read what :meth:`save` wrote, for any environment whose entities and features the model knows.

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
            robots, action_size = [str(name) for name in model["robots"]], int(model["action_size"])
            if len(robots) > MAX_ROBOTS or not 1 <= action_size <= MAX_ACTION:
                raise ValueError(f"the model has {len(robots)} robots and {action_size} numbers in an action")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the description of the model in {directory} is damaged: {error}") from error
        network = agent._new_network(schema, robots, action_size)
        try:
            set_weights(network, weights)
        except ValueError as error:
            raise ValueError(f"the weights in {directory} do not fit their description: {error}") from error
        agent.policy = agent._place.policy(network, agent.settings)
        return agent


class _Place:
    """Environment that a model acts in.

    Args:
        env: Environment.

    Raises:
        ValueError: It has no features, or its actions are not numbers.
    """

    def __init__(self, env: Env) -> None:
        layout = getattr(env.unwrapped, "layout", None)
        parts = parts_of(env.observation_space)
        vectors = {name for name in parts if name not in (INSTRUCTION_KEY,)}
        is_vector = vectors <= {"", STATE_KEY} and isinstance(layout, Layout)
        if not is_vector or not isinstance(env.action_space, spaces.Box):
            raise ValueError(
                f"agent lam needs named features and continuous actions; this environment has "
                f"{env.observation_space} and {env.action_space}. Use an environment of lam_envs with obs='state'"
            )
        self.layout = cast(Layout, layout)
        self.observation_space: Space = env.observation_space
        self.action_space = env.action_space
        self.action_size = int(env.action_space.shape[0])
        self.robot, self.control = part_name(env, "robot"), part_name(env, "control")

    def policy(self, network: LamNetwork, settings: LamSettings) -> LamPolicy:
        """Return the policy of a network in this environment."""
        return LamPolicy(
            self.observation_space,
            self.action_space,
            network,
            EntityReader(self.layout, network.schema),
            self.robot,
            is_cartesian=self.control == "ee",
            decay=settings.step_decay,
        ).eval()
