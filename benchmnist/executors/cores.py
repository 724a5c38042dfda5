"""How the cores of a processor are shared out among worker processes."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

from benchmnist.training.environment import available_threads


@dataclass(frozen=True)
class Share:
    """What one worker has for itself.

    Attributes:
        threads: How many threads torch may use.
        cpus: The logical processors that it is kept on; none where it is not.
    """

    threads: int
    cpus: tuple[int, ...] = ()


def auto_jobs(device: str, trials: int) -> int:
    """How many trials to train at the same time: on a CPU one a core; elsewhere they would share one device."""
    return max(1, min(trials, available_threads())) if device == "cpu" else 1


def shares(jobs: int) -> list[Share]:
    """The cores, in so many equal shares; where there are fewer cores than that, one thread each, wherever."""
    threads = max(1, available_threads() // jobs)
    cores = _cores()
    if len(cores) < jobs:
        return [Share(threads)] * jobs
    cuts = [len(cores) * job // jobs for job in range(jobs + 1)]
    return [
        Share(threads, tuple(cpu for core in cores[low:high] for cpu in core))
        for low, high in itertools.pairwise(cuts)
    ]


def _cores() -> list[tuple[int, ...]]:
    """The logical processors of each core that there is for us; none where no process can be kept on one."""
    if not hasattr(os, "sched_setaffinity"):  # macOS, Windows
        return []
    cores: dict[str, list[int]] = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        name = siblings.read_text("ascii").strip() if siblings.is_file() else str(cpu)
        cores.setdefault(name, []).append(cpu)
    return [tuple(cpus) for cpus in cores.values()]
