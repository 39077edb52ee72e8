"""Tables of the committed measurements of recordings of people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docs.tables import table

FILE = Path(__file__).parents[1] / "results" / "recordings.json"


def accuracy() -> str:
    """Return the table of the accuracy of events and positions, by view."""
    rows = [
        [
            view["view"],
            f"{view['close']} of {view['recordings']}",
            str(view["refused"]),
            str(len(view["wrong"])),
            f"{view['millimeters_median']:.1f} mm, {view['millimeters_p90']:.1f} mm",
        ]
        for view in _content()["accuracy"]
    ]
    error = "error of the grip, median and 90th percentile"
    head = ["view", "grasp and release within 5 frames", "refused", "wrong", error]
    return table(head, rows)


def imitation() -> str:
    """Return the table of the success of the robot with a person's motion, a straight line, and the controls."""
    rows = [
        [
            f"`{row['task']}`",
            f"`{row['robot']}`",
            row["motion"],
            f"{row['successes']} of {row['episodes']}",
            " to ".join(f"{100 * end:.1f}%" for end in row["interval"]),
            f"{100 * row['kept_deviation']:.0f}%",
            f"{row['path_distance_mm']:.1f} mm",
        ]
        for row in _content()["imitation"]
    ]
    head = ["task", "arm", "motion", "success", "95% interval", "kept deviation", "distance from the person's path"]
    return table(head, rows)


def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(FILE.read_text())
    return content
