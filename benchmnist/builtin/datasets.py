"""The built-in datasets: MNIST from the package itself, and similar ones through torchvision."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import math
import struct
import zlib
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

from benchmnist.errors import DataError, StoreError
from benchmnist.extensions.specs import Dataset
from benchmnist.runs.files import write_file
from benchmnist.text import last_line_of, one_line
from benchmnist.training.torchvision_repair import import_torchvision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""The digests of the unpacked files of `benchmnist/builtin/data/mnist/`."""

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
"""The folder of Debian's package dataset-fashion-mnist."""
LONGEST_REASON = 200
"""Characters of the reason why a download failed."""

MNIST_CLASSES = (
    "0 - zero",
    "1 - one",
    "2 - two",
    "3 - three",
    "4 - four",
    "5 - five",
    "6 - six",
    "7 - seven",
    "8 - eight",
    "9 - nine",
)
"""The names that torchvision uses."""

IDX_ITEM_BYTES = {0x08: 1, 0x09: 1, 0x0B: 2, 0x0C: 4, 0x0D: 4, 0x0E: 8}
"""Bytes per item, by the third byte of an IDX file (http://yann.lecun.com/exdb/mnist/ describes the format)."""

IDX_ITEMS = {"ubyte": 0x08, "int": 0x0C}
"""The third byte of an IDX file, by the end of its name."""

MAX_UNPACKED = 2**30
"""Bytes: the largest of these files, EMNIST's by class, has half of that."""

MAX_IDX_HEADER = 64
"""Bytes that are enough for the header of any of these files, which have one to three dimensions."""


def mnist(*, root: Path) -> Dataset:
    """Loads MNIST: unpacks it from the package to `root` the first time, and verifies its checksums every time.

    Raises:
        DataError: if a file is damaged; names it, and says how to put it right.
    """
    import numpy as np

    folder = root / "MNIST" / "raw"
    read = []
    for name, expected in MNIST_SHA256.items():
        file = folder / name
        if not file.is_file():
            packed = resources.files("benchmnist.builtin") / "data" / "mnist" / f"{name}.gz"
            with resources.as_file(packed) as source:
                _unpack(source, file, remedy="reinstall benchmnist")
        content = np.fromfile(file, np.uint8)  # which a tensor can have without a copy
        if hashlib.sha256(content.data).hexdigest() != expected:
            raise DataError(f"{file} is damaged: its sha256 is not MNIST's; delete it, and it is unpacked again")
        read.append(_tensor(content))
    train_images, train_labels, test_images, test_labels = read
    return Dataset(
        train_images.unsqueeze(1), train_labels.long(), test_images.unsqueeze(1), test_labels.long(), MNIST_CLASSES
    )


def _tensor(content: NDArray[np.uint8]) -> Tensor:
    """Returns the bytes of an IDX file in their shape, without importing torchvision, which takes two seconds."""
    import torch

    dimensions = int(content[3])
    shape = struct.unpack_from(f">{dimensions}I", content.data, 4)
    return torch.frombuffer(content, dtype=torch.uint8, offset=4 + 4 * dimensions).view(shape)


def fashion_mnist(*, root: Path) -> Dataset:
    """Fashion-MNIST (Xiao, Rasul, Vollgraf 2017)."""
    _from_debian(DEBIAN_FASHION_MNIST, root / "FashionMNIST" / "raw")
    package = "install Debian's package dataset-fashion-mnist, or "
    return _mnist_like("FashionMNIST", root, MNIST_SHA256, package=package)


def kmnist(*, root: Path) -> Dataset:
    """Kuzushiji-MNIST (Clanuwat et al. 2018)."""
    return _mnist_like("KMNIST", root, MNIST_SHA256)


def qmnist(*, root: Path) -> Dataset:
    """QMNIST (Yadav, Bottou 2019): MNIST rebuilt, with all 60,000 test images."""
    names = [
        f"qmnist-{part}-{kind}" for part in ("train", "test") for kind in ("images-idx3-ubyte", "labels-idx2-int")
    ]
    return _mnist_like("QMNIST", root, names)


def emnist(*, root: Path) -> Dataset:
    """EMNIST, the balanced split (Cohen et al. 2017). Its images lie transposed, as NIST stores them."""
    names = [
        f"emnist-balanced-{part}-{kind}"
        for part in ("train", "test")
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
    ]
    return _mnist_like("EMNIST", root, names, split="balanced")


def cifar10(*, root: Path) -> Dataset:
    """CIFAR-10 (Krizhevsky 2009)."""
    return _cifar("CIFAR10", root, "cifar-10")


