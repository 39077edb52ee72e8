"""Methods of adaptation, one file each, and the table of their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from agents.training.settings import checked_settings
from demos.runtime.import_paths import import_named

if TYPE_CHECKING:
    from agents.deployment.adaptation.case import AdaptationMethod, AdaptationSettings  # late: they import PyTorch

METHODS: dict[str, str] = {
    "demonstrations": "agents.deployment.adaptation.methods.demonstrations:AdaptByDemonstrations",
    "queries": "agents.deployment.adaptation.methods.queries:AdaptByQueries",
    "reward": "agents.deployment.adaptation.methods.reward:AdaptByReward",
}
"""Import paths of the methods by name. A new method is one file and one line here."""


def find_method(name: str) -> AdaptationMethod:
    """Return a method by its name.

    Raises:
        ValueError: There is no such method.
    """
    method: type[AdaptationMethod] = import_named(name, METHODS, "method")
    return method()


def adaptation_settings(method: str, given: Mapping[str, object]) -> AdaptationSettings:
    """Return the settings of a method.

    Args:
        method: Name of the method.
        given: Settings that differ from the defaults, by name.

    Raises:
        ValueError: An unknown method or setting, or a value of another type or out of range.
    """
    return checked_settings(f"method {method}", find_method(method).settings_class, given)


def adaptation_versions(method: str) -> dict[str, int]:
    """Return the version of a method."""
    return {f"adaptation {method}": find_method(method).version}
