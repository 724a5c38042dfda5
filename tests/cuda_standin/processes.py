"""The stand-in in processes of their own, and in whatever these start."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cuda_standin.machine import Options

STARTUP = Path(__file__).parents[1] / "startup"


@dataclass(frozen=True)
class Context:
    """A process that made a context on a card."""

    pid: int
    ppid: int
    argv: tuple[str, ...]
    card: int


def contexts(log: Path | str) -> list[Context]:
    """The contexts that were made on imitated cards, in order, by the file that the option `log` names."""
    file = Path(log)
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    return [Context(**{**entry, "argv": tuple(entry["argv"])}) for entry in map(json.loads, lines)]


def process_environment(**options: Any) -> dict[str, str]:
    """This process's variables, and those by which others see imitated cards; the options are those of Options."""
    path = [str(STARTUP), str(STARTUP.parent), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        "OMP_NUM_THREADS": "1",  # as in the tests: nothing here is large enough for more
        **os.environ,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(path)),
        "CUDA_STANDIN": json.dumps(asdict(Options(**options))),
    }


def import_paths() -> list[str]:
    """What has to be on `sys.path` where a LocalExecutor is: its workers get that as their PYTHONPATH."""
    return [path for path in (str(STARTUP), str(STARTUP.parent)) if path not in sys.path]
