"""Finds the problems of a plan that only trying it shows, before any training, and its work."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from benchmnist.errors import LONGEST_PLACES, DataError, Problem, TrialError, first_line
from benchmnist.extensions.isolation import contained
from benchmnist.extensions.kinds import (
    AUGMENTATION,
    BUNDLED,
    DATASET,
    MODEL,
    OPTIMIZER,
    PROBLEM,
    SCHEDULE,
    SETS,
    SETTINGS,
    TASK,
    Kind,
)
from benchmnist.extensions.specs import CLASSIFICATION
from benchmnist.preflight.culprits import culprit, size_in
from benchmnist.preflight.describe import describe
from benchmnist.preflight.parameter_groups import Grouped, GroupedModels
from benchmnist.runs.models import ModelDescription
from benchmnist.suites.cases import GROUPS
from benchmnist.tasks import build_task
from benchmnist.training.augmentation import build_augmentation
from benchmnist.training.data import to_unit
from benchmnist.training.parameter_groups import GroupError
from benchmnist.training.precision import precision_of
from benchmnist.training.trial import build_model, build_optimizer, build_schedule, steps_of_trial, steps_per_epoch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from torch import nn

    from benchmnist.extensions.registry import Registry
    from benchmnist.extensions.specs import Dataset
    from benchmnist.runs.models import Layer
    from benchmnist.suites.cases import Case, Component
    from benchmnist.suites.plan import Plan
    from benchmnist.suites.toml_lines import TomlPath
    from benchmnist.training.data import Datasets

    Model = tuple[nn.Module, tuple[Layer, ...], int]

BEAT = 1.0
"""Seconds after which something that is tried again and again, with other parameters, is told once more."""


@dataclass(frozen=True)
class Work:
    """The work of one epoch of a case.

    Attributes:
        parameters: Trainable parameters of the model.
        steps: Steps an epoch.
        flop: Floating-point operations an epoch, about: three times the forward pass of all examples, since
            the backward pass has two products for each of the forward pass's; and that as often as the optimizer
            says that it makes a step of them. What the optimizer itself computes is not counted.
    """

    parameters: int
    steps: int
    flop: float


@dataclass(frozen=True)
class Preflight:
    """The result of trying a plan.

    Attributes:
        work: That of each case that can be built, by id.
        problems: Why the others cannot be.
        notes: What was noticed of the plugins beside, in words.
        data: The digest of each such case's dataset, by case id.
        models: What each model that can be built is made of, on each dataset.
        grouped: What is in which parameter group, for each model and optimizer with groups.
    """

    work: dict[str, Work]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    data: dict[str, str]
    models: tuple[ModelDescription, ...] = ()
    grouped: tuple[Grouped, ...] = ()


def preflight(
    plan: Plan,
    registry: Registry,
    datasets: Datasets,
    device: torch.device,
    *,
    tell: Callable[[str], None] = lambda _: None,
    deadly: Collection[str] = (),
) -> Preflight:
    """Loads each dataset, and builds each model and optimizer of a plan once, without training.

    What a `build` refuses with a ValueError or TypeError is a mistake in the suite, as a negative learning rate
    is; and any other exception of a `build` whose parameters the suite sets, as torch raises a RuntimeError for a
    layer of negative size. The rest is left for the training, which keeps its traceback.

    Args:
        plan: The cases.
        registry: The plugins.
        datasets: Loads their datasets.
        device: What they will be trained on.
        tell: Is told what is tried next, `the model 'fc' of benchmnist 0.1.0`.
        deadly: What is not tried, in the same words.
    """
    with torch.random.fork_rng(devices=[]):
        return _Preflight(plan, registry, datasets, device, tell=tell, deadly=deadly).check()


class _NotTried(Exception):  # noqa: N818 - not an error
    """It would take this process with it."""


class _Preflight:
    def __init__(
        self,
        plan: Plan,
        registry: Registry,
        datasets: Datasets,
        device: torch.device,
        *,
        tell: Callable[[str], None],
        deadly: Collection[str],
    ) -> None:
        self.plan, self.registry, self.datasets, self.device = plan, registry, datasets, device
        self.tell, self.deadly = tell, deadly
        self.problems: dict[str, Problem] = {}  # by what was refused, so that each is told once
        self.notes: dict[str, None] = {}  # in order, each once
        self.told, self.heard = "", 0.0  # what was told last, and when
        self.models: dict[str, Model | None] = {}
        self.last: tuple[tuple[object, ...], Dataset] | None = None  # what the case before this one has
        self.supported: set[str] = set()  # precisions
        self.tried: dict[str, bool] = {}
        self.alone: dict[str, str] = {}  # why a model cannot train on one image
        self.groups = GroupedModels(plan.suite)

    def check(self) -> Preflight:
        work: dict[str, Work] = {}
        data: dict[str, str] = {}
        described: dict[tuple[str, str], ModelDescription] = {}
        for case in self.plan.cases:
            dataset = self.dataset(case) if self.others(case) else None
            if dataset is None or not self.precision(case):
                continue
            data[case.id] = self.datasets.digest(case)
            built = self.model(case, dataset)
            if built is None or not self.augmentation(case, dataset):
                continue
            model, layers, parameters = built
            there = case.dataset.label, case.model.label
            described.setdefault(there, ModelDescription(dataset=there[0], model=there[1], layers=layers))
            if not self.last_batch(case, model, dataset) or not self.optimizer(case, model, dataset):
                continue
            passes = self.registry.optimizers[case.optimizer.use].spec.passes or 1
            work[case.id] = Work(
                parameters=parameters,
                steps=steps_per_epoch(case, dataset),
                flop=3 * 2.0 * described[there].multiply_adds * passes * len(dataset.train_images),
            )
        problems = (*self.problems.values(), *self.groups.problems())
        grouped, models = tuple(self.groups.found.values()), tuple(described.values())
        return Preflight(work, problems, tuple(self.notes), data, models, grouped)

    @contextlib.contextmanager
    def building(self, kind: Kind, component: Component) -> Iterator[None]:
        """Runs a plugin's code within it: undoes and notes its side effects."""
        where = f"the {kind.name} {component.use!r} of {component.distribution} {component.version}"
        if where in self.deadly:
            raise _NotTried
        now = time.monotonic()
        if where != self.told or now - self.heard > BEAT:
            self.tell(where)
            self.told, self.heard = where, now
        noticed: Iterable[str] = ()
        try:
            with contained() as noticed:
                yield
        finally:
            self.notes |= dict.fromkeys(f"{where} {note}" for note in noticed)

    @contextlib.contextmanager
    def refusals(self, kind: Kind, component: Component, case: Case) -> Iterator[None]:
        """Within it a `build` runs: an exception over parameters that the suite sets is a mistake there.

        With only its defaults a plugin has to build: an exception of these types is then a bug of the plugin.
        """
        try:
            yield
        except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError) as error:
            defaults = self.registry.by_kind[kind.name][component.use].spec.defaults
            if component.params != defaults or component.groups:
                self.report(kind, component, case, error)
            raise

    def dataset(self, case: Case) -> Dataset | None:
        wanted = case.dataset, case.task, case.train_size, case.test_size, case.validation_size
        images = case.normalise, case.augmentation is None
        if self.last is not None and self.last[0] == (*wanted, *images):
            return self.last[1]
        self.last = None
        try:
            with self.building(DATASET, case.dataset):
                self.datasets.load(case.dataset)
            about = contextlib.nullcontext() if case.task is None else self.building(TASK, case.task)
            with about:
                self.last = (*wanted, *images), self.datasets.for_case(case)
                return self.last[1]
        except DataError as error:
            sizes = map(str, (case.train_size, case.test_size, case.validation_size))
            self.report(DATASET, case.dataset, case, error, *sizes)
        except Exception:  # noqa: BLE001, S110 - it will be raised again where the case is trained, and kept there
            pass
        return None

    def precision(self, case: Case) -> bool:
        """Tells whether the device has it."""
        if case.precision in self.supported:
            return True
        try:
            with precision_of(case.precision, self.device):
                self.supported.add(case.precision)
                return True
        except TrialError as error:
            problem = self.plan.suite.problem(str(error), *self.setting(case, "precision"))
            self.problems.setdefault(str(problem), problem)
            return False

    def block_path(self, case: Case) -> TomlPath:
        """The block of the suite that asks for a case."""
        suite = self.plan.suite
        block = next((i for i in range(len(suite.blocks)) if suite.block_line(i) == case.line), None)
        return suite.block_path(block) if block is not None else ()

    def setting(self, case: Case, key: str) -> TomlPath:
        """The place of a setting: in the block of the case, or else in [defaults]; of a search in [tune]."""
        own = (*self.block_path(case), key)
        posed = ((PROBLEM.plural, case.problem, key),) if case.problem else ()
        places: tuple[TomlPath, ...] = (own, *posed, ("defaults", key), ("tune", key))
        return next(filter(self.is_set, places), ("defaults", key))

    def is_set(self, path: TomlPath) -> bool:
        """Tells whether the suite, or --set, has that very key."""
        return path in self.plan.suite.lines or path in self.plan.suite.assigned

    def model(self, case: Case, dataset: Dataset) -> Model | None:
        """The model, its layers, and the number of its trainable parameters."""
        task = case.task.identity if case.task else ""
        key = f"{case.model.identity} {dataset.input_shape} {dataset.num_classes} {task}"
        if key not in self.models:
            self.models[key] = None
            try:
                with self.building(MODEL, case.model):
                    with self.refusals(MODEL, case.model, case):
                        model = build_model(case, 0, self.registry, dataset)
                    layers = describe(model, dataset.input_shape)
                    if not self.suits(case, model, dataset):
                        return None
                self.models[key] = model, layers, sum(p.numel() for p in model.parameters() if p.requires_grad)
            except (TypeError, ValueError) as error:
                self.report(MODEL, case.model, case, error)
            except Exception:  # noqa: BLE001 - it will be raised again in the training, and kept there
                return None
        return self.models[key]

    def suits(self, case: Case, model: nn.Module, dataset: Dataset) -> bool:
        """Tells whether the task takes what the model returns, as far as the task says it itself."""
        images, targets = to_unit(dataset.train_images[:2], torch.device("cpu")), dataset.train_labels[:2]
        try:
            with torch.no_grad():
                build_task(case, self.registry).loss(model(images), targets)
        except TrialError as error:
            task = case.task.use if case.task else CLASSIFICATION
            message = f"{case.model.use!r} does not suit the task {task!r}: {first_line(error)}"
            self.report(MODEL, case.model, case, error, message=message)
            return False
        except Exception:  # noqa: BLE001, S110 - it will be raised again in the training, and kept there
            pass
        return True

    def last_batch(self, case: Case, model: nn.Module, dataset: Dataset) -> bool:
        """Returns whether the model can train on the last batch of an epoch, which may have a single image."""
        whole = steps_of_trial(case, dataset) >= steps_per_epoch(case, dataset)
        sizes = {"training": len(dataset.train_images)} if whole else {}
        if case.evaluate_in == "train":
            sizes["test"] = len(dataset.test_images)
        ends_with_one = [part for part, size in sizes.items() if (size - 1) % case.batch_size == 0]
        if not ends_with_one or not (said := self.refused_alone(case, model, dataset)):
            return True
        problem = self.plan.suite.problem(
            f"the last batch has one of the {sizes[ends_with_one[0]]:,} {ends_with_one[0]} images, and "
            f"{case.model.name!r} cannot train on one ({said}); change the batch_size or the number of images",
            *self.setting(case, "batch_size"),
        )
        self.problems.setdefault(str(problem), problem)
        return False

    def refused_alone(self, case: Case, model: nn.Module, dataset: Dataset) -> str:
        """Why a model in training takes two images, but not one, as batch normalisation does; empty if it does."""
        key = f"{case.model.identity} {dataset.input_shape} alone"
        if key not in self.alone:
            self.alone[key] = ""
            with contextlib.suppress(Exception), self.building(MODEL, case.model), torch.no_grad():
                model.train()
                model(torch.zeros(2, *dataset.input_shape))
                try:
                    model(torch.zeros(1, *dataset.input_shape))
                except ValueError as error:
                    self.alone[key] = first_line(error)
            model.eval()
        return self.alone[key]

    def optimizer(self, case: Case, model: nn.Module, dataset: Dataset) -> bool:
        """Tells whether the optimizer of a case can be built, and its schedule."""
        total_steps = steps_of_trial(case, dataset)
        schedule = case.schedule.identity if case.schedule else ""
        key = f"{case.optimizer.identity} {case.model.identity} {schedule} {total_steps}"
        self.groups.note(case, model)
        if key not in self.tried:
            self.tried[key] = False
            refused: tuple[Kind, Component] = (OPTIMIZER, case.optimizer)
            try:
                with self.building(*refused), self.refusals(*refused, case):
                    optimizer = build_optimizer(case, self.registry, model, total_steps)
                if case.schedule is not None:
                    refused = (SCHEDULE, case.schedule)
                    with self.building(*refused), self.refusals(*refused, case):
                        build_schedule(case, self.registry, optimizer, total_steps)
                self.tried[key] = True
            except (TypeError, ValueError) as error:
                self.report(*refused, case, error)
            except GroupError as error:
                problem = self.plan.suite.problem(str(error), OPTIMIZER.plural, case.optimizer.name, GROUPS)
                self.problems.setdefault(str(problem), problem)
            except Exception:  # noqa: BLE001, S110 - it will be raised again in the training, and kept there
                pass
        return self.tried[key]

    def others(self, case: Case) -> bool:
        """Tells whether all that is built of nothing but its parameters can be built: the task, the metrics."""
        alone = [kind for kind in (*SETTINGS, *SETS) if kind != SCHEDULE]
        built = [self.other(kind, part, case) for kind, part in case.components if kind in alone]
        return all(built)  # after each was tried, so that every problem is reported

    def other(self, kind: Kind, part: Component, case: Case) -> bool:
        key = f"{kind.name} {part.identity}"
        if key not in self.tried:
            self.tried[key] = False
            try:
                with self.building(kind, part), self.refusals(kind, part, case):
                    self.registry.by_kind[kind.name][part.use].spec.load()(**part.params)
                self.tried[key] = True
            except (TypeError, ValueError) as error:
                self.report(kind, part, case, error)
            except Exception:  # noqa: BLE001, S110 - it will be raised again in the training, and kept there
                pass
        return self.tried[key]

    def augmentation(self, case: Case, dataset: Dataset) -> bool:
        """Tells whether the augmentation of a case takes its images, and returns such images."""
        if case.augmentation is None:
            return True
        key = f"{case.augmentation.identity} of {dataset.input_shape}"
        if key not in self.tried:
            self.tried[key] = False
            tried: tuple[Kind, Component] = (AUGMENTATION, case.augmentation)
            images = to_unit(dataset.train_images[:2], torch.device("cpu"))
            try:
                with self.building(*tried), self.refusals(*tried, case):
                    augmentation = build_augmentation(case, self.registry, dataset, images.device)
                    if augmentation is not None:
                        augmentation.begin((0,), 1)
                        augmentation(images, torch.arange(len(images)))
                self.tried[key] = True
            except (TypeError, ValueError, TrialError) as error:
                self.report(*tried, case, error)
            except Exception:  # noqa: BLE001, S110 - it will be raised again in the training, and kept there
                pass
        return self.tried[key]

    def report(
        self, kind: Kind, component: Component, case: Case, error: Exception, *about: str, message: str = ""
    ) -> None:
        """Points at the parameter that the error speaks of, if one can be told, or else at what has it."""
        said = first_line(error)
        posed = case.problem if kind in BUNDLED else None
        path: TomlPath = (PROBLEM.plural, posed, kind.name) if posed else (kind.plural, component.name)
        if isinstance(error, DataError) and (size := size_in(said)):
            path = self.setting(case, size)
        elif posed and not self.is_set(path):
            path = next(filter(self.is_set, (path[:2], (*self.block_path(case), PROBLEM.plural))), path[:1])
        elif not self.is_set(path):
            listed = (*self.block_path(case), kind.plural)
            path = self.setting(case, kind.name) if kind.has_setting and not self.is_set(listed) else listed
        else:
            path = culprit(path, component, said, self.is_set)
        message = message or (said if isinstance(error, DataError) else f"{component.use!r} refuses: {said}")
        if posed:
            message = f"in the problem {'/'.join(filter(None, (posed, case.level)))!r}, {message}"
        problem = self.plan.suite.problem(message, *path)
        if isinstance(error, DataError):
            problem = replace(problem, longest=LONGEST_PLACES)
        self.problems.setdefault(f"{kind.name} {component.identity} {message} {about}", problem)
