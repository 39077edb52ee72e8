"""Upload agents to the Hugging Face Hub and download them. Needs the extra ``hub``.

A downloaded agent is a third party's file: only its settings, weights and card are downloaded, and loading them
runs no code.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from agents.deployment.pretrained.card import CARD
from agents.folders import DESCRIPTION, read_description
from agents.registry import saved_names
from agents.training.saving.storage import WEIGHTS, read_weights

if TYPE_CHECKING:
    from huggingface_hub import HfApi  # optional dependency

MAX_BYTES = 2**30
"""Largest size of a file that is downloaded."""


def push(folder: str | Path, repo_id: str, *, private: bool = False, endpoint: str | None = None) -> str:
    """Upload a published agent; the repository is created if it does not exist.

    The account is that of ``hf auth login`` or of the environment variable HF_TOKEN.

    Args:
        folder: Folder of the agent, with its model card.
        repo_id: ``owner/name`` of the repository.
        private: Create a private repository.
        endpoint: Address of the Hub; by default that of Hugging Face, or HF_ENDPOINT.

    Returns:
        The address of the commit.

    Raises:
        FileNotFoundError: The folder lacks a file.
        ModuleNotFoundError: huggingface_hub is not installed.
        OSError: The Hub cannot be reached or refuses.
        ValueError: The agent is damaged, or its algorithm is not registered.
    """
    if not (Path(folder) / CARD).is_file():
        raise FileNotFoundError(f"no model card in {folder}: write it by python -m agents publish")
    check(folder)
    with _hub(endpoint) as hub:
        hub.create_repo(repo_id, private=private, exist_ok=True)
        commit = hub.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            allow_patterns=[CARD, DESCRIPTION, WEIGHTS],
            commit_message="Publish an agent of lam-envs",
        )
    return str(commit.commit_url)


def pull(repo_id: str, out: str | Path, *, revision: str | None = None, endpoint: str | None = None) -> Path:
    """Download an agent and check it; the folder is created when the download is complete.

    Args:
        repo_id: ``owner/name`` of the repository.
        out: Folder to write; it must not exist.
        revision: Branch, tag or commit; by default the main branch. Give a commit to pin the version.
        endpoint: Address of the Hub; by default that of Hugging Face, or HF_ENDPOINT.

    Returns:
        The folder, which :func:`agents.load` loads.

    Raises:
        FileExistsError: The folder exists.
        ModuleNotFoundError: huggingface_hub is not installed.
        OSError: The Hub cannot be reached or refuses.
        ValueError: The repository holds no saved agent, or one that is damaged, not registered or too large.
    """
    target = Path(out)
    if target.exists():
        raise FileExistsError(f"{target} exists already: choose another folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with _hub(endpoint) as hub, tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        info = hub.model_info(repo_id, revision=revision, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
        for needed in (DESCRIPTION, WEIGHTS):
            if needed not in sizes:
                raise ValueError(
                    f"{repo_id} holds no lam-envs agent: {needed} is missing; expected a repository that "
                    "python -m agents push wrote"
                )
        wanted = [file for file in (CARD, DESCRIPTION, WEIGHTS) if file in sizes]
        for file in wanted:
            if sizes[file] > MAX_BYTES:
                raise ValueError(f"{file} of {repo_id} has {sizes[file]} bytes; expected at most {MAX_BYTES}")
        downloaded = Path(temporary) / "agent"
        downloaded.mkdir()
        for file in wanted:
            # The revision is fixed, so that all files are of one commit. The library adds cache files to its folder.
            path = hub.hf_hub_download(repo_id, file, revision=info.sha, local_dir=Path(temporary) / "download")
            shutil.copyfile(path, downloaded / file)
        check(downloaded)
        os.replace(downloaded, target)
    return target


def check(folder: str | Path) -> None:
    """Check the files of a saved agent, without an environment.

    Raises:
        FileNotFoundError: There is no saved agent.
        ValueError: A file is damaged, or the agent is not registered.
    """
    name = read_description(folder).get("agent")
    if name not in saved_names():
        raise ValueError(
            f"{folder} holds agent {name!r}, which is not registered; expected one of {', '.join(saved_names())}"
        )
    read_weights(folder, str(name), {})


@contextmanager
def _hub(endpoint: str | None) -> Iterator[HfApi]:
    """Yield a client of the Hub; connection errors are raised as OSError."""
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "push and pull need huggingface_hub: pip install 'lam-envs[hub]'", name=error.name
        ) from error
    # The base class is that of the HTTP library, which differs between versions of huggingface_hub.
    any_http_error: type[Exception] = HfHubHTTPError.__bases__[0]
    try:
        yield HfApi(endpoint=endpoint, library_name="lam-envs")
    except HfHubHTTPError:
        raise
    except any_http_error as error:
        raise ConnectionError(f"cannot reach the Hub: {error}; check the network connection") from error
