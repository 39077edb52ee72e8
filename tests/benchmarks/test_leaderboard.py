"""The leaderboard shows what results and submissions have, and runs nothing that they hold."""

from __future__ import annotations

import contextlib
import html
import json
import re
import shlex
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.leaderboard.entries import entries, is_source, read_source
from benchmarks.leaderboard.site import build_site
from benchmarks.leaderboard.submission import MAX_BYTES, Submission, SubmittedAgent, write_submission
from benchmarks.leaderboard.verification import (
    CellVerification,
    Verification,
    verification_path,
    write_verification,
)
from benchmarks.runner.results import read_results
from tests.browser import browsing

from .suites import CORE, part_of_core

HOSTILE = "<img src=x onerror=alert(1)>\"'</script>"


def submission(core: Path, name: str = "Third") -> Submission:
    """Return a submission with the results of an agent of ours."""
    results = tuple(
        replace(result, cell=replace(result.cell, label=name, agent="third:act"))
        for result in read_results(core)[1]
        if result.cell.label == "expert"
    )
    agent = SubmittedAgent(name=name, author=HOSTILE, url="https://example.org/?a=1&b=2", data=HOSTILE)
    return Submission(agent=agent, suite="core", command=HOSTILE, machine={}, results=results)


def verification(submitted: Submission, *, agrees: bool) -> Verification:
    cells = tuple(
        CellVerification(
            name=result.cell.name, seeds=(1000,), test="exact", differing=1 - agrees, p_value=1.0, agrees=agrees
        )
        for result in submitted.results
    )
    return Verification(
        submission=submitted.checksum,
        agent="third:act",
        seed=0,
        share=0.1,
        cells=cells,
        combined_p_value=1.0,
        changes=(),
    )


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published results of two agents, with the videos of one of them."""
    folder = tmp_path_factory.mktemp("leaderboard") / "core"
    part_of_core(folder, {("bc", "LamGrasp-v0"), ("expert", "LamGrasp-v0"), ("expert", "LamReach-v0")})
    shutil.copytree(CORE / "videos", folder / "videos")
    return folder


@pytest.fixture(scope="module")
def site(core: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of the results, and of submissions before and after verification."""
    folder = tmp_path_factory.mktemp("site")
    paths = [core, folder]
    for name, agrees in (("submitted", None), ("verified", True), ("disputed", False)):
        made = submission(core, f"{name} {HOSTILE}" if agrees is None else name)
        paths.append(write_submission(folder / f"{name}.json", made))
        if agrees is not None:
            paths.append(write_verification(verification_path(paths[-1]), verification(made, agrees=agrees)))
    (folder / "speeds.json").write_text("{}")
    built = build_site([*paths, folder / "speeds.json"], folder / "site")
    assert (built.sources, built.cells) == (4, 9)
    assert built.skipped == (folder, folder / "speeds.json")
    return folder / "site"


def test_every_cell_leads_to_a_page_with_its_episodes(site: Path, core: Path) -> None:
    index = (site / "index.html").read_text()
    pages = re.findall(r'class="rate"><a href="([^"]+)"', index)
    assert len(set(pages)) == 9
    page = (site / "cells/core/LamGrasp-v0-bc-100-expert.html").read_text()
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    runs = json.loads(data)["runs"]
    (_, found) = read_results(core)
    own = [result for result in found if result.cell.label == "bc"]
    assert [run["name"] for run in runs] == [f"training seed {seed}" for seed in range(5)]
    for run, result in zip(runs, own, strict=True):
        assert [row[:2] for row in run["rows"]] == [
            [episode.seed, episode.success] for episode in result.evaluation.episodes
        ]
    assert "python -m benchmarks run" in page
    assert "median episode (seed" in page
    for target in re.findall(r'(?:src|href)="((?!https:|data:)[^"]+)"', page):
        assert (site / "cells/core" / target).is_file()
    for target in pages:
        assert (site / target).is_file()


@pytest.mark.parametrize(("suite", "option"), [("core", ""), ("mine", " --suite mine.yaml")])
def test_the_page_of_a_submission_has_the_command_that_verifies_it(
    suite: str, option: str, core: Path, tmp_path: Path
) -> None:
    made = submission(core).model_copy(update={"suite": suite})
    build_site([write_submission(tmp_path / "third.json", made)], tmp_path / "site")
    page = (tmp_path / "site/cells/third/LamGrasp-v0-Third.html").read_text()
    assert f"<code>python -m benchmarks verify third.json --agent AGENT{option}</code>" in page


