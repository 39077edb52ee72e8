"""Adversarial inverse reinforcement learning (Fu et al. 2018), by imitation's AIRL."""

from __future__ import annotations

from typing import Any

from imitation.algorithms.adversarial.airl import AIRL
from imitation.algorithms.adversarial.common import AdversarialTrainer
from imitation.rewards.reward_nets import BasicShapedRewardNet, RewardNet
from imitation.util.networks import RunningNorm

from agents.rl.adversarial.settings import AdversarialSettings
from agents.rl.adversarial.training import AdversarialAgent
from agents.spec import AgentSpec


class AIRLAgent(AdversarialAgent):
    """AIRL: like GAIL, but the discriminator learns a reward that can be used without it.

    **Idea.** As in GAIL, a discriminator learns to distinguish the expert's steps from the policy's. It consists of a
    reward of states and actions, a potential of states, and the probability of the policy's action. When the policy
    matches the expert, the reward alone expresses the expert's goal, and can train policies in other environments.

    **Equation.** f = r(s, a) + gamma h(s') - h(s), and D = exp(f) / (exp(f) + pi(a | s)), 1 for the expert. D
    minimizes its binary cross entropy; the policy maximizes the discounted sum of f.

    **Paper.** Fu, Luo and Levine 2018, Learning Robust Rewards with Adversarial Inverse Reinforcement Learning. The
    optimization is imitation's `AIRL` and Stable-Baselines3's `PPO`.

    **Differences.** As in our GAIL: the warm start from a BC policy, BC regularization, seeds, iterations,
    checkpoints and masks of the discriminator. After training, the attribute `reward` is r without the potential, a
    `RewardNet` of imitation.

    **When not to use it.** When you need only the policy: GAIL is more stable. When the expert is
    deterministic: its density is unbounded, which makes the discriminator perfect.

    The budget of :meth:`learn` is in steps of all environments together.

    Args:
        env: Environment that gives the spaces; observations are one array of numbers.
        settings: Settings that differ from the defaults for this environment; see
            :class:`agents.rl.adversarial.settings.AdversarialSettings`.

    Raises:
        ValueError: An unknown setting, a value out of range, or observations that are not one array of numbers.
    """

    spec = AgentSpec("airl", settings=AdversarialSettings, needs_environment=True, takes_run=True)

    def new_reward_net(self) -> RewardNet:
        """Return an untrained reward and potential."""
        return BasicShapedRewardNet(
            self.observation_space,
            self.action_space,
            reward_hid_sizes=self.settings.reward_hidden_sizes,
            potential_hid_sizes=self.settings.reward_hidden_sizes,
            discount_factor=self.settings.gamma,
            use_action=self.settings.use_actions,
            normalize_input_layer=RunningNorm,
        )

    def new_trainer(self, reward_net: RewardNet, **keywords: Any) -> AdversarialTrainer:
        """Return imitation's trainer."""
        return AIRL(reward_net=reward_net, **keywords)
