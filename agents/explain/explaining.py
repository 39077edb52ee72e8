"""Explain an agent in an episode by all methods, and write the page and the JSON file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import minari
import numpy as np
import torch
from gymnasium import spaces
from rich.progress import track

from agents.data.spaces import parts_of
from agents.explain.case import Case
from agents.explain.failure.monitor import Monitor
from agents.explain.failure.origin import check_agent, check_demonstrations, check_environment
from agents.explain.frames import camera_images, episode_images
from agents.explain.functions import PolicyFunction, SequenceFunction, UnavailableError, function_of
from agents.explain.methods import check_methods, find_method
from agents.explain.page import page
from agents.explain.references import References
from agents.explain.trace import Trace, trace_episode
from agents.policies.random import RandomAgent
from agents.spec import spec_of
from agents.training.policy_agent import PolicyAgent
from agents.types import Env, JsonObject
from demos.collection.recording import Policy
from demos.experts import ExpertPolicy
from demos.runtime.files import write_atomically, write_json

MAX_EXPLAINED = 240
"""Largest number of steps that are explained; of longer episodes, every n-th."""
MAX_PAGE_BYTES = 20_000_000
TOLERANCE = 1e-3
"""Largest difference between an action and what the function of the policy gives, relative to the largest action."""


@dataclass(frozen=True)
class Report:
    """Explanations of an agent in an episode.

    Attributes:
        content: Everything but images, as JSON.
        frames: Image of the episode at each explained step, as a ``data:`` URL; empty without images.
        cameras: What each camera of the observations saw, likewise.
        neighbors: Images of the nearest demonstrations, likewise.
    """

    content: JsonObject
    frames: list[str]
    cameras: dict[str, list[str]] = field(default_factory=dict)
    neighbors: list[str] = field(default_factory=list)

    def write(self, path: str | Path) -> Path:
        """Write an HTML page without external resources, and the JSON file beside it.

        Args:
            path: File name that ends in ``.html``; the JSON file has the same name with ``.json``.

        Returns:
            The path.

        Raises:
            FileExistsError: See :func:`check_path`.
            ValueError: The path has another suffix, or the page would be larger than 20 MB.
        """
        target = check_path(Path(path))
        written = page(self.content, self.frames, self.cameras, self.neighbors)
        if len(written.encode()) > MAX_PAGE_BYTES:
            raise ValueError(
                f"the page has {len(written.encode()) / 1e6:.0f} MB; expected at most 20 MB: shorten the episode, or "
                "explain by fewer methods (--method)"
            )
        write_json(target.with_suffix(".json"), self.content)
        return write_atomically(target, written)


def check_path(path: Path) -> Path:
    """Return the path of a page.

    Raises:
        FileExistsError: It, or the JSON file beside it, is a folder; or the JSON file holds no explanations, such as
            the ``agent.json`` of a saved agent.
        ValueError: It has another suffix than ``.html``.
    """
    if path.suffix != ".html":
        raise ValueError(f"invalid page {path}; expected a name that ends in .html")
    for file in (path, path.with_suffix(".json")):
        if file.is_dir():
            raise FileExistsError(f"{file} is a folder: choose another name for the page")
    if file.exists() and not _holds_explanations(file):
        raise FileExistsError(f"{file} exists and holds no explanations: choose another name for the page")
    return path


def _holds_explanations(file: Path) -> bool:
    """Return True for a JSON file of :meth:`Report.write`."""
    try:
        content = json.loads(file.read_bytes())
    except ValueError:
        return False
    return isinstance(content, dict) and "explanations" in content


def explain(
    agent: Policy,
    env: Env,
    *,
    seed: int,
    demonstrations: minari.MinariDataset | Sequence[minari.MinariDataset] | str | None = None,
    ensemble: Iterable[Policy] = (),
    methods: Sequence[str] = (),
    monitor: Monitor | None = None,
    progress: bool = False,
) -> Report:
    """Run an agent for one episode, deterministically, and explain each step.

    Args:
        agent: Agent.
        env: Environment with a time limit.
        seed: Seed of the reset.
        demonstrations: Demonstrations to compare with, one dataset or several; or the reason why there are none.
        ensemble: Agents that were trained alike with other seeds; their disagreement measures uncertainty.
        methods: Names of methods; by default all.
        monitor: Monitor that predicts failures; None without one.
        progress: Show a progress bar.

    Raises:
        ValueError: An unknown method; a negative seed; observations, actions or demonstrations of another kind;
            demonstrations of another task; an ensemble of another agent; or a monitor of another agent or
            environment, or with other demonstrations.
    """
    names = check_methods(methods)
    parts_of(env.observation_space)
    if not isinstance(env.action_space, (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
        raise ValueError(f"the actions are {env.action_space}; expected one array of numbers")
    predicting = monitor if "failure" in names else None
    if predicting is not None:
        check_agent(predicting, agent)
        check_environment(predicting, env)
    missing: dict[str, str] = {}
    references = None
    if demonstrations is None or isinstance(demonstrations, str):
        missing["references"] = demonstrations or "there are no demonstrations to compare with: give a dataset"
    else:
        references = References(demonstrations)
        references.check(env)
        if predicting is not None:
            check_demonstrations(predicting, references.data)
    case = prepare(agent, env, trace_episode(agent, env, seed), references, missing, ensemble, monitor)
    explanations: JsonObject = {}
    images: list[str] = []
    for name in track(names, "explaining", disable=not progress, transient=True):
        try:
            found = find_method(name)(case)
        except UnavailableError as reason:
            explanations[name] = {"unavailable": str(reason)}
            continue
        images = found.facts.pop("images", images)
        explanations[name] = asdict(found)
    content = {**_facts(agent, case), "explanations": explanations}
    trace, steps = case.trace, case.steps
    return Report(content, episode_images(env, trace, steps), camera_images(env, trace, steps), images)


def prepare(
    agent: Policy,
    env: Env,
    trace: Trace,
    references: References | None,
    missing: dict[str, str],
    ensemble: Iterable[Policy] = (),
    monitor: Monitor | None = None,
) -> Case:
    """Return the input of the methods for an episode.

    Args:
        agent: Agent.
        env: Its environment.
        trace: Record of the episode.
        references: Demonstrations; None without them.
        missing: Reasons why something is missing; a reason for the policy function is added.
        ensemble: Agents that were trained alike with other seeds.
        monitor: Monitor that predicts failures; None without one.

    Raises:
        ValueError: The ensemble has another agent.
    """
    ensemble, name = list(ensemble), spec_of(agent).name
    for other in (spec_of(each).name for each in ensemble):
        if other != name:
            raise ValueError(
                f"the ensemble has agent {other}; expected {name}, trained with other seeds: else actions differ for "
                "other reasons than uncertainty"
            )
    steps = list(range(0, len(trace), -(-len(trace) // MAX_EXPLAINED)))
    function = _function(agent, trace, missing)
    others = [function_of(each) for each in ensemble]
    if function is None or None in others:
        members: list[PolicyFunction] = []
    else:
        members = [function, *(each for each in others if each is not None)]
    return Case(agent, env, trace, steps, function, references, missing, members, monitor)


def _function(agent: Policy, trace: Trace, missing: dict[str, str]) -> PolicyFunction | None:
    """Return the function of the agent's policy if it gives the actions that the agent took; else note why not."""
    name = spec_of(agent).name
    if isinstance(agent, ExpertPolicy):
        missing["function"] = missing["observation"] = (
            f"agent {name} is a program that reads the simulator's state, and has no network to look into"
        )
        return None
    if isinstance(agent, RandomAgent):
        missing["function"] = missing["observation"] = f"agent {name} draws its actions, whatever it sees"
        return None
    if spec_of(agent).has_external_state:
        missing["function"] = f"agent {name} keeps state outside of predict, and its network is not available"
        missing["observation"] = f"agent {name} keeps state outside of predict: no earlier step can be restored"
        return None
    function = function_of(agent)
    if function is None:
        missing["function"] = f"agent {name} has no network of PyTorch, which gradients and features need"
        return None
    if not isinstance(function.action_space, (spaces.Box, spaces.Discrete)):
        missing["function"] = f"agent {name} has actions {function.action_space}; gradients need Box or Discrete"
        return None
    difference = _difference(function, trace)
    if difference > TOLERANCE:
        missing["function"] = (
            f"the network of agent {name} does not give its actions (they differ by {difference:.2g}): it changes "
            "observations or actions on the way"
        )
        return None
    return function


