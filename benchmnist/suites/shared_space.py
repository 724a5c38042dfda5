"""The space that a suite's [tune] gives to each of its optimizers that has none of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from benchmnist.errors import nearest
from benchmnist.extensions.kinds import OPTIMIZER
from benchmnist.suites.parameters import parameters_of
from benchmnist.suites.points import of_kind, wrong_parameter
from benchmnist.suites.schema import ConfiguredOptimizer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmnist.extensions.registry import Registry
    from benchmnist.suites.suite import Suite


def with_shared_space(
    suite: Suite, registry: Registry, optimizers: Iterable[str] | None = None
) -> tuple[Suite, list[tuple[str, str]]]:
    """Gives the space of [tune] to the optimizers of a suite, as far as each takes its parameters.

    One that has a space or a sweep of its own keeps that.

    Args:
        suite: The suite.
        registry: The installed plugins. What is wrong with an optimizer itself is reported where it is planned.
        optimizers: Instead of those that the suite lists.

    Returns:
        The suite, and each key of the space that is wrong, with what is wrong.
    """
    shared = suite.tune.space
    if not shared:
        return suite, []
    own = of_kind(shared, OPTIMIZER.name)
    wrong = dict.fromkeys(
        {*shared} - {*own}, "is no parameter of an optimizer; move it to [optimizers.NAME.space]"
    )
    listed = dict.fromkeys(optimizers or (name for block in suite.blocks for name in block.names(OPTIMIZER)))
    tables, taken, takes_any = dict(suite.tables[OPTIMIZER.plural]), set[str](), False
    names: set[str] = set()
    for name in listed:
        table = suite.optimizers.get(name, ConfiguredOptimizer())
        try:
            takes = parameters_of(registry.optimizers[table.use or name].spec, OPTIMIZER.harness)
        except Exception:  # noqa: BLE001 - an unknown name, or a plugin that cannot be imported
            takes_any = True  # which may take all of them
            continue
        there = {key: space for key, space in own.items() if key in takes.by_name or takes.anything}
        names |= {*takes.by_name}
        taken |= {*there}
        if table.space or table.sweep or not there:
            continue
        wrong |= {key: said for key, space in there.items() if (said := wrong_parameter(takes, key, space))}
        sound = {key: space for key, space in there.items() if key not in wrong}
        lacks = {*takes.required} - {*table.params} if suite.tune.always and not suite.tune.untuned else ()
        # What the search always chooses needs no value, but the check before any training builds the optimizer.
        stand_in = {key: (*space.values, space.low)[0] for key, space in sound.items() if key in lacks}
        tables[name] = table.model_copy(update={"space": sound, **stand_in})
    if not takes_any and optimizers is None:
        for key in {*own} - taken:
            wrong[key] = f"no optimizer of the suite takes the parameter {key!r}.{nearest(key, sorted(names))}"
    changed = replace(suite, tables={**suite.tables, OPTIMIZER.plural: tables})
    return changed, [(key, wrong[key].removesuffix(".")) for key in shared if key in wrong]
