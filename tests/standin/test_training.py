"""Real trainings on the stand-in: what is computed is what the CPU computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from standin_support import standin
from training_support import component, losses, make_case, result_of

OPTIMIZERS = (
    *("adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "asgd", "lbfgs", "momentum", "muon", "nadam"),
    *("nesterov", "radam", "rmsprop", "rprop", "sgd"),
)


def the_same_on_a_card(*, tolerance: float = 1e-4, **options: Any) -> tuple[str, ...]:
    """Trains a case on the CPU and on an imitated card; returns the remarks of the latter."""
    case = make_case(**{"train_size": 400, "batch_size": 100, **options})
    expected = losses(result_of(case))
    with standin() as machine:
        torch.cuda.init()
        result = result_of(case, device="cuda:0")
        assert machine.hazards == []
    assert result.error is None
    assert losses(result) == pytest.approx(expected, rel=tolerance)
    return result.remarks


@pytest.mark.parametrize("model", ["fc", "fc-bn-dropout", "cnn"])
def test_models(model: str) -> None:
    the_same_on_a_card(model=model, engine="resident", epochs=2)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers(optimizer: str) -> None:
    small = component("fc", hidden_size=50)
    the_same_on_a_card(model=small, optimizer=optimizer, engine="resident", train_size=200)


@pytest.mark.parametrize("model", ["fc", "fc-bn-dropout", "cnn"])
def test_a_step_that_is_captured(model: str) -> None:
    assert "graph" in the_same_on_a_card(model=model, optimizer="adam", engine="graph", epochs=2)


@pytest.mark.parametrize("model", ["small-autoencoder", "lstm", "mlp-mixer", "pixel-transformer"])
def test_a_step_of_each_task_that_is_captured(model: str) -> None:
    assert "graph" in the_same_on_a_card(
        model=model, engine="graph", train_size=100, test_size=50, batch_size=20, tolerance=1e-3
    )


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_seeds_that_are_stacked(precision: str) -> None:
    # bf16 is rounded where it is summed up, and vmap sums in another order
    tolerance = 1e-4 if precision == "float32" else 1e-2
    model = "cnn" if precision == "float32" else "fc"
    options = {"model": model, "engine": "stacked", "seeds": (0, 1), "precision": precision}
    assert "graph" in the_same_on_a_card(tolerance=tolerance, **options)
