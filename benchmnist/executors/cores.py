"""How the cores of a processor, and the GPUs, are shared out among worker processes."""

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
    """What one worker has for itself.

    Attributes:
        threads: How many threads torch may use.
        cpus: The logical processors that it is kept on; none where it is not.
        gpu: CUDA_VISIBLE_DEVICES for it; None where it sees those that we see.
    """

    threads: int
    cpus: tuple[int, ...] = ()
    gpu: str | None = None


def auto_jobs(device: str, trials: int, gpus: int = 1) -> int:
    """How many trials to train at the same time: on a CPU one a core, elsewhere one a GPU."""
    return max(1, min(trials, available_threads() if device == "cpu" else gpus))


def shares(jobs: int, gpus: int = 1) -> list[Share]:
    """The cores, in so many equal shares; where there are fewer cores than that, one thread each, wherever.

    Of several GPUs each worker has one, in turn; with more workers than GPUs some share theirs.
    """
    threads = max(1, available_threads() // jobs)
    cores = _cores()
    cuts = [len(cores) * job // jobs for job in range(jobs + 1)]
    kept = [tuple(cpu for core in cores[low:high] for cpu in core) for low, high in itertools.pairwise(cuts)]
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")  # indices, or names as GPU-8932f937
    names = seen.split(",") if seen else [*map(str, range(gpus))]
    return [
        Share(threads, kept[job] if len(cores) >= jobs else (), names[job % gpus] if gpus > 1 else None)
        for job in range(jobs)
    ]


def taking_turns(device: str, jobs: int, gpus: int) -> str:
    """What has to be said of the times where several workers share a GPU; nothing where none do."""
    if not device.startswith("cuda") or jobs <= gpus or multi_process_service(os.environ):
        return ""
    return (
        f"{jobs} workers share {counted(gpus, 'GPU')} and take turns because MPS is not running, so times are "
        "longer than those of a single worker; start MPS (nvidia-cuda-mps-control -d) or remove --jobs"
    )


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
