"""Wrong suites, and the line that says what is wrong with each: what, where, and what to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmnist.errors import SuiteError
from benchmnist.extensions.kinds import PARTS
from benchmnist.extensions.registry import find_plugins
from benchmnist.extensions.specs import ModelSpec
from benchmnist.preflight.prepare import prepare
from benchmnist.suites.files import package_suites
from benchmnist.suites.options import RunOptions
from benchmnist.suites.parameters import parameters_of
from benchmnist.suites.plan import make_plan
from benchmnist.suites.reader import read_suite
from benchmnist.suites.schema import CASES, COMPARE, DEFAULTS, Header, Tune
from benchmnist.suites.unknown_keys import OPTIMIZER_PARAMETERS
from benchmnist.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

REGISTRY = find_plugins()
SUITE = '[suite]\nname = "x"\n'
CASE = '[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd"]\n'
COMPARED = 'optimizers = ["adam"]\nwith = "sgd"\n'
A_SUITE = "a suite is TOML: [suite] with a name, and [[cases]] with models and optimizers"


def problems(text: str, assignments: Sequence[str] = ()) -> list[str]:
    """Everything that is wrong with a suite, in order."""
    path = Path("x.toml")
    path.write_text(text, "utf-8")
    try:
        suite = read_suite(path, assignments)
    except SuiteError as error:
        return [str(problem) for problem in error.problems]
    return [str(problem) for problem in make_plan(suite, REGISTRY).problems]


def with_sgd(line: str) -> str:
    return f"{SUITE}[optimizers.sgd]\n{line}\n{CASE}"


def with_default(line: str) -> str:
    return f"{SUITE}[defaults]\n{line}\n{CASE}"


def with_case(line: str) -> str:
    return f"{SUITE}{CASE}{line}\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dataset = mnist", 'a string needs quotes; write dataset = "mnist"'),
        ("dataset = “mnist”", '“ is a curly quote; write a straight one, "'),
        ("dataset = ‘mnist’", '‘ is a curly quote; write a straight one, "'),  # noqa: RUF001
        ('dataset = "mnist', 'missing " at the end of the string'),
        ("dataset = 'mnist", "missing ' at the end of the string"),
        ('dataset = "C:\\data"', "a backslash needs single quotes; write dataset = 'C:\\data'"),
        ("reference = True", "true and false are in lower case; write reference = true"),
        ("reference = yes", "TOML has true and false; write reference = true"),
        ("reference = Off", "TOML has true and false; write reference = false"),
        ("baseline = None", "TOML has no such value; remove the line"),
        ("epochs =", "missing value; write epochs = VALUE"),
        ("epochs 3", "missing =; write epochs = 3"),
        ("epochs: 3", "missing =; write epochs = 3"),
        ("dataset: mnist", 'missing =; write dataset = "mnist"'),
        ("epochs", "missing = and a value; write epochs = VALUE"),
        ("epochs == 3", "write one =, epochs = 3"),
        ("= 3", "missing key before the ="),
        ("batch size = 3", "a key must be one word; write batch_size = 3"),
        ("epochs = 3;", "remove the ;"),
        ("epochs = 3,", "remove the ,"),
        ("epochs = 03", "write epochs = 3"),
        ("margin = .5", "write margin = 0.5"),
        ("margin = 1.", "write margin = 1.0"),
        ("margin = 5%", "a number has digits, one point and an exponent only, such as 0.1 or 1e-3"),
        ("margin = 1/2", "a number has digits, one point and an exponent only, such as 0.1 or 1e-3"),
        ("epochs = 3 seeds = 2", "write each key on a line of its own"),
        ("seeds = (0, 1)", "a list has square brackets; write seeds = [0, 1]"),
        ("seeds = [0, 1", "missing ] at the end of the list"),
        ('marks = ["a" "b"]', "missing comma between two entries of the list"),
        ('marks = ["a, "b"]', "missing quote in the list"),
        ("marks = [a, b]", 'a string needs quotes; write marks = ["a", "b"]'),
        ("[optimizers.sgd", "missing ]; write [optimizers.sgd]"),
        ("[[cases]", "missing ]; write [[cases]]"),
        ("[optimizers my]", "a table's name must be one word, such as [optimizers.mine]"),
        ("\u200bepochs = 3", "an invisible character (U+200B); remove it"),
        ("\u00a0epochs = 3", "an invisible character (U+00A0); replace it with a space"),
    ],
)
def test_what_is_not_toml(line: str, expected: str) -> None:
    assert problems(f"{SUITE}[defaults]\n{line}\n{CASE}") == [
        one_line(f"x.toml:4: not TOML: {line.strip()}: {expected}", 500)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            with_default("epochs = 1\nseeds = 1\nepochs = 2"),
            "x.toml:6: not TOML: epochs = 2: duplicate key epochs, first on line 4; remove one",
        ),
        (
            f"{with_sgd('lr = 1')}[optimizers.sgd]\nlr = 2\n",
            (
                "x.toml:8: not TOML: [optimizers.sgd]: duplicate table [optimizers.sgd], first on line 3; "
                "merge the two"
            ),
        ),
        (
            with_sgd('space.schedule = ["cosine"]\nspace.schedule.eta_min = [0.1]'),
            (
                "x.toml:5: not TOML: space.schedule.eta_min = [0.1]: space.schedule has a value already on line "
                "4, so it cannot be a table; remove one"
            ),
        ),
        (
            f"{SUITE}[optimizers.sgd.space]\nschedule = ['cosine']\n[optimizers.sgd.space.schedule]\n",
            (
                "x.toml:5: not TOML: [optimizers.sgd.space.schedule]: optimizers.sgd.space.schedule has a value "
                "already on line 4, so it cannot be a table; remove one"
            ),
        ),
        (
            f"{SUITE}{CASE}[cases]\n",
            (
                "x.toml:6: not TOML: [cases]: [cases] on line 3 and [[cases]] cannot both be in a file; "
                "write [[cases]] with double brackets"
            ),
        ),
        (
            f'{SUITE}[[cases]]\nmodels = ["fc",\n  "cnn"\noptimizers = ["sgd"]\n',
            'x.toml:4: not TOML: models = ["fc",: missing ] at the end of the list',
        ),
        (
            f'{SUITE}[[cases]]\nmodels = [\n  "fc",\n  cnn,\n]\noptimizers = ["sgd"]\n',
            'x.toml:6: not TOML: cnn,: a string needs quotes; write "cnn"',
        ),
        (
            f"{SUITE}[defaults]\nmarks = [\n  “slow”,\n]\n{CASE}",
            'x.toml:5: not TOML: “slow”,: “ is a curly quote; write a straight one, "',
        ),
        (
            f"{with_sgd('sweep.lr = [')}  .5\n]\n".replace(CASE, ""),
            "x.toml:5: not TOML: .5: write 0.5",
        ),
        (
            f'{SUITE}[[cases]]\nmodels = ["fc",\noptimizers = ["sgd"]\n',
            'x.toml:4: not TOML: models = ["fc",: missing ] at the end of the list',
        ),
    ],
)
def test_what_is_not_toml_on_several_lines(text: str, expected: str) -> None:
    assert problems(text) == [expected]


@pytest.mark.parametrize("text", [f"{SUITE}\t[defaults]\n\tepochs\t=\t1\n{CASE}", f"\ufeff{SUITE}{CASE}"])
def test_tabs_windows_newlines_and_a_byte_order_mark_are_fine(text: str) -> None:
    assert problems(text) == []
    assert problems(text.replace("\n", "\r\n")) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f"{SUITE}[cases]\n" + CASE.partition("\n")[2],
            "x.toml:3: cases: must be a list of tables; write [[cases]] with double brackets",
        ),
        (f"{SUITE}[case]\n" + CASE.partition("\n")[2], "x.toml:3: case: unknown table; write [[cases]]"),
        (f"{SUITE}[[case]]\n" + CASE.partition("\n")[2], "x.toml:3: case: unknown table; write [[cases]]"),
        (
            f'{SUITE}[[optimizers.mine]]\nuse = "sgd"\n{CASE.replace("sgd", "mine")}',
            "x.toml:3: optimizers.mine: must be one table; write [optimizers.mine] with single brackets",
        ),
        (
            f'{SUITE}[optimizer.mine]\nuse = "sgd"\n{CASE.replace("sgd", "mine")}',
            "x.toml:3: optimizer: unknown table; write [optimizers.NAME]",
        ),
        (f"{SUITE}[default]\nepochs = 1\n{CASE}", "x.toml:3: default: unknown table; write [defaults]"),
        (
            f"{SUITE}[[defaults]]\nepochs = 1\n{CASE}",
            "x.toml:3: defaults: must be one table; write [defaults] with single brackets",
        ),
        (
            f'[[suite]]\nname = "x"\n{CASE}',
            "x.toml:1: suite: must be one table; write [suite] with single brackets",
        ),
        (f'suite = "x"\n{CASE}', 'x.toml:1: suite: must be a table, not "x"; write [suite]'),
        (
            f"{SUITE}[[tune]]\ntrials = 2\n{CASE}",
            "x.toml:3: tune: must be one table; write [tune] with single brackets",
        ),
        (
            f"{SUITE}[[optimizers]]\nlr = 1\n{CASE}",
            "x.toml:3: optimizers: must be tables; write [optimizers.NAME]",
        ),
        (f"optimizers = 3\n{SUITE}{CASE}", "x.toml:1: optimizers: must be tables; write [optimizers.NAME]"),
        (
            f'models = ["fc"]\n{SUITE}{CASE}',
            "x.toml:1: models: must be in [[cases]]; move it there, or write [models.NAME] to configure one",
        ),
        (
            f"{SUITE}[optimizers]\nsgd = 3\n{CASE}",
            "x.toml:4: optimizers.sgd: must be a table, not 3; write [optimizers.sgd]",
        ),
        (f"cases = 3\n{SUITE}", "x.toml:1: cases: must be a table, not 3; write [[cases]] with double brackets"),
        (f"cases = [3]\n{SUITE}", "x.toml:1: cases: must be a table, not 3; write [[cases]] with double brackets"),
        (SUITE, "x.toml:1: cases: the suite has no cases; add [[cases]] with models and optimizers"),
        (f"epochs = 3\n{SUITE}{CASE}", "x.toml:1: epochs: must be in a table; move it below [defaults]"),
        (f'name = "x"\n{SUITE}{CASE}', "x.toml:1: name: must be in a table; move it below [suite]"),
        (
            f"lr = 3\n{SUITE}{CASE}",
            "x.toml:1: lr: is a parameter of an optimizer; move it to [optimizers.NAME]",
        ),
        (
            f"{SUITE}[plots]\nx = 1\n{CASE}",
            (
                "x.toml:3: plots: unknown table. Choose from: suite, defaults, cases, compare, "
                "datasets, models, optimizers, schedules, augmentations, tasks, metrics, problems, tune"
            ),
        ),
        (
            f"{SUITE}[cases.0]\n" + CASE.partition("\n")[2],
            "x.toml:3: cases: must be a list of tables; write [[cases]] with double brackets",
        ),
        (
            SUITE + CASE.partition("\n")[2],
            "x.toml:3: suite.models: must be in [[cases]]; write that header above it",
        ),
        (
            f"{SUITE}[defaults]\nepochs = 1\n" + CASE.partition("\n")[2],
            "x.toml:5: defaults.models: must be in [[cases]]; write that header above it",
        ),
        (
            f'{SUITE}[defaults]\nmodels = "fc"\noptimizers = "sgd"\n',
            "x.toml:4: defaults.models: must be in [[cases]]; write that header above it",
        ),
        (
            f"{SUITE}[optimizers.sgd]\nlr = 1\n" + CASE.partition("\n")[2],
            "x.toml:5: optimizers.sgd.models: must be in [[cases]]; write that header above it",
        ),
        (
            f"{SUITE}[optimizers]\nlr = 0.1\n{CASE}",
            "x.toml:4: optimizers.lr: must be a table, not 0.1; write [optimizers.NAME]",
        ),
        (f"{SUITE}[sgd]\nlr = 0.1\n{CASE}", "x.toml:3: sgd: unknown table; write [optimizers.sgd]"),
        (f"{SUITE}[fc]\nhidden_size = 1\n{CASE}", "x.toml:3: fc: unknown table; write [models.fc]"),
        ("[project]\nname = 'x'\n", "x.toml:1: not a suite: it has project, but no [suite] and no [[cases]]"),
        ("", "x.toml: empty; a suite has [suite] with a name, and [[cases]] with models and optimizers"),
        ("# to do\n", "x.toml: empty; a suite has [suite] with a name, and [[cases]] with models and optimizers"),
        (" \n\n", "x.toml: empty; a suite has [suite] with a name, and [[cases]] with models and optimizers"),
    ],
)
def test_wrong_tables(text: str, expected: str) -> None:
    assert problems(text) == [expected]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("epochs = 0", "epochs: must be greater than 0, not 0"),
        ('epochs = "3"', 'epochs: must be a whole number, not "3"; remove the quotes'),
        ("epochs = 3.0", "epochs: must be a whole number, not 3.0; write 3"),
        ("epochs = true", "epochs: must be a whole number, not true"),
        ("epochs = [1, 2]", "epochs: must be one whole number, not [1, 2]"),
        ("margin = true", "margin: must be a number, not true"),
        ('margin = "0.5"', 'margin: must be a number, not "0.5"; remove the quotes'),
        ('margin = "half"', 'margin: must be a number, not "half"'),
        ("margin = nan", "margin: must be a finite number, not nan"),
        ("margin = inf", "margin: must be a finite number, not inf"),
        ('reference = "true"', 'reference: must be true or false, not "true"; remove the quotes'),
        ('reference = "True"', 'reference: must be true or false, not "True"; write true'),
        ("reference = 1", "reference: must be true or false, not 1"),
        ("dataset = 3", "dataset: must be the name of a dataset in quotes, not 3"),
        (
            'dataset = ["mnist", "emnist"]',
            (
                'dataset: must be one dataset, not ["mnist", "emnist"]; '
                'write datasets = ["mnist", "emnist"] in [[cases]]'
            ),
        ),
        (
            'engine = ["graph"]',
            'engine: must be one engine, not ["graph"]; write engines = ["graph"] in [[cases]]',
        ),
        ('evaluate_in = "test"', 'evaluate_in: must be "eval" or "train", not "test"'),
        (
            'precision = "float23"',
            'precision: must be "float32", "tf32" or "bf16", not "float23". Did you mean \'float32\'?',
        ),
        ('marks = "slow"', 'marks: must be a list, not "slow"; write ["slow"]'),
        (
            'marks = ["a b"]',
            'marks: "a b" cannot be the name of a pytest mark; use letters, digits and _, a letter first',
        ),
        (
            'marks = ["_x"]',
            'marks: "_x" cannot be the name of a pytest mark; use letters, digits and _, a letter first',
        ),
        ('marks = ["slow", "skip"]', 'marks: "skip" means something to pytest itself; choose another name'),
        ("expect = 97", 'expect: must be a table, not 97; write expect.accuracy = ">= 97.0"'),
        (
            "expect.accuracy = 97",
            'expect.accuracy: must be a comparison, such as ">= 97.0", not 97',
        ),
        ("seeds = []", "seeds: must name at least one seed"),
        ("seeds = 0", "seeds: must name at least one seed"),
        ("seeds = -3", "seeds: must not be negative, as -3 is"),
        ("seeds = [3, 1, 3]", "seeds: duplicate seed 3"),
        ("seeds = [-1]", "seeds: must not be negative, as -1 is"),
        ('seeds = "3"', 'seeds: must be a number of seeds or a list of seeds, not "3"; remove the quotes'),
        ("seeds = 2.5", "seeds: must be a number of seeds or a list of seeds, not 2.5"),
        (
            "engine = true",
            'engine: must be "auto", "dataloader", "resident", "graph", "streams" or "stacked", not true',
        ),
        ("baseline = 1", "baseline: must be the name of an optimizer in quotes, not 1"),
        (
            'precision = "bfloat16"',
            'precision: must be "float32", "tf32" or "bf16", not "bfloat16". Did you mean \'bf16\'?',
        ),
        ("seed = 3", "seed: unknown key; write seeds = [3]"),
        ("sweep.lr = [0.1]", "sweep: belongs to one configuration; move it to [optimizers.NAME]"),
        ('use = "sgd"', "use: belongs to one configuration; move it to [optimizers.NAME]"),
        ('device = "cpu"', "device: is an option of the command line; remove it, and run with --device"),
        ("workers = 2", "workers: is an option of the command line; remove it, and run with --jobs"),
        ("epoch = 1", "epoch: unknown key. Did you mean 'epochs'?"),
        ("lr = 0.1", "lr: is a parameter of an optimizer; move it to [optimizers.NAME]"),
        ("hidden_size = 10", "hidden_size: is a parameter of a model; move it to [models.NAME]"),
        ("trials = 3", "trials: unknown key; move it to [tune]"),
        ('title = "x"', "title: unknown key; move it to [suite]"),
        ("nonsense = 1", "nonsense: unknown key"),
    ],
)
def test_wrong_settings(line: str, expected: str) -> None:
    """The same in [defaults] and in [[cases]]."""
    assert problems(with_default(line)) == [f"x.toml:4: defaults.{expected}"]
    assert problems(with_case(line)) == [f"x.toml:6: cases.{expected}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            with_case('model = "fc"').replace('models = ["fc"]\n', ""),
            'x.toml:5: cases.model: unknown key; write models = ["fc"]',
        ),
        (
            with_case('optimizer = ["sgd"]').replace('optimizers = ["sgd"]\n', ""),
            'x.toml:5: cases.optimizer: unknown key; write optimizers = ["sgd"]',
        ),
        (SUITE + CASE.replace('["fc"]', '"fc"'), 'x.toml:4: cases.models: must be a list, not "fc"; write ["fc"]'),
        (
            SUITE + CASE.replace('["fc"]', '[1, "fc"]'),
            "x.toml:4: cases.models: must be the name of a model in quotes, not 1",
        ),
        (
            SUITE + CASE.replace('["sgd"]', '["sgd", "sgd"]'),
            'x.toml:5: cases.optimizers: duplicate "sgd"; remove one',
        ),
        (with_sgd("sweep.lr = [1, 2, 1]"), "x.toml:4: optimizers.sgd.sweep.lr: duplicate 1; remove one"),
        (
            SUITE + 'version = "1"\n' + CASE,
            "x.toml:3: suite.version: unknown key. Choose from: name, title, order, recorded, needs",
        ),
        (SUITE + "seed = 1\n" + CASE, "x.toml:3: suite.seed: unknown key; write seeds = [1] in [defaults]"),
        (
            f'{SUITE}[optimizers.mine]\nuse = ["sgd"]\n{CASE.replace("sgd", "mine")}',
            'x.toml:4: optimizers.mine.use: must be a name in quotes, not ["sgd"]; write use = "sgd"',
        ),
        (
            f"{SUITE}[optimizers.sdg]\nlr = 1\n{CASE}",
            (
                "x.toml:3: optimizers.sdg: unused. Did you mean 'sgd'? If not, list it in optimizers of "
                "[[cases]], or remove it"
            ),
        ),
        (
            f"{SUITE}[optimizers.sgd-2]\nuse = 'sgd'\n{CASE}",
            "x.toml:3: optimizers.sgd-2: unused; list it in optimizers of [[cases]], or remove it",
        ),
        (
            with_default('schedule = "none"'),
            "x.toml:4: defaults.schedule: no schedule named 'none'; remove the line",
        ),
        (
            with_default('baseline = "none"'),
            "x.toml:4: defaults.baseline: no optimizer of this suite named 'none'; remove the line",
        ),
        (
            with_default('metrics = ["accuracy"]'),
            "x.toml:4: defaults.metrics: 'accuracy' is evaluated without being listed; remove it here",
        ),
        (SUITE + CASE.replace('["fc"]', "[]"), "x.toml:4: cases.models: must have at least one entry"),
        (
            SUITE + CASE.replace('["fc"]', "[1]"),
            "x.toml:4: cases.models: must be the name of a model in quotes, not 1",
        ),
        (
            SUITE + CASE.replace('models = ["fc"]\n', ""),
            'x.toml:3: cases.models: is missing; write models = ["fc"]',
        ),
        (with_default('models = ["fc"]'), "x.toml:4: defaults.models: unknown key; move it to [[cases]]"),
        (
            with_default('model = "fc"'),
            'x.toml:4: defaults.model: unknown key; write models = ["fc"] in [[cases]]',
        ),
        (f"[suite]\nepochs = 3\nname = 'x'\n{CASE}", "x.toml:2: suite.epochs: unknown key; move it to [defaults]"),
        (f"[suite]\ntitle = 'x'\n{CASE}", 'x.toml:1: suite.name: is missing; write name = "my-suite"'),
        (
            f"[suite]\nname = 'no good'\n{CASE}",
            'x.toml:2: suite.name: must be letters and digits, joined by single - _ or ., not "no good"',
        ),
        (
            f"[suite]\nname = 'x'\norder = 'random'\n{CASE}",
            'x.toml:3: suite.order: must be "suite" or "interleaved", not "random"',
        ),
        (f"{SUITE}[tune]\ntrails = 3\n{CASE}", "x.toml:4: tune.trails: unknown key. Did you mean 'trials'?"),
        (
            f"{SUITE}[optimizers.Adam]\nlr = 1\n{CASE}",
            (
                "x.toml:3: optimizers.Adam: a name must be lower-case letters and digits "
                "joined by single - _ . or +; rename it"
            ),
        ),
    ],
)
def test_wrong_keys(text: str, expected: str) -> None:
    assert problems(text) == [expected]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('lr = "0.1"', 'lr: must be a number, not "0.1"; remove the quotes'),
        ('lr = "fast"', 'lr: must be a number, not "fast"'),
        ("lr = true", "lr: must be a number, not true"),
        (
            "lr = [0.1, 0.01]",
            "lr: must be one number, not [0.1, 0.01]; to try each, write sweep.lr = [0.1, 0.01]",
        ),
        ('nesterov = "true"', 'nesterov: must be true or false, not "true"; remove the quotes'),
        ('sweep.lr = [0.1, "0.2"]', 'sweep.lr: must be a number, not "0.2"; remove the quotes'),
        ("lr = { a = 1 }", "lr: must be a number, not { a = 1 }"),
        ("lr = 1979-05-27", "lr: must be a number, not 1979-05-27"),
        ("momentum = { a = 1 }", "momentum: must be a number, not { a = 1 }"),
        ("nesterov = 1", "nesterov: must be true or false, not 1"),
        ("nesterov = { a = 1 }", "nesterov: must be true or false, not { a = 1 }"),
        ("sweep.lr = 0.1", "sweep.lr: must be a list, not 0.1; write [0.1]"),
        ("sweep.lr = []", "sweep.lr: must have at least one entry"),
        ("sweep = 0.1", "sweep: must be a table, not 0.1; write sweep.lr = [0.1, 0.01]"),
        (
            "sweep.momentun = [0.9]",
            "sweep.momentun: 'sgd' takes no parameter 'momentun'. Did you mean 'momentum'? ",
        ),
        ("epochs = 3", "epochs: 'sgd' takes no parameter 'epochs'; move it to [defaults] or [[cases]]"),
        (
            'space.lr = "0.1"',
            "space.lr: must be a range, { low = 1e-4, high = 1.0, log = true }, or a list of values",
        ),
        (
            "space.lr = { low = 1, high = 0.1 }",
            "space.lr: low must be less than high; here low is 1 and high is 0.1",
        ),
        (
            "space.lr = { low = 0, high = 1, log = true }",
            "space.lr: low must be greater than 0 with log = true, not 0",
        ),
        ('space.lr = { low = "a", high = 1 }', "space.lr: low and high must be numbers, and log true or false"),
        ("use = 3", "use: must be a name in quotes, not 3"),
        ('clip_grad_norm = "1"', 'clip_grad_norm: must be a number, not "1"; remove the quotes'),
    ],
)
def test_wrong_parameters(line: str, expected: str) -> None:
    (found,) = problems(with_sgd(line))
    assert found.startswith(f"x.toml:4: optimizers.sgd.{expected}")
    assert found.endswith(expected) or expected.endswith(" ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f"{SUITE}[optimizers.mine]\nlr = 1\n{CASE.replace('sgd', 'mine')}",
            (
                "x.toml:3: optimizers.mine: no optimizer named 'mine'. "
                'Add use = "NAME" to say which optimizer it configures. Choose from: adadelta, '
            ),
        ),
        (
            f"{SUITE}[optimizers.mine]\nuse = 'adamm'\n{CASE.replace('sgd', 'mine')}",
            "x.toml:4: optimizers.mine.use: no optimizer named 'adamm'. Did you mean 'adam'? Choose from: ada",
        ),
        (
            SUITE + CASE.replace("sgd", "adamm"),
            "x.toml:5: cases.optimizers: no optimizer named 'adamm'. Did you mean 'adam'?",
        ),
        (
            SUITE + CASE.replace("sgd", "fc"),
            "x.toml:5: cases.optimizers: no optimizer named 'fc'; it is the name of a model. Choose from: adad",
        ),
        (
            f"{SUITE}[optimizers.mine]\nuse = 'fc'\n{CASE.replace('sgd', 'mine')}",
            "x.toml:4: optimizers.mine.use: no optimizer named 'fc'; it is the name of a model. Choose from: adad",
        ),
        (
            f"{SUITE}[optimizers.sgd]\nlearning_rate = 1\n{CASE}",
            "x.toml:4: optimizers.sgd.learning_rate: 'sgd' takes no parameter 'learning_rate'. Did you mean 'lr'?",
        ),
        (
            with_default('dataset = "imagenet"'),
            (
                "x.toml:4: defaults.dataset: no dataset named 'imagenet'. Choose from: cifar10, cifar100, emnist, "
                "fashion-mnist, kmnist, mnist, mnist-imbalanced, mnist-noisy-labels, mnist-permuted, "
                "mnist-rotated, noise, qmnist, svhn; "
                "a plugin can add one: `benchmnist new-plugin imagenet --kind dataset`"
            ),
        ),
        (
            with_default('engine = "grph"'),
            "x.toml:4: defaults.engine: no engine named 'grph'. Did you mean 'graph'? ",
        ),
        (
            with_default('baseline = "sdg"'),
            "x.toml:4: defaults.baseline: no optimizer of this suite named 'sdg'. Did you mean 'sgd'? ",
        ),
        (
            f"{SUITE}[models.fc]\nhidden_size = 10.0\n{CASE}",
            "x.toml:4: models.fc.hidden_size: must be a whole number, not 10.0; write 10",
        ),
        (
            f"{SUITE}[models.fc]\nsweep.hidden_size = [10, 10.5]\n{CASE}",
            "x.toml:4: models.fc.sweep.hidden_size: must be a whole number, not 10.5",
        ),
        (
            f"{SUITE}[optimizers.sgd]\nbetas = 1\n[optimizers.adam]\nbetas = 0.9\n{CASE.replace('sgd', 'adam')}",
            "x.toml:6: optimizers.adam.betas: must be a list of 2 numbers, not 0.9; write betas = [0.9, 0.999]",
        ),
        (
            f"{SUITE}[optimizers.adam]\nbetas = [0.9]\n{CASE.replace('sgd', 'adam')}",
            "x.toml:4: optimizers.adam.betas: must be a list of 2 numbers, not [0.9]; write betas = [0.9, 0.999]",
        ),
        (
            f'{SUITE}[models.fc]\nhidden_size = "500"\n{CASE}',
            'x.toml:4: models.fc.hidden_size: must be a whole number, not "500"; remove the quotes',
        ),
    ],
)
def test_wrong_names(text: str, expected: str) -> None:
    assert problems(text)[0].startswith(expected)


@pytest.mark.parametrize(
    "text",
    [
        with_default('baseline = "sgd"\ndataset = "imagenet"'),
        with_default('baseline = "sgd"').replace("fc", "resnet"),
        with_default('baseline = "sgd"') + "[models.fc]\nhidden = 3\n",
        with_default('baseline = "sgd"').replace('"fc"', "1"),
        with_default('baseline = "adam"') + CASE.replace("sgd", "adam").replace('["fc"]', "[]"),
    ],
)
def test_one_mistake_is_one_line_although_a_baseline_goes_with_it(text: str) -> None:
    (found,) = problems(text)
    assert "baseline" not in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f"{SUITE}[models.fc]\nhidden_size = -5\n{CASE}",
            "x.toml:4: models.fc.hidden_size: 'fc' refuses: Trying to create tensor with negative dimension -5: ",
        ),
        (with_sgd("lr = -1.0"), "x.toml:4: optimizers.sgd.lr: 'sgd' refuses: Invalid learning rate: -1.0"),
        (
            with_sgd("nesterov = true"),
            "x.toml:4: optimizers.sgd.nesterov: 'sgd' refuses: Nesterov momentum requires a momentum",
        ),
        (with_sgd("sweep.lr = [0.1, -0.5]"), "x.toml:4: optimizers.sgd.sweep.lr: 'sgd' refuses: Invalid learning"),
        (
            with_sgd("betas = [0.9, 1.5]").replace("sgd", "adam"),
            "x.toml:4: optimizers.adam.betas: 'adam' refuses: Invalid beta parameter at index 1: 1.5",
        ),
        (
            with_default("train_size = 70000"),
            "x.toml:4: defaults.train_size: train_size = 70000, but mnist has only 60000 training examples",
        ),
        (
            with_case("test_size = 70000"),
            "x.toml:6: cases.test_size: test_size = 70000, but mnist has only 10000 ",
        ),
        (
            with_default("validation_size = 60000"),
            "x.toml:4: defaults.validation_size: validation_size = 60000, but must be less than 60000",
        ),
    ],
)
def test_what_only_a_try_shows(text: str, expected: str) -> None:
    Path("x.toml").write_text(text, "utf-8")
    with pytest.raises(SuiteError) as caught:
        prepare("x.toml", RunOptions(device="cpu"))
    (found,) = map(str, caught.value.problems)
    assert found.startswith(expected)


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("defaults.epochs=x", "--set defaults.epochs=x: 'x' is not a TOML value; write a number"),
        ("defaults.epochs=", "'' is not a TOML value; write --set defaults.epochs=VALUE"),
        ("optimizers.sgd.lr=.1", "'.1' is not a TOML value; write --set optimizers.sgd.lr=0.1"),
        (
            "optimizers.sgd.lr=0,1",
            "for a list, write --set 'optimizers.sgd.lr=[0, 1]'; a number has a decimal point",
        ),
        ("optimizers.adam.betas=[0.9", "'[0.9' is not a TOML value; missing ] at the end of the list"),
        ("defaults.reference=True", "true and false are in lower case; write --set defaults.reference=true"),
        ("defaults.dataset=emnist", "put a string in double quotes: --set 'defaults.dataset=\"emnist\"'"),
        ("=", "--set =: missing key before the =; write KEY=VALUE, such as optimizers.adam.lr=0.01"),
        ("defaults.epochs=0", "--set defaults.epochs=0: must be greater than 0, not 0"),
        ('defaults.epochs="3"', '--set defaults.epochs="3": must be a whole number, not "3"; remove the quotes'),
        ("defaults.epoch=3", "--set defaults.epoch=3: unknown key. Did you mean 'epochs'?"),
        ("default.epochs=3", "--set default.epochs=3: unknown table; write [defaults]"),
        ("epochs=3", "--set epochs=3: write --set defaults.epochs=3"),
        ("lr=3", "--set lr=3: is a parameter of an optimizer; write --set optimizers.NAME.lr=3"),
        ("optimizers.sgd.lrr=3", "--set optimizers.sgd.lrr=3: 'sgd' takes no parameter 'lrr'. Did you mean 'lr'?"),
        ("cases.3.epochs=1", "--set cases.3.epochs=1: cases has 1 entry, cases.0, and no cases.3"),
        ("optimizers.sgd.lr.x=1", "--set optimizers.sgd.lr.x=1: must be a number, not { x = 1 }"),
        ("sgd.lr=3", "--set sgd.lr=3: write --set optimizers.sgd.lr=3"),
        ("name=3", "--set name=3: write --set suite.name=3"),
        ("cases=5", "--set cases=5: must be a list of tables, not 5; override one key, such as cases.0.epochs=2"),
        (
            "optimizers.sdg.lr=0.1",
            "--set optimizers.sdg.lr=0.1: unused. Did you mean 'sgd'? If not, list it in optimizers of [[cases]]",
        ),
        ("suite.name.x=1", "--set suite.name.x=1: suite.name is not a table"),
        ("defaults.epochs", "must be KEY=VALUE, such as optimizers.adam.lr=0.01"),
    ],
)
def test_wrong_assignments(assignment: str, expected: str) -> None:
    (found,) = problems(SUITE + CASE, [assignment])
    assert expected in found


WRONG = ('"a b"', "true", "-3.5", "[[1]]", "{ a = 1 }", "1979-05-27")


LONG = 'label = "long"'


def with_comparison(lines: str) -> str:
    """A suite in which each of two models is trained with two optimizers, and one [[compare]] on line 3."""
    cases = CASE.replace('"fc"', '"fc", "fc-bn"').replace('"sgd"', '"sgd", "adam"')
    return f"{SUITE}[[compare]]\n{lines}\n{cases}"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", '3: compare.with: is missing; write with = "sgd"'),
        ('with = "sgd"', "3: compare: must have either optimizers or models, a list of what is compared"),
        (
            f'{COMPARED}models = ["fc"]',
            "3: compare: must have either optimizers or models, a list of what is compared",
        ),
        ('optimizers = ["adam"]', '3: compare.with: is missing; write with = "sgd"'),
        ('optimizer = "adam"\nwith = "sgd"', '4: compare.optimizer: unknown key; write optimizers = ["adam"]'),
        ('optimizers = ["adam"]\nbaseline = "sgd"', '5: compare.baseline: unknown key; write with = "sgd"'),
        ('optimizers = "adam"\nwith = "sgd"', '4: compare.optimizers: must be a list, not "adam"; write ["adam"]'),
        (
            'optimizers = ["adam"]\nwith = ["sgd"]',
            (
                "5: compare.with: must be the name of an optimizer or of a model in quotes, not "
                '["sgd"]; write with = "sgd"'
            ),
        ),
        (f"{COMPARED}epochs = 3", "6: compare.epochs: unknown key; move it to [defaults]"),
        (f"{COMPARED}lr = 3", "6: compare.lr: is a parameter of an optimizer; move it to [optimizers.NAME]"),
        (
            f'{COMPARED}label = "long"',
            '6: compare.label: unknown key; write the label after a name, such as "adam/long"',
        ),
        (f"{COMPARED}wiht = 3", "6: compare.wiht: unknown key. Did you mean 'with'?"),
        (
            'optimizers = ["adma"]\nwith = "sgd"',
            (
                "4: compare.optimizers: no optimizer of this suite named 'adma'. Did you mean 'adam'? "
                "Choose from: adam, sgd"
            ),
        ),
        (
            'models = ["fc-bn"]\nwith = "fcc"',
            "5: compare.with: no model of this suite named 'fcc'. Did you mean 'fc'? Choose from: fc, fc-bn",
        ),
        (f'{COMPARED}on = ["cnn"]', "6: compare.on: no model of this suite named 'cnn'. Choose from: fc, fc-bn"),
        (f'{COMPARED}on = ["adam"]', "6: compare.on: must be the name of a model; 'adam' is an optimizer"),
        (
            'optimizers = ["sgd"]\nwith = "sgd"',
            "4: compare.optimizers: mnist/fc/sgd would be compared with itself; name another case",
        ),
        ('optimizers = ["adam", "adam"]\nwith = "sgd"', '4: compare.optimizers: duplicate "adam"; remove one'),
        (
            f'{COMPARED}[[compare]]\noptimizers = ["sgd"]\nwith = "adam"\non = ["fc-bn"]',
            "6: compare: mnist/fc-bn/sgd and mnist/fc-bn/adam are compared twice, first on line 3; remove one",
        ),
    ],
)
def test_wrong_comparisons(lines: str, expected: str) -> None:
    assert problems(with_comparison(lines)) == [f"x.toml:{expected}"]


@pytest.mark.parametrize(
    ("lines", "cases", "expected"),
    [
        (
            'models = ["fc-bn"]\nwith = "fc"',
            [("fc", "sgd", "epochs = 5"), ("fc-bn", "sgd", "epochs = 1\nbatch_size = 50")],
            (
                "4: compare.models: mnist/fc-bn/sgd and mnist/fc/sgd also differ in epochs (1 and 5), "
                "batch size (50 and 100); make these equal, or remove 'fc-bn'"
            ),
        ),
        (
            COMPARED,
            [("fc", "sgd", 'schedules = ["constant"]'), ("fc", "adam", 'schedules = ["cosine"]')],
            (
                "4: compare.optimizers: mnist/fc/adam/cosine and mnist/fc/sgd/constant also differ in "
                "schedule, augmentation or engine (cosine and constant); make these equal, or remove 'adam'"
            ),
        ),
        (
            COMPARED,
            [("fc", "sgd", ""), ("fc-bn", "adam", "")],
            (
                "4: compare.optimizers: no model has a case with 'adam' and one with 'sgd'; "
                "add them to [[cases]], or remove 'adam'"
            ),
        ),
        (
            f'{COMPARED}on = ["fc", "cnn"]',
            [("fc", "sgd", ""), ("fc", "adam", ""), ("cnn", "adam", "")],
            "6: compare.on: no two cases to compare on 'cnn'; remove it",
        ),
        (
            'optimizers = ["adam/lnog"]\nwith = "sgd/long"',
            [("fc", "sgd", LONG), ("fc", "adam", LONG)],
            (
                "4: compare.optimizers: no optimizer of this suite named 'adam/lnog'. Did you mean 'adam/long'? "
                "Choose from: adam, adam/long, sgd, sgd/long"
            ),
        ),
        (
            f'{COMPARED}on = ["fc/lnog"]',
            [("fc", "sgd", LONG), ("fc", "adam", LONG)],
            (
                "6: compare.on: no model of this suite named 'fc/lnog'. Did you mean 'fc/long'? "
                "Choose from: fc, fc/long"
            ),
        ),
        (
            'optimizers = ["adam/long"]\nwith = "sgd"',
            [("fc", "sgd", LONG), ("fc", "adam", LONG)],
            (
                "4: compare.optimizers: no model has a case with 'adam/long' and one with 'sgd' without a label; "
                "add them to [[cases]], or remove 'adam/long'"
            ),
        ),
        (
            'optimizers = ["adam/long"]\nwith = "sgd"',
            [("fc", "sgd", ""), ("fc", "adam", f"{LONG}\nepochs = 9")],
            (
                "4: compare.optimizers: mnist/fc/adam/long and mnist/fc/sgd also differ in epochs (9 and 5); "
                "make these equal, or remove 'adam/long'"
            ),
        ),
        (
            'optimizers = ["adam/long"]\nwith = "adam"',
            [("fc", "adam", ""), ("fc", "adam", f"{LONG}\nlabel_smoothing = 0.1")],
            (
                "4: compare.optimizers: mnist/fc/adam/long and mnist/fc/adam have the same model and the same "
                "method; name cases that differ in one of the two, or remove 'adam/long'"
            ),
        ),
        (
            'optimizers = ["adam/long"]\nwith = "adam/long"',
            [("fc", "adam", LONG)],
            "4: compare.optimizers: mnist/fc/adam/long would be compared with itself; name another case",
        ),
        (
            COMPARED,
            [("fc", "sgd", "seeds = [0, 1, 2]"), ("fc", "adam", "seeds = [3, 4]")],
            (
                "4: compare.optimizers: mnist/fc/adam and mnist/fc/sgd have no seed in common (3, 4 and 0, 1, 2); "
                "give them the same seeds, or remove 'adam'"
            ),
        ),
        (
            'optimizers = ["ädam /\\n"]\nwith = "/"',
            [("fc", "sgd", LONG), ("fc", "adam", "")],
            [
                (
                    "4: compare.optimizers: no optimizer of this suite named 'ädam /\\n'. "
                    "Choose from: adam, sgd, sgd/long"
                ),
                "5: compare.with: no optimizer of this suite named '/'. Choose from: adam, sgd, sgd/long",
            ],
        ),
    ],
)
def test_comparisons_of_cases_that_the_suite_does_not_have(
    lines: str, cases: list[tuple[str, str, str]], expected: str | list[str]
) -> None:
    blocks = "".join(f'[[cases]]\nmodels = ["{m}"]\noptimizers = ["{o}"]\n{more}\n' for m, o, more in cases)
    expected = [expected] if isinstance(expected, str) else expected
    assert problems(f"{SUITE}[[compare]]\n{lines}\n{blocks}") == [f"x.toml:{each}" for each in expected]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("[compare]", "x.toml:3: compare: must be a list of tables; write [[compare]] with double brackets"),
        ("[[comparison]]", "x.toml:3: comparison: unknown table; write [[compare]]"),
        ("[compares]", "x.toml:3: compares: unknown table; write [[compare]]"),
    ],
)
def test_a_wrong_header_of_comparisons(header: str, expected: str) -> None:
    assert problems(with_comparison(COMPARED).replace("[[compare]]", header)) == [expected]


def test_a_comparison_of_what_was_refused_is_not_reported_beside_it() -> None:
    (problem,) = problems(with_comparison(COMPARED).replace('"sgd", "adam"]', '"sgd", "adamm"]'))
    assert "no optimizer named 'adamm'" in problem


def test_a_key_of_a_comparison_that_is_set_by_the_command_line() -> None:
    text = with_comparison(COMPARED)
    assert problems(text, ['compare.0.with="adam"', 'compare.0.optimizers=["sgd"]']) == []
    (problem,) = problems(text, ['compare.0.with="fc"'])
    assert problem == "--set compare.0.with=\"fc\": must be the name of an optimizer; 'fc' is a model"
    (problem,) = problems(text, ["compare=3"])
    assert problem.endswith('must be a list of tables, not 3; override one key, such as compare.0.with="sgd"')


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize(
    ("head", "model"),
    [
        ("[suite]\nname = 'x'\n", Header),
        (f"{SUITE}{CASE}[tune]\n", Tune),
        (f"{SUITE}{CASE}[defaults]\n", DEFAULTS),
        (SUITE + CASE, CASES),
        (
            f'cases = [{{ models = ["fc"], optimizers = ["sgd", "adam"] }}]\n{SUITE}[[compare]]\n{COMPARED}',
            COMPARE,
        ),
    ],
    ids=["suite", "tune", "defaults", "cases", "compare"],
)
def test_every_key_of_every_table_with_a_value_of_a_wrong_type(head: str, model: Any, value: str) -> None:
    """In words, on its line, and never in pydantic's."""
    for key in model.model_fields:
        lines = [line for line in head.splitlines() if not line.startswith(f"{key} =")]
        text = "\n".join([*lines, f"{key} = {value}", "" if model is not Header else CASE])
        line = len(lines) + 1
        for found in problems(text):
            assert found.startswith("x.toml:"), found
            assert "a valid" not in found
            assert "should" not in found
            if f".{key}: " in found:
                assert found.startswith(f"x.toml:{line}: "), found


