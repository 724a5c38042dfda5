"""The state of the cases in training, and the tasks that wait for an executor."""

from __future__ import annotations

import heapq
import math
import time
from collections import deque
from typing import TYPE_CHECKING

from benchmnist.runs.endings import ending_of
from benchmnist.runs.results import CaseResult, MeasuredEpoch, TrialResult, measured_change, worst
from benchmnist.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmnist.executors import Epoch
    from benchmnist.runs.results import EpochResult, Stack, Status
    from benchmnist.suites.cases import Case


REUSED = "reused from "
"""Start of the remark on trials that were taken from an earlier run."""


class Ledger:
    """State of a case in training.

    Attributes:
        case: The case.
        waiting: Number of its tasks (the case with some of its seeds) that no executor has taken.
        running: Number of its tasks in execution.
        seconds: Time in which at least one of them was in execution: between them, others may train.
        parts: Results of its ended tasks.
        epochs: Epochs that have not been requested yet. If they were trained elsewhere, they come from the parts,
            so that a restarted trial appears once.
        seen: Results of the ended epochs, by seed.
        result: Result of the case.
        again: Remark if its trials had to be begun again; empty if not.
        stacks: Stacks that its trials are trained in, by seed, for those that come to no end.
    """

    def __init__(self, case: Case, parts: Sequence[CaseResult]) -> None:
        self.case, self.waiting, self.running = case, 0, 0
        self.parts: list[CaseResult] = []
        self.epochs: deque[Epoch] = deque()
        self.seen: dict[int, list[EpochResult]] = {}
        self.result: CaseResult | None = None
        self.again = ""
        self.stacks: dict[int, Stack | None] = {}
        for part in parts:
            self.add(part)
        self.started, self.since, self.seconds = "", 0.0, math.fsum(part.wall_seconds for part in parts)

    def begin_task(self) -> None:
        """Records that an executor has taken a task."""
        if self.running == 0:
            self.since = time.perf_counter()
        self.waiting -= 1
        self.running += 1

    def end_task(self, share: float = 1.0) -> None:
        """Records that a task has ended, in which this case had a share."""
        self.running -= 1
        if self.running == 0:
            self.seconds += share * (time.perf_counter() - self.since)

    def begin_again(self, seeds: Sequence[int], why: str) -> None:
        """Forgets the epochs of trials that come to no end, and are trained again."""
        self.again = why
        for seed in seeds:
            self.seen.pop(seed, None)
            self.stacks.pop(seed, None)

    @property
    def left(self) -> tuple[int, ...]:
        """The seeds that no part has."""
        done = {trial.seed for part in self.parts for trial in part.trials}
        return tuple(seed for seed in self.case.seeds if seed not in done)

    @property
    def failed(self) -> bool:
        """Tells whether a task has failed; then the others are not trained."""
        return any(part.failed for part in self.parts)

    @property
    def over(self) -> bool:
        """Tells whether no task is waiting or running."""
        return self.running == 0 and (self.waiting == 0 or self.failed)

    def add(self, part: CaseResult, *, measured: bool = True) -> None:
        """Adds the result of a task, and queues its epochs if they were measured elsewhere."""
        self.parts.append(part)
        if measured:
            self.epochs += (MeasuredEpoch(trial.seed, epoch) for trial in part.trials for epoch in trial.epochs)

    def see(self, seed: int, epoch: EpochResult) -> None:
        """Records an ended epoch; that of a restarted trial replaces the earlier one."""
        seen = self.seen.setdefault(seed, [])
        del seen[epoch.epoch - 1 :]
        seen.append(epoch)

    def joined(self, side_by_side: int) -> CaseResult:
        """Joins the parts into one result, with the name of the first."""
        first = next((part for part in self.parts if part.engine), self.parts[0])
        status = worst(part.status for part in self.parts)
        return first.model_copy(
            update={
                "status": status,
                "trials": self._trials(status),
                "remarks": (
                    *self._remarks(),
                    *self._reused(),
                    *self._where(),
                    *filter(None, [self.again]),
                ),
                "peak_memory": max(part.peak_memory for part in self.parts),
                "costs": next((part.costs for part in self.parts if part.cost_seconds), first.costs),
                "side_by_side": side_by_side,
                "error": next((part.error for part in self.parts if part.error), None),
                "reused_from": None,  # a part of it is
                "started": self.started,
                "wall_seconds": self.seconds,
            }
        )

    def _remarks(self) -> Iterator[str]:
        """Yields each remark of the parts once; of a measured change that only some have, in how many seeds."""
        trained = [part for part in self.parts if part.engine]
        seeds = sum(len(part.trials) for part in trained)
        found = dict.fromkeys(
            remark
            for part in self.parts
            for remark in part.remarks
            if not (part.reused_from and remark.startswith(REUSED))  # its trials are counted once, as of that run
        )
        for remark in dict.fromkeys(measured_change(remark) or remark for remark in found):
            changed = sum(_seeds_with(remark, part) for part in trained) if measured_change(remark) else seeds
            yield remark if changed == seeds else f"{remark}: {changed} of {counted(seeds, 'seed')}"

    def _reused(self) -> tuple[str, ...]:
        """Returns a remark for each earlier run that trials were taken from."""
        return tuple(
            f"{REUSED}{part.reused_from}: {counted(len(part.trials), 'seed')}"
            for part in self.parts
            if part.reused_from
        )

    def _where(self) -> tuple[str, ...]:
        """Returns a remark if the trials were trained on different machines: their times are less comparable."""
        there = {part.environment.get("fingerprint"): part.environment for part in self.parts if part.environment}
        if len(there) <= 1:
            return ()
        names = [f"{e['device_name']} ({e['threads']} threads, torch {e['torch']})" for e in there.values()]
        return (f"trained on different machines: {'; '.join(sorted(names))}",)

    def interrupted(self, side_by_side: int) -> CaseResult:
        """Returns the result of the training before an interruption."""
        trials, about = self._trials("interrupted"), CaseResult(case=self.case, status="interrupted")
        if self.parts:  # which say where and how they were trained
            about = self.joined(side_by_side)
        changed = {
            "case": self.case,
            "status": "interrupted",
            "error": None,
            "trials": trials,
            "started": self.started,
        }
        return about.model_copy(update=changed)

    def _trials(self, cut_short: Status) -> tuple[TrialResult, ...]:
        """Returns the ended trials, and the others with their ended epochs."""
        trials = {trial.seed: trial for part in self.parts for trial in part.trials}
        for seed, epochs in self.seen.items():
            diverged, ended = not epochs[-1].metrics, ending_of(self.case, epochs)
            whole: Status = "diverged" if diverged else "completed" if ended else cut_short
            stack = self.stacks.get(seed)
            cut = TrialResult(seed=seed, status=whole, epochs=tuple(epochs), stack=stack, ended=ended or "budget")
            trials.setdefault(seed, cut)
        return tuple(trials[seed] for seed in self.case.seeds if seed in trials)


