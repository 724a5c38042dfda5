"""Keeping a text in a file, or in a block of somebody's document: what `report` and `compare` share."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import click
from click.core import ParameterSource

from benchmnist.cli.options import NamedPath, option, together
from benchmnist.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

F = TypeVar("F", bound="Callable[..., Any]")
STALE = 1
NOT_KEPT = {"output", "update", "name", "check", "create", "debug", "out"}
"""Options that say where to, not what: the comment of a block keeps the others that were typed."""
AT_ONCE = 1_000_000  # characters that are printed: a page of many cases has more, and is encoded in pieces


def document_options(function: F) -> F:
    """--output, --update, --name, --create and --check."""
    return together(
        option(
            "-o",
            "--output",
            only_typed=True,
            type=NamedPath(dir_okay=False, path_type=Path),
            help="Write to this file instead of standard output.",
        ),
        option(
            "--update",
            only_typed=True,
            type=NamedPath(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Replace the text between <!-- benchmnist:start --> and <!-- benchmnist:end --> in FILE.",
        ),
        option("--create", is_flag=True, help="With --update: create FILE if it does not exist."),
        option("--name", default="", help="With --update: replace the block <!-- benchmnist:start NAME -->."),
        option(
            "--check",
            is_flag=True,
            help="Write nothing; exit with 1 if --update or --output would change the file.",
        ),
    )(function)


class Document:
    """The destination of a text: a file, a block of one, or standard output.

    Raises:
        click.UsageError: if the options do not go together.
    """

    def __init__(
        self, output: Path | None, update: Path | None, name: str, *, check: bool, create: bool = False
    ) -> None:
        if update and output:
            raise click.UsageError("--update and --output exclude each other; remove one")
        if check and not (update or output):
            raise click.UsageError("--check needs a file to compare with; pass --update or --output")
        if name and not update:
            raise click.UsageError("--name needs the file that has the block; pass --update")
        if create and (not update or check):
            raise click.UsageError("--create needs --update, and no --check")
        self.file, self.name, self.check = update or output, name if update else None, check
        if update and not update.exists() and not create and not _may_create(update, check=check):
            raise click.BadParameter(
                f"{visible(str(update))} does not exist; add --create to create it", param_hint="--update"
            )

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Returns the destination that the options of `document_options` name; raises as the constructor does."""
        flags = {name: options[name] for name in ("check", "create")}
        return cls(options["output"], options["update"], options["name"], **flags)

    @property
    def is_rst(self) -> bool:
        """True for a block in reStructuredText."""
        from benchmnist.reports.document_blocks import is_rst

        return self.name is not None and self.file is not None and is_rst(self.file)

    @property
    def folder(self) -> Path:
        """The folder that the links of the text are relative to."""
        return self.file.parent if self.file else Path()

    def link(self, file: Path) -> str:
        """Returns the link of the text to a file."""
        return os.path.relpath(file, self.folder).replace(os.sep, "/")

    def keep(self, text: str) -> None:
        """Writes the text, or only looks whether it is there already, or prints it."""
        from benchmnist.reports.document_blocks import begun, read_document, replaced
        from benchmnist.runs.files import write_named_file

        if self.file is None:
            for start in range(0, len(text), AT_ONCE):
                click.echo(text[start : start + AT_ONCE], nl=False)
            return
        exists = self.file.is_file() if self.name is None else os.path.lexists(self.file)
        there = read_document(self.file) if exists else None
        if self.name is None:
            wanted = text
        else:
            empty = begun(self.name, self.file) if there is None else there
            command = None if self.check else _typed(click.get_current_context(), self.file.parent)
            wanted = replaced(empty, text, self.name, self.file, command)
        if there == wanted:
            click.echo(f"{visible(str(self.file))} is up to date", err=True)
        elif self.check:
            click.echo(f"{visible(str(self.file))} is out of date; run the same without --check", err=True)
            click.get_current_context().exit(STALE)
        else:
            write_named_file(self.file, wanted)
            click.echo(f"wrote {visible(str(self.file))}", err=True)


def _may_create(file: Path, *, check: bool) -> bool:
    """Asks whether a document may be created, if there is somebody to ask."""
    if check or not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return click.confirm(f"{visible(str(file))} does not exist; create it?", err=True)


def _typed(ctx: click.Context, folder: Path) -> str | None:
    """Returns the command that was typed, with paths relative to a folder; None if a comment cannot keep it."""
    from benchmnist.runs.store import find_run

    words = [str(ctx.info_name)]
    for param in ctx.command.params:
        name, value = str(param.name), ctx.params.get(str(param.name))
        if name in NOT_KEPT or ctx.get_parameter_source(name) != ParameterSource.COMMANDLINE:
            continue
        option_ = "" if isinstance(param, click.Argument) else max(param.opts, key=len)
        if option_ and value is True:
            words.append(option_)
            continue
        if isinstance(value, re.Pattern):
            value = value.pattern
        for each in value if isinstance(value, tuple) and not option_ else [value]:
            text = ",".join(map(str, each)) if isinstance(each, tuple) else str(each)
            if isinstance(each, Path) or not option_:
                path = Path(text) if option_ or Path(text).exists() else find_run(text, ctx.params["out"])
                text = os.path.relpath(path, folder).replace(os.sep, "/")
            words.append(f"{option_}={text}" if option_ else text)
    typed = shlex.join(words)
    return None if re.search("--!?>|\n", typed) else typed
