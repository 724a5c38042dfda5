"""The samplers of optuna, by name: each asks for points by the results of those before."""

from __future__ import annotations

import inspect
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchmnist.errors import BenchmnistError, first_line, unknown
from benchmnist.suites.components import variant_of
from benchmnist.suites.sampling import random_points, rounded, size
from benchmnist.suites.spaces import OWN_SAMPLERS, SAMPLERS
from benchmnist.suites.values import is_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

    from benchmnist.suites.cases import Space

BATCH = 5
"""Points that are asked for before their results are known: always as many, whatever trains them."""
SHORT = {ours: name for name, ours in OWN_SAMPLERS.items()}
"""Samplers of optuna, by the names that we have for them."""
MOST_ASKED = 20
"""Points that a sampler may ask for again before a random one is taken."""
REHEARSED = 12
"""Points of a rehearsal: samplers draw the first ten at random."""


class GuidedSearch:
    """Asks a sampler of optuna for distinct points of a space.

    Args:
        space: The space.
        sampler: The name of the sampler.
        seed: The seed of the sampler.
        maximize: True if higher results are better.

    Raises:
        BenchmnistError: if optuna or a package of the sampler is not installed, or no sampler has this name.
    """

    def __init__(self, space: Mapping[str, Space], sampler: str, seed: int, *, maximize: bool = True) -> None:
        optuna = import_optuna()
        self.space, self.others = space, random_points(space, seed)
        self.lists = {name: _ordered(each.values) for name, each in space.items() if not each.is_range}
        self.distributions = {name: self._distribution(name) for name in space}
        with _quiet():
            self.study = optuna.create_study(
                direction="maximize" if maximize else "minimize", sampler=_make(sampler, seed)
            )
        self.failed = optuna.trial.TrialState.FAIL
        self.asked: dict[str, dict[str, Any]] = {}

    def batches(self, trials: int, results: Callable[[str], float | None]) -> Iterator[list[dict[str, Any]]]:
        """Yields the points in batches, until there are `trials` or no more in the space.

        Args:
            trials: Number of points.
            results: Returns the result of a point by its variant, once its batch is done; None if it has none.
        """
        while len(self.asked) < trials:
            batch = []
            for _ in range(min(BATCH, trials - len(self.asked))):
                if (found := self._new(results)) is None:
                    break
                self.asked[variant_of(found[1])] = found[1]
                batch.append(found)
            if not batch:
                return
            yield [params for _, params in batch]
            for trial, params in batch:
                self._tell(trial, results(variant_of(params)))

    def _new(self, results: Callable[[str], float | None]) -> tuple[Any, dict[str, Any]] | None:
        """Asks until a point is new; takes a random one after MOST_ASKED others; None if there are no more."""
        if len(self.asked) >= size(self.space):
            return None
        for _ in range(MOST_ASKED):
            trial, params = self._ask()
            if variant_of(params) not in self.asked:
                return trial, params
            self._tell(trial, results(variant_of(params)))
        for params in self.others:
            if variant_of(params) not in self.asked:
                self.study.enqueue_trial({name: self._told(name, value) for name, value in params.items()})
                return self._ask()[0], params
        return None

    def _ask(self) -> tuple[Any, dict[str, Any]]:
        with _quiet():
            trial = self.study.ask(self.distributions)
        return trial, {
            name: rounded(trial.params[name], each) if each.is_range else self.lists[name][trial.params[name]]
            for name, each in self.space.items()
        }

    def _tell(self, trial: Any, result: float | None) -> None:
        with _quiet():
            if result is None:
                self.study.tell(trial, state=self.failed)
            else:
                self.study.tell(trial, result)

    def _distribution(self, name: str) -> BaseDistribution:
        """Returns what optuna draws from: of a list the index of a value, in order if they are numbers."""
        of, each = import_optuna().distributions, self.space[name]
        if each.is_range:
            return of.FloatDistribution(each.low, each.high, log=each.log)  # type: ignore[no-any-return]
        count = len(each.values)
        if _are_numbers(each.values) and count > 1:
            return of.IntDistribution(0, count - 1)  # type: ignore[no-any-return]
        return of.CategoricalDistribution(range(count))  # type: ignore[no-any-return]

    def _told(self, name: str, value: Any) -> Any:
        return value if self.space[name].is_range else self.lists[name].index(value)


def rehearse(space: Mapping[str, Space], sampler: str) -> None:
    """Asks a sampler for some points of a space, and drops them.

    Raises:
        BenchmnistError: if the sampler is unknown, cannot search this space, or lacks a package.
    """
    try:
        for _ in GuidedSearch(space, sampler, 0).batches(REHEARSED, lambda variant: float(len(variant))):
            pass
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        raise BenchmnistError(
            f"the sampler {sampler} needs the package {package}: python -m pip install {package}"
        ) from None
    except BenchmnistError:
        raise
    except Exception as error:  # noqa: BLE001 - a sampler may refuse a space in any way
        raise BenchmnistError(
            f"the sampler {sampler} cannot search the space of {', '.join(space)}: {first_line(error)}"
        ) from None


def import_optuna() -> Any:
    """Imports optuna, which is an optional dependency.

    Raises:
        BenchmnistError: if it is not installed; says what to do.
    """
    try:
        import optuna
    except ImportError:
        raise BenchmnistError(
            "a guided search needs optuna: python -m pip install 'benchmnist[tune]', or use --sampler random"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _make(name: str, seed: int) -> BaseSampler:
    """Builds the sampler of that name in optuna.samplers.

    Raises:
        BenchmnistError: if there is none, or it needs more than a seed.
    """
    samplers = import_optuna().samplers
    classes: dict[str, Any] = {
        each: found for each in samplers.__all__ if inspect.isclass(found := getattr(samplers, each, None))
    }
    usable = [each for each, found in classes.items() if _needs_only_a_seed(found)]
    if SHORT.get(name, name) not in usable:
        known = [*SAMPLERS, *OWN_SAMPLERS, *(each for each in usable if each not in OWN_SAMPLERS)]
        if name in classes:
            raise BenchmnistError(f"the sampler {name} needs more than a seed. Choose from: {', '.join(known)}")
        raise BenchmnistError(unknown("sampler", name, known))
    found = classes[SHORT.get(name, name)]
    drawn = {"scramble": True} if "scramble" in inspect.signature(found).parameters else {}  # else no seed matters
    return found(seed=seed, **drawn)  # type: ignore[no-any-return]


def _needs_only_a_seed(sampler: type) -> bool:
    takes = inspect.signature(sampler).parameters
    required = [each for each in takes.values() if each.default is each.empty and each.kind != each.VAR_KEYWORD]
    return "seed" in takes and not required and not inspect.isabstract(sampler)


@contextmanager
def _quiet() -> Iterator[None]:
    """Ignores what optuna warns of: samplers that are experimental, in which nobody can change anything."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _are_numbers(values: tuple[Any, ...]) -> bool:
    return all(map(is_number, values))


def _ordered(values: tuple[Any, ...]) -> list[Any]:
    """Returns numbers in their order, anything else as it is."""
    return sorted(values) if _are_numbers(values) else [*values]