def test_the_parameters_that_are_looked_for_elsewhere_are_the_usual_ones() -> None:
    assert "lr" in OPTIMIZER_PARAMETERS
    assert not {*OPTIMIZER_PARAMETERS} & {*DEFAULTS.model_fields, *CASES.model_fields}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sweep", "no suite named 'sweep'. Did you mean 'sweep.toml'?"),
        ("sweeep.toml", "sweeep.toml: does not exist. Did you mean 'sweep.toml'?"),
        ("nosuch.toml", "nosuch.toml: does not exist. Choose from: sweep.toml, suites/quick.toml"),
        ("quik", "no suite named 'quik'. Did you mean 'suites/quick.toml'?"),
        ("assignment", "no suite named 'assignment'. Did you mean 'assignment4'?"),
        (
            "zzz",
            "no suite named 'zzz'. Choose from: sweep.toml, suites/quick.toml; of the package: "
            + ", ".join(package_suites()),
        ),
        ("suites/quik.toml", "suites/quik.toml: does not exist. Did you mean 'suites/quick.toml'?"),
        ("nowhere/x.toml", "nowhere/x.toml: does not exist"),
        ("nowhere/x", "no suite named 'nowhere/x'"),
        ("suites", "suites: is a folder; name a suite in it, such as suites/quick.toml"),
        ("void", "void: is a folder; name a suite, which is a TOML file"),
        (
            "latin.toml",
            "latin.toml:1: not UTF-8 text (byte 0xe9 at position 4 of the line); save the file as UTF-8",
        ),
        (
            "utf16.toml",
            "utf16.toml:1: not UTF-8 text (byte 0xff at position 1 of the line); save the file as UTF-8",
        ),
        ("sweep.toml/x", "no suite named 'sweep.toml/x'"),
        ("x.json", f"x.json: is JSON; {A_SUITE}"),
        ("x.yaml", f"x.yaml: is YAML; {A_SUITE}"),
        ("a-run", "a-run: is the folder of a run; to read it: benchmnist report a-run"),
        ("secret.toml", "secret.toml: cannot be read: Permission denied"),
    ],
)
def test_wrong_files(name: str, expected: str) -> None:
    Path("suites").mkdir()
    Path("void").mkdir()
    for good in ("sweep.toml", "suites/quick.toml"):
        Path(good).write_text(SUITE + CASE, "utf-8")
    Path("a-run").mkdir()
    Path("a-run/run.json").write_text("{}", "utf-8")
    Path("x.json").write_text('{"suite": {}}', "utf-8")
    Path("x.yaml").write_text("suite:\n  name: x\n", "utf-8")
    if name == "latin.toml":
        Path(name).write_bytes("# é".replace("# ", "# x").encode("latin-1"))
    elif name == "utf16.toml":
        Path(name).write_text(SUITE + CASE, "utf-16")
    elif name == "secret.toml":
        Path(name).write_text(SUITE, "utf-8")
        Path(name).chmod(0)
        if os.access(name, os.R_OK):
            pytest.skip("root reads everything")
    with pytest.raises(SuiteError) as caught:
        read_suite(name)
    assert str(caught.value) == expected


