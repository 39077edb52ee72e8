"""Publish a trained agent: its files, a model card with measured results, and checksums."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from agents.deployment.pretrained.card import CARD, Result, model_card
from agents.evaluation.evaluation import evaluate, make_env
from agents.folders import DESCRIPTION, read_description
from agents.training.provenance import environments_of
from agents.training.saving.loading import load
from agents.training.saving.storage import WEIGHTS
from agents.training.saving.zoo import CHECKSUMS, read_checksums, sha256

FILES = (CARD, DESCRIPTION, WEIGHTS)
"""Files of a published agent."""
FIRST_SEED, EPISODES = 1000, 200
"""Seeds of the published results."""
LARGE = 1024
"""Numbers of a tensor from which on it is rounded with half precision."""
NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def publish(
    agent: str | Path,
    name: str,
    zoo: str | Path,
    *,
    episodes: int = EPISODES,
    half_precision: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Path:
    """Evaluate a saved agent in its training environments, and write it to a folder of published agents.

    Publishing the same agent again gives the same files.

    Args:
        agent: Folder of the saved agent.
        name: Name to publish it under, such as ``bc/LamGrasp-v0``.
        zoo: Folder of published agents.
        episodes: Episodes in each environment; the first seed is 1000.
        half_precision: Store the numbers of large weights with 16 bits, which takes half the space. The results are
            those of the rounded weights.
        overwrite: Replace an agent of the same name.
        progress: Show a progress bar.

    Returns:
        The folder of the published agent.

    Raises:
        FileExistsError: An agent of this name is published already.
        FileNotFoundError: There is no saved agent.
        ValueError: The name does not have two parts, the number of episodes is not positive, the agent is damaged
            or not trained in an environment of lam_envs, a weight is too large for 16 bits, or the file of checksums
            is damaged.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"invalid name {name!r}; expected two parts, such as bc/LamGrasp-v0")
    if episodes < 1:
        raise ValueError(f"episodes is {episodes}; expected at least 1")
    source, target = Path(agent), Path(zoo) / name
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} exists already: choose another name, or add --overwrite")
    description = read_description(source)
    environments = environments_of(description)
    _published_checksums(Path(zoo))  # before the episodes, which take long
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        writing = Path(temporary) / target.name
        writing.mkdir()
        shutil.copyfile(source / DESCRIPTION, writing / DESCRIPTION)
        if half_precision:
            save_file(rounded(load_file(source / WEIGHTS)), writing / WEIGHTS)
            (writing / WEIGHTS).chmod(0o644)
        else:
            shutil.copyfile(source / WEIGHTS, writing / WEIGHTS)
        results = [_measure(writing, env_id, keywords, episodes, progress) for env_id, keywords in environments]
        (writing / CARD).write_text(model_card(name, description, results))
        sums = {f"{name}/{file}": sha256(writing / file) for file in FILES}
        # They are read again, because another agent may have been published meanwhile.
        checksums = {**_published_checksums(Path(zoo)), **sums}
        listed = Path(temporary) / CHECKSUMS
        listed.write_text("".join(f"{checksums[file]}  {file}\n" for file in sorted(checksums)))
        # The folder and its checksums are complete: an interruption between these lines is unlikely.
        if target.exists():
            os.replace(target, Path(temporary) / "replaced")
        os.replace(writing, target)
        os.replace(listed, Path(zoo) / CHECKSUMS)
    return target


def rounded(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights with large tensors of type float32 rounded to float16; agents compute with float32.

    Args:
        weights: Weights by name. Those of fewer than :data:`LARGE` numbers stay as they are, and so do infinities.

    Raises:
        ValueError: A number is too large for float16.
    """
    made = dict(weights)
    for name, values in weights.items():
        if values.dtype != torch.float32 or values.numel() < LARGE:
            continue
        made[name] = values.half()
        too_large = values[made[name].isinf() & values.isfinite()]
        if len(too_large):
            raise ValueError(
                f"{name} has a number of {float(too_large.abs().max()):g}; float16 holds at most 65504: publish it "
                "without half precision"
            )
    return made


def _measure(agent: Path, env_id: str, keywords: dict[str, object], episodes: int, progress: bool) -> Result:
    env = make_env(env_id, **keywords)
    try:
        seeds = range(FIRST_SEED, FIRST_SEED + episodes)
        return Result(env_id, keywords, seeds, evaluate(load(agent, env), env, seeds=seeds, progress=progress))
    finally:
        env.close()


def _published_checksums(zoo: Path) -> dict[str, str]:
    """Return the checksums of the published files; none if there is no file of checksums yet."""
    return read_checksums(zoo) if (zoo / CHECKSUMS).is_file() else {}
