"""The list of the tries, and how their results are judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_up import made_up_result

from benchmnist.doctor import Chart, Line, Options, Report, speed, trials
from benchmnist.doctor.context import correct, largest_difference, learned, reason
from benchmnist.doctor.lines import TryFailed
from benchmnist.doctor.tries import speed_tries, tries
from benchmnist.errors import StoreError
from benchmnist.extensions.registry import find_plugins

ROOT = Path(__file__).parents[2]


def test_everything_that_is_built_in_is_tried() -> None:
    names = [one.name for one in tries(short=False)]
    assert len(names) == len({*names})
    registry = find_plugins()
    for kind in ("model", "optimizer", "schedule"):
        assert {n for n in names if n.startswith(f"{kind}-")} >= {
            f"{kind}-{o.spec.name}" for o in registry.by_kind[kind]
        }


def test_every_try_is_a_function_and_the_short_form_is_a_part() -> None:
    for one in [*tries(short=False), *speed_tries()]:
        module = speed if one.part == "speed" else trials
        assert callable(getattr(module, one.trial))
        assert one.call == f"{module.__name__}:make"
        assert json.loads(json.dumps(one.arguments)) == one.arguments
        assert one.remedy
    short = {one.name for one in tries(short=True)}
    assert short < {one.name for one in tries(short=False)}
    assert sum(one.limit for one in speed_tries()) <= 600


def test_texts_choose_tries() -> None:
    there = Path()
    assert Options(there, there, short=True).tries() == []  # without a device
    names = [one.name for one in Options(there, there, "cpu", speed=True, only=("cnn", "stack")).tries()]
    assert names == ["model-cnn", "graph-cnn-rmsprop", "stacked", "stacked-captured", "speed-stacks"]


def test_what_must_have_learned() -> None:
    assert learned(made_up_result("fc", "adam", 90.0)) == 90.0
    with pytest.raises(TryFailed, match=r"mnist/fc/adam reached only 12\.0 %; chance is 10 %"):
        learned(made_up_result("fc", "adam", 12.0))
    with pytest.raises(TryFailed, match=r"mnist/fc/adam diverged: no reason given"):
        learned(made_up_result("fc", "adam", 90.0, diverged=True))


def test_how_far_losses_are_apart(capsys: pytest.CaptureFixture[str]) -> None:
    one, other = made_up_result("fc", "adam", 90.0), made_up_result("fc", "adam", 90.1)
    assert largest_difference(one, one, 0.0) == 0.0
    assert 0 < largest_difference(other, one, 0.1) < 0.1
    with pytest.raises(TryFailed, match=r"losses of mnist/fc/adam: expected .*, got "):
        largest_difference(other, one, 1e-6)
    untested = [trial.epochs[0].model_copy(update={"metrics": {}}) for trial in one.trials]
    nan = one.model_copy(
        update={
            "trials": tuple(
                t.model_copy(update={"epochs": (e,)}) for t, e in zip(one.trials, untested, strict=True)
            )
        }
    )
    with pytest.raises(TryFailed):
        largest_difference(nan, one, 1e9)
    with pytest.raises(TryFailed, match="failed: ValueError: no"):
        largest_difference(
            one.model_copy(update={"status": "failed", "error": "Traceback\nValueError: no"}), one, 1.0
        )
    assert reason("Traceback\ntorch.AcceleratorError: CUDA error: x\nCompile with y") == (
        "torch.AcceleratorError: CUDA error: x"
    )
    assert "Traceback\nValueError: no" in capsys.readouterr().err


def test_what_was_not_captured_although_it_may_be_is_warned_of() -> None:
    result = made_up_result("fc", "adam", 90.0).model_copy(update={"engine": "resident"})
    assert correct(result, 0.0, 90.0).state == "ok"
    refused = result.model_copy(update={"remarks": ("fused", "not graph: it waits for the device")})
    line = correct(refused, 0.0, 90.0)
    assert (line.state, bool(line.remedy)) == ("warning", True)
    assert "not graph: it waits for the device" in line.said
    assert correct(refused, 0.0, 90.0, capturable=False).state == "ok"


def test_a_chart_is_whole_after_every_line(tmp_path: Path) -> None:
    file = tmp_path / "doctor.json"

    def written() -> Report:
        def refuse(name: str) -> None:
            raise ValueError(name)

        json.loads(file.read_text("utf-8"), parse_constant=refuse)
        return Report.model_validate_json(file.read_bytes())

    chart = Chart(Report(device="cpu"), file)
    assert (written().status, written().lines, written().ended) == ("running", (), None)
    for number in range(3):
        chart.add(Line(name=f"line-{number}", state="ok", figures={"nan": float("nan"), "many": (1, 2)}))
        assert len(written().lines) == number + 1
    assert not written().sick
    chart.add(Line(name="bad", state="problem"))
    chart.end(interrupted=True)
    assert (written().status, written().sick) == ("interrupted", True)
    assert written().ended is not None
    assert [entry.name for entry in tmp_path.iterdir()] == ["doctor.json"]
    with pytest.raises(StoreError, match="cannot write"):
        Chart(Report(), Path("/proc/doctor.json"))
