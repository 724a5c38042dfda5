"""The gate on made-up rounds whose truth is known, and on real files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from noise_of_rounds import NOISES, seeds_of
from scipy import stats

from benchmnist.analysis.gate import Benchmark, GateVerdict, compare_benchmarks, exit_code, load_benchmarks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    from benchmnist.runs.results import RunResult

MACHINE = {"device": "cpu", "torch": "2.13", "threads": 2, "fingerprint": "abc"}


def rounds(
    rng: np.random.Generator, seconds: float = 0.2, noise: float = 0.08, count: int = 40
) -> tuple[float, ...]:
    """Like real ones: a floor, and a tail above it."""
    return tuple((seconds * (1 + noise * rng.gamma(1.5, 1.0, count))).tolist())


def verdict(before: tuple[float, ...], after: tuple[float, ...], **options: Any) -> GateVerdict:
    machine = options.pop("machine", MACHINE)
    (one,) = compare_benchmarks(
        {"x": Benchmark("x", before, MACHINE)}, {"x": Benchmark("x", after, machine)}, **options
    )
    return one


def test_the_same_against_itself_is_never_called_slower() -> None:
    """A/A: 100 pairs of the same distribution."""
    rng = np.random.default_rng(1)
    words = [verdict(rounds(rng), rounds(rng)).word for _ in range(100)]
    assert {*words} <= {"no change", "inconclusive"}
    assert words.count("no change") >= 90


@pytest.mark.parametrize(
    ("factor", "allowed"),
    [
        (1.3, {"slower"}),
        (1 / 1.3, {"faster"}),
        (1.02, {"no change"}),
        (1.1, {"no change", "inconclusive"}),
        (1.2, {"slower", "inconclusive"}),
    ],
)
def test_a_real_change_is_found_and_a_small_one_is_not_called(factor: float, allowed: set[str]) -> None:
    rng = np.random.default_rng(2)
    words: list[str] = [verdict(rounds(rng, noise=0.06), rounds(rng, 0.2 * factor, 0.06)).word for _ in range(50)]
    assert sum(word in allowed for word in words) >= 49


def test_rounds_that_tell_nothing_are_inconclusive() -> None:
    """The ratio is 1, and its interval reaches from far below to far above."""
    rng = np.random.default_rng(8)
    before, after = (tuple(np.exp(rng.normal(0, 1, 16)).tolist()) for _ in range(2))
    one = verdict(before, after)
    assert one.low is not None
    assert one.high is not None
    assert one.low < 1 / 1.15 < 1.15 < one.high
    assert (one.word, exit_code([one])) == ("inconclusive", 3)
    assert verdict(before, after, threshold=9.0).word == "no change"


def judged(name: str, files: int, count: int, factor: float) -> list[GateVerdict]:
    """Compares that many pairs of files whose rounds depend on each other; see tests/noise_of_rounds.py."""
    rng = np.random.default_rng(0)
    seeds, noise = NOISES[name]
    of = tuple(map(int, seeds_of(seeds, count)))
    before, after = (np.exp(noise(rng, files, count)) for _ in range(2))
    pairs = zip(before.tolist(), (after * factor).tolist(), strict=True)
    return [
        compare_benchmarks(
            {"x": Benchmark("x", tuple(ours), {}, seeds=of)}, {"x": Benchmark("x", tuple(theirs), {}, seeds=of)}
        )[0]
        for ours, theirs in pairs
    ]


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("independent", 0.99),
        ("AR(1), 0.3", 0.99),
        ("AR(1), 0.5", 0.98),
        ("AR(1), 0.7", 0.97),
        ("AR(1), 0.9", 0.84),  # in these, the dependence is longer than a part: docs/how-to-track-throughput.md
        ("2 seeds", 0.81),
        ("4 seeds", 0.95),
        ("drift", 0.99),
        ("wave", 0.98),
        ("5 seeds", 0.99),
        ("10 seeds", 0.99),
    ],
)
def test_the_interval_holds_as_often_as_is_said_though_rounds_depend_on_each_other(
    name: str, share: float
) -> None:
    """500 pairs of files; five standard deviations of their number below what it should be."""
    held = sum(low <= 1.2 <= high for v in judged(name, 500, 40, 1.2) if (low := v.low) and (high := v.high))
    assert held >= 500 * share - 5 * stats.binom(500, share).std()


@pytest.mark.parametrize("name", NOISES)
def test_equal_code_is_never_called_slower_on_any_machine(name: str) -> None:
    """150 pairs of files of equal code."""
    words = {v.word for v in judged(name, 150, 40, 1)}
    assert words <= {"no change", "inconclusive"}


@pytest.mark.parametrize(
    ("name", "share"), [("independent", 1.0), ("AR(1), 0.7", 0.9), ("drift", 0.94), ("wave", 0.98)]
)
def test_a_real_slowdown_is_found_though_rounds_depend_on_each_other(name: str, share: float) -> None:
    """200 pairs; the second of each takes 1.3 times as long."""
    words = [v.word for v in judged(name, 200, 40, 1.3)]
    assert words.count("slower") >= 200 * share - 5 * stats.binom(200, share).std()
    assert not {*words} - {"slower", "inconclusive"}


def test_a_busy_machine_is_no_slow_down_of_the_code() -> None:
    """The machine halves its speed for the second file; every round has the reference beside it."""
    rng = np.random.default_rng(7)

    def measured(machine: float, code: float) -> Benchmark:
        drift = machine * (1 + 0.3 * np.sin(np.arange(40) / 5))
        return Benchmark(
            "x",
            tuple((0.2 * code * drift * (1 + 0.03 * rng.gamma(1.5, 1.0, 40))).tolist()),
            MACHINE,
            tuple((0.1 * drift * (1 + 0.03 * rng.gamma(1.5, 1.0, 40))).tolist()),
        )

    def word(before: Benchmark, after: Benchmark) -> str:
        return compare_benchmarks({"x": before}, {"x": after})[0].word

    for _ in range(10):
        assert word(measured(1, 1), measured(2, 1)) == "no change"
        assert word(measured(2, 1), measured(1, 1.3)) == "slower"  # though it takes less time
    one = compare_benchmarks({"x": measured(1, 1)}, {"x": measured(2, 1)})[0]
    assert one.unit == "ref"
    assert one.baseline is not None
    assert one.current is not None
    assert one.ratio == pytest.approx(one.current / one.baseline)  # the columns are in the unit of the ratio
    assert one.baseline == pytest.approx(2, rel=0.1)


def test_a_reference_in_one_file_only_is_not_compared_in_seconds() -> None:
    """A machine of half the speed is no slower code."""
    calm = tuple(1 + i / 1000 for i in range(20))
    with_it = Benchmark("x", calm, MACHINE, tuple(1 + i / 2000 for i in range(20)))
    without = Benchmark("x", tuple(2 * seconds for seconds in calm), MACHINE)
    for before, after, which in ((with_it, without, "the baseline"), (without, with_it, "the current file")):
        (one,) = compare_benchmarks({"x": before}, {"x": after})
        assert (one.word, one.ratio, one.unit) == ("not comparable", None, "s")
        assert one.reason == (
            f"only {which} has times of the reference work; measure both files with reference = true"
        )
        assert exit_code([one]) == 3


@pytest.mark.parametrize(
    ("faulty", "reason"),
    [
        (
            Benchmark("x", (1.0,) * 9, MACHINE, (1.0,) * 8),
            "has a time of the reference work beside 8 of 9 rounds",
        ),
        (
            Benchmark("x", (1.0,) * 9, MACHINE, (*(1.0,) * 8, 0.0)),
            "has a time of the reference work beside 8 of 9 rounds",
        ),
        (Benchmark("x", (*(1.0,) * 8, 0.0), MACHINE), "has a round without a time above 0 s"),
        (Benchmark("x", (*(1.0,) * 8, float("nan")), MACHINE), "has a round without a time above 0 s"),
    ],
)
def test_times_that_make_no_ratio_are_not_compared(faulty: Benchmark, reason: str) -> None:
    (one,) = compare_benchmarks({"x": faulty}, {"x": faulty})
    assert one.word == "not comparable"
    assert one.reason == f"the baseline {reason}; the current file {reason}"


def test_the_threshold_is_the_users() -> None:
    rng = np.random.default_rng(4)
    before, after = rounds(rng, noise=0.01), rounds(rng, 0.22, noise=0.01)
    assert verdict(before, after, threshold=0.05).word == "slower"
    assert verdict(before, after, threshold=0.1).word == "inconclusive"
    assert verdict(before, after, threshold=0.2).word == "no change"
    assert verdict(after, before, threshold=0.05).word == "faster"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"torch": "2.14"}, "torch was 2.13, is now 2.14"),
        ({"threads": 4, "device": "cuda:0"}, "device was cpu, is now cuda:0; threads was 2, is now 4"),
        ({"fingerprint": "other"}, "the environments differ"),
        ({"measured": "in parallel"}, "measured was None, is now in parallel"),
    ],
)
def test_another_environment_is_neither_a_pass_nor_a_fail(change: dict[str, Any], reason: str) -> None:
    rng = np.random.default_rng(5)
    one = verdict(rounds(rng), rounds(rng, 9.0), machine={**MACHINE, **change})
    assert (one.word, one.reason) == ("not comparable", reason)
    assert exit_code([one]) == 3


def test_too_few_rounds_are_not_judged() -> None:
    assert verdict((1.0,) * 7, (9.0,) * 40).reason == "7 and 40 rounds; at least 8 are needed"
    assert verdict((1.0,) * 8, (9.0,) * 8).word == "slower"
    assert verdict((1.0,) * 8, (1.0,) * 8).word == "no change"


def test_cases_of_only_one_file() -> None:
    x = Benchmark("x", (1.0,) * 9, MACHINE)
    gone, new = compare_benchmarks({"old": x}, {"new": x})
    assert (gone.word, gone.reason, new.reason) == (
        "not comparable",
        "only in the baseline",
        "only in the current file",
    )
    assert (exit_code([gone]), exit_code([new]), exit_code([])) == (3, 0, 3)


def test_exit_codes() -> None:
    slower, fine, other = (GateVerdict("x", word) for word in ("slower", "no change", "not comparable"))
    assert exit_code([fine, GateVerdict("x", "faster")]) == 0
    assert exit_code([fine, other]) == 3
    assert exit_code([fine, other, slower]) == 1
    unsure = GateVerdict("x", "inconclusive")
    assert (exit_code([fine, unsure]), exit_code([unsure, slower])) == (3, 1)


def test_outliers_are_told_and_kept() -> None:
    calm = tuple(1 + i / 1000 for i in range(20))
    assert verdict(calm, calm).advice == ()
    slow_start = (3.0, *calm[1:])
    (said,) = verdict(calm, slow_start).advice
    assert said.startswith("current: the first round was slow")
    busy = (*calm[:16], 2.0, 2.1, 2.2, 2.3)
    one = verdict(busy, calm)
    assert "baseline: 4 of 20 rounds are outliers" in one.advice[0]
    assert one.baseline == pytest.approx(np.median(busy))
    assert any("the rounds vary by" in said for said in verdict(tuple(range(1, 21)), calm).advice)


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def file_of(seconds: list[float], *, name: str = "suites/x.toml::mnist/fc/adam", **extra: Any) -> dict[str, Any]:
    machine = {"device": "cpu", "fingerprint": "abc", **extra}
    return {
        "machine_info": {"benchmnist": machine, "cpu": {"brand_raw": "x"}},
        "benchmarks": [
            {
                "fullname": name,
                "stats": {"data": seconds},
                "extra_info": {"fingerprint": machine["fingerprint"]},
            }
        ],
    }


def test_the_command_says_it_in_a_table_and_by_its_exit_code(
    invoke: Callable[..., Result], tmp_path: Path
) -> None:
    rng = np.random.default_rng(6)
    old = write(tmp_path / "old.json", file_of(list(rounds(rng))))
    slow = write(tmp_path / "slow.json", file_of(list(rounds(rng, 0.3))))
    other = write(tmp_path / "other.json", file_of(list(rounds(rng)), torch="9", fingerprint="z"))
    same = invoke("gate", old, old)
    assert (same.exit_code, same.stdout.splitlines()[-1]) == (0, "1 no change")
    slower = invoke("gate", old, slow)
    assert slower.exit_code == 1
    assert "slower" in slower.stdout.splitlines()[1]
    assert max(map(len, slower.stdout.splitlines())) <= 80
    assert invoke("gate", slow, old).stdout.splitlines()[-1] == "1 faster"
    incomparable = invoke("gate", old, other)
    assert incomparable.exit_code == 3
    assert "mnist/fc/adam: torch was None, is now 9" in incomparable.stdout
    assert invoke("gate", old, slow, "--threshold", "0.9").exit_code == 0
    markdown = invoke("gate", old, slow, "--markdown")
    assert markdown.exit_code == 1
    assert markdown.stdout.startswith("### Training throughput: 1 slower\n\n| case ")
    assert "🔴 slower" in markdown.stdout


def test_the_same_case_of_a_suite_with_another_file_name_is_the_same(
    invoke: Callable[..., Result], tmp_path: Path
) -> None:
    seconds = list(rounds(np.random.default_rng(6)))
    one, copied, other = (
        write(tmp_path / f"{number}.json", file_of(seconds, name=name))
        for number, name in enumerate(("a.toml::mnist/fc/adam", "b.toml::mnist/fc/adam", "b.toml::mnist/fc/sgd"))
    )
    same = invoke("gate", one, copied)
    assert (same.exit_code, same.stdout.splitlines()[-1]) == (0, "1 no change")
    line = f"nothing to compare: no case of {one} is in {other}, which has b.toml::mnist/fc/sgd"
    in_markdown = f"### Training throughput: {line}".replace("_", r"\_")
    for more, said in ((), line), (("--markdown",), in_markdown):
        none = invoke("gate", one, other, *more)
        assert (none.exit_code, none.stdout.splitlines()) == (3, [said])


def test_two_suites_with_the_same_cases_are_told_apart(invoke: Callable[..., Result], tmp_path: Path) -> None:
    seconds = list(rounds(np.random.default_rng(6)))
    both = file_of(seconds, name="a.toml::mnist/fc/adam")
    both["benchmarks"] += file_of(seconds, name="b.toml::mnist/fc/adam")["benchmarks"]
    file = write(tmp_path / "both.json", both)
    done = invoke("gate", file, file)
    assert done.stdout.splitlines()[-1] == "2 no change"
    assert [line.split()[0] for line in done.stdout.splitlines()[1:3]] == [
        "a.toml::mnist/fc/adam",
        "b.toml::mnist/fc/adam",
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "does not exist; create it with pytest SUITE --benchmark-json="),
        ("{", "is not JSON"),
        ("[]", "is not a pytest-benchmark file with rounds; create it"),
        (
            {"machine_info": {}, "benchmarks": [{"fullname": "x", "stats": {}, "extra_info": {}}]},
            "('data' is missing)",
        ),
        (
            {"machine_info": {}, "benchmarks": [{"fullname": "x", "stats": {"data": ["a"]}, "extra_info": {}}]},
            "is not a pytest-benchmark file with rounds; create it",
        ),
    ],
)
def test_what_is_no_file_of_benchmarks(
    invoke: Callable[..., Result], tmp_path: Path, content: Any, expected: str
) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        write(path, content)
    done = invoke("gate", path, path)
    assert done.exit_code == 2
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_file_of_a_run_can_be_gated(small_run: RunResult) -> None:
    found = load_benchmarks(small_run.path / "benchmark.json")
    assert [name.rpartition("::")[2] for name in found] == ["mnist/fc/sgd", "mnist/fc/adam"]
    for one in compare_benchmarks(found, found):
        assert one.reason == "4 and 4 rounds; at least 8 are needed"


def test_the_reference_of_each_round_is_read(tmp_path: Path) -> None:
    content = file_of([1.0, 2.0])
    content["benchmarks"][0]["extra_info"]["reference_seconds"] = [0.5, 4.0]
    (found,) = load_benchmarks(write(tmp_path / "x.json", content)).values()
    assert found.times == (2.0, 0.5)


def test_the_seed_of_each_round_is_read(tmp_path: Path) -> None:
    content = file_of([1.0, 2.0])
    content["benchmarks"][0]["extra_info"]["rounds"] = [[3, 1], [4, 1]]
    (found,) = load_benchmarks(write(tmp_path / "x.json", content)).values()
    assert found.seeds == (3, 4)
    content["benchmarks"][0]["extra_info"]["rounds"] = [[3, 1]]
    (found,) = load_benchmarks(write(tmp_path / "x.json", content)).values()
    assert found.seeds == ()


def test_other_benchmarks_are_compared_by_processor_and_python(tmp_path: Path) -> None:
    content = file_of([1.0] * 9)
    content["benchmarks"][0]["extra_info"] = {}
    del content["machine_info"]["benchmnist"]
    (found,) = load_benchmarks(write(tmp_path / "x.json", content)).values()
    assert found.machine == {"processor": "x", "cores": None, "system": None, "python": None}
