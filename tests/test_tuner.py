from __future__ import annotations

import contextlib
import shutil
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from conftest import OF_FEW_IMAGES

import benchmnist
from benchmnist.analysis.analysis import Analysis
from benchmnist.errors import BenchmnistError, SuiteError
from benchmnist.execution.dispatch import Observer
from benchmnist.optimizer_search import OptimizerSearch
from benchmnist.reports.pictures import pictures
from benchmnist.suites.schema import Tune
from benchmnist.suites.suite import SearchScope
from benchmnist.tuner import Tuned, tune

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from benchmnist.runs.results import EpochResult
    from benchmnist.suites.cases import Case

pytestmark = pytest.mark.usefixtures("few_images")

SUITE = f"""
[suite]
name = "tuned"

[defaults]
epochs = 2
seeds = [0, 1, 4]
train_size = 400
test_size = 100
batch_size = 50
baseline = "sgd"
{OF_FEW_IMAGES}
[tune]
trials = 4
validation_size = 300
epochs = 1

[optimizers.sgd]
lr = 1e-4
expect.accuracy = "<= 100"
space.lr = {{ low = 1e-3, high = 1.0, log = true }}

[optimizers.momentum]
use = "sgd"
momentum = 0.9
space.lr = {{ low = 1e-3, high = 1.0, log = true }}

[optimizers.adam]
lr = 1e-3

[[compare]]
optimizers = ["momentum"]
with = "sgd"

[[cases]]
models = ["logistic", "fc"]
optimizers = ["sgd", "momentum", "adam"]
"""


def tuned(path: Path, **options: Any) -> Tuned:
    options = {"device": "cpu", "executor": "inline", "out": path.parent / "runs", "checkpoints": False, **options}
    return tune(path, **options)


class Counting(Observer):
    """Counts the epochs that are trained, and interrupts after so many of them."""

    def __init__(self, most: int | None = None) -> None:
        self.trained: Counter[str] = Counter()
        self.most = most

    def epoch_ended(self, case: Case, seed: int, result: EpochResult) -> None:  # noqa: ARG002
        self.trained[case.id] += 1
        if self.most is not None and self.trained.total() >= self.most:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def watch(self) -> Iterator[Observer]:
        yield self


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, with_few_images: Callable[[], AbstractContextManager[None]]
) -> Tuned:
    path = tmp_path_factory.mktemp("tuned") / "suite.toml"
    path.write_text(SUITE, "utf-8")
    with with_few_images():
        return tuned(path)


def test_each_optimizer_has_the_same_budget_on_each_model(whole: Tuned) -> None:
    searches = whole.final.record.searches
    assert [(search.model, search.method) for search in searches] == [
        ("logistic", "sgd"),
        ("logistic", "momentum"),
        ("fc", "sgd"),
        ("fc", "momentum"),
    ]
    assert {len(search.attempts) for search in searches} == {4}
    rates = [[attempt.params["lr"] for attempt in search.attempts] for search in searches]
    assert all(each == rates[0] for each in rates)  # the same range: the same values
    assert len({*rates[0]}) == 4
    assert all(1e-3 <= rate <= 1 for rate in rates[0])


def test_what_is_chosen_is_chosen_without_the_test_set(whole: Tuned) -> None:
    for result in whole.search.cases:
        case = result.case
        assert (case.validation_size, case.epochs, case.seeds) == (300, 1, (5,))
        assert (case.baseline, case.compared_with, case.expect, case.tuned) == (None, None, {}, False)
    for search in whole.final.record.searches:
        assert search.best is not None
        assert search.best.value == max(attempt.value or 0 for attempt in search.attempts)
        (chosen,) = (
            r for r in whole.final.cases if r.case.model.name == search.model and r.case.method == search.method
        )
        assert chosen.case.optimizer.params["lr"] == search.best.params["lr"]
        found = next(r for r in whole.search.cases if r.case.optimizer.variant == f"lr-{search.best.params['lr']}"
                     and r.case.model.name == search.model and r.case.optimizer.name == search.method)  # fmt: skip
        assert found.trials[0].epochs[-1].test_accuracy == search.best.value


