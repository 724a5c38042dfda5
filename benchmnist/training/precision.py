"""Rounding of float32 matrix products and convolutions during a training."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch

from benchmnist.errors import TrialError
from benchmnist.extensions.isolation import read_precision, write_precision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmnist.suites.cases import Precision


@contextlib.contextmanager
def precision_of(precision: Precision, device: torch.device) -> Iterator[None]:
    """Sets torch's precision of float32 to that of a case, and restores it.

    It is read as `fp32_precision` of torch 2.9, which never raises, and set so that the older `allow_tf32` agrees:
    a model or a library may read either during the training.

    Raises:
        TrialError: if the device does not have the precision.
    """
    if device.type != "cuda" and precision == "tf32":
        raise TrialError(f'precision = "tf32" needs an NVIDIA GPU, not {device.type}')
    word, tf32 = ("tf32", True) if precision == "tf32" else ("ieee", False)
    before = read_precision(torch)
    on_cpu = dict.fromkeys(("cpu_matmul", "cpu_conv", "cpu_rnn"), "ieee")
    wanted = before._replace(
        matmul=word,
        conv=word,
        rnn=word,
        **on_cpu,
        older_matmul="high" if tf32 else "highest",
        older_cudnn=tf32,
        older_tf32=tf32,
    )
    write_precision(torch, wanted)
    try:
        yield
    finally:
        write_precision(torch, before)


def tf32_flags() -> dict[str, bool]:
    """Returns whether products and convolutions are currently rounded to TF32."""
    now = read_precision(torch)
    return {"tf32": now.matmul == "tf32", "cudnn_tf32": now.conv == "tf32"}
