"""Run folders that contradict themselves: `benchmnist.verify` names what is wrong, and trains nothing."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from forging import rewrite, with_epochs, with_trials

import benchmnist
from benchmnist.analysis.contradictions import contradictions
from benchmnist.errors import StoreError
from benchmnist.runs.store import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    from benchmnist.runs.results import CaseResult, EpochResult, RunResult, TrialResult

    Forgery = Callable[[CaseResult], dict[str, Any]]

ADAM, SGD = "mnist/fc/adam", "mnist/fc/sgd"


@pytest.fixture
def copied(small_run: RunResult, tmp_path: Path) -> RunResult:
    """A copy of a real run, to change: two cases with the seeds 0 and 1, two epochs each."""
    return benchmnist.load_run(shutil.copytree(small_run.path, tmp_path / "runs" / "small" / small_run.path.name))


def of_seed_1(change: Callable[[TrialResult], dict[str, Any]]) -> Forgery:
    return lambda result: with_trials(result, lambda trial: change(trial) if trial.seed == 1 else {})


def in_epoch_1(**update: Any) -> Forgery:
    """Of seed 1."""

    def change(seed: int, epoch: EpochResult) -> dict[str, Any]:
        metrics = {"metrics": epoch.metrics | update["metrics"]} if "metrics" in update else {}
        return update | metrics if (seed, epoch.epoch) == (1, 1) else {}

    return lambda result: with_epochs(result, change)


def in_case(**update: Any) -> Forgery:
    return lambda result: {"case": result.case.model_copy(update=update)}


FORGERIES: list[tuple[Forgery, str]] = [
    (in_epoch_1(metrics={"test_accuracy": 111.0}), "epoch 1: test_accuracy is 111.0, not between 0 and 100"),
    (in_epoch_1(metrics={"test_accuracy": -1.0}), "epoch 1: test_accuracy is -1.0, not between 0 and 100"),
    (in_epoch_1(metrics={"test_accuracy": float("nan")}), "epoch 1: test_accuracy is nan"),
    (in_epoch_1(metrics={"test_loss": -0.1}), "epoch 1: a loss is -0.1, and a cross-entropy is not negative"),
    (in_epoch_1(train_loss=-0.5), "epoch 1: a loss is -0.5, and a cross-entropy is not negative"),
    (in_epoch_1(train_loss=float("inf")), "completed with a loss of inf"),
    (in_epoch_1(seconds=0.0), "epoch 1: seconds is 0.0"),
    (in_epoch_1(seconds=float("nan")), "epoch 1: seconds is nan"),
    (in_epoch_1(reference_seconds=-1.0), "epoch 1: reference_seconds is -1.0"),
    (in_epoch_1(epoch=2), "its epochs are not 1 to 2"),
    (of_seed_1(lambda _: {"setup_seconds": -1.0}), "setup_seconds is -1.0"),
    (of_seed_1(lambda trial: {"epochs": trial.epochs[:1]}), "completed with 1 epoch of 2"),
    (of_seed_1(lambda trial: {"epochs": trial.epochs * 2}), "its epochs are not 1 to 2"),
    (of_seed_1(lambda _: {"status": "diverged"}), "completed, with a trial that is diverged"),
    (of_seed_1(lambda _: {"status": "crashed"}), "completed, with a trial that is crashed"),
    (of_seed_1(lambda _: {"seed": 0}), "it has trials of the seeds 0, 0, and is a case of the seeds 0, 1"),
    (of_seed_1(lambda _: {"seed": 2}), "it has trials of the seeds 0, 2, and is a case of the seeds 0, 1"),
    (lambda result: {"trials": result.trials[:1]}, "completed with 1 trial of 2 seeds"),
    (
        lambda result: {"trials": (result.trials[0], result.trials[0].model_copy(update={"seed": 1}))},
        "the seeds 0 and 1 have the same figures, bit for bit",
    ),
    (lambda _: {"wall_seconds": -1.0}, "wall_seconds is -1.0"),
    (lambda _: {"status": "interrupted"}, "the run completed without a result of it"),
    (lambda _: {"misses": ("expected accuracy >= 99",)}, "it reports a miss, and misses nothing"),
    (in_case(expect={"accuracy": ">= 99"}), "expected accuracy >= 99, got "),
]


@pytest.mark.parametrize(("forgery", "said"), FORGERIES, ids=[said for _, said in FORGERIES])
def test_what_cannot_be_true_is_named_though_key_plan_and_checksum_fit(
    copied: RunResult, forgery: Forgery, said: str
) -> None:
    found = contradictions(rewrite(copied, ADAM, **forgery(copied[ADAM])))
    assert {each.case_id for each in found} == {ADAM}
    assert [each for each in found if each.text.startswith(said)]


def test_metrics_that_were_deleted_are_missed(copied: RunResult) -> None:
    fewer = with_epochs(copied[ADAM], lambda _, epoch: {"metrics": {"test_loss": epoch.metrics["test_loss"]}})
    found = contradictions(rewrite(copied, ADAM, **fewer))
    assert [(each.seed, each.text) for each in found] == [
        (seed, "completed without a test accuracy after every epoch") for seed in (0, 1)
    ]


def test_a_divergence_needs_a_loss_that_is_not_finite(copied: RunResult) -> None:
    """A bad seed cannot be turned into one that diverged, and a diverged one lost its metrics."""
    trials = of_seed_1(lambda trial: {"status": "diverged", "epochs": trial.epochs[:1]})(copied[ADAM])
    found = contradictions(rewrite(copied, ADAM, status="diverged", **trials))
    assert [each.text for each in found] == ["diverged without a loss that is not finite in its last epoch"]


@pytest.mark.parametrize(
    "forgery",
    [
        in_case(seeds=(0,)),
        in_case(batch_size=10),
        lambda result: {"environment": result.environment | {"torch": "1.0"}},
        lambda result: {"environment": result.environment | {"device_name": "an abacus"}},
        lambda _: {"key": ""},
    ],
)
def test_a_key_that_does_not_fit_its_content_is_named(copied: RunResult, forgery: Forgery) -> None:
    """Where the plan was changed with the file."""
    update = forgery(copied[ADAM])
    plan = tuple(update.get("case", case) if case.id == ADAM else case for case in copied.record.plan)
    RunFolder(copied.path).write_record(copied.record.model_copy(update={"plan": plan}))
    if update.get("case") and len(update["case"].seeds) == 1:
        update["trials"] = copied[ADAM].trials[:1]
    found = contradictions(rewrite(copied, ADAM, planned=False, **update))
    assert [each.case_id for each in found] == [ADAM]
    assert "does not fit its content" in found[0].text


@pytest.mark.parametrize("change", [{"batch_size": 10}, {"baseline": "adam"}, {"target_accuracy": 50.0}])
def test_a_plan_that_differs_from_its_results_is_named(copied: RunResult, change: dict[str, Any]) -> None:
    plan = tuple(case.model_copy(update=change) if case.id == SGD else case for case in copied.record.plan)
    RunFolder(copied.path).write_record(copied.record.model_copy(update={"plan": plan}))
    with pytest.raises(
        StoreError, match=f"sgd.json is damaged .it is of another {SGD}: {next(iter(change))} diff"
    ):
        benchmnist.load_run(copied.path)


def test_the_file_of_a_bad_case_cannot_be_replaced_or_deleted(copied: RunResult) -> None:
    files = {case: copied.path / "cases" / f"mnist__fc__{case}.json" for case in ("sgd", "adam")}
    text = files["adam"].read_bytes()
    files["adam"].write_bytes(files["sgd"].read_bytes())
    with pytest.raises(
        StoreError, match=f"adam.json is damaged .it is of the case {SGD}, and should be of {ADAM}"
    ):
        benchmnist.load_run(copied.path)
    files["adam"].write_bytes(text)
    files["sgd"].unlink()
    assert contradictions(benchmnist.load_run(copied.path)) == [
        (SGD, None, "the run completed without a result of it")
    ]


def test_a_contradiction_ends_with_1_before_any_training(invoke: Callable[..., Result], copied: RunResult) -> None:
    """In a trial that need not be drawn; other cases can be verified still."""
    rewrite(copied, ADAM, **in_epoch_1(metrics={"test_accuracy": 111.0})(copied[ADAM]))
    done = invoke("verify", copied.path, "--trials", 1)
    assert done.exit_code == 1, done.output
    assert " ".join(done.stdout.split()) == (
        f"{ADAM} seed 1: epoch 1: test_accuracy is 111.0, not between 0 and 100 "
        "not consistent: the run contradicts itself (1 time); nothing was trained"
    )
    assert done.stderr == ""
    found = invoke("verify", copied.path, "--format", "json")
    assert '"contradictions": [\n  {\n   "case_id": "mnist/fc/adam",\n   "seed": 1,' in found.stdout
    page = invoke("verify", copied.path, "--format", "markdown").stdout
    assert page.startswith("### Verification: not consistent: the run contradicts itself (1 time); nothing")
    assert f"\n- {ADAM} seed 1: epoch 1" in page.replace("\\", "")


def test_another_metric_than_that_of_its_task_cannot_judge_a_case(copied: RunResult) -> None:
    """With the loss first, a false accuracy would not be looked at where the bits may differ."""
    case = copied[ADAM].case.model_copy(update={"evaluates": copied[ADAM].case.evaluates[::-1]})
    found = benchmnist.verify(rewrite(copied, ADAM, case=case), keyword="adam", trials=1)
    assert [trial.reason for trial in found.trials] == [
        "it is judged by test loss in the run, by test accuracy here"
    ]


def test_a_run_that_added_seeds_until_told_is_verified(write_suite: Callable[..., Path], tmp_path: Path) -> None:
    run = benchmnist.run(
        write_suite(),
        until_told=True,
        max_seeds=4,
        set=("defaults.train_size=100", "defaults.epochs=1"),
        executor="inline",
        out=tmp_path / "runs",
        checkpoints=False,
    )
    found = benchmnist.verify(run, trials=2, executor="inline")
    assert {trial.word for trial in found.trials} == {"the same, bit for bit"}
    assert found.pool == sum(len(case.seeds) for case in run.record.plan)
