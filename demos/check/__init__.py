"""Check datasets for damage, and copy the undamaged episodes."""

from demos.check.checking import CheckReport, check, check_target, repair
from demos.check.problems import Problem

__all__ = ["CheckReport", "Problem", "check", "check_target", "repair"]
