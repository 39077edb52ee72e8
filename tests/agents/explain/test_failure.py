"""A monitor predicts failures from the steps so far, is measured on other episodes, and is saved beside the agent."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import agents
import demos
from agents.__main__ import app
from agents.explain.explaining import explain, prepare
from agents.explain.failure.figure import write_figure
from agents.explain.failure.fitting import MonitoredEpisode, auroc, fit, logistic_regression, measure, reliability
from agents.explain.failure.monitor import NAMES, Monitor, inputs_of
from agents.explain.failure.origin import agent_record, check_environment, demonstrations_record, environment_of
from agents.explain.functions import UnavailableError
from agents.explain.live_monitor import live_monitor, saved_monitor
from agents.explain.methods.failure import signals
from agents.explain.monitoring import monitored, predictor
from agents.explain.references import References
from agents.explain.trace import Trace, trace_episode
from agents.training.saving.zoo import zoo_folder

from ...conftest import Make
from ..sequence.small import SMALL

STEPS = 20


def episodes(count: int, seed: int, *, informative: bool = True) -> list[MonitoredEpisode]:
    """Return episodes of which half fail; in these, distance grows."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        failed = bool(rng.random() < 0.5)
        growth = np.linspace(0.0, 1.5, STEPS) if failed and informative else np.zeros(STEPS)
        distance = np.exp(rng.normal(0.0, 0.5, STEPS) + growth)
        found.append(
            MonitoredEpisode(number, (np.exp(rng.normal(0.0, 0.5, STEPS)).tolist(), distance.tolist()), failed)
        )
    return found


def test_failures_are_predicted_and_probabilities_are_calibrated() -> None:
    monitor = fit(episodes(200, 0), STEPS)
    report = measure(monitor, episodes(400, 1))
    assert report["auroc"]["after 100%"] > 0.9
    assert report["auroc"]["after 100%"] > report["auroc"]["after 25%"]
    assert report["expected_calibration_error"] < 0.06
    assert report["warned_failures"] > 2.0 * report["false_alarms"]
    assert report["false_alarms"] < 0.2
    useless = measure(fit(episodes(200, 0, informative=False), STEPS), episodes(400, 1, informative=False))
    assert abs(useless["auroc"]["after 100%"] - 0.5) < 0.1


def test_a_step_is_predicted_without_later_steps() -> None:
    curves = episodes(1, 0)[0].curves
    whole = inputs_of(curves, STEPS)
    np.testing.assert_array_equal(inputs_of([curve[:7] for curve in curves], STEPS), whole[:7])


def test_the_regression_finds_the_weights_that_made_the_data() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20_000, 2))
    outcomes = rng.random(20_000) < 1.0 / (1.0 + np.exp(-(rows @ [1.5, -0.5] + 0.3)))
    weights, bias = logistic_regression(rows, outcomes)
    np.testing.assert_allclose([*weights, bias], [1.5, -0.5, 0.3], atol=0.07)


def test_auroc_and_reliability_are_those_of_their_definitions() -> None:
    outcomes = np.array([True, False, True, False])
    assert auroc(np.array([0.9, 0.1, 0.5, 0.5]), outcomes) == pytest.approx(3.5 / 4)
    table = reliability(np.array([0.95, 1.0, 0.11, 0.15]), outcomes)
    assert [(row["from"], row["steps"], row["observed"]) for row in table] == [(0.1, 2, 0.5), (0.9, 2, 0.5)]


