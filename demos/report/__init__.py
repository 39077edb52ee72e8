"""A dataset on one page of HTML, for a person to judge it by."""

from demos.report.page import report

__all__ = ["report"]
