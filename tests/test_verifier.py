"""Runs that are verified: real trials, trained again."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from conftest import OF_FEW_IMAGES
from forging import rewrite, with_epochs

import benchmnist
from benchmnist.errors import BenchmnistError
from benchmnist.runs.store import RunFolder
from benchmnist.training.environment import cpu_capability

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from benchmnist.runs.results import CaseResult, EpochResult, RunResult
    from benchmnist.verifier import Verification

DATA = Path(__file__).parent / "runs" / "data"
pytestmark = pytest.mark.usefixtures("few_images")

SUITE = f"""
[suite]
name = "verified"

[defaults]
epochs = 2
seeds = 3
train_size = 200
test_size = 200
batch_size = 50
baseline = "sgd"
{OF_FEW_IMAGES}
[optimizers.wild]
use = "sgd"
lr = 1e30

[[cases]]
models = ["fc-bn-dropout", "cnn"]
optimizers = ["sgd", "adam"]

[[cases]]
models = ["fc"]
optimizers = ["wild"]
baseline = "wild"

[[cases]]
models = ["fc"]
optimizers = ["adam"]
engine = "stacked"
baseline = "adam"
"""
ONE_CASE = """
[[cases]]
models = ["fc"]
optimizers = ["sgd"]
baseline = "sgd"
"""
SAME = "the same, bit for bit"


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, with_few_images: Callable[[], AbstractContextManager[None]]
) -> RunResult:
    """A run with random numbers in its model, a case that diverges, a stack and controls; its suite is gone."""
    folder = tmp_path_factory.mktemp("verified")
    suite = folder / "verified.toml"
    suite.write_text(SUITE, "utf-8")
    options: dict[str, Any] = {"executor": "inline", "control": True, "checkpoints": False}
    with with_few_images():
        run = benchmnist.run(suite, device="cpu", out=folder / "runs", **options)
    suite.unlink()
    return run


@pytest.fixture
def copied(made: RunResult, tmp_path: Path) -> RunResult:
    """A copy to change."""
    return benchmnist.load_run(shutil.copytree(made.path, tmp_path / "copy"))


def verify(run: RunResult | Path, **options: Any) -> Verification:
    """Verifies in this process, where torch has been imported; one test does it as users do."""
    return benchmnist.verify(run, **{"executor": "inline", **options})


def words(verification: Verification) -> dict[tuple[str, int], str]:
    return {(trial.case_id, trial.seed): trial.word for trial in verification.trials}


def test_every_trial_of_an_honest_run_is_the_same_bit_for_bit(made: RunResult) -> None:
    """However it is split: in a stack, beside others, with other seeds or alone; diverged or with dropout."""
    statuses = {result.id: result.status for result in made.cases}
    assert statuses["mnist/fc/wild"] == "diverged"
    assert made["mnist/fc/adam"].engine == "stacked"
    everything = benchmnist.verify(made, trials=1000)
    assert len(everything.trials) == everything.pool == sum(len(result.trials) for result in made.cases)
    assert {*words(everything).values()} == {SAME}
    assert (everything.word, everything.notes) == ("consistent", ())
    some = benchmnist.verify(made.path, trials=4, jobs=1)
    assert {*words(some).values()} == {SAME}
    again = verify(made, trials=4, seed=some.seed)
    assert words(again) == words(some)


def test_a_keyword_selects_what_is_drawn_from(made: RunResult) -> None:
    found = verify(made, trials=2, keyword="cnn and adam")
    assert found.pool == 3
    assert {trial.case_id for trial in found.trials} == {"mnist/cnn/adam"}
    with pytest.raises(BenchmnistError, match=r"-k 'lion' matches no case; known cases: mnist/fc-bn-dropout/sgd"):
        verify(made, keyword="lion")


def test_a_tampered_accuracy_is_found_though_its_checksum_is_right(copied: RunResult) -> None:
    """By a tenth of a point, in one epoch of one seed: far within the spread."""

    def better(seed: int, epoch: EpochResult) -> dict[str, Any]:
        more = 0.1 if (seed, epoch.epoch) == (1, 2) else 0.0
        return {"metrics": {**epoch.metrics, "test_accuracy": epoch.metrics["test_accuracy"] + more}}

    name = "mnist/cnn/adam"
    tampered = rewrite(copied, name, **with_epochs(copied[name], better))
    found = verify(tampered, keyword="cnn and adam")
    assert words(found) == {(name, 0): SAME, (name, 1): "not consistent", (name, 2): SAME}
    assert found.word == "not consistent"
    assert found.trials[1].reason.startswith("epoch 2: test_accuracy ")
    assert found.trials[1].reason.endswith("trained twice here, with the same bits")


def test_another_hyperparameter_than_that_of_the_result_is_found(copied: RunResult) -> None:
    """The same, where the figures are of another case than they are said to be."""
    result = copied["mnist/cnn/adam"]
    optimizer = result.case.optimizer
    other = optimizer.model_copy(update={"params": {**optimizer.params, "lr": 2e-3}})
    case = result.case.model_copy(update={"optimizer": other})
    found = verify(rewrite(copied, result.id, case=case), keyword="cnn and adam", trials=1)
    assert found.word == "not consistent"


def test_elsewhere_figures_beyond_the_spread_are_found(copied: RunResult) -> None:
    elsewhere: dict[str, Any] = {"environment": copied["mnist/cnn/adam"].environment | {"torch": "2.0.0"}}

    def rounded(_: int, epoch: EpochResult) -> dict[str, Any]:
        return {"train_loss": epoch.train_loss + 1e-7}

    def better(seed: int, epoch: EpochResult) -> dict[str, Any]:
        return {"metrics": {**epoch.metrics, "test_accuracy": 99.9 + seed / 1000}}

    result = copied["mnist/cnn/adam"]
    honest = rewrite(copied, result.id, **with_epochs(result, rounded), **elsewhere)
    found = verify(honest, keyword="cnn and adam")
    assert {*words(found).values()} == {"consistent"}
    assert found.word == "consistent"
    assert {trial.reason.partition(" in the run")[0] for trial in found.trials} == {"torch 2.0.0"}
    false = rewrite(copied, result.id, **with_epochs(result, better), **elsewhere)
    assert {*words(verify(false, keyword="cnn and adam")).values()} == {"not consistent"}


@pytest.mark.skipif(cpu_capability() not in ("AVX2", "AVX512"), reason="a processor with one instruction set")
def test_an_older_processor_is_imitated(copied: RunResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as torch's own kernels decide it: their choice is recorded, and made again."""
    name = "mnist/cnn/adam"
    before = copied[name].environment
    older = rewrite(copied, name, environment=before | {"capability": "DEFAULT"})
    seen: list[str | None] = []

    class Environment(benchmnist.Observer):
        def case_ended(self, result: CaseResult) -> None:
            seen.append(result.environment["capability"])

    benchmnist.verify(older, keyword="cnn and adam", trials=1, jobs=1, watch=lambda: nullcontext(Environment()))
    assert [*{*seen}] == ["DEFAULT"]
    assert "ATEN_CPU_CAPABILITY" not in os.environ
    seen.clear()
    newer = rewrite(copied, name, environment=before | {"capability": "AVX1024"})
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    benchmnist.verify(newer, keyword="cnn and adam", trials=1, jobs=1, watch=lambda: nullcontext(Environment()))
    assert [*{*seen}] == ["DEFAULT"]
    assert os.environ["ATEN_CPU_CAPABILITY"] == "default"


