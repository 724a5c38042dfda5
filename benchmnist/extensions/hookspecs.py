"""The hooks that a plugin implements; the first page that its author reads.

A plugin is a module that an entry point of the group `benchmnist` names. It decorates each hook that it
implements with `benchmnist.hookimpl`. A hook returns specs and changes nothing. BenchMNIST calls every hook
whenever it looks for plugins, which may be several times in a process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmnist.extensions.specs import (
        AugmentationSpec,
        DatasetSpec,
        ExecutorSpec,
        MetricSpec,
        ModelSpec,
        OptimizerSpec,
        ProblemSpec,
        ScheduleSpec,
        TaskSpec,
    )

HOOK_API = 1
"""The version of the interface: the hooks, the specs, and how each `build` is called.

It increases when a correct plugin would no longer work. A new hook, or a new attribute of a spec with a default,
does not increase it. A plugin may state the version for which it was written: `BENCHMNIST_API = 1` in its module.
If that is another version, the plugin is not loaded, and `benchmnist plugins` shows why. Every run records the
version.
"""

hookspec = pluggy.HookspecMarker("benchmnist")
hookimpl = pluggy.HookimplMarker("benchmnist")


@hookspec
def benchmnist_models() -> Iterable[ModelSpec]:  # type: ignore[empty-body]
    """Returns the models that the plugin offers.

    Example:
        import math

        from torch import nn

        from benchmnist import ModelSpec, hookimpl


        def build(*, input_shape, num_classes, width=64):
            pixels = math.prod(input_shape)
            return nn.Sequential(nn.Flatten(), nn.Linear(pixels, width), nn.Tanh(), nn.Linear(width, num_classes))


        @hookimpl
        def benchmnist_models():
            return [ModelSpec(name="tanh-net", summary="one hidden layer with tanh", build=build)]
    """


@hookspec
def benchmnist_optimizers() -> Iterable[OptimizerSpec]:  # type: ignore[empty-body]
    """Returns the optimizers that the plugin offers.

    Example:
        import torch

        from benchmnist import OptimizerSpec, hookimpl


        def build(model, *, lr=1e-3, betas=(0.9, 0.99)):
            return torch.optim.Adam(model.parameters(), lr=lr, betas=betas)


        @hookimpl
        def benchmnist_optimizers():
            return [OptimizerSpec(name="quick-adam", summary="Adam that forgets sooner", build=build)]
    """


@hookspec
def benchmnist_schedules() -> Iterable[ScheduleSpec]:  # type: ignore[empty-body]
    """Returns the learning-rate schedules that the plugin offers.

    Example:
        from torch.optim.lr_scheduler import PolynomialLR

        from benchmnist import ScheduleSpec, hookimpl


        def build(optimizer, *, total_steps, power=2.0):
            return PolynomialLR(optimizer, total_iters=total_steps, power=power)


        @hookimpl
        def benchmnist_schedules():
            return [ScheduleSpec(name="polynomial", summary="down along a polynomial", build=build)]
    """


@hookspec
def benchmnist_augmentations() -> Iterable[AugmentationSpec]:  # type: ignore[empty-body]
    """Returns the augmentations that the plugin offers.

    Example:
        from benchmnist import AugmentationSpec, hookimpl


        def build(*, most=0.2):
            def fade(images, numbers):
                return images * (1 - most * numbers[:, 0, None, None, None])

            return fade


        @hookimpl
        def benchmnist_augmentations():
            return [AugmentationSpec(name="fade", summary="darker by a random share", build=build, pure=True)]
    """


@hookspec
def benchmnist_datasets() -> Iterable[DatasetSpec]:  # type: ignore[empty-body]
    """Returns the datasets that the plugin offers.

    Example:
        import torch

        from benchmnist import Dataset, DatasetSpec, hookimpl


        def build(*, root, size=1000):
            images = torch.rand(size, 1, 28, 28, generator=torch.Generator().manual_seed(0))
            brighter = images[:, :, :14].mean((1, 2, 3)) > images[:, :, 14:].mean((1, 2, 3))
            labels = brighter.long()
            half = size // 2
            return Dataset(images[:half], labels[:half], images[half:], labels[half:], ("bottom", "top"))


        @hookimpl
        def benchmnist_datasets():
            return [DatasetSpec(name="halves", summary="which half is brighter", build=build)]
    """


@hookspec
def benchmnist_tasks() -> Iterable[TaskSpec]:  # type: ignore[empty-body]
    """Returns the tasks that the plugin offers.

    Example:
        import torch
        from torch.nn import functional

        from benchmnist import Dataset, DatasetSpec, Metric, TaskSpec, hookimpl
        from benchmnist.errors import DataError


        class Regression:
            def check(self, data, name):
                for labels in (data.train_labels, data.test_labels):
                    if labels.ndim != 2 or labels.dtype != torch.float32:
                        raise DataError(f"{name} has labels of {labels.dtype}, not [N, K] of float32")

            def output_shape(self, data):
                return tuple(data.train_labels.shape[1:])

            def loss(self, outputs, targets):
                return functional.mse_loss(outputs, targets)

            def evaluate(self, outputs, targets):
                return {"mse": (outputs - targets).square().mean(dim=1).sum()}


        def build_sines(*, root, size=1000):
            times = torch.rand(size, 1, 1, 1, generator=torch.Generator().manual_seed(0))
            values = torch.cat([(6 * times).sin(), (6 * times).cos()], dim=1).view(size, 2)
            half = size // 2
            return Dataset(times[:half], values[:half], times[half:], values[half:])


        @hookimpl
        def benchmnist_tasks():
            mse = Metric("mse", "mean squared error", better="lower", digits=4, heading="mse")
            return [
                TaskSpec(name="regression", summary="least squares", build=Regression, metrics=(mse,), pure=True),
            ]


        @hookimpl
        def benchmnist_datasets():
            return [DatasetSpec(name="sines", summary="two waves", build=build_sines, task="regression")]
    """


@hookspec
def benchmnist_metrics() -> Iterable[MetricSpec]:  # type: ignore[empty-body]
    """Returns the evaluation metrics that the plugin offers; a suite lists those that it uses.

    Example:
        from benchmnist import MetricSpec, hookimpl


        def build(*, k=5):
            def hits(logits, labels):
                return 100 * (logits.topk(k).indices == labels[:, None]).sum()

            return hits


        @hookimpl
        def benchmnist_metrics():
            return [
                MetricSpec(
                    name="top-5",
                    summary="share of images whose class is among the five highest logits",
                    build=build,
                    title="top-5 test accuracy",
                    unit="%",
                    better="higher",
                )
            ]
    """


@hookspec
def benchmnist_problems() -> Iterable[ProblemSpec]:  # type: ignore[empty-body]
    """Returns the problems that the plugin offers.

    Example:
        from benchmnist import ProblemSpec, hookimpl


        @hookimpl
        def benchmnist_problems():
            return [
                ProblemSpec(
                    name="few-digits",
                    summary="softmax regression on ever fewer digits",
                    model="logistic",
                    settings={"epochs": 5, "test_size": 1000, "target_accuracy": 70.0},
                    levels={"1": {"train_size": 2000}, "2": {"train_size": 500}},
                    solved_by={"optimizer": "adam", "lr": 0.01},
                )
            ]
    """


@hookspec
def benchmnist_executors() -> Iterable[ExecutorSpec]:  # type: ignore[empty-body]
    """Returns the executors that the plugin offers.

    Example:
        from benchmnist import ExecutorSpec, hookimpl


        @hookimpl
        def benchmnist_executors():
            build = "benchmnist.executors.inline:InlineExecutor"
            return [ExecutorSpec(name="here", summary="in this process, by another name", build=build)]
    """
