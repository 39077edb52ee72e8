"""Agent ``keypoints`` learns to see where objects are, remembers what is hidden, and acts on the positions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
import torch

import agents
import demos
from agents.data.demonstrations import DemonstrationData, Transitions
from agents.imitation.keypoints.detector import STRIDE, TARGET_STD, KeypointDetector, LabeledImages
from agents.imitation.keypoints.estimator import StateEstimator
from agents.imitation.keypoints.scenes import PixelObservations, Scenes, read_scenes
from agents.imitation.keypoints.triangulation import LabeledKeypoints, Triangulation, inverse
from agents.training.run import Run
from demos.datasets.reading import episodes_of

from ..conftest import Make
from ..lam_envs.traces import fingerprint
from .test_runs import KilledError

SMALL: dict[str, Any] = {
    "detector_epochs": 1, "uncertainty_epochs": 1, "epochs": 1, "batch_size": 16, "hidden_sizes": (8,),
}  # fmt: skip

SIZE = {"image_width": 40, "image_height": 32}


@pytest.fixture(scope="module")
def push(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Demonstrations of LamPushPixels-v0."""
    root = tmp_path_factory.mktemp("push")
    return demos.collect("LamPushPixels-v0", episodes=2, env_kwargs=SIZE, root=root)


@pytest.fixture
def env(make: Make) -> Any:
    return make("LamPushPixels-v0", **SIZE)


def weights(agent: Any) -> str:
    return fingerprint([{key: value.numpy() for key, value in agent.policy.state_dict().items()}])


def test_scenes_are_what_state_observations_would_have_shown(push: Any, env: Any, make: Make) -> None:
    data = DemonstrationData(push)
    scenes = read_scenes(data, PixelObservations.of(env))
    state_env = make("LamPush-v0")
    first = next(iter(episodes_of(push)))
    observation, _ = state_env.reset(seed=first.seed)
    np.testing.assert_array_equal(scenes.states[0], observation)
    for step in range(5):
        observation, *_ = state_env.step(first.actions[step])
        np.testing.assert_allclose(scenes.states[step + 1], observation, atol=1e-5)
    assert scenes.lengths == tuple(len(episode) for episode in episodes_of(push))
    assert len(scenes.states) == len(scenes.pixels) == data.total_steps


@pytest.fixture(scope="module")
def scenes(push: Any) -> Scenes:
    env = gym.make("LamPushPixels-v0", **SIZE)
    found = read_scenes(DemonstrationData(push), PixelObservations.of(env))
    env.close()
    return found


def test_pixels_of_an_object_are_where_its_color_is(scenes: Scenes, push: Any, env: Any) -> None:
    # The slab is the only red thing in the image.
    observed = PixelObservations.of(env)
    assert list(observed.cameras) == ["front", "wrist"]
    slab = observed.objects.index("object/position")
    images = DemonstrationData(push).transitions().observations["front"].numpy().astype(int)
    for number in range(0, 20, 4):
        red = np.argwhere((images[number, ..., 0] > 120) & (images[number, ..., 1] < 80))
        row, column = red.mean(axis=0)
        np.testing.assert_allclose(scenes.pixels[number, 0, slab], (column, row), atol=1.5)


def test_an_object_that_is_hidden_or_outside_an_image_has_no_pixels(scenes: Scenes, push: Any, env: Any) -> None:
    observed, data = PixelObservations.of(env), DemonstrationData(push)
    goal = observed.objects.index("goal/position")
    images = data.transitions().observations["front"].numpy().astype(int)
    is_green = (images[..., 1] > 100) & (images[..., 0] < 80)
    seen = ~np.isnan(scenes.pixels[:, 0, goal]).any(axis=1)
    for number in scenes.rendered:
        count = int(is_green[number].sum())
        # A few pixels of the edge may be seen of a goal whose middle is hidden.
        assert count > 0 if seen[number] else count < 4, number
    assert seen[scenes.rendered].any()
    assert not seen[scenes.rendered].all()
    wrist = scenes.pixels[:, 1]
    assert np.isnan(wrist[scenes.rendered]).any()
    inside = wrist[~np.isnan(wrist).any(axis=2)]
    assert ((inside >= 0) & (inside <= (39, 31))).all()


