"""Messages between an executor and its workers: lines of JSON, each of a known kind.

They are data, never pickles: a model can write to the pipe of its worker, and what is read from there must not be
executed. A message that no worker sends, or that cannot be about the task, is refused.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from benchmnist.errors import BenchmnistError
from benchmnist.executors import Farewell, Workplace
from benchmnist.runs.endings import ending_of
from benchmnist.runs.pipes import LONGEST, lines_of
from benchmnist.runs.results import CaseResult, Evaluation, MeasuredEpoch, TrialResult, worst
from benchmnist.runs.store import checkpoint_name
from benchmnist.suites.bundles import Bundle  # noqa: TC001 - as below
from benchmnist.suites.cases import Case  # noqa: TC001 - messages are read by this type

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

TUPLE = "("
"""Key of the only item of an object that stands for a tuple, which JSON does not have."""


class MessageError(BenchmnistError):
    """A line or an object is not a message."""


@dataclass(frozen=True)
class Task:
    """A case to train.

    Attributes:
        case: The case, with the seeds of the task.
        no_graph: Reason why its steps must not be captured; empty if they may be.
    """

    case: Annotated[Bundle | Case, Field(union_mode="left_to_right")]
    no_graph: str = ""


@dataclass(frozen=True)
class Started:
    """The machine, the process and the id of the node on which a task begins."""

    host: str
    pid: int
    node: str = ""


@dataclass(frozen=True)
class Evaluated:
    """Evaluations within an epoch under way, each with the seed of its trial.

    Those that are not told until the epoch ends come with its result.
    """

    evaluations: tuple[tuple[int, Evaluation], ...]


KINDS: dict[str, TypeAdapter[Any]] = {
    kind.__name__: TypeAdapter(kind)
    for kind in (Workplace, Task, Started, Evaluated, MeasuredEpoch, CaseResult, Farewell)
}


def encode(message: object) -> bytes:
    """Returns a message as a line.

    Raises:
        MessageError: if it is too long.
    """
    kind = type(message).__name__
    content = _tagged(KINDS[kind].dump_python(message))
    line = f"{kind} {json.dumps(content, default=str)}\n".encode("ascii")
    if len(line) > LONGEST:
        raise MessageError(f"a message of {len(line):,} bytes is too long; the maximum is {LONGEST:,} bytes")
    return line


def decode(line: bytes) -> Any:
    """Returns the message in a line, without its end.

    Raises:
        MessageError: if the line is none.
    """
    kind, _, content = line.partition(b" ")
    adapter = KINDS.get(kind.decode("ascii", "replace"))
    if adapter is None:
        raise MessageError(f"not a message: {line[:40]!r}")
    try:
        return adapter.validate_python(json.loads(content, object_hook=_untagged))
    except ValidationError as error:
        raise MessageError(f"not a {kind.decode()}: {str(error).splitlines()[-2].strip()[:200]}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise MessageError(f"not a {kind.decode()}: {type(error).__name__}") from None


def read_messages(read: Callable[[int], bytes | None]) -> Iterator[Any]:
    """Yields the messages that `read` returns piece by piece, until it returns nothing. Half a line is none.

    Raises:
        MessageError: if something else is read, or a line is longer than a message may be.
    """
    try:
        yield from map(decode, lines_of(read, LONGEST))
    except ValueError as error:
        raise MessageError(f"a message of {error}") from None


def refusal(message: object, task: Case, failures: Collection[str] = ("failed",)) -> str:
    """Returns why a message cannot come from the training of a task; empty if it can.

    Args:
        message: The message.
        task: The task.
        failures: Statuses that a result may have without following from its trials. Only who watches a worker can
            say that it crashed.
    """
    if isinstance(message, Farewell):
        return refusal(message.result, task) if message.result is not None else ""
    if isinstance(message, MeasuredEpoch):
        known = message.seed in task.seeds and message.result is not None
        return "" if known and 1 <= message.result.epoch <= task.epochs else "an epoch of another task"  # type: ignore[union-attr]
    if isinstance(message, Evaluated):
        known = all(seed in task.seeds and _is_within(each, task) for seed, each in message.evaluations)
        return "" if known else "an evaluation of another task"
    if not isinstance(message, CaseResult):
        return f"a message of the kind {type(message).__name__}"
    if (message.case.id, message.case.seeds) != (task.id, task.seeds):
        return "a result of another task"
    trained = tuple(trial.seed for trial in message.trials)
    if trained != task.seeds[: len(trained)] or not (message.failed or trained == task.seeds):
        return f"a result with the seeds {trained}, not {task.seeds}"
    if message.status not in (*failures, worst(trial.status for trial in message.trials)):
        return f"a result with the status {message.status!r}"
    return next(filter(None, (_refused_trial(trial, task) for trial in message.trials)), "")


def _is_within(evaluation: Evaluation, task: Case) -> bool:
    """Tells whether an evaluation may be one within an epoch of a task."""
    if task.evaluate_every is None or evaluation.step % task.evaluate_every:
        return False
    figure = evaluation.metrics.get(task.primary.field, math.nan)
    return all(map(math.isfinite, (evaluation.seconds, evaluation.train_loss, figure)))


def _refused_trial(trial: TrialResult, task: Case) -> str:
    epochs = [epoch.epoch for epoch in trial.epochs]
    if trial.status not in ("completed", "diverged", "failed") or epochs != [*range(1, len(epochs) + 1)]:
        return f"a trial with the status {trial.status!r} and the epochs {epochs[:9]}"
    if trial.status == "completed":
        fields = {metric.field for metric in task.evaluates}
        if ending_of(task, trial.epochs) != trial.ended or any(
            fields - epoch.metrics.keys() for epoch in trial.epochs
        ):
            return "a completed trial that lacks epochs or metrics"
    if trial.checkpoint not in (None, checkpoint_name(*task.row(trial.seed))):
        return f"a checkpoint named {trial.checkpoint!r}"
    return ""


def _tagged(value: Any) -> Any:
    """Returns a value in which JSON can tell tuples from lists: a plugin's parameters arrive as they were."""
    if isinstance(value, dict):
        return {key: _tagged(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_tagged(item) for item in value]
        return {TUPLE: items} if isinstance(value, tuple) else items
    return value


def _untagged(value: dict[str, Any]) -> Any:
    return tuple(value[TUPLE]) if value.keys() == {TUPLE} and isinstance(value[TUPLE], list) else value
