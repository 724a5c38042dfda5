from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

pytestmark = pytest.mark.usefixtures("machine")


WAITING: dict[str, Callable[[Tensor], Any]] = {
    "item": lambda x: x.sum().item(),
    "bool": lambda x: bool((x > 0).all()),
    "float": lambda x: float(x[0]),
    "cpu": lambda x: x.cpu(),
    "to": lambda x: x.to("cpu"),
    "tolist": lambda x: x.tolist(),
    "nonzero": lambda x: x.nonzero(),
    "mask": lambda x: x[x > 0],
    "masked_select": lambda x: x.masked_select(x > 0),
    "unique": lambda x: x.unique(),
    "equal": lambda x: torch.equal(x, x),
    "list as index": lambda x: x[[0, 1]],
    "tensor": lambda x: torch.tensor([1.0, 2.0], device=x.device),
    "scalar tensor": lambda x: torch.tensor(1.0, device=x.device),
    "from the host": lambda x: torch.ones(3).to(x.device),
    "copy_": lambda x: x.copy_(torch.ones(3)),
    "element": lambda x: x.__setitem__(0, 1.0),
    "print": repr,
    "allclose": lambda x: torch.allclose(x, x),
    "stream": lambda _: torch.cuda.current_stream().synchronize(),
}
NOT_WAITING: dict[str, Callable[[Tensor], Any]] = {
    "synchronize": lambda _: torch.cuda.synchronize(),  # torch checks only its own copies
    "factories": lambda x: torch.full((3,), 2.0, device=x.device) + torch.arange(3, device=x.device),
    "pinned": lambda x: x.copy_(torch.ones(3, pin_memory=True), non_blocking=True),
    "where": lambda x: torch.where(x > 0, x, 0.0),
    "masked fill": lambda x: x.masked_fill(x > 0, 1.0),
    "fill by mask": lambda x: x.__setitem__(x > 0, 2.0),
    "index": lambda x: x[torch.arange(2, device=x.device)],
    "slice": lambda x: x.__setitem__(slice(2), 1.0),
    "between cards": lambda x: x.to("cuda:1"),
}


@pytest.mark.parametrize("name", WAITING)
def test_what_waits_for_the_device(name: str) -> None:
    here = torch.ones(3, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    with pytest.raises(RuntimeError, match=r"^called a synchronizing CUDA operation$"):
        WAITING[name](here)
    torch.cuda.set_sync_debug_mode("warn")
    with pytest.warns(UserWarning, match="called a synchronizing CUDA operation"):
        WAITING[name](here)
    torch.cuda.set_sync_debug_mode("default")
    WAITING[name](here)


@pytest.mark.parametrize("name", NOT_WAITING)
def test_what_does_not_wait_for_the_device(name: str) -> None:
    here = torch.ones(3, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    NOT_WAITING[name](here)
