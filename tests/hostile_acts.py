"""Lets plugins do their worst, and looks whether each act costs its own case only.

`python tests/hostile_acts.py` performs every act; `… hostile_acts.py evaluation local`, some of them.

An act is contained if its own case ends with a status that fits, within its time; if a healthy case of the same
run comes to the same figures as alone; if the run says how it ended; and if nothing was written beside it.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hostile_plugin
import pytest
from hostile_plugin import DEADLY, HANGING, HARMLESS, RAISED

import benchmnist
from benchmnist.preflight import isolated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from benchmnist.runs.results import CaseResult, RunResult

OF_MODELS = ("build", "forward", "evaluation", "backward")
PLACES = (*OF_MODELS, "optimizer", "step", "dataset")
TIMEOUT, GRACE = 30.0, 15.0
"""Limit of a case, and seconds to notice that it is over."""
AT_ONCE = 40
"""Number of hostile cases in a run."""
HEAD = """
[suite]
name = "hostile"
[defaults]
epochs = 1
seeds = 1
train_size = 100
test_size = 100
batch_size = 50
"""
LAST = """
[[cases]]
models = ["logistic"]
optimizers = ["sgd"]
"""
HEALTHY = "mnist/logistic/sgd"


@dataclass(frozen=True)
class Act:
    """An act at a place, where an executor trains."""

    name: str
    place: str
    executor: str

    @property
    def expected(self) -> set[str]:
        """The statuses that its case may have."""
        if self.name in HARMLESS or self.place in ("__del__", "preflight"):
            return {"completed"} if self.name in RAISED else {"completed", "crashed", "failed"}
        return {"crashed" if self.name in DEADLY else "timed out" if self.name in HANGING else "failed"}


@dataclass(frozen=True)
class Outcome:
    """What came of an act; `wrong` is empty if it was contained."""

    act: Act
    status: str
    seconds: float
    wrong: str


def catalogue() -> Iterator[Act]:
    """Yields every act."""
    for executor, name, place in product(("local", "inline"), RAISED, PLACES):
        yield Act(name, place, executor)
    for name in RAISED:
        yield Act(name, "__del__", "local")
    for name, place in product(DEADLY, ("build", "forward", "step")):
        yield Act(name, place, "local")
    for name, place in product(HARMLESS, ("build", "evaluation")):
        yield Act(name, place, "local")
    for name, place in product(HANGING, ("forward", "dataset")):
        yield Act(name, place, "local")
    for name in ("os._exit(0)", "SIGKILL", "segfault", "close all, sleep", "garbage as an answer", "sleep"):
        yield Act(name, "preflight", "local")
    yield from (Act(name, "__del__", "local") for name in ("os._exit(0)", "garbage as an answer"))


def install(site: Path) -> None:
    """Installs the plugin, for this process and those that it starts."""
    info = site / "benchmnist_hostile-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "benchmnist_hostile.py").write_bytes(Path(hostile_plugin.__file__).read_bytes())
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: benchmnist-hostile\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text("[benchmnist]\nhostile = benchmnist_hostile\n", "utf-8")


def suite_of(acts: Sequence[Act]) -> str:
    """The suite in which each act has a case, and the last one is healthy."""
    text = HEAD
    for number, act in enumerate(acts):
        kind = {"dataset": "dataset", "optimizer": "optimizer", "step": "optimizer"}.get(act.place, "model")
        names = {"model": "logistic", "optimizer": "sgd", "dataset": "mnist", kind: f"h{number}"}
        table = f'[{kind}s.h{number}]\nuse = "hostile"\nact = "{act.name}"\n'
        table += "" if kind == "dataset" else f'place = "{act.place}"\n'
        listed = "\n".join(f'{each}s = ["{name}"]' for each, name in names.items())
        text += f"{table}[[cases]]\n{listed}\n"
    return text + LAST


def case_of(number: int, run: RunResult) -> CaseResult | None:
    """The result of the case of an act."""
    return next((case for case in run.cases if f"h{number}" in case.id.split("/")), None)


def perform(acts: Sequence[Act], folder: Path, alone: RunResult, jobs: int) -> Iterator[Outcome]:
    """Runs a suite of acts for the same executor."""
    folder.mkdir()
    suite = folder / "suite.toml"
    suite.write_text(suite_of(acts), "utf-8")
    before, (executor,) = {*folder.iterdir()}, {act.executor for act in acts}
    options: dict[str, Any] = {"timeout": TIMEOUT, "jobs": jobs} if executor == "local" else {}
    run = benchmnist.run(suite, device="cpu", executor=executor, out=folder / "runs", **options)
    amiss = list(_amiss(run, alone, {*folder.iterdir()} - before, folder))
    for number, act in enumerate(acts):
        result = case_of(number, run)
        status = result.status if result else "no result"
        seconds = result.wall_seconds if result else 0.0
        wrong = [*amiss] + [f"status {status}"] * (status not in act.expected)
        wrong += ["too late"] * (seconds > TIMEOUT + GRACE)
        yield Outcome(act, status, seconds, "; ".join(wrong))


def _amiss(run: RunResult, alone: RunResult, written: set[Path], folder: Path) -> Iterator[str]:
    """Says what is wrong with the rest of the run."""
    healthy = next((case for case in run.cases if case.id == HEALTHY), None)
    if healthy is None or _figures(healthy) != pytest.approx(_figures(alone[HEALTHY]), rel=1e-5):
        yield f"the healthy case is {healthy.status if healthy else 'lost'}, or has other figures"
    failed = any(case.failed for case in run.cases)
    if run.record.status != ("failed" if failed else "completed"):
        yield f"the run is {run.record.status}"
    if own := [note for note in run.record.notes if "error of BenchMNIST itself" in note]:
        yield own[0]
    if written != {folder / "runs"}:
        yield f"wrote {sorted(written)}"
    if (size := sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file())) > 40 * 2**20:
        yield f"the run folder has {size:,} bytes"


def _figures(result: CaseResult) -> list[float]:
    """What must be the same as alone, but for the rounding of other threads; nothing if it has not ended well."""
    epochs = [epoch for trial in result.trials for epoch in trial.epochs]
    return [figure for each in epochs for figure in (each.train_loss, *each.metrics.values())]


def reference(folder: Path) -> RunResult:
    """The run of the healthy case alone."""
    folder.mkdir()
    (folder / "suite.toml").write_text(HEAD + LAST, "utf-8")
    return benchmnist.run(folder / "suite.toml", device="cpu", executor="inline", out=folder / "runs")


def outcomes(acts: Iterable[Act], folder: Path, jobs: int = 2) -> Iterator[Outcome]:
    """Performs acts, at most AT_ONCE in a run, and only some that the preflight does not survive."""
    install(folder / "site")
    sys.path.insert(0, str(folder / "site"))
    os.environ["HOSTILE_INLINE"] = str(os.getpid())
    isolated.PATIENCE = 5.0
    alone, groups = reference(folder / "alone"), dict[tuple[str, bool], list[Act]]()
    for act in acts:
        groups.setdefault((act.executor, act.place == "preflight"), []).append(act)
    number = 0
    for group in groups.values():
        for start in range(0, len(group), AT_ONCE):
            number += 1
            yield from perform(group[start : start + AT_ONCE], folder / str(number), alone, jobs)


def main() -> None:
    """Prints a row for each act, and how many were contained."""
    begun, done = time.monotonic(), list[Outcome]()
    with tempfile.TemporaryDirectory(prefix="hostile-", ignore_cleanup_errors=True) as folder:
        wanted = (act for act in catalogue() if {*sys.argv[1:]} <= {act.name, act.place, act.executor})
        for outcome in outcomes(wanted, Path(folder)):
            done.append(outcome)
            act, said = outcome.act, outcome.wrong or "contained"
            row = f"{act.name:27} {act.place:11} {act.executor:7} {outcome.status:10}"
            sys.stdout.write(f"{row} {outcome.seconds:6.1f} s  {said}\n")
            sys.stdout.flush()
    contained = sum(not outcome.wrong for outcome in done)
    sys.stdout.write(f"{contained} of {len(done)} acts contained, in {time.monotonic() - begun:.0f} s\n")
    sys.exit(contained < len(done))


if __name__ == "__main__":
    main()
