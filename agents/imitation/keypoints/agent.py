"""Agent ``keypoints``: it finds the objects of a task in images, and acts on their positions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from pydantic import Field, model_validator

from agents.data.demonstrations import DemonstrationData, Demonstrations, Transitions
from agents.data.features import NamedFeatures
from agents.imitation.keypoints.detector import LabeledImages
from agents.imitation.keypoints.estimator import StateEstimator
from agents.imitation.keypoints.policy import KeypointPolicy
from agents.imitation.keypoints.scenes import Scenes, Senses, read_scenes
from agents.imitation.keypoints.triangulation import SeenKeypoints
from agents.imitation.labels import Labels
from agents.imitation.learners import (
    BCLearnerSettings,
    choose_settings,
    examples_of,
    fit_inputs,
    loop_settings,
    new_policy,
)
from agents.policies.torch_policy import TorchModel
from agents.pretraining.settings import ENCODER_SETTINGS
from agents.registry import AgentSpec
from agents.training.loop import Examples, LoopSettings, TrainingLoop, torch_device
from agents.training.policy_agent import PolicyAgent
from agents.training.randomness import isolated_rng
from agents.training.run import Run
from agents.training.settings import AgentSettings, Count, CountOrZero, Positive
from agents.types import Env, State

IMAGE_SETTINGS = ENCODER_SETTINGS | {"image_readout", "image_shift", "share_image_encoder"}
"""Settings of the learners that are about images."""
SEEN_AT_ONCE = 256
"""Observations in one forward pass."""


class EstimatorSettings(AgentSettings):
    """Settings of the estimator of states, whatever acts on them."""

    detector_epochs: Count = Field(6, description="Passes over the demonstrations to learn to find keypoints.")
    detector_batch_size: Count = Field(32, description="Steps in a minibatch of the detector.")
    detector_learning_rate: Positive = Field(0.003, description="Initial learning rate of the detector.")
    noise_epochs: Count = Field(20, description="Passes to learn the noise of keypoints.")
    noise_batch_size: Count = Field(256, description="Steps in a minibatch to learn the noise of keypoints.")
    noise_learning_rate: Positive = Field(0.01, description="Initial learning rate of the noise of keypoints.")
    idle_steps: CountOrZero | None = Field(20, description="Steps after success to learn from; None for all.")

    @model_validator(mode="after")
    def _check_images(self) -> EstimatorSettings:
        for name in sorted(IMAGE_SETTINGS & self.model_fields_set):
            value, usual = getattr(self, name), type(self).model_fields[name].default
            if value != usual:
                raise ValueError(
                    f"{name} is {value!r}, but the policy of agent keypoints acts on positions, not on images: leave "
                    f"it at {usual!r}"
                )
        return self


class KeypointSettings(EstimatorSettings, BCLearnerSettings):
    """Settings of the agent with bc as its learner."""


class KeypointAgent(PolicyAgent):
    """Keypoints: finds the objects of a task in images, and acts on their positions.

    **Idea.** A policy that is fitted to images and actions alone has to find out by itself what matters in an image.
    Demonstrations that were collected in simulation hold more: the state of the simulator at each step. From it
    follows where in each image each object is. A small network learns to find these keypoints, geometry computes
    positions from them, and a policy learns to act on the positions. When it acts, it sees images and the robot's own
    features, as any other agent.

    **Equation.** The heatmap h of an object minimizes the cross-entropy with a Gaussian around its pixel, and its
    keypoint k is the mean position of softmax(2 h). The object's pixel has the distribution N(k, s(h)^2), where s is
    fitted by maximum likelihood. The position p minimizes the sum over cameras of |pixel(p) - k|^2 / s^2, plus what
    is known from earlier images: a Kalman filter, in which objects move at random from step to step, with the
    variance of their motion in the demonstrations. A goal, which never moves, is remembered when something hides it.
    The policy minimizes the loss of its learner.

    **Learner.** `learner` names the agent that learns to act on the estimated states: `bc`, `bc-rnn`, `act` or
    `diffusion`, with its loss and settings.

    **Papers.** Levine, Finn, Darrell, Abbeel 2016, End-to-End Training of Deep Visuomotor Policies, JMLR 17,
    arXiv 1504.00702, sections 4.1 and 5.2: keypoints by a spatial softmax, and pre-training to predict the poses of
    objects. Chen, Zhou, Koltun, Kraehenbuehl 2019, Learning by Cheating, arXiv 1912.12294: training with knowledge
    that acting does not need. Kendall and Gal 2017, What Uncertainties Do We Need in Bayesian Deep Learning, arXiv
    1703.04977, equation 5: the likelihood. Hartley and Zisserman 2004, Multiple View Geometry, chapter 12:
    triangulation. Kalman 1960, A New Approach to Linear Filtering and Prediction Problems.

    **Differences.** The networks are not trained further with the loss of the policy. Levine et al. estimate poses to
    initialize one network, which then learns to act from images. The cameras are those of the demonstrations: each
    stands still or moves with the tool, without turning.

    **When not to use it.** Demonstrations without states of the simulator, such as those of a real robot: use `bc` or
    `act`. Tasks in which rotations or shapes of objects decide: only positions are estimated. A hand that turns, or
    cameras that differ by episode.

    The budget of :meth:`learn` is in epochs of the policy.

    Args:
        env: Environment of lam_envs with ``obs="pixels"``.
        settings: Settings that differ from the defaults for this environment; see :class:`KeypointSettings`.

    Raises:
        ValueError: An unknown setting, a value out of range, or an environment without images or with instructions.
    """

    spec = AgentSpec(
        "keypoints",
        settings=KeypointSettings,
        budget_unit="epochs",
        takes_run=True,
        choose_settings=partial(choose_settings, EstimatorSettings, KeypointSettings),
    )
    policy: KeypointPolicy

    def __init__(self, env: Env, **settings: Any) -> None:
        self._senses = Senses.of(env)
        self._features = NamedFeatures.of(self._senses.env)
        super().__init__(env, **settings)

    def new_policy(self) -> KeypointPolicy:
        """Return an untrained policy."""
        acting = new_policy(self.settings, self._senses.env.observation_space, self.action_space, self._features)
        estimator = StateEstimator(self._senses)
        return KeypointPolicy(self.observation_space, self.action_space, estimator, acting)

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
        """Learn to find keypoints, then how exact they are, then to act.

        A training that is interrupted and resumed reads the states of the simulator again.

        Args:
            demonstrations: Demonstrations of lam_envs with images, and with the states of the simulator.
            env: Environment of periodic evaluation; the training does not step it.
            seed: Seeds the weights and the order of minibatches.
            budget: Epochs of the policy; by default the setting.
            progress: Show a progress bar.
            run: Checkpoints, log and periodic evaluation; by default none.

        Raises:
            ValueError: The demonstrations have other spaces, no states, or fewer steps than a minibatch; the budget
                is below 1 or the seed negative; or the training diverged.
        """
        run = run or Run(progress=progress)
        data = DemonstrationData.of(demonstrations)
        self.begin(data, env, run, seed=seed, budget=budget)
        settings = self.settings
        scenes = read_scenes(data, self._senses, settings.idle_steps, progress=run.progress)
        steps = data.transitions(idle_steps=settings.idle_steps)
        epochs = budget or settings.epochs
        total = settings.detector_epochs + settings.noise_epochs + epochs
        with run.training(self.spec.name, total, "epochs"), isolated_rng(seed):
            policy = self.new_policy()
            policy.estimator.fit(scenes)
            training = _Training(run, seed, run.restored() or {"finished": [], "loop": None})
            self._learn_to_see(policy.estimator, steps, scenes, training)
            labels = Labels(Transitions(_states(policy.estimator, steps, scenes), steps.actions), scenes.lengths)
            policy.to(torch_device(run.device))  # all of it, for periodic evaluations
            fit_inputs(policy.acting, settings, labels, self._senses.env)  # type: ignore[arg-type]
            training.train(
                policy.acting,
                examples_of(settings, labels),
                loop_settings(settings, epochs, len(labels)),
                symmetry=settings.symmetry(self._senses.env),
                after_epoch=lambda done: self._evaluate(policy, env, run, done),
            )
            self.policy = policy.to("cpu").eval()

    def _evaluate(self, policy: KeypointPolicy, env: Env, run: Run, done: int) -> None:
        self.policy = policy
        run.evaluate(policy, env, done)

    def _learn_to_see(
        self, estimator: StateEstimator, steps: Transitions, scenes: Scenes, training: _Training
    ) -> None:
        """Train the estimator: first the detector, then the noise of its keypoints."""
        settings = self.settings
        training.train(
            estimator.detector,
            LabeledImages(steps, torch.from_numpy(scenes.pixels), torch.from_numpy(scenes.rendered)),
            LoopSettings(settings.detector_epochs, settings.detector_batch_size, settings.detector_learning_rate),
        )
        keypoints, tool = _keypoints(estimator, steps)
        triangulation = estimator.triangulation
        pixels = triangulation.pixels(torch.from_numpy(scenes.positions), tool)
        size = min(settings.noise_batch_size, len(pixels))
        training.train(
            triangulation,
            SeenKeypoints(keypoints, pixels),
            LoopSettings(settings.noise_epochs, size, settings.noise_learning_rate),
        )


class _Training:
    """Training of several networks, one after the other, which can resume in each of them.

    Args:
        run: Checkpoints and log.
        seed: Seed of the training.
        state: Checkpoint to resume from: weights of the finished networks, and the state of the next one's loop.
    """

    def __init__(self, run: Run, seed: int, state: State) -> None:
        self._run, self._seed = run, seed
        self._finished: list[dict[str, torch.Tensor]] = list(state["finished"])
        self._loop: State | None = state["loop"]
        self._number = 0
        self._epochs = 0

    def train(
        self,
        model: TorchModel[Any],
        examples: Examples,
        settings: LoopSettings,
        *,
        symmetry: Any = None,
        after_epoch: Callable[[int], None] | None = None,
    ) -> None:
        """Train the next network, or set its weights if it was trained before.

        Raises:
            ValueError: There are fewer examples than a minibatch, or the training diverged.
        """
        number, self._number = self._number, self._number + 1
        before, self._epochs = self._epochs, self._epochs + settings.epochs
        if number < len(self._finished):
            model.load_state_dict(self._finished[number])
            return
        if len(examples) < settings.batch_size:
            raise ValueError(
                f"the demonstrations have {len(examples)} steps to learn from, fewer than a minibatch of "
                f"{settings.batch_size}: collect more, or set a smaller one"
            )
        own_seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        with isolated_rng(own_seed):
            loop = TrainingLoop(model, examples, settings, seed=own_seed, symmetry=symmetry, device=self._run.device)
            if self._loop is not None:
                loop.restore(self._loop)
                self._loop = None
            while not loop.is_done:
                loop.epoch()
                loop.check_finite("keypoints")
                self._run.log(before + loop.epochs_done, **loop.logs)
                if after_epoch is not None:
                    with loop.averaged():
                        after_epoch(before + loop.epochs_done)
                self._run.checkpoint(lambda: {"finished": self._finished, "loop": loop.state()})
            self._finished.append(loop.result().state_dict())


@torch.no_grad()
def _keypoints(estimator: StateEstimator, steps: Transitions) -> tuple[torch.Tensor, torch.Tensor]:
    """Return keypoints and tool of all steps, shapes (N, objects, cameras, numbers) and (N, 3)."""
    estimator.eval()
    found = []
    for start in range(0, len(steps), SEEN_AT_ONCE):
        observations = steps[start : start + SEEN_AT_ONCE].observations
        found.append((estimator.detector(observations), estimator.tool(observations)))
    return torch.cat([keypoints for keypoints, _ in found]), torch.cat([tool for _, tool in found])


@torch.no_grad()
def _states(estimator: StateEstimator, steps: Transitions, scenes: Scenes) -> torch.Tensor:
    """Return the estimated states of all steps, shape (N, features)."""
    estimator.eval()
    keypoints, tool = _keypoints(estimator, steps)
    positions = estimator.over_episodes(*estimator.triangulation.information(keypoints, tool), scenes.lengths)
    states = []
    for start in range(0, len(steps), SEEN_AT_ONCE):
        rows = slice(start, start + SEEN_AT_ONCE)
        states.append(estimator.state(steps[rows].observations, positions[rows]))
    return torch.cat(states)
