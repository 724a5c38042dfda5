"""Matrix products of float32 on the CPU by oneDNN, which torch contains, in place of torch's usual library.

That library, MKL, uses half of what some processors can do. The kernels are replaced below autograd: gradients of
any order, autocast, `torch.func`, hooks and subclasses of nn.Linear are torch's own. Only the rounding differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmnist.training.torch_internals import kernels_replaced, onednn_product

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

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


def _mm(a: Tensor, b: Tensor) -> Tensor:
    """Computes `a @ b`."""
    if _are_ordinary(a, b):
        return onednn_product(a, b.t(), None)
    product: Tensor = ATEN.mm.out(a, b, out=a.new_empty(0))  # another overload, whose kernel is torch's own
    return product


def _addmm(bias: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Computes `beta * bias + alpha * a @ b`."""
    one_each = bias.shape == b.shape[1:] and bias.dtype == torch.float32 and bias.is_contiguous()
    if one_each and beta == 1 == alpha and _are_ordinary(a, b):
        return onednn_product(a, b.t(), bias)
    product: Tensor = ATEN.addmm.out(bias, a, b, beta=beta, alpha=alpha, out=a.new_empty(0))
    return product


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