def _difference(function: PolicyFunction, trace: Trace) -> float:
    """Return the largest difference between the agent's actions and those of the function; infinity if it fails."""
    if isinstance(function, SequenceFunction) and function.policy.horizons.ensembling is not None:
        # Its action is the mean of several chunks, of which the function gives the newest.
        return 0.0
    differences = []
    for step in range(min(len(trace), 20)):
        action: Any = trace.actions[step]
        inputs = trace.deciding_inputs(step, function.horizon)
        try:
            with torch.no_grad():
                numbers = function(inputs)[0].numpy()
                votes = [int(member(inputs)[0].argmax()) for member in function.members]
        except (RuntimeError, TypeError, ValueError, KeyError, IndexError, AttributeError):
            return float("inf")
        space: Any = function.action_space
        if function.is_discrete:
            # An ensemble acts by its majority.
            differences.append(float(np.bincount(votes).argmax() != int(action) - int(space.start)))
            continue
        expected = np.asarray(action).reshape(-1)
        if numbers.shape != expected.shape:
            return float("inf")
        bounded = np.clip(numbers, space.low.ravel(), space.high.ravel())
        differences.append(float(np.abs(bounded - expected).max() / max(np.abs(expected).max(), 1.0)))
    return max(differences)


def _facts(agent: Policy, case: Case) -> JsonObject:
    trace, references = case.trace, case.references
    return {
        "agent": spec_of(agent).name,
        "environment": None if case.env.spec is None else case.env.spec.id,
        "seed": trace.seed,
        "instruction": trace.instruction,
        "steps": len(trace),
        "explained": list(case.steps),
        "seconds_per_step": 1.0 / float(case.env.metadata.get("render_fps", 20)),
        "success": trace.success,
        "success_step": trace.success_step,
        "return": round(float(sum(trace.rewards)), 4),
        "outputs": case.outputs,
        "first_action": case.first_action,
        "actions": [np.round(np.asarray(trace.actions[step], dtype=np.float64), 5).tolist() for step in case.steps],
        "decided_at": [trace.planned(step) for step in case.steps],
        "demonstrations": None if references is None else _origin(agent, references),
    }


def _origin(agent: Policy, references: References) -> JsonObject:
    """Describe the demonstrations, and say if the agent learned from them."""
    learned = ((agent.training if isinstance(agent, PolicyAgent) else None) or {}).get("demonstrations") or {}
    compared = {dataset.id for dataset in references.data.datasets}
    # A training on several datasets records one checksum for all: some of them are recognized by their ids.
    are_some = compared < set(str(learned.get("id")).split(", "))
    return {
        "id": references.data.id,
        "episodes": len(references.data.episodes),
        "steps": len(references.steps),
        "learned_from": are_some or learned.get("checksum") == references.data.checksum,
    }
