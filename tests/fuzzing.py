"""Mutates suites and plans each: `python tests/fuzzing.py 10000 [SEED]` counts the outcomes.

Every mutated suite must become a plan, or errors of one printable line that name the file, without much time.
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
import sys
import tempfile
import time
import tomllib
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from odd_values import BYTES, LINES, NAMES, RICH, VALUES, WRONG

from benchmnist.analysis.pairs import compared_cases
from benchmnist.errors import BenchmnistError, SuiteError
from benchmnist.extensions.registry import find_plugins
from benchmnist.suites.files import EMPTY
from benchmnist.suites.keys import case_key
from benchmnist.suites.plan import make_plan
from benchmnist.suites.reader import read_suite

ROOT = Path(__file__).parents[1]
FILE = "mutated.toml"
LONGEST = 500
"""Characters that the line of an error may have."""
SECONDS = 2.0
"""Processor time that reading and planning one suite may take."""
POSED = """
[suite]
name = "posed"
[defaults]
epochs = 2
target_accuracy = 90.0
[problems.quick]
use = "mnist-few"
steps = 9
model.dropout = 0.2
sweep.batch_size = [50, 100]
expect.accuracy = ">= 50"
[[cases]]
problems = ["quick", "mnist-fc", "mnist-few/500"]
optimizers = ["sgd", "adam"]
seeds = 1
[[compare]]
optimizers = ["adam"]
with = "sgd"
on = ["mnist-fc", "quick/500/batch_size-50"]
"""
SUITES = [*(path.read_text("utf-8") for path in sorted((ROOT / "suites").glob("*.toml"))), RICH, POSED]


def toml(value: Any) -> str:
    """Returns a value as TOML, whatever characters it has."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(key)} = {toml(inner)}' for key, inner in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, str):
        return json.dumps(value).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return hex(value) if value > 10**300 else str(value)
    return str(value)


def as_text(tree: dict[str, Any]) -> str:
    """Returns a tree as the text of a suite, each table below its header."""
    lines = [f"{json.dumps(key)} = {toml(value)}" for key, value in tree.items() if not _is_header(value)]
    for key, value in tree.items():
        for table in [value] if isinstance(value, dict) else value if _is_header(value) else []:
            name = json.dumps(key)
            lines.append(f"[{name}]" if isinstance(value, dict) else f"[[{name}]]")
            lines += [f"{json.dumps(inner)} = {toml(each)}" for inner, each in table.items()]
    return "\n".join(lines)


def _is_header(value: Any) -> bool:
    tables = isinstance(value, list) and value and all(isinstance(each, dict) for each in value)
    return isinstance(value, dict) or bool(tables)


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Returns each container of a tree with each of its keys."""
    keys = [*tree] if isinstance(tree, dict) else [*range(len(tree))] if isinstance(tree, list) else []
    return [(tree, key) for key in keys] + [place for key in keys for place in places(tree[key])]


@st.composite
def trees(draw: st.DrawFn) -> bytes:
    """Draws a suite with values, keys and tables that are others."""
    tree = tomllib.loads(draw(st.sampled_from(SUITES)))
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(places(tree) or [(tree, "suite")]))
        match draw(st.sampled_from(("value", "value", "value", "drop", "rename", "wrap"))):
            case "value":
                container[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
            case "drop":
                container.pop(key)
            case "rename" if isinstance(container, dict):
                container[draw(st.sampled_from((*NAMES, "lr", "use", "sweep", "space", "expect")))] = (
                    container.pop(key)
                )
            case _:
                container[key] = draw(
                    st.sampled_from(([container[key]], {"x": container[key]}, toml(container[key])))
                )
    return as_text(tree).encode()


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Draws a suite whose lines and bytes are others."""
    lines = draw(st.sampled_from(SUITES)).encode().split(b"\n")
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(("byte", "drop", "twice", "line", "cut", "value", "swap"))):
            case "byte":
                where = draw(st.integers(0, len(lines[at])))
                replaced = draw(st.integers(0, 1))
                odd = draw(st.sampled_from(BYTES) | st.binary(min_size=1, max_size=1))
                lines[at] = lines[at][:where] + odd + lines[at][where + replaced :]
            case "drop":
                lines[at : at + draw(st.integers(1, 5))] = [b""]
            case "twice":
                lines.insert(draw(st.integers(0, len(lines))), lines[at])
            case "line":
                lines.insert(at, draw(st.sampled_from(LINES)).encode())
            case "cut":
                lines[at:] = [lines[at][: draw(st.integers(0, len(lines[at])))]]
            case "value":
                key, equals, _ = lines[at].partition(b"=")
                odd = draw(st.sampled_from(WRONG)).encode()
                lines[at] = key + equals + odd
            case _:
                other = draw(st.integers(0, len(lines) - 1))
                lines[at], lines[other] = lines[other], lines[at]
    return b"\n".join(lines)


