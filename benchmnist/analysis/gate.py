"""Compares two pytest-benchmark files case by case, by an effect size and a rank test."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from benchmnist.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Word = Literal["faster", "slower", "no change", "not comparable"]

LEAST_ROUNDS = 8  # with fewer, no difference of any size is significant at the level below
CONFIDENCE = 0.99
RESAMPLES = 1999


@dataclass(frozen=True)
class Benchmark:
    """One benchmark of a file.

    Attributes:
        name: Full name.
        rounds: Seconds of each round, in order.
        reference: Seconds of the reference work beside each round, if measured.
        machine: Properties that must be equal for two timings to be comparable.
    """

    name: str
    rounds: tuple[float, ...]
    machine: Mapping[str, Any]
    reference: tuple[float, ...] | None = None

    @property
    def relative(self) -> tuple[float, ...]:
        """Time of each round in units of the reference work beside it."""
        if self.reference is None:
            return self.rounds
        return tuple(seconds / beside for seconds, beside in zip(self.rounds, self.reference, strict=True))


@dataclass(frozen=True)
class GateVerdict:
    """The verdict on one case.

    Attributes:
        name: Full name of the case.
        word: The verdict.
        reason: Reason why the case is not comparable.
        baseline, current: Median seconds of a round.
        ratio: current divided by baseline, in units of the reference work if both have it; above 1 is slower.
        low, high: Bootstrap interval of the ratio, with confidence 0.99.
        p: p value of a two-sided Mann-Whitney test on the rounds.
        advice: Problems of the rounds, and what to do about them.
    """

    name: str
    word: Word
    reason: str = ""
    baseline: float | None = None
    current: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    advice: tuple[str, ...] = ()


def load_benchmarks(path: Path) -> dict[str, Benchmark]:
    """Reads the benchmarks of a pytest-benchmark file, by full name.

    Raises:
        StoreError: if the file cannot be read, has another format, or has no rounds.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        info = content["machine_info"]
        return {
            b["fullname"]: Benchmark(b["fullname"], tuple(b["stats"]["data"]), _machine(info, b), _reference(b))
            for b in content["benchmarks"]
        }
    except FileNotFoundError:
        raise StoreError(f"{path}: does not exist; create it with pytest SUITE --benchmark-json={path}") from None
    except OSError as error:
        what = (
            "is a folder; name a JSON file in it"
            if path.is_dir()
            else f"cannot be read: {error.strerror or error}"
        )
        raise StoreError(f"{path} {what}") from error
    except UnicodeDecodeError as error:
        raise StoreError(f"{path} is not UTF-8 text; create it with pytest SUITE --benchmark-json=FILE") from error
    except ValueError as error:
        why = f"not JSON ({error})" if path.stat().st_size else "empty"
        raise StoreError(f"{path} is {why}; create it with pytest SUITE --benchmark-json=FILE") from error
    except (KeyError, TypeError) as error:
        missing = f" ({error} is missing)" if isinstance(error, KeyError) else ""
        raise StoreError(
            f"{path} is not a pytest-benchmark file with rounds{missing}; create it with "
            "--benchmark-json, or with --benchmark-autosave --benchmark-save-data"
        ) from error


def _reference(benchmark: Mapping[str, Any]) -> tuple[float, ...] | None:
    """Returns the seconds of the reference work beside each round, if every round has them."""
    reference = benchmark["extra_info"].get("reference_seconds", ())
    return tuple(reference) if len(reference) == len(benchmark["stats"]["data"]) else None


def _machine(info: Mapping[str, Any], benchmark: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the environment of one of our benchmarks; the processor and Python of any other."""
    ours = info.get("benchmnist")
    measured = benchmark["extra_info"].get("measured", "alone")
    if ours and "fingerprint" in benchmark["extra_info"]:
        told = (
            "device",
            "device_name",
            "system",
            "cores",
            "threads",
            "python",
            "torch",
            "cuda",
            "cudnn",
            "driver",
        )
        flags = ("tf32", "cudnn_tf32", "deterministic", "fingerprint")
        known = {key: ours.get(key) for key in (*told, *flags)}
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

    Rounds are in units of the reference work beside them, if both files have it, so that the change of the machine
    cancels and the change of the code remains. A case is slower if the interval of its ratio of medians is wholly
    above 1 + `threshold` and a rank test shows that the rounds differ; it is faster if the interval is wholly
    below 1 / (1 + `threshold`), likewise. So a difference must be larger than the noise threshold *and* shown by
    the rounds.
    """
    verdicts = []
    for name in {**baseline, **current}:
        if name not in current:
            verdicts.append(GateVerdict(name, "not comparable", "only in the baseline"))
        elif name not in baseline:
            verdicts.append(GateVerdict(name, "not comparable", "only in the current file"))
        else:
            verdicts.append(_compare(baseline[name], current[name], threshold))
    return verdicts


def _compare(baseline: Benchmark, current: Benchmark, threshold: float) -> GateVerdict:
    differences = [
        f"{key} was {baseline.machine.get(key)}, is now {current.machine.get(key)}"
        for key in {**baseline.machine, **current.machine}
        if baseline.machine.get(key) != current.machine.get(key) and key != "fingerprint"
    ]
    if not differences and baseline.machine.get("fingerprint") != current.machine.get("fingerprint"):
        differences = ["the environments differ"]
    medians = statistics.median(baseline.rounds), statistics.median(current.rounds)
    both = baseline.reference is not None and current.reference is not None
    before = baseline.relative if both else baseline.rounds
    after = current.relative if both else current.rounds
    advice = (*_advice("baseline", before), *_advice("current", after))
    if not differences and min(len(before), len(after)) < LEAST_ROUNDS:
        differences = [f"{len(before)} and {len(after)} rounds; at least {LEAST_ROUNDS} are needed"]
    if differences:
        return GateVerdict(baseline.name, "not comparable", "; ".join(differences), *medians, advice=advice)
    low, high, p = _ratio_interval(before, after)
    significant = p < 1 - CONFIDENCE
    word: Word = "no change"
    if significant and low > 1 + threshold:
        word = "slower"
    elif significant and high < 1 / (1 + threshold):
        word = "faster"
    ratio = statistics.median(after) / statistics.median(before)
    return GateVerdict(baseline.name, word, "", *medians, ratio, low, high, p, advice)


def _ratio_interval(before: Sequence[float], after: Sequence[float]) -> tuple[float, float, float]:
    """Returns the bootstrap interval of the ratio of medians, and the p value of the rank test."""
    import numpy as np
    from scipy import stats

    if len({*before}) == len({*after}) == 1:  # a bootstrap of what does not vary is that value
        ratio = after[0] / before[0]
        return ratio, ratio, float(stats.mannwhitneyu(before, after).pvalue)

    def ratio_of_medians(x: Any, y: Any, axis: int = -1) -> Any:
        return np.median(y, axis=axis) / np.median(x, axis=axis)

    interval = stats.bootstrap(
        (before, after),
        ratio_of_medians,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(0),  # the same files get the same verdict
    ).confidence_interval
    return float(interval.low), float(interval.high), float(stats.mannwhitneyu(before, after).pvalue)


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
    """Returns 1 if a case is slower; else 3 if one that is not new is not comparable; else 0."""
    words = {v.word for v in verdicts if v.reason != "only in the current file"}
    return 1 if "slower" in words else 3 if "not comparable" in words or not verdicts else 0