@pytest.mark.parametrize("onednn", ["1", "0"])
def test_products_are_computed_as_in_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, onednn: str) -> None:
    suite = tmp_path / "products.toml"
    suite.write_text(SUITE.partition("[optimizers.wild]")[0] + ONE_CASE, "utf-8")
    monkeypatch.setenv("BENCHMNIST_ONEDNN", onednn)
    run = benchmnist.run(suite, device="cpu", out=tmp_path / "runs", executor="inline", checkpoints=False)
    (result,) = run.cases
    assert result.remarks == (("onednn",) if onednn == "1" else ())
    other = {"0": "1", "1": "0"}[onednn]
    monkeypatch.setenv("BENCHMNIST_ONEDNN", other)
    assert {*words(verify(run)).values()} == {SAME}
    assert os.environ["BENCHMNIST_ONEDNN"] == other
    either = rewrite(run, result.id, remarks=("onednn: 1 of 3 seeds",))
    assert {*words(verify(either)).values()} == {"consistent"}


def test_trials_of_one_case_that_cannot_be_trained_do_not_hinder_the_others(copied: RunResult) -> None:
    sgd, adam, wild = (copied[f"mnist/{name}"] for name in ("cnn/sgd", "cnn/adam", "fc/wild"))
    lost = sgd.case.model.model_copy(update={"use": "cnnn", "distribution": "benchmnist-gone", "version": "3.1"})
    copied = rewrite(copied, sgd.id, case=sgd.case.model_copy(update={"model": lost}))
    refused = adam.case.optimizer.model_copy(update={"params": {"lr": -1.0}})
    copied = rewrite(copied, adam.id, case=adam.case.model_copy(update={"optimizer": refused}))
    copied = rewrite(copied, wild.id, environment=wild.environment | {"device": "cuda:0"})
    engine = copied["mnist/fc/adam"].case.model_copy(update={"engine": "x"})
    unknown = rewrite(copied, "mnist/fc/adam", case=engine)
    found = verify(unknown, trials=1000, device="auto", keyword="not control")
    reasons = {trial.case_id: trial.reason for trial in found.trials if trial.word == "cannot be checked"}
    assert reasons.pop(sgd.id).endswith("(in the run, of benchmnist-gone 3.1)")
    assert reasons.pop("mnist/fc/adam") == "the engine 'x' is unavailable"
    assert "-1" in reasons.pop(adam.id)
    if not torch.cuda.is_available():
        assert "'cuda' is unavailable" in reasons.pop(wild.id)
        assert not reasons
    assert words(found)["mnist/fc-bn-dropout/adam", 0] == SAME
    assert found.word == "inconclusive"


