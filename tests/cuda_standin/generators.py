"""Random numbers of a card: generators whose states may be shared, cloned, and registered with graphs."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Self

import torch

from cuda_standin.machine import current

if TYPE_CHECKING:
    from cuda_standin.graphs import Capture
    from cuda_standin.parts import Queue

_by_address: weakref.WeakValueDictionary[int, CudaGenerator] = weakref.WeakValueDictionary()


class State:
    """What numbers come next. The numbers are those of torch's CPU generator, so that losses can be compared."""

    def __init__(self, engine: torch._C.Generator) -> None:
        self.engine = engine
        self.offset = 0
        self.capturing: Capture | None = None

    def draw(self, queue: Queue) -> torch._C.Generator:
        """The engine to draw from in an operation on a stream.

        Raises:
            RuntimeError: if the stream is capturing, and this state is not registered with that capture; or is
                not, and this state is.
        """
        capture = queue.capture
        if capture is not None and self.capturing is not capture:
            if not current().options.lazy_generators:
                raise RuntimeError("Attempt to increase offset for a CUDA generator not in capture mode.")
            self.capturing = capture
            capture.graph.states.append(self)
        if capture is not None:
            capture.graph.drawn[self] += 4
            return self.engine
        if self.capturing is not None and not current().options.lazy_generators:
            raise RuntimeError("Offset increment outside graph capture encountered unexpectedly.")
        self.offset += 4
        return self.engine


class CudaGenerator(torch._C.Generator):
    """A generator on a card.

    For C++ it is one on the CPU. When it comes back from there it is another Python object of the same address.
    """

    card: int
    state: State

    def __new__(cls, device: torch.device | str = "cuda", state: State | None = None) -> Self:
        self = super().__new__(cls, device="cpu")  # type: ignore[call-arg]
        machine = current()
        wanted: int | None = torch.device(device).index
        self.card = machine.current_device if wanted is None else wanted
        if not 0 <= self.card < len(machine.cards):
            raise RuntimeError("The device_index is invalid.")
        if state is None:
            not_capturing("Cannot construct a new CUDAGeneratorImpl")
            state = State(torch._C.Generator())
        self.state = state
        _by_address[self._cdata] = self  # type: ignore[attr-defined]
        return self

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("cuda", self.card)

    def manual_seed(self, seed: int) -> CudaGenerator:
        not_capturing("Cannot call CUDAGeneratorImpl::set_current_seed")
        self.state.engine.manual_seed(seed)
        self.state.offset = 0
        return self

    def seed(self) -> int:
        not_capturing("Cannot call CUDAGeneratorImpl::seed")
        self.state.offset = 0
        return self.state.engine.seed()

    def initial_seed(self) -> int:
        return self.state.engine.initial_seed()

    def get_offset(self) -> int:
        """Grows with every operation, as that of a real one; not by as much."""
        not_capturing("Cannot call CUDAGeneratorImpl::get_offset")
        return self.state.offset

    def set_offset(self, offset: int) -> Self:
        raise NotImplementedError("the stand-in's generators have no offset that could be set")

    def get_state(self) -> torch.Tensor:
        not_capturing("Cannot call CUDAGeneratorImpl::current_seed")
        return self.state.engine.get_state()

    def set_state(self, state: torch.Tensor) -> CudaGenerator:
        not_capturing("Please ensure to utilize the CUDAGeneratorImpl::set_state_index method")
        self.state.engine.set_state(state)
        return self

    def clone_state(self) -> CudaGenerator:
        return CudaGenerator(self.device, State(self.state.engine.clone_state()))

    def graphsafe_get_state(self) -> CudaGenerator:
        return CudaGenerator(self.device, self.state)

    def graphsafe_set_state(self, state: torch._C.Generator) -> CudaGenerator:
        if not isinstance(state, CudaGenerator):
            raise RuntimeError("Expected a CUDA Generator")  # noqa: TRY004 - as torch does
        self.state = state.state
        return self


def not_capturing(attempt: str) -> None:
    """As ATen's assertNotCapturing.

    Raises:
        RuntimeError: if the current stream is capturing.
    """
    machine = current()
    machine.check()
    if machine.initialised and machine.queue(machine.current_device).capture is not None:
        raise RuntimeError(
            f"{attempt} during CUDA graph capture. If you need this call to be captured, please file an issue. "
            "Current cudaStreamCaptureStatus: cudaStreamCaptureStatusActive"
        )


def state_of(generator: torch._C.Generator | None, card: int) -> State:
    """The state that an operation on a card draws from.

    Raises:
        RuntimeError: if the generator is not one of that card.
    """
    if generator is None:
        return current().generators[card].state
    found = _by_address.get(generator._cdata)  # type: ignore[attr-defined]
    if found is None:
        raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
    return found.state


class _Either(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, torch._C.Generator)


class Generator(metaclass=_Either):
    """In place of `torch.Generator`: one on the CPU or on a card."""

    def __new__(cls, device: Any = "cpu") -> Any:
        if torch.device(device).type == "cuda":
            torch.cuda.init()
            return CudaGenerator(torch.device(device))
        return torch._C.Generator(device=device)
