from __future__ import annotations

import gzip
import hashlib
import pickle
import re
import struct
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from processes import python_in_a_process

from benchmnist import run
from benchmnist.builtin import datasets
from benchmnist.errors import DataError, SuiteError
from benchmnist.training.data import check_dataset, default_data_root
from benchmnist.training.torchvision_repair import import_torchvision

if TYPE_CHECKING:
    from numpy.typing import NDArray


def idx(shape: tuple[int, ...], kind: int = 0x08, item: bytes = b"\1") -> bytes:
    """An IDX file of that shape."""
    count = 1
    for size in shape:
        count *= size
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + item * count


def put(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


LIKE_MNIST = {
    "train-images-idx3-ubyte": idx((20, 28, 28)),
    "train-labels-idx1-ubyte": idx((20,)),
    "t10k-images-idx3-ubyte": idx((10, 28, 28)),
    "t10k-labels-idx1-ubyte": idx((10,)),
}


def test_mnist_is_mnist() -> None:
    mnist = datasets.mnist(root=default_data_root())
    assert mnist.train_images.shape == (60000, 1, 28, 28)
    assert mnist.test_images.shape == (10000, 1, 28, 28)
    assert (mnist.train_images.dtype, mnist.train_labels.dtype) == (torch.uint8, torch.int64)
    assert (mnist.input_shape, mnist.num_classes) == ((1, 28, 28), 10)
    # The figures that everybody normalises with: 0.1307 and 0.3081.
    pixels = mnist.train_images.double() / 255
    assert pixels.mean().item() == pytest.approx(0.1307, abs=5e-5)
    assert pixels.std().item() == pytest.approx(0.3081, abs=5e-5)
    assert mnist.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.train_labels.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def test_mnist_is_what_torchvision_reads() -> None:
    import_torchvision()
    from torchvision.datasets import MNIST

    ours = datasets.mnist(root=default_data_root())
    for train, images, labels in (
        (True, ours.train_images, ours.train_labels),
        (False, ours.test_images, ours.test_labels),
    ):
        theirs = MNIST(default_data_root(), train=train)
        assert torch.equal(images.squeeze(1), theirs.data)
        assert torch.equal(labels, theirs.targets)
    assert ours.classes == tuple(theirs.classes)


def test_mnist_is_unpacked_once(tmp_path: Path) -> None:
    datasets.mnist(root=tmp_path)
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "MNIST" / "raw").iterdir()}
    assert {file.name for file in files} == set(datasets.MNIST_SHA256)
    datasets.mnist(root=tmp_path)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "MNIST" / "raw").iterdir()} == files


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_file_is_named_with_the_remedy_which_works(tmp_path: Path, damage: str) -> None:
    datasets.mnist(root=tmp_path)
    file = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    content = bytearray(file.read_bytes())
    if damage == "cut":
        del content[5000:]
    else:
        content[5000] ^= 1
    file.write_bytes(content)
    with pytest.raises(
        DataError, match=r"t10k-images-idx3-ubyte is damaged: .*; delete it, and it is unpacked again"
    ):
        datasets.mnist(root=tmp_path)
    file.unlink()
    datasets.mnist(root=tmp_path)


def test_processes_that_unpack_at_once_do_no_harm(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from benchmnist.builtin.datasets import mnist\n"
        "for turn in range(2):\n"
        f"    print(len(mnist(root=Path({str(tmp_path)!r}, str(turn))).train_images))"
    )
    with ThreadPoolExecutor() as threads:
        ended = [*threads.map(python_in_a_process, ["-c"] * 2, [program] * 2)]
    assert [process.stdout.split() for process in ended] == [["60000"] * 2] * 2
    for turn in range(2):
        assert {f.name for f in (tmp_path / str(turn) / "MNIST" / "raw").iterdir()} == set(datasets.MNIST_SHA256)


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "MNIST").write_text("a file where a folder should be", "utf-8")
    with pytest.raises(
        DataError, match=r"cannot write .*; choose a writable folder with --data-root or BENCHMNIST_DATA"
    ):
        datasets.mnist(root=tmp_path)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("name", "folder"), [("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")])
