"""The built-in evaluation metrics, in addition to those of the task."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def top_k(*, k: int = 5) -> Callable[[Tensor, Tensor], Tensor]:
    """The percentage of examples whose class is among the k highest logits; of all classes, where those are fewer.

    Raises:
        ValueError: if k is less than 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")

    def hits(logits: Tensor, labels: Tensor) -> Tensor:
        return 100 * (logits.topk(min(k, logits.shape[1])).indices == labels[:, None]).sum()

    return hits
