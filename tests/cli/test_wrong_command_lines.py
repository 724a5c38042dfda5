"""One error style: a red line on standard error, with exit code 2, whatever is wrong with the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from benchmnist.cli import COMMANDS, cli
from benchmnist.cli.errors import COMMAND_ALIASES, OPTION_ALIASES, SUBCOMMAND_ALIASES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.testing import Result

    from benchmnist.runs.results import RunResult


pytestmark = pytest.mark.contract


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command, `runs show` among them."""
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", command.commands[inner]) for inner in command.commands)


EVERY = dict(commands())


def line(done: Result) -> str:
    """The only line of an error."""
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    (said,) = done.stderr.splitlines()
    assert said.startswith("error: ")
    assert "Traceback" not in said
    return said.removeprefix("error: ")


@pytest.mark.parametrize("name", EVERY)
def test_every_command_with_an_unknown_option(invoke: Callable[..., Result], name: str) -> None:
    said = line(invoke(*name.split(), "--zzzzzz"))
    assert said == f"no option named '--zzzzzz'; see `benchmnist {name} --help`"


@pytest.mark.parametrize("name", EVERY)
def test_every_option_of_every_command_without_a_value(invoke: Callable[..., Result], name: str) -> None:
    for parameter in EVERY[name].params:
        if isinstance(parameter, click.Option) and not parameter.is_flag and parameter.flag_value is None:
            option = max(parameter.opts, key=len)
            assert line(invoke(*name.split(), option)) == f"{option} needs a value; see `benchmnist {name} --help`"


@pytest.mark.parametrize("name", EVERY)
def test_every_flag_of_every_command_with_a_value(invoke: Callable[..., Result], name: str) -> None:
    for parameter in EVERY[name].params:
        if isinstance(parameter, click.Option) and parameter.is_flag:
            option = max(parameter.opts, key=len)
            said = line(invoke(*name.split(), f"{option}=3"))
            assert said == f"{option} takes no value; remove what follows the ="


@pytest.mark.parametrize("name", EVERY)
def test_every_command_without_its_argument(invoke: Callable[..., Result], name: str) -> None:
    required = [p for p in EVERY[name].params if isinstance(p, click.Argument) and p.required]
    if not required:
        pytest.skip("has none")
    argument = required[0].human_readable_name.split()[0].removesuffix("...")
    assert line(invoke(*name.split())) == f"missing argument {argument}; see `benchmnist {name} --help`"


@pytest.mark.parametrize("name", EVERY)
def test_every_command_with_too_many_arguments(invoke: Callable[..., Result], name: str) -> None:
    arguments = [p for p in EVERY[name].params if isinstance(p, click.Argument)]
    if isinstance(EVERY[name], click.Group) or any(p.nargs < 0 for p in arguments):
        pytest.skip("takes any number")
    said = line(invoke(*name.split(), *(["x"] * len(arguments)), "y"))
    assert said == f"unexpected argument 'y'; see `benchmnist {name} --help`"


@pytest.mark.parametrize("name", EVERY)
def test_what_a_suite_limits_is_limited_by_every_command(name: str) -> None:
    limited = {"epochs", "steps", "max_seeds"} | ({"trials", "searches"} if name == "tune" else set())
    for parameter in EVERY[name].params:
        if parameter.name in limited:
            assert isinstance(parameter.type, click.IntRange)
            assert parameter.type.max


WRONG = {"choice": "zzzzzz", "integer": "x", "integer range": "-1", "float": "x", "float range": "-1"}


