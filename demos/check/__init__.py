"""Find damage in datasets, say where it is, and keep what is sound."""

from demos.check.checking import CheckReport, check, repair
from demos.check.problems import Problem

__all__ = ["CheckReport", "Problem", "check", "repair"]
