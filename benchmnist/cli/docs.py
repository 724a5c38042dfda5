"""`benchmnist docs`: all blocks of documents at once, by the commands that their comments keep."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmnist.cli.documents import STALE
from benchmnist.cli.options import NamedPath, debug_option, option
from benchmnist.text import counted, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MARKDOWN = (".md", ".markdown")
WRITE_BLOCKS = ("report", "compare")
"""The commands that a comment may have: a document must not run others."""
WRONG = 2


@click.command("docs")
@click.argument("paths", nargs=-1, required=True, type=NamedPath(exists=True, path_type=Path), metavar="PATH...")
@option("--check", is_flag=True, help="Write nothing; exit with 1 if a block is out of date.")
@debug_option
def command(paths: Sequence[Path], check: bool) -> None:
    """Update the blocks of documents, each by the command in its comment.

    PATH is a document or a folder of documents. `benchmnist report RUN --update FILE` (and compare) keeps its
    options in the comment that begins the block, for this.
    """
    counts = dict.fromkeys(("up to date", "updated", "out of date", "wrong"), 0)
    for file in _documents(paths):
        for name, words in _commands(file):
            outcome, said = _update(file, name, words, check=check)
            counts[outcome] += 1
            block = f"{visible(str(file))}: {f'block {name}' if name else 'the block without a name'}"
            if outcome != "up to date":
                click.echo(f"{block}: {said or outcome}", err=True)
    found = [f"{counted(count, 'block')} {outcome}" for outcome, count in counts.items() if count]
    none = "no block in these documents keeps its command; `benchmnist report RUN --update FILE` writes it there"
    click.echo(", ".join(found) or none, err=True)
    click.get_current_context().exit(WRONG if counts["wrong"] else STALE if counts["out of date"] else 0)


def _documents(paths: Sequence[Path]) -> Iterator[Path]:
    """Yields the documents, without those in folders whose name begins with a dot."""
    from benchmnist.reports.document_blocks import RST

    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for folder, inner, files in os.walk(path):
            inner[:] = sorted(name for name in inner if not name.startswith("."))
            yield from (Path(folder) / name for name in sorted(files) if name.lower().endswith((*MARKDOWN, *RST)))


def _commands(file: Path) -> Iterator[tuple[str, list[str]]]:
    """Yields the name of each block that keeps its command, and the words of that."""
    from benchmnist.reports.document_blocks import blocks_of, read_document

    for name, block in blocks_of(read_document(file), file).items():
        if block.command:
            try:
                yield name, shlex.split(block.command)
            except ValueError:  # quotes that do not end
                yield name, [block.command]


def _update(file: Path, name: str, words: list[str], *, check: bool) -> tuple[str, str]:
    """Runs the command of a block in the folder of its document; returns what became of it, and what was wrong."""
    from benchmnist.cli import cli

    if words[0] not in WRITE_BLOCKS:
        return "wrong", f"the command must be report or compare, not {visible(words[0])!r}"
    said = io.StringIO()
    options = ["--update", file.name, *(["--name", name] if name else []), *(["--check"] if check else [])]
    before = file.read_bytes()
    with contextlib.chdir(file.parent), contextlib.redirect_stderr(said):
        try:
            code = cli.main([*words, *options], prog_name="benchmnist", standalone_mode=False)
        except click.ClickException as error:
            return "wrong", error.format_message()
    if code == STALE and check:
        return "out of date", ""
    if code:
        return "wrong", said.getvalue().strip().removeprefix("error: ")
    return "up to date" if file.read_bytes() == before else "updated", ""
