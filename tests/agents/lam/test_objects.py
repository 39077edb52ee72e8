"""The agent lam finds objects in images: their estimated positions are entities, as they are with features."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest
import torch

import agents
import demos
from agents.data.demonstrations import DemonstrationData
from agents.estimation.scenes import PixelObservations, read_scenes
from agents.imitation.lam.agent import Lam
from agents.imitation.lam.entities import EntityReader, Schema
from agents.imitation.lam.fitting import Fit
from agents.imitation.lam.interface import Interface
from agents.imitation.lam.object_training import join_scenes, with_estimated_states
from agents.imitation.lam.objects import LabeledPresence, ObjectEstimator, PresenceModel, StateAssembler
from agents.imitation.lam.sources import Source, read_source
from agents.training.loop import LoopSettings, TrainingLoop
from agents.training.run import Run

from ...conftest import Make
from ..keypoints.test_agent import DiesAfter
from ..test_runs import KilledError
from .scenes import SMALL, observations_of
from .test_agent import learned, weights

IMAGES: dict[str, Any] = {"image_width": 40, "image_height": 32, "instruct": True}
"""Keywords of environments with small images."""
FIND: dict[str, Any] = {"find_objects": True, "detector_epochs": 1, "uncertainty_epochs": 1}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="module")
def push(root: Path) -> minari.MinariDataset:
    return demos.collect("LamPushPixels-v0", episodes=2, seed=1, env_kwargs=IMAGES, root=root)


@pytest.fixture(scope="module")
def table(root: Path) -> minari.MinariDataset:
    return demos.collect("LamTablePixels-v0", episodes=2, seed=1, env_kwargs=IMAGES, root=root)


@pytest.fixture(scope="module")
def sources(push: Any, table: Any) -> list[Source]:
    return [read_source(each, find_objects=True) for each in (push, table)]


def test_one_model_finds_the_objects_of_each_task(push: Any, table: Any, make: Make, tmp_path: Path) -> None:
    envs = [make("LamPushPixels-v0", **IMAGES), make("LamTablePixels-v0", **IMAGES)]
    agent: Lam = agents.make("lam", envs[0], **SMALL, **FIND)
    agent.learn([push, table], envs, seed=0, budget=1)
    found = agent.policy.network.schema.estimated_objects
    assert {"push goal", "push object", "table red_cube", "table handle"} <= set(found)
    folder = agent.save(tmp_path / "agent")
    for env in envs:
        loaded = agents.load(folder, env)
        assert weights(loaded) == weights(agent)
        observation, state = env.reset(seed=0)[0], None
        for _ in range(3):
            action, state = loaded.predict(observation, state)
            assert env.action_space.contains(action)
            observation = env.step(action)[0]
    attention = loaded.policy.attention(env.reset(seed=0)[0])
    assert {"robot", "instruction", "red_cube", "front", "wrist"} <= attention.keys()


def test_an_instruction_refers_to_an_object_in_images(table: Any, make: Make) -> None:
    env = make("LamTablePixels-v0", **IMAGES)
    policy = learned(env, table, **FIND).policy
    parsed = policy.parsed("lift the red cube")
    assert [policy.reader.names[row] for row, at in enumerate(parsed.mentions) if at >= 0] == ["red_cube"]


def test_a_batch_gives_the_actions_of_single_episodes_and_episode_start_resets_the_memory(
    push: Any, make: Make
) -> None:
    env = make("LamPushPixels-v0", **IMAGES)
    agent = learned(env, push, **FIND, executed_actions=1)
    seen = observations_of(env, range(3))
    first, state = agent.predict(seen)
    later, _ = agent.predict(seen, state)
    assert not np.allclose(first, later, atol=1e-5)
    again, _ = agent.predict(seen, state, episode_start=np.array([True, False, True]))
    for row in range(3):
        alone, _ = agent.predict({name: values[row] for name, values in seen.items()})
        np.testing.assert_allclose(first[row], alone, atol=1e-5)
        np.testing.assert_allclose(again[row], later[row] if row == 1 else first[row], atol=1e-5)


@pytest.mark.parametrize("env_id", ["LamPushPixels-v0", "LamTablePixels-v0"])
def test_true_positions_give_the_state_of_the_simulator(env_id: str, make: Make) -> None:
    env = make(env_id, **IMAGES)
    interface = Interface.of(env, find_objects=True)
    seen = interface.estimated_objects
    assert seen is not None
    reader = StateAssembler(interface.layout, seen, sorted(seen.keys))
    observed = PixelObservations.of(env)
    for seed in range(3):
        observation, _ = env.reset(seed=seed)
        features = env.unwrapped.features()
        state = observed.env.reset(seed=seed)[0]["state"]
        robot = torch.from_numpy(observation["robot"][None])
        order = sorted(range(len(seen.keys)), key=lambda number: seen.keys[number])
        positions = torch.tensor(np.array([features[seen.names[number] + "/position"] for number in order]))
        flags = [features.get(f"{seen.names[number]}/present", [1.0])[0] for number in order]
        presence = torch.tensor([[float(flag) - 0.5 for flag in flags]])
        written = reader(robot, positions[None], presence)[0].numpy()
        unknown = set(seen.unknown(interface.layout))
        for name, part in interface.layout.items():
            expected = np.zeros(len(written[part.slice])) if name in unknown else state[part.slice]
            owner = name.partition("/")[0]
            if features.get(f"{owner}/present", [1.0])[0] > 0.5 or name.endswith("/present"):
                np.testing.assert_allclose(written[part.slice], expected, atol=1e-5, err_msg=name)
    observed.env.close()


def test_the_scenes_of_several_tasks_have_the_objects_of_all(sources: list[Source]) -> None:
    seen = [source.interface.estimated_objects for source in sources]
    names = sorted({key for each in seen if each is not None for key in each.keys})
    scenes, present = join_scenes(sources, names)
    count = len(sources[0])
    assert len(scenes.positions) == len(present) == sum(map(len, sources))
    goal, cube = names.index("push goal"), names.index("table red_cube")
    assert not np.isnan(scenes.positions[:count, goal]).any()
    assert np.isnan(scenes.positions[count:, goal]).all()
    assert np.isnan(scenes.positions[:count, cube]).all()
    assert (present[:count, goal] == 1.0).all()
    assert present[count:, goal].isnan().all()
    assert set(present[count:, cube].tolist()) <= {0.0, 1.0}
    assert scenes.lengths == tuple(length for each in sources for length in lengths(each))
    assert scenes.rendered.max() < len(scenes.positions)


def lengths(source: Source) -> tuple[int, ...]:
    """Return the lengths of the episodes of a source."""
    assert source.scenes is not None
    return source.scenes.lengths


def test_an_object_that_is_absent_has_no_position(table: Any) -> None:
    source = read_source(table, find_objects=True)
    scenes, seen = source.scenes, source.interface.estimated_objects
    assert scenes is not None
    assert seen is not None
    layout = source.interface.layout
    rows = [number for number, name in enumerate(seen.names) if f"{name}/present" in layout]
    flags = [scenes.states[:, layout[f"{seen.names[row]}/present"].slice][:, 0] for row in rows]
    assert rows
    np.testing.assert_array_equal(np.isnan(scenes.positions[:, rows, 0]), np.stack(flags, axis=1) < 0.0)


def test_presence_is_learned_from_heatmaps() -> None:
    rng = torch.Generator().manual_seed(0)
    present = (torch.rand(200, 2, generator=rng) < 0.5).float()
    keypoints = torch.rand(200, 2, 2, 5, generator=rng)
    keypoints[..., 4] += 3.0 * present[:, :, None]
    present[:50, 1] = torch.nan
    examples = LabeledPresence(keypoints, present)
    model = PresenceModel(cameras=2, objects=2)
    loop = TrainingLoop(model, examples, LoopSettings(60, 50, 0.1), seed=0)
    while not loop.is_done:
        loop.epoch()
    logits = loop.result()(keypoints)
    known = ~present.isnan()
    assert ((logits > 0.0) == (present == 1.0))[known].float().mean() > 0.97


def test_the_memory_collects_the_evidence_of_all_images(sources: list[Source]) -> None:
    interface = sources[0].interface
    assert interface.estimated_objects is not None
    estimator = ObjectEstimator(interface.images, interface.estimated_objects.keys).eval()
    torch.nn.init.constant_(estimator.presence.bias, 0.25)
    memory = estimator.initial_memory(2, torch.device("cpu"))
    keypoints = torch.zeros(2, 2, 2, 5)
    for step in range(1, 4):
        _, memory = estimator.update(keypoints, torch.zeros(2, 3), memory)
        torch.testing.assert_close(memory["presence"], torch.full((2, 2), 0.25 * step))


@pytest.mark.parametrize("epochs", [0, 2, 4])
def test_a_training_killed_in_any_stage_resumes_with_the_same_weights(
    epochs: int, push: Any, make: Make, tmp_path: Path
) -> None:
    env = make("LamPushPixels-v0", **IMAGES)
    settings = {**FIND, "epochs": 2}
    whole = weights(learned(env, push, budget=2, **settings))
    with pytest.raises(KilledError):
        learned(env, push, budget=2, run=DiesAfter(tmp_path, epochs), **settings)
    assert weights(learned(env, push, budget=2, run=Run(tmp_path), **settings)) == whole


def test_a_task_whose_objects_the_model_has_not_seen_is_refused(push: Any, make: Make, tmp_path: Path) -> None:
    folder = learned(make("LamPushPixels-v0", **IMAGES), push, **FIND).save(tmp_path / "agent")
    with pytest.raises(
        ValueError, match=r"cannot estimate the positions of reach goal; expected some of push goal, push object"
    ):
        agents.load(folder, make("LamReachPixels-v0", **IMAGES))


def test_features_and_images_can_be_learned_together(push: Any, datasets: Any, make: Make) -> None:
    root, ids = datasets
    pixels, features = make("LamPushPixels-v0", **IMAGES), make("LamReach-v0", instruct=True)
    agent: Lam = agents.make("lam", pixels, **SMALL, **FIND)
    agent.learn([push, demos.load(ids["LamReach-v0"], root)], [pixels, features], seed=0, budget=1)
    assert agent.predict(pixels.reset(seed=0)[0])[0].shape == (4,)


def test_fine_tuning_keeps_the_estimator(push: Any, make: Make, tmp_path: Path) -> None:
    env = make("LamPushPixels-v0", **IMAGES)
    agent = learned(env, push, **FIND)
    tuned = Lam.finetune(agent.save(tmp_path / "agent"), push, env, seed=1, budget=1)
    before, after = (each.policy.network.objects for each in (agent, tuned))
    assert before is not None
    assert after is not None
    assert all(torch.equal(values, after.state_dict()[name]) for name, values in before.state_dict().items())


def test_images_of_other_cameras_are_refused_before_they_are_used(
    push: Any, make: Make, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env, front = make("LamPushPixels-v0", **IMAGES), {**IMAGES, "cameras": ("front",)}
    folder = learned(env, push, **FIND).save(tmp_path / "agent")
    other = demos.collect("LamPushPixels-v0", episodes=1, seed=1, env_kwargs=front, root=root)
    monkeypatch.delattr("agents.imitation.lam.object_training.detected")
    images = r"front \(32 x 40 x 3\)"
    expected = rf"images have the cameras {images}; expected {images}, wrist \(32 x 40 x 3\), as in the other env"
    with pytest.raises(ValueError, match=expected):
        Lam.finetune(folder, other, env, seed=1, budget=1)
    with pytest.raises(ValueError, match=expected):
        agents.make("lam", env, **SMALL, **FIND).learn(push, [env, make("LamPushPixels-v0", **front)], seed=0)


def test_mirrored_demonstrations_have_the_found_positions_and_no_images(push: Any, make: Make) -> None:
    source = read_source(push, find_objects=True)
    interface = source.interface
    assert interface.estimated_objects is not None
    estimator = ObjectEstimator(interface.images, interface.estimated_objects.keys).eval()
    (seen,) = with_estimated_states([source], estimator)
    mirrored = seen.mirrored()
    assert seen.images is not None
    assert mirrored.images is None
    assert (seen.group, mirrored.group) == ("push panda ee images", "push panda ee positions")
    goal = interface.layout["goal/position"].slice
    expected = seen.observations[:, goal] * torch.tensor([1.0, -1.0, 1.0])
    torch.testing.assert_close(mirrored.observations[:, goal], expected)


def test_a_source_and_its_mirrored_copy_have_the_sampling_share_of_a_source_without_images(
    push: Any, datasets: Any, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, ids = datasets
    pixels, features = make("LamPushPixels-v0", **IMAGES), make("LamReach-v0", instruct=True)
    shares: list[Any] = []
    loop = Fit.loop
    monkeypatch.setattr(Fit, "loop", lambda fit, network: shares.append(fit.shares) or loop(fit, network))
    agent: Lam = agents.make("lam", pixels, **SMALL, **FIND, shares={"reach panda ee": 3.0})
    agent.learn([push, demos.load(ids["LamReach-v0"], root)], [pixels, features], seed=0, budget=1)
    assert shares == [{"push panda ee images": 0.5, "push panda ee positions": 0.5, "reach panda ee": 3.0}]


def test_what_is_neither_observed_nor_estimated_is_unknown(make: Make) -> None:
    interface = Interface.of(make("LamGraspPixels-v0", **IMAGES), find_objects=True)
    assert {"gripper/touch", "object/rotation", "object/relative"} <= set(interface.unknown)
    schema = Schema.of([interface.layout])
    flags = {}
    for unknown in ((), interface.unknown):
        reader = EntityReader(interface.layout, schema, unknown)
        table = reader(torch.zeros(1, interface.layout.size))
        robot, thing = (table.values[0, reader.names.index(name)] for name in ("robot", "object"))
        flags[bool(unknown)] = float(robot.sum()), float(thing.sum())
    known = len(schema.sizes["robot"]), len(schema.sizes["object"])
    assert flags[False] == known
    assert flags[True] == (known[0] - 1, 1.0)


def test_an_object_that_is_never_there_leaves_the_others_as_they_are(sources: list[Source]) -> None:
    source = sources[1]
    assert source.scenes is not None
    assert source.interface.estimated_objects is not None
    names = source.interface.estimated_objects.keys
    scenes = replace(source.scenes, positions=source.scenes.positions.copy())
    row = names.index("table slab")
    estimators = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for hidden in (False, True):
            if hidden:
                scenes.positions[:, row] = np.nan
                scenes.pixels[:, :, row] = np.nan
            estimator = ObjectEstimator(source.interface.images, names)
            estimator.fit(scenes)
            estimators.append(estimator.triangulation)
    before, after = estimators
    for name in ("mean", "precision"):
        values = after.get_buffer(name)
        assert values.isfinite().all()
        others = [number for number in range(len(names)) if number != row]
        torch.testing.assert_close(values[others], before.get_buffer(name)[others])
    assert (after.get_buffer("precision")[row] < 1e3).all()


def test_an_environment_with_other_objects_is_refused_before_the_training(
    push: Any, make: Make, tmp_path: Path
) -> None:
    env, other = make("LamPushPixels-v0", **IMAGES), make("LamGraspPixels-v0", **IMAGES)
    agent: Lam = agents.make("lam", env, **SMALL, **FIND)
    message = "cannot estimate the positions of grasp object; expected some of push goal, push object"
    with pytest.raises(ValueError, match=message):
        agent.learn(push, [env, other], seed=0, run=DiesAfter(tmp_path, 0))
    folder = learned(env, push, **FIND).save(tmp_path / "agent")
    with pytest.raises(ValueError, match=message):
        Lam.finetune(folder, push, other, seed=1)


def test_without_the_setting_the_positions_are_not_used(push: Any, make: Make, tmp_path: Path) -> None:
    env = make("LamPushPixels-v0", **IMAGES)
    folder = learned(env, push).save(tmp_path / "agent")
    description = json.loads((folder / "agent.json").read_text())
    assert "find_objects" not in description["settings"]
    assert "estimated_objects" not in description["model"]["schema"]
    assert read_source(push).scenes is None


def test_every_fourth_step_is_rendered(push: Any, make: Make) -> None:
    env = make("LamPushPixels-v0", **IMAGES)
    scenes = read_scenes(DemonstrationData(push), PixelObservations.of(env), render_interval=4)
    start = 0
    expected = []
    for length in scenes.lengths:
        expected += range(start, start + length, 4)
        start += length
    assert scenes.rendered.tolist() == expected
