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
from benchmnist.analysis.findings.layers import effects_of_layers, gain_of_convolutions, tested_in_train_mode
from benchmnist.analysis.findings.methods import against_the_baseline, best_methods
from benchmnist.analysis.findings.ranks import best_mean_rank
from benchmnist.analysis.findings.seeds import detectable_differences, last_look
from benchmnist.analysis.findings.steps import ended_early, fewest_steps, steps_saved
from benchmnist.analysis.findings.times import executed_differently, first_at_target, stacked, trained_in_order
from benchmnist.analysis.findings.tuning import not_better_tuned, tuned
from benchmnist.analysis.findings.words import Finding, names_among

if TYPE_CHECKING:
    from benchmnist.analysis.analysis import Analysis

__all__ = ["Finding", "findings"]


def findings(analysis: Analysis) -> list[Finding]:
    """Returns the findings of a run, the most important first."""
    run, verdicts = analysis.run, analysis.verdicts()
    cases = analysis.units
    results, rows = ([r for r in found if not r.case.aside] for found in (cases, run.cases))
    name, without = names_among(cases), without_seeds(verdicts)
    found = [
        *incomplete(run),
        *tested_in_train_mode(run.record.models, results),
        *failed(rows, name),
        *diverged(rows, name),
        *not_finite(rows, name),
        *without_lines(verdicts),
        *too_few_seeds(verdicts, without),
        *no_common_seeds(verdicts, without, name),
        *last_look(verdicts, run.record.looks),
        *not_compared(results, name),
        *against_the_baseline(verdicts),
        *undecided(verdicts, name),
        *best_methods(results, verdicts),
        *(best_mean_rank(analysis.grid, analysis.ranks) if analysis.grid and analysis.ranks else ()),
        *detectable_differences(verdicts, run.record.looks),
        *effects_of_layers(run.record.models, verdicts),
        *gain_of_convolutions(run.record.models, results, name, run.record.number_of_looks),
        *ended_early(results, name),
        *fewest_steps(analysis.times_to_target, lambda: analysis.step_verdicts),
        *steps_saved(analysis.steps_saved),
        *first_at_target(analysis.times_to_target, analysis.time_verdicts),
        *trained_in_order(run.record, results),
        *executed_differently(results),
        *stacked(rows, name),
        *apart(rows, name),
        *tuned(run.record.searches, results, name),
        *not_better_tuned(cases, name),
        *one_learning_rate(results),
        *noise_floor(run.cases, analysis.floors),
    ]
    return [replace(f, cases=tuple(analysis.rows(f.cases))) for f in found]
