"""Points of a search space: random, of a grid, and of the samplers of optuna."""

from __future__ import annotations

import itertools
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmnist.errors import BenchmnistError
from benchmnist.suites.cases import Space
from benchmnist.suites.samplers import GuidedSearch, rehearse
from benchmnist.suites.sampling import grid, random_points, size
from benchmnist.suites.schema import Tune

if TYPE_CHECKING:
    from collections.abc import Iterable

VALUES = st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True)
RANGE = st.tuples(st.floats(1e-6, 1), st.floats(1.1, 1e6), st.booleans())
SPACES = st.dictionaries(
    st.sampled_from("abcd"),
    VALUES.map(lambda values: Space(values=tuple(values)))
    | RANGE.map(lambda r: Space(low=r[0], high=r[1], log=r[2])),
    min_size=1,
)
LR = Space(low=1e-4, high=1.0, log=True)
LIST = Space(values=(0.0, 0.9, 0.5))
BETAS = Space(values=([0.9, 0.999], [0.5, 0.9]))


def distinct(points: Iterable[dict[str, Any]]) -> int:
    return len({json.dumps(point) for point in points})


def require_inside(points: Iterable[dict[str, Any]], space: dict[str, Space]) -> None:
    for point in points:
        assert [*point] == [*space]
        for name, each in space.items():
            if each.is_range:
                assert (each.low or 0) <= point[name] <= (each.high or 0)
            else:
                assert point[name] in each.values


@given(SPACES, st.integers(1, 60))
def test_a_grid_lies_in_its_space_and_keeps_to_its_budget(space: dict[str, Space], trials: int) -> None:
    points = grid(space, trials)
    assert 1 <= len(points) <= trials
    assert distinct(points) == len(points)
    require_inside(points, space)
    if size(space) >= trials and not any(each.is_range for each in space.values()):
        assert len(points) == trials  # lists with more combinations than that: so many of them


@pytest.mark.parametrize(("ranges", "trials", "points"), [(1, 16, 16), (2, 16, 16), (3, 16, 16), (3, 20, 18)])
def test_a_grid_uses_up_its_budget_where_it_can(ranges: int, trials: int, points: int) -> None:
    assert len(grid(dict(zip("abc"[:ranges], itertools.repeat(LR), strict=False)), trials)) == points


def test_a_grid_goes_from_end_to_end() -> None:
    points = grid({"lr": LR, "nesterov": Space(values=(True, False))}, 11)
    assert sorted({point["lr"] for point in points}) == [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    assert len(points) == 10


def test_lists_with_more_combinations_than_tries_are_not_cut_off() -> None:
    """Every value is as likely: over 200 seeds, the last of 30 is drawn in a third of the grids of ten."""
    space = {"a": Space(values=tuple(range(5))), "b": Space(values=tuple(range(6)))}
    found = sum({"a": 4, "b": 5} in grid(space, 10, seed) for seed in range(200))
    assert abs(found / 200 - 1 / 3) < 5 * (1 / 3 * 2 / 3 / 200) ** 0.5


@given(SPACES, st.integers(1, 60), st.integers(0, 5))
def test_random_points_are_distinct_and_as_many_as_there_are(
    space: dict[str, Space], trials: int, seed: int
) -> None:
    points = [*itertools.islice(random_points(space, seed), trials)]
    assert distinct(points) == len(points) == min(trials, size(space))
    require_inside(points, space)


def test_a_range_of_a_few_values_is_exhausted() -> None:
    assert len([*random_points({"lr": Space(low=0.1, high=0.1003)}, 0)]) == 4


def test_two_optimizers_draw_the_same_shares_whatever_else_they_tune() -> None:
    alone = itertools.islice(random_points({"lr": LR}, 3), 20)
    beside = itertools.islice(random_points({"betas": BETAS, "eps": LR, "lr": LR}, 3), 20)
    shifted = itertools.islice(random_points({"lr": Space(low=1e-6, high=1e-2, log=True)}, 3), 20)
    for one, two, three in zip(alone, beside, shifted, strict=True):
        assert one["lr"] == two["lr"] == pytest.approx(100 * three["lr"], rel=2e-3)
        assert two["eps"] != two["lr"]


@pytest.mark.parametrize("sampler", ["tpe", "GPSampler", "QMCSampler", "NSGAIISampler", "RandomSampler"])
def test_any_sampler_gives_the_whole_budget_in_distinct_points(sampler: str) -> None:
    spaces: list[dict[str, Space]] = [{"momentum": LIST, "betas": BETAS}, {"lr": LR, "betas": BETAS}]
    for space in spaces:
        told: dict[str, float | None] = {}
        asked: list[dict[str, Any]] = []
        for batch in GuidedSearch(space, sampler, 1).batches(12, told.get):
            asked += batch
        assert distinct(asked) == len(asked) == min(12, size(space))
        require_inside(asked, space)


@pytest.mark.parametrize(("maximize", "best"), [(True, 1.0), (False, 1e-4)])
def test_a_guided_search_goes_where_results_are_better(maximize: bool, best: float) -> None:
    told: dict[str, float] = {}
    asked: list[float] = []
    for batch in GuidedSearch({"lr": LR}, "tpe", 0, maximize=maximize).batches(30, told.get):
        asked += [point["lr"] for point in batch]
        told |= {f"lr-{point['lr']}": point["lr"] ** 0.5 for point in batch}
    first, last = ([abs(lr**0.5 - best**0.5) for lr in part] for part in (asked[:10], asked[-10:]))
    assert sum(last) < sum(first) / 2


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        ("GPSamplr", "no sampler named 'GPSamplr'. Did you mean 'GPSampler'? Choose from: random, tpe, grid, "),
        ("GirdSampler", "no sampler named 'GirdSampler'. Did you mean 'GridSampler'? Choose from: "),
        ("PartialFixedSampler", "the sampler PartialFixedSampler needs more than a seed. Choose from: random, "),
        ("BruteForceSampler", "the sampler BruteForceSampler cannot search the space of lr, momentum: "),
    ],
)
def test_a_sampler_that_cannot_be_used_is_refused_in_one_line(sampler: str, message: str) -> None:
    with pytest.raises(BenchmnistError) as raised:
        rehearse({"lr": LR, "momentum": LIST}, sampler)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


def test_the_package_that_a_sampler_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cmaes", None)
    with pytest.raises(BenchmnistError, match="the sampler CmaEsSampler needs the package cmaes: python -m pip"):
        rehearse({"lr": LR, "eps": LR}, "CmaEsSampler")
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(BenchmnistError, match=r"needs optuna: python -m pip install 'benchmnist\[tune\]'"):
        rehearse({"lr": LR}, "tpe")


def test_the_name_of_a_sampler_is_checked_without_optuna() -> None:
    assert Tune.model_validate({"sampler": "GPSampler"}).sampler == "GPSampler"
    assert Tune.model_validate({"sampler": "TPESampler"}).sampler == "tpe"
    assert Tune.model_validate({"sampler": "GridSampler"}).sampler == "grid"
    with pytest.raises(ValueError, match=r'such as "GPSampler", not "rando"\. Did you mean .random.\?'):
        Tune.model_validate({"sampler": "rando"})
