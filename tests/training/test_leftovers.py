from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_full_backward_hook
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from benchmnist.training.leftovers import leftovers

if TYPE_CHECKING:
    from collections.abc import Callable


def entered(context: object) -> Callable[[], None]:
    context.__enter__()  # type: ignore[attr-defined]
    return lambda: context.__exit__(None, None, None)  # type: ignore[attr-defined]


LEFT: dict[str, tuple[str, Callable[[], Callable[[], None]]]] = {
    "forward": ("a hook on all modules", lambda: register_module_forward_hook(lambda *_: None).remove),
    "backward": ("a hook on all modules", lambda: register_module_full_backward_hook(lambda *_: None).remove),
    "optimizer": ("a hook on all optimizers", lambda: register_optimizer_step_pre_hook(lambda *_: None).remove),
    "functions": ("a mode for all of torch's functions", lambda: entered(TorchFunctionMode())),
    "operations": ("a mode for all of torch's operations", lambda: entered(TorchDispatchMode())),
    "saved": (
        "a hook on all saved tensors",
        lambda: entered(torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x)),
    ),
    "inference": ("inference mode", lambda: entered(torch.inference_mode())),
}


@pytest.mark.parametrize("kind", LEFT)
def test_what_is_left_behind_is_seen(kind: str) -> None:
    name, leave = LEFT[kind]
    before = leftovers()
    end = leave()
    try:
        after = leftovers()
    finally:
        end()
    assert [each for each, state in after.items() if state != before[each]] == [name]
    assert leftovers() == before


def test_what_is_not_left_behind_is_not_seen() -> None:
    before = leftovers()
    nn.Linear(2, 2).register_forward_hook(lambda *_: None)
    torch.set_default_device("meta")  # which is put back by itself
    try:
        assert leftovers() == before
    finally:
        torch.set_default_device(None)
