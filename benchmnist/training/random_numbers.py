"""The state of the random numbers of a process, so that another can draw from there."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


class RandomNumbers:
    """The random numbers of torch (also those of a GPU), Python and numpy, as they stand when this is made."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.keep()

    def keep(self) -> None:
        """Keeps how they stand."""
        self._host = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002 - what others draw
        self._on_gpu = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None

    def put_back(self) -> None:
        """Has them go on from where they stood, on the host even if the device is broken."""
        of_torch, of_python, of_numpy = self._host
        torch.set_rng_state(of_torch)
        random.setstate(of_python)
        np.random.set_state(of_numpy)  # noqa: NPY002
        if self._on_gpu is not None:
            with contextlib.suppress(RuntimeError):
                torch.cuda.set_rng_state(self._on_gpu, self.device)

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Has them go on from where they stood, and keeps how far they get; afterwards the others go on."""
        with put_back_afterwards(self.device):
            self.put_back()
            yield
            self.keep()


@contextlib.contextmanager
def put_back_afterwards(device: torch.device) -> Iterator[None]:
    """Has the random numbers go on from where they stood before, even if the device breaks within it."""
    numbers = RandomNumbers(device)
    try:
        yield
    finally:
        numbers.put_back()