def test_files_in_the_data_root_are_taken_packed_or_not(
    tmp_path: Path, name: str, folder: str, packed: bool
) -> None:
    files = {f"{n}.gz": gzip.compress(c) for n, c in LIKE_MNIST.items()} if packed else LIKE_MNIST
    put(tmp_path / folder / "raw", files)
    dataset = getattr(datasets, name)(root=tmp_path)
    assert (len(dataset.train_images), len(dataset.test_images)) == (20, 10)
    assert dataset.num_classes == 10


def test_qmnists_labels_are_the_first_of_their_columns(tmp_path: Path) -> None:
    files = {}
    for part, size in (("train", 20), ("test", 10)):
        files[f"qmnist-{part}-images-idx3-ubyte"] = idx((size, 28, 28))
        rows = b"".join(struct.pack(">8i", i % 10, 9, 9, 9, 9, 9, 9, 9) for i in range(size))
        files[f"qmnist-{part}-labels-idx2-int"] = bytes([0, 0, 0x0C, 2]) + struct.pack(">2I", size, 8) + rows
    put(tmp_path / "QMNIST" / "raw", files)
    dataset = datasets.qmnist(root=tmp_path)
    assert dataset.train_labels.tolist() == [*range(10), *range(10)]
    assert dataset.test_labels.dtype == torch.int64


def test_emnist_is_the_balanced_split(tmp_path: Path) -> None:
    files = {}
    for part, size in (("train", 20), ("test", 10)):
        files[f"emnist-balanced-{part}-images-idx3-ubyte.gz"] = gzip.compress(idx((size, 28, 28)))
        files[f"emnist-balanced-{part}-labels-idx1-ubyte.gz"] = gzip.compress(idx((size,)))
    put(tmp_path / "EMNIST" / "raw", files)
    dataset = datasets.emnist(root=tmp_path)
    assert (len(dataset.train_images), dataset.num_classes) == (20, 47)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for proxy in ("http_proxy", "https_proxy"):  # a network that refuses at once, wherever this runs
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    for exception in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(exception, raising=False)
    monkeypatch.setattr(datasets, "DEBIAN_FASHION_MNIST", Path("/nonexistent"))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("name", "what"),
    [
        (
            "fashion_mnist",
            "install Debian's package dataset-fashion-mnist, or put these files there, or the same with .gz: ",
        ),
        *((name, "put these files there, or the same with .gz: ") for name in ("kmnist", "qmnist", "emnist")),
        ("cifar10", "put cifar-10-python.tar.gz there"),
        ("cifar100", "put cifar-100-python.tar.gz there"),
        ("svhn", "put train_32x32.mat and test_32x32.mat there"),
    ],
)
def test_without_files_and_network_the_error_says_what_to_put_where(tmp_path: Path, name: str, what: str) -> None:
    with pytest.raises(DataError, match=rf"cannot be downloaded \(.+\); {re.escape(what)}") as e:
        getattr(datasets, name)(root=tmp_path)
    assert str(e.value).count(str(tmp_path)) == 1


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["fashion-mnist", "emnist", "svhn"])
def test_the_error_of_a_suite_names_all_files_and_their_folder_whole(tmp_path: Path, name: str) -> None:
    suite = tmp_path / "suite.toml"
    suite.write_text(f'[[cases]]\ndataset = "{name}"\nmodels = ["logistic"]\noptimizers = ["sgd"]\n')
    root = tmp_path.joinpath(*["a-long-name-of-a-folder" * 8] * 4)
    with pytest.raises(SuiteError) as e:
        run(suite, data_root=root, out=tmp_path / "runs")
    said = str(e.value)
    assert said.count(str(root)) == 1
    assert "…" not in said
    assert said.endswith({"emnist": "labels-idx1-ubyte", "svhn": "there"}.get(name, "t10k-labels-idx1-ubyte"))


