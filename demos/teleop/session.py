"""Session of a person: one scene after another, and what is kept of them. It runs in a thread of its own."""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from demos.collection.plan import Plan, episode_seed
from demos.collection.recording import Policy
from demos.datasets.reading import episodes_of
from demos.runtime.types import Env, Info, JsonObject
from demos.runtime.web.messages import pack
from demos.teleop.asking import FailurePredictor
from demos.teleop.driving import Attempt, Closed, Driving, steps_by_person
from demos.teleop.export import export_file
from demos.teleop.inputs import Inputs
from demos.teleop.messages import Command
from demos.teleop.motion import Steering
from demos.teleop.saved_episodes import SavedEpisodes, Summary
from demos.teleop.settings import SessionSettings
from demos.teleop.view import View, time_limit
from lam_envs.bullet.simulation import CONTROL_HZ

MAX_UNDO = 5
"""Decisions that can be taken back, most recent first."""


class Session:
    """Scenes that a person drives in, one after another.

    Args:
        env: Environment of lam_envs with a time limit.
        plan: Plan of the recording.
        saved: Episodes that were kept.
        settings: Settings.
        inputs: Inputs of the person.
        policy: Policy that the person watches and takes over from; None without.
        publish: Function that sends a binary message to the page; it may drop it.
        send: Function that sends a JSON message to the page.
        predict: Failure predictor. The policy asks for help above its threshold; None for one that never asks.
    """

    def __init__(
        self,
        env: Env,
        plan: Plan,
        saved: SavedEpisodes,
        settings: SessionSettings,
        inputs: Inputs,
        policy: Policy | None,
        publish: Callable[[bytes], None],
        send: Callable[[JsonObject], None],
        predict: FailurePredictor | None = None,
    ) -> None:
        self._env, self._plan, self._saved, self._settings = env, plan, saved, settings
        self._inputs, self._publish, self._send = inputs, publish, send
        self._has_policy = policy is not None
        self._view = View(env, settings.cameras, settings.image_size)
        self._steering = Steering(env, settings.cameras[0])
        period = 1.0 / (CONTROL_HZ * settings.real_time_factor)
        self._driving = Driving(env, inputs, self._steering, self, policy, period, predict)
        self._limit = time_limit(env)
        self._phase = "ready"
        self._scene = 0
        self._frame = 0
        self._info: Info = {}
        self._attempt: Attempt | None = None
        self._decisions: deque[tuple[str, Any]] = deque(maxlen=MAX_UNDO)

    def run(self) -> None:
        """Run until the command ``close``."""
        try:
            self._draw_thumbnails()
            while True:
                if self._attempt is None:
                    self._ready()
                elif self._attempt.episode is None:
                    self._drive(self._attempt)
                else:
                    self._review(self._attempt)
        except Closed:
            pass
        finally:
            self._refuse_exports()
            self._saved.close()
            self._env.close()

    # What the page shows

    def show(self) -> None:
        """Send the present scene to the page."""
        if not self._inputs.is_connected:
            return
        self._frame += 1
        self._publish(pack(self._state(), self._view.images()))

    def notice(self, text: str, *, is_error: bool = False) -> None:
        """Show a text on the page."""
        self._send({"type": "notice", "text": text, "error": is_error})

    def _state(self) -> JsonObject:
        driving = self._phase == "driving"
        attempt = self._driving.attempt if driving else self._attempt or Attempt(self._seed())
        info = self._driving.info if driving else self._info
        return {
            "type": "state",
            "frame": self._frame,
            "phase": self._phase,
            "hold": self._driving.hold if driving else None,
            "asks": self._driving.asking.probability if driving and self._driving.asking.is_asking else None,
            "asked": len(attempt.asked),
            "driver": "person" if self._driving.by_person or not driving else "policy",
            "gripper": "open" if self._steering.is_open else "closed",
            "seed": attempt.seed,
            "step": len(attempt.driven),
            "by_person": steps_by_person(attempt.driven),
            "limit": self._limit,
            "hz": round(self._driving.rate, 1) if driving else 0.0,
            "work_ms": round(1000 * self._driving.work, 1),
            "recorded": len(self._saved.summaries),
            "can_undo": bool(self._decisions) if self._phase == "ready" else bool(attempt.driven),
            "cameras": self._view.cameras,
            **self._view.scene(info),
        }

    def _show_episodes(self) -> None:
        self._send({"type": "episodes", "episodes": [_listed(each) for each in self._saved.summaries]})

    def _draw_thumbnails(self) -> None:
        """Draw the last scenes of the episodes of an earlier session."""
        if self._saved.summaries:
            self._env.reset(seed=0)
            for episode in episodes_of(self._saved.dataset()):
                if episode.seed is not None:
                    self._saved.set_thumbnail(episode.seed, self._view.thumbnail(episode))

    # Phases

    def _seed(self) -> int:
        """Return the seed of the present scene, which no kept episode has."""
        used = {summary.seed for summary in self._saved.summaries}
        while (seed := episode_seed(self._plan.seed, self._scene)) in used:
            self._scene += 1
        return seed

    def _ready(self) -> None:
        """Show a scene until the person starts."""
        self._phase = "ready"
        scene = self._scene
        _, self._info = self._env.reset(seed=self._seed())
        self._steering.reset()
        self.show()
        while self._attempt is None and self._scene == scene:
            self._handle(self._command())

    def _drive(self, attempt: Attempt) -> None:
        self._phase = "driving"
        attempt = self._driving.drive(attempt)
        self._info = self._driving.info
        if attempt.episode is None:
            self._discard(attempt)
        else:
            self._attempt = attempt

    def _review(self, attempt: Attempt) -> None:
        """Ask whether to keep a finished episode."""
        self._phase = "review"
        self.show()
        while self._attempt is attempt:
            self._handle(self._command())

    def _command(self) -> Command:
        while (command := self._inputs.command(1.0)) is None:
            pass
        return command

    # Commands

    def _handle(self, command: Command) -> None:
        """Handle a command between episodes."""
        handlers: dict[tuple[str, str], Callable[[], None]] = {
            ("ready", "start"): lambda: self._begin(Attempt(self._seed())),
            ("ready", "skip"): self._next_scene,
            ("ready", "undo"): self._take_back,
            ("review", "keep"): self._keep,
            ("review", "discard"): lambda: self._discard(self._attempt),
            ("review", "rewind"): self._rewind,
        }
        handler = handlers.get((self._phase, command.name))
        try:
            if handler is not None:
                handler()
            elif not self.handle(command) and command.name not in ("gripper", "disconnected"):
                self.notice(f"{command.name} is not possible now", is_error=True)
        except (OSError, ValueError) as error:
            self.notice(f"{command.name}: {error}", is_error=True)

    def handle(self, command: Command) -> bool:
        """Handle a command that is possible in any phase; return False if it is not possible now."""
        if command.name == "close":
            raise Closed
        if command.name == "connected":
            self._show_episodes()
            self.show()
        elif command.name == "cameras":
            self._view.cameras = command.value
            self._steering.camera = command.value[0]
            self.show()
        elif command.name == "export":
            self._export(*command.value)
        elif command.name == "remove" and self._phase != "driving":
            self._decisions.append(("removed", self._saved.remove(command.value)))
            self._show_episodes()
            self.show()
        else:
            return False
        return True

    def _begin(self, attempt: Attempt | None) -> None:
        self._attempt = attempt

    def _next_scene(self) -> None:
        self._attempt = None
        self._scene += 1

    def _keep(self) -> None:
        attempt = self._attempt
        if attempt is None or attempt.episode is None:
            return
        if attempt.episode.success is False and not self._settings.keep_failures:
            raise ValueError("the episode did not succeed; start with --keep-failures to keep failures")
        self._saved.add(attempt.episode, self._view.thumbnail(attempt.episode), attempt.asked)
        self._decisions.append(("kept", attempt.seed))
        self._next_scene()
        self._show_episodes()
        count = len(self._saved.summaries)
        done = f": all {self._settings.episodes} are recorded" if count == self._settings.episodes else ""
        self.notice(f"saved episode {count}{done}")

    def _discard(self, attempt: Attempt | None) -> None:
        if attempt is not None and attempt.driven:
            self._decisions.append(("discarded", attempt))
            self._saved.count_dropped(1)
        self._next_scene()

    def _rewind(self) -> None:
        if self._attempt is not None:
            self._attempt = self._attempt.rewound()

    def _take_back(self) -> None:
        """Take back the last decision: its episode is in hand again."""
        if not self._decisions:
            raise ValueError("there is nothing to undo")
        kind, what = self._decisions[-1]
        if kind == "removed":
            episode, summary = what
            self._saved.add(episode, summary.thumbnail, summary.asked)
            self._decisions.pop()
            self._show_episodes()
            self.show()
            return
        if kind == "kept":
            episode, summary = self._saved.remove(what)
            attempt = Attempt.of(episode, summary.asked)
            self._show_episodes()
        else:
            attempt = what
            self._saved.count_dropped(-1)
        self._decisions.pop()
        if attempt.episode is not None:
            self._info = self._view.restore(attempt.episode)
        self._attempt = attempt

    def _export(self, name: str, folder: Path, result: Future[tuple[Path, list[str]]]) -> None:
        if not result.set_running_or_notify_cancel():
            return  # The page is gone, or the program ends.
        try:
            if self._phase == "driving":
                raise ValueError("finish the episode before you export")
            result.set_result(export_file(self._saved.dataset(), name, folder))
        except Exception as error:  # The server reports it.
            result.set_exception(error)

    def _refuse_exports(self) -> None:
        while (command := self._inputs.command(0.0)) is not None:
            if command.name == "export" and command.value[2].set_running_or_notify_cancel():
                command.value[2].set_exception(ValueError("the program ends"))


def _listed(summary: Summary) -> JsonObject:
    return {
        "seed": summary.seed,
        "steps": summary.steps,
        "success": summary.success,
        "by_person": summary.by_person,
        "thumbnail": base64.b64encode(summary.thumbnail).decode(),
    }
