"""Searches for hyperparameters, as a run stores them."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from benchmnist.metrics import PRIMARY, Metric
from benchmnist.suites.cases import Frozen, Space


class Attempt(Frozen):
    """A point of a search space, with its result.

    Attributes:
        params: The point.
        value: Metric of the search on the validation examples after the last epoch, mean over the seeds; None if
            it diverged or failed.
    """

    params: dict[str, Any]
    value: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_runs(cls, data: object) -> object:
        """Reads `accuracy`, which was the only metric of searches."""
        if not isinstance(data, dict) or "accuracy" not in data:
            return data
        return {("value" if key == "accuracy" else key): value for key, value in data.items()}


class Search(Frozen):
    """Search for the hyperparameters of an optimizer, for a model on a dataset.

    Attributes:
        dataset, model, label: Labels of the dataset, the model and the block of cases.
        method: The tuned optimizer, with everything else that the suite varies.
        metric: Metric that the attempts are judged by.
        sampler: `random`, `tpe`, `grid`, or a sampler of optuna.
        space: Search space, by hyperparameter.
        attempts: Attempts in their order.
        run: Run whose cases are the attempts, `suite/run`.
        number: Number of the search, from 1; None if the suite has only one.
    """

    dataset: str
    model: str
    label: str = ""
    method: str
    metric: Metric = PRIMARY
    sampler: str
    space: dict[str, Space]
    attempts: tuple[Attempt, ...]
    run: str = ""
    number: int | None = None

    @property
    def row(self) -> str:
        """Its method in tables, with its number: `sgd/search-2`."""
        return self.method if self.number is None else f"{self.method}/search-{self.number}"

    @property
    def best(self) -> Attempt | None:
        """First attempt with the best value; None if all diverged or failed."""
        there = [attempt for attempt in self.attempts if attempt.value is not None]
        sign = 1 if self.metric.better == "higher" else -1
        return max(there, key=lambda attempt: sign * (attempt.value or 0.0), default=None)