def test_the_files_of_debians_package_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "debian", {f"{n}.gz": gzip.compress(c) for n, c in LIKE_MNIST.items()})
    monkeypatch.setattr(datasets, "DEBIAN_FASHION_MNIST", tmp_path / "debian")
    assert len(datasets.fashion_mnist(root=tmp_path / "root").train_images) == 20


def pixels(count: int) -> NDArray[np.uint8]:
    """Other values in each channel, row and column of each image: [N, 3, 32, 32]."""
    return np.random.default_rng(0).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)


def with_digests_of(names: list[list[str]], folder: Path) -> list[list[str]]:
    """The files of that list with the digests of those in a folder: torchvision verifies them as its own."""
    return [[name, hashlib.md5((folder / name).read_bytes()).hexdigest()] for name, *_ in names]  # noqa: S324


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("class_name", "labels", "train", "test", "meta", "names"),
    [
        (
            "CIFAR10",
            "labels",
            [f"data_batch_{n}" for n in range(1, 6)],
            "test_batch",
            "batches.meta",
            "label_names",
        ),
        ("CIFAR100", "fine_labels", ["train"], "test", "meta", "fine_label_names"),
    ],
)
def test_cifar_is_read_from_its_batches(  # noqa: PLR0917 - the format
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    class_name: str,
    labels: str,
    train: list[str],
    test: str,
    meta: str,
    names: str,
) -> None:
    import_torchvision()
    from torchvision.datasets import cifar

    of = getattr(cifar, class_name)
    images, folder = pixels(7), tmp_path / of.base_folder
    folder.mkdir()
    for name in (*train, test):
        batch = {"data": images.reshape(7, -1), labels: [6, 5, 4, 3, 2, 1, 0]}
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / meta).write_bytes(pickle.dumps({names: [f"class {n}" for n in range(7)]}))
    with pytest.raises(DataError, match="or damaged there, and cannot be downloaded"):  # not CIFAR's own digests
        getattr(datasets, class_name.lower())(root=tmp_path)
    ((_, digest),) = with_digests_of([[meta]], folder)
    for field in ("train_list", "test_list"):
        monkeypatch.setattr(of, field, with_digests_of(getattr(of, field), folder))
    monkeypatch.setattr(of, "meta", of.meta | {"md5": digest})
    data = getattr(datasets, class_name.lower())(root=tmp_path)
    assert torch.equal(data.test_images, torch.from_numpy(images))
    assert torch.equal(data.train_images, torch.from_numpy(images).repeat(len(train), 1, 1, 1))
    assert data.train_labels.tolist() == [6, 5, 4, 3, 2, 1, 0] * len(train)
    assert data.test_labels.dtype == torch.int64
    assert data.classes[1] == "class 1"
    check_dataset(data, "it")


