"""The small real problem that the checks train on: 200 digits of MNIST and a network of one hidden layer.

Two batches are the whole of it, so that an optimizer made for the gradient of all examples (Rprop, LBFGS) does
well on it too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from benchmnist.extensions.specs import OptimizerSpec
from benchmnist.suites.cases import Case, Component
from benchmnist.tasks import build_task
from benchmnist.training.data import epoch_order, seed_for, to_unit
from benchmnist.training.loop import evaluate
from benchmnist.training.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from benchmnist.training.data import Datasets

SIZE, BATCH = 200, 100
INPUT_SHAPE, NUM_CLASSES = (1, 28, 28), 10


def component(name: str, **params: Any) -> Component:
    """Returns an installed dataset, model, optimizer or schedule with these parameters."""
    return Component(name=name, use=name, params=params, distribution="benchmnist", version="")


CASE = Case(
    id="check",
    dataset=component("mnist"),
    model=component("fc"),
    optimizer=component("checked"),
    epochs=1,
    batch_size=BATCH,
    seeds=(0,),
    train_size=SIZE,
    test_size=SIZE,
)


def small_model(seed: int = 0) -> nn.Module:
    """Returns a network 784-32-10 with ReLU and the weights of the seed."""
    torch.manual_seed(seed_for("weights", seed))
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(28 * 28, 32), torch.nn.ReLU(), torch.nn.Linear(32, NUM_CLASSES)
    )


UNTRAINED = OptimizerSpec(name="untrained", summary="", build="torch.optim:SGD")
"""An optimizer without modes: an optimizer with modes may not switch them before its first step."""


class Exercise:
    """A model and its optimizer in training on the small problem.

    Args:
        datasets: Loads the digits.
        model: What to train; in training mode from now on.
        build: Makes the optimizer for it.
        spec: What is said of that optimizer.
        seed: Of the order of the examples.
        case: The digits, and the task; by default to classify them.
    """

    def __init__(
        self,
        datasets: Datasets,
        model: nn.Module,
        build: Callable[[nn.Module], torch.optim.Optimizer],
        spec: OptimizerSpec,
        seed: int = 0,
        *,
        case: Case = CASE,
    ) -> None:
        data = datasets.for_case(case)
        self.images, self.labels = to_unit(data.train_images, torch.device("cpu")), data.train_labels
        self.model, self.seed, self.steps = model, seed, 0
        self.optimizer = build(model)
        self.trial = Trial(model, self.optimizer, spec, task=build_task(case, datasets.registry))

    def train(self, steps: int) -> list[float]:
        """Makes that many further steps; returns the loss before each."""
        self.trial.train()
        return [self._step() for _ in range(steps)]

    def _step(self) -> float:
        epoch, start = divmod(self.steps * BATCH, len(self.images))
        chosen = epoch_order(len(self.images), self.seed, epoch)[start : start + BATCH]
        torch.manual_seed(seed_for("noise", self.seed, self.steps))
        self.steps += 1
        return self.trial.step(self.images[chosen], self.labels[chosen]).item()

    def loss(self) -> float:
        """Returns the mean loss over all examples, as the harness tests, which it never does before an epoch."""
        trial = self.trial if self.steps else Trial(self.model, self.optimizer, UNTRAINED)
        return evaluate(trial, self.images, self.labels, CASE)["test_loss"]

    def weights(self) -> Tensor:
        """Returns a copy of all of the model's parameters, concatenated."""
        return torch.cat([p.detach().flatten().clone() for p in self.model.parameters()])