@pytest.mark.parametrize("name", EVERY)
def test_every_option_with_a_wrong_value(invoke: Callable[..., Result], name: str) -> None:
    for parameter in EVERY[name].params:
        if isinstance(parameter, click.Option) and parameter.type.name in WRONG and not parameter.is_flag:
            option, value = max(parameter.opts, key=len), WRONG[parameter.type.name]
            arguments = ["x"] * sum(isinstance(p, click.Argument) for p in EVERY[name].params)
            said = line(invoke(*name.split(), *arguments, option, value))
            assert said.startswith(f"{option}: must be "), said
            assert value in said.partition(", not ")[2]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("train", "no command named 'train'. Did you mean `benchmnist run`?"),
        ("test", "no command named 'test'. Did you mean `benchmnist run`?"),
        ("benchmark", "no command named 'benchmark'. Did you mean `benchmnist run`?"),
        ("execute", "no command named 'execute'. Did you mean `benchmnist run`?"),
        ("start", "no command named 'start'. Did you mean `benchmnist run`?"),
        ("list", "no command named 'list'. Did you mean `benchmnist runs`?"),
        ("reprot", "no command named 'reprot'. Did you mean `benchmnist report`?"),
        ("runs lst", "no command named 'lst'. Choose from: prune, rm, show"),
        ("runs delete x", "no command named 'delete'. Did you mean `benchmnist runs rm`?"),
        ("run x.toml --sedes 3", "no option named '--sedes'. Did you mean '--seeds'?"),
        ("run x.toml --seed 3", "no option named '--seed'. Did you mean '--seeds'?"),
        ("run x.toml --gpu", "no option named '--gpu'. Did you mean '--device'?"),
        ("run x.toml --lr 1", "no option named '--lr'. Did you mean `--set optimizers.NAME.lr=VALUE`?"),
        (
            "run x.toml --batch-size 1",
            "no option named '--batch-size'. Did you mean `--set defaults.batch_size=VALUE`?",
        ),
        ("run x.toml -z", "no option named '-z'; see `benchmnist run --help`"),
        ("run", "missing argument SUITE; see `benchmnist run --help`"),
        ("run x.toml --seeds x", "--seeds: must be a number of seeds or a list such as 0,4,7, not 'x'"),
        ("run x.toml --seeds 0", "--seeds: must name at least one seed"),
        ("run x.toml --seeds 1,1", "--seeds: duplicate seed 1"),
        ("run x.toml --epochs 0", "--epochs: must be from 1 to 1,000,000, not 0"),
        ("run x.toml --epochs x", "--epochs: must be a whole number from 1 to 1,000,000, not 'x'"),
        ("run x.toml --jobs 0", "--jobs: must be at least 1, not 0"),
        ("run x.toml --timeout 0", "--timeout: must be greater than 0 and at most 31536000, not 0"),
        ("run x.toml --timeout nan", "--timeout: must be greater than 0 and at most 31536000, not nan"),
        ("run x.toml --timeout inf", "--timeout: must be greater than 0 and at most 31536000, not inf"),
        ("run x.toml --timeout 1e10", "--timeout: must be greater than 0 and at most 31536000, not 1e10"),
        ("run x.toml --timeout x", "--timeout: must be a number greater than 0 and at most 31536000, not 'x'"),
        ("run x.toml --order fast", "--order: must be suite or interleaved, not 'fast'"),
        ("run x.toml --set lr", "--set lr: must be KEY=VALUE, such as optimizers.adam.lr=0.01"),
        (
            "run x.toml --set a=b",
            "--set a=b: 'b' is not a TOML value; put a string in double quotes: --set 'a=\"b\"'",
        ),
        ("run x.toml --set =1", "--set =1: missing key before the =; write KEY=VALUE, such as optimizers.adam.lr"),
        ("run x.toml --set a..b=1", "--set a..b=1: 'a..b' is not a dotted key, such as optimizers.adam.lr"),
        ("run x.toml --epochs", "--epochs needs a value; see `benchmnist run --help`"),
        ("runs list", "no command named 'list'; `benchmnist runs` lists them"),
        ("runs --out file", "--out: file is a file; name a folder"),
        ("report x --columns=", "--columns: must have at least one entry"),
        ("report x --columns case,case", "--columns: duplicate 'case'; remove one"),
        ("run x.toml --out=", "--out: must not be empty"),
        ("run nosuch.toml", "nosuch.toml: does not exist"),
        ("tune nosuch.toml", "nosuch.toml: does not exist"),
        (
            "report x --format htm",
            "--format: must be rich, markdown, rst, html, csv, latex or json, not 'htm'. Did you mean 'html'?",
        ),
        (
            "report x --level sed",
            "--level: must be case, seed, epoch, evaluation, step or layer, not 'sed'. Did you mean 'seed'?",
        ),
        ("report nope", "no run named 'nope' in runs; `benchmnist run SUITE` makes one"),
        (
            "report x --about (",
            "--about: must be a regular expression, not '(': missing ), unterminated subpattern at position 0",
        ),
        ("compare a", "compare needs at least two runs; `benchmnist runs` lists them"),
        ("compare a b", "no run named 'a' in runs; `benchmnist run SUITE` makes one"),
        ("runs show nope", "no run named 'nope' in runs; `benchmnist run SUITE` makes one"),
        ("runs rm nope", "no run named 'nope' in runs; `benchmnist run SUITE` makes one"),
        ("runs prune", "pass --keep N, --older-than DAYS or --unfinished"),
        ("gate a.json b.json", "a.json: does not exist; create it with pytest SUITE --benchmark-json=a.json"),
        ("gate . b.json", ". is a folder; name a JSON file in it, or pass --on METRIC to compare two runs"),
        ("gate a b --margin 0.2", "--margin needs --on METRIC"),
        ("gate a b --on accuracy --threshold 0.2", "--threshold is for times; with --on, pass --margin"),
        (
            "gate a b --on accuracy --margin x",
            "--margin: must be a number above 0, such as 0.2 or 5%, not 'x'",
        ),
        (
            "gate a b --on accuracy --margin 0",
            "--margin: must be a number above 0, such as 0.2 or 5%, not '0'",
        ),
        ("gate a b --on accuracy", "no run named 'a' in runs; `benchmnist run SUITE` makes one"),
        (
            "describe nope",
            "no model named 'nope'. Choose from: 2c2d, badly-scaled, cnn, deep-autoencoder, deep-narrow, fc,",
        ),
        (
            "describe fc hidden=10",
            "hidden: 'fc' takes no parameter 'hidden'. Did you mean 'hidden_size'? It takes: hidden_size",
        ),
        ('describe fc hidden_size="10"', 'hidden_size: must be a whole number, not "10"; remove the quotes'),
        ("describe fc hidden_size=1.5", "hidden_size: must be a whole number, not 1.5"),
        ("describe fc hidden_size=-1", "'fc' refuses: Trying to create tensor with negative dimension -1: "),
        (
            "describe sgd",
            "no model named 'sgd'; it is the name of an optimizer. Choose from: 2c2d, badly-scaled, cnn",
        ),
        ("doctor --device gpu", "no device named 'gpu'. Did you mean 'cuda'? Choose from: auto, cpu, "),
        ("run x.toml --data-root file", "--data-root: file is a file; name a folder"),
        ("run x.toml --out file", "--out: file is a file; name a folder"),
        ("report x --plots file", "--plots: file is a file; name a folder"),
        ("report x --output .", "--output: . is a folder; name a file"),
        ("report x --update nosuch.md", "--update: nosuch.md does not exist"),
        ("describe fc hidden_size", "'hidden_size' is not NAME=VALUE with a TOML value"),
        ("check nope", "no dataset, model, "),
        ("check x.toml", "To check a suite, run `benchmnist run x.toml --dry-run`."),
        ("new-plugin Big", "NAME: 'Big' is not lower-case letters and digits joined by single - _ . or +"),
        ("new-plugin x --kind modle", "--kind: must be dataset, model, optimizer"),
    ],
)
def test_what_people_get_wrong(invoke: Callable[..., Result], arguments: str, expected: str) -> None:
    Path("file").touch()
    assert expected in line(invoke(*arguments.split()))