@pytest.mark.usefixtures("offline")
def test_svhn_is_read_from_its_matrices_and_its_ten_is_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_torchvision()
    from scipy.io import savemat
    from torchvision.datasets import SVHN

    images, folder, digests = pixels(10), tmp_path / "SVHN", dict(SVHN.split_list)
    folder.mkdir()
    for part in ("train", "test"):
        name = SVHN.split_list[part][1]
        savemat(folder / name, {"X": images.transpose(2, 3, 1, 0), "y": np.arange(1, 11, dtype=np.uint8)[:, None]})
        ((_, digest),) = with_digests_of([[name]], folder)
        digests[part] = [*SVHN.split_list[part][:2], digest]
    monkeypatch.setattr(SVHN, "split_list", digests)
    data = datasets.svhn(root=tmp_path)
    assert torch.equal(data.train_images, torch.from_numpy(images))
    assert data.test_labels.tolist() == [*range(1, 10), 0]
    check_dataset(data, "it")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (LIKE_MNIST["train-images-idx3-ubyte"][:-7], r"has 15,689 bytes where its header says 15,696"),
        (b"", "it is no IDX file; delete it"),
        (b"\0\0\x08\x03\0\0", "it is no IDX file"),
        (b"<html>not found</html>", "it is no IDX file"),
    ],
)
def test_a_damaged_idx_file_is_named(tmp_path: Path, content: bytes, expected: str) -> None:
    put(tmp_path / "KMNIST" / "raw", {**LIKE_MNIST, "train-images-idx3-ubyte": content})
    with pytest.raises(DataError, match=f"train-images-idx3-ubyte is damaged: .*{expected}"):
        datasets.kmnist(root=tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("train-images-idx3-ubyte", idx((20,)), "it has 1 dimensions of items of type 0x08, not 3 of ubyte"),
        ("train-images-idx3-ubyte", idx((20, 1, 1, 28, 28)), "it has 5 dimensions"),
        ("train-images-idx3-ubyte", idx((20, 28, 28), 0x0D, b"1234"), "of items of type 0x0d, not 3 of ubyte"),
        ("train-labels-idx1-ubyte", idx((20,), 0x09), "of items of type 0x09, not 1 of ubyte"),
        ("t10k-images-idx3-ubyte", idx((10, 0, 0)), "it has no items"),
        ("t10k-images-idx3-ubyte", idx((10, 14, 14)), "of 28×28, .*t10k-images-idx3-ubyte of 14×14 pixels"),
        ("t10k-labels-idx1-ubyte", idx((9,)), "t10k-images-idx3-ubyte has 10 images, .*t10k-labels.* 9 labels"),
    ],
)
def test_files_of_other_contents_are_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    put(tmp_path / "KMNIST" / "raw", LIKE_MNIST | {name: content})
    with pytest.raises(DataError, match=rf"{name}.*{said}|{said}"):
        datasets.kmnist(root=tmp_path)


def test_what_unpacks_to_more_than_it_says_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    put(tmp_path / "KMNIST" / "raw", {f"{n}.gz": gzip.compress(c) for n, c in LIKE_MNIST.items()})
    bomb = tmp_path / "KMNIST" / "raw" / "train-images-idx3-ubyte.gz"
    bomb.write_bytes(gzip.compress(idx((20, 28, 28)) + bytes(100_000_000)))
    tracemalloc.start()
    with pytest.raises(
        DataError, match=r"is damaged \(unpacked, it has more than the 15,696 bytes that its header"
    ):
        datasets.kmnist(root=tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    bomb.write_bytes(gzip.compress(idx((0, 1, 1))[:4] + struct.pack(">3I", 2**31, 2**31, 1)))
    with pytest.raises(DataError, match=r"its header says .* bytes, more than any of these datasets has"):
        datasets.kmnist(root=tmp_path)
    assert not bomb.with_suffix("").exists()


@pytest.mark.parametrize("content", [gzip.compress(idx((20, 28, 28)), mtime=0)[:-9], b"no gzip", b""])
def test_a_damaged_gz_file_is_named(tmp_path: Path, content: bytes) -> None:
    put(tmp_path / "KMNIST" / "raw", {"train-images-idx3-ubyte.gz": content})
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz is damaged \(.*\); replace it"):
        datasets.kmnist(root=tmp_path)


@pytest.mark.skipif(
    not datasets.DEBIAN_FASHION_MNIST.is_dir(), reason="Debian's dataset-fashion-mnist is not installed"
)
def test_the_real_fashion_mnist(tmp_path: Path) -> None:
    dataset = datasets.fashion_mnist(root=tmp_path)
    assert dataset.train_images.shape == (60000, 1, 28, 28)
    assert dataset.train_labels.bincount().tolist() == [6000] * 10
    assert dataset.classes[9] == "Ankle boot"
    # As published with the data: mean 0.2860, std 0.3530.
    assert (dataset.train_images.double() / 255).mean().item() == pytest.approx(0.2860, abs=5e-5)
