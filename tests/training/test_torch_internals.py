from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from processes import said_with_the_compiler
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_full_backward_hook
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.overrides import TorchFunctionMode

from benchmnist.training.torch_internals import (
    DataDependentOutputException,
    FakeTensorMode,
    Number,
    Program,
    Ref,
    TorchDispatchMode,
    hooks_of,
    leftovers_in_torch,
    running_programs,
    tree_leaves,
    without_modes,
    writes_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ATEN: Any = torch.ops.aten

pytestmark = pytest.mark.contract


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
    before = leftovers_in_torch()
    end = leave()
    try:
        after = leftovers_in_torch()
    finally:
        end()
    assert [each for each, state in after.items() if state != before[each]] == [name]
    assert leftovers_in_torch() == before


def test_what_is_not_left_behind_is_not_seen() -> None:
    before = leftovers_in_torch()
    nn.Linear(2, 2).register_forward_hook(lambda *_: None)
    torch.set_default_device("meta")  # which is put back by itself
    try:
        assert leftovers_in_torch() == before
    finally:
        torch.set_default_device(None)


def test_the_hooks_of_a_tensor_are_seen() -> None:
    weight = nn.Parameter(torch.ones(2))
    assert not any(hooks_of(weight))
    gradient = weight.register_hook(lambda g: g)
    assert [bool(hooks) for hooks in hooks_of(weight)] == [True, False]
    gradient.remove()
    accumulated = weight.register_post_accumulate_grad_hook(lambda _: None)
    assert [bool(hooks) for hooks in hooks_of(weight)] == [False, True]
    accumulated.remove()
    assert not any(hooks_of(weight))


def test_what_is_written_in_place_is_counted() -> None:
    tensor = torch.ones(2)
    before = writes_of(tensor)
    tensor.add_(1)
    tensor[0] = 3
    assert writes_of(tensor) == before + 2
    _ = tensor + 1
    assert writes_of(tensor) == before + 2


class Counting(TorchDispatchMode):
    """Counts the operations that are made within it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def test_a_mode_sees_operations_but_those_without_modes() -> None:
    with Counting() as mode:
        torch.ones(2) + 1
        seen = mode.count
        with without_modes():
            torch.ones(2) + 1
    assert seen >= 2
    assert mode.count == seen


def test_a_fake_tensor_is_on_a_gpu_that_is_not_there_and_has_no_values() -> None:
    with FakeTensorMode():
        tensor = torch.empty(3, device="cuda")
        assert (tensor.device.type, tensor.shape) == ("cuda", (3,))
        with pytest.raises(DataDependentOutputException):
            (torch.ones(1) * 2).item()


def test_leaves_are_found_in_nested_containers() -> None:
    assert tree_leaves({"a": [1, (2, {"b": 3})], "c": 4}) == [1, 2, 3, 4]


def test_a_program_repeats_operations_also_those_that_only_write() -> None:
    """Torch's optimizer of such programs would leave the second one out."""
    one, two = Ref(outside=True, number=0), Ref(outside=True, number=1)
    made = [Ref(outside=False, number=number) for number in range(3)]
    program = Program(2, 1)
    program.add(ATEN.mul.Tensor, (one, 2), [0])  # a number for a tensor
    program.add(ATEN._foreach_add_.Scalar, ([one, two], Number(0)), [])
    program.add(ATEN.split.Tensor, (made[0], 1, 0), [1, 2])
    repeat = program.returning(made[2])
    a, b = torch.tensor([1.0, 2.0]), torch.zeros(3, requires_grad=True)
    for rate in (0.5, 0.25):
        with running_programs():
            assert repeat(a, b, rate).tolist() == [2 * a[1].item() - 2 * rate]
    assert (a.tolist(), b.tolist()) == ([1.75, 2.75], [0.75] * 3)


def test_what_a_program_cannot_do_raises() -> None:
    with pytest.raises(TypeError):
        Program(1, 0).add(ATEN.relu.default, (object(),), [0])
    with pytest.raises(RuntimeError, match="would become"):
        Program(1, 0).add(ATEN.pow.Tensor_Tensor, (Ref(outside=True, number=0), 2.0), [0])


def test_optimizers_are_built_without_the_compiler() -> None:
    program = (
        "import sys, torch\n"
        "from benchmnist.training.torch_internals import do_without_compiler\n"
        "do_without_compiler()\n"
        "weights = torch.nn.Linear(2, 2).parameters\n"
        "for optimizer in (torch.optim.SGD(weights()), torch.optim.Adam(weights(), fused=True)):\n"
        "    torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)\n"
        "    optimizer.zero_grad()\n"
        "print('torch._dynamo' in sys.modules)"
    )
    assert said_with_the_compiler(program) == "False\n"