def cifar100(*, root: Path) -> Dataset:
    """CIFAR-100 with its fine labels (Krizhevsky 2009)."""
    return _cifar("CIFAR100", root, "cifar-100")


def svhn(*, root: Path) -> Dataset:
    """Street View House Numbers, cropped digits (Netzer et al. 2011), without the additional training images."""
    folder = root / "SVHN"
    train, test = _checked_by_torchvision(
        "SVHN", folder, ({"split": "train"}, {"split": "test"}), "train_32x32.mat and test_32x32.mat"
    )
    return _of_arrays((train.data, train.labels), (test.data, test.labels), tuple(map(str, range(10))))


def _cifar(class_name: str, root: Path, name: str) -> Dataset:
    """Loads CIFAR from the folder or the archive under `root`, or else downloads it with torchvision.

    Raises:
        DataError: if it cannot be had: names the archive and where it belongs.
    """
    train, test = _checked_by_torchvision(
        class_name, root, ({"train": True}, {"train": False}), f"{name}-python.tar.gz"
    )
    images = (each.data.transpose(0, 3, 1, 2) for each in (train, test))
    of_train, of_test = zip(images, (train.targets, test.targets), strict=True)
    return _of_arrays(of_train, of_test, tuple(train.classes))


def _checked_by_torchvision(
    class_name: str, folder: Path, parts: Sequence[dict[str, Any]], files: str
) -> list[Any]:
    """Opens both parts of a dataset of torchvision, which verifies the digests of their files.

    Raises:
        DataError: if they are not in the folder, or damaged, and cannot be downloaded.
    """
    import_torchvision()
    from torchvision import datasets

    make = getattr(datasets, class_name)
    try:
        return [make(folder, **part) for part in parts]
    except RuntimeError:  # they are not there, or are others
        _download(class_name, folder, parts, folder, f"put {files} there")
    return [make(folder, **part) for part in parts]


def _of_arrays(
    train: tuple[NDArray[np.uint8], Any], test: tuple[NDArray[np.uint8], Any], classes: tuple[str, ...]
) -> Dataset:
    """Returns the dataset of images [N, C, H, W] and labels [N] in arrays or lists."""
    import numpy as np
    import torch

    parts = [torch.from_numpy(np.ascontiguousarray(images)) for images, _ in (train, test)]
    labels = [torch.as_tensor(each, dtype=torch.int64) for _, each in (train, test)]
    return Dataset(parts[0], labels[0], parts[1], labels[1], classes)


def _from_debian(source: Path, folder: Path) -> None:
    """Unpacks the files of a package of Debian's, where it is installed, to where torchvision reads them.

    Raises:
        DataError: if one of them is damaged, or cannot be written.
    """
    for packed in sorted(source.glob("*-ubyte.gz")) if source.is_dir() else ():
        file = folder / packed.stem
        if not file.is_file() and not (folder / packed.name).is_file():
            _unpack(packed, file, remedy="reinstall its package")


def _mnist_like(
    class_name: str, root: Path, names: Iterable[str], *, package: str = "", **options: Any
) -> Dataset:
    """Loads a dataset from the files under `root`, packed or not, or else downloads it with torchvision.

    Raises:
        DataError: if it cannot be had: names the folder and the files; or if a file is damaged: names it.
    """
    folder = root / class_name / "raw"
    for name in names:
        file, packed = folder / name, folder / f"{name}.gz"
        if not file.is_file() and packed.is_file():
            _unpack(packed, file, remedy="replace it")
    files = [folder / name for name in names]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        parts = [{"train": train, **options} for train in (True, False)]
        what = f"{package}put these files there, or the same with .gz: {', '.join(missing)}"
        _download(class_name, root, parts, folder, what)
    _check_pairs(files)
    return _through_torchvision(class_name, root, **options)


def _download(class_name: str, root: Path, parts: Iterable[dict[str, Any]], folder: Path, remedy: str) -> None:
    """Downloads the parts of a dataset with torchvision, which puts the files into `folder`.

    Raises:
        DataError: if that fails; says why, and what to do instead.
    """
    import_torchvision()
    from torchvision import datasets

    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            for part in parts:
                getattr(datasets, class_name)(root, download=True, **part)
    except (RuntimeError, URLError, OSError) as error:
        reason = one_line(last_line_of(str(error)), LONGEST_REASON)
        raise DataError(
            f"{class_name} is not in {folder}, or damaged there, and cannot be downloaded ({reason}); {remedy}"
        ) from error


