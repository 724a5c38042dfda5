"""The checks for every kind: how a plugin is loaded, and how it treats its parameters."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmnist.extensions.isolation import contained
from benchmnist.testing.checks import Check, DoesNotApply, Miss, Subject, check

if TYPE_CHECKING:
    from collections.abc import Callable

    Build = Callable[..., Any]

UNKNOWN = "no_such_parameter_of_yours"
NAME_THEM = "name what a suite may set in the signature of `build`, and let each default be one that it takes"


@check("do nothing on import but define; let `build` be an import string if what it needs takes long to import")
def loads_quietly(subject: Subject) -> None:
    """Is loaded silently, and without changing torch's settings."""
    if notes := subject.offer.plugin.notes:
        raise Miss("; ".join(notes))


def takes_its_parameters(done: str, harness: tuple[str, ...], build: Build) -> Check:
    """Returns the check of `tries_its_parameters`; `build(subject, **params)` does what `done` says."""
    return Check(
        "takes-its-parameters",
        f"is {done} with each parameter that it declares",
        NAME_THEM,
        lambda subject: tries_its_parameters(subject, harness, partial(build, subject)),
    )


def tries_its_parameters(subject: Subject, harness: tuple[str, ...], build: Build) -> None:
    """Builds with each declared parameter, set to its own default.

    `harness` are those that the harness passes. `build(**params)` makes the thing.

    Raises:
        Miss: names every parameter that is refused, or has to be given.
    """
    wrong = []
    declared = 0
    for parameter in inspect.signature(subject.offer.spec.load()).parameters.values():
        if parameter.name in harness or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        declared += 1
        if parameter.kind is parameter.POSITIONAL_ONLY:
            wrong.append(f"{parameter.name} cannot be given by name")
            continue
        default = subject.offer.spec.defaults.get(parameter.name, parameter.default)
        if default is parameter.empty:
            wrong.append(f"{parameter.name} has no default")
            continue
        try:
            build(**{parameter.name: default})
        except DoesNotApply:
            raise
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            wrong.append(f"{parameter.name}={default!r} raises {type(error).__name__}: {error}")
    if wrong:
        raise Miss("; ".join(wrong))
    if not declared:
        raise DoesNotApply("it declares no parameters")


def refuses_unknown_parameters(build: Build) -> Check:
    """Returns the check that `build(subject, **params)` refuses a parameter that cannot exist."""

    @check("take only the parameters that you know, not any `**params`; or pass them on to what refuses them")
    def refuses_unknown_parameters(subject: Subject) -> None:
        """Refuses a parameter that it does not know."""
        try:
            build(subject, **{UNKNOWN: 1})
        except TypeError:
            return
        raise Miss(f"{UNKNOWN}=1 was accepted silently")

    return refuses_unknown_parameters


def leaves_torch_alone(use: Callable[[Subject], object]) -> Check:
    """Returns the check that `use(subject)`, which builds and uses it, changes no global setting of torch."""

    @check("set nothing for all of torch: no default dtype or device, no number of threads, no gradient mode")
    def leaves_torch_alone(subject: Subject) -> None:
        """Changes no global setting of torch."""
        with contained() as noticed:
            use(subject)
        if noticed.changed:
            raise Miss("; ".join(f"changes torch's {change}" for change in noticed.changed))

    return leaves_torch_alone
