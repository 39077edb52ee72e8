"""Command ``python -m agents talk``: a person gives instructions in a terminal or on a web page."""

from __future__ import annotations

import gc
import importlib.util
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agents.evaluation.evaluation import make_env
from agents.folders import read_description
from agents.training.arguments import EnvId, EnvKeywords, SavedAgent
from agents.training.saving.sources import saved_source
from demos.commands import teleop as driving
from demos.runtime.console import clear_errors, console, parse_keywords
from demos.runtime.web.access import Address
from lam_envs.observation.instructions import check_instruction

if TYPE_CHECKING:
    from agents.deployment.talk.conversation import Conversation  # it imports PyTorch, which not every command needs

TALK_EXAMPLE = "Example: python -m agents talk runs/lam --env LamTable-v0 --web"


def talk(
    agent: SavedAgent,
    env: EnvId,
    seed: Annotated[int, typer.Option(help="Seed of the scene.")] = 0,
    max_steps: Annotated[
        int, typer.Option(help="Number of steps after which the robot stops following an instruction.")
    ] = 200,
    instruction: Annotated[
        list[str], typer.Option(help="Instruction to follow instead of typed ones. Repeat it for more.")
    ] = [],  # noqa: B006  (typer reads the default; nobody changes it)
    video: Annotated[
        Path | None, typer.Option(help="MP4, WebP or GIF file for a video of the session, with the instructions.")
    ] = None,
    web: Annotated[
        bool, typer.Option("--web", help="Serve a page with live images instead, and print its address.")
    ] = False,
    host: driving.Host = "127.0.0.1",
    port: driving.Port = 8765,
    token: driving.Token = False,
    real_time_factor: driving.RealTimeFactor = 1.0,
    cameras: driving.Cameras = "front,wrist",
    image_size: driving.ImageSize = 320,
    env_kwargs: EnvKeywords = [],  # noqa: B006
) -> None:
    """Give a saved agent instructions, which it follows in one scene; an empty line ends the session.

    It reports words that it has not learned, and objects that are not in the scene. With --web, you give
    instructions on a page, whose address is printed; end the program with Ctrl-C. With --video, Ctrl-C ends the
    session, and the video is written.
    """
    with clear_errors("interrupted"):
        if web and (video is not None or instruction):
            raise ValueError("--web is given with --video or --instruction; expected one of them")
        if web and importlib.util.find_spec("aiohttp") is None:
            raise ModuleNotFoundError("--web needs aiohttp: pip install 'lam-envs[teleop]'", name="aiohttp")
        if max_steps < 1:
            raise ValueError(f"--max-steps is {max_steps}; expected at least 1")
        # Before any is followed: an error later would lose the video.
        for each in instruction:
            check_instruction("--instruction", each)
        # Late: they import PyTorch, which not every command needs.
        from agents.deployment.talk.conversation import Conversation
        from agents.deployment.talk.video import captioned_frames, write_conversation
        from agents.imitation.lam.agent import Lam

        folder = saved_source(agent, "talk to").folder
        name = read_description(folder).get("agent")
        if name != Lam.spec.name:
            raise ValueError(f"talk needs an agent that follows instructions: {Lam.spec.name}; {agent} holds {name}")
        environment = make_env(env, **{"instruct": True, **parse_keywords(env_kwargs, "--env-kwargs")})
        conversation = Conversation(Lam.load(folder, environment).policy, environment, seed)
        if web:
            from agents.deployment.talk.program import serve
            from agents.deployment.talk.session import TalkSettings

            settings = TalkSettings(seed, max_steps, tuple(cameras.split(",")), image_size, real_time_factor)
            serve(
                conversation, environment, f"{folder.name} in {env}", settings, Address(host, port, token), _started
            )
            # Without this, the garbage collection at exit takes 0.8 s of a core.
            gc.freeze()
            return
        console.print(f"The scene has: {', '.join(conversation.objects)}")
        if not instruction:
            console.print(f"Type an instruction, such as: {conversation.instruction}")
        if video is None:
            deque(_dialogue(conversation, instruction or _typed(), max_steps), maxlen=0)
        else:
            with _EndedByInterrupt() as ended:
                instructions = ended.asked(instruction or _typed())
                steps = ended.until(_dialogue(conversation, instructions, max_steps))
                frames = captioned_frames(environment, steps)
                written = write_conversation(frames, video, environment.metadata["render_fps"])
            console.print(f"wrote {written}", soft_wrap=True)
        environment.close()


def _started(url: str) -> None:
    console.print(f"open {url}", soft_wrap=True)
    console.print("end with Ctrl-C")


class _EndedByInterrupt:
    """Session that the first Ctrl-C ends, wherever it comes, so that its video is complete."""

    def __enter__(self) -> _EndedByInterrupt:
        self._is_over = self._is_asking = False
        self._before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _interrupt(self, *_: object) -> None:
        if self._is_over or self._is_asking:
            raise KeyboardInterrupt
        self._is_over = True

    def asked(self, instructions: Iterable[str]) -> Iterator[str]:
        """Yield the instructions that a person gives, until Ctrl-C."""
        following = iter(instructions)
        while True:
            self._is_asking = True
            try:
                instruction = next(following)
            except (StopIteration, KeyboardInterrupt):
                return
            finally:
                self._is_asking = False
            yield instruction

    def until(self, steps: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        """Yield the steps of the session until Ctrl-C."""
        for step in steps:
            yield step
            if self._is_over:
                return


def _typed() -> Iterator[str]:
    """Yield the instructions that a person types, until an empty line."""
    while True:
        try:
            instruction = console.input("> ").strip()
        except EOFError:
            return
        if not instruction:
            return
        try:
            yield check_instruction("the instruction", instruction)
        except ValueError as error:
            console.print(f"error: {error}", markup=False, soft_wrap=True)


def _dialogue(conversation: Conversation, instructions: Iterable[str], max_steps: int) -> Iterator[tuple[str, str]]:
    """Follow instructions; yield the instruction and what was answered after each step, and each refusal once."""
    from agents.deployment.talk.conversation import Outcome

    for instruction in instructions:
        answers = conversation.answers(instruction)
        for answer in answers:
            console.print(answer.text)
        said = " ".join(answer.text for answer in answers)
        if any(answer.is_refusal for answer in answers):
            yield instruction, said
            continue
        for _ in conversation.follow(instruction, max_steps):
            if conversation.outcome is Outcome.WORKING:
                yield instruction, said
        text = conversation.result()
        console.print(text)
        yield instruction, text
