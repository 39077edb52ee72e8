"""Export of a trained policy to ONNX: tracing, verification against the policy itself, files."""

from __future__ import annotations

import copy
import importlib.util
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from torch import nn
from torch.onnx.symbolic_helper import parse_args

import lam_envs
from agents.data.spaces import spaces_of
from agents.deployment.export.graph import Graph
from agents.deployment.export.keypoints import KeypointGraph
from agents.deployment.export.lam import LamGraph
from agents.deployment.export.onnx_agent import DESCRIPTION, INSTALL, MODEL, OnnxAgent, onnxruntime
from agents.deployment.export.reactive import ReactiveGraph
from agents.deployment.export.readme import readme
from agents.deployment.export.residual import ResidualGraph
from agents.deployment.export.sequences import SequenceGraph
from agents.imitation.bc import BCPolicy, BehaviorCloning
from agents.imitation.keypoints.policy import KeypointPolicy
from agents.imitation.lam.policy import LamPolicy
from agents.policies.ensemble import EnsemblePolicy
from agents.policies.sequence_policy import SequencePolicy
from agents.policies.torch_policy import TorchPolicy
from agents.rl.residual import ResidualAgent
from agents.training.policy_agent import PolicyAgent
from agents.types import Env, JsonObject
from demos.collection.recording import rollout
from demos.formats.format import atomic_output

OPSET = 17
"""Version of the operators of ONNX; onnxruntime 1.13 and newer run it."""
TOLERANCE = 1e-4
"""Largest difference between an action of the exported policy and one of the policy itself, in units of actions."""
SEEDS = (2**30 - 2, 2**30 - 1)
"""Seeds of the episodes of the verification; no result uses them."""


@dataclass(frozen=True)
class Verification:
    """Comparison of an exported policy with the policy itself.

    Attributes:
        episodes: Number of episodes in which the observations were recorded.
        steps: Number of observations.
        largest_difference: Largest difference between two actions, in units of actions.
        tolerance: Largest difference that is accepted.
    """

    episodes: int
    steps: int
    largest_difference: float
    tolerance: float = TOLERANCE


def export(
    agent: PolicyAgent, env: Env, directory: str | Path, *, seeds: Sequence[int] = SEEDS, overwrite: bool = False
) -> Verification:
    """Write a trained policy as ONNX, if onnxruntime acts by it as the policy does.

    The folder gets ``model.onnx``; ``model.json``, which describes inputs and outputs; and ``README.md`` with a loop
    that runs the policy without PyTorch. Normalizers and limits of actions are a part of the model.

    Args:
        agent: Trained agent.
        env: Environment for episodes in which both are compared.
        directory: Folder; it appears when it is complete.
        seeds: Seeds of these episodes.
        overwrite: Replace an exported policy.

    Returns:
        The comparison.

    Raises:
        FileExistsError: The folder exists, and must not be replaced.
        ModuleNotFoundError: onnx or onnxruntime is not installed.
        ValueError: The policy cannot be exported, or the actions of both differ; nothing is written then.
    """
    onnxruntime()
    if importlib.util.find_spec("onnx") is None:
        raise ModuleNotFoundError(f"exports need onnx, which is not installed: {INSTALL}", name="onnx")
    graph = graph_of(agent)
    with atomic_output(Path(directory), DESCRIPTION, overwrite=overwrite) as folder:
        folder.mkdir()
        _trace(graph, folder / MODEL)
        description = _description(agent, env, graph)
        _write(folder, description)
        verification = verify(agent, OnnxAgent(folder), env, seeds)
        _write(folder, {**description, "verification": asdict(verification)})
        (folder / "README.md").write_text(readme(json.loads((folder / DESCRIPTION).read_text())))
    return verification


def graph_of(agent: PolicyAgent) -> Graph:
    """Return the policy of an agent as a graph.

    Raises:
        ValueError: The agent has no policy that can be exported.
    """
    policy = agent.policy
    observations, actions = agent.observation_space, agent.action_space
    if isinstance(agent, ResidualAgent):
        return ResidualGraph(agent, graph_of(agent.base))
    if isinstance(policy, LamPolicy):
        return LamGraph(observations, actions, policy)
    if isinstance(policy, KeypointPolicy):
        return KeypointGraph(policy, _graph(policy.state_policy))
    if isinstance(agent, BehaviorCloning):
        return ReactiveGraph(observations, actions, [each.network for each in agent.policies])
    if isinstance(policy, (SequencePolicy, EnsemblePolicy, BCPolicy)):
        return _graph(policy)
    if isinstance(policy, BasePolicy):
        return ReactiveGraph(observations, actions, [policy])
    raise ValueError(f"agent {agent.spec.name} cannot be exported: its policy is a {type(policy).__name__}")


def _graph(policy: TorchPolicy[Any]) -> Graph:
    """Return the graph of a policy in its own spaces."""
    spaces_of_policy = policy.observation_space, policy.action_space
    if isinstance(policy, SequencePolicy):
        return SequenceGraph(*spaces_of_policy, policy)
    members = policy.members if isinstance(policy, EnsemblePolicy) else [policy]
    return ReactiveGraph(*spaces_of_policy, [cast(BCPolicy, each).network for each in members])


def _trace(graph: Graph, path: Path) -> None:
    """Write a graph as ONNX.

    The exporter that traces takes a second and needs no further package. The one by ``torch.export`` takes ten times
    as long, and needs onnxscript.
    """
    traced = _without_adaptive_pooling(copy.deepcopy(graph)).eval()
    examples = tuple(torch.zeros(port.shape, dtype=getattr(torch, port.dtype)) for port in graph.inputs)
    with warnings.catch_warnings(), torch.no_grad(), _further_operators():
        # Shapes are fixed, so what tracing turns into constants is constant.
        warnings.simplefilter("ignore")
        keywords: dict[str, Any] = {"dynamo": False} if "dynamo" in _arguments() else {}
        torch.onnx.export(
            traced,
            examples,
            str(path),
            input_names=[port.name for port in graph.inputs],
            output_names=[port.name for port in graph.outputs],
            opset_version=OPSET,
            **keywords,
        )


