"""Compares two pytest-benchmark files case by case: the ratio of their medians, and its interval."""

from __future__ import annotations

import itertools
import json
import math
import statistics
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from benchmnist.analysis.statistics import student
from benchmnist.errors import StoreError, reason
from benchmnist.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

Word = Literal["faster", "slower", "no change", "inconclusive", "not comparable"]

LEAST_ROUNDS = 8
"""Fewest rounds of a file: one for each part."""
CONFIDENCE = 0.99
PARTS = 8
"""Parts that the rounds of a file are cut into: few, so that each is long and nearly independent of the others."""
ONLY_BASELINE, ONLY_CURRENT = "only in the baseline", "only in the current file"
LEAST_SEEDS = 5
"""Fewest seeds of a file whose seeds are its parts."""
MACHINE = (
    *("device", "device_name", "system", "cores", "threads"),
    *("python", "torch", "cuda", "cudnn", "driver"),
    *("tf32", "cudnn_tf32", "deterministic"),
)
"""Properties of an environment that times and memory depend on."""


@dataclass(frozen=True)
class Benchmark:
    """One benchmark of a file.

    Attributes:
        name: Full name.
        rounds: Seconds of each round, in order.
        machine: Properties that must be equal for two timings to be comparable.
        reference: Seconds of the reference work beside each round; empty if it was not timed.
        seeds: Seed of each round; empty if unknown.
        stacked: Whether its rounds are equal shares of the times of a stack.
        case: Id of its case, whatever the file of its suite is called; empty if it is none of our benchmarks.
    """

    name: str
    rounds: tuple[float, ...]
    machine: Mapping[str, Any]
    reference: tuple[float, ...] = ()
    seeds: tuple[int, ...] = ()
    case: str = ""
    stacked: bool = False

    @property
    def times(self) -> tuple[float, ...]:
        """Time of each round, in units of the reference work beside it if that was timed; else in seconds.

        Raises:
            ValueError: if the reference work was timed beside some rounds only.
        """
        if not self.reference:
            return self.rounds
        return tuple(seconds / beside for seconds, beside in zip(self.rounds, self.reference, strict=True))

    @property
    def fault(self) -> str:
        """Reason why it cannot be compared with anything; empty if it can."""
        if self.stacked:
            return "was trained in a stack, of whose time each round is an equal share"
        if not all(0 < seconds < math.inf for seconds in self.rounds):
            return "has a round without a time above 0 s"
        beside = sum(0 < seconds < math.inf for seconds in self.reference)
        if self.reference and not beside == len(self.reference) == len(self.rounds):
            return f"has a time of the reference work beside {beside} of {counted(len(self.rounds), 'round')}"
        return ""


@dataclass(frozen=True)
class GateVerdict:
    """The verdict on one case.

    Attributes:
        name: Full name of the case.
        word: The verdict.
        reason: Reason why the case is not comparable.
        baseline, current: Median time of a round, in `unit`.
        unit: `s`, or `ref`: times of the reference work beside each round, if both files have them.
        ratio: current divided by baseline; above 1 is slower.
        low, high: Interval of the ratio, with confidence 0.99; see `compare_benchmarks`.
        advice: Problems of the rounds, and what to do about them.
    """

    name: str
    word: Word
    reason: str = ""
    baseline: float | None = None
    current: float | None = None
    unit: Literal["s", "ref"] = "s"
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    advice: tuple[str, ...] = ()


