"""How figures are shown: no figure loses its meaning in few digits."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmnist.reports.columns import IDENTITY, Columns, compact, size, three_figures

UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


@given(st.integers(0, 10**14))
def test_a_size_is_shown_to_within_half_a_percent(value: int) -> None:
    figures, unit = size(value).split(" ")
    assert float(figures) * UNITS[unit] == pytest.approx(value, rel=6e-3)
    assert float(figures) < 1000 or unit == "TB"


@given(st.floats(1e-6, 1e9))
def test_three_figures_are_three(value: float) -> None:
    assert float(three_figures(value)) == pytest.approx(value, rel=6e-3)
    assert len(re.sub(r"^0\.0*|\.", "", three_figures(value))) >= 3


@given(st.floats(100, 1e9))
def test_a_rate_is_short_and_right(value: float) -> None:
    shown = compact(value)
    factor = {"k": 1e3, "M": 1e6}.get(shown[-1], 1)
    assert float(shown.rstrip("kM").replace(",", "")) * factor == pytest.approx(value, rel=6e-3)


def test_every_column_has_a_key_of_its_own() -> None:
    keys = [column.key for column in Columns()]
    assert len(keys) == len({*keys})
    assert {*Columns().figures, *IDENTITY} <= {*keys}
