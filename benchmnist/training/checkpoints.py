"""Saves the weights of trials. A failure never costs the trial: it becomes a remark of the case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch

from benchmnist.errors import described
from benchmnist.extensions.isolation import not_exiting
from benchmnist.runs.files import write_file
from benchmnist.runs.store import checkpoint_name
from benchmnist.text import first_line_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from benchmnist.suites.cases import Case


class Checkpoints:
    """Saves the weights of the trials of one case.

    Attributes:
        remarks: What was not saved, and why.
    """

    def __init__(self, case: Case, run_folder: Path) -> None:
        self.case, self.run_folder = case, run_folder
        self.remarks: list[str] = []

    def save(self, seed: int, state_dict: Callable[[], Mapping[str, Any]]) -> str | None:
        """Writes the tensors of a state_dict; returns the file within the run folder, or None if that failed."""
        case, own_seed = self.case.row(seed)
        file = checkpoint_name(case, own_seed)
        of = f"seed {own_seed}" if case is self.case else f"seed {own_seed} of {case.id}"
        try:
            with not_exiting():
                content = self._content(of, state_dict())
            write_file(self.run_folder / file, content)
        except Exception as error:  # noqa: BLE001 - a model's state_dict, and a full disk, may raise anything
            self.remarks.append(f"the weights of {of} are not saved: {first_line_of(described(error))}")
            return None
        return file

    def _content(self, of: str, state: Mapping[str, Any]) -> bytes:
        tensors = {name: value for name, value in state.items() if _is_dense(value)}
        if others := [str(name) for name in state if name not in tensors]:
            self.remarks.append(f"the checkpoint of {of} lacks {', '.join(others)}: only dense tensors are saved")
        # A copy of each: safetensors refuses tensors that share memory, such as tied weights.
        copies = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
        return safetensors.torch.save(copies)


def _is_dense(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.layout == torch.strided
