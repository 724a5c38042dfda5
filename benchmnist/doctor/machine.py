"""What is found on this machine without torch: Python, versions, cores, memory, disks, GPUs by their driver.

Each function looks at one thing and returns a line about it. They take the root of the file system and the like as
parameters, so that a test can hand them a machine that is made up.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from benchmnist.doctor.lines import Line
from benchmnist.training.gpus import gpus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from benchmnist.doctor.lines import State
    from benchmnist.training.gpus import Gpu

ROOT = Path("/")
GIB = 2**30
LITTLE_MEMORY, LITTLE_DISK, LITTLE_SHARED = 1 * GIB, 1 * GIB, 64 * 2**20
"""Bytes below which there is a warning: a worker takes half a GiB, a run a few MiB a case; torch's own threads and
Ray want shared memory, of which Docker gives 64 MiB."""
NO_DISK = 100 * 2**20
"""Bytes on a disk below which a run may not end well."""
OTHERS_MEMORY = 0.1
"""Share of a card's memory that others may use before it is said."""


def look(out: Path, data_root: Path) -> Iterator[Line]:
    """All of it, in the order in which it is shown."""
    yield python()
    yield versions(requires("benchmnist") or [])
    yield cores()
    yield load()
    yield memory()
    yield shared_memory()
    yield disk("runs", out, "choose another folder with --out")
    filled = (data_root / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file()
    yield disk("data-root", data_root, "choose another folder with --data-root or BENCHMNIST_DATA", filled=filled)
    for gpu in gpus(fresh=True):
        yield card(gpu, multi_process_service(os.environ))


def python() -> Line:
    """The interpreter and the system."""
    said = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Line(
        name="python",
        state="ok",
        said=said,
        figures={"python": platform.python_version(), "system": platform.platform()},
    )


def versions(requirements: Iterable[str], installed: Callable[[str], str] = version) -> Line:
    """The installed packages against the minimum versions that this one needs."""
    wrong, found = [], {}
    for requirement in map(Requirement, requirements):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found[requirement.name] = there = installed(requirement.name)
        except PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(there, prereleases=True):
            wrong.append(f"{requirement.name} {there} is not {requirement.specifier}")
    if not wrong:
        return Line(
            name="versions", state="ok", said=f"{len(found)} packages are as new as they must be", figures=found
        )
    return Line(
        name="versions",
        state="problem",
        said="; ".join(wrong),
        remedy="install benchmnist again with pip, which upgrades them",
        figures=found,
    )


def cores(root: Path = ROOT, environment: Mapping[str, str] = os.environ) -> Line:
    """The cores of this machine, those that this process may use, and the share of their time that it gets."""
    there = os.cpu_count() or 1
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    quota = cpu_quota(root)
    threads = environment.get("OMP_NUM_THREADS", "")
    figures = {"cores": there, "usable": ours, "quota": quota, "omp_num_threads": threads or None}
    said = f"{there}, of which this process may use {ours}"
    if quota is not None:
        said += f", with the time of {quota:g} (cgroup)"
    if threads:
        said += f"; OMP_NUM_THREADS={threads}"
    used = int(threads) if threads.isdigit() else ours
    if quota is not None and quota < used:
        enough = max(1, int(quota))
        remedy = f"set OMP_NUM_THREADS={enough}, and pass --jobs {enough} on the CPU"
        said += f": {used} threads wait for each other"
        return Line(name="cores", state="warning", said=said, remedy=remedy, figures=figures)
    return Line(name="cores", state="ok", said=said, figures=figures)


def cpu_quota(root: Path) -> float | None:
    """The cores' time that the cgroups allow; None where they set no limit."""
    found = []
    for file in _cgroup_files(root, "cpu", "cpu.max"):
        quota, _, period = file.read_text("ascii").partition(" ")
        found += [int(quota) / int(period)] if quota.strip() != "max" else []
    for file in _cgroup_files(root, "cpu", "cpu.cfs_quota_us"):
        quota, period = (file.with_name(name).read_text("ascii") for name in (file.name, "cpu.cfs_period_us"))
        found += [int(quota) / int(period)] if int(quota) > 0 else []
    return min(found, default=None)


def memory_limit(root: Path) -> int | None:
    """The bytes of memory that the cgroups allow; None where they set no limit."""
    found = [
        int(text)
        for name in ("memory.max", "memory.limit_in_bytes")
        for file in _cgroup_files(root, "memory", name)
        if (text := file.read_text("ascii").strip()) != "max"
    ]
    return min((limit for limit in found if limit < 2**60), default=None)  # version 1 says so of no limit


def _cgroup_files(root: Path, controller: str, name: str) -> Iterator[Path]:
    """The files of that name of this process's cgroup and of those above it, of version 2 or 1."""
    mount = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = next((top for each in (controllers, controller) if (top := mount / each).is_dir()), mount)
        place = top / path.lstrip("/")
        for folder in (place, *place.parents):
            if (folder / name).is_file():
                yield folder / name
            if folder == top:
                break


def load(root: Path = ROOT) -> Line:
    """What else the machine does."""
    words = _read(root / "proc/loadavg").split()
    if not words:
        return Line(name="load", state="unknown", said="this system does not tell its load")
    last, cores_there = float(words[0]), os.cpu_count() or 1
    said = f"{last:.1f} processes of the last minute, on {cores_there} cores"
    busy = last > cores_there / 2
    return Line(
        name="load",
        state="warning" if busy else "ok",
        said=f"{said}: times taken now are those of a busy machine" if busy else said,
        remedy="end what else runs before you time anything" if busy else "",
        figures={"load": last},
    )


def memory(root: Path = ROOT) -> Line:
    """The memory of this machine, how much of it is free, and what a container may have of it."""
    known = {key: int(value.split()[0]) * 1024 for key, _, value in _colons(_read(root / "proc/meminfo"))}
    limit = memory_limit(root)
    if "MemTotal" not in known:
        return Line(name="memory", state="unknown", said="this system does not tell", figures={"limit": limit})
    total, free = known["MemTotal"], known.get("MemAvailable", known.get("MemFree", 0))
    said = f"{_gib(free)} free of {_gib(total)}"
    said += f", {_gib(limit)} for this container" if limit is not None else ""
    little = min(free, limit if limit is not None else free) < LITTLE_MEMORY
    return Line(
        name="memory",
        state="warning" if little else "ok",
        said=said,
        remedy="each worker takes half a GiB: pass --jobs 1, or --executor inline" if little else "",
        figures={"total": total, "available": free, "limit": limit},
    )


def shared_memory(folder: Path = Path("/dev/shm")) -> Line:  # noqa: S108 - it is looked at, not written to
    """The memory that processes can share."""
    if not folder.is_dir():
        return Line(name="shared-memory", state="not here", said=f"no {folder} on this system")
    there = shutil.disk_usage(folder)
    little = there.total <= LITTLE_SHARED
    return Line(
        name="shared-memory",
        state="warning" if little else "ok",
        said=f"{_gib(there.free)} free of {_gib(there.total)} in {folder}",
        remedy="Ray needs more: start the container with a larger --shm-size" if little else "",
        figures={"total": there.total, "free": there.free},
    )


def disk(name: str, folder: Path, remedy: str, *, filled: bool = False) -> Line:
    """Whether there is room in a folder, and one may write there; it need not exist yet.

    Args:
        name: Name of the line.
        folder: The folder.
        remedy: What to do where it cannot be written to.
        filled: Whether what is needed is there already.
    """
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.is_dir())
    free = shutil.disk_usage(there).free
    figures = {"free": free}
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        said = f"cannot write to {there}: {error.strerror or error}"
        said += "; MNIST is there already" if filled else ""
        state: State = "warning" if filled else "problem"
        return Line(name=name, state=state, said=said, remedy=remedy, figures=figures)
    state = "problem" if free < NO_DISK else "warning" if free < LITTLE_DISK else "ok"
    said = f"{_gib(free)} free for {folder}"
    return Line(
        name=name,
        state=state,
        said=said,
        remedy="" if state == "ok" else f"make room, or {remedy}",
        figures=figures,
    )


