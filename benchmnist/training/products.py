"""Matrix products of float32 on the CPU by oneDNN, which torch contains, in place of torch's usual library.

That library, MKL, uses half of what some processors can do. The kernels are replaced below autograd: gradients of
any order, autocast, `torch.func`, hooks and subclasses of nn.Linear are torch's own. Only the rounding differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmnist.training.torch_internals import kernels_replaced, onednn_product

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    from torch import Tensor

ATEN = torch.ops.aten

MATRIX = 2
"""Number of dimensions."""


def products_by_onednn() -> AbstractContextManager[None]:
    """Has torch compute dense products of two float32 matrices on the CPU by oneDNN within it, in every thread.

    Raises:
        RuntimeError: on entering, if a plugin has replaced the same kernels.
    """
    return kernels_replaced("CPU", {"mm": _mm, "addmm": _addmm})


def computed_by_onednn(func: object, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Tells whether `products_by_onednn` computes an operation with those arguments by oneDNN."""
    if func is ATEN.mm.default:
        return _are_ordinary(*args)
    return func is ATEN.addmm.default and _is_layer(*args, **kwargs)


def _mm(a: Tensor, b: Tensor) -> Tensor:
    """Computes `a @ b`."""
    if _are_ordinary(a, b):
        return onednn_product(a, b.t(), None)
    product: Tensor = ATEN.mm.out(a, b, out=a.new_empty(0))  # another overload, whose kernel is torch's own
    return product


def _addmm(bias: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Computes `beta * bias + alpha * a @ b`."""
    if _is_layer(bias, a, b, beta=beta, alpha=alpha):
        return onednn_product(a, b.t(), bias)
    product: Tensor = ATEN.addmm.out(bias, a, b, beta=beta, alpha=alpha, out=a.new_empty(0))
    return product


def _is_layer(bias: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> bool:
    """Tells whether it is `a @ b` plus a bias for each column."""
    one_each = bias.shape == b.shape[1:] and bias.dtype == torch.float32 and bias.is_contiguous()
    return one_each and beta == 1 == alpha and _are_ordinary(a, b)


def _are_ordinary(a: Tensor, b: Tensor) -> bool:
    """Tells whether two matrices fit, are of float32, and lie in memory by rows or by columns."""
    return (
        a.ndim == b.ndim == MATRIX
        and a.dtype == b.dtype == torch.float32
        and a.shape[1] == b.shape[0]
        and _by_rows_or_columns(*a.shape, *a.stride())
        and _by_rows_or_columns(*b.shape, *b.stride())
    )


def _by_rows_or_columns(rows: int, columns: int, down: int, across: int) -> bool:
    return rows > 0 < columns and ((across == 1 and down >= columns) or (down == 1 and across >= rows))
