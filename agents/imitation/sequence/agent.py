"""Base of the agents of this folder: one training for all of them."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

from agents.data.demonstrations import DemonstrationData, Demonstrations
from agents.data.features import feature_indices, feature_sizes
from agents.imitation.sequence.settings import SequenceSettings
from agents.policies.encoders.observations import EncoderSettings
from agents.policies.sequence_policy import SequencePolicy
from agents.training.loop import TrainingLoop
from agents.training.policy_agent import PolicyAgent
from agents.training.randomness import isolated_rng
from agents.training.run import Run
from agents.types import Env


class SequenceAgent(PolicyAgent):
    """Agent with a :class:`agents.policies.sequence_policy.SequencePolicy`.

    Its ``state`` of ``predict`` carries the last observations and the rest of a chunk; without it, each call is the
    first step of an episode. A batch has one row of it for each environment.
    """

    past_actions = False
    """True if the policy learns from the actions at all observations that it sees, not at the last one alone."""

    def __init__(self, env: Env, **settings: Any) -> None:
        self._feature_sizes = feature_sizes(env)
        super().__init__(env, **settings)

    @abstractmethod
    def new_policy(self) -> SequencePolicy:
        """Return an untrained policy."""

    def encoder_settings(self) -> EncoderSettings:
        """Return the settings of the encoder of observations."""
        settings: SequenceSettings = self.settings
        return EncoderSettings(
            settings.width,
            self._feature_sizes if settings.feature_tokens else {},
            settings.image_readout,
            settings.share_image_encoder,
            settings.image_shift,
        )

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
        """Fit the policy to windows of the demonstrations.

        Args:
            demonstrations: Demonstrations with this agent's spaces.
            env: Environment for its features and for periodic evaluation; the training does not step it.
            seed: Seeds the weights, the order of minibatches and all noise.
            budget: Epochs; by default the setting.
            progress: Show a progress bar.
            run: Checkpoints, log and periodic evaluation; by default none.

        Raises:
            ValueError: The demonstrations have other spaces, or fewer steps than a minibatch; the budget is below 1
                or the seed negative; or the training diverged.
        """
        run = run or Run(progress=progress)
        data = DemonstrationData.of(demonstrations)
        self.begin(data, env, run, seed=seed, budget=budget)
        settings: SequenceSettings = self.settings
        epochs = budget or settings.epochs
        horizon = settings.obs_horizon
        windows = data.sequences(horizon, settings.action_horizon, horizon - 1 if self.past_actions else 0)
        if len(windows) < settings.batch_size:
            raise ValueError(
                f"dataset {data.id} has {len(windows)} steps to learn from, fewer than a minibatch of "
                f"{settings.batch_size}: collect more, or set batch_size"
            )
        masked = feature_indices(settings.masked_features, env)
        symmetry = settings.symmetry(env)
        with run.training(self.spec.name, epochs, "epochs"), isolated_rng(seed):
            policy = self.new_policy()
            policy.fit_normalizer(data.statistics, masked)
            policy.fit_words(episode.instruction for episode in data.episodes if episode.instruction)
            loop = TrainingLoop(
                policy, windows, settings.loop(epochs), seed=seed, symmetry=symmetry, device=run.device
            )
            state = run.restored()
            if state is not None:
                loop.restore(state)
            while not loop.is_done:
                loop.epoch()
                if not math.isfinite(loop.logs["loss"]):
                    raise ValueError(
                        f"the training of {self.spec.name} diverged: its loss is {loop.logs['loss']}. Try a lower "
                        "learning_rate"
                    )
                self.policy = policy
                run.log(loop.epochs_done, **loop.logs)
                with loop.averaged() as acting:
                    run.evaluate(acting, env, loop.epochs_done)
                run.checkpoint(loop.state)
            self.policy = loop.result()
