"""Command in which a person drives the robot: ``python -m demos teleop``."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from demos.collection.demonstrators import make_policy
from demos.commands.arguments import Root
from demos.commands.collect import print_summary
from demos.experts import make_expert
from demos.runtime.console import clear_errors, console, parse_keywords
from demos.runtime.web.access import Address
from demos.teleop.settings import Recording, SessionSettings, Watched

Episodes = Annotated[int, typer.Option(help="Number of episodes to record; you may record more.")]
Seed = Annotated[int, typer.Option(help="Seed from which the seed of each scene is derived.")]
Host = Annotated[str, typer.Option(help="Host to bind to; other hosts than this machine need a token.")]
Port = Annotated[int, typer.Option(help="Port; 0 for any free one.")]
Token = Annotated[bool, typer.Option("--token", help="Require a token on this machine, too.")]
Seconds = Annotated[float, typer.Option(help="Maximum length of an episode, simulated seconds.")]
RealTimeFactor = Annotated[float, typer.Option(help="Simulated time divided by wall time; 0.5 is half speed.")]
Cameras = Annotated[str, typer.Option(help="One or two cameras of the live images; directions refer to the first.")]
ImageSize = Annotated[int, typer.Option(help="Width and height of a live image, pixels.")]
KeepFailures = Annotated[bool, typer.Option(help="Allow keeping episodes that fail.")]
EnvKeywords = Annotated[
    list[str], typer.Option("--env-kwargs", help="Keyword of the environment, name=value; may be repeated.")
]
Jpeg = Annotated[
    bool, typer.Option(help="Store observed images of at least 32 x 32 pixels as JPEG: smaller, with loss.")
]
Id = Annotated[str | None, typer.Option("--id", help="Id of the dataset; derived from the settings by default.")]
HandTracking = Annotated[
    Path | None,
    typer.Option(
        "--hand-tracking",
        help="Control the robot with your hand in front of a camera: folder with the files that make hand-page "
        "downloads once.",
    ),
]
Overwrite = Annotated[bool, typer.Option(help="Replace a dataset of that id; by default its episodes stay.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to an app."""
    app.command(epilog="Example: python -m demos teleop LamPickPlace-v0 --episodes 20")(teleop)


def teleop(
    env: Annotated[
        str, typer.Argument(help="Environment id, such as LamPickPlace-v0; one of your own needs demos --import.")
    ],
    episodes: Episodes = 20,
    seed: Seed = 0,
    expert: Annotated[bool, typer.Option("--expert", help="Watch the expert, and take over from it.")] = False,
    policy: Annotated[
        str | None,
        typer.Option(
            help="Watch a policy, and take over from it: package.module:Name. For saved agents: agents teleop."
        ),
    ] = None,
    host: Host = "127.0.0.1",
    port: Port = 8765,
    token: Token = False,
    seconds: Seconds = 60.0,
    real_time_factor: RealTimeFactor = 1.0,
    cameras: Cameras = "front,wrist",
    image_size: ImageSize = 240,
    keep_failures: KeepFailures = False,
    env_kwargs: EnvKeywords = [],  # noqa: B006  (typer reads the default, which never changes)
    jpeg: Jpeg = False,
    id_: Id = None,
    root: Root = None,
    overwrite: Overwrite = False,
    hand_tracking: HandTracking = None,
) -> None:
    """Drive the robot in a browser, and record episodes. The same command adds episodes to the same dataset.

    Every kept episode is in the dataset at once. End the program with Ctrl-C.
    """
    with clear_errors():
        if expert and policy is not None:
            raise ValueError("--expert and --policy are both given; expected one of them")
        watched = Watched("expert", make_expert) if expert else None
        if policy is not None:
            watched = Watched(policy, partial(make_policy, policy))
        run(
            env,
            Recording(seed, parse_keywords(env_kwargs), seconds, jpeg, id_, root, overwrite),
            SessionSettings(episodes, tuple(cameras.split(",")), image_size, real_time_factor, keep_failures),
            Address(host, port, token),
            watched,
            hand_tracking,
        )


def run(
    env_id: str,
    recording: Recording,
    settings: SessionSettings,
    address: Address,
    watched: Watched | None,
    hand_tracking: Path | None = None,
) -> None:
    """Serve the page, print its address, and print what was recorded at the end.

    Raises:
        FileNotFoundError: The folder or a file of hand tracking is missing.
        ModuleNotFoundError: aiohttp is not installed.
    """
    if importlib.util.find_spec("aiohttp") is None:
        raise ModuleNotFoundError("teleoperation needs aiohttp: pip install 'lam-envs[teleop]'", name="aiohttp")
    from demos.teleop.program import teleop as serve  # takes long to import, and is optional

    def print_address(url: str) -> None:
        console.print(f"open {url}", soft_wrap=True)
        console.print("end with Ctrl-C; every kept episode is saved at once")

    dataset = serve(
        env_id, recording, settings, address, watched=watched, hand_tracking=hand_tracking, on_start=print_address
    )
    if dataset is None:
        console.print("no episode was kept")
    else:
        print_summary(dataset)
