"""Datasets that third parties wrote with Minari's own API: they are learned from, curated, replayed and exported."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer
from typer.testing import CliRunner

import demos
from agents.__main__ import app as agents_app
from agents.data.demonstrations import DemonstrationData
from demos.__main__ import app as demos_app
from demos.datasets import curate
from demos.datasets.checksum import checksum
from demos.datasets.data_file import DATA_FILE
from demos.datasets.environment import make_env
from demos.datasets.episode import instruction_in
from demos.datasets.metadata import HISTORY, PLAN, episode_seeds, history_of, is_collected, plan_of
from demos.datasets.reading import episodes_of
from demos.datasets.windows import Windows
from demos.formats.source import source_of
from demos.preprocess import Relabel, StatesToObs, preprocess
from demos.report.facts import facts_of
from demos.runtime.access import access_error

from ..check.damage import check_here

Policy = Callable[[Any], Any]
Save = Callable[..., minari.MinariDataset]


def recorded(env: gym.Env[Any, Any], act: Policy, seed: int) -> dict[str, Any]:
    """An episode as a third party's script records it: plain lists, and nothing of lam_envs."""
    observation, _ = env.reset(seed=seed)
    parts: dict[str, Any] = {"observations": [observation], "actions": [], "rewards": []}
    parts |= {"terminations": [], "truncations": []}
    while True:
        action = act(observation)
        observation, reward, terminated, truncated, _ = env.step(action)
        for name, value in zip(parts, (observation, action, reward, terminated, truncated), strict=True):
            parts[name].append(value)
        if terminated or truncated:
            return parts


@pytest.fixture(scope="module")
def reach() -> Iterator[gym.Env[Any, Any]]:
    env = gym.make("LamReach-v0", max_episode_steps=15)
    yield env
    env.close()


@pytest.fixture(scope="module")
def episodes(reach: gym.Env[Any, Any]) -> list[dict[str, Any]]:
    expert = demos.make_expert(reach)
    return [recorded(reach, lambda observation: expert.predict(observation)[0], seed) for seed in range(3)]


