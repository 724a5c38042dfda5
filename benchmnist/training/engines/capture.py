"""Captures work on the device as a CUDA graph, and finds out beforehand whether it waits for the device."""

from __future__ import annotations

import contextlib
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmnist.errors import CaptureError, first_line
from benchmnist.garbage import not_collecting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from benchmnist.training.device import DeviceSession


NO_CAUSES = (torch.__path__[0], str(Path(__file__).parents[1]), "<")
"""Folders of the files that are not the cause of an error: torch's, and ours that train."""


@contextlib.contextmanager
def without_waiting(device: torch.device) -> Iterator[None]:
    """Turns every wait for the device into a CaptureError that says where it is."""
    if device.type != "cuda":
        yield
        return
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    except RuntimeError as error:
        if "synchronizing CUDA operation" not in str(error):
            raise
        raise CaptureError(f"a step waits for the device, {_where(error)}") from error
    finally:
        torch.cuda.set_sync_debug_mode(mode)


def captured(
    work: Callable[[], Any], session: DeviceSession, generators: Iterable[torch.Generator]
) -> Callable[[], Any]:
    """Captures work, which is not executed then; returns what replays it.

    Args:
        work: The work.
        session: The device.
        generators: Those that it draws from, beside the default one.

    Raises:
        CaptureError: if it cannot be captured; this process can then capture no more.
    """
    if session.device.type != "cuda":
        # There is nothing to capture with, but what would be captured can be held against the other engines.
        return work
    graph = torch.cuda.CUDAGraph()
    for generator in generators:
        graph.register_generator_state(generator)
    with not_collecting():  # what is collected during a capture may free memory, which is not allowed then
        try:
            with warnings.catch_warnings(), torch.cuda.graph(graph, stream=session.stream):
                warnings.filterwarnings("ignore", message="This instance was constructed with capturable=True")
                work()
        except Exception as error:
            # Where the capture was spoiled, its end raises too, and says nothing of the cause.
            cause = error.__context__ or error
            raise CaptureError(f"{first_line(cause)}, {_where(cause)}", spoiled=True) from error
    return graph.replay


def _where(error: BaseException) -> str:
    """Names the last line of an exception's traceback that is neither ours nor torch's, if there is one."""
    frames = traceback.extract_tb(error.__traceback__)
    strangers = [frame for frame in frames if not frame.filename.startswith(NO_CAUSES)]
    frame = (strangers or frames)[-1]
    return f"at {frame.filename}:{frame.lineno}: {frame.line or frame.name}"
