"""Whichever of torch's two APIs for TF32 has been used before: nothing raises, and all is as it was afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from benchmnist.extensions.isolation import contained, read_precision, write_precision
from benchmnist.training.precision import precision_of, tf32_flags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmnist.extensions.isolation import Float32Precision
    from benchmnist.suites.cases import Precision

CUDA = torch.device("cuda")  # the flags are there without a GPU
BACKENDS: Any = torch.backends


def set_to(owner: object, name: str, value: object) -> None:
    setattr(owner, name, value)


BEFORE: dict[str, Callable[[], None]] = {
    "nothing": lambda: None,
    "everything tf32": lambda: set_to(BACKENDS, "fp32_precision", "tf32"),
    "everything ieee": lambda: set_to(BACKENDS, "fp32_precision", "ieee"),
    "everything bf16": lambda: set_to(BACKENDS, "fp32_precision", "bf16"),
    "products tf32": lambda: set_to(BACKENDS.cuda.matmul, "fp32_precision", "tf32"),
    "products ieee": lambda: set_to(BACKENDS.cuda.matmul, "fp32_precision", "ieee"),
    "convolutions ieee": lambda: set_to(BACKENDS.cudnn.conv, "fp32_precision", "ieee"),
    "products high": lambda: torch.set_float32_matmul_precision("high"),
    "products medium": lambda: torch.set_float32_matmul_precision("medium"),
    "allow_tf32": lambda: set_to(BACKENDS.cuda.matmul, "allow_tf32", value=True),
    "a CPU's products bf16": lambda: set_to(BACKENDS.mkldnn.matmul, "fp32_precision", "bf16"),
    "a CPU's convolutions bf16": lambda: set_to(BACKENDS.mkldnn.conv, "fp32_precision", "bf16"),
    "a CPU's everything bf16": lambda: set_to(BACKENDS.mkldnn, "fp32_precision", "bf16"),
    "cuDNN's allow_tf32": lambda: set_to(BACKENDS.cudnn, "allow_tf32", value=False),
}


def is_as(before: Float32Precision) -> bool:
    """Whether all reads as before; what raised may read as the rest does."""
    pairs = zip(read_precision(torch), before, strict=True)
    return all(now == then for now, then in pairs if then is not None)


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    before = read_precision(torch)
    yield
    write_precision(torch, before)
    assert is_as(before)


@pytest.mark.parametrize("two", ["nothing", "products high", "products ieee", "everything tf32"])
@pytest.mark.parametrize("one", BEFORE)
@pytest.mark.parametrize(("precision", "tf32"), [("float32", False), ("tf32", True)])
def test_a_case_has_its_precision_and_leaves_what_was_there(
    one: str, two: str, precision: Precision, *, tf32: bool
) -> None:
    BEFORE[one]()
    BEFORE[two]()
    before = read_precision(torch)
    with precision_of(precision, CUDA):
        assert tf32_flags() == {"tf32": tf32, "cudnn_tf32": tf32}
        # A model may read the older API, and torch's own flags() does.
        assert (BACKENDS.cuda.matmul.allow_tf32, BACKENDS.cudnn.allow_tf32) == (tf32, tf32)
        assert torch.get_float32_matmul_precision() == ("high" if tf32 else "highest")
        with BACKENDS.cudnn.flags(enabled=False):
            pass
    assert is_as(before)


@pytest.mark.parametrize("before", BEFORE)
def test_float32_is_float32_on_a_cpu_too(before: str) -> None:
    """Some processors multiply in bfloat16 where they are allowed to."""
    BEFORE[before]()
    was = read_precision(torch)
    with precision_of("float32", torch.device("cpu")):
        now = read_precision(torch)
        assert (now.cpu_matmul, now.cpu_conv, now.cpu_rnn) == ("ieee",) * 3
    assert is_as(was)


@pytest.mark.parametrize("change", [name for name in BEFORE if name != "nothing"])
@pytest.mark.parametrize("before", ["nothing", "products high", "everything tf32"])
def test_a_plugin_that_changes_it_is_noticed_and_undone(before: str, change: str) -> None:
    BEFORE[before]()
    was = read_precision(torch)
    with contained() as noticed:
        BEFORE[change]()
        changed = read_precision(torch) != was
    assert is_as(was)
    notes = [note for note in noticed if "precision of float32 products" in note]
    assert len(notes) == changed
    for note in notes:
        one, other = note.partition(" from ")[2].partition(", which")[0].split(" to ", 1)
        assert one != other
