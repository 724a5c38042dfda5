from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
import torch
from torch import nn
from training_support import make_case

from benchmnist.training.checkpoints import Checkpoints

if TYPE_CHECKING:
    from pathlib import Path


class Tied(nn.Module):
    """A tensor under two names, a buffer that is a view of it, and one that is not contiguous."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(4, 4), nn.Linear(4, 4)
        self.decoder.weight = self.encoder.weight
        self.register_buffer("first", self.encoder.weight.detach()[:2])
        self.register_buffer("turned", torch.rand(3, 5).T)


class WithMore(nn.Linear):
    def get_extra_state(self) -> object:
        return {"calls": 3}


class Raises(nn.Linear):
    def state_dict(self, *_: Any, **__: Any) -> dict[str, Any]:  # type: ignore[override]
        raise SystemExit(3)


def test_weights_that_share_memory_are_saved(tmp_path: Path) -> None:
    checkpoints, model = Checkpoints(make_case(), tmp_path), Tied()
    file = checkpoints.save(0, model.state_dict)
    assert checkpoints.remarks == []
    restored = Tied()
    restored.load_state_dict(safetensors.torch.load_file(tmp_path / str(file)))
    for name, value in model.state_dict().items():
        assert torch.equal(restored.state_dict()[name], value)


def test_what_is_not_a_tensor_is_left_out_and_named(tmp_path: Path) -> None:
    checkpoints = Checkpoints(make_case(), tmp_path)
    model = WithMore(4, 4)
    model.register_buffer("mask", torch.eye(4).to_sparse())
    file = checkpoints.save(7, model.state_dict)
    assert {*safetensors.torch.load_file(tmp_path / str(file))} == {"weight", "bias"}
    assert checkpoints.remarks == [
        "the checkpoint of seed 7 lacks mask, _extra_state: only dense tensors are saved"
    ]


@pytest.mark.parametrize(
    ("model", "why"),
    [(Raises(4, 4), "PluginError: calls sys.exit"), (nn.Linear(2, 2), "cannot write")],
)
def test_weights_that_cannot_be_saved_are_a_remark(tmp_path: Path, model: nn.Module, why: str) -> None:
    if why == "cannot write":
        (tmp_path / "checkpoints").write_text("in the way", "utf-8")
    checkpoints = Checkpoints(make_case(), tmp_path)
    assert checkpoints.save(1, model.state_dict) is None
    (remark,) = checkpoints.remarks
    assert remark.startswith("the weights of seed 1 are not saved: ")
    assert why in remark
