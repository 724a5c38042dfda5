"""Parameter groups: parts of a model for which an optimizer has other options, such as no weight decay.

A group is updated as the optimizer built with its options would update it. So the optimizer is built once more for
each group, on a copy of the model, and what that has for the parameters of the group is taken over: its options as
its own constructor reads them, and the state that it begins with.
"""

from __future__ import annotations

import copy
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from torch import nn, optim

from benchmnist.errors import TrialError
from benchmnist.training.optimizer_state import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmnist.suites.cases import ParameterGroup


class GroupError(TrialError):
    """An optimizer cannot have the parameter groups that a suite gives it."""


Way = tuple[tuple[str, int | None], ...]
"""The way to an optimizer within another one: attributes, each with an index if it is a sequence."""
REST = -1
"""Number of the parameters that no group selects."""

_BIAS = re.compile(r"(^|_)bias(_|$)")
_MATRIX = 2  # rows and columns


def kinds_of(model: nn.Module) -> dict[str, frozenset[str]]:
    """Returns the kinds of each parameter of a model, by name.

    `bias`: its last name has the word bias (`fc.bias`, `gru.bias_ih_l0`). `norm`: it belongs to a layer that
    normalises (its class has Norm in its name). `embedding`: it is the table of an embedding. Of the others,
    `vector` has at most one dimension, `matrix` two, and `convolution` more. A bias, and what belongs to a layer
    that normalises, is a vector too if it has at most one dimension.

    Args:
        model: The model of one trial: in a stack, each parameter has one dimension more.
    """
    found: dict[str, frozenset[str]] = {}
    for name, parameter in model.named_parameters():
        path, _, last = name.rpartition(".")
        layer = model.get_submodule(path)
        kinds = {"bias"} if _BIAS.search(last) else set()
        if any("Norm" in each.__name__ for each in type(layer).__mro__):
            kinds.add("norm")
        if parameter.ndim < _MATRIX:
            kinds.add("vector")
        elif isinstance(layer, (nn.Embedding, nn.EmbeddingBag)):
            kinds.add("embedding")
        elif not kinds:
            kinds.add("matrix" if parameter.ndim == _MATRIX else "convolution")
        found[name] = frozenset(kinds)
    return found


def selection(groups: Sequence[ParameterGroup], model: nn.Module) -> dict[str, int]:
    """Returns the number of the group of each parameter of a model: the first that selects it, or REST.

    Args:
        groups: The groups.
        model: The model of one trial.
    """

    def selects(group: ParameterGroup, name: str, kinds: frozenset[str]) -> bool:
        by_name = not group.match or any(fnmatchcase(name, pattern) for pattern in group.match)
        return by_name and (not group.kind or not kinds.isdisjoint(group.kind))

    return {
        name: next((i for i, group in enumerate(groups) if selects(group, name, kinds)), REST)
        for name, kinds in kinds_of(model).items()
    }


def split(
    optimizer: optim.Optimizer,
    model: nn.Module,
    groups: Sequence[ParameterGroup],
    build: Callable[..., optim.Optimizer],
    one: nn.Module | None = None,
) -> None:
    """Divides the parameters of an optimizer into groups with options of their own.

    Those that no group selects come first, as they were.

    Args:
        optimizer: The optimizer of `model`, as it is without groups. It gets the groups.
        model: The model.
        groups: The groups.
        build: Builds the optimizer for a model, with the options of a group over its own.
        one: The model of one trial, if `model` holds a stack of several.

    Raises:
        GroupError: if the optimizer keeps its parameter groups in a way that cannot be divided, or a group scales
            a learning rate that it does not have.
    """
    chosen = selection(groups, model if one is None else one)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    others = {number: _Other(model, groups[number], build) for number in sorted({*chosen.values()} - {REST})}
    for way, owner in _owners(optimizer):
        divided: list[dict[str, Any]] = []
        for index, old in enumerate(owner.param_groups):
            members: dict[int, list[str]] = {number: [] for number in (REST, *others)}
            parameters = {names[id(parameter)]: parameter for parameter in old["params"]}
            for name in parameters:
                members[chosen[name]].append(name)
            for number, its in members.items():
                mine = [parameters[name] for name in its]
                if mine and number == REST:
                    divided.append({**old, "params": mine})
                elif mine:
                    divided.append({**others[number].options(way, index, its), "params": mine})
                    for parameter, state in zip(mine, others[number].states(way, its), strict=True):
                        if state is not None:
                            owner.state[parameter] = state
        owner.param_groups[:] = divided
    _gather(optimizer)


class _Other:
    """The optimizer with the options of a group, for a copy of the model: an optimizer may put hooks on its."""

    def __init__(self, model: nn.Module, group: ParameterGroup, build: Callable[..., optim.Optimizer]) -> None:
        copied = copy.deepcopy(model)
        self.group, self.optimizer = group, build(copied, **group.options)
        self.parameters = dict(copied.named_parameters())

    def options(self, way: Way, index: int, names: Sequence[str]) -> dict[str, Any]:
        """Returns its options for parameters that are in the group of that index of the optimizer there.

        Raises:
            GroupError: if they are not there, or have no learning rate to scale.
        """
        owner = self._at(way)
        options = dict(owner.param_groups[index]) if index < len(owner.param_groups) else {"params": []}
        there = {*map(id, options["params"])}
        if not all(id(self.parameters[name]) in there for name in names):
            raise GroupError(f"other options divide the parameters of {type(owner).__name__} otherwise")
        if self.group.lr_scale is not None:
            if "lr" not in options:
                raise GroupError("the optimizer has no lr to scale; remove lr_scale")
            options["lr"] = options["lr"] * self.group.lr_scale
        return options

    def states(self, way: Way, names: Sequence[str]) -> list[Any]:
        """Returns the states that parameters begin with; None for each without one."""
        state = self._at(way).state
        return [state.get(self.parameters[name]) for name in names]

    def _at(self, way: Way) -> optim.Optimizer:
        """Follows a way of `_owners`."""
        found = self.optimizer
        for name, index in way:
            value = getattr(found, name)
            found = value if index is None else value[index]
        return found


def _owners(optimizer: optim.Optimizer, way: Way = ()) -> Iterator[tuple[Way, optim.Optimizer]]:
    """Yields the optimizers that an optimizer is made of, each with the way to it; itself, if of no others.

    An optimizer around another one has its list of groups, or is a sequence of parts whose groups it shows.

    Raises:
        GroupError: if it has groups beside those of its parts.
    """
    parts = [*parts_of(optimizer)]
    if not parts or any(part.param_groups is optimizer.param_groups for _, part in parts):
        yield way, optimizer
        return
    theirs = [group for _, part in parts for group in part.param_groups]
    if [*map(id, theirs)] != [*map(id, optimizer.param_groups)]:
        raise GroupError(
            f"{type(optimizer).__name__} has other parameter groups than the optimizers within it, so that its "
            "parameters cannot be divided into groups"
        )
    for step, part in parts:
        yield from _owners(part, (*way, step))


def _gather(optimizer: optim.Optimizer) -> None:
    """Has the list of an optimizer of parts show their groups, which are others now."""
    parts = [part for _, part in parts_of(optimizer)]
    if parts and all(part.param_groups is not optimizer.param_groups for part in parts):
        for part in parts:
            _gather(part)
        optimizer.param_groups[:] = [group for part in parts for group in part.param_groups]
