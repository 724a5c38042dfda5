"""Writes the events of a run to its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmnist.errors import StoreError, described
from benchmnist.execution.dispatch import Observer
from benchmnist.runs.results import CaseResult, now
from benchmnist.text import first_line_of, kept

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from benchmnist.analysis.looks import Standing
    from benchmnist.preflight.check import Work
    from benchmnist.runs.results import EpochResult, Evaluation, RunRecord
    from benchmnist.runs.store import RunFolder
    from benchmnist.suites.cases import Case
    from benchmnist.suites.looks import Looks
    from benchmnist.suites.plan import Plan


class Recorder(Observer):
    """Writes every event before it forwards it to another observer.

    Attributes:
        environment: Machine and versions of the last ended case.
        ended: Results of the ended cases, of the look that was begun last.
        keys: Key of each case, by its id.
        planned: Cases of that look.
        mishaps: What went wrong in our own process, in words.
        error: Reason why a result could not be written, which makes further training useless.
    """

    def __init__(self, folder: RunFolder, record: RunRecord, observer: Observer) -> None:
        self.folder, self.record, self.observer = folder, record, observer
        self.keys: Mapping[str, str] = {}
        self.environment: dict[str, Any] = {}
        self.ended: list[CaseResult] = []
        self.planned: Sequence[Case] = ()
        self.mishaps: list[str] = []
        self.error: StoreError | None = None

    def run_started(self, plan: Plan, work: Mapping[str, Work], path: Path) -> None:
        """See Observer."""
        self.folder.write_record(self.record)
        self.observer.run_started(plan, work, path)

    def begin(self, plan: Plan, keys: Mapping[str, str]) -> None:
        """Records what is trained from now on, by the keys of its cases."""
        self.keys, self.ended, self.planned = keys, [], plan.cases
        if plan.looks is not None:
            self.record = self.record.model_copy(update={"plan": plan.cases, "looks": plan.looks})
            self.folder.write_record(self.record)
            self.observer.look_started(plan, plan.looks)

    def looked(self, looks: Looks, found: Standing) -> None:
        """Records the outcome of a look: the next one, or why none follows."""
        self.record = self.record.model_copy(update={"looks": looks})
        self.observer.look_ended(looks, found)

    def known(self, result: CaseResult) -> None:
        """Records the result of a case that needs no training."""
        self.ended.append(result)
        self.environment = result.environment or self.environment
        self.folder.write_case(result)  # under the name that it has now
        self.observer.case_ended(result)

    def case_started(self, case: Case) -> None:
        """See Observer."""
        self.observer.case_started(case)

    def evaluation_ended(self, case: Case, seed: int, evaluation: Evaluation) -> None:
        """See Observer."""
        self.observer.evaluation_ended(case, seed, evaluation)

    def epoch_ended(self, case: Case, seed: int, result: EpochResult) -> None:
        """See Observer."""
        self.observer.epoch_ended(case, seed, result)

    def part_ended(self, result: CaseResult) -> None:
        """See Observer."""
        result = self._written(result, self.folder.write_part)
        self.observer.part_ended(result)

    def case_ended(self, result: CaseResult) -> None:
        """See Observer."""
        self.environment = result.environment or self.environment
        result = self._written(result, self.folder.write_case)
        self.ended.append(result)
        self.observer.case_ended(result)

    def _written(self, result: CaseResult, write: Callable[[CaseResult], None]) -> CaseResult:
        result = result.model_copy(update={"key": self.keys.get(result.id, "")})
        try:
            write(result)
        except StoreError as error:
            self.error = self.error or error  # the first: what follows is likely to fail, too
            raise
        return result

    def settle(self, errors: Mapping[str, str]) -> None:
        """Records a failure for each planned case that the session has ended without a result of.

        Args:
            errors: Exceptions in this process that are no failures of a training, by case id: what each says in a
                line, then its traceback.
        """
        results = {result.id: result for result in self.ended}
        for case_id, error in errors.items():
            self.mishaps.append(f"an error of BenchMNIST itself at {case_id}: {first_line_of(error)}")
        for case in self.planned:
            result = results.get(case.id) or CaseResult(case=case, status="interrupted")
            if result.status == "interrupted":
                error = errors.get(case.id) or next(iter(errors.values()), "the session ended without its result")
                failed = CaseResult.model_validate({**dict(result), "status": "failed", "error": error})
                try:
                    self.case_ended(failed)
                except Exception as another:  # noqa: BLE001 - it may be that very error again
                    self.mishaps.append(f"an error of BenchMNIST itself at {case.id}: {described(another)}")

    def run_ended(self, *, interrupted: bool) -> None:
        """Records how the run ended."""
        whole = {result.id for result in self.ended if result.status != "interrupted"}
        lost = {case.id for case in self.record.plan} - whole
        failed = bool(lost or self.mishaps) or any(result.failed or result.misses for result in self.ended)
        status = "interrupted" if interrupted else "failed" if failed else "completed"
        notes = (*self.record.notes, *map(kept, self.mishaps))
        self.record = self.record.model_copy(update={"status": status, "ended": now(), "notes": notes})
        self.folder.write_record(self.record)
