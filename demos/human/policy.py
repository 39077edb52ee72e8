"""Policy that imitates a person's recorded motion in the scene that a seed samples."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from demos.datasets.episode import KEPT_DEVIATION, PATH_DISTANCE
from demos.experts.expert import expert_features
from demos.experts.moves import AT_GRIP, CLOSED, OPEN, is_held, nearest_face
from demos.experts.push import PushExpert
from demos.human.adaptation import Segment, fit_to_time
from demos.human.motion.hand_motion import HandMotion
from demos.human.scenes import (
    APPROACH_CLEARANCE,
    APPROACH_TOLERANCE,
    OBSTACLE_RADIUS,
    PUSH_BEHIND,
    PUSH_CLEARANCE,
    PUSH_HEIGHT,
    PUSH_RADIUS,
    SCENES,
    above,
    in_workspace,
    over,
)
from demos.human.track import Floats
from demos.runtime.types import Action, Env, Info, Observation
from lam_envs import ToolCommand
from lam_envs.env import ManipulationEnv
from lam_envs.observation import Features

GRIP_STEPS = 14
"""Most steps to reach the grip exactly, and to close the fingers."""
LOST_STEPS = 3
"""Steps without touch after which the object counts as dropped."""
LEAD = 0.045
"""Largest distance of the commanded position from the tool on an axis, meters: the path waits for the tool."""
PLACED_HEIGHT = 0.004
"""Height above the end at which the object may be released, meters."""
RELEASE_SPEED = 0.04
"""Largest speed at which the robot releases the object, meters per second."""
LOOKAHEAD = 0.08
"""Distance along the path to the point that the robot pushes to, meters."""
PUSH_DEVIATION = 0.015
"""Largest root mean square deviation of a pushed object from a straight line, meters: the fingers stay behind it."""


@dataclass
class Attempt:
    """State of one episode.

    Attributes:
        phase: ``approach``, ``grip``, ``carry``, ``place``, ``release``, ``retreat``, ``push`` or ``done``.
        path: Positions of the phase: of the tool, or of the object while it is carried or pushed.
        person: The same path with all of the person's deviation.
        index: Index in the path.
        waited: Steps that the phase has waited.
        keep: Fraction of the person's deviation that was asked for.
        kept: Fraction that remains after all limits, of each segment that the recording shows.
        steps: Steps of the second segment.
        failure: Reason of a failure; empty if there is none yet.
        distance: Distance from the person's path, meters.
    """

    phase: str = "approach"
    path: Floats = field(default_factory=lambda: np.zeros((0, 3)))
    person: Floats = field(default_factory=lambda: np.zeros((0, 3)))
    index: int = 0
    waited: int = 0
    keep: float = 1.0
    kept: list[float] = field(default_factory=list)
    steps: int = 0
    failure: str = ""
    distance: float = 0.0

    def begin(self, phase: str, path: Floats | None = None, person: Floats | None = None) -> None:
        """Begin a phase."""
        self.phase, self.index, self.waited = phase, 0, 0
        if path is not None:
            self.path = path
        if person is not None:
            self.person = person


class HumanPolicy:
    """Policy that imitates a person's motion, with the ``predict`` of Stable-Baselines3.

    The scene of the first observation gives the ends of the path: the object, and where it goes. The parts of the
    person's motion between grasp and release are adapted to them, see :mod:`demos.human.adaptation`. Near an object
    the path is limited to a cone above it, in which the fingers fit. There are no second attempts.

    Args:
        env: Environment of lam_envs, wrapped or not; it is never stepped.
        motion: Motion of the person.
        keep: Fraction of the person's deviation from straight lines; None for as much as fits. With 0 the robot moves
            straight: a control that needs no person.

    Raises:
        ValueError: The task is unknown, or consists of the approach, which the recording does not show.
    """

    def __init__(self, env: Env, motion: HandMotion, keep: float | None = None) -> None:
        self._env = cast(ManipulationEnv, env.unwrapped)
        task = getattr(self._env, "task_name", None)
        if task not in SCENES:
            raise ValueError(
                f"recordings cannot be adapted to the task {task!r}; expected one of {', '.join(SCENES)}"
            )
        self.scene = SCENES[task]
        if self.scene.kind == "reach" and len(motion.approach) < 2:
            raise ValueError(
                f"the recording does not show the approach, which is all of the task {task!r}; expected a hand in "
                "view before the grasp: record again, or give a later grasp (--grasp)"
            )
        self.motion = motion
        self.keep = keep
        self.attempt = Attempt()
        spec = env.spec
        self._available = (spec.max_episode_steps if spec is not None else None) or 100
        self._pusher = PushExpert()
        self.observation_space, self.action_space = env.observation_space, env.action_space

    def predict(
        self,
        observation: Observation,
        state: Attempt | None = None,
        episode_start: object = None,
        deterministic: bool = False,
    ) -> tuple[Action, Attempt]:
        """Return the action for one observation, and the state of the episode.

        Args:
            observation: Observation of the current episode of the policy's environment.
            state: State that the call before returned; None at the start of an episode.
            episode_start: True at the start of an episode.
            deterministic: Not used, because the policy is deterministic.
        """
        features = expert_features(self._env, observation)
        if state is None or np.asarray(episode_start, dtype=bool).any():
            state = self._plan(features)
        self.attempt = state
        return self._env.action_for(self._act(features, state), features), state

    def notes(self) -> Info:
        """Return what the infos of a step record: the fraction of the deviation kept, and distance to the path."""
        kept = self.attempt.kept
        return {
            KEPT_DEVIATION: np.float32(np.mean(kept) if kept else 1.0),
            PATH_DISTANCE: np.float32(self.attempt.distance),
        }

    # Planning

    def _plan(self, features: Features) -> Attempt:
        """Return the attempt for a new episode."""
        attempt = Attempt()
        start = features["tool/position"].copy()
        segments = [self._approach(features, start)]
        if self.scene.kind != "reach":
            # Plan the second part too, so that both share the time.
            segments.append(self._second(features, features["object/position"]))
        available = self._available - self.scene.overhead
        attempt.keep, steps = fit_to_time(segments, available, self.keep, self.motion.speed)
        # A straight line that replaces an unseen approach has no kept deviation.
        attempt.kept = [segment.kept(attempt.keep) for segment in segments if segment.person_steps > 1]
        attempt.steps = steps[-1]
        attempt.begin("approach", segments[0].timed(attempt.keep, steps[0]), segments[0].line + segments[0].deviation)
        return attempt

    def _approach(self, features: Features, start: Floats) -> Segment:
        if self.scene.kind == "reach":
            return Segment(self.motion.approach, start, self.scene.end(features), in_workspace)
        position = features["object/position"].copy()
        if self.scene.kind == "push":
            ahead = self.scene.end(features)[:2]
            behind = position.copy()
            behind[:2] -= PUSH_BEHIND * ahead / max(float(np.hypot(*ahead)), 1e-6)
            behind[2] = PUSH_HEIGHT

            def limit(points: Floats) -> Floats:
                raised = over(points, position, PUSH_CLEARANCE + PUSH_HEIGHT - position[2], PUSH_RADIUS)
                return in_workspace(above(raised, behind, 0.01, PUSH_CLEARANCE))

            return Segment(self.motion.approach, start, in_workspace(behind[None])[0], limit)
        position[2] += self.scene.grip_height

        def limit_grip(points: Floats) -> Floats:
            points = self._over_obstacle(points, features)
            return in_workspace(above(points, position, APPROACH_TOLERANCE, APPROACH_CLEARANCE))

        return Segment(self.motion.approach, start, position, limit_grip)

    def _second(self, features: Features, start: Floats) -> Segment:
        """Return the path of the object."""
        end = start + self.scene.end(features)
        person = self.motion.carry
        if self.scene.kind == "push":
            flat = person * np.array([1.0, 1.0, 0.0])
            segment = Segment(flat, start, end, lambda points: points)
            size = float(np.sqrt((segment.deviation**2).sum(axis=1).mean()))
            shrink = min(1.0, PUSH_DEVIATION / max(size, 1e-9))
            segment.limit = lambda points: segment.line + shrink * (points - segment.line)
            return segment
        grip = np.array([0.0, 0.0, self.scene.grip_height])
        lands = self.scene.releases(features)

        def limit(points: Floats) -> Floats:
            raised = np.maximum(points, [-np.inf, -np.inf, start[2]])
            # Lift before moving to the side, and come down from above.
            aside = np.hypot(*(points - start)[:, :2].T)
            raised[:, 2] = np.maximum(raised[:, 2], start[2] + np.minimum(aside, 0.02))
            if lands:
                raised = above(raised, end, self.scene.tolerance, self.scene.clearance)
            return np.asarray(in_workspace(raised + grip) - grip)

        return Segment(person, start, end, limit)

    def _over_obstacle(self, points: Floats, features: Features) -> Floats:
        if self.scene.obstacle is None:
            return points
        center = features[f"{self.scene.obstacle}/position"]
        return over(points, center, self.scene.obstacle_height, OBSTACLE_RADIUS)

    # Acting

    def _act(self, features: Features, attempt: Attempt) -> ToolCommand:
        tool = features["tool/position"]
        carried = attempt.phase in ("carry", "place", "push")
        moving = features["object/position"] if carried else tool
        if len(attempt.person):
            attempt.distance = float(np.linalg.norm(attempt.person - moving, axis=1).min())
        command: ToolCommand = getattr(self, f"_{attempt.phase}_command")(features, attempt)
        return command

    def _approach_command(self, features: Features, attempt: Attempt) -> ToolCommand:
        tool = features["tool/position"]
        goal = self._next(attempt, tool)
        width = OPEN if self.scene.kind == "carry" else CLOSED
        if self.scene.kind == "reach":
            width = features["gripper/target"].item()
        if attempt.index == len(attempt.path) - 1:
            attempt.waited += 1
            distance = float(np.linalg.norm(attempt.path[-1] - tool))
            if self.scene.kind == "carry" and (distance <= AT_GRIP or attempt.waited > GRIP_STEPS):
                attempt.begin("grip")
                return self._grip_command(features, attempt)
            if self.scene.kind == "push" and (distance <= 2 * AT_GRIP or attempt.waited > GRIP_STEPS):
                segment = self._second(features, features["object/position"])
                attempt.begin("push", segment.path(attempt.keep), segment.line + segment.deviation)
                return self._push_command(features, attempt)
        return ToolCommand(_point(goal), width, self._yaw(features))

    def _grip_command(self, features: Features, attempt: Attempt) -> ToolCommand:
        attempt.waited += 1
        if is_held(features):
            segment = self._second(features, features["object/position"].copy())
            path = segment.timed(attempt.keep, max(attempt.steps, segment.steps(attempt.keep)))
            attempt.begin("carry", path, segment.line + segment.deviation)
            return self._carry_command(features, attempt)
        if attempt.waited > GRIP_STEPS:
            attempt.failure = attempt.failure or "no grip"
        return ToolCommand(_point(attempt.path[-1]), CLOSED, self._yaw(features))

    def _carry_command(self, features: Features, attempt: Attempt) -> ToolCommand:
        position = features["object/position"]
        goal = self._next(attempt, position)
        self._check_hold(features, attempt)
        if attempt.index == len(attempt.path) - 1:
            if self.scene.has_goal:
                goal = position + self.scene.end(features)
            if self._lands(features):
                attempt.begin("place")
        return self._carried(features, goal)

    def _place_command(self, features: Features, attempt: Attempt) -> ToolCommand:
        """Descend to the end within the cone above it."""
        self._check_hold(features, attempt)
        attempt.waited += 1
        x, y, z = self.scene.end(features).tolist()
        distance = math.hypot(x, y)
        is_placed = distance <= self.scene.tolerance and abs(z) <= PLACED_HEIGHT
        if is_placed and math.hypot(*features["object/velocity"].tolist()) <= RELEASE_SPEED:
            attempt.begin("release")
            return self._release_command(features, attempt)
        below = 0.0 if distance <= self.scene.tolerance / 2 else min(4 * distance, self.scene.clearance)
        goal = features["object/position"] + np.array([x, y, z + below])
        return self._carried(features, goal)

    def _release_command(self, features: Features, attempt: Attempt) -> ToolCommand:
        tool = features["tool/position"]
        attempt.waited += 1
        if features["gripper/touch"].max() < 0.5 and features["gripper/width"].item() > 0.05:
            start = tool.copy()

            def limit(points: Floats) -> Floats:
                return in_workspace(above(points, start, 0.0, APPROACH_CLEARANCE))

            retreat = Segment(self.motion.retreat, start, start + np.array([0.0, 0.0, APPROACH_CLEARANCE]), limit)
            path = retreat.timed(attempt.keep, retreat.steps(attempt.keep))
            attempt.begin("retreat", path, retreat.line + retreat.deviation)
        return ToolCommand(_point(tool), OPEN, self._yaw(features))

    def _retreat_command(self, features: Features, attempt: Attempt) -> ToolCommand:
        return ToolCommand(_point(self._next(attempt, features["tool/position"])), OPEN, self._yaw(features))

    def _push_command(self, features: Features, attempt: Attempt) -> ToolCommand:
        """Push the object toward a point ahead on its path."""
        position = features["object/position"]
        distances = np.linalg.norm((attempt.path - position)[:, :2], axis=1)
        attempt.index = max(attempt.index, int(distances.argmin()))
        spacing = float(np.linalg.norm(np.diff(attempt.path, axis=0), axis=1).mean())
        ahead = min(attempt.index + math.ceil(LOOKAHEAD / max(spacing, 1e-6)), len(attempt.path) - 1)
        goal = features["goal/relative"].copy()
        if ahead < len(attempt.path) - 1:
            goal[:2] = (attempt.path[ahead] - position)[:2]
        return self._pusher.act({**features, "goal/relative": goal})

    # Parts of commands

    def _next(self, attempt: Attempt, position: Floats) -> Floats:
        """Return the next point of the path; it waits for the tool."""
        following = min(attempt.index + 1, len(attempt.path) - 1)
        if np.abs(attempt.path[following] - position).max() <= LEAD or attempt.index == 0:
            attempt.index = following
        return np.asarray(attempt.path[attempt.index])

    def _carried(self, features: Features, goal: Floats) -> ToolCommand:
        """Return the command that moves the held object to a point."""
        return ToolCommand(_point(features["tool/position"] + goal - features["object/position"]), CLOSED, 0.0)

    def _check_hold(self, features: Features, attempt: Attempt) -> None:
        if features["gripper/touch"].min() > 0.5:
            attempt.waited = 0
            return
        attempt.waited += 1
        if attempt.waited >= LOST_STEPS:
            attempt.failure = attempt.failure or "dropped"

    def _lands(self, features: Features) -> bool:
        return bool(self.scene.releases(features))

    def _yaw(self, features: Features) -> float:
        if "object/rotation" not in features or self.scene.kind != "carry":
            return 0.0
        return nearest_face(features["object/rotation"].tolist())


def _point(position: Floats) -> tuple[float, float, float]:
    x, y, z = position.tolist()
    return (x, y, z)


def failure_of(attempt: Attempt, info: Info) -> str:
    """Return the reason for which an episode failed.

    Args:
        attempt: State at its end.
        info: Last info.
    """
    if bool(info.get("is_lost", False)):
        return "object left the table"
    if attempt.failure:
        return attempt.failure
    ended = {"approach": "no time to reach the object", "grip": "no grip", "release": "no time to release"}
    if attempt.phase in ended:
        return ended[attempt.phase]
    missing = [name for name, flag in info.items() if name.startswith("is_") and not np.all(flag)]
    return (
        f"at the end not {', '.join(sorted(name[3:] for name in missing if name not in ('is_success', 'is_lost')))}"
    )
