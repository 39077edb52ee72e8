"""Agent ``keypoints``: it finds the objects of a task in images, and acts on their positions."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from pydantic import Field, model_validator

from agents.data.demonstrations import DemonstrationData, Demonstrations, Transitions
from agents.data.features import NamedFeatures
from agents.data.spaces import parts_of
from agents.estimation.detector import LabeledImages
from agents.estimation.scenes import PRESENT, PixelObservations, Scenes, read_scenes
from agents.estimation.training import EstimatorSettings, detected, train_detector, train_uncertainty
from agents.imitation.keypoints.estimator import StateEstimator
from agents.imitation.keypoints.policy import KeypointPolicy
from agents.imitation.labels import Labels
from agents.imitation.learners import (
    BCLearnerSettings,
    choose_settings,
    examples_of,
    fit_inputs,
    loop_settings,
    new_policy,
)
from agents.pretraining.settings import ENCODER_SETTINGS
from agents.spec import AgentSpec
from agents.training.loop import torch_device
from agents.training.policy_agent import PolicyAgent
from agents.training.randomness import isolated_rng
from agents.training.run import Run
from agents.training.settings import CountOrZero
from agents.training.staged import StagedTraining
from agents.types import Env
from lam_envs.observation.features import ROBOT_KEY
from lam_envs.observation.instructions import INSTRUCTION_KEY

IMAGE_SETTINGS = ENCODER_SETTINGS | {"image_readout", "image_shift", "share_image_encoder"}
"""Settings of the learners that are about images."""


class KeypointSharedSettings(EstimatorSettings):
    """Settings of the agent that do not depend on its learner."""

    idle_steps: CountOrZero | None = Field(20, description="Steps after success to learn from; None for all.")

    @model_validator(mode="after")
    def _check_images(self) -> KeypointSharedSettings:
        for name in sorted(IMAGE_SETTINGS & self.model_fields_set):
            value, usual = getattr(self, name), type(self).model_fields[name].default
            if value != usual:
                raise ValueError(
                    f"{name} is {value!r}, but the policy of agent keypoints acts on positions, not on images: leave "
                    f"it at {usual!r}"
                )
        return self


class KeypointSettings(KeypointSharedSettings, BCLearnerSettings):
    """Settings of the agent with bc as its learner."""


class KeypointAgent(PolicyAgent):
    """Keypoints: finds the objects of a task in images, and acts on their positions.

    **Idea.** A policy that is fitted to images and actions alone has to find out by itself what matters in an image.
    Demonstrations that were collected in simulation hold more: the state of the simulator at each step, which gives
    each object's pixel in each image. A small network learns to find these keypoints, geometry computes positions
    from them, and a policy learns to act on the positions. When it acts, it observes images and the robot's own
    features, as any other agent.

    **Equation.** The heatmap h of an object minimizes the cross-entropy with a Gaussian around its pixel, and its
    keypoint k is the mean position of softmax(2 h). The object's pixel has the distribution N(k, s(h)^2), where s is
    fitted by maximum likelihood. The rays through the keypoints of all cameras give the position by least squares,
    weighted by 1 / s^2. A Kalman filter adds earlier images: objects move at random from step to step, with the
    variance of their motion in the demonstrations. A goal, which never moves, is remembered while it is occluded. The
    policy minimizes the loss of its learner.

    **Learner.** `learner` names the agent that learns to act on the estimated states: `bc`, `bc-rnn`, `act` or
    `diffusion`, with its loss and settings.

    **Papers.** Levine, Finn, Darrell, Abbeel 2016, End-to-End Training of Deep Visuomotor Policies, JMLR 17,
    arXiv 1504.00702, sections 4.1 and 5.2: keypoints by a spatial softmax, and pre-training to predict the poses of
    objects. Chen, Zhou, Koltun, Kraehenbuehl 2019, Learning by Cheating, arXiv 1912.12294: training with knowledge
    that acting does not need. Kendall and Gal 2017, What Uncertainties Do We Need in Bayesian Deep Learning, arXiv
    1703.04977, equation 5: the likelihood. Hartley and Zisserman 2004, Multiple View Geometry, chapter 12:
    triangulation. Kalman 1960, A New Approach to Linear Filtering and Prediction Problems.

    **Differences.** The networks are not trained further with the loss of the policy. Levine et al. estimate poses to
    initialize one network, which then learns to act from images. Each camera stands
    still or moves with the tool, without rotation. Keypoints are weighted by the distance along their ray, and the
    prior of positions is added to each estimate.

    **When not to use it.** Demonstrations without states of the simulator, such as those of a real robot: use `bc` or
    `act`. Tasks in which rotations or shapes of objects matter: only positions are estimated. Objects that may be
    absent, a hand that rotates, or cameras that differ by episode.

    The budget of :meth:`learn` is in epochs of the policy.

    Args:
        env: Environment of lam_envs with ``obs="pixels"``.
        settings: Settings that differ from the defaults for this environment; see :class:`KeypointSettings`.

    Raises:
        ValueError: An unknown setting, a value out of range, or an environment without images or with instructions.
    """

    spec = AgentSpec(
        "keypoints",
        version=3,
        settings=KeypointSettings,
        budget_unit="epochs",
        takes_run=True,
        choose_settings=partial(choose_settings, KeypointSharedSettings, KeypointSettings),
    )
    policy: KeypointPolicy

    def __init__(self, env: Env, **settings: Any) -> None:
        if INSTRUCTION_KEY in parts_of(env.observation_space):
            raise ValueError("agent keypoints reads no instruction: set instruct=false, or use lam or act")
        self._observed = PixelObservations.of(env)
        _check_objects(env, self._observed)
        self._features = NamedFeatures.of(self._observed.env)
        super().__init__(env, **settings)

    def new_policy(self) -> KeypointPolicy:
        """Return an untrained policy."""
        state_policy = new_policy(
            self.settings, self._observed.env.observation_space, self.action_space, self._features
        )
        estimator = StateEstimator(self._observed)
        return KeypointPolicy(self.observation_space, self.action_space, estimator, state_policy)

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
        """Learn to find keypoints, then their uncertainty, then to act.

        A training that is interrupted and resumed reads the states of the simulator again. Periodic evaluation
        begins when the policy is trained.

        Args:
            demonstrations: Demonstrations of lam_envs with images, and with the states of the simulator.
            env: Environment of periodic evaluation; the training does not step it.
            seed: Seeds the weights and the order of minibatches.
            budget: Epochs of the policy; by default the setting.
            progress: Show a progress bar.
            run: Checkpoints, log and periodic evaluation; by default none.

        Raises:
            ValueError: The demonstrations have other spaces or no states, cameras that rotate, or a tool of another
                length; the budget is below 1 or the seed negative; or the training diverged.
        """
        run = run or Run(progress=progress)
        data = DemonstrationData.of(demonstrations)
        self.begin(data, env, run, seed=seed, budget=budget)
        settings = self.settings
        scenes = read_scenes(data, self._observed, settings.idle_steps, progress=run.progress)
        steps = data.transitions(idle_steps=settings.idle_steps)
        epochs = budget or settings.epochs
        total = settings.detector_epochs + settings.uncertainty_epochs + epochs
        with run.training(self.spec.name, total, "epochs"), isolated_rng(seed):
            policy = self.new_policy()
            policy.estimator.fit(scenes)
            training = StagedTraining(self.spec.name, run, seed, run.restored())
            states = self._train_estimator(policy.estimator, steps, scenes, training)
            labels = Labels(Transitions(states, steps.actions), scenes.lengths)
            policy.to(torch_device(run.device))  # all of it, for periodic evaluations
            fit_inputs(policy.state_policy, settings, labels, self._observed.env)  # type: ignore[arg-type]
            training.train(
                "policy",
                policy.state_policy,
                examples_of(settings, labels),
                loop_settings(settings, epochs, len(labels)),
                symmetry=settings.symmetry(self._observed.env),
                after_epoch=lambda done: self._evaluate(policy, env, run, done),
            )
            self.policy = policy.to("cpu").eval()

    def _evaluate(self, policy: KeypointPolicy, env: Env, run: Run, done: int) -> None:
        self.policy = policy
        run.evaluate(policy, env, done)

    def _train_estimator(
        self, estimator: StateEstimator, steps: Transitions, scenes: Scenes, training: StagedTraining
    ) -> torch.Tensor:
        """Train the estimator; return the estimated states of all N steps, shape (N, features)."""
        images = LabeledImages(steps, torch.from_numpy(scenes.pixels), torch.from_numpy(scenes.rendered))
        train_detector(estimator, images, self.settings, training)
        keypoints, robot = detected(estimator, steps)
        tool = estimator.tool({ROBOT_KEY: robot})
        train_uncertainty(estimator, keypoints, scenes, tool, self.settings, training)
        with torch.no_grad():
            information = estimator.triangulation.information(keypoints, tool)
            positions = estimator.filter_episodes(*information, scenes.lengths)
            return estimator.state({ROBOT_KEY: robot}, positions)


def _check_objects(env: Env, observed: PixelObservations) -> None:
    """Check that all objects of an environment are always there."""
    uncertain = [name for name in observed.state if name.endswith(PRESENT)]
    if uncertain:
        name = env.spec.id if env.spec else "this environment"
        raise ValueError(
            f"agent keypoints needs objects that are always there, and {name} has {', '.join(uncertain)}: use lam "
            "or act"
        )
