"""Page that plays an episode with the explanations of each step."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import cast

from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from agents.types import JsonObject


def page(
    content: JsonObject, frames: Sequence[str], cameras: Mapping[str, Sequence[str]], neighbors: Sequence[str]
) -> str:
    """Return an HTML page without external resources.

    Args:
        content: See :class:`agents.explain.explaining.Report`.
        frames: Image of the episode at each explained step, as a ``data:`` URL; empty without images.
        cameras: What each camera of the observations saw, likewise.
        neighbors: Images of the nearest demonstrations, likewise.
    """
    loader = ChoiceLoader([PackageLoader("agents.explain"), PackageLoader("demos.report")])
    templates = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = cast(BaseLoader, loader)
    style = "".join(source.get_source(templates, name)[0] for name in ("report.css", "explanation.css"))
    script = source.get_source(templates, "explanation.js")[0]
    # The page may only run and show its own content.
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    data = {**content, "frames": list(frames), "cameras": dict(cameras), "neighbors": list(neighbors)}
    return (
        templates.get_template("explanation.html.jinja").render(
            content=content,
            has_frames=bool(frames),
            facts=_facts(content),
            policy=policy,
            style=Markup(style),  # noqa: S704  (our own file)
            script=Markup(script),  # noqa: S704
            data=Markup(json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")),  # noqa: S704  (escaped)
        )
        + "\n"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _facts(content: JsonObject) -> dict[str, str]:
    """Return the facts of the episode by name."""
    demonstrations = content["demonstrations"]
    outcome = {True: "succeeded", False: "failed", None: "not reported"}[content["success"]]
    if content["success_step"] is not None:
        outcome += f" after step {content['success_step']}"
    facts = {
        "outcome": outcome,
        "return": f"{content['return']:g}",
        "steps": f"{content['steps']}, of which {len(content['explained'])} are explained",
    }
    if content["instruction"]:
        facts["instruction"] = str(content["instruction"])
    if demonstrations is not None:
        relation = "the agent learned from them" if demonstrations["learned_from"] else "not those it learned from"
        facts["demonstrations"] = f"{demonstrations['id']}: {demonstrations['episodes']} episodes, {relation}"
    return facts