PLUGIN = """
import torch
import benchmnist

def build(*, root):
    images = torch.arange(120 * 16, dtype=torch.uint8).view(120, 1, 4, 4)
    labels = torch.arange(120) % 3
    return benchmnist.Dataset(images, labels + {shift}, images, labels, tuple("abcd"))

@benchmnist.hookimpl
def benchmnist_datasets():
    return [benchmnist.DatasetSpec(name="tiny", summary="Tiny.", build=build)]
"""


def test_another_dataset_or_another_version_of_a_plugin_is_named(
    write_suite: Callable[..., Path], install_plugin: Callable[..., None], tmp_path: Path
) -> None:
    install_plugin("tiny", PLUGIN.format(shift=0))
    suite = write_suite("""
        [suite]
        name = "tiny"
        [defaults]
        epochs = 1
        seeds = 1
        batch_size = 30
        dataset = "tiny"
        [[cases]]
        models = ["logistic"]
        optimizers = ["sgd"]
    """)
    run = benchmnist.run(suite, device="cpu", executor="inline", out=tmp_path / "runs")
    assert words(verify(run)) == {("tiny/logistic/sgd", 0): SAME}
    # Of another size, too: within a second, Python takes a file of the same size for the one that it compiled.
    (tmp_path / "site-packages" / "benchmnist_tiny.py").write_text(f"{PLUGIN.format(shift=1)}# other", "utf-8")
    sys.modules.pop("benchmnist_tiny")
    found = verify(run)
    assert [trial.reason for trial in found.trials] == ["the dataset 'tiny' has other contents here"]
    result = run["tiny/logistic/sgd"]
    older = result.case.dataset.model_copy(update={"version": "0.9"})
    run = rewrite(run, result.id, case=result.case.model_copy(update={"dataset": older}))
    found = verify(run)
    assert [trial.reason for trial in found.trials] == [
        "benchmnist-tiny 0.9 in the run, 1.0 here; install that version"
    ]
    assert found.word == "inconclusive"


