"""What is said of a trial that was trained again, with results that nobody trained."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from forgeries import alarms, honest, share_found
from made_up import seeds_result

from benchmnist.analysis.bits import differences, first_difference, same_trainings
from benchmnist.analysis.reproduction import expected_ranges, must_repeat, reproduction
from benchmnist.runs.results import Dynamics, LayerNorms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmnist.runs.results import CaseResult, EpochResult

HERE = {
    "device": "cpu",
    "device_name": "a processor",
    "threads": 1,
    "capability": "AVX2",
    "torch": "2.13.0",
    "benchmnist": "0.1.0",
    "cores": 2,
}
SPREAD = [97.0, 97.4, 97.1, 97.3, 97.2]


def result(
    accuracies: Sequence[float | None], environment: dict[str, Any] | None = None, **case: Any
) -> CaseResult:
    made = seeds_result("fc", "sgd", accuracies, epochs=2, **case)
    there = {**HERE, **(environment or {})}
    return made.model_copy(update={"environment": there, "engine": "resident"})


def alone(seed: int, accuracy: float | None, **environment: Any) -> CaseResult:
    """The result of training one seed again."""
    return result([accuracy], environment, first_seed=seed)


def changed(made: CaseResult, seed: int, change: Callable[[EpochResult], dict[str, Any]]) -> CaseResult:
    """The same with something else in the last epoch of a seed."""
    trials = []
    for trial in made.trials:
        *first, last = trial.epochs
        other = last.model_copy(update=change(last)) if trial.seed == seed else last
        trials.append(trial.model_copy(update={"epochs": (*first, other)}))
    return made.model_copy(update={"trials": tuple(trials)})


@pytest.mark.parametrize("drawn", [1, 99])
@pytest.mark.parametrize("seeds", [3, 4, 10, 30])
@pytest.mark.parametrize("correlation", [0.0, 0.7, 0.999])
def test_an_honest_run_is_called_inconsistent_in_one_verification_of_twenty_at_most(
    drawn: int, seeds: int, correlation: float
) -> None:
    """Of one case or of five; the same seed trained elsewhere is correlated, or is not."""
    cases = 2000
    there, here = honest(cases, seeds, correlation, np.random.default_rng(seeds))
    here = here[:, :drawn]
    level, bound = 0.05 * cases, 5 * math.sqrt(cases * 0.05 * 0.95)
    assert alarms(there, here, here.shape[1]).any(axis=1).sum() <= level + bound
    fifth = cases // 5
    of_five = alarms(there, here, 5 * here.shape[1]).any(axis=1).reshape(5, fifth).any(axis=0)
    assert of_five.sum() <= 0.05 * fifth + 5 * math.sqrt(fifth * 0.05 * 0.95)


@pytest.mark.parametrize("seeds", [3, 4, 5, 10])
@pytest.mark.parametrize(("forged", "drawn", "of"), [(1, 1, 5), (99, 1, 5), (1, 99, 0), (2, 99, 0), (99, 99, 0)])
def test_what_is_reported_too_high_by_a_hundred_spreads_is_found_elsewhere(
    seeds: int, forged: int, drawn: int, of: int
) -> None:
    """Of a case, one seed that is drawn, or all; two seeds, if all are trained again."""
    found = share_found(seeds, min(drawn, seeds), min(forged, seeds), 100, of=of, cases=2000)
    assert found >= 0.98 - 5 * math.sqrt(0.98 * 0.02 / 2000)


@pytest.mark.parametrize("drawn", [1, 3])
def test_the_simulation_judges_as_a_verification_does(drawn: int) -> None:
    there, here = honest(200, 4, 0.5, np.random.default_rng(1))
    there[:, 0] += 8
    simulated = alarms(there, here[:, :drawn], 2)
    assert 0 < simulated.mean() < 1
    for reported, again, outcome in zip(there, here[:, :drawn], simulated, strict=True):
        for seed in range(drawn):
            values = dict(enumerate(reported)), dict(enumerate(again))
            ranges = [
                (found, each[seed])
                for found, each in zip(expected_ranges(*values, seed, of=2), values, strict=True)
            ]
            assert outcome[seed] == any(found and not found[0] <= value <= found[1] for found, value in ranges)


def test_a_ratio_is_compared_by_its_logarithm() -> None:
    there, here = {0: 1.0, 1: 10.0, 2: 100.0}, {1: 10.0}
    plain, ratio = expected_ranges(there, here, 1)[1], expected_ranges(there, here, 1, ratio=True)[1]
    assert plain is not None
    assert ratio is not None
    assert plain[0] < 0 < ratio[0]
    assert math.sqrt(ratio[0] * ratio[1]) == pytest.approx(10)


def test_a_single_false_seed_does_not_widen_its_own_range() -> None:
    """What was found with no number of seeds: 97.0 and 97.1 with a third of 99.9."""
    reported, again = result([97.0, 97.1, 99.9], {"torch": "2.12.0"}), alone(2, 97.05)
    found = reproduction(reported, 2, again)
    assert found.word == "not consistent"
    assert found.reason.startswith("99.90 % is outside of the 96.")
    assert found.expected is not None
    assert found.expected[1] < 98
    assert reproduction(reported, 1, alone(1, 97.05)).word == "consistent"  # its seed was not drawn


def test_two_false_seeds_do_not_hide_each_other_if_three_are_trained_again() -> None:
    reported = result([97.0, 97.1, 99.8, 99.9], {"torch": "2.12.0"})
    assert reproduction(reported, 3, alone(3, 97.05)).word == "consistent"
    again = result([97.05, 97.1, 97.0], first_seed=1)
    assert {seed: reproduction(reported, seed, again, of=3).word for seed in (1, 2, 3)} == {
        1: "consistent",
        2: "not consistent",
        3: "not consistent",
    }


@pytest.mark.parametrize("name", ["parameters", "train_size", "steps"])
def test_another_size_is_not_consistent_on_any_machine(name: str) -> None:
    reported = result(SPREAD, {"torch": "2.12.0"}).model_copy(update={name: 12})
    again = alone(1, SPREAD[1]).model_copy(update={name: 13})
    found = reproduction(reported, 1, again)
    assert (found.word, found.reason) == ("not consistent", f"{name.replace('_', ' ')} 12 in the run, 13 here")


def test_the_same_bits_are_the_same_wherever_they_come_from() -> None:
    found = reproduction(result(SPREAD), 1, alone(1, SPREAD[1], torch="2.14.0", device_name="another"))
    assert (found.word, found.reason, found.expected) == ("the same, bit for bit", "", None)
    assert found.reported == found.again == SPREAD[1]


def test_seconds_are_not_compared() -> None:
    again = seeds_result("fc", "sgd", [SPREAD[1]], epochs=2, first_seed=1, seconds=77.0)
    assert not first_difference(result(SPREAD).trials[1], again.trials[0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train_loss": 0.999}, "train_loss 1.0 in the run, 0.999 here"),
        ({"learning_rate": 0.2}, "learning_rate 0.1 in the run, 0.2 here"),
        ({"metrics": {"test_accuracy": 97.4}}, "test_loss 1.0 in the run, missing here"),
        ({"train_loss": math.nan}, "train_loss 1.0 in the run, nan here"),
    ],
)
def test_the_first_difference_is_named(change: dict[str, Any], said: str) -> None:
    again = changed(alone(1, SPREAD[1]), 1, lambda _: change)
    assert first_difference(result(SPREAD).trials[1], again.trials[0]) == f"epoch 2: {said}"


def test_other_bits_with_the_same_software_on_the_same_machine_are_not_consistent_if_they_repeat() -> None:
    reported, again = result(SPREAD), alone(1, SPREAD[1] - 0.01)
    assert must_repeat(reported, 1, again)
    found = reproduction(reported, 1, again, repeated=again)
    assert found.word == "not consistent"
    assert found.reason == (
        "epoch 1: test_accuracy 48.7 in the run, 48.695 here; trained twice here, with the same bits"
    )
    others = reproduction(reported, 1, again, repeated=alone(1, SPREAD[1] + 0.01))
    assert (others.word, others.reason) == ("consistent", "the training does not repeat its bits here")


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({"torch": "2.12.0"}, "torch 2.12.0 in the run, 2.13.0 here"),
        ({"capability": "AVX512"}, "capability AVX512 in the run, AVX2 here"),
        ({"threads": 4}, "threads 4 in the run, 1 here"),
        ({"device": "cuda:0"}, "device cuda in the run, cpu here"),
        ({"cudnn": 9}, "cudnn 9 in the run, none here"),
        ({"cores": 64, "python": "3.14"}, ""),
    ],
)
def test_what_decides_the_bits_is_named_where_it_differs(there: dict[str, Any], said: str) -> None:
    reported, again = result(SPREAD, there), alone(1, SPREAD[1] - 0.01)
    assert "; ".join(differences(reported, again)) == said
    assert must_repeat(reported, 1, again) == (not said)
    if said:
        found = reproduction(reported, 1, again, of=5)
        assert (found.word, found.reason) == ("consistent", said)
        assert found.expected is not None
        assert reproduction(reported, 1, alone(1, 90.0), of=5).word == "not consistent"


def test_another_engine_may_have_other_bits() -> None:
    graph = result(SPREAD).model_copy(update={"engine": "graph"})
    assert differences(graph, alone(1, 97.0)) == ["engine graph in the run, resident here"]


def test_a_run_that_did_not_record_its_processor_need_not_have_the_same_bits() -> None:
    reported = result(SPREAD)
    del reported.environment["capability"]
    assert differences(reported, alone(1, 97.0)) == ["capability not recorded in the run"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([97.0, 97.1], "2 seeds reported"),
        ([97.0], "1 seed reported"),
        ([97.0] * 4, "no differences between the reported seeds"),
        ([97.5, 97.0, 97.0], "no differences between the reported seeds but this one"),
    ],
)
def test_without_a_spread_nothing_can_be_said_elsewhere(values: list[float | None], said: str) -> None:
    """Also if the new value is that of other seeds, or one or two seeds report what they have here."""
    reported = result(values, {"torch": "2.12.0"})
    again = changed(alone(0, 97.0), 0, lambda _: {"train_loss": 2.0})
    if len(values) == 4:
        assert reproduction(reported, 0, again).word == "consistent"
        again = alone(0, 60.0)
    found = reproduction(reported, 0, again)
    assert found.word == "cannot be checked"
    assert found.reason == f"no spread to compare with: {said} (torch 2.12.0 in the run, 2.13.0 here)"


def test_figures_that_are_not_finite_have_no_spread() -> None:
    reported = result([97.0, math.nan, 97.1], {"torch": "2.12.0"})
    assert reproduction(reported, 1, alone(1, 97.0)).reason.startswith("test accuracy is not finite")
    assert reproduction(reported, 0, alone(0, 97.2)).word == "cannot be checked"


@pytest.mark.parametrize("others", [4, 40])
def test_a_seed_that_is_stuck_elsewhere_too_is_consistent(others: int) -> None:
    stuck: list[float | None] = [9.8, *(98 + 0.1 * (seed % 3) for seed in range(others))]
    again = changed(alone(0, 9.8), 0, lambda _: {"train_loss": 2.0})
    assert reproduction(result(stuck, {"torch": "2.12.0"}), 0, again).word == "consistent"


def test_a_divergence_that_is_reproduced_is_consistent() -> None:
    reported = result([97.0, None, 97.2, 97.1], {"torch": "2.12.0"})
    same = reproduction(reported, 1, alone(1, None))
    assert (same.word, same.status, same.status_again) == ("the same, bit for bit", "diverged", "diverged")
    later = changed(alone(1, None), 1, lambda epoch: {"epoch": epoch.epoch, "learning_rate": 0.2})
    found = reproduction(reported, 1, later)
    assert found.word == "consistent"
    assert found.reason.startswith("diverged in the run and here")


def test_a_divergence_that_is_not_reproduced_is_judged_by_the_other_seeds() -> None:
    other = {"torch": "2.12.0"}
    none = reproduction(result([97.0, 97.1, 97.2], other), 1, alone(1, None))
    assert none.word == "cannot be checked"
    assert none.reason.startswith("completed in the run, diverged here; 0 of the 3 reported seeds diverged (torch")
    some = reproduction(result([97.0, 97.1, None], other), 1, alone(1, None))
    assert some.word == "cannot be checked"  # its accuracy has nothing to be compared with
    many: list[float | None] = [97.0 + seed / 100 for seed in range(30)]
    assert reproduction(result(many, other), 1, alone(1, None)).word == "not consistent"
    assert reproduction(result(many, other), 1, alone(1, None), of=5).word == "cannot be checked"
    here = reproduction(result([97.0, 97.1, 97.2]), 1, alone(1, None), repeated=alone(1, None))
    assert here.word == "not consistent"


def test_what_fails_here_cannot_be_checked() -> None:
    failed = alone(1, 97.0).model_copy(
        update={"trials": (), "status": "failed", "error": "Traceback (most recent call last):\nValueError: no"}
    )
    found = reproduction(result(SPREAD), 1, failed)
    assert (found.word, found.reason) == ("cannot be checked", "failed here: ValueError: no")
    assert not must_repeat(result(SPREAD), 1, failed)
    never = reproduction(result(SPREAD), 1, None, why_not="no model named 'fcc'")
    assert (never.word, never.reason, never.again) == ("cannot be checked", "no model named 'fcc'", None)


def test_a_failure_that_is_reproduced_is_consistent() -> None:
    reported = result(SPREAD)
    first, *others = reported.trials
    reported = reported.model_copy(update={"trials": (first.model_copy(update={"status": "failed"}), *others)})
    failed = alone(0, 97.0).model_copy(update={"trials": (), "status": "failed", "error": "ValueError: no"})
    assert reproduction(reported, 0, failed).word == "consistent"
    assert reproduction(reported, 0, alone(0, 97.0)).word == "cannot be checked"


def test_a_seed_that_the_run_has_not_is_refused() -> None:
    with pytest.raises(ValueError, match="mnist/fc/sgd has no trial with the seed 9"):
        reproduction(result(SPREAD), 9, None)


def test_norms_and_bytes_of_state_are_compared_too() -> None:
    def measured(gradient: float, state: int | None) -> CaseResult:
        norms = LayerNorms(gradient=gradient, update=0.1, weight=2.0)
        found = alone(2, 97.05)
        (trial,) = found.trials
        epoch = trial.epochs[-1].model_copy(update={"dynamics": (Dynamics(step=3, layers={"linear": norms}),)})
        trial = trial.model_copy(update={"epochs": (*trial.epochs[:-1], epoch), "state_bytes": state})
        return found.model_copy(update={"trials": (trial,)})

    reported = measured(1.5, 400)
    assert reproduction(reported, 2, measured(1.5, 400)).word == "the same, bit for bit"
    assert (
        reproduction(measured(1.5, None), 2, measured(1.5, 400)).word == "the same, bit for bit"
    )  # an earlier version
    for other, reason in (
        (measured(1.25, 400), "gradient norm of linear after step 3 1.5 in the run, 1.25 here"),
        (measured(1.5, 404), "optimizer_state_bytes 400 in the run, 404 here"),
        (alone(2, 97.05), "gradient norm of linear after step 3 1.5 in the run, missing here"),
    ):
        found = reproduction(reported, 2, other, repeated=other)
        assert (found.word, reason in found.reason) == ("not consistent", True)
        assert same_trainings(reported, other)  # which is about what was learned