def test_every_second_step_of_each_episode_is_rendered(scenes: Scenes) -> None:
    first, second = scenes.lengths
    expected = [*range(0, first, 2), *range(first, first + second, 2)]
    np.testing.assert_array_equal(scenes.rendered, expected)
    others = np.setdiff1d(np.arange(first + second), expected)
    assert np.isnan(scenes.pixels[others]).all()


def test_the_loss_of_a_detector_is_the_cross_entropy_with_gaussians() -> None:
    torch.manual_seed(0)
    detector = KeypointDetector({"front": (16, 20)}, 2)
    images = torch.randint(0, 256, (3, 16, 20, 3), dtype=torch.uint8)
    pixels = torch.tensor(
        [[[[4.0, 6.0], [10.0, 3.5]]], [[[0.0, 0.0], [torch.nan] * 2]], [[[19.0, 15.0], [7.2, 8.8]]]]
    )
    batch = LabeledImages(Transitions({"front": images}, torch.zeros(3, 1)), pixels)
    heatmaps = detector.heatmaps({"front": images})[0].detach().numpy().astype(np.float64)
    losses = []
    for step in range(3):
        for number in range(2):
            column, row = pixels[step, 0, number].numpy()
            if np.isnan(column):
                continue
            heat = heatmaps[step, number]
            rows, columns = np.mgrid[: heat.shape[0], : heat.shape[1]] * STRIDE
            target = np.exp(-((columns - column) ** 2 + (rows - row) ** 2) / (2 * TARGET_STD**2))
            target /= target.sum()
            losses.append(-(target * (heat - np.log(np.exp(heat).sum()))).sum())
    np.testing.assert_allclose(detector.compute_loss(batch)[0].item(), np.mean(losses), rtol=1e-5)


def test_an_image_without_an_object_gives_its_heatmap_no_gradient() -> None:
    detector = KeypointDetector({"front": (16, 16)}, 1)
    images = torch.randint(0, 256, (2, 16, 16, 3), dtype=torch.uint8)
    batch = LabeledImages(Transitions({"front": images}, torch.zeros(2, 1)), torch.full((2, 1, 1, 2), torch.nan))
    loss, _ = detector.compute_loss(batch)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0
    assert all(not parameter.grad.any() for parameter in detector.parameters() if parameter.grad is not None)


def test_the_loss_of_the_noise_is_the_likelihood_of_a_gaussian() -> None:
    torch.manual_seed(0)
    model = Triangulation(2, 3)
    steps = LabeledKeypoints(torch.randn(50, 3, 2, 5), torch.randn(50, 3, 2, 2))
    std = model.log_std(steps.keypoints).detach().numpy().astype(np.float64)
    errors = ((steps.keypoints[..., :2] - steps.pixels) ** 2).sum(dim=-1).numpy().astype(np.float64)
    expected = (errors / (2 * np.exp(2 * std)) + 2 * std).mean()
    np.testing.assert_allclose(model.compute_loss(steps)[0].item(), expected, rtol=1e-5)


def test_matrices_are_inverted() -> None:
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(20, 3, 3))
    matrices = roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(3)
    np.testing.assert_allclose(inverse(torch.from_numpy(matrices)).numpy(), np.linalg.inv(matrices), rtol=1e-9)


def exact(scenes: Scenes, std: float) -> tuple[Triangulation, torch.Tensor, torch.Tensor]:
    """Return a triangulation whose keypoints all have the same noise, the exact keypoints, and the tool."""
    model = Triangulation(2, 2)
    model.fit(scenes)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    for network in model.networks:
        torch.nn.init.constant_(cast(Any, network)[-1].bias, float(np.log(std)))
    tool = torch.from_numpy(scenes.tool)
    pixels = model.pixels(torch.from_numpy(scenes.positions), tool)
    return model, torch.cat([pixels, torch.zeros(*pixels.shape[:3], 3)], dim=-1), tool


def test_cameras_are_found_and_see_objects_where_they_are(scenes: Scenes) -> None:
    model, keypoints, _ = exact(scenes, 1.0)
    assert model.get_buffer("is_on_hand").ravel().tolist() == [0.0, 1.0]  # the camera on the hand moves
    seen = np.where(np.isnan(scenes.pixels), np.nan, keypoints[..., :2].transpose(1, 2).numpy())
    difference = np.abs(seen - scenes.pixels)
    assert np.nanmax(difference[:, 0]) < 0.02
    assert np.nanmax(difference[:, 1]) < 0.2  # the hand tilts a little


