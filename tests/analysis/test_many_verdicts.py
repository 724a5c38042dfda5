"""Of very many pairs, few verdicts are listed; what is said of all pairs is what the list of all says."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest
from made_up import seeds_result
from training_support import component

from benchmnist.analysis.findings.doubts import no_common_seeds, too_few_seeds, without_seeds
from benchmnist.analysis.findings.names import Names
from benchmnist.analysis.marks import MUTE, unbeaten
from benchmnist.analysis.statistics import LEAST_PAIRS
from benchmnist.analysis.verdicts import judge, main_verdicts, on_all_pairs, rank
from benchmnist.metrics import find_metric

if TYPE_CHECKING:
    from benchmnist.analysis.verdicts import Verdict, Verdicts
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
        left_out = [some.left_out(family) for family in ("primary", "exploratory")]
        assert [*left_out, some.left_out()] == [
            *(
                sum(v.family == family for v in every) - sum(v.family == family for v in some)
                for family in ("primary", "exploratory")
            ),
            len(every) - len(some),
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


def with_few_seeds(seed: int) -> list[CaseResult]:
    """Some results whose seeds are few, or have few in common; of those that are few, some are identical."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    results = made_up_results(seed)
    changed = []
    for result in results:
        number = chance.choice((0, 1, 2, 2, 3, 4))
        values: list[float | None] = [chance.choice((90.0, 91.0)) for _ in range(number)]
        first = chance.choice((0, 0, 1, 2, 9))
        made = seeds_result("fc", "sgd", values, first_seed=first, lr=chance.choice((0.1, 0.1, 0.2)))
        case = result.case.model_copy(update={"seeds": made.case.seeds or (0,)})
        changed.append(result if chance.random() < 0.2 else made.model_copy(update={"case": case}))
    return changed


def on_seeds(results: list[CaseResult], verdicts: Verdicts) -> list[tuple[str, str | int, set[str]]]:
    """Returns the findings on missing seeds: the kind, the sentence or the number of pairs, and the cases."""
    found: list[tuple[str, str | int, set[str]]] = []
    without = without_seeds(verdicts)
    for each in (*too_few_seeds(verdicts, without), *no_common_seeds(verdicts, without, Names(results))):
        others = re.search(r"(\d+) others", each.text)
        pairs = each.text.count(" in common") + (int(others[1]) if others else 0)
        found.append((each.kind, pairs or each.text, {*each.cases}))
    return found


def test_missing_seeds_and_identical_cases_are_those_of_the_list() -> None:
    kinds: list[str] = []
    for seed in range(100):
        results = with_few_seeds(seed)
        every, some = judge(results), judge(results, most=0)
        assert on_seeds(results, some) == on_seeds(results, every)
        kinds += [kind for kind, *_ in on_seeds(results, every)]
        assert some.many is not None
        for group, members in some.many.pairs.groups.items():
            within = [v for v in every if v.one.case.group == v.other.case.group == group]
            judged = {r.id for v in within if v.word not in MUTE for r in (v.one, v.other)}
            told = some.many.told(group).judged.tolist()
            assert judged == {case.id for case, is_so in zip(members.cases, told, strict=True) if is_so}
            kinds += [v.word for v in within if v.paired.n < LEAST_PAIRS]
    assert min(map(kinds.count, ("too few seeds", "no common seeds", "identical"))) > 10


def test_what_an_expression_leaves_out_is_counted() -> None:
    for seed in range(40):
        results = made_up_results(seed)
        every, some = judge(results), judge(results, most=0)
        for about in map(re.compile, ("adam", "fc", "cnn|sgd", "lr-0.1$", "")):
            all_of_them, listed = (
                [v for v in each if about.search(v.one.id) and about.search(v.other.id)] for each in (every, some)
            )
            assert some.left_out_among(about.search) == len(all_of_them) - len(listed)
            assert every.left_out_among(about.search) == 0


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
