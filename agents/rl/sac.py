"""SAC (Haarnoja et al. 2018) by Stable-Baselines3, with hindsight on goals: a baseline without demonstrations."""

from __future__ import annotations

from gymnasium import spaces
from pydantic import Field
from stable_baselines3 import SAC, HerReplayBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.sac.policies import SACPolicy

from agents.policies.networks import policy_keywords
from agents.rl.training import OffPolicySettings, ReinforcementAgent
from agents.spec import AgentSpec
from agents.training.settings import Count, CountOrZero, Positive
from agents.types import Keywords


class SACSettings(OffPolicySettings):
    """Settings of SAC."""

    learning_rate: Positive = Field(0.0003, description="Learning rate of Adam.")
    batch_size: Count = Field(256, description="Transitions in a minibatch.")
    buffer_size: Count = Field(300_000, description="Transitions in the replay buffer.")
    tau: float = Field(0.005, gt=0.0, le=1.0, description="Rate at which the target critics follow the critics.")
    train_freq: Count = Field(
        4, description="Steps between updates: one update a step would take four times as long."
    )
    gradient_steps: Count = Field(2, description="Updates at a time.")
    n_sampled_goal: CountOrZero = Field(
        4,
        description="Relabeled transitions for each real one where observations contain a goal (Andrychowicz et al. "
        "2017, Hindsight Experience Replay); 0 for none.",
    )


class SACAgent(ReinforcementAgent):
    """SAC: actor and critics learn from a replay buffer of all steps, from reward alone, with hindsight on goals.

    **Idea.** Two networks learn the value of actions; a third acts so that this value is high while its actions stay
    random. Where observations contain a goal, the replay buffer also holds steps as if the state that was reached had
    been the goal, so that every episode teaches how to reach something. SAC uses no demonstrations: it is a baseline
    that shows what they are worth.

    **Equation.** The critics minimize (Q(s, a) - r - gamma (min Q_target(s', a') - alpha log pi(a' | s')))^2, the
    actor alpha log pi(a | s) - min Q(s, a); alpha is learned.

    **Paper.** Haarnoja et al. 2018, Soft Actor-Critic Algorithms and Applications; Andrychowicz et al. 2017,
    Hindsight Experience Replay. The algorithms are Stable-Baselines3's.

    **Differences.** Episodes are seeded by their number, and a killed training resumes and ends with the same
    weights. Hindsight is used wherever observations have an `achieved_goal`.

    **When not to use it.** When actions are discrete, or when wall time matters more than steps: PPO takes less
    time per step.

    The budget of :meth:`learn` is in steps of the environment.

    Args:
        env: Environment that gives the spaces; actions are continuous.
        settings: Settings that differ from the defaults for this environment; see
            :class:`SACSettings`.

    Raises:
        ValueError: An unknown setting, a value out of range, or discrete actions.
    """

    spec = AgentSpec("sac", settings=SACSettings, needs_demonstrations=False, needs_environment=True, takes_run=True)

    def new_policy(self) -> BasePolicy:
        """Return an untrained policy."""
        if not isinstance(self.action_space, spaces.Box):
            raise ValueError(
                f"agent {self.spec.name} needs continuous actions; this environment has {self.action_space}"
            )
        keywords = policy_keywords(self.settings.hidden_sizes)
        return SACPolicy(self.observation_space, self.action_space, lambda _: 0.0, **keywords)

    def new_model(self, envs: VecEnv, horizon: int, device: str) -> BaseAlgorithm:
        """Return the untrained algorithm."""
        settings = self.settings
        has_goals = (
            isinstance(self.observation_space, spaces.Dict) and "achieved_goal" in self.observation_space.spaces
        )
        hindsight: Keywords = {}
        if has_goals and settings.n_sampled_goal:
            hindsight = {
                "replay_buffer_class": HerReplayBuffer,
                "replay_buffer_kwargs": {"n_sampled_goal": settings.n_sampled_goal},
            }
        return SAC(
            SACPolicy,
            envs,
            learning_rate=settings.learning_rate,
            batch_size=settings.batch_size,
            buffer_size=settings.buffer_size,
            # Hindsight needs at least one whole episode.
            learning_starts=max(settings.learning_starts, horizon + 1 if hindsight else 0),
            gamma=settings.gamma,
            tau=settings.tau,
            train_freq=settings.train_freq,
            gradient_steps=settings.gradient_steps,
            policy_kwargs=policy_keywords(settings.hidden_sizes),
            device=device,
            **hindsight,
        )
