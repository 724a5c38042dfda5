"""`benchmnist versus`: a question becomes a suite, and its answer says what the run shows and no more."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import benchmnist
from benchmnist.errors import BenchmnistError, SuiteError
from benchmnist.extensions.registry import find_plugins
from benchmnist.head_to_head import Prepared, Versus, command
from benchmnist.suites.named import Named, read_named
from benchmnist.suites.pace import Pace, Sizes, choose, least_budget, seconds_of
from benchmnist.suites.places import find_place
from benchmnist.suites.versus import ANY_RATE, ask, learning_rates

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result


STAIRS = """
from benchmnist import ProblemSpec, hookimpl


@hookimpl
def benchmnist_problems():
    return [
        ProblemSpec(
            name="stairs",
            summary="ever more accuracy, and more than there is",
            model="logistic",
            dataset="few",
            settings={"steps": 12, "batch_size": 100, "evaluate_every": 4},
            levels={"low": {"target_accuracy": 25.0}, "high": {"target_accuracy": 99.9}},
            solved_by={"optimizer": "adam", "lr": 0.01},
        )
    ]
"""
FEW = Sizes(steps=12, attempts=2, searches=3, validation=200)
ON = "few/logistic"

RULES = """
import os
import time

import torch

from benchmnist import OptimizerSpec, hookimpl

trained = 0


def rule(step):
    class Rule(torch.optim.SGD):
        count = 0

        def step(self, closure=None):
            self.count += 1
            super().step()
            step(self)

    return lambda model, *, lr=0.1: Rule(model.parameters(), lr=lr)


def endless(model, *, lr=1e307):
    return torch.optim.SGD(model.parameters(), lr=lr)


def needs_rate(model, *, lr):
    return torch.optim.SGD(model.parameters(), lr=lr)


def turns(optimizer):
    # Of two learning rates, one learns nothing with every second seed, and the other with the others.
    if (torch.initial_seed() + (optimizer.param_groups[0]["lr"] > 0.105)) % 2:
        with torch.no_grad():
            for p in optimizer.param_groups[0]["params"]:
                p.zero_()


def raises(optimizer):
    raise ArithmeticError("not today")


def diverges(optimizer):
    with torch.no_grad():
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.fill_(float("nan"))


def unlucky(optimizer):
    global trained
    trained += optimizer.count == 1
    if trained == 2:  # the second seed
        diverges(optimizer)


def sleeps(optimizer):
    time.sleep(0.3)


def dies(optimizer):
    os._exit(3)


def hangs(optimizer):
    time.sleep(600)


@hookimpl
def benchmnist_optimizers():
    rules = {"turns": turns, "raises": raises, "diverges": diverges, "unlucky": unlucky, "sleeps": sleeps}
    rules |= {"hangs": hangs, "dies": dies}
    needs = OptimizerSpec(name="needs-rate", summary="SGD without a default", build=needs_rate)
    most = OptimizerSpec(name="endless", summary="SGD with steps as large as numbers", build=endless)
    of_rules = [OptimizerSpec(name=name, summary=name, build=rule(each)) for name, each in rules.items()]
    return [needs, most, *of_rules]
