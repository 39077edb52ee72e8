"""Record the golden files again: ``python -m tests.golden``, by ``make golden``."""

from __future__ import annotations

import sys

from rich.progress import track

from tests.golden.case import update
from tests.golden.suite import all_cases

if __name__ == "__main__":
    refused = update(track(all_cases(), "golden runs"))
    sys.exit("\n".join(refused) or 0)
