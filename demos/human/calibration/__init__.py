"""Calibration: where a camera is above a table."""