def load_benchmarks(path: Path) -> dict[str, Benchmark]:
    """Reads the benchmarks of a pytest-benchmark file, by full name.

    Raises:
        StoreError: if the file cannot be read, has another format, or has no rounds.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        info = content["machine_info"]
        return {b["fullname"]: _benchmark(info, b) for b in content["benchmarks"]}
    except FileNotFoundError:
        raise StoreError(f"{path}: does not exist; create it with pytest SUITE --benchmark-json={path}") from None
    except OSError as error:
        what = (
            "is a folder; name a JSON file in it, or pass --on METRIC to compare two runs"
            if path.is_dir()
            else f"cannot be read: {reason(error)}"
        )
        raise StoreError(f"{path} {what}") from error
    except UnicodeDecodeError as error:
        raise StoreError(f"{path} is not UTF-8 text; create it with pytest SUITE --benchmark-json=FILE") from error
    except json.JSONDecodeError as error:
        why = f"not JSON ({error})" if path.stat().st_size else "empty"
        raise StoreError(f"{path} is {why}; create it with pytest SUITE --benchmark-json=FILE") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        missing = f" ({error} is missing)" if isinstance(error, KeyError) else ""
        raise StoreError(
            f"{path} is not a pytest-benchmark file with rounds{missing}; create it with "
            "--benchmark-json, or with --benchmark-autosave --benchmark-save-data"
        ) from error


def _benchmark(info: Mapping[str, Any], benchmark: Mapping[str, Any]) -> Benchmark:
    extra = benchmark["extra_info"]
    seconds = tuple(map(float, benchmark["stats"]["data"]))
    trained = extra.get("rounds", ())
    return Benchmark(
        benchmark["fullname"],
        seconds,
        _machine(info, benchmark),
        tuple(map(float, extra.get("reference_seconds", ()))),
        tuple(seed for seed, _ in trained) if len(trained) == len(seconds) else (),
        benchmark["fullname"].rpartition("::")[2] if "fingerprint" in extra else "",
        "stack" in extra,
    )


def _machine(info: Mapping[str, Any], benchmark: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the environment of one of our benchmarks; the processor and Python of any other."""
    ours = info.get("benchmnist")
    measured = benchmark["extra_info"].get("measured", "alone")
    if ours and "fingerprint" in benchmark["extra_info"]:
        known = {key: ours.get(key) for key in (*MACHINE, "fingerprint")}
        extra = {key: benchmark["extra_info"].get(key) for key in ("engine", "precision", "batch_size")}
        return {**known, **extra, "measured": measured}
    cpu = info.get("cpu", {})
    return {
        "processor": cpu.get("brand_raw"),
        "cores": cpu.get("count"),
        "system": info.get("system"),
        "python": info.get("python_version"),
    }


def compare_benchmarks(
    baseline: Mapping[str, Benchmark], current: Mapping[str, Benchmark], *, threshold: float = 0.15
) -> list[GateVerdict]:
    """Compares each case of either file, in the order of the baseline.

    Cases are the same if their full names are, or if they have the same id in suites of different file names.

    Rounds are in units of the reference work beside them, if both files have it, so that the change of the machine
    cancels and the change of the code remains. The word follows from the interval of the ratio of medians:
    `slower` if it is wholly above 1 + `threshold`, `faster` if wholly below 1 / (1 + `threshold`), `no change` if
    wholly between the two, and `inconclusive` otherwise.

    Rounds of one file depend on each other: the machine drifts, and those of a seed follow one another. So each
    file is cut into PARTS parts in the order of its rounds, or by its seeds if it has LEAST_SEEDS or more, and the
    spread of the medians of the parts makes the interval: that of Student's t test for two samples, with the
    degrees of freedom of the smaller one (Ibragimov and Müller, "Inference with few heterogeneous clusters",
    Review of Economics and Statistics 98, 2016). `tests/benchmarks/bench_gate.py` measures how often it holds: as
    often as stated if the dependence is shorter than a part, and less often if it is longer. What sets the whole
    of a file apart, such as the memory layout of its process, is in no interval made from its rounds: the
    threshold is for that.
    """
    same = _same(baseline, current)
    verdicts = []
    for name, before in baseline.items():
        if name in same:
            verdicts.append(_compare(before, current[same[name]], threshold))
        else:
            verdicts.append(GateVerdict(name, "not comparable", ONLY_BASELINE))
    new = [name for name in current if name not in same.values()]
    return verdicts + [GateVerdict(name, "not comparable", ONLY_CURRENT) for name in new]


def _same(baseline: Mapping[str, Benchmark], current: Mapping[str, Benchmark]) -> dict[str, str]:
    """Returns the names in the baseline of the benchmarks of both files, each with that in the current file."""
    same = {name: name for name in baseline if name in current}
    before, now = (
        [(each.case, name) for name, each in file.items() if each.case and name not in same]
        for file in (baseline, current)
    )
    counts = [Counter(case for case, _ in file) for file in (before, now)]
    names = dict(now)
    return same | {name: names[case] for case, name in before if counts[0][case] == counts[1][case] == 1}


