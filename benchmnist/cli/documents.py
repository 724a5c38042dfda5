"""Keeping a text in a file, or in a block of somebody's document: what `report` and `compare` share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from benchmnist.cli.options import NamedPath, option, together
from benchmnist.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")
STALE = 1
AT_ONCE = 1_000_000  # characters that are printed: a page of many cases has more, and is encoded in pieces


def document_options(function: F) -> F:
    """--output, --update, --name and --check."""
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
            type=NamedPath(exists=True, dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Replace the text between <!-- benchmnist:start --> and <!-- benchmnist:end --> in FILE.",
        ),
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

    def __init__(self, output: Path | None, update: Path | None, name: str, *, check: bool) -> None:
        if update and output:
            raise click.UsageError("--update and --output exclude each other; remove one")
        if check and not (update or output):
            raise click.UsageError("--check needs a file to compare with; pass --update or --output")
        if name and not update:
            raise click.UsageError("--name needs the file that has the block; pass --update")
        self.file, self.name, self.check = update or output, name if update else None, check

    @property
    def folder(self) -> Path:
        """The folder that the links of the text are relative to."""
        return self.file.parent if self.file else Path()

    def link(self, file: Path) -> str:
        """Returns the link of the text to a file."""
        return os.path.relpath(file, self.folder).replace(os.sep, "/")

    def keep(self, text: str) -> None:
        """Writes the text, or only looks whether it is there already, or prints it."""
        from benchmnist.reports.document_blocks import read_document, replaced
        from benchmnist.runs.files import write_named_file

        if self.file is None:
            for start in range(0, len(text), AT_ONCE):
                click.echo(text[start : start + AT_ONCE], nl=False)
            return
        there = read_document(self.file) if self.name is not None or self.file.is_file() else None
        wanted = text if self.name is None or there is None else replaced(there, text, self.name, self.file)
        if there == wanted:
            click.echo(f"{visible(str(self.file))} is up to date", err=True)
        elif self.check:
            click.echo(f"{visible(str(self.file))} is out of date; run the same without --check", err=True)
            click.get_current_context().exit(STALE)
        else:
            write_named_file(self.file, wanted)
            click.echo(f"wrote {visible(str(self.file))}", err=True)
