"""Behavioural cloning: supervised learning of the expert's actions (Pomerleau 1991), by imitation's BC."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import numpy.typing as npt
import torch
from imitation.algorithms import bc
from imitation.data.types import DictObs, TransitionMapping
from imitation.util.logger import HierarchicalLogger
from rich.progress import Progress
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy, MultiInputActorCriticPolicy

from agents.storage import brief, check_target, read_settings, read_weights, save_agent, spaces_of

# A saved agent is a stranger's file: what it may ask of memory has a bound.
MAX_UNITS = 2048
MAX_LAYERS = 8


@dataclass(frozen=True)
class Settings:
    """Settings of behavioural cloning; the defaults are in ``configs/bc.yaml``.

    Attributes:
        epochs: Passes over the demonstrations.
        batch_size: Transitions an update.
        learning_rate: At the start; it falls to 0 along half a cosine.
        hidden_sizes: Units of the policy's layers.
        entropy_weight: Bonus for random actions.
        l2_weight: On all weights.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    hidden_sizes: tuple[int, ...]
    entropy_weight: float
    l2_weight: float

    def __post_init__(self) -> None:
        for what, number in (("epochs", self.epochs), ("batch_size", self.batch_size)):
            if number < 1:
                raise ValueError(f"{what} is {number}; expected at least 1")
        if not 0.0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate is {self.learning_rate}; expected a positive number")
        if not self.hidden_sizes or not all(1 <= size <= MAX_UNITS for size in self.hidden_sizes):
            raise ValueError(f"hidden_sizes is {self.hidden_sizes}; expected layers of 1 to {MAX_UNITS} units")
        if len(self.hidden_sizes) > MAX_LAYERS:
            raise ValueError(f"hidden_sizes has {len(self.hidden_sizes)} layers; expected at most {MAX_LAYERS}")


@dataclass(frozen=True)
class Batches:
    """Shuffled batches, drawn from a generator of our own; one iteration is one epoch.

    Attributes:
        observations: Shape (N, ...), or imitation's dict of such arrays.
        actions: Shape (N, ...).
        size: Transitions a batch; the rest of an epoch that fills no batch is left out.
        rng: Draws the order.
    """

    observations: Any
    actions: torch.Tensor
    size: int
    rng: np.random.Generator

    def __iter__(self) -> Iterator[TransitionMapping]:
        order = self.rng.permutation(len(self.actions))
        for start in range(0, len(order) - self.size + 1, self.size):
            rows = order[start : start + self.size]
            yield {"obs": self.observations[rows], "acts": self.actions[rows]}


