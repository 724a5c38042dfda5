"""Plugins: their specs and hooks, the registry of what is installed, and the isolation of their code."""
