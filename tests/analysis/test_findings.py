"""Each kind of sentence: data that must produce it, and data that must not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from made_up import made_up_run, seeds_result
from training_support import component

from benchmnist.analysis.analysis import Analysis
from benchmnist.analysis.findings import Finding
from benchmnist.runs.models import Layer, ModelDescription
from benchmnist.runs.searches import Attempt, Search
from benchmnist.suites.cases import Space

if TYPE_CHECKING:
    from benchmnist.runs.results import CaseResult

SPREAD = (0.0, 0.1, -0.1, 0.05, -0.05)
OTHER = SPREAD[::-1]


def around(mean: float, spread: tuple[float, ...] = SPREAD) -> list[float | None]:
    return [mean + each for each in spread]


def model(name: str, *kinds: str) -> ModelDescription:
    return ModelDescription(dataset="mnist", model=name, layers=tuple(Layer(name="", kind=kind) for kind in kinds))


FC = model("fc", "Linear", "ReLU", "Linear")
FC_BN = model("fc-bn", "Linear", "ReLU", "BatchNorm1d", "Linear")
FC_BN_DROPOUT = model("fc-bn-dropout", "Linear", "ReLU", "BatchNorm1d", "Dropout", "Linear")
CNN = model("cnn", "Conv2d", "ReLU", "Linear")


def said(
    kind: str, cases: list[CaseResult], *models: ModelDescription, searches: list[Search] | None = None
) -> list[str]:
    run = made_up_run(cases, models=models, searches=searches or [])
    return [finding.text for finding in Analysis(run).findings if finding.kind == kind]


def test_the_best_rule_is_named_where_it_is_shown_to_be() -> None:
    cases = [
        seeds_result("fc", "sgd", around(90, OTHER)),
        seeds_result("fc", "adam", around(97)),
        seeds_result("fc", "momentum", around(95, OTHER)),
    ]
    (text,) = said("rules", cases)
    assert text == (
        "On mnist · fc, adam (97.00 %) is the best of 3 methods. It is better than momentum (95.00 %), by "
        "+2.00 points [1.91, 2.09] and sgd (90.00 %), by +7.00 points [6.91, 7.09]."
    )
    cases[2] = seeds_result("fc", "momentum", around(95, (0.1, 0.0, 0.05, -0.05, -0.1)))
    against = [c.model_copy(update={"case": c.case.model_copy(update={"baseline": "sgd"})}) for c in cases]
    (text,) = said("baseline", against)
    assert text == (
        "On mnist · fc, compared with the baseline sgd (90.00 %): better: adam (97.00 %), +7.00 points "
        "[6.92, 7.08] and momentum (95.00 %), +5.00 points [4.78, 5.22]."
    )
    (text,) = said("rules", against)
    assert text == (
        "Exploratory: on mnist · fc, adam (97.00 %) is the best of 3 methods. It is better than momentum "
        "(95.00 %), by +2.00 points [1.79, 2.21]."
    )


def test_what_is_not_better_than_the_baseline_is_told_word_by_word() -> None:
    cases = [
        seeds_result("fc", "sgd", around(90), baseline="sgd", margin=0.5),
        seeds_result("fc", "near", around(90.01, OTHER), baseline="sgd", margin=0.5),
        seeds_result("fc", "same", around(90), baseline="sgd", margin=0.5),
        seeds_result("fc", "far", around(80, OTHER), baseline="sgd", margin=0.5),
        seeds_result("fc", "unclear", [90.0, 91.0, 89.5, 90.5, 90.0], baseline="sgd", margin=0.5),
        seeds_result("fc", "wild", [98.0, None, 98.2, 98.1, None], baseline="sgd", margin=0.5),
    ]
    (text,) = said("baseline", cases)
    assert "worse: far (80.00 %), -10.00 points [" in text
    assert "equivalent within 0.5 points: near (90.01 %), +0.01 points [" in text
    assert "not shown to differ: unclear (90.20 %), +0.20 points [" in text
    assert "identical in every seed: same (90.00 %)" in text
    assert (
        "not judged, since seeds were lost that sgd completed: wild (98.10 % in the 3 of 5 seeds that it " in text
    )
    assert text.endswith("completed), +8.12 points in the 3 of 5 seeds that both completed.")
    assert "better:" not in text


def test_who_lost_seeds_is_not_the_best() -> None:
    cases = [
        seeds_result("fc", "sgd", around(90)),
        seeds_result("fc", "adam", around(97, OTHER)),
        seeds_result("fc", "wild", [98.15, None, 98.2, 98.1, None]),
    ]
    (text,) = said("rules", cases)
    assert text.startswith(
        "On mnist · fc, adam (97.00 %) has the highest mean of the methods that completed every seed."
    )
    assert "wild (98.15 % in the 3 of 5 seeds that it completed)" in text
    assert "Not judged, since seeds were lost that adam completed" in text


def test_a_case_that_failed_is_named() -> None:
    broken = seeds_result("fc", "wild", [90.0] * 3)
    broken = broken.model_copy(update={"status": "crashed", "trials": broken.trials[:1]})
    cases = [broken, *(seeds_result("fc", name, around(90)[:3]) for name in ("sgd", "adam"))]
    assert said("failed", cases) == ["Failed: fc · wild (crashed). The seeds that a case lost count against it."]
    assert said("failed", cases[1:]) == []


def test_what_differs_in_more_than_the_method_is_not_compared() -> None:
    cases = [
        seeds_result("fc", "sgd", around(30), baseline="sgd", batch_size=500),
        seeds_result("fc", "adam", around(90, OTHER), baseline="sgd", epochs=5),
    ]
    (text,) = said("not compared", cases)
    assert text == (
        "Not compared, because more than the method differs: fc · adam and fc · sgd also differ in epochs "
        "(5 and 1) and batch size (50 and 500)."
    )
    assert said("baseline", cases) == said("rules", cases) == []


def test_a_layer_is_not_praised_for_what_else_differs() -> None:
    small, wide = (
        ModelDescription(
            dataset="mnist", model=name, layers=tuple(Layer(name="", kind=k, settings=s) for k, s in layers)
        )
        for name, layers in (
            ("fc", [("Linear", "784, 16"), ("ReLU", ""), ("Linear", "16, 10")]),
            ("fc-bn", [("Linear", "784, 500"), ("ReLU", ""), ("BatchNorm1d", "500"), ("Linear", "500, 10")]),
        )
    )
    cases = [seeds_result(name, "adam", around(mean)) for name, mean in (("fc", 90), ("fc-bn", 98))]
    assert said("layers", cases, small, wide) == []
    longer = [cases[0], seeds_result("fc-bn", "adam", around(98), epochs=10)]
    assert said("layers", longer, FC, FC_BN) == []


def test_a_seed_that_is_stuck_is_named_with_what_it_does_to_the_mean() -> None:
    stuck = seeds_result("fc", "adam", [98.0, 98.1, 97.9, 98.0, 9.8])
    (text,) = said("seeds apart", [stuck])
    assert text == (
        "fc · adam: seed 4 (9.80 %) is far from its other seeds (97.90 % to 98.10 %). If such seeds are rare and "
        "all to one side, verdicts on this case are wrong more often than in one run of twenty: look at each "
        "seed. The mean is 80.36 %, the interquartile mean 97.97 %."
    )
    assert said("seeds apart", [seeds_result("fc", "adam", around(98))]) == []


def test_what_the_suite_names_is_said_first_and_from_its_own_family() -> None:
    cases = [
        seeds_result("fc", "sgd", around(90, OTHER), compared_with=()),
        seeds_result("fc", "adam", around(97), compared_with=("mnist/fc/momentum",)),
        seeds_result("fc", "momentum", around(95, OTHER), compared_with=()),
        seeds_result("wide", "adam", around(98, OTHER), compared_with=("mnist/fc/adam",)),
    ]
    (text,) = said("baseline", cases)
    assert text.startswith(
        "On mnist · fc, compared with momentum (95.00 %): better: adam (97.00 %), +2.00 points ["
    )
    (text,) = said("models", cases)
    assert text.startswith("On mnist, wide instead of fc helps adam (+1.00 points [")
    (text,) = said("rules", cases)
    assert text.startswith("Exploratory: ")
    assert "momentum" not in text


def test_what_cannot_be_told_apart_is_not_ranked() -> None:
    cases = [
        seeds_result("fc", "sgd", around(90)),
        seeds_result("fc", "adam", around(97)),
        seeds_result("fc", "rmsprop", around(97.01, OTHER)),
    ]
    (text,) = said("rules", cases)
    assert text.startswith(
        "On mnist · fc, rmsprop (97.01 %) has the highest mean. It is not shown to differ from adam (97.00 %; "
    )
    assert "best" not in text
    assert "It is better than sgd (90.00 %)" in text


def test_a_tie_within_the_margin_is_called_one() -> None:
    cases = [seeds_result("fc", name, around(97, s), margin=0.5) for name, s in (("adam", SPREAD), ("sgd", OTHER))]
    assert "adam is equivalent to sgd (+0.00 points [-0.06, 0.06]; within 0.5 points)." in said("rules", cases)[0]


def test_equal_means_are_not_called_the_highest_of_one() -> None:
    cases = [seeds_result("fc", name, around(97, spread)) for name, spread in (("sgd", SPREAD), ("adam", OTHER))]
    (text,) = said("rules", [*cases, seeds_result("fc", "slow", around(90))])
    assert text.startswith(
        "On mnist · fc, sgd (97.00 %) and adam (97.00 %) have the highest mean. sgd is not shown"
    )
    assert "to differ from adam (+0.00 points [" in text


def test_what_only_looks_equal_is_not_called_a_tie() -> None:
    first = [97.2, 97.3, 97.1, 97.2]
    cases = [
        seeds_result("fc", "sgd", [v + d for v, d in zip(first, (0.002, 0.0021, 0.0022, 0.002), strict=True)]),
        seeds_result("fc", "adam", list(first)),
        seeds_result("fc", "wide", [97.0, 98.0, 96.0, 97.0]),
    ]
    (text,) = said("rules", cases)
    assert text.startswith("On mnist · fc, sgd (97.20 %) has the highest mean.")
    assert "better than adam (97.20 %), by +0.002" in text


def test_who_has_the_highest_mean_of_other_seeds_is_not_said_without_that() -> None:
    cases = [seeds_result("fc", "sgd", around(97)), seeds_result("fc", "adam", around(96, (*OTHER, 9.0, 9.0)))]
    (text,) = said("rules", cases)
    assert "adam (98.57 %) has the highest mean, each over its own seeds." in text


def test_who_is_not_compared_with_the_best_is_named_with_what_else_differs() -> None:
    cases = [
        seeds_result("fc", "sgd", around(90)),
        seeds_result("fc", "adam", around(97, OTHER)),
        seeds_result("fc", "momentum", around(95), epochs=3, batch_size=7),
    ]
    (text,) = said("rules", cases)
    assert text.startswith("On mnist · fc, adam (97.00 %) is the best of the 2 methods that are compared.")
    assert text.endswith("Not compared with adam: momentum (95.00 %; other epochs and batch size).")


def test_each_equivalence_names_the_margin_that_it_was_judged_by() -> None:
    """The smaller one, where two cases have two margins."""
    cases = [
        seeds_result("fc", name, around(90.01, OTHER) if index else around(90), baseline="sgd", margin=margin)
        for index, (name, margin) in enumerate((("sgd", 1.0), ("adam", 0.5), ("momentum", 1.0), ("far", None)))
    ]
    (text,) = said("baseline", cases)
    assert "equivalent within 0.5 points: adam (90.01 %)" in text
    assert "equivalent within 1 point: momentum (90.01 %), +0.01 points [" in text
    noisy = [
        c.model_copy(update={"case": c.case.model_copy(update={"margin": m})})
        for c, m in zip(cases, (0.02, 0.01, 0.02, None), strict=True)
    ]
    assert [text.split("within ")[1].split(" with")[0] for text in said("undecided", noisy)] == [
        "0.01 points",
        "0.02 points",
    ]


def test_what_the_means_are_of_is_said_where_the_seeds_are_not_the_same() -> None:
    """Seeds that only one of the two has may have the opposite sign."""
    cases = [
        seeds_result("fc", "sgd", [90.0, 90.1, 89.9, 90.0], baseline="sgd"),
        seeds_result("fc", "adam", [91.0, 91.2, 90.8, 91.1, 60.0, 61.0, 62.0], baseline="sgd"),
    ]
    (text,) = said("baseline", cases)
    assert "better: adam (78.16 %), +1.02 points [" in text
    assert text.endswith("] in the 4 seeds that both have.")
    apart = [cases[0], seeds_result("fc", "adam", around(91), first_seed=4, baseline="sgd")]
    assert said("baseline", apart) == []
    (text,) = said("no common seeds", apart)
    assert text.startswith("Not compared: fc · adam and fc · sgd have no seed in common. Differences are paired")
    assert said("no common seeds", cases) == []


def test_an_interrupted_run_says_first_how_much_of_it_there_is() -> None:
    whole, part, rest = (seeds_result("fc", name, around(90), baseline="sgd") for name in ("sgd", "adam", "slow"))
    cut = part.trials[4].model_copy(update={"status": "interrupted"})
    part = part.model_copy(update={"status": "interrupted", "trials": (*part.trials[:4], cut)})
    run = made_up_run([whole, part, rest])
    found = Analysis(run.model_copy(update={"cases": (whole, part)})).findings
    assert found[0].text.startswith(
        "This run is not complete: 1 of 3 cases and 9 of 15 trials have ended and are in it. What follows is about"
    )
    assert "adam (90.01 % in the 4 of 5 seeds that it completed)" in "".join(each.text for each in found)
    assert not said("incomplete", [whole])


def test_a_seed_without_a_finite_value_is_named() -> None:
    cases = [
        seeds_result("fc", "sgd", around(90), baseline="sgd"),
        seeds_result("fc", "adam", [math.nan, 97.1, math.inf, 97.0, 96.9], baseline="sgd"),
    ]
    (text,) = said("not finite", cases)
    assert "finite value: fc · adam (test accuracy, 2 of 5 seeds)." in text


def test_cases_of_several_datasets_are_named_with_theirs() -> None:
    cases = [
        seeds_result("fc", "sgd", [90.0, None, 90.0], id=f"{data}/fc/sgd", dataset=component(data))
        for data in ("mnist", "other")
    ]
    assert said("diverged", cases) == [
        "Diverged: mnist · fc · sgd (1 of 3 seeds) and other · fc · sgd (1 of 3 seeds)."
    ]


def test_differences_that_are_the_same_in_every_seed_show_nothing_and_say_so() -> None:
    """On few test examples this happens by chance."""
    cases = [
        seeds_result("fc", name, [mean, mean + 1, mean, mean, mean, mean, mean], margin=5.0, baseline="sgd")
        for name, mean in (("sgd", 90.0), ("adam", 91.0))
    ]
    (text,) = said("baseline", cases)
    assert text.endswith("not shown to differ: adam (91.14 %), +1.00 points, the same in every seed.")


@pytest.mark.parametrize("seeds", [1, 2])
def test_of_few_seeds_nothing_is_said_but_that(seeds: int) -> None:
    cases = [seeds_result("fc", name, around(mean)[:seeds]) for name, mean in (("sgd", 50), ("adam", 97))]
    assert said("rules", cases) == []
    (text,) = said("too few seeds", cases)
    assert text.startswith(f"{seeds} seed")
    assert "too few to show which case is better" in text


def test_of_three_seeds_something_is() -> None:
    cases = [seeds_result("fc", name, around(mean)[:3]) for name, mean in (("sgd", 50), ("adam", 97))]
    assert said("too few seeds", cases) == []
    assert len(said("rules", cases)) == 1
    assert said("too few seeds", cases[:1]) == []  # nothing stands beside it


def test_what_batch_normalisation_did_is_said_of_each_rule() -> None:
    cases = [
        seeds_result("fc", "sgd", around(78, OTHER)),
        seeds_result("fc", "adam", around(98, OTHER)),
        seeds_result("fc", "momentum", around(98, OTHER)),
        seeds_result("fc-bn", "sgd", around(93)),
        seeds_result("fc-bn", "adam", around(98)),
        seeds_result("fc-bn", "momentum", around(97)),
    ]
    (text,) = said("layers", cases, FC, FC_BN)
    assert text == (
        "Exploratory: on mnist, batch normalisation (fc-bn vs fc) helps sgd (+15.00 points [14.88, 15.12]); it "
        "hurts momentum (-1.00 points [-1.12, -0.88]); it has no effect that is shown on adam (+0.00 points "
        "[-0.12, 0.12])."
    )
    (other_way_round,) = said("layers", cases[3:] + cases[:3], FC, FC_BN)
    assert other_way_round == text


def test_what_dropout_did_is_said_and_within_a_margin_that_it_did_nothing() -> None:
    cases = [
        seeds_result("fc-bn", "adam", around(98, OTHER), margin=0.5),
        seeds_result("fc-bn-dropout", "adam", around(97.9), margin=0.5),
    ]
    (text,) = said("layers", cases, FC_BN, FC_BN_DROPOUT)
    assert text.startswith("On mnist, dropout (fc-bn-dropout vs fc-bn) has an effect of less than 0.5 points on ")


@pytest.mark.parametrize("models", [(FC, CNN), ()], ids=["models of other layers", "models that nobody described"])
def test_layers_are_not_made_up(models: tuple[ModelDescription, ...]) -> None:
    cases = [seeds_result(name, "adam", around(mean)) for name, mean in (("fc", 90), ("cnn", 99))]
    assert said("layers", cases, *models) == []


def test_what_convolutions_gain_and_cost() -> None:
    cases = [
        seeds_result("fc", "sgd", around(90, OTHER)),
        seeds_result("fc", "adam", around(98, OTHER), seconds=1.0, epochs=5),
        seeds_result("cnn", "adam", around(99), seconds=[4.0, 4.1, 3.9, 4.0, 4.0], epochs=10),
    ]
    (text,) = said("convolution", cases, FC, CNN)
    assert text == (
        "Exploratory: on mnist, the best case with convolutions, cnn · adam (99.00 %), is better than the best "
        "case without them, fc · adam (98.00 %): +1.00 points [0.90, 1.10]. Its epochs take 4.00 times [3.87, "
        "4.14] as long. They differ in epochs (10 and 5), too."
    )
    assert said("convolution", cases[:2], FC) == []
    for mean, margin, words in (
        (97.0, None, "is worse than the best case without"),
        (98.0, None, "is not shown to differ from the best case without"),
        (98.0, 0.5, "is equivalent (within 0.5 points) to the best case without"),
    ):
        pair = [cases[1], seeds_result("cnn", "adam", around(mean), margin=margin)]
        assert words in said("convolution", pair, FC, CNN)[0]
    few = [seeds_result(name, "adam", around(98)[:2]) for name in ("fc", "cnn")]
    assert said("convolution", few, FC, CNN) == []


def test_what_diverged_is_named() -> None:
    cases = [seeds_result("fc", "wild", [None, 50.0, None]), seeds_result("fc", "sgd", [90.0] * 3)]
    assert said("diverged", cases) == ["Diverged: fc · wild (2 of 3 seeds)."]
    assert said("diverged", cases[1:]) == []


def test_one_learning_rate_each_is_no_comparison_of_rules() -> None:
    cases = [seeds_result("fc", "sgd", around(90), lr=1e-3), seeds_result("fc", "adam", around(97), lr=1e-3)]
    (text,) = said("one learning rate", cases)
    assert "(all at 0.001)" in text
    (text,) = said("one learning rate", [cases[0], seeds_result("fc", "adam", around(97), lr=0.01)])
    assert "(sgd at 0.001 and adam at 0.01)" in text


def test_and_is_not_said_of_one_rule_of_swept_ones_or_of_tuned_ones() -> None:
    sgd, adam = (seeds_result("fc", name, around(90)) for name in ("sgd", "adam"))
    assert said("one learning rate", [sgd]) == []
    assert said("one learning rate", [sgd, adam, seeds_result("fc-bn", "sgd", around(90), lr=1.0)]) == []
    tuned = [seeds_result("fc", name, around(90), tuned=True) for name in ("sgd", "adam")]
    assert said("one learning rate", tuned) == []


def test_networks_that_were_tested_in_train_mode_are_named() -> None:
    cases = [seeds_result(name, "adam", around(97), evaluate_in="train") for name in ("fc", "fc-bn")]
    (text,) = said("train mode", cases, FC, FC_BN)
    assert text.startswith("1 case with batch normalisation or dropout was tested in train() mode")
    assert said("train mode", cases[:1], FC, FC_BN) == []  # nothing in it knows the two modes apart
    assert said("train mode", [seeds_result("fc-bn", "adam", around(97))], FC_BN) == []


def test_the_noise_floor_is_told_where_there_is_a_control() -> None:
    baseline = seeds_result("fc", "sgd", around(90), baseline="sgd", seconds=[1.0, 1.1, 1.2, 1.0, 1.1])
    control = baseline.model_copy(
        update={"case": baseline.case.model_copy(update={"control": True, "id": "mnist/fc/sgd/control"})}
    )
    (text,) = said("noise floor", [baseline, control])
    assert "0.12 points and 12% on mnist · fc" in text
    assert said("noise floor", [baseline]) == []


def searched(*values: float, method: str = "sgd", best: float | None = None) -> Search:
    attempts = tuple(Attempt(params={"lr": lr}, value=90 if lr == best else 50 + lr) for lr in values)
    space = {"lr": Space(low=0.001, high=1.0, log=True)}
    return Search(dataset="mnist", model="fc", method=method, sampler="random", space=space, attempts=attempts)


def test_what_was_executed_differently_is_said_where_times_are_compared() -> None:
    def cases(baseline: str | None, **remarks: tuple[str, ...]) -> list[CaseResult]:
        return [
            seeds_result("fc", name, around(90), baseline=baseline).model_copy(update={"remarks": found})
            for name, found in remarks.items()
        ]

    (text,) = said(
        "execution", cases("sgd", sgd=(), adam=("fused", "onednn"), nadam=(), rms=("onednn: 2 of 5 seeds",))
    )
    assert text == (
        "On mnist · fc, more than the method differs between times, since steps were not executed alike: plainly: "
        "sgd and nadam; with products by oneDNN: adam; with products by oneDNN in 2 of 5 seeds: rms. With "
        "BENCHMNIST_ONEDNN = 0 they are."
    )
    alike = ("onednn", "recorded")
    (text,) = said("execution", cases("sgd", sgd=alike, mine=("onednn",)))
    assert text.endswith(
        "with products by oneDNN and with recorded steps: sgd; with products by oneDNN: mine. With "
        "BENCHMNIST_RECORDED = 0 they are."
    )
    assert said("execution", cases("sgd", sgd=alike, adam=("fused", *alike))) == []
    assert said("execution", cases(None, sgd=(), adam=alike)) == []  # no times are compared
    other = seeds_result("cnn", "sgd", around(90), baseline="sgd")
    assert said("execution", [*cases("sgd", sgd=alike), other]) == []


def test_what_was_tuned_says_how_and_what_to_doubt() -> None:
    tuned = seeds_result("fc", "sgd", around(90), tuned=True)
    untuned = seeds_result("fc", "adam", around(91))
    inside, edge = [searched(0.01, 0.1, 0.9, best=0.1)], [searched(0.01, 0.1, 0.9)]
    assert "in 3 attempts (random)" in said("tuned", [tuned], searches=inside)[0]
    few = searched(0.1, 0.5, method="adam").model_copy(update={"space": {"lr": Space(values=(0.1, 0.5))}})
    assert "in 3 attempts of sgd and 2 of adam: its whole space (random)." in said(
        "tuned", [tuned], searches=[*inside, few]
    )[0]  # fmt: skip
    assert said("best at the edge", [tuned], searches=inside) == []
    (text,) = said("best at the edge", [tuned], searches=edge)
    assert "lr = 0.9, tried 0.01 to 0.9, range 0.001 to 1 (sgd on mnist · fc)" in text
    assert text.endswith("Tune with more attempts (--trials).")
    ended = [searched(0.01, 0.1, 1.0, method=name) for name in "abcde"]
    inside_too, at_end = said("best at the edge", [tuned], searches=[*edge, *ended])
    assert inside_too == text
    assert "lr = 1, tried 0.01 to 1, range 0.001 to 1 (a on mnist · fc); " in at_end
    assert at_end.endswith("(c on mnist · fc) and 2 others. Widen the space, and tune again.")
    assert said("not tuned", [tuned], searches=inside) == []
    assert said("not tuned", [tuned, untuned], searches=inside) == [
        "fc · adam was not tuned, but is compared with cases that were."
    ]
    assert said("tuned", [untuned]) == []


def test_where_tuning_gains_nothing_is_said() -> None:
    untuned: dict[str, Any] = {"axes": ("untuned",), "untuned": True}
    own = {m: seeds_result("fc", m, around(v), id=f"mnist/fc/{m}/untuned", **untuned)
           for m, v in (("sgd", 90), ("adam", 95), ("poor", 80))}  # fmt: skip
    found = {m: seeds_result("fc", m, around(v, OTHER), tuned=True)
             for m, v in (("sgd", 95), ("adam", 95.01), ("poor", 75))}  # fmt: skip
    cases = [*found.values(), *own.values()]
    level, worse = said("tuning gains nothing", cases)
    assert level.startswith(
        "The settings found by tuning are not shown to be better than the suite's own: fc · adam ("
    )
    assert worse.startswith("The settings found by tuning are worse than the suite's own: fc · poor (-5.00 points")
    assert said("tuning gains nothing", [found["sgd"], own["sgd"]]) == []
    assert said("not tuned", cases, searches=[searched(0.01)]) == []
    (rules,) = said("rules", cases)
    assert "untuned" not in rules


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        (
            (None,),
            "There was one search for each, so comparisons are of these settings: the luck of the search is not",
        ),
        ((1, 2, 3), "Each search was repeated 3 times, with other points and other seeds. A search counts as one"),
    ],
)
def test_what_tuned_cases_are_compared_by_is_said(numbers: tuple[int | None, ...], words: str) -> None:
    searches = [searched(0.01, 0.1).model_copy(update={"number": number}) for number in numbers]
    (text,) = said("tuned", [seeds_result("fc", "sgd", around(90), tuned=True)], searches=searches)
    assert words in text
    assert "in 2 attempts (random)." in text


def test_findings_name_their_rows() -> None:
    cases = [seeds_result("fc", name, around(mean)) for name, mean in (("sgd", 90), ("adam", 97))]
    found = {finding.kind: finding for finding in Analysis(made_up_run(cases)).findings}
    assert found["rules"].cases == ("mnist/fc/adam", "mnist/fc/sgd")
    for finding in found.values():
        assert isinstance(finding, Finding)
        assert {*finding.cases} <= {case.id for case in cases}