"""

pytestmark = pytest.mark.usefixtures("few_images")


@pytest.fixture
def rules(install_plugin: Callable[..., None]) -> None:
    install_plugin("rules", RULES)


@pytest.fixture
def stairs(install_plugin: Callable[..., None]) -> None:
    install_plugin("stairs", STAIRS)


def versus(*optimizers: str, on: str = ON, sizes: Sizes | Prepared = FEW, **options: Any) -> Versus:
    return benchmnist.versus(*optimizers, on=on, sizes=sizes, executor="inline", **options)


def test_what_is_better_is_said_to_be_and_the_suite_repeats_it() -> None:
    found = versus("sgd:lr=1e-6", "adam")
    (answer,) = found.answers
    assert re.fullmatch(
        r"sgd:lr=1e-6 reaches \d+\.\d+ % and adam \d+\.\d+ % \(accuracy\) on few/logistic after 12 steps: adam is "
        r"better by \d+\.\d+ points \(\d+\.\d+ to \d+\.\d+, 95 %\), by 3 searches of 2 learning rates each\.",
        answer.sentence,
    )
    (edge,) = answer.doubts[:1]
    assert re.match(r"In 3 of 3 searches, the best learning rate of adam is an end of its range \(0\.\d+", edge)
    assert (found.told, found.ended, found.suite) == (True, "told", Path("versus-sgd-lr-1e-06-adam.toml"))
    assert found.run is not None
    repeated = benchmnist.tune(found.suite, executor="inline", out=Path("repeated"))
    assert figures(repeated.final) == figures(found.run)
    (verdict,) = [v for v in benchmnist.Analysis(repeated.final).verdicts() if v.family == "primary"]
    assert verdict.word == "worse"


def figures(run: benchmnist.RunResult) -> list[Any]:
    return [(case.id, [(trial.seed, trial.epochs[-1].metrics) for trial in case.trials]) for case in run.cases]


def test_the_first_line_of_a_suite_is_a_comment_whatever_the_file_is_called() -> None:
    written = command(("adam", "sgd"), "a\nb c.toml:mnist-few", None)
    assert written == r"benchmnist versus adam sgd --on 'a\nb c.toml:mnist-few'"


@pytest.mark.usefixtures("stairs")
@pytest.mark.parametrize("on", [ON, "stairs"])
@pytest.mark.parametrize("second", ["adam", "adam:lr=0.01"], ids=["searched", "given"])
def test_the_command_that_is_named_repeats_the_comparison(
    invoke: Callable[..., Result], on: str, second: str
) -> None:
    lines: list[str] = []
    found = versus("sgd:lr=1e-6", second, on=on, say=lines.append)
    (named,) = (line.partition("to repeat it: benchmnist ")[2] for line in lines if "to repeat it" in line)
    assert f"to repeat it: benchmnist {named.split()[0]} FILE" in found.suite.read_text("utf-8")
    done = invoke(*named.split(), "--executor", "inline", "--out", "repeated")
    assert done.exit_code == 0, done.stderr
    (repeated,) = Path("repeated", found.suite.stem).iterdir()
    assert found.run is not None
    assert figures(benchmnist.load_run(repeated)) == figures(found.run)


def test_what_is_the_same_is_said_to_be() -> None:
    found = versus("adam:lr=0.01,eps=1e-8", "adam:lr=0.01")
    assert ": they are identical in every seed, by 3 seeds each" in found.sentence
    assert found.told


@pytest.mark.usefixtures("rules")
def test_what_is_not_told_apart_is_looked_at_again_until_it_is_interrupted() -> None:
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        if line.startswith("look 2"):
            raise KeyboardInterrupt

    found = versus("turns:lr=0.1", "turns:lr=0.11", sizes=Sizes(12, 1, 8, 200), say=say)
    (answer,) = found.answers
    assert "looks at 5 and 8 seeds" in lines[0]
    assert found.ended == "interrupted", found.sentence
    assert found.run is not None
    assert found.run.record.number_of_looks == 2
    assert "allowing for 2 looks" in answer.sentence
    # So a report corrects as the answer does.
    (verdict,) = [v for v in benchmnist.Analysis(found.run).verdicts() if v.family == "primary"]
    assert verdict.of == 2
    assert verdict.word == "no difference shown"
    assert ": they are not told apart, turns:lr=0.1 minus turns:lr=0.11 is " in answer.sentence


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize(
    ("names", "sizes", "repeated_by"),
    [
        (("adam:lr=0.011", "adam"), Sizes(12, 2, 4, 200, first=2), "tune"),
        (("turns:lr=0.1", "turns:lr=0.11"), Sizes(12, 1, 8, 200), "run"),
    ],
    ids=["searched", "given"],
)
def test_what_is_gone_on_with_pays_for_the_looks_that_were_made(
    invoke: Callable[..., Result], names: tuple[str, ...], sizes: Sizes, repeated_by: str
) -> None:
    def say(line: str) -> None:
        if line.startswith("look 2"):
            raise KeyboardInterrupt

    found = versus(*names, sizes=sizes, say=say)
    assert found.ended == "interrupted"
    resumed = invoke(repeated_by, str(found.suite), "--resume", "--executor", "inline")
    assert resumed.exit_code == 0, resumed.stderr
    newest = max(Path("runs", found.suite.stem).iterdir())
    assert benchmnist.load_run(newest).record.number_of_looks == 2


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize("name", ["raises", "diverges"])
def test_what_fails_everywhere_counts_against_it(name: str) -> None:
    found = versus(name, "adam", sizes=Sizes(12, 1, 3, 200))
    (answer,) = found.answers
    assert answer.failed
    assert (found.ended, found.told) == ("failed", False)
    assert re.match(rf"{name} completed nothing.* and adam reaches \d+", answer.sentence)
    assert "counts against what failed" in answer.sentence


@pytest.mark.usefixtures("rules")
def test_lost_seeds_count_against_who_lost_them() -> None:
    found = versus("unlucky:lr=0.1", "sgd:lr=0.1", sizes=Sizes(12, 1, 4, 200))
    (answer,) = found.answers
    assert "unlucky:lr=0.1 diverged or failed in 1 of 4 seeds that sgd:lr=0.1 completed" in answer.sentence
    assert "counts against unlucky:lr=0.1" in answer.sentence
    assert not answer.told


@pytest.mark.usefixtures("stairs")
def test_on_a_problem_the_levels_that_are_solved_are_compared() -> None:
    six = Sizes(12, 1, 6, 200, first=6)
    found = versus("sgd:lr=1e-6", "adam:lr=0.01,eps=1e-9", "adam:lr=0.01", on="stairs", sizes=six)
    less, same = found.answers
    assert less.sentence == (
        "On stairs (the target of each level, within its budget), sgd:lr=1e-6 does not solve the easiest of 2 "
        "levels (low), and adam:lr=0.01 solves 1 of 2 levels (up to low): adam:lr=0.01 solves more (0.0 and 1.0 "
        "on average), p = 0.0087, by 6 seeds each."
    )
    assert "; both take 4 steps on 1 level that every seed solves, as many in every seed" in same.sentence
    assert (found.told, found.ended) == (True, "told")


@pytest.mark.usefixtures("stairs")
def test_a_level_of_a_problem_is_searched_and_the_suite_repeats_it() -> None:
    found = versus("sgd", "adam", on="stairs/low")
    assert re.match(
        r"stairs/low \(25 % within 12 steps, tested every 4\) is solved by sgd in \d of 3 searches and by ",
        found.sentence,
    )
    assert found.run is not None
    assert {case.case.level for case in found.run.cases} == {"low"}
    assert all(case.case.stop_at_target for case in found.run.cases)
    repeated = benchmnist.tune(found.suite, executor="inline", out=Path("repeated"))
    assert figures(repeated.final) == figures(found.run)


@pytest.mark.usefixtures("rules", "stairs")
def test_what_fails_on_a_problem_has_no_comparison() -> None:
    found = versus("raises:lr=0.1", "adam:lr=0.01", on="stairs")
    (answer,) = found.answers
    assert answer.failed
    assert answer.sentence.startswith("On stairs, raises:lr=0.1 completed nothing (ArithmeticError: not today)")


def test_one_look_has_as_many_searches_as_the_time_allows() -> None:
    quick = Prepared(Sizes(12, 1, 3, 200), Pace(step=1e-5, trial=1e-3, run=0.5))
    found = versus("sgd:lr=1e-6", "adam:lr=0.01", sizes=quick, budget=3600)
    assert found.sizes.searches == 20
    assert ", by 20 seeds each." in found.sentence  # a sentence on the times may follow
    assert "seeds = 20\n" in found.suite.read_text("utf-8")


@pytest.mark.usefixtures("rules")
def test_a_budget_ends_a_look() -> None:
    found = versus("sleeps:lr=0.1", "adam:lr=0.01", budget=1)
    assert (found.ended, found.run, found.told) == ("budget", None, False)
    assert found.sentence.startswith("Nothing can be said")
    assert found.seconds < 30


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize("executor", ["inline", "local"])
def test_a_budget_ends_what_measures_the_pace(invoke: Callable[..., Result], executor: str) -> None:
    arguments = ("hangs:lr=0.1", "hangs:lr=0.2", "--on", ON, "--executor", executor, "--budget", "2s")
    began = time.monotonic()
    done = invoke("versus", *arguments)
    assert time.monotonic() - began < 300  # of the 600 s that a step takes
    assert done.exit_code == 2
    first, error = done.stderr.splitlines()
    assert first == "measuring the pace: 50 steps on few/logistic, within the budget of 2s"
    assert error == (
        "error: a budget of 2s is too small for 50 steps of each on few/logistic: no training of hangs:lr=0.1 or "
        "hangs:lr=0.2 ended; pass a larger --budget"
    )


def test_the_command_answers_within_its_budget(invoke: Callable[..., Result]) -> None:
    arguments = ("sgd:lr=1e-6", "adam:lr=0.01", "--on", ON, "--executor", "inline", "--steps", "12")
    done = invoke("versus", *arguments)
    assert done.exit_code == 0, done.stderr
    assert "adam:lr=0.01 is better by" in done.stdout
    assert "sgd:lr=1e-6 and adam:lr=0.01 as given" in done.stderr
    assert len(done.stdout.splitlines()) == 1
    # Of what was written by it, and not changed, it may write another; of nothing else.
    file = Path("versus-sgd-lr-1e-06-adam-lr-0.01.toml")
    file.write_text(file.read_text("utf-8") + "\n# mine", "utf-8")
    refused = invoke("versus", *arguments)
    assert refused.exit_code == 2
    assert "is not what `benchmnist versus` wrote; pass --write FILE" in refused.stderr


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["adam"], ["name two optimizers or more"]),
        (["adam", "adam"], ["'adam' is named twice", "adam:KEY=VALUE"]),
        (["adma", "sgdd", "--on", "cn"], ["Did you mean 'adamax'", "Did you mean 'sgd'", "Did you mean 'cnn'"]),
        (["adam:weight_deca=0", "sgd"], ["takes no parameter 'weight_deca'. Did you mean 'weight_decay'"]),
        (["adam:betas=0.9,x", "sgd"], ["must be key=value,... with values as in TOML"]),
        (["adam", "sgd", "--budget", "soon"], ["must be a time such as 60s, 5m or 1h, not 'soon'"]),
        (["adam", "sgd", "--set", "defaults.steps=3"], ["versus has no option set"]),
        (["adam", "sgd", "--on", ON, "--budget", "1s", "--executor", "inline"], ["is too small "]),
        (["adam", "sgd", "--on", "mnist-few/400"], ["no level of 'mnist-few' named '400'"]),
        (["adam", "sgd", "--on", "mnist-few:stepps=3"], ["stepps: unknown key. Did you mean 'steps'?"]),
        (
            ["adam", "sgd", "--on", "fc:hidden=3"],
            ["--on mnist/fc:hidden=3: hidden: 'fc' takes no"],
        ),
        (["endless", "sgd"], ["endless: no range has its default lr, 1e+307, within"]),
        (["adam", "sgd", "--on", "fc:hidden"], ["must be key=value"]),
        (["adam", "sgd", "--on", "quick:steep"], ["--on: no problem named 'steep'"]),
        (["adam", "sgd", "--on", "none.toml:steep"], ["none.toml"]),
    ],
)
def test_what_is_wrong_is_said_before_it_trains(
    invoke: Callable[..., Result], arguments: list[str], said: list[str]
) -> None:
    done = invoke("versus", *arguments)
    assert done.exit_code == 2
    assert not done.stdout
    for text in said:
        assert text in done.stderr
    assert not [*Path().glob("*.toml")]
    assert not Path("runs").exists()


def test_a_name_may_have_parameters() -> None:
    assert read_named("adam") == Named("adam", "adam", {})
    several = read_named('adamw:betas=[0.9, 0.99],fused=true,name="x"')
    assert several.params == {"betas": [0.9, 0.99], "fused": True, "name": "x"}
    assert several.name == "adamw-betas-0.9-0.99-fused-true-name-x"
    wrongs = ("adam:betas=[0.9,\n0.99]", "adam:lr=0.1}\n[x]\na={b=1", 'adam:name="\x1b"')
    for wrong in ("", "Adam", "adam:", "adam:lr", "adam:lr=", "a b", *wrongs):
        with pytest.raises(ValueError, match="NAME"):
            read_named(wrong)


def test_a_range_is_three_decades_about_the_default_and_above_it_for_sgd() -> None:
    registry = find_plugins()
    found = {name: learning_rates(read_named(name), registry) for name in ("adam", "sgd", "momentum", "lbfgs")}
    assert found == {
        "adam": (3.2e-5, 3.2e-2),
        "sgd": (3.2e-3, 3.2),
        "momentum": (3.2e-3, 3.2),
        "lbfgs": (3.2e-3, 3.2),
    }
    assert learning_rates(read_named("adam:lr=0.1"), registry) is None
    assert learning_rates(read_named("adam"), registry, any_rate=True) == ANY_RATE


@pytest.mark.usefixtures("rules")
def test_a_learning_rate_without_a_default_is_searched_in_a_wider_range() -> None:
    assert learning_rates(read_named("needs-rate"), find_plugins()) == ANY_RATE
    found = versus("needs-rate", "sgd")
    assert "completed nothing" not in found.sentence
    assert "needs-rate reaches " in found.sentence


@pytest.mark.parametrize(
    ("on", "lines"),
    [
        ("mnist-few", ['problems = ["mnist-few"]', "[problems.mnist-few]", "stop_at_target = true"]),
        ("mnist-few/500", ['problems = ["mnist-few/500"]', "[problems.mnist-few]"]),
        ("mnist-noisy-labels/cnn", ['models = ["cnn"]']),
        ("mnist-noisy-labels", ['problems = ["mnist-noisy-labels"]']),
        (
            "deep-narrow:model.depth=7",
            ["[problems.deep-narrow-model-depth-7]", "{ depth = 7 }"],
        ),
        ("mnist/deep-narrow:depth=7", ["[models.deep-narrow-depth-7]", "depth = 7"]),
        ("mine.toml:dim/30", ['problems = ["dim/30"]', "[problems.dim]", 'use = "mnist-rotated"', "steps = 40"]),
    ],
)
def test_a_place_is_a_problem_or_a_dataset_and_a_model(on: str, lines: list[str]) -> None:
    suite = '[suite]\nname = "mine"\n[problems.dim]\nuse = "mnist-rotated"\nsteps = 40\n'
    Path("mine.toml").write_text(f'{suite}[[cases]]\nproblems = ["dim"]\noptimizers = ["adam"]\n', "utf-8")
    place = find_place(on, find_plugins())
    text = "\n".join([*place.tables(None), place.listed])
    for line in lines:
        assert line in text


def test_the_steps_of_a_problem_may_be_others() -> None:
    place = find_place("mnist-fc", find_plugins())
    assert "steps = 40" in place.tables(40)


def test_the_baseline_is_the_last_or_the_one_that_is_named() -> None:
    registry = find_plugins()
    names = ("sgd", "adam", "rmsprop")
    assert ask(names, registry).baseline.typed == "rmsprop"
    other = ask(names, registry, baseline="adam", on="cnn")
    assert (other.baseline.typed, [each.typed for each in other.asked]) == ("adam", ["sgd", "rmsprop"])
    assert other.place.typed == "mnist/cnn"
    assert ask(names, registry, on="fashion-mnist").place.typed == "fashion-mnist/fc"
    with pytest.raises(SuiteError):
        ask(names, registry, on="nowhere/cnn")


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("5m", 300), ("1.5h", 5400), ("90", 90), (" 20S ", 20)]
)
def test_a_budget_has_a_unit(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "-1s", "0s", "1e3s", "2d", "nan", "9999h", "5 m m"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        seconds_of(text)


@given(
    budget=st.floats(1, 1e5),
    pace=st.builds(Pace, st.floats(1e-4, 1), st.floats(0, 10), st.floats(0.5, 20), st.integers(1, 16)),
    tuned=st.integers(0, 3),
)
def test_what_is_chosen_fits_the_budget_and_more_of_it_never_buys_less(
    budget: float, pace: Pace, tuned: int
) -> None:
    found = choose(budget, pace, 3, tuned)
    if found is None:
        assert least_budget(pace, 3, tuned) > budget * 0.99
        return
    assert pace.of_all(found, 3, tuned) <= budget
    assert found.looks[-1] == found.searches
    more = choose(2 * budget, pace, 3, tuned)
    assert more is not None
    assert (more.searches, more.attempts) >= (found.searches, found.attempts)


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize("other", ["sgd", "sgd:lr=0.1"])
@pytest.mark.parametrize("failing", ["raises", "raises:lr=0.1"])
def test_what_fails_in_a_few_steps_ends_the_question(failing: str, other: str) -> None:
    why = f"no training of a few steps with {failing} ends: ArithmeticError: not today"
    with pytest.raises(BenchmnistError, match=re.escape(why)):
        benchmnist.versus(failing, other, on=ON, budget=3600, executor="inline")


@pytest.mark.usefixtures("rules")
def test_a_search_in_which_all_diverge_is_an_error() -> None:
    with pytest.raises(BenchmnistError, match=r"every attempt of diverges on logistic diverged.*space$"):
        benchmnist.versus("diverges", "sgd:lr=0.2", on=ON, budget=3600, executor="inline")


@pytest.mark.usefixtures("rules")
def test_a_worker_that_dies_ends_the_question() -> None:
    with pytest.raises(BenchmnistError, match="no training of a few steps with dies ends"):
        benchmnist.versus("dies", "sgd", on=ON, budget=3600, executor="local")
