"""In which order trials are begun, what is told of them, and how long a run of many takes."""

from __future__ import annotations

import gc
import heapq
import itertools
import random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_support import Told, make_case

from benchmnist.execution.dispatch import Dispatcher
from benchmnist.executors import Workplace
from benchmnist.executors.inline import InlineExecutor
from benchmnist.executors.local import LocalExecutor
from benchmnist.runs.results import CaseResult, EpochResult, MeasuredEpoch, TrialResult
from benchmnist.testing.executors import figures
from benchmnist.training.data import default_data_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmnist.executors import Epoch
    from benchmnist.suites.cases import Case


CASE = make_case()


class Simulated:
    """An executor of several slots in a time of its own: each task takes as long as it is said to take."""

    def __init__(self, slots: int, seconds: Mapping[tuple[str, int], float]) -> None:
        self.slots, self.seconds = slots, seconds
        self.begun: list[str] = []
        self.now = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, tasks: Iterator[Case]) -> Iterator[tuple[Case, Epoch | CaseResult]]:
        running: list[tuple[float, int, Case]] = []
        turns = itertools.count()
        while True:
            while len(running) < self.slots and (task := next(tasks, None)) is not None:
                self.begun.append(task.id)
                heapq.heappush(running, (self.now + self.seconds[task.id, task.seeds[0]], next(turns), task))
            if not running:
                return
            self.now, _, task = heapq.heappop(running)
            yield task, CaseResult(case=task, status="completed", engine="none")


def simulate(
    slots: int, cases: Sequence[Case], actual: Mapping[tuple[str, int], float], estimate: Mapping[str, float]
) -> Simulated:
    executor = Simulated(slots, actual)
    dispatcher = Dispatcher(executor, Told(), seconds=estimate)
    dispatcher.expect(cases)
    for case in cases:
        assert [*dispatcher.epochs(case)] == []
    return executor


def order_of(seconds: Sequence[float], slots: int = 2) -> list[str]:
    """In which order cases of one trial are begun that are thought to take so long."""
    cases = [CASE.model_copy(update={"id": f"a/{number}"}) for number in range(len(seconds))]
    estimate = {case.id: s for case, s in zip(cases, seconds, strict=True)}
    actual = {(case.id, 0): 1.0 for case in cases}
    return [name.removeprefix("a/") for name in simulate(slots, cases, actual, estimate).begun]


def test_the_longest_trials_are_begun_first_and_equals_in_order() -> None:
    assert order_of([1] * 6) == ["0", "1", "2", "3", "4", "5"]
    assert order_of([1, 1, 9, 1, 5]) == ["2", "4", "0", "1", "3"]
    # In one slot the order is the suite's.
    assert order_of([1, 1, 9, 1, 5], slots=1) == ["0", "1", "2", "3", "4"]


@given(st.lists(st.floats(0, 1e15), min_size=1, max_size=20), st.integers(1, 5))
def test_every_task_is_begun_once_however_long_it_takes(seconds: list[float], slots: int) -> None:
    assert sorted(map(int, order_of(seconds, slots))) == [*range(len(seconds))]


# What an epoch of each case of suites/assignment4.toml took, in seconds: docs/performance.md.
EPOCHS = (0.71, 0.70, 0.77, 0.82, 0.74, 0.80, 0.85, 0.89, 1.05, 1.09, 1.08, 1.19, 3.69)


def two_hundred_cases(chance: random.Random) -> tuple[list[Case], dict[tuple[str, int], float], dict[str, float]]:
    """Cases as those, of one to ten epochs and three seeds; what they take, and what is thought that they take.

    A trial takes longer or shorter than the one before (a normal deviate of a tenth), and the estimate is wrong by
    up to the half.
    """
    cases = [
        CASE.model_copy(update={"id": f"a/{number}", "epochs": chance.randint(1, 10), "seeds": (0, 1, 2)})
        for number in range(200)
    ]
    epoch = {case.id: chance.choice(EPOCHS) for case in cases}
    actual = {
        (case.id, seed): epoch[case.id] * case.epochs * max(0.5, chance.gauss(1, 0.1))
        for case in cases
        for seed in case.seeds
    }
    return cases, actual, {case.id: epoch[case.id] * chance.uniform(0.67, 1.5) for case in cases}


