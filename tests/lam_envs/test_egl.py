"""Several scenes, threads and processes render with EGL, although OpenGL has one state in each of them.

Without EGL, the error says so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from lam_envs.bullet import egl
from lam_envs.bullet.quiet import SuppressOutput

from ..conftest import Make
from .test_cameras import point_cloud
from .traces import fingerprint

SMALL: dict[str, Any] = {"renderer": "egl", "image_width": 32, "image_height": 32, "depth": True}
LOOKED_AT: dict[str, Any] = {"renderer": "egl", "render_mode": "rgb_array", "render_width": 32, "render_height": 32}
SEED = 3

Alone = tuple[gym.Env[Any, Any], str]


def observed(env: gym.Env[Any, Any]) -> str:
    """Return the fingerprint of the first observation of an episode."""
    return fingerprint([env.reset(seed=SEED)[0]])


def rendered(env: gym.Env[Any, Any]) -> str:
    """Return the fingerprint of ``render`` for the same state."""
    env.reset(seed=SEED)
    return fingerprint([env.render()])


@pytest.fixture(scope="module")
def alone() -> Iterator[Alone | None]:
    """First environment of this process with EGL, and its observation; None without EGL."""
    env = gym.make("LamReachPixels-v0", **SMALL)
    try:
        seen = observed(env)
    except RuntimeError as trouble:
        assert 'renderer="egl" needs OpenGL' in str(trouble)  # noqa: PT017  (either way is right)
        yield None
        return
    yield env, seen
    env.close()


@pytest.mark.slow
def test_scenes_that_are_drawn_in_turn_look_as_each_does_alone(make: Make, alone: Alone | None) -> None:
    if alone is None:
        return
    reach, seen_by_reach = alone
    push = make("LamPushPixels-v0", **SMALL)
    seen = observed(push)
    # Each time another scene is the last one that was opened.
    for _ in range(2):
        assert observed(reach) == seen_by_reach
        assert observed(push) == seen
        push.close()


@pytest.mark.slow
def test_scenes_that_agents_and_viewers_see_look_as_each_does_alone(make: Make, alone: Alone | None) -> None:
    if alone is None:
        return
    reach, seen_by_reach = alone
    push = make("LamPushPixels-v0", **SMALL)
    seen = observed(push)
    both = make("LamPushPixels-v0", **{**SMALL, **LOOKED_AT})
    assert observed(both) == seen
    shown = rendered(both)
    # Each time another scene is the last one that was opened.
    for _ in range(2):
        assert observed(reach) == seen_by_reach
        assert observed(both) == seen
        assert observed(push) == seen
        assert rendered(both) == shown
        push.close()


def test_any_thread_draws_an_environment(make: Make, alone: Alone | None) -> None:
    if alone is None:
        return
    env, seen = alone
    elsewhere = make("LamReachPixels-v0", **SMALL)
    with ThreadPoolExecutor(2) as threads:
        # The first was opened by this thread, the other is by one of those.
        assert list(threads.map(observed, (env, elsewhere))) == [seen, seen]
    assert observed(env) == seen
    assert observed(elsewhere) == seen


def test_the_test_of_opengl_finds_modules_where_this_process_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here.py").write_text("import lam_envs")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(egl, "PROBE", "import only_here")
    egl._egl_error.cache_clear()
    assert egl._egl_error() is None
    egl._egl_error.cache_clear()


def test_output_is_visible_again_after_threads_have_suppressed_it_at_the_same_time() -> None:
    started, ended = Event(), Event()
    before = [os.fstat(descriptor) for descriptor in (1, 2)]

    def first() -> None:
        with SuppressOutput():
            started.set()
            assert ended.wait(10)

    def second() -> None:
        assert started.wait(10)
        with SuppressOutput(), SuppressOutput():
            ended.set()
            running.result(10)

    with ThreadPoolExecutor(2) as threads:
        running = threads.submit(first)
        threads.submit(second).result(10)
    for descriptor, was in zip((1, 2), before, strict=True):
        assert os.path.samestat(os.fstat(descriptor), was)


def test_camera_matrices_are_those_of_the_pixels_that_it_draws(alone: Alone | None) -> None:
    if alone is None:
        return
    env: Any = alone[0]
    depth = env.reset(seed=SEED)[0]["front_depth"][..., 0]
    points = point_cloud(depth, env.unwrapped.camera_matrices()["front"])
    level = points[..., 2][np.abs(points[..., 2]) < 0.02]
    # A pixel is 28 mm wide on the table.
    assert level.size > 0.4 * depth.size
    assert np.quantile(np.abs(level), 0.9) < 0.001


AFTER_A_FORK = """
import multiprocessing
import gymnasium as gym
import lam_envs

SMALL = {"image_width": 32, "image_height": 32}

def child(sender):
    for use in (env.reset, gym.make("LamReachPixels-v0", renderer="egl").reset):
        try:
            use(seed=0)
        except RuntimeError as error:
            assert 'forked' in str(error) and '"spawn"' in str(error), error
        else:
            raise AssertionError("it drew")
    env.close()
    gym.make("LamReachPixels-v0", **SMALL).reset(seed=0)
    sender.send("fine")

env = gym.make("LamReachPixels-v0", renderer="egl", **SMALL)
seen = env.reset(seed=0)[0]
context = multiprocessing.get_context("fork")
receiver, sender = context.Pipe(duplex=False)
process = context.Process(target=child, args=(sender,))
process.start()
sender.close()
assert receiver.recv() == "fine"
process.join()
assert (env.reset(seed=0)[0]["front"] == seen["front"]).all()
"""


@pytest.mark.slow
def test_after_a_fork_the_error_names_spawn_and_the_parent_draws_on(alone: Alone | None) -> None:
    if alone is None:
        return
    done = subprocess.run([sys.executable, "-c", AFTER_A_FORK], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_driver_that_the_plugin_cannot_share_is_refused(
    make: Make, alone: Alone | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if alone is None:
        return
    env, seen = alone
    # As if the objects of the first context had had other names.
    monkeypatch.setattr(egl, "_first_names", ((1,), (2,)))
    with pytest.raises(RuntimeError, match="only one scene in a process: use one process for each environment"):
        make("LamReachPixels-v0", **SMALL).reset(seed=SEED)
    assert observed(env) == seen
