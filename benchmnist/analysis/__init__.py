"""Conclusions from results, as pure functions."""
