"""Describes a model by showing it one image: its layers, their shapes, weights and work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmnist.errors import BenchmnistError, first_line
from benchmnist.extensions.kinds import MODEL
from benchmnist.extensions.registry import find_plugins
from benchmnist.extensions.specs import CLASSIFICATION
from benchmnist.runs.models import Layer, ModelDescription
from benchmnist.suites.cases import Component
from benchmnist.suites.parameters import parameters_of
from benchmnist.tasks import prepared
from benchmnist.training.data import Datasets, default_data_root
from benchmnist.training.trial import make_model

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from torch import nn

    from benchmnist.tasks import Task

OUTSIDE = "(outside of its layers)"


def describe(model: nn.Module, input_shape: tuple[int, int, int]) -> tuple[Layer, ...]:
    """The layers of a model in the order in which an image passes them; one that it passes twice is there twice.

    A layer is a module that has no modules within it. Torch counts the work, of products and convolutions: two
    floating-point operations are one multiply-add. What is computed outside of layers is a row of its own.

    Args:
        model: The model, on the CPU; it is left in eval() mode.
        input_shape: (channels, height, width) of an image.
    """
    layers: list[Layer] = []
    counter = FlopCounterMode(display=False)
    before: list[int] = []
    names = {module: name for name, module in model.named_modules() if not [*module.children()]}
    counted: set[nn.Parameter] = set()

    def weights(module: nn.Module) -> int:
        """Counts its trainable parameters that no earlier layer has."""
        new = {p for p in module.parameters() if p.requires_grad} - counted
        counted.update(new)
        return sum(parameter.numel() for parameter in new)

    def enters(*_: Any) -> None:
        before.append(counter.get_total_flops())

    def leaves(module: nn.Module, _: Any, output: Any) -> None:
        layers.append(
            Layer(
                name=names[module],
                kind=type(module).__name__,
                settings=module.extra_repr(),
                output_shape=tuple(output.shape[1:]) if isinstance(output, Tensor) else (),
                parameters=weights(module),
                multiply_adds=(counter.get_total_flops() - before.pop()) // 2,
            )
        )

    hooks = [module.register_forward_pre_hook(enters) for module in names]
    hooks += [module.register_forward_hook(leaves) for module in names]
    try:
        model.eval()
        with counter, torch.no_grad():
            output = model(torch.zeros(1, *input_shape))
    finally:
        for hook in hooks:
            hook.remove()
    elsewhere = counter.get_total_flops() // 2 - sum(layer.multiply_adds for layer in layers)
    loose = weights(model)
    if elsewhere or loose:
        shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else ()
        layers.append(Layer(name="", kind=OUTSIDE, output_shape=shape, parameters=loose, multiply_adds=elsewhere))
    return tuple(layers)


def describe_offer(
    model: str, params: Mapping[str, Any], dataset: str, data_root: Path | None, block: Collection[str] = ()
) -> ModelDescription:
    """A model that some plugin offers, made for the images of a dataset.

    Raises:
        BenchmnistError: if there is no such model or dataset, or it cannot be made with those parameters.
    """
    registry = find_plugins(block)
    spec = registry.models[model].spec
    takes = parameters_of(spec, MODEL.harness)
    for name, value in params.items():
        if problem := takes.problem(name, value):
            raise BenchmnistError(f"{name}: {problem}")
    offer = registry.datasets[dataset]
    component = Component(
        name=dataset,
        use=dataset,
        params=dict(offer.spec.defaults),
        distribution=offer.plugin.distribution,
        version=offer.plugin.version,
    )
    images = Datasets(registry, data_root or default_data_root()).load(component)
    task: Task = registry.tasks[offer.spec.task if spec.task == CLASSIFICATION else spec.task].spec.load()()
    given = {**spec.defaults, **params}
    try:
        images = prepared(task, images.first(1, 1))
        made = make_model(spec.load(), images.input_shape, task.output_shape(images), given)
        layers = describe(made, images.input_shape)
    except Exception as error:
        raise BenchmnistError(f"{model!r} refuses: {first_line(error)}") from error
    return ModelDescription(dataset=dataset, model=model, layers=layers)
