"""`benchmnist doctor`."""

from __future__ import annotations

import contextlib
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmnist.cli.options import (
    NamedPath,
    block_option,
    data_root_option,
    debug_option,
    listed,
    option,
    out_option,
)
from benchmnist.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType

    from benchmnist.doctor import Chart, Line, Options
    from benchmnist.reports.terminal import Console, Lines

SICK = 1
TITLES = {"found": "On this machine", "tried": "Tried on {device}", "speed": "How fast it is"}
MARKS = {
    "ok": ("✓", "green"),
    "warning": ("!", "yellow"),
    "problem": ("✗", "red"),
    "unknown": ("?", "yellow"),
    "not here": ("–", "dim"),
}
INDENT = " " * 11
"""Under the text of a line, beside its mark and its word."""


@click.command("doctor")
@option(
    "--device",
    default="",
    metavar="auto|cpu|cuda|cuda:N|mps",
    help="Also try everything on this device.  [default: only inspect]",
)
@option("--short", is_flag=True, help="Try only the most important things.")
@option("--speed", is_flag=True, help="Also measure the speed of the device (at most ten minutes).")
@option(
    "-k",
    "--only",
    default="",
    type=click.UNPROCESSED,
    callback=listed,
    metavar="TEXT,...",
    help="Run only the tries whose names contain one of these texts.",
)
@option(
    "--json",
    only_typed=True,
    type=NamedPath(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Write all results to a file as they arrive; - is standard output.",
)
@out_option
@data_root_option
@block_option
@debug_option
def command(*, json: Path | None, **options: Any) -> None:
    """Check that this machine can be trusted.

    Without --device, only inspect Python, torch, GPUs, cores, memory, disks, data and plugins. With --device,
    also try on it everything that BenchMNIST does, each thing in its own process. Exit code 1: a problem was
    found, or a try failed.
    """
    from benchmnist.cli.console import progress_console, results_console
    from benchmnist.cli.training import interrupted_by, terminated_as_interrupted
    from benchmnist.doctor import Chart, Report, examine_machine

    asked = _asked(options)
    to_stdout = str(json) == "-"
    console = progress_console() if to_stdout else results_console()
    chart = Chart(Report(device=asked.device, short=asked.short), None if to_stdout else json)
    interrupted = True
    with terminated_as_interrupted() as signals:
        try:
            with contextlib.suppress(KeyboardInterrupt), _spinner(console) as begins:
                with contextlib.closing(examine_machine(asked, begins)) as lines:
                    _show(chart, lines, console)
                interrupted = False
        finally:
            chart.end(interrupted=interrupted)
            if to_stdout:
                click.echo(chart.report.json_text(), nl=False)
    console.print(_summary(chart, interrupted=interrupted))
    code = interrupted_by(signals) if interrupted or signals else SICK if chart.report.sick else 0
    click.get_current_context().exit(code)


def _asked(options: dict[str, Any]) -> Options:
    """The options as the doctor takes them.

    Raises:
        click.UsageError: if they ask for tries of nothing.
    """
    import os

    import platformdirs

    from benchmnist.doctor import Options
    from benchmnist.suites.options import DEVICE, no_device

    if options["device"] and not DEVICE.fullmatch(options["device"]):
        raise click.UsageError(no_device(options["device"]))
    root = (
        options.pop("data_root")
        or os.environ.get("BENCHMNIST_DATA")
        or platformdirs.user_cache_path("benchmnist") / "data"
    )
    asked = Options(data_root=Path(root).absolute(), **options)
    if not asked.device:
        for name in ("short", "speed", "only"):
            if options[name]:
                raise click.UsageError(f"--{name} needs a device; pass --device cpu or --device cuda")
    if asked.only and not asked.tries():
        if left_out := replace(asked, short=False, speed=True).tries():
            how = "pass --speed" if left_out[0].part == "speed" else "remove --short"
            raise click.UsageError(f"the try {left_out[0].name} is not selected; {how}")
        names = ", ".join(
            one.name for one in Options(asked.out, asked.data_root, asked.device, speed=True).tries()
        )
        raise click.UsageError(
            f"no try has {' or '.join(map(repr, asked.only))} in its name. Choose from: {names}"
        )
    return asked


def _show(chart: Chart, lines: Iterator[Line], console: Console) -> None:
    """Prints each line as it comes, under the title of its part."""
    part = ""
    for line in lines:
        chart.add(line)
        if line.part != part:
            title = TITLES[line.part].format(device=chart.report.device)
            console.print(f"{chr(10) if part else ''}{title}", style="bold")
            part = line.part
        console.print(_line(line, console.width), soft_wrap=True)


def _line(line: Line, width: int) -> RenderableType:
    """A line: its mark and word, then what it says; then the remedy, and the last words of a process."""
    from benchmnist.reports.terminal import Lines

    mark, style = MARKS[line.state]
    words = {"ok": "passed", "problem": "failed"} if line.part == "tried" else {}
    shown = Lines.assemble((f"{mark} {words.get(line.state, line.state):<8} ", style))
    said = f"{line.promise}: {line.said}" if line.promise and line.said else line.promise or line.said
    took = f" ({line.seconds:.1f} s)" if line.part != "found" and line.seconds is not None else ""
    shown.append(_wrapped(f"{line.name}: {said}{took}", width), "dim" if line.state == "not here" else "")
    if line.remedy:
        shown.append(f"\n{INDENT}{_wrapped(f'→ {line.remedy}', width)}")
    for words_ in visible(line.last_words, lines=True).splitlines():
        shown.append(f"\n{INDENT}│ {words_}", "dim")
    return shown


def _wrapped(text: str, width: int) -> str:
    """Text in lines that leave room for the mark; a path is never cut."""
    lines = textwrap.wrap(text, max(20, width - len(INDENT)), break_long_words=False, break_on_hyphens=False)
    return f"\n{INDENT}".join(lines)


@contextlib.contextmanager
def _spinner(console: Console) -> Iterator[Callable[[str], None]]:
    """On a terminal, a last line that says what is being tried."""
    if not console.is_terminal:
        yield lambda _: None
        return
    from benchmnist.reports.terminal import Line

    with console.status("") as status:
        yield lambda promise: status.update(Line(promise, overflow="ellipsis", no_wrap=True))


def _summary(chart: Chart, *, interrupted: bool) -> Lines:
    """Returns the number of lines in each state, and the verdict."""
    from benchmnist.reports.terminal import Lines

    lines = chart.report.lines
    counts = {state: sum(line.state == state for line in lines) for state in MARKS}
    said = ", ".join(
        f"{count} {state if state in ('ok', 'unknown', 'not here') or count == 1 else f'{state}s'}"
        for state, count in counts.items()
        if count
    )
    verdict = (
        "interrupted: " if interrupted else "something is wrong: " if chart.report.sick else "nothing is wrong: "
    )
    return Lines(f"\n{verdict}{said}", style="red" if chart.report.sick else "yellow" if interrupted else "green")
