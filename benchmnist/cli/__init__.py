"""The command line: one small file a command, loaded when it is called.

Results go to standard output, progress and errors to standard error. Exit codes: 0 all fine; 1 a case failed or
missed what is expected of it, the gate found one slower or worse, or verify found a trial that is not consistent;
2 the command line or the suite is wrong and nothing was trained; 3 the gate or verify had something that was
inconclusive or that it could not compare, or versus could not tell optimizers apart; 130 interrupted; 143
terminated.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib.util
import sys
import traceback
from typing import Any

import click

from benchmnist.cli.errors import COMMAND_ALIASES, USAGE_ERROR, Group, complain, one_line_each, with_source
from benchmnist.cli.options import DEBUG
from benchmnist.cli.pyproject import pyproject_defaults
from benchmnist.cli.streams import run_with_streams_that_may_fail
from benchmnist.errors import BenchmnistError, SuiteError, first_line
from benchmnist.suites.values import shown

COMMANDS = (
    "run",
    "tune",
    "versus",
    "report",
    "compare",
    "docs",
    "runs",
    "verify",
    "gate",
    "plugins",
    "suites",
    "new-suite",
    "describe",
    "check",
    "new-plugin",
    "doctor",
)
INTERRUPTED = 130


class Commands(Group):
    """Imports a command when it is asked for, and turns every error into one red line."""

    aliases = COMMAND_ALIASES

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Returns the commands in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The attribute `command` of the module that is named as the command is."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"benchmnist.cli.{cmd_name.replace('-', '_')}").command
        return command

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Reads its own options."""
        with one_line_each():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command; an error is one line, and a traceback only with --debug."""
        try:
            with one_line_each(ctx):
                ctx.default_map = pyproject_defaults(self, ctx)
                return super().invoke(ctx)
        except BenchmnistError as error:
            if ctx.meta.get(DEBUG):
                raise
            problems = error.problems if isinstance(error, SuiteError) else [error]
            for problem in problems:
                complain(str(problem) if isinstance(error, SuiteError) else with_source(str(problem), ctx))
            ctx.exit(USAGE_ERROR)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)
        except (ImportError, OSError) as error:
            if ctx.meta.get(DEBUG):
                raise
            if _of_torch(error):
                complain(
                    f"torch cannot be imported: {first_line(error)}; install it again "
                    "(pip install --force-reinstall torch)"
                )
            elif isinstance(error, OSError) and error.filename is not None:
                complain(f"cannot use {shown(str(error.filename))}: {error.strerror}")
            else:
                raise
            ctx.exit(USAGE_ERROR)


@click.command(
    "benchmnist",
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "BENCHMNIST"},
)
@click.version_option(package_name="benchmnist", message="benchmnist %(version)s")
def cli() -> None:
    """Compare optimizers and models on MNIST: which is better, by how much, and at what cost.

    Each option can also be set by an environment variable (BENCHMNIST_RUN_EPOCHS=2) or in the nearest
    pyproject.toml ([tool.benchmnist.run], epochs = 2). The device, the data root and the blocked plugins are
    shared by all commands: BENCHMNIST_DEVICE, BENCHMNIST_DATA, BENCHMNIST_BLOCK, or [tool.benchmnist]. The
    command line overrides the environment, which overrides pyproject.toml.
    """


def _of_torch(error: BaseException) -> bool:
    """Tells whether an error comes from the import of torch."""
    if "torch" in sys.modules:
        return False
    spec = importlib.util.find_spec("torch")
    folders = tuple(spec.submodule_search_locations or ()) if spec else ()
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    return getattr(error, "name", None) == "torch" or any(file.startswith(folders) for file in files)


def main() -> None:
    """The entry point `benchmnist`."""
    try:
        run_with_streams_that_may_fail(_main)
    finally:
        gc.freeze()  # else its end looks for garbage among all that was imported: half a second


def _main() -> None:
    with contextlib.suppress(AttributeError, OSError, ValueError):  # standard error is somebody's own
        faulthandler.enable()  # a plugin in C may crash: it is then said in which line of whose code
    cli(prog_name="benchmnist")
