"""Progress of a run: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.segment import Segment, Segments

from benchmnist.analysis.summary import summarise_all
from benchmnist.cli.console import progress_console
from benchmnist.cli.progress_lines import before_training, epoch_line, evaluation_line, verdict_line
from benchmnist.execution.dispatch import Observer
from benchmnist.reports.tables import ComparisonTable
from benchmnist.reports.terminal import Line
from benchmnist.runs.endings import ending_of
from benchmnist.suites.budgets import total_steps
from benchmnist.text import counted, decimals

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rich.console import Console, RenderableType

    from benchmnist.analysis.looks import Standing
    from benchmnist.analysis.summary import Summary
    from benchmnist.preflight.check import Work
    from benchmnist.runs.results import CaseResult, EpochResult, Evaluation
    from benchmnist.suites.cases import Case
    from benchmnist.suites.looks import Looks
    from benchmnist.suites.plan import Plan


def make_display(*, verbose: bool, progress: str = "auto") -> Display:
    """Returns plain lines, or by default a live display if standard error is a terminal; nothing with `none`."""
    console = progress_console()
    kind = LiveDisplay if console.is_terminal and progress == "auto" else Display
    return (Silent if progress == "none" else kind)(console, verbose=verbose)


class Display(Observer):
    """Prints plain lines without control codes, each once.

    Attributes:
        path: Run folder, once it exists.
    """

    def __init__(self, console: Console, *, verbose: bool) -> None:
        self.console, self.verbose = console, verbose
        self.path: Path | None = None
        self.cases: tuple[Case, ...] = ()
        self.started = 0
        self.running: set[str] = set()
        self.ended: list[CaseResult] = []
        self.steps: dict[str, int] = {}  # of a whole epoch, by case
        self.told: dict[tuple[str, int], set[int]] = {}  # steps of the evaluations that have a line, by trial

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run_started(self, plan: Plan, work: Mapping[str, Work], path: Path) -> None:
        """See Observer."""
        self.path, self.cases = path, plan.cases
        self.steps = {case_id: each.steps for case_id, each in work.items()}
        self.say(f"{plan.suite.title}: {len(plan.cases)} cases, in {path}")
        for line in before_training(plan, path.parents[1]):
            self.say(line)

    def look_started(self, plan: Plan, looks: Looks) -> None:
        """See Observer."""
        self.cases, self.started, self.ended = plan.cases, 0, []
        self.say(f"look {looks.reached} of {looks.number}: {counted(len(looks.now), 'seed')} of each case")

    def look_ended(self, looks: Looks, standing: Standing) -> None:
        """See Observer."""
        self.say(f"{standing}{'; no other look is needed' if looks.stopped == 'settled' else ''}")

    def case_started(self, case: Case) -> None:
        """See Observer."""
        self.started += 1
        self.running.add(case.id)
        self.say(f"[{self.started}/{len(self.cases)}] {case.id}")

    def evaluation_ended(self, case: Case, seed: int, evaluation: Evaluation) -> None:
        """See Observer."""
        self.told.setdefault((case.id, seed), set()).add(evaluation.step)
        self.say(f"{self.whose(case)} {evaluation_line(case, seed, evaluation, self.steps.get(case.id))}")

    def epoch_ended(self, case: Case, seed: int, result: EpochResult) -> None:
        """See Observer."""
        if self.verbose:
            self.notebook_lines(case, result)
        told = self.told.pop((case.id, seed), set())
        for evaluation in result.evaluations[:-1]:
            if evaluation.step not in told:
                self.say(f"{self.whose(case)} {evaluation_line(case, seed, evaluation, self.steps.get(case.id))}")
        self.say(f"{self.whose(case)} {epoch_line(case, seed, result)}")

    def case_ended(self, result: CaseResult) -> None:
        """See Observer."""
        self.ended.append(result)
        self.say(f"{self.whose(result.case)} {verdict_line(self.summaries()[-1])}")
        self.running.discard(result.id)

    def whose(self, case: Case) -> str:
        """Returns the prefix of a line about a case; empty if only the last started case can be meant."""
        return " " if self.running == {case.id} else f"  {case.id}:"

    def notebook_lines(self, case: Case, result: EpochResult) -> None:
        """Prints losses like the notebook, once the clock has stopped."""
        steps = result.step_losses[-1][0]
        for step, loss in result.step_losses:
            self.say(f"Epoch [{result.epoch}/{case.epochs}], Step [{step}/{steps}], Loss: {decimals(loss, 4)}")

    def say(self, line: str) -> None:
        """Prints a line."""
        self.console.print(Line(line), soft_wrap=True)

    def summaries(self) -> list[Summary]:
        """Returns the summaries of the ended cases."""
        return summarise_all(self.ended)


class Silent(Display):
    """Prints nothing, and knows the run folder as every display does."""

    def say(self, line: str) -> None:
        """Prints nothing."""


class LiveDisplay(Display):
    """Shows overall progress with the remaining time, the cases in training, and the growing table."""

    def __init__(self, console: Console, *, verbose: bool) -> None:
        super().__init__(console, verbose=verbose)
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            speed_estimate_period=600,  # an epoch may take a while, and cases differ
        )
        self.overall = self.progress.add_task("starting", total=None)
        self.current: dict[tuple[str, int | None], str] = {}  # a line for each trial, by case and seed
        self.over: set[tuple[str, int | None]] = set()  # those whose last epoch is shown until something else ends
        self.seen: dict[tuple[str, int], list[EpochResult]] = {}  # epochs of each trial of the cases in training
        self.weights: dict[str, float] = {}
        self.counted: dict[str, float] = {}  # epochs, by case
        self.parts: dict[tuple[str, int], float] = {}  # counted of the epoch under way of each trial
        self.trials: Counter[str] = Counter()  # those that ended, by case
        self.look = ""
        self.shown: object = None
        self.drawn: RenderableType = ""
        self.live = Live(
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            refresh_per_second=2,  # it takes from the training what it takes
        )

    def __enter__(self) -> Self:
        self.live.start()
        self.draw()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def run_started(self, plan: Plan, work: Mapping[str, Work], path: Path) -> None:
        """See Observer."""
        super().run_started(plan, work, path)
        # An epoch counts by its arithmetic; a case whose work is not known, as one of average size.
        known = {case.id: work[case.id].flop for case in plan.cases if case.id in work}
        average = sum(known.values()) / len(known) if known else 1.0
        self.weights = {case.id: known.get(case.id, average) for case in plan.cases}
        self.begin()

    def look_started(self, plan: Plan, looks: Looks) -> None:
        """See Observer."""
        super().look_started(plan, looks)
        self.begin(f"look {looks.reached} of {looks.number}, ", len(looks.before))

    def begin(self, look: str = "", seeds: int = 0) -> None:
        """Begins the progress of the cases, of which so many seeds were trained at an earlier look."""
        self.look, self.shown = look, None
        self.trials = Counter({case.id: seeds for case in self.cases})
        self.counted = {case.id: case.epochs * seeds for case in self.cases}
        self.parts.clear()
        total = sum(self.weights[case.id] * (case.rounds - self.counted[case.id]) for case in self.cases)
        self.progress.update(self.overall, total=total, completed=0)
        self.describe()
        self.draw()

    def case_started(self, case: Case) -> None:
        """See Observer."""
        self.current[case.id, None] = f"{case.id}: starting"
        self.draw()

    def evaluation_ended(self, case: Case, seed: int, evaluation: Evaluation) -> None:
        """See Observer. The screen shows it when it is refreshed: to draw each would take from the training."""
        if per_epoch := self.steps.get(case.id):
            made = evaluation.step % per_epoch
            planned = min(per_epoch, total_steps(case, per_epoch) - evaluation.step + made)
            self.count_part(case, seed, made / planned)
        self.goes_on(case, seed, evaluation_line(case, seed, evaluation, self.steps.get(case.id)))
        self.draw(refresh=False)

    def goes_on(self, case: Case, seed: int, line: str) -> None:
        """Shows a line about a trial, instead of those about trials that are over."""
        for over in ((case.id, None), *self.over):
            self.current.pop(over, None)
        self.over.clear()
        self.current[case.id, seed] = f"{case.id}: {line}"

    def epoch_ended(self, case: Case, seed: int, result: EpochResult) -> None:
        """See Observer."""
        if self.verbose:
            self.notebook_lines(case, result)
        self.count_part(case, seed, 1)
        self.parts.pop((case.id, seed))
        self.goes_on(case, seed, epoch_line(case, seed, result))
        seen = self.seen.setdefault((case.id, seed), [])
        del seen[result.epoch - 1 :]
        seen.append(result)
        if ending_of(case, seen) or not result.metrics:
            self.over.add((case.id, seed))
            self.trials[case.id] += 1
            self.describe()
        self.draw()

    def case_ended(self, result: CaseResult) -> None:
        """See Observer."""
        self.ended.append(result)
        self.current = {key: line for key, line in self.current.items() if key[0] != result.id}
        self.seen = {key: epochs for key, epochs in self.seen.items() if key[0] != result.id}
        self.parts = {key: part for key, part in self.parts.items() if key[0] != result.id}
        self.count(result.case, result.case.rounds - self.counted[result.id])  # those that will not come, too
        self.trials[result.id] = len(result.case.seeds)
        self.describe()
        self.draw()

    def describe(self) -> None:
        """Counts the ended cases and trials: seed by seed, the cases end last and together."""
        trials = sum(len(case.seeds) for case in self.cases)
        cases = f"{self.look}{len(self.ended)}/{len(self.cases)} cases"
        self.progress.update(self.overall, description=f"{cases}, {self.trials.total()}/{trials} trials")

    def count_part(self, case: Case, seed: int, part: float) -> None:
        """Advances the progress to a part of the epoch under way of a trial, which may have been begun anew."""
        self.count(case, part - self.parts.get((case.id, seed), 0.0))
        self.parts[case.id, seed] = part

    def count(self, case: Case, epochs: float) -> None:
        """Advances the progress by a number of epochs of a case."""
        self.counted[case.id] += epochs
        self.progress.advance(self.overall, epochs * self.weights[case.id])

    def draw(self, *, refresh: bool = True) -> None:
        """Updates the screen; of a long table, it shows the last rows that fit."""
        parts: list[RenderableType] = [self.progress]
        lines = self.workers(max(2, self.console.height // 3)) or [""]
        parts += [Line(line, style="cyan", no_wrap=True, overflow="ellipsis") for line in lines]
        if self.ended:
            parts.append(self.table(len(lines)))
        self.live.update(Group(*parts), refresh=refresh)

    def workers(self, room: int) -> list[str]:
        """Returns a line for each trial in training; if they do not fit, the last line counts the others."""
        lines = [*self.current.values()]
        if len(lines) <= room:
            return lines
        return [*lines[: room - 1], f"… and {len(lines) - room + 1} more in training"]

    def table(self, lines: int) -> RenderableType:
        """Returns the last rows that fit below a number of lines; rendered once per content."""
        shown = (len(self.ended), lines, self.console.size)
        if shown != self.shown:
            summaries = self.summaries()
            groups = len({s.result.case.group for s in summaries})
            room = max(1, self.console.height - groups - 4 - lines)
            rows = self.console.render_lines(ComparisonTable(summaries[-room:]), pad=False)
            flat = [segment for row in rows for segment in (*row, Segment.line())]
            self.shown, self.drawn = shown, Segments(flat)
        return self.drawn
