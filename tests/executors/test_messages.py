"""What is read from the pipe of a worker is data about its task, or is refused."""

from __future__ import annotations

import io
import math
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from training_support import component, make_case

from benchmnist.executors import Farewell, Workplace, messages
from benchmnist.executors.messages import (
    Evaluated,
    MessageError,
    Started,
    Task,
    encode,
    read_messages,
    refusal,
)
from benchmnist.runs.results import CaseResult, EpochResult, Evaluation, MeasuredEpoch, TrialResult

CASE = make_case(
    model=component("fc", betas=(0.9, (1, [2])), lr=math.inf, odd="\udcff", nested={"a": [(1,)]}),
    seeds=(3, 0),
    evaluate_every=20,
)
WITHIN = Evaluation(step=20, seconds=0.1, train_loss=0.5, metrics={"test_accuracy": 1.0})
EPOCH = EpochResult(
    epoch=1,
    seconds=0.1,
    train_loss=math.inf,
    step_losses=((1, 0.5),),
    metrics={"test_accuracy": 1.0, "test_loss": 2.0},
)
TRIALS = tuple(TrialResult(seed=seed, status="completed", epochs=(EPOCH,)) for seed in CASE.seeds)
RESULT = CaseResult(case=CASE, status="completed", trials=TRIALS, environment={"cores": 2})
FAILED = CaseResult(case=CASE, status="failed", error="no")


@pytest.mark.parametrize(
    "message",
    [
        Workplace("cpu", Path("/data \udcff"), Path("run"), timeout=2.5, versions=(("torch", "1"),)),
        Task(CASE, "no graph"),
        Started("host", 3, "node"),
        MeasuredEpoch(3, EPOCH),
        Evaluated(((3, WITHIN), (0, WITHIN))),
        RESULT,
        Farewell("broken", FAILED),
        Farewell("broken"),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_message_arrives_as_it_was(message: object) -> None:
    pipe = io.BytesIO(encode(message) * 2 + b"half a li")
    assert [*read_messages(lambda _: pipe.read(7))] == [message, message]
    assert refusal(message, CASE) == (
        ""
        if isinstance(message, (Evaluated, MeasuredEpoch, CaseResult, Farewell))
        else f"a message of the kind {type(message).__name__}"
    )


class Deadly:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("the parent executed a pickle",)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (pickle.dumps(Deadly()) + b"\n", "not a message: b'"),
        (b"\n", "not a message: b''"),
        (b"Command rm\n", "not a message: b'Command rm'"),
        (b"CaseResult {\n", "not a CaseResult: JSONDecodeError"),
        (b"CaseResult " + b"[" * 1900 + b"\n", "not a CaseResult: RecursionError"),
        (b"CaseResult " + b"9" * 5000 + b"\n", "not a CaseResult: ValueError"),
        (b'CaseResult {"case": 3}\n', "not a CaseResult: "),
        (b'MeasuredEpoch {"seed": "x", "result": null}\n', "not a MeasuredEpoch: "),
        (b"x" * 3000, "a message of more than 2,000 bytes"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_anything_else_is_refused(said: bytes, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "LONGEST", 2000)
    pipe = io.BytesIO(said)
    with pytest.raises(MessageError) as refused:
        [*read_messages(pipe.read)]
    assert str(refused.value).startswith(reason)
    assert "\n" not in str(refused.value)
    with pytest.raises(MessageError, match=r"is too long; the maximum is 2,000 bytes"):
        encode(replace(Task(CASE), no_graph="x" * 2000))


def test_a_message_that_cannot_be_about_the_task_is_refused() -> None:
    def trial(**changes: Any) -> CaseResult:
        return RESULT.model_copy(update={"trials": (TRIALS[0].model_copy(update=changes), TRIALS[1])})

    other, unmeasured = make_case(id="a/other"), EPOCH.model_copy(update={"metrics": {}})
    changes: list[dict[str, Any]] = [{"step": 21}, {"metrics": {}}, {"train_loss": math.nan}]
    odd = [(7, WITHIN), *((0, WITHIN.model_copy(update=each)) for each in changes)]
    wrong: list[tuple[object, str]] = [
        (MeasuredEpoch(7, EPOCH), "an epoch of another task"),
        (MeasuredEpoch(3, EPOCH.model_copy(update={"epoch": 2})), "an epoch of another task"),
        *((Evaluated(((3, WITHIN), each)), "an evaluation of another task") for each in odd),
        (RESULT.model_copy(update={"case": other}), "a result of another task"),
        (RESULT.model_copy(update={"case": CASE.model_copy(update={"seeds": (3,)})}), "a result of another task"),
        (RESULT.model_copy(update={"trials": TRIALS[:1]}), "a result with the seeds (3,), not (3, 0)"),
        (RESULT.model_copy(update={"status": "timed out"}), "a result with the status 'timed out'"),
        (trial(epochs=()), "a completed trial that lacks epochs or metrics"),
        (
            trial(epochs=(unmeasured,)),
            "a completed trial that lacks epochs or metrics",
        ),
        (trial(epochs=(EPOCH, EPOCH)), "a trial with the status 'completed' and the epochs [1, 1]"),
        (trial(checkpoint="../secret"), "a checkpoint named '../secret'"),
        (Farewell("broken", RESULT.model_copy(update={"case": other})), "a result of another task"),
    ]
    for message, reason in wrong:
        assert refusal(message, CASE) == reason
