"""Reports: one page that needs nothing else, says what is not there, and trusts no text of a dataset."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import imageio.v2 as imageio
import minari
import numpy as np
import pytest
from PIL import Image

import demos
from demos.collection.recording import record, replay_steps
from demos.datasets.checksum import checksum
from demos.datasets.episode import Episode
from demos.datasets.writing import dataset_writer
from demos.human.video import frames_of
from demos.report import clips, contents, report
from demos.report.recording_page import _images_at
from tests.browser import browsing

SECTIONS = ("glance", "videos", "episodes", "coverage", "paths", "actions", "provenance")
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'"
PLOTS = "svg:not(.key), canvas, video, img"


def page_of(dataset: minari.MinariDataset, out: Path, **kwargs: Any) -> str:
    return report(dataset, out, **kwargs).read_text()


@pytest.fixture
def short_videos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show seven steps of an episode in videos: rendering takes most of the time of a report."""
    monkeypatch.setattr(clips, "SIZE", 64)
    monkeypatch.setattr(clips, "MAX_FRAMES", 6)


def shown_paths(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert found is not None
    paths: dict[str, Any] = json.loads(found[1])
    return paths


def foreign(env: gym.Env[Any, Any], monkeypatch: pytest.MonkeyPatch, root: Path) -> minari.MinariDataset:
    """A dataset that Minari wrote itself, without a word of ours."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    buffers = []
    for seed in range(3):
        env.action_space.seed(seed)
        actions = [env.action_space.sample() for _ in range(30)]
        buffers.append(record(env, replay_steps(env, actions, seed), seed).to_buffer())
    env.close()
    return minari.create_dataset_from_buffers("foreign/test-v0", buffers, env=env, algorithm_name="random")


@pytest.fixture
def grasps(datasets: Any) -> minari.MinariDataset:
    root, ids = datasets
    return demos.load(ids["LamGrasp-v0"], root)


def test_the_page_of_a_recording_shows_the_video_frame_that_is_nearest_in_time(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    with imageio.get_writer(path, fps=25, macro_block_size=2) as writer:
        for shade in range(6):
            writer.append_data(np.full((48, 64, 3), 40 * shade, dtype=np.uint8))
    # A track of another rate, whose first frames have no hand, and which goes on after the video.
    images = _images_at(np.array([0.05, 0.075, 0.083, 0.16, 9.0]), frames_of(path))
    decoded = [Image.open(io.BytesIO(base64.b64decode(image.partition(",")[2]))) for image in images]
    shades = [np.asarray(image).mean() for image in decoded]
    assert shades == pytest.approx([40, 80, 80, 160, 200], abs=4)


@pytest.mark.usefixtures("short_videos")
def test_a_page_has_every_section_and_loads_nothing(datasets: Any, tmp_path: Path) -> None:
    root, ids = datasets
    page = page_of(demos.load(ids["LamReach-v0"], root), tmp_path / "new" / "reach.html")
    for name in SECTIONS:
        assert f'<h2 id="{name}">' in page
    assert not re.search(r"""(?:src|href|poster)=(?!"data:)|url\(|@import""", page)
    assert not re.search(r"https?://", page)
    assert "default-src 'none'" in html.unescape(page)
    assert "unsafe" not in page
    assert page.count('<video src="data:video/mp4;base64,') == 3
    thumbnails = re.findall(r"data:image/jpeg;base64,([^\"]+)", page)
    assert len(thumbnails) == 3 * (6 + 1)
    image = Image.open(io.BytesIO(base64.b64decode(thumbnails[0])))
    expected = io.BytesIO()
    image.save(expected, "jpeg", quality=80)
    assert image.quantization == Image.open(expected).quantization, "JPEG quality 80"
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["reach.html"]


@pytest.mark.slow
@pytest.mark.usefixtures("short_videos")
def test_the_same_dataset_gives_the_same_page(datasets: Any, tmp_path: Path) -> None:
    root, ids = datasets
    folder = demos.load(ids["LamReach-v0"], root).storage.data_path
    copy = Path(shutil.copytree(folder, tmp_path / "elsewhere" / "data"))
    first, second = (minari.MinariDataset(demos.load(place).storage, np.array([2])) for place in (folder, copy))
    page = page_of(first, tmp_path / "a.html")
    assert page.count("<video") == 1
    assert page == page_of(second, tmp_path / "b.html")


def test_a_page_says_how_demonstrators_and_strategies_fare(tmp_path: Path) -> None:
    dataset = demos.collect(
        "LamReach-v0", episodes=12, demonstrator="mixed", strategy="all", keep_failures=True, root=tmp_path / "data"
    )
    page = page_of(dataset, tmp_path / "page.html", videos=False)
    plan = demos.plan_of(dataset)
    names = [plan["qualities"][int(episode.infos["quality"][0])] for episode in dataset.iterate_episodes()]
    for name in set(names):
        row = rf'<span class="kind">demonstrator</span> {name}</th><td>{names.count(name)}</td>'
        assert re.search(row, page)
    successes = sum(bool(episode.infos["is_success"][-1]) for episode in dataset.iterate_episodes())
    assert f"{successes} of 12; 95% interval" in page
    paths = shown_paths(page)
    assert paths["groupings"]["demonstrator"] == names
    assert paths["groupings"]["outcome"].count("succeeded") == successes
    assert "Videos were not requested." in page


def test_paths_and_starts_are_where_the_tool_was(grasps: Any, tmp_path: Path) -> None:
    page = page_of(grasps, tmp_path / "page.html", videos=False)
    paths = shown_paths(page)
    env: Any = demos.make_env(grasps).unwrapped
    for number, episode in enumerate(grasps.iterate_episodes()):
        points = np.reshape(paths["points"][number], (-1, 3))
        assert points.shape == (61, 3)
        for moment in (0, 30, 60):
            tool = env.features(episode.observations[moment])["tool/position"]
            assert points[moment] == pytest.approx(1000 * tool, abs=0.51)
    assert "object: cent" in page
    assert "initial positions of objects" in page
    env.close()


@pytest.mark.parametrize(
    ("env_id", "texts"),
    [
        ("LamReachGoal-v0", ["goal: desired position of the tool", "goal positions", "along x (1 = 2 cm)"]),
        ("LamReachPixels-v0", ["goal: desired position of the tool", "front: uint8 of shape (84, 84, 3)", "<video"]),
        ("LamGraspDiscrete-v0", ["close the gripper", "hold still", "object: cent"]),
        pytest.param("LamStack-v0", ["base: cent"], marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("short_videos")
def test_every_kind_of_environment_has_a_report(env_id: str, texts: list[str], tmp_path: Path) -> None:
    dataset = demos.collect(env_id, episodes=2, root=tmp_path / "data")
    page = page_of(dataset, tmp_path / "page.html", videos="Pixels" in env_id)
    for text in texts:
        assert text in page
    for missing in ("are not known", "No figure"):
        assert missing not in page
    assert len(shown_paths(page)["points"]) == 2


@pytest.mark.parametrize(
    ("control", "number", "count"),
    [("ee_yaw", "turn of the hand (1 = 0.1 rad)", 5), ("joint", "turn of joint 7 (1 = 0.05 rad)", 8)],
)
def test_the_numbers_of_an_action_have_names(control: str, number: str, count: int, tmp_path: Path) -> None:
    dataset = demos.collect("LamReach-v0", episodes=1, env_kwargs={"control": control}, root=tmp_path / "data")
    page = page_of(dataset, tmp_path / "page.html", videos=False)
    assert f"<h3>{number}</h3>" in page
    assert page.count('aria-label="Histogram of') == 3 + count


def test_observations_with_instructions_have_a_report(tmp_path: Path) -> None:
    dataset = demos.collect("LamReach-v0", episodes=1, env_kwargs={"instruct": True}, root=tmp_path / "data")
    page = page_of(dataset, tmp_path / "page.html", videos=False)
    assert len(shown_paths(page)["points"]) == 1
    assert "are not known" not in page


def discrete(root: Path, size: int, actions: Sequence[int]) -> minari.MinariDataset:
    """Write an episode of discrete actions, without an environment."""
    space, steps = gym.spaces.Box(-1.0, 1.0, (2,), np.float32), len(actions)
    ends = np.arange(steps) == steps - 1
    observations = np.zeros((steps + 1, 2), np.float32)
    episode = Episode(None, observations, np.array(actions), np.zeros(steps), ends & False, ends, {})
    with dataset_writer("ours/choices-v0", space, gym.spaces.Discrete(size), None, {}, root=root) as writer:
        writer.add(episode)
    return demos.load("ours/choices-v0", root)


def test_many_discrete_actions_are_counted_where_they_occur(tmp_path: Path) -> None:
    page = page_of(discrete(tmp_path, 10**12, [5, 10**11, 5]), tmp_path / "page.html", videos=False)
    assert "5: 2 actions" in page
    assert "100000000000: 1 actions" in page
    assert "The 2 most frequent of 1000000000000." in page
    assert "66.7%" in page


def test_discrete_actions_out_of_range_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="an episode has the discrete action 10; expected 0 to 9"):
        report(discrete(tmp_path, 10, [3, 10]), tmp_path / "page.html", videos=False)


def test_pixels_without_states_show_no_objects(tmp_path: Path) -> None:
    import h5py

    size = {"image_width": 32, "image_height": 32}
    dataset = demos.collect("LamReachPixels-v0", episodes=2, env_kwargs=size, root=tmp_path / "data")
    with h5py.File(Path(dataset.storage.data_path) / "main_data.hdf5", "a") as file:
        for group in file.values():
            del group["infos/state"]
    page = page_of(demos.load(dataset.id, tmp_path / "data"), tmp_path / "page.html", videos=False)
    assert "The dataset records no other positions." in page
    assert "goal: where" not in page


@pytest.mark.filterwarnings("ignore:.*is set to None")
@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "MountainCarContinuous-v0"])
def test_foreign_datasets_leave_out_what_is_not_known_and_say_so(
    env_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = page_of(foreign(gym.make(env_id), monkeypatch, tmp_path), tmp_path / "page.html")
    for section in SECTIONS:
        assert f'<h2 id="{section}">' in page
    assert page.count(f"{env_id} is not an environment of lam_envs") == 3
    assert "the episodes do not record success" in page
    assert f"<dd>{env_id}</dd>" in page
    assert checksum(demos.load("foreign/test-v0", tmp_path)) in page
    assert "<canvas" not in page
    assert "<video" not in page
    assert "<script" not in page


class Pictured(gym.Wrapper[Any, Any, Any, Any]):
    """Observe an image beside numbers, and take unbounded actions."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.observation_space = gym.spaces.Dict(
            {"numbers": env.observation_space, "image": gym.spaces.Box(0, 255, (20, 33, 1), np.uint8)}
        )
        self.action_space = gym.spaces.Box(-np.inf, np.inf, (30,), np.float32)

    def observation(self, numbers: Any) -> dict[str, Any]:
        return {"numbers": numbers, "image": np.full((20, 33, 1), 100, np.uint8)}

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        numbers, info = self.env.reset(**kwargs)
        return self.observation(numbers), info

    def step(self, action: Any) -> Any:
        numbers, *rest = self.env.step(action[:1])
        return self.observation(numbers), *rest


@pytest.mark.filterwarnings("ignore:.*is set to None")
def test_recorded_images_of_third_party_datasets_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = foreign(Pictured(gym.make("Pendulum-v1")), monkeypatch, tmp_path)
    page = page_of(dataset, tmp_path / "page.html")
    assert page.count("<video") == 3
    # Enlarged by 8 to 160 pixels of height.
    assert 'width="264" height="160"' in page
    assert "The figure shows the first 24 of 30 dimensions." in page


@pytest.mark.parametrize("hostile", [HOSTILE, "</style></title>" + HOSTILE])
def test_text_of_a_dataset_is_text(hostile: str, grasps: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(grasps.storage.data_path, tmp_path / "data"))
    file = folder / "metadata.json"
    metadata = json.loads(file.read_text())
    metadata |= dict.fromkeys(("dataset_id", "description", "algorithm_name", "lam_envs_dropped"), hostile)
    metadata["author"] = [hostile]
    metadata["lam_envs_history"] = [{"step": hostile, hostile: hostile, "replays": True}]
    plan = metadata["lam_envs_plan"]
    plan |= {"seed": hostile, "qualities": [hostile], "strategies": [hostile], "versions": {hostile: hostile}}
    file.write_text(json.dumps(metadata))
    page = page_of(demos.load(folder), tmp_path / "page.html", videos=False)
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert page.count("</style>") == page.count("</title>\n") == 1


def test_keywords_that_make_no_environment_are_reported(grasps: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(grasps.storage.data_path, tmp_path / "data"))
    file = folder / "metadata.json"
    metadata = json.loads(file.read_text())
    metadata["lam_envs_plan"]["env_kwargs"] = {HOSTILE: 1}
    file.write_text(json.dumps(metadata))
    page = page_of(demos.load(folder), tmp_path / "page.html")
    assert page.count("LamGrasp-v0 cannot be made") == 3
    assert "<script>alert" not in page


def test_large_datasets_are_sampled_the_same_way_each_time(
    grasps: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "MAX_PATHS", 20)
    many = minari.MinariDataset(grasps.storage, np.tile(grasps.episode_indices, 6))
    first = page_of(many, tmp_path / "a.html", videos=False)
    assert first == page_of(many, tmp_path / "b.html", videos=False)
    assert "20 episodes, drawn at random from 36." in first
    assert "36" in first
    assert len(first) < 100_000


@pytest.mark.slow
def test_a_browser_shows_every_plot_and_complains_of_nothing(tmp_path: Path) -> None:
    pages = [
        report(demos.collect("LamGrasp-v0", episodes=4, strategy="all", root=tmp_path), tmp_path / "grasp.html"),
        report(demos.collect("LamReachPixels-v0", episodes=2, root=tmp_path), tmp_path / "pixels.html"),
        report(demos.collect("LamGraspDiscrete-v0", episodes=2, root=tmp_path), tmp_path / "discrete.html"),
    ]
    with browsing(tmp_path / "profile") as browser:
        for page in pages:
            for width in (1400, 400):
                for scheme in ("light", "dark"):
                    browser.open(page, width=width, scheme=scheme)
                    check_page(browser, width)
        assert browser.complaints == []


def check_page(browser: Any, width: int) -> None:
    sizes = browser.evaluate(
        f"[...document.querySelectorAll('{PLOTS}')].map(plot => {{"
        "const box = plot.getBoundingClientRect(); return [plot.tagName, box.width, box.height, box.right]})"
    )
    kinds = {kind.lower() for kind, *_ in sizes}
    assert kinds == {"svg", "canvas", "video", "img"}
    for kind, across, down, right in sizes:
        assert across > 20, kind
        assert down > 20, kind
        assert right <= width, kind
    assert browser.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
    playable = browser.evaluate(
        "Promise.all([...document.querySelectorAll('video')].map(video => new Promise(done => {"
        "if (video.readyState || video.error) done(video.readyState);"
        "video.onloadedmetadata = video.onerror = () => done(video.readyState)})))"
    )
    assert min(playable) >= 1
    inked = "document.getElementById('stage').getContext('2d').getImageData(0, 0, 9999, 9999).data.some(x => x > 0)"
    drawn = f"new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done({inked}))))"
    assert browser.evaluate(drawn)
    before = browser.evaluate("document.getElementById('stage').toDataURL()")
    press = "document.getElementById('stage').dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft'}))"
    wait = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    browser.evaluate(f"({press}, {wait})")
    assert browser.evaluate("document.getElementById('stage').toDataURL()") != before, "the paths do not turn"
