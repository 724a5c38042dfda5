"""Distributes the cores of a processor, and the GPUs, among worker processes."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

from benchmnist.text import counted
from benchmnist.training.environment import available_threads
from benchmnist.training.gpus import multi_process_service


@dataclass(frozen=True)
class Share:
    """Share of one worker.

    Attributes:
        threads: Number of threads that torch may use.
        cpus: Logical processors that the worker is pinned to; empty if it is not pinned.
        gpu: CUDA_VISIBLE_DEVICES of the worker; None to inherit ours.
    """

    threads: int
    cpus: tuple[int, ...] = ()
    gpu: str | None = None


def auto_jobs(device: str, trials: int, gpus: int = 1, threads: int = 1) -> int:
    """Returns how many trials to train at the same time: one per core on a CPU, one per GPU elsewhere.

    With several threads for each trial, there are as many cores fewer.
    """
    return max(1, min(trials, available_threads() // threads if device == "cpu" else gpus))


def shares(jobs: int, gpus: int = 1, threads: int | None = None) -> list[Share]:
    """Divides the cores into equal shares; with fewer cores than jobs, each share is one unpinned thread.

    Each has `threads` threads instead of its part of them, if given; it is not pinned to fewer cores than that.

    If the machine has several GPUs, each worker has one, in turn; with more workers than GPUs, some share a GPU.
    """
    equal = max(1, available_threads() // jobs)
    threads = threads or equal
    cores = _cores()
    cuts = [len(cores) * job // jobs for job in range(jobs + 1)]
    kept = [tuple(cpu for core in cores[low:high] for cpu in core) for low, high in itertools.pairwise(cuts)]
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")  # indices, or names as GPU-8932f937
    names = seen.split(",") if seen else [*map(str, range(gpus))]
    return [
        Share(
            threads,
            kept[job] if len(cores) >= jobs and threads <= equal else (),
            names[job % gpus] if gpus > 1 else None,
        )
        for job in range(jobs)
    ]


def taking_turns(device: str, jobs: int, gpus: int) -> str:
    """Returns a warning about times if several workers share a GPU; else nothing."""
    if not device.startswith("cuda") or jobs <= gpus or multi_process_service(os.environ):
        return ""
    return (
        f"{jobs} workers share {counted(gpus, 'GPU')} and take turns because MPS is not running, so times are "
        "longer than those of a single worker; start MPS (nvidia-cuda-mps-control -d) or remove --jobs"
    )


def _cores() -> list[tuple[int, ...]]:
    """Returns the logical processors of each usable core; empty if processes cannot be pinned."""
    if not hasattr(os, "sched_setaffinity"):  # macOS, Windows
        return []
    cores: dict[str, list[int]] = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        name = siblings.read_text("ascii").strip() if siblings.is_file() else str(cpu)
        cores.setdefault(name, []).append(cpu)
    return [tuple(cpus) for cpus in cores.values()]
