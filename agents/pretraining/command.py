"""Command ``pretrain`` of ``python -m agents``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agents.training.arguments import (
    CacheFrames,
    Device,
    Overwrite,
    Root,
    Settings,
    check_free,
    load_each,
    read_settings,
    training_run,
)
from demos.runtime.console import clear_errors, console

PRETRAIN_EXAMPLE = (
    "Example: python -m agents pretrain time-contrastive --data lam/LamGraspPixels-random-50-seed0-v0 "
    "--out runs/encoder"
)


def pretrain(
    method: Annotated[
        str, typer.Argument(help="Method: time-contrastive, masked-reconstruction or inverse-dynamics.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to save the encoder in.")],
    data: Annotated[
        list[str], typer.Option(help="Id of a dataset with images, or its folder. Repeat it for more.")
    ] = [],  # noqa: B006  (typer reads the default; nobody changes it)
    seed: Annotated[int, typer.Option(help="Seeds weight initialization and minibatches.")] = 0,
    budget: Annotated[int | None, typer.Option(help="Epochs; by default the method's setting.")] = None,
    config: Settings = [],  # noqa: B006
    device: Device = "auto",
    cache_frames: CacheFrames = False,
    root: Root = None,
    overwrite: Overwrite = False,
) -> None:
    """Pre-train an encoder of images on episodes of any task, robot and quality, without labels.

    Imitation agents that see images start from it by `--config encoder=OUT`. If a training run was interrupted, the
    same command resumes it.
    """
    with clear_errors():
        # Late: they import PyTorch, which not every command needs.
        from agents.pretraining.encoder import DESCRIPTION
        from agents.pretraining.pretraining import pretrain as pretrained
        from agents.training.saving.storage import check_target

        check_target(out, DESCRIPTION)
        check_free(out, overwrite=overwrite)
        run = training_run(out, device=device, episodes=0, overwrite=overwrite)
        datasets = load_each(data, root, cached=cache_frames)
        encoder = pretrained(method, datasets, seed=seed, budget=budget, run=run, **read_settings(config))
        check_free(out, overwrite=overwrite)
        console.print(f"saved in {encoder.save(out)}", soft_wrap=True)
        run.delete_checkpoint()
