"""Checks, and how one is made of a plugin's offer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from benchmnist.errors import first_line
from benchmnist.extensions.isolation import contained, is_of_pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from benchmnist.extensions.registry import Offer
    from benchmnist.training.data import Datasets


class Miss(Exception):  # noqa: N818 - it is no error of ours
    """A promise that is not kept; the message says what was observed."""


class DoesNotApply(Exception):  # noqa: N818 - it is no error at all
    """A check that does not apply; the message says why."""


@dataclass(frozen=True)
class Subject:
    """The object of a check.

    Attributes:
        kind: `optimizer`, `model`, `schedule`, `dataset` or `executor`.
        offer: The spec, and the plugin that offers it.
        datasets: Loads MNIST, which the checks train on.
    """

    kind: str
    offer: Offer[Any]
    datasets: Datasets

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.offer.spec.name)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}, of {self.offer.plugin.distribution} {self.offer.plugin.version}"


@dataclass(frozen=True)
class Check:
    """One promise that a plugin has to keep.

    Attributes:
        name: Short, for test ids.
        promise: What is so if it is kept.
        remedy: What its author does if it is not.
        make: Tries a subject, and returns what was tried, if that is to be said; raises Miss or DoesNotApply, or
            whatever the plugin raises.
        first: Whether the other checks make no sense if this one is missed.
    """

    name: str
    promise: str
    remedy: str
    make: Callable[[Subject], str | None]
    first: bool = False


@dataclass(frozen=True)
class Outcome:
    """The outcome of a check.

    Attributes:
        check: The check.
        state: Whether the promise is kept.
        said: What was tried if it is kept, what was seen if it is missed, or why it does not apply.
        error: What was raised, if it is missed.
    """

    check: Check
    state: Literal["kept", "missed", "does not apply"]
    said: str = ""
    error: BaseException | None = None


def check(remedy: str, *, first: bool = False) -> Callable[[Callable[[Subject], str | None]], Check]:
    """Makes a function a Check: its name is the check's, its docstring the promise."""

    def made(function: Callable[[Subject], str | None]) -> Check:
        name = function.__name__.strip("_").replace("_", "-")
        promise = (function.__doc__ or "").strip().removesuffix(".")
        return Check(name, promise[:1].lower() + promise[1:], remedy, function, first)

    return made


def make(check: Check, subject: Subject) -> Outcome:
    """Makes a check, and contains whatever the plugin does."""
    import torch

    try:
        with torch.random.fork_rng(devices=[]), contained():
            said = check.make(subject)
    except DoesNotApply as reason:
        return Outcome(check, "does not apply", str(reason))
    except Miss as miss:
        return Outcome(check, "missed", str(miss), miss)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may raise anything
        if is_of_pytest(error):
            raise
        return Outcome(check, "missed", f"{type(error).__name__}: {first_line(error)}", error)
    return Outcome(check, "kept", said or "")


def make_all(checks: Iterable[Check], subject: Subject) -> Iterator[Outcome]:
    """Makes the checks in order; once a `first` one is missed, the rest do not apply."""
    missed = ""
    for one in checks:
        if missed:
            yield Outcome(one, "does not apply", f"not tried, since {missed!r} was missed")
            continue
        outcome = make(one, subject)
        if one.first and outcome.state == "missed":
            missed = one.name
        yield outcome
