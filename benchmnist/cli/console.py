"""The two consoles: results go to standard output, progress to standard error.

What a title, a path or an error says is printed as it is: brackets and colons in it are no markup.
"""

from __future__ import annotations

import sys

from rich.console import Console


def results_console() -> Console:
    """Standard output."""
    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False)


def progress_console() -> Console:
    """Standard error; bound to it now, since the session redirects `sys.stderr` while it runs."""
    return Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
