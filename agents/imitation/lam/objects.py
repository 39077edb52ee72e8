"""Estimation of the positions of objects from images, which replace the features that images do not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from agents.data.cameras import Shape
from agents.estimation.detector import KEYPOINT_SIZE
from agents.estimation.positions import MATRICES, VECTORS, PositionEstimator
from agents.estimation.scenes import POSITION, PRESENT, TOOL, PixelObservations
from agents.policies.torch_policy import TorchModel
from agents.types import State, Tensors
from lam_envs.observation.features import Layout

PRESENCE = "presence"
"""Name of the logits of the presence of objects in the memory of a policy."""
LARGEST_LOGIT = 20.0
"""Largest absolute value of the logit of an object's presence."""


@dataclass(frozen=True)
class EstimatedObjects:
    """Objects whose positions are estimated in an environment with images.

    Attributes:
        robot: Layout of the features of the robot, which are observed.
        names: Names of the objects.
        keys: Names of the objects in an estimator: a goal looks different in each task.
    """

    robot: Layout
    names: tuple[str, ...]
    keys: tuple[str, ...]

    @classmethod
    def of(cls, observed: PixelObservations, task: str) -> EstimatedObjects:
        """Return the objects of an environment with a task."""
        names = tuple(name.removesuffix(POSITION) for name in observed.objects)
        return cls(observed.robot, names, tuple(f"{task} {name}" for name in names))

    def check(self, known: Sequence[str]) -> None:
        """Check that an estimator knows the objects.

        Args:
            known: Names of the objects in the estimator.

        Raises:
            ValueError: It does not know an object.
        """
        unknown = [name for name in self.keys if name not in known]
        if unknown:
            raise ValueError(
                f"the model cannot estimate the positions of {', '.join(unknown)}; expected some of "
                f"{', '.join(known)}: train it from scratch on images of a task with such objects"
            )

    def unknown(self, layout: Layout) -> tuple[str, ...]:
        """Return the features of a layout that are neither observed nor estimated, such as velocities of objects.

        Args:
            layout: Layout of the state.
        """
        known = {*self.robot, *(name + part for name in self.names for part in (POSITION, PRESENT))}
        return tuple(name for name in layout if name not in known)


@dataclass(frozen=True)
class LabeledPresence:
    """Keypoints of N steps, and which objects are present. Indexing gives a minibatch.

    Attributes:
        keypoints: Keypoints, shape (N, objects, cameras, 5).
        present: 1 for present objects, 0 for absent ones, NaN for those of other environments; shape (N, objects).
    """

    keypoints: torch.Tensor
    present: torch.Tensor

    def __len__(self) -> int:
        """Return the number of steps, N."""
        return len(self.present)

    def __getitem__(self, rows: Any) -> LabeledPresence:
        """Return some of the steps."""
        return LabeledPresence(self.keypoints[rows], self.present[rows])

    def to(self, device: torch.device) -> LabeledPresence:
        """Return the steps, with the same shapes, on a device."""
        return LabeledPresence(self.keypoints.to(device), self.present.to(device))