def card(gpu: Gpu, mps: bool = False) -> Line:
    """A GPU as its driver describes it."""
    facts = [gpu.name, f"driver {gpu.driver}" if gpu.driver else ""]
    if gpu.memory_total is not None and gpu.memory_used is not None:
        facts.append(f"{_gib(gpu.memory_total - gpu.memory_used)} free of {_gib(gpu.memory_total)}")
    if gpu.clock is not None and gpu.max_clock is not None:
        facts.append(f"{gpu.clock} of {gpu.max_clock} MHz")
    facts += [f"{gpu.temperature} °C"] if gpu.temperature is not None else []
    if gpu.power is not None:
        facts.append(
            f"{gpu.power:.0f} W" if gpu.power_limit is None else f"{gpu.power:.0f} of {gpu.power_limit:.0f} W"
        )
    facts += ["a part of a card (MIG)" if gpu.uuid.startswith("MIG-") else "MIG is on"] if gpu.mig else []
    facts += ["MPS is on"] if mps else []
    wrong = [*_wrong_with(gpu)]
    states: list[State] = [state for state, _, _ in wrong]
    return Line(
        name=f"gpu-{gpu.index}",
        state="problem" if "problem" in states else "warning" if states else "ok",
        said="; ".join([", ".join(filter(None, facts)), *(said for _, said, _ in wrong)]),
        remedy="; ".join(remedy for _, _, remedy in wrong),
        figures={
            "name": gpu.name,
            "driver": gpu.driver,
            "cuda": gpu.cuda,
            "capability": gpu.capability,
            "memory_total": gpu.memory_total,
            "memory_used": gpu.memory_used,
            "compute_mode": gpu.compute_mode,
            "clock": gpu.clock,
            "max_clock": gpu.max_clock,
            "temperature": gpu.temperature,
            "power": gpu.power,
            "power_limit": gpu.power_limit,
            "mig": gpu.mig,
            "mps": mps,
            "slowed": gpu.slowed,
            "processes": len(gpu.processes),
        },
    )


