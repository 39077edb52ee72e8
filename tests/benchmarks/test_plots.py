"""Plots show what the results say: where a look was taken, and each number of demonstrations for itself."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.analysis.tables import conditions_of, names, rows, success_by_condition
from benchmarks.reports import plots
from benchmarks.runner.results import CellResult
from benchmarks.runner.training import Curve

from .suites import published


def trained(label: str, done: tuple[float, ...], unit: str) -> CellResult:
    """A published training, as if it had been watched like this."""
    result = next(one for one in published("core")[1] if one.cell.label == label and one.training is not None)
    assert result.training is not None
    curve = Curve(unit, 10, done, tuple(0.1 for _ in done))
    return dataclasses.replace(result, training=dataclasses.replace(result.training, curve=curve))


def test_a_look_stands_where_it_was_taken_and_the_end_is_the_measurement() -> None:
    clone = trained("bc", (50.0, 100.0), "epochs")
    assert plots.learning_curve(clone) == ([0.5, 1.0], [0.1, clone.evaluation.success_rate])
    train_from_scratch = trained("dqfd", (1000.0, 2000.0), "steps")
    assert train_from_scratch.training is not None
    total = train_from_scratch.training.environment_steps
    end = train_from_scratch.evaluation.success_rate
    assert plots.learning_curve(train_from_scratch) == ([1000.0 / total, 2000.0 / total, 1.0], [0.1, 0.1, end])
    assert plots.learning_curve(trained("bc", (), "epochs")) is None


def test_numbers_of_demonstrations_are_not_mixed_under_conditions_nor_in_curves() -> None:
    clone = trained("bc", (50.0, 100.0), "epochs")
    results = [
        dataclasses.replace(clone, cell=dataclasses.replace(clone.cell, demonstrations=count, condition=condition))
        for count in (10, 20)
        for condition in ("as trained", "noise")
    ]
    table = rows(results)
    assert set(names(table)) == {"bc, 10", "bc, 20", "bc, 10, noise", "bc, 20, noise"}
    conditions = conditions_of(table, {"conditions": {"noise": {}, "as trained": {}, "not measured": {}}})
    assert conditions == ["as trained", "noise"]
    [(_, agents)] = success_by_condition(table, conditions)
    shown = {name: [None if row is None else row.demonstrations for row in own] for name, own in agents}
    assert shown == {"bc, 10": [10, 10], "bc, 20": [20, 20]}
    for draw in (lambda: plots.learning_curves(results, "noise"), lambda: plots.robustness(table, conditions)):
        figure = draw()
        assert figure is not None
        assert {text.get_text() for text in figure.legends[0].get_texts()} == {"bc, 10", "bc, 20"}


def test_under_conditions_the_same_agent_is_at_the_same_place_in_every_panel() -> None:
    suite, results = published("robustness")
    table = rows(results)
    best = {row.environment: row.agent for row in reversed(table)}
    assert len(set(best.values())) > 1
    figure = plots.robustness(table, list(suite["conditions"]))
    assert figure is not None
    orders = [tuple(axes.get_legend_handles_labels()[1]) for axes in figure.axes if axes.get_title(loc="left")]
    assert set(orders) == {tuple(text.get_text() for text in figure.legends[0].get_texts())}
    assert len(orders) == len(best)


def test_bars_of_the_same_color_have_different_patterns() -> None:
    suite, results = published("generalist")
    figure = plots.robustness(rows(results), list(suite["conditions"]))
    assert figure is not None
    bars, labels = figure.axes[0].get_legend_handles_labels()
    looks = {label: (bar[0].get_facecolor(), bar[0].get_hatch()) for bar, label in zip(bars, labels, strict=True)}
    assert looks["lam with ten tasks"][0] == looks["one mlp"][0]
    assert len(set(looks.values())) == len(labels)


def test_a_legend_of_long_names_stays_on_the_paper() -> None:
    labels = [f"an-agent-with-a-name-that-is-long-{number}" for number in range(9)]
    clone = trained("bc", (50.0, 100.0), "epochs")
    figure = plots.learning_curves(
        [dataclasses.replace(clone, cell=dataclasses.replace(clone.cell, label=label)) for label in labels],
        "as trained",
    )
    assert figure is not None
    [legend] = figure.legends
    assert {text.get_text() for text in legend.get_texts()} == set(labels)
    assert 0 < legend.get_window_extent().width <= figure.bbox.width


@pytest.mark.parametrize("suite", ["language", "generalist", "core"])
def test_bars_have_room_beside_long_names(suite: str) -> None:
    figure = plots.success(rows(published(suite)[1]))
    figure.draw_without_rendering()
    assert all(axes.get_window_extent().width / figure.dpi > 1.2 for axes in figure.axes if axes.axison)


@pytest.mark.parametrize("label", ["bc", "dqfd", "gail", "dqn"])
def test_every_published_curve_ends_with_its_training(label: str) -> None:
    found = [plots.learning_curve(one) for one in published("core")[1] if one.cell.label == label]
    assert found
    for grown in found:
        assert grown is not None
        shares, _ = grown
        assert shares == sorted(set(shares))
        assert shares[-1] == 1.0
        assert shares[-2] == pytest.approx(0.9, abs=0.06)
