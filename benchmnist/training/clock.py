"""The clock: it waits for the device before every read, since a GPU works on after a call returns."""

from __future__ import annotations

import time

import torch


def synchronise(device: torch.device) -> None:
    """Waits until the device has done all that it was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class Clock:
    """A clock for what a device does."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __call__(self) -> float:
        """Seconds from an arbitrary origin, read once the device has come to rest."""
        synchronise(self.device)
        return time.perf_counter()
