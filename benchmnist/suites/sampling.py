"""Points of a search space: a grid of them, and what optuna draws from."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

from benchmnist.errors import BenchmnistError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optuna.distributions import BaseDistribution

    from benchmnist.suites.cases import Space


FIGURES = 4
"""Significant ones, of a number that is chosen: more decide nothing, and would be part of the case's name."""


def grid(space: Mapping[str, Space], trials: int) -> list[dict[str, Any]]:
    """At most so many points: every combination of the values, and of as many of each range as there is room."""
    ranges = [name for name, each in space.items() if each.is_range]
    fixed = math.prod(len(each.values) for each in space.values() if not each.is_range)
    steps = max(1, math.floor((trials / fixed) ** (1 / len(ranges)) + 1e-9)) if ranges else 1
    axes = [
        [rounded(v, each) for v in _evenly(each, steps)] if each.is_range else each.values
        for each in space.values()
    ]
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*axes)][:trials]


def _evenly(space: Space, steps: int) -> list[float]:
    """Returns so many values of a range, from end to end; the middle, if it is one."""
    low, high = space.low or 0.0, space.high or 0.0
    shares = [i / (steps - 1) for i in range(steps)] if steps > 1 else [0.5]
    if space.log:
        return [low * (high / low) ** share for share in shares]
    return [low + (high - low) * share for share in shares]


def rounded(value: Any, space: Space) -> Any:
    """A number of a range with FIGURES significant figures, within the range; any other value as it is."""
    if not isinstance(value, float) or not space.is_range:
        return value
    return min(max(float(f"{value:.{FIGURES}g}"), space.low or 0.0), space.high or 0.0)


def distributions(space: Mapping[str, Space]) -> dict[str, BaseDistribution]:
    """Returns the distribution that optuna draws each hyperparameter from.

    Raises:
        BenchmnistError: if optuna is not installed.
    """
    optuna = import_optuna()
    return {
        name: optuna.distributions.FloatDistribution(each.low, each.high, log=each.log)
        if each.is_range
        else optuna.distributions.CategoricalDistribution(each.values)
        for name, each in space.items()
    }


def import_optuna() -> Any:
    """Optuna, which not everybody who trains wants.

    Raises:
        BenchmnistError: if it is not installed; says what to do.
    """
    try:
        import optuna
    except ImportError:
        raise BenchmnistError(
            "tuning by random or TPE search needs optuna: python -m pip install 'benchmnist[tune]', "
            "or use --sampler grid"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
