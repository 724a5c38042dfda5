from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from click.testing import CliRunner, Result
from processes import STARTUP, WITHOUT_COMPILER

if "PYTEST_XDIST_WORKER" in os.environ:
    # The tests run side by side, a process a core: none may take all cores for itself. Before torch is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmnist.training.data import default_data_root
from benchmnist.training.gpus import read_gpus

# The same examples every time, however slow the machine is; `--hypothesis-profile=default` looks for new ones.
hypothesis.settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("steady")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from cuda_standin import Machine

    from benchmnist.extensions.specs import Dataset
    from benchmnist.runs.results import RunResult

ROOT = Path(__file__).parents[1]

# Two cases that train in a blink: on a real slice of the real data.
SMALL = """
[suite]
name = "small"
title = "A small suite"

[defaults]
epochs = 2
seeds = 2
train_size = 500
test_size = 200
batch_size = 50
baseline = "sgd"

[optimizers.sgd]
lr = 1e-2

[[cases]]
models = ["fc"]
optimizers = ["sgd", "adam"]
"""


KEPT = {"BENCHMNIST_DATA", "BENCHMNIST_LONG"}
CLEARED = {
    "CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "NO_COLOR", "PYTEST_ADDOPTS",
    "PYTEST_PLUGINS", "PYTEST_XDIST_WORKER", "TTY_COMPATIBLE", "TTY_INTERACTIVE",
}  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def _shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> None:
    """Has all tests share what takes long, in a folder of theirs: HOME may be missing, full or read-only."""
    from benchmnist.builtin.datasets import mnist

    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    os.environ.setdefault("BENCHMNIST_DATA", str(shared / "data"))
    save_few_images(mnist(root=default_data_root()), default_data_root())
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):  # the processes that tests start would compile all of torch
        os.environ["PYTHONPYCACHEPREFIX"] = str(shared / "bytecode")
    sys.path.insert(0, str(STARTUP))  # the PYTHONPATH of the workers of a LocalExecutor
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(STARTUP), os.environ.get("PYTHONPATH", "")]))
    os.environ[WITHOUT_COMPILER] = "1"


def save_few_images(dataset: Dataset, root: Path) -> None:
    """Saves the first 2,000 training and 1,000 test images, for `few_images`."""
    import torch

    few = dataset.first(2000, 1000)
    tensors = (few.train_images, few.train_labels, few.test_images, few.test_labels)
    file = root / f"few-images-{os.getpid()}.pt"  # the processes of xdist save it at the same time
    torch.save(tuple(tensor.clone() for tensor in tensors), file)
    file.replace(root / "few-images.pt")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs each test in a folder of its own, in 80 columns, on the CPU, and without what else would change it."""
    monkeypatch.chdir(tmp_path)
    for name in [*os.environ]:
        if name in CLEARED or (name.startswith("BENCHMNIST_") and name not in KEPT):
            monkeypatch.delenv(name)
    for name, value in {
        "BENCHMNIST_DEVICE": "cpu",
        "TERM": "xterm-256color",
        "COLUMNS": "80",
        "LINES": "24",
    }.items():
        monkeypatch.setenv(name, value)
    read_gpus.cache_clear()  # the cards that another test saw may have been the stand-in's


@pytest.fixture
def write_suite(tmp_path: Path) -> Callable[..., Path]:
    """Writes a suite and returns its path: the small one, or a text."""

    def write(text: str = SMALL, name: str = "suite.toml") -> Path:
        path = tmp_path / name
        path.write_text(textwrap.dedent(text), "utf-8")
        return path

    return write


def put_plugin(site: Path, name: str, source: str, version: str = "1.0") -> None:
    """Puts a plugin into a folder, as pip would."""
    module = f"benchmnist_{name}"
    sys.modules.pop(module, None)  # another test's, which stood in another folder
    (site / f"{module}.py").write_text(textwrap.dedent(source), "utf-8")
    info = site / f"{module}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: benchmnist-{name}\nVersion: {version}\n", "utf-8"
    )
    (info / "entry_points.txt").write_text(f"[benchmnist]\n{name} = {module}\n", "utf-8")


@pytest.fixture
def install_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Installs a plugin as pip would leave it: a module and its distribution's metadata on the path."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def install(name: str, source: str, version: str = "1.0") -> None:
        put_plugin(site, name, source, version)

    return install


FEW_IMAGES = """
import torch
from benchmnist import Dataset, DatasetSpec, hookimpl

