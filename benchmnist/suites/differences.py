"""The settings that decide two cases, and their differences besides the part that is meant to vary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmnist.metrics import TARGET_STEPS, TO_TARGET
from benchmnist.suites.cases import TARGETS, Component

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmnist.metrics import Metric
    from benchmnist.suites.cases import Case

NOT_LEARNING = frozenset({"engine", "reference"})
"""Fields of a case that change its times only."""
OF_AXES = ("engine", "augmentation")
"""Fields that are meant to differ where a suite lists several side by side."""


def differences(one: Case, other: Case, metric: Metric | None = None) -> tuple[str, ...]:
    """Returns what else decides two cases that are meant to differ in one thing: `epochs (5 and 1)`.

    Meant to differ are the methods of cases of one group; of other cases, the models. The seeds do not count: only
    common ones are compared.

    Args:
        one: A case.
        other: The case that it is compared with.
        metric: The metric that they are compared by, by default what judges them; those that are no times ignore
            NOT_LEARNING.
    """
    return tuple(between(one, other, deciding(one, metric), deciding(other, metric)))


def deciding(case: Case, metric: Metric | None = None) -> dict[str, Any]:
    """Returns what decides the values of a metric for a case, but for its seeds."""
    metric = metric or case.judged_by
    times = metric is not None and metric.ratio and metric != TARGET_STEPS
    ignored = {"seeds", "metrics", "dynamics"} | (set() if times else NOT_LEARNING)
    found = {name: value for name, value in case.deciding().items() if name not in ignored}
    return found | (targets_of(case) if metric in TO_TARGET else {})


def targets_of(case: Case) -> dict[str, float | None]:
    """Returns the targets of a case by their names, also where no trial ends at them."""
    return {name: getattr(case, name) for name in sorted(TARGETS)}


def between(one: Case, other: Case, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Returns the `differences` of two cases, given what is `deciding` for each."""
    meant = {"model"}
    if one.model.label == other.model.label:
        meant = {"optimizer", "schedule"} | ({*OF_AXES} if one.axes != other.axes else set())
    elif one.tuned and other.tuned:
        meant |= {"optimizer"}  # by one rule: each its own settings
    meant |= {*one.chosen, *other.chosen}
    if one.ends_early != other.ends_early:
        ours, theirs = {**ours, **targets_of(one)}, {**theirs, **targets_of(other)}
    return [
        f"{name.replace('_', ' ')} ({shown(ours.get(name))} and {shown(theirs.get(name))})"
        for name in dict.fromkeys([*ours, *theirs])
        if name not in meant and ours.get(name) != theirs.get(name)
    ]


def shown(value: Any) -> str:
    """Formats a part or a setting of a case for people: `sgd(lr=0.1)`, `none`."""
    if isinstance(value, dict) and "use" in value:
        names = dict.fromkeys(("name", "distribution", "version"), "")  # which `lasting` leaves out
        settings = Component.model_validate(names | value).settings
        params = ", ".join(f"{name}={given}" for name, given in settings.items())
        return f"{value['use']}({params})" if params else str(value["use"])
    return "none" if value is None else str(value)
