"""Engines agree: the same case and seed give the same loss curve, whatever executes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from training_support import component, losses, make_case, result_of, setting_of

from benchmnist.plugins import find_plugins
from benchmnist.training.ways import find_way

if TYPE_CHECKING:
    from benchmnist.results import CaseResult

REGISTRY = find_plugins()
MODELS = [offer.spec.name for offer in REGISTRY.models]
OPTIMIZERS = [offer.spec.name for offer in REGISTRY.optimizers]


def both(**options: object) -> tuple[CaseResult, CaseResult]:
    return tuple(result_of(make_case(engine=engine, **options)) for engine in ("dataloader", "resident"))  # type: ignore[return-value]


@pytest.mark.parametrize("model", MODELS)
def test_every_model_learns_the_same_on_each_engine(model: str) -> None:
    reference, resident = both(model=model, epochs=2)
    assert (reference.engine, resident.engine) == ("dataloader", "resident")
    assert losses(resident) == pytest.approx(losses(reference), rel=1e-5)
    assert resident.trials[0].epochs[-1].test_accuracy == reference.trials[0].epochs[-1].test_accuracy


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_learns_the_same_on_each_engine(optimizer: str) -> None:
    reference, resident = both(optimizer=optimizer, epochs=2, train_size=200)
    assert reference.status == "completed", reference.error
    assert losses(resident) == pytest.approx(losses(reference), rel=1e-4)


def test_resident_makes_its_updates_by_one_kernel_unless_it_is_told_not_to() -> None:
    def fused(engine: str, **params: object) -> bool:
        setting = setting_of(make_case(optimizer=component("adam", **params), engine=engine))
        return bool(find_way(setting).trial(setting, (0,)).optimizer.param_groups[0]["fused"])

    assert fused("resident")
    assert not fused("dataloader")
    assert not fused("resident", foreach=True)
    assert not fused("resident", fused=False)
    assert fused("dataloader", fused=True)


@settings(max_examples=8)
@given(batch_size=st.integers(2, 130), train_size=st.integers(100, 250), seed=st.integers(0, 2**31))
def test_engines_agree_on_batches_of_any_size(batch_size: int, train_size: int, seed: int) -> None:
    if train_size % batch_size == 1:
        train_size += 1  # batch normalisation refuses a batch of one
    reference, resident = both(
        model="fc-bn-dropout", batch_size=batch_size, train_size=train_size, seeds=(seed,), epochs=1
    )
    assert reference.status == "completed", reference.error
    assert resident.steps == -(-train_size // batch_size)
    assert losses(resident) == pytest.approx(losses(reference), rel=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("engine", ["dataloader", "resident"])
def test_a_gpu_learns_what_a_cpu_learns(engine: str) -> None:
    on_cpu = result_of(make_case(model="cnn", epochs=2, engine=engine), device="cpu")
    on_gpu = result_of(make_case(model="cnn", epochs=2, engine=engine), device="cuda")
    assert losses(on_gpu) == pytest.approx(losses(on_cpu), rel=1e-2)
