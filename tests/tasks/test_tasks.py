"""Tasks: classification by its numbers, regression as a plugin with its own data, and metrics of plugins."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from training_support import component, make_case, result_of

from benchmnist.analysis.analysis import Analysis
from benchmnist.analysis.verdicts import judge
from benchmnist.extensions.registry import find_plugins
from benchmnist.extensions.specs import MetricSpec, TaskSpec
from benchmnist.metrics import LEVELS, RESERVED, Metric
from benchmnist.reports import write_report
from benchmnist.reports.columns import Columns
from benchmnist.reports.extra_tables import EXTRA_TABLES
from benchmnist.reports.pictures import pictures
from benchmnist.reports.records import records
from benchmnist.reports.tables import render
from benchmnist.runner import run
from benchmnist.runs.store import load_run
from benchmnist.suites.options import RunOptions
from benchmnist.suites.plan import make_plan
from benchmnist.suites.reader import read_suite
from benchmnist.tasks import Classification, Measured, losses_of
from benchmnist.testing import examine, subjects
from benchmnist.tuner import tune

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    from benchmnist.runs.results import RunResult

REGRESSION = """
import torch
from torch.nn import functional
from benchmnist import Dataset, DatasetSpec, Metric, MetricSpec, TaskSpec, hookimpl
from benchmnist.errors import DataError

PURE = True


class Regression:
    def __init__(self, delta=0.0):
        self.delta = delta

    def check(self, data, name):
        for labels in (data.train_labels, data.test_labels):
            if labels.ndim != 2 or labels.dtype != torch.float32:
                raise DataError(f"{name} has labels of {labels.dtype}, not [N, K] of float32")

    def output_shape(self, data):
        return tuple(data.train_labels.shape[1:])

    def loss(self, outputs, targets):
        if self.delta:
            return functional.huber_loss(outputs, targets, delta=self.delta)
        return functional.mse_loss(outputs, targets)

    def evaluate(self, outputs, targets):
        return {"mse": (outputs - targets).square().mean(dim=1).sum()}


class OneLossEach(Regression):
    def loss(self, outputs, targets):
        return (outputs - targets).square().mean(dim=1)


class NoMetric(Regression):
    def evaluate(self, outputs, targets):
        return {"mae": (outputs - targets).abs().mean(dim=1).sum()}


class Noisy(Regression):
    def loss(self, outputs, targets):
        return functional.mse_loss(outputs + torch.rand_like(outputs), targets)


