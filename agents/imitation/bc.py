"""Behavior cloning (Pomerleau 1991): a network is fitted to the demonstrated actions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal, cast

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator

from agents.data.demonstrations import DemonstrationData, Demonstrations, Transitions
from agents.data.features import FeatureIndices, feature_indices
from agents.data.symmetry import Symmetry, symmetry_of
from agents.policies.encoders.images import ImageEncoder, Readout, shifted_images
from agents.policies.networks import (
    BoundedPolicy,
    ObservationEncoder,
    output_of,
    policy_keywords,
    set_weights,
    weights_of,
)
from agents.policies.torch_policy import TorchPolicy
from agents.pretraining.initialization import initialize, load_encoder, record_encoder
from agents.pretraining.settings import ENCODER_SETTINGS, PretrainedEncoderSettings
from agents.spec import AgentSpec
from agents.training.loop import LoopSettings, TrainingLoop
from agents.training.policy_agent import PolicyAgent
from agents.training.randomness import isolated_rng
from agents.training.run import Run, TooFewStepsError
from agents.training.settings import Count, CountOrZero, Layers, NotNegative, Positive
from agents.types import Array, Env, Keywords, Memory, Observation, Space, Start, State, Tensors
from demos.datasets.statistics import Statistics

MAX_ENSEMBLE = 32


class SharedBCSettings(PretrainedEncoderSettings):
    """Settings that bc and dagger share."""

    later: ClassVar[frozenset[str]] = ENCODER_SETTINGS | {"image_readout", "image_shift", "share_image_encoder"}

    epochs: Count = Field(100, description="Passes over the demonstrations.")
    batch_size: Count = Field(128, description="Steps in a minibatch.")
    learning_rate: Positive = Field(0.001, description="Initial learning rate; it decays to 0 on a cosine schedule.")
    hidden_sizes: Layers = Field((256, 256), description="Units of the policy's layers.")
    entropy_weight: NotNegative = Field(0.0, description="Weight of the entropy bonus; the policy acts by its mean.")
    l2_weight: NotNegative = Field(0.0, description="Weight of half the sum of all squared weights.")
    standardize: bool = Field(
        True, description="Standardize observations by the mean and standard deviation of the demonstrations."
    )
    squash: bool = Field(True, description="Squash the mean action into the action space by tanh.")
    masked_features: tuple[str, ...] = Field(
        (), description="Features that the policy does not use, such as object/rotation or tool/position/x."
    )
    mirror: bool = Field(False, description="Also learn from mirrored demonstrations.")
    rotate: bool = Field(False, description="Also learn from demonstrations that are rotated about the vertical.")
    image_shift: CountOrZero = Field(0, le=64, description="Largest random shift of images in training, pixels.")
    image_readout: Literal["flatten", "spatial_softmax", "pooling", "patches"] = Field(
        "flatten",
        description="Readout of the convolutions of an image; with ``encoder``, ``flatten`` stands for "
        "``spatial_softmax``. ``flatten`` treats depth as numbers, the others as a fourth channel of the image.",
    )
    share_image_encoder: bool = Field(False, description="Use one encoder for the images of all cameras.")

    @property
    def readout(self) -> Readout | None:
        """Readout of images by the encoder that can be pre-trained; None for another network."""
        if self.image_readout != "flatten":
            return self.image_readout
        return "spatial_softmax" if self.encoder else None

    @property
    def network_keywords(self) -> Keywords:
        """Keyword arguments of the network, for any policy of Stable-Baselines3."""
        return policy_keywords(self.hidden_sizes, self.readout, share_images=self.share_image_encoder)

    @model_validator(mode="after")
    def _check_masked(self) -> SharedBCSettings:
        if self.masked_features and not self.standardize:
            raise ValueError(f"masked_features is {', '.join(self.masked_features)}, which needs standardize=true")
        return self

    def symmetry(self, env: Env) -> Symmetry | None:
        """Return the augmentation of minibatches in an environment; None without one."""
        return symmetry_of(env, mirror=self.mirror, rotate=self.rotate)


class BCSettings(SharedBCSettings):
    """Settings of behavior cloning."""

    later: ClassVar[frozenset[str]] = SharedBCSettings.later | {"idle_steps"}

    validation_fraction: float = Field(
        0.0, ge=0.0, lt=1.0, description="Fraction of the episodes that only decides when to stop."
    )
    patience: CountOrZero = Field(
        0, description="Epochs without a lower validation loss after which training stops; 0 trains all epochs."
    )
    idle_steps: CountOrZero | None = Field(
        None, description="Steps after success to learn from; None for all. With few, training takes less time."
    )
    ensemble_size: int = Field(
        1, ge=1, le=MAX_ENSEMBLE, description="Policies, each with weights and an order of its own; their mean acts."
    )

    @model_validator(mode="after")
    def _check_stopping(self) -> BCSettings:
        if (self.patience > 0) != (self.validation_fraction > 0.0):
            raise ValueError(
                f"validation_fraction is {self.validation_fraction} and patience {self.patience}; early stopping "
                "needs both above 0"
            )
        return self


class BCPolicy(TorchPolicy[Transitions]):
    """Gaussian policy, or a categorical one for discrete actions, fitted by maximum likelihood.

    The network is a policy of Stable-Baselines3: PPO and SAC start from its weights (:mod:`agents.rl.finetuning`).

    Args:
        observation_space: Space of the observations.
        action_space: Space of the actions.
        settings: Settings of the network and its loss.
    """

    def __init__(self, observation_space: Space, action_space: Space, settings: SharedBCSettings) -> None:
        super().__init__(observation_space, action_space)
        self.entropy_weight = settings.entropy_weight
        self.l2_weight = settings.l2_weight
        self.image_shift = settings.image_shift
        self.network = BoundedPolicy(
            observation_space,
            action_space,
            lr_schedule=lambda _: 0.0,  # its own optimizer is not used
            squash=settings.squash,
            **settings.network_keywords,
        )
        self.eval()

    def compute_loss(self, batch: Transitions) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the mean of -log p(a | s), minus the bonus for entropy, plus the penalty on weights; shape ()."""
        observations = batch.observations
        if self.training and self.image_shift:
            observations = shifted_images(observations, self.observation_space, self.image_shift)
        _, log_prob, entropy = self.network.evaluate_actions(observations, batch.actions)
        loss = -log_prob.mean()
        logs = {"negative log-likelihood": loss}
        if self.entropy_weight and entropy is not None:
            loss = loss - self.entropy_weight * entropy.mean()
        if self.l2_weight:
            loss = loss + self.l2_weight * sum(weights.square().sum() for weights in self.parameters()) / 2
        return loss, logs

    def predict_action(
        self, observation: Tensors, memory: Memory = None, *, deterministic: bool = True
    ) -> tuple[torch.Tensor, Memory]:
        """Return the mean action, or a drawn one, shape (N, ...)."""
        if deterministic and isinstance(self.action_space, gym.spaces.Box):
            # The mean without the objects of a distribution: half the time.
            return output_of(self.network, observation).reshape(-1, *self.action_space.shape), memory
        return self.network.get_distribution(observation).get_actions(deterministic=deterministic), memory

    def image_encoders(self) -> list[tuple[str, ImageEncoder]]:
        """Return name and encoder of each camera; empty with ``image_readout`` ``flatten`` and no ``encoder``."""
        return cast(ObservationEncoder, self.network.features_extractor).image_encoders()

    def fit_normalizer(self, statistics: Mapping[str, Statistics], masked: FeatureIndices | None = None) -> None:
        """Set mean and standard deviation of the observations."""
        extractor = cast(ObservationEncoder, self.network.features_extractor)
        extractor.fit(statistics, masked)