class Queue:
    """The waiting tasks; with several slots, the longest is taken first.

    Otherwise the run could end with a long task in one slot while the others idle. Longest first is never worse
    than 4/3 of the best order (Graham 1969), if the seconds are right.

    Every other turn has the reverse order: a, b, c, then c, b, a. Otherwise c would always come after a, and a
    machine that becomes slower and slower would make it seem slower.
    """

    def __init__(self) -> None:
        self.heap: list[tuple[int, float, int, Ledger, Case]] = []
        self.added = 0

    def __bool__(self) -> bool:
        return bool(self.heap)

    def add(self, ledger: Ledger, task: Case, seconds: float, turn: int) -> None:
        """Adds a task; tasks with an earlier turn are taken first."""
        way = -1 if turn % 2 else 1
        heapq.heappush(self.heap, (turn, -way * seconds, way * self.added, ledger, task))
        self.added += 1

    def take(self) -> tuple[Ledger, Case]:
        """Removes the next task, and returns it with the state of its case."""
        *_, ledger, task = heapq.heappop(self.heap)
        return ledger, task


def _seeds_with(change: str, part: CaseResult) -> int:
    """Counts the seeds of a part that were trained with a change: `onednn`, or `onednn: 2 of 3 seeds`."""
    if change in part.remarks:
        return len(part.trials)
    said = (remark.partition(": ")[2] for remark in part.remarks if measured_change(remark) == change)
    return sum(int(words.split()[0]) for words in said)