def test_where_a_wrong_value_is_set(invoke: Callable[..., Result]) -> None:
    done = invoke("run", "x.toml", env={"BENCHMNIST_RUN_EPOCHS": "0"})
    assert line(done) == "--epochs (set by BENCHMNIST_RUN_EPOCHS): must be from 1 to 1,000,000, not 0"
    Path("pyproject.toml").write_text("[tool.benchmnist.run]\nepochs = 'x'\n", "utf-8")
    said = line(invoke("run", "x.toml"))
    assert said == "--epochs (set in pyproject.toml): must be a whole number from 1 to 1,000,000, not 'x'"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("epochs = 2.5", "--epochs (set in pyproject.toml): must be a whole number from 1 to 1,000,000, not 2.5"),
        ("jobs = true", "--jobs (set in pyproject.toml): must be a whole number of at least 1, not true"),
        (
            "timeout = [1]",
            "--timeout (set in pyproject.toml): must be a number greater than 0 and at most 31536000",
        ),
        ("data-root = 3", "--data-root (set in pyproject.toml): must be a string, not 3"),
        ('data-root = "file"', "--data-root (set in pyproject.toml): file is a file; name a folder"),
        ("out = 3", "--out (set in pyproject.toml): must be a string, not 3"),
        ("engine = true", "--engine (set in pyproject.toml): must be a string, not true"),
        ("control = 1", "--control (set in pyproject.toml): must be true or false, not 1"),
        ("block = 3", "--block (set in pyproject.toml): must be a list of strings, not 3"),
        ('set = "a=1"', '--set (set in pyproject.toml): must be a list of strings, not "a=1"; write ["a=1"]'),
        ("set = [1]", "--set (set in pyproject.toml): must be a list of strings, not [1]"),
        ("seeds = 2.5", "--seeds (set in pyproject.toml): must be a number of seeds or a list of seeds, not 2.5"),
    ],
)
def test_wrong_values_in_pyproject(invoke: Callable[..., Result], key: str, expected: str) -> None:
    Path("file").touch()
    Path("pyproject.toml").write_text(f"[tool.benchmnist.run]\n{key}\n", "utf-8")
    assert line(invoke("run", "x.toml", env={"BENCHMNIST_DATA": None})).startswith(expected)


