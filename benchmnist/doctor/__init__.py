"""`benchmnist doctor`: checks whether a machine can be trusted.

`examine_machine` inspects the machine, then tries what BenchMNIST does on a device, each try in its own process,
then measures its speed. Only trials.py, speed.py, software.py and misbehaving.py import torch, and only those
processes import them.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from benchmnist.doctor import cards, machine
from benchmnist.doctor.isolated import Nursery
from benchmnist.doctor.lines import Chart, Line, Report
from benchmnist.doctor.tries import speed_tries, tries
from benchmnist.extensions.registry import BLOCK, GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from pathlib import Path

    from benchmnist.doctor.lines import State
    from benchmnist.doctor.tries import Try

__all__ = ["Chart", "Line", "Options", "Report", "examine_machine"]

LOOKING = 300.0
"""Time limit of importing torch and inspecting its findings, in seconds."""
SPEED = 600.0
"""Time limit of all of `--speed`, in seconds."""
NEEDED = ("data-root", "torch", "device", "data")
"""Lines that must be free of problems before anything is tried."""


@dataclass(frozen=True)
class Options:
    """Scope of an examination.

    Attributes:
        out: Folder of the runs.
        data_root: Folder of the datasets.
        device: Device to try; empty for an inspection only.
        short: Whether to make only the short form of the tries.
        speed: Whether to measure the speed of the device.
        only: Texts, one of which the name of a try must contain; empty for every try.
        block: Plugins to exclude.
    """

    out: Path
    data_root: Path
    device: str = ""
    short: bool = False
    speed: bool = False
    only: tuple[str, ...] = ()
    block: tuple[str, ...] = ()

    def tries(self) -> list[Try]:
        """Returns the tries to make."""
        chosen = [*tries(short=self.short), *(speed_tries() if self.speed else [])] if self.device else []
        return [one for one in chosen if not self.only or any(text in one.name for text in self.only)]


def examine_machine(
    options: Options, begins: Callable[[str], None] = lambda _: None
) -> Generator[Line, None, None]:
    """Yields each finding and the outcome of each try, as soon as it is known.

    Args:
        options: Scope of the examination.
        begins: Called with the promise of the next try.
    """
    found: dict[str, Line] = {}
    blocked = ",".join(filter(None, (os.environ.get(BLOCK), *options.block)))
    with Nursery(environment={BLOCK: blocked}) as nursery:
        looks = (
            machine.inspect_machine(options.out, options.data_root),
            cards.inspect_cards(),
            _software(nursery, options, begins),
        )
        for line in itertools.chain(*looks):
            found[line.name] = line
            yield line
        if not options.device:
            return
        if wrong := [name for name in NEEDED if found[name].state == "problem"]:
            said = f"nothing was tried because of a problem with {' and '.join(wrong)}"
            yield Line(name="tries", part="tried", state="unknown", said=said)
            return
        yield from _make(nursery, options, found["device"].figures["device"], begins)


def _culprit(traceback: str) -> str:
    """Names the package that broke an import of torch: torch itself, or one that it imports."""
    files = re.findall(r'File "([^"]+)"', traceback)
    packages = [re.split(r"[/\\\\]", file.partition("-packages")[2].lstrip("/\\"))[0] for file in files]
    found = [package.removesuffix(".py") for package in packages if package]
    return found[-1] if found else "torch"


def _software(nursery: Nursery, options: Options, begins: Callable[[str], None]) -> Iterator[Line]:
    """Yields the findings that need torch or the plugins."""
    looks: Mapping[str, Mapping[str, Any]] = {
        "torch": {},
        "processor": {},
        "device": {"name": options.device},
        "data": {"root": str(options.data_root)},
        "plugins": {"block": options.block},
    }
    broken = False
    for name, arguments in looks.items():
        if broken:
            yield Line(name=name, state="unknown", said="not inspected because torch cannot be imported")
            continue
        begins(f"inspecting {name}")
        line = nursery.run(name, f"benchmnist.doctor.software:look_at_{name}", arguments, LOOKING)
        if name == "plugins" and line.last_words:  # it did not end as it should
            names = ", ".join(sorted({entry.name for entry in entry_points(group=GROUP)}))
            remedy = f"exclude the plugin that causes this with --block; installed plugins: {names}"
            line = line.model_copy(update={"remedy": remedy})
        if name == "torch" and line.state == "problem":
            broken, culprit = True, _culprit(line.last_words)
            remedy = f"reinstall {culprit} (pip install --force-reinstall {culprit})"
            line = line.model_copy(update={"said": f"cannot be imported: {line.said}", "remedy": remedy})
        yield line


def _make(nursery: Nursery, options: Options, device: str, begins: Callable[[str], None]) -> Iterator[Line]:
    """Makes each try, and yields its outcome."""
    context = {"device": device, "data_root": str(options.data_root)}
    end: float | None = None
    for one in options.tries():
        limit, line = one.limit, Line(name=one.name, part=one.part, promise=one.promise, state="unknown")
        if one.part == "speed":
            end = end or time.monotonic() + SPEED
            limit = min(limit, end - time.monotonic())
        if one.cuda and not device.startswith("cuda"):
            yield line.model_copy(update={"state": "not here", "said": f"not on {device}"})
        elif limit <= 0:
            yield line.model_copy(update={"said": f"not measured: the {SPEED / 60:.0f} minutes have elapsed"})
        else:
            begins(one.promise)
            late: State = "problem" if one.part == "tried" else "warning"
            line = nursery.run(
                one.name, one.call, {"trial": one.trial, **context, **one.arguments}, limit, late=late
            )
            remedy = one.remedy if line.state == "problem" else line.remedy
            yield line.model_copy(update={"part": one.part, "promise": one.promise, "remedy": remedy})