def test_the_suite_is_then_run_as_it_is_with_what_was_chosen(whole: Tuned) -> None:
    final = whole.final
    methods = ("sgd", "sgd/untuned", "momentum", "momentum/untuned", "adam")
    assert [case.id for case in final.cases] == [
        f"mnist/{model}/{method}" for model in ("logistic", "fc") for method in methods
    ]
    for result in final.cases:
        case = result.case
        assert (case.validation_size, case.epochs, case.seeds) == (None, 2, (0, 1, 4))
        assert case.tuned == (case.method in ("sgd", "momentum"))
        assert case.untuned == ("untuned" in case.method)
    assert final["mnist/fc/sgd/untuned"].case.optimizer.params == {"lr": 1e-4}
    assert final["mnist/fc/momentum"].case.optimizer.params["momentum"] == 0.9
    assert final["mnist/fc/adam"].case.optimizer.params == {"lr": 1e-3}
    assert final["mnist/fc/sgd"].case.expect == {"accuracy": "<= 100"}
    assert final["mnist/fc/momentum"].case.compared_with == ("mnist/fc/sgd",)
    assert (whole.search.path.parent.name, final.path.parent.name) == ("tuned-search", "tuned")


def test_it_can_be_gone_on_with_wherever_it_was_left(whole: Tuned, tmp_path: Path) -> None:
    """In the search and in the run after it; nothing is trained twice, and what comes of it is the same."""
    path = tmp_path / "suite.toml"
    path.write_text(SUITE, "utf-8")
    trained: Counter[str] = Counter()
    for most in (7, 12, None):
        counting = Counting(most)
        with contextlib.suppress(KeyboardInterrupt):
            again = tuned(path, resume=bool(trained), watch=counting.watch)
        trained += counting.trained
    assert len([*(tmp_path / "runs").glob("*/*/run.json")]) == 2
    for ours, theirs in ((again.search, whole.search), (again.final, whole.final)):
        assert [case.id for case in ours.cases] == [case.id for case in theirs.cases]
        for one, other in zip(ours.cases, theirs.cases, strict=True):
            assert one.case == other.case
            assert [t.epochs[-1].test_accuracy for t in one.trials] == [
                t.epochs[-1].test_accuracy for t in other.trials
            ]
    # A case that was interrupted is begun anew: of inline execution there are two of them.
    assert trained.total() <= 16 + 10 * 2 * 3 + 2 * 2 * 3


def test_a_finished_one_is_not_trained_again(whole: Tuned) -> None:
    counting = Counting()
    suite = whole.final.path.parents[2] / "suite.toml"
    again = tuned(suite, resume=True, watch=counting.watch)
    assert again.final.path == whole.final.path
    assert counting.trained.total() == 0
    assert again.final.record.searches == whole.final.record.searches


def test_a_run_of_the_suite_is_not_resumed_in_that_of_what_was_chosen(whole: Tuned) -> None:
    suite = whole.final.path.parents[2] / "suite.toml"
    with pytest.raises(
        BenchmnistError, match=r"`benchmnist tune` chose its settings; pass --resume to `benchmnist tune`"
    ):
        benchmnist.run(suite, device="cpu", out=whole.final.path.parents[1], resume=True)


def test_another_final_run_gets_a_folder_of_its_own(whole: Tuned, tmp_path: Path) -> None:
    """The search has epochs of its own, so it is as before; the run that followed is not."""
    runs = tmp_path / "runs"
    shutil.copytree(whole.search.path.parents[1], runs)
    path = tmp_path / "suite.toml"
    path.write_text(SUITE.replace("epochs = 2\n", "epochs = 1\n", 1), "utf-8")
    again = tuned(path, resume=True)
    assert again.search.path == runs / "tuned-search" / whole.search.path.name
    assert again.final.path.name != whole.final.path.name
    assert benchmnist.load_run(runs / "tuned" / whole.final.path.name).record.plan == whole.final.record.plan


