"""Runs that are killed at random and resumed: `python tests/killed_runs.py 1000` kills so many times.

A run trains in its own process, in one worker or in two; SIGKILL ends it, a worker, the server that forks workers,
or all of them. Nothing that was told to have ended may be lost, no file half-written, and in the end every figure
is that of a run that nobody killed.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fault_support import train
from processes import HANGS, PROCESSES

from benchmnist.errors import StoreError
from benchmnist.runs.files import TEMPORARY, read_value
from benchmnist.runs.results import CaseResult
from benchmnist.runs.store import WITH_FIGURES, load_run

if TYPE_CHECKING:
    from collections.abc import Callable

Figures = dict[str, list[tuple[float, float | None]]]

SUITE = """
[suite]
name = "faulty"
[defaults]
epochs = 2
seeds = 2
train_size = 200
test_size = 100
[[cases]]
models = ["logistic"]
optimizers = ["sgd", "adam", "momentum"]
"""


def fresh(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "suite.toml").write_text(SUITE, "utf-8")
    return folder


def begin(function: Callable[..., None], *args: Any, **kwargs: Any) -> Any:
    process = PROCESSES.Process(target=function, args=args, kwargs=kwargs)
    process.start()
    return process


def code_of(function: Callable[..., None], *args: Any, **kwargs: Any) -> int:
    process = begin(function, *args, **kwargs)
    process.join(HANGS)
    assert process.exitcode is not None
    return int(process.exitcode)


def told(folder: Path, word: str) -> list[str]:
    log = folder / "log"
    lines = log.read_text("utf-8").splitlines() if log.is_file() else []
    return [line.partition(" ")[2] for line in lines if line.startswith(f"{word} ")]


def stored(folder: Path) -> dict[str, str]:
    """Every case that has ended with figures, by its id: all files are whole. The others are trained again."""
    results = [(read_value(file, CaseResult), file) for file in folder.glob("runs/faulty/*/cases/*.json")]
    return {result.id: file.read_text("utf-8") for result, file in results if result.status in WITH_FIGURES}


def figures(folder: Path) -> Figures:
    """Of a run, or of the newest in a folder's `runs`."""
    run = load_run(folder / "runs" if (folder / "runs").is_dir() else folder)
    assert run.record.status == "completed"
    return {
        case.id: [(epoch.train_loss, epoch.test_accuracy) for trial in case.trials for epoch in trial.epochs]
        for case in run.cases
    }


def undisturbed_run(folder: Path, jobs: int = 0) -> Figures:
    """The figures of a run that nothing is done to."""
    assert code_of(train, fresh(folder), jobs=jobs) == 0
    return figures(folder)


def finish(folder: Path, undisturbed: object, jobs: int = 0) -> None:
    """What had ended is there, and stays as it is when the rest is done; the rest comes out as without faults."""
    before = stored(folder)
    assert {*told(folder, "ended")} <= {*before}
    started = len(told(folder, "started"))
    begun = any(folder.glob("runs/faulty/*/run.json"))
    assert code_of(train, folder, resume=begun, jobs=jobs) == 0, told(folder, "refused")
    assert figures(folder) == undisturbed
    after = stored(folder)
    assert {case: after[case] for case in before} == before
    assert len(told(folder, "started")) - started == 3 - len(before)
    if not jobs:  # a worker that loses its parent may leave a file that it had begun after the next has cleaned up
        for record in folder.glob("runs/faulty/*/run.json"):  # what was killed before it had one is no run
            assert not [*record.parent.rglob(TEMPORARY)]


LONGEST = {0: 1.5, 1: 5.0, 2: 5.0}
"""Seconds within which a run is killed, by its number of workers; 0 trains in its own process."""


def kill_at_random(folder: Path, undisturbed: Figures, seed: int, jobs: int) -> Counter[str]:
    """Kills a run up to four times, and finishes it; returns how often who was killed."""
    chance, kills = random.Random(seed), Counter[str]()  # noqa: S311 - no secret
    for _ in range(4):
        process = begin(train, folder, resume=any(folder.glob("runs/faulty/*/run.json")), jobs=jobs)
        process.join(chance.uniform(0.2, LONGEST[jobs]))
        whom = chance.choice(["the run", "a worker", "the server", "both"]) if jobs else "the run"
        children = _children(process.pid)  # the server that workers are forked from, and the process that tries
        workers = [pid for child in children for pid in _children(child)] or children
        doomed = {"the run": [], "a worker": workers[:1], "the server": children[-1:], "both": workers + children}
        if process.is_alive():
            for pid in doomed[whom]:
                _kill(pid)
            if whom in ("the run", "both"):
                process.kill()
            kills[f"{whom}, {jobs} jobs" if doomed[whom] or whom == "the run" else "nobody"] += 1
        process.join(HANGS)
        assert process.exitcode is not None
        assert {*told(folder, "ended")} <= {*stored(folder)}
        if process.exitcode == 0 and len(stored(folder)) == len(undisturbed):
            break
    finish(folder, undisturbed, jobs)
    return kills


def _children(pid: int) -> list[int]:
    """Returns the processes that a process has started, the newest first."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8")
    except OSError:  # it has just ended
        return []
    return sorted(map(int, found.split()), reverse=True)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        time.sleep(0)


def main() -> None:
    """Kills runs until there were so many kills; prints who was killed how often, and what was lost."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    wanted, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    kills, wrong, runs = Counter[str](), list[str](), 0
    with tempfile.TemporaryDirectory() as name:
        whole = {jobs: undisturbed_run(Path(name, f"whole-{jobs}"), jobs) for jobs in LONGEST}
        while kills.total() - kills["nobody"] < wanted:
            jobs, folder = (0, 0, 1, 2)[runs % 4], Path(name, str(runs))
            try:
                kills += kill_at_random(fresh(folder), whole[jobs], seed + runs, jobs)
            except (AssertionError, StoreError) as error:
                line = traceback.extract_tb(error.__traceback__)[-1].line
                wrong.append(f"seed {seed + runs}, {jobs} jobs: {line}: {str(error)[:500]}")
            runs += 1
    print(f"{runs} runs, {kills.total() - kills['nobody']} kills: {dict(sorted(kills.items()))}")  # noqa: T201
    print("\n".join([*wrong, f"{len(wrong)} runs lost something, or ended with other figures"]))  # noqa: T201
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