def _compare(baseline: Benchmark, current: Benchmark, threshold: float) -> GateVerdict:
    if reason := "; ".join(_obstacles(baseline, current)):
        medians = statistics.median(baseline.rounds or [0]), statistics.median(current.rounds or [0])
        return GateVerdict(baseline.name, "not comparable", reason, *medians)
    before, after = statistics.median(baseline.times), statistics.median(current.times)
    low, high = _ratio_interval(baseline, current)
    word: Word = "inconclusive"
    if low > 1 + threshold:
        word = "slower"
    elif high < 1 / (1 + threshold):
        word = "faster"
    elif 1 / (1 + threshold) <= low and high <= 1 + threshold:
        word = "no change"
    advice = (*_advice("baseline", baseline.times), *_advice("current", current.times))
    unit: Literal["s", "ref"] = "ref" if baseline.reference else "s"
    return GateVerdict(baseline.name, word, "", before, after, unit, after / before, low, high, advice)


def _obstacles(baseline: Benchmark, current: Benchmark) -> Iterator[str]:
    """Yields the reasons why two benchmarks are not comparable."""
    differing = [
        f"{key} was {baseline.machine.get(key)}, is now {current.machine.get(key)}"
        for key in {**baseline.machine, **current.machine}
        if baseline.machine.get(key) != current.machine.get(key) and key != "fingerprint"
    ]
    if not differing and baseline.machine.get("fingerprint") != current.machine.get("fingerprint"):
        differing = ["the environments differ"]
    files = {"the baseline": baseline, "the current file": current}
    differing += [f"{which} {each.fault}" for which, each in files.items() if each.fault]
    with_reference = [which for which, each in files.items() if each.reference]
    if len(with_reference) == 1:
        differing.append(
            f"only {with_reference[0]} has times of the reference work; measure both files with reference = true"
        )
    if not differing and min(len(baseline.rounds), len(current.rounds)) < LEAST_ROUNDS:
        counts = f"{len(baseline.rounds)} and {len(current.rounds)} rounds"
        differing = [f"{counts}; at least {LEAST_ROUNDS} are needed"]
    yield from differing


def _ratio_interval(baseline: Benchmark, current: Benchmark) -> tuple[float, float]:
    """Returns the interval of the ratio of medians: Student's, in logarithms, from the medians of the parts."""
    parts = [[math.log(statistics.median(part)) for part in _parts(each)] for each in (baseline, current)]
    error = math.sqrt(sum(statistics.variance(medians) / len(medians) for medians in parts))
    half = student(1 - CONFIDENCE, min(map(len, parts)) - 1) * error
    ratio = statistics.median(current.times) / statistics.median(baseline.times)
    return ratio * math.exp(-half), ratio * math.exp(half)


def _parts(benchmark: Benchmark) -> list[list[float]]:
    """Returns the rounds in PARTS or fewer parts that depend on each other as little as possible."""
    by_seed: dict[int, list[float]] = {}
    for seed, time in zip(benchmark.seeds, benchmark.times, strict=False):  # seeds may be unknown
        by_seed.setdefault(seed, []).append(time)
    units = [*by_seed.values()] if len(by_seed) >= LEAST_SEEDS else [[time] for time in benchmark.times]
    count = min(PARTS, len(units))
    bounds = [len(units) * i // count for i in range(count + 1)]
    return [[*itertools.chain(*units[low:high])] for low, high in itertools.pairwise(bounds)]


def _advice(which: str, rounds: Sequence[float]) -> list[str]:
    """Describes problems of the rounds. Outliers are reported and kept: users wait for them too."""
    if len(rounds) < 4:  # noqa: PLR2004 - quartiles want four
        return []
    first, median, third = statistics.quantiles(rounds, n=4, method="inclusive")
    spread = third - first
    outliers = sum(r < first - 1.5 * spread or r > third + 1.5 * spread for r in rounds)
    advice = []
    if rounds[0] > third + 1.5 * spread and rounds[0] > 1.2 * median:
        advice.append(f"{which}: the first round was slow; use a longer warm-up")
    if outliers > len(rounds) / 10:
        advice.append(
            f"{which}: {outliers} of {len(rounds)} rounds are outliers; check whether the machine was doing "
            "other work"
        )
    if spread > 0.2 * median:
        advice.append(f"{which}: the rounds vary by {spread / median:.0%} (quartiles); measure more rounds")
    return advice


def exit_code(verdicts: Sequence[GateVerdict]) -> int:
    """Returns 1 if a case is slower; else 3 if one is inconclusive, or is not comparable and not new; else 0."""
    words = {v.word for v in verdicts if v.reason != ONLY_CURRENT}
    return 1 if "slower" in words else 3 if words & {"inconclusive", "not comparable"} or not verdicts else 0
