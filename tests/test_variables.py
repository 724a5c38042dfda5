"""Variables are as they were after a change of the environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from benchmnist.variables import changed_variables

if TYPE_CHECKING:
    import pytest

SET, UNSET = "BENCHMNIST_SET_BY_A_TEST", "BENCHMNIST_UNSET_BY_A_TEST"


def test_variables_are_set_removed_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SET, "before")
    monkeypatch.delenv(UNSET, raising=False)
    with changed_variables({SET: None, UNSET: "within"}):
        assert SET not in os.environ
        assert os.environ[UNSET] == "within"
        os.environ[SET] = "changed within"
    assert os.environ[SET] == "before"
    assert UNSET not in os.environ
