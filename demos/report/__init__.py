"""Report on a dataset: one HTML file with statistics, figures and videos."""

from demos.report.page import report

__all__ = ["report"]
