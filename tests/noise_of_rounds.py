"""Made-up rounds of a machine that is not quiet: for tests and benchmarks of the gate."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    Noise = Callable[[Generator, int, int], NDArray[np.float64]]
    """Draws so many files of so many rounds: the logarithms of their times, a row for each file."""


def tail(rng: Generator, files: int, rounds: int, scale: float = 0.05) -> NDArray[np.float64]:
    """Independent rounds: a floor, and a tail above it."""
    return np.log(1 + scale * rng.gamma(1.5, 1.0, (files, rounds)))


def autocorrelated(correlation: float, rng: Generator, files: int, rounds: int) -> NDArray[np.float64]:
    """Adds an AR(1) process of 5 % with that correlation of neighbours; the first 100 rounds are thrown away."""
    steps = rng.normal(0, 0.05 * np.sqrt(1 - correlation**2), (files, rounds + 100))
    return tail(rng, files, rounds, 0.03) + signal.lfilter([1], [1, -correlation], steps)[:, 100:]


def drifting(rng: Generator, files: int, rounds: int) -> NDArray[np.float64]:
    """Adds a steady drift, from the first round to the last by 10 % (one standard deviation)."""
    return tail(rng, files, rounds) + rng.normal(0, 0.1, (files, 1)) * np.linspace(-0.5, 0.5, rounds)


def waving(rng: Generator, files: int, rounds: int) -> NDArray[np.float64]:
    """Adds a wave of 5 % with a period of 20 to 80 rounds, which begins anywhere."""
    turns = np.arange(rounds) / rng.uniform(20, 80, (files, 1)) + rng.uniform(0, 1, (files, 1))
    return tail(rng, files, rounds, 0.03) + 0.05 * np.sin(2 * np.pi * turns)


def of_seeds(seeds: int, rng: Generator, files: int, rounds: int) -> NDArray[np.float64]:
    """Gives each seed a level of its own, with a spread of 5 %."""
    levels = rng.normal(0, 0.05, (files, seeds))
    return tail(rng, files, rounds) + levels[:, seeds_of(seeds, rounds)]


def of_files(rng: Generator, files: int, rounds: int) -> NDArray[np.float64]:
    """Gives each file a level of its own, with a spread of 2 %."""
    return tail(rng, files, rounds) + rng.normal(0, 0.02, (files, 1))


def seeds_of(seeds: int, rounds: int) -> NDArray[np.intp]:
    """Returns the seed of each round: one after the other."""
    return np.arange(rounds) * seeds // rounds


NOISES: dict[str, tuple[int, Noise]] = {
    "independent": (1, tail),
    "AR(1), 0.3": (1, partial(autocorrelated, 0.3)),
    "AR(1), 0.5": (1, partial(autocorrelated, 0.5)),
    "AR(1), 0.7": (1, partial(autocorrelated, 0.7)),
    "AR(1), 0.9": (1, partial(autocorrelated, 0.9)),
    "drift": (1, drifting),
    "wave": (1, waving),
    "2 seeds": (2, partial(of_seeds, 2)),
    "4 seeds": (4, partial(of_seeds, 4)),
    "5 seeds": (5, partial(of_seeds, 5)),
    "10 seeds": (10, partial(of_seeds, 10)),
    "level of a file": (1, of_files),
}
"""Number of seeds, and noise, by name."""
