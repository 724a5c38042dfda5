"""Of very many pairs, few verdicts are listed; what is said of all pairs is what the list of all says."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from made_up import seeds_result
from training_support import component

from benchmnist.analysis.marks import unbeaten
from benchmnist.analysis.verdicts import judge, main_verdicts, on_all_pairs, rank
from benchmnist.metrics import find_metric

if TYPE_CHECKING:
    from benchmnist.analysis.verdicts import Verdict
    from benchmnist.runs.results import CaseResult

BASELINES = (None, "sgd", "sgd/lr-0.1", "no-such-method")


def made_up_results(seed: int) -> list[CaseResult]:
    """Some models and optimizers, swept or not: with lost and other seeds, ties, margins and other batches."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    baseline, seeds = chance.choice(BASELINES), chance.choice((2, 3, 5, 8))
    variants = chance.choice((("",), ("", "lr-0.1"), ("lr-0.1", "lr-0.01", "lr-0.001")))
    results: list[CaseResult] = []
    for model in ("fc", "fc-bn", "cnn")[: chance.randint(1, 3)]:
        for optimizer in ("sgd", "adam", "rmsprop", "muon")[: chance.randint(2, 4)]:
            for variant in variants:
                mean, spread = chance.choice((90.0, 91.0, 91.2, 95.0)), chance.choice((0.0, 0.01, 0.2))
                values: list[float | None] = [mean + spread * chance.gauss(0, 1) for _ in range(seeds)]
                if chance.random() < 0.2:
                    values[chance.randrange(seeds)] = None
                method = "/".join(filter(None, (optimizer, variant)))
                results.append(
                    seeds_result(
                        model,
                        method,
                        values,
                        id=f"mnist/{model}/{method}",
                        optimizer=component(optimizer).model_copy(update={"variant": variant}),
                        baseline=baseline if chance.random() < 0.9 else None,
                        margin=chance.choice((None, None, 0.3)),
                        batch_size=chance.choice((50, 50, 50, 60)),
                        first_seed=chance.choice((0, 0, 0, 1)),
                        seconds=[1 + chance.random() / 10 for _ in values],
                        target_accuracy=chance.choice((None, 91.0)),
                    )
                )
    if chance.random() < 0.3:
        first, *others = results
        named = tuple(result.id for result in others[:2])
        results[0] = first.model_copy(update={"case": first.case.model_copy(update={"compared_with": named})})
    return results


def said(verdicts: list[Verdict]) -> list[tuple[object, ...]]:
    return [(v.one.id, v.other.id, v.family, v.of, v.word, v.interval) for v in verdicts]


@pytest.mark.parametrize("metric", [None, "accuracy", "train_loss", "epoch_seconds", "target_seconds"])
def test_what_is_said_of_all_pairs_needs_no_list_of_them(metric: str | None) -> None:
    shorter = marked = told = 0
    for seed in range(60):
        results = made_up_results(seed)
        every, some = judge(results, metric), judge(results, metric, most=0)
        shorter, marked = shorter + (len(some) < len(every)), marked + bool(unbeaten(results, every))
        assert {*said(some)} <= {*said(every)}
        assert said([v for v in some if v.family == "primary"]) == said(
            [v for v in every if v.family == "primary" and v in some]
        )
        assert [some.left_out(family) for family in ("primary", "exploratory")] == [
            sum(v.family == family for v in every) - sum(v.family == family for v in some)
            for family in ("primary", "exploratory")
        ]
        ranks = {(r.case.group, rank(r, find_metric(metric or r.case.primary, r.case.measures))) for r in results}
        if len(ranks) == len(results):  # of equal ranks, either may be the next
            told += 1
            assert said(main_verdicts(some)) == [each for each in said(main_verdicts(every)) if each in said(some)]
        found, listed = on_all_pairs(some), on_all_pairs(every)
        for one in results:
            for other in results:
                one_way, other_way = found(one, other), listed(one, other)
                assert (one_way and said([one_way])) == (other_way and said([other_way]))
        assert unbeaten(results, some) == unbeaten(results, every)
    assert shorter > 10
    assert metric not in (None, "accuracy") or (told > 10 and marked > 10)


def test_a_case_without_its_baseline_beside_it_is_beaten_or_not_as_in_the_list() -> None:
    """The last of a group, whose seeds are fewer, is compared with another baseline than the group has."""
    chance, results = random.Random(4), []  # noqa: S311 - no secret
    for number in range(202):
        last = number == 201
        values = [91 + 1.414 * x for x in (-0.1, -0.05, 0, 0.05, 0.1)] if last else [90.0] * 6
        if number not in (1, 201):
            values = [90.5 + chance.gauss(0, 3) for _ in range(5 if number == 0 else 6)]
        optimizer, baseline = component(f"o{number}"), "elsewhere" if last else "o0"
        results.append(seeds_result("fc", f"o{number}", values, optimizer=optimizer, baseline=baseline))
    results.append(seeds_result("cnn", "elsewhere", [90.0] * 5, optimizer=component("elsewhere")))
    assert unbeaten(results, judge(results)) == unbeaten(results, judge(results, most=10**9))
