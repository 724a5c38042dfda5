"""The tries: functions that train a little on a device, and check the results.

Each runs in its own process (isolated.py), in an empty folder, and is listed in tries.py. It returns a line, or
raises TryFailed with its observation.
"""

from __future__ import annotations

import os
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from benchmnist.doctor import misbehaving
from benchmnist.doctor.context import (
    SAME,
    TOLERANCE,
    ExecutorName,
    TryContext,
    completed,
    component,
    correct,
    largest_difference,
    learned,
    passed,
    small_case,
)
from benchmnist.doctor.lines import NotHere, TryFailed
from benchmnist.errors import BenchmnistError
from benchmnist.runner import run
from benchmnist.runs.results import CaseResult
from benchmnist.training.device import TAKEN
from benchmnist.training.engines.streams import LANES
from benchmnist.training.gpus import gpus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmnist.doctor.lines import Line
    from benchmnist.executors import Epoch

    Tell = Callable[[Line], None]

ROUNDED = {"float32": TOLERANCE, "tf32": TOLERANCE, "bf16": 0.1}
"""Largest relative difference of losses from those in float32."""
MANY_STEPS = 48
"""Batch size with which an epoch has 20 whole batches: as many as a graph of several steps needs."""
WAITS = "a step waits for the device"
"""Remark on a model that cannot be captured, if this is detected before the capture."""
DRAWS = ("fc-bn-dropout",)
"""Built-in models that draw random numbers, which differ from device to device."""
QUICK = """
[suite]
name = "doctor"
[defaults]
epochs = 2
seeds = 2
train_size = 1000
test_size = 500
batch_size = 64
baseline = "sgd"
[optimizers.sgd]
lr = 0.1
[optimizers.adam]
lr = 2e-3
[[cases]]
models = ["fc"]
optimizers = ["sgd", "adam"]
"""


