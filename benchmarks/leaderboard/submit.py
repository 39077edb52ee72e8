"""Measure a third-party agent on a suite, and return the results as a submission."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from agents.types import Keywords
from benchmarks.leaderboard.submission import Command, Submission, SubmittedAgent, example_entry
from benchmarks.runner import runner
from benchmarks.runner.results import FAILURES, read_results
from benchmarks.speed.throughput import machine
from benchmarks.suite.fields import problem_of
from benchmarks.suite.schema import AgentKeys
from benchmarks.suite.suite import AgentEntry, Suite, learns, needs_demonstrations
from demos.runtime.engines import Engine


def suite_of_agent(
    suite: Suite,
    agent: str,
    label: str,
    settings: Keywords,
    environments: Sequence[str] = (),
    *,
    allow_pickle: bool = False,
) -> Suite:
    """Return a suite that measures one agent in the environments, conditions and episodes of another suite.

    An agent that learns is trained as the suite trains its own: on the same demonstrations, with the same seeds.

    Args:
        suite: Suite with the environments.
        agent: See :func:`agents.registry.find`.
        label: Name of the agent.
        settings: Settings of the agent.
        environments: Ids of some environments of the suite; by default all of them.
        allow_pickle: True allows archives of Stable-Baselines3, which can hold code.

    Raises:
        ValueError: The suite has no such environment or no demonstrations for it, or the agent is invalid.
    """
    given = {"agent": agent, "label": label, "settings": settings}
    try:
        checked = AgentKeys.model_validate(given, context=allow_pickle)
    except ValidationError as error:
        raise ValueError(problem_of(error)) from error
    trained = learns(agent)
    from_demonstrations = trained and needs_demonstrations(agent)
    if trained and not suite.training_seeds:
        raise ValueError(f"{agent} learns, and suite {suite.name} has no training seeds: submit a trained agent")
    entries = []
    for environment in environments or suite.environments:
        example = example_entry(suite, environment, from_demonstrations=from_demonstrations)
        if environment not in suite.environments:
            raise ValueError(
                f"suite {suite.name} has no environment {environment!r}; expected one of "
                f"{', '.join(suite.environments)}"
            )
        if example is None:
            raise ValueError(f"suite {suite.name} has no demonstrations for {environment}: submit a trained agent")
        entries.append(
            AgentEntry(
                agent=agent,
                label=checked.label,
                settings=checked.settings,
                environments=(environment,),
                demonstrations=example.demonstrations if from_demonstrations else {},
                demonstrators=example.demonstrators,
                env=example.env,
                training_env=example.training_env if trained else {},
                motion=example.motion if trained else None,
            )
        )
    return suite.model_copy(
        update={"agents": tuple(entries), "videos": None, "periodic_eval": None, "extra_agents": (agent,)}
    )


def submit(suite: Suite, agent: SubmittedAgent, command: str, folder: Path, engine: Engine) -> Submission:
    """Measure an agent and return its submission. After an interruption, the same call continues.

    Args:
        suite: Suite of :func:`suite_of_agent`.
        agent: Description of the agent.
        command: Command that measures it.
        folder: Results folder.
        engine: Engine that runs the jobs.

    Raises:
        ValueError: A measurement failed.
    """
    try:
        TypeAdapter(Command).validate_python(command)
    except ValidationError as error:
        raise ValueError(f"the command cannot be stored in a submission: {problem_of(error)}") from error
    runner.run(suite, folder, engine, progress=True)
    failed = runner.failures(folder)
    if failed:
        name, trace = next(iter(failed.items()))
        raise ValueError(
            f"{len(failed)} jobs failed, such as {name}: {trace.strip().splitlines()[-1]}. "
            f"See the tracebacks in {folder / FAILURES}; the same command runs them again"
        )
    _, results = read_results(folder)
    return Submission(agent=agent, suite=suite.name, command=command, machine=machine(), results=tuple(results))
