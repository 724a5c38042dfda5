"""Writes what is generated in the documentation: `python docs/generate.py`. A test holds the pages to it.

hooks.md    from benchmnist/extensions/hookspecs.py and benchmnist/extensions/specs.py
cli.md      the output of `--help` in it
assignment4.md and the README    what is made of the runs in docs/runs
"""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmnist.extensions.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parent
EXTENSIONS = DOCS.parent / "benchmnist" / "extensions"
SPECS = ("Spec", *(kind.spec.__name__ for kind in KINDS), "ExecutorOption", "Dataset")
WIDTH = 118
TO_BEGIN_WITH = """[The tutorial](tutorial-plugin.md) makes a plugin from nothing; `benchmnist check NAME` tries
whether one keeps its promises."""
RUNS, IMAGES = "docs/runs", "docs/images/assignment4"
A4, PUBLISHED, TUNED = f"{RUNS}/assignment4", f"{RUNS}/assignment4-as-published", f"{RUNS}/assignment4-tuned"
QUESTIONS = {"q1": "fc", "q2": "fc-bn", "q3": "fc-bn-dropout", "q4": "cnn"}


def _shown(run: str, show: str, about: str = "") -> list[str]:
    """`benchmnist report`, of a part of a run."""
    plots = ["--plots", IMAGES] if show == "plots" else []
    return ["report", run, "--show", show, *(["--about", about] if about else []), *plots]


FIGURES = "optimizer,accuracy,best_accuracy,train_loss,epoch_seconds,speedup,accuracy_gain,status"
BLOCKS: dict[str, dict[str, list[str]]] = {
    "README.md": {
        "": ["report", A4],
        "findings": _shown(A4, "findings", r"fc-bn,|dropout \("),
        "tuned": _shown(TUNED, "findings", "cannot be told apart"),
    },
    "docs/assignment4.md": {
        **{f"{q}-model": _shown(A4, "models", f"^{model} on") for q, model in QUESTIONS.items()},
        **{f"{q}-plots": _shown(A4, "plots", f"loss.* {model}$") for q, model in QUESTIONS.items()},
        **{
            f"{q}-table": ["report", A4, "--about", f"^mnist/{model}/", "--columns", FIGURES]
            for q, model in QUESTIONS.items()
        },
        "q1-findings": _shown(A4, "findings", "^On mnist · fc,|learning rate only"),
        "q1-verdicts": _shown(A4, "verdicts", "^fc/"),
        "q2-findings": _shown(A4, "findings", "^On mnist · fc-bn,|batch normalisation"),
        "q3-findings": _shown(A4, "findings", "^On mnist · fc-bn-dropout,|dropout \\("),
        "q4-findings": _shown(A4, "findings", "convolutions"),
        "targets": _shown(A4, "targets"),
        "target-findings": _shown(A4, "findings", "least time to"),
        "profile": _shown(A4, "plots", "Performance"),
        "tuned-tuning": _shown(TUNED, "tuning"),
        "tuned-plots": _shown(TUNED, "plots", "learning rate|attempts"),
        "tuned-table": ["report", TUNED, "--columns", FIGURES],
        "tuned-findings": _shown(TUNED, "findings"),
        "as-published": ["compare", A4, PUBLISHED],
        "as-published-findings": _shown(PUBLISHED, "findings", "train\\(\\)|dropout \\("),
    },
}
"""By file and block: the command that keeps it up to date, from the folder above this one."""
HELP_WIDTH = 78  # what click leaves of 80 columns


def hooks_page() -> str:
    """docs/hooks.md: every hook with its signature and an example, what it returns, and what is stable."""
    hooks = ast.parse((EXTENSIONS / "hookspecs.py").read_text("utf-8"))
    specs = ast.parse((EXTENSIONS / "specs.py").read_text("utf-8"))
    parts = [
        "# Reference: the hooks",
        "<!-- Written by docs/generate.py from benchmnist/extensions (hookspecs.py, specs.py): change those. -->",
        _joined((ast.get_docstring(hooks) or "").partition("\n\n")[2]),
        TO_BEGIN_WITH,
        "## The hooks",
    ]
    for node in hooks.body:
        if isinstance(node, ast.FunctionDef):
            said, _, example = (ast.get_docstring(node) or "").partition("Example:\n")
            signature = f"def {node.name}() -> {ast.unparse(node.returns) if node.returns else 'None'}: ..."
            parts += [
                f"### {node.name}",
                f"```py\n@benchmnist.hookimpl\n{signature}\n```",
                said.strip(),
                "A whole plugin, but for its `pyproject.toml`:",
                f"```python\n{textwrap.dedent(example).strip()}\n```",
            ]
    parts.append("## What they return")
    for node in specs.body:
        if isinstance(node, ast.ClassDef) and node.name in SPECS:
            parts += [f"### {node.name}", _with_attributes(ast.get_docstring(node) or "", _fields(node))]
    parts += ["## What is stable", _constant(hooks, "HOOK_API")]
    return "\n\n".join(parts) + "\n"


