"""Find damage in datasets, say where it is, and keep what is sound."""

from demos.check.checking import CheckReport, check, check_target, repair
from demos.check.problems import Problem

__all__ = ["CheckReport", "Problem", "check", "check_target", "repair"]