@pytest.fixture
def save(reach: gym.Env[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Save:
    """Write a dataset by Minari."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))

    def save_one(name: str, *buffers: dict[str, Any], env: Any = reach, **kwargs: Any) -> minari.MinariDataset:
        with pytest.warns(UserWarning, match="is set to None"):
            minari.create_dataset_from_buffers(name, [EpisodeBuffer(**each) for each in buffers], env=env, **kwargs)
        return demos.load(name)

    return save_one


def command(app: Any, *arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
def test_a_third_party_dataset_works_with_every_command(
    episodes: list[dict[str, Any]], save: Save, tmp_path: Path
) -> None:
    save("person/first-v0", {**episodes[0], "seed": 0}, {**episodes[1], "seed": 1})
    save("person/second-v0", {**episodes[2], "seed": 2})
    assert "2 of 2 episodes are undamaged" in command(demos_app, "check", "person/first-v0")
    command(demos_app, "merge", "person/first-v0", "person/second-v0", "--id", "person/all-v0")
    command(demos_app, "filter", "person/all-v0", "--min-length", "5", "--id", "person/long-v0")
    assert "3 of 3 episodes are undamaged" in command(demos_app, "check", "person/long-v0")
    assert "3 of 3 episodes bit-identical" in command(demos_app, "replay", "person/long-v0")
    command(demos_app, "render", "person/long-v0", "--out", tmp_path / "one.mp4", "--episodes", "1", "--size", "64")
    assert "LamReach-v0" in command(demos_app, "info", "person/long-v0")
    command(demos_app, "report", "person/first-v0", "--out", tmp_path / "page.html", "--no-videos")
    for name in demos.formats.FORMATS:
        out = tmp_path / ("out.hdf5" if name == "robomimic" else f"out.{name}")
        command(demos_app, "export", "person/long-v0", "--format", name, "--out", out)
        command(demos_app, "import", out, "--format", name, "--id", f"person/{name}-v0")
        assert "3 of 3 episodes bit-identical" in command(demos_app, "replay", f"person/{name}-v0")
    task = ("--env", "LamReach-v0")
    short = ("--budget", "1", "--eval-episodes", "0", "--config", "batch_size=8")
    command(agents_app, "train", "bc", "--demos", "person/first-v0", *short, *task, "--out", tmp_path / "clone")
    assert "success rate" in command(agents_app, "evaluate", tmp_path / "clone", *task, "--episodes", "1")


def test_filtered_unsigned_episodes_are_signed_and_count_once(episodes: list[dict[str, Any]], save: Save) -> None:
    source = save("person/all-v0", *episodes, author="a person", code_permalink="https://example.org/record.py")
    some = curate.subsample(source, "person/some-v0", 2)
    assert check_here("person/some-v0", replay=1).is_undamaged
    assert checksum(curate.subsample(source, "person/copy-v0", len(episodes))) == checksum(source)
    assert some.storage.metadata["author"] == {"a person"}
    assert some.storage.metadata["code_permalink"] == "https://example.org/record.py"
    with pytest.raises(ValueError, match="expected different episodes"):
        curate.merge([source, some], "person/twice-v0")


def test_numbers_of_other_types_are_converted_to_those_of_the_spaces(
    reach: gym.Env[Any, Any], save: Save, tmp_path: Path
) -> None:
    action = [0.1, -0.2, 0.3, 1.0]
    parts = recorded(reach, lambda _: action, 3)
    parts["observations"] = np.array(parts["observations"], dtype=np.float64)
    parts["actions"] = np.array(parts["actions"])
    parts["rewards"] = np.array(parts["rewards"], dtype=np.float32)
    parts["truncations"] = list(map(int, parts["truncations"]))
    infos = {"pulse": np.arange(15.0), "names": ["a", "person"], "age": 31}
    dataset = save("person/floats-v0", {**parts, "seed": 3, "infos": infos})
    report = check_here("person/floats-v0", replay=1)
    assert report.is_undamaged
    assert any("actions is float64, and its space float32: it is converted" in note for note in report.notes)
    assert any("infos/age has shape (), expected 16 rows" in note for note in report.notes)
    (episode,) = episodes_of(dataset)
    assert episode.actions.dtype == episode.observations.dtype == np.float32
    assert episode.truncations.dtype == bool
    assert episode.infos["pulse"].tolist() == [0.0, *range(15)]
    assert {"names", "age"}.isdisjoint(episode.infos)
    assert demos.replay(dataset).identical == 1, "what was executed had more digits than the space"
    assert DemonstrationData(dataset).transitions().actions.dtype.is_floating_point
    assert Windows(dataset)[0]["action"].dtype == np.float32
    lost = demos.export_dataset(dataset, "npz", tmp_path / "out.npz")
    assert "infos/age: no value for each step" in lost
    with np.load(tmp_path / "out.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["actions"][0], np.float32(action))


def test_instructions_as_text_in_each_info_are_read(save: Save) -> None:
    parts: dict[str, Any] = {"observations": np.zeros((3, 2), np.float32), "actions": [1, 0], "rewards": [0.0, 1.0]}
    parts |= {"terminations": [False, True], "truncations": [False, False]}
    spaces = {"observation_space": gym.spaces.Box(-1, 1, (2,)), "action_space": gym.spaces.Discrete(2)}
    dataset = save("person/told-v0", {**parts, "infos": {"instruction": ["pick the cube"] * 3}}, env=None, **spaces)
    assert next(episodes_of(dataset)).instruction == "pick the cube"
    assert instruction_in({"instruction": b"\xff"}) is None


def test_whole_numbers_beyond_the_type_of_their_space_are_an_error(save: Save) -> None:
    space = gym.spaces.Box(0, 255, (2,), np.uint8)
    parts: dict[str, Any] = {"observations": np.array([[0, 1], [2, 300]]), "actions": [1], "rewards": [0.0]}
    parts |= {"terminations": [True], "truncations": [False]}
    spaces = {"observation_space": space, "action_space": gym.spaces.Discrete(2)}
    dataset = save("person/bytes-v0", parts, env=None, **spaces)
    with pytest.raises(ValueError, match=r"observations of episode 0 of person/bytes-v0 are int64 and hold 300"):
        next(episodes_of(dataset))
    assert "has 300 at (1, 1), expected it in [0, 255]" in str(check_here("person/bytes-v0", replay=1).problems[0])


def test_states_are_replayed_where_there_are_no_seeds(reach: gym.Env[Any, Any], save: Save) -> None:
    inner: Any = reach.unwrapped
    states: list[Any] = []

    def act(_: Any) -> Any:
        states.append(inner.physical_state())
        return np.zeros(4, dtype=np.float32)

    parts = recorded(reach, act, 0)
    states.append(inner.physical_state())
    dataset = save("person/states-v0", {**parts, "infos": {"state": states}})
    with pytest.raises(ValueError, match=r"has no seed.*replay these: python -m demos replay --states"):
        demos.replay(dataset)
    report = demos.replay_states(dataset)
    assert (report.matching, report.without_success, report.differences) == (0, 1, ())
    assert "1 episodes do not record success" in command(demos_app, "replay", "person/states-v0", "--states")
    flags = save("person/flags-v0", {**parts, "infos": {"state": states, "success": [False] * 16}})
    assert demos.replay_states(flags).matching == 1
    with pytest.raises(ValueError, match=r"the info 'state' is missing\. If it has a seed, replay the actions"):
        demos.replay_states(save("person/bare-v0", parts))


def test_a_dataset_without_an_environment_can_be_learned_from_and_errors_name_what_is_missing(
    reach: gym.Env[Any, Any], episodes: list[dict[str, Any]], save: Save
) -> None:
    spaces = {"observation_space": reach.observation_space, "action_space": reach.action_space}
    nameless = save("person/nameless-v0", {**episodes[0], "seed": 0}, env=None, **spaces)
    assert DemonstrationData(nameless).total_steps == 15
    with pytest.raises(ValueError, match=r"does not record its environment.* has no env_spec"):
        demos.replay(nameless)
    both = curate.merge([nameless, save("person/named-v0", {**episodes[1], "seed": 1})], "person/both-v0")
    assert plan_of(both)["env_id"] == "LamReach-v0"
    assert both.env_spec.id == "LamReach-v0"
    assert demos.replay(both).identical == 2


def test_an_environment_is_made_with_the_keywords_of_its_spec(episodes: list[dict[str, Any]], save: Save) -> None:
    env = gym.make("LamReach-v0", reward="sparse", render_mode="rgb_array", render_width=32, max_episode_steps=15)
    dataset = save("person/sparse-v0", {**episodes[0], "seed": 0}, env=env)
    env.close()
    assert plan_of(dataset) == {
        "env_id": "LamReach-v0",
        "env_kwargs": {"reward": "sparse", "max_episode_steps": 15},
    }
    with pytest.raises(ValueError, match="differ in env_kwargs"):
        curate.merge([dataset, save("person/dense-v0", episodes[1])], "person/no-v0")


class Dot(gym.Env[Any, Any]):
    """Third-party environment: a dot on a line."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012  (as Gymnasium declares it)
    observation_space = gym.spaces.Box(-9, 9, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, render_mode: str | None = None, speed: float = 1.0) -> None:
        self.render_mode = render_mode
        self.speed = speed

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._at = self.np_random.uniform(-1, 1, 1)
        return self._at.astype(np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._at += self.speed * (2 * int(action) - 1)
        return self._at.astype(np.float32), float(self._at[0]), bool(abs(self._at[0]) > 4), False, {}

    def render(self) -> Any:
        return np.full((32, 48, 3), 20, dtype=np.uint8)


def test_episodes_of_a_registered_environment_of_others_are_replayed_and_rendered(save: Save, tmp_path: Path) -> None:
    gym.register("PersonsDot-v0", entry_point=f"{__name__}:Dot")
    try:
        env = gym.make("PersonsDot-v0", speed=0.5)
        parts = recorded(env, lambda _: 1, 5)
        dataset = save("person/dot-v0", {**parts, "seed": 5}, env=env)
        assert demos.replay(dataset).identical == 1
        assert demos.render(dataset, tmp_path / "dot.mp4", episodes=1).stat().st_size
        with pytest.raises(ValueError, match="states of PersonsDot-v0 cannot be set"):
            demos.replay_states(dataset)
    finally:
        del gym.registry["PersonsDot-v0"]
    with pytest.raises(ValueError, match=r"collected in 'PersonsDot-v0'.* import the module that registers it"):
        demos.replay(dataset)


def test_what_is_unusual_in_a_dataset_of_others_is_a_note(episodes: list[dict[str, Any]], save: Save) -> None:
    cut = {name: values[: 8 if name == "observations" else 7] for name, values in episodes[0].items()}
    other = {**episodes[1], "infos": {"note": np.arange(16.0)}}
    dataset = save("person/odd-v0", {**cut, "seed": 0}, {**other, "seed": 77}, {**episodes[2], "infos": {}})
    report = check_here("person/odd-v0", replay=3)
    assert report.problems == ()
    assert "1 episode: ends neither terminated nor truncated" in report.notes
    assert any("episode 1: differs in observations after re-execution" in note for note in report.notes)
    assert any("episode 2: has no seed, which re-execution needs" in note for note in report.notes)
    assert demos.replay(curate.filter_episodes(dataset, "person/cut-v0", max_length=7)).identical == 1


def test_collected_and_other_episodes_are_one_dataset(
    episodes: list[dict[str, Any]], save: Save, tmp_path: Path
) -> None:
    made = demos.collect("LamReach-v0", episodes=1, env_kwargs={"max_episode_steps": 15}, root=tmp_path)
    both = curate.merge([made, save("person/mine-v0", {**episodes[0], "seed": 0})], "person/both-v0")
    assert not is_collected(both.storage.metadata)
    assert check_here("person/both-v0", replay=1).is_undamaged
    assert demos.replay(both).identical == 2
    assert curate.filter_episodes(both, "person/expert-v0", demonstrator="expert").total_episodes == 1
    assert curate.filter_episodes(both, "person/good-v0", success=True).total_episodes == 1
    with pytest.raises(ValueError, match="do not record success"):
        curate.filter_episodes(demos.load("person/mine-v0"), "person/no-v0", success=True)
    again = preprocess(demos.load("person/mine-v0"), [Relabel("ee_yaw")], "person/yaw-v0")
    assert demos.replay(again).identical == 1


def test_notes_of_the_data_collector_are_used(episodes: list[dict[str, Any]], save: Save) -> None:
    seed = 2**64 - 3
    env = gym.make("LamReach-v0", max_episode_steps=15)
    parts = recorded(env, lambda _: np.zeros(4, dtype=np.float32), seed)
    env.close()
    dataset = save("person/notes-v0", {**parts, "seed": seed, "infos": {}, "options": {"minari_autoseed": True}})
    dataset.storage.update_episode_metadata([{"rewards_sum": 1.0}])
    assert episode_seeds(dataset) == [seed]
    assert demos.replay(dataset).identical == 1
    kept = curate.subsample(dataset, "person/kept-v0", 1)
    assert next(iter(kept.storage.get_episode_metadata([0])))["rewards_sum"] == 1.0
    assert history_of(kept)[-1]["replays"]


def test_a_dataset_of_others_names_no_code_to_run(episodes: list[dict[str, Any]], save: Save) -> None:
    folder = Path(save("person/evil-v0", {**episodes[0], "seed": 0}).storage.data_path)
    metadata = json.loads((folder / "metadata.json").read_text())

    def with_spec(**values: Any) -> minari.MinariDataset:
        spec = {**json.loads(metadata["env_spec"]), **values}
        (folder / "metadata.json").write_text(json.dumps({**metadata, "env_spec": json.dumps(spec)}))
        return demos.load(folder)

    with pytest.raises(ValueError, match="was collected in 'os:system-v0', which is not registered"):
        make_env(with_spec(id="os:system-v0", entry_point="os:system"))
    with pytest.raises(ValueError, match="other values could name files or code"):
        make_env(with_spec(id="CartPole-v1", kwargs={"policy": ["os:system"]}))
    wrapper = {"name": "Evil", "entry_point": "os:system", "kwargs": {"command": "exit 1"}}
    env = make_env(with_spec(entry_point="os:system", additional_wrappers=[wrapper]))
    assert env.unwrapped.spec.entry_point == "lam_envs.env:ManipulationEnv"
    env.close()


def test_other_formats_and_versions_of_minari_are_named(episodes: list[dict[str, Any]], save: Save) -> None:
    folder = Path(save("person/old-v0", episodes[0]).storage.data_path)
    metadata = json.loads((folder / "metadata.json").read_text())
    for values, message in (
        ({"data_format": "arrow"}, "has the format 'arrow'; expected 'hdf5'"),
        ({"minari_version": "9.0.0"}, r"was written by Minari 9.0.0, and Minari \S+ does not read that"),
    ):
        (folder / "metadata.json").write_text(json.dumps({**metadata, **values}))
        with pytest.raises(ValueError, match=message):
            demos.load(folder)


def test_a_lock_is_no_damage(episodes: list[dict[str, Any]], save: Save, tmp_path: Path) -> None:
    folder = Path(save("person/open-v0", episodes[0]).storage.data_path)
    shutil.copy(folder / DATA_FILE, tmp_path / "demo.hdf5")
    for path, arguments in (
        (folder / DATA_FILE, ("info", "person/open-v0")),
        (folder / DATA_FILE, ("check", "person/open-v0")),
        (
            tmp_path / "demo.hdf5",
            ("import", str(tmp_path / "demo.hdf5"), "--format", "robomimic", "--id", "person/in-v0"),
        ),
    ):
        with path.open("rb") as held:
            # As HDF5 does when a file is open for writing.
            fcntl.flock(held, fcntl.LOCK_EX)
            result = CliRunner().invoke(demos_app, arguments)
        assert result.exit_code == 2
        assert "is locked by another program: close it there and try again" in result.stderr
        assert "damaged" not in result.stderr
        assert "--repair" not in result.stderr


def test_a_writer_that_was_killed_leaves_a_mark_and_no_damage(
    episodes: list[dict[str, Any]], save: Save, tmp_path: Path
) -> None:
    folder = Path(save("person/left-v0", episodes[0]).storage.data_path)
    with h5py.File(tmp_path / "swmr.hdf5", "w", libver="latest") as file:
        file.create_group("episode_0")
        file.swmr_mode = True
        file.flush()
        (folder / DATA_FILE).write_bytes((tmp_path / "swmr.hdf5").read_bytes())
    with pytest.raises(BlockingIOError, match=r"is marked as open for writing.*h5clear -s"):
        demos.load(folder)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(37, "unable to lock file, errno = 37"), "no file locks.*HDF5_USE_FILE_LOCKING=FALSE"),
        (PermissionError(13, "Permission denied"), "cannot be opened .*check permissions"),
        (OSError(24, "Too many open files"), "cannot be opened .*check permissions"),
        (OSError("truncated file: eof = 96"), None),
        (ValueError("unable to lock file"), None),
    ],
)
def test_errors_that_do_not_mean_damage_are_recognized(error: Exception, message: str | None) -> None:
    found = access_error(error, Path("data"))
    if message is None:
        assert found is None
    else:
        with pytest.raises(OSError, match=message):
            raise found or AssertionError


def test_plans_of_older_code_and_damaged_histories_are_read(tmp_path: Path) -> None:
    made = demos.collect("LamReach-v0", episodes=1, dataset_id="ours/older-v0", root=tmp_path)
    path = made.storage.data_path / "metadata.json"
    content = json.loads(path.read_text())
    older = {"lam_envs": "0.0.9", "minari": "0.5.3", "code": "abc"}
    plan = {name: value for name, value in content[PLAN].items() if name != "libraries"} | {"versions": older}
    content |= {PLAN: {**plan, "env_kwargs": None}, HISTORY: None}
    path.write_text(json.dumps(content))
    dataset = demos.load("ours/older-v0", tmp_path)
    assert source_of(dataset).version == "0.0.9"
    assert "minari 0.5.3" in dict(facts_of(dataset))["versions"]
    step = StatesToObs(obs="goal")
    shown = preprocess(dataset, [step], "ours/shown-v0", root=tmp_path)
    assert [step["step"] for step in history_of(shown)] == ["states-to-obs"]
    kept = demos.filter_episodes(dataset, "ours/kept-v0", success=True, root=tmp_path)
    assert [step["step"] for step in history_of(kept)] == ["filter"]
