"""Commands that deploy agents: python -m agents export|serve."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from agents.training.arguments import SavedAgent
from agents.training.saving.loading import load
from agents.training.saving.sources import (
    FILES,
    AgentSource,
    find_source,
    load_source,
    make_trained_env,
    saved_source,
)
from agents.training.saving.zoo import zoo_folder
from demos.runtime.console import clear_errors, console
from demos.runtime.web.access import Address, is_loopback, new_token

ServedAgent = Annotated[
    str,
    typer.Argument(help="Folder of a saved agent or an exported policy, or a pretrained agent (bc/LamGrasp-v0)."),
]
EnvId = Annotated[
    str | None, typer.Option(help="Id of the environment; by default the one that the agent was trained in.")
]
Keywords = Annotated[
    list[str], typer.Option("--env-kwargs", help="Keyword of the environment, name=value; repeat it for more.")
]


class ExportFormat(str, Enum):
    """Format of an exported policy."""

    ONNX = "onnx"


def export(
    agent: SavedAgent,
    env: EnvId = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the exported policy; by default that of the agent with .onnx, or for a pretrained "
            "agent its name, such as bc-LamGrasp-v0.onnx."
        ),
    ] = None,
    file_format: Annotated[ExportFormat, typer.Option("--format", help="Format of the file.")] = ExportFormat.ONNX,
    env_kwargs: Keywords = [],  # noqa: B006  (typer reads the default; nobody changes it)
    overwrite: Annotated[bool, typer.Option(help="Replace an exported policy in this folder.")] = False,
) -> None:
    """Export a trained policy to a file that runs without PyTorch.

    The folder gets `model.onnx`, a JSON file that describes its inputs and outputs, and a README with a loop that
    runs it. The exported policy is compared with the agent in two episodes first.
    """
    with clear_errors("interrupted; nothing is saved"):
        from agents.deployment.export.exporting import export as export_policy
        from agents.training.policy_agent import PolicyAgent

        source = saved_source(agent, "export")
        environment = make_trained_env(source, env, env_kwargs)
        loaded = load(source.folder, environment)
        if not isinstance(loaded, PolicyAgent):
            raise ValueError(f"{agent} was saved by a third-party agent, whose policy cannot be exported")
        target = out or _default_target(source, file_format.value)
        checked = export_policy(loaded, environment, target, overwrite=overwrite)
        environment.close()
        console.print(
            f"exported to {target}: over {checked.steps} steps, actions differ by at most "
            f"{checked.largest_difference:.2g}",
            soft_wrap=True,
        )


def _default_target(source: AgentSource, suffix: str) -> Path:
    """Return the folder for an exported policy: beside the agent, or for a pretrained agent in the current folder.

    Args:
        source: Source of a saved agent.
        suffix: Suffix of the folder, without the dot.
    """
    folder = source.folder.resolve()
    if source.is_pretrained:  # nothing is written into the folder of the pretrained agents
        return Path(f"{'-'.join(folder.relative_to(zoo_folder().resolve()).parts)}.{suffix}")
    return folder.with_name(f"{folder.name}.{suffix}")


def serve(
    agent: ServedAgent,
    env: EnvId = None,
    port: Annotated[int, typer.Option(help="Port; 0 for any that is free.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Host to bind to; other hosts than this machine need a key.")
    ] = "127.0.0.1",
    require_key: Annotated[bool, typer.Option("--require-key", help="Require a key on this machine, too.")] = False,
    names: Annotated[
        Path | None, typer.Option(help="YAML file with the environment's name for each name in messages.")
    ] = None,
    env_kwargs: Keywords = [],  # noqa: B006  (typer reads the default; nobody changes it)
) -> None:
    """Serve an agent by openpi's protocol.

    Commands of lam-envs take the address of the server, such as `ws://127.0.0.1:8000`, in place of an agent's name.

    Each connection has its own memory: a client connects again for a new episode. The environment variable
    LAM_ENVS_API_KEY holds the key; without it, a key is made and printed. End the program with Ctrl-C.
    """
    with clear_errors("interrupted"):
        from agents.deployment.remote import API_KEY
        from agents.deployment.remote.names import read_names
        from agents.deployment.remote.server import PolicyServer, metadata_of

        address = Address(host, port)
        source = find_source(agent)
        if source.kind not in FILES:
            raise ValueError(
                f"cannot serve {agent}: it is {source.kind.value}; expected the folder of a saved agent or an "
                "exported policy, or a pretrained agent, such as bc/LamReach-v0"
            )
        environment = make_trained_env(source, env, env_kwargs)
        server_names = None if names is None else read_names(names)
        key = os.environ.get(API_KEY) or None  # an empty key protects nothing
        if key is None and (require_key or not is_loopback(host)):
            key = new_token()
            console.print(f"{API_KEY}={key}", soft_wrap=True)
        loaded = load_source(source, environment)
        metadata = metadata_of(source.folder, environment)
        server = PolicyServer(loaded, environment, metadata, api_key=key, names=server_names)
        environment.close()
        with address.listen() as listening:
            shown = f"[{host}]" if ":" in host else host
            console.print(f"serving {agent} at ws://{shown}:{listening.getsockname()[1]}", soft_wrap=True)
            server.run(listening)
