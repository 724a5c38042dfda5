"""Finds the installed plugins, contains the broken ones, and makes an immutable Registry of the rest."""

from __future__ import annotations

import inspect
import os
from collections import defaultdict
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import pluggy

from benchmnist.errors import PluginError, UnknownNameError, described, nearest, unknown
from benchmnist.extensions import hookspecs
from benchmnist.extensions.hookspecs import HOOK_API
from benchmnist.extensions.isolation import contained, not_ended
from benchmnist.extensions.kinds import (
    AUGMENTATION,
    DATASET,
    EXECUTOR,
    KINDS,
    METRIC,
    MODEL,
    OPTIMIZER,
    PROBLEM,
    SCHEDULE,
    TASK,
    Kind,
)
from benchmnist.extensions.specs import (
    NAME,
    AugmentationSpec,
    DatasetSpec,
    ExecutorSpec,
    MetricSpec,
    ModelSpec,
    NamedSpec,
    OptimizerSpec,
    ProblemSpec,
    ScheduleSpec,
    TaskSpec,
)
from benchmnist.extensions.torchvision_repair import repair_torchvision
from benchmnist.text import with_article

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

GROUP = "benchmnist"
PREFIX = "benchmnist_"
BLOCK = "BENCHMNIST_BLOCK"
"""The environment variable that names plugins to leave out, separated by commas."""
HOOKS: Mapping[str, type[NamedSpec]] = MappingProxyType({kind.hook: kind.spec for kind in KINDS})

S = TypeVar("S", bound=NamedSpec)


@dataclass(frozen=True)
class Plugin:
    """One entry point.

    Attributes:
        name: Of the entry point.
        distribution: What was installed.
        version: Of that distribution.
        error: Why it offers nothing, if it is broken.
        notes: What it did, when it was loaded, that it should not do; it was undone, and its offers stand.
        blocked: Whether it was left out because somebody said so.
    """

    name: str
    distribution: str
    version: str
    error: str | None = None
    notes: tuple[str, ...] = ()
    blocked: bool = False

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} (plugin {self.name!r})"

    @property
    def is_built_in(self) -> bool:
        """Tells whether it is ours: what its code does is known, and not only what it promises."""
        return self.name == "builtin"

    def require(self) -> None:
        """Requires that the plugin was loaded.

        Raises:
            PluginError: if it is broken or blocked.
        """
        if self.blocked:
            raise PluginError(f"{self} is blocked, by {BLOCK} or --block")
        if self.error:
            raise PluginError(f"{self} failed to load: {self.error}; {self.remedy}")

    @property
    def remedy(self) -> str:
        """The remedy for a user who is not its author."""
        return f"upgrade {self.distribution}, or block it with {BLOCK}={self.name}"


@dataclass(frozen=True)
class Offer(Generic[S]):
    """A spec, and the plugin that offers it."""

    spec: S
    plugin: Plugin


@dataclass(frozen=True)
class Offers(Generic[S]):
    """The offers of one kind, by name, in order of names; a name that is offered twice is unavailable."""

    kind: str
    by_name: Mapping[str, Offer[S]] = field(default_factory=dict)
    contested: Mapping[str, tuple[Offer[S], ...]] = field(default_factory=dict)
    missing: tuple[Plugin, ...] = ()  # the plugins that are broken or blocked
    elsewhere: Mapping[str, str] = field(default_factory=dict)  # the names of the other kinds, with their kind

    def __getitem__(self, name: str) -> Offer[S]:
        """The offer of that name.

        Raises:
            PluginError: if two plugins offer it.
            UnknownNameError: if none does; names the nearest, all of them, and the plugins that failed to load.
        """
        if name in self.by_name:
            return self.by_name[name]
        if name in self.contested:
            raise PluginError(f"the {self.kind} {name!r} is {self.dispute(name)}")
        lost = "".join(
            f" {plugin} is blocked." if plugin.blocked else f" {plugin} failed to load: {plugin.error}."
            for plugin in self.missing
        )
        if name in self.elsewhere:
            raise UnknownNameError(
                f"no {self.kind} named {name!r}; it is the name of {with_article(self.elsewhere[name])}. "
                f"Choose from: {', '.join(self.by_name)}"
            )
        raise UnknownNameError(
            f"{unknown(self.kind, name, self.by_name)}{self._another(name)}{lost and '.'}{lost}"
        )

    def _another(self, name: str) -> str:
        """Returns a hint for adding something whose name resembles no known one."""
        if nearest(name, self.by_name) or not any(kind.name == self.kind and kind.new_cases for kind in KINDS):
            return ""
        new = name if NAME.fullmatch(name) else "NAME"
        return f"; a plugin can add one: `benchmnist new-plugin {new} --kind {self.kind}`"

    def dispute(self, name: str) -> str:
        """Returns the plugins that offer a contested name, and the remedy."""
        owners = list(dict.fromkeys(offer.plugin for offer in self.contested[name]))
        if len(owners) == 1:
            return f"offered twice by {owners[0]}; {owners[0].remedy}"
        one = owners[-1].name
        return f"offered by {' and '.join(map(str, owners))}; block one of them, such as with {BLOCK}={one}"

    def __contains__(self, name: object) -> bool:
        """Tells whether anybody offers it."""
        return name in self.by_name or name in self.contested

    def __iter__(self) -> Iterator[Offer[S]]:
        return iter(self.by_name.values())


