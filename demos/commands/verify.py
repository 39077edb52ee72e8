"""Commands that verify datasets."""

from __future__ import annotations

from typing import Annotated

import minari
import typer

from demos.check import check as check_dataset
from demos.check import check_target
from demos.check import repair as repair_dataset
from demos.collection.replay import replay as replay_actions
from demos.collection.replay import replay_states
from demos.commands.arguments import EXAMPLE, Dataset, Overwrite, Root
from demos.commands.collect import print_summary
from demos.datasets.loading import load
from demos.datasets.metadata import stores_jpeg
from demos.runtime.console import clear_errors, console, errors


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to an app."""
    app.command(epilog=f"Example: python -m demos replay {EXAMPLE}")(replay)
    app.command(epilog=f"Example: python -m demos check {EXAMPLE}")(check)


def replay(
    dataset: Dataset,
    states: Annotated[
        bool, typer.Option("--states", help="Set the recorded states instead of executing actions.")
    ] = False,
    root: Root = None,
) -> None:
    """Re-execute the recorded actions; exit code 1 if an episode is not bit-identical."""
    with clear_errors():
        opened = load(dataset, root)
        if states:
            _replay_states(opened)
            return
        report = replay_actions(opened, progress=True)
    images = " (images are stored as JPEG and not compared)" if stores_jpeg(opened) else ""
    console.print(
        f"{report.identical} of {report.episodes} episodes bit-identical{images}, {report.successes} successful"
    )
    for episode, part in report.differences:
        errors.print(f"episode {episode}: {part} differ")
    if report.differences:
        errors.print("Another version of the code or of PyBullet, or another processor, may give other episodes.")
        raise typer.Exit(1)


def _replay_states(opened: minari.MinariDataset) -> None:
    report = replay_states(opened, progress=True)
    console.print(
        f"{report.matching} of {report.episodes} episodes have the recorded success at the end, {report.successes} "
        "successful; "
        f"{report.matching_states} of {report.states} states give the recorded success"
    )
    if report.without_success:
        console.print(f"{report.without_success} episodes do not record success: they were not compared")
    for episode in report.differences:
        errors.print(f"episode {episode}: its final success differs from the recorded one")
    if report.differences:
        raise typer.Exit(1)


def check(
    dataset: Dataset,
    replays: Annotated[int, typer.Option("--replay", help="Number of undamaged episodes to re-execute.")] = 3,
    repair: Annotated[
        str | None, typer.Option("--repair", help="Id of a new dataset with the undamaged episodes.")
    ] = None,
    overwrite: Overwrite = False,
    root: Root = None,
) -> None:
    """Check a dataset for damage; exit code 1 if there is any. The dataset is not changed."""
    with clear_errors():
        if repair is not None:
            check_target(dataset, repair, root, overwrite=overwrite)
        report = check_dataset(dataset, root, replay=replays, progress=True)
        for note in report.notes:
            console.print(note, soft_wrap=True)
        for problem in report.problems:
            errors.print(str(problem), markup=False)
        summary = f"{len(report.undamaged_episodes)} of {report.episodes} episodes are undamaged"
        console.print(summary if report.episodes else "no episode can be read")
        if repair is not None:
            print_summary(repair_dataset(dataset, repair, root, report=report, overwrite=overwrite, progress=True))
    if not report.is_undamaged:
        raise typer.Exit(1)
