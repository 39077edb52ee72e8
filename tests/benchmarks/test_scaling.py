"""The rate of trainings of lam is measured by weights, processes and precision, also on a GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.speed.scaling import MODELS, cases
from docs.model_scaling import gpu, large_model

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(900)  # each figure has a process of its own, which imports PyTorch
def test_rates_are_measured_and_written_and_give_the_tables_of_the_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, model in enumerate(MODELS, start=1):
        monkeypatch.setitem(MODELS, model, (16 * number, 2))
    out = tmp_path / "scaling.json"
    command = ["scaling", "--episodes", "1", "--batch-size", "4", "--seconds", "0.1", "--minutes", "30"]
    done = CliRunner().invoke(app, [*command, "--out", str(out)])
    assert done.exit_code == 0, done.output
    content = json.loads(out.read_text())
    assert (content["device"], content["batch_size"]) == ("cpu", 4)
    figures = {figure["what"]: figure["value"] for figure in content["figures"]}
    assert all(value > 0.0 for value in figures.values())
    assert sum(name.startswith("training, ") for name in figures) == 6
    assert large_model(out).count("million |") == 9


def test_the_models_have_about_10_and_100_times_the_weights() -> None:
    content = json.loads((ROOT / "results" / "scaling.json").read_text())
    figures = {figure["what"]: figure["value"] for figure in content["figures"]}
    one, ten, hundred = (figures[f"weights, model {model}"] for model in MODELS)
    assert 5.0 < ten / one < 20.0
    assert 50.0 < hundred / one < 200.0


@pytest.mark.slow
@pytest.mark.timeout(900)  # as above
def test_a_measurement_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for model in MODELS:
        monkeypatch.setitem(MODELS, model, (16, 2))
    out = tmp_path / "scaling.json"
    command = ["scaling", "--episodes", "1", "--batch-size", "2", "--seconds", "0.01", "--minutes", "0.01"]
    done = CliRunner().invoke(app, [*command, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert not any(each["what"].startswith("training") for each in json.loads(out.read_text())["figures"])


def test_a_gpu_is_measured_with_both_precisions_and_two_sizes_of_minibatches() -> None:
    found = cases("cuda", 256, 2)
    assert len(found) == 12
    assert {(case.batch_size, case.precision) for case in found} == {
        (size, precision) for size in (256, 4096) for precision in ("float32", "bfloat16")
    }
    assert {case.processes for case in found} == {1}
    assert [case.processes for case in cases("cpu", 256, 2)] == 3 * [1, 2]


def test_the_table_of_a_gpu_says_what_was_not_measured(tmp_path: Path) -> None:
    on_cpu, on_gpu = (ROOT / "results" / name for name in ("scaling.json", "scaling-gpu.json"))
    content = json.loads(on_gpu.read_text())
    assert content["gpu"] in gpu(on_gpu, on_cpu)
    missing = "training, model 100x, batch 4096, cuda, float32, 1 process"
    content["figures"] = [figure for figure in content["figures"] if figure["what"] != missing]
    less = tmp_path / "less.json"
    less.write_text(json.dumps(content))
    rows = [line for line in gpu(less, on_cpu).splitlines() if "million |" in line]
    assert [row.split(" | ")[3] == "not measured" for row in rows] == [False, False, True]


def test_invalid_arguments_are_refused() -> None:
    for given, message in (
        (["--device", "tpu"], "device is 'tpu'; expected one of cpu, cuda"),
        (["--seconds", "0"], "expected at least 1 each, and more than 0 seconds"),
    ):
        done = CliRunner().invoke(app, ["scaling", *given])
        assert done.exit_code == 2
        assert message in " ".join(done.stderr.split())


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_reported() -> None:
    done = CliRunner().invoke(app, ["scaling", "--device", "cuda"])
    assert done.exit_code == 2
    assert "PyTorch finds no GPU" in done.stderr
