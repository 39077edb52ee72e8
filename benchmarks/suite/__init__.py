"""Suites: what is measured, read from YAML."""