class BehaviorCloning(PolicyAgent):
    """Behavior cloning: supervised learning of the demonstrated actions.

    **Idea.** Every step of a demonstration is an example: in this state, the expert took that action. A network is
    fitted to all examples, as in any regression. It needs no environment, and trains in a minute. It knows only
    states that the expert visited: its own errors lead to other states, where they grow. More demonstrations, or
    demonstrations with noise (`demos collect --demonstrator noisy`), help.

    **Equation.** The policy is a Gaussian around the network's output, or a categorical distribution for discrete
    actions. The loss is the mean of -log p(a | s) over the demonstrations, minus `entropy_weight` times the entropy,
    plus `l2_weight` / 2 times the sum of all squared weights.

    **Paper.** Pomerleau 1991, Efficient Training of Artificial Neural Networks for Autonomous Navigation.

    **Differences.** Observations are standardized by the mean and standard deviation of the demonstrations, which are
    saved with the weights. The mean action is squashed into the action space by tanh, as in SAC, so that SAC and PPO
    of Stable-Baselines3 can start from a BC policy (`agents.rl.finetuning`). The learning rate decays to 0 on a
    cosine schedule. `image_shift` augments images by random shifts, and `encoder` is a pre-trained encoder of images.
    `validation_fraction` and `patience` stop training when the loss on unseen episodes no longer falls. `mirror` and
    `rotate` augment the demonstrations of tasks that look alike from other sides, such as pushing. `masked_features`
    cannot mislead the policy when demonstrations are few. Pushing masks the lag and the velocity of the tool: they
    reveal the previous action, which a policy would repeat for that reason alone (de Haan et al. 2019, Causal
    Confusion in Imitation Learning). An ensemble (`ensemble_size`) acts by its mean, and `uncertainty` measures its
    disagreement.

    **When not to use it.** When demonstrations are few and errors do not heal, when experts act differently in the
    same state (their mean may be neither), or when you have an environment to train in.

    The budget of :meth:`learn` is in epochs.

    Args:
        env: Environment that gives the spaces.
        settings: Settings that differ from the defaults for this environment; see :class:`BCSettings`.

    Raises:
        ValueError: An unknown setting, or a value out of range.

    Attributes:
        policies: Policies of the ensemble.
        training: Record of the training; None before.
    """

    spec = AgentSpec("bc", settings=BCSettings, budget_unit="epochs", takes_run=True)

    def __init__(self, env: Env, **settings: Any) -> None:
        super().__init__(env, **settings)
        with isolated_rng(1):
            others = [self.new_policy() for _ in range(self.settings.ensemble_size - 1)]
        self.policies: list[BCPolicy] = [self.policy, *others]

    def new_policy(self) -> BCPolicy:
        """Return an untrained policy."""
        return BCPolicy(self.observation_space, self.action_space, self.settings)

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
        """Fit the policies to the steps of the demonstrations.

        Args:
            demonstrations: Demonstrations with this agent's spaces.
            env: Environment for its features and for periodic evaluation; BC does not step it.
            seed: Seeds the weights and the order of minibatches.
            budget: Epochs; by default the setting.
            progress: Show a progress bar.
            run: Checkpoints, log and periodic evaluation; by default none.

        Raises:
            ValueError: The demonstrations have other spaces, or fewer steps than a minibatch; or the budget is below
                1 or the seed negative.
        """
        run = run or Run(progress=progress)
        data = DemonstrationData.of(demonstrations)
        self.begin(data, env, run, seed=seed, budget=budget)
        self._fit(data, env, seed, budget, run)

    def _fit(self, data: DemonstrationData, env: Env, seed: int, budget: int | None, run: Run) -> None:
        """Fit the policies; :meth:`begin` must have recorded the training."""
        settings: BCSettings = self.settings
        encoder = load_encoder(settings)
        record_encoder(self.training, encoder)
        epochs = budget or settings.epochs
        steps, validation = self._split(data, seed)
        masked = feature_indices(settings.masked_features, env)
        symmetry = settings.symmetry(env)
        total = epochs * settings.ensemble_size
        with run.training(self.spec.name, total, "epochs"):
            state = run.restored() or {"finished": [], "member": None}
            finished: list[dict[str, torch.Tensor]] = list(state["finished"])
            for policy, weights in zip(self.policies, finished, strict=False):
                policy.load_state_dict(weights)
            member = state["member"]
            for number in range(len(finished), settings.ensemble_size):
                own_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
                with isolated_rng(own_seed):
                    policy = self.new_policy()
                    initialize(policy, encoder, freeze=settings.freeze_encoder)
                    if settings.standardize:
                        policy.fit_normalizer(data.statistics, masked)
                    loop = TrainingLoop(
                        policy,
                        steps,
                        LoopSettings(epochs, settings.batch_size, settings.learning_rate, patience=settings.patience),
                        seed=own_seed,
                        validation=validation,
                        symmetry=symmetry,
                        device=run.device,
                    )
                    if member is not None:
                        loop.restore(member)
                        member = None
                    while not loop.is_done:
                        loop.epoch()
                        done = number * epochs + loop.epochs_done
                        run.log(done, **loop.logs)
                        self.policies[number] = policy
                        run.evaluate(policy, env, done)
                        run.checkpoint(partial(self._checkpoint, finished, loop))
                    self.policies[number] = loop.result()
                finished.append(self.policies[number].state_dict())
            run.log(total)
        self.policy = self.policies[0]

    @staticmethod
    def _checkpoint(finished: list[dict[str, torch.Tensor]], loop: TrainingLoop[BCPolicy]) -> State:
        """Return the state of a training run: weights of finished policies, and the loop of the current one."""
        return {"finished": finished, "member": loop.state()}

    def _split(self, data: DemonstrationData, seed: int) -> tuple[Transitions, Transitions | None]:
        """Return the steps to learn from, and the steps for validation if there are any."""
        fraction = self.settings.validation_fraction
        training_episodes, validation_episodes = data.split(fraction, np.random.default_rng([seed, 1]))
        if fraction and not (training_episodes and validation_episodes):
            raise ValueError(
                f"validation_fraction {fraction:g} of the {len(data.episodes)} episodes of {data.id} is "
                f"{len(validation_episodes)} episodes; collect more, or set validation_fraction=0 and patience=0"
            )
        idle_steps = self.settings.idle_steps
        steps = data.transitions(training_episodes, idle_steps)
        if len(steps) < self.settings.batch_size:
            raise TooFewStepsError(
                f"dataset {data.id} has {len(steps)} steps to learn from, fewer than a minibatch of "
                f"{self.settings.batch_size}: collect more, or set batch_size"
            )
        return steps, data.transitions(validation_episodes, idle_steps) if validation_episodes else None

    def predict(
        self, observation: Observation, state: Memory = None, episode_start: Start = None, deterministic: bool = False
    ) -> tuple[Array, Memory]:
        """Return actions, as Stable-Baselines3's ``predict`` does.

        One observation gives an action of shape (...), a batch of shape (N, ...) actions of shape (N, ...). An
        ensemble returns its mean, or for discrete actions its majority vote. Without ``deterministic`` its first
        policy draws.
        """
        if len(self.policies) == 1 or not deterministic:
            action, _ = self.policy.predict(observation, state, episode_start, deterministic)
            return action, state
        actions = np.stack([policy.predict(observation, deterministic=True)[0] for policy in self.policies])
        if isinstance(self.action_space, gym.spaces.Box):
            mean: Array = actions.mean(axis=0, dtype=np.float64).astype(self.action_space.dtype)
            return mean, state
        votes = np.array([np.bincount(column).argmax() for column in actions.reshape(len(actions), -1).T])
        return votes.reshape(actions.shape[1:]).astype(actions.dtype), state

    def uncertainty(self, observation: Observation) -> npt.NDArray[np.float64]:
        """Return the disagreement of the ensemble, which grows far from the demonstrations.

        Lakshminarayanan et al. 2017, Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles.

        Args:
            observation: One observation, or a batch.

        Returns:
            Standard deviation of the policies' actions, averaged over the action dimensions; for discrete actions
            the fraction of policies that are outvoted. Shape () for one observation, else (N,).

        Raises:
            ValueError: There is only one policy.
        """
        if len(self.policies) < 2:
            raise ValueError("a single policy has no disagreement; train with ensemble_size=2 or more")
        actions = np.stack([policy.predict(observation, deterministic=True)[0] for policy in self.policies])
        if isinstance(self.action_space, gym.spaces.Box):
            spread: npt.NDArray[np.float64] = actions.astype(np.float64).std(axis=0).mean(axis=-1)
            return spread
        chosen = self.predict(observation, deterministic=True)[0]
        outvoted: npt.NDArray[np.float64] = (actions != chosen).mean(axis=0)
        return outvoted

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the weights of all policies."""
        return {
            f"{number}.{name}": value
            for number, policy in enumerate(self.policies)
            for name, value in weights_of(policy).items()
        }

    def set_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Set the weights of all policies."""
        prefixes = tuple(f"{number}." for number in range(len(self.policies)))
        unknown = sorted(name for name in weights if not name.startswith(prefixes))
        if unknown:
            raise ValueError(f"unknown {', '.join(unknown)}")
        for policy, prefix in zip(self.policies, prefixes, strict=True):
            policy_weights = {
                name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)
            }
            set_weights(policy, policy_weights)
