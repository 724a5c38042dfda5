"""Mistakes in the settings by which the trials of a case end."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from benchmnist.extensions.kinds import OPTIMIZER, SCHEDULE
from benchmnist.suites.budgets import Ending

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmnist.extensions.registry import Registry
    from benchmnist.suites.cases import Case


def wrong_ending(case: Case, registry: Registry) -> Iterator[tuple[str, str]]:
    """Yields each mistake in how the trials of a case end: the setting, and what is wrong with it."""
    if case.stop_at_target and not case.has_target:
        yield "stop_at_target", "there is no target to stop at; set target_accuracy or target_loss"
    if case.patience is not None and (metric := Ending(case).metric).better is None:
        yield "patience", f"no value of {metric.title} is better than another; set a target, or remove patience"
    if case.seconds is not None:
        for kind in (OPTIMIZER, SCHEDULE):
            if (part := case.parts.get(kind.name)) is None:
                continue
            build = registry.by_kind[kind.name][part.use].spec.load()
            if "total_steps" in inspect.signature(build).parameters:
                what = f"the {kind.name} {part.name!r}"
                yield "seconds", f"{what} has to know the number of steps; set steps or epochs instead"
