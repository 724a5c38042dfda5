"""`benchmnist run SUITE`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.core import ParameterSource

from benchmnist.cli.errors import complain
from benchmnist.cli.executors import RunCommand, taken_out
from benchmnist.cli.options import DEBUG, NamedPath, optimizers_option, option, suite_names
from benchmnist.cli.training import FAILED, interrupted_by, terminated_as_interrupted, training_options
from benchmnist.errors import BenchmnistError
from benchmnist.errors import listed as in_words
from benchmnist.forking.fork_server import start_importing
from benchmnist.garbage import quick_imports
from benchmnist.suites.values import MAX_EPOCHS, MAX_SEEDS, MAX_STEPS, not_this
from benchmnist.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmnist.cli.display import Display
    from benchmnist.planned_run import PlannedRun
    from benchmnist.preflight.check import Work
    from benchmnist.runs.results import RunResult
    from benchmnist.suites.cases import Case
    from benchmnist.suites.options import RunOptions
    from benchmnist.suites.suite import Suite


def _seeds(ctx: click.Context, param: click.Parameter, value: Any) -> tuple[int, ...] | None:
    """`3` is the seeds 0, 1 and 2, `0,4,7` just these; pyproject.toml may say them as TOML."""
    from benchmnist.suites.schema import parse_seeds, seed_list

    if value is None:
        return None
    try:
        return parse_seeds(value) if isinstance(value, str) else seed_list(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def _resumed(ctx: click.Context, param: click.Parameter, value: Any) -> bool | str:
    """A run, or whether the newest; the environment and pyproject.toml have no option without a value."""
    typed = ctx.get_parameter_source(str(param.name)) == ParameterSource.COMMANDLINE
    if value is None or isinstance(value, bool):
        return bool(value)
    if not isinstance(value, str):
        raise click.BadParameter(not_this("true, false or the name of a run", value), ctx, param)
    if typed:
        return value or True
    words = {"": False, **dict.fromkeys(("1", "true", "yes", "on"), True)}
    words |= dict.fromkeys(("0", "false", "no", "off"), False)
    found = words.get(value.strip().lower(), value)
    if isinstance(found, str) and ctx.get_parameter_source(str(param.name)) == ParameterSource.DEFAULT_MAP:
        raise click.BadParameter("must be true or false; type the name of a run", ctx, param)
    return found


@click.command("run", cls=RunCommand)
@click.argument("suite", type=NamedPath(path_type=Path), shell_complete=suite_names)
@option(
    "--seeds",
    type=click.UNPROCESSED,
    callback=_seeds,
    any_toml=True,
    metavar="N|LIST",
    help="Override the suite's seeds: their number, or a list such as 0,4,7.",
)
@option("--epochs", type=click.IntRange(1, MAX_EPOCHS), help="Override the suite's epochs or steps.")
@option(
    "--steps",
    type=click.IntRange(1, MAX_STEPS),
    help="Train each trial for this number of steps instead of epochs.",
)
@optimizers_option
@option(
    "-k",
    "--keyword",
    default="",
    metavar="EXPR",
    help="Train only the cases that match this expression, as pytest's -k.",
)
@option("--engine", metavar="auto|dataloader|resident|graph|streams|stacked", help="Override the suite's engine.")
@option(
    "--order",
    type=click.Choice(["suite", "interleaved"]),
    help="Override the suite's order: case by case (suite) or seed by seed (interleaved).",
)
@option(
    "--control",
    is_flag=True,
    help="Train the baselines again with other seeds, to measure the noise.",
)
@option(
    "--dynamics",
    is_flag=True,
    help="Keep the norms of gradients, updates and weights by layer.",
)
@option(
    "--until-told",
    is_flag=True,
    help="Add seeds, in looks announced before, until every comparison is told or hopeless.",
)
@option(
    "--max-seeds",
    type=click.IntRange(1, MAX_SEEDS),
    metavar="N",
    help="Seeds of the last look of --until-told.  [default: 30]",
)
@option(
    "--resume",
    is_flag=False,
    flag_value="",
    default=None,
    type=click.UNPROCESSED,
    callback=_resumed,
    any_toml=True,
    metavar="[RUN]",
    help="Resume an interrupted run: RUN, or the newest of the suite.",
)
@option(
    "--reuse", is_flag=True, help="Reuse results of earlier runs where nothing that determines them has changed."
)
@option("--dry-run", is_flag=True, help="Check the suite and list its cases and their work; train nothing.")
@training_options
def command(suite: Path, *, dry_run: bool, verbose: bool, progress: str, **options: Any) -> None:
    """Train the cases of SUITE, a TOML file or the name of one of the package (quick), and compare them."""
    if options["executor"] == "local" and not dry_run:
        start_importing()  # while this process imports, too
    with quick_imports(ours=True):
        from benchmnist import runner  # noqa: F401 - all of what is needed, at once
        from benchmnist.cli.console import results_console
        from benchmnist.planned_run import plan_run
        from benchmnist.suites.options import RunOptions
        from benchmnist.suites.reader import read_suite

    options["executor_options"] = taken_out(click.get_current_context(), options)
    if options["epochs"] is not None and options["steps"] is not None:
        raise click.UsageError("--epochs and --steps exclude each other; pass one of both")
    asked = RunOptions(**options)
    if dry_run:
        results_console().print(_dry_run(plan_run(suite, asked)))
        return
    if (read := read_suite(suite, asked.set)).tune.always:
        _tune_first(read, asked, verbose=verbose, progress=progress)
    _run(suite, asked, verbose=verbose, progress=progress)


def _tune_first(suite: Suite, asked: RunOptions, *, verbose: bool, progress: str) -> NoReturn:
    """Tunes a suite that has to be tuned, and ends the command."""
    from benchmnist.cli.tune import tune_and_show
    from benchmnist.tuner import NOT_TUNED

    if name := asked.given(NOT_TUNED):
        raise click.UsageError(
            f"{suite.file} has always = true under [tune]: it is tuned first, and tuning has no "
            f"--{name.replace('_', '-')}"
        )
    tune_and_show(suite, replace(asked, set=()), verbose=verbose, progress=progress)


def _run(suite: Path, asked: RunOptions, *, verbose: bool, progress: str) -> NoReturn:
    """Runs a suite, shows its results, and ends the command."""
    from benchmnist import runner
    from benchmnist.cli.display import make_display
    from benchmnist.runs.store import load_run

    display: Display | None = None
    interrupted = False
    with terminated_as_interrupted() as signals:
        try:
            with make_display(verbose=verbose, progress=progress) as display:
                result = runner.run(suite, asked, observer=display)
        except KeyboardInterrupt:
            if display is None or display.path is None:  # there is no run yet
                click.echo("interrupted: nothing was trained", err=True)
                click.get_current_context().exit(interrupted_by(signals))
            interrupted = True
            result = load_run(display.path)
        except (BenchmnistError, OSError) as error:
            if display is None or display.path is None:
                raise
            cut_off(display.path, error)
        code = show_result(result, signals)
        if interrupted or result.record.status == "interrupted":
            code = interrupted_by(signals)
        click.get_current_context().exit(code)


def cut_off(path: Path, error: BenchmnistError | OSError) -> NoReturn:
    """Ends the command after a run that could not go on: says why, and what it has trained until then."""
    from benchmnist.runs.store import load_run

    if click.get_current_context().meta.get(DEBUG):
        raise error
    complain(f"the run was cut off: {error}")
    try:
        result = load_run(path)
    except BenchmnistError as unreadable:
        complain(f"{unreadable}; the run is in {path}")
    else:
        click.echo(visible(f"{_ended(result)}, in {path}; mend the cause, and pass --resume to go on"), err=True)
    click.get_current_context().exit(FAILED)


def show_result(result: RunResult, signals: Sequence[int]) -> int:
    """Shows the table, what failed and why, and where everything is; returns the exit code."""
    try:
        return _show_result(result)
    except KeyboardInterrupt:
        where = f"the results are in {result.path}, and `benchmnist run --resume` writes it"
        click.echo(visible(f"interrupted: the report was cut off; {where}"), err=True)
        return interrupted_by(signals)


def _show_result(result: RunResult) -> int:
    from benchmnist.analysis.analysis import Analysis
    from benchmnist.cli.console import progress_console, results_console
    from benchmnist.cli.results import show_findings, show_run
    from benchmnist.reports import write_report
    from benchmnist.reports.terminal import Line

    analysis = Analysis(result)
    show_run(analysis, results_console())
    show_findings(analysis, results_console())
    console = progress_console()
    if result.record.status == "interrupted":
        console.print(f"interrupted: {_ended(result)}")
    try:
        write_report(analysis)
    except (BenchmnistError, OSError) as error:  # which costs no result
        complain(f"{error}; the results are in {result.path}, and `benchmnist report` shows them")
        return FAILED
    console.print(Line(f"report, plots, checkpoints and results: {result.path}"), soft_wrap=True)
    return FAILED if result.record.status == "failed" else 0


def _ended(result: RunResult) -> str:
    """`1 of 3 cases and 4 of 6 trials have ended`: seed by seed, the cases end last."""
    plan = result.record.plan
    cases = sum(case.status != "interrupted" for case in result.cases)
    trials = sum(trial.status != "interrupted" for case in result.cases for trial in case.trials)
    planned = sum(len(case.seeds) for case in plan)
    return f"{cases} of {len(plan)} cases and {trials} of {planned} trials have ended"


def _dry_run(planned: PlannedRun) -> Any:
    """The cases that would be trained with their parameters and their work, and those that would not."""
    from rich.console import Group

    from benchmnist.cli.progress_lines import before_training
    from benchmnist.extensions.kinds import SETTINGS
    from benchmnist.extensions.specs import CLASSIFICATION
    from benchmnist.reports.terminal import Line, plain_table
    from benchmnist.suites.budgets import total_steps
    from benchmnist.text import counted

    table = plain_table()
    table.add_column("case", overflow="fold")
    table.add_column("parameters", overflow="fold")
    for title in ("seeds × epochs × steps", "weights", "TFLOP"):
        table.add_column(title, justify="right")
    total, steps, trials = 0.0, 0, 0
    cases = [(case, seeds) for case in planned.plan.cases if (seeds := planned.seeds_left(case))]
    for case, seeds in cases:
        work = planned.prepared.work.get(case.id)
        given = {key: value for part in case.parts.values() for key, value in part.settings.items()}
        settings = {kind.name: part.use for kind in SETTINGS if (part := case.parts.get(kind.name))}
        given |= {name: use for name, use in settings.items() if use != CLASSIFICATION}
        given |= {
            "clip_grad_norm": case.clip_grad_norm,
            "label_smoothing": case.label_smoothing or None,
            "init_seed": case.init_seed,
            "normalise": case.normalise or None,
            **case.resources,
        }
        whole = total_steps(case, work.steps) if work else 0
        flop = len(seeds) * whole / work.steps * work.flop / 1e12 if work else 0.0
        total, trials, steps = total + flop, trials + len(seeds), steps + len(seeds) * whole
        table.add_row(
            case.id,
            " ".join(f"{key}={value}" for key, value in given.items() if value is not None) or "–",
            _shape(case, len(seeds), work),
            f"{work.parameters:,}" if work else "?",
            f"{flop:,.3g}" if work else "?",
        )
    summary = (
        f"{counted(len(cases), 'case')}, {counted(trials, 'trial')}, {counted(steps, 'step')}, "
        f"about {total:,.3g} TFLOP of training on {planned.prepared.device}"
    )
    parts: list[Any] = [Line("no case to train", style="bold")]
    if cases:
        order = "seed by seed" if planned.interleaved else "case by case"
        parts = [table, Line(summary, style="bold"), Line(f"order: {order}")]
    if planned.plan.suite.tune.always:
        from benchmnist.tuner import said_of_searches

        parts.append(Line(said_of_searches(planned.plan)))
    parts += [Line(line) for line in before_training(planned.plan, planned.options.out)]
    if compared := _comparisons(planned.plan.cases):
        parts.append(Line(compared))
    parts += [Line(line) for line in _groups(planned)]
    if planned.known:
        parts.append(Line(f"reused: {counted(len(planned.known), 'result')}"))
        for case_id, (_, run) in planned.known.items():
            whose = "this run" if run == planned.path else f"{run.parent.name}/{run.name}"
            parts.append(Line(f"  {case_id}: of {whose}"))
    if planned.begun is not None:
        parts.append(Line(f"continues in {planned.path}"))
    return Group(*parts)


def _shape(case: Case, seeds: int, work: Work | None) -> str:
    """Returns the work of a case: `3 × 5 × 600` seeds, epochs and steps each, or `3 × 300 steps`."""
    per_epoch = str(work.steps) if work else "?"
    at_most = "≤ " if case.seconds is not None or case.stop_at_target or case.patience is not None else ""
    return (
        f"{seeds} × {at_most}{case.epochs} × {per_epoch}"
        if case.steps is None
        else f"{seeds} × {at_most}{case.steps} steps"
    )


def _groups(planned: PlannedRun) -> Iterator[str]:
    """Yields what is in which parameter group, of each model and optimizer with groups."""
    trained = {(case.dataset.label, case.model.label, case.optimizer.name) for case in planned.plan.cases}
    for grouped in planned.prepared.grouped:
        if (grouped.dataset, grouped.model, grouped.optimizer) not in trained:
            continue
        yield f"parameter groups of {grouped.optimizer} on {grouped.dataset}/{grouped.model}:"
        for said, names in grouped.groups:
            yield f"  {said}: {in_words(names)}"


def _comparisons(cases: Sequence[Case]) -> str:
    """Counts the comparisons that the report will make, `comparisons: 9 primary, 12 exploratory`, if any."""
    from benchmnist.analysis.pairs import number_of_pairs

    number = number_of_pairs(cases)
    exploratory = f", {number['exploratory']} exploratory" if number["exploratory"] else ""
    return f"comparisons: {number['primary']} primary{exploratory}" if sum(number.values()) else ""
