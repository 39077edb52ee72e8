"""Methods of self-supervised pre-training, one file each, and the table of their names."""

from __future__ import annotations

from agents.pretraining.model import PretrainingModel
from demos.runtime.import_paths import import_object

METHODS: dict[str, str] = {
    "time-contrastive": "agents.pretraining.methods.time_contrastive:TimeContrastive",
    "masked-reconstruction": "agents.pretraining.methods.masked_reconstruction:MaskedReconstruction",
    "inverse-dynamics": "agents.pretraining.methods.inverse_dynamics:InverseDynamics",
}
"""Import paths of the methods by name. A new method is one file and one line here."""


def find_method(name: str) -> type[PretrainingModel]:
    """Return a method by its name.

    Raises:
        ValueError: There is no such method.
    """
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}; expected one of {', '.join(METHODS)}")
    method: type[PretrainingModel] = import_object(METHODS[name], "method")
    return method
