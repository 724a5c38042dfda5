"""Runs of problems: trained, resumed, reused where only the names differ, and tuned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import benchmnist
from benchmnist.errors import SuiteError

if TYPE_CHECKING:
    from pathlib import Path

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
