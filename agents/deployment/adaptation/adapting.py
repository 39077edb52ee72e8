"""Adapt a saved agent, check it on held-out episodes, and keep its weights unless it became better."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from agents.data.demonstrations import DemonstrationData, Demonstrations
from agents.deployment.adaptation.case import RESIDUAL, Case
from agents.deployment.adaptation.check import Check, Successes, successes
from agents.deployment.adaptation.methods import adaptation_settings, adaptation_versions, find_method
from agents.folders import DESCRIPTION, read_description
from agents.training.policy_agent import PolicyAgent
from agents.training.provenance import PACKAGES
from agents.training.run import Run
from agents.training.saving.loading import load
from agents.training.saving.storage import WEIGHTS
from agents.training.saving.zoo import sha256
from agents.training.settings import check_budget, check_seed
from agents.types import Env, JsonObject
from demos.collection.versions import library_versions

DemonstrationSource: TypeAlias = Demonstrations | Callable[[], Demonstrations]
"""Demonstrations, or a function that loads them, which is called after the other arguments are checked."""
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
    replay: DemonstrationSource | None = None,
    demonstrations: DemonstrationSource | None = None,
    run: Run | None = None,
    **settings: Any,
) -> Adapted:
    """Adapt a saved agent to the environment in which it is used; its folder is not changed.

    The agent is checked before and after on the same held-out episodes. The result is the agent as it was, unless
    more episodes succeed where it is used and hardly fewer where it was trained. If an adaptation was interrupted,
    another call with the same arguments and the same folder of the run resumes it, with the same result.

    Args:
        directory: Folder of a saved agent.
        env: Environment in which it is used, made by ``gym.make``, with the agent's spaces.
        home: Environment in which it was trained.
        method: Name of a method, see :data:`agents.deployment.adaptation.methods.METHODS`.
        budget: Number of demonstrations, labels or steps, depending on the method; by default the method's.
        seed: Seeds everything that is random.
        replay: Demonstrations that the agent has learned from; replaying them keeps it from forgetting. Not used by
            the method ``reward``, and with a ``replay_share`` of 0.
        demonstrations: Demonstrations in the changed environment, in place of those of the scripted expert.
        run: Progress bar, device, checkpoints and log; by default none, on the CPU or GPU. Delete the checkpoints by
            :func:`delete_checkpoints` after you have saved the result.
        settings: Settings of the method that differ from its defaults.

    Raises:
        FileNotFoundError: There is no saved agent.
        ValueError: An unknown method or setting; an agent that the method cannot adapt; a budget that is too small;
            other spaces; a share of replay without demonstrations to replay; or a checkpoint of another adaptation.
    """
    kind, chosen = find_method(method), adaptation_settings(method, settings)
    check_seed(seed)
    budget = kind.default_budget if budget is None else budget
    check_budget(budget, kind.unit)
    if demonstrations is not None and not kind.takes_demonstrations:
        raise ValueError(f"method {method} takes no demonstrations: remove --demos")
    if chosen.replays and replay is None:
        raise ValueError("no demonstrations to replay: give those that the agent learned from, or set replay_share=0")
    before, candidate = _loaded(directory, env), _loaded(directory, env)
    _check_home(before, home)
    run = run or Run()
    episodes = chosen.check_episodes
    case = Case(candidate, env, budget, seed, chosen, run)
    kind.check(case)
    case = _with_data(case, replay if chosen.replays else None, demonstrations)
    record = _record(case, method)
    run.identity = _identity(record, directory, home)
    case = _resumed(case)
    if not case.first:
        case.first.update(asdict(successes(before, env, home, episodes, progress=run.progress)))
        case.checkpoint(dict, now=True)
    adapted = kind.adapt(case)
    after = successes(adapted, env, home, episodes, progress=run.progress)
    check = Check(Successes(**case.first), after, chosen.max_home_loss)
    used = adapted if check.is_better else before
    entry = {**record, "check": check.as_json(), "is_better": check.is_better}
    earlier = before.training or {}
    used.training = {**earlier, ADAPTATIONS: [*earlier.get(ADAPTATIONS, []), entry]}
    return Adapted(used, check)


def _with_data(case: Case, replay: DemonstrationSource | None, demonstrations: DemonstrationSource | None) -> Case:
    """Return a case with its demonstrations, after they are loaded and checked.

    Raises:
        ValueError: They have other spaces than the agent, or fewer episodes than the budget.
    """
    replayed, given = (
        None if source is None else DemonstrationData.of(source() if callable(source) else source)
        for source in (replay, demonstrations)
    )
    for data in (replayed, given):
        if data is not None:
            data.check_spaces(case.agent.observation_space, case.agent.action_space)
    if given is not None and len(given.episodes) < case.budget:
        raise ValueError(
            f"dataset {given.id} has {len(given.episodes)} episodes; the budget is {case.budget}: lower --budget"
        )
    return replace(case, replay=replayed, demonstrations=given)


def delete_checkpoints(run: Run) -> None:
    """Delete the checkpoints of an adaptation that is finished and saved.

    Args:
        run: Run of the adaptation.
    """
    run.delete_checkpoint()
    if run.folder is not None:
        replace(run, folder=run.folder / RESIDUAL).delete_checkpoint()


def _resumed(case: Case) -> Case:
    """Return a case with the state of the last checkpoint, if there is one."""
    state = case.run.restored()
    if state is None:
        # Checkpoints of the residual policy of an earlier adaptation may still be there.
        delete_checkpoints(case.run)
        return case
    return replace(case, first=state["first"], saved=state["method"])


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


def _record(case: Case, method: str) -> JsonObject:
    """Return the record of an adaptation, without its check."""
    return {
        "method": method,
        "settings": case.settings.model_dump(),
        "budget": case.budget,
        "seed": case.seed,
        **_description(case.env),
        "demonstrations": None if case.demonstrations is None else case.demonstrations.checksum,
        "replay": None if case.replay is None else case.replay.checksum,
        "versions": adaptation_versions(method),
        "libraries": library_versions(PACKAGES),
    }


def _description(env: Env) -> JsonObject:
    spec = env.spec
    return {
        "environment": None if spec is None else spec.id,
        "keywords": {} if spec is None else {name: repr(value) for name, value in sorted(spec.kwargs.items())},
    }


def _identity(record: JsonObject, directory: str | Path, home: Env) -> JsonObject:
    """Return what the result of an adaptation depends on."""
    agent = {name: sha256(Path(directory) / name) for name in (DESCRIPTION, WEIGHTS)}
    identity: JsonObject = json.loads(json.dumps({**record, "agent": agent, "home": _description(home)}))
    return identity
