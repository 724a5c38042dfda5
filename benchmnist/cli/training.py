"""The options of the commands that train, and how these commands are ended."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from benchmnist.cli.options import (
    NamedPath,
    Number,
    block_option,
    data_root_option,
    debug_option,
    offered,
    option,
    together,
)
from benchmnist.execution.interruption import ENDS, interrupted_once
from benchmnist.suites.values import MAX_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

F = TypeVar("F", bound="Callable[..., Any]")

FAILED = 1
INCONCLUSIVE = 3
INTERRUPTED = 130
PROGRESS = ("auto", "lines", "none")


def _assignments(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """The values that override the suite's."""
    from benchmnist.suites.assignments import parse_assignment

    for text in value:
        try:
            parse_assignment(text)
        except ValueError as error:
            if ctx.get_parameter_source(str(param.name)) == ParameterSource.COMMANDLINE:
                raise click.BadParameter(str(error), ctx, param, param_hint=f"--set {text}") from error
            raise click.BadParameter(f"{text}: {error}", ctx, param) from error
    return value


class Assignment(click.types.StringParamType):
    """`KEY=VALUE`. A value may have spaces: the environment variable has one on each line."""

    def split_envvar_value(self, rv: str) -> list[str]:
        """See click.ParamType."""
        return [line.strip() for line in rv.splitlines() if line.strip()]


jobs_option = option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Number of trials to train at the same time.  [default: with local, one per core or per GPU]",
)
timeout_option = option(
    "--timeout",
    type=Number(min=0, min_open=True, max=MAX_TIMEOUT),
    metavar="SECONDS",
    help="Stop a case that takes longer, and continue with the next.",
)


def training_options(function: F) -> F:
    """Adds the options that say where and how to train, and where to keep the results."""
    return together(
        option(
            "--device",
            envvar="BENCHMNIST_DEVICE",
            default="auto",
            show_default=True,
            metavar="auto|cpu|cuda|cuda:N|mps",
            help="Device to train on.",
        ),
        option(
            "--set",
            multiple=True,
            type=Assignment(),
            callback=_assignments,
            metavar="KEY=VALUE",
            help="Override a value of the suite, as TOML: optimizers.adam.lr=0.01. Repeatable.",
        ),
        option(
            "--executor",
            default="local",
            show_default=True,
            shell_complete=offered("executors"),
            help="Where to train: local (worker processes), inline (this process), or a plugin's executor. With a "
            "plugin's executor, --help lists its options too.",
        ),
        jobs_option,
        timeout_option,
        option(
            "--out",
            default="runs",
            show_default=True,
            type=NamedPath(file_okay=False, path_type=Path),
            help="Folder to create the run folder in.",
        ),
        data_root_option,
        option(
            "--checkpoints/--no-checkpoints",
            default=True,
            show_default=True,
            help="Keep the weights of each trial.",
        ),
        block_option,
        option(
            "--progress",
            type=click.Choice(PROGRESS),
            default="auto",
            show_default=True,
            help="How to show progress: as lines, or not at all. auto is live on a terminal, and lines elsewhere.",
        ),
        option("-v", "--verbose", is_flag=True, help="Print the loss of every hundredth step."),
        debug_option,
    )(function)


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[list[int]]:
    """Treats SIGTERM and SIGHUP as interruptions, as Ctrl-C is; it gives a list that then has the signal in it.

    SIGINT is left as it was inherited. A shell starts the background jobs of a script with SIGINT ignored, so that
    Ctrl-C ends the script and not its jobs; those are ended by SIGTERM. SIGHUP stays ignored where nohup did that.
    """
    signals: list[int] = []

    def terminate(number: int, _: FrameType | None) -> None:
        signals.append(number)
        raise KeyboardInterrupt

    previous = {
        number: signal.signal(number, terminate) for number in ENDS if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        with interrupted_once():  # a second one must not end the command before what was trained is shown
            yield signals
    finally:
        for number, handling in previous.items():
            signal.signal(number, handling)


def interrupted_by(signals: Sequence[int]) -> int:
    """Returns the exit code after an interruption: by these signals, or by Ctrl-C."""
    return 128 + signals[0] if signals else INTERRUPTED
