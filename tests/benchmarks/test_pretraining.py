"""Suites pre-train encoders before the trainings that start from them, and know when they are outdated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import agents
from agents.pretraining.encoder import PretrainedEncoder
from agents.pretraining.methods.time_contrastive import TimeContrastive
from benchmarks.reports import report as reports
from benchmarks.runner import runner
from benchmarks.runner.encoders import EncoderJob, read_stored
from benchmarks.runner.results import read_results
from benchmarks.suite.suite_file import read_suite
from demos.runtime.engines import LocalEngine

from .suites import written

SMALL: dict[str, Any] = {
    "width": 8,
    "heads": 2,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "epochs": 1,
    "batch_size": 32,
}
DATA = [{"environments": ["LamReachPixels-v0"], "demonstrations": 1, "demonstrator": ["random", "novice"]}]
PLAN: dict[str, Any] = {
    "method": "time-contrastive",
    "datasets": DATA,
    "settings": {"epochs": 1, "width": 8, "batch_size": 16},
    "freeze": True,
}
ONLY: dict[str, Any] = {
    "environments": ["LamReachPixels-v0"],
    "env": {"image_width": 24, "image_height": 24},
    "demonstrations": [1, 2],
    "training_seeds": [0],
    "evaluation": {"first_seed": 1000, "episodes": 1},
    "videos": None,
    "periodic_eval": None,
}


def agent(**changes: Any) -> dict[str, Any]:
    return {"agent": "act", "label": "act pre-trained", "settings": SMALL, "pretraining": {**PLAN, **changes}}


@pytest.mark.slow
def test_an_encoder_is_pretrained_once_for_the_trainings_that_start_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = read_suite(written(tmp_path, agents=[{"agent": "act", "settings": SMALL}, agent()], **ONLY))
    todo = runner.missing(suite, tmp_path / "out")
    assert (len(todo.datasets), len(todo.encoders), len(todo.trainings), len(todo.cells)) == (4, 1, 4, 4)
    folder = runner.run(suite, tmp_path / "out", LocalEngine(1))
    assert runner.failures(folder) == {}
    assert runner.missing(suite, folder).names() == []
    (job,) = todo.encoders
    encoder = PretrainedEncoder.load(folder / job.path)
    stored = read_stored(folder, job)
    assert len(stored.seeds_of_demonstrations) == 2
    for training in todo.trainings:
        env_id, keywords = training.environments[0]
        env = agents.evaluation.evaluation.make_env(env_id, **keywords)
        learned = agents.load(folder / training.path, env)
        env.close()
        assert ("encoder" in learned.training) == (training.pretraining is not None)
        if training.pretraining is not None:
            assert learned.training["encoder"]["checksum"] == encoder.checksum
            assert learned.settings.freeze_encoder
    versions = {result.cell.label: result.provenance.versions for result in read_results(folder)[1]}
    assert versions["act pre-trained"]["pretraining time-contrastive"] == 1
    assert "pretraining time-contrastive" not in versions["act"]
    report = next(file for file in reports.report(folder) if file.name == "report.md").read_text()
    assert "frozen encoder by time-contrastive on 2 episodes" in report
    # Other settings or another version outdate the agents that start from an encoder, and no others.
    changed = read_suite(
        written(
            tmp_path,
            agents=[{"agent": "act", "settings": SMALL}, agent(settings={**PLAN["settings"], "window": 3})],
            **ONLY,
        )
    )
    assert {cell.cell.label for cell in runner.missing(changed, folder).cells} == {"act pre-trained"}
    monkeypatch.setattr(TimeContrastive, "version", 2)
    outdated = runner.missing(suite, folder)
    assert {cell.cell.label for cell in outdated.cells} == {"act pre-trained"}
    assert [each.key != job.key for each in outdated.encoders] == [True]


def test_equal_pretraining_and_seed_share_an_encoder(tmp_path: Path) -> None:
    frozen, tuned = agent(), {**agent(freeze=False), "label": "fine-tuned"}
    suite = read_suite(written(tmp_path, agents=[frozen, tuned], **{**ONLY, "training_seeds": [0, 1]}))
    todo = runner.missing(suite, tmp_path / "out")
    assert (len(todo.encoders), len(todo.trainings)) == (2, 8)
    assert len({EncoderJob.of(*[p for p in [cell.pretraining] if p], 0).key for cell in suite.cells()}) == 1


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (agent(method="r3m"), "found 'r3m'; expected 'time-contrastive', 'masked-reconstruction' or"),
        (agent(settings={"window": 0}), "setting window of method time-contrastive is 0; expected at least 1"),
        (agent(datasets=[]), "at least one item"),
        (agent(datasets=2 * DATA), "the dataset LamReachPixels-.*-random-1-seed0-v0 is listed twice"),
        ({**agent(), "agent": "gail"}, "gail has no setting encoder: remove pretraining"),
        ({**agent(), "settings": {**SMALL, "encoder": "runs/e"}}, "give encoder or freeze_encoder by pretraining"),
        ({**agent(), "settings": {"encoder": "runs/e", "freeze_encoder": True}}, "give encoder or freeze_encoder"),
    ],
)
def test_an_invalid_pretraining_is_refused(entry: Any, message: str, tmp_path: Path) -> None:
    changes = {**entry, "settings": {} if entry["agent"] == "gail" else entry["settings"]}
    with pytest.raises(ValueError, match=message):
        read_suite(written(tmp_path, agents=[changes], **ONLY))
