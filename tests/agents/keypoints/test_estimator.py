"""Positions of objects are estimated from images: labels, keypoints, triangulation and the filter over time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch

from agents.data.demonstrations import DemonstrationData, Transitions
from agents.estimation.detector import STRIDE, TARGET_STD, KeypointDetector, LabeledImages
from agents.estimation.scenes import PixelObservations, Scenes, read_scenes
from agents.estimation.triangulation import LOG_STD, LabeledKeypoints, Triangulation, inverse
from agents.imitation.keypoints.estimator import StateEstimator
from agents.training.loop import LoopSettings, TrainingLoop
from agents.training.randomness import isolated_rng
from demos.datasets.reading import episodes_of

from ...conftest import Make


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
    low, high = LOG_STD
    share = (np.log(std) - low) / (high - low)
    for network in model.networks:
        torch.nn.init.constant_(cast(Any, network)[-1].bias, float(np.log(share / (1.0 - share))))
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


def test_a_network_that_predicts_minimal_uncertainty_still_learns_which_keypoints_are_occluded() -> None:
    with isolated_rng(0):
        model = Triangulation(1, 1)
    torch.nn.init.constant_(cast(Any, model.networks[0])[-1].bias, -8.0)
    is_hidden = torch.arange(200) % 4 == 0
    keypoints = torch.zeros(200, 1, 1, 5)
    keypoints[:, 0, 0, 2] = torch.where(is_hidden, 0.7, 1.5)
    pixels = torch.where(is_hidden, 10.0, 0.1)[:, None, None, None].expand(-1, 1, 1, 2)
    assert float(model.log_std(keypoints).detach().max().exp()) < 0.4
    loop = TrainingLoop(model, LabeledKeypoints(keypoints, pixels), LoopSettings(300, 50, 0.01), seed=0)
    while not loop.is_done:
        loop.epoch()
    found = loop.result().log_std(keypoints).exp()
    assert found[is_hidden].min() > 7.0
    assert found[~is_hidden].max() < 0.6


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


def test_cameras_that_turn_are_refused(scenes: Scenes) -> None:
    turned = scenes.pixels.copy()
    turned[::4, 0] += 10.0
    with pytest.raises(ValueError, match="camera 1 does not stand still, nor does it move with the tool"):
        Triangulation(2, 2).fit(replace(scenes, pixels=turned))
