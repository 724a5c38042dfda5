"""Estimates the memory of a stack before it is built: what fails for lack of it may take the process along."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.autograd.graph import saved_tensors_hooks

if TYPE_CHECKING:
    from torch import Tensor

    from benchmnist.training.fast_paths import Setting
    from benchmnist.training.trial import Trial

COPIES = 6
"""Tensors of a row as large as its parameters: model, stack, gradient, two states of the optimizer, one in use."""

SHARE = 0.5
"""Share of the free memory that a stack may take: other workers need some, and so do the steps for a moment."""

CGROUP_FILES = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""Limit and use of the memory of a container, in cgroups of version 2 and 1."""


def lacking(setting: Setting, trial: Trial, rows: int) -> str:
    """Returns why the device has no room for a stack of so many rows; empty if it has, or if that is unknown.

    Args:
        setting: The case.
        trial: A trial of it, of which a batch is computed; it is of no use afterwards.
        rows: Number of trials in the stack.
    """
    free = free_memory(setting.device)
    if free is None or rows < 2:  # noqa: PLR2004 - one row takes what a trial takes
        return ""
    needed = rows * _bytes_of_row(setting, trial)
    if needed <= SHARE * free:
        return ""
    return (
        f"{rows} trials would take about {needed / 2**30:.1f} GiB, more than half of the {free / 2**30:.1f} GiB "
        f"that are free on {setting.device}"
    )


def _bytes_of_row(setting: Setting, trial: Trial) -> int:
    """Returns the bytes of parameters, gradients, states and what a batch leaves for its backward pass."""
    images, labels = setting.session.data(setting.dataset).train
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    size = setting.case.batch_size
    with saved_tensors_hooks(keep, lambda tensor: tensor), trial.autocast(setting.device):
        trial.losses(images[:size].clone(), labels[:size].clone())
    parameters = sum(p.numel() * p.element_size() for p in trial.model.parameters())
    return COPIES * parameters + sum(kept.values())


def free_memory(device: torch.device) -> int | None:
    """Returns the bytes that this process can still have on a device; None if that is unknown."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    if device.type != "cpu":
        return None
    found: list[int] = []
    with contextlib.suppress(OSError, ValueError):  # not on macOS and Windows
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    for names in CGROUP_FILES:
        with contextlib.suppress(OSError, ValueError):  # of a container without a limit: max
            most, used = (int(Path("/sys/fs/cgroup", name).read_text("ascii")) for name in names)
            found.append(max(0, most - used))
    return min(found, default=None)
