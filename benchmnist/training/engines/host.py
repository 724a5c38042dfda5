"""The state of a training step on the host, whose changes a captured graph cannot follow."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import pickle
import random
import threading
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, MemberDescriptorType, ModuleType
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from benchmnist.errors import CaptureError
from benchmnist.training.engines.trace import SMALL
from benchmnist.training.torch_internals import hooks_of, writes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    Key = tuple[str, str, str]
    """Whose something is, its name, and where it is."""
    Parts = Callable[[], Iterator[tuple[Key, object]]]

BY_WHICH = (ModuleType, type, CodeType, FrameType)
"""Types whose objects are compared by identity: they do not change, or refer to too much to be compared."""

MODEL, OPTIMIZER, SCHEDULE = "the model", "the optimizer", "the schedule"


class Host:
    """Remembers what model and optimizer have on the host, and says what has become another.

    What a tensor on the device holds may move. All else that their attributes lead to is held by its value: a
    number, a list, an object, what a function closes over, what a generator has. What they do not lead to is not
    seen: the globals of a module, the attributes of a class, what a library in C keeps for itself. It shows only
    in what a step does (trace.py), or never; a model that counts there has to say `capturable=False`.

    Args:
        modules: All modules of the model, by their paths.
        device: Where it is trained.
        optimizer: Its optimizer; None where only the model is of interest.
        lent: Whether the learning rates are on the device.
    """

    def __init__(
        self,
        modules: Iterable[tuple[str, nn.Module]],
        device: torch.device,
        optimizer: torch.optim.Optimizer | None = None,
        *,
        lent: bool = False,
    ) -> None:
        self.modules, self.device = dict(modules), device
        parts = getattr(optimizer, "parts", ())  # of one that combines several
        self.optimizers = [
            one
            for one in (optimizer, *(parts if isinstance(parts, list | tuple) else ()))
            if isinstance(one, Optimizer)
        ]
        self.known = {*map(id, self.optimizers), *map(id, self.modules.values())}
        self.excluded = {"params", "lr"} if lent else {"params"}
        self.kept: dict[int, object] = {}  # alive, so that nothing else comes to lie where it lies
        self.all_at_once: dict[Parts, bytes] = {}
        self.by_key: dict[Key, bytes] = {}
        self.keys: dict[Parts, set[Key]] = {}

    def remember(self) -> None:
        """Remembers all as it is now."""
        self.kept = {}
        self.by_key = {key: self._value(value, self.kept) for key, value in self._all()}
        for parts in (self._optimizer, self._all):
            self.keys[parts] = {key for key, _ in parts()}
            self.all_at_once[parts] = self._value([*parts()], self.kept)

    def moved(self) -> str:
        """The names of what has changed; empty if nothing has."""
        return _named(self._moved(self._all))

    def require_step(self, numbers: bytes) -> None:
        """Holds all against what it was, and the random numbers against what they were just before the step.

        Raises:
            CaptureError: if anything is another: what it is, and whose.
        """
        if self.random_numbers() != numbers:
            raise CaptureError("a step draws random numbers on the host, which a graph cannot do")
        self._require(self._all)

    def require_schedule(self, *, wholly: bool = False) -> None:
        """Holds the attributes and groups of the optimizer against what they were, or wholly all there is.

        Raises:
            CaptureError: if anything is another: the schedule has changed it.
        """
        self._require(self._all if wholly else self._optimizer, SCHEDULE)

    def _require(self, parts: Parts, who: str = "") -> None:
        if moved := self._moved(parts):
            whose = moved[0][0]
            named = _named(key for key in moved if key[0] == whose)
            raise CaptureError(f"{who or whose} changes {named} from step to step, which a graph cannot see")

    def _moved(self, parts: Parts) -> list[Key]:
        """Returns the changed parts. Compares all of them as one value first, which takes half the time."""
        if parts in self.all_at_once and self._value([*parts()], {}) == self.all_at_once[parts]:
            return []
        now = {key: self._value(value, {}) for key, value in parts()}
        both = [*now, *(key for key in self.by_key if key in self.keys[parts] - now.keys())]
        return [key for key in both if self.by_key.get(key) != now.get(key)]

    def _all(self) -> Iterator[tuple[Key, object]]:
        for path, module in self.modules.items():
            yield from _entries(MODEL, path, _attributes(module))
        yield from self._optimizer()
        states = [state for optimizer in self.optimizers for state in optimizer.state.values()]
        for index, state in enumerate(states):
            entries = state if isinstance(state, dict) else {"state": state}
            yield from _entries(OPTIMIZER, f"state {index}", entries)

    def _optimizer(self) -> Iterator[tuple[Key, object]]:
        for number, optimizer in enumerate(self.optimizers):
            without = ("state", "param_groups")
            yield from _entries(
                OPTIMIZER, f"part {number}" if number else "", _attributes(optimizer), without=without
            )
        seen: set[int] = set()
        for index, group in enumerate(group for optimizer in self.optimizers for group in optimizer.param_groups):
            if id(group) not in seen:  # that of a part may be one of the whole, too
                seen.add(id(group))
                yield (OPTIMIZER, "param_groups", str(index)), _Itself(group)
                yield (OPTIMIZER, "requires_grad", str(index)), [p.requires_grad for p in group["params"]]
                yield from _entries(OPTIMIZER, str(index), group, without=self.excluded)

    def random_numbers(self) -> bytes:
        """The state of the host's generators; where it is the device too, torch's may move."""
        states: list[object] = [random.getstate(), np.random.get_state()]  # noqa: NPY002 - what others draw from
        if self.device.type != "cpu":
            states.append(torch.get_rng_state().numpy())
        return self._value(states, {})

    def _value(self, value: object, kept: dict[int, object]) -> bytes:
        file = io.BytesIO()
        try:
            _Pickler(file, self, kept).dump(value)
        except (Exception, SystemExit):  # noqa: BLE001 - a stranger's object may raise anything
            return repr(_itself(value, kept)).encode()
        return file.getvalue()


@contextlib.contextmanager
def without_entropy() -> Iterator[None]:
    """Notices whether this thread draws from the operating system's random numbers: no state shows that it did.

    Raises:
        CaptureError: at the end, if it has.
    """
    real, seed, here, drawn = os.urandom, random.Random.seed, threading.get_ident(), set()

    def urandom(size: int) -> bytes:
        drawn.add(threading.get_ident())
        return real(size)

    def seeded(generator: random.Random, a: Any = None, version: int = 2) -> None:
        if a is None:
            drawn.add(threading.get_ident())
        seed(generator, a, version)

    def put(urandom: Callable[[int], bytes], seed: Any) -> None:
        os.urandom = random._urandom = urandom  # type: ignore[attr-defined]  # noqa: SLF001 - of secrets and others
        random.Random.seed = seed  # type: ignore[method-assign]

    put(urandom, seeded)
    try:
        yield
    finally:
        put(real, seed)
    if here in drawn:
        raise CaptureError("a step draws random numbers from the operating system, which a graph cannot do")


def _named(keys: Iterable[Key]) -> str:
    return " and ".join(sorted({name for _, name, _ in keys}))


def _entries(
    whose: str, where: str, entries: Mapping[str, object], without: Collection[str] = ()
) -> Iterator[tuple[Key, object]]:
    for name, value in entries.items():
        hooks_of_nobody = isinstance(value, dict) and not value
        if name not in without and not hooks_of_nobody:
            yield (whose, str(name), where), value


class _Itself:
    """A value that is held by which one it is."""

    def __init__(self, value: object) -> None:
        self.value = value


def _itself(value: object, kept: dict[int, object]) -> int:
    """Returns the identity of an object, and keeps it alive, so that no other takes its place."""
    kept[id(value)] = value
    return id(value)


class _Pickler(pickle.Pickler):
    """Writes values down, to be compared: tensors, modules and functions by which they are, and what cannot be."""

    def __init__(self, file: io.BytesIO, host: Host, kept: dict[int, object]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.host, self.kept = host, kept
        self.functions: set[int] = set()  # that are being written down

    def persistent_id(self, value: Any) -> object:
        """Returns what is pickled instead of a value; None for the value itself."""
        if isinstance(value, torch.Tensor):
            return _itself(value, self.kept), *self._of_tensor(value)
        if isinstance(value, torch.Generator):
            return value.get_state().numpy() if self._on_host(value) else _itself(value, self.kept)
        if isinstance(value, FunctionType):
            if id(value) in self.functions:
                return id(value)
            self.functions.add(id(value))
            return _itself(value, self.kept), _of_function(value)
        if isinstance(value, BuiltinFunctionType):  # as `a_list.pop` is
            return _itself(value, self.kept), value.__self__
        if isinstance(value, _Itself):
            return _itself(value.value, self.kept)
        by_which = isinstance(value, BY_WHICH) or id(value) in self.host.known
        return _itself(value, self.kept) if by_which else None

    def reducer_override(self, value: Any) -> Any:
        """Reduces an object that cannot be pickled, or pickles itself, to everything that it refers to."""
        try:
            reduced = value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        except (Exception, SystemExit):  # noqa: BLE001 - as above
            reduced = None
        if isinstance(reduced, str) and not hasattr(value, "cache_info"):  # it is a global of a module
            return int, (_itself(value, self.kept),)
        if not isinstance(reduced, tuple):
            return int, (_itself(value, self.kept),), _leads_to(value)
        if any(name in vars(kind) for kind in type(value).__mro__ if _is_python(kind) for name in SAYS_ITSELF):
            return int, (0,), [_attributes(value), reduced]
        return NotImplemented

    def _on_host(self, value: torch.Tensor | torch.Generator) -> bool:
        return value.device.type == "cpu" != self.host.device.type

    def _of_tensor(self, tensor: torch.Tensor) -> Iterator[object]:
        """Its address, which `.data = …` changes; its values, if it is on the host; its hooks and attributes."""
        try:
            yield tensor.data_ptr()
        except (NotImplementedError, RuntimeError):  # it is sparse, or pretends only
            return
        if self._on_host(tensor):
            if tensor.numel() <= SMALL:
                yield tensor.tolist()
            elif not tensor.is_inference():
                yield writes_of(tensor)
        yield hooks_of(tensor)
        if type(tensor) in (torch.Tensor, nn.Parameter):  # what others have belongs to whoever made them
            yield vars(tensor)


SAYS_ITSELF = ("__getstate__", "__reduce__", "__reduce_ex__")
"""By any of these a class says itself what is written down of it."""


def _is_python(kind: type) -> bool:
    """Tells whether a class is written in Python. Then its objects have nothing but their attributes."""
    return kind is not object and bool(kind.__flags__ & 1 << 9)  # Py_TPFLAGS_HEAPTYPE


def _attributes(value: object) -> dict[str, object]:
    """Returns the attributes of an object, including those in slots."""
    found = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        for name, member in vars(kind).items():
            if isinstance(member, MemberDescriptorType):
                with contextlib.suppress(AttributeError):  # there is nothing in it
                    found[f"{kind.__name__}.{name}"] = member.__get__(value)
    return found


def _leads_to(value: object) -> list[object]:
    """Returns what an object refers to, and its bytes if it has any; for objects that cannot be pickled."""
    if isinstance(value, ReferenceType):
        return [value()]
    own = getattr(value, "__dict__", None)  # before the referents: it is one of them only once it was asked for
    found = [*gc.get_referents(value), own]
    with contextlib.suppress(TypeError, ValueError, BufferError):  # it has no bytes
        found.append(bytes(memoryview(value)))  # type: ignore[arg-type]
    return found


def _of_function(function: FunctionType) -> list[object]:
    found: list[object] = [vars(function), function.__defaults__, function.__kwdefaults__]
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # it is empty as yet
            continue
    return found
