"""Base of the adversarial agents: training iterations against a discriminator, warm start, checkpoints."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
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

from agents.data.demonstrations import DemonstrationData, Demonstrations
from agents.data.features import feature_indices
from agents.data.spaces import brief, is_image
from agents.imitation.bc import BehaviorCloning
from agents.imitation.observation.bco import BCO
from agents.policies.encoders.instructions import refuse_instruction
from agents.policies.networks import BoundedPolicy, ObservationEncoder, policy_keywords
from agents.rl.adversarial.bc_regularization import BCRegularization, actor_parameters
from agents.rl.adversarial.settings import AdversarialSettings
from agents.rl.finetuning import ppo_from
from agents.training.policy_agent import PolicyAgent
from agents.training.randomness import isolated_rng
from agents.training.run import Run
from agents.training.stable_baselines.training import (
    horizon_of,
    next_episode,
    restore,
    state_of,
    steps_per_env,
    training_envs,
)
from agents.types import Array, Env, Keywords, State


@dataclass(frozen=True)
class ExpertTransitions:
    """Transitions of the expert, with their own generator, whose state a checkpoint can hold.

    Attributes:
        arrays: Arrays of N rows, by the names that imitation uses.
        rng: Draws rows, with replacement.
    """

    arrays: dict[str, Array]
    rng: np.random.Generator

    def draw(self, count: int) -> dict[str, Array]:
        """Return a minibatch: arrays of shape (count, ...)."""
        rows = self.rng.integers(len(self.arrays["acts"]), size=count)
        return {name: values[rows] for name, values in self.arrays.items()}


class AdversarialAgent(PolicyAgent):
    """PPO with the reward of a discriminator, which learns to distinguish the policy from the expert.

    Attributes:
        reward: Learned reward; None before the training. It is not saved with the agent.
    """

    n_envs: ClassVar[int] = 8
    """Number of training environments."""
    reward: RewardNet | None = None

    @abstractmethod
    def new_trainer(self, reward_net: RewardNet, **keywords: Any) -> AdversarialTrainer:
        """Return imitation's trainer.

        Args:
            reward_net: Network of :meth:`new_reward_net`.
            keywords: Keyword arguments that all trainers of imitation take.
        """

    @abstractmethod
    def new_reward_net(self) -> RewardNet:
        """Return an untrained network that scores transitions."""

    def new_policy(self) -> BasePolicy:
        """Return an untrained policy."""
        space = self.observation_space
        refuse_instruction(space)
        if not isinstance(space, spaces.Box) or is_image(space):
            raise ValueError(
                f"agent {self.spec.name} needs observations that are one array of numbers; this environment has "
                f'{brief(str(space))}. Use one such as LamReach-v0, or obs="state"'
            )
        keywords = policy_keywords(self.settings.hidden_sizes)
        return BoundedPolicy(space, self.action_space, lambda _: 0.0, **keywords)

    def learn(
        self,
        demonstrations: Demonstrations,
        env: Env,
        *,
        seed: int,
        budget: int | None = None,
        progress: bool = False,
        run: Run | None = None,
    ) -> None:
        """Train in copies of an environment, without its reward.

        Args:
            demonstrations: Demonstrations with this agent's spaces.
            env: Environment made by ``gym.make``, with episodes of fixed length.
            seed: Seeds weights, exploration, minibatches and episodes.
            budget: Steps of all environments, without the warm start; by default the setting.
            progress: Show a progress bar.
            run: Checkpoints, log and periodic evaluation; by default none.

        Raises:
            ValueError: A budget of less than one iteration, a negative seed, an environment without a spec, or
                demonstrations of other spaces.
        """
        run = run or Run(progress=progress)
        data = DemonstrationData.of(demonstrations)
        self.begin(data, env, run, seed=seed, budget=budget)
        steps = self.settings.steps if budget is None else budget
        horizon = horizon_of(env)
        steps_per_iteration = self.n_envs * steps_per_env(self.settings.steps_per_iteration, self.n_envs, horizon)
        if steps < steps_per_iteration:
            raise ValueError(
                f"the budget is {steps} steps; expected at least the {steps_per_iteration} of one iteration "
                f"(whole episodes of {horizon} steps in {self.n_envs} environments)"
            )
        if self.settings.warm_start == "bco":
            data = BCO(env).label(data, env, seed=seed, device=run.device)
        expert = self._expert(data, seed)
        masked = feature_indices(self.settings.masked_features, env)
        bc = None
        if self.settings.warm_start != "none":
            bc = BehaviorCloning(env, hidden_sizes=self.settings.hidden_sizes, squash=True, ensemble_size=1)
        total = steps // steps_per_iteration * steps_per_iteration
        envs = training_envs(env, seed, self.n_envs)
        try:
            with isolated_rng(seed), run.training(self.spec.name, total, "steps"):
                state = run.restored()
                if bc is not None and state is None:
                    epochs = self.settings.warm_start_epochs or None
                    bc.learn(data, env, seed=seed, budget=epochs, run=Run(device=run.device))
                model = self._new_model(bc, data, envs, horizon, run.device)
                model.set_random_seed(seed)
                regularization = None if bc is None else self._regularization(bc, model, data, env, seed)
                reward_net = self.new_reward_net()
                _mask_inputs(reward_net, masked.get("", ()))
                training = _Training(
                    self, model, envs, reward_net, expert, regularization, horizon=horizon, total=total
                )
                if state is not None:
                    training.restore(state)
                else:
                    # The warm start takes long: save it.
                    run.checkpoint(training.state, now=True)
                while model.num_timesteps < total:
                    metrics = training.iterate()
                    done = model.num_timesteps
                    run.log_to_tensorboard(done, metrics)
                    run.log(done, accuracy=metrics["discriminator/accuracy"])
                    run.evaluate(model.policy, env, done)
                    run.checkpoint(training.state)
                run.log(total)
        finally:
            envs.close()
        self.policy = model.policy.to("cpu")
        self.policy.set_training_mode(False)
        self.reward = training.trainer.reward_test.to("cpu").eval()

    def _expert(self, data: DemonstrationData, seed: int) -> ExpertTransitions:
        # Load mapped files too: their observations are vectors, not images, and fit in memory.
        learned = data.transitions()[:]
        episodes = list(data.iterate_episodes())
        arrays = {
            "obs": learned.observations.numpy(),
            "acts": learned.actions.numpy(),
            "next_obs": np.concatenate([episode.observations[1:] for episode in episodes]),
            # imitation also marks both kinds of ends in the policy's episodes.
            "dones": np.concatenate([episode.terminations | episode.truncations for episode in episodes]),
        }
        return ExpertTransitions(arrays, np.random.default_rng([seed, 2]))

    def _regularization(
        self,
        bc: BehaviorCloning,
        model: PPO,
        data: DemonstrationData,
        env: Env,
        seed: int,
    ) -> BCRegularization:
        return BCRegularization(
            model.policy, data.transitions(), np.random.default_rng([seed, 3]), bc.settings.symmetry(env)
        )

    def _new_model(
        self,
        bc: BehaviorCloning | None,
        data: DemonstrationData,
        envs: VecEnv,
        horizon: int,
        device: str,
    ) -> PPO:
        """Return PPO as it is before the first iteration."""
        settings = self.settings
        common: Keywords = {
            "n_steps": steps_per_env(settings.steps_per_iteration, self.n_envs, horizon),
            "batch_size": settings.batch_size,
            "n_epochs": settings.epochs,
            "gamma": settings.gamma,
            "gae_lambda": settings.gae_lambda,
            "ent_coef": settings.entropy_weight,
            "device": device,
        }
        if bc is not None:
            return ppo_from(
                bc,
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
        extractor = cast(ObservationEncoder, model.policy.features_extractor)
        extractor.fit(data.statistics)
        return model


def _mask_inputs(reward_net: RewardNet, indices: Sequence[int]) -> None:
    """Set some inputs of a reward network, and of the reward without potential inside it, to 0."""
    hidden = list(indices)

    def masked(observations: torch.Tensor) -> torch.Tensor:  # shape (N, numbers)
        changed = observations.clone()
        changed[:, hidden] = 0.0
        return changed

    def mask(part: Any) -> None:
        forward = part.forward
        # imitation's wrappers call forward itself, past the hooks of PyTorch.
        part.forward = lambda state, action, following, done: forward(masked(state), action, masked(following), done)

    if hidden:
        for part in (reward_net, getattr(reward_net, "base", None)):
            if part is not None:
                mask(part)


class _Silent(HierarchicalLogger):
    """Logger that writes nothing; imitation's creates a folder for every mean."""

    def __init__(self) -> None:
        super().__init__(Logger(folder=None, output_formats=[]))

    @contextmanager
    def accumulate_means(self, name: str) -> Iterator[None]:
        """Do nothing."""
        yield


