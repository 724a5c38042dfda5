"""The hooks: what a plugin implements, and the first page that its author reads.

A plugin is a module named by an entry point of the group `benchmnist`. It decorates the hooks that it
implements with `benchmnist.hookimpl`; each returns specs, and none changes anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmnist.specs import DatasetSpec, ExecutorSpec, ModelSpec, OptimizerSpec

hookspec = pluggy.HookspecMarker("benchmnist")
hookimpl = pluggy.HookimplMarker("benchmnist")


@hookspec
def benchmnist_models() -> Iterable[ModelSpec]:  # type: ignore[empty-body]
    """Called once, when plugins are found. Return the models that you offer."""


@hookspec
def benchmnist_optimizers() -> Iterable[OptimizerSpec]:  # type: ignore[empty-body]
    """Called once, when plugins are found. Return the optimizers that you offer."""


@hookspec
def benchmnist_datasets() -> Iterable[DatasetSpec]:  # type: ignore[empty-body]
    """Called once, when plugins are found. Return the datasets that you offer."""


@hookspec
def benchmnist_executors() -> Iterable[ExecutorSpec]:  # type: ignore[empty-body]
    """Called once, when plugins are found. Return the executors that you offer."""