@dataclass(frozen=True)
class Registry:
    """Everything that is installed.

    Attributes:
        by_kind: The offers of each kind, by its name: `model`, `optimizer`, ….
        plugins: Every plugin that was found, the broken and the blocked ones too.
    """

    by_kind: Mapping[str, Offers[Any]]
    plugins: tuple[Plugin, ...]

    @property
    def datasets(self) -> Offers[DatasetSpec]:
        """The datasets."""
        return cast("Offers[DatasetSpec]", self.by_kind[DATASET.name])

    @property
    def models(self) -> Offers[ModelSpec]:
        """The models."""
        return cast("Offers[ModelSpec]", self.by_kind[MODEL.name])

    @property
    def optimizers(self) -> Offers[OptimizerSpec]:
        """The optimizers."""
        return cast("Offers[OptimizerSpec]", self.by_kind[OPTIMIZER.name])

    @property
    def augmentations(self) -> Offers[AugmentationSpec]:
        """The augmentations."""
        return cast("Offers[AugmentationSpec]", self.by_kind[AUGMENTATION.name])

    @property
    def schedules(self) -> Offers[ScheduleSpec]:
        """The schedules."""
        return cast("Offers[ScheduleSpec]", self.by_kind[SCHEDULE.name])

    @property
    def tasks(self) -> Offers[TaskSpec]:
        """The tasks."""
        return cast("Offers[TaskSpec]", self.by_kind[TASK.name])

    @property
    def metrics(self) -> Offers[MetricSpec]:
        """The metrics of the evaluation that plugins offer."""
        return cast("Offers[MetricSpec]", self.by_kind[METRIC.name])

    @property
    def problems(self) -> Offers[ProblemSpec]:
        """The problems."""
        return cast("Offers[ProblemSpec]", self.by_kind[PROBLEM.name])

    @property
    def executors(self) -> Offers[ExecutorSpec]:
        """The executors."""
        return cast("Offers[ExecutorSpec]", self.by_kind[EXECUTOR.name])


def find_plugins(block: Collection[str] = (), modules: Collection[str] = ()) -> Registry:
    """Loads every plugin of the entry-point group `benchmnist` into a Registry; broken ones become records.

    pluggy's own loader stops at the first plugin that raises and does not say which it was, so the entry
    points are walked here.

    Args:
        block: Plugins to leave out, by their names or those of their distributions; beside those that the
            environment variable BENCHMNIST_BLOCK names.
        modules: Modules to load as plugins, although no entry point names them.

    Raises:
        UnknownNameError: if no plugin is called as one of `block` is.
    """
    repair_torchvision()  # before any plugin imports it
    found = sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value))
    found += [EntryPoint(name=module, value=module, group=GROUP) for module in modules]
    names = {name for entry in found for name in _names(entry)}
    for name in block:
        if name not in names:
            raise UnknownNameError(unknown("plugin", name, sorted(names)))
    blocked = {*block, *(name.strip() for name in os.environ.get(BLOCK, "").split(","))}
    plugins: list[Plugin] = []
    offers: list[Offer[Any]] = []
    for entry in found:
        plugin, specs = _load(entry, blocked=not blocked.isdisjoint(_names(entry)))
        plugins.append(plugin)
        offers += [Offer(spec, plugin) for spec in specs]
    missing = tuple(plugin for plugin in plugins if plugin.error or plugin.blocked)
    return Registry(
        MappingProxyType({kind.name: _offers(kind, offers, missing) for kind in KINDS}), tuple(plugins)
    )


