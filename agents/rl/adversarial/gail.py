"""Generative adversarial imitation learning (Ho and Ermon 2016), by imitation's GAIL."""

from __future__ import annotations

from typing import Any

import numpy as np
from imitation.algorithms.adversarial.common import AdversarialTrainer
from imitation.algorithms.adversarial.gail import GAIL
from imitation.rewards.reward_nets import BasicRewardNet, RewardNet
from imitation.util.networks import RunningNorm

from agents.data.demonstrations import DemonstrationData
from agents.rl.adversarial.settings import GAILSettings
from agents.rl.adversarial.training import AdversarialAgent, ExpertTransitions
from agents.spec import AgentSpec


class GAILAgent(AdversarialAgent):
    """GAIL: train a policy until a discriminator cannot distinguish its steps from the expert's.

    **Idea.** A second network, the discriminator, learns to distinguish the expert's steps from the policy's. PPO
    trains the policy with a reward that is high where a step looks like the expert's; then the discriminator learns
    again. So the policy also learns in states that its own errors lead to, which behavior cloning never sees. GAIL
    does not use the environment's reward.

    **Equation.** The discriminator D(s, a), 1 for the expert, minimizes its binary cross entropy; the policy
    maximizes the discounted sum of -log(1 - D(s, a)).

    **Paper.** Ho and Ermon 2016, Generative Adversarial Imitation Learning. The optimization is imitation's `GAIL`
    and Stable-Baselines3's `PPO`.

    **Differences.** Training starts from a BC policy with little noise (`warm_start=bc`): from scratch, the policy
    rarely succeeds in tasks whose first success is many steps away. The policy stays fixed for `critic_iterations`,
    while critic and discriminator learn. Each later iteration ends with BC updates (Jena, Liu and Sycara 2020,
    Augmenting GAIL with BC). With few demonstrations, the discriminator could memorize positions: it can work without
    actions (`use_actions`) and without some features (`masked_features`). Learning rates fall to 0.
    The policy's observations are standardized by the demonstrations, the discriminator's by its own inputs. An
    iteration consists of whole episodes, each seeded by its number, and minibatches of the expert have their own
    generator: a killed training resumes and ends with the same weights.

    **From observations alone.** With `use_actions=false`, `use_next_observations=true` and `warm_start=bco` or
    `none`, the discriminator is D(s, s'), and the demonstrations' actions are never read: GAIfO (Torabi, Warnell and
    Stone 2019, Generative Adversarial Imitation from Observation). With `bco`, the warm start and its BC updates
    use inferred actions; the paper starts from scratch.

    **When not to use it.** When you have no environment to train in, or its steps are expensive; when observations
    are images or goals; when behavior cloning is good enough.

    The budget of :meth:`learn` is in steps of all environments together.

    Args:
        env: Environment that gives the spaces; observations are one array of numbers.
        settings: Settings that differ from the defaults for this environment; see
            :class:`agents.rl.adversarial.settings.GAILSettings`.

    Raises:
        ValueError: An unknown setting, a value out of range, or observations that are not one array of numbers.
    """

    spec = AgentSpec("gail", settings=GAILSettings, needs_environment=True, takes_run=True)

    def new_reward_net(self) -> RewardNet:
        """Return an untrained discriminator; its output is the logit of the expert's probability."""
        return BasicRewardNet(
            self.observation_space,
            self.action_space,
            hid_sizes=self.settings.reward_hidden_sizes,
            use_action=self.settings.use_actions,
            use_next_state=self.settings.use_next_observations,
            normalize_input_layer=RunningNorm,
        )

    def new_trainer(self, reward_net: RewardNet, **keywords: Any) -> AdversarialTrainer:
        """Return imitation's trainer."""
        return GAIL(reward_net=reward_net, **keywords)

    def _expert(self, data: DemonstrationData, seed: int) -> ExpertTransitions:
        expert = super()._expert(data, seed)
        if not self.settings.use_actions:
            # imitation checks them, though this discriminator does not see them.
            expert.arrays["acts"] = np.zeros_like(expert.arrays["acts"])
        return expert