@pytest.mark.parametrize("slots", [2, 4, 8, 32])
def test_a_run_of_two_hundred_cases_takes_little_longer_than_it_must(slots: int) -> None:
    """The ratios are those of docs/performance.md."""
    chance = random.Random(slots)  # noqa: S311 - no secret
    longest_first, in_order = [], []
    for _ in range(20):
        cases, actual, estimate = two_hundred_cases(chance)
        ideal = max(sum(actual.values()) / slots, *actual.values())
        longest_first.append(simulate(slots, cases, actual, estimate).now / ideal)
        in_order.append(simulate(slots, cases, actual, {}).now / ideal)
    assert max(longest_first) < 1.02
    assert sum(longest_first) < sum(in_order)


def epochs(*numbers: int, seconds: float = 1.0) -> list[EpochResult]:
    return [
        EpochResult(
            epoch=n,
            seconds=seconds,
            train_loss=1 / n,
            step_losses=((1, 1.0),),
            metrics={"test_loss": 1, "test_accuracy": 9},
        )
        for n in numbers
    ]


class Scripted:
    """An executor that says what it is told to say of each task."""

    def __init__(self, slots: int, say: Callable[[Case], Iterator[Epoch | CaseResult]]) -> None:
        self.slots, self.say = slots, say
        self.taken: list[Case] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, tasks: Iterator[Case]) -> Iterator[tuple[Case, Epoch | CaseResult]]:
        for task in tasks:
            self.taken.append(task)
            yield from ((task, step) for step in self.say(task))


def result_of(task: Case, seed: int, done: list[EpochResult]) -> CaseResult:
    trial = TrialResult(seed=seed, status="completed", epochs=tuple(done))
    return CaseResult(case=task, status="completed", engine="none", trials=(trial,))


def test_a_trial_that_was_begun_anew_is_there_once() -> None:
    """Its machine went away after two epochs: what was measured there is not mixed with the rest."""

    def say(task: Case) -> Iterator[Epoch | CaseResult]:
        (seed,) = task.seeds
        if seed == 1:
            yield from (MeasuredEpoch(seed, epoch) for epoch in epochs(1, 2, seconds=7.0))
        done = epochs(1, 2, 3)
        yield from (MeasuredEpoch(seed, epoch) for epoch in done)
        yield result_of(task, seed, done)

    case = make_case(epochs=3, seeds=(0, 1))
    executor, told = Scripted(2, say), Told()
    dispatcher = Dispatcher(executor, told)
    measured = [
        (epoch.seed, epoch.result.epoch, epoch.seconds) for epoch in dispatcher.epochs(case) if epoch.result
    ]
    assert measured == [(seed, number, 1.0) for seed in (0, 1) for number in (1, 2, 3)]
    (result,) = told.ended
    assert [[epoch.seconds for epoch in trial.epochs] for trial in result.trials] == [[1.0] * 3] * 2
    assert told.log.count("a/case 1.1") == 2  # whoever watches sees that it is done again


def test_what_is_to_be_said_of_any_trial_is_said_of_the_case() -> None:
    """That its machine went away, or was another."""

    def say(task: Case) -> Iterator[Epoch | CaseResult]:
        (seed,) = task.seeds
        environment = {"fingerprint": seed % 2, "device_name": f"CPU {seed % 2}", "threads": 1, "torch": "2"}
        remarks = ("fused", *(["begun anew: node 7 left"] if seed == 1 else []))
        result = result_of(task, seed, epochs(1))
        yield result.model_copy(update={"remarks": remarks, "environment": environment})

    told = Told()
    assert [*Dispatcher(Scripted(2, say), told).epochs(make_case(seeds=(0, 1, 2)))]
    assert told.ended[0].remarks == (
        "fused",
        "begun anew: node 7 left",
        "trained on different machines: CPU 0 (1 threads, torch 2); CPU 1 (1 threads, torch 2)",
    )


