"""Head to head: is lion better than adamw? Both are tuned at equal budget, until it is told or the time is spent.

A search for a learning rate and a training with what it found, on the test set, is one unit: each has seeds of its
own, and a verdict compares optimizers by units. Units are added in looks that are announced before. Time decides
only whether another look is begun, and nothing of what was found decides how long it takes: so the looks that were
made, corrected for all that were announced, keep the chance of a mistake. For the same reason, where one look is
announced, it has as many units as the time allows, and nothing is judged before the last of them.
"""

from __future__ import annotations

import _thread
import contextlib
import hashlib
import math
import shlex
import signal
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmnist import runner
from benchmnist.analysis.answers import Answer, answers
from benchmnist.analysis.answers_on_problems import answers_on
from benchmnist.errors import BenchmnistError, Problem, SuiteError
from benchmnist.execution.dispatch import Observer
from benchmnist.extensions.registry import find_plugins
from benchmnist.suites.named import key_text
from benchmnist.suites.options import RunOptions
from benchmnist.suites.pace import (
    LEVELS,
    OF_FUNCTIONS,
    OF_PROBLEMS,
    STACKED,
    Pace,
    Sizes,
    choose,
    least_budget,
    seconds_of,
)
from benchmnist.suites.plan import make_plan
from benchmnist.suites.reader import read_suite
from benchmnist.suites.values import MAX_STEPS
from benchmnist.suites.versus import Question, ask, suite_text
from benchmnist.text import alternatives, cause_of, counted, one_line
from benchmnist.tuner import NOT_TUNED, tune

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from types import FrameType

    from benchmnist.extensions.registry import Registry
    from benchmnist.preflight.check import Work
    from benchmnist.runs.results import CaseResult, EpochResult, RunResult
    from benchmnist.suites.cases import Case
    from benchmnist.suites.plan import Plan
    from benchmnist.suites.suite import Suite

BUDGET = 60.0
"""Seconds by default."""
LONGEST_COMMAND = 1000
"""Characters of the command that a suite names."""
MEASURING = "measuring the pace"
"""The beginning of the line that tells of it."""
PILOT = Sizes(steps=50, attempts=4, searches=1, validation=100)
"""Sizes of the training that measures the pace."""
UNKNOWN = Pace(step=0.0, trial=0.0, run=0.0)
"""A pace by which no look takes any time."""
LEAST_RUN = 0.5
"""Seconds that a run takes at least beside its trials."""
GRACE = 0.15
"""Share of the budget by which the first look may exceed it, since without it nothing can be said."""
MOST_SEARCHES = 20
"""Searches of a look at most, however much time is left."""
CAREFUL = 1.15
"""Share of the time that more searches are expected to take, by those before, for which time must be left."""
BESIDE = 1.5
"""Time of a trial, in units of its steps and set-up, where it is the only one of its worker."""
AGAIN = 0.5
"""Share of the time of a first run beside its trials that a second one in the same process takes: it has torch."""


@dataclass(frozen=True)
class Versus:
    """The answer to a question.

    Attributes:
        run: The run of the last look that was made; None if none was.
        answers: An answer for each optimizer that was asked about; none without a look.
        sizes: What was trained.
        suite: The file of the suite.
        seconds: How long it took.
        ended: `told`, `failed` (what failed has no comparison), `all searches` (of the last look), `budget` or
            `interrupted`.
    """

    run: RunResult | None
    answers: tuple[Answer, ...]
    sizes: Sizes
    suite: Path
    seconds: float
    ended: str

    @property
    def sentence(self) -> str:
        """The answers, in words."""
        if not self.answers:
            return "Nothing can be said: the time was up before the first look was made; give it a larger budget."
        return "\n".join(map(str, self.answers))

    @property
    def told(self) -> bool:
        """Tells whether every comparison is decided."""
        return bool(self.answers) and all(answer.told for answer in self.answers)


