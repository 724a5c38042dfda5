"""Finds the installed plugins, contains the broken ones, and makes an immutable Registry of the rest."""

from __future__ import annotations

import inspect
from collections import defaultdict
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pluggy

from benchmnist import hookspecs
from benchmnist.errors import PluginError, UnknownNameError, nearest
from benchmnist.specs import DatasetSpec, ExecutorSpec, ModelSpec, OptimizerSpec, Spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from importlib.metadata import EntryPoint

GROUP = "benchmnist"
PREFIX = "benchmnist_"
HOOKS: Mapping[str, type[Spec]] = MappingProxyType(
    {
        "benchmnist_models": ModelSpec,
        "benchmnist_optimizers": OptimizerSpec,
        "benchmnist_datasets": DatasetSpec,
        "benchmnist_executors": ExecutorSpec,
    }
)

S = TypeVar("S", bound=Spec)


@dataclass(frozen=True)
class Plugin:
    """One entry point: where it comes from, and what went wrong with it, if anything."""

    name: str
    distribution: str
    version: str
    error: str | None = None

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} (plugin {self.name!r})"


@dataclass(frozen=True)
class Offer(Generic[S]):
    """A spec, and the plugin that offers it."""

    spec: S
    plugin: Plugin


@dataclass(frozen=True)
class Offers(Generic[S]):
    """All that is offered of one kind, by name in order of names; a name offered twice can be had from nobody."""

    kind: str
    by_name: Mapping[str, Offer[S]] = field(default_factory=dict)
    contested: Mapping[str, tuple[Offer[S], ...]] = field(default_factory=dict)
    broken: tuple[Plugin, ...] = ()

    def __getitem__(self, name: str) -> Offer[S]:
        """The offer of that name.

        Raises:
            PluginError: if two plugins offer it.
            UnknownNameError: if none does; names the nearest, all of them, and the plugins that failed to load.
        """
        if name in self.by_name:
            return self.by_name[name]
        if name in self.contested:
            owners = " and ".join(str(offer.plugin) for offer in self.contested[name])
            raise PluginError(f"the {self.kind} {name!r} is offered by {owners}; uninstall one of them")
        failed = "".join(f" {plugin} failed to load: {plugin.error}" for plugin in self.broken)
        raise UnknownNameError(
            f"no {self.kind} is called {name!r}.{nearest(name, self.by_name)} "
            f"There are: {', '.join(self.by_name) or 'none'}.{failed}"
        )

    def __iter__(self) -> Iterator[Offer[S]]:
        return iter(self.by_name.values())


@dataclass(frozen=True)
class Registry:
    """What is installed."""

    models: Offers[ModelSpec]
    optimizers: Offers[OptimizerSpec]
    datasets: Offers[DatasetSpec]
    executors: Offers[ExecutorSpec]
    plugins: tuple[Plugin, ...]


def find_plugins() -> Registry:
    """Loads every plugin of the entry-point group `benchmnist` into a Registry; broken ones become records.

    pluggy's own loader stops at the first plugin that raises and does not say which it was, so the entry
    points are walked here.
    """
    found = sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value))
    plugins: list[Plugin] = []
    offers: list[Offer[Any]] = []
    for entry in found:
        plugin, specs = _load(entry)
        plugins.append(plugin)
        offers += [Offer(spec, plugin) for spec in specs]
    broken = tuple(plugin for plugin in plugins if plugin.error)
    return Registry(
        models=_offers("model", ModelSpec, offers, broken),
        optimizers=_offers("optimizer", OptimizerSpec, offers, broken),
        datasets=_offers("dataset", DatasetSpec, offers, broken),
        executors=_offers("executor", ExecutorSpec, offers, broken),
        plugins=tuple(plugins),
    )


def _offers(kind: str, spec_type: type[S], offers: Iterable[Offer[Any]], broken: tuple[Plugin, ...]) -> Offers[S]:
    named: dict[str, list[Offer[S]]] = defaultdict(list)
    for offer in offers:
        if isinstance(offer.spec, spec_type):
            named[offer.spec.name].append(offer)
    return Offers(
        kind,
        MappingProxyType({name: named[name][0] for name in sorted(named) if len(named[name]) == 1}),
        MappingProxyType({name: tuple(named[name]) for name in sorted(named) if len(named[name]) > 1}),
        broken,
    )


def _load(entry: EntryPoint) -> tuple[Plugin, list[Spec]]:
    """One plugin and its specs; whatever it does wrong is written down, and then it offers nothing."""
    distribution = entry.dist.name if entry.dist else "unknown"
    version = entry.dist.version if entry.dist else "unknown"
    try:
        specs = list(_specs(entry.name, entry.load()))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's import may raise anything
        reason = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
        return Plugin(entry.name, distribution, version, error=reason), []
    return Plugin(entry.name, distribution, version), specs


def _specs(name: str, module: object) -> Iterator[Spec]:
    """What a plugin offers, hook by hook.

    Raises:
        PluginError: if a hook has an unknown name or returns something else than its specs.
    """
    misspelt = [
        hook
        for hook, value in vars(module).items()
        if hook.startswith(PREFIX) and hook not in HOOKS and inspect.isfunction(value)
    ]
    if misspelt:
        raise PluginError(
            f"{misspelt[0]} is not a hook.{nearest(misspelt[0], HOOKS)} The hooks are {', '.join(HOOKS)}"
        )
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
            if isinstance(returned, Spec):
                raise PluginError(f"{hook} returned one {type(returned).__name__}; return a list of them")
            for spec in returned:
                if not isinstance(spec, spec_type):
                    raise PluginError(f"{hook} returned {spec!r}, which is not a {spec_type.__name__}")
                yield spec
