"""Text of others, on its way to the terminal by each command."""

from __future__ import annotations

import io
import re
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hostile import EVIL, run_with_everything, spoiled
from markdown_it import MarkdownIt

from benchmnist.analysis.contradictions import Contradiction
from benchmnist.analysis.gate import GateVerdict
from benchmnist.analysis.reproduction import Reproduction
from benchmnist.cli import check, doctor, plugins
from benchmnist.cli.display import Display
from benchmnist.doctor.lines import Line, Report
from benchmnist.extensions.registry import Plugin
from benchmnist.metrics import PRIMARY
from benchmnist.reports.gate import markdown_summary, rich_verdicts
from benchmnist.reports.terminal import Console
from benchmnist.reports.verification import json_verification, markdown_verification, rich_verification
from benchmnist.runs.store import RunFolder
from benchmnist.testing.checks import Check, Outcome
from benchmnist.text import HIDDEN, cause_of
from benchmnist.verifier import Verification

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

ALL = "".join(EVIL)


def refuse_control(text: str) -> None:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\n", "")
    assert not HIDDEN.search(plain), ascii(HIDDEN.sub("<<<\\g<0>>>>", plain))


def outcome(state: str) -> Any:
    return Outcome(Check(ALL, f"a {ALL}", f"b {ALL}", lambda _: None), state, ALL)  # type: ignore[arg-type]


def test_what_commands_print() -> None:
    verdicts = [GateVerdict(f"{ALL}::{i}{ALL}", "not comparable", reason=ALL, advice=(ALL,)) for i in range(2)]
    trial = Reproduction(ALL, 0, PRIMARY, "cannot be checked", reason=ALL, status=ALL, status_again=ALL)
    verified = Verification(Path(f"runs/{ALL}"), 1, 1, (trial,), notes=(ALL,))
    contradicted = Verification(Path("x"), 1, 1, (), (Contradiction(ALL, None, ALL),))
    lines = [
        Line(
            name=ALL, state="problem", said=ALL, part="tried", promise=ALL, remedy=ALL, last_words=f"{ALL}\n{ALL}"
        ),
        Line(name=ALL, state="ok", said=ALL, remedy=ALL),
    ]
    told = [Plugin(ALL, ALL, ALL), Plugin(ALL, ALL, ALL, error=ALL), Plugin(ALL, ALL, ALL, notes=(ALL,))]
    output = io.StringIO()
    console = Console(file=output, width=80, force_terminal=True)
    for shown in (
        rich_verdicts(verdicts),
        *map(rich_verification, (verified, contradicted)),
        *(doctor._line(line, 80) for line in lines),
        *(check._line(outcome(state)) for state in ("kept", "missed", "does not apply")),
        *map(plugins._state, told),
    ):
        console.print(shown)
    display, run = Display(console, verbose=True), spoiled(run_with_everything(), ALL, at_end=False)
    display.path = run.path
    for result in run.cases:
        display.case_started(result.case)
        for trial_result in result.trials:
            for epoch in trial_result.epochs:
                stepped = epoch.model_copy(update={"step_losses": ((1, 1.0),)})
                display.epoch_ended(result.case, trial_result.seed, stepped)
        display.case_ended(result)
    refuse_control(output.getvalue())
    assert ":smile:" in output.getvalue()
    for json in (json_verification(verified), Report(device="cpu", lines=tuple(lines)).json_text()):
        assert json.isascii()
        refuse_control(json)
    for document in (markdown_summary(verdicts, 0.1), *map(markdown_verification, (verified, contradicted))):
        tokens = MarkdownIt("commonmark").enable("table").parse(document)
        kinds = {kind.type for token in tokens for kind in (token, *(token.children or ()))}
        assert not kinds & {
            "html_block",
            "html_inline",
            "link_open",
            "image",
            "fence",
            "code_inline",
            "strong_open",
        }
        assert sum(token.type == "heading_open" for token in tokens) == 1
        refuse_control(document)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a stranger: a file has no name with / or a NUL, and none that is too long."""
    evil = "[bold]\x1b[31m\u202e\n# <b>`|$"
    path = tmp_path_factory.mktemp("stranger") / "runs" / "made-up" / "20261124-000000-aaaa"
    run = spoiled(run_with_everything(), evil, at_end=True)
    folder = RunFolder(path)
    folder.make()
    folder.write_record(run.record)
    for result in run.cases:
        folder.write_case(result)
    return path


COMMANDS = (
    *(f"report RUN --format {form}" for form in ("rich", "markdown", "csv", "latex", "json")),
    *(f"report RUN --show {part}" for part in ("findings", "verdicts", "ranks", "targets", "tuning", "models")),
    "report RUN --group-by model --columns status,params --format markdown",
    "report RUN --about nosuch",
    "report RUN --show plots --plots pictures --format markdown --about rate",
    "runs --out OUT",
    "runs show RUN",
    "runs prune --older-than 1 --dry-run --out OUT",
    "compare RUN RUN",
    "compare RUN RUN --format markdown",
    "compare RUN RUN --metrics nosuch",
    "gate RUN RUN --on accuracy",
    "gate RUN RUN --on accuracy --markdown",
    "verify RUN --trials 1",
    "describe [/x]\x1b[31m",
    "check [/x]\x1b[31m",
    "report [/x]\x1b[31m",
    "run [/x]\x1b[31m.toml",
)


@pytest.mark.parametrize("command", COMMANDS, ids=ascii)
def test_the_run_of_a_stranger(invoke: Callable[..., Result], stored: Path, command: str) -> None:
    words = {"RUN": str(stored), "OUT": str(stored.parents[1])}
    done = invoke(*(words.get(word, word) for word in command.split(" ")))
    assert done.exception is None or isinstance(done.exception, SystemExit), traceback.format_exception(
        done.exception
    )
    refuse_control(done.stdout)
    refuse_control(done.stderr)
    assert done.stdout or done.stderr


def raised(function: Callable[[], Any]) -> str:
    try:
        function()
    except BaseException:  # noqa: BLE001 - SyntaxError and groups, too
        return traceback.format_exc()
    raise AssertionError


def chained() -> None:
    try:
        raise KeyError("first")
    except KeyError as error:
        raise RuntimeError("Error(s) in loading:\n    Missing key\nTraceback of another") from error


def grouped() -> None:
    raise ExceptionGroup("several", [ValueError("one\ntwo"), ValueError("three")])


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (raised(lambda: int("x\ny")), "ValueError: invalid literal for int() with base 10: 'x\\ny'"),
        (raised(chained), "RuntimeError: Error(s) in loading:"),
        (raised(grouped), "ExceptionGroup: several (2 sub-exceptions)"),
        (raised(lambda: compile("x = = 3", "x.py", "exec")), "SyntaxError: invalid syntax"),
        (
            raised(lambda: SimpleNamespace().x.y),
            "AttributeError: 'types.SimpleNamespace' object has no attribute 'x'",
        ),
        ("Traceback (most recent call last):\n  File\nValueError: \n\n  what\n", "ValueError: what"),
        ("Traceback (most recent call last):\n", "Traceback (most recent call last):"),
        ("\nkilled by SIGKILL\nTraceback (most recent call last):\nValueError: x", "killed by SIGKILL"),
        ("", ""),
    ],
)
def test_of_an_error_the_line_that_says_what_went_wrong(error: str, cause: str) -> None:
    assert cause_of(error) == cause