def test_a_guided_search_asks_by_what_came_of_it(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    # Adam, by the name of momentum, is best at another learning rate than sgd, whatever the examples.
    unlike = SUITE.replace('use = "sgd"\nmomentum = 0.9\n', 'use = "adam"\n')
    path.write_text(unlike.replace('"logistic", "fc"', '"logistic"'), "utf-8")
    found = tuned(path, sampler="tpe", trials=12)
    sgd, momentum = found.final.record.searches
    for search in (sgd, momentum):  # told the same, it asks the same: so it can be gone on with
        scope = SearchScope(search.dataset, search.model, search.label, search.method)
        search_ = OptimizerSearch(scope, search.space, Tune(sampler="tpe", trials=12))
        while search_.ask(found.search):
            pass
        assert search_.asked == [attempt.params for attempt in search.attempts]
    assert len(sgd.attempts) == len(momentum.attempts) == 12
    rates = [[attempt.params["lr"] for attempt in search.attempts] for search in (sgd, momentum)]
    assert rates[0][:10] == rates[1][:10]  # TPE's first ten are random
    assert rates[0][10:] != rates[1][10:]  # the others are not
    files = [run.path / "run.json" for run in (found.search, found.final)]
    before = [file.read_bytes() for file in files]
    for other in ({"sampler": "random"}, {"trials": 7}, {"set": "tune.epochs=2"}):
        with pytest.raises(BenchmnistError, match=r"cannot be resumed: |begun without set"):
            tuned(path, **{"sampler": "tpe", "trials": 12, **other}, resume=True)
    assert [file.read_bytes() for file in files] == before  # what was chosen is still there to be reported
    damaged, gone, *_ = sorted((found.search.path / "cases").iterdir())
    damaged.write_text("{", "utf-8")
    gone.unlink()
    later = found.final.path.with_name("20990101-000000-0000")
    later.mkdir()
    (later / "run.json").write_text("{", "utf-8")  # a damaged run is not gone on with, and in nobody's way
    counting = Counting()
    again = tuned(path, sampler="tpe", trials=12, resume=True, watch=counting.watch)
    assert counting.trained.total() == 2  # what is missing is trained before anything is asked for
    assert again.final.path == found.final.path
    assert again.search.record.plan == found.search.record.plan
    adam = "[optimizers.adam]\nlr = 1e-3\n"
    path.write_text(path.read_text("utf-8").replace(adam, f"{adam}space.lr = [1e-3, 1e-2]\n"), "utf-8")
    more = tuned(path, sampler="tpe", trials=12, resume=True)
    assert more.search.path == found.search.path
    assert len(more.search.record.plan) == 12 + 12 + 2
    assert more.final.record.searches[:2] == (sgd, momentum)


def test_a_repeated_search_has_other_points_and_other_seeds(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_text(SUITE.replace('"logistic", "fc"', '"logistic"').replace("trials = 4", "trials = 3"), "utf-8")
    done = tuned(path, searches=2)
    found = done.final.record.searches
    assert [(each.method, each.number) for each in found] == [
        ("sgd", 1), ("sgd", 2), ("momentum", 1), ("momentum", 2)
    ]  # fmt: skip
    rates = [[attempt.params["lr"] for attempt in each.attempts] for each in found]
    assert rates[0] == rates[2]  # the same range: the same values
    assert rates[1] == rates[3]
    assert not {*rates[0]} & {*rates[1]}
    seeds = [{seed for r in done.search.cases if r.case.search == k for seed in r.case.seeds} for k in (1, 2)]
    seeds += [{seed for r in done.final.cases if r.case.search == k for seed in r.case.seeds} for k in (1, 2)]
    assert [len(each) for each in seeds] == [1, 1, 3, 3]
    assert len(set.union(*seeds)) == 8  # none of them twice
    methods = ("sgd", "sgd/untuned", "momentum", "momentum/untuned", "adam")
    assert {r.case.method for r in done.final.cases} == {f"{m}/search-{k}" for m in methods for k in (1, 2)}
    for search in found:
        case = done.final[f"mnist/logistic/{search.row}"].case
        assert search.best is not None
        assert case.optimizer.params["lr"] == search.best.params["lr"]
        assert (case.tuned, case.baseline) == (True, f"sgd/search-{search.number}")
    verdicts = Analysis(done.final).verdicts()
    assert {(v.one.case.method, v.other.case.method, v.paired.n) for v in verdicts} == {
        ("momentum", "sgd", 2), ("adam", "sgd", 2), ("adam", "momentum", 2)
    }  # fmt: skip
    assert {picture.draw()[:4] for picture in pictures(Analysis(done.final))} == {b"\x89PNG"}
    again = tuned(path, searches=2, resume=True)
    assert again.final.path == done.final.path
    counting = Counting()
    more = tuned(path, searches=3, resume=True, watch=counting.watch)
    assert more.search.path == done.search.path  # only the third search is trained
    assert counting.trained.total() == 2 * 3 + 5 * 3 * 2
    assert more.final["mnist/logistic/sgd/search-2"].case == done.final["mnist/logistic/sgd/search-2"].case


def test_what_diverges_is_lost_and_told_and_not_chosen(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    space = "space.lr = [1e-2, 1e30]"
    text = SUITE.replace("space.lr = { low = 1e-3, high = 1.0, log = true }", space).replace(
        '"logistic", "fc"', '"fc"'
    )
    text = text.replace("trials = 4", "trials = 4\nuntuned = false")
    path.write_text(text, "utf-8")
    final = tuned(path, sampler="grid").final
    assert "mnist/fc/sgd/untuned" not in {case.id for case in final.cases}
    for search in final.record.searches:
        assert [attempt.value is None for attempt in search.attempts] == [False, True]
    assert final["mnist/fc/sgd"].case.optimizer.params["lr"] == 1e-2
    path.write_text(text.replace("[1e-2, 1e30]", "[1e30]"), "utf-8")
    with pytest.raises(BenchmnistError, match=r"sgd on fc and momentum on fc diverged or failed.*tuned-search/"):
        tuned(path, sampler="grid", out=tmp_path / "none")


def test_an_optimizer_that_always_fails_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    broken = SUITE.replace("space.lr = { low = 1e-3, high = 1.0, log = true }", "space.lr = [1e30, 1e31]", 1)
    path.write_text(broken.replace('"logistic", "fc"', '"fc"'), "utf-8")
    final = tuned(path).final
    assert [case.id for case in final.cases] == [
        "mnist/fc/sgd/untuned",
        *("mnist/fc/momentum", "mnist/fc/momentum/untuned", "mnist/fc/adam"),
    ]
    assert [search.best is None for search in final.record.searches] == [True, False]
    assert benchmnist.write_report(final).is_file()


def test_a_suite_in_which_nothing_can_be_tuned(tmp_path: Path, write_suite: Callable[..., Path]) -> None:
    path = write_suite()
    with pytest.raises(SuiteError, match=r"no optimizer has a space to tune; add \[optimizers.NAME.space\]"):
        tuned(path)
    path.write_text(SUITE.replace('"fc"]', '"fcc"]'), "utf-8")
    with pytest.raises(SuiteError, match="no model named 'fcc'"):
        tuned(path)
    with pytest.raises(ValueError, match="tune resumes the newest search of the suite; pass resume=True"):
        tuned(path, resume="ab12")
    assert not (tmp_path / "runs").exists()


def test_without_optuna_there_are_still_random_searches_and_grids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    path = tmp_path / "suite.toml"
    path.write_text(SUITE.replace('"logistic", "fc"', '"logistic"'), "utf-8")
    with pytest.raises(BenchmnistError, match=r"needs optuna: python -m pip install 'benchmnist\[tune\]'"):
        tuned(path, sampler="tpe")
    assert not (tmp_path / "runs").exists()
    for sampler in ("random", "grid"):
        assert len(tuned(path, sampler=sampler).final.record.searches[0].attempts) == 4


def test_it_can_be_had_from_python() -> None:
    assert benchmnist.tune is tune
