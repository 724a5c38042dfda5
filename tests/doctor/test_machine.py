"""What is found on machines that are made up: files of /proc and /sys in a folder, and GPUs as NVML would tell."""

from __future__ import annotations

import os
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from typing import TYPE_CHECKING

import pytest

from benchmnist.doctor import cards, machine, software
from benchmnist.doctor.software import blas_of, covers, look_at_device, why_no_cuda
from benchmnist.training.gpus import Gpu, Process, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    MakeUp = Callable[[Mapping[str, str]], Path]

GIB = 2**30


@pytest.fixture
def make_up(tmp_path: Path) -> MakeUp:
    """Writes the files of a machine under a root."""

    def write(files: Mapping[str, str]) -> Path:
        for name, text in files.items():
            file = tmp_path / "root" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
        return tmp_path / "root"

    return write


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        (
            {
                "proc/self/cgroup": "0::/outer/inner\n",
                "sys/fs/cgroup/outer/inner/cpu.max": "max 100000\n",
                "sys/fs/cgroup/outer/cpu.max": "50000 100000\n",
            },
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/7\n3:memory:/docker/7\n",
                "sys/fs/cgroup/cpu,cpuacct/docker/7/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu,cpuacct/docker/7/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            2.0,
        ),
    ],
)
def test_the_quota_of_the_cores(make_up: MakeUp, files: dict[str, str], quota: float | None) -> None:
    assert machine.cpu_quota(make_up(files)) == quota


def test_a_strange_system_spoils_one_line(make_up: MakeUp) -> None:
    root = make_up({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "plenty\n"})
    line = machine.looked_at("cores", lambda: machine.cores(root))
    assert (line.name, line.state) == ("cores", "unknown")
    assert line.said.startswith("ValueError: ")


