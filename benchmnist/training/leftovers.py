"""State that a case may leave in its process, and that torch cannot restore: global hooks, and modes.

torch documents how each is made, and none of it how to see that it is there: a test makes each of them.
"""

from __future__ import annotations

import importlib

import torch
from torch.utils._device import DeviceContext

MODULES, OPTIMIZERS = "torch.nn.modules.module", "torch.optim.optimizer"


def leftovers() -> dict[str, object]:
    """Returns the state of each kind, by name; a change of it by a case affects the next cases."""
    depth, dispatches = torch._C._len_torch_function_stack(), torch._C._len_torch_dispatch_stack()  # noqa: SLF001
    modes = [torch._C._get_function_stack_at(place) for place in range(depth)]  # noqa: SLF001
    functions = sum(not isinstance(mode, DeviceContext) for mode in modes)  # a default device is put back
    return {
        "a hook on all modules": _keys(MODULES),
        "a hook on all optimizers": _keys(OPTIMIZERS),
        "a mode for all of torch's functions": functions,
        "a mode for all of torch's operations": dispatches,
        "a hook on all saved tensors": torch._C._autograd._top_saved_tensors_default_hooks(True),  # noqa: SLF001
        "inference mode": torch.is_inference_mode_enabled(),
    }


def _keys(module: str) -> dict[str, tuple[object, ...]]:
    """Returns the handles in each of the global dictionaries of hooks in a module of torch."""
    names = vars(importlib.import_module(module))
    hooks = {
        name: found for name, found in names.items() if name.startswith("_global_") and isinstance(found, dict)
    }
    return {name: tuple(found) for name, found in hooks.items()}