def waves(*, root, size=400):
    times = torch.rand(size, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    angles = times.view(size, 4) @ torch.tensor([[1.0, -2.0], [0.5, 1.0], [-1.0, 1.0], [2.0, 0.0]])
    values, half = torch.cat([angles.sin(), angles.cos()[:, :1]], dim=1), size // 2
    return Dataset(times[:half], values[:half], times[half:], values[half:])


class Erasing(Regression):
    def evaluate(self, outputs, targets):
        found = super().evaluate(outputs, targets)
        targets.zero_()
        return found


class NoShape(Regression):
    def output_shape(self, data):
        return 3


def mean_of_each():
    return lambda outputs, targets: (outputs - targets).abs().mean(dim=1)


def breaks():
    def measure(outputs, targets):
        raise ValueError("no idea")

    return measure


def erases():
    def measure(outputs, targets):
        error = (outputs - targets).abs().mean(dim=1).sum()
        outputs.zero_()
        targets.zero_()
        return error

    return measure


def mae():
    return lambda outputs, targets: (outputs - targets).abs().mean(dim=1).sum()


MSE = Metric("mse", "mean squared error", better="lower", digits=4)


@hookimpl
def benchmnist_tasks():
    return [
        TaskSpec(name=name, summary="", build=build, metrics=(MSE,), pure=pure)
        for name, build, pure in (
            ("regression", Regression, True),
            ("secretive", Regression, False),
            ("one-loss-each", OneLossEach, False),
            ("no-metric", NoMetric, False),
            ("noisy", Noisy, True),
            ("erasing", Erasing, False),
            ("no-shape", NoShape, False),
        )
    ]


@hookimpl
def benchmnist_datasets():
    return [DatasetSpec(name="waves", summary="", build=waves, task="regression")]


@hookimpl
def benchmnist_metrics():
    title = "mean absolute error"
    return [
        MetricSpec(name=name, summary="", build=build, title=title, better="lower", task="regression")
        for name, build in (("mae", mae), ("each", mean_of_each), ("breaks", breaks), ("erases", erases))
    ]
"""
SUITE = """
[suite]
name = "waves"

[defaults]
dataset = "waves"
epochs = 3
batch_size = 20
seeds = 3
baseline = "sgd"
metrics = ["mae"]

[optimizers.adam]
lr = 0.01
expect.mse = "< 0.5"
expect.mae = "> 1e6"

[[cases]]
models = ["fc"]
optimizers = ["sgd", "adam"]
"""
MADE_FOR = REGRESSION.replace(
    ', task="regression")]\n\n\n@hookimpl\ndef benchmnist_metrics',
    ', task="{}")]\n\n\n@hookimpl\ndef benchmnist_metrics',
)


@pytest.fixture
def waves(
    install_plugin: Callable[..., None], write_suite: Callable[..., Path], tmp_path: Path
) -> Callable[..., RunResult]:
    """Installs the regression, and returns a function that runs the suite with something replaced."""
    install_plugin("regression", REGRESSION)

    def trained(*replaced: tuple[str, str], **options: Any) -> RunResult:
        text = SUITE
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        chosen = RunOptions(executor="inline", device="cpu", out=tmp_path / "runs", **options)
        return run(write_suite(text), chosen)

    return trained


def problems(suite: Path) -> list[str]:
    read = read_suite(suite)
    return [str(problem).removeprefix(f"{suite}:") for problem in make_plan(read, find_plugins()).problems]


def test_a_regression_is_trained_and_reported_by_its_own_metric(
    waves: Callable[..., RunResult], invoke: Callable[..., Result]
) -> None:
    done = waves()
    sgd, adam = done.cases
    first, last = (adam.trials[0].epochs[i].metrics for i in (0, -1))
    assert {*last} == {"mse", "mae"}
    assert last["mse"] < first["mse"]
    assert adam.misses[0].startswith("expected mae > 1e6, ")
    assert len(adam.misses) == 1
    (verdict,) = judge(done.cases)
    assert (verdict.metric.key, verdict.one, verdict.word) == ("mse", adam, "better")
    assert (verdict.paired.mean < 0) == (verdict.word == "better")
    said = " ".join(finding.text for finding in Analysis(done).findings)
    mean = sum(t.epochs[-1].metrics["mse"] for t in adam.trials) / 3
    assert f"better: adam ({mean:,.4f}), -" in said
    assert "%" not in said.replace("50%", "")
    table = invoke("report", done.path).stdout
    assert "mean squared error" in table
    assert "accuracy" not in table
    (row, _) = csv.DictReader(io.StringIO(invoke("report", done.path, "--format", "csv").stdout))
    assert float(row["mse"]) == pytest.approx(sum(t.epochs[-1].metrics["mse"] for t in sgd.trials) / 3)
    assert (row["task"], float(row["mae"]) > 0, "accuracy" in row) == ("regression", True, False)
    rows = json.loads(invoke("report", done.path, "--sort", "mse", "--format", "json").stdout)["rows"]
    assert [each["optimizer"] for each in rows] == ["adam", "sgd"]
    compared = invoke("compare", done.path, done.path).stdout
    assert "mean squared error after the last epoch" in compared
    assert "mean absolute error after the last epoch" in compared
    shown = invoke("report", done.path, "--show", "verdicts").stdout
    assert "the mean squared error after the last epoch" in " ".join(shown.split())
    write_report(done)
    assert {file.name for file in (done.path / "plots").glob("waves__fc.*")} == {
        "waves__fc.mse.png",
        "waves__fc.mae.png",
        "waves__fc.train_loss.png",
    }
    page = (done.path / "report.html").read_text("utf-8")
    assert 'data-metric="mse"' in page
    assert "ccuracy" not in page.partition("<script")[0]
    benchmark = json.loads((done.path / "benchmark.json").read_text("utf-8"))["benchmarks"][0]["extra_info"]
    assert benchmark["mse"] > 0
    assert load_run(done.path).cases == done.cases


def test_a_regression_is_tuned_to_the_lowest_error(
    waves: Callable[..., RunResult], write_suite: Callable[..., Path], tmp_path: Path
) -> None:
    assert callable(waves)  # the plugin is installed
    text = SUITE.replace("lr = 0.01", "space.lr = [1e-6, 0.01, 1e30]").replace('"sgd", "adam"', '"adam"')
    text = text.replace('baseline = "sgd"', "").replace(
        "[optimizers", "[tune]\nvalidation_size = 50\n[optimizers", 1
    )
    done = tune(write_suite(text), executor="inline", device="cpu", out=tmp_path / "runs", sampler="grid")
    (search,) = done.final.record.searches
    assert (search.metric.key, search.metric.better) == ("mse", "lower")
    poor, good, lost = (attempt.value for attempt in search.attempts)
    assert lost is None or lost > 1
    assert good is not None
    assert poor is not None
    assert good < poor
    assert done.final["waves/fc/adam"].case.optimizer.params["lr"] == 0.01
    (table,) = EXTRA_TABLES["tuning"](Analysis(done.final))
    assert table.heads[3:] == ("validation", "attempts", "lost", "near the best")
    assert table.rows[0][3] == f"{good:.4f}"
    drawn = {picture.title: picture.draw() for picture in pictures(Analysis(done.final))}
    assert [*drawn] == ["Best mean squared error against number of attempts: waves · fc"]


def test_every_engine_learns_a_task_alike(waves: Callable[..., RunResult]) -> None:
    done = waves(
        ('optimizers = ["sgd", "adam"]', 'optimizers = ["adam"]\nengines = ["dataloader", "resident", "stacked"]'),
        ('baseline = "sgd"\n', ""),
        ('expect.mae = "> 1e6"\n', ""),
    )
    assert [case.engine for case in done.cases] == ["dataloader", "resident", "stacked"]
    for trials in zip(*(case.trials for case in done.cases), strict=True):
        reference = trials[0].epochs[-1]
        for trial in trials[1:]:
            assert trial.epochs[-1].train_loss == pytest.approx(reference.train_loss, rel=1e-4)
            assert trial.epochs[-1].metrics == pytest.approx(reference.metrics, rel=1e-4)


def test_a_task_that_does_not_say_that_it_is_pure_is_not_stacked(waves: Callable[..., RunResult]) -> None:
    done = waves(('metrics = ["mae"]', 'task = "secretive"\nengine = "stacked"'), ('expect.mae = "> 1e6"\n', ""))
    for case in done.cases:
        assert case.engine == "resident"
        assert "not stacked: the task secretive does not say that its loss is pure" in case.remarks


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("one-loss-each", "the loss of the task has shape [20] of torch.float32; return the mean over the batch"),
        ("no-shape", "output_shape of the task is 3; return a tuple of whole numbers above 0"),
        ("no-metric", "the evaluation of the task has no mse"),
    ],
)
def test_a_task_that_breaks_its_word_fails_its_cases(
    waves: Callable[..., RunResult], task: str, said: str
) -> None:
    done = waves(('metrics = ["mae"]', f'task = "{task}"'), ('expect.mae = "> 1e6"\n', ""))
    assert [case.status for case in done.cases] == ["failed", "failed"]
    assert all(said in (case.error or "") for case in done.cases)


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (
            "each",
            "the metric 'each' has shape [100] of torch.float32; return the sum over the batch, a real scalar",
        ),
        ("breaks", "the metric 'breaks' raises ValueError: no idea"),
    ],
)
def test_a_metric_that_breaks_its_word_fails_its_cases_by_name(
    waves: Callable[..., RunResult], metric: str, said: str
) -> None:
    done = waves(('["mae"]', f'["{metric}"]'), ('expect.mae = "> 1e6"\n', ""), ("seeds = 3", "seeds = 1"))
    assert [case.status for case in done.cases] == ["failed", "failed"]
    assert all(said in (case.error or "") for case in done.cases)


def test_who_evaluates_cannot_change_the_labels(waves: Callable[..., RunResult]) -> None:
    plain = waves(('expect.mae = "> 1e6"\n', ""))
    for changed in (('["mae"]', '["erases", "mae"]'), ('metrics = ["mae"]', 'task = "erasing"')):
        done = waves(changed, ('expect.mae = "> 1e6"\n', ""))
        for case, same in zip(done.cases, plain.cases, strict=True):
            for trial, other in zip(case.trials, same.trials, strict=True):
                assert [e.metrics["mse"] for e in trial.epochs] == [e.metrics["mse"] for e in other.epochs]


def test_runs_of_different_tasks_are_compared_by_what_both_have(
    waves: Callable[..., RunResult], invoke: Callable[..., Result]
) -> None:
    regression = waves(('expect.mae = "> 1e6"\n', ""))
    classification = waves(
        ('dataset = "waves"', 'dataset = "mnist"\ntrain_size = 100\ntest_size = 100'),
        ('metrics = ["mae"]\n', ""),
        ('expect.mse = "< 0.5"\nexpect.mae = "> 1e6"\n', ""),
    )
    for runs in ((regression, classification), (classification, regression)):
        done = invoke("compare", *(each.path for each in runs))
        assert done.exit_code == 0, done.stderr
        assert "waves/fc/sgd" in done.stdout
        assert "mnist/fc/sgd" in done.stdout


def test_a_suite_with_two_tasks_ranks_each_case_by_its_own_metric(waves: Callable[..., RunResult]) -> None:
    done = waves(
        ('metrics = ["mae"]\n', "train_size = 100\ntest_size = 100\n"),
        ("models =", 'datasets = ["waves", "mnist"]\nmodels ='),
        ('expect.mse = "< 0.5"\nexpect.mae = "> 1e6"\n', ""),
    )
    assert [verdict.metric.key for verdict in Analysis(done).verdicts()] == ["mse", "accuracy"]
    header = render(Analysis(done), "markdown").splitlines()[0]
    assert "gain, mean squared error" in header
    assert "gain, accuracy" in header
    assert Analysis(done).findings


def test_the_names_of_columns_are_no_names_of_metrics(waves: Callable[..., RunResult]) -> None:
    analysis = Analysis(waves(('expect.mae = "> 1e6"\n', ""), ("seeds = 3", "seeds = 1")))
    derived = ("best_mse", "mse_gain", "mse_iqm", "mse_std", "mae_std")
    columns = {column.key for column in Columns(analysis.run.cases)}
    columns |= {key for level in LEVELS for key in records(analysis, level).header}
    measured = {metric.key for metric in analysis.run.cases[0].case.measures}
    others = {key for key in columns - measured - {*derived} if "." not in key and not key.endswith("_std")}
    assert others <= RESERVED
    for name in (*columns, "test_accuracy", "seconds", "step_losses", "optimizer.lr", "best_of_all"):
        if name in ("mse", "mae"):
            continue
        for make in (
            lambda name=name: MetricSpec(name=name, summary="", build=str),
            lambda name=name: TaskSpec(
                name="x", summary="", build=str, metrics=(Metric("mse", "", better="lower"), Metric(name, ""))
            ),
        ):
            with pytest.raises(ValueError, match=r"metric name|not lower-case"):
                make()


def test_the_first_metric_of_a_task_says_which_values_are_better() -> None:
    with pytest.raises(ValueError, match="the first metric of the task 'x' ranks its cases"):
        TaskSpec(name="x", summary="", build=str, metrics=(Metric("bias", "bias"),))


def test_a_dataset_of_a_task_that_is_not_installed_is_a_mistake_in_the_suite(
    install_plugin: Callable[..., None], write_suite: Callable[..., Path]
) -> None:
    install_plugin("regression", MADE_FOR.replace("{}", "nowhere"))
    (problem,) = problems(write_suite(SUITE))
    assert problem == (
        "6: defaults.dataset: 'waves' is made for the task 'nowhere', which no installed plugin offers"
    )


def test_parameters_of_a_task_are_a_configuration_like_any_other(waves: Callable[..., RunResult]) -> None:
    done = waves(
        ("[optimizers.adam]", '[tasks.robust]\nuse = "regression"\ndelta = 0.1\n\n[optimizers.adam]'),
        ("models =", 'tasks = ["regression", "robust"]\nmodels ='),
        ('baseline = "sgd"\n', ""),
        ('expect.mae = "> 1e6"\n', ""),
    )
    ids = [case.id for case in done.cases]
    assert ids == [
        f"waves/fc/{optimizer}/{task}" for optimizer in ("sgd", "adam") for task in ("regression", "robust")
    ]
    assert done.cases[0].trials[0].epochs[0].train_loss != done.cases[1].trials[0].epochs[0].train_loss
    assert len({case.key for case in done.cases}) == 4


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            'dataset = "waves"',
            'dataset = "mnist"',
            "11: defaults.metrics: 'mae' is a metric of the task 'regression'",
        ),
        ('["mae"]', '["mae", "mae"]', '11: defaults.metrics: duplicate "mae"; remove one'),
        ('["mae"]', '["maee"]', "11: defaults.metrics: no metric"),
        ('["mae"]', "[]", "11: defaults.metrics: "),
        ("epochs = 3", "label_smoothing = 0.1", "7: defaults.label_smoothing: the task 'regression' takes no"),
        (
            "epochs = 3",
            "target_accuracy = 90",
            "7: defaults.target_accuracy: the task 'regression' has no accuracy",
        ),
        ("expect.mse", "expect.accuracy", "15: optimizers.adam.expect.accuracy: no metric named 'accuracy'. "),
        ("epochs = 3", 'task = "regresion"', "7: defaults.task: no task"),
        ("[optimizers.adam]", "[tasks.regression]\ndelt = 1\n[optimizers.adam]", "14: tasks.regression.delt: "),
        ("[optimizers.adam]", "[metrics.mae]\nsweep.k = [1]\n[optimizers.adam]", "14: metrics.mae.sweep.k: "),
    ],
)
def test_what_does_not_belong_to_a_task_is_a_mistake_in_the_suite(
    install_plugin: Callable[..., None], write_suite: Callable[..., Path], old: str, new: str, expected: str
) -> None:
    install_plugin("regression", REGRESSION)
    found = problems(write_suite(SUITE.replace(old, new)))
    assert found
    assert found[0].startswith(expected), found


def test_data_that_a_task_cannot_learn_are_refused_before_any_training(
    install_plugin: Callable[..., None], write_suite: Callable[..., Path], invoke: Callable[..., Result]
) -> None:
    install_plugin("regression", REGRESSION)
    suite = write_suite(SUITE.replace('dataset = "waves"', 'dataset = "mnist"\ntask = "regression"'))
    done = invoke("run", suite, "--dry-run")
    assert done.exit_code == 2
    assert "the dataset 'mnist' of benchmnist has labels of torch.int64" in " ".join(done.stderr.split())


@pytest.mark.parametrize("name", ["regression", "secretive", "waves", "mae", "top-k", "classification"])
def test_what_keeps_its_promises_passes_the_checks(install_plugin: Callable[..., None], name: str) -> None:
    install_plugin("regression", REGRESSION.replace('task="regression")]', 'task="regression")]', 1))
    (subject,) = subjects(name, find_plugins())
    assert [outcome.said for outcome in examine(subject) if outcome.state == "missed"] == []


@pytest.mark.parametrize(
    ("name", "promise"),
    [("one-loss-each", "has-a-mean-loss"), ("no-metric", "evaluates-its-metrics"), ("noisy", "is-pure")],
)
def test_what_breaks_a_promise_is_missed(install_plugin: Callable[..., None], name: str, promise: str) -> None:
    install_plugin("regression", MADE_FOR.replace("{}", name))
    (subject,) = subjects(name, find_plugins())
    assert promise in [outcome.check.name for outcome in examine(subject) if outcome.state == "missed"]


def test_the_five_best_of_ten_are_counted() -> None:
    options: dict[str, Any] = {"model": "logistic", "epochs": 1, "train_size": 500, "test_size": 200}
    registry = find_plugins()
    metrics = tuple(
        component("top-k", k=k).model_copy(update={"name": name})
        for name, k in (("top1", 1), ("top5", 5), ("all", 99))
    )
    spec = registry.metrics["top-k"].spec
    case = make_case(**options, metrics=metrics)
    evaluates = (*case.evaluates, *(spec.metric(each.name) for each in metrics))
    result = result_of(case.model_copy(update={"evaluates": evaluates}))
    found = result.trials[0].epochs[-1].metrics
    assert found["top1"] == pytest.approx(found["test_accuracy"])
    assert found["test_accuracy"] < found["top5"] < found["all"] == 100
    plain = result_of(make_case(**options)).trials[0].epochs[-1]
    assert plain.metrics == {name: found[name] for name in ("test_loss", "test_accuracy")}


@given(st.integers(1, 20), st.integers(2, 12), st.floats(0, 0.5), st.integers(0, 1000))
def test_classification_is_cross_entropy_and_the_share_of_hits(
    size: int, classes: int, smoothing: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(size, classes, generator=generator)
    labels = torch.randint(classes, (size,), generator=generator)
    task = Classification(smoothing)
    assert torch.equal(
        task.loss(logits, labels), functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    )
    sums = task.evaluate(logits, labels)
    each = logits.log_softmax(dim=1)[torch.arange(size), labels]
    assert sums["test_loss"].item() == pytest.approx(-each.sum().item(), rel=1e-4, abs=1e-5)
    assert sums["test_accuracy"].item() == 100 * sum(
        int(row.argmax()) == int(label) for row, label in zip(logits, labels, strict=True)
    )


class Doubled(Classification):
    """Has another loss."""

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """See Task."""
        return 2 * super().loss(outputs, targets)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_the_losses_of_a_stack_are_those_of_its_batches(label_smoothing: float) -> None:
    task = Classification(label_smoothing)
    logits, labels = torch.randn(3, 7, 10, requires_grad=True), torch.randint(10, (3, 7))
    together = losses_of(task)
    assert together is not None
    assert losses_of(Measured(task, {})) == together
    assert losses_of(Doubled()) is None
    seen, expected = together(logits, labels), torch.stack([*map(task.loss, logits, labels)])
    torch.testing.assert_close(seen, expected)
    gradients = [torch.autograd.grad(losses.sum(), logits)[0] for losses in (seen, expected)]
    torch.testing.assert_close(*gradients)
