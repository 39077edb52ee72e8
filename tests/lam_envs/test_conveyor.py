"""A belt carries what lies on it, stays where it is, and belongs to the state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typing_extensions import override

import demos
from lam_envs.bullet.geometry import Motion
from lam_envs.bullet.simulation import Simulation
from lam_envs.tasks import InitialState, make_task
from lam_envs.tasks.conveyor import BELT_TOP, EDGE, Conveyor
from tests.conftest import Make

UP = np.array([0, 0, 1, 0], dtype=np.float32)
STILL = (0.0, 0.0, 0.0)
UNTURNED = (0.0, 0.0, 0.0, 1.0)


def steps(env: Any, count: int) -> dict[str, Any]:
    info: dict[str, Any] = {}
    for _ in range(count):
        *_, info = env.step(UP)
    return info


@pytest.mark.parametrize("randomize", ["none", "physics"])
def test_the_belt_carries_the_cube_at_its_speed_without_trembling(randomize: str, make: Make) -> None:
    env = make("LamConveyor-v0", randomize=randomize)
    inner: Any = env.unwrapped
    directions = set()
    for seed in range(6):
        env.reset(seed=seed)
        belt = inner.simulation.bodies["belt"].surface_velocity
        directions.add(np.sign(belt[1]))
        assert 0.05 <= abs(belt[1]) <= 0.2
        start = inner.features()["object/position"]
        for count in range(1, 21):
            env.step(UP)
            found = inner.features()
            np.testing.assert_allclose(found["object/velocity"], belt, atol=1e-3)
            np.testing.assert_allclose(found["object/position"], start + np.multiply(belt, count / 20), atol=1e-3)
    assert directions == {-1.0, 1.0}


def test_the_belt_takes_along_a_cube_that_is_placed_on_it(make: Make) -> None:
    env = make("LamConveyor-v0")
    inner: Any = env.unwrapped
    env.reset(seed=1)
    body = inner.simulation.bodies["object"]
    body.set_motion(Motion((0.5, 0.0, BELT_TOP + EDGE / 2), UNTURNED, STILL, STILL))
    steps(env, 10)
    belt = inner.simulation.bodies["belt"]
    np.testing.assert_allclose(body.motion().velocity, belt.surface_velocity, atol=1e-3)
    assert belt.motion().position == belt.home


def test_a_cube_that_passes_the_end_of_the_belt_is_lost(make: Make) -> None:
    env = make("LamConveyor-v0")
    inner: Any = env.unwrapped
    env.reset(seed=0)
    end = float(np.sign(inner.simulation.bodies["belt"].surface_velocity[1])) * 0.65
    pose = [0.5, end, BELT_TOP + EDGE / 2, *UNTURNED]
    _, info = env.reset(seed=0, options={"poses": {"object": pose}})
    assert not info["is_lost"]
    steps(env, 25)
    *_, reward, _, _, info = env.step(UP)
    assert info["is_lost"]
    assert reward == -1.0


def test_the_velocity_of_the_belt_is_part_of_the_state(make: Make) -> None:
    one, other = make("LamConveyor-v0"), make("LamConveyor-v0")
    here: Any = one.unwrapped
    there: Any = other.unwrapped
    one.reset(seed=2)
    other.reset(seed=3)
    steps(one, 5)
    belts = [inner.simulation.bodies["belt"] for inner in (here, there)]
    assert belts[0].surface_velocity != belts[1].surface_velocity
    for state in (here.physical_state(), here.get_state()):
        there.set_state(state)
        assert belts[1].surface_velocity == belts[0].surface_velocity
    follow = [[env.step(UP)[0].tolist() for _ in range(10)] for env in (one, other)]
    assert follow[0] == follow[1]


def test_a_state_with_an_impossible_belt_is_refused(make: Make) -> None:
    env = make("LamConveyor-v0")
    inner: Any = env.unwrapped
    env.reset(seed=0)
    state = inner.physical_state()
    at = int(np.flatnonzero(state == inner.simulation.bodies["belt"].surface_velocity[1])[-1])
    state[at] = 3.0
    with pytest.raises(ValueError, match="surface moves with 3 m/s; expected at most 1"):
        inner.set_state(state)


def test_tasks_without_a_belt_keep_the_length_of_their_states(make: Make) -> None:
    sizes = {}
    for name in ("LamGrasp-v0", "LamConveyor-v0"):
        env = make(name)
        env.reset(seed=0)
        inner: Any = env.unwrapped
        sizes[name] = inner.physical_state().size
    assert make_task("grasp").moving_surfaces == ()
    assert sizes["LamConveyor-v0"] - sizes["LamGrasp-v0"] == 3


def test_a_dataset_replays_bit_identically(tmp_path: Path) -> None:
    dataset = demos.collect("LamConveyor-v0", episodes=2, seed=0, demonstrator="noisy", root=tmp_path)
    assert demos.replay(dataset).identical == 2


class WithoutBelt(Conveyor):
    """Task whose scene lacks its belt."""

    @override
    def build_scene(self, simulation: Simulation, scale: float) -> None:
        simulation.add_box("object", size=(0.04, 0.04, 0.04), position=(0.5, 0.0, 0.02), mass=0.1)


class WithoutVelocity(Conveyor):
    """Task that does not set the velocity of its belt."""

    @override
    def sample_initial_state(self, rng: Any, scale: float, command: Any) -> InitialState:
        start = super().sample_initial_state(rng, scale, command)
        return InitialState(start.tool_position, start.desired_goal, start.objects)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (WithoutBelt(), "moving_surfaces of WithoutBelt names belt, which its build_scene does not add"),
        (WithoutVelocity(), "returns velocities of no surfaces; expected those of moving_surfaces: belt"),
    ],
)
def test_a_task_whose_surfaces_do_not_match_is_refused(task: Conveyor, message: str, make: Make) -> None:
    with pytest.raises(ValueError, match=message):
        make("LamReach-v0", task=task).reset(seed=0)
