from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_support import component, make_case

from benchmnist.analysis.pairs import number_of_pairs
from benchmnist.errors import BenchmnistError, SuiteError
from benchmnist.planned_run import plan_run
from benchmnist.preflight.prepare import prepare
from benchmnist.suites.budgets import Ending, evaluation_steps, passes, target_of, total_steps
from benchmnist.suites.options import LARGEST, RunOptions
from benchmnist.suites.reader import read_suite

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CASE = make_case()
SUITE = """
[suite]
name = "budgets"
[defaults]
train_size = 500
test_size = 100
batch_size = 50
seeds = 1
{defaults}
[[cases]]
models = ["logistic"]
optimizers = ["sgd"]
{block}
"""
COUNTS = st.integers(1, 400)


@given(
    size=COUNTS, batch_size=COUNTS, steps=COUNTS | st.none(), epochs=st.integers(1, 5), every=COUNTS | st.none()
)
def test_evaluations_come_at_the_multiples_and_at_the_end_of_each_epoch(
    size: int, batch_size: int, steps: int | None, epochs: int, every: int | None
) -> None:
    per_epoch = -(-size // batch_size)
    case = CASE.model_copy(update={"steps": steps, "epochs": epochs, "evaluate_every": every})
    last = steps or epochs * per_epoch
    assert total_steps(case, per_epoch) == last
    found = [evaluation_steps(case, epoch, per_epoch) for epoch in range(1, passes(case, per_epoch) + 1)]
    expected = {*range(every or last, last, every or last), *range(per_epoch, last, per_epoch), last}
    assert [*itertools.chain.from_iterable(found)] == sorted(expected)
    assert [each[-1] for each in found] == [*range(per_epoch, last, per_epoch), last]


ACCURACY, LOSS = "test_accuracy", "test_loss"


@pytest.mark.parametrize(
    ("settings", "metric", "values", "ends"),
    [
        ({"stop_at_target": True, "target_accuracy": 90.0}, ACCURACY, [89.9, 90.0], "target"),
        ({"stop_at_target": True, "target_loss": 0.5}, LOSS, [0.6, 0.5], "target"),
        ({"target_accuracy": 90.0}, ACCURACY, [91.0, 99.0], None),
        ({"patience": 2}, ACCURACY, [50.0, 50.0, 49.0], "patience"),
        ({"patience": 2}, ACCURACY, [50.0, 49.0, 50.1, 50.0], None),
        ({"patience": 2, "target_loss": 0.1}, LOSS, [0.9, 0.8, 0.85, 0.8], "patience"),
        ({"patience": 1, "stop_at_target": True, "target_loss": 0.9}, LOSS, [0.95, 0.9], "target"),
        ({"seconds": 1.5}, ACCURACY, [50.0, 50.0], "budget"),
        ({}, ACCURACY, [50.0] * 9, None),
    ],
)
def test_a_trial_ends_at_the_first_evaluation_that_ends_it(
    settings: dict[str, Any], metric: str, values: list[float], ends: str | None
) -> None:
    ending = Ending(CASE.model_copy(update=settings))
    seen = [ending.after(float(second), {metric: value}) for second, value in enumerate(values, 1)]
    assert seen == [*[None] * (len(values) - 1), ends]


def planned(write_suite: Callable[..., Path], defaults: str = "", block: str = "", **options: Any) -> Any:
    path = write_suite(SUITE.format(defaults=defaults, block=block))
    (case,) = prepare(path, RunOptions(device="cpu", **options)).plan.cases
    return case


@pytest.mark.parametrize(
    ("defaults", "block", "options", "expected"),
    [
        ("steps = 25", "", {}, (25, 3)),
        ("epochs = 4", "steps = 25", {}, (25, 3)),
        ("steps = 25", "epochs = 4", {}, (None, 4)),
        ("steps = 25", "", {"epochs": 2}, (None, 2)),
        ("epochs = 4", "", {"steps": 9}, (9, 1)),
        ("steps = 25", "", {"steps": 10}, (10, 1)),
        ("steps = 25\nseconds = 2", "", {}, (25, 3)),
    ],
)
def test_steps_and_epochs_override_each_other(
    write_suite: Callable[..., Path],
    defaults: str,
    block: str,
    options: dict[str, int],
    expected: tuple[int | None, int],
) -> None:
    case = planned(write_suite, defaults, block, **options)
    assert (case.steps, case.epochs) == expected


def test_a_target_of_a_block_overrides_the_other_one_of_the_defaults(write_suite: Callable[..., Path]) -> None:
    case = planned(write_suite, "target_accuracy = 90", "target_loss = 0.5")
    assert (case.target_accuracy, case.target_loss) == (None, 0.5)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("epochs = 2\nsteps = 3", "steps: the same table has epochs; remove one of both"),
        (
            "target_accuracy = 90\ntarget_loss = 1",
            "target_loss: the same table has target_accuracy; remove one of",
        ),
        ("stop_at_target = true", "stop_at_target: there is no target to stop at; set target_accuracy or target_"),
        (
            'seconds = 1\nschedule = "cosine"',
            "seconds: the schedule 'cosine' has to know the number of steps; set",
        ),
        ("steps = 0", "steps: must be greater than 0"),
        ("seconds = -1", "seconds: must be greater than 0"),
        ("evaluate_every = 0", "evaluate_every: must be greater than 0"),
        ("patience = 0", "patience: must be greater than 0"),
        ("target_loss = inf", "target_loss: must be a finite number"),
    ],
)
def test_what_makes_no_sense_is_said_with_its_line(
    write_suite: Callable[..., Path], block: str, message: str
) -> None:
    with pytest.raises(SuiteError, match=re.escape(message)):
        planned(write_suite, block=block)


