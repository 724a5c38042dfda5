"""Descriptions of models, as a run stores them."""

from __future__ import annotations

from benchmnist.suites.cases import Frozen


class Layer(Frozen):
    """A layer of a model.

    Attributes:
        name: Its name within the model, `features.0`.
        kind: Its class, `Conv2d`.
        settings: Its arguments, as torch prints them.
        output_shape: Shape of its output for one image.
        parameters: Number of its trainable parameters.
        multiply_adds: Multiply-adds for one image.
    """

    name: str
    kind: str
    settings: str = ""
    output_shape: tuple[int, ...] = ()
    parameters: int = 0
    multiply_adds: int = 0


class ModelDescription(Frozen):
    """The layers of a model, on a dataset.

    Attributes:
        dataset, model: Their labels.
        layers: Layers in the order in which an image passes them.
    """

    dataset: str
    model: str
    layers: tuple[Layer, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Classes of its layers."""
        return tuple(layer.kind for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Total number of trainable parameters."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Total number of multiply-adds for one image."""
        return sum(layer.multiply_adds for layer in self.layers)