def few(*, root):
    return Dataset(*torch.load(root / "few-images.pt"), tuple("0123456789"))

@hookimpl
def benchmnist_datasets():
    return [DatasetSpec(name="few", summary="The first of MNIST's images.", build=few)]
"""
OF_FEW_IMAGES = """
[datasets.mnist]
use = "few"
"""


@pytest.fixture(scope="session")
def with_few_images(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], AbstractContextManager[None]]:
    """Within it the dataset `few` is installed, which a suite with OF_FEW_IMAGES has in place of MNIST.

    MNIST is read, and its checksums are computed, before every run and in every process: 0.1 s or more.
    """
    site = tmp_path_factory.mktemp("few")
    put_plugin(site, "few", FEW_IMAGES)

    @contextlib.contextmanager
    def installed() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(site))
            yield

    return installed


@pytest.fixture
def few_images(with_few_images: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    with with_few_images():
        yield


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores for us: at any time some test waits for what it has started."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + 1


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "faults" not in config.option.markexpr:
        for item in items:
            if item.get_closest_marker("faults"):
                item.add_marker(pytest.mark.skip(reason="takes long; run it with -m faults"))


@pytest.fixture
def pip_install(tmp_path: Path) -> Callable[[Path], Path]:
    """Has pip install a distribution from a copy of its folder; returns the folder to put on the path."""

    def install(source: Path) -> Path:
        copy, site = tmp_path / "copies" / source.name, tmp_path / "pip-site"
        shutil.copytree(source, copy)  # a build leaves its traces beside the source
        flags = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", str(site)]
        subprocess.run([sys.executable, "-m", "pip", "install", *flags, str(copy)], check=True)
        for module in site.iterdir():
            sys.modules.pop(module.stem, None)  # another test's, which stood in another folder
        return site

    return install


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A finished run of the small suite, for tests that only look at it."""
    import benchmnist

    folder = tmp_path_factory.mktemp("small")
    suite = folder / "small.toml"
    suite.write_text(SMALL, "utf-8")
    run = benchmnist.run(suite, device="cpu", executor="inline", out=folder / "runs")
    benchmnist.write_report(run)
    return run


@pytest.fixture
def invoke() -> Callable[..., Result]:
    """Runs the command line in this process; standard output and error are told apart."""

    def run(*arguments: object, env: Mapping[str, str | None] | None = None, **options: Any) -> Result:
        from benchmnist.cli import cli

        return CliRunner().invoke(cli, [str(argument) for argument in arguments], env=env, **options)

    return run


@pytest.fixture
def machine() -> Iterator[Machine]:
    """Two imitated cards, for torch in this process; see tests/cuda_standin."""
    from standin_support import standin

    with standin(devices=2) as made:
        yield made


@pytest.fixture
def standin_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """Lets the processes that a test starts see imitated cards; returns their environment.

    What the test's own process starts (the workers of a LocalExecutor) sees them too. The contexts that are made
    are logged in `contexts.jsonl` in the test's folder, unless the option `log` says otherwise.
    """

    def see(**options: Any) -> dict[str, str]:
        from cuda_standin.processes import import_paths, process_environment

        environment = process_environment(**{"log": str(tmp_path / "contexts.jsonl"), **options})
        for name in ("PYTHONPATH", "CUDA_STANDIN"):
            monkeypatch.setenv(name, environment[name])
        for path in reversed(import_paths()):
            monkeypatch.syspath_prepend(path)
        return environment

    return see
