"""All uses of undocumented parts of torch. The tests are the contract for its new versions.

A test holds all other modules to what torch documents.
"""

from __future__ import annotations

import contextlib
import importlib
import warnings
from typing import TYPE_CHECKING

import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensor, FakeTensorMode
from torch.utils._device import DeviceContext
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._python_dispatch import _disable_current_modes as without_modes
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "DataDependentOutputException",
    "FakeTensor",
    "FakeTensorMode",
    "TorchDispatchMode",
    "hooks_of",
    "kernels_replaced",
    "leftovers_in_torch",
    "onednn_product",
    "tree_leaves",
    "without_modes",
    "writes_of",
]

MODULES, OPTIMIZERS = "torch.nn.modules.module", "torch.optim.optimizer"


def leftovers_in_torch() -> dict[str, object]:
    """Returns what a case may leave in its process and torch cannot restore: global hooks and modes, by name.

    torch documents how each is made, and of none how to see that it is there.
    """
    depth, dispatches = torch._C._len_torch_function_stack(), torch._C._len_torch_dispatch_stack()
    modes = [torch._C._get_function_stack_at(index) for index in range(depth)]
    functions = sum(not isinstance(mode, DeviceContext) for mode in modes)  # a default device is put back
    return {
        "a hook on all modules": _keys(MODULES),
        "a hook on all optimizers": _keys(OPTIMIZERS),
        "a mode for all of torch's functions": functions,
        "a mode for all of torch's operations": dispatches,
        "a hook on all saved tensors": torch._C._autograd._top_saved_tensors_default_hooks(True),
        "inference mode": torch.is_inference_mode_enabled(),
    }


def _keys(module: str) -> dict[str, tuple[object, ...]]:
    """Returns the handles in each of the global dictionaries of hooks in a module of torch."""
    names = vars(importlib.import_module(module))
    hooks = {
        name: found for name, found in names.items() if name.startswith("_global_") and isinstance(found, dict)
    }
    return {name: tuple(found) for name, found in hooks.items()}


def hooks_of(tensor: torch.Tensor) -> tuple[object, object]:
    """Returns the hooks on the gradient of a tensor, and those after its accumulation; each may be None."""
    return tensor._backward_hooks, tensor._post_accumulate_grad_hooks


def writes_of(tensor: torch.Tensor) -> int:
    """Returns how often the tensor was written in place; not of one that was made in inference mode."""
    return int(tensor._version)


@contextlib.contextmanager
def kernels_replaced(device: str, kernels: Mapping[str, Callable[..., torch.Tensor]]) -> Iterator[None]:
    """Replaces torch's kernels of operations, by the names of their default overloads, on a type of device.

    Raises:
        RuntimeError: if a kernel has been replaced in Python already.
    """
    library = torch.library.Library("aten", "IMPL")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Warning only once for all operators")
            for name, kernel in kernels.items():
                library.impl(name, kernel, device, allow_override=False)
        yield
    finally:
        library._destroy()


def onednn_product(a: torch.Tensor, b: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Computes `a @ b.T + bias` of float32 matrices by oneDNN, without a gradient.

    Raises:
        AttributeError: if torch was built without oneDNN.
    """
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise.default(a, b, bias, "none", [], "")
    return product
