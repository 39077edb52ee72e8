"""Preprocessing keeps what it does not change, and says what it did."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import h5py
import minari
import numpy as np
import pytest

import demos
from demos.collection.recording import record, replay_steps
from demos.collection.replay import replay, replay_states
from demos.datasets.environment import make_env
from demos.datasets.episode import INTERVENTION, Episode
from demos.datasets.metadata import PLAN, history_of, plan_of
from demos.datasets.reading import episodes_of
from demos.datasets.writing import dataset_writer
from demos.preprocess import (
    PREPROCESSORS,
    CutIdle,
    Features,
    Interventions,
    Preprocessor,
    Relabel,
    Resample,
    Smooth,
    StatesToObs,
    preprocess,
)
from demos.preprocess.parsing import parse_step
from demos.preprocess.schema import DatasetSchema, schema_of

from .check.damage import check_here

numbers = itertools.count()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture(scope="module")
def grasps(root: Path) -> minari.MinariDataset:
    return demos.collect("LamGrasp-v0", episodes=6, demonstrator="novice", root=root)


def processed(dataset: minari.MinariDataset, root: Path, *steps: Preprocessor) -> minari.MinariDataset:
    return preprocess(dataset, steps, f"ours/p{next(numbers)}-v0", root=root)


def test_idle_moments_are_cut_at_both_ends(grasps: minari.MinariDataset, root: Path) -> None:
    cut = processed(grasps, root, CutIdle(speed=0.02, keep=1))
    assert cut.total_steps < grasps.total_steps
    for before, after in zip(episodes_of(grasps), episodes_of(cut), strict=True):
        first = next(
            start
            for start in range(len(before))
            if np.array_equal(before.observations[start : start + len(after) + 1], after.observations)
        )
        np.testing.assert_array_equal(before.actions[first : first + len(after)], after.actions)
        np.testing.assert_array_equal(before.infos["state"][first], after.infos["state"][0])
        assert np.flatnonzero(after.truncations).tolist() == [len(after) - 1]
        tool = schema_of(cut).physical(after, "tool/position")
        assert np.linalg.norm(np.diff(tool, axis=0), axis=1)[[0, 1, -2]].max() > 0.0


def test_the_states_of_what_was_cut_still_succeed(grasps: minari.MinariDataset, root: Path) -> None:
    report = replay_states(processed(grasps, root, CutIdle()))
    assert report.matching == 6
    with pytest.raises(ValueError, match=r"were changed \(cut-idle\).*--states"):
        replay(processed(grasps, root, CutIdle()))


@pytest.mark.parametrize("rate", [5, 13, 20, *(pytest.param(rate, marks=pytest.mark.slow) for rate in (10, 40, 100))])
def test_resampling_keeps_duration_way_return_and_success(
    rate: float, grasps: minari.MinariDataset, root: Path
) -> None:
    resampled = processed(grasps, root, Resample(rate))
    for before, after in zip(episodes_of(grasps), episodes_of(resampled), strict=True):
        assert abs(len(after) / rate - len(before) / 20) <= 1 / rate
        np.testing.assert_allclose(after.actions[:, :3].sum(0), before.actions[:, :3].sum(0), atol=1e-4)
        assert after.total_return == pytest.approx(before.total_return)
        np.testing.assert_array_equal(after.observations[[0, -1]], before.observations[[0, -1]])
        assert after.success == before.success
        assert set(np.unique(after.actions[:, 3])) <= set(np.unique(before.actions[:, 3]))
        assert all(resampled.action_space.contains(action) for action in after.actions)
        if rate == 20:
            np.testing.assert_allclose(after.actions, before.actions, atol=1e-5)
    assert schema_of(resampled).rate == rate


def test_executed_actions_are_resampled_as_labels_are(root: Path) -> None:
    noisy = demos.collect("LamReach-v0", episodes=2, demonstrator="noisy", root=root)
    for before, after in zip(episodes_of(noisy), episodes_of(processed(noisy, root, Resample(5))), strict=True):
        assert not np.array_equal(after.executed_actions, after.actions)
        np.testing.assert_allclose(
            after.executed_actions[:, :3].sum(0), before.executed_actions[:, :3].sum(0), atol=1e-4
        )
        assert len(after.infos["executed_action"]) == len(after) + 1
        assert not after.infos["executed_action"][0].any(), "the reset executes nothing"


def test_smoothing_takes_the_tremble_out_of_the_way_and_not_its_ends(
    grasps: minari.MinariDataset, root: Path
) -> None:
    smoothed = processed(grasps, root, Smooth(window=9, order=2, features=("tool/position",)))
    schema = schema_of(grasps)
    for before, after in zip(episodes_of(grasps), episodes_of(smoothed), strict=True):
        jerks = [np.abs(np.diff(episode.actions[:, :3], n=2, axis=0)).mean() for episode in (before, after)]
        assert jerks[1] < 0.5 * jerks[0]
        np.testing.assert_allclose(after.actions[:, :3].sum(0), before.actions[:, :3].sum(0), atol=0.3)
        np.testing.assert_array_equal(after.actions[:, 3], before.actions[:, 3])
        paths = [schema.physical(episode, "tool/position") for episode in (before, after)]
        assert 0 < np.abs(paths[0] - paths[1]).max() < 0.02
        np.testing.assert_array_equal(
            schema.physical(before, "object/position"), schema.physical(after, "object/position")
        )


@pytest.mark.parametrize("control", ["joint", pytest.param("ee_yaw", marks=pytest.mark.slow)])
def test_relabelled_episodes_are_real(control: str, root: Path) -> None:
    experts = demos.collect("LamGrasp-v0", episodes=2, root=root)
    relabelled = processed(experts, root, Relabel(control))
    assert history_of(relabelled)[-1]["left_out"] == 2 - relabelled.total_episodes == 0
    assert plan_of(relabelled)["env_kwargs"]["control"] == control
    report = replay(relabelled)
    assert (report.identical, report.successes) == (2, 2)
    env = make_env(relabelled)
    assert env.action_space == relabelled.action_space
    assert env.observation_space == relabelled.observation_space
    env.close()
    for before, after in zip(episodes_of(experts), episodes_of(relabelled), strict=True):
        way, new = (schema_of(d).physical(e, "tool/position") for d, e in ((experts, before), (relabelled, after)))
        nearest = np.linalg.norm(way[:, None] - new[None], axis=2).min(axis=1)
        assert nearest.max() < 0.03, "the new path passes by every point of the old one"


def test_noisy_episodes_are_relabelled_by_what_was_done(root: Path) -> None:
    noisy = demos.collect("LamReach-v0", episodes=3, demonstrator="noisy", root=root)
    relabelled = processed(noisy, root, Relabel("joint"))
    assert "executed_action" not in next(episodes_of(relabelled)).infos
    assert replay(relabelled).identical == relabelled.total_episodes


def with_changed_episodes(
    source: minari.MinariDataset, root: Path, change: Callable[[Episode], Episode]
) -> minari.MinariDataset:
    """Write the episodes of a collection with changes."""
    dataset_id = f"ours/changed{next(numbers)}-v0"
    metadata = {PLAN: plan_of(source)}
    spaces = source.observation_space, source.action_space
    with dataset_writer(dataset_id, *spaces, source.env_spec, metadata, root=root) as writer:
        for episode in episodes_of(source):
            writer.add(change(episode))
    return demos.load(dataset_id, root)


def test_relabeling_keeps_the_steps_of_interventions_and_the_demonstrator(root: Path) -> None:
    def taken_over(episode: Episode) -> Episode:
        by_person = np.zeros(len(episode) + 1, dtype=bool)
        by_person[[6, 7, 8, -1]] = True
        return replace(episode, infos={**episode.infos, INTERVENTION: by_person})

    source = with_changed_episodes(demos.collect("LamReach-v0", episodes=2, root=root), root, taken_over)
    relabelled = processed(source, root, Relabel("joint"))
    assert relabelled.total_episodes == 2
    for episode in episodes_of(relabelled):
        flags = episode.infos[INTERVENTION]
        assert not flags[:4].any()
        assert flags[4:20].sum() >= 3
        assert not flags[25:].all()
        assert not episode.infos["quality"].any()


def test_relabeled_episodes_keep_the_options_of_their_reset(root: Path) -> None:
    options = {"goal": np.array([0.45, 0.1, 0.15, 0.0])}
    env = gym.make("LamReach-v0")

    def with_goal(episode: Episode) -> Episode:
        assert episode.seed is not None
        steps = replay_steps(env, episode.actions, episode.seed, options)
        return replace(record(env, steps, episode.seed), options=options)

    source = with_changed_episodes(demos.collect("LamReach-v0", episodes=1, root=root), root, with_goal)
    env.close()
    relabelled = processed(source, root, Relabel("joint"))
    (episode,) = episodes_of(relabelled)
    assert episode.options is not None
    np.testing.assert_array_equal(episode.options["goal"], options["goal"])
    assert replay(relabelled).identical == 1


def test_observations_with_instructions_are_preprocessed(root: Path) -> None:
    instructed = demos.collect("LamReach-v0", episodes=1, env_kwargs={"instruct": True}, root=root)
    names = schema_of(instructed).dimension_names()
    assert names["observation/state"][0] == "tool/position x"
    changed = processed(instructed, root, CutIdle(), Features(add=("time",)))
    assert changed.observation_space["state"].shape == (instructed.observation_space["state"].shape[0] + 1,)
    assert processed(instructed, root, Relabel("joint")).total_episodes == 1


def test_motionless_episodes_are_left_out_and_counted(grasps: minari.MinariDataset, root: Path) -> None:
    still = itertools.count()

    def without_motion(episode: Episode) -> Episode:
        moments = np.zeros(len(episode) + 1, dtype=int) if next(still) else np.arange(len(episode) + 1)
        return replace(episode, observations=episode.observations[moments])

    source = with_changed_episodes(demos.subsample(grasps, "ours/still-v0", 3, root=root), root, without_motion)
    cut = processed(source, root, CutIdle())
    assert (cut.total_episodes, history_of(cut)[-1]["left_out"]) == (1, 2)
    assert "left_out" not in history_of(processed(grasps, root, CutIdle()))[-1]


def test_settings_that_do_not_fit_the_spaces_are_refused(grasps: minari.MinariDataset, root: Path) -> None:
    with pytest.raises(ValueError, match="displacements is -1; expected at least 0"):
        Resample(10, -1)
    with pytest.raises(ValueError, match="displacements is 5; expected 0 to 4, the size of a vector of actions"):
        processed(grasps, root, Resample(10, 5))
    with pytest.raises(ValueError, match=r"drop=.* removes every feature; expected at least one to remain"):
        processed(grasps, root, Features(drop=tuple(schema_of(grasps).columns or ())))
    space = gym.spaces.Dict({"observation": gym.spaces.MultiBinary(4)})
    flags = DatasetSchema(space, grasps.action_space, None, 20.0, None, None)
    with pytest.raises(ValueError, match=r"'observation' is in MultiBinary\(4\); expected a Box of shape \(n,\)"):
        Features(add=("previous_action",)).make_transform(flags)


def test_features_are_dropped_and_added_by_name(grasps: minari.MinariDataset, root: Path) -> None:
    changed = processed(
        grasps, root, Features(drop=("object/velocity", "gripper/"), add=("time", "previous_action", "info/state"))
    )
    schema, old = schema_of(changed), schema_of(grasps)
    assert schema.columns is not None
    assert not {"object/velocity", "gripper/width", "gripper/touch"} & set(schema.columns)
    for before, after in zip(episodes_of(grasps), episodes_of(changed), strict=True):
        assert changed.observation_space.contains(after.observations[3])
        for name in ("tool/position", "object/position"):
            np.testing.assert_array_equal(schema.physical(after, name), old.physical(before, name))
        np.testing.assert_allclose(schema.physical(after, "time")[:, 0], np.arange(len(after) + 1) / 20, rtol=1e-6)
        np.testing.assert_array_equal(schema.physical(after, "previous_action")[1:], before.actions)
        np.testing.assert_allclose(schema.physical(after, "info/state"), before.infos["state"], rtol=1e-6)


def test_features_of_goal_and_pixel_observations_change_too(root: Path) -> None:
    goal = demos.collect("LamReachGoal-v0", episodes=1, root=root)
    changed = processed(goal, root, Features(drop=("tool/velocity",)))
    assert changed.observation_space["observation"].shape == (goal.observation_space["observation"].shape[0] - 3,)
    pixels = demos.collect(
        "LamReachPixels-v0", episodes=1, env_kwargs={"image_width": 16, "image_height": 16}, root=root
    )
    changed = processed(pixels, root, Features(add=("time",)))
    before, after = next(episodes_of(pixels)).observations, next(episodes_of(changed)).observations
    np.testing.assert_array_equal(before["front"], after["front"])
    assert after["robot"].shape[1] == before["robot"].shape[1] + 1


def test_steps_follow_each_other_and_are_recorded(grasps: minari.MinariDataset, root: Path) -> None:
    steps = [CutIdle(), Resample(10), Smooth(5), Features(drop=("tool/lag",))]
    changed = processed(grasps, root, *steps)
    again = processed(changed, root, Features(add=("time",)))
    assert [step["step"] for step in history_of(again)] == ["cut-idle", "resample", "smooth", "features", "features"]
    assert history_of(again)[1]["rate"] == 10
    assert demos.describe(again)["history"].startswith("cut-idle (speed 0.01, keep 2) of lam/")
    assert minari.MinariDataset(again.storage.data_path).total_episodes == 6


def test_what_was_preprocessed_is_sound(grasps: minari.MinariDataset, root: Path) -> None:
    changed = processed(grasps, root, CutIdle(), Resample(10), Features(drop=("tool/lag",)))
    report = check_here(changed.storage.data_path, replay=1)
    assert report.problems == ()
    assert any("were changed by" in note for note in report.notes)
    few = demos.subsample(grasps, "ours/pair-v0", 2, root=root)
    relabelled = processed(processed(few, root, CutIdle()), root, Relabel("ee_yaw"))
    assert check_here(relabelled.storage.data_path, replay=1).problems == ()
    assert replay(relabelled).identical == relabelled.total_episodes


def test_steps_say_what_they_cannot_work_on(grasps: minari.MinariDataset, root: Path) -> None:
    discrete = demos.collect("LamReachDiscrete-v0", episodes=1, root=root)
    with pytest.raises(ValueError, match="displacements"):
        processed(discrete, root, Smooth())
    with pytest.raises(ValueError, match=r"unknown feature 'nose/position'; expected one of tool/position"):
        processed(grasps, root, Features(drop=("nose/position",)))
    with pytest.raises(ValueError, match="exists; expected another one"):
        processed(processed(grasps, root, Features(add=("time",))), root, Features(add=("time",)))
    with pytest.raises(ValueError, match="would have no episode"):
        processed(grasps, root, CutIdle(speed=99.0))
    with pytest.raises(ValueError, match="no preprocessing steps"):
        processed(grasps, root)
    assert not list((root / ".partial").glob("*.draft"))


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("cut-idle", CutIdle()),
        ("cut-idle:speed=0.05,keep=0", CutIdle(0.05, 0)),
        ("resample:rate=12.5,displacements=2", Resample(12.5, 2)),
        ("smooth:window=9,features=tool/position+tool/velocity", Smooth(9, 2, ("tool/position", "tool/velocity"))),
        ("relabel:control=joint", Relabel("joint")),
        ("features:add=time", Features(add=("time",))),
        ("states-to-obs", StatesToObs()),
        ("states-to-obs:cameras=side+wrist,depth=true", StatesToObs(cameras=("side", "wrist"), depth=True)),
    ],
)
def test_steps_are_read_from_texts(text: str, step: Preprocessor) -> None:
    assert parse_step(text, PREPROCESSORS) == step


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shine", r"unknown step 'shine'; expected one of cut-idle, resample"),
        ("resample", "lacks the settings rate"),
        ("resample:pace=3", r"invalid setting 'pace=3' .*expected NAME=VALUE of rate, displacements"),
        ("resample:rate=fast", "expected a number"),
        ("resample:rate=-1", "expected a positive number"),
        ("smooth:window=4", "expected an odd window"),
        ("relabel:control=mind", "control"),
        ("cut-idle:keep=1.5", "expected an integer"),
        ("states-to-obs:depth=yes", "expected true or false"),
    ],
)
def test_texts_that_are_no_steps_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_step(text, PREPROCESSORS)


SMALL = {"image_width": 24, "image_height": 16}


def test_states_show_what_a_live_episode_sees(root: Path) -> None:
    randomized = {**SMALL, "randomize": "full"}
    live = demos.collect("LamGraspPixels-v0", episodes=1, demonstrator="novice", env_kwargs=randomized, root=root)
    shown = processed(live, root, StatesToObs(cameras=("wrist", "side"), image_width=32, depth=True, renderer="tiny"))
    assert shown.observation_space["side"].shape == (16, 32, 3)
    assert set(shown.observation_space.spaces) == {"wrist", "side", "wrist_depth", "side_depth", "robot"}
    back = processed(shown, root, StatesToObs(cameras=("front", "wrist"), image_width=24, depth=False))
    again = processed(live, root, StatesToObs())
    for dataset in (back, again):
        assert dataset.observation_space == live.observation_space
        for before, after in zip(episodes_of(live), episodes_of(dataset), strict=True):
            for camera in ("front", "wrist"):
                np.testing.assert_array_equal(before.observations[camera], after.observations[camera])
            np.testing.assert_allclose(before.observations["robot"], after.observations["robot"], atol=1e-5)
            assert before.differs_from(replace(after, observations=before.observations)) is None


def test_states_are_shown_to_other_observation_modes(grasps: minari.MinariDataset, root: Path) -> None:
    few = demos.subsample(grasps, "ours/few-v0", 2, root=root)
    resampled = processed(few, root, Resample(5), StatesToObs(cameras=("front",), **SMALL))
    env = make_env(resampled)
    assert env.observation_space == resampled.observation_space
    env.close()
    assert resampled.env_spec is None, "no environment has these actions"
    assert (schema_of(resampled).rate, schema_of(resampled).action_space) == (5, resampled.action_space)
    goal = processed(few, root, StatesToObs("goal"))
    assert goal.env_spec is not None
    assert goal.env_spec.kwargs["obs"] == "goal"
    recovered = goal.recover_environment()
    assert recovered.observation_space == goal.observation_space
    recovered.close()
    for before, after in zip(episodes_of(few), episodes_of(goal), strict=True):
        # Only contacts are computed by a step and not by setting a state.
        names = [name for name in schema_of(few).columns or {} if name in (schema_of(goal).columns or {})]
        for name in set(names) - {"gripper/touch"}:
            old, new = (schema_of(d).physical(e, name) for d, e in ((few, before), (goal, after)))
            np.testing.assert_allclose(old, new, atol=1e-5)
    assert check_here(goal.storage.data_path, replay=1).problems == ()
    assert history_of(goal)[-1]["obs"] == "goal"


def test_relabelled_states_can_be_shown(root: Path) -> None:
    reaches = demos.collect("LamReach-v0", episodes=1, root=root)
    shown = processed(reaches, root, Relabel("ee_yaw"), Features(add=("info/quality",)), StatesToObs(**SMALL))
    assert plan_of(shown)["env_kwargs"] == {"control": "ee_yaw", "obs": "pixels", **SMALL}
    assert shown.env_spec is not None
    assert shown.env_spec.kwargs["control"] == "ee_yaw"
    assert shown.env_spec.to_json()


def test_states_that_cannot_be_shown_are_named(grasps: minari.MinariDataset, root: Path) -> None:
    with pytest.raises(ValueError, match="unknown obs 'smell'"):
        StatesToObs("smell")
    with pytest.raises(ValueError, match="'nose'"):
        processed(grasps, root, StatesToObs(cameras=("nose",)))
    foreign = demos.filter_episodes(grasps, "ours/foreign-v0", root=root)
    with h5py.File(foreign.storage.data_path / "main_data.hdf5", "a") as file:
        for group in file.values():
            del group["infos/state"]
    with pytest.raises(ValueError, match="the dataset has no info 'state'"):
        processed(foreign, root, StatesToObs())


def test_images_of_datasets_without_any_are_stored_exactly(root: Path) -> None:
    jpeg = demos.collect("LamReach-v0", episodes=1, jpeg=True, root=root)
    shown = processed(jpeg, root, StatesToObs(image_width=32, image_height=32))
    assert not shown.storage.jpeg_encoding


def test_interventions_keep_the_pairs_of_observation_and_action_of_a_person(tmp_path: Path) -> None:
    source = demos.collect("LamReach-v0", episodes=1, root=tmp_path)
    (episode,) = episodes_of(source)
    with pytest.raises(ValueError, match="they have no info 'intervention'"):
        demos.preprocess(source, [Interventions()], "lam/none-v0", root=tmp_path)
    by_person = np.zeros(len(episode) + 1, dtype=bool)
    steps = np.array([3, 4, 9])
    by_person[steps + 1] = True
    driven = replace(episode, infos={**episode.infos, INTERVENTION: by_person})
    none = replace(driven, infos={**driven.infos, INTERVENTION: np.zeros_like(by_person)})
    metadata = dict(source.storage.metadata)
    plan = {name: metadata[name] for name in metadata if name.startswith("lam_envs_plan")}
    spaces = source.observation_space, source.action_space
    with dataset_writer("lam/driven-v0", *spaces, source.env_spec, plan, root=tmp_path) as writer:
        for each in (driven, none):
            writer.add(each)
    made = demos.preprocess(demos.load("lam/driven-v0", tmp_path), [Interventions()], "lam/own-v0", root=tmp_path)
    (own,) = episodes_of(made)
    np.testing.assert_array_equal(own.observations, episode.observations[[3, 4, 9, 10]])
    np.testing.assert_array_equal(own.actions, episode.actions[steps])
    np.testing.assert_array_equal(own.infos["is_success"], episode.infos["is_success"][[3, 4, 5, 10]])
    assert own.truncations.tolist() == [False, False, True]
    assert check_here("lam/own-v0", tmp_path, replay=1).is_undamaged
    assert demos.replay_states(made).states == 4
