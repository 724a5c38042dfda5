"""Run folders of strangers: a file is of the case that was planned, and no name leads out of the folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import benchmnist
from benchmnist.errors import StoreError
from benchmnist.runs.index import remove_run, size_of, stored_runs
from benchmnist.runs.store import RunFolder, find_run, load_run
from benchmnist.suites.cases import LONGEST_STEM, stem_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from benchmnist.runs.results import RunResult

SGD, ADAM = "mnist__fc__sgd.json", "mnist__fc__adam.json"


@pytest.fixture
def run(small_run: RunResult, tmp_path: Path) -> RunResult:
    path = tmp_path / "runs" / "small" / small_run.path.name
    shutil.copytree(small_run.path, path)
    return load_run(path)


def test_a_file_of_another_case_is_not_shown_under_the_planned_name(run: RunResult) -> None:
    sgd, adam = run.path / "cases" / SGD, run.path / "cases" / ADAM
    kept = sgd.read_bytes()
    shutil.copyfile(adam, sgd)
    with pytest.raises(StoreError, match=r"sgd\.json is damaged \(it is of the case mnist/fc/adam, and should be"):
        load_run(run.path)
    adam.write_bytes(kept)  # swapped: each is the other
    RunFolder(run.path).set_aside(run.record.plan)
    assert {file.name for file in (run.path / "cases").iterdir()} == {f"{SGD}.replaced", f"{ADAM}.replaced"}


@pytest.mark.parametrize(("change", "what"), [({"epochs": 9}, "epochs differ"), ({"seeds": (0, 7)}, "the seed 7")])
def test_a_file_of_another_run_is_not_shown(run: RunResult, change: dict[str, object], what: str) -> None:
    result = run["mnist/fc/sgd"]
    other = result.model_copy(update={"case": result.case.model_copy(update=change)})
    RunFolder(run.path).write_case(other)
    with pytest.raises(StoreError, match=rf"sgd\.json is damaged \(.*{what}"):
        load_run(run.path)


def test_only_planned_results_count_and_missing_ones_are_said(
    run: RunResult, invoke: Callable[..., Result]
) -> None:
    cases = run.path / "cases"
    shutil.copyfile(cases / SGD, cases / "foreign.json")
    (cases / SGD).rename(cases / "mnist__fc__SGD.json")
    (listed,) = stored_runs(run.path.parents[1])
    assert (listed.done, listed.planned) == (1, 2)
    shown = invoke("report", run.path)
    assert shown.exit_code == 0
    assert "the run completed, but lacks 1 of its 2 results" in shown.stdout


def test_two_cases_of_one_name_are_no_plan(run: RunResult) -> None:
    plan = (run.record.plan[0], run.record.plan[0])
    RunFolder(run.path).write_record(run.record.model_copy(update={"plan": plan}))
    with pytest.raises(StoreError, match=r"run\.json is damaged \(plan: .*two cases have the file mnist__fc__sgd"):
        load_run(run.path)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "checkpoints/../../secret", r"checkpoints/..\secret"]
)
def test_a_checkpoint_elsewhere_is_no_record(run: RunResult, name: str) -> None:
    result = run["mnist/fc/sgd"]
    trials = tuple(trial.model_copy(update={"checkpoint": name}) for trial in result.trials)
    RunFolder(run.path).write_case(result.model_copy(update={"trials": trials}))
    with pytest.raises(StoreError, match=r"sgd\.json is damaged \(trials\.0\.checkpoint"):
        load_run(run.path)


def test_a_checkpoint_that_links_elsewhere_is_not_copied(run: RunResult, write_suite: Callable[..., Path]) -> None:
    secret = run.path.parents[2] / "secret"
    secret.write_text("private", "utf-8")
    for trial in run["mnist/fc/sgd"].trials:
        weights = run.path / str(trial.checkpoint)
        weights.unlink()
        weights.symlink_to(secret)
    again = benchmnist.run(write_suite(), device="cpu", executor="inline", reuse=True)
    assert all(case.reused_from for case in again.cases)
    assert not any(file.read_bytes() == b"private" for file in again.path.rglob("*") if file.is_file())


@pytest.mark.parametrize("name", ["session.log", "plots", "worker.log", "checkpoints"])
def test_nothing_is_written_where_a_link_leads(run: RunResult, name: str) -> None:
    elsewhere = run.path.parents[2] / "elsewhere"
    elsewhere.mkdir()
    if (run.path / name).is_dir():
        shutil.rmtree(run.path / name)
    (run.path / name).unlink(missing_ok=True)
    (run.path / name).symlink_to(elsewhere / "file")
    with pytest.raises(StoreError, match=f"{name} is a link, and a run folder has none; remove it"):
        benchmnist.write_report(run)
    with pytest.raises(StoreError, match=f"{name} is a link"), RunFolder(run.path).lock():
        pass
    assert [*elsewhere.iterdir()] == []


@pytest.mark.parametrize("folder", ["cases", "trials"])
def test_a_result_that_is_a_link_is_read_and_nothing_is_written_beside_it(
    run: RunResult, write_suite: Callable[..., Path], folder: str
) -> None:
    elsewhere = run.path.parents[2] / "result"
    (run.path / "cases" / SGD).rename(elsewhere)
    (run.path / folder).mkdir(exist_ok=True)
    (run.path / folder / SGD).symlink_to(elsewhere)
    assert [case.id for case in load_run(run.path).cases] == ["mnist/fc/sgd"][: folder == "cases"] + [
        case.id for case in run.cases[1:]
    ]
    with pytest.raises(StoreError, match=f"{SGD} is a link, and a run folder has none; remove it"):
        benchmnist.run(write_suite(), device="cpu", executor="inline", resume=True)
    assert (run.path / folder / SGD).is_symlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system")
def test_what_is_no_file_is_told_and_the_other_runs_are_listed(
    run: RunResult, invoke: Callable[..., Result]
) -> None:
    def replace_by(make: Callable[[Path], object], of: str = "run.json") -> Path:
        path = run.path.with_name(f"20200101-000000-{len([*run.path.parent.iterdir()]):04}")
        shutil.copytree(run.path, path)
        (path / of).unlink()
        make(path / of)
        return path

    zero = replace_by(lambda file: file.symlink_to("/dev/zero"))
    damaged = [
        replace_by(os.mkfifo),
        replace_by(Path.mkdir),
        replace_by(lambda file: file.symlink_to(file)),
        replace_by(lambda file: file.write_text('{"schema_version": ' + "9" * 5000 + "}", "utf-8")),
        replace_by(lambda file: file.write_text("[" * 100_000, "utf-8")),
    ]
    piped = replace_by(os.mkfifo, f"cases/{SGD}")
    listed = {each.path: each.status for each in stored_runs(run.path.parents[1])}
    assert listed.pop(run.path) == listed.pop(piped) == "completed"
    assert {*listed.values()} == {"damaged"}
    assert {zero, damaged[0], damaged[3], damaged[4]} <= {*listed}
    for path in (zero, *damaged, piped):
        done = invoke("report", path)
        assert done.exit_code == 2
        assert done.stderr.startswith("error: ")
        assert len(done.stderr) < 600
    assert invoke("runs").exit_code == 0


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 3000, "a\0b", "\udcff"])
def test_a_name_that_no_file_can_have(name: str, invoke: Callable[..., Result]) -> None:
    with pytest.raises(StoreError):
        find_run(name, Path("runs"))
    if "\0" not in name and name.isprintable():
        for command in (
            ("report", name),
            ("runs", "--out", name),
            ("run", name),
            ("compare", name, name),
            ("new-plugin", name),
        ):
            done = invoke(*command)
            assert done.exit_code in (0, 2)
            assert done.exception is None or isinstance(done.exception, SystemExit)


def test_a_file_that_vanishes_while_it_is_counted_does_not_count(
    run: RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, lstat = size_of(run.path), os.lstat
    gone = run.path / "cases" / ".abcd.tmp"
    gone.write_text("x" * 1000, "utf-8")

    def vanishing(path: Path) -> os.stat_result:
        gone.unlink(missing_ok=True)
        return lstat(path)

    monkeypatch.setattr(os, "lstat", vanishing)
    assert size_of(run.path) == size


def test_a_run_with_a_link_in_it_is_removed_and_what_it_leads_to_is_not(run: RunResult) -> None:
    elsewhere = run.path.parents[2] / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").write_text("", "utf-8")
    (run.path / "checkpoints" / "more").symlink_to(elsewhere)
    remove_run(run.path)
    assert not run.path.exists()
    assert (elsewhere / "mine").exists()


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.integers(1, 30))
def test_every_name_has_a_stem_that_is_a_file_name(text: str, times: int) -> None:
    stem = stem_of(text * times)
    assert len(stem.encode()) <= LONGEST_STEM
    assert "/" not in stem
    assert stem.isprintable() or not text.isprintable()
    assert stem_of(text * times + "!") != stem


def test_long_names_and_long_lists_have_files(write_suite: Callable[..., Path]) -> None:
    name = "a" * 120
    text = f"""
    [suite]
    name = "long"
    [defaults]
    epochs = 1
    train_size = 50
    test_size = 50
    [optimizers.{name}]
    use = "sgd"
    sweep = {{ lr = [0.1, 0.2] }}
    [models.{name}]
    use = "logistic"
    [[cases]]
    models = ["{name}"]
    optimizers = ["{name}"]
    """
    result = benchmnist.run(write_suite(text), device="cpu", executor="inline")
    assert result.record.status == "completed"
    assert all((result.path / str(case.trials[0].checkpoint)).is_file() for case in result.cases)
    benchmnist.write_report(result)  # whose pictures have names of their own
    assert [case.id for case in load_run(result.path).cases] == [case.id for case in result.record.plan]
