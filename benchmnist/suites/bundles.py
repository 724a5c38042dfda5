"""Bundles: cases that differ in the parameters of their optimizer only, trained as one task, in one stack."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from benchmnist.suites.cases import Case

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.extensions.registry import Registry


class Bundle(Case):
    """A case that stands for several: its `seeds` are the numbers of its rows, and each row is a trial of a point.

    So an executor trains a bundle as it trains any stacked case, and its epochs and its result are told by row.

    Attributes:
        points: The cases, each with the seeds to train.
    """

    points: tuple[Case, ...]

    @classmethod
    def of(cls, points: Sequence[Case]) -> Self:
        """The bundle of cases that `alike` says may be trained together."""
        first, rows = points[0], sum(len(point.seeds) for point in points)
        fields = {name: getattr(first, name) for name in Case.model_fields}
        return cls.model_construct(
            **{**fields, "id": f"{first.id} and {len(points) - 1} more", "seeds": tuple(range(rows))},
            points=tuple(points),
        )

    def shortened(self, rows: int) -> Self:
        """Returns the bundle of so many of its rows, the first ones."""
        points: list[Case] = []
        for point in self.points:
            if left := rows - sum(len(each.seeds) for each in points):
                points.append(point.model_copy(update={"seeds": point.seeds[:left]}))
        return type(self).of(points).model_copy(update={"engine": self.engine, **self._budget})

    @property
    def _budget(self) -> dict[str, int | None]:
        """Its own number of epochs or steps, which may have been changed to try something."""
        return {"epochs": self.epochs, "steps": self.steps}

    @cached_property
    def _rows(self) -> list[tuple[int, int]]:
        return [(index, seed) for index, point in enumerate(self.points) for seed in point.seeds]

    def row(self, seed: int) -> tuple[Case, int]:
        """See Case."""
        index, of_point = self._rows[seed]
        return self.points[index].model_copy(update=self._budget), of_point

    @property
    def firsts(self) -> tuple[int, ...]:
        """See Case."""
        indices = [index for index, _ in self._rows]
        return tuple(indices.index(index) for index in range(len(self.points)))


OF_A_STEP = ("model", "optimizer", "schedule", "augmentation", "task")
"""Kinds of plugin of which there is code in a step."""


def has_built_in_step(case: Case, registry: Registry) -> bool:
    """Tells whether all that takes part in a step of a case is built in.

    What a stranger's code does may depend on more than the first steps and its promises show.
    """
    parts = ((kind.name, part) for kind, part in case.components if kind.name in OF_A_STEP)
    return all(registry.by_kind[kind][part.use].plugin.is_built_in for kind, part in parts)


def has_built_in_schedule(case: Case, registry: Registry) -> bool:
    """Tells whether a case has no schedule but a built-in one, which changes only numbers of the optimizer."""
    return case.schedule is None or registry.schedules[case.schedule.use].plugin.is_built_in


def why_not_elementwise(case: Case, registry: Registry) -> str:
    """Returns why the entries of a parameter may not be updated without the others; empty if they may."""
    spec = registry.optimizers[case.optimizer.use].spec
    may = spec.elementwise and not spec.needs_closure and not spec.needs_create_graph
    return "" if may else f"the optimizer {spec.name} does not say that it may be"


def why_not_pure(case: Case, registry: Registry) -> str:
    """Returns why the loss of a case may depend on more than what it is given; empty if it does not."""
    if case.augmentation and not registry.augmentations[case.augmentation.use].spec.pure:
        return f"the augmentation {case.augmentation.use} does not say that it is pure"
    if case.task is None or registry.tasks[case.task.use].spec.pure:
        return ""
    return f"the task {case.task.use} does not say that its loss is pure"


def why_not_stacked(case: Case, registry: Registry) -> str:
    """Returns why the trials of a case may not be stacked, as far as plugins say it; empty if they may."""
    scheduled = has_built_in_schedule(case, registry)
    strange = "" if scheduled else "the schedule of a plugin may look at the weights of all seeds"
    return why_not_elementwise(case, registry) or strange or why_not_pure(case, registry)


def alike(case: Case) -> dict[str, Any]:
    """Returns what has to be the same in a bundle: all but names, seeds and what the optimizer is given."""
    found = case.model_dump(exclude=case.not_deciding | {"seeds"})
    found["optimizer"] = {name: found["optimizer"][name] for name in ("use", "distribution", "version")}
    return {**found, "resources": case.resources}
