"""Deep Q-learning from Demonstrations: settings, pre-training and training, on Stable-Baselines3's DQN."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from stable_baselines3 import DQN
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.utils import polyak_update
from stable_baselines3.common.vec_env import VecEnv

from agents.data.demonstrations import DemonstrationData, Demonstrations
from agents.data.sequences import concatenate
from agents.policies.networks import policy_keywords
from agents.rl.dqfd.losses import double_q_targets, huber, large_margin, squared_weights, values_of, weighted_mean
from agents.rl.dqfd.policy import DuelingPolicy, softmax_actions
from agents.rl.dqfd.replay import Batch, PrioritizedReplayBuffer
from agents.spec import AgentSpec
from agents.training.policy_agent import PolicyAgent, require_discrete
from agents.training.run import Run
from agents.training.settings import (
    AgentSettings,
    Count,
    CountOrZero,
    Discount,
    Fraction,
    Layers,
    NotNegative,
    Positive,
)
from agents.training.stable_baselines.training import state_of, train_from_scratch
from agents.types import Array, Env, Memory, Observation

EPSILON_GREEDY: Literal["epsilon_greedy"] = "epsilon_greedy"
LOG_INTERVAL = 100
"""Updates of the pre-training between log entries."""


class DQfDSettings(AgentSettings):
    """Settings of DQfD, with the symbols of the paper."""

    steps: Count = Field(20_000, description="Steps in the environment; not tuned for the harder tasks.")
    pretraining_steps: CountOrZero = Field(
        5000, description="Updates on demonstrations alone, before the first step; 0 for none."
    )
    learning_rate: Positive = Field(
        0.0005, description="Learning rate of Adam in the pre-training; it falls linearly to 0 with the steps."
    )
    batch_size: Count = Field(64, description="Transitions in a minibatch.")
    buffer_size: Count = Field(100_000, description="The agent's own transitions in the replay buffer.")
    gamma: Discount = Field(0.97, description="Discount factor; the paper has 0.99, episodes have 40 to 200 steps.")
    n_step: Count = Field(10, description="Steps of the longer return.")
    n_step_weight: NotNegative = Field(1.0, description="l1, weight of the n-step loss; 0 for none.")
    margin: NotNegative = Field(
        0.8, description="m, by which the demonstrated action must be better than all others, in units of Q."
    )
    margin_weight: NotNegative = Field(1.0, description="l2, weight of the margin loss; 0 for none.")
    l2_weight: NotNegative = Field(0.00001, description="l3, weight of the sum of all squared weights.")
    alpha: Fraction = Field(0.4, description="Exponent of priorities; 0 draws uniformly.")
    beta: Fraction = Field(0.6, description="Initial exponent of importance weights; 1 at the last step.")
    # Above 0: a transition that could never be drawn again would never be corrected.
    agent_bonus: Positive = Field(0.001, description="Constant added to the priorities of the agent's transitions.")
    demonstration_bonus: Positive = Field(1.0, description="Added to the priorities of demonstrations.")
    train_freq: Count = Field(1, description="Steps between updates.")
    gradient_steps: Count = Field(1, description="Updates at a time.")
    target_update_interval: Count = Field(500, description="Updates between copies of the network to its target.")
    exploration: Literal["epsilon_greedy", "softmax"] = Field(EPSILON_GREEDY, description="Kind of exploration.")
    epsilon: Fraction = Field(0.01, description="Fraction of random actions of epsilon_greedy, as in the paper.")
    temperature: Positive = Field(0.1, description="Temperature of softmax, in units of Q.")
    standardize: bool = Field(True, description="Standardize observations as in the demonstrations.")
    hidden_sizes: Layers = Field(
        (256, 256), description="Units of the layers; each of the two streams has a last layer of its own."
    )


class DQfDAgent(PolicyAgent):
    """DQfD: Q-learning that is pre-trained on demonstrations and keeps them in its replay buffer.

    **Idea.** A network first learns from demonstrations alone: the values of actions from the rewards, and that the
    demonstrated action is better than all others by a margin. Then it acts, and learns from both. Demonstrations stay
    in the replay buffer and are drawn more often than other transitions, as are transitions with large errors. From
    its own reward the agent learns to recover from its errors, which behavior cloning cannot.

    **Equation.** J = J_DQ + l1 J_n + l2 J_E + l3 J_L2: the errors of one step and of n steps of double Q-learning,
    J_E = max_a [Q(s, a) + m(a_E, a)] - Q(s, a_E) on demonstrations, and the squares of all weights.

    **Paper.** Hester et al. 2018, Deep Q-learning from Demonstrations; with dueling streams of Wang et al. 2016, and
    prioritized replay of Schaul et al. 2016. The training loop is that of Stable-Baselines3's `DQN`.

    **Differences.** Errors have the Huber loss, as in Stable-Baselines3's `DQN`. Importance weights apply to all
    losses of a transition, the margin too, and are divided by the largest of the minibatch. A truncated episode is
    not treated as terminated: the value after it is estimated. Exploration is epsilon-greedy or softmax. The learning
    rate falls to 0 with the steps. Observations are standardized by the demonstrations. Episodes are seeded by their
    number, and a killed training resumes and ends with the same weights, in the pre-training too. In noisy
    demonstrations (`--demonstrator noisy`) the rewards belong to the executed action, and the margin to the expert's.

    **When not to use it.** When actions are not discrete, when demonstrations have no rewards, or when you have no
    environment to train in.

    Settings turn parts off: `margin_weight=0`, `n_step_weight=0`, `alpha=0` (drawing uniformly),
    `pretraining_steps=0`.

    The budget of :meth:`learn` is in steps of the environment.

    Args:
        env: Environment that gives the spaces; actions are discrete.
        settings: Settings that differ from the defaults for this environment; see
            :class:`DQfDSettings`.

    Raises:
        ValueError: An unknown setting, a value out of range, or actions that are not discrete.
    """

    spec = AgentSpec("dqfd", settings=DQfDSettings, needs_environment=True, takes_run=True)

    def new_policy(self) -> BasePolicy:
        """Return an untrained policy."""
        actions = require_discrete(self.spec.name, self.action_space)
        keywords = policy_keywords(self.settings.hidden_sizes)
        return DuelingPolicy(self.observation_space, actions, lambda _: 0.0, **keywords)

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
        """Pre-train on demonstrations, then train in a copy of an environment.

        Args:
            demonstrations: Demonstrations with this agent's spaces, and rewards.
            env: Environment made by ``gym.make``.
            seed: Seeds weights, minibatches, exploration and episodes.
            budget: Steps in the environment; by default the setting.
            progress: Show a progress bar.
            run: Checkpoints, log and periodic evaluation; by default none.

        Raises:
            ValueError: The demonstrations have other spaces, the budget is below 1, the seed is negative, or the
                environment has no spec.
        """
        run = training = run or Run(progress=progress)
        data = DemonstrationData.of(demonstrations)
        self.begin(data, env, run, seed=seed, budget=budget)
        steps = self.settings.steps if budget is None else budget
        self.policy = train_from_scratch(
            self.spec.name,
            env,
            run,
            lambda envs: DQfD(envs, self.settings, data, training, seed),
            steps=steps,
            seed=seed,
        )


class DQfD(DQN):
    """Algorithm of DQfD.

    Args:
        envs: Training environment, vectorized.
        settings: Settings of the agent.
        data: Demonstrations for the replay buffer.
        run: Log and checkpoints of the pre-training.
        seed: Seeds the minibatches; everything else is drawn from the global generators.
    """

    replay_buffer: PrioritizedReplayBuffer  # type: ignore[assignment]
    policy: DuelingPolicy

    def __init__(self, envs: VecEnv, settings: DQfDSettings, data: DemonstrationData, run: Run, seed: int) -> None:
        self.settings = settings
        self._run = run
        demonstrated = data.total_steps
        super().__init__(
            DuelingPolicy,
            envs,
            # It falls with the remaining steps, because the last weights are the result.
            learning_rate=lambda left: settings.learning_rate * left,
            batch_size=settings.batch_size,
            buffer_size=demonstrated + settings.buffer_size,
            learning_starts=0,
            gamma=settings.gamma,
            train_freq=settings.train_freq,
            gradient_steps=settings.gradient_steps,
            exploration_initial_eps=settings.epsilon,
            exploration_final_eps=settings.epsilon,
            replay_buffer_class=PrioritizedReplayBuffer,  # type: ignore[arg-type]  # draws batches of its own kind
            replay_buffer_kwargs={
                "demonstrations": demonstrated,
                "n_step": settings.n_step,
                "gamma": settings.gamma,
                "alpha": settings.alpha,
                "agent_bonus": settings.agent_bonus,
                "demonstration_bonus": settings.demonstration_bonus,
                "seed": seed,
            },
            policy_kwargs=policy_keywords(settings.hidden_sizes),
            device=run.device,
        )
        self.exploration_rate = settings.epsilon
        for episode in data.iterate_episodes():
            self.replay_buffer.add_demonstration(episode)
        if settings.standardize:
            for extractor in self.policy.extractors:
                extractor.fit(data.statistics)

    def learn(self, *args: Any, **kwargs: Any) -> DQfD:
        """Pre-train as far as needed, then train."""
        self.pretrain()
        super().learn(*args, **kwargs)
        return self

    def pretrain(self) -> None:
        """Make the remaining updates on demonstrations, before the first step in the environment."""
        planned, began = self.settings.pretraining_steps, self._n_updates
        self.policy.set_training_mode(True)
        while self._n_updates < planned:
            metrics = self.update(self.settings.batch_size)
            if self._n_updates % LOG_INTERVAL == 0 or self._n_updates == planned:
                self._run.log_to_tensorboard(
                    self._n_updates, {f"pretraining/{name}": value for name, value in metrics.items()}
                )
                self._run.log(0, pretraining=float(self._n_updates))
                self._run.checkpoint(lambda: state_of(self), now=self._n_updates == planned)
        if self._n_updates > began:
            self.policy.set_training_mode(False)

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Make updates on demonstrations and the agent's own transitions."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        metrics: dict[str, float] = {}
        for _ in range(gradient_steps):
            metrics = self.update(batch_size)
        for name, number in metrics.items():
            self.logger.record(f"train/{name}", number)

    def update(self, batch_size: int) -> dict[str, float]:
        """Make one update, and copy the network to its target if due.

        Args:
            batch_size: Transitions in the minibatch.

        Returns:
            Losses by name.
        """
        settings = self.settings
        # The remaining progress falls from 1 to 0 with the steps; it is 1 in the pre-training.
        beta = 1.0 - (1.0 - settings.beta) * self._current_progress_remaining
        batch = self.replay_buffer.sample(batch_size, beta=beta)
        targets, n_step_targets = self._targets(batch)
        q_values = self.q_net(batch.observations)
        known = values_of(q_values, batch.actions)
        errors = targets - known
        losses = {
            "one_step": weighted_mean(huber(errors), batch.weights),
            "n_step": weighted_mean(huber(n_step_targets - known), batch.weights),
            "margin": weighted_mean(
                batch.demonstrated * large_margin(q_values, batch.labels, settings.margin), batch.weights
            ),
            "weights": squared_weights(self.q_net.parameters()),
        }
        loss = (
            losses["one_step"]
            + settings.n_step_weight * losses["n_step"]
            + settings.margin_weight * losses["margin"]
            + settings.l2_weight * losses["weights"]
        )
        optimizer = self.policy.optimizer
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.q_net.parameters(), self.max_grad_norm)
        optimizer.step()
        self.replay_buffer.set_errors(batch.rows, errors.detach().cpu().numpy().astype(np.float64))
        self._n_updates += 1
        if self._n_updates % settings.target_update_interval == 0:
            polyak_update(self.q_net.parameters(), self.q_net_target.parameters(), 1.0)
        return {name: value.item() for name, value in losses.items()}

    @torch.no_grad()
    def _targets(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the targets of Q(s, a) of one step and of n steps, each of shape (N,)."""
        following = concatenate([batch.next_observations, batch.n_step_observations])
        online, target = self.q_net(following), self.q_net_target(following)
        count = len(batch.rows)
        return (
            double_q_targets(batch.rewards, batch.discounts, online[:count], target[:count]),
            double_q_targets(batch.returns, batch.n_step_discounts, online[count:], target[count:]),
        )

    def predict(
        self,
        observation: Observation,
        state: Memory = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, Memory]:
        """Return actions, shape (N,), or () for one observation; they explore unless ``deterministic``."""
        if deterministic or self.settings.exploration == EPSILON_GREEDY:
            return super().predict(observation, state, episode_start, deterministic)
        tensor, is_batch = self.policy.obs_to_tensor(observation)
        with torch.no_grad():
            actions = softmax_actions(self.q_net(tensor), self.settings.temperature).cpu().numpy()
        return (actions if is_batch else actions[0]), state

    def _on_step(self) -> None:
        """Do not update the target, which follows the number of updates, or epsilon, which is constant."""
        self._n_calls += 1