def test_a_change_for_speed_that_one_worker_found_slower_is_said_of_the_other_seeds_only() -> None:
    def say(task: Case) -> Iterator[Epoch | CaseResult]:
        (seed,) = task.seeds
        remarks = ("channels_last", *(["onednn"] if seed else []))
        yield result_of(task, seed, epochs(1)).model_copy(update={"remarks": remarks, "engine": "resident"})

    told = Told()
    assert [*Dispatcher(Scripted(2, say), told).epochs(make_case(seeds=(0, 1, 2)))]
    assert told.ended[0].remarks == ("channels_last", "onednn: 2 of 3 seeds")


def test_an_interruption_keeps_what_was_seen_last_of_a_trial() -> None:
    def say(_: Case) -> Iterator[Epoch | CaseResult]:
        yield from (MeasuredEpoch(0, epoch) for epoch in (*epochs(1, 2, 3, seconds=7.0), *epochs(1, 2)))
        raise KeyboardInterrupt

    told = Told()
    dispatcher = Dispatcher(Scripted(2, say), told)
    with pytest.raises(KeyboardInterrupt):
        next(dispatcher.epochs(make_case(epochs=3)))
    assert dispatcher.interrupt() == told.ended
    assert [epoch.seconds for epoch in told.ended[0].trials[0].epochs] == [1.0, 1.0]


def test_an_interruption_returns_what_was_begun_or_known_and_not_requested_and_where_it_was_trained() -> None:
    def say(task: Case) -> Iterator[Epoch | CaseResult]:
        if task.id == "c":
            raise KeyboardInterrupt
        yield result_of(task, task.seeds[0], epochs(1)).model_copy(update={"environment": {"torch": "2"}})

    a, b, c, d, known, requested = (make_case(id=name, seeds=(0, 1)) for name in ("a", "b", "c", "d", "k", "r"))
    there = {case.id: CaseResult(case=case, status="completed") for case in (known, requested)}
    dispatcher = Dispatcher(Scripted(1, say), Told(), known=there, interleaved=True)
    dispatcher.expect([a, b, c, d])
    assert [*dispatcher.epochs(requested)] == []
    with pytest.raises(KeyboardInterrupt):
        [*dispatcher.epochs(a)]
    found = {result.id: result for result in dispatcher.interrupt()}
    assert {name: result.status for name, result in found.items()} == {
        "k": "completed",
        **dict.fromkeys("abc", "interrupted"),
    }
    assert (found["b"].environment, found["b"].case, found["b"].remarks) == ({"torch": "2"}, b, ())
    assert [trial.seed for trial in found["b"].trials] == [0]


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("done", [(), (1,), (0, 2), (0, 1, 2)])
def test_of_a_case_that_had_begun_only_the_other_trials_are_trained(done: tuple[int, ...], slots: int) -> None:
    def say(task: Case) -> Iterator[Epoch | CaseResult]:
        trials = tuple(
            TrialResult(seed=seed, status="completed", epochs=tuple(epochs(1, 2))) for seed in task.seeds
        )
        yield CaseResult(case=task, status="completed", engine="none", trials=trials)

    case = make_case(epochs=2, seeds=(0, 1, 2))
    parts = [result_of(case.model_copy(update={"seeds": (seed,)}), seed, epochs(1, 2)) for seed in done]
    executor, told = Scripted(slots, say), Told()
    dispatcher = Dispatcher(executor, told, parts={case.id: parts})
    dispatcher.expect([case])
    assert len([*dispatcher.epochs(case)]) == 6
    assert sorted(seed for task in executor.taken for seed in task.seeds) == sorted({0, 1, 2} - {*done})
    (result,) = told.ended
    assert [trial.seed for trial in result.trials] == [0, 1, 2]
    assert told.log == ["a/case started", "a/case completed"]


