"""Everything that BenchMNIST raises on purpose.

    BenchmnistError
    ├── SuiteError         a suite that cannot be run; holds every Problem that was found
    ├── PluginError        a plugin that is broken, or two that offer the same name
    ├── UnknownNameError   no plugin offers a model, optimizer, dataset or executor of that name
    ├── DeviceError        the device that was asked for is not there
    ├── DataError          a dataset that is missing, damaged or not what its plugin declared
    ├── TrialError         a case whose training raised; holds the traceback
    │   └── CaptureError   a step that cannot be captured in a CUDA graph, or recorded
    ├── ExpectationError   a case that is not what its suite expects
    └── StoreError         a run folder that cannot be written or read

The message of each is for the person at the terminal: what is wrong, where, and what to do.
"""

from __future__ import annotations

import difflib
import itertools
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmnist.text import first_line_of, kept, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class BenchmnistError(Exception):
    """The base of all of them."""


class PluginError(BenchmnistError):
    """A plugin is broken, or two offer the same name."""


class UnknownNameError(BenchmnistError):
    """No plugin offers anything by that name."""


class DeviceError(BenchmnistError):
    """The device that was asked for is not there."""


class DataError(BenchmnistError):
    """A dataset is missing, damaged or not what its plugin declared."""


class TrialError(BenchmnistError):
    """The training of a case raised."""


class CaptureError(TrialError):
    """A step of a trial cannot be captured in a CUDA graph, or recorded on a CPU.

    Attributes:
        spoiled: Whether a capture was begun: then nothing can be captured, nor drawn, in this process any more.
    """

    def __init__(self, message: str, *, spoiled: bool = False) -> None:
        super().__init__(message)
        self.spoiled = spoiled


class ExpectationError(BenchmnistError):
    """A case is not what its suite expects."""


class StoreError(BenchmnistError):
    """A run folder cannot be written or read."""


LONGEST_KEY = 80
"""Characters of a key that a message repeats."""
LONGEST_MESSAGE = 360
"""Characters of a message: what people write, and what plugins say, may be longer."""
LONGEST_PLACES = 8000
"""Characters of a message that names files and where they belong: a path may have 4,096."""


@dataclass(frozen=True)
class Problem:
    """One mistake in a suite: `file:line: key: message`, a printable line; its message is cut at `longest`."""

    message: str
    file: str = "<suite>"
    line: int | None = None
    key: str = ""
    longest: int = LONGEST_MESSAGE

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        said = one_line(self.key, LONGEST_KEY), one_line(self.message, self.longest)
        return ": ".join(part for part in (one_line(where, len(where)), *said) if part)


class SuiteError(BenchmnistError):
    """A suite cannot be run; `problems` are all the reasons that were found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[type[SuiteError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


LEAST_PREFIX = 3
"""Least characters of a name whose rest may have been left out: `acc` for `accuracy`."""


def closest(name: str, known: Iterable[str]) -> str:
    """The known name that is nearest in spelling; empty where none is near."""
    names = {each.lower(): each for each in known}
    name = name.lower()[:LONGEST_KEY]  # of a long one, difflib would compare every character with all others
    match = difflib.get_close_matches(name, names, n=1)
    if not match and len(name) >= LEAST_PREFIX:
        match = [one for one in names if one.startswith(name)]
    return names[match[0]] if match else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'adam'?`, or nothing where no known name is near."""
    match = closest(name, known)
    return f" Did you mean {match!r}?" if match else ""


MAX_LISTED = 40
"""Number of names that a message lists before it says how many there are."""
LONGEST_LIST = 260
"""Characters of these names together: of long ones, fewer are listed."""


def listed(names: Sequence[str]) -> str:
    """`adam, sgd`; of many or long names the first, and how many there are."""
    ends = [*itertools.accumulate(len(each) + 2 for each in names[:MAX_LISTED])]
    fit = max(1, sum(end <= LONGEST_LIST for end in ends))
    return ", ".join(names if fit >= len(names) else [*names[:fit], f"… ({len(names)} in all)"])


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """`no optimizer named 'adma'. Did you mean 'adam'? Choose from: adam, sgd`."""
    names = [*known]
    choose = f"Choose from: {listed(names)}" if names else "None is available"
    return f"no {what} named {name[:LONGEST_KEY]!r}.{nearest(name, names)} {choose}"


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, or its type where it says nothing."""
    return first_line_of(_said(error)) or class_name(error)


def reason(error: Exception) -> str:
    """Returns what an operating system says of its error, without the file; what any other exception says."""
    return str(getattr(error, "strerror", None) or error)


def described(error: BaseException) -> str:
    """The class of an exception and what it says: `ValueError: too large`."""
    return f"{class_name(error)}: {_said(error)}"


def _said(error: BaseException) -> str:
    try:
        return kept(str(error))
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - a stranger's may not be able to say anything
        return ""


def class_name(error: BaseException) -> str:
    """The name of the class of an exception, whatever its metaclass makes of it."""
    name: str = type.__dict__["__name__"].__get__(type(error))
    return name


def formatted_traceback(error: BaseException) -> str:
    """The traceback of an exception. That of a stranger may not be able to be printed."""
    try:
        return kept("".join(traceback.format_exception(error)))
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - a metaclass may raise anything
        return f"{described(error)} (its traceback cannot be printed)"