@contextmanager
def _further_operators() -> Iterator[None]:
    """Let the tracing exporter write operators of ONNX that it does not know."""
    operators: dict[str, Any] = {
        "aten::asinh": lambda graph, values: graph.op("Asinh", values),
        "aten::linspace": _linspace,
    }
    for name, operator in operators.items():
        torch.onnx.register_custom_op_symbolic(name, operator, 9)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for name in operators:
            torch.onnx.unregister_custom_op_symbolic(name, 9)  # type: ignore[attr-defined]


@parse_args("f", "f", "i", "none", "none", "none", "none")
def _linspace(graph: Any, start: float, end: float, steps: int, *_others: Any) -> Any:
    """Return evenly spaced numbers of 32 bits; the exporter's own operator gives numbers of 64 bits."""
    return graph.op("Constant", value_t=torch.linspace(start, end, steps))


def _arguments() -> tuple[str, ...]:
    """Return the names of the arguments of ``torch.onnx.export``: earlier versions have only one exporter."""
    return torch.onnx.export.__code__.co_varnames


def _without_adaptive_pooling(module: nn.Module) -> nn.Module:
    """Replace layers of adaptive pooling, which ONNX has no operator for, by matrix products."""
    for name, child in module.named_children():
        if isinstance(child, nn.AdaptiveAvgPool2d):
            setattr(module, name, _MatrixPooling(child.output_size))
        else:
            _without_adaptive_pooling(child)
    return module


class _MatrixPooling(nn.Module):
    """Adaptive average pooling to a square, as products with matrices of weights."""

    def __init__(self, cells: Any) -> None:
        super().__init__()
        self.cells = int(cells)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return means of shape (N, channels, cells, cells) of images of shape (N, channels, height, width)."""
        height, width = int(images.shape[2]), int(images.shape[3])
        return self._weights(height) @ images @ self._weights(width).T

    def _weights(self, size: int) -> torch.Tensor:
        """Return the share of each row in each cell, shape (cells, size)."""
        return nn.functional.adaptive_avg_pool1d(torch.eye(size), self.cells).T


def _description(agent: PolicyAgent, env: Env, graph: Graph) -> JsonObject:
    """Return what ``model.json`` contains."""
    spec = env.spec
    return {
        "agent": agent.spec.name,
        "lam_envs": lam_envs.__version__,
        "environment": None if spec is None else spec.id,
        "keywords": _keywords(env),
        **spaces_of(agent.observation_space, agent.action_space),
        "dict_observations": graph.is_dict,
        "inputs": [asdict(port) for port in graph.inputs],
        "outputs": [asdict(port) for port in graph.outputs],
        **graph.tokenizer,
        "training": agent.training,
    }


def _keywords(env: Env) -> dict[str, str]:
    """Return the keywords of an environment that its id does not imply, as code."""
    spec = env.spec
    usual = gym.registry[spec.id].kwargs if spec is not None and spec.id in gym.registry else {}
    given = {} if spec is None else spec.kwargs
    return {name: repr(value) for name, value in given.items() if name not in usual or usual[name] != value}


def _write(folder: Path, description: JsonObject) -> None:
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1))


def verify(agent: PolicyAgent, exported: OnnxAgent, env: Env, seeds: Sequence[int]) -> Verification:
    """Compare the actions of an exported policy with those of the policy, on observations that the policy meets.

    Args:
        agent: Agent with the policy.
        exported: The exported policy.
        env: Environment that the policy acts in.
        seeds: Seeds of the episodes.

    Raises:
        ValueError: Two actions differ by more than :data:`TOLERANCE`.
    """
    compared = _Compared(agent, exported)
    for seed in seeds:
        for _ in rollout(env, compared, seed):
            pass
    if not compared.largest <= TOLERANCE:
        raise ValueError(
            f"the exported policy acts differently from the policy of agent {agent.spec.name}: actions differ by "
            f"{compared.largest:.2g}; expected at most {TOLERANCE:g}. Please report this"
        )
    return Verification(len(seeds), compared.steps, compared.largest)


class _Compared:
    """Agent that acts by a policy, and measures the difference to the exported one."""

    def __init__(self, agent: PolicyAgent, exported: OnnxAgent) -> None:
        self.largest, self.steps = 0.0, 0
        self._agent, self._exported = agent, exported
        base: Any = agent
        while isinstance(base, ResidualAgent):
            base = base.base
        planning = base.policy.state_policy if isinstance(base.policy, KeypointPolicy) else base.policy
        self._planning = planning if isinstance(planning, SequencePolicy) else None

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        mine, other, age = state or (None, None, 0)
        planning = self._planning
        drawn = None if planning is None else planning.draw_noise(torch.tensor([age]), deterministic=True)
        noise = None if drawn is None else drawn[0].numpy()
        action, mine = self._agent.predict(observation, mine, episode_start, deterministic=True)
        answer, other = self._exported.predict(observation, other, episode_start, noise=noise)
        if isinstance(self._agent.action_space, spaces.Box):
            difference = float(np.max(np.abs(np.asarray(action, dtype=np.float64) - answer)))
        else:
            difference = float(np.any(action != answer))
        # A NaN counts as infinitely large.
        self.largest = max(self.largest, difference) if np.isfinite(difference) else np.inf
        self.steps += 1
        return action, (mine, other, age + 1)