class _Training:
    """Training, an iteration at a time.

    Args:
        agent: Agent in training.
        model: PPO before its first iteration, in ``envs``.
        envs: Environments of :func:`agents.training.stable_baselines.training.training_envs`.
        reward_net: Untrained discriminator.
        expert: Transitions of the expert.
        regularization: BC regularization of the policy; None without a warm start.
        horizon: Steps of an episode.
        total: Total number of steps.
    """

    def __init__(
        self,
        agent: AdversarialAgent,
        model: PPO,
        envs: VecEnv,
        reward_net: RewardNet,
        expert: ExpertTransitions,
        regularization: BCRegularization | None,
        *,
        horizon: int,
        total: int,
    ) -> None:
        self._settings: AdversarialSettings = agent.settings
        self._model = model
        self._envs = envs
        self._expert = expert
        self._regularization = regularization
        self._total = total
        self._learning_rate = float(model.lr_schedule(1.0))
        self._iterations = 0
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
        # The trainer's wrappers have reset the environments: start again with the first episode.
        next_episode(envs, 0)

    def iterate(self) -> dict[str, float]:
        """Collect rollouts, update the policy and the discriminator, and return metrics for the log."""
        regularization = self._regularization
        rate = self._learning_rate * (1.0 - self._model.num_timesteps / self._total)
        self._model.lr_schedule = lambda _: rate
        policy_learns = regularization is None or self._iterations >= self._settings.critic_iterations
        for parameter in actor_parameters(self._model.policy, noise=True):
            parameter.requires_grad_(policy_learns)
        self.trainer.train_gen(learn_kwargs={"log_interval": None})
        logged = self.trainer.logger.name_to_value
        metrics = {name: float(value) for name, value in logged.items() if name.startswith("train/")}
        size = self._settings.discriminator_batch_size
        discriminator_stats = []
        for _ in range(self._settings.discriminator_updates):
            with networks.training(self.trainer.reward_train):
                discriminator_stats.append(self.trainer.train_disc(expert_samples=self._expert.draw(size)))
        self._iterations += 1
        if regularization is not None and policy_learns and self._settings.bc_updates_per_iteration:
            loss = regularization.update(self._settings.bc_updates_per_iteration, size, rate)
            metrics["bc_regularization/loss"] = loss
        metrics["discriminator/loss"] = float(np.mean([stats["disc_loss"] for stats in discriminator_stats]))
        metrics["discriminator/accuracy"] = float(np.mean([stats["disc_acc"] for stats in discriminator_stats]))
        return metrics

    def state(self) -> State:
        """Return what a checkpoint needs after an iteration; the next iteration replaces its rollouts."""
        trainer: Any = self.trainer
        return {
            "model": state_of(self._model),
            "reward": trainer._reward_net.state_dict(),
            "optimizer": trainer._disc_opt.state_dict(),
            "expert": self._expert.rng.bit_generator.state,
            "regularization": None if self._regularization is None else self._regularization.state(),
            "iterations": self._iterations,
            "counters": [trainer._global_step, trainer._disc_step],
        }

    def restore(self, state: State) -> None:
        """Resume from a state of :meth:`state`."""
        trainer: Any = self.trainer
        trainer._reward_net.load_state_dict(state["reward"])
        trainer._disc_opt.load_state_dict(state["optimizer"])
        trainer._global_step, trainer._disc_step = state["counters"]
        self._expert.rng.bit_generator.state = state["expert"]
        self._iterations = state["iterations"]
        if self._regularization is not None:
            self._regularization.restore(state["regularization"])
        # An iteration consists of the same number of whole episodes in each environment.
        next_episode(self._envs, self._iterations * self._episodes)
        restore(self._model, state["model"])
