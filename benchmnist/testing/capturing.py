"""Tries whether the step of an optimizer can be captured in a CUDA graph, on a GPU or with fake tensors."""

from __future__ import annotations

import inspect
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from benchmnist.executors import Workplace
from benchmnist.executors.local import LocalExecutor
from benchmnist.runs.results import CaseResult
from benchmnist.testing import problem
from benchmnist.testing.checks import DoesNotApply, Miss, Subject
from benchmnist.text import cause_of
from benchmnist.training.data import default_data_root
from benchmnist.training.engines.trace import Trace, difference
from benchmnist.training.torch_internals import DataDependentOutputException, FakeTensorMode

if TYPE_CHECKING:
    from torch import Tensor

    from benchmnist.training.engines.trace import Call

STEPS = 60
"""Steps of the longest training that a check makes, for optimizers that ask for them."""


def build_subject(subject: Subject, model: nn.Module, **params: Any) -> torch.optim.Optimizer:
    """Builds the optimizer as a suite would, with these parameters over its defaults."""
    build = subject.offer.spec.load()
    told = {"total_steps": STEPS} if "total_steps" in inspect.signature(build).parameters else {}
    made: torch.optim.Optimizer = build(model, **told, **{**subject.offer.spec.defaults, **params})
    return made


class Bare(nn.Module):
    """A module that has only parameters."""

    def __init__(self, values: list[Tensor]) -> None:
        super().__init__()
        for index, value in enumerate(values):
            self.register_parameter(f"p{index}", nn.Parameter(value.clone()))


def compare_steps(subject: Subject, *, scheduled: bool) -> None:
    """Compares everything that one step does with the next; with a schedule the learning rate is a tensor."""
    lent = ", with its learning rate on the device" if scheduled else ""
    try:
        first, second = _traces(subject, scheduled=scheduled)
    except (DataDependentOutputException, _Read) as error:
        raise Miss(f"a step waits for a value on the device{lent} ({error})") from error
    except RuntimeError as error:
        if "not linked with support for cuda" in str(error):
            raise DoesNotApply("this one can be tried only on a GPU") from error
        raise
    if said := difference(first, second):
        raise Miss(f"{said}{lent}")


def _traces(subject: Subject, *, scheduled: bool) -> tuple[list[Call], list[Call]]:
    """Records the operations of the third and the fourth step on tensors that pretend to be on a GPU."""
    with FakeTensorMode():
        model = Bare([torch.empty(6, 5, device="cuda"), torch.empty(6, device="cuda")])
        optimizer = build_subject(subject, model, **_as_captured(subject))
        traces = []
        for _ in range(4):
            for group in optimizer.param_groups if scheduled else ():
                group["lr"] = torch.empty((), device="cuda")
            for parameter in model.parameters():
                parameter.grad = torch.empty_like(parameter)
            with _NoReading(), _Trace(torch.device("cuda")) as trace:
                optimizer.step()
            traces.append(trace.calls)
    return traces[2], traces[3]


class _Read(Exception):  # noqa: N818 - not an error
    """A step read a value on the device."""


class _NoReading(TorchFunctionMode):
    """Forbids reading a value on the device; without CUDA in torch, some ways to do so fail because of that."""

    READING = frozenset(["__bool__", "__complex__", "__float__", "__index__", "__int__", "item", "tolist"])

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__ in self.READING and isinstance(args[0], torch.Tensor) and args[0].is_cuda:
            raise _Read(func.__name__)
        return func(*args, **(kwargs or {}))


class _Trace(Trace):
    """Records what a step does with fake tensors."""

    def run(self, func: Any, args: Any, kwargs: Any) -> Any:
        """See Trace. A fused update is in place, and has no result; torch has no fake of it."""
        return None if func.__name__.startswith("_fused_") else super().run(func, args, kwargs)


def _as_captured(subject: Subject) -> dict[str, bool]:
    """Returns the parameters for a captured build: on CUDA one kernel, or else torch's list of them."""
    takes = inspect.signature(subject.offer.spec.load()).parameters
    told = {"capturable": True} if "capturable" in takes else {}
    if "cuda" in subject.offer.spec.fused:
        return told | {"fused": True}
    # torch takes it by itself, but not of tensors that only pretend.
    return told | ({"foreach": True} if "foreach" in takes else {})


def capture_on_gpu(subject: Subject) -> None:
    """Trains it with captured steps on the GPU, and compares the result with training without them."""
    (result,) = trained_on_gpu(subject, "graph", schedule=problem.component("cosine"))
    if result.engine != "graph":
        raise Miss(result.remarks[-1])


def trained_on_gpu(subject: Subject, *engines: str, **settings: Any) -> list[CaseResult]:
    """Trains it with these engines on the GPU in one worker process, so that this process does not start CUDA."""
    spec = subject.offer.spec
    cases = [
        problem.CASE.model_copy(
            update={
                "id": f"check/{engine}",
                "optimizer": problem.component(spec.name, **spec.defaults),
                "engine": engine,
                "epochs": 2,
                **settings,
            }
        )
        for engine in engines
    ]
    with tempfile.TemporaryDirectory(prefix="benchmnist-check-", ignore_cleanup_errors=True) as folder:
        workplace = Workplace("cuda", default_data_root(), Path(folder), checkpoints=False)
        with LocalExecutor(workplace) as executor:
            results = [step for _, step in executor.execute(iter(cases)) if isinstance(step, CaseResult)]
    for result in results:
        if result.failed:
            why = cause_of(result.error or "")
            if "cannot be used" in why:  # another process has it, and this may be one (EXCLUSIVE_PROCESS)
                raise DoesNotApply(why)
            raise Miss(why)
    return results
