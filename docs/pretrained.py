"""Table of the pretrained agents, from their model cards."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from agents.deployment.pretrained.card import CARD
from agents.deployment.pretrained.loading import pretrained_agents
from agents.folders import read_description
from agents.training.saving.zoo import zoo_folder
from docs.tables import table

ROW = re.compile(r"^\| `(Lam.*?)` \| (.*?) \| (.*?) \|", re.MULTILINE)
"""Environment, success rate and interval in a row of a model card."""
ROBOT = re.compile(r", robot='(\w+)'")
SHORTENED = ((", instruct=True", ""), (re.compile(r"without=\[.*?\]"), "without=[…]"))
"""Parts of an environment's keywords, and what the table shows in their place."""


def pretrained(root: Path) -> str:
    """Return the table of all pretrained agents: a row for each environment, with the success of each robot.

    Args:
        root: Folder that the links to the model cards are relative to.
    """
    rows = []
    for name in pretrained_agents():
        folder = zoo_folder() / name
        learned = read_description(folder)["training"]["demonstrations"] or {}
        card = f"[`{name}`](../{folder.relative_to(root)}/{CARD})"
        for environment, rates in _by_environment((folder / CARD).read_text()).items():
            rows.append([card, f"`{environment}`", str(learned.get("episodes", 0)), "<br>".join(rates)])
    return table(["agent", "environment", "demonstrations", "success"], rows)


def _by_environment(card: str) -> dict[str, list[str]]:
    """Return success rates with intervals by environment; with the robot, if it is not the Panda."""
    rates = defaultdict(list)
    for environment, rate, interval in ROW.findall(card):
        robot = ROBOT.search(environment)
        name = ROBOT.sub("", environment)
        for shown, short in SHORTENED:
            name = name.replace(shown, short) if isinstance(shown, str) else shown.sub(short, name)
        rates[name].append(f"{'' if robot is None else f'{robot[1]}: '}{rate} ({interval})")
    return rates