def _joined(text: str) -> str:
    """Paragraphs, each anew on lines of its own."""
    paragraphs = [" ".join(part.split()) for part in text.strip().split("\n\n")]
    return "\n\n".join(textwrap.fill(part, WIDTH, break_on_hyphens=False) for part in paragraphs)


def _fields(node: ast.ClassDef) -> dict[str, str]:
    """The attributes of a dataclass: `bool = False`."""
    return {
        item.target.id: ast.unparse(item.annotation) + (f" = {ast.unparse(item.value)}" if item.value else "")
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    }


def _with_attributes(docstring: str, fields: dict[str, str]) -> str:
    """A docstring in markdown, its attributes a table with their types."""
    said, *sections = re.split(r"^(Attributes|Raises):\n", docstring, flags=re.MULTILINE)
    parts = [_joined(said)]
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        entries = re.findall(r"^    (\S[^:]*): ((?:.|\n(?=     ))*)", body, flags=re.MULTILINE)
        if title == "Raises":
            parts += [f"Raises `{name}` {' '.join(text.split())}" for name, text in entries]
            continue
        rows = ["| attribute | type | |", "|---|---|---|"]
        for names, text in entries:
            for name in names.split(", "):
                kind = fields.get(name, "").replace("field(default_factory=dict)", "{}").replace("|", "\\|")
                rows.append(f"| `{name}` | `{kind}` | {' '.join(text.split())} |")
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def _constant(module: ast.Module, name: str) -> str:
    """The value of a constant and what stands under it."""
    for node, after in zip(module.body, module.body[1:], strict=False):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            said = ast.literal_eval(after.value) if isinstance(after, ast.Expr) else ""
            return f"`{name} = {ast.unparse(node.value)}`: " + _joined(str(said))
    raise LookupError(name)


def cli_page(page: str) -> str:
    """docs/cli.md, with a section for the output of each `--help`."""
    from benchmnist.cli import cli

    before, _, _ = page.partition("## benchmnist\n")
    names = ["benchmnist", *(f"benchmnist {name}" for name in _commands(cli))]
    sections = [f"## {name}\n\n```console\n$ {name} --help\n{_help(cli, name)}\n```\n" for name in names]
    return before + "\n".join(sections)


def _commands(group: click.Group) -> Iterator[str]:
    """`run`, …, `runs`, `runs show`, …."""
    for name in group.list_commands(click.Context(group)):
        yield name
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from (f"{name} {of_its_own}" for of_its_own in _commands(command))


def _help(cli: click.Group, name: str) -> str:
    """What `--help` says on a terminal of 80 columns."""
    width = {"terminal_width": HELP_WIDTH, "max_content_width": HELP_WIDTH}
    command: click.Command = cli
    context = click.Context(cli, info_name="benchmnist", **cli.context_settings, **width)
    for word in name.split()[1:]:
        found = command.get_command(context, word) if isinstance(command, click.Group) else None
        if found is None:
            raise LookupError(name)
        command = found
        context = click.Context(command, parent=context, info_name=word, **width)
    return command.get_help(context).rstrip()


def block_commands() -> Iterator[list[str]]:
    """The arguments of benchmnist that keep each block in BLOCKS up to date."""
    for file, blocks in BLOCKS.items():
        for name, arguments in blocks.items():
            yield [*arguments, "--update", file, *(["--name", name] if name else [])]


if __name__ == "__main__":
    import os

    from benchmnist.cli import cli

    os.chdir(DOCS.parent)
    for arguments in block_commands():
        cli.main(arguments, standalone_mode=False)
    (DOCS / "hooks.md").write_text(hooks_page(), "utf-8")
    page = DOCS / "cli.md"
    page.write_text(cli_page(page.read_text("utf-8")), "utf-8")
