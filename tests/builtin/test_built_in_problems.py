"""The built-in problems keep their promises; that references solve them is tested with -m faults."""

from __future__ import annotations

import pytest
from training_support import built_in_datasets

from benchmnist.extensions.registry import find_plugins
from benchmnist.testing import CHECKS, Subject
from benchmnist.testing.checks import make

OFFERS = [offer for offer in find_plugins().problems if offer.plugin.is_built_in]
TRAINING = {"is-solved-by-its-reference", "becomes-harder"}


@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: offer.spec.name)
@pytest.mark.parametrize(
    "trains", [False, pytest.param(True, marks=pytest.mark.faults)], ids=["without-reference", "reference"]
)
def test_a_built_in_problem_keeps_its_promises(offer: object, *, trains: bool) -> None:
    subject = Subject("problem", offer, built_in_datasets())  # type: ignore[arg-type]
    chosen = [check for check in CHECKS["problem"] if (check.name in TRAINING) == trains]
    outcomes = [make(check, subject) for check in chosen]
    assert [(o.check.name, o.said) for o in outcomes if o.state == "missed"] == []
