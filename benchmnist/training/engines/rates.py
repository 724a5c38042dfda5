"""Learning rates on the device: a row for each step of an epoch, which a captured step reads by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from benchmnist.errors import CaptureError

if TYPE_CHECKING:
    from benchmnist.training.trial import Trial

AHEAD = 50
"""Steps by which a schedule is ahead at most. The device computes those while the host makes the next ones."""


class Rates:
    """The learning rates of an epoch on the device, [steps, groups].

    A number would be captured as it is now. So the optimizer holds tensors, and each step sets them from its row
    (`set`). The schedule itself finds numbers, since many schedules compute the next rate from the last one, and
    reading that from a GPU would mean to wait for it. A schedule that depends on the number of the step alone is
    stepped ahead, while the device computes; any other one just before the step that needs its rate.

    Args:
        trial: The trial, whose schedule has not begun the epoch.
        steps: Number of steps of an epoch, at most.
        device: Device on which the trial is trained.
        ahead: Whether the schedule depends on the number of the step alone.
    """

    def __init__(self, trial: Trial, steps: int, device: torch.device, *, ahead: bool) -> None:
        self.schedule = trial.schedule
        self.groups = [*trial.optimizer.param_groups] if self.schedule is not None else []
        self.ahead = AHEAD if ahead else 1
        self.staged = torch.zeros(steps, len(self.groups), pin_memory=device.type == "cuda")
        self.table = torch.zeros(steps, len(self.groups), device=device)
        self.row = torch.zeros(1, len(self.groups), device=device)
        self.tensors = self.row[0].unbind()
        self.numbers: list[Any] = []  # of the groups, while they hold the tensors
        self.known = 0  # rows of the table
        self.steps = steps

    def begin(self, steps: int) -> None:
        """Begins an epoch, or a part of one, of so many steps: the schedule is not stepped beyond them."""
        self.steps = steps

    def reach(self, step: int, count: int = 1, *, first: bool = False) -> None:
        """Has the rows of steps of the epoch on the device, and gives the optimizer tensors.

        Args:
            step: The first of the steps, counted from 0; all steps before it have been reached.
            count: Their number.
            first: Whether the optimizer has made no step yet: then its schedule must not be ahead.
        """
        if self.schedule is None or step + count <= self.known:
            return
        start = self.known
        stop = min(max(step + count, start + (1 if first else self.ahead)), self.steps)
        self._take_back()
        rows = []
        for index in range(start, stop):
            if index:
                self.schedule.step()
            rows.append([float(group["lr"]) for group in self.groups])
        self.staged[start:stop] = torch.tensor(rows)
        self.table[start:stop].copy_(self.staged[start:stop], non_blocking=True)
        self.known = stop
        self.numbers = [group["lr"] for group in self.groups]
        for group, tensor in zip(self.groups, self.tensors, strict=True):
            group["lr"] = tensor

    def set(self, step: torch.Tensor) -> None:
        """Sets the optimizer's tensors to the row of a step, [1], on the device; this may be captured."""
        if self.schedule is not None:
            torch.index_select(self.table, 0, step, out=self.row)

    def require_kept(self, step: int) -> None:
        """Checks that the optimizer has left the rates of a step alone; this waits for the device.

        Raises:
            CaptureError: if it has not.
        """
        for group, tensor, number in zip(self.groups, self.tensors, self.staged[step].tolist(), strict=True):
            if group["lr"] is not tensor or tensor.item() != number:
                raise CaptureError(
                    "the optimizer changes lr from step to step, beside the schedule; a graph cannot see it"
                )

    def end(self) -> None:
        """Ends the epoch: makes the last step of the schedule, and gives the optimizer numbers again."""
        self._take_back()
        self.known = 0
        if self.schedule is not None:
            self.schedule.step()

    def _take_back(self) -> None:
        for group, number in zip(self.groups, self.numbers, strict=False):  # none, where they have been given back
            group["lr"] = number
        self.numbers = []
