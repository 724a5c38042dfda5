"""Findings about this machine without torch: Python, versions, cores, memory, disks.

Each function inspects one thing and returns a line about it. Parameters such as the root of the file system let a
test pass a made-up machine.
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
from benchmnist.errors import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from benchmnist.doctor.lines import State

ROOT = Path("/")
GIB = 2**30
LITTLE_MEMORY, LITTLE_DISK, LITTLE_SHARED = 1 * GIB, 1 * GIB, 64 * 2**20
"""Bytes below which a line is a warning: a worker needs half a GiB, a run a few MiB per case; torch's threads and
Ray need shared memory, of which Docker gives 64 MiB. A GPU with less free memory is practically full."""
NO_DISK = 100 * 2**20
"""Bytes on a disk below which a run may fail."""


def inspect_machine(out: Path, data_root: Path) -> Iterator[Line]:
    """Yields all lines in the order of their display."""
    filled = (data_root / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file()
    elsewhere = "choose another folder with"
    looks: Mapping[str, Callable[[], Line]] = {
        "python": python,
        "versions": lambda: versions(requires("benchmnist") or []),
        "cores": cores,
        "load": load,
        "memory": memory,
        "shared-memory": shared_memory,
        "runs": lambda: disk("runs", out, f"{elsewhere} --out"),
        "data-root": lambda: disk("data-root", data_root, f"{elsewhere} --data-root", filled=filled),
    }
    for name, find in looks.items():
        yield looked_at(name, find)


def looked_at(name: str, find: Callable[[], Line]) -> Line:
    """Returns a finding, or the exception that the inspection raises on an unusual system."""
    try:
        return find()
    except Exception as error:  # noqa: BLE001 - the other lines are worth having
        return Line(name=name, state="unknown", said=f"{type(error).__name__}: {error}")


def python() -> Line:
    """Describes the interpreter and the system."""
    said = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Line(
        name="python",
        state="ok",
        said=said,
        figures={"python": platform.python_version(), "system": platform.platform()},
    )


def versions(requirements: Iterable[str], installed: Callable[[str], str] = version) -> Line:
    """Compares the installed packages with the minimum versions that this package needs."""
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
            wrong.append(f"{requirement.name} {there} does not satisfy {requirement.specifier}")
    if not wrong:
        return Line(
            name="versions", state="ok", said=f"{len(found)} packages satisfy the required versions", figures=found
        )
    return Line(
        name="versions",
        state="problem",
        said="; ".join(wrong),
        remedy="reinstall benchmnist with pip, which upgrades them",
        figures=found,
    )


def cores(root: Path = ROOT, environment: Mapping[str, str] = os.environ) -> Line:
    """Counts the cores of this machine, those usable by this process, and the quota of their time."""
    there = os.cpu_count() or 1
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    quota = cpu_quota(root)
    threads = environment.get("OMP_NUM_THREADS", "")
    figures = {"cores": there, "usable": ours, "quota": quota, "omp_num_threads": threads or None}
    said = f"{there} ({ours} usable by this process)"
    if quota is not None:
        said += f", CPU time of {quota:g} (cgroup quota)"
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
    """Returns the CPU time that the cgroups allow, in cores; None without a limit."""
    found = []
    for file in _cgroup_files(root, "cpu", "cpu.max"):
        quota, _, period = file.read_text("ascii").partition(" ")
        found += [int(quota) / int(period)] if quota.strip() != "max" else []
    for file in _cgroup_files(root, "cpu", "cpu.cfs_quota_us"):
        quota, period = (file.with_name(name).read_text("ascii") for name in (file.name, "cpu.cfs_period_us"))
        found += [int(quota) / int(period)] if int(quota) > 0 else []
    return min(found, default=None)


def memory_limit(root: Path) -> int | None:
    """Returns the bytes of memory that the cgroups allow; None without a limit."""
    found = [
        int(text)
        for name in ("memory.max", "memory.limit_in_bytes")
        for file in _cgroup_files(root, "memory", name)
        if (text := file.read_text("ascii").strip()) != "max"
    ]
    return min((limit for limit in found if limit < 2**60), default=None)  # version 1 says so of no limit


def _cgroup_files(root: Path, controller: str, name: str) -> Iterator[Path]:
    """Yields the files of a name in this process's cgroup and its parents, of version 2 or 1."""
    mount = root / "sys/fs/cgroup"
    for line in read_file(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = next((top for each in (controllers, controller) if (top := mount / each).is_dir()), mount)
        deepest = top / path.lstrip("/")
        for folder in (deepest, *deepest.parents):
            if (folder / name).is_file():
                yield folder / name
            if folder == top:
                break


def load(root: Path = ROOT) -> Line:
    """Measures the load of the machine."""
    words = read_file(root / "proc/loadavg").split()
    if not words:
        return Line(name="load", state="unknown", said="this system does not report its load")
    last, cores_there = float(words[0]), os.cpu_count() or 1
    said = f"load average {last:.1f} over the last minute, on {cores_there} cores"
    busy = last > cores_there / 2
    return Line(
        name="load",
        state="warning" if busy else "ok",
        said=f"{said}: the machine is busy, so times measured now are too long" if busy else said,
        remedy="end other programs before you measure times" if busy else "",
        figures={"load": last},
    )


def memory(root: Path = ROOT) -> Line:
    """Measures the total and free memory, and the limit of a container."""
    known = {key: int(value.split()[0]) * 1024 for key, _, value in _colons(read_file(root / "proc/meminfo"))}
    limit = memory_limit(root)
    if "MemTotal" not in known:
        return Line(name="memory", state="unknown", said="not reported by this system", figures={"limit": limit})
    total, free = known["MemTotal"], known.get("MemAvailable", known.get("MemFree", 0))
    said = f"{gib(free)} free of {gib(total)}"
    said += f", {gib(limit)} for this container" if limit is not None else ""
    little = min(free, limit if limit is not None else free) < LITTLE_MEMORY
    return Line(
        name="memory",
        state="warning" if little else "ok",
        said=said,
        remedy="each worker needs half a GiB: pass --jobs 1 or --executor inline" if little else "",
        figures={"total": total, "available": free, "limit": limit},
    )


def shared_memory(folder: Path = Path("/dev/shm")) -> Line:  # noqa: S108 - it is looked at, not written to
    """Measures the memory that processes can share."""
    if not folder.is_dir():
        return Line(name="shared-memory", state="not here", said=f"no {folder} on this system")
    there = shutil.disk_usage(folder)
    little = there.total <= LITTLE_SHARED
    return Line(
        name="shared-memory",
        state="warning" if little else "ok",
        said=f"{gib(there.free)} free of {gib(there.total)} in {folder}",
        remedy="Ray needs more: start the container with a larger --shm-size" if little else "",
        figures={"total": there.total, "free": there.free},
    )


def disk(name: str, folder: Path, remedy: str, *, filled: bool = False) -> Line:
    """Checks that a folder, which need not exist yet, is writable and has room.

    Args:
        name: Name of the line.
        folder: The folder.
        remedy: Advice if the folder is not writable.
        filled: Whether the folder already has all that it needs.
    """
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    if not there.is_dir():
        return Line(name=name, state="problem", said=f"{there} is not a folder", remedy=remedy)
    free = shutil.disk_usage(there).free
    figures = {"free": free}
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        said = f"cannot write to {there}: {reason(error)}"
        said += "; MNIST is already there" if filled else ""
        state: State = "warning" if filled else "problem"
        return Line(name=name, state=state, said=said, remedy=remedy, figures=figures)
    state = "problem" if free < NO_DISK else "warning" if free < LITTLE_DISK else "ok"
    said = f"{gib(free)} free for {folder}"
    return Line(
        name=name,
        state=state,
        said=said,
        remedy="" if state == "ok" else f"free some space, or {remedy}",
        figures=figures,
    )


def in_container(root: Path = ROOT) -> bool:
    """Tells whether this process is in a Docker or Podman container."""
    return any((root / name).exists() for name in (".dockerenv", "run/.containerenv"))


def nvidia_hardware(root: Path = ROOT) -> bool:
    """Tells whether the PCI bus has an NVIDIA GPU."""
    return any(read_file(vendor).strip() == "0x10de" for vendor in (root / "sys/bus/pci/devices").glob("*/vendor"))


def _colons(text: str) -> Iterator[tuple[str, str, str]]:
    return (line.partition(":") for line in text.splitlines())


def read_file(file: Path) -> str:
    """Reads a file; returns nothing if it is missing."""
    with contextlib.suppress(OSError):
        return file.read_text("utf-8", "replace")
    return ""


def gib(size: float) -> str:
    """Formats a number of bytes."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.0f} MiB"