def test_the_default_of_every_parameter_is_a_value_that_it_takes() -> None:
    checked = 0
    for kind in PARTS:
        for offer in REGISTRY.by_kind[kind.name]:
            takes = parameters_of(offer.spec, kind.harness)
            for name, parameter in takes.by_name.items():
                default = takes.defaults.get(name, parameter.default)
                if default is parameter.empty or default is None:
                    continue
                value = list(default) if isinstance(default, tuple) else default
                assert takes.problem(name, value) == "", (offer.spec.name, name)
                checked += 1
    assert checked > 100


def _build_with_lists(
    *,
    two: tuple[float, float] = (1.0, 2.0),
    either: tuple[float, float] | tuple[float, float, float] = (1.0, 2.0),
    several: tuple[float, ...] = (1.0, 2.0),
    listed: list[float] | tuple[float, float] = (1.0, 2.0),
    unknown: Any = (1.0, 2.0),
) -> None:
    """Takes lists of numbers, of two numbers or of any."""


@pytest.mark.parametrize(
    ("name", "accepted"),
    [("two", False), ("either", True), ("several", True), ("listed", True), ("unknown", True)],
)
def test_only_an_annotation_fixes_the_length_of_a_list(name: str, accepted: bool) -> None:
    takes = parameters_of(ModelSpec(name="m", summary="", build=_build_with_lists), ())
    assert takes.problem(name, [3.0, 4.0]) == ""
    assert (takes.problem(name, [3.0, 4.0, 5.0]) == "") == accepted


def test_the_suites_of_the_repository_have_no_problems() -> None:
    for file in sorted((Path(__file__).parents[2] / "suites").glob("*.toml")):
        suite = read_suite(file)
        assert suite.problems == ()
        if suite.needs:  # its plugin need not be installed
            names = ", ".join(suite.needs)
            (problem,) = make_plan(suite, REGISTRY).problems
            assert f"not installed or blocked: {names}; install it: python -m pip install {names}" in str(problem)
        else:
            assert make_plan(suite, REGISTRY).problems == ()
