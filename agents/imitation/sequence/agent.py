"""Base of the agents of this folder: one training for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from agents.data.demonstrations import DemonstrationData, Demonstrations
from agents.data.features import NamedFeatures, feature_indices
from agents.imitation.sequence.settings import SequenceSettings
from agents.policies.sequence_policy import SequencePolicy
from agents.pretraining.initialization import initialize, load_encoder, record_encoder
from agents.training.loop import TrainingLoop
from agents.training.policy_agent import PolicyAgent
from agents.training.randomness import isolated_rng
from agents.training.run import Run, TooFewStepsError
from agents.types import Env


class SequenceAgent(PolicyAgent):
    """Agent with a :class:`agents.policies.sequence_policy.SequencePolicy`.

    Its ``state`` of ``predict`` carries the last observations and the rest of a chunk; without it, each call is the
    first step of an episode. A batch has one row of it for each environment.
    """

    policy_class: ClassVar[Callable[..., SequencePolicy]]
    """Class of the policy, called with both spaces, the settings of the encoder, and the agent's settings."""
    past_actions: ClassVar[bool] = False
    """True if the policy learns from the actions at all observations that it sees, not at the last one alone."""

    def __init__(self, env: Env, **settings: Any) -> None:
        self._features = NamedFeatures.of(env)
        super().__init__(env, **settings)

    def new_policy(self) -> SequencePolicy:
        """Return an untrained policy."""
        encoder = self.settings.encoder_settings(self._features)
        made: SequencePolicy = self.policy_class(self.observation_space, self.action_space, encoder, self.settings)
        return made

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
        encoder = load_encoder(settings)
        record_encoder(self.training, encoder)
        epochs = budget or settings.epochs
        windows = data.sequences(*horizons_of(type(self), settings), idle_steps=settings.idle_steps)
        if len(windows) < settings.batch_size:
            raise TooFewStepsError(
                f"dataset {data.id} has {len(windows)} steps to learn from, fewer than a minibatch of "
                f"{settings.batch_size}: collect more, or set batch_size"
            )
        masked = feature_indices(settings.masked_features, env)
        symmetry = settings.symmetry(env)
        with run.training(self.spec.name, epochs, "epochs"), isolated_rng(seed):
            policy = self.new_policy()
            initialize(policy, encoder, freeze=settings.freeze_encoder)
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
                loop.check_finite(self.spec.name)
                self.policy = policy
                run.log(loop.epochs_done, **loop.logs)
                with loop.averaged() as acting:
                    run.evaluate(acting, env, loop.epochs_done)
                run.checkpoint(loop.state)
            self.policy = loop.result()


def horizons_of(agent: type[SequenceAgent], settings: SequenceSettings) -> tuple[int, int, int]:
    """Return the numbers of observations, of actions and of past actions in the windows that an agent learns from."""
    return settings.obs_horizon, settings.action_horizon, settings.obs_horizon - 1 if agent.past_actions else 0