def test_exact_keypoints_give_exact_positions(scenes: Scenes) -> None:
    model, keypoints, tool = exact(scenes, 0.37)
    positions = model.positions(*model.information(keypoints, tool)).detach().numpy()
    np.testing.assert_allclose(positions, scenes.positions, atol=2e-3)


def test_keypoints_that_are_not_sure_leave_what_is_known_from_demonstrations(scenes: Scenes) -> None:
    model, keypoints, tool = exact(scenes, 50.0)
    positions = model.positions(*model.information(keypoints + 30.0, tool)).detach().numpy()
    mean = scenes.positions.mean(axis=0)
    assert np.abs(positions - mean).max() < 0.5 * np.abs(scenes.positions - mean).max()


def test_positions_over_time_are_those_of_a_kalman_filter(scenes: Scenes, env: Any) -> None:
    estimator = StateEstimator(PixelObservations.of(env))
    estimator.fit(scenes)
    rng = np.random.default_rng(0)
    roots = 200.0 * rng.normal(size=(7, 2, 3, 3))
    matrix = roots @ roots.transpose(0, 1, 3, 2)
    seen = rng.normal(size=(7, 2, 3))
    vector = (matrix @ seen[..., None])[..., 0]
    arrays = (torch.from_numpy(values) for values in (matrix, vector))
    found = estimator.filter_episodes(*arrays, (4, 3)).numpy()
    noise = 1.0 / estimator.get_buffer("motion_precision").double().numpy()
    known_mean = estimator.triangulation.get_buffer("mean").double().numpy()
    known_precision = estimator.triangulation.get_buffer("precision").double().numpy()
    for number in range(2):
        for first, last in ((0, 4), (4, 7)):
            mean, covariance = seen[first, number], np.linalg.inv(matrix[first, number])
            for step in range(first, last):
                if step > first:
                    # Prediction, then correction with the Kalman gain.
                    covariance = covariance + np.diag(noise[number])
                    gain = covariance @ np.linalg.inv(covariance + np.linalg.inv(matrix[step, number]))
                    mean, covariance = mean + gain @ (seen[step, number] - mean), covariance - gain @ covariance
                information = np.linalg.inv(covariance)
                prior = np.diag(known_precision[number])
                expected = np.linalg.solve(information + prior, information @ mean + prior @ known_mean[number])
                np.testing.assert_allclose(found[step, number], expected, rtol=1e-6, atol=1e-9)


def test_a_goal_stays_where_it_was_seen_and_a_slab_moves(scenes: Scenes, env: Any) -> None:
    observed = PixelObservations.of(env)
    estimator = StateEstimator(observed)
    estimator.fit(scenes)
    slab, goal = (observed.objects.index(name) for name in ("object/position", "goal/position"))
    matrix = torch.diag_embed(torch.full((11, 2, 3), 1e5, dtype=torch.float64))
    seen = torch.zeros(11, 2, 3, dtype=torch.float64)
    seen[10] = 1.0  # after ten observations at another position
    found = estimator.filter_episodes(matrix, (matrix @ seen[..., None])[..., 0], (11,))[10]
    assert found[goal, 0].item() == pytest.approx(1 / 11, abs=0.01)
    assert found[slab, 0].item() > 0.3


def test_states_from_exact_positions_are_those_of_the_environment(scenes: Scenes, push: Any, env: Any) -> None:
    data, observed = DemonstrationData(push), PixelObservations.of(env)
    estimator = StateEstimator(observed)
    estimator.fit(scenes)
    found = estimator.state(data.transitions().observations, torch.from_numpy(scenes.positions)).numpy()
    for name in ("tool/position", "tool/velocity", "object/position", "object/relative", "goal/relative"):
        part = observed.state[name].slice
        np.testing.assert_allclose(found[:, part], scenes.states[:, part], atol=1e-4, err_msg=name)
    unknown = observed.state["object/velocity"].slice
    np.testing.assert_allclose(
        found[:, unknown], np.broadcast_to(scenes.states[:, unknown].mean(axis=0), (len(found), 3)), atol=1e-6
    )


