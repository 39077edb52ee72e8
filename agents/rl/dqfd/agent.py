"""Deep Q-learning from Demonstrations: settings, pre-training, and practice, on Stable-Baselines3's DQN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.utils import polyak_update
from stable_baselines3.common.vec_env import VecEnv

from agents.policies.networks import check_layers, policy_keywords
from agents.rl.dqfd.losses import double_q_targets, huber, large_margin, squared_weights, values_of, weighted_mean
from agents.rl.dqfd.policy import DuelingPolicy, softmax_actions
from agents.rl.dqfd.replay import Batch, PrioritizedReplayBuffer
from agents.training.demonstrations import transitions
from agents.training.policy_agent import PolicyAgent, require_discrete
from agents.training.run import Run
from agents.training.settings import at_least, positive
from agents.training.stable_baselines import state_of, train_from_scratch
from demos.datasets.episode import episodes_of
from demos.datasets.statistics import statistics

EPSILON_GREEDY, SOFTMAX = "epsilon_greedy", "softmax"
EXPLORATIONS = (EPSILON_GREEDY, SOFTMAX)
SHOWN_EVERY = 100
"""Updates of the pre-training between looks at it."""


@dataclass(frozen=True)
class Settings:
    """Settings of DQfD; those of each environment are in ``configs/dqfd.yaml``.

    Attributes:
        steps: In the environment.
        pretraining_steps: Updates on demonstrations alone, before the first step; 0 for none.
        learning_rate: Of Adam, in the pre-training; as the agent practises it falls to 0 in a straight line.
        batch_size: Transitions an update.
        buffer_size: Of the agent's own transitions that are remembered; demonstrations come on top.
        gamma: Discount of a step.
        n_step: Steps of the longer return.
        n_step_weight: l1, of the loss of n steps; 0 for none.
        margin: m, by which a shown action is to be better than all others, in units of Q.
        margin_weight: l2, of the loss that asks for it; 0 for none.
        l2_weight: l3, on the squares of all weights.
        alpha: How far priorities count in what is drawn; 0 draws uniformly.
        beta: How far weights undo the bias of drawing by priority, at first; 1 at the end.
        agent_bonus: Added to the priorities of the agent's transitions.
        demonstration_bonus: Added to the priorities of demonstrations.
        train_freq: Steps between updates.
        gradient_steps: Updates at a time.
        target_update_interval: Updates between copies of the network to its target.
        exploration: ``epsilon_greedy`` or ``softmax``.
        epsilon: Share of random actions of ``epsilon_greedy``.
        temperature: Of ``softmax``, in units of Q.
        standardize: Whether observations are brought to mean 0 and spread 1 of the demonstrations.
        hidden_sizes: Units of the layers; each of the two streams has the last of them to itself.
    """

    steps: int
    pretraining_steps: int
    learning_rate: float
    batch_size: int
    buffer_size: int
    gamma: float
    n_step: int
    n_step_weight: float
    margin: float
    margin_weight: float
    l2_weight: float
    alpha: float
    beta: float
    agent_bonus: float
    demonstration_bonus: float
    train_freq: int
    gradient_steps: int
    target_update_interval: int
    exploration: str
    epsilon: float
    temperature: float
    standardize: bool
    hidden_sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        at_least(1, steps=self.steps, batch_size=self.batch_size, buffer_size=self.buffer_size, n_step=self.n_step)
        at_least(1, train_freq=self.train_freq, gradient_steps=self.gradient_steps)
        at_least(1, target_update_interval=self.target_update_interval)
        at_least(0, pretraining_steps=self.pretraining_steps, margin=self.margin)
        at_least(0, n_step_weight=self.n_step_weight, margin_weight=self.margin_weight, l2_weight=self.l2_weight)
        positive(learning_rate=self.learning_rate, temperature=self.temperature)
        # Above 0: what could never be drawn again would never be corrected.
        positive(agent_bonus=self.agent_bonus, demonstration_bonus=self.demonstration_bonus)
        if not 0.0 <= self.gamma < 1.0:
            raise ValueError(f"gamma is {self.gamma}; expected at least 0 and below 1")
        for what in ("alpha", "beta", "epsilon"):
            if not 0.0 <= getattr(self, what) <= 1.0:
                raise ValueError(f"{what} is {getattr(self, what)}; expected 0 to 1")
        if self.exploration not in EXPLORATIONS:
            raise ValueError(f"exploration is {self.exploration!r}; expected one of {', '.join(EXPLORATIONS)}")
        check_layers(self.hidden_sizes)


class DQfDAgent(PolicyAgent):
    """DQfD: Q-learning that begins with demonstrations, keeps them, and goes on by its own practice.

    **Idea.** A network first learns from demonstrations alone: what actions are worth, by the rewards that followed,
    and that what was shown is better by a margin than all that was not. Then it acts by itself, and learns from both.
    Demonstrations are never forgotten, and are drawn more often; so is what surprises. What clones cannot learn, to
    get back from their own errors, it learns from its own reward.

    **Equation.** J = J_DQ + l1 J_n + l2 J_E + l3 J_L2: the errors of one step and of n steps of double Q-learning,
    J_E = max_a [Q(s, a) + m(a_E, a)] - Q(s, a_E) on demonstrations, and the squares of all weights.

    **Paper.** Hester et al. 2018, Deep Q-learning from Demonstrations; with dueling streams of Wang et al. 2016, and
    prioritised replay of Schaul et al. 2016. The loop is that of Stable-Baselines3's `DQN`.

    **What we do differently.** Errors have the Huber loss, as in Stable-Baselines3's `DQN`. Weights of importance
    apply to all losses of a transition, the margin too, and are divided by the largest in the batch. An episode that
    only ran out of time is not taken for the end of all reward: its last value is estimated. Exploration is
    epsilon-greedy or softmax. The learning rate falls to 0 as the agent practises. Observations are standardised by
    the demonstrations. Episodes are seeded by their number, and a training that was killed goes on to the same
    weights, in the pre-training too. Of disturbed demonstrations (`--quality noisy`) the rewards teach what the
    executed action is worth, and the margin what the expert would have done.

    **When not to use it.** Where actions are not discrete, where demonstrations hold no rewards, or where there is no
    environment to practise in.

    Parts are left out by settings: `margin_weight=0`, `n_step_weight=0`, `alpha=0` (drawing uniformly),
    `pretraining_steps=0`.

    The budget of :meth:`learn` is in steps of the environment.

    Args:
        env: Gives the spaces; actions are discrete.
        settings: Fields of :class:`Settings` that differ from ``configs/dqfd.yaml``.

    Raises:
        ValueError: An unknown setting, a value out of range, or actions that are not discrete.
    """

    name = "dqfd"
    version = 1
    settings_type = Settings

    def new_policy(self) -> BasePolicy:
        """Makes an untrained policy."""
        actions = require_discrete(self.name, self.action_space)
        keywords = policy_keywords(self.settings.hidden_sizes)
        return DuelingPolicy(self.observation_space, actions, lambda _: 0.0, **keywords)

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
        """Learns from demonstrations, then practises in environments like the one that is given.

        Args:
            demonstrations: With this agent's spaces, and rewards.
            env: Made by ``gym.make``.
            seed: Of weights, batches, exploration and episodes.
            budget: Steps in the environment; by default the setting.
            progress: Show a bar.
            run: Keeps checkpoints and shows the success as it goes; by default nothing is kept.

        Raises:
            ValueError: The demonstrations have other spaces; or a budget below 1, a negative seed, or an environment
                that cannot be made again.
        """
        run = run or Run(progress=progress)
        # For the refusal of other spaces alone: rewards are needed too, and are read with all else below.
        transitions(demonstrations, self.observation_space, self.action_space, demonstrations.episode_indices[:1])
        self.begin(demonstrations, env, run, seed=seed, budget=budget)
        steps = self.settings.steps if budget is None else budget
        made = run
        self.policy = train_from_scratch(
            self.name,
            env,
            run,
            lambda envs: DQfD(envs, self.settings, demonstrations, made, seed),
            steps=steps,
            seed=seed,
        )


class DQfD(DQN):
    """The algorithm.

    Args:
        envs: One environment to practise in.
        settings: Of the agent.
        demonstrations: Are put into the replay buffer.
        run: Shows and keeps the pre-training.
        seed: Of the batches; everything else is drawn from the global generators.
    """

    replay_buffer: PrioritizedReplayBuffer  # type: ignore[assignment]
    policy: DuelingPolicy

    def __init__(
        self, envs: VecEnv, settings: Settings, demonstrations: minari.MinariDataset, run: Run, seed: int
    ) -> None:
        self.settings = settings
        self._run = run
        shown = int(demonstrations.total_steps)
        super().__init__(
            DuelingPolicy,
            envs,
            # Of the share of the steps that is left: the last weights are those that are kept.
            learning_rate=lambda left: settings.learning_rate * left,
            batch_size=settings.batch_size,
            buffer_size=shown + settings.buffer_size,
            learning_starts=0,
            gamma=settings.gamma,
            train_freq=settings.train_freq,
            gradient_steps=settings.gradient_steps,
            exploration_initial_eps=settings.epsilon,
            exploration_final_eps=settings.epsilon,
            replay_buffer_class=PrioritizedReplayBuffer,  # type: ignore[arg-type]  # draws batches of its own kind
            replay_buffer_kwargs={
                "demonstrations": shown,
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
        for episode in episodes_of(demonstrations):
            self.replay_buffer.demonstrate(episode)
        if settings.standardize:
            found = statistics(demonstrations)
            for extractor in self.policy.extractors:
                extractor.fit(found)

    def learn(self, *args: Any, **kwargs: Any) -> DQfD:
        """Pre-trains what is left to pre-train, then practises."""
        self.pretrain()
        super().learn(*args, **kwargs)
        return self

    def pretrain(self) -> None:
        """Learns from the demonstrations, which are all that is in the buffer yet; goes on where it was."""
        planned, began = self.settings.pretraining_steps, self._n_updates
        self.policy.set_training_mode(True)
        while self._n_updates < planned:
            numbers = self.update(self.settings.batch_size)
            if self._n_updates % SHOWN_EVERY == 0 or self._n_updates == planned:
                self._run.log(self._n_updates, {f"pretraining/{name}": value for name, value in numbers.items()})
                self._run.show(0, pretraining=float(self._n_updates))
                self._run.keep(lambda: state_of(self), now=self._n_updates == planned)
        if self._n_updates > began:
            self.policy.set_training_mode(False)

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Learns from demonstrations and the agent's own transitions."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        numbers: dict[str, float] = {}
        for _ in range(gradient_steps):
            numbers = self.update(batch_size)
        for name, number in numbers.items():
            self.logger.record(f"train/{name}", number)

    def update(self, batch_size: int) -> dict[str, float]:
        """Makes one step of Adam, and copies the network to its target when it is time to.

        Args:
            batch_size: Transitions.

        Returns:
            The losses by name.
        """
        settings = self.settings
        # Counts down from 1 to 0 as the agent practises; 1 in the pre-training.
        beta = 1.0 - (1.0 - settings.beta) * self._current_progress_remaining
        batch = self.replay_buffer.sample(batch_size, beta=beta)
        targets, later_targets = self._targets(batch)
        q_values = self.q_net(batch.observations)
        known = values_of(q_values, batch.actions)
        errors = targets - known
        losses = {
            "one_step": weighted_mean(huber(errors), batch.weights),
            "n_step": weighted_mean(huber(later_targets - known), batch.weights),
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
        """What Q(s, a) should be by one step, and by n; each of shape (N,)."""
        following = _joined(batch.next_observations, batch.later_observations)
        online, target = self.q_net(following), self.q_net_target(following)
        count = len(batch.rows)
        return (
            double_q_targets(batch.rewards, batch.discounts, online[:count], target[:count]),
            double_q_targets(batch.returns, batch.later_discounts, online[count:], target[count:]),
        )

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[npt.NDArray[Any], Any]:
        """Acts; without ``deterministic`` as the setting ``exploration`` says."""
        if deterministic or self.settings.exploration == EPSILON_GREEDY:
            return super().predict(observation, state, episode_start, deterministic)
        seen, is_batch = self.policy.obs_to_tensor(observation)
        with torch.no_grad():
            actions = softmax_actions(self.q_net(seen), self.settings.temperature).cpu().numpy()
        return (actions if is_batch else actions[0]), state

    def _on_step(self) -> None:
        """Leaves the target alone, which is copied by the number of updates, and epsilon, which stays."""
        self._n_calls += 1


def _joined(one: Any, other: Any) -> Any:
    """Two batches of observations as one: a network is asked once."""
    if isinstance(one, dict):
        return {name: torch.cat([values, other[name]]) for name, values in one.items()}
    return torch.cat([one, other])