@dataclass
class Clock:
    """A budget of seconds, which runs from the start."""

    budget: float
    started: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.budget - self.spent

    @contextlib.contextmanager
    def ends(self, grace: float = 0.0) -> Iterator[list[bool]]:
        """Interrupts what is done within, as Ctrl-C would, when the time is up; the list then is not empty.

        The time is up after the budget and `grace`, a share of it. In another thread than the main one, nothing
        is interrupted.
        """
        up: list[bool] = []

        def interrupt() -> None:
            up.append(True)
            if hasattr(signal, "pthread_kill"):  # unlike interrupt_main, it also ends a wait or a sleep
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            else:
                _thread.interrupt_main()

        def only_ours(number: int, frame: FrameType | None) -> None:
            if up:
                signal.default_int_handler(number, frame)

        # Not at once: the start of the timer would be interrupted, before what handles it is entered.
        timer = threading.Timer(max(self.left + grace * self.budget, 0.2), interrupt)
        timer.daemon = True
        in_main = threading.current_thread() is threading.main_thread()
        # In a background job Ctrl-C is ignored, and stays so; but then our own interruption would be, too.
        ignored = in_main and signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        if ignored:
            signal.signal(signal.SIGINT, only_ours)
        if in_main:
            timer.start()
        try:
            yield up
        finally:
            timer.cancel()
            if ignored:
                signal.signal(signal.SIGINT, signal.SIG_IGN)


def versus(
    *optimizers: str,
    on: str | None = None,
    baseline: str | None = None,
    budget: str | float = BUDGET,
    steps: int | None = None,
    sizes: Sizes | Prepared | None = None,
    write: str | Path | None = None,
    options: RunOptions | None = None,
    watch: Callable[[], AbstractContextManager[Observer | None]] | None = None,
    say: Callable[[str], None] = lambda _: None,
    **changes: Any,
) -> Versus:
    """Tells whether an optimizer is better than another, both tuned with the same budget.

    Args:
        optimizers: Names, with parameters if wanted: `"lion"`, `"adamw:weight_decay=0.1"`. The last is the one
            that the others are compared with.
        on: A problem (`ravine`), one of its levels (`ravine/1e3`), a problem of a suite (`FILE.toml:NAME`), a
            model, a dataset, or `dataset/model`; None is mnist/fc.
        baseline: The optimizer to compare with, instead of the last.
        budget: Wall time: seconds, or `"60s"`, `"5m"`, `"1h"`.
        steps: Steps of each training, instead of those that the budget allows or a problem states.
        sizes: What to train, instead of what the budget allows, which is measured; with the pace, more searches
            may follow where one look is announced.
        write: File of the suite; by default `versus-….toml` in the current folder.
        options: As of `benchmnist.tune`, without `set` and `resume`.
        watch: As of `benchmnist.tune`.
        say: Called with a line on what was chosen, and on each look.
        changes: Attributes of RunOptions that override those of `options`.

    Raises:
        SuiteError: with everything that is wrong with the question; nothing was trained.
        BenchmnistError: if the budget is too small, the file is somebody else's, or nothing could be trained.
        ValueError: if an option has a value that it may not have.
        KeyboardInterrupt: if it is interrupted before the first look; later, the answer is that of the looks made.
    """
    clock = Clock(seconds_of(budget) if isinstance(budget, str) else seconds_of(f"{budget:g}"))
    options = replace(options or RunOptions(), **changes)
    question = _question(optimizers, options, on=on, baseline=baseline, steps=steps)
    file = Path(write) if write is not None else Path(f"{question.name}.toml")
    require_ours(file)
    plan = (
        Prepared(sizes, UNKNOWN) if isinstance(sizes, Sizes) else sizes or prepare(question, clock, options, say)
    )
    say(chosen(question, plan))

    def text_of(sizes: Sizes) -> str:
        return suite_text(question, sizes, command(optimizers, on, baseline))

    written = write_suite(file, text_of(plan.sizes))
    say(f"{written} {file}; to repeat it: {question.repeated_by} {file}")
    suite = replace(read_suite(file), announced=len(plan.sizes.looks))
    looks = _Looks(
        question=question,
        plan=plan,
        suite=suite,
        clock=clock,
        options=options,
        watch=watch or contextlib.nullcontext,
        say=say,
    )
    run, found, ended = looks.make()
    if looks.plan.sizes != plan.sizes:
        write_suite(file, text_of(looks.plan.sizes))
    return Versus(run, tuple(found), looks.plan.sizes, file, clock.spent, ended)


