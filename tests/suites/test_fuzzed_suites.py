"""Mutated suites become plans, or errors in words; and what no suite may have so much of."""

from __future__ import annotations

import os
import time
from pathlib import Path

import fuzzing
import pytest

from benchmnist.errors import SuiteError
from benchmnist.extensions.registry import find_plugins
from benchmnist.suites.files import read_text
from benchmnist.suites.options import RunOptions
from benchmnist.suites.plan import make_plan
from benchmnist.suites.reader import read_suite
from benchmnist.suites.schema import parse_seeds
from benchmnist.suites.toml_lines import line_numbers


def test_mutated_suites_become_plans_or_lines_of_errors() -> None:
    assert fuzzing.fuzz(200).faults == {}


@pytest.mark.faults
def test_ten_thousand_mutated_suites_become_plans_or_lines_of_errors() -> None:
    tally = fuzzing.fuzz(10_000)
    assert tally.faults == {}, str(tally)


CASES = '[[cases]]\nmodels = ["fc"]\noptimizers = ["sgd"]'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"x = {'[' * 3000}", "nested deeper than 50 levels"),
        (f"{'.'.join('k' * 3000)} = 1", "nested deeper than 50 levels"),
        (f"[{'.'.join('k' * 40)}]\n{'.'.join('k' * 40)} = 1", "nested deeper than 50 levels"),
        (f"seeds = {'1' * 5000}", "a number of 5,000 characters"),
        (f"seeds = {'1' * 400}", "seeds: a whole number must be at most 9,223,372,036,854,775,807"),
        ("seeds = 100_000_000_000", "must be at most 10,000 seeds"),
        ("seeds = [4294967296]", "must be at most 4,294,967,295 each"),
        ("epochs = 2_000_000", "must be at most 1,000,000, not 2000000"),
        ("epochs = 100_000\nseeds = 1_000", "more than 10,000,000 epochs; split it"),
        ("[optimizers.sgd]\nspace.lr = { low = -1e308, high = 1e308 }", "too far apart"),
    ],
)
def test_what_no_suite_may_have_so_much_of(line: str, said: str) -> None:
    line = line if line.startswith(("x", "k", "[")) else f"[defaults]\n{line}"
    with pytest.raises(SuiteError, match=r"^x\.toml:\d+: ") as error:
        planned(f'[suite]\nname = "x"\n{line}\n{CASES}\n')
    assert said in str(error.value)


def test_a_sweep_and_a_suite_have_at_most_10_000_cases() -> None:
    sweep = "\n".join(
        f"sweep.{key} = [{', '.join(f'0.{n:03}1' for n in range(300))}]" for key in ("lr", "momentum")
    )
    with pytest.raises(SuiteError, match=r"sgd.sweep: has 90,000 points, and a suite has at most 10,000 cases"):
        planned(f'[suite]\nname = "x"\n[optimizers.sgd]\n{sweep}\n{CASES}\n')


def test_reading_takes_time_in_proportion_to_the_lines() -> None:
    text = "seeds = [\n" + "".join(f"  {n},\n" for n in range(60_000)) + "]\n" + "a.b = 1\n"
    begun = time.process_time()
    assert line_numbers(text) == {("seeds",): 1, ("a",): 60_003, ("a", "b"): 60_003}
    assert time.process_time() - begun < 5  # each of the first 6,000 lines took 4 ms once


def test_a_pipe_and_a_huge_file_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(SuiteError, match=r"pipe.toml: is not a file"):
        read_text(tmp_path / "pipe.toml")
    (tmp_path / "huge.toml").write_text("#" * 1_000_001)
    with pytest.raises(SuiteError, match=r"has 1,000,001 bytes; a suite has at most 1,000,000"):
        read_text(tmp_path / "huge.toml")


def test_seeds_of_5_000_digits_are_refused_as_options() -> None:
    with pytest.raises(ValueError, match="at most 4,294,967,295 each"):
        parse_seeds("1" * 5000)
    with pytest.raises(ValueError, match="at most 10,000 seeds"):
        RunOptions(seeds=10**12)  # type: ignore[arg-type]


def planned(text: str) -> None:
    """Reads and plans a suite; raises what is wrong with it."""
    Path("x.toml").write_text(text)
    plan = make_plan(read_suite("x.toml"), find_plugins())
    if plan.problems:
        raise SuiteError(plan.problems)
