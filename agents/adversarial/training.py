"""What the adversarial learners share: rounds of practice against a discriminator, warm start, checkpoints."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import minari
import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from imitation.algorithms.adversarial.common import AdversarialTrainer
from imitation.rewards.reward_nets import RewardNet
from imitation.util import networks
from imitation.util.logger import HierarchicalLogger
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv

from agents.adversarial.bc_regularization import Rehearsal, actor_parameters
from agents.imitation.bc import BehaviorCloning
from agents.policies.networks import BoundedPolicy, check_layers, is_image, policy_keywords
from agents.rl.finetuning import ppo_from
from agents.saving.storage import brief
from agents.training.demonstrations import feature_indices, transitions
from agents.training.policy_agent import PolicyAgent
from agents.training.randomness import isolated_rng
from agents.training.run import Run
from agents.training.settings import at_least, positive
from agents.training.stable_baselines import (
    horizon_of,
    next_episode,
    restore,
    state_of,
    steps_of_round,
    training_envs,
)
from agents.training.symmetry import symmetry_of
from demos.datasets.episode import episodes_of
from demos.datasets.statistics import statistics

CLONE, NOTHING = "bc", "none"
"""What a training may start from."""


@dataclass(frozen=True)
class Settings:
    """Settings of the adversarial learners; those of each environment are in ``configs``.

    Attributes:
        steps: In all environments together; as many whole rounds as fit.
        round_steps: About how many before the policy is updated, then the discriminator: whole episodes are taken.
        warm_start: ``bc`` starts from a clone of the demonstrations, ``none`` from nothing.
        warm_start_epochs: Passes of the cloning over the demonstrations; 0 for as many as ``bc`` has.
        rehearsals: Updates of the policy on the demonstrations after each round, after a warm start; see
            :mod:`agents.adversarial.bc_regularization`.
        critic_rounds: Rounds after a warm start in which the policy stays as it is, so that critic and discriminator
            know something before they judge it.
        learning_rate: Of PPO and of the rehearsals after a warm start; it falls to 0 with the steps.
        clip_range: Of the ratio of new and old probability, after a warm start.
        target_kl: After a warm start, the passes over a round end where the policy's divergence from the one that
            acted is 1.5 times this; 0 for no such bound.
        log_std: Logarithm of the noise after a warm start.
        scratch_learning_rate: Of PPO without a warm start; it falls to 0 too.
        scratch_clip_range: Of the ratio of new and old probability, without a warm start.
        scratch_log_std: Logarithm of the noise without a warm start.
        batch_size: Transitions an update of PPO.
        epochs: Passes over a round's transitions.
        gamma: Discount of a step.
        gae_lambda: Of the generalised advantage estimate.
        entropy_weight: Bonus for random actions.
        hidden_sizes: Units of the layers of policy and critic.
        discriminator_updates: A round.
        discriminator_batch_size: Transitions of the expert an update, and as many of the policy.
        discriminator_learning_rate: Of the discriminator's Adam.
        reward_hidden_sizes: Units of the discriminator's layers.
        use_actions: Whether the discriminator looks at actions; without them it compares where expert and policy come
            to (Torabi et al. 2018, GAIfO), and the noise of the policy does not give it away.
        ignored: Features that the discriminator does not look at, such as ``object/position``, or one number of a
            vector, such as ``tool/position/x``: by where things happen to be it tells few demonstrations apart
            without learning what the expert does (Zolna et al. 2020).
    """

    steps: int
    round_steps: int
    warm_start: str
    warm_start_epochs: int
    rehearsals: int
    critic_rounds: int
    learning_rate: float
    clip_range: float
    target_kl: float
    log_std: float
    scratch_learning_rate: float
    scratch_clip_range: float
    scratch_log_std: float
    batch_size: int
    epochs: int
    gamma: float
    gae_lambda: float
    entropy_weight: float
    hidden_sizes: tuple[int, ...]
    discriminator_updates: int
    discriminator_batch_size: int
    discriminator_learning_rate: float
    reward_hidden_sizes: tuple[int, ...]
    use_actions: bool
    ignored: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.warm_start not in (CLONE, NOTHING):
            raise ValueError(f"warm_start is {self.warm_start!r}; expected {CLONE!r} or {NOTHING!r}")
        at_least(1, steps=self.steps, round_steps=self.round_steps)
        # PPO standardises the advantages of a batch.
        at_least(2, batch_size=self.batch_size)
        at_least(1, epochs=self.epochs)
        at_least(1, discriminator_updates=self.discriminator_updates)
        at_least(1, discriminator_batch_size=self.discriminator_batch_size)
        at_least(0, warm_start_epochs=self.warm_start_epochs, rehearsals=self.rehearsals)
        at_least(0, critic_rounds=self.critic_rounds)
        at_least(0, target_kl=self.target_kl, entropy_weight=self.entropy_weight)
        at_least(-20, log_std=self.log_std, scratch_log_std=self.scratch_log_std)
        positive(learning_rate=self.learning_rate, scratch_learning_rate=self.scratch_learning_rate)
        positive(clip_range=self.clip_range, scratch_clip_range=self.scratch_clip_range)
        positive(discriminator_learning_rate=self.discriminator_learning_rate)
        for what in ("gamma", "gae_lambda"):
            if not 0.0 <= getattr(self, what) <= 1.0:
                raise ValueError(f"{what} is {getattr(self, what)}; expected 0 to 1")
        check_layers(self.hidden_sizes)
        check_layers(self.reward_hidden_sizes, "reward_hidden_sizes")


@dataclass(frozen=True)
class Expert:
    """The expert's transitions, drawn by a generator of our own: its state can be kept, a data loader's cannot.

    Attributes:
        arrays: Arrays of N rows, by the names that imitation has for them.
        rng: Draws rows, with replacement.
    """

    arrays: dict[str, npt.NDArray[Any]]
    rng: np.random.Generator

    def draw(self, count: int) -> dict[str, npt.NDArray[Any]]:
        """Returns a batch of some rows."""
        rows = self.rng.integers(len(self.arrays["acts"]), size=count)
        return {name: values[rows] for name, values in self.arrays.items()}


class AdversarialAgent(PolicyAgent):
    """PPO that practises for the reward of a discriminator, which learns to tell the policy from the expert.

    Attributes:
        reward: The reward that was learned; None before. It is not saved with the agent.
    """

    settings_type = Settings
    environments: ClassVar[int] = 8
    """How many it practises in at once."""
    reward: RewardNet | None = None

    @abstractmethod
    def new_trainer(self, reward_net: RewardNet, **keywords: Any) -> AdversarialTrainer:
        """Makes imitation's trainer.

        Args:
            reward_net: Of :meth:`new_reward_net`.
            keywords: What the trainers of imitation have in common.
        """

    @abstractmethod
    def new_reward_net(self) -> RewardNet:
        """Makes the untrained network that scores transitions."""

    def new_policy(self) -> BasePolicy:
        """Makes an untrained policy."""
        space = self.observation_space
        if not isinstance(space, spaces.Box) or is_image(space):
            raise ValueError(
                f"agent {self.name} compares observations that are one array of numbers; this environment has "
                f'{brief(str(space))}. Use one such as LamReach-v0, or obs="state"'
            )
        keywords = policy_keywords(self.settings.hidden_sizes)
        return BoundedPolicy(space, self.action_space, lambda _: 0.0, **keywords)

    def learn(
        self,
        demonstrations: minari.MinariDataset,
        env: gym.Env[Any, Any],
        *,
        seed: int,
        budget: int | None = None,
        progress: bool = False,
        run: Run | None = None,
    ) -> None:
        """Practises in environments like the one that is given; their reward is not looked at.

        Args:
            demonstrations: What to imitate, with this agent's spaces.
            env: Made by ``gym.make``; its episodes are of one length.
            seed: Of weights, exploration, batches and episodes.
            budget: Steps of all environments, without the warm start; by default the setting.
            progress: Show a bar.
            run: Keeps checkpoints and shows the success as it goes; by default nothing is kept.

        Raises:
            ValueError: A budget of less than a round, a negative seed, an environment that cannot be made again, or
                demonstrations of other spaces.
        """
        run = run or Run(progress=progress)
        self.begin(demonstrations, env, run, seed=seed, budget=budget)
        steps = self.settings.steps if budget is None else budget
        horizon = horizon_of(env)
        a_round = self.environments * steps_of_round(self.settings.round_steps, self.environments, horizon)
        if steps < a_round:
            raise ValueError(
                f"the budget is {steps} steps; expected at least the {a_round} of one round "
                f"(whole episodes of {horizon} steps in {self.environments} environments)"
            )
        expert = self._expert(demonstrations, seed)
        ignored = feature_indices(self.settings.ignored, env)
        clone = None
        if self.settings.warm_start == CLONE:
            clone = BehaviorCloning(env, hidden_sizes=self.settings.hidden_sizes, squash=True, members=1)
        total = steps // a_round * a_round
        envs = training_envs(env, seed, self.environments)
        try:
            with isolated_rng(seed), run.showing(self.name, total, "steps"):
                kept = run.restored()
                if clone is not None and kept is None:
                    epochs = self.settings.warm_start_epochs or None
                    clone.learn(demonstrations, env, seed=seed, budget=epochs, run=Run(device=run.device))
                model = self._new_model(clone, demonstrations, envs, horizon, run.device)
                model.set_random_seed(seed)
                rehearsal = None if clone is None else self._rehearsal(clone, model, demonstrations, env, seed)
                reward_net = self.new_reward_net()
                _mask_inputs(reward_net, ignored)
                practice = _Practice(self, model, envs, reward_net, expert, rehearsal, horizon=horizon, total=total)
                if kept is not None:
                    practice.restore(kept)
                else:
                    # A warm start takes long: it is not to be done again.
                    run.keep(practice.state, now=True)
                while model.num_timesteps < total:
                    numbers = practice.round()
                    done = model.num_timesteps
                    run.log(done, numbers)
                    run.show(done, accuracy=numbers["discriminator/accuracy"])
                    run.judge(model.policy, env, done)
                    run.keep(practice.state)
                run.show(total)
        finally:
            envs.close()
        self.policy = model.policy.to("cpu")
        self.policy.set_training_mode(False)
        self.reward = practice.trainer.reward_test.to("cpu").eval()

    def _expert(self, demonstrations: minari.MinariDataset, seed: int) -> Expert:
        learned = transitions(demonstrations, self.observation_space, self.action_space)
        episodes = list(episodes_of(demonstrations))
        arrays = {
            "obs": learned.observations.numpy(),
            "acts": learned.actions.numpy(),
            "next_obs": np.concatenate([episode.observations[1:] for episode in episodes]),
            # imitation has the policy's episodes end so too, whether they were terminated or truncated.
            "dones": np.concatenate([episode.terminations | episode.truncations for episode in episodes]),
        }
        return Expert(arrays, np.random.default_rng([seed, 2]))

    def _rehearsal(
        self,
        clone: BehaviorCloning,
        model: PPO,
        demonstrations: minari.MinariDataset,
        env: gym.Env[Any, Any],
        seed: int,
    ) -> Rehearsal:
        shown = transitions(demonstrations, self.observation_space, self.action_space)
        symmetry = symmetry_of(env, mirror=clone.settings.mirror, turn=clone.settings.turn)
        return Rehearsal(model.policy, shown, np.random.default_rng([seed, 3]), symmetry)

    def _new_model(
        self,
        clone: BehaviorCloning | None,
        demonstrations: minari.MinariDataset,
        envs: VecEnv,
        horizon: int,
        device: str,
    ) -> PPO:
        """Makes PPO as it is before the first round."""
        settings = self.settings
        common: dict[str, Any] = {
            "n_steps": steps_of_round(settings.round_steps, self.environments, horizon),
            "batch_size": settings.batch_size,
            "n_epochs": settings.epochs,
            "gamma": settings.gamma,
            "gae_lambda": settings.gae_lambda,
            "ent_coef": settings.entropy_weight,
            "device": device,
        }
        if clone is not None:
            return ppo_from(
                clone,
                envs,
                log_std=settings.log_std,
                learning_rate=settings.learning_rate,
                clip_range=settings.clip_range,
                target_kl=settings.target_kl or None,
                **common,
            )
        model = PPO(
            BoundedPolicy,
            envs,
            learning_rate=settings.scratch_learning_rate,
            clip_range=settings.scratch_clip_range,
            policy_kwargs={**policy_keywords(settings.hidden_sizes), "log_std_init": settings.scratch_log_std},
            **common,
        )
        extractor: Any = model.policy.features_extractor
        extractor.fit(statistics(demonstrations))
        return model


def _mask_inputs(reward_net: RewardNet, places: Sequence[int]) -> None:
    """Lets a reward network, and the reward in it that is left without its potential, not look at some numbers."""
    hidden = list(places)

    def without(observations: torch.Tensor) -> torch.Tensor:
        seen = observations.clone()
        seen[:, hidden] = 0.0
        return seen

    def blindfold(part: Any) -> None:
        looking = part.forward
        # imitation's wrappers call forward itself, past the hooks of PyTorch.
        part.forward = lambda state, action, following, done: looking(
            without(state), action, without(following), done
        )

    if hidden:
        for part in (reward_net, getattr(reward_net, "base", None)):
            if part is not None:
                blindfold(part)


class _Silent(HierarchicalLogger):
    """Writes nothing, where imitation's makes a folder for every mean."""

    def __init__(self) -> None:
        super().__init__(Logger(folder=None, output_formats=[]))

    @contextmanager
    def accumulate_means(self, name: str) -> Iterator[None]:
        """Accumulates nothing."""
        yield