def rehearse(
    *optimizers: str,
    on: str | None = None,
    baseline: str | None = None,
    budget: float = BUDGET,
    steps: int | None = None,
    options: RunOptions | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[str, str]:
    """Measures a few steps; returns what would be chosen, in a line, and the text of the suite. See `versus`.

    Raises:
        SuiteError, BenchmnistError: as `versus` does.
    """
    options = options or RunOptions()
    question = _question(optimizers, options, on=on, baseline=baseline, steps=steps)
    plan = prepare(question, Clock(budget), options, say)
    return chosen(question, plan), suite_text(question, plan.sizes, command(optimizers, on, baseline))


def _question(
    optimizers: tuple[str, ...],
    options: RunOptions,
    *,
    on: str | None,
    baseline: str | None,
    steps: int | None,
) -> Question:
    """Returns the question that was asked.

    Raises:
        SuiteError: with everything that is wrong with it, also an option that its suite decides.
    """
    if name := options.given((*NOT_TUNED, "set", "resume", "optimizers")):
        message = (
            f"versus has no option {name}; write its suite with --dry-run, edit it, and run `benchmnist tune`"
        )
        raise SuiteError([Problem(message, "")])
    if steps is not None and not 0 < steps <= MAX_STEPS:
        raise SuiteError([Problem(f"steps must be from 1 to {MAX_STEPS:,}, not {steps}", "")])
    registry = find_plugins(options.block)
    question = replace(ask(optimizers, registry, on=on, baseline=baseline), steps=steps)
    return replace(question, rungs=_rungs(question, registry))


def _rungs(question: Question, registry: Registry) -> tuple[Case, ...]:
    """Plans the suite of a question; returns a case of each level of its problem.

    Raises:
        SuiteError: with everything that is wrong with the parameters of its place.
    """
    with _pilot(question) as file:
        plan = make_plan(read_suite(file), registry)
    if plan.problems:
        raise _about_the_question(question, plan.problems)
    return tuple(case for case in plan.cases if case.problem and case.optimizer.name == question.baseline.name)


def _about_the_question(question: Question, problems: Iterable[Problem]) -> SuiteError:
    """Returns the mistakes in a suite that nobody has written, each once, in the words that were typed."""
    typed = {f"optimizers.{key_text(each.name)}.": f"{each.typed}: " for each in question.optimizers}
    place = question.place
    typed |= {
        f"{kind}.{key_text(name)}.": f"--on {place.typed}: "
        for kind, name in (
            *((f"{key}s", part.name) for key, part in place.parts.items()),
            ("problems", place.called),
        )
    }
    typed |= {f"defaults.{key}: ": f"--on {place.typed}: " for key in place.parts}
    texts: dict[str, None] = {}
    for problem in problems:
        text = str(replace(problem, file="", line=None))
        found = next((key for key in typed if text.startswith(key)), "")
        texts[typed.get(found, "") + text[len(found) :]] = None
    return SuiteError([Problem(text, "") for text in texts])


@contextlib.contextmanager
def _pilot(question: Question) -> Iterator[Path]:
    """Yields the suite that measures the pace, in a folder that is removed."""
    with tempfile.TemporaryDirectory(prefix="benchmnist-") as folder:
        file = Path(folder) / "pilot.toml"
        file.write_text(suite_text(question, PILOT), "utf-8")
        yield file


@dataclass(frozen=True)
class Prepared:
    """Plan that a budget allows: the sizes, and the pace that they were chosen by."""

    sizes: Sizes
    pace: Pace


def prepare(
    question: Question, clock: Clock, options: RunOptions, say: Callable[[str], None] = lambda _: None
) -> Prepared:
    """Measures the pace on a few steps, or one search of a problem, and chooses the sizes.

    Args:
        question: The question.
        clock: The budget, which ends the measurement as well.
        options: As of `versus`.
        say: Called with a line on what is done.

    Raises:
        BenchmnistError: if the budget allows none, or nothing could be trained.
        KeyboardInterrupt: if it is interrupted.
    """
    what = "one search" if question.rungs else counted(PILOT.steps, "step")
    say(f"{MEASURING}: {what} on {question.place.typed}, within the budget of {clock.budget:g}s")
    _import_first(options)
    moments = _Moments()
    with clock.ends() as up:
        try:
            pace = measure(question, options, moments)
        except KeyboardInterrupt:
            if not up:
                raise
            raise BenchmnistError(_too_slow(question, clock, moments, what)) from None
    levels = LEVELS if not question.rungs else OF_FUNCTIONS if question.on_function else OF_PROBLEMS
    steps = max((case.steps or 1 for case in question.rungs), default=question.steps)
    number, tuned = question.trained, question.tuned
    sizes = choose(clock.left, pace, number, tuned, steps, levels=levels)
    if sizes is None:
        least = least_budget(pace, number, tuned, steps, levels=levels) + clock.spent
        raise BenchmnistError(
            f"a budget of {clock.budget:g}s is too small to tell anything on {question.place.typed}: "
            f"{levels[0][2]} searches take about {least:.0f}s here; pass --budget {least * 1.1:.0f}s"
        )
    return Prepared(sizes, pace)


def _import_first(options: RunOptions) -> None:
    """Imports what trains in this process: an import that the budget interrupts breaks torch."""
    if options.executor == "inline":
        import benchmnist.training.compiler
        import benchmnist.training.engines.recorded  # noqa: F401


def _too_slow(question: Question, clock: Clock, moments: _Moments, what: str) -> str:
    """Returns the message that the budget ended what measures the pace, and with which optimizers."""
    slow = [each.typed for each in question.optimizers if each.name not in moments.ended]
    which = f": no training of {alternatives(slow, 'or')} ended" if slow else ""
    fewer = ", or fewer --steps" if question.rungs else ""
    return (
        f"a budget of {clock.budget:g}s is too small for {what} of each on {question.place.typed}{which}; pass a "
        f"larger --budget{fewer}"
    )


def _require_trained(question: Question, results: Sequence[CaseResult]) -> None:
    """Requires of each optimizer that one of its trainings did not fail.

    Raises:
        BenchmnistError: with why it did.
    """
    for each in question.optimizers:
        own = [result for result in results if result.case.optimizer.name == each.name]
        if own and all(result.failed for result in own):
            why = cause_of(own[0].error or "")
            raise BenchmnistError(f"no training of a few steps with {each.typed} ends: {why}")


class _Moments(Observer):
    """Notes when the trials of each run end, and of which optimizers, and the results."""

    def __init__(self) -> None:
        self.runs: list[dict[tuple[str, int], float]] = []
        self.ended: set[str] = set()
        self.results: list[CaseResult] = []

    def run_started(self, plan: Plan, work: Mapping[str, Work], path: Path) -> None:  # noqa: ARG002
        """See Observer."""
        self.runs.append({})

    def epoch_ended(self, case: Case, seed: int, result: EpochResult) -> None:  # noqa: ARG002
        """See Observer."""
        self.runs[-1][case.id, seed] = time.monotonic()
        self.ended.add(case.optimizer.name)

    def case_ended(self, result: CaseResult) -> None:
        """See Observer."""
        self.results.append(result)


def measure(question: Question, options: RunOptions, moments: _Moments) -> Pace:
    """Trains with each optimizer, as a look does, a few steps or those of a problem, in a folder that is removed.

    Raises:
        SuiteError, BenchmnistError: if the suite cannot be run, or no training of it ends.
    """
    began = time.monotonic()
    with _pilot(question) as file:
        pilot = replace(options, out=file.parent, checkpoints=False)
        try:
            if question.ranges:
                tuned = tune(file, pilot, searches=1, watch=lambda: contextlib.nullcontext(moments))
                found, searched = tuned.final, tuned.search.cases
            else:
                found = runner.run(file, pilot, observer=moments, seeds=tuple(range(PILOT.attempts)))
                searched = ()
        except SuiteError as error:
            raise _about_the_question(question, error.problems) from None
        except BenchmnistError as error:
            _require_trained(question, moments.results)
            raise BenchmnistError(str(error).partition(" (the search is in ")[0]) from None  # it is removed
    ended = time.monotonic()
    trained = [result for result in found.cases if any(trial.epochs for trial in result.trials)]
    if not trained:
        why = "; ".join(f"{result.id} {result.status}: {cause_of(result.error or '')}" for result in found.cases)
        raise BenchmnistError(f"no training of a few steps ends: {why}")
    _require_trained(question, moments.results)
    slots = max(result.side_by_side for result in trained)
    first, last = (sorted(run.values()) for run in (moments.runs[0], moments.runs[-1]))
    # The first trial of each worker waits for its start, and the other trials follow each other.
    later = len(first) - slots
    each = slots * (first[-1] - first[0]) / later if later > 0 else ended - began
    if last is first:  # with no search before it
        run = AGAIN * (ended - began - len(last) / slots * each)
    else:
        run = ended - first[-1] - len(last) / slots * each
    run = max(LEAST_RUN, run)
    if question.rungs:
        return _on_problem(searched or found.cases, first[-1] - first[0], run, slots)
    step = statistics.fmean(map(_seconds_of_step, trained))
    examples = max(result.train_size for result in trained)
    return Pace(step, max(0.0, each - PILOT.steps * step), run, slots, examples)


def _on_problem(results: Sequence[CaseResult], seconds: float, run: float, slots: int) -> Pace:
    """Returns the pace of whole trials, some of which were trained in stacks.

    Args:
        results: The results of one search, of all optimizers at all levels.
        seconds: Seconds from the end of the first trial to that of the last.
        run: Seconds of a run beside its trials.
        slots: Number of workers.
    """
    stacked = {(result.case.optimizer.name, result.case.group) for result in results if result.shares_times}
    trained = [math.fsum(e.seconds for trial in result.trials for e in trial.epochs) for result in results]
    plain = [t for result, t in zip(results, trained, strict=True) if not result.shares_times]
    share = math.fsum(plain) / (math.fsum(trained) or 1.0)
    number = len(stacked) + sum(len(r.trials) for r in results if not r.shares_times)
    if number > slots:  # the first of each worker waits for its start
        spent = seconds * slots * number / (number - slots)
    else:
        setups = [trial.setup_seconds for result in results for trial in result.trials]
        spent = BESIDE * (math.fsum(trained) + number * max(setups, default=0.0))
    examples = min(result.train_size for result in results)
    return Pace(
        step=0.0,
        trial=share * spent / max(1, number - len(stacked)),
        run=run,
        slots=slots,
        examples=examples,
        stacks=len(stacked),
        stack=(1 - share) * spent / max(1, len(stacked)) / (1 + PILOT.attempts / STACKED),
    )


def _seconds_of_step(result: CaseResult) -> float:
    """Seconds of a step, the median of the trials."""
    seconds = [math.fsum(epoch.seconds for epoch in trial.epochs) for trial in result.trials]
    return statistics.median(seconds) / PILOT.steps


def chosen(question: Question, plan: Prepared) -> str:
    """Returns what was chosen, in a line."""
    sizes, names = plan.sizes, [each.typed for each in question.optimizers]
    looks = alternatives(map(str, sizes.looks), "and")
    ranges = {f"{low:g} to {high:g}": None for low, high in question.ranges.values()}
    units = "searches" if question.ranges else "seeds"
    tries = (
        f" of {counted(sizes.attempts, 'learning rate')} each ({alternatives(ranges, 'and')})" if ranges else ""
    )
    among = f" ({counted(len(question.rungs), 'level')})" if len(question.rungs) > 1 else ""
    fixed = [each.typed for each in question.optimizers if each.name not in question.ranges]
    untuned = f"; {alternatives(fixed, 'and')} as given" if fixed else ""
    first = next(iter(question.rungs), None)
    budget = counted(sizes.steps, "step")
    if first is not None:
        budget = counted(first.steps, "step") if first.steps else counted(first.epochs, "epoch")
    return (
        f"{alternatives(names, 'and')} on {question.place.typed}{among}: {budget} a training; looks at {looks} "
        f"{units}{tries}{untuned}"
    )


def command(optimizers: tuple[str, ...], on: str | None, baseline: str | None) -> str:
    """Returns the command line of a question, as a shell takes it, in one line."""
    words = [*optimizers, *(["--on", on] if on else []), *(["--baseline", baseline] if baseline else [])]
    return one_line(f"benchmnist versus {shlex.join(words)}", LONGEST_COMMAND)


@dataclass
class _Looks:
    """Makes the looks: searches, trains what they find, and judges."""

    question: Question
    plan: Prepared
    suite: Suite
    clock: Clock
    options: RunOptions
    watch: Callable[[], AbstractContextManager[Observer | None]]
    say: Callable[[str], None]
    slower: float = 1.0

    def make(self) -> tuple[RunResult | None, list[Answer], str]:
        """Makes looks until every comparison is told, or the time is up; returns the last, and why it ended."""
        _import_first(self.options)
        last: RunResult | None = None
        found: list[Answer] = []
        ended, before = "all searches", 0
        for number, searches in enumerate(self.plan.sizes.looks, 1):
            if before and self._expected(searches, before) > self.clock.left:
                ended = "budget"
                break
            what = f"look {number} of {len(self.plan.sizes.looks)}: {searches} of each"
            last, why = self._until(searches, before, last, what)
            if why or last is None:
                ended = why
                break
            before = searches
            # Trainings that stop at a target take less time the better they are: the clock would count results.
            if len(self.plan.sizes.looks) == 1 and not self.question.rungs:
                last, ended = self._more(last, searches)
            found = self._answers(last)
            if all(answer.told or answer.failed for answer in found):
                if ended == "all searches":
                    ended = "told" if all(answer.told for answer in found) else "failed"
                break
        return last, found, ended

    def _until(
        self, searches: int, before: int, last: RunResult | None, what: str
    ) -> tuple[RunResult | None, str]:
        """Trains so many searches; returns the run, or the one before and why they did not end."""
        with self.clock.ends(0.0 if before else GRACE) as up:
            try:
                self.say(what)
                return self._look(searches, before), ""
            except KeyboardInterrupt:
                if last is None and not up:
                    raise
        return last, "budget" if up else "interrupted"

    def _more(self, run: RunResult, searches: int) -> tuple[RunResult, str]:
        """Trains as many searches more as the time that is left allows, before anything is judged."""
        while self.plan.pace != UNKNOWN and searches < MOST_SEARCHES:
            fits = [
                number
                for number in range(searches + 1, MOST_SEARCHES + 1)
                if CAREFUL * self._expected(number, searches) < self.clock.left
            ]
            if not fits:
                return run, "budget"
            what = f"{fits[-1] - searches} more of each, in the time that is left"
            more, why = self._until(fits[-1], searches, run, what)
            if why or more is None:
                return run, why
            run = more
            searches = fits[-1]
            self.plan = replace(self.plan, sizes=replace(self.plan.sizes, searches=searches, first=searches))
        return run, "all searches"

    def _answers(self, run: RunResult) -> list[Answer]:
        question = self.question
        called = {each.name: each.typed for each in question.optimizers}
        asked = [each.name for each in question.asked]
        if question.rungs:
            where = question.place.typed, question.rungs
            return answers_on(*where, run, asked=asked, baseline=question.baseline.name, called=called)
        return answers(run, asked, question.baseline.name, called)

    def _expected(self, searches: int, before: int) -> float:
        """Seconds that a look will take, by how long the one before took."""
        number, tuned = self.question.trained, self.question.tuned
        return self.slower * self.plan.pace.of_look(self.plan.sizes, searches, before, number, tuned)

    def _look(self, searches: int, before: int) -> RunResult:
        self.slower, expected, began = 1.0, self._expected(searches, before), time.monotonic()
        if self.question.ranges:
            run = tune(self.suite, self.options, searches=searches, resume=before > 0, watch=self.watch).final
        else:
            with self.watch() as observer:
                run = runner.run(
                    self.suite, self.options, observer=observer, seeds=tuple(range(searches)), reuse=before > 0
                )
        self.slower = (time.monotonic() - began) / expected if expected else 1.0
        return run


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:12]


def require_ours(file: Path) -> None:
    """Requires that a file may be written: it is not there, or this wrote it and nobody changed it.

    Raises:
        SuiteError: if it may not be.
    """
    if not file.exists():
        if not file.parent.is_dir():
            raise SuiteError([Problem(f"{file.parent} is no folder; make it, or pass another --write", "")])
        return
    try:
        first, _, body = file.read_text("utf-8").partition("\n")
    except (OSError, UnicodeDecodeError):
        first, body = "", ""
    if not first.endswith(_digest(body)):
        message = f"{file} is there and is not what `benchmnist versus` wrote; pass --write FILE"
        raise SuiteError([Problem(message, "")])


def write_suite(file: Path, text: str) -> str:
    """Writes a suite with a first line by which `require_ours` knows it; returns what was done.

    Raises:
        OSError: if it cannot be written.
    """
    replaced = file.exists()
    file.write_text(f"# written by benchmnist versus, unchanged since: {_digest(text)}\n{text}", "utf-8")
    return "replaced" if replaced else "wrote"
