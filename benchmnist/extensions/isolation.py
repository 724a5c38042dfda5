"""Holds a plugin's code at arm's length: what it prints or changes in torch is caught, undone and noticed."""

from __future__ import annotations

import contextlib
import importlib.machinery
import io
import os
import sys
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from benchmnist.errors import PluginError, class_name
from benchmnist.text import first_line_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import ModuleType


def _set_cudnn(torch: Any, benchmark: bool, deterministic: bool, enabled: bool) -> None:
    cudnn = torch.backends.cudnn
    cudnn.benchmark, cudnn.deterministic, cudnn.enabled = benchmark, deterministic, enabled


class Float32Precision(NamedTuple):
    """Torch's precision of products and convolutions in float32, by `fp32_precision` and by the older API.

    torch keeps both, and reading the older one raises where they differ: None is a value that cannot be read.
    """

    everything: str
    matmul: str
    cudnn: str
    conv: str
    rnn: str
    cpu: str
    cpu_matmul: str
    cpu_conv: str
    cpu_rnn: str
    older_matmul: str | None
    older_cudnn: bool | None
    older_tf32: bool | None  # of products; it can be read where `older_matmul` cannot, and the other way round

    def __str__(self) -> str:
        cudnn = "" if self.conv == "tf32" else f" (cuDNN: {self.conv})"  # which is torch's default
        return (self.older_matmul or self.matmul) + cudnn

    def moved_to(self, other: Float32Precision) -> str:
        """Returns the change from this value to another, in words."""
        if self.older_matmul and other.older_matmul and str(self) != str(other):
            return f"from {self} to {other}"
        fields = zip(self._fields, self, other, strict=True)
        moved = [(name, one, two) for name, one, two in fields if one != two]
        newer = [each for each in moved if not each[0].startswith("older_")]  # the older ones follow
        return " and ".join(f"from {one} to {two} ({name})" for name, one, two in newer or moved)


def _owners(backends: Any) -> tuple[Any, ...]:
    """Returns the objects whose `fp32_precision` the fields are, in their order."""
    cudnn, mkldnn = backends.cudnn, backends.mkldnn
    return (
        *(backends, backends.cuda.matmul, cudnn, cudnn.conv, cudnn.rnn),
        *(mkldnn, mkldnn.matmul, mkldnn.conv, mkldnn.rnn),
    )


def read_precision(torch: Any) -> Float32Precision:
    """Reads it without raising, whichever of torch's two APIs somebody has used."""
    backends = torch.backends
    older: list[Any] = []
    for read in (
        torch.get_float32_matmul_precision,
        lambda: backends.cudnn.allow_tf32,
        lambda: backends.cuda.matmul.allow_tf32,
    ):
        try:
            older.append(read())
        except RuntimeError:
            older.append(None)
    return Float32Precision(*[owner.fp32_precision for owner in _owners(backends)], *older)


def write_precision(torch: Any, precision: Float32Precision) -> None:
    """Puts it back, first by the older API, which sets both, then by the newer one where something is left."""
    backends = torch.backends
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*new API")  # torch 2.9 says that the older one is deprecated
        if precision.older_matmul is not None:
            torch.set_float32_matmul_precision(precision.older_matmul)
        elif precision.older_tf32 is not None:
            backends.cuda.matmul.allow_tf32 = precision.older_tf32
        if precision.older_cudnn is not None:
            backends.cudnn.allow_tf32 = precision.older_cudnn
    for owner, value in zip(_owners(backends), precision, strict=False):
        if owner.fp32_precision != value:
            owner.fp32_precision = value


def _sync_debug_mode(torch: Any) -> int:
    initialised = torch.cuda.is_initialized()  # asking would do that, too
    return int(torch.cuda.get_sync_debug_mode()) if initialised else 0


def _set_sync_debug_mode(torch: Any, mode: int) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Synchronization debug mode is a prototype")
        torch.cuda.set_sync_debug_mode(mode)


