from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from benchmnist.suites.looks import Looks, announce


@pytest.mark.parametrize(
    ("first", "most", "counts"),
    [
        (3, 30, (3, 5, 8, 13, 21, 30)),
        (5, 30, (5, 8, 13, 21, 30)),
        (1, 12, (3, 5, 8, 12)),  # fewer than three tell nothing
        (3, 22, (3, 5, 8, 13, 22)),  # 21 and 22 are one look
        (10, 10, (10,)),
    ],
)
def test_a_look_has_more_than_half_as_many_seeds_more_than_the_one_before(
    first: int, most: int, counts: tuple[int, ...]
) -> None:
    assert announce(range(first), most).counts == counts


@hypothesis.given(st.lists(st.integers(0, 50), min_size=1, max_size=9, unique=True), st.integers(9, 80))
def test_every_look_continues_the_one_before(seeds: list[int], most: int) -> None:
    looks = announce(seeds, most)
    assert looks.seeds[: len(seeds)] == tuple(seeds)
    assert len({*looks.seeds}) == len(looks.seeds) == looks.counts[-1] == most
    assert [*looks.counts] == sorted({*looks.counts})
    before: tuple[int, ...] = ()
    for reached in range(1, looks.number + 1):
        now = looks.model_copy(update={"reached": reached})
        assert now.before == before
        assert now.now[: len(before)] == before
        assert now.last == (reached == looks.number)
        before = now.now
    assert before == looks.seeds


def test_the_last_look_has_the_seeds_of_the_first_at_least() -> None:
    with pytest.raises(ValueError, match="must be at least 5, the seeds of the first look, not 4"):
        announce(range(5), 4)


def test_looks_are_the_same_when_they_are_read_again() -> None:
    looks = announce((4, 8, 15), 9).model_copy(update={"reached": 2, "stopped": "settled"})
    assert Looks.model_validate_json(looks.model_dump_json()) == looks
    assert str(looks) == "3, 5 and 9 seeds"