def test_all_of_it_is_said_at_once(write_suite: Callable[..., Path]) -> None:
    suite = read_suite(write_suite(SUITE.format(defaults="epochs = 1\nsteps = 2", block="patience = 0")))
    assert len(suite.problems) == 2


def test_a_run_has_either_epochs_or_steps() -> None:
    with pytest.raises(ValueError, match="epochs and steps exclude each other"):
        RunOptions(epochs=1, steps=2)


@pytest.mark.parametrize(
    ("steps", "seeds", "said"),
    [
        (50_000_000, 1, r"a trial of mnist/logistic/sgd has 5,000,000 epochs; a trial has at most 1,000,000"),
        (9_000_000, 12, r"more than 10,000,000 epochs"),
    ],
)
def test_a_budget_in_steps_has_the_limits_of_one_in_epochs(
    write_suite: Callable[..., Path], steps: int, seeds: int, said: str
) -> None:
    suite = write_suite(SUITE.format(defaults="", block=""))
    with pytest.raises(SuiteError, match=said):
        prepare(suite, RunOptions(device="cpu", steps=steps, seeds=tuple(range(seeds))))


def test_comparisons_that_nothing_judges_are_not_counted() -> None:
    cases = [make_case(optimizer=component(name), patience=2, id=name) for name in ("sgd", "adam", "adamw")]
    assert number_of_pairs(cases) == {"primary": 0, "exploratory": 0}
    aimed = [case.model_copy(update={"target_accuracy": 80.0}) for case in cases]
    assert sum(number_of_pairs(aimed).values()) == 3


def test_the_seeds_of_the_last_look_count(write_suite: Callable[..., Path]) -> None:
    suite = write_suite(SUITE.format(defaults="", block="").replace('["sgd"]', '["sgd", "adam"]'))
    with pytest.raises(
        BenchmnistError, match="at the last look of --until-told, the suite has more than 10,000,000"
    ):
        plan_run(suite, RunOptions(device="cpu", steps=9_000_000, seeds=(0, 1, 2), until_told=True))


@pytest.mark.parametrize("name", LARGEST)
def test_options_have_the_limits_of_the_suite(name: str) -> None:
    given: dict[str, Any] = {name: LARGEST[name] + 1}
    with pytest.raises(ValueError, match=f"{name} must be at most {LARGEST[name]:,}, not {LARGEST[name] + 1}"):
        RunOptions(**given)


def test_cases_with_targets_are_trained_together_where_these_do_not_decide() -> None:
    from benchmnist.suites.bundles import alike

    one, other = (make_case(optimizer=component("sgd", lr=0.1), target_accuracy=value) for value in (80.0, 90.0))
    assert alike(one) == alike(other)
    one, other = (case.model_copy(update={"stop_at_target": True}) for case in (one, other))
    assert alike(one) != alike(other)


def test_a_target_of_one_nat_is_in_the_singular() -> None:
    said = [str(target_of(CASE.model_copy(update={"target_loss": value}))) for value in (1.0, 0.1)]
    assert said == ["a test loss of 1 nat", "a test loss of 0.1 nats"]
