"""Suites, by the names of their files."""
