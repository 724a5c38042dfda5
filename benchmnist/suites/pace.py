"""Pace and sizes: how long things take, and how much a budget of time allows to train."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmnist.suites.looks import announce

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST_LOOK = 5
"""Searches of the first look, where the last has as many: with three, an interval is half as wide again."""
SEEDS = 2
"""Seeds with which the outcome of each search is trained: at a constant learning rate, a last step is noisy."""
VALIDATION = 5000
SHARE = 5
"""Training examples that are held out: so many, or a part of a small dataset, one in so many."""
UNITS = {"s": 1, "m": 60, "h": 3600}
LONGEST = 7 * 24 * 3600
"""Seconds of a budget at most."""
SPENT = 0.85
"""Share of a budget that is planned; the rest is for what takes longer than it did when it was measured."""
FIRST = 0.7
"""Share of a budget that is planned for the first look, without which nothing can be said."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of the trainings.

    Attributes:
        steps: Steps of each training.
        attempts: Learning rates that each search tries.
        searches: Searches for each optimizer at the last look.
        validation: Training examples that the attempts are judged on.
        first: Searches of the first look.
    """

    steps: int
    attempts: int
    searches: int
    validation: int = VALIDATION
    first: int = FIRST_LOOK

    @property
    def looks(self) -> tuple[int, ...]:
        """The number of searches at each announced look."""
        return announce(range(min(self.searches, self.first)), self.searches).counts


@dataclass(frozen=True)
class Pace:
    """Times of a step, a trial and a run, here and now.

    Attributes:
        step: Seconds of a step of training, mean of the optimizers.
        trial: Seconds of a trial beside its steps: set-up and evaluation.
        run: Seconds of a run beside its trials: its plan, its workers and its report.
        slots: Trials that are trained at the same time.
        examples: Training examples.
        stacks: Number of optimizers, at each level of a problem, whose trials are trained as one stack.
        stack: Seconds of such a stack with hardly any rows.
    """

    step: float
    trial: float
    run: float
    slots: int = 1
    examples: int = 60_000
    stacks: int = 0
    stack: float = 0.0

    def of_look(self, sizes: Sizes, searches: int, before: int, optimizers: int, tuned: int) -> float:
        """Returns the seconds that a look takes.

        Args:
            sizes: The sizes.
            searches: Searches of the look.
            before: Searches of the look before, which are not trained again.
            optimizers: Number of optimizers, at each level of a problem.
            tuned: Number of those that choose their learning rate.
        """
        new, final, stacks = searches - before, SEEDS if tuned else 1, self.stacks
        trials = new * (max(0, tuned - stacks) * sizes.attempts + max(0, optimizers - stacks) * final)
        seconds = math.ceil(trials / self.slots) * (self.trial + sizes.steps * self.step)
        rows = (new * sizes.attempts, new * final) if tuned else (new * final,)
        seconds += sum(stacks * self.stack * (1 + number / STACKED) for number in rows) / self.slots
        return seconds + self.run * len(rows)

    def of_all(self, sizes: Sizes, optimizers: int, tuned: int) -> float:
        """Returns the seconds of all looks."""
        looks = (0, *sizes.looks)
        pairs = zip(looks[1:], looks[:-1], strict=True)
        return sum(self.of_look(sizes, now, before, optimizers, tuned) for now, before in pairs)


LEVELS = ((50, 4, 3), (80, 4, 5), (120, 5, 5), (200, 5, 8), (400, 7, 8), (600, 7, 13), (1200, 7, 20))
"""Least steps, attempts and searches of each level; the last that a budget allows is taken, with as many steps as
it allows."""
OF_PROBLEMS = ((1, 4, 6), (1, 5, 6), (1, 5, 10), (1, 7, 10), (1, 7, 16))
"""The same for problems, which state their steps. With six searches each, a chance of 2 in 924 is the least with
which all of one and none of the other are solved: little enough for four looks and two comparisons."""
OF_FUNCTIONS = ((1, 11, 6), (1, 11, 10), (1, 11, 16))
"""The same for functions: two learning rates a decade, of five. All are trained in one stack."""
STACKED = 32
"""Rows of a stack that take as long as the first does."""
MOST_STEPS = 6000
"""Ten epochs of MNIST; what is left of a budget then is not needed."""


def choose(
    budget: float,
    pace: Pace,
    optimizers: int,
    tuned: int,
    steps: int | None = None,
    *,
    levels: Sequence[tuple[int, int, int]] = LEVELS,
) -> Sizes | None:
    """Returns the sizes that a budget allows; None if it allows none.

    Args:
        budget: Seconds that are left.
        pace: How long things take.
        optimizers: Number of optimizers, at each level of a problem.
        tuned: Number of those that choose their learning rate.
        steps: Steps of a training, where they are given.
        levels: As LEVELS.
    """
    found = None
    held_out = max(1, min(VALIDATION, pace.examples // SHARE))
    for least, attempts, searches in levels:
        first = max(FIRST_LOOK, levels[0][2])
        level = Sizes(steps or least, attempts if tuned else 1, searches, held_out, first)
        most = _most_steps(budget, pace, level, optimizers, tuned)
        if most < level.steps:
            break
        found = level if steps else replace(level, steps=_round_down(min(MOST_STEPS, most)))
    return found


def _most_steps(budget: float, pace: Pace, sizes: Sizes, optimizers: int, tuned: int) -> float:
    """Returns the number of steps with which all looks and the first one end in time; their times are linear."""
    none, some = replace(sizes, steps=0), replace(sizes, steps=1000)
    first = sizes.looks[0]
    limits = (
        (SPENT * budget, pace.of_all(none, optimizers, tuned), pace.of_all(some, optimizers, tuned)),
        (
            FIRST * budget,
            pace.of_look(none, first, 0, optimizers, tuned),
            pace.of_look(some, first, 0, optimizers, tuned),
        ),
    )
    return min(1000 * (limit - at_none) / max(at_some - at_none, 1e-9) for limit, at_none, at_some in limits)


def least_budget(
    pace: Pace,
    optimizers: int,
    tuned: int,
    steps: int | None = None,
    *,
    levels: Sequence[tuple[int, int, int]] = LEVELS,
) -> float:
    """Returns the seconds that the smallest sizes take, as a budget; see `choose`."""
    few, attempts, searches = levels[0]
    least = Sizes(steps or few, attempts if tuned else 1, searches, first=searches)
    return pace.of_all(least, optimizers, tuned) / FIRST  # it has one look


def _round_down(value: float) -> int:
    """To two significant digits."""
    unit = 10 ** max(0, math.floor(math.log10(value)) - 1)
    return int(value // unit * unit)


def seconds_of(text: str) -> float:
    """Reads a budget: `60s`, `5m`, `1h`, `90`, in seconds without a unit.

    Raises:
        ValueError: if it is none, or not from 1 second to a week.
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)\s*([smh]?)", text.strip().lower())
    if match is None:
        raise ValueError(f"must be a time such as 60s, 5m or 1h, not {text[:40]!r}")
    seconds = float(match[1]) * UNITS[match[2] or "s"]
    if not 1 <= seconds <= LONGEST:
        raise ValueError(f"must be from 1s to {LONGEST // 3600}h, not {text!r}")
    return seconds
