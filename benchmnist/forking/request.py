"""Shared by the two sides of a fork server: the parts of a request, and how processes are marked."""

from __future__ import annotations

import os
import sys

MARK = "BENCHMNIST_MARK_"
"""Start of the name of an environment variable of a process and its descendants, by which they are found."""
MARK_DIGITS = 16
"""Number of characters of a mark after that: it is written over another."""
NO_MARK = MARK + "0" * MARK_DIGITS
LONGEST = 2**20
"""Maximum size of a request, in bytes."""
STATUS, FOLDER = 3, 4
"""Places among the descriptors of a request, after the three streams."""


def import_path() -> str:
    """Returns the PYTHONPATH with which a child process imports what this one does."""
    return os.pathsep.join(path for path in sys.path if path and isinstance(path, str))