@pytest.mark.parametrize("learner", ["bc", pytest.param("diffusion", marks=pytest.mark.slow)])
def test_the_same_seed_learns_the_same_from_memory_and_from_files(learner: str, push: Any, env: Any) -> None:
    settings = {**SMALL, "learner": learner}
    if learner != "bc":
        settings = {**settings, "hidden_size": 8, "rotate": False, "mirror": False}
        del settings["hidden_sizes"]
    found = []
    for seed, size in ((3, 2**30), (3, 0), (4, 2**30)):
        agent = agents.make("keypoints", env, **settings)
        agent.learn(DemonstrationData(push, in_memory_bytes=size), env, seed=seed)
        found.append(weights(agent))
    assert found[0] == found[1]
    assert found[0] != found[2]


@pytest.mark.parametrize("epochs", [1, 3, 5])
def test_a_training_that_died_in_any_part_ends_with_the_same_weights(
    epochs: int, push: Any, env: Any, tmp_path: Path
) -> None:
    settings = {**SMALL, "detector_epochs": 2, "uncertainty_epochs": 2, "epochs": 2}
    whole = agents.make("keypoints", env, **settings)
    whole.learn(push, env, seed=0)
    agent = agents.make("keypoints", env, **settings)
    with pytest.raises(KilledError):
        agent.learn(push, env, seed=0, run=DiesAfter(tmp_path / "run", epochs))
    agent = agents.make("keypoints", env, **settings)
    agent.learn(push, env, seed=0, run=Run(tmp_path / "run"))
    assert weights(agent) == weights(whole)


class DiesAfter(Run):
    """Run that dies after some checkpoints, one of each epoch."""

    def __init__(self, folder: Path, checkpoints: int) -> None:
        super().__init__(folder)
        self._left = checkpoints

    def checkpoint(self, state: Any, *, now: bool = False) -> None:
        if self._left == 0:
            raise KilledError
        self._left -= 1
        super().checkpoint(state, now=True)


def test_actions_follow_from_images_and_an_agent_is_saved_and_loaded(push: Any, env: Any, tmp_path: Path) -> None:
    agent = agents.make("keypoints", env, **{**SMALL, "epochs": 20})
    agent.learn(push, env, seed=0)
    loaded = agents.load(agent.save(tmp_path / "agent"), env)
    observation, _ = env.reset(seed=0)
    states: list[Any] = [None, None]
    for _ in range(4):
        action, states[0] = agent.predict(observation, states[0], deterministic=True)
        again, states[1] = loaded.predict(observation, states[1], deterministic=True)
        np.testing.assert_array_equal(action, again)
        assert env.action_space.contains(action)
        observation, *_ = env.step(action)
    other = {**observation, "front": np.roll(observation["front"], 8, axis=1)}
    assert np.abs(agent.predict(other)[0] - agent.predict(observation)[0]).max() > 1e-4


def test_rows_of_a_batch_have_a_memory_each(push: Any, env: Any) -> None:
    agent = agents.make("keypoints", env, **SMALL)
    agent.learn(push, env, seed=0)
    sequences = [[env.reset(seed=seed)[0]] for seed in (0, 1)]
    for each in sequences:
        for _ in range(3):
            each.append(env.step(env.action_space.sample())[0])
    alone = [acted(agent, each) for each in sequences]
    state: Any = None
    for step, rows in enumerate(zip(*sequences, strict=True)):
        batch = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        actions, state = agent.predict(batch, state, np.array([step == 0] * 2), deterministic=True)
        for row in range(2):
            np.testing.assert_allclose(actions[row], alone[row][step], atol=1e-5)


def acted(agent: Any, observations: Any) -> list[Any]:
    """Return the actions of an agent for successive observations."""
    state: Any = None
    found = []
    for observation in observations:
        action, state = agent.predict(observation, state, deterministic=True)
        found.append(action)
    return found


def test_what_it_cannot_learn_from_is_refused(env: Any, make: Make) -> None:
    with pytest.raises(ValueError, match="learns from images of lam_envs, and LamPush-v0 has none"):
        agents.make("keypoints", make("LamPush-v0"))
    with pytest.raises(ValueError, match="reads no instruction"):
        agents.make("keypoints", make("LamPushPixels-v0", instruct=True))
    with pytest.raises(ValueError, match="image_shift is 3, but the policy of agent keypoints acts on positions"):
        agents.make("keypoints", env, image_shift=3)
    with pytest.raises(ValueError, match="learner of agent keypoints is 'gail'"):
        agents.make("keypoints", env, learner="gail")