def test_a_pyproject_that_is_not_toml(invoke: Callable[..., Result]) -> None:
    Path("pyproject.toml").write_text("[tool.benchmnist.run]\nepochs: 3\n", "utf-8")
    said = line(invoke("run", "x.toml"))
    assert said == f"{Path.cwd() / 'pyproject.toml'}:2: not TOML: epochs: 3: missing =; write epochs = 3"


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        (
            "BENCHMNIST_BLOCK",
            "nosuch",
            "--block (set by BENCHMNIST_BLOCK): no plugin named 'nosuch'. Choose from: ",
        ),
        (
            "BENCHMNIST_DEVICE",
            "gpu",
            "--device (set by BENCHMNIST_DEVICE): no device named 'gpu'. Did you mean 'cu",
        ),
        ("BENCHMNIST_RUN_EXECUTOR", "x", "--executor (set by BENCHMNIST_RUN_EXECUTOR): no executor named 'x'. "),
        (
            "BENCHMNIST_RUN_ENGINE",
            "x",
            "--engine (set by BENCHMNIST_RUN_ENGINE): no engine named 'x'. Choose from",
        ),
        ("BENCHMNIST_RUN_RESUME", "x", "--resume (set by BENCHMNIST_RUN_RESUME): no run named 'x' in runs"),
        ("BENCHMNIST_RUN_SET", "lr", "--set (set by BENCHMNIST_RUN_SET): lr: must be KEY=VALUE, such as "),
    ],
)
def test_where_a_wrong_name_is_set(
    invoke: Callable[..., Result],
    write_suite: Callable[..., Path],
    variable: str,
    value: str,
    expected: str,
) -> None:
    assert line(invoke("run", write_suite(), env={variable: value})).startswith(expected)


def test_a_wrong_column_in_pyproject(invoke: Callable[..., Result], small_run: RunResult) -> None:
    Path("pyproject.toml").write_text('[tool.benchmnist.report]\ncolumns = ["acc"]\n', "utf-8")
    said = line(invoke("report", small_run.path))
    assert said.startswith("--columns (set in pyproject.toml): no column named 'acc'. Did you mean 'accuracy'?")


def test_assignments_in_the_environment_are_one_a_line(
    invoke: Callable[..., Result], write_suite: Callable[..., Path]
) -> None:
    assignments = "defaults.seeds=[0, 1]\n\n  defaults.epochs = 7\n"
    done = invoke("run", write_suite(), "--dry-run", "--device=cpu", env={"BENCHMNIST_RUN_SET": assignments})
    assert done.exit_code == 0, done.output
    assert "2 × 7 × " in done.stdout


