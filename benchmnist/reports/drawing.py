"""The parts of matplotlib that we use, even where MPLBACKEND names a backend that is not installed.

A notebook sets that variable for all processes that it starts. Ours draw files and open no window.
"""

from __future__ import annotations

import contextlib
import os

__all__ = ["Figure", "ticker"]

_named = os.environ.pop("MPLBACKEND", None)  # with an unknown one the import raises
try:
    import matplotlib as mpl
    from matplotlib import ticker
    from matplotlib.figure import Figure
finally:
    if _named is not None:
        os.environ["MPLBACKEND"] = _named
if _named:
    with contextlib.suppress(ValueError):
        mpl.rcParams["backend"] = _named
