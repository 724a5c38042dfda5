"""Hostile text, and a run that has it in every field."""

from __future__ import annotations

import typing
from dataclasses import replace
from typing import Any

from made_up import made_up_run, seeds_result
from pydantic import BaseModel
from training_support import component

from benchmnist.metrics import PRIMARY, Metric
from benchmnist.runs.models import Layer, ModelDescription
from benchmnist.runs.searches import Attempt, Search
from benchmnist.suites.cases import Space

if typing.TYPE_CHECKING:
    from benchmnist.runs.results import RunResult, TrialResult

EVIL = (
    "[/x][bold]:smile:\x1b[31m\x1b]0;t\x07\x9b2J\x7f\u202e\u2066\ud800\x00",
    "\n# Heading\n\n- item\n\n    code\r\n> quote\u2028===\x85| a | b |\n|---|---|\n",
    "# ```\n</pre></script><!--<script>alert(1)</script>",
    "1. <b onclick='x' \">&lt;&amp;<img src=x onerror=y> _$",
    "=1+cmd|' /C calc'!A0![i](javascript:x) [l](http://e) <http://e> ](x) **b** _i_ ~~s~~ `c` ``d`` | \\| \\",
    '-2+3{{ 7*7 }}{% x %}%{y}","x":1}',
    "@SUM(1)\t[x]*\\\\{}~^$%&_#`$\\frac{$\\end{tabular}\\input{x}",
    "[x]*a",
)
KEPT = {"lr", "order", "interleaved", "accuracy", "test_accuracy", "%", ">= 99"}
KEPT |= {"2026-11-24T00:00:00+00:00", "2026-11-24T01:00:00+00:00"}
"""Text that decides what is drawn, and that is refused if it is not what it should be."""


def spoiled(value: Any, evil: str, *, at_end: bool) -> Any:
    """The same with hostile text in each of its texts, equal texts alike; those of a few words stay."""

    def again(inner: Any) -> Any:
        return spoiled(inner, evil, at_end=at_end)

    if isinstance(value, str):
        return value if not value or value in KEPT else f"{value}{evil}" if at_end else f"{evil}{value}"
    if isinstance(value, BaseModel):
        names = [name for name, info in type(value).model_fields.items() if not of_few_words(info.annotation)]
        return value.model_copy(update={name: again(getattr(value, name)) for name in names})
    if isinstance(value, Metric):
        names = ["key", "title", "unit", "heading", "about", "stored"]
        return replace(value, **{name: again(getattr(value, name)) for name in names})
    if isinstance(value, dict):
        return {again(key): again(each) for key, each in value.items()}
    return type(value)(map(again, value)) if isinstance(value, (tuple, list)) else value


def of_few_words(annotation: Any) -> bool:
    return any(typing.get_origin(each) is typing.Literal for each in (annotation, *typing.get_args(annotation)))


TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1, in f\n    g()\nValueError: lost\nmore'


def _evaluated(trial: TrialResult) -> TrialResult:
    epochs = tuple(e.model_copy(update={"metrics": {**e.metrics, "cal": 0.1 * e.epoch}}) for e in trial.epochs)
    return trial.model_copy(update={"checkpoint": "checkpoints/x.pt", "epochs": epochs})


def run_with_everything() -> RunResult:
    """A run that has everything that a report shows."""
    metric = replace(PRIMARY, about="the accuracy of a case")
    other = Metric(
        "calibration",
        "calibration error",
        "points",
        "lower",
        about="how wrong it is",
        heading="cal.",
        stored="cal",
    )
    options: dict[str, Any] = {"baseline": "sgd", "target_accuracy": 60.0, "margin": 0.5, "engine": "graph"}
    options |= {
        "evaluates": (metric, other),
        "schedule": component("cosine"),
        "task": component("task"),
        "marks": ("m",),
    }
    options |= {"metrics": (component("top5"),), "expect": {"accuracy": ">= 99"}, "marks": ("m",)}
    options |= {"resources": {"gpus": 1.0}}
    cases = []
    for i, model in enumerate(("fc", "cnn", "mlp")):
        for method, mean in {"sgd": 90.0, "adam": 96.0, "rmsprop": 96.5}.items():
            accuracies = [mean + 0.1 * seed - (i % 2 and method == "adam") for seed in range(3)]
            made = seeds_result(model, method, accuracies, epochs=2, **options)
            params = {"lr": 0.1, "mode": "x", "list": ["y"]}
            optimizer = made.case.optimizer.model_copy(update={"params": params})
            cases.append(
                made.model_copy(
                    update={
                        "case": made.case.model_copy(update={"optimizer": optimizer}),
                        "key": "abc",
                        "engine": "resident",
                        "remarks": ("not graph: no GPU",),
                        "precision": "float32",
                        "environment": {"device": "cpu", "machine": f"host-{i}"},
                        "started": "2026-11-24T00:00:00+00:00",
                        "trials": tuple(map(_evaluated, made.trials)),
                    }
                )
            )
    cases[1] = cases[1].model_copy(update={"reused_from": "quick/2026", "misses": ("accuracy is 1 %",)})
    failed = seeds_result("fc", "lost", [None], **options)
    posed = failed.case.model_copy(update={"problem": "ravine", "level": "3"})
    cases.append(failed.model_copy(update={"case": posed, "status": "failed", "error": TRACEBACK, "trials": ()}))
    search = Search(
        dataset="mnist",
        model="fc",
        method="adam",
        metric=metric,
        sampler="random",
        space={"lr": Space(low=0.01, high=1.0, log=True), "mode": Space(values=("a", "b"))},
        attempts=(Attempt(params={"lr": 0.1, "mode": "a"}, value=97.0), Attempt(params={"lr": 0.9}, value=96.5)),
        run="quick/2026",
        target="a test loss of 0.01",
    )
    layers = (Layer(name="1", kind="Linear", settings="784, 10", output_shape=(10,)),)
    described = ModelDescription(dataset="mnist", model="fc", layers=layers)
    made_up = made_up_run(cases, models=[described], searches=[search], suite_text="[suite]\nname = 'x'")
    more = {"notes": ("a note",), "data": {"mnist": "abc"}, "ended": "2026-11-24T01:00:00+00:00"}
    return made_up.model_copy(update={"record": made_up.record.model_copy(update=more)})
