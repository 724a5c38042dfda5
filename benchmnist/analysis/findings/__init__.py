"""Findings of a run, in sentences: each with its figures and the cases that it is about.

Differences are means over the seeds, paired by seed, each with its interval (statistics.py) in square brackets.
The intervals of a family hold all at once, and each word is read off the interval beside it.

Each kind of sentence is a function of the results; it yields nothing that the data do not support.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from benchmnist.analysis.findings.chances import undecided
from benchmnist.analysis.findings.doubts import (
    apart,
    diverged,
    failed,
    incomplete,
    no_common_seeds,
    noise_floor,
    not_compared,
    not_finite,
    one_learning_rate,
    too_few_seeds,
    without_lines,
    without_seeds,
)
from benchmnist.analysis.findings.ladders import levels_solved, verdicts_on_levels
from benchmnist.analysis.findings.layers import effects_of_layers, gain_of_convolutions, tested_in_train_mode
from benchmnist.analysis.findings.methods import against_the_baseline, best_methods
from benchmnist.analysis.findings.names import Names
from benchmnist.analysis.findings.ranks import best_mean_rank
from benchmnist.analysis.findings.seeds import detectable_differences, last_look
from benchmnist.analysis.findings.steps import ended_early, fewest_steps, steps_saved
from benchmnist.analysis.findings.times import executed_differently, first_at_target, stacked, trained_in_order
from benchmnist.analysis.findings.tuning import not_better_tuned, tuned
from benchmnist.analysis.findings.words import Finding

if TYPE_CHECKING:
    from benchmnist.analysis.analysis import Analysis

__all__ = ["Finding", "findings"]


def findings(analysis: Analysis) -> list[Finding]:
    """Returns the findings of a run, the most important first."""
    run, verdicts = analysis.run, analysis.verdicts()
    cases = analysis.units
    results, rows = ([r for r in found if not r.case.aside] for found in (cases, run.cases))
    levels = analysis.ladders.levels if analysis.ladders else {}
    names, without = Names(cases, levels), without_seeds(verdicts)
    # What is said of each group in turn is left to the sentences on ladders where the group is a level of one.
    told = [v for v in verdicts if v.one.case.group not in levels]
    times = [t for t in analysis.times_to_target if t.result.case.group not in levels]
    found = [
        *incomplete(run),
        *tested_in_train_mode(run.record.models, results),
        *failed(rows, names),
        *diverged(rows, names),
        *not_finite(rows, names),
        *without_lines(verdicts),
        *too_few_seeds(verdicts, without),
        *no_common_seeds(verdicts, without, names),
        *last_look(verdicts, run.record.looks),
        *not_compared(results, names),
        *levels_solved(analysis.ladders),
        *verdicts_on_levels(verdicts, levels),
        *against_the_baseline(told),
        *undecided(told, names),
        *best_methods(names.off_ladders(results), verdicts),
        *(best_mean_rank(analysis.grid, analysis.ranks) if analysis.grid and analysis.ranks else ()),
        *detectable_differences(verdicts, run.record.looks),
        *effects_of_layers(run.record.models, told),
        *gain_of_convolutions(run.record.models, results, names, run.record.number_of_looks),
        *ended_early(results, names),
        *fewest_steps(times, lambda: analysis.step_verdicts),
        *steps_saved([s for s in analysis.steps_saved if s.verdict.one.case.group not in levels]),
        *(first_at_target(times, analysis.time_verdicts) if times else ()),
        *trained_in_order(run.record, results),
        *executed_differently(results, names),
        *stacked(rows, names),
        *apart(rows, names),
        *tuned(run.record.searches, results, names),
        *not_better_tuned(cases, names),
        *one_learning_rate(results, names),
        *noise_floor(run.cases, {group: f for group, f in analysis.floors.items() if group not in levels}),
    ]
    return [replace(f, cases=tuple(analysis.rows(f.cases))) for f in found]
