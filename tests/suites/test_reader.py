from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmnist.errors import SuiteError
from benchmnist.extensions.kinds import DATASET
from benchmnist.suites.reader import load_suite
from benchmnist.suites.schema import seed_list
from benchmnist.suites.toml_lines import line_numbers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GOOD = """
[suite]
name = "good"

[[cases]]
models = ["fc"]
optimizers = ["adam"]
"""


def mistakes(path: Path) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        load_suite(path)
    return [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]


def test_a_suite_is_read_with_its_defaults_filled_in(write_suite: Callable[..., Path]) -> None:
    suite = load_suite(write_suite())
    assert (suite.name, suite.title) == ("small", "A small suite")
    (block,) = suite.blocks
    assert (block.epochs, block.seeds, block.names(DATASET), block.evaluate_in) == (2, (0, 1), ["mnist"], "eval")
    assert suite.optimizers["sgd"].params == {"lr": 0.01}
    assert suite.block_line(0) == 17


def test_what_a_suite_leaves_out_is_as_in_the_notebook(write_suite: Callable[..., Path]) -> None:
    suite = load_suite(write_suite(GOOD))
    (block,) = suite.blocks
    assert (block.names(DATASET), block.epochs, block.batch_size, block.seeds) == (["mnist"], 5, 100, (0, 1, 2))
    assert suite.title == "good"


def test_all_mistakes_are_told_together(write_suite: Callable[..., Path]) -> None:
    path = write_suite(
        '[suite]\nname = "x"\n[defaults]\nepochs = -1\n[optimizers.sgd]\nuse = 3\n'
        '[[cases]]\nmodels = []\noptimizers = ["sgd"]\n[[cases]]\nmodel = "fc"\n'
    )
    assert len(mistakes(path)) == 5


def test_a_suite_that_is_not_there(write_suite: Callable[..., Path], tmp_path: Path) -> None:
    write_suite(GOOD, "quick.toml")
    with pytest.raises(SuiteError, match=r"quik\.toml: does not exist\. Did you mean '.*quick\.toml'\?"):
        load_suite(tmp_path / "quik.toml")
    with pytest.raises(SuiteError, match="is a folder; name a suite in it, such as"):
        load_suite(tmp_path)


def test_seeds() -> None:
    assert seed_list(3) == (0, 1, 2)
    assert seed_list([4, 2]) == (4, 2)


def test_lines_of_every_kind_of_table() -> None:
    text = (
        "# first\n[a]\nb = 1\nc.d = [\n  1,\n  2,\n]\n\n[[e]]\nf = { g = 1, h.i = 2 }\n[e.j]\nk = '''\n[no]\n'''\n"
        "[[e]]\n[[e.l]]\nm = 1\n"
    )
    lines = line_numbers(text)
    assert lines["a", "b"] == 3
    assert lines["a", "c", "d"] == 4
    assert lines["e", 0] == 9
    assert lines["e", 0, "f", "h", "i"] == 10
    assert lines["e", 0, "j", "k"] == 12
    assert lines["e", 1] == 15
    assert lines["e", 1, "l", 0, "m"] == 17
    assert ("no",) not in lines


def test_only_a_newline_ends_a_line() -> None:
    text = 'a = "one\u2028line\x85still\u2029"\nb = 1\n'
    assert line_numbers(text)["b",] == 2


NAMES = st.from_regex(r"[a-z]{1,5}", fullmatch=True)


@given(st.dictionaries(NAMES, st.dictionaries(NAMES, st.integers()), max_size=5), st.integers(0, 3))
def test_every_key_has_the_line_that_it_was_written_on(tables: dict[str, dict[str, int]], blank: int) -> None:
    text = ""
    expected: dict[tuple[str, ...], int] = {}
    for table, keys in tables.items():
        text += "\n" * blank
        expected[table,] = text.count("\n") + 1
        text += f"[{table}] # a comment\n"
        for key, value in keys.items():
            expected[table, key] = text.count("\n") + 1
            text += f"{key} = {value}\n"
    assert tomllib.loads(text) == tables
    assert line_numbers(text) == expected


@given(st.recursive(st.integers() | st.text("abc [#'"), lambda inner: st.lists(inner, max_size=3), max_leaves=5))
def test_no_value_confuses_the_lines(value: Any) -> None:
    text = f"[a]\nb = {value!r}\nc = 1\n" if "'" not in repr(value).replace("'", "", 2) else "[a]\nb=1\nc = 1\n"
    assert line_numbers(text)["a", "c"] == 3