def test_a_case_may_be_asked_for_without_notice_and_after_an_interruption() -> None:
    def say(task: Case) -> Iterator[Epoch | CaseResult]:
        (seed,) = task.seeds
        yield MeasuredEpoch(seed, epochs(1)[0])
        yield result_of(task, seed, epochs(1))

    dispatcher = Dispatcher(Scripted(2, say), Told())
    for seeds in ((0,), (0, 1)):
        assert sorted(epoch.seed for epoch in dispatcher.epochs(make_case(seeds=seeds))) == [*seeds]
    next(dispatcher.epochs(make_case(seeds=(0, 1))))
    dispatcher.interrupt()
    assert sorted(epoch.seed for epoch in dispatcher.epochs(make_case(seeds=(0, 1)))) == [0, 1]


def test_a_part_is_told_when_others_are_to_come() -> None:
    def say(task: Case) -> Iterator[Epoch | CaseResult]:
        yield result_of(task, task.seeds[0], epochs(1))

    class Parts(Told):
        def part_ended(self, result: CaseResult) -> None:
            self.log.append(f"part {result.case.seeds}")

    told = Parts()
    dispatcher = Dispatcher(Scripted(2, say), told)
    case = make_case(seeds=(0, 1, 2))
    dispatcher.expect([case])
    assert len([*dispatcher.epochs(case)]) == 3
    assert told.log == ["a/case started", "part (0,)", "part (1,)", "a/case completed"]


@pytest.mark.parametrize("slots", [1, 2])
def test_interleaved_every_case_has_its_turn_before_any_has_a_second(slots: int) -> None:
    def say(task: Case) -> Iterator[Epoch | CaseResult]:
        yield result_of(task, task.seeds[0], epochs(1))

    cases = [make_case(id=name, seeds=(5, 3)) for name in ("a/a", "a/b", "a/c")]
    executor, told = Scripted(slots, say), Told()
    dispatcher = Dispatcher(executor, told, seconds={"a/b": 9.0}, interleaved=True)
    dispatcher.expect(cases)
    for case in cases:
        assert sorted(epoch.seed for epoch in dispatcher.epochs(case)) == [3, 5]
    assert [task.seeds[0] for task in executor.taken] == [5, 5, 5, 3, 3, 3]
    # The longest first, among those whose turn it is; back in the reverse order.
    assert [task.id for task in executor.taken] == ["a/b", "a/a", "a/c", "a/c", "a/a", "a/b"]
    assert [trial.seed for result in told.ended for trial in result.trials] == [5, 3] * 3


