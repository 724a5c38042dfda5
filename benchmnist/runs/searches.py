"""Searches for hyperparameters, as a run stores them."""

from __future__ import annotations

import math
from typing import Any

from pydantic import model_validator

from benchmnist.metrics import PRIMARY, TARGET_STEPS, Metric
from benchmnist.suites.cases import Frozen, Space


class Attempt(Frozen):
    """A point of a search space, with its result.

    Attributes:
        params: The point.
        value: Metric of the search on the validation examples after the last step, mean over the seeds; None if
            it diverged or failed.
        reached: Number of seeds that reached the target; None in a search without one.
        steps: Median of their steps to the target; None if none reached it.
    """

    params: dict[str, Any]
    value: float | None = None
    reached: int | None = None
    steps: float | None = None

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
        target: Target at which its trials stop, `a test loss of 0.01`; empty without one.
        seeds: Number of seeds that judge an attempt, where there is a target.
        budget: Steps of a trial at most, where there is a target; 0 if nothing was trained.
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
    target: str = ""
    seeds: int = 0
    budget: int = 0

    @property
    def judged_by(self) -> Metric:
        """Metric that orders the attempts: the steps to the target if there is one."""
        return TARGET_STEPS if self.target else self.metric

    @property
    def row(self) -> str:
        """Its method in tables, with its number: `sgd/search-2`."""
        return self.method if self.number is None else f"{self.method}/search-{self.number}"

    @property
    def best(self) -> Attempt | None:
        """First of the best attempts; None if all diverged or failed before they reached a target.

        With a target, more seeds that reach it are better, then fewer steps, then a better value.
        """
        there = [attempt for attempt in self.attempts if attempt.value is not None or attempt.reached]
        return max(there, key=self._rank, default=None)

    def _rank(self, attempt: Attempt) -> tuple[float, float, float]:
        sign = 1 if self.metric.better == "higher" else -1
        value = -math.inf if attempt.value is None else sign * attempt.value
        return attempt.reached or 0, -(attempt.steps or 0.0), value
