"""Searches for hyperparameters, as a run stores them."""

from __future__ import annotations

from typing import Any

from benchmnist.suites.cases import Frozen, Space


class Attempt(Frozen):
    """A point of a search space, with its accuracy.

    Attributes:
        params: The point.
        accuracy: Accuracy on the validation examples after the last epoch, %, mean over the seeds; None if it
            diverged or failed.
    """

    params: dict[str, Any]
    accuracy: float | None = None


class Search(Frozen):
    """Search for the hyperparameters of an optimizer, for a model on a dataset.

    Attributes:
        dataset, model, label: Labels of the dataset, the model and the block of cases.
        method: The tuned optimizer, with everything else that the suite varies.
        sampler: `random`, `tpe` or `grid`.
        space: Search space, by hyperparameter.
        attempts: Attempts in their order.
        run: Run whose cases are the attempts, `suite/run`.
    """

    dataset: str
    model: str
    label: str = ""
    method: str
    sampler: str
    space: dict[str, Space]
    attempts: tuple[Attempt, ...]
    run: str = ""

    @property
    def best(self) -> Attempt | None:
        """First attempt with the highest accuracy; None if all diverged or failed."""
        there = [attempt for attempt in self.attempts if attempt.accuracy is not None]
        return max(there, key=lambda attempt: attempt.accuracy or 0.0, default=None)
