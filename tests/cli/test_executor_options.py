"""The options that a plugin's executor brings to `benchmnist run`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import benchmnist

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

ODD = """
from benchmnist import ExecutorOption, ExecutorSpec, hookimpl
from benchmnist.errors import BenchmnistError
from benchmnist.executors.inline import InlineExecutor

class OddExecutor(InlineExecutor):
    def __init__(self, workplace, *, where, num_parts, share):
        if share > 1:
            raise BenchmnistError(f"--odd-share should be at most 1, not {share:g}")
        super().__init__(workplace)
        self.said = f"{where!r} {num_parts!r} {share!r}"

    def execute(self, tasks):
        for task, step in super().execute(tasks):
            if hasattr(step, "remarks"):
                step = step.model_copy(update={"remarks": (self.said,)})
            yield task, step

@hookimpl
def benchmnist_executors():
    options = (
        ExecutorOption(name="where", summary="Where it is."),
        ExecutorOption(name="num_parts", summary="How many.", type=int),
        ExecutorOption(name="share", summary="How much.", type=float, default=0.5),
    )
    return [ExecutorSpec(name="odd", summary="is odd", build=OddExecutor, options=options, remote=True)]
"""


@pytest.fixture
def run(
    invoke: Callable[..., Result], write_suite: Callable[..., Path], install_plugin: Callable[..., None]
) -> Callable[..., Result]:
    install_plugin("odd", ODD)
    path = write_suite()

    def invoked(*options: str, env: dict[str, str | None] | None = None) -> Result:
        return invoke("run", path, "--device=cpu", "--seeds=1", "--epochs=1", "-k", "adam", *options, env=env)

    return invoked


def said(done: Result) -> str:
    assert done.exit_code == 0, done.output
    (remark,) = benchmnist.load_run("runs").cases[0].remarks
    return remark


def test_they_are_said_as_any_other_option(run: Callable[..., Result]) -> None:
    assert said(run("--executor=odd")) == "None None 0.5"
    assert said(run("--executor", "odd", "--odd-where", "there", "--odd-num-parts=3")) == "'there' 3 0.5"
    environment: dict[str, str | None] = {"BENCHMNIST_RUN_EXECUTOR": "odd", "BENCHMNIST_ODD_NUM_PARTS": "4"}
    assert said(run("--odd-share=1", env=environment)) == "None 4 1.0"
    Path("pyproject.toml").write_text(
        '[tool.benchmnist.run]\nexecutor = "odd"\nodd-where = "here"\nodd_share = 0.25\n', "utf-8"
    )
    assert said(run(env={"BENCHMNIST_ODD_SHARE": "0.75"})) == "'here' None 0.75"
    assert run("--executor=inline").exit_code == 0  # for which they are not meant


def test_help_lists_them(run: Callable[..., Result]) -> None:
    assert "--odd-where" not in run("--help").output
    shown = run("--executor=odd", "--help").output
    assert re.search(r"--odd-num-parts INTEGER +How many\. +\[env var:\s+BENCHMNIST_ODD_NUM_PARTS\]", shown)
    assert re.search(r"--odd-share FLOAT[^\[]*\[env var:\s+BENCHMNIST_ODD_SHARE;\s+default: 0\.5\]", shown)
    assert shown.rstrip().endswith("Show this message and exit.")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--odd-where=x"], "error: --odd-where is an option of the executor odd; add --executor odd"),
        (
            ["--executor=local", "--odd-where=x"],
            "error: --odd-where is an option of the executor odd; add --execu",
        ),
        (["--executor=odd", "--odd-wher=x"], "error: no option named '--odd-wher'. Did you mean '--odd-where'?"),
        (["--executor=odd", "--odd-num-parts=x"], "error: --odd-num-parts: must be a whole number, not 'x'"),
        (["--executor=odd", "--odd-share=2"], "error: --odd-share should be at most 1, not 2"),
        (["--executor=ood"], "error: no executor named 'ood'. Did you mean 'odd'?"),
        (["--executor=odd", "--block=odd"], "no executor named 'odd'"),
        (["--executor=odd", "--block=nothing"], "error: no plugin named 'nothing'."),
    ],
)
def test_what_is_wrong_is_one_line(run: Callable[..., Result], options: list[str], message: str) -> None:
    done = run(*options)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("runs").exists()


def test_an_unknown_key_in_pyproject_is_still_unknown(run: Callable[..., Result]) -> None:
    Path("pyproject.toml").write_text('[tool.benchmnist.run]\nodd-wher = "here"\n', "utf-8")
    assert "unknown option. Did you mean 'odd-where'?" in run().stderr


def test_of_a_remote_executor_the_device_need_not_be_here(run: Callable[..., Result]) -> None:
    done = run("--executor=odd", "--device=cuda", "--dry-run")
    assert done.exit_code == 0, done.output
    assert "of training on cuda:0" in done.stdout