def test_tuned_and_reused_cases_are_verified(write_suite: Callable[..., Path], tmp_path: Path) -> None:
    suite = write_suite("""
        [suite]
        name = "tuned"
        [defaults]
        epochs = 1
        seeds = 2
        train_size = 400
        test_size = 100
        batch_size = 50
        [tune]
        trials = 2
        validation_size = 300
        [optimizers.sgd.space]
        lr = { low = 1e-3, high = 1.0, log = true }
        [[cases]]
        models = ["logistic"]
        optimizers = ["sgd"]
    """)
    tuned = benchmnist.tune(suite, device="cpu", executor="inline", out=tmp_path / "runs")
    for run in (tuned.search, tuned.final):
        assert {*words(verify(run, trials=1)).values()} == {SAME}
    plain = write_suite(suite.read_text("utf-8").replace('"tuned"', '"plain"'), "plain.toml")
    first = benchmnist.run(plain, device="cpu", executor="inline", out=tmp_path / "runs")
    reused = benchmnist.run(plain, device="cpu", executor="inline", out=tmp_path / "runs", reuse=True)
    assert reused.cases[0].reused_from == f"plain/{first.path.name}"
    assert {*words(verify(reused)).values()} == {SAME}


@pytest.mark.parametrize("version", [1, 2, 3])
def test_runs_of_earlier_formats_are_trained_again(version: int, tmp_path: Path) -> None:
    """Elsewhere, and two years ago: what comes of it depends on the machine."""
    run = shutil.copytree(DATA / f"format-{version}", tmp_path / "run")
    for file in run.rglob("*.json"):  # the first is of all of MNIST
        file.write_text(file.read_text("utf-8").replace('"train_size": null', '"train_size": 1000'), "utf-8")
    found = verify(run, trials=1, seed=0, keyword="fc and sgd and not bn")
    assert [trial.status_again for trial in found.trials] == ["completed"]
    assert None not in (found.trials[0].reported, found.trials[0].again)


def test_what_is_not_drawn_is_named(copied: RunResult) -> None:
    """As of a run that is still running, or was killed."""
    sgd, adam = copied["mnist/cnn/sgd"], copied["mnist/cnn/adam"]
    cut = tuple(trial.model_copy(update={"status": "interrupted"}) for trial in sgd.trials[1:])
    rewrite(copied, sgd.id, trials=(sgd.trials[0], *cut), status="interrupted")
    (copied.path / "cases" / f"{adam.case.file_stem}.json").unlink()
    record = copied.record.model_copy(update={"status": "running"})
    RunFolder(copied.path).write_record(record)
    with RunFolder(copied.path).lock():
        found = verify(copied.path, keyword="cnn and not control")
    assert words(found) == {(sgd.id, 0): SAME}
    assert found.notes == (
        "not drawn: 2 trials (interrupted)",
        "not drawn: 1 case without a result; the run is running",
    )
    (copied.path / "cases" / f"{sgd.case.file_stem}.json").unlink()
    with pytest.raises(BenchmnistError, match="has no trial to verify; not drawn: 2 cases without a result"):
        verify(copied.path, keyword="cnn and not control")


def test_options_that_the_run_decides_are_refused(made: RunResult) -> None:
    options: dict[str, Any] = {"seeds": (1,), "epochs": 3, "engine": "graph", "set": ("defaults.epochs=1",)}
    options |= {"until_told": True, "max_seeds": 5}
    for name, value in options.items():
        with pytest.raises(ValueError, match=f"verify has no option {name}: the run decides it"):
            verify(made, **{name: value})
    with pytest.raises(ValueError, match="trials must be greater than 0, not 0"):
        verify(made, trials=0)
