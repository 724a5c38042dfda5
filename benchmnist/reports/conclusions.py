"""The conclusions from a run, for programs: the JSON of a report, with its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmnist.analysis.amounts import factor
from benchmnist.analysis.chances import chances_of
from benchmnist.analysis.figures import metrics_of
from benchmnist.analysis.units import unit
from benchmnist.metrics import comparable
from benchmnist.reports.escaping import json_text
from benchmnist.reports.ladder_tables import ladder_records
from benchmnist.reports.records import plain

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

    from benchmnist.analysis.analysis import Analysis
    from benchmnist.analysis.ranks import Ranks
    from benchmnist.analysis.verdicts import Verdict
    from benchmnist.metrics import RowLevel
    from benchmnist.reports.records import Records
    from benchmnist.suites.cases import Group

SCHEMA = 1
"""Number of the format of `benchmnist report --format json`. It grows when a key gets another meaning."""


def json_report(
    analysis: Analysis, rows: Records, level: RowLevel = "case", about: re.Pattern[str] | None = None
) -> str:
    """Renders rows of a run as strict JSON; those of cases with the conclusions beside them.

    Args:
        analysis: The whole run: the comparisons of a family are those of all its cases.
        rows: The rows.
        level: What a row is about.
        about: Keeps the findings that match, and of comparisons and targets those whose case ids match.
    """
    record = analysis.run.record
    found: dict[str, Any] = {
        "schema_version": SCHEMA,
        "run": {
            "suite": record.suite,
            "title": record.title,
            "status": record.status,
            "started": record.started,
            "benchmnist": record.benchmnist,
            "notes": record.notes,
        },
        "level": level,
        "rows": rows.rows,
    }
    if level == "case":
        found |= plain(_conclusions(analysis, about))
    return json_text(found)


def _conclusions(analysis: Analysis, about: re.Pattern[str] | None) -> dict[str, Any]:
    def matches(*texts: str) -> bool:
        return about is None or all(about.search(text) for text in texts)

    judged = [analysis.verdicts(), analysis.time_verdicts]
    if analysis.step_verdicts is not judged[0]:
        judged.insert(1, analysis.step_verdicts)
    left_out = sum(each.left_out() if about is None else each.left_out_among(about.search) for each in judged)
    return {
        "findings": [
            {"kind": each.kind, "text": each.text, "cases": each.cases}
            for each in analysis.findings
            if matches(each.text)
        ],
        "verdicts": [_verdict(v) for each in judged for v in each if matches(v.one.id, v.other.id)],
        **({"verdicts_left_out": left_out} if left_out else {}),
        "unbeaten": {
            metric.key: [r.id for r in analysis.run.cases if r.id in analysis.unbeaten(metric)]
            for metric in comparable(metrics_of(analysis.run.cases))
        },
        "ranks": _ranks(analysis),
        "scores": _scores(analysis),
        "ladders": ladder_conclusions(analysis, about),
        "targets": [each for each in _targets(analysis) if matches(each["case"])],
        "steps_saved": [each for each in _steps_saved(analysis) if matches(each["case"], each["vs"])],
        "profiles": [
            {"method": each.method, "problems": each.problems, "points": each.points}
            for each in analysis.profiles.compared
        ],
        "noise_floors": [
            {**_group(group), "difference": floor.primary, "epoch_seconds_ratio": floor.ratio}
            for group, floor in analysis.floors.items()
        ],
    }


def _verdict(v: Verdict) -> dict[str, Any]:
    def shown(value: float) -> float:
        return factor(value) if v.metric.ratio else value

    chances = chances_of(v) if v.family == "primary" else None
    return {
        "case": v.one.id,
        "vs": v.other.id,
        "metric": v.metric.key,
        "verdict": v.word,
        "family": v.family,
        "comparisons": v.of,
        "paired_by": unit(v.one),
        "n": v.paired.n,
        "lost": {"case": sorted(v.lost[0]), "vs": sorted(v.lost[1])},
        "is_ratio": v.metric.ratio,
        "difference": shown(v.paired.mean),
        "interval": v.interval and [*map(shown, v.interval)],
        "p": v.p,
        "margin": v.margin,
        "chances": chances and chances._asdict(),
    }


def _ranks(analysis: Analysis) -> dict[str, Any] | None:
    grid, ranks = analysis.grid, analysis.ranks
    if grid is None or ranks is None:
        return None
    return {
        **_mean_ranks(ranks),
        "groups": [*map(_group, grid.groups)],
        "methods_left_out": grid.methods_left_out,
        "groups_left_out": [*map(_group, grid.groups_left_out)],
    }


def _mean_ranks(ranks: Ranks) -> dict[str, Any]:
    return {
        "methods": [
            {"method": method, "rank": mean} for method, mean in zip(ranks.methods, ranks.means, strict=True)
        ],
        "friedman_p": ranks.p,
        "critical_difference": ranks.critical,
        "alike": [ranks.methods[first : last + 1] for first, last in ranks.bars],
    }


def ladder_conclusions(analysis: Analysis, about: re.Pattern[str] | None = None) -> dict[str, Any] | None:
    """Returns the levels that methods solve, and what follows; None without problems with a target.

    `about` keeps the levels whose problem, method or case matches.
    """
    ladders = analysis.ladders
    if ladders is None:
        return None
    return {
        "levels": ladder_records(analysis, about).rows,
        "highest": [
            {
                "problem": each.problem,
                "method": each.method,
                "level": each.highest and each.highest.name,
                "solved": len(each.solved),
                "levels": len(each.rungs),
                "harder_solved": [rung.name for rung in each.gaps],
            }
            for each in ladders.ladders
            if about is None or about.search(f"{each.problem} {each.method}")
        ],
        "scores": [
            {"method": each.method, "score": each.mean, "interval": each.interval, "recorded": each.recorded}
            for each in ladders.scores
        ],
        "ranks": ladders.ranks and _mean_ranks(ladders.ranks),
        "methods_left_out": ladders.left_out,
    }


def _scores(analysis: Analysis) -> dict[str, Any] | None:
    scores = analysis.scores
    if scores is None:
        return None
    return {
        "of": scores.effort.key if scores.effort else "primary metric",
        "methods": [
            {"method": each.method, "score": each.mean, "interval": each.interval} for each in scores.methods
        ],
    }


def _targets(analysis: Analysis) -> Iterator[dict[str, Any]]:
    for each in analysis.times_to_target:
        yield {
            "case": each.result.id,
            "target_accuracy": each.result.case.target_accuracy,
            "target_loss": each.result.case.target_loss,
            "reached": each.hits,
            "gave_up": each.gave_up,
            "n": len(each.reached),
            "in_stack": each.result.shares_times,
            "seconds": each.seconds,
            "epochs": each.epochs,
            "steps": each.steps,
            "step_seconds": each.step_seconds,
        }


def _steps_saved(analysis: Analysis) -> Iterator[dict[str, Any]]:
    for each in analysis.steps_saved:
        yield {
            **_verdict(each.verdict),
            "share": each.share,
            "loss": each.loss,
            "ends_lower": each.lower,
            "seeds": [{"seed": seed, **found._asdict()} for seed, found in each.seeds.items()],
        }


def _group(group: Group) -> dict[str, str | None]:
    dataset, model, label = group
    return {"dataset": dataset, "model": model, "label": label or None}
