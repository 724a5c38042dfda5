"""Suites as pytest tests."""