class _Practice:
    """A training, a round at a time.

    Args:
        agent: Whose training it is.
        model: As before the first round, in ``envs``.
        envs: Of :func:`agents.training.stable_baselines.training_envs`.
        reward_net: The discriminator, untrained.
        expert: What it compares with.
        rehearsal: Of the policy; None if it did not begin as a clone.
        horizon: Steps of an episode.
        total: Steps in all.
    """

    def __init__(
        self,
        agent: AdversarialAgent,
        model: PPO,
        envs: VecEnv,
        reward_net: RewardNet,
        expert: Expert,
        rehearsal: Rehearsal | None,
        *,
        horizon: int,
        total: int,
    ) -> None:
        self._settings: Settings = agent.settings
        self._model = model
        self._envs = envs
        self._expert = expert
        self._rehearsal = rehearsal
        self._total = total
        self._learning_rate = float(model.lr_schedule(1.0))
        self._rounds = 0
        self.trainer = agent.new_trainer(
            reward_net,
            demonstrations=None,
            demo_batch_size=self._settings.discriminator_batch_size,
            venv=envs,
            gen_algo=model,
            disc_opt_kwargs={"lr": self._settings.discriminator_learning_rate},
            custom_logger=_Silent(),
        )
        self._episodes = model.n_steps // horizon
        # Its wrappers have begun episodes; the next reset is to begin the first.
        next_episode(envs, 0)

    def round(self) -> dict[str, float]:
        """Practises, updates the policy, then the discriminator; returns numbers for the log."""
        rehearsal = self._rehearsal
        rate = self._learning_rate * (1.0 - self._model.num_timesteps / self._total)
        self._model.lr_schedule = lambda _: rate
        learns = rehearsal is None or self._rounds >= self._settings.critic_rounds
        for parameter in actor_parameters(self._model.policy, noise=True):
            parameter.requires_grad_(learns)
        self.trainer.train_gen(learn_kwargs={"log_interval": None})
        logged = self.trainer.logger.name_to_value
        numbers = {name: float(value) for name, value in logged.items() if name.startswith("train/")}
        size = self._settings.discriminator_batch_size
        found = []
        for _ in range(self._settings.discriminator_updates):
            with networks.training(self.trainer.reward_train):
                found.append(self.trainer.train_disc(expert_samples=self._expert.draw(size)))
        self._rounds += 1
        if rehearsal is not None and learns and self._settings.rehearsals:
            loss = rehearsal.rehearse(self._settings.rehearsals, size, rate)
            numbers["rehearsal/loss"] = loss
        numbers["discriminator/loss"] = float(np.mean([stats["disc_loss"] for stats in found]))
        numbers["discriminator/accuracy"] = float(np.mean([stats["disc_acc"] for stats in found]))
        return numbers

    def state(self) -> dict[str, Any]:
        """What is needed to go on after a round; what the policy did in it is not: the next round replaces it."""
        trainer: Any = self.trainer
        return {
            "model": state_of(self._model),
            "reward": trainer._reward_net.state_dict(),
            "optimizer": trainer._disc_opt.state_dict(),
            "expert": self._expert.rng.bit_generator.state,
            "rehearsal": None if self._rehearsal is None else self._rehearsal.state(),
            "rounds": self._rounds,
            "counters": [trainer._global_step, trainer._disc_step],
        }

    def restore(self, kept: dict[str, Any]) -> None:
        """Goes on from :meth:`state`."""
        trainer: Any = self.trainer
        trainer._reward_net.load_state_dict(kept["reward"])
        trainer._disc_opt.load_state_dict(kept["optimizer"])
        trainer._global_step, trainer._disc_step = kept["counters"]
        self._expert.rng.bit_generator.state = kept["expert"]
        self._rounds = kept["rounds"]
        if self._rehearsal is not None:
            self._rehearsal.restore(kept["rehearsal"])
        # Rounds are of whole episodes, of the same number in each environment.
        next_episode(self._envs, self._rounds * self._episodes)
        restore(self._model, kept["model"])
