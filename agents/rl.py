"""References without demonstrations: Stable-Baselines3's DQN, PPO, and SAC, on goals with hindsight."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import minari
from gymnasium import spaces
from stable_baselines3 import DQN, PPO, SAC, HerReplayBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy

from agents.networks import BoundedPolicy, check_layers, policy_keywords
from agents.policy_agent import PolicyAgent
from agents.randomness import own_randomness
from agents.run import Run
from agents.settings import at_least, positive
from agents.stable_baselines import horizon_of, train, training_envs


class ReinforcementAgent(PolicyAgent):
    """An algorithm of Stable-Baselines3 that learns from the reward alone."""

    needs_demonstrations: ClassVar[bool] = False
    environments: ClassVar[int] = 1
    """How many it practises in at once."""

    @abstractmethod
    def new_model(self, envs: VecEnv, horizon: int, device: str) -> BaseAlgorithm:
        """Makes the untrained algorithm.

        Args:
            envs: To practise in.
            horizon: Steps of an episode.
            device: ``auto``, ``cpu`` or ``cuda``.
        """

    def learn(
        self,
        demonstrations: minari.MinariDataset | None,
        env: gym.Env[Any, Any],
        *,
        seed: int,
        budget: int | None = None,
        progress: bool = False,
        run: Run | None = None,
    ) -> None:
        """Practises in environments like the one that is given.

        Args:
            demonstrations: Not looked at.
            env: Made by ``gym.make``.
            seed: Of weights, exploration and episodes.
            budget: Steps of all environments; by default the setting.
            progress: Show a bar.
            run: Keeps checkpoints and shows the success as it goes; by default nothing is kept.

        Raises:
            ValueError: A budget below 1, a negative seed, or an environment that cannot be made again.
        """
        run = run or Run(progress=progress)
        self.begin(None, env, run, seed=seed, budget=budget)
        steps = self.settings.steps if budget is None else budget
        envs = training_envs(env, seed, self.environments)
        try:
            with own_randomness(seed), run.showing(self.name, steps, "steps"):
                model = self.new_model(envs, horizon_of(env), run.device)
                model.set_random_seed(seed)
                train(model, env, run, steps=steps)
        finally:
            envs.close()
        self.policy = model.policy.to("cpu")
        self.policy.set_training_mode(False)


def _check_off_policy(settings: Any) -> None:
    at_least(1, steps=settings.steps, batch_size=settings.batch_size, buffer_size=settings.buffer_size)
    at_least(1, train_freq=settings.train_freq, gradient_steps=settings.gradient_steps)
    at_least(0, learning_starts=settings.learning_starts)
    positive(learning_rate=settings.learning_rate)
    if not 0.0 <= settings.gamma < 1.0:
        raise ValueError(f"gamma is {settings.gamma}; expected at least 0 and below 1")
    check_layers(settings.hidden_sizes)


@dataclass(frozen=True)
class DQNSettings:
    """Settings of DQN; those of each environment are in ``configs/dqn.yaml``.

    Attributes:
        steps: In the environment.
        learning_rate: Of Adam.
        batch_size: Transitions an update.
        buffer_size: Transitions that are remembered.
        learning_starts: Steps of random actions before the first update.
        gamma: Discount of a step.
        train_freq: Steps between updates.
        gradient_steps: Updates at a time.
        target_update_interval: Steps between copies of the network to its target.
        exploration_fraction: Share of the steps in which epsilon falls.
        exploration_final_eps: Where it falls to, from 1.
        hidden_sizes: Units of the layers.
    """

    steps: int
    learning_rate: float
    batch_size: int
    buffer_size: int
    learning_starts: int
    gamma: float
    train_freq: int
    gradient_steps: int
    target_update_interval: int
    exploration_fraction: float
    exploration_final_eps: float
    hidden_sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        _check_off_policy(self)
        at_least(1, target_update_interval=self.target_update_interval)
        for what in ("exploration_fraction", "exploration_final_eps"):
            if not 0.0 <= getattr(self, what) <= 1.0:
                raise ValueError(f"{what} is {getattr(self, what)}; expected 0 to 1")


class DQNAgent(ReinforcementAgent):
    """DQN: a network learns what each discrete action is worth, from the reward alone.

    **Idea.** Q(s, a) is the reward to come when a is done in s. The network is brought towards what was got, plus
    what the best next action is worth by a slower copy of itself. Mostly the best action is done, sometimes a random
    one. It sees no demonstration: beside the learners it shows what these are worth.

    **Equation.** The Huber loss of Q(s, a) - (r + gamma max_a' Q_target(s', a')), over transitions of a replay
    buffer.

    **Paper.** Mnih et al. 2015, Human-level control through deep reinforcement learning. The algorithm is
    Stable-Baselines3's.

    **What we do differently.** Episodes are seeded by their number, and a training that was killed goes on to the
    same weights.

    **When not to use it.** Where success is rare under random actions, as in every task here but reaching, or where
    actions are not discrete.

    The budget of :meth:`learn` is in steps of the environment.

    Args:
        env: Gives the spaces; actions are discrete.
        settings: Fields of :class:`DQNSettings` that differ from ``configs/dqn.yaml``.

    Raises:
        ValueError: An unknown setting, a value out of range, or actions that are not discrete.
    """

    name = "dqn"
    settings_type = DQNSettings

    def new_policy(self) -> BasePolicy:
        """Makes an untrained policy."""
        require_discrete(self.name, self.action_space)
        keywords = policy_keywords(self.settings.hidden_sizes)
        return DQNPolicy(self.observation_space, self.action_space, lambda _: 0.0, **keywords)  # type: ignore[arg-type]

    def new_model(self, envs: VecEnv, horizon: int, device: str) -> BaseAlgorithm:
        """Makes the untrained algorithm."""
        settings = self.settings
        return DQN(
            DQNPolicy,
            envs,
            learning_rate=settings.learning_rate,
            batch_size=settings.batch_size,
            buffer_size=settings.buffer_size,
            learning_starts=settings.learning_starts,
            gamma=settings.gamma,
            train_freq=settings.train_freq,
            gradient_steps=settings.gradient_steps,
            target_update_interval=settings.target_update_interval,
            exploration_fraction=settings.exploration_fraction,
            exploration_final_eps=settings.exploration_final_eps,
            policy_kwargs=policy_keywords(settings.hidden_sizes),
            device=device,
        )


def require_discrete(name: str, action_space: gym.Space[Any]) -> None:
    """Refuses actions that are not discrete.

    Raises:
        ValueError: They are not.
    """
    if not isinstance(action_space, spaces.Discrete):
        raise ValueError(
            f"agent {name} chooses among discrete actions; this environment has {action_space}. "
            'Use one such as LamGraspDiscrete-v0, or control="discrete"'
        )


@dataclass(frozen=True)
class PPOSettings:
    """Settings of PPO; those of each environment are in ``configs/ppo.yaml``.

    Attributes:
        steps: In all environments together; as many whole rounds as fit.
        round_steps: About how many before an update: whole episodes are taken.
        learning_rate: Of Adam.
        batch_size: Transitions an update.
        epochs: Passes over a round's transitions.
        gamma: Discount of a step.
        gae_lambda: Of the generalised advantage estimate.
        clip_range: Of the ratio of new and old probability.
        entropy_weight: Bonus for random actions.
        log_std: Logarithm of the noise at the start.
        hidden_sizes: Units of the layers.
    """

    steps: int
    round_steps: int
    learning_rate: float
    batch_size: int
    epochs: int
    gamma: float
    gae_lambda: float
    clip_range: float
    entropy_weight: float
    log_std: float
    hidden_sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        at_least(1, steps=self.steps, round_steps=self.round_steps, batch_size=self.batch_size, epochs=self.epochs)
        positive(learning_rate=self.learning_rate, clip_range=self.clip_range)
        at_least(0, entropy_weight=self.entropy_weight)
        at_least(-20, log_std=self.log_std)
        for what in ("gamma", "gae_lambda"):
            if not 0.0 <= getattr(self, what) <= 1.0:
                raise ValueError(f"{what} is {getattr(self, what)}; expected 0 to 1")
        check_layers(self.hidden_sizes)


def steps_of_round(round_steps: int, environments: int, horizon: int) -> int:
    """Returns the steps of one environment in a round: whole episodes, nearest to what is asked for, at least one."""
    return horizon * max(1, round(round_steps / (environments * horizon)))


class PPOAgent(ReinforcementAgent):
    """PPO: a policy is brought, in small steps, towards what turned out better than expected; from reward alone.

    **Idea.** Several environments are acted in with noise. A second network says how much reward was to be expected;
    actions that brought more become likelier, others less, but never by much at a time. It sees no demonstration:
    beside the learners it shows what these are worth.

    **Equation.** Maximised is the mean of min(rho A, clip(rho, 1 - c, 1 + c) A), where rho is the ratio of the
    action's probability now and when it was taken, and A its generalised advantage estimate.

    **Paper.** Schulman et al. 2017, Proximal Policy Optimization Algorithms. The algorithm is Stable-Baselines3's.

    **What we do differently.** A round is of whole episodes, which are seeded by their number; the mean action is
    squashed into the action space by tanh; a training that was killed goes on to the same weights.

    **When not to use it.** Where steps are dear, or success is rare under random actions.

    The budget of :meth:`learn` is in steps of all environments together.

    Args:
        env: Gives the spaces.
        settings: Fields of :class:`PPOSettings` that differ from ``configs/ppo.yaml``.

    Raises:
        ValueError: An unknown setting, or a value out of range.
    """

    name = "ppo"
    settings_type = PPOSettings
    environments = 8

    def new_policy(self) -> BasePolicy:
        """Makes an untrained policy."""
        keywords = policy_keywords(self.settings.hidden_sizes)
        return BoundedPolicy(self.observation_space, self.action_space, lambda _: 0.0, **keywords)

    def new_model(self, envs: VecEnv, horizon: int, device: str) -> BaseAlgorithm:
        """Makes the untrained algorithm."""
        settings = self.settings
        return PPO(
            BoundedPolicy,
            envs,
            n_steps=steps_of_round(settings.round_steps, self.environments, horizon),
            learning_rate=settings.learning_rate,
            batch_size=settings.batch_size,
            n_epochs=settings.epochs,
            gamma=settings.gamma,
            gae_lambda=settings.gae_lambda,
            clip_range=settings.clip_range,
            ent_coef=settings.entropy_weight,
            policy_kwargs={**policy_keywords(settings.hidden_sizes), "log_std_init": settings.log_std},
            device=device,
        )


@dataclass(frozen=True)
class SACSettings:
    """Settings of SAC; those of each environment are in ``configs/sac.yaml``.

    Attributes:
        steps: In the environment.
        learning_rate: Of Adam.
        batch_size: Transitions an update.
        buffer_size: Transitions that are remembered.
        learning_starts: Steps of random actions before the first update.
        gamma: Discount of a step.
        tau: Share of the critics that their targets take on in an update.
        train_freq: Steps between updates.
        gradient_steps: Updates at a time.
        hindsight_goals: Where observations name a goal, how many transitions are remembered as if what was reached
            later had been the goal, to each that is as it was (Andrychowicz et al. 2017); 0 for none.
        hidden_sizes: Units of the layers.
    """

    steps: int
    learning_rate: float
    batch_size: int
    buffer_size: int
    learning_starts: int
    gamma: float
    tau: float
    train_freq: int
    gradient_steps: int
    hindsight_goals: int
    hidden_sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        _check_off_policy(self)
        at_least(0, hindsight_goals=self.hindsight_goals)
        if not 0.0 < self.tau <= 1.0:
            raise ValueError(f"tau is {self.tau}; expected above 0 and at most 1")


class SACAgent(ReinforcementAgent):
    """SAC: actor and critics learn from every step that is remembered; from reward alone, on goals with hindsight.

    **Idea.** Two networks learn what an action is worth, a third acts so that this is large and the actions stay as
    random as they may. Where the observation names a goal, what was reached by chance is remembered as if it had
    been the goal: then every episode teaches how to reach something. It sees no demonstration: beside the learners it
    shows what these are worth.

    **Equation.** The critics minimise (Q(s, a) - r - gamma (min Q_target(s', a') - alpha log pi(a' | s')))^2, the
    actor alpha log pi(a | s) - min Q(s, a); alpha is learned.

    **Paper.** Haarnoja et al. 2018, Soft Actor-Critic Algorithms and Applications; Andrychowicz et al. 2017,
    Hindsight Experience Replay. The algorithms are Stable-Baselines3's.

    **What we do differently.** Episodes are seeded by their number, and a training that was killed goes on to the
    same weights. Hindsight is used wherever observations have an `achieved_goal`.

    **When not to use it.** Where actions are discrete, or wall time is dearer than steps: PPO is faster a step.

    The budget of :meth:`learn` is in steps of the environment.

    Args:
        env: Gives the spaces; actions are continuous.
        settings: Fields of :class:`SACSettings` that differ from ``configs/sac.yaml``.

    Raises:
        ValueError: An unknown setting, a value out of range, or discrete actions.
    """

    name = "sac"
    settings_type = SACSettings

    def new_policy(self) -> BasePolicy:
        """Makes an untrained policy."""
        if not isinstance(self.action_space, spaces.Box):
            raise ValueError(f"agent {self.name} has continuous actions; this environment has {self.action_space}")
        keywords = policy_keywords(self.settings.hidden_sizes)
        return SACPolicy(self.observation_space, self.action_space, lambda _: 0.0, **keywords)

    def new_model(self, envs: VecEnv, horizon: int, device: str) -> BaseAlgorithm:
        """Makes the untrained algorithm."""
        settings = self.settings
        has_goals = (
            isinstance(self.observation_space, spaces.Dict) and "achieved_goal" in self.observation_space.spaces
        )
        hindsight: dict[str, Any] = {}
        if has_goals and settings.hindsight_goals:
            hindsight = {
                "replay_buffer_class": HerReplayBuffer,
                "replay_buffer_kwargs": {"n_sampled_goal": settings.hindsight_goals},
            }
        return SAC(
            SACPolicy,
            envs,
            learning_rate=settings.learning_rate,
            batch_size=settings.batch_size,
            buffer_size=settings.buffer_size,
            # Hindsight looks at whole episodes: there is to be one.
            learning_starts=max(settings.learning_starts, horizon + 1 if hindsight else 0),
            gamma=settings.gamma,
            tau=settings.tau,
            train_freq=settings.train_freq,
            gradient_steps=settings.gradient_steps,
            policy_kwargs=policy_keywords(settings.hidden_sizes),
            device=device,
            **hindsight,
        )