@given(st.integers(1, 6), st.integers(1, 7))
def test_interleaved_no_case_is_trained_later_than_another_on_average(cases: int, seeds: int) -> None:
    """Over an even number of seeds; over an odd one, one trial in each case has no counterpart."""

    def say(task: Case) -> Iterator[Epoch | CaseResult]:
        yield result_of(task, task.seeds[0], epochs(1))

    planned = [
        CASE.model_copy(update={"id": f"a/{number}", "seeds": tuple(range(seeds))}) for number in range(cases)
    ]
    executor = Scripted(1, say)
    dispatcher = Dispatcher(executor, Told(), interleaved=True)
    dispatcher.expect(planned)
    for case in planned:
        assert len([*dispatcher.epochs(case)]) == seeds
    places = {case.id: [i for i, task in enumerate(executor.taken) if task.id == case.id] for case in planned}
    whole = [sum(found[: seeds - seeds % 2]) for found in places.values()]
    assert len({*whole}) == 1
    assert [[place // cases for place in found] for found in places.values()] == [[*range(seeds)]] * cases


def test_a_stacked_case_stays_one_task_when_others_are_interleaved() -> None:
    def say(task: Case) -> Iterator[Epoch | CaseResult]:
        trials = tuple(TrialResult(seed=s, status="completed", epochs=tuple(epochs(1))) for s in task.seeds)
        yield CaseResult(case=task, status="completed", engine="none", trials=trials)

    stack = make_case(id="a/stack", seeds=(0, 1, 2)).model_copy(update={"engine": "stacked"})
    cases = [make_case(id="a/a", seeds=(0, 1)), stack, make_case(id="a/c", seeds=(0, 1))]
    executor = Scripted(1, say)
    dispatcher = Dispatcher(executor, Told(), interleaved=True)
    dispatcher.expect(cases)
    assert [len([*dispatcher.epochs(case)]) for case in cases] == [2, 3, 2]
    assert [(task.id, task.seeds) for task in executor.taken] == [
        ("a/a", (0,)),
        ("a/stack", (0, 1, 2)),
        ("a/c", (0,)),
        ("a/c", (1,)),
        ("a/a", (1,)),
    ]


@pytest.mark.parametrize("interleaved", [False, True])
def test_the_time_of_a_case_is_that_of_its_own_trials(monkeypatch: pytest.MonkeyPatch, interleaved: bool) -> None:
    """Not of what is trained between them; that of trials before an interruption counts."""
    now = 0.0
    clock = SimpleNamespace(perf_counter=lambda: now)
    monkeypatch.setattr("benchmnist.execution.ledger.time", clock)

    def say(task: Case) -> Iterator[Epoch | CaseResult]:
        nonlocal now
        for seed in task.seeds:
            now += 100.0 if task.id == "a/slow" else 1.0
            yield MeasuredEpoch(seed, epochs(1)[0])
        yield CaseResult(
            case=task,
            status="completed",
            engine="none",
            trials=tuple(TrialResult(seed=s, status="completed", epochs=tuple(epochs(1))) for s in task.seeds),
        )

    cases = [make_case(id=name, seeds=(0, 1, 2)) for name in ("a/fast", "a/slow")]
    before = result_of(cases[0].model_copy(update={"seeds": (0,)}), 0, epochs(1))
    parts = {"a/fast": [before.model_copy(update={"wall_seconds": 7.0})]}
    told = Told()
    dispatcher = Dispatcher(Scripted(1, say), told, parts=parts, interleaved=interleaved)
    dispatcher.expect(cases)
    for case in cases:
        assert len([*dispatcher.epochs(case)]) == 3
    assert {result.id: result.wall_seconds for result in told.ended} == {"a/fast": 9.0, "a/slow": 300.0}


def test_what_this_process_trains_is_interleaved_too(tmp_path: Path) -> None:
    """It trains what nobody has asked for yet; that is kept, and measured all the same."""
    workplace = Workplace("cpu", default_data_root(), tmp_path, checkpoints=False)
    cases = [make_case(id=f"a/{name}", optimizer=name, seeds=(0, 1), epochs=2) for name in ("sgd", "adam")]
    alone, together = Told(), Told()
    for told, interleaved in ((alone, False), (together, True)):
        with InlineExecutor(workplace) as executor:
            dispatcher = Dispatcher(executor, told, interleaved=interleaved)
            dispatcher.expect(cases)
            for case in cases:
                for epoch in dispatcher.epochs(case):
                    epoch.run()
                    assert epoch.seconds > 0
    assert [result.case.id for result in together.ended] == ["a/adam", "a/sgd"]
    assert [figures(result) for result in together.ended[::-1]] == [figures(result) for result in alone.ended]
    first_seeds = [line for line in together.log if ".1" in line or ".2" in line][:4]
    assert first_seeds == ["a/sgd 0.1", "a/sgd 0.2", "a/adam 0.1", "a/adam 0.2"]


class Collecting(Told):
    def epoch_ended(self, case: Case, seed: int, result: EpochResult) -> None:
        super().epoch_ended(case, seed, result)
        gc.collect()


@pytest.mark.parametrize("kind", [InlineExecutor, LocalExecutor])
def test_a_dispatcher_that_is_done_does_not_end_what_the_next_one_trains(
    tmp_path: Path, kind: type[InlineExecutor | LocalExecutor]
) -> None:
    """As each look of a run has one, with the same executor."""
    case = make_case(epochs=2)
    with kind(Workplace("cpu", default_data_root(), tmp_path, checkpoints=False)) as executor:
        for _ in range(2):
            told = Collecting()
            dispatcher = Dispatcher(executor, told)
            dispatcher.expect([case])
            for epoch in dispatcher.epochs(case):
                epoch.run()
            assert told.log == ["a/case started", "a/case 0.1", "a/case 0.2", "a/case completed"]
