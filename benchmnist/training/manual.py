"""A training to be timed by hand, in a Python test: one epoch or one step at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmnist.extensions.registry import find_plugins
from benchmnist.extensions.specs import OptimizerSpec
from benchmnist.suites.cases import Case, Component
from benchmnist.tasks import build_task
from benchmnist.training.augmentation import build_augmentation
from benchmnist.training.clock import synchronise
from benchmnist.training.data import Datasets, default_data_root, epoch_order
from benchmnist.training.device import DeviceSession
from benchmnist.training.environment import resolve_device
from benchmnist.training.fast_paths import plain_engine
from benchmnist.training.loop import evaluate
from benchmnist.training.trial import Build, Trial, build_model, build_optimizer, steps_per_epoch

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor, nn

    from benchmnist.extensions.registry import Registry


class ManualTraining:
    """A model in training on a dataset, under our protocol but under your clock.

    Every method returns when the device has come to rest, so that whatever times it times all of it.

    Args:
        model: The name of an installed model, or a module of your own; it is moved to the device.
        optimizer: The name of an installed optimizer, or a function that makes one for a model.
        model_params: Parameters for an installed model.
        optimizer_params: Parameters for an installed optimizer.
        dataset: The name of an installed dataset.
        normalise: Whether images have mean 0 and standard deviation 1 in each channel, as in suites.
        augmentation: The name of an installed augmentation of the training images.
        augmentation_params: Parameters for it.
        batch_size: Examples a step.
        train_size: Train on only the first so many examples.
        test_size: Test on only the first so many examples.
        seed: Decides the initial weights of an installed model, and the order of the examples.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        engine: How an epoch is executed: `dataloader`, or `auto` or `resident`, which are the same here.

    Raises:
        BenchmnistError: if a name is not known, the device is not there, or the dataset cannot be had.
    """

    def __init__(
        self,
        model: str | nn.Module = "fc",
        optimizer: str | Callable[[nn.Module], torch.optim.Optimizer] = "adam",
        *,
        model_params: dict[str, Any] | None = None,
        optimizer_params: dict[str, Any] | None = None,
        dataset: str = "mnist",
        normalise: bool = False,
        augmentation: str | None = None,
        augmentation_params: dict[str, Any] | None = None,
        batch_size: int = 100,
        train_size: int | None = None,
        test_size: int | None = None,
        seed: int = 0,
        device: str = "auto",
        engine: str = "auto",
    ) -> None:
        registry = find_plugins()
        self.device = resolve_device(device)
        task = registry.tasks[registry.datasets[dataset].spec.task].spec
        own_model, own_optimizer = not isinstance(model, str), not isinstance(optimizer, str)
        self.case = Case(
            id="manual",
            dataset=_component(dataset, None),
            task=_component(task.name, None),
            evaluates=task.metrics,
            model=_component("own" if own_model else str(model), model_params),
            optimizer=_component("own" if own_optimizer else str(optimizer), optimizer_params),
            epochs=1,
            batch_size=batch_size,
            seeds=(seed,),
            train_size=train_size,
            test_size=test_size,
            normalise=normalise,
            augmentation=_augmentation(registry, augmentation, augmentation_params),
        )
        self.dataset = Datasets(registry, default_data_root()).for_case(self.case)
        self.session = DeviceSession(self.device)
        with self.session.current():
            self.engine = plain_engine(engine)(self.dataset, self.session, batch_size)
            built = model if not isinstance(model, str) else build_model(self.case, seed, registry, self.dataset)
            self.model = built.to(self.device)
        if isinstance(optimizer, str):
            spec = registry.optimizers[optimizer].spec
            params = {**spec.defaults, **self.case.optimizer.params}
            case = self.case.model_copy(
                update={"optimizer": self.case.optimizer.model_copy(update={"params": params})}
            )
            steps = steps_per_epoch(self.case, self.dataset)
            self.optimizer = build_optimizer(
                case, registry, self.model, steps, how=Build(fused=engine != "dataloader")
            )
        else:
            spec = OptimizerSpec(name="own", summary="", build=optimizer)
            self.optimizer = optimizer(self.model)
        self.trial = Trial(
            self.model,
            self.optimizer,
            spec,
            seed=seed,
            task=build_task(self.case, registry),
            augmentation=build_augmentation(self.case, registry, self.dataset, self.device),
        )
        self.trial.begin_augmentation(1)
        self.epochs_trained = 0
        self._order = epoch_order(len(self.dataset.train_images), seed, 1)
        self._start = 0

    def epoch(self) -> float:
        """Trains on every example once, in a new order each time; returns the mean loss."""
        self.epochs_trained += 1
        self.trial.begin_augmentation(self.epochs_trained)
        order = epoch_order(len(self.dataset.train_images), self.case.seeds[0], self.epochs_trained)
        return self._train(order)

    def step(self) -> float:
        """Trains on the next whole batch, from the first again after the last; returns the loss before it."""
        if self._start + self.case.batch_size > len(self._order):  # each step has the same size, to be timed
            self._start = 0
        batch = self._order[self._start : self._start + self.case.batch_size]
        self._start += self.case.batch_size
        return self._train(batch)

    def _train(self, order: Tensor) -> float:
        self.trial.train()
        with self.session.current():
            loss = self.engine.train_epoch(self.trial, self.engine.move(order)).mean()
            synchronise(self.device)
            return loss.item()

    def evaluate(self) -> dict[str, float]:
        """Tests the model; returns the task's figures: `test_loss`, mean cross-entropy, and `test_accuracy`, %."""
        with self.session.current():
            return evaluate(self.trial, *self.session.data(self.dataset).test, self.case)


def _component(name: str, params: dict[str, Any] | None) -> Component:
    return Component(name=name, use=name, params=params or {}, distribution="", version="")


def _augmentation(registry: Registry, name: str | None, params: dict[str, Any] | None) -> Component | None:
    """Returns the augmentation with the parameters that it has by default; None without one."""
    if name is None:
        return None
    return _component(name, {**registry.augmentations[name].spec.defaults, **(params or {})})
