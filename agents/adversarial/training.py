"""What the adversarial learners share: rounds of practice against a discriminator, warm start, checkpoints."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from imitation.algorithms.adversarial.common import AdversarialTrainer
from imitation.rewards.reward_nets import RewardNet
from imitation.util import networks
from imitation.util.logger import HierarchicalLogger
from pydantic import Field
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv

from agents.adversarial.bc_regularization import BCRegularization, actor_parameters
from agents.data.demonstrations import DemonstrationData, Demonstrations
from agents.data.features import feature_indices
from agents.data.spaces import brief
from agents.imitation.bc import BehaviorCloning
from agents.policies.networks import BoundedPolicy, is_image, policy_keywords
from agents.rl.finetuning import ppo_from
from agents.training.policy_agent import PolicyAgent
from agents.training.randomness import isolated_rng
from agents.training.run import Run
from agents.training.settings import (
    AgentSettings,
    Count,
    CountOrZero,
    Fraction,
    Layers,
    LogStd,
    NotNegative,
    Positive,
)
from agents.training.stable_baselines import (
    horizon_of,
    next_episode,
    restore,
    state_of,
    steps_of_round,
    training_envs,
)


class AdversarialSettings(AgentSettings):
    """Settings of the adversarial agents."""

    steps: Count = Field(
        100_000, description="Steps of all environments together, without the warm start; as many iterations as fit."
    )
    steps_per_iteration: Count = Field(
        2048, description="Approximate steps of all environments in an iteration, which consists of whole episodes."
    )
    warm_start: Literal["bc", "none"] = Field("bc", description="Start from a BC policy, or from scratch.")
    warm_start_epochs: CountOrZero = Field(0, description="Epochs of the BC policy; 0 for the setting of bc.")
    bc_updates_per_iteration: CountOrZero = Field(
        32, description="Updates of the policy on demonstrations after each iteration, after a warm start."
    )
    critic_iterations: CountOrZero = Field(
        2, description="Iterations after a warm start in which only critic and discriminator learn."
    )
    # Small steps keep what the BC policy can do.
    learning_rate: Positive = Field(
        0.0001, description="Learning rate of PPO and of BC updates after a warm start; it falls to 0 with the steps."
    )
    clip_range: Positive = Field(0.1, description="Clipping of the ratio of probabilities, after a warm start.")
    target_kl: NotNegative = Field(
        0.02, description="After a warm start, passes end at a divergence of 1.5 times this; 0 for no bound."
    )
    log_std: LogStd = Field(-1.6, description="Logarithm of the deviation of actions after a warm start.")
    scratch_learning_rate: Positive = Field(0.0003, description="Learning rate of PPO without a warm start.")
    scratch_clip_range: Positive = Field(0.2, description="Clipping of the ratio without a warm start.")
    scratch_log_std: LogStd = Field(-0.5, description="Logarithm of the deviation of actions without a warm start.")
    batch_size: int = Field(
        64, ge=2, description="Transitions in a minibatch of PPO; its advantages are standardized."
    )
    epochs: Count = Field(10, description="Passes over the transitions of an iteration.")
    gamma: Fraction = Field(0.97, description="Discount factor.")
    gae_lambda: Fraction = Field(0.95, description="Factor of the generalized advantage estimate.")
    entropy_weight: NotNegative = Field(0.0, description="Bonus for random actions.")
    hidden_sizes: Layers = Field((256, 256), description="Units of the layers of policy and critic.")
    discriminator_updates: Count = Field(8, description="Updates of the discriminator in an iteration.")
    discriminator_batch_size: Count = Field(
        512, description="Transitions of the expert in a minibatch of the discriminator, and as many of the policy."
    )
    discriminator_learning_rate: Positive = Field(0.001, description="Learning rate of the discriminator's Adam.")
    reward_hidden_sizes: Layers = Field((32, 32), description="Units of the discriminator's layers.")
    use_actions: bool = Field(
        True,
        description="Let the discriminator use actions; without them it compares visited states (Torabi et al. 2018, "
        "GAIfO), and the policy's noise does not give it away.",
    )
    masked_features: tuple[str, ...] = Field(
        (),
        description="Features that the discriminator does not use: by the position of objects it tells few "
        "demonstrations apart without learning what the expert does (Zolna et al. 2020).",
    )


@dataclass(frozen=True)
class ExpertTransitions:
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
                f"agent {self.spec.name} compares observations that are one array of numbers; this environment has "
                f'{brief(str(space))}. Use one such as LamReach-v0, or obs="state"'
            )
        keywords = policy_keywords(self.settings.hidden_sizes)
        return BoundedPolicy(space, self.action_space, lambda _: 0.0, **keywords)

    def learn(
        self,
        demonstrations: Demonstrations,
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
        data = DemonstrationData.of(demonstrations)
        self.begin(data, env, run, seed=seed, budget=budget)
        steps = self.settings.steps if budget is None else budget
        horizon = horizon_of(env)
        a_round = self.environments * steps_of_round(self.settings.steps_per_iteration, self.environments, horizon)
        if steps < a_round:
            raise ValueError(
                f"the budget is {steps} steps; expected at least the {a_round} of one round "
                f"(whole episodes of {horizon} steps in {self.environments} environments)"
            )
        expert = self._expert(data, seed)
        ignored = feature_indices(self.settings.masked_features, env)
        clone = None
        if self.settings.warm_start == "bc":
            clone = BehaviorCloning(env, hidden_sizes=self.settings.hidden_sizes, squash=True, ensemble_size=1)
        total = steps // a_round * a_round
        envs = training_envs(env, seed, self.environments)
        try:
            with isolated_rng(seed), run.training(self.spec.name, total, "steps"):
                kept = run.restored()
                if clone is not None and kept is None:
                    epochs = self.settings.warm_start_epochs or None
                    clone.learn(data, env, seed=seed, budget=epochs, run=Run(device=run.device))
                model = self._new_model(clone, data, envs, horizon, run.device)
                model.set_random_seed(seed)
                rehearsal = None if clone is None else self._rehearsal(clone, model, data, env, seed)
                reward_net = self.new_reward_net()
                _mask_inputs(reward_net, ignored)
                practice = _Practice(self, model, envs, reward_net, expert, rehearsal, horizon=horizon, total=total)
                if kept is not None:
                    practice.restore(kept)
                else:
                    # A warm start takes long: it is not to be done again.
                    run.checkpoint(practice.state, now=True)
                while model.num_timesteps < total:
                    numbers = practice.round()
                    done = model.num_timesteps
                    run.record(done, numbers)
                    run.log(done, accuracy=numbers["discriminator/accuracy"])
                    run.evaluate(model.policy, env, done)
                    run.checkpoint(practice.state)
                run.log(total)
        finally:
            envs.close()
        self.policy = model.policy.to("cpu")
        self.policy.set_training_mode(False)
        self.reward = practice.trainer.reward_test.to("cpu").eval()

    def _expert(self, data: DemonstrationData, seed: int) -> ExpertTransitions:
        learned = data.transitions()
        episodes = list(data.iterate_episodes())
        arrays = {
            "obs": learned.observations.numpy(),
            "acts": learned.actions.numpy(),
            "next_obs": np.concatenate([episode.observations[1:] for episode in episodes]),
            # imitation has the policy's episodes end so too, whether they were terminated or truncated.
            "dones": np.concatenate([episode.terminations | episode.truncations for episode in episodes]),
        }
        return ExpertTransitions(arrays, np.random.default_rng([seed, 2]))

    def _rehearsal(
        self,
        clone: BehaviorCloning,
        model: PPO,
        data: DemonstrationData,
        env: gym.Env[Any, Any],
        seed: int,
    ) -> BCRegularization:
        return BCRegularization(
            model.policy, data.transitions(), np.random.default_rng([seed, 3]), clone.settings.symmetry(env)
        )

    def _new_model(
        self,
        clone: BehaviorCloning | None,
        data: DemonstrationData,
        envs: VecEnv,
        horizon: int,
        device: str,
    ) -> PPO:
        """Makes PPO as it is before the first round."""
        settings = self.settings
        common: dict[str, Any] = {
            "n_steps": steps_of_round(settings.steps_per_iteration, self.environments, horizon),
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
        extractor.fit(data.statistics)
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
        expert: ExpertTransitions,
        rehearsal: BCRegularization | None,
        *,
        horizon: int,
        total: int,
    ) -> None:
        self._settings: AdversarialSettings = agent.settings
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
        learns = rehearsal is None or self._rounds >= self._settings.critic_iterations
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
        if rehearsal is not None and learns and self._settings.bc_updates_per_iteration:
            loss = rehearsal.update(self._settings.bc_updates_per_iteration, size, rate)
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
