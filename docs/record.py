"""Records the results that come with a suite: `python docs/record.py [SUITE] [OPTION VALUE]...`.

It tunes and runs the suite as `benchmnist run` does, packs the run without its curves beside the suite, and writes
the parts of the documentation that are generated. Options are those of `benchmnist.tune`: `executor inline`.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import benchmnist
from benchmnist.cli.display import make_display
from benchmnist.reports import write_report
from benchmnist.runs.packed import pack
from benchmnist.suites.files import package_suites
from benchmnist.suites.reader import read_suite

DOCS = Path(__file__).parent


def record(name: str, **options: str) -> Path:
    """Records a suite of the repository; returns the packed run."""
    path = package_suites()[name]
    packed = path.with_suffix(".zip")
    suite = replace(read_suite(path, ['suite.recorded=""']), assigned={})  # what is recorded is this run itself
    tuned = benchmnist.tune(
        suite, checkpoints=False, resume=False, watch=lambda: make_display(verbose=False), **options
    )
    print(write_report(tuned.final))  # noqa: T201 - a script
    pack(tuned.final, packed, curves=False)
    return packed


if __name__ == "__main__":
    name, *rest = sys.argv[1:] or ["where-it-breaks"]
    print(record(name, **dict(zip(rest[::2], rest[1::2], strict=True))))  # noqa: T201 - a script
    subprocess.run([sys.executable, DOCS / "generate.py"], check=True)  # noqa: S603 - ours
