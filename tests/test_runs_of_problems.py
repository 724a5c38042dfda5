"""Runs of problems: trained, resumed, reused where only the names differ, and tuned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import benchmnist
from benchmnist.errors import SuiteError

if TYPE_CHECKING:
    from pathlib import Path

    from benchmnist.runs.results import CaseResult

SUITE = """
[suite]
name = "posed"
[defaults]
seeds = 2
test_size = 100
[optimizers.adam.space]
lr = [0.01, 0.001]
[tune]
trials = 2
validation_size = 100
[[cases]]
problems = ["mnist-few/500"]
optimizers = ["adam"]
train_size = 200
steps = 4
"""
CROSSED = """
[suite]
name = "crossed"
[[cases]]
models = ["fc-bn-dropout"]
optimizers = ["adam"]
train_size = 200
test_size = 100
steps = 4
evaluate_every = 10
seeds = 2
"""
AUGMENTED = """
[suite]
name = "augmented"
[defaults]
seeds = 2
test_size = 100
[[cases]]
problems = ["mnist-few/500"]
optimizers = ["adam"]
augmentations = ["none", "crop-flip"]
normalise = true
dynamics = true
train_size = 200
steps = 6
evaluate_every = 2
"""


def test_a_problem_is_trained_resumed_reused_and_tuned(tmp_path: Path) -> None:
    for name, text in (("posed", SUITE), ("crossed", CROSSED)):
        (tmp_path / f"{name}.toml").write_text(text, "utf-8")
    options = benchmnist.RunOptions(executor="inline", device="cpu", out=tmp_path / "runs", checkpoints=False)
    first = benchmnist.run(tmp_path / "posed.toml", options)
    (case,) = first.cases
    assert (case.id, case.status, case.case.problem, case.case.level) == (
        "mnist-few/500/adam",
        "completed",
        "mnist-few",
        "500",
    )
    again = benchmnist.run(tmp_path / "posed.toml", options, resume=True)
    assert (again.path, again.cases[0].key) == (first.path, case.key)
    crossed = benchmnist.run(tmp_path / "crossed.toml", options, reuse=True)
    assert crossed.cases[0].reused_from == f"{first.path.parent.name}/{first.path.name}"
    tuned = benchmnist.tune(tmp_path / "posed.toml", options)
    assert {result.id for result in tuned.final.cases} == {"mnist-few/500/adam", "mnist-few/500/adam/untuned"}
    (search,) = tuned.final.record.searches
    assert (search.dataset, search.model, len(search.attempts)) == ("mnist-few/500", "", 2)
    assert {each.case.validation_size for each in tuned.search.cases} == {100}
    assert {each.case.steps for each in tuned.search.cases} == {4}


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_search_of_trials_that_stop_at_a_target_chooses_by_the_steps_to_it(tmp_path: Path, sampler: str) -> None:
    """The larger rate has the lower loss after all steps; nothing but the validation split is looked at."""
    file = tmp_path / "posed.toml"
    text = SUITE.replace("[0.01, 0.001]", "[1e-5, 1e-4, 0.02]")
    text = text.replace("trials = 2", f'trials = 3\nsampler = "{sampler}"')
    text = text.replace("steps = 4", "steps = 24\nevaluate_every = 2\ntarget_loss = 2.2\nstop_at_target = true")
    file.write_text(text, "utf-8")
    options = benchmnist.RunOptions(executor="inline", device="cpu", out=tmp_path / "runs", checkpoints=False)
    tuned = benchmnist.tune(file, options)
    (search,) = tuned.final.record.searches
    assert (search.target, search.seeds, search.budget) == ("a test loss of 2.2 nats", 1, 24)
    by_rate = {attempt.params["lr"]: attempt for attempt in search.attempts}
    assert (by_rate[1e-5].reached, by_rate[1e-5].steps) == (0, None)
    assert search.best == by_rate[0.02]
    assert by_rate[0.02].reached == 1
    trained = {each.case.optimizer.params["lr"]: each for each in tuned.search.cases}
    assert all(each.case.validation_size == 100 and each.case.stop_at_target for each in trained.values())
    (trial,) = trained[0.02].trials
    assert trial.ended == "target"
    evaluations = [each for epoch in trial.epochs for each in epoch.evaluations]
    assert by_rate[0.02].steps == evaluations[-1].step < search.budget
    again = benchmnist.tune(file, options, resume=True)
    assert again.final.record.searches == tuned.final.record.searches


def test_a_value_that_a_part_of_a_problem_refuses_is_found_where_it_is_set(tmp_path: Path) -> None:
    wrong = SUITE.replace("[[cases]]", '[problems.wide]\nuse = "mnist-fc"\nmodel.hidden_size = -5\n[[cases]]')
    wrong = wrong.replace('["mnist-few/500"]', '["mnist-few/500", "wide"]').replace("train_size = 200", "")
    wrong += "[problems.mnist-few]\ntrain_size = 100_000\n"
    file = tmp_path / "wrong.toml"
    file.write_text(wrong, "utf-8")
    with pytest.raises(SuiteError) as error:
        benchmnist.run(file, device="cpu", executor="inline", out=tmp_path / "runs")
    said = {problem.key: problem.message for problem in error.value.problems}
    assert "in the problem 'wide', 'fc' refuses: " in said["problems.wide.model.hidden_size"]
    assert "in the problem 'mnist-few/500', train_size = 100000, but " in said["problems.mnist-few.train_size"]


class Stops(benchmnist.Observer):
    def case_ended(self, result: CaseResult) -> None:
        raise KeyboardInterrupt(result.id)


def test_an_augmented_problem_is_trained_by_a_worker_resumed_and_verified(tmp_path: Path) -> None:
    file = tmp_path / "augmented.toml"
    file.write_text(AUGMENTED, "utf-8")
    options = benchmnist.RunOptions(executor="local", jobs=1, device="cpu", out=tmp_path / "runs")
    with pytest.raises(KeyboardInterrupt):
        benchmnist.run(file, options, observer=Stops())
    run = benchmnist.run(file, options, resume=True)
    assert len({*run.path.parent.iterdir()}) == 1
    assert [(result.id.rpartition("/")[2], result.status) for result in run.cases] == [
        ("none", "completed"),
        ("crop-flip", "completed"),
    ]
    still, moved = (result.trials[0].epochs for result in run.cases)
    assert [evaluation.step for epoch in moved for evaluation in epoch.evaluations] == [2, 4, 6]
    assert still[-1].train_loss != pytest.approx(moved[-1].train_loss, rel=1e-3)
    found = benchmnist.verify(run, trials=4, seed=0, jobs=1)
    assert [trial.word for trial in found.trials] == ["the same, bit for bit"] * 4, found.trials