def _names(entry: EntryPoint) -> set[str]:
    """Returns the names of an entry point: its own, and that of its distribution."""
    return {entry.name, entry.dist.name} if entry.dist else {entry.name}


def _offers(kind: Kind, offers: Collection[Offer[Any]], missing: tuple[Plugin, ...]) -> Offers[Any]:
    named: dict[str, list[Offer[Any]]] = defaultdict(list)
    elsewhere: dict[str, str] = {}
    for offer in offers:
        if isinstance(offer.spec, kind.spec):
            named[offer.spec.name].append(offer)
        else:
            elsewhere[offer.spec.name] = next(k.name for k in KINDS if isinstance(offer.spec, k.spec))
    return Offers(
        kind.name,
        MappingProxyType({name: named[name][0] for name in sorted(named) if len(named[name]) == 1}),
        MappingProxyType({name: tuple(named[name]) for name in sorted(named) if len(named[name]) > 1}),
        missing,
        MappingProxyType(elsewhere),
    )


def _load(entry: EntryPoint, *, blocked: bool) -> tuple[Plugin, list[NamedSpec]]:
    """One plugin and its specs; whatever it does wrong is written down, and then it offers nothing."""
    distribution = entry.dist.name if entry.dist else "unknown"
    version = entry.dist.version if entry.dist else "unknown"
    plugin = Plugin(entry.name, distribution, version)
    if blocked:
        return replace(plugin, blocked=True), []
    try:
        with not_ended(), contained(seeds=True) as noticed:
            specs = list(_specs(entry.name, entry.load()))
    except Exception as error:  # noqa: BLE001 - a stranger's import may raise anything
        reason = str(error) if isinstance(error, PluginError) else described(error)
        return replace(plugin, error=reason), []
    return replace(plugin, notes=tuple(noticed)), specs


def _specs(name: str, module: object) -> Iterator[NamedSpec]:
    """Yields the specs of a plugin, hook by hook.

    Raises:
        PluginError: if it was written for other hooks, or one of its hooks returns something else than its specs.
    """
    _check_hooks(module)
    manager = pluggy.PluginManager("benchmnist")
    manager.add_hookspecs(hookspecs)
    manager.register(module, name)
    for hook, spec_type in HOOKS.items():
        if not hasattr(module, hook):
            continue
        caller = getattr(manager.hook, hook)
        if not caller.get_hookimpls():
            raise PluginError(f"{hook} is not decorated with @benchmnist.hookimpl")
        results = caller()
        if not results:  # pluggy leaves out None
            raise PluginError(f"{hook} returned None; return a list of specs")
        for returned in results:
            if isinstance(returned, NamedSpec):
                raise PluginError(f"{hook} returned one {type(returned).__name__}; return a list of them")
            for spec in returned:
                if not isinstance(spec, spec_type):
                    raise PluginError(f"{hook} returned {spec!r}, which is not a {spec_type.__name__}")
                yield spec


def _check_hooks(module: object) -> None:
    """Holds a plugin against our version of the hooks.

    Raises:
        PluginError: if it says that it was written for another, or has a hook that is none of ours.
    """
    api = getattr(module, "BENCHMNIST_API", HOOK_API)
    if api != HOOK_API:
        older = isinstance(api, int) and api < HOOK_API
        raise PluginError(
            f"was written for version {api} of the hooks, not {HOOK_API}; "
            f"upgrade {'it' if older else 'benchmnist'}"
        )
    for hook, function in vars(module).items():
        if not hook.startswith(PREFIX) or not inspect.isfunction(function):
            continue
        if hook not in HOOKS:
            raise PluginError(f"{hook} is not a hook.{nearest(hook, HOOKS)} Choose from: {', '.join(HOOKS)}")
        if arguments := list(inspect.signature(function).parameters):
            raise PluginError(f"{hook} has the parameters {', '.join(arguments)}; a hook must not have any")
