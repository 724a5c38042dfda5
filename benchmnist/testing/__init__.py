"""For plugin authors: the conformance checks, which `benchmnist check` makes too, as tests.

    from benchmnist.testing import conformance

    test_signsgd = conformance("signsgd")

is a test of each promise that the optimizer (model, schedule, dataset, executor) `signsgd` has to keep.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from benchmnist.errors import UnknownNameError, nearest
from benchmnist.extensions.kinds import KINDS, Kind
from benchmnist.extensions.registry import find_plugins
from benchmnist.testing.checks import Check, Outcome, Subject, make, make_all
from benchmnist.text import alternatives
from benchmnist.training.data import Datasets, default_data_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from benchmnist.extensions.registry import Registry

__all__ = ["CHECKS", "Check", "Outcome", "Subject", "conformance", "examine", "subjects"]


def _checks_of(kind: Kind) -> tuple[Check, ...]:
    module, _, attribute = kind.checks.partition(":")
    found: tuple[Check, ...] = getattr(importlib.import_module(module), attribute)
    return found


CHECKS: Mapping[str, tuple[Check, ...]] = {kind.name: _checks_of(kind) for kind in KINDS}
"""The promises, by kind, in the order in which they are checked."""


def subjects(name: str, registry: Registry) -> list[Subject]:
    """Finds the subjects of that name: one per kind that has it, or everything that a plugin of that name offers.

    Raises:
        PluginError: if two plugins offer it, or the plugin of that name is broken.
        UnknownNameError: if there is none.
    """
    kinds = registry.by_kind
    shared = Datasets(registry, default_data_root())
    named = [Subject(kind, kinds[kind][name], shared) for kind in kinds if name in kinds[kind]]
    if named:
        return named
    for plugin in registry.plugins:
        if name in (plugin.name, plugin.distribution):
            plugin.require()
            return [
                Subject(kind, offer, shared) for kind in kinds for offer in kinds[kind] if offer.plugin == plugin
            ]
    known = [offer.spec.name for offers in kinds.values() for offer in offers]
    known += [label for plugin in registry.plugins for label in (plugin.name, plugin.distribution)]
    broken = "".join(f" {plugin} failed to load: {plugin.error}." for plugin in registry.plugins if plugin.error)
    raise UnknownNameError(
        f"no {alternatives([*kinds, 'plugin'])} named {name!r}.{nearest(name, known)} "
        f"`benchmnist plugins` lists all.{broken}{_suite_hint(name)}"
    )


def _suite_hint(name: str) -> str:
    """Returns a hint for a suite, which is not what this command checks."""
    return f" To check a suite, run `benchmnist run {name} --dry-run`." if name.endswith(".toml") else ""


def examine(subject: Subject) -> Iterator[Outcome]:
    """Makes the checks of a subject in order; contains what the subject prints or changes in torch."""
    return make_all(CHECKS[subject.kind], subject)


def conformance(name: str) -> Callable[..., None]:
    """Returns a parametrised test, one per promise; assign it to a name that begins with `test_`.

    Raises:
        BenchmnistError: as `subjects`; when the tests are collected.
    """
    import pytest

    promises = [(subject, check) for subject in subjects(name, find_plugins()) for check in CHECKS[subject.kind]]

    @pytest.mark.parametrize(
        ("subject", "check"),
        promises,
        ids=[f"{subject.kind}-{subject.name}-{check.name}" for subject, check in promises],
    )
    def test(subject: Subject, check: Check) -> None:
        outcome = make(check, subject)
        if outcome.state == "does not apply":
            pytest.skip(outcome.said)
        if outcome.state == "missed":
            raise AssertionError(
                f"{subject.kind} {subject.name} should be one that {check.promise}; {outcome.said}. {check.remedy}"
            ) from outcome.error

    return test
