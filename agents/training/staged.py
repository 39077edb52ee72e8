"""Training of several networks, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from agents.policies.torch_policy import TorchModel
from agents.training.loop import Examples, LoopSettings, TrainingLoop
from agents.training.randomness import isolated_rng
from agents.training.run import Run
from agents.types import State


class StagedTraining:
    """Training of several networks, one after the other, which can resume in each of them.

    Args:
        name: Name of the agent, for messages.
        run: Checkpoints and log.
        seed: Seed of the training.
        state: Checkpoint to resume from: weights of the finished networks, and the state of the next one's loop.
            None to train from scratch.
    """

    def __init__(self, name: str, run: Run, seed: int, state: State | None) -> None:
        self._name, self._run, self._seed = name, run, seed
        state = state or {"finished": [], "loop": None}
        self._finished: list[dict[str, torch.Tensor]] = list(state["finished"])
        self._loop: State | None = state["loop"]
        self._number = 0
        self._epochs = 0

    def state(self) -> State:
        """Return the checkpoint from which a training resumes after all networks are trained."""
        return {"finished": self._finished, "loop": None}

    def train(
        self,
        part: str,
        model: TorchModel[Any],
        examples: Examples,
        settings: LoopSettings,
        *,
        symmetry: Any = None,
        after_epoch: Callable[[int], None] | None = None,
    ) -> None:
        """Train the next network, or set its weights if it was trained before.

        Args:
            part: Name of the network.
            model: Network.
            examples: Examples to learn from.
            settings: Settings of the training.
            symmetry: Augmentation of minibatches; None for none.
            after_epoch: Called with the number of epochs so far, with the weights that would act.

        Raises:
            ValueError: The training diverged.
        """
        number, self._number = self._number, self._number + 1
        before, self._epochs = self._epochs, self._epochs + settings.epochs
        if number < len(self._finished):
            model.load_state_dict(self._finished[number])
            return
        own_seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        with isolated_rng(own_seed):
            loop = TrainingLoop(model, examples, settings, seed=own_seed, symmetry=symmetry, device=self._run.device)
            if self._loop is not None:
                loop.restore(self._loop)
                self._loop = None
            while not loop.is_done:
                loop.epoch()
                loop.check_finite(f"{self._name} ({part})")
                self._run.log(
                    before + loop.epochs_done, **{f"{part} {name}": values for name, values in loop.logs.items()}
                )
                if after_epoch is not None:
                    with loop.averaged():
                        after_epoch(before + loop.epochs_done)
                self._run.checkpoint(lambda: {"finished": self._finished, "loop": loop.state()})
            self._finished.append(loop.result().state_dict())
