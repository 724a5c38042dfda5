"""The clock: it waits for the device before every reading, since a GPU continues after a call returns."""

from __future__ import annotations

from time import perf_counter

import torch


def synchronise(device: torch.device) -> None:
    """Waits until the device has finished all of its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class Clock:
    """A clock of the work of a device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __call__(self) -> float:
        """Waits for the device, and returns the seconds since an arbitrary origin."""
        synchronise(self.device)
        return perf_counter()  # by its own name: a plugin may replace that of the module