def test_threads_that_share_too_little_time_are_warned_of(make_up: MakeUp) -> None:
    root = make_up({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"})
    line = machine.cores(root, {})
    assert line.state == "warning"
    assert " usable by this process), CPU time of 0.5 (cgroup quota)" in line.said
    assert line.said.startswith(f"{os.cpu_count()} (")
    assert line.remedy == "set OMP_NUM_THREADS=1, and pass --jobs 1 on the CPU"
    wide = make_up({"sys/fs/cgroup/cpu.max": "10000000 100000\n"})
    assert machine.cores(wide, {"OMP_NUM_THREADS": "3"}).state == "ok"
    assert machine.cores(wide, {"OMP_NUM_THREADS": "3"}).figures["omp_num_threads"] == "3"
    assert machine.cores(wide, {"OMP_NUM_THREADS": "200"}).state == "warning"


def test_memory_and_what_a_container_may_have_of_it(make_up: MakeUp) -> None:
    root = make_up({"proc/meminfo": "MemTotal:  8388608 kB\nMemFree: 10 kB\nMemAvailable:  4194304 kB\n"})
    line = machine.memory(root)
    assert (line.state, line.said) == ("ok", "4.0 GiB free of 8.0 GiB")
    make_up({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": f"{GIB // 2}\n"})
    line = machine.memory(root)
    assert (line.state, line.said) == ("warning", "4.0 GiB free of 8.0 GiB, 512 MiB for this container")
    assert "--jobs 1" in line.remedy
    make_up(
        {
            "proc/self/cgroup": "3:memory:/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",  # version 1 for none
        }
    )
    assert machine.memory(root).figures == {"total": 8 * GIB, "available": 4 * GIB, "limit": None}
    assert machine.memory(root / "nothing").state == "unknown"


def test_a_busy_machine_is_warned_of(make_up: MakeUp) -> None:
    assert machine.load(make_up({"proc/loadavg": "0.00 0.01 0.05 1/200 4711\n"})).state == "ok"
    busy = machine.load(make_up({"proc/loadavg": "9000.5 0.01 0.05 1/200 4711\n"}))
    assert (busy.state, busy.figures) == ("warning", {"load": 9000.5})
    assert machine.load(make_up({}) / "nothing").state == "unknown"


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    file = machine.disk("runs", tmp_path / "file" / "runs", "choose another")
    assert (file.state, file.said) == ("problem", f"{tmp_path / 'file'} is not a folder")
    there = machine.disk("runs", tmp_path / "not" / "yet", "choose another")
    assert "cannot write" not in there.said
    assert not (tmp_path / "not").exists()
    # Not even root writes to /proc.
    line = machine.disk("runs", machine.ROOT / "proc" / "runs", "choose another")
    assert line.state == "problem"
    assert line.said.startswith("cannot write to /proc: ")
    assert line.remedy == "choose another"
    line = machine.disk("data-root", machine.ROOT / "proc", "choose another", filled=True)
    assert (line.state, line.said.endswith("; MNIST is already there")) == ("warning", True)


def test_versions_are_held_against_the_minimum() -> None:
    installed = {"torch": "2.8.0+cu128", "rich": "14.0", "scipy": "1.15.0rc1"}

    def version(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    line = machine.versions(["torch>=2.9", "rich>=13.9", "scipy>=1.14", 'optuna>=4; extra == "tune"'], version)
    assert (line.state, line.said) == ("problem", "torch 2.8.0+cu128 does not satisfy >=2.9")
    assert line.figures == installed
    assert machine.versions(["numpy>=1"], version).said == "numpy is missing"
    assert machine.versions(["rich>=13.9"], version).state == "ok"


CARD = Gpu(
    index=0,
    uuid="GPU-1",
    name="NVIDIA Made Up 100",
    driver="550.1",
    cuda="12.4",
    capability=(9, 0),
    memory_total=80 * GIB,
    memory_used=GIB,
    compute_mode="DEFAULT",
    clock=345,
    max_clock=1980,
    temperature=34,
    power=71.4,
    power_limit=700.0,
)


def test_a_card_is_described_in_a_line() -> None:
    line = cards.card(CARD)
    assert (line.name, line.state, line.remedy) == ("gpu-0", "ok", "")
    assert line.said == (
        "NVIDIA Made Up 100, driver 550.1, 79.0 GiB free of 80.0 GiB, 345 of 1980 MHz, 34 °C, 71 of 700 W"
    )
    assert "MPS is on" in cards.card(CARD, mps=True).said
    assert cards.card(Gpu(0, "GPU-2", "Bare")).said == "Bare"  # a driver that tells nothing


@pytest.mark.parametrize(
    ("changes", "state", "said", "remedy"),
    [
        ({"compute_mode": "EXCLUSIVE_PROCESS"}, "warning", "one process at a time", "--jobs 1"),
        (
            {"compute_mode": "PROHIBITED"},
            "problem",
            "PROHIBITED allows no process",
            "nvidia-smi -i GPU-1 -c DEFAULT",
        ),
        ({"slowed": ("power brake",)}, "warning", "throttled: power brake", "cooling"),
        ({"memory_used": 40 * GIB}, "warning", "also used by processes that are not visible here", "wait"),
        (
            {"processes": (Process(2**22 + 1, 3 * GIB),)},
            "warning",
            "also used by process (4194305, 3.0 GiB)",
            "end them",
        ),
        ({"processes": (Process(os.getpid(), None),)}, "ok", "", ""),
        ({"mig": True}, "ok", "MIG is on", ""),
        ({"name": ""}, "problem", "the GPU does not answer", "restart the machine"),
        ({"memory_used": 80 * GIB - 2**20}, "warning", "little free memory", "end what holds it"),
    ],
)
def test_what_is_wrong_with_a_card(changes: dict[str, object], state: str, said: str, remedy: str) -> None:
    line = cards.card(replace(CARD, **changes))  # type: ignore[arg-type]
    assert line.state == state
    assert said in line.said
    assert remedy in line.remedy


def test_a_process_has_no_name_where_the_numbers_of_processes_are_others() -> None:
    taken = replace(CARD, processes=(Process(os.getppid(), 3 * GIB),))
    assert f"also used by process ({os.getppid()}, 3.0 GiB)" in cards.card(taken, contained=True).said
    assert f"also used by process ({os.getppid()}, 3.0 GiB)" not in cards.card(taken).said


def test_cards_that_differ_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(CARD, index=1, name="NVIDIA Made Up 10")
    monkeypatch.setattr(cards, "gpus", lambda **_: (CARD, other))
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    lines = [*cards.inspect_cards()]
    assert [line.state for line in lines] == ["warning", "warning"]
    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in lines[0].remedy
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert [line.state for line in cards.inspect_cards()] == ["ok", "ok"]


ALL, NONE = Reading((CARD,)), Reading()
PARTED = Reading((replace(CARD, mig=True),))
NVIDIA = {"sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de\n"}


@pytest.mark.parametrize(
    ("cuda", "visible", "there", "files", "why", "remedy"),
    [
        (
            None,
            ALL,
            ALL,
            {},
            "torch 2.13.0 is built without CUDA, but this machine has NVIDIA Made Up 100",
            "install a build",
        ),
        ("12.6", NONE, ALL, {}, "CUDA_VISIBLE_DEVICES='' hides NVIDIA Made Up 100", "unset"),
        ("13.0", ALL, ALL, {}, "driver 550.1 supports CUDA up to 12.4, but torch 2.13.0 needs 13.0", "upgrade"),
        ("12.6", ALL, ALL, {}, "the driver answers, but torch cannot use the GPU: no", "restart"),
        ("12.6", PARTED, PARTED, {}, "MIG is on, so programs need an instance", "nvidia-smi mig -cgi"),
        ("12.6", NONE, Reading((), "Driver/library version mismatch"), NVIDIA, "was upgraded", "restart"),
        ("12.6", NONE, Reading((), "Not Found"), {**NVIDIA, ".dockerenv": ""}, "this container", "--gpus all"),
        (
            "12.6",
            NONE,
            Reading((), "Not Found"),
            NVIDIA,
            "does not answer, but the machine has a GPU: Not",
            "driver",
        ),
        (None, NONE, NONE, {".dockerenv": ""}, "this machine has no NVIDIA GPU", "use --device cpu"),
    ],
)
def test_why_there_is_no_cuda(  # noqa: PLR0917 - the columns of a table
    make_up: MakeUp,
    monkeypatch: pytest.MonkeyPatch,
    cuda: str | None,
    visible: Reading,
    there: Reading,
    files: dict[str, str],
    why: str,
    remedy: str,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    said, to_do = why_no_cuda(
        "2.13.0", cuda, visible, there, root=make_up({"proc/version": "", **files}), words="no"
    )
    assert why in said
    assert remedy in to_do


@pytest.mark.usefixtures("machine")
def test_a_card_that_works_and_of_which_the_driver_says_nothing_is_warned_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert look_at_device(None, "cuda:0").state == "ok"
    monkeypatch.setattr(software, "read_gpus", lambda _: Reading(problem="Unknown Error"))
    line = look_at_device(None, "cuda:0")
    assert line.state == "warning"
    assert "works; torch sees 2 GPUs; NVML does not report it (Unknown Error)" in line.said


@pytest.mark.parametrize(
    ("archs", "capability", "runs"),
    [
        (["sm_80", "sm_90"], (9, 0), True),
        (["sm_80"], (8, 6), True),
        (["sm_86"], (8, 0), False),
        (["sm_80"], (9, 0), False),
        (["sm_80", "compute_80"], (9, 0), True),
        (["sm_90a", "sm_100", "sm_120"], (12, 0), True),
        (["sm_75", "sm_120"], (7, 0), False),
    ],
)
def test_whether_torch_has_code_for_a_card(archs: list[str], capability: tuple[int, int], runs: bool) -> None:
    assert covers(archs, capability) == runs


def test_the_library_that_multiplies() -> None:
    assert blas_of("PyTorch built with:\n  - Build settings: BLAS_INFO=mkl, BUILD_TYPE=Release,") == "MKL"
    assert blas_of("BLAS_INFO=open, USE_CUDA=0") == "OpenBLAS"
    assert blas_of("PyTorch built with:") == "an unknown BLAS"