def _autocast(torch: Any) -> tuple[bool, ...]:
    return tuple(torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda"))


def _set_autocast(torch: Any, enabled: tuple[bool, ...]) -> None:
    for kind, value in zip(("cpu", "cuda"), enabled, strict=True):
        torch.set_autocast_enabled(kind, value)


def _autocast_types(torch: Any) -> tuple[Any, ...]:
    return tuple(torch.get_autocast_dtype(kind) for kind in ("cpu", "cuda"))


def _set_autocast_types(torch: Any, types: tuple[Any, ...]) -> None:
    for kind, value in zip(("cpu", "cuda"), types, strict=True):
        torch.set_autocast_dtype(kind, value)


_SETTINGS: Mapping[str, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    "default dtype": (lambda t: t.get_default_dtype(), lambda t, value: t.set_default_dtype(value)),
    # None is not the same as "cpu": with a default device every call of torch goes through a function of it.
    "default device": (
        lambda t: t.get_default_device(),
        lambda t, value: t.set_default_device(None if value.type == "cpu" else value),
    ),
    "number of threads": (lambda t: t.get_num_threads(), lambda t, value: t.set_num_threads(value)),
    "gradient mode": (lambda t: t.is_grad_enabled(), lambda t, value: t.set_grad_enabled(value)),
    "deterministic mode": (
        lambda t: t.are_deterministic_algorithms_enabled(),
        lambda t, value: t.use_deterministic_algorithms(
            value, warn_only=t.is_deterministic_algorithms_warn_only_enabled()
        ),
    ),
    "deterministic mode by warnings": (
        lambda t: t.is_deterministic_algorithms_warn_only_enabled(),
        lambda t, value: t.use_deterministic_algorithms(t.are_deterministic_algorithms_enabled(), warn_only=value),
    ),
    "detection of anomalies": (
        lambda t: (t.is_anomaly_enabled(), t.is_anomaly_check_nan_enabled()),
        lambda t, value: t.autograd.set_detect_anomaly(*value),
    ),
    "autocast": (_autocast, _set_autocast),
    "types of autocast": (_autocast_types, _set_autocast_types),
    "mode of noticing synchronisations": (_sync_debug_mode, _set_sync_debug_mode),
    "precision of float32 products": (read_precision, write_precision),
    "use of cuDNN": (
        lambda t: (t.backends.cudnn.benchmark, t.backends.cudnn.deterministic, t.backends.cudnn.enabled),
        lambda t, value: _set_cudnn(t, *value),
    ),
}
"""The global settings of torch: how each is read, and how it is put back."""


@dataclass
class Noticed:
    """The side effects of a plugin's code.

    Attributes:
        printed: On standard output and standard error.
        changed: In torch: what, from what, to what. All of it has been put back.
    """

    printed: str = ""
    changed: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[str]:
        """Each in words: what it did, and what its author should do instead."""
        if self.printed.strip():
            first = first_line_of(self.printed)
            yield f"prints {first!r}; take the print away, or use the module logging"
        for change in self.changed:
            yield f"changes torch's {change}, which was undone; leave what others use as well as it is"


class StaysOpen(io.TextIOBase):
    """A base of streams that a plugin's code may find as its sys.stdout: closing one only flushes it.

    It must come before the class of the stream. `end` closes it.
    """

    def close(self) -> None:
        """Flushes it."""
        self.flush()

    def end(self) -> None:
        """Closes it."""
        super().close()


class _Printed(StaysOpen, io.StringIO):
    """Output of a plugin's code."""


@contextlib.contextmanager
def contained(*, seeds: bool = False) -> Iterator[Noticed]:
    """Runs a plugin's code: what it prints is kept, and torch's global settings are put back afterwards.

    Args:
        seeds: Whether it has no business with torch's random numbers either; building a model does.

    Raises:
        PluginError: if the code calls `sys.exit`.
    """
    noticed, output = Noticed(), _Printed()
    before: dict[str, Any] = {}
    watch = _TorchWatch(lambda torch: before.update(_read(torch, seeds=seeds)))
    if "torch" in sys.modules:
        watch.imported(sys.modules["torch"])
    else:
        sys.meta_path.insert(0, watch)
    try:
        with not_exiting(), contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            yield noticed
    finally:
        if watch in sys.meta_path:
            sys.meta_path.remove(watch)
        noticed.printed = output.getvalue()
        output.end()
        if before:
            noticed.changed = _put_back(sys.modules["torch"], before, seeds=seeds)


@contextlib.contextmanager
def put_back() -> Iterator[list[str]]:
    """Puts torch's global settings back at the end; the list then says what somebody had changed, in words."""
    torch = sys.modules["torch"]  # who trains has it
    before, changed = _read(torch, seeds=False), list[str]()
    try:
        yield changed
    finally:
        changed += _put_back(torch, before, seeds=False)


@contextlib.contextmanager
def not_exiting() -> Iterator[None]:
    """Turns the exceptions that are not meant as errors, and would end who calls, into one.

    Raises:
        PluginError: if the code calls `sys.exit`, raises StopIteration or what is no Exception (but pytest's own
            and Ctrl-C).
    """
    try:
        yield
    except StopIteration as error:  # within a generator it would become another error
        raise PluginError("raises StopIteration") from error
    except (Exception, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise PluginError(f"calls sys.exit({error.code!r})") from error
    except BaseException as error:
        if is_of_pytest(error):
            raise
        raise PluginError(f"raises {class_name(error)}, which is not an Exception") from error


def is_of_pytest(error: BaseException) -> bool:
    """Tells whether pytest or a plugin of it ends a test by this exception, as pytest-timeout does."""
    pytest: Any = sys.modules.get("pytest")  # without it, nobody does
    return pytest is not None and isinstance(
        error, (pytest.exit.Exception, pytest.fail.Exception, pytest.skip.Exception)
    )


@contextlib.contextmanager
def not_ended() -> Iterator[None]:
    """Prevents plugin code from ending this process silently; its child processes may end themselves.

    Raises:
        PluginError: if the code calls `os._exit`.
    """
    process, ends = os.getpid(), os._exit

    def refuse(status: int) -> NoReturn:
        if os.getpid() != process:
            ends(status)
        raise PluginError(f"calls os._exit({status!r})")

    os._exit = refuse
    try:
        yield
    finally:
        os._exit = ends


class _TorchWatch:
    """Tells at once when torch has been imported: before the plugin that imports it can change a setting."""

    def __init__(self, imported: Callable[[ModuleType], None]) -> None:
        self.imported = imported

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:  # noqa: ARG002 - importlib's
        """See importlib.abc.MetaPathFinder: torch's own spec, with a word to us when it has been executed."""
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                self.imported(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _read(torch: Any, *, seeds: bool) -> dict[str, Any]:
    found = {name: get(torch) for name, (get, _) in _SETTINGS.items()}
    if seeds:
        found["random numbers"] = torch.get_rng_state()
    return found


def _put_back(torch: Any, before: Mapping[str, Any], *, seeds: bool) -> list[str]:
    """Puts back what is not as it was; returns what that is, in words."""
    after, changed = _read(torch, seeds=seeds), []
    for name, (_, put) in _SETTINGS.items():
        if after[name] != before[name]:
            put(torch, before[name])
            was, now = before[name], after[name]
            moved = was.moved_to(now) if isinstance(was, Float32Precision) else f"from {was} to {now}"
            changed.append(f"{name} {moved}")
    if seeds and not torch.equal(after["random numbers"], before["random numbers"]):
        torch.set_rng_state(before["random numbers"])
        changed.append("random numbers")
    return changed