def outcome(text: bytes) -> str:
    """Reads and plans a suite as `benchmnist run --dry-run` does; returns "plan", or the form of its first error.

    Raises:
        AssertionError: if an error is no line for the terminal, or it took too long.
        Exception: whatever a suite must not raise.
    """
    path = Path(FILE)
    path.write_bytes(text)
    begun = time.process_time()
    try:
        suite = read_suite(path)
        plan = make_plan(suite, find_plugins())
        if plan.problems:
            raise SuiteError(plan.problems)
        for case in plan.cases:
            case_key(case, "", {})
            case.model_dump_json()
        compared_cases(plan.cases)
    except SuiteError as error:
        lines = [str(problem) for problem in error.problems]
    except BenchmnistError as error:
        lines = [str(error)]
    else:
        lines = []
    took = time.process_time() - begun
    assert took < SECONDS, f"took {took:.1f} s"
    for line in lines:
        assert line.isprintable(), f"not printable: {line!r}"
        assert len(line) <= LONGEST, f"{len(line)} characters: {line}"
        assert re.match(rf"{FILE}:\d+: ", line) or EMPTY in line, f"does not name the line: {line}"
    return form(lines[0]) if lines else "plan"


def form(line: str) -> str:
    """Returns what kind of error a line is: without the place and what it quotes."""
    said = re.sub(r"^[^ ]*?(:\d+)?: ((\S+): )?", "", line, count=1)
    said = re.sub(r"'[^']*'|\"[^\"]*\"|\d[\d.,e+-]*", "…", said)
    return said.partition(";")[0].partition(",")[0].partition(". ")[0][:60]


@dataclass
class Tally:
    """The outcomes of many suites."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    slowest: float = 0.0

    def add(self, text: bytes) -> None:
        """Plans a suite and counts what comes of it."""
        begun = time.process_time()
        try:
            self.outcomes[outcome(text)] += 1
        except BaseException as error:  # noqa: BLE001 - any is a fault, and counted
            name = f"{type(error).__name__}: {str(error)[:60]}"
            self.outcomes[f"FAULT {name}"] += 1
            self.faults.setdefault(name, (text, traceback.format_exc(limit=-6)))
        self.slowest = max(self.slowest, time.process_time() - begun)

    def __str__(self) -> str:
        plans = self.outcomes["plan"]
        faults = sum(count for name, count in self.outcomes.items() if name.startswith("FAULT"))
        kinds = "".join(f"{count:7} {name}\n" for name, count in self.outcomes.most_common())
        total = self.outcomes.total()
        return (
            f"{kinds}{total} suites: {plans} plans, {total - plans - faults} refused in words, {faults} faults; "
            f"the slowest took {self.slowest:.2f} s"
        )


def fuzz(examples: int, number: int = 0) -> Tally:
    """Plans so many mutated suites in a folder of its own; the same ones for the same number."""
    tally = Tally()
    outcome(RICH.encode())  # imports what builds, once

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(trees() | texts())
    def add(text: bytes) -> None:
        tally.add(text)

    add()
    return tally


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]] or [10_000]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        found = fuzz(*numbers)
    for text, said in found.faults.values():
        print(said, text[:200], sep="\n")  # noqa: T201 - a script
    print(found)  # noqa: T201
