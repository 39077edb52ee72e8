"""Methods of explanation, one file each, and the table of their names."""

from __future__ import annotations

from collections.abc import Sequence

from agents.explain.case import Method
from demos.runtime.import_paths import import_named

METHODS: dict[str, str] = {
    "uncertainty": "agents.explain.methods.uncertainty:explain_uncertainty",
    "distance": "agents.explain.methods.distance:explain_distance",
    "failure": "agents.explain.methods.failure:explain_failure",
    "features": "agents.explain.methods.features:explain_features",
    "words": "agents.explain.methods.words:explain_words",
    "pixels": "agents.explain.methods.pixels:explain_pixels",
    "neighbors": "agents.explain.methods.neighbors:explain_neighbors",
}
"""Import paths of the methods by name, in the order of the page. A new method is one file and one line here."""


def find_method(name: str) -> Method:
    """Return a method by its name.

    Raises:
        ValueError: There is no such method.
    """
    method: Method = import_named(name, METHODS, "method")
    return method


def check_methods(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of methods without repetitions; all methods if there are none.

    Raises:
        ValueError: There is no such method.
    """
    for name in names:
        find_method(name)
    return tuple(dict.fromkeys(names or METHODS))
