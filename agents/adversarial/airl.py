"""Adversarial inverse reinforcement learning (Fu et al. 2018), by imitation's AIRL."""

from __future__ import annotations

from typing import Any

from imitation.algorithms.adversarial.airl import AIRL
from imitation.algorithms.adversarial.common import AdversarialTrainer
from imitation.rewards.reward_nets import BasicShapedRewardNet, RewardNet
from imitation.util.networks import RunningNorm

from agents.adversarial.training import AdversarialAgent, AdversarialSettings
from agents.registry import AgentSpec


class AIRLAgent(AdversarialAgent):
    """AIRL: as GAIL, but what the discriminator learns is a reward that remains of use without it.

    **Idea.** As in GAIL a discriminator learns to tell the expert's steps from the policy's. It is built from a
    reward of states and actions, a potential of states, and how likely the policy is to act so. When the policy is as
    the expert, the reward alone says what the expert wants, and may be practised for elsewhere.

    **Equation.** f = r(s, a) + gamma h(s') - h(s), and D = exp(f) / (exp(f) + pi(a | s)), 1 for the expert. D
    minimises its binary cross entropy; the policy maximises the discounted sum of f.

    **Paper.** Fu, Luo and Levine 2018, Learning Robust Rewards with Adversarial Inverse Reinforcement Learning. The
    optimisation is imitation's `AIRL` and Stable-Baselines3's `PPO`.

    **What we do differently.** It starts from a clone of the demonstrations with little noise (`warm_start=bc`),
    which stays as it is for `critic_rounds` and goes on rehearsing the demonstrations. Seeds, rounds, checkpoints,
    and what the discriminator may be kept from looking at are as in GAIL. After the training the
    attribute `reward` is r, without the potential: a `RewardNet` of imitation.

    **When not to use it.** Where only the policy is of interest: GAIL is steadier. Where the expert always does the
    same, its density has no bound, and the discriminator wins by it.

    The budget of :meth:`learn` is in steps of all environments together.

    Args:
        env: Gives the spaces; observations are one array of numbers.
        settings: Fields of :class:`agents.adversarial.training.AdversarialSettings` that differ from
            ``configs/airl.yaml``.

    Raises:
        ValueError: An unknown setting, a value out of range, or observations of another kind.
    """

    spec = AgentSpec("airl", settings=AdversarialSettings, needs_environment=True, takes_run=True)

    def new_reward_net(self) -> RewardNet:
        """Makes reward and potential."""
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
        """Makes imitation's trainer."""
        return AIRL(reward_net=reward_net, **keywords)
