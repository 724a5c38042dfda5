from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from standin_support import captured
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

pytestmark = pytest.mark.usefixtures("machine")


OUT_OF_RANGE: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "index_select": lambda x, i: x.index_select(0, i),
    "index_select of columns": lambda x, i: x.expand(2, -1).index_select(1, i),
    "take": lambda x, i: x.take(i),
    "index_add_": lambda x, i: x.index_add_(0, i, x[:2].clone()),
    "index_put_": lambda x, i: x.index_put_((i,), x[:2].clone()),
    "scatter_": lambda x, i: x.scatter_(0, i, x[:2].clone()),
    "gather": lambda x, i: x.gather(0, i),
    "index": lambda x, i: x[i],
    "embedding": lambda x, i: functional.embedding(i, x.unsqueeze(1)),
    "cross_entropy": lambda x, i: functional.cross_entropy(x.expand(len(i), -1), i),
    "nll_loss": lambda x, i: functional.nll_loss(x.expand(len(i), -1), i),
}


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_an_index_out_of_range_is_found_late_and_stays(name: str) -> None:
    x, index = torch.ones(3, device="cuda"), torch.tensor([0, 3], device="cuda")
    result = OUT_OF_RANGE[name](x, index)
    assert result.device.type == "cuda"
    y = x * 2
    for use in (y.sum().item, torch.cuda.synchronize, lambda: x + 1, x.cpu, torch.cuda.Stream):
        with pytest.raises(RuntimeError, match="CUDA error: device-side assert triggered"):
            use()


def test_an_index_out_of_range_in_a_replay() -> None:
    x, index = torch.ones(3, device="cuda"), torch.tensor([0, 1], device="cuda")
    graph, _ = captured(lambda: x.index_select(0, index))
    index.fill_(7)
    graph.replay()
    with pytest.raises(torch.AcceleratorError, match="device-side assert triggered"):
        torch.cuda.synchronize()