class BehaviorCloning:
    """Behavioural cloning. The budget of :meth:`learn` is in epochs.

    Args:
        env: Gives the spaces.
        settings: Fields of :class:`Settings` that differ from ``configs/bc.yaml``.

    Raises:
        ValueError: An unknown setting, or a value out of range.
    """

    name = "bc"
    check_target = staticmethod(check_target)
    """Says before the training whether its result could be saved."""

    def __init__(self, env: gym.Env[Any, Any], **settings: Any) -> None:
        self.observation_space = env.observation_space
        self.action_space = env.action_space
        self.settings = read_settings(self.name, Settings, settings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.policy = self._new_policy()

    def _new_policy(self) -> ActorCriticPolicy:
        is_dict = isinstance(self.observation_space, gym.spaces.Dict)
        kind: Any = MultiInputActorCriticPolicy if is_dict else ActorCriticPolicy
        policy: ActorCriticPolicy = kind(
            self.observation_space,
            self.action_space,
            # imitation trains with an optimizer of its own; this one is never used.
            lr_schedule=lambda _: 0.0,
            net_arch=list(self.settings.hidden_sizes),
            activation_fn=torch.nn.ReLU,
        )
        return policy

    def learn(
        self,
        demonstrations: minari.MinariDataset,
        env: gym.Env[Any, Any],
        *,
        seed: int,
        budget: int | None = None,
        progress: bool = False,
    ) -> None:
        """Fits the policy to all transitions of the demonstrations.

        Args:
            demonstrations: With this agent's spaces.
            env: Not stepped: cloning needs no environment.
            seed: Of the first weights and the order of batches.
            budget: Epochs; by default the setting.
            progress: Show a bar.

        Raises:
            ValueError: The demonstrations have other spaces, or too few transitions for a batch; or a budget below 1
                or a negative seed.
        """
        observations, actions = self._transitions(demonstrations)
        epochs = self.settings.epochs if budget is None else budget
        if seed < 0:
            raise ValueError(f"the seed is {seed}; expected at least 0")
        if epochs < 1:
            raise ValueError(f"the budget is {epochs} epochs; expected at least 1")
        rng = np.random.default_rng(seed)
        threads = torch.get_num_threads()
        # Networks this small gain nothing from threads, and the order of sums would depend on their number.
        torch.set_num_threads(1)
        try:
            with torch.random.fork_rng(devices=[]), Progress(disable=not progress) as bar:
                torch.manual_seed(seed)
                self.policy = self._new_policy()
                trainer = bc.BC(
                    observation_space=self.observation_space,
                    action_space=self.action_space,
                    rng=rng,
                    policy=self.policy,
                    batch_size=self.settings.batch_size,
                    optimizer_kwargs={"lr": self.settings.learning_rate},
                    ent_weight=self.settings.entropy_weight,
                    l2_weight=self.settings.l2_weight,
                    device="cpu",
                    custom_logger=HierarchicalLogger(Logger(folder=None, output_formats=[])),
                )
                trainer.set_demonstrations(Batches(observations, actions, self.settings.batch_size, rng))
                shown = bar.add_task("cloning", total=epochs)
                done = 0

                def after_epoch() -> None:
                    nonlocal done
                    done += 1
                    bar.advance(shown)
                    rate = self.settings.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done / epochs))
                    for group in trainer.optimizer.param_groups:
                        group["lr"] = rate

                with warnings.catch_warnings():
                    # imitation logs losses without detaching them, and unwraps dicts twice.
                    warnings.filterwarnings("ignore", "Converting a tensor with requires_grad", UserWarning)
                    warnings.filterwarnings("ignore", "trying to unwrap object", UserWarning)
                    trainer.train(n_epochs=epochs, on_epoch_end=after_epoch, progress_bar=False)
        finally:
            torch.set_num_threads(threads)
        self.policy.set_training_mode(False)

    def _transitions(self, demonstrations: minari.MinariDataset) -> tuple[Any, torch.Tensor]:
        """Reads observations before each action, and the actions, as tensors."""
        for what, found, own in (
            ("observation", demonstrations.observation_space, self.observation_space),
            ("action", demonstrations.action_space, self.action_space),
        ):
            if found != own:
                raise ValueError(
                    f"dataset {demonstrations.id} has {what}s of {brief(str(found))}; "
                    f"this agent's environment has {brief(str(own))}"
                )
        episodes = list(demonstrations.iterate_episodes())
        actions = torch.from_numpy(np.concatenate([episode.actions for episode in episodes]))
        if len(actions) < self.settings.batch_size:
            raise ValueError(
                f"dataset {demonstrations.id} has {len(actions)} transitions, fewer than a batch of "
                f"{self.settings.batch_size}: collect more, or set batch_size"
            )
        if isinstance(self.observation_space, gym.spaces.Dict):
            parts = {
                name: np.concatenate([episode.observations[name][:-1] for episode in episodes])
                for name in self.observation_space
            }
            return DictObs(parts), actions
        return torch.from_numpy(np.concatenate([episode.observations[:-1] for episode in episodes])), actions

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[npt.NDArray[Any], Any]:
        """Acts as Stable-Baselines3's ``predict`` does."""
        action, _ = self.policy.predict(observation, state, episode_start, deterministic)
        return action, state

    def save(self, directory: str | Path) -> Path:
        """Writes ``agent.json`` and ``weights.safetensors``; returns the folder."""
        return save_agent(
            directory,
            self.name,
            asdict(self.settings),
            spaces_of(self.observation_space, self.action_space),
            self.policy.state_dict(),
        )

    @classmethod
    def load(cls, directory: str | Path, env: gym.Env[Any, Any]) -> BehaviorCloning:
        """Reads what :meth:`save` wrote.

        Raises:
            FileNotFoundError: There is no saved agent.
            ValueError: The files are damaged, or the environment has other spaces.
        """
        settings, weights = read_weights(directory, cls.name, spaces_of(env.observation_space, env.action_space))
        agent = cls(env, **settings)
        try:
            agent.policy.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"the weights in {directory} do not fit their description: {error}") from error
        agent.policy.set_training_mode(False)
        return agent
