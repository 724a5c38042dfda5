"""What plugins do costs their own cases only; `python tests/hostile_acts.py` prints a table of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from hostile_acts import Act, catalogue, outcomes

from benchmnist.preflight import isolated

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the plugin looks for pipes in /proc")

SHORT = [
    Act("a pickle as an answer", "forward", "local"),
    Act("leave a process, exit", "step", "local"),
    Act("print 20 MB", "evaluation", "local"),
    Act("30 MB", "dataset", "local"),
    *(Act(name, place, "inline") for name in ("no name", "str() exits") for place in ("evaluation", "optimizer")),
]


@pytest.fixture(autouse=True)
def _put_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Puts back what `outcomes` changes in this process."""
    monkeypatch.setenv("HOSTILE_INLINE", "")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(isolated, "PATIENCE", isolated.PATIENCE)


@pytest.mark.parametrize("form", ["short", pytest.param("long", marks=pytest.mark.faults)])
def test_an_act_costs_its_own_case_only(form: str, tmp_path: Path) -> None:
    acts, jobs = (SHORT, 1) if form == "short" else ([*catalogue()], 2)
    done = [*outcomes(acts, tmp_path / "acts", jobs)]
    assert len(done) == len(acts)
    assert [outcome for outcome in done if outcome.wrong] == []
