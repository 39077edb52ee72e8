"""Pre-trained encoders of a results folder: each is saved under its cache key."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from agents.types import JsonObject
from benchmarks.runner.cache_keys import encoder_provenance
from benchmarks.suite.demonstrations import Demonstrations
from benchmarks.suite.fields import SuiteModel, problem_of
from benchmarks.suite.stages import Pretraining
from demos.runtime.files import write_json

if TYPE_CHECKING:
    from agents.pretraining.encoder import PretrainedEncoder  # it imports PyTorch, which not every command needs

ENCODERS = "encoders"
STORED_FILE = "pretraining.json"


@dataclass(frozen=True)
class EncoderJob:
    """Pre-training of an encoder. Training runs with equal pre-training and seed share it.

    Attributes:
        method: Name of the method.
        datasets: Datasets that it learns from.
        settings: Settings that differ from those of the method.
        seed: Seed of the pre-training.
        key: Cache key.
    """

    method: str
    datasets: tuple[Demonstrations, ...]
    settings: JsonObject
    seed: int
    key: str = field(compare=False)

    @classmethod
    def of(cls, pretraining: Pretraining, seed: int) -> EncoderJob:
        """Return the job of a pre-training with a seed, with the current versions and settings."""
        datasets = [asdict(dataset) for dataset in pretraining.datasets]
        request = {"method": pretraining.method, "datasets": datasets, "seed": seed}
        key = encoder_provenance(pretraining).key(request)
        return cls(pretraining.method, pretraining.datasets, pretraining.settings, seed, key)

    @property
    def name(self) -> str:
        """Name of the job and of its folder."""
        return f"{self.method}-seed{self.seed}-{self.key[:12]}"

    @property
    def path(self) -> str:
        """Folder of the encoder, relative to the results folder."""
        return f"{ENCODERS}/{self.name}"


class StoredEncoder(SuiteModel):
    """File beside a pre-trained encoder."""

    key: str = Field(description="Cache key of the pre-training.")
    seconds: float = Field(description="Wall time of the pre-training.")
    cpu_seconds: float = Field(description="CPU time of the pre-training.")
    seeds_of_demonstrations: tuple[int, ...] = Field(description="Seeds of the episodes that it learned from.")


def read_stored(folder: Path, job: EncoderJob) -> StoredEncoder:
    """Read the file beside an encoder.

    Raises:
        FileNotFoundError: The folder has no such encoder.
        ValueError: The file is damaged.
    """
    path = folder / job.path / STORED_FILE
    try:
        stored = StoredEncoder.model_validate_json(path.read_bytes())
        if stored.key != job.key:
            raise ValueError("it belongs to another pre-training")
    except ValueError as error:
        problem = problem_of(error)
        raise ValueError(f"{path} is damaged ({problem}): remove its folder and run the suite again") from error
    return stored


def is_pretrained(folder: Path, job: EncoderJob) -> bool:
    """Return True if a results folder has an encoder that is up to date."""
    try:
        read_stored(folder, job)
    except (OSError, ValueError):
        return False
    return True


def save_encoder(
    folder: Path,
    job: EncoderJob,
    encoder: PretrainedEncoder,
    seeds: Sequence[int],
    *,
    seconds: float,
    cpu_seconds: float,
) -> Path:
    """Save an encoder with the cost of its pre-training, completely or not at all.

    Args:
        folder: Results folder.
        job: Job of the encoder.
        encoder: The encoder.
        seeds: Seeds of the episodes that it learned from.
        seconds: Wall time of the pre-training.
        cpu_seconds: CPU time of the pre-training.
    """
    target = folder / job.path
    partial = target.with_name(f".{target.name}.partial")
    for stale in (partial, target):
        if stale.exists():
            shutil.rmtree(stale)
    encoder.save(partial)
    content = {"key": job.key, "seconds": seconds, "cpu_seconds": cpu_seconds, "seeds_of_demonstrations": list(seeds)}
    write_json(partial / STORED_FILE, content)
    os.replace(partial, target)
    return target
