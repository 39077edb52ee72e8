"""Session of a person on the web page: instructions, answers and live images, in a thread of its own."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from agents.deployment.talk.conversation import Conversation, Outcome
from agents.deployment.talk.messages import Command, parse
from agents.types import Env
from demos.runtime.types import JsonObject
from demos.runtime.web.hub import Hub
from demos.runtime.web.messages import pack
from demos.teleop.settings import SessionSettings
from demos.teleop.view import View
from lam_envs.bullet.simulation import CONTROL_HZ

MAX_ENTRIES = 100
"""Sentences that the page shows; older ones are deleted."""
MAX_WAITING = 20
"""Commands that wait for the robot; a page that sends more gets an error."""
CLOSE, CONNECTED, DISCONNECTED = Command("close"), Command("connected"), Command("disconnected")
"""Commands of the server, which a page cannot send."""


@dataclass(frozen=True)
class TalkSettings:
    """Settings of a session.

    Attributes:
        seed: Seed of the first scene; each further one has the next seed.
        max_steps: Steps after which the robot stops to follow an instruction.
        cameras: Names of the one or two cameras of the live images.
        image_size: Width and height of a live image, pixels.
        real_time_factor: Simulated time per wall time: below 1 for slow motion.
    """

    seed: int = 0
    max_steps: int = 200
    cameras: tuple[str, ...] = ("front", "wrist")
    image_size: int = 320
    real_time_factor: float = 1.0

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: A camera is unknown, there are too many, or a number is out of range.
        """
        SessionSettings(cameras=self.cameras, image_size=self.image_size, real_time_factor=self.real_time_factor)
        if self.max_steps < 1:
            raise ValueError(f"max_steps is {self.max_steps}; expected at least 1")


class TalkSession:
    """Conversation on a page. The robot moves only while a page is connected.

    Args:
        conversation: The conversation, in its first scene.
        env: Its environment.
        settings: Settings.
        hub: Messages to the page.
        clock: Function that returns the time, seconds.
    """

    def __init__(
        self,
        conversation: Conversation,
        env: Env,
        settings: TalkSettings,
        hub: Hub,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._conversation, self._env, self._settings, self._hub = conversation, env, settings, hub
        self._clock = clock
        self._view = View(env, settings.cameras, settings.image_size)
        self._period = 1.0 / (CONTROL_HZ * settings.real_time_factor)
        self._commands: queue.Queue[Command] = queue.Queue()
        self._later: deque[Command] = deque()
        self._is_closed = threading.Event()
        self._log: deque[JsonObject] = deque(maxlen=MAX_ENTRIES)
        self._seed = settings.seed
        self._frame = 0
        self._instruction = ""
        self._result: str | None = None
        self._is_working = False

    # Called by the server

    def connect(self) -> None:
        """Show the scene to a new page."""
        self._commands.put(CONNECTED)

    def receive(self, message: object) -> None:
        """Handle a message of the page.

        Raises:
            ValueError: The message is invalid, or too many wait.
        """
        command = parse(message)
        if command.name == "received":
            self._hub.confirm()
        elif self._commands.qsize() >= MAX_WAITING:
            raise ValueError(f"{MAX_WAITING} messages wait for the robot; send fewer")
        else:
            self._commands.put(command)

    def disconnect(self) -> None:
        """Stop the robot: the page is gone."""
        self._commands.put(DISCONNECTED)

    def close(self) -> None:
        """End the session; commands that wait are not carried out."""
        self._is_closed.set()
        self._commands.put(CLOSE)  # wakes the thread

    # Thread of the session

    def run(self) -> None:
        """Run until the session is closed."""
        try:
            while (command := self._next()) is not CLOSE:
                if command.name == "instruct":
                    self._follow(command.text)
                elif command.name == "scene":
                    self._new_scene()
                else:
                    self._handle(command)
        finally:
            self._env.close()

    def _next(self) -> Command:
        command = self._later.popleft() if self._later else self._commands.get()
        return CLOSE if self._is_closed.is_set() else command

    def _handle(self, command: Command) -> None:
        """Handle a command that is possible at any time."""
        if command is CONNECTED:
            self._show_log()
            self._show_scene()
        elif command.name == "cameras":
            self._view.cameras = command.cameras
        self._show()

    def _new_scene(self) -> None:
        self._seed += 1
        self._conversation.reset(self._seed)
        self._instruction, self._result = "", None
        self._say("robot", f"This is a new scene. It has: {', '.join(self._conversation.objects)}.")
        self._show_scene()
        self._show()

    def _follow(self, instruction: str) -> None:
        """Answer an instruction, and follow it until it ends or another command of the person ends it."""
        self._say("person", instruction)
        answers = self._conversation.answers(instruction)
        for answer in answers:
            self._say("robot", answer.text, "bad")
        self._instruction = instruction
        if any(answer.is_refusal for answer in answers):
            self._result = "refused"
            self._show()
            return
        self._result, self._is_working = None, True
        stopped = self._move(instruction)
        self._is_working = False
        if stopped:
            self._result = "stopped"
            self._say("robot", stopped)
        else:
            self._result = str((self._conversation.outcome or Outcome.STOPPED).value)
            kinds = {Outcome.DONE.value: "good", Outcome.FAILED.value: "bad"}
            self._say("robot", self._conversation.result(), kinds.get(self._result, ""))
        self._show_scene()
        self._show()

    def _move(self, instruction: str) -> str:
        """Follow an instruction in real time; return why it was stopped early, empty if it was not."""
        steps = self._conversation.follow(instruction, self._settings.max_steps)
        due = self._clock()
        while True:
            command = self._due_command(due)
            if command is not None:
                if command is CLOSE or command.name in ("instruct", "scene"):
                    self._later.append(command)
                    return "Stopped: you asked for something else."
                if command.name == "stop":
                    return "Stopped."
                if command is DISCONNECTED:
                    return "Stopped: the page was closed."
                self._handle(command)
                continue
            if next(steps, None) is None:
                return ""
            # A late step does not make the following ones hurry.
            due = max(due + self._period, self._clock())
            self._show()

    def _due_command(self, due: float) -> Command | None:
        """Wait until the next step is due; return a command that comes before, None without one."""
        try:
            wait = due - self._clock()
            command = self._commands.get(timeout=wait) if wait > 0.0 else self._commands.get_nowait()
        except queue.Empty:
            return None
        return CLOSE if self._is_closed.is_set() else command

    # What the page shows

    def _say(self, speaker: str, text: str, kind: str = "") -> None:
        self._log.append({"who": speaker, "text": text, "kind": kind})
        self._show_log()

    def _show_log(self) -> None:
        self._hub.send({"type": "log", "entries": list(self._log)})

    def _show_scene(self) -> None:
        talk = self._conversation
        self._hub.send(
            {"type": "scene", "seed": self._seed, "objects": talk.objects, "suggestions": talk.suggestions()}
        )

    def _show(self) -> None:
        """Send the live images and what the robot does."""
        if self._hub.socket is None:
            return
        self._frame += 1
        state = {
            "type": "state",
            "frame": self._frame,
            "is_working": self._is_working,
            "instruction": self._instruction,
            "result": self._result,
            "step": self._conversation.steps if self._instruction else 0,
            "limit": self._settings.max_steps,
            "cameras": self._view.cameras,
        }
        self._hub.publish(pack(state, self._view.images()))