def test_a_monitor_needs_both_outcomes_and_says_what_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 of 1 episodes failed; a monitor needs both outcomes"):
        fit([MonitoredEpisode(0, ([1.0], [1.0]), False)], STEPS)
    with pytest.raises(ValueError, match="false_alarms is 1; expected above 0 and below 1"):
        fit(episodes(4, 0), STEPS, false_alarms=1)
    assert Monitor.load(tmp_path) is None
    monitor = fit(episodes(20, 0), STEPS)
    path = monitor.save(tmp_path)
    assert Monitor.load(tmp_path) == monitor
    path.write_text(path.read_text().replace("distance now", "distance then"))
    with pytest.raises(ValueError, match=r"monitor\.json has other inputs"):
        Monitor.load(tmp_path)
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"monitor\.json is damaged"):
        Monitor.load(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--false-alarms", "1.5"), "--false-alarms 1.5; expected a fraction above 0 and below 1"),
        (("--false-alarms", "0"), "--false-alarms 0; expected a fraction above 0 and below 1"),
        (("--false-alarms", "nan"), "--false-alarms nan; expected a fraction above 0 and below 1"),
        (("--episodes", "0"), "--episodes 0; expected at least 1"),
    ],
)
def test_numbers_of_the_command_are_checked_before_an_agent_is_loaded(
    options: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    command = ["monitor", str(tmp_path / "none"), "--env", "LamReach-v0", *options]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2, refused.output
    assert message in " ".join(refused.stderr.split())


def test_a_file_in_place_of_the_folder_is_refused_before_the_episodes(make: Make, tmp_path: Path) -> None:
    folder = agents.make("bc", make("LamReach-v0"), hidden_sizes=[8]).save(tmp_path / "agent")
    (tmp_path / "notes").write_text("mine")
    for out in ("notes", "notes/monitor"):
        command = ["monitor", str(folder), "--env", "LamReach-v0", "--out", str(tmp_path / out)]
        refused = CliRunner().invoke(app, command)
        assert refused.exit_code == 2, refused.output
        assert "notes is a file: choose a folder for the monitor by --out" in " ".join(refused.stderr.split())


def test_explanations_show_the_predicted_failure(datasets: Any, make: Make, tmp_path: Path) -> None:
    root, ids = datasets
    dataset, env = demos.load(ids["LamReach-v0"], root), make("LamReach-v0", max_episode_steps=6)
    agent = agents.make("bc", env, hidden_sizes=[8], ensemble_size=2)
    agent.learn(dataset, env, seed=0, budget=1)
    references = References(dataset)
    found = monitored(
        lambda seed: prepare(agent, env, trace_episode(agent, env, seed), references, {}), range(600000, 600002)
    )
    assert [episode.seed for episode in found] == [600000, 600001]
    assert all(len(curve) == 6 for curve in found[0].curves)
    monitor = fit([MonitoredEpisode(0, found[0].curves, True), MonitoredEpisode(1, found[1].curves, False)], 6)
    content = explain(agent, env, seed=600000, demonstrations=dataset, methods=["failure"], monitor=monitor).content[
        "explanations"
    ]["failure"]
    np.testing.assert_allclose(content["steps"], monitor.probabilities(found[0].curves), atol=1e-5)
    assert content["facts"]["usual"] == pytest.approx(monitor.threshold, abs=1e-5)
    without = explain(agent, env, seed=600000, demonstrations=dataset, methods=["failure"]).content
    assert "fit one with `python -m agents monitor`" in without["explanations"]["failure"]["unavailable"]
    write_figure(measure(monitor, found), tmp_path / "monitor.png")
    assert (tmp_path / "monitor.png").stat().st_size > 1000


def test_long_episodes_are_monitored_at_all_steps_though_the_page_shows_every_second(
    datasets: Any, make: Make
) -> None:
    steps, limit = 250, 180
    root, ids = datasets
    dataset, env = demos.load(ids["LamReach-v0"], root), make("LamReach-v0", max_episode_steps=steps)
    agent = agents.make("bc", env, hidden_sizes=[8], ensemble_size=2)
    agent.learn(dataset, env, seed=0, budget=1)
    trace = trace_episode(agent, env, 600000)
    references = References(dataset)
    (found,) = monitored(lambda _: prepare(agent, env, trace, references, {}), [600000])
    assert [len(curve) for curve in found.curves] == [steps, steps]
    # The monitor knows the elapsed time alone, and warns from the step with index 180 on.
    weights = [100.0 if name == "elapsed" else 0.0 for name in NAMES]
    nothing = [0.0] * len(NAMES)
    monitor = Monitor(nothing, [1.0] * len(NAMES), weights, -100.0 * (limit + 0.5) / steps, 0.5, horizon=steps)
    assert measure(monitor, [replace(found, failed=True)])["median_first_warning"] == limit
    content = explain(agent, env, seed=600000, demonstrations=dataset, methods=["failure"], monitor=monitor).content
    shown = content["explanations"]["failure"]["steps"]
    assert content["explained"] == list(range(0, steps, 2))
    live = live_monitor(agent, env, monitor, dataset)
    running = [live(*seen) for seen in zip(trace.observations, trace.memories, strict=True)]
    np.testing.assert_allclose(shown, running[::2], atol=1e-5)


def test_a_single_discrete_policy_cannot_be_monitored(make: Make, datasets: Any) -> None:
    env = make("LamReachDiscrete-v0", max_episode_steps=3)
    agent = agents.make("bc", env, hidden_sizes=[8])
    references = References(demos.load(datasets[1]["LamReach-v0"], datasets[0]))
    with pytest.raises(UnavailableError, match="give an ensemble"):
        monitored(lambda seed: prepare(agent, env, trace_episode(agent, env, seed), references, {}), [0])


@pytest.mark.parametrize(
    ("name", "settings"), [("bc", {"hidden_sizes": [8], "ensemble_size": 2}), ("act", SMALL["act"])]
)
def test_a_running_episode_is_predicted_as_after_it(
    name: str, settings: dict[str, Any], datasets: Any, make: Make
) -> None:
    root, ids = datasets
    dataset, env = demos.load(ids["LamReach-v0"], root), make("LamReach-v0", max_episode_steps=9)
    agent = agents.make(name, env, **settings)
    agent.learn(dataset, env, seed=0, budget=1)
    traces = [trace_episode(agent, env, seed) for seed in (600000, 600001)]
    curves = [signals(prepare(agent, env, trace, References(dataset), {})) for trace in traces]
    monitor = fit([MonitoredEpisode(0, curves[0], True), MonitoredEpisode(1, curves[1], False)], 9)
    live = live_monitor(agent, env, monitor, dataset)
    assert live.threshold == monitor.threshold
    for trace, expected in zip(traces, curves, strict=True):
        live.restart()
        found = [live(*seen) for seen in zip(trace.observations, trace.memories, strict=True)]
        np.testing.assert_allclose(found, monitor.probabilities(expected), rtol=1e-9)


def test_what_cannot_be_monitored_while_it_acts_is_refused(make: Make, datasets: Any, tmp_path: Path) -> None:
    root, ids = datasets
    dataset, env, monitor = demos.load(ids["LamReach-v0"], root), make("LamReach-v0"), fit(episodes(20, 0), STEPS)
    with pytest.raises(UnavailableError, match="agent expert is a program that reads the simulator's state"):
        live_monitor(agents.make("expert", env), env, monitor, dataset)
    with pytest.raises(ValueError, match="observation"):
        live_monitor(agents.make("bc", env), env, monitor, demos.load(ids["LamGrasp-v0"], root))
    with pytest.raises(
        FileNotFoundError, match=r"there is no monitor in .*: fit one with `python -m agents monitor`"
    ):
        saved_monitor(tmp_path)


FITTED = ("bc/LamReach-v0", "--env", "LamReach-v0", "--env-kwargs", "max_episode_steps=8")
"""Agent and environment in which some episodes from seed 700003 on fail."""


def command(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_a_monitor_is_used_with_what_it_was_fitted_with_in_any_working_directory(
    datasets: Any, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, ids = datasets
    monkeypatch.chdir(tmp_path)
    shutil.copytree(zoo_folder() / "bc" / "LamReach-v0", "member")
    agent, of_reach = ("--monitor", tmp_path / "monitor"), ("--root", root, "--demos", ids["LamReach-v0"])
    ensemble = ("--ensemble", "member", "--ensemble", "bc/LamReach-v0")
    fit_options = ("--episodes", 2, "--seed", 700003, "--out", "monitor")
    fitted = command("monitor", *FITTED, *fit_options, *of_reach, *ensemble)
    assert fitted.exit_code == 0, fitted.output
    origin = saved_monitor("monitor").origin
    assert origin["ensemble"] == [str(tmp_path / "member"), "bc/LamReach-v0"]
    assert (origin["environment"], origin["keywords"]) == ("LamReach-v0", {"task": "reach"})
    assert (origin["agent"], len(origin["weights"]), origin["demonstrations"]) == ("bc", 64, ids["LamReach-v0"])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    done = command("explain", *FITTED, *agent, "--root", root, "--method", "failure", "--out", "page.html")
    assert done.exit_code == 0, done.output
    assert "not available" not in done.output
    env = make("LamReach-v0")
    policy = agents.load(zoo_folder() / "bc" / "LamReach-v0", env)
    assert (
        predictor(tmp_path / "monitor", None, root, policy, env).threshold
        == saved_monitor(tmp_path / "monitor").threshold
    )
    demos.collect("LamReach-v0", episodes=2, seed=8, root=tmp_path / "root", dataset_id="lam/other-v0")
    other = str(tmp_path / "root" / "lam" / "other-v0")
    refused = command("explain", *FITTED, *agent, "--demos", other, "--out", "page.html")
    expected = f"is dataset lam/other-v0: the monitor was fitted with {ids['LamReach-v0']}"
    assert refused.exit_code == 2
    assert expected in " ".join(refused.output.split())
    with pytest.raises(ValueError, match=expected):
        predictor(tmp_path / "monitor", other, root, policy, env)
    demos.collect("LamReach-v0", episodes=2, seed=8, root=tmp_path / "again", dataset_id=ids["LamReach-v0"])
    refused = command("explain", *FITTED, *agent, "--root", tmp_path / "again", "--out", "page.html")
    assert refused.exit_code == 2
    checksum = origin["demonstrations_checksum"][:12]
    expected = f"fitted with demonstrations {ids['LamReach-v0']} (checksum {checksum}...); these are"
    assert expected in " ".join(refused.output.split())
    another = agents.make("bc", env, hidden_sizes=[8])
    folder = another.save(tmp_path / "another")
    refused = command("explain", folder, *FITTED[1:], *agent, "--root", root, "--out", "page.html")
    weights = origin["weights"][:12]
    expected = f"the monitor was fitted to agent 'bc' (weights SHA-256 {weights}...); this agent is 'bc' (weights"
    assert refused.exit_code == 2
    assert expected in " ".join(refused.output.split())
    with pytest.raises(ValueError, match=re.escape(expected)):
        predictor(tmp_path / "monitor", None, root, another, env)
    delayed = make("LamReach-v0", randomize={"action_delay": [2, 2]})
    with pytest.raises(
        ValueError, match="fitted in LamReach-v0 task=reach; this environment is LamReach-v0 randomize="
    ):
        predictor(tmp_path / "monitor", None, root, policy, delayed)


def test_a_monitor_belongs_to_its_environment_but_not_to_rendering_and_the_time_limit(
    datasets: Any, make: Make
) -> None:
    env, dataset = make("LamReach-v0"), demos.load(datasets[1]["LamReach-v0"], datasets[0])
    monitor = replace(fit(episodes(20, 0), STEPS), origin=environment_of(env))
    check_environment(monitor, make("LamReach-v0", render_mode="rgb_array", render_width=64, max_episode_steps=7))
    check_environment(replace(monitor, origin={}), make("LamGrasp-v0"))
    delayed = make("LamReach-v0", randomize={"action_delay": (2, 2)}, max_episode_steps=2)
    check_environment(
        replace(monitor, origin=environment_of(delayed)), make("LamReach-v0", randomize={"action_delay": [2, 2]})
    )
    agent = agents.make("bc", env, hidden_sizes=[8], ensemble_size=2)
    with pytest.raises(ValueError, match="the monitor was fitted in LamReach-v0 task=reach; this environment is"):
        explain(agent, delayed, seed=0, demonstrations=dataset, monitor=monitor)
    with pytest.raises(ValueError, match="the monitor was fitted in LamReach-v0 task=reach; this environment is"):
        live_monitor(agent, delayed, monitor, dataset)
    explain(agent, delayed, seed=0, demonstrations=dataset, methods=["distance"], monitor=monitor)


def test_a_monitor_belongs_to_its_agent_and_its_demonstrations(datasets: Any, make: Make, tmp_path: Path) -> None:
    env, dataset = make("LamReach-v0", max_episode_steps=2), demos.load(datasets[1]["LamReach-v0"], datasets[0])
    agent = agents.make("bc", env, hidden_sizes=[8], ensemble_size=2)
    origin = {**agent_record(agent), **demonstrations_record(References(dataset).data)}
    monitor = replace(fit(episodes(20, 0), STEPS), origin=origin)
    agent.predict(env.reset(seed=0)[0])
    loaded = agents.load(agent.save(tmp_path / "agent"), env)
    assert live_monitor(loaded, env, monitor, dataset).threshold == monitor.threshold
    explain(loaded, env, seed=0, demonstrations=dataset, methods=["failure"], monitor=monitor)
    other = agents.make("bc", env, hidden_sizes=[8], ensemble_size=2)
    other.learn(dataset, env, seed=0, budget=1)
    others = demos.collect("LamReach-v0", episodes=2, seed=8, root=tmp_path)
    for known, compared, message in (
        (other, dataset, r"the monitor was fitted to agent 'bc' \(weights SHA-256"),
        (agent, others, rf"the monitor was fitted with demonstrations {dataset.id} \(checksum"),
    ):
        with pytest.raises(ValueError, match=message):
            live_monitor(known, env, monitor, compared)
        with pytest.raises(ValueError, match=message):
            explain(known, env, seed=0, demonstrations=compared, methods=["failure"], monitor=monitor)
        explain(known, env, seed=0, demonstrations=compared, methods=["distance"], monitor=monitor)
    assert agent_record(agents.make("expert", env)) == {}


def test_demonstrations_of_another_task_are_refused_before_the_episodes(
    inserting: tuple[Path, str], make: Make, tmp_path: Path
) -> None:
    env, dataset = make("LamPickPlace-v0"), demos.load(inserting[1], inserting[0])
    agent = agents.make("bc", env, hidden_sizes=[8], ensemble_size=2)
    folder = agent.save(tmp_path / "agent")
    options = ("--env", "LamPickPlace-v0", "--root", inserting[0], "--demos", dataset.id)
    refused = command("monitor", folder, *options)
    expected = "shows the task insert; this environment has the task pick_place"
    assert refused.exit_code == 2, refused.output
    assert expected in " ".join(refused.output.split())
    with pytest.raises(ValueError, match=expected):
        live_monitor(agent, env, fit(episodes(20, 0), STEPS), dataset)


def test_equal_outcomes_are_refused_before_the_episodes_of_the_evaluation(
    datasets: Any, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, ids = datasets
    seeds: list[int] = []

    def noted(agent: Any, env: Any, seed: int) -> Trace:
        seeds.append(seed)
        return trace_episode(agent, env, seed)

    monkeypatch.setattr("agents.explain.trace.trace_episode", noted)
    folder = agents.make("bc", make("LamReach-v0"), hidden_sizes=[8], ensemble_size=2).save(tmp_path / "agent")
    options = ("--env", "LamReach-v0", "--env-kwargs", "max_episode_steps=2", "--episodes", 3, "--seed", 700000)
    refused = command("monitor", folder, *options, "--root", root, "--demos", ids["LamReach-v0"])
    assert refused.exit_code == 2, refused.output
    assert "3 of 3 episodes failed; a monitor needs both outcomes" in " ".join(refused.output.split())
    assert seeds == [700000, 700001, 700002]
