"""The place of a comparison, as typed after `--on`: a problem, or a dataset and a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmnist.errors import BenchmnistError, Problem, SuiteError, unknown
from benchmnist.suites.named import Named, read_named, table_lines
from benchmnist.suites.reader import load_suite
from benchmnist.suites.values import toml_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmnist.extensions.registry import Registry

DATASET, MODEL = "mnist", "fc"
"""Place where optimizers are compared by default."""


@dataclass(frozen=True)
class Place:
    """A problem with one or all of its levels, or a dataset and a model.

    Attributes:
        typed: The name of the place in sentences.
        parts: The dataset and the model, by the key of their tables; empty for a problem.
        problem: The problem; None for a dataset and a model.
        called: Its name in the suite.
        level: The level of the problem; empty for all.
        task: Name of the task.
    """

    typed: str
    task: str
    parts: Mapping[str, Named] = field(default_factory=dict)
    problem: Named | None = None
    called: str = ""
    level: str = ""

    def tables(self, steps: int | None) -> list[str]:
        """Returns the tables of its parts in a suite.

        Args:
            steps: Steps of a training of the problem; None for those that it states.
        """
        if self.problem is None:
            found = [(f"{key}s", named.name, named) for key, named in self.parts.items() if named.params]
            return [line for key, name, named in found for line in ("", *table_lines(key, name, named))]
        own = {**self.problem.params, **({} if steps is None else {"steps": steps}), "stop_at_target": True}
        if steps is not None:
            own.pop("epochs", None)
        return ["", *table_lines("problems", self.called, Named(self.typed, self.problem.use, own))]

    @property
    def listed(self) -> str:
        """The line of [[cases]] that names it."""
        if self.problem is None:
            return f"models = {toml_text([self.parts['model'].name])}"
        return f"problems = {toml_text([f'{self.called}/{self.level}' if self.level else self.called])}"


def find_place(on: str | None, registry: Registry) -> Place:
    """Returns the place of `--on`.

    A name that a problem has stands for the problem, also if a model or a dataset has it, too.

    Raises:
        ValueError: if it has not that form.
        BenchmnistError: if there is no such problem, dataset or model, or the suite that it names cannot be read.
    """
    if on is None:
        return _parts(Named(DATASET, DATASET), Named(MODEL, MODEL), registry)
    file, _, name = on.strip().rpartition(":")
    offers = (registry.problems, registry.models, registry.datasets)
    if file and name and "=" not in on and not any(file in those for those in offers):
        return _of_suite(file, name, registry)
    head, colon, rest = on.strip().partition(":")
    first, slash, second = head.partition("/")
    if first in registry.problems and not (slash and second in registry.models):
        named = read_named(f"{first}{colon}{rest}")
        return Place(on.strip(), _task(first, registry), problem=named, called=named.name, level=second)
    if slash:
        return _parts(read_named(first), read_named(f"{second}{colon}{rest}"), registry)
    only = read_named(on)
    if only.use in registry.models:
        return _parts(Named(DATASET, DATASET), only, registry)
    if only.use in registry.datasets:
        return _parts(only, Named(MODEL, MODEL), registry)
    known = dict.fromkeys(offer.spec.name for those in offers for offer in those)
    raise BenchmnistError(f"--on: {unknown('problem, model or dataset', only.use, known)}")


def _parts(dataset: Named, model: Named, registry: Registry) -> Place:
    """Returns the place of a dataset and a model.

    Raises:
        BenchmnistError: if one of them is unknown.
    """
    own = registry.models[model.use].spec.task
    task = registry.datasets[dataset.use].spec.task
    return Place(f"{dataset.typed}/{model.typed}", own or task, {"dataset": dataset, "model": model})


def _task(problem: str, registry: Registry) -> str:
    """Returns the task of a problem.

    Raises:
        BenchmnistError: if the problem or its dataset is unknown.
    """
    spec = registry.problems[problem].spec
    return spec.task or registry.datasets[spec.dataset].spec.task


def _of_suite(file: str, text: str, registry: Registry) -> Place:
    """Returns a problem that a suite configures, as [problems.NAME], or lists.

    Raises:
        BenchmnistError: if the suite cannot be read, or has no such problem.
    """
    suite = load_suite(file)
    name, _, level = text.partition("/")
    listed = {each.partition("/")[0] for block in suite.blocks for each in getattr(block, "problems", None) or ()}
    known = dict.fromkeys([*suite.posed, *sorted(listed)])
    if name not in known:
        raise SuiteError([Problem(f"--on: {unknown('problem', name, known)}", suite.file)])
    table = suite.posed.get(name)
    params: dict[str, Any] = {}
    if table is not None:
        parts = {key: table.of_part(key) for key in ("dataset", "model", "task")}
        params = {**table.params, **{key: own for key, own in parts.items() if own}}
        params |= {"sweep": {f'"{key}"': value for key, value in table.sweep.items()}} if table.sweep else {}
    used = table.use if table is not None and table.use else name
    return Place(text, _task(used, registry), problem=Named(text, used, params), called=name, level=level)