def test_the_command_that_verifies_has_the_settings_of_the_agent(core: Path, tmp_path: Path) -> None:
    made = submission(core)
    results = tuple(
        replace(each, cell=replace(each.cell, agent="third.zip", settings={"steps": 1, "name": "$(rm) '"}))
        for each in made.results
    )
    path = write_submission(tmp_path / "third.json", made.model_copy(update={"results": results}))
    (entry, *_) = entries([read_source(path)])
    assert shlex.split(entry.verify_command) == [
        *("python", "-m", "benchmarks", "verify", "third.json", "--agent", "AGENT"),
        *("--config", "steps=1", "--config", "name=$(rm) '", "--allow-pickle"),
    ]
    build_site([path], tmp_path / "site")
    page = (tmp_path / "site/cells/third/LamGrasp-v0-Third.html").read_text()
    assert f"<code>{entry.verify_command}</code>" in html.unescape(page)


@pytest.mark.parametrize("begins", [b'{"format":"lam-envs submission",', b"[0,"])
def test_a_file_that_is_too_large_is_not_read(begins: bytes, tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    path.write_bytes(begins)
    with path.open("r+b") as file:
        file.truncate(MAX_BYTES + 1)
    tracemalloc.start()
    try:
        assert is_source(path) == (b"submission" in begins)
        assert tracemalloc.get_traced_memory()[1] < MAX_BYTES / 8
    finally:
        tracemalloc.stop()
    if is_source(path):
        with pytest.raises(ValueError, match=f"expected at most {MAX_BYTES}"):
            read_source(path)


def test_the_page_has_what_it_filters_by(core: Path, tmp_path: Path) -> None:
    found = entries([read_source(core)])
    shown = ("task", "robot", "observation", "demonstrator", "demonstrations")
    assert {tuple(getattr(entry, name) for name in shown) for entry in found} == {
        ("reach", "panda", "state", "none", 0),
        ("grasp", "panda", "state", "none", 0),
        ("grasp", "panda", "state", "expert", 100),
    }
    (learned,) = (entry for entry in found if entry.demonstrations)
    other = replace(
        learned.cell, environment="LamReachPixels-v0", changes={"env": {"robot": "xarm6"}}, env={"instruct": True}
    )
    seen = replace(learned, results=(replace(learned.results[0], cell=other),))
    assert (seen.task, seen.robot, seen.observation) == ("reach", "xarm6", "images, instruction")
    foreign = replace(learned, results=(replace(learned.results[0], cell=replace(other, environment="a.b:Id-v0")),))
    assert (foreign.task, foreign.robot, foreign.observation) == ("a.b:Id-v0", "-", "-")


def test_nothing_that_a_submission_holds_becomes_part_of_the_page(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert "<img" not in text
        assert text.count("<script") == text.count("</script>") <= 2
    index = (site / "index.html").read_text()
    for status in ("measured", "submitted", "verified", "disputed"):
        assert f'<span class="status {status}">' in index
    order = re.findall(r'data-task="reach".* data-status="(\w+)"', index)
    assert order[-1] == "disputed"
    assert len(order) == 4


def test_wrong_sources_are_refused_by_name(core: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    with pytest.raises(FileNotFoundError, match=r"give some, such as results/\*"):
        build_site([tmp_path], out)
    made = submission(core)
    path = write_submission(tmp_path / "third.json", made)
    with pytest.raises(ValueError, match="two sources have the name 'core'"):
        build_site([core, core], out)
    other = write_submission(tmp_path / "other.json", submission(core, "Other"))
    write_verification(verification_path(other), verification(made, agrees=True))
    with pytest.raises(ValueError, match=r"other\.verification\.json is of another submission: verify .* again"):
        build_site([path, other], out)
    wrong = made.model_copy(update={"suite": "experts"})
    with pytest.raises(ValueError, match=r"third\.json is not valid: .* not measured in an environment, condition"):
        build_site([write_submission(path, wrong)], out)
    path.write_text(path.read_text()[:-100])
    with pytest.raises(ValueError, match=r"the submission .*third\.json is damaged"):
        build_site([core, path], out)
    assert not out.exists()
    assert not list(tmp_path.glob(".site*"))


def test_no_file_from_outside_a_results_folder_gets_into_the_site(core: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(core, tmp_path / "core")
    secret = tmp_path / "secret"
    secret.write_text("secret")
    video = folder / "videos" / "LamGrasp-v0-bc-100-expert-seed0-median.mp4"
    video.unlink()
    video.symlink_to(secret)
    with pytest.raises(ValueError, match="leads out of its folder"):
        build_site([folder], tmp_path / "site")


def test_the_command_replaces_only_a_leaderboard(core: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    command = ["leaderboard", str(core), "--out", str(out)]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert CliRunner().invoke(app, command).exit_code == 2
    assert CliRunner().invoke(app, [*command, "--overwrite"]).exit_code == 0
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    done = CliRunner().invoke(app, ["leaderboard", str(core), "--out", str(other), "--overwrite"])
    assert done.exit_code == 2
    assert "is not a leaderboard" in done.output
    assert (other / "thesis.txt").read_text() == "mine"


def test_a_site_with_files_of_others_and_the_working_directory_are_not_replaced(
    core: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "site"
    build_site([core], out)
    monkeypatch.chdir(out)
    with pytest.raises(ValueError, match="is the working directory or contains it"):
        build_site([core], Path("."), overwrite=True)
    monkeypatch.chdir(tmp_path)
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"also holds thesis\.txt: move it"):
        build_site([core], out, overwrite=True)
    assert (out / "thesis.txt").read_text() == "mine"
    assert (out / "index.html").is_file()


def test_no_name_in_a_submission_leads_out_of_the_site(core: Path, tmp_path: Path) -> None:
    made = submission(core)
    (result, *others) = made.results
    cell = replace(result.cell, demonstrations=100, demonstrator="x/../../../../escaped")
    # No check of the demonstrations comes first for a suite that is not in the package.
    forged = made.model_copy(update={"suite": "mine", "results": (replace(result, cell=cell), *others)})
    (tmp_path / "a" / "b").mkdir(parents=True)
    with contextlib.suppress(ValueError):
        build_site([write_submission(tmp_path / "third.json", forged)], tmp_path / "a" / "b" / "site")
    assert not list(tmp_path.rglob("escaped*"))


@pytest.mark.slow
def test_the_pages_work_in_a_browser_wide_and_narrow_light_and_dark(site: Path, tmp_path: Path) -> None:
    shown = "[...board.tBodies[0].rows].filter(row => !row.hidden)"
    with browsing(tmp_path / "profile") as browser:
        papers = set()
        for width in (1400, 400):
            for scheme in ("light", "dark"):
                for page in ("index.html", "cells/core/LamGrasp-v0-bc-100-expert.html"):
                    browser.open(site / page, width=width, scheme=scheme)
                    assert browser.evaluate("document.documentElement.scrollWidth") <= width
                    papers.add(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
                assert browser.evaluate("document.querySelectorAll('.squares i').length") == 1000
                assert browser.evaluate("document.querySelectorAll('video').length") == 2
        assert len(papers) == 2
        browser.evaluate("document.querySelector('.run summary').click()")
        count = "document.querySelectorAll('.scroll tbody tr').length"
        assert browser.evaluate(f"new Promise(done => setTimeout(() => done({count}), 200))") == 200
        browser.open(site / "index.html", width=1400)
        assert browser.evaluate(f"{shown}.length") == 9
        choose = "(name, value) => { filters[name].value = value; filters.dispatchEvent(new Event('input')) }"
        browser.evaluate(f"({choose})('task', 'reach')")
        assert browser.evaluate(f"{shown}.length") == 4
        browser.evaluate(f"({choose})('search', 'DISPUTED')")
        assert browser.evaluate(f"{shown}.length") == 1
        assert browser.evaluate("location.hash") == "#task=reach&search=DISPUTED"
        browser.evaluate("filters.reset()")
        browser.evaluate("board.querySelector('th[data-sort=rate]').click()")
        rates = browser.evaluate(f"{shown}.map(row => Number(row.dataset.rate))")
        assert rates == sorted(rates, reverse=True)
        browser.evaluate("board.querySelector('th[data-sort=rate]').click()")
        rates = browser.evaluate(f"{shown}.map(row => Number(row.dataset.rate))")
        assert rates == sorted(rates)
        browser.evaluate(
            "new Promise(done => { onhashchange = () => setTimeout(done); location.hash = 'status=verified' })"
        )
        assert browser.evaluate(f"{shown}.length") == 2
        assert browser.complaints == []
