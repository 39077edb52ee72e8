"""Program of teleoperation: makes environment, dataset and server, and runs until it is interrupted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import minari

import lam_envs
from demos.collection.human_demonstrator import TELEOP
from demos.collection.plan import Plan
from demos.runtime.web.access import Address
from demos.runtime.web.hub import Hub
from demos.teleop.hand_page import HandPage
from demos.teleop.inputs import Inputs
from demos.teleop.saved_episodes import SavedEpisodes
from demos.teleop.server import TeleopServer
from demos.teleop.session import Session
from demos.teleop.settings import Recording, SessionSettings, Watched
from lam_envs.bullet.simulation import CONTROL_HZ
from lam_envs.registration import is_lam_env
from lam_envs.validation import unknown_name


def teleop(
    env_id: str,
    recording: Recording,
    settings: SessionSettings,
    address: Address,
    *,
    watched: Watched | None = None,
    hand_tracking: Path | None = None,
    on_start: Callable[[str], None] = lambda url: None,
) -> minari.MinariDataset | None:
    """Serve the page until the program is interrupted.

    Args:
        env_id: Id of an environment of lam_envs, or of your own task.
        recording: Dataset to record.
        settings: Settings of the session.
        address: Address of the server.
        watched: Policy that the person watches and takes over from; None without.
        hand_tracking: Folder with the files of hand tracking; None for a page without it.
        on_start: Called with the address of the page.

    Returns:
        The dataset; None if no episode was kept.

    Raises:
        ValueError: The environment is unknown, or a setting is invalid.
        FileNotFoundError: The folder or a file of hand tracking is missing.
        FileExistsError: A dataset of that id has other settings, an interrupted collection of that id left shards, or
            another process is recording it.
        OSError: The address is in use.
    """
    env_id = env_id.removeprefix("lam_envs:")
    if not is_lam_env(env_id):
        raise ValueError(
            f"{unknown_name('environment', env_id, lam_envs.ENV_IDS)}. For a task of your own, "
            "import the module that registers it: python -m demos --import MODULE teleop ..."
        )
    hand_page = None if hand_tracking is None else HandPage(hand_tracking)
    env_kwargs = recording.env_kwargs_with_limit(env_id)
    plan = Plan(
        env_id,
        env_kwargs,
        seed=recording.seed,
        demonstrator=TELEOP,
        policy=None if watched is None else watched.name,
        keep_failures=settings.keep_failures,
        jpeg=recording.jpeg,
    )
    env = gym.make(env_id, **env_kwargs)
    policy, predict = (None, None) if watched is None else watched.policy_and_predictor(env)
    with address.listen() as listening:
        saved = SavedEpisodes(plan, env, recording.dataset_id, recording.root, overwrite=recording.overwrite)
        access = address.access(listening)
        inputs, hub = Inputs(), Hub()
        session = Session(env, plan, saved, settings, inputs, policy, hub.publish, hub.send, predict)
        about = {
            "environment": env_id,
            "dataset": saved.id,
            "folder": str(saved.folder),
            "episodes": settings.episodes,
            "policy": None if watched is None else watched.name,
            "keep_failures": settings.keep_failures,
            "period_ms": round(1000 / (CONTROL_HZ * settings.real_time_factor)),
        }
        on_start(access.url)
        TeleopServer(access, inputs, hub, session, about, hand_page).run(listening)
    return saved.dataset() if saved.summaries else None