def make(tell: Tell, trial: str, device: str, data_root: str, **arguments: Any) -> Line:
    """Makes a try of this module on one thread: several are slow on a busy CPU, with the same results."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    made: Line = globals()[trial](TryContext(device, data_root, tell), **arguments)
    return made


def suite(context: TryContext, executor: ExecutorName) -> Line:
    """Runs a small suite as `benchmnist run` does."""
    Path("doctor.toml").write_text(QUICK, "utf-8")
    options: dict[str, Any] = {"executor": executor, "jobs": 1, "checkpoints": False}
    try:
        result = run("doctor.toml", device=context.device, data_root=context.data_root, **options)
    except BenchmnistError:
        for log in Path("runs").rglob("*.log"):
            sys.stderr.write(log.read_text("utf-8", "replace"))
        raise
    accuracies = {case.id: learned(case) for case in result.cases}
    if len(accuracies) != len(result.record.plan) or result.record.status != "completed":
        raise TryFailed(
            f"run {result.record.status}: {len(accuracies)} of {len(result.record.plan)} cases have a result"
        )
    if executor == "local" and context.on_cuda and torch.cuda.is_initialized():
        raise TryFailed("the process that only distributes the work started to use CUDA, which takes GPU memory")
    said = ", ".join(f"{case} {accuracy:.0f} %" for case, accuracy in accuracies.items())
    return passed(said, engines=[case.engine for case in result.cases], **accuracies)


def model(context: TryContext, name: str) -> Line:
    """Trains a model on the device, and like the reference: with the engine `dataloader` on the CPU."""
    where = context.device if name in DRAWS else "cpu"
    (seen,) = context.train(small_case(name))
    (expected,) = context.train(small_case(name, engine="dataloader"), device=where)
    return correct(seen, largest_difference(seen, expected, TOLERANCE), learned(seen))


def optimizer(
    context: TryContext, name: str, params: Mapping[str, Any], hidden_size: int, capturable: bool
) -> Line:
    """Trains with an optimizer on the device, and like the reference."""
    fc = component("fc", hidden_size=hidden_size)
    (seen,) = context.train(small_case(fc, name, params=params))
    (expected,) = context.train(small_case(fc, name, params=params, engine="dataloader"), device="cpu")
    return correct(seen, largest_difference(seen, expected, TOLERANCE), learned(seen), capturable=capturable)


def schedule(context: TryContext, name: str, params: Mapping[str, Any]) -> Line:
    """Trains with a schedule on the device, and like the reference."""
    options: dict[str, Any] = {"params": {"lr": 0.05, "momentum": 0.9}, "schedule": component(name, **params)}
    (seen,) = context.train(small_case("fc", "sgd", **options))
    (expected,) = context.train(small_case("fc", "sgd", engine="dataloader", **options), device="cpu")
    # One that moves more than the learning rate may not be captured, and so little is hard to see in the losses.
    if params and seen.engine == "graph":
        raise TryFailed("its steps were captured, but a graph cannot follow its changes")
    return correct(seen, largest_difference(seen, expected, TOLERANCE), learned(seen), capturable=not params)


def precision(context: TryContext, name: Literal["float32", "tf32", "bf16"]) -> Line:
    """Trains in a precision on the device, and in float32 on the CPU."""
    (seen,) = context.train(small_case(precision=name))
    (expected,) = context.train(small_case(), device="cpu")
    if completed(seen).precision != name:
        raise TryFailed(f"precision: expected {name}, got {seen.precision}")
    flags = {key: seen.environment[key] for key in ("tf32", "cudnn_tf32") if key in seen.environment}
    if any(flag != (name == "tf32") for flag in flags.values()):
        raise TryFailed(f"torch's flags were {flags} during training in {name}")
    return correct(seen, largest_difference(seen, expected, ROUNDED[name]), learned(seen))


def engine(
    context: TryContext, *, name: str, model: str, optimizer: str, params: Mapping[str, Any], schedule: str
) -> Line:
    """Trains with an engine and with `resident` on the same device."""
    options: dict[str, Any] = {"params": params, "schedule": component(schedule) if schedule else None}
    options["batch_size"] = MANY_STEPS
    (expected,) = context.train(small_case(model, optimizer, engine="resident", **options))
    (seen,) = context.train(small_case(model, optimizer, engine=name, **options))
    if completed(seen).engine != name:
        raise TryFailed(f"trained by {seen.engine} instead: {'; '.join(seen.remarks)}")
    return correct(seen, largest_difference(seen, expected, SAME), learned(seen))


def stacked(context: TryContext, captured: bool) -> Line:
    """Trains seeds stacked and one by one, with dropout."""
    options: dict[str, Any] = {"seeds": (4, 0, 7), "batch_size": MANY_STEPS}
    (expected,) = context.train(small_case("fc-bn-dropout", engine="resident", **options))
    (seen,) = context.train(small_case("fc-bn-dropout", engine="stacked", **options))
    if completed(seen).engine != "stacked":
        raise TryFailed(f"the seeds were trained one by one: {'; '.join(seen.remarks)}")
    if captured and "graph" not in seen.remarks:
        raise TryFailed(f"the stack was not captured: {'; '.join(seen.remarks)}")
    return correct(seen, largest_difference(seen, expected, TOLERANCE), learned(seen))


def streams(context: TryContext) -> Line:
    """Trains seeds on streams and one by one, whole epochs, with more seeds than there are streams."""
    options: dict[str, Any] = {
        "seeds": tuple(range(LANES + 2)),
        "train_size": 6000,
        "schedule": component("cosine"),
    }
    (expected,) = context.train(small_case("fc-bn", engine="graph", **options))
    (seen,) = context.train(small_case("fc-bn", engine="streams", **options))
    if completed(seen).engine != "streams":
        raise TryFailed(f"the seeds were trained one by one: {'; '.join(seen.remarks)}")
    return correct(seen, largest_difference(seen, expected, SAME), learned(seen))


def misbehaving_model(context: TryContext, name: str, executor: ExecutorName, words: str) -> Line:
    """Trains a model that misbehaves, then an ordinary one with the same executor.

    Args:
        context: Setting of the try.
        name: Name of the model in misbehaving.py.
        executor: Name of the executor.
        words: Words, one of which the error must contain; empty if the model must complete.
    """
    plugin = misbehaving.__name__
    bad = small_case(f"doctor-{name}")
    ordinary = small_case()
    (expected,) = context.train(ordinary, device="cpu")  # before, since the device may be broken after
    first, after = context.train(bad, ordinary, executor=executor, plugins=(plugin,))
    said = (first.error or "").lower()
    if not words:
        learned(first)
        if first.engine == "graph" or (context.on_cuda and not first.remarks):
            raise TryFailed(f"the model cannot be captured, but the result has {first.engine}, {first.remarks}")
        if context.on_cuda and WAITS not in first.remarks[0]:
            raise TryFailed(f"the wait was not detected before the capture, but: {first.remarks[0]}")
    elif not first.failed:
        raise TryFailed(f"status: expected failed, got {first.status}")
    elif not any(word in said for word in words.split("|")):
        sys.stderr.write(first.error or "")
        raise TryFailed(f"its error does not contain {words.replace('|', ' or ')!r}")
    if TAKEN in (after.error or ""):
        raise NotHere(
            "a GPU in EXCLUSIVE_PROCESS mode stays with a process whose context is broken, so no worker can use "
            "it: use the executor local there"
        )
    most = largest_difference(after, expected, TOLERANCE)
    shown = "; ".join(first.remarks) if not words else f"it {first.status}"
    return passed(f"{shown}; the next case is correct", apart=most, status=first.status, remarks=first.remarks)


def cpu_beside_gpu(context: TryContext) -> Line:
    """Trains on the CPU of a machine that has a GPU."""
    (seen,) = context.train(
        small_case("doctor-avoids-cuda"), device="cpu", executor="local", plugins=(misbehaving.__name__,)
    )
    return passed(f"{learned(seen):.0f} %; its worker saw no GPU")


CLOCKS_APART = 0.05
"""Largest relative difference of our clock and CUDA's, besides 1 ms."""


