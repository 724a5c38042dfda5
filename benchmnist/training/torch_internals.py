"""All uses of undocumented parts of torch. The tests are the contract for its new versions.

A test holds all other modules to what torch documents.
"""

from __future__ import annotations

import contextlib
import importlib
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensor, FakeTensorMode
from torch.utils._device import DeviceContext
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._python_dispatch import _disable_current_modes as without_modes
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = [
    "ONEDNN_PRODUCT",
    "DataDependentOutputException",
    "FakeTensor",
    "FakeTensorMode",
    "Number",
    "Program",
    "Ref",
    "TorchDispatchMode",
    "WeakTensorKeyDictionary",
    "arguments_of",
    "do_without_compiler",
    "hooks_of",
    "kernels_replaced",
    "leftovers_in_torch",
    "onednn_product",
    "running_programs",
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


def do_without_compiler() -> None:
    """Has optimizers be built without an import of torch's compiler, which is told to leave their methods alone.

    This is for a process that compiles nothing: whoever imports it later would compile these methods, too.
    """
    for method in vars(torch.optim.Optimizer).values():
        if function := getattr(method, "__wrapped__", None):
            setattr(function, "__dynamo_disable", function)  # where torch keeps what it has disabled


ONEDNN_PRODUCT: Any = getattr(getattr(torch.ops.mkldnn, "_linear_pointwise", None), "default", None)
"""`a @ b.T + bias` of float32 matrices by oneDNN; None if torch was built without it."""


def onednn_product(a: torch.Tensor, b: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Computes `a @ b.T + bias` of float32 matrices by oneDNN, without a gradient.

    Raises:
        TypeError: if torch was built without oneDNN.
    """
    product: torch.Tensor = ONEDNN_PRODUCT(a, b, bias, "none", [], "")
    return product


class Ref(NamedTuple):
    """A tensor of a program: an input, or one that it makes, each counted from 0."""

    outside: bool
    number: int


class Number(NamedTuple):
    """A float that a program is given, counted from 0."""

    place: int


def arguments_of(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments of an ATen operation in the order of its schema, with the defaults of the others."""
    schema = func._schema.arguments
    given = {each.name: value for each, value in zip(schema, args, strict=False)}
    return given | {each.name: kwargs.get(each.name, each.default_value) for each in schema[len(args) :]}


class Program:
    """ATen operations that torch's interpreter executes in their order, without Python.

    Args:
        inputs: Number of tensors that it is given.
        numbers: Number of floats that it is given after them.
    """

    def __init__(self, inputs: int, numbers: int) -> None:
        self._graph: Any = torch._C.Graph()
        self._values: dict[Ref | Number, Any] = {
            Ref(outside=True, number=number): self._graph.addInput() for number in range(inputs)
        }
        for index in range(numbers):
            self._values[Number(index)] = self._graph.addInput()
            self._values[Number(index)].setType(torch._C.FloatType.get())

    def add(self, func: Any, args: Sequence[Any], results: Sequence[int | None]) -> None:
        """Adds an operation.

        Args:
            func: The operation, with its overload.
            args: Arguments in the order of its schema, with a Ref for each tensor and a Number for each
                number that is given.
            results: Numbers of the tensors that it makes; None for one without a number.

        Raises:
            RuntimeError: if the interpreter does not know the operation with such arguments.
            TypeError: if it does not know the type of an argument.
        """
        schema = func._schema
        given = [self._value(arg, each.type) for arg, each in zip(args, schema.arguments, strict=True)]
        node = self._graph.appendNode(self._graph.create(schema.name, given, len(schema.returns)))
        overload, meant = (str(each).partition("(")[0] for each in (node.schema(), schema))
        if overload not in (meant, f"{schema.name}.Scalar"):  # a number given for a tensor
            raise RuntimeError(f"{meant} would become {overload}")
        if len(schema.returns) == 1 and isinstance(schema.returns[0].type, torch._C.ListType):
            node.output().setType(torch._C.ListType(torch._C.TensorType.get()))
            node = self._graph.appendNode(self._graph.create("prim::ListUnpack", [node.output()], len(results)))
        for index, number in enumerate(results):
            if number is not None:
                self._values[Ref(outside=False, number=number)] = node.outputsAt(index)

    def returning(self, tensor: Ref) -> Callable[..., torch.Tensor]:
        """Returns a function of the inputs that executes it, to be called in `running_programs`."""
        self._graph.registerOutput(self._values[tensor])
        function: Callable[..., torch.Tensor] = torch._C._create_function_from_graph("step", self._graph)
        return function

    def _value(self, argument: Any, kind: Any) -> Any:
        """Returns an argument as a value of the graph."""
        if isinstance(argument, Ref | Number):
            return self._values[argument]
        if isinstance(kind, torch._C.OptionalType) and argument is not None:
            kind = kind.getElementType()
        if isinstance(argument, list | tuple):
            elements = [self._value(each, kind.getElementType()) for each in argument]
            node = self._graph.appendNode(self._graph.create("prim::ListConstruct", elements, 1))
            node.output().setType(kind)
            return node.output()
        if isinstance(argument, torch.memory_format):
            argument = FORMATS[argument]
        as_float = type(argument) is int and isinstance(kind, torch._C.FloatType)
        return self._graph.insertConstant(float(argument) if as_float else argument)


FORMATS = {torch.contiguous_format: 0, torch.preserve_format: 1, torch.channels_last: 2, torch.channels_last_3d: 3}
"""The numbers of memory formats in torch's C++."""


@contextlib.contextmanager
def running_programs() -> Iterator[None]:
    """Has programs executed within it as they are, without gradients and without rewriting them."""
    optimized = torch._C._get_graph_executor_optimize()
    torch._C._set_graph_executor_optimize(False)
    try:
        with torch.no_grad():
            yield
    finally:
        torch._C._set_graph_executor_optimize(optimized)
