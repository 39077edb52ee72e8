"""Generative adversarial imitation learning (Ho and Ermon 2016), by imitation's GAIL."""

from __future__ import annotations

from typing import Any

from imitation.algorithms.adversarial.common import AdversarialTrainer
from imitation.algorithms.adversarial.gail import GAIL
from imitation.rewards.reward_nets import BasicRewardNet, RewardNet
from imitation.util.networks import RunningNorm

from agents.adversarial.training import AdversarialAgent, AdversarialSettings
from agents.registry import AgentSpec


class GAILAgent(AdversarialAgent):
    """GAIL: a policy practises until a discriminator cannot tell its steps from the expert's.

    **Idea.** A second network, the discriminator, learns to tell the expert's steps from the policy's. How much a
    step looks like the expert's is the reward for which PPO practises; then the discriminator learns again. So the
    policy learns also where its own errors lead it, which cloning never sees. The environment's reward is not looked
    at.

    **Equation.** The discriminator D(s, a), 1 for the expert, minimises its binary cross entropy; the policy
    maximises the discounted sum of -log(1 - D(s, a)).

    **Paper.** Ho and Ermon 2016, Generative Adversarial Imitation Learning. The optimisation is imitation's `GAIL`
    and Stable-Baselines3's `PPO`.

    **What we do differently.** It starts from a clone of the demonstrations with little noise (`warm_start=bc`): from
    nothing, tasks where the expert's first success is many steps away are not found. For `critic_rounds` the clone
    stays as it is, until critic and discriminator know something; after each later round it rehearses the
    demonstrations, as Jena, Liu and Sycara 2020 do (Augmenting GAIL with BC). Where few demonstrations are told apart
    by where things happen to be, the discriminator looks at less: at no actions (Torabi et al. 2018, GAIfO), and not
    at the features that are `ignored`. Learning rates fall to 0. The policy sees observations standardised by the
    demonstrations, the discriminator by what it has seen. A round is of whole episodes, which are seeded by their
    number, and batches of the expert are drawn from a generator of our own: a training that was killed goes on to
    the same weights.

    **When not to use it.** Where there is no environment to practise in, or steps in it are dear; where
    demonstrations show pictures or goals; where cloning does all that is needed.

    The budget of :meth:`learn` is in steps of all environments together.

    Args:
        env: Gives the spaces; observations are one array of numbers.
        settings: Fields of :class:`agents.adversarial.training.AdversarialSettings` that differ from
            ``configs/gail.yaml``.

    Raises:
        ValueError: An unknown setting, a value out of range, or observations of another kind.
    """

    spec = AgentSpec("gail", settings=AdversarialSettings, needs_environment=True, takes_run=True)

    def new_reward_net(self) -> RewardNet:
        """Makes the discriminator, whose output is the logit of being the expert's."""
        return BasicRewardNet(
            self.observation_space,
            self.action_space,
            hid_sizes=self.settings.reward_hidden_sizes,
            use_action=self.settings.use_actions,
            normalize_input_layer=RunningNorm,
        )

    def new_trainer(self, reward_net: RewardNet, **keywords: Any) -> AdversarialTrainer:
        """Makes imitation's trainer."""
        return GAIL(reward_net=reward_net, **keywords)