def clock(context: TryContext) -> Line:
    """Compares our clock of an epoch with CUDA events."""
    pairs: list[tuple[float, float]] = []

    def timed(epoch: Epoch) -> None:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        epoch.run()
        end.record()
        torch.cuda.synchronize()
        pairs.append((epoch.seconds, start.elapsed_time(end) / 1000))

    torch.cuda.set_device(torch.device(context.device))
    case = small_case(train_size=None, epochs=6)
    *_, result = context.steps(case, run_epoch=timed)
    assert isinstance(result, CaseResult)  # noqa: S101 - it comes last
    learned(result)
    ours, cudas = zip(*pairs[1:], strict=True)  # the first captures, which our clock leaves out
    one, other = statistics.median(ours), statistics.median(cudas)
    if abs(one - other) > CLOCKS_APART * other + 1e-3:
        raise TryFailed(
            f"an epoch took {one * 1000:.1f} ms by our clock, but {other * 1000:.1f} ms by CUDA events"
        )
    return passed(
        f"an epoch takes {one * 1000:.1f} ms by our clock, {other * 1000:.1f} ms by CUDA events",
        ours=ours,
        cudas=cudas,
    )


GROWTH = 64 * 2**20
"""Bytes by which memory may grow between a tenth of the cases and the last."""


def memory(context: TryContext, cases: int) -> Line:
    """Trains many small cases in one process, and checks that its memory does not grow."""
    first, last = max(2, cases // 10), cases
    seen: dict[int, dict[str, int]] = {}
    many = (small_case(epochs=1, train_size=200, test_size=100, seeds=(seed,)) for seed in range(cases))
    number = 0
    for step in context.steps(*many):
        if isinstance(step, CaseResult):
            if completed(step).engine != "graph" and context.on_cuda:
                raise TryFailed(f"{step.id} was not captured: {'; '.join(step.remarks)}")
            number += 1
            if number in (first, last):
                seen[number] = _memory(context)
    grown = {name: after - seen[first][name] for name, after in seen[last].items()}
    said = ", ".join(f"{name} {growth / 2**20:+.1f} MiB" for name, growth in grown.items())
    if any(growth > GROWTH for growth in grown.values()):
        raise TryFailed(f"memory grew from case {first} to case {last}: {said}")
    return passed(f"from case {first} to case {last}: {said}", **grown)


def _memory(context: TryContext) -> dict[str, int]:
    """Returns the bytes used by this process on the host, by torch on the GPU, and on the whole GPU."""
    found = {"host": _resident()}
    if context.on_cuda:
        index = torch.device(context.device).index
        found["torch"] = torch.cuda.memory_allocated(index)
        card = next((card for card in gpus(fresh=True) if card.index == index), None)
        if card is not None and card.memory_used is not None:
            found["gpu"] = card.memory_used
    return found


def _resident() -> int:
    """Returns the resident bytes of this process; 0 if unknown."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.is_file() else 0
