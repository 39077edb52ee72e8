"""Adapt a saved agent, check it on held-out episodes, and keep its weights unless it became better."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.data.demonstrations import DemonstrationData, Demonstrations
from agents.deployment.adaptation.case import Case
from agents.deployment.adaptation.check import Check, successes
from agents.deployment.adaptation.methods import adaptation_settings, adaptation_versions, find_method
from agents.registry import load, read_description
from agents.training.policy_agent import PolicyAgent
from agents.training.provenance import PACKAGES
from agents.training.run import Run
from agents.training.settings import check_seed
from agents.types import Env, JsonObject
from demos.collection.versions import library_versions

ADAPTATIONS = "adaptations"
"""Name of the list of adaptations in the record of a training."""


@dataclass(frozen=True)
class Adapted:
    """Result of an adaptation.

    Attributes:
        agent: Agent to use from now on: the adapted one if it is better, else the agent as it was.
        check: Successes before and after the adaptation.
    """

    agent: PolicyAgent
    check: Check

    @property
    def is_better(self) -> bool:
        """True if the adapted agent is used."""
        return self.check.is_better


def adapt(
    directory: str | Path,
    env: Env,
    home: Env,
    *,
    method: str = "demonstrations",
    budget: int | None = None,
    seed: int = 0,
    replay: Demonstrations | None = None,
    demonstrations: Demonstrations | None = None,
    run: Run | None = None,
    **settings: Any,
) -> Adapted:
    """Adapt a saved agent to the environment in which it is used; its folder is not changed.

    The agent is checked before and after on the same held-out episodes. The result is the agent as it was, unless
    more episodes succeed where it is used and hardly fewer where it was trained.

    Args:
        directory: Folder of a saved agent.
        env: Environment in which it is used, made by ``gym.make``, with the agent's spaces.
        home: Environment in which it was trained.
        method: Name of a method, see :data:`agents.deployment.adaptation.methods.METHODS`.
        budget: Number of demonstrations, labels or steps, depending on the method; by default the method's.
        seed: Seeds everything that is random.
        replay: Demonstrations that the agent has learned from; replaying them keeps it from forgetting.
        demonstrations: Demonstrations in the changed environment, in place of those of the scripted expert.
        run: Progress bar and device; by default none, on the CPU or GPU.
        settings: Settings of the method that differ from its defaults.

    Raises:
        FileNotFoundError: There is no saved agent.
        ValueError: An unknown method or setting; an agent that the method cannot adapt; a budget that is too small;
            other spaces; or a share of replay without demonstrations to replay.
    """
    kind, chosen = find_method(method), adaptation_settings(method, settings)
    check_seed(seed)
    budget = kind.default_budget if budget is None else budget
    if budget < 1:
        raise ValueError(f"the budget is {budget} {kind.unit}; expected at least 1")
    if demonstrations is not None and method != "demonstrations":
        raise ValueError(f"method {method} takes no demonstrations: remove --demos")
    if kind.uses_labels and getattr(chosen, "replay_share", False) and replay is None:
        raise ValueError("no demonstrations to replay: give those that the agent learned from, or set replay_share=0")
    before, candidate = _loaded(directory, env), _loaded(directory, env)
    _check_home(before, home)
    run = run or Run()
    episodes = chosen.check_episodes
    first = successes(before, env, home, episodes, progress=run.progress)
    case = Case(
        candidate,
        env,
        budget,
        seed,
        chosen,
        run,
        None if replay is None or not kind.uses_labels else DemonstrationData.of(replay),
        None if demonstrations is None else DemonstrationData.of(demonstrations),
    )
    if case.replay is not None:
        case.replay.check_spaces(before.observation_space, before.action_space)
    adapted = kind.adapt(case)
    check = Check(first, successes(adapted, env, home, episodes, progress=run.progress), chosen.max_home_loss)
    used = adapted if check.is_better else before
    used.training = _recorded(before.training, case, method, check)
    return Adapted(used, check)


def _loaded(directory: str | Path, env: Env) -> PolicyAgent:
    agent = load(directory, env)
    if not isinstance(agent, PolicyAgent):
        name = read_description(directory).get("agent")
        raise ValueError(f"agent {name} cannot be adapted; expected one of ours, such as bc or act")
    return agent


def _check_home(agent: PolicyAgent, home: Env) -> None:
    if (home.observation_space, home.action_space) != (agent.observation_space, agent.action_space):
        raise ValueError(
            "the environment in which the agent was trained has other observations or actions than the one in which "
            "it is used: an agent is adapted to other dynamics, not to other spaces"
        )


def _recorded(training: JsonObject | None, case: Case, method: str, check: Check) -> JsonObject:
    """Return the record of a training with an adaptation added."""
    spec = case.env.spec
    entry = {
        "method": method,
        "settings": case.settings.model_dump(),
        "budget": case.budget,
        "seed": case.seed,
        "environment": None if spec is None else spec.id,
        "keywords": {} if spec is None else {name: repr(value) for name, value in sorted(spec.kwargs.items())},
        "demonstrations": None if case.demonstrations is None else case.demonstrations.checksum,
        "replay": None if case.replay is None else case.replay.checksum,
        "check": check.as_json(),
        "is_better": check.is_better,
        "versions": adaptation_versions(method),
        "libraries": library_versions(PACKAGES),
    }
    before = training or {}
    return {**before, ADAPTATIONS: [*before.get(ADAPTATIONS, []), entry]}
