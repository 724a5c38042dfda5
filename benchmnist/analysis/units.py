"""The units of a verdict: a seed, or a whole search for hyperparameters, which has a luck of its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from benchmnist.runs.results import CaseResult, EpochResult, TrialResult, worst

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmnist.runs.results import Evaluation


class JoinedResult(CaseResult):
    """The cases of a method whose settings were chosen by several searches, as one case.

    Its seeds are the numbers of the searches; each of its trials is the mean over the seeds of one search.

    Attributes:
        members: The results of the searches.
    """

    members: tuple[CaseResult, ...]


def by_search(results: Sequence[CaseResult]) -> list[CaseResult]:
    """Returns the results, with those of the searches of one method joined; others are as they were.

    A search, its samples and the seeds that it is judged by are drawn at random, as the seeds of training are. The
    seeds of one search share its luck, so only searches are independent (Bouthillier et al. 2021, Accounting for
    Variance in Machine Learning Benchmarks, arXiv 2103.03098).
    """
    found: dict[object, list[CaseResult]] = {}
    for result in results:
        case = result.case
        key = id(result) if case.search is None else (case.group, case.searched_method)
        found.setdefault(key, []).append(result)
    return [members[0] if members[0].case.search is None else _joined(members) for members in found.values()]


def unit(result: CaseResult) -> str:
    """Returns what the seeds of a result are: `seed` or `search`."""
    return "search" if isinstance(result, JoinedResult) else "seed"


def members(result: CaseResult) -> tuple[CaseResult, ...]:
    """Returns the results that one was joined from; itself, if it was not."""
    return result.members if isinstance(result, JoinedResult) else (result,)


def _joined(results: Sequence[CaseResult]) -> JoinedResult:
    first = results[0]
    numbers = tuple(result.case.search or 0 for result in results)
    suffix = f"/{first.case.axes[-1]}"
    case = first.case.model_copy(
        update={
            "id": first.case.id.replace(suffix, "", 1),
            "axes": first.case.axes[:-1],
            "baseline": first.case.baseline and first.case.baseline.removesuffix(suffix),
            "compared_with": tuple(
                dict.fromkeys(other.replace(suffix, "", 1) for other in first.case.compared_with)
            )
            if first.case.compared_with is not None
            else None,
            "seeds": numbers,
            "search": None,
        }
    )
    trials = tuple(_mean_trial(result, number) for result, number in zip(results, numbers, strict=True))
    kept = {name: getattr(first, name) for name in CaseResult.model_fields}
    status = worst(result.status for result in results)
    return JoinedResult(**{**kept, "case": case, "status": status, "trials": trials}, members=tuple(results))


def _mean_trial(result: CaseResult, number: int) -> TrialResult:
    """Returns the mean over the seeds of a case; with the worst of their statuses, if one did not complete."""
    epochs = zip(*(trial.epochs for trial in result.trials), strict=False)
    missing = len(result.trials) < len(result.case.seeds)
    status = result.status if missing else worst(trial.status for trial in result.trials)
    stack = next(iter(result.stacks), None)
    joined = TrialResult(seed=number, status=status, epochs=tuple(map(_mean_epoch, epochs)), stack=stack)
    return joined.model_copy(update={"state_bytes": result.optimizer_state_bytes})


def _mean_epoch(epochs: Sequence[EpochResult]) -> EpochResult:
    by_step = [{each.step: each for each in epoch.evaluations} for epoch in epochs]
    common = [step for step in by_step[0] if all(step in found for found in by_step)]
    evaluated = [[found[step] for found in by_step] for step in common]
    evaluations = tuple(each[0].model_copy(update=_means(each)) for each in evaluated)
    return epochs[0].model_copy(update={**_means(epochs), "step_losses": (), "evaluations": evaluations})


def _means(measured: Sequence[EpochResult] | Sequence[Evaluation]) -> dict[str, Any]:
    common = set.intersection(*({*each.metrics} for each in measured))
    return {
        "seconds": _mean([each.seconds for each in measured]),
        "train_loss": _mean([each.train_loss for each in measured]),
        "metrics": {key: _mean([each.metrics[key] for each in measured]) for key in sorted(common)},
    }


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
