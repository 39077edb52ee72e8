"""Commands for recordings of people: ``python -m demos human ...``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from demos.collection.collect import collect
from demos.collection.human_demonstrator import HUMAN, KEEP
from demos.commands.arguments import Root
from demos.datasets.episode import KEPT_DEVIATION, PATH_DISTANCE
from demos.datasets.metadata import FAILURES
from demos.human.calibration.board import calibrate_board, write_board
from demos.human.calibration.camera import calibrate_rectangle, frame_of_points, load_camera, save_camera
from demos.human.events import Events, find_events
from demos.human.motion.files import save_motion
from demos.human.motion.hand_motion import make_motion
from demos.human.readers import ReadOptions, choose_track, read_tracks
from demos.human.track import HandTrack
from demos.human.track_files import check_track_name, save_track
from demos.human.video import VideoFrame, first_image, frames_of, track_video
from demos.report.recording_page import write_recording_page
from demos.runtime.console import clear_errors, console, parse_keywords

UPS = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
app = typer.Typer(
    help="Turn recordings of people into demonstrations of the robot.",
    epilog="Example: python -m demos human adapt hand.bvh LamPickPlace-v0 --episodes 100",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Recording = Annotated[Path, typer.Argument(help="File or folder of the recording.")]
HandName = Annotated[str | None, typer.Option("--hand", help="left or right; needed if the recording has both.")]
TrackNumber = Annotated[int | None, typer.Option("--track", help="Number of the track, as inspect lists them.")]
Fps = Annotated[
    float | None,
    typer.Option(help="Frames per second; replaces the rate of the recording. Without either, 30."),
]
ImageSize = Annotated[str | None, typer.Option(help="Size of the images, such as 1280x720.")]
Scale = Annotated[
    str | None,
    typer.Option(help="Scale of OpenPose's coordinates: pixels, 0..1 or -1..1; inferred from them by default."),
]
Order = Annotated[
    str | None, typer.Option(help="Order of the points of plain arrays: mediapipe, mano, aria or webxr.")
]
Unit = Annotated[float | None, typer.Option(help="Length of a unit of the recording, meters.")]
HighIsClosed = Annotated[
    bool,
    typer.Option("--high-is-closed", help="Treat high gripper values of a LeRobot dataset as closed."),
]
Markers = Annotated[
    list[str], typer.Option("--marker", help="Markers of a hand point: index_tip=RFIN or wrist=RWRA,RWRB.")
]
Objects = Annotated[list[str], typer.Option("--object", help="Markers of an object: box=BOX1,BOX2,BOX3.")]
Up = Annotated[str | None, typer.Option(help="Axis that points up: x, y, z, -x, -y or -z.")]
CameraFile = Annotated[
    Path | None, typer.Option("--camera", help="Camera file that `calibrate` wrote; needed for recordings in pixels.")
]
Grasp = Annotated[float | None, typer.Option(help="Time of the grasp, seconds, if it is not found.")]
Release = Annotated[float | None, typer.Option(help="Time of the release, seconds, if it is not found.")]


def add_to(parent: typer.Typer) -> None:
    """Add the commands of this module to an app."""
    app.command(epilog="Example: python -m demos human inspect hand.bvh")(inspect)
    app.command(
        epilog='Example: python -m demos human calibrate --corners "410,300 870,310 1010,590 270,580" '
        "--size 0.297x0.21 --image-size 1280x720 --out camera.json"
    )(calibrate)
    app.command(epilog="Example: python -m demos human track video.mp4 --hand right --out hand.npz")(track)
    app.command(
        epilog="Example: python -m demos human adapt hand.npz LamPickPlace-v0 --camera camera.json --episodes 100"
    )(adapt)
    parent.add_typer(app, name="human")


def inspect(
    recording: Recording,
    hand: HandName = None,
    fps: Fps = None,
    image_size: ImageSize = None,
    scale: Scale = None,
    order: Order = None,
    unit: Unit = None,
    high_is_closed: HighIsClosed = False,
    marker: Markers = [],  # noqa: B006  (typer reads the default, which never changes)
    object_: Objects = [],  # noqa: B006
) -> None:
    """Show the hands, objects, times and events of a recording."""
    with clear_errors():
        options = _options(
            image_size, marker, object_, fps=fps, scale=scale, order=order, hand=hand, unit=unit,
            high_is_closed=high_is_closed,
        )  # fmt: skip
        form, tracks = read_tracks(recording, options)
        console.print(f"{recording}: {form}", soft_wrap=True)
        for number, found in enumerate(tracks):
            table = Table(
                show_header=False, box=None, title=f"track {number}: {found.hand} hand", title_justify="left"
            )
            table.add_column()
            table.add_column(overflow="fold")
            for name, value in _facts(found):
                table.add_row(name, value)
            console.print(table)


def _facts(track: HandTrack) -> list[tuple[str, str]]:
    """Return what a track shows, by name."""
    seen = track.seen
    gaps = ", ".join(f"{start:.2f} to {end:.2f} s" for start, end in track.gaps[:10])
    aperture = track.aperture
    palm = float(np.nanmedian(track.palm_size)) if track.has_palm else math.nan
    unit = "pixels" if track.frame == "image" else "m"
    events = find_events(track)
    objects = {name: np.ptp(positions[np.isfinite(positions).all(axis=1)], axis=0, keepdims=True)
               for name, positions in track.objects.items() if np.isfinite(positions).any()}  # fmt: skip
    return [
        ("source", track.source),
        ("frame", f"{track.frame}, up is {track.up or 'unknown'}" if track.frame != "image" else "image"),
        ("frames", f"{len(track.times)}, {track.rate:.2f} per second, {track.times[-1] - track.times[0]:.2f} s"),
        ("hand is seen", f"in {int(seen.sum())} frames ({100 * seen.mean():.0f}%)"),
        ("gaps", f"{len(track.gaps)}: {gaps}" if gaps else "none"),
        ("points", f"{int((track.confidence > 0).any(axis=0).sum())} of 21"),
        (
            "thumb to index finger",
            f"{np.nanmin(aperture):.3g} to {np.nanmax(aperture):.3g} {unit}" if track.has_fingers else "not seen",
        ),
        ("palm", f"{palm:.3g} {unit}" if math.isfinite(palm) else "not seen"),
        *((f"object {name}", f"moves within {np.linalg.norm(size):.3f} m") for name, size in objects.items()),
        ("events", _events_text(events)),
    ]


def _events_text(events: Events) -> str:
    if events.grasp is None:
        return f"no grasp found: {events.reason}"
    release = "holds on to the end" if events.release is None else f"release at {events.release:.2f} s"
    if events.release is None and events.reason:
        release += f", as no release was found: {events.reason}"
    certain = f", +- {2 * events.uncertainty:.2f} s" if events.uncertainty else ""
    return f"grasp at {events.grasp:.2f} s, {release} (by {events.method}{certain})"


def calibrate(
    out: Annotated[Path, typer.Option(help="JSON file to write; with --print-board an SVG file.")],
    corners: Annotated[
        str | None,
        typer.Option(help="Pixels of a rectangle's corners on the table, in order: 'x,y x,y x,y x,y'."),
    ] = None,
    size: Annotated[str | None, typer.Option(help="Length of its first and second side, meters: 0.297x0.21.")] = None,
    image_size: ImageSize = None,
    focal: Annotated[float | None, typer.Option(help="Focal length, pixels; by default the corners give it.")] = None,
    field_of_view: Annotated[
        float | None, typer.Option(help="Horizontal field of view in degrees, in place of the focal length.")
    ] = None,
    board: Annotated[
        Path | None, typer.Option(help="Image or video that shows the printed board, in place of corners.")
    ] = None,
    print_board: Annotated[bool, typer.Option("--print-board", help="Write the board to print, and stop.")] = False,
) -> None:
    """Compute the camera from the corners of a rectangle of known size, such as a sheet of paper, or from a board."""
    with clear_errors():
        if print_board:
            console.print(f"wrote {write_board(out)}", soft_wrap=True)
            return
        if field_of_view is not None:
            width = _size(image_size, "--image-size")[0]
            if not 5 < field_of_view < 170:
                raise ValueError(f"--field-of-view {field_of_view:g}; expected 5 to 170 degrees")
            focal = width / 2 / math.tan(math.radians(field_of_view) / 2)
        if board is not None:
            camera = calibrate_board(first_image(board), focal=focal)
        else:
            if corners is None or size is None:
                raise ValueError("the corners or their size are missing: pass --corners and --size, or --board")
            pixels = [_pair(corner, ",", "--corners") for corner in corners.split()]
            camera = calibrate_rectangle(
                pixels, _pair(size, "x", "--size"), _size(image_size, "--image-size"), focal=focal
            )
        save_camera(camera, out)
        x, y, z = camera.pose[:3, 3]
        console.print(f"focal length {camera.intrinsics[0, 0]:.0f} pixels; camera {z:.2f} m above the table, "
                      f"{math.hypot(x, y):.2f} m to the side")  # fmt: skip
        console.print(f"wrote {out}", soft_wrap=True)


def track(
    video: Annotated[Path, typer.Argument(help="Video file.")],
    out: Annotated[Path, typer.Option(help="File to write: .npz or .json.")],
    hand: HandName = None,
    model: Annotated[Path | None, typer.Option(help="Model file; that of make hand-model by default.")] = None,
) -> None:
    """Find the hand in a video, on this machine. Needs the extra human, and make hand-model once."""
    with clear_errors():
        if hand not in (None, "left", "right"):
            raise ValueError(f"--hand {hand}; expected left or right")
        check_track_name(out)
        tracks = track_video(frames_of(video), hand=hand, model=model, source=video.name)  # type: ignore[arg-type]
        if len(tracks) > 1:
            counts = ", ".join(f"{each.hand} in {int(each.seen.sum())}" for each in tracks)
            raise ValueError(
                f"the video of {len(tracks[0].times)} frames shows two hands ({counts} frames); expected one: select "
                "it with --hand left or --hand right"
            )
        (found,) = tracks
        save_track(found, out)
        console.print(f"{found.hand} hand in {int(found.seen.sum())} of {len(found.times)} frames")
        console.print(f"wrote {out}", soft_wrap=True)


def adapt(
    recording: Recording,
    env: Annotated[str, typer.Argument(help="Environment id, such as LamPickPlace-v0.")],
    episodes: Annotated[int, typer.Option(help="Number of episodes to record.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed from which the seed of each episode is derived.")] = 0,
    workers: Annotated[int, typer.Option(help="Number of processes.")] = 1,
    camera: CameraFile = None,
    table: Annotated[
        str | None,
        typer.Option(
            help='Three points of the table in a metric recording: origin, along x, toward y: "x,y,z x,y,z x,y,z".'
        ),
    ] = None,
    up: Up = None,
    grasp: Grasp = None,
    release: Release = None,
    hand: HandName = None,
    number: TrackNumber = None,
    fps: Fps = None,
    image_size: ImageSize = None,
    scale: Scale = None,
    order: Order = None,
    unit: Unit = None,
    high_is_closed: HighIsClosed = False,
    marker: Markers = [],  # noqa: B006  (typer reads the default, which never changes)
    object_: Objects = [],  # noqa: B006
    keep: Annotated[
        float | None,
        typer.Option(help="Fraction of the person's deviation to keep, 0 to 1; by default as much as fits."),
    ] = None,
    speed: Annotated[
        float,
        typer.Option(
            help="Speed of the imitation, as a multiple of the person's; with a large number, such as 10, the robot "
            "moves as fast as it can."
        ),
    ] = 1.0,
    keep_failures: Annotated[bool, typer.Option(help="Keep episodes that fail.")] = False,
    env_kwargs: Annotated[
        list[str], typer.Option("--env-kwargs", help="Keyword of the environment, name=value; may be repeated.")
    ] = [],  # noqa: B006
    save: Annotated[
        Path | None, typer.Option("--save-motion", help="JSON file to write the motion to, which suites read.")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="HTML page that plays the recording beside the robot.")] = None,
    video: Annotated[Path | None, typer.Option(help="Video that the recording is from, for the page.")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Id of the dataset.")] = None,
    root: Root = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a dataset of that id that has other settings.")] = False,
) -> None:
    """Record episodes in which the robot imitates the recording, in scenes that seeds sample."""
    with clear_errors():
        options = _options(
            image_size, marker, object_, fps=fps, scale=scale, order=order, hand=hand, unit=unit,
            high_is_closed=high_is_closed,
        )  # fmt: skip
        _, tracks = read_tracks(recording, options)
        chosen = choose_track(tracks, hand, number)
        if up is not None:
            chosen = _with_up(chosen, up, table)
        events = find_events(chosen, grasp=grasp, release=release)
        motion = make_motion(
            chosen,
            events,
            camera=None if camera is None else load_camera(camera),
            frame=None if table is None else frame_of_points(*_points(table)),
        )
        motion = replace(motion, speed=speed)
        console.print(_events_text(events))
        console.print(motion.source, soft_wrap=True)
        if save is not None:
            console.print(f"wrote {save_motion(motion, save)}", soft_wrap=True)
        plan = motion.as_json() if keep is None else {**motion.as_json(), KEEP: _fraction(keep)}
        dataset = collect(
            env,
            episodes=episodes,
            seed=seed,
            workers=workers,
            demonstrator=HUMAN,
            motion=plan,
            keep_failures=keep_failures,
            env_kwargs=parse_keywords(env_kwargs),
            dataset_id=id_,
            root=root,
            overwrite=overwrite,
            progress=True,
        )
        recorded = list(dataset.iterate_episodes())
        kept = [float(episode.infos[KEPT_DEVIATION][-1]) for episode in recorded]
        distance = np.concatenate([episode.infos[PATH_DISTANCE][1:] for episode in recorded])
        attempts = len(recorded) + int(dataset.storage.metadata.get("lam_envs_dropped", 0))
        succeeded = sum(bool(episode.infos["is_success"][-1]) for episode in recorded)
        console.print(f"{succeeded} of {attempts} attempts succeeded ({100 * succeeded / attempts:.1f}%)")
        for reason, count in dict(dataset.storage.metadata.get(FAILURES, {})).items():
            console.print(f"  {reason}: {count}")
        if len(motion.approach) < 2:
            console.print("the recording does not show the approach: the robot moves straight to the object")
        console.print(
            f"kept {100 * np.mean(kept):.0f}% of the person's deviation from straight lines; "
            f"{1000 * np.median(distance):.0f} mm from their path (median)"
        )
        console.print(f"{dataset.id}: {dataset.total_episodes} episodes, {dataset.total_steps} steps")
        console.print(f"in {dataset.storage.data_path}", soft_wrap=True)
        if page is not None:
            written = write_recording_page(chosen, events, dataset, page, video=_video(video))
            console.print(f"wrote {written}", soft_wrap=True)


def _video(path: Path | None) -> Iterator[VideoFrame] | None:
    return None if path is None else frames_of(path)


def _options(image_size: str | None, markers: list[str], objects: list[str], **others: Any) -> ReadOptions:
    return ReadOptions(
        image_size=None if image_size is None else _size(image_size, "--image-size"),
        markers=_named_markers(markers, "--marker"),
        objects=_named_markers(objects, "--object") or None,
        **others,
    )


def _named_markers(assignments: list[str], option: str) -> dict[str, list[str]]:
    named = {}
    for assignment in assignments:
        name, equals, markers = assignment.partition("=")
        if not equals or not name or not markers:
            raise ValueError(f"{option} {assignment!r}: expected name=MARKER or name=MARKER,MARKER")
        named[name] = markers.split(",")
    return named


def _pair(text: str, separator: str, option: str) -> tuple[float, float]:
    try:
        one, two = (float(part) for part in text.split(separator))
    except ValueError:
        raise ValueError(f"{option} {text!r}: expected two numbers, as in 1{separator}2") from None
    return one, two


def _size(text: str | None, option: str) -> tuple[int, int]:
    if text is None:
        raise ValueError(f"{option} is missing; expected the size of the images, such as 1280x720")
    width, height = _pair(text, "x", option)
    return int(width), int(height)


def _points(text: str) -> list[list[float]]:
    try:
        points = [[float(part) for part in point.split(",")] for point in text.split()]
    except ValueError:
        points = []
    if len(points) != 3 or any(len(point) != 3 for point in points):
        raise ValueError(f'--table {text!r}: expected three points, as in "0,0,0 1,0,0 0,1,0"')
    return points


def _fraction(keep: float) -> float:
    if not 0 <= keep <= 1:
        raise ValueError(f"--keep {keep:g}; expected a number from 0 to 1")
    return keep


def _with_up(track: HandTrack, up: str, table: str | None) -> HandTrack:
    """Return a metric track with a direction up.

    Raises:
        ValueError: It is unknown or superfluous.
    """
    if track.frame == "image":
        raise ValueError(
            f"--up {up}, and the recording is in pixels; expected a camera, which defines the table: leave out --up, "
            "and give --camera"
        )
    if table is not None:
        raise ValueError(f"--up {up} and --table {table}; expected one of them: the table defines where up is")
    axis = UPS.get(up.removeprefix("-"))
    if axis is None:
        raise ValueError(f"--up {up!r}; expected x, y, z, -x, -y or -z")
    sign = -1.0 if up.startswith("-") else 1.0
    x, y, z = axis
    return replace(track, up=(sign * x, sign * y, sign * z))