def _wrong_with(gpu: Gpu) -> Iterator[tuple[State, str, str]]:
    """What is wrong with a card: how bad it is, what, and what to do."""
    default = f"sudo nvidia-smi -i {gpu.uuid} -c DEFAULT"
    if gpu.compute_mode == "PROHIBITED":
        yield "problem", "its compute mode PROHIBITED lets nothing run on it", default
    if gpu.compute_mode.startswith("EXCLUSIVE"):
        said = f"its compute mode {gpu.compute_mode} lets one process at a time use it"
        yield "warning", said, f"train with --jobs 1, or {default}"
    if gpu.slowed:
        yield (
            "warning",
            f"it is slowed: {', '.join(gpu.slowed)}",
            "look to its cooling and power before you time anything",
        )
    others = [process for process in gpu.processes if process.pid != os.getpid()]
    much = (gpu.memory_used or 0) > OTHERS_MEMORY * (gpu.memory_total or float("inf"))
    if others or much:
        who = ", ".join(_process(process.pid, process.memory) for process in others) or "others, out of our sight,"
        yield "warning", f"{who} use it", "times taken now are not of a card by itself; wait, or end them"


def _process(pid: int, memory_used: int | None) -> str:
    """`python (4711, 3.1 GiB)`."""
    name = _read(Path(f"/proc/{pid}/comm")).strip() or "process"
    return f"{name} ({pid}{f', {_gib(memory_used)}' if memory_used else ''})"


def multi_process_service(environment: Mapping[str, str]) -> bool:
    """Whether NVIDIA's MPS runs, with which several processes compute on a card at the same time."""
    return Path(environment.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps"), "control").exists()  # noqa: S108


def in_container(root: Path = ROOT) -> bool:
    """Whether this is a container of Docker's or Podman's kind."""
    return any((root / name).exists() for name in (".dockerenv", "run/.containerenv"))


def nvidia_hardware(root: Path = ROOT) -> bool:
    """Whether the PCI bus has a card of NVIDIA's."""
    return any(_read(vendor).strip() == "0x10de" for vendor in (root / "sys/bus/pci/devices").glob("*/vendor"))


def _colons(text: str) -> Iterator[tuple[str, str, str]]:
    return (line.partition(":") for line in text.splitlines())


def _read(file: Path) -> str:
    """The text of a file; nothing where there is none."""
    with contextlib.suppress(OSError):
        return file.read_text("utf-8", "replace")
    return ""


def _gib(size: float) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.0f} MiB"