class PresenceModel(TorchModel[LabeledPresence]):
    """Logistic regression that predicts the presence of each object from the heatmaps of all cameras.

    Args:
        cameras: Number of cameras.
        objects: Number of objects.
    """

    def __init__(self, cameras: int, objects: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(objects, cameras * (KEYPOINT_SIZE - 2)))
        self.bias = nn.Parameter(torch.zeros(objects))

    def forward(self, keypoints: torch.Tensor) -> torch.Tensor:
        """Return the logit of each object's presence, shape (N, objects).

        Args:
            keypoints: Shape (N, objects, cameras, 5).
        """
        logits: torch.Tensor = (keypoints[..., 2:].flatten(2) * self.weight).sum(dim=2) + self.bias
        return logits.clamp(-LARGEST_LOGIT, LARGEST_LOGIT)

    def compute_loss(self, batch: LabeledPresence) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the mean cross-entropy over the objects whose presence is labeled; shape ()."""
        is_known = ~batch.present.isnan()
        losses = nn.functional.binary_cross_entropy_with_logits(
            self(batch.keypoints), batch.present.nan_to_num(), reduction="none"
        )
        loss = losses[is_known].sum() / is_known.sum().clamp(min=1)
        return loss, {"cross-entropy": loss}


class ObjectEstimator(PositionEstimator):
    """Estimator of the positions and the presence of the objects in all environments of a model.

    Args:
        cameras: Shapes of the images of each camera.
        names: Names of the objects.
    """

    def __init__(self, cameras: Mapping[str, Shape], names: Sequence[str]) -> None:
        super().__init__({camera: (height, width) for camera, (height, width, _) in cameras.items()}, len(names))
        self.cameras, self.names = dict(cameras), tuple(names)
        self.presence = PresenceModel(len(cameras), len(names))

    def initial_memory(self, count: int, device: torch.device) -> State:
        """Return the memory at the start of N episodes."""
        presence = torch.zeros(count, self.objects, device=device)
        return {**super().initial_memory(count, device), PRESENCE: presence}

    def update(self, keypoints: torch.Tensor, tool: torch.Tensor, memory: State) -> tuple[torch.Tensor, State]:
        """Return the positions of N scenes, meters, shape (N, objects, 3), and the memory.

        Args:
            keypoints: Keypoints of the images, shape (N, objects, cameras, 5).
            tool: Position of the tool, meters, shape (N, 3).
            memory: Memory. Its presence logits are sums over all images of the episode so far.
        """
        matrix, vector = self.triangulation.information(keypoints, tool)
        positions, matrices, vectors = self.filter_step(matrix, vector, memory[MATRICES], memory[VECTORS])
        presence = (memory[PRESENCE] + self.presence(keypoints)).clamp(-LARGEST_LOGIT, LARGEST_LOGIT)
        return positions, {MATRICES: matrices, VECTORS: vectors, PRESENCE: presence}


class StateAssembler(nn.Module):
    """Layer without weights that assembles the state of an environment from robot features and estimated objects.

    Args:
        layout: Layout of the state.
        objects: Objects of the environment.
        known: Names of the objects of the estimator.

    Raises:
        ValueError: The estimator does not know an object.
    """

    def __init__(self, layout: Layout, objects: EstimatedObjects, known: Sequence[str]) -> None:
        super().__init__()
        objects.check(known)
        rows = [known.index(name) for name in objects.keys]
        flags = [number for number, name in enumerate(objects.names) if name + PRESENT in layout]
        parts = [layout[name + POSITION] for name in objects.names]
        columns = [
            *layout.feature_indices(objects.robot),
            *(index for part in parts for index in range(layout.size)[part.slice]),
            *(range(layout.size)[layout[objects.names[number] + PRESENT].slice][0] for number in flags),
        ]
        rest = [index for index in range(layout.size) if index not in set(columns)]
        tool = objects.robot[TOOL]
        self._rest = len(rest)
        self._flags, self._rows = flags, rows
        self._order = torch.tensor([*columns, *rest]).argsort().tolist()
        self._tool = list(range(objects.robot.size)[tool.slice])
        for name, values in (
            ("center", [part.center for part in parts]),
            ("scale", [[part.scale] for part in parts]),
            ("tool_center", tool.center),
            ("tool_scale", tool.scale),
        ):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

    def tool(self, robot: torch.Tensor) -> torch.Tensor:
        """Return the position of the tool in features of the robot, meters, shape (N, 3)."""
        return robot[:, self._tool] * self.get_buffer("tool_scale") + self.get_buffer("tool_center")

    def forward(self, robot: torch.Tensor, positions: torch.Tensor, presence: torch.Tensor) -> torch.Tensor:
        """Return states, shape (N, features); 0 for unknown features.

        Args:
            robot: Features of the robot, shape (N, features of the robot).
            positions: Positions of the objects of the estimator, meters, shape (N, objects, 3).
            presence: Logits of their presence, shape (N, objects).
        """
        scaled = (positions[:, self._rows].float() - self.get_buffer("center")) / self.get_buffer("scale")
        is_there = (presence[:, self._rows][:, self._flags] > 0.0).float() * 2.0 - 1.0
        blank = robot.new_zeros(len(robot), self._rest)
        return torch.cat([robot.float(), scaled.flatten(1), is_there, blank], dim=1)[:, self._order]

    def estimate(
        self, estimator: ObjectEstimator, observations: Tensors, key: str, memory: State
    ) -> tuple[torch.Tensor, State]:
        """Return the states of N observations, shape (N, features), and the memory of the estimator.

        Args:
            estimator: Estimator.
            observations: Images, and features of the robot.
            key: Name of the features of the robot.
            memory: Memory of the estimator.
        """
        robot = cast("dict[str, torch.Tensor]", observations)[key]
        positions, following = estimator.update(estimator.detector(observations), self.tool(robot), memory)
        return self(robot, positions, following[PRESENCE]), following
