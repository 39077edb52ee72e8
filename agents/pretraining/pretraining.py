"""Pre-training of image encoders by a method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import minari

from agents.pretraining.encoder import PretrainedEncoder
from agents.pretraining.frames import FrameExamples, Frames
from agents.pretraining.methods import find_method, pretraining_settings, pretraining_versions
from agents.training.loop import LoopSettings, TrainingLoop
from agents.training.provenance import PACKAGES
from agents.training.randomness import isolated_rng
from agents.training.run import Run
from agents.training.settings import check_budget, check_seed
from agents.types import JsonObject
from demos.collection.versions import library_versions


def pretrain(
    method: str,
    datasets: Sequence[minari.MinariDataset],
    *,
    seed: int,
    budget: int | None = None,
    run: Run | None = None,
    **settings: Any,
) -> PretrainedEncoder:
    """Pre-train an encoder; the same arguments give the same encoder, bit for bit.

    Args:
        method: Name of a method, see :data:`agents.pretraining.methods.METHODS`.
        datasets: Datasets with images, of any task, robot and quality. Their rewards are not read, and their actions
            by ``inverse-dynamics`` only.
        seed: Seeds the weights, the order of the frames and all noise.
        budget: Epochs; by default the setting.
        run: Checkpoints and log; by default none.
        settings: Settings of the method that differ from its defaults.

    Raises:
        ValueError: An unknown method or setting; datasets without images or with other cameras; fewer frames than a
            minibatch; a budget below 1; or the training diverged.
    """
    run = run or Run()
    kind, chosen = find_method(method), pretraining_settings(method, settings)
    check_seed(seed)
    check_budget(budget, "epochs")
    frames = Frames(datasets, with_actions=kind.uses_actions)
    record: JsonObject = {
        "datasets": frames.sources,
        "seed": seed,
        "budget": budget,
        "versions": pretraining_versions(method),
        "libraries": library_versions(PACKAGES),
    }
    run.identity = {"method": method, "settings": chosen.model_dump(), **record}
    epochs = budget or chosen.epochs
    with run.training(method, epochs, "epochs"), isolated_rng(seed):
        model = kind(frames, chosen)
        examples = FrameExamples(frames, model.draw, kind.later)
        if len(examples) < chosen.batch_size:
            raise ValueError(
                f"the datasets have {len(examples)} frames to learn from, fewer than a minibatch of "
                f"{chosen.batch_size}: collect more, or set batch_size"
            )
        loop = TrainingLoop(
            model,
            examples,
            LoopSettings(epochs, chosen.batch_size, chosen.learning_rate, weight_decay=chosen.weight_decay),
            seed=seed,
            device=run.device,
        )
        state = run.restored()
        if state is not None:
            loop.restore(state)
        while not loop.is_done:
            loop.epoch()
            loop.check_finite(method)
            run.log(loop.epochs_done, **loop.logs)
            run.checkpoint(loop.state)
        model = loop.result()
    return PretrainedEncoder(
        method,
        chosen.image_readout,
        chosen.width,
        tuple(model.cameras),
        model.encoders.state_dict(),
        chosen.model_dump(),
        record,
    )
