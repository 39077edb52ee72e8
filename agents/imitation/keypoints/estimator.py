"""Estimated states: the observations of ``obs="state"``, estimated from images and the features of the robot."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch

from agents.estimation.positions import PositionEstimator
from agents.estimation.scenes import TOOL, PixelObservations, Scenes
from agents.types import Tensors
from lam_envs.observation.features import ROBOT_KEY

RELATIVE = "/relative"
"""End of the names of features that are differences between positions."""


class StateEstimator(PositionEstimator):
    """Estimator of states from images and the features of the robot.

    Differences between positions, such as ``goal/relative``, follow from the positions. Features that are not known,
    such as velocities and rotations, have their mean in the demonstrations.

    Args:
        observed: Observations of the environment.
    """

    def __init__(self, observed: PixelObservations) -> None:
        super().__init__(observed.cameras, len(observed.objects))
        relative = [name for name in observed.state if name.endswith(RELATIVE)]
        self._tool = list(range(observed.robot.size)[observed.robot[TOOL].slice])
        self._tool_in_state = observed.indices([TOOL])
        self._positions = observed.indices(observed.objects)
        self._relative = observed.indices(relative)
        known = [*observed.robot_indices, *self._positions, *self._relative]
        self._rest = [index for index in range(observed.state.size) if index not in set(known)]
        self._order = np.argsort([*known, *self._rest]).tolist()
        self.register_buffer("means", torch.zeros(len(self._rest)))
        # Differences of positions: a linear function of the positions of objects and tool.
        self.register_buffer("differences", torch.zeros(len(self._positions) + 4, len(self._relative)))
        for name, features in (("position", observed.objects), ("tool", (TOOL,))):
            parts = [observed.state[feature] for feature in features]
            self.register_buffer(f"{name}_center", torch.tensor([part.center for part in parts]), persistent=False)
            scales = torch.tensor([[part.scale] for part in parts])
            self.register_buffer(f"{name}_scale", scales, persistent=False)

    def fit(self, scenes: Scenes) -> None:
        """Fit the cameras, the motion of objects, the differences of positions, and means of the other features."""
        super().fit(scenes)
        states = scenes.states.astype(np.float64)
        known = np.column_stack([states[:, self._positions], states[:, self._tool_in_state], np.ones(len(states))])
        differences = np.linalg.lstsq(known, states[:, self._relative], rcond=None)[0]
        for name, values in (
            ("means", states[:, self._rest].mean(axis=0)),
            ("differences", differences),
        ):
            self.get_buffer(name).copy_(torch.from_numpy(values))

    def tool(self, observations: Tensors) -> torch.Tensor:
        """Return the position of the tool in observations, meters, shape (N, 3)."""
        seen = cast("dict[str, torch.Tensor]", observations)[ROBOT_KEY][:, self._tool]
        return seen * self.get_buffer("tool_scale")[0] + self.get_buffer("tool_center")[0]

    def information(self, observations: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the information of N observations; see :meth:`Triangulation.information`."""
        return self.triangulation.information(self.detector(observations), self.tool(observations))

    def state(self, observations: Tensors, positions: torch.Tensor) -> torch.Tensor:
        """Return the states of N observations, shape (N, features).

        Args:
            observations: Observations.
            positions: Positions of the objects, meters, shape (N, objects, 3).
        """
        robot = cast("dict[str, torch.Tensor]", observations)[ROBOT_KEY]
        scaled = (positions.float() - self.get_buffer("position_center")) / self.get_buffer("position_scale")
        flat = scaled.flatten(1)
        known = torch.cat([flat, robot[:, self._tool], flat.new_ones(len(flat), 1)], dim=1)
        means = self.get_buffer("means").expand(len(flat), -1)
        parts = [robot, flat, known @ self.get_buffer("differences"), means]
        return torch.cat(parts, dim=1)[:, self._order]
