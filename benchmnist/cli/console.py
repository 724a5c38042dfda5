"""The two consoles: results go to standard output, progress to standard error."""

from __future__ import annotations

import sys

from benchmnist.reports.terminal import Console


def results_console() -> Console:
    """Standard output."""
    return Console(file=sys.stdout)


def progress_console() -> Console:
    """Standard error; bound to it now, since the session redirects `sys.stderr` while it runs."""
    return Console(file=sys.stderr)
