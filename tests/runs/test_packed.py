"""A run as one file: what it has, that it reads as the run did, and what is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import benchmnist
from benchmnist.analysis.analysis import Analysis
from benchmnist.analysis.contradictions import contradictions
from benchmnist.errors import BenchmnistError, StoreError
from benchmnist.planned_run import plan_run
from benchmnist.runs.packed import WITHOUT_CURVES, pack
from benchmnist.runs.store import find_run, load_record, load_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from benchmnist.runs.results import RunResult

SUITE = """
[suite]
name = "sent"

[defaults]
epochs = 2
seeds = 3
train_size = 300
test_size = 100
batch_size = 10
evaluate_every = 10
target_accuracy = 65
baseline = "sgd"

[optimizers.lost]
use = "sgd"
lr = 1e30

[[cases]]
models = ["logistic"]
optimizers = ["sgd", "adam", "lost"]
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = tmp_path_factory.mktemp("sent")
    (folder / "sent.toml").write_text(SUITE, "utf-8")
    return benchmnist.run(folder / "sent.toml", device="cpu", executor="inline", out=folder / "runs")


@pytest.fixture
def packed(ran: RunResult, tmp_path: Path) -> RunResult:
    pack(ran, tmp_path / "all.zip")
    return load_run(tmp_path / "all.zip")


def test_it_is_the_run_without_its_weights(ran: RunResult, packed: RunResult) -> None:
    assert all(trial.checkpoint for result in ran.cases for trial in result.trials if trial.status == "completed")
    dropped = {"cases": {"__all__": {"trials": {"__all__": {"checkpoint"}}}}}
    assert packed.model_dump(exclude={"path", *dropped}) == ran.model_dump(exclude={"path", *dropped})
    for one, other in zip(packed.cases, ran.cases, strict=True):
        assert one.model_dump(exclude={"trials"}) == other.model_dump(exclude={"trials"})
        assert [t.epochs for t in one.trials] == [t.epochs for t in other.trials]
    with zipfile.ZipFile(packed.path) as members:
        stems = ("mnist__logistic__sgd", "mnist__logistic__adam", "mnist__logistic__lost")
        assert members.namelist() == ["run.json", *(f"cases/{stem}.json" for stem in stems)]
    before = packed.path.read_bytes()
    pack(packed, packed.path)
    assert packed.path.read_bytes() == before


def test_without_its_curves_what_is_concluded_from_it_stays(ran: RunResult, packed: RunResult) -> None:
    few = Path("few.zip")
    pack(packed, few, curves=False)
    found = load_run(few)
    kept = [e.step for r in found.cases for t in r.trials for epoch in t.epochs for e in epoch.evaluations]
    assert len(kept) < sum(len(e.evaluations) for r in ran.cases for t in r.trials for e in t.epochs) / 2
    assert WITHOUT_CURVES in found.record.notes
    assert contradictions(found) == contradictions(packed) == []
    ours, theirs = Analysis(found), Analysis(ran)
    assert [each.reached for each in ours.times_to_target] == [each.reached for each in theirs.times_to_target]
    assert [v.word for v in ours.verdicts()] == [v.word for v in theirs.verdicts()] != []
    assert (bool(ours.steps_saved), bool(theirs.steps_saved)) == (False, True)


def test_every_command_reads_it_where_a_run_is_named(
    ran: RunResult, packed: RunResult, invoke: Callable[..., Result]
) -> None:
    file = packed.path
    for command in (["report", file], ["runs", "show", file], ["compare", ran.path, file]):
        shown = invoke(*command)
        assert shown.exit_code == 0, shown.output
        assert "adam" in shown.stdout
    page = invoke("report", file, "--format", "html", "-o", "page.html")
    assert page.exit_code == 0, page.output
    verified = invoke("verify", file, "--trials", "1", "--seed", "1", "--jobs", "1")
    assert verified.exit_code == 0, verified.output
    assert invoke("runs", "rm", file, "--yes").exit_code == 0
    assert not file.exists()


def test_what_is_wrong_with_one_is_said(ran: RunResult, packed: RunResult, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot pack into run\.tar: the name of a packed run ends with \.zip"):
        pack(ran, Path("run.tar"))
    with pytest.raises(BenchmnistError, match="is a packed run, which cannot be resumed"):
        plan_run(ran.path.parents[2] / "sent.toml", benchmnist.RunOptions(resume=packed.path))
    none = tmp_path / "none.zip"
    none.write_text("no zip file", "utf-8")
    with pytest.raises(StoreError, match=r"cannot read .*none\.zip: it is no zip file, or damaged"):
        load_run(none)
    with zipfile.ZipFile(none, "w") as members:
        members.writestr("notes.txt", "hello")
    with pytest.raises(StoreError, match=r"none\.zip is not a packed run: run\.json is missing"):
        load_record(none)
    data = bytearray(packed.path.read_bytes())
    data[len(data) // 2] ^= 1
    packed.path.write_bytes(data)
    with pytest.raises(StoreError, match=r"all\.zip/cases/\S+ is damaged"):
        load_run(packed.path)
    with zipfile.ZipFile(none, "w") as members:
        members.writestr("run.json", (ran.path / "run.json").read_text("utf-8").replace("sent", "lent", 1))
    with pytest.raises(StoreError, match=r"none\.zip/run\.json is damaged \(its checksum does not match\)"):
        load_run(none)
    with pytest.raises(StoreError, match="no run named"):
        find_run("missing.zip", tmp_path)
