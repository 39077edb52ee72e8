"""Reports, plots and exports of results."""
