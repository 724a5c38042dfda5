"""Verification of a run: trains some of its trials again, and compares them with what the run reports.

A run that contradicts itself is not trained again.

The cases are those of the run's record, as they were planned: neither the suite file is needed, nor a search that
chose hyperparameters. They are trained as `run` trains any plan, in a temporary folder.
"""

from __future__ import annotations

import random
import secrets
import tempfile
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmnist.analysis.contradictions import contradictions
from benchmnist.analysis.reproduction import Reproduction, must_repeat, reproduction
from benchmnist.errors import BenchmnistError
from benchmnist.planned_run import OF_THE_PLAN
from benchmnist.retraining import Drawn, Retrainer
from benchmnist.runs.results import RunResult
from benchmnist.runs.store import load_run
from benchmnist.suites.options import RunOptions
from benchmnist.text import counted
from benchmnist.training.environment import resolve_device

if TYPE_CHECKING:
    from benchmnist.analysis.contradictions import Contradiction
    from benchmnist.retraining import Watch

TRIALS = 5
"""So many trials are drawn by default."""

DRAWN = ("completed", "diverged", "failed")
"""Statuses of trials that are drawn: a process that crashed, or was stopped, says nothing of the training."""

NOT_OPTIONS = (*OF_THE_PLAN, "order", "out")
"""Options of a run that a verification does not have."""


@dataclass(frozen=True)
class Verification:
    """The outcome of a verification.

    Attributes:
        run: Folder of the run.
        seed: Seed of the draw: with it, the same trials are drawn again.
        pool: Number of trials that could be drawn.
        trials: The drawn trials, in the order of the run; none if the run contradicts itself.
        contradictions: What cannot be true of the run, whatever was trained.
        notes: What else a reader must know: the run is not complete, trials that were not drawn.
    """

    run: Path
    seed: int
    pool: int
    trials: tuple[Reproduction, ...]
    contradictions: tuple[Contradiction, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def word(self) -> Literal["consistent", "not consistent", "inconclusive"]:
        """The verdict on the run; inconclusive if one could not be checked, and nothing is inconsistent."""
        words = {trial.word for trial in self.trials}
        if self.contradictions or "not consistent" in words:
            return "not consistent"
        return "inconclusive" if "cannot be checked" in words or not words else "consistent"


def verify(
    run: str | Path | RunResult,
    options: RunOptions | None = None,
    *,
    trials: int = TRIALS,
    seed: int | None = None,
    keyword: str = "",
    watch: Watch | None = None,
    **changes: Any,
) -> Verification:
    """Trains some trials of a run again, drawn at random, and compares them with what it reports.

    Args:
        run: A run, or its folder; a folder of runs stands for its newest run.
        options: As of `benchmnist.run`, without those in NOT_OPTIONS. `device="auto"` trains each case on a device
            of the type that it was trained on, and `threads=None` with as many threads. The executor is best
            `local`: only it sets the threads, and the instruction set of an older processor.
        trials: How many trials to draw; all, if the run has fewer.
        seed: What to draw from; None chooses one.
        keyword: Draw only from the cases that pytest's `-k` selects with this expression.
        watch: Is called for each training that is begun; what it returns is entered, and notified of what happens.
        changes: Attributes of RunOptions that override those of `options`.

    Raises:
        StoreError: if the run cannot be read.
        DeviceError: if the requested device is unavailable.
        BenchmnistError: if the keyword selects no case, or the run has no trial to draw.
        ValueError: if an option has a value that it may not have, or is in NOT_OPTIONS.
        KeyboardInterrupt: if it was interrupted; nothing is kept.
    """
    options = replace(options or RunOptions(), **changes)
    if name := options.given(NOT_OPTIONS):
        raise ValueError(f"verify has no option {name}: the run decides it")
    if trials < 1:
        raise ValueError(f"trials must be greater than 0, not {trials}")
    if options.device != "auto":
        resolve_device(options.device)  # what nobody asked for may be missing; see `Retrainer`
    run = run if isinstance(run, RunResult) else load_run(run)
    with tempfile.TemporaryDirectory(prefix="benchmnist-verify-") as folder:
        options = replace(options, out=Path(folder) / "runs", checkpoints=False)
        trainer = Retrainer(run, options, watch or nullcontext)
        selected = trainer.selected(keyword)
        pool, notes = _pool(run, selected)
        if seed is None:
            seed = secrets.randbelow(1_000_000)
        if wrong := contradictions(run, selected, keys=trainer.trained_here()):
            return Verification(run.path, seed, len(pool), (), tuple(wrong), tuple(notes))
        if not pool:
            raise BenchmnistError(f"{run.path} has no trial to verify" + "".join(f"; {note}" for note in notes))
        chosen = sorted(random.Random(seed).sample(range(len(pool)), min(trials, len(pool))))  # noqa: S311
        drawn = [pool[index] for index in chosen]
        again, why_not = trainer.train(drawn)
        doubtful = [
            each for each in drawn if each in again and must_repeat(run[each.case_id], each.seed, again[each])
        ]
        repeated = trainer.train(doubtful)[0] if doubtful else {}
    found = tuple(
        reproduction(
            run[each.case_id],
            each.seed,
            again.get(each),
            repeated=repeated.get(each),
            of=len(drawn),
            why_not=why_not.get(each, ""),
        )
        for each in drawn
    )
    if not run.record.data and any(trial.word in ("consistent", "not consistent") for trial in found):
        notes.append("the run did not record the contents of its datasets; they may be others here")
    return Verification(run.path, seed, len(pool), found, notes=tuple(notes))


def _pool(run: RunResult, selected: set[str]) -> tuple[list[Drawn], list[str]]:
    """Returns the trials that can be drawn, in the order of the run, and notes on the others."""
    results = [result for result in run.cases if result.id in selected]
    pool = [Drawn(r.id, trial.seed) for r in results for trial in r.trials if trial.status in DRAWN]
    left_out = Counter(trial.status for r in results for trial in r.trials if trial.status not in DRAWN)
    notes = [f"not drawn: {counted(number, 'trial')} ({status})" for status, number in left_out.items()]
    bare = [result for result in results if not result.trials]
    notes += [f"not drawn: {result.id} ({result.status}, without a trial)" for result in bare]
    missing = len(selected) - len(results)
    if missing:
        notes.append(f"not drawn: {counted(missing, 'case')} without a result; the run is {run.record.status}")
    return pool, notes