def test_what_matches_no_case(
    invoke: Callable[..., Result], small_run: RunResult, write_suite: Callable[..., Path]
) -> None:
    said = line(invoke("report", small_run.path, "--about", "nosuch"))
    assert said.startswith("no case matches 'nosuch'; the cases of the run: mnist/")
    for part in ("findings", "verdicts", "models", "plots"):
        plots = ("--plots", "images", "--format", "markdown") if part == "plots" else ()
        said = line(invoke("report", small_run.path, "--show", part, *plots, "--about", "nosuch"))
        assert said == f"nothing in --show {part} matches 'nosuch'; remove --about to see all of it"
    for part, cause in (
        ("ranks", "Ranks need 3 methods"),
        ("tuning", "not tuned"),
        ("targets", "no target_accuracy"),
        ("steps-saved", "evaluate_every"),
    ):
        assert cause in invoke("report", small_run.path, "--show", part, "--about", "nosuch").stdout
    assert line(invoke("report", small_run.path, "--x", "steps")) == "--x needs --show plots or --format html"
    said = line(invoke("run", write_suite(), "--dry-run", "--device=cpu", "-k", "fc and"))
    assert said == "-k 'fc and': must be names joined by and, or and not (at column 7)"


@pytest.mark.parametrize(
    "keys",
    [
        "epochs = 2\njobs = 1\ntimeout = 3\nengine = 'graph'\ncontrol = true\nblock = ['nothing']\nseeds = 2",
        "resume = true\nout = 'there'\nblock = 'nothing'\nset = ['defaults.epochs=2']\nseeds = [0, 1]",
    ],
)
def test_right_values_in_pyproject(invoke: Callable[..., Result], keys: str) -> None:
    Path("pyproject.toml").write_text(f"[tool.benchmnist.run]\n{keys}\n", "utf-8")
    assert line(invoke("run", "x.toml")).startswith("x.toml: does not exist")


def test_a_device_that_does_not_exist(invoke: Callable[..., Result], write_suite: Callable[..., Path]) -> None:
    said = line(invoke("run", write_suite(), "--device", "gpu"))
    assert said == "no device named 'gpu'. Did you mean 'cuda'? Choose from: auto, cpu, cuda, cuda:N, mps"


def test_names_in_a_run(invoke: Callable[..., Result], small_run: RunResult) -> None:
    out = ("--out", small_run.path.parent.parent)
    said = line(invoke("report", small_run.path, "--columns", "acc"))
    assert said.startswith("no column named 'acc'. Did you mean 'accuracy'? Choose from: case, problem, level, ")
    said = line(invoke("compare", small_run.path, small_run.path, "--metrics", "acuracy"))
    assert said.startswith("no metric named 'acuracy'. Did you mean 'accuracy'? Choose from: accuracy, ")
    assert line(invoke("report", "smal", *out)) == (
        f"no run named 'smal' in {out[1]}. Did you mean '{small_run.path.parent}'?"
    )
    assert line(invoke("report", f"x{small_run.path.name}", *out)).endswith(
        f"Did you mean '{small_run.path.name}'?"
    )
    assert line(invoke("report", "zzzz", *out)) == f"no run named 'zzzz' in {out[1]}; `benchmnist runs` lists them"
    Path("empty").mkdir()
    assert line(invoke("report", "empty")) == (
        "empty is not a run folder: run.json is missing; `benchmnist runs` lists the runs"
    )


def test_what_people_type_leads_to_what_exists() -> None:
    assert {meant.split()[0] for meant in COMMAND_ALIASES.values()} <= {*COMMANDS, "--help", "--version"}
    assert {*SUBCOMMAND_ALIASES.values()} <= {name.partition(" ")[2] for name in EVERY}
    known = {option for command in EVERY.values() for p in command.params for option in p.opts}
    assert {*OPTION_ALIASES.values()} <= known
    assert not {*OPTION_ALIASES} & {"--seeds", "--epochs", "--out"}
    assert not {*COMMAND_ALIASES} & {*COMMANDS}
