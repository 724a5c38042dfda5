"""The dynamics of a training are kept on request, on every engine, and change nothing of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn, optim
from training_support import component, losses, make_case, result_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from benchmnist.runs.results import CaseResult, Dynamics

FC = component("fc", hidden_size=8)


def trained(optimizer: Any, engine: str, *, dynamics: bool, **options: Any) -> CaseResult:
    settings = {"model": FC, "train_size": 150, "test_size": 50, "epochs": 2, **options}
    return result_of(make_case(optimizer=optimizer, engine=engine, dynamics=dynamics, **settings))


def kept(result: CaseResult, trial: int = 0) -> list[Dynamics]:
    return [each for epoch in result.trials[trial].epochs for each in epoch.dynamics]


SCHEDULED = {"schedule": component("cosine"), "seeds": (0, 1)}


@pytest.mark.parametrize(
    ("optimizer", "engine", "options"),
    [
        *(("adam", engine, SCHEDULED) for engine in ("dataloader", "resident", "stacked")),
        ("rmsprop", "stacked", {"model": "fc-bn-dropout", "seeds": (0, 1), "evaluate_every": 2}),
        ("momentum", "resident", {"model": "fc-bn-dropout", "evaluate_every": 2, "clip_grad_norm": 0.1}),
        ("muon", "resident", {"schedule": component("onecycle")}),
        (component("lbfgs", max_iter=2), "resident", {}),
    ],
)
def test_a_training_has_the_same_bits_with_its_dynamics(optimizer: Any, engine: str, options: Any) -> None:
    with_, without = (trained(optimizer, engine, dynamics=dynamics, **options) for dynamics in (True, False))
    assert not with_.error
    assert with_.engine == without.engine == engine
    assert losses(with_) == losses(without)
    metrics = [[epoch.metrics for trial in result.trials for epoch in trial.epochs] for result in (with_, without)]
    assert metrics[0] == metrics[1]
    assert not kept(without)
    steps = [2, 3, 4, 6] if "evaluate_every" in options else [3, 6]
    for trial in range(len(with_.trials)):
        assert [each.step for each in kept(with_, trial)] == steps
        for each in kept(with_, trial):
            ended = each.step == steps[-1] and with_.case.schedule is not None  # then the rate is 0
            for norms in each.layers.values():
                assert norms.update > 0 or ended
                assert norms.weight > 0
                assert norms.gradient > 0


def test_the_engines_agree_on_dynamics() -> None:
    expected = trained("adam", "dataloader", dynamics=True, **SCHEDULED)
    for engine in ("resident", "stacked"):
        found = trained("adam", engine, dynamics=True, **SCHEDULED)
        for trial in range(2):
            for one, other in zip(kept(found, trial), kept(expected, trial), strict=True):
                assert [*one.layers] == ["1", "3"]
                for layer, norms in one.layers.items():
                    assert norms.model_dump() == pytest.approx(other.layers[layer].model_dump(), rel=1e-2)


def test_a_run_has_rows_and_a_picture_of_its_dynamics(
    write_suite: Callable[..., Path], invoke: Callable[..., Result]
) -> None:
    suite = write_suite()
    assert (
        invoke("run", suite, "--executor", "inline", "--dynamics", "--seeds", "1", "--epochs", "1").exit_code == 0
    )
    rows = invoke("report", "runs", "--format", "csv", "--level", "layer", "--columns", "update_ratio").stdout
    assert rows.splitlines()[0] == "case,seed,epoch,step,layer,update_ratio"
    assert [row.split(",")[:5] for row in rows.splitlines()[1:3]] == [
        ["mnist/fc/sgd", "0", "1", "10", layer] for layer in ("1", "3")
    ]
    assert len([*Path("runs").glob("small/*/plots/mnist__fc__*.dynamics.png")]) == 2


def test_sgd_moves_by_its_learning_rate_times_the_gradient() -> None:
    result = trained(component("sgd", lr=0.25), "resident", dynamics=True)
    for each in kept(result):
        for norms in each.layers.values():
            assert norms.update == pytest.approx(0.25 * norms.gradient, rel=1e-3)
            assert norms.ratio == norms.update / norms.weight


def test_an_optimizer_whose_copy_would_change_the_trial_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def moves(weights: list[nn.Parameter]) -> Callable[[], None]:
        def move() -> None:
            for weight in weights:
                weight.sub_(0.1 * torch.ones_like(weight))

        return move

    class Holds(optim.SGD):
        """Updates weights that a function holds, of which a copy is the same function."""

        def __init__(self, model: nn.Module) -> None:
            super().__init__(model.parameters())
            self.move = moves([*model.parameters()])

        @torch.no_grad()
        def step(self, closure: Any = None) -> None:  # type: ignore[override] # noqa: ARG002
            self.move()

    monkeypatch.setattr("benchmnist.builtin.optimizers.sgd", lambda model, **_: Holds(model))
    assert trained("sgd", "resident", dynamics=False).status == "completed"
    failed = trained("sgd", "resident", dynamics=True)
    assert failed.status == "failed"
    assert "a step of the copy changes its weights" in (failed.error or "")