def _unpack(packed: Path, file: Path, *, remedy: str) -> None:
    """Unpacks a .gz completely or not at all, so that two processes may do it at the same time.

    Raises:
        DataError: if the .gz is damaged, or the unpacked file cannot be written.
    """
    try:
        with gzip.open(packed) as stream:
            header = stream.read(MAX_IDX_HEADER)
            # No more than the header promises, and one: a few bytes may unpack to more than there is memory.
            promised = min(_idx_length(header) or 0, MAX_UNPACKED)
            content = header + stream.read(max(0, promised + 1 - len(header)))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{packed} is damaged ({error}); {remedy}") from error
    if mistake := _idx_mistake(content[:MAX_IDX_HEADER], len(content), file.name):
        raise DataError(f"{packed} is damaged (unpacked, {mistake}); {remedy}")
    try:
        write_file(file, content)
    except StoreError as error:
        raise DataError(f"{error}; choose a writable folder with --data-root or BENCHMNIST_DATA") from error


def _check_idx(file: Path) -> tuple[int, ...]:
    """Checks an IDX file against its name and its own header; returns its shape.

    Raises:
        DataError: if it is damaged; names it.
    """
    with file.open("rb") as stream:
        header = stream.read(MAX_IDX_HEADER)
    if mistake := _idx_mistake(header, file.stat().st_size, file.name):
        raise DataError(f"{file} is damaged: {mistake}; delete it, and put a whole one there or have it unpacked")
    return _idx_shape(header)


def _check_pairs(files: Sequence[Path]) -> None:
    """Checks IDX files, those of images each before that of their labels.

    Raises:
        DataError: if one is damaged, has another number of labels than of images, or images of another size.
    """
    shapes = [_check_idx(file) for file in files]
    for images, labels in ((0, 1), (2, 3)):
        counts = shapes[images][0], shapes[labels][0]
        if counts[0] != counts[1]:
            raise DataError(
                f"{files[images]} has {counts[0]} images, {files[labels]} {counts[1]} labels; replace one"
            )
    if shapes[0][1:] != shapes[2][1:]:
        sizes = ["×".join(map(str, shapes[n][1:])) for n in (0, 2)]
        raise DataError(f"{files[0]} has images of {sizes[0]}, {files[2]} of {sizes[1]} pixels; replace one")


def _idx_mistake(header: bytes, length: int, name: str) -> str | None:
    """Says what is wrong with an IDX file of that many bytes that begins with `header`; None if nothing is.

    Its name says how many dimensions it has, and of what: `-idx3-ubyte`, `-idx2-int`.
    """
    expected = _idx_length(header)
    if expected is None:
        return "it is no IDX file"
    dimensions, item = name.rpartition("-idx")[2].split("-")
    if (header[3], header[2]) != (int(dimensions), IDX_ITEMS[item]):
        return f"it has {header[3]} dimensions of items of type 0x{header[2]:02x}, not {dimensions} of {item}"
    if not math.prod(_idx_shape(header)):
        return "it has no items"
    if expected > MAX_UNPACKED:
        return f"its header says {expected:,} bytes, more than any of these datasets has"
    if length > expected:
        return f"it has more than the {expected:,} bytes that its header says"
    return None if length == expected else f"it has {length:,} bytes where its header says {expected:,}"


def _idx_shape(header: bytes) -> tuple[int, ...]:
    """Returns the sizes that an IDX header says."""
    return struct.unpack_from(f">{header[3]}I", header, 4)


def _idx_length(header: bytes) -> int | None:
    """Returns the length in bytes of an IDX file with that header; None if it is not an IDX header."""
    dimensions = header[3] if len(header) > 4 and header[:2] == b"\0\0" else 0  # noqa: PLR2004 - the magic number
    item = IDX_ITEM_BYTES.get(header[2]) if dimensions else None
    if item is None or len(header) < 4 + 4 * dimensions:
        return None
    return 4 + 4 * dimensions + item * math.prod(_idx_shape(header))


def _through_torchvision(class_name: str, root: Path, **options: Any) -> Dataset:
    """Reads the files with torchvision, as tensors."""
    import_torchvision()
    from torchvision import datasets

    train, test = (getattr(datasets, class_name)(root, train=train, **options) for train in (True, False))
    return Dataset(
        train_images=train.data.unsqueeze(1),
        train_labels=_labels(train.targets),
        test_images=test.data.unsqueeze(1),
        test_labels=_labels(test.targets),
        classes=tuple(train.classes),
    )


def _labels(targets: Any) -> Any:
    """Returns the class of each example, int64 [N]; in QMNIST it is the first of several columns."""
    return targets[:, 0].long() if targets.ndim > 1 else targets.long()


LOADERS: Mapping[str, Callable[..., Dataset]] = {
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "kmnist": kmnist,
    "qmnist": qmnist,
    "emnist": emnist,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "svhn": svhn,
}
"""The datasets whose variants there are (builtin/variants.py), by name."""
