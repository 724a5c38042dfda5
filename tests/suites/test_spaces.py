"""Joint spaces: an optimizer with its schedule, its model and the settings of its cases."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from benchmnist.extensions.registry import find_plugins
from benchmnist.suites.differences import differences
from benchmnist.suites.plan import make_plan
from benchmnist.suites.points import point_of
from benchmnist.suites.reader import read_suite
from benchmnist.suites.suite import Point, SearchScope
from benchmnist.tuner import tune

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REGISTRY = find_plugins()
SUITE = """
[suite]
name = "joint"

[defaults]
schedule = "linear-warmup-cosine"
epochs = 1
seeds = 1
train_size = 200
test_size = 100
label_smoothing = 0.1

[tune]
trials = 3
validation_size = 100

[optimizers.adam.space]
lr = { low = 1e-4, high = 1e-1, log = true }
weight_decay = { low = 1e-6, high = 1e-2, log = true }
schedule.warmup = { low = 0.01, high = 0.3 }
model.dropout = { low = 0.0, high = 0.6 }
label_smoothing = [0.0, 0.05, 0.2]
clip_grad_norm = { low = 0.1, high = 10, log = true }

[[cases]]
models = ["fc-bn-dropout"]
optimizers = ["adam", "sgd"]
"""
SCOPE = SearchScope("mnist", "fc-bn-dropout", "", "adam")
SPACE = SUITE.partition("[optimizers.adam.space]\n")[2].partition("\n\n")[0]


def test_a_joint_space_is_read_and_its_points_are_applied(write_suite: Callable[..., Path]) -> None:
    suite = read_suite(write_suite(SUITE))
    assert suite.problems == ()
    assert [*suite.optimizers["adam"].space] == [
        "lr", "weight_decay", "schedule.warmup", "model.dropout", "label_smoothing", "clip_grad_norm"
    ]  # fmt: skip
    params = {
        "lr": 0.02,
        "schedule.warmup": 0.2,
        "model.dropout": 0.3,
        "label_smoothing": 0.05,
        "clip_grad_norm": 2.0,
    }
    plan = make_plan(replace(suite, points={SCOPE: (Point(params),)}, tuned=True), REGISTRY)
    assert plan.problems == ()
    adam, own, sgd = plan.cases
    assert (adam.optimizer.params["lr"], adam.label_smoothing, adam.clip_grad_norm) == (0.02, 0.05, 2.0)
    assert adam.schedule is not None
    assert (adam.schedule.params["warmup"], adam.model.params["dropout"]) == (0.2, 0.3)
    assert point_of(adam, params) == params
    assert adam.group == own.group == sgd.group
    assert (adam.chosen, own.chosen) == (("schedule", "model", "label_smoothing", "clip_grad_norm"), ())
    assert differences(adam, sgd) == ()  # what was chosen belongs to the method
    batch = sgd.model_copy(update={"batch_size": 7})
    assert differences(adam, batch) == ("batch size (100 and 7)",)
    for other in (own, sgd):
        assert (other.label_smoothing, other.clip_grad_norm) == (0.1, None)
        assert other.schedule is not None
        assert "warmup" not in other.schedule.params
        assert "dropout" not in other.model.params


def test_the_schedule_itself_can_be_chosen(write_suite: Callable[..., Path]) -> None:
    text = SUITE.replace(SPACE, 'schedule = ["constant", "cosine"]').replace('schedule = "linear', '# "linear')
    suite = read_suite(write_suite(text))
    points = tuple(Point({"schedule": name}, f"schedule-{name}") for name in ("constant", "cosine"))
    plan = make_plan(replace(suite, points={SCOPE: points}), REGISTRY)
    assert plan.problems == ()
    assert [point_of(case, ["schedule"]) for case in plan.cases[:2]] == [point.params for point in points]
    assert [(case.id, case.schedule and case.schedule.use) for case in plan.cases] == [
        ("mnist/fc-bn-dropout/adam/schedule-constant", "constant"),
        ("mnist/fc-bn-dropout/adam/schedule-cosine", "cosine"),
        ("mnist/fc-bn-dropout/sgd", None),
    ]


def test_a_joint_space_is_searched(write_suite: Callable[..., Path], tmp_path: Path) -> None:
    done = tune(write_suite(SUITE), executor="inline", device="cpu", out=tmp_path / "runs", checkpoints=False)
    (search,) = done.final.record.searches
    assert len(search.attempts) == 3
    assert all([*attempt.params] == [*search.space] for attempt in search.attempts)
    assert len({attempt.params["model.dropout"] for attempt in search.attempts}) == 3
    assert search.best is not None
    chosen = done.final["mnist/fc-bn-dropout/adam"].case
    assert chosen.model.params["dropout"] == search.best.params["model.dropout"]
    assert chosen.label_smoothing == search.best.params["label_smoothing"]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            "model.dropuot = [0.1]",
            (
                "18: optimizers.adam.space.model.dropuot: 'fc-bn-dropout' takes no parameter 'dropuot'. "
                "Did you mean 'dropout'? It takes: hidden_size, dropout"
            ),
        ),
        (
            "schedule.warm_up = [0.1]",
            (
                "18: optimizers.adam.space.schedule.warm_up: 'linear-warmup-cosine' takes no parameter 'warm_up'. "
                "Did you mean 'warmup'? It takes: warmup, start_factor, eta_min"
            ),
        ),
        (
            "label_smothing = [0.1]",
            (
                "18: optimizers.adam.space.label_smothing: 'adam' takes no parameter 'label_smothing'. "
                "Did you mean 'label_smoothing'?"
            ),
        ),
        (
            "label_smoothing = { low = 0.0, high = 1.5 }",
            "18: optimizers.adam.space.label_smoothing: must be less than 1, not 1.5",
        ),
        ('label_smoothing = ["a"]', '18: optimizers.adam.space.label_smoothing: must be a number, not "a"'),
        (
            "modell.dropout = [0.1]",
            (
                "17: optimizers.adam.space: unknown table 'modell'. Did you mean 'model'? "
                "A space has the tables schedule and model"
            ),
        ),
        (
            "model.dropout = { low = 0.5, high = 0.1 }",
            "18: optimizers.adam.space.model.dropout: low must be less than high; here low is 0.5 and high is 0.1",
        ),
        (
            "model.hidden_size = { low = 50, high = 500 }",
            (
                "18: optimizers.adam.space.model.hidden_size: must be whole numbers; write a list of them instead "
                "of a range"
            ),
        ),
        ("lr = [0.1, 0.2, 0.1]", "18: optimizers.adam.space.lr: duplicate 0.1; remove one"),
        (
            'schedule = ["cosin"]',
            (
                "18: optimizers.adam.space.schedule: no schedule named 'cosin'. Did you mean 'cosine'? "
                "Choose from: constant, cosine, linear-warmup-cosine, onecycle, step"
            ),
        ),
        (
            'schedule = ["cosine"]\n"schedule.eta_min" = [0.1]',
            (
                "18: optimizers.adam.space.schedule: a space has a list of schedules or parameters of one "
                "(eta_min); remove one of both"
            ),
        ),
        (
            "schedule = [1, 2]",
            (
                "18: optimizers.adam.space.schedule: must be a list of the names of schedules, such as "
                '["constant", "cosine"]'
            ),
        ),
    ],
)
def test_what_a_space_cannot_have_is_one_line(write_suite: Callable[..., Path], space: str, message: str) -> None:
    path = write_suite(SUITE.replace(SPACE, space))
    problems = make_plan(read_suite(path), REGISTRY).problems
    assert [str(problem).removeprefix(f"{path}:") for problem in problems] == [message]


def test_a_parameter_of_a_schedule_needs_one(write_suite: Callable[..., Path]) -> None:
    path = write_suite(SUITE.replace('schedule = "linear-warmup-cosine"\n', ""))
    (problem,) = make_plan(read_suite(path), REGISTRY).problems
    assert problem.message == 'the optimizer is trained without a schedule; set schedule = "…" in [defaults]'
