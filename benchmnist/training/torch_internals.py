"""All uses of undocumented parts of torch. The tests are the contract for its new versions.

A test holds all other modules to what torch documents.
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import TYPE_CHECKING, Any

import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensor, FakeTensorMode
from torch.utils._device import DeviceContext
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._python_dispatch import _disable_current_modes as without_modes
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "DataDependentOutputException",
    "FakeTensor",
    "FakeTensorMode",
    "TorchDispatchMode",
    "hooks_of",
    "leftovers",
    "spare_compiler",
    "tree_leaves",
    "without_modes",
    "writes_of",
]

MODULES, OPTIMIZERS = "torch.nn.modules.module", "torch.optim.optimizer"
COMPILER = "torch._dynamo"


def leftovers() -> dict[str, object]:
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


def spare_compiler() -> None:
    """Keeps optimizers and modes from importing torch's compiler, which takes as long as importing torch itself.

    They import it only to mark what it has to leave alone. Once something else has imported it (`torch.compile`),
    they use it. A method that another version of torch marks in another way stays as it is, and imports it.
    """
    if COMPILER in sys.modules:
        return
    for found in (*_with_subclasses(torch.optim.Optimizer), *_with_subclasses(TorchDispatchMode)):
        for name, method in [*vars(found).items()]:
            plain = _without_marks(method)
            if plain is not None:
                setattr(found, name, _marked_if_compiling(method, plain))


def _with_subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _with_subclasses(each)


def _code_of(decorator: Callable[..., Any] | None) -> object:
    """Returns the code of what a decorator makes of a function; None if this version of torch has no such one."""
    return decorator and decorator(lambda: None).__code__


_NOT_COMPILED = _code_of(getattr(torch, "_disable_dynamo", None))
_STEP = _code_of(getattr(importlib.import_module(OPTIMIZERS), "_use_grad_for_differentiable", None))


def _without_marks(method: Any) -> Callable[..., Any] | None:
    """Returns what a method does without the marks for the compiler; None if it has none."""
    code, marked = getattr(method, "__code__", None), getattr(method, "__wrapped__", None)
    if marked is None or code not in (_NOT_COMPILED, _STEP):
        return None

    def step(self: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return marked(self, *args, **kwargs)

    return step if code is _STEP else marked


def _marked_if_compiling(method: Callable[..., Any], plain: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        return (method if COMPILER in sys.modules else plain)(*args, **kwargs)

    return call