def test_objects_that_may_be_absent_are_refused(make: Make) -> None:
    with pytest.raises(ValueError, match="needs objects that are always there, and LamTable-v0 has red_cube/present"):
        agents.make("keypoints", make("LamTable-v0", obs="pixels", **SIZE))


def test_demonstrations_with_a_longer_tool_are_refused(env: Any, tmp_path: Path) -> None:
    longer = {**SIZE, "tool_length_offset": 0.03}
    data = demos.collect("LamPushPixels-v0", episodes=1, env_kwargs=longer, keep_failures=True, root=tmp_path)
    with pytest.raises(ValueError, match=r"has tool_length_offset=0.03: the robot does not observe where its tool"):
        agents.make("keypoints", env, **SMALL).learn(data, env, seed=0)


def test_cameras_that_turn_are_refused(scenes: Scenes) -> None:
    turned = scenes.pixels.copy()
    turned[::4, 0] += 10.0
    with pytest.raises(ValueError, match="camera 1 does not stand still, nor does it move with the tool"):
        Triangulation(2, 2).fit(replace(scenes, pixels=turned))


def test_an_untrained_agent_acts(env: Any) -> None:
    agent = agents.make("keypoints", env)
    action, _ = agent.predict(env.reset(seed=0)[0], deterministic=True)
    assert env.action_space.contains(action)


@pytest.mark.parametrize(
    ("env_id", "keywords"),
    [
        ("LamReachPixels-v0", {"depth": True, "cameras": ("front",)}),
        pytest.param("LamGraspPixels-v0", {"control": "joint"}, marks=pytest.mark.slow),
        pytest.param("LamGraspPixels-v0", {"control": "discrete"}, marks=pytest.mark.slow),
        pytest.param("LamInsertPixels-v0", {"robot": "ur5e"}, marks=pytest.mark.slow),
    ],
)
def test_it_learns_with_other_cameras_controls_and_robots(
    env_id: str, keywords: dict[str, Any], make: Make, tmp_path: Path
) -> None:
    keywords = {**SIZE, **keywords}
    env = make(env_id, **keywords)
    data = [demos.collect(env_id, episodes=1, seed=seed, env_kwargs=keywords, root=tmp_path) for seed in (0, 1)]
    agent = agents.make("keypoints", env, **SMALL)
    agent.learn(data, env, seed=0)
    action, _ = agent.predict(env.reset(seed=0)[0], deterministic=True)
    assert env.action_space.contains(action if env.action_space.shape else np.asarray(action).item())


def test_demonstrations_without_states_are_refused(push: Any, env: Any) -> None:
    data = DemonstrationData(push)
    for episode in data.iterate_episodes():
        del episode.infos["state"]
    with pytest.raises(ValueError, match=f"episode 0 of dataset {push.id} has no states of the simulator"):
        agents.make("keypoints", env, **SMALL).learn(data, env, seed=0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_finds_the_slab_and_the_goal_of_unseen_episodes(make: Make, tmp_path: Path) -> None:
    env: Any = make("LamPushPixels-v0")
    data = demos.collect("LamPushPixels-v0", episodes=40, seed=11, root=tmp_path)
    agent = agents.make("keypoints", env, epochs=1)
    agent.learn(data, env, seed=0)
    errors = []
    for seed in range(10):
        observation, _ = env.reset(seed=seed)
        memory = agent.policy.initial_memory(1)
        for _ in range(5):
            rows = {name: torch.as_tensor(values)[None] for name, values in observation.items()}
            with torch.no_grad():
                state, sums = agent.policy.estimate(rows, memory)
            memory = {**memory, **sums}
            true = env.unwrapped.features()
            layout = agent._observed.state
            for name in ("object/position", "goal/position"):
                part = layout[name]
                found = state[0, part.slice].numpy() * part.scale + part.center
                errors.append(float(np.linalg.norm((found - true[name])[:2])))
            observation, *_ = env.step(env.action_space.sample())
    assert np.median(errors) < 0.015
