"""Offers that no plugin was installed for: what the tests of the conformance checks share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training_support import built_in_datasets

from benchmnist.extensions.registry import Offer, Plugin
from benchmnist.extensions.specs import DatasetSpec, ModelSpec, OptimizerSpec, ScheduleSpec
from benchmnist.testing import Subject, examine

if TYPE_CHECKING:
    from benchmnist.extensions.specs import Spec

KINDS: dict[type[Spec], str] = {
    ModelSpec: "model",
    OptimizerSpec: "optimizer",
    ScheduleSpec: "schedule",
    DatasetSpec: "dataset",
}


def subject_of(spec: Spec, *notes: str) -> Subject:
    """A spec, as if a plugin offered it that did all this when it was loaded."""
    plugin = Plugin("wrong", "benchmnist-wrong", "1.0", notes=notes)
    return Subject(KINDS[type(spec)], Offer(spec, plugin), built_in_datasets())


def missed(subject: Subject) -> dict[str, str]:
    """The promises that it does not keep, and what was seen."""
    return {outcome.check.name: outcome.said for outcome in examine(subject) if outcome.state == "missed"}
