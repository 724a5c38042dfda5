"""CUDA graphs: what is launched while a stream is capturing is recorded, and executed when it is replayed."""

from __future__ import annotations

import threading
import warnings
import weakref
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

import torch

from cuda_standin.execution import OUT_OF_RANGE, Call
from cuda_standin.generators import not_capturing, state_of
from cuda_standin.machine import current
from cuda_standin.parts import INVALIDATED, Pool, cuda_error
from cuda_standin.tensors import CudaTensor, block_of, changed, on_the_cpu, plain, spoil, wrap

if TYPE_CHECKING:
    from torch import Tensor

    from cuda_standin.generators import State
    from cuda_standin.parts import Block, Queue


class Step:
    """A recorded operation: its arguments and results are the memory of then."""

    def __init__(self, call: Call, results: list[Tensor | None]) -> None:
        def baked(tensor: Tensor) -> Tensor:
            if type(tensor) is CudaTensor:
                return plain(tensor)
            return tensor.detach().clone()  # the value of a scalar of the CPU is passed when a kernel is launched

        self.func, self.plan, self.results = call.func, call.plan, results
        self.args = changed(call.args, baked)
        self.kwargs = {key: changed(value, baked) for key, value in call.kwargs.items()}

    def run(self) -> None:
        """Executes it, and puts new results where they were when it was recorded."""
        made = self.func(*self.args, **self.kwargs)
        found = made if isinstance(made, (list, tuple)) else [made]
        for result, there in zip(found, self.results, strict=False):
            if there is not None and result.data_ptr() != there.data_ptr():
                there.copy_(result)


class Copy:
    """A recorded copy from or to pinned memory of the host, which is read or written at each replay."""

    def __init__(self, target: Tensor, source: Tensor) -> None:
        self.target, self.source = plain(target), plain(source)

    def run(self) -> None:
        self.target.copy_(self.source)


class Capture:
    """A capture under way, begun by one stream; others that wait for it join it."""

    def __init__(self, graph: GraphBase, queue: Queue, pool: Pool, mode: str) -> None:
        self.graph, self.queue, self.pool, self.mode = graph, queue, pool, mode
        self.thread = threading.get_ident()
        self.valid = True
        self.joined: set[Queue] = set()
        self.unmerged: set[Queue] = set()

    def must_be_valid(self) -> None:
        """Raises what every launch raises after something that is not permitted."""
        if not self.valid:
            raise cuda_error(INVALIDATED)

    def record(self, call: Call) -> Any:
        """Records an operation; returns results of the right shapes, which hold nothing yet."""
        self.must_be_valid()
        machine, plan = current(), call.plan
        queue = machine.queue(next(call.blocks()).card)
        made = () if plan.in_place and not plan.out else self._imagined(call)
        found = list(made) if isinstance(made, (list, tuple)) else [made]
        if len(plan.returns) == 1 and isinstance(made, list):  # one result that is a list
            self.graph.add(Step(call, found), call.reads, call.writes, self)
            return wrap(made, machine, queue)
        results: list[Any] = []
        kept: list[Tensor | None] = []
        for index, key in enumerate(plan.returns):
            if key is None:
                kept.append(found[index])
                results.append(wrap(found[index], machine, queue))
                continue
            target = call.argument(key)
            if key in plan.out and target.shape != found[index].shape:
                with on_the_cpu():
                    target.resize_(found[index].shape)
                spoil(target)
                target._block = block_of(target, machine, queue)
            kept.append(plain(target) if key in plan.out else None)
            results.append(target)
        call.kwargs = {k: (v if k not in plan.out else changed(v, _fresh)) for k, v in call.kwargs.items()}
        self.graph.add(Step(call, kept), call.reads, call.writes, self)
        return results[0] if len(results) == 1 else tuple(results) if results else None

    def _imagined(self, call: Call) -> Any:
        try:
            return call.imagine(self)
        except (IndexError, RuntimeError) as error:
            if not call.plan.indexing or not OUT_OF_RANGE.search(str(error)):
                raise
            return call.imagine()  # an index that is out of range now is noticed when it is replayed

    def record_copy(self, target: Tensor, source: Tensor) -> None:
        """Records a copy between pinned memory and the card."""
        self.must_be_valid()
        reads, writes = ([t._block] if type(t) is CudaTensor else [] for t in (source, target))
        self.graph.add(Copy(target, source), reads, writes, self)


def _fresh(tensor: Tensor) -> Tensor:
    return plain(tensor).new_empty(0)


class _Lease:
    """What a graph has of a pool; it ends with the graph. (torch's own class of graphs defines `__del__`.)"""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def __del__(self) -> None:
        self.pool.graphs -= 1
        if not self.pool.graphs:
            self.pool.most = self.pool.live


class GraphBase:
    """In place of `torch._C._CUDAGraph`."""

    def __new__(cls, *_: object, **__: object) -> Self:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        self.steps: list[Step | Copy] = []
        self.states: list[State] = []
        self.drawn: Counter[State] = Counter()  # by how much a replay moves the offset of each
        self.outside: dict[weakref.ref[Block], bool] = {}  # memory that is not its own, and whether it is written
        self.inside: weakref.WeakSet[Block] = weakref.WeakSet()
        self.capture: Capture | None = None
        self.ended = False
        self._pool: Pool | None = None
        self._lease: _Lease | None = None

    def register_generator_state(self, generator: torch._C.Generator) -> None:
        not_capturing("Cannot register the state during capturing stage.")
        state = state_of(generator, 0)
        if state not in self.states:
            self.states.append(state)

    def add(self, step: Step | Copy, reads: list[Block], writes: list[Block], capture: Capture) -> None:
        """Adds a recorded operation, and the memory that it touches."""
        self.steps.append(step)
        for blocks, written in ((reads, False), (writes, True)):
            for block in blocks:
                if block.capture is capture:
                    self.inside.add(block)
                else:
                    reference = weakref.ref(block)
                    self.outside[reference] = self.outside.get(reference, False) or written

    def capture_begin(self, pool: tuple[int, int] | None = None, capture_error_mode: str = "global") -> None:
        machine = current()
        machine.check()
        if self.ended:
            raise RuntimeError(
                "This CUDAGraph instance already owns a captured graph. To capture a new graph, create a new "
                "instance."
            )
        card = machine.context(machine.current_device)
        queue = machine.queue(machine.current_device)
        if queue is card.default:
            raise RuntimeError(
                "CUDA graphs must be captured on a non-default stream. (However, after capture, it's ok to replay "
                "them on the default stream.)"
            )
        if pool is None:
            machine.pool_count += 1
            pool = (machine.pool_count, 0)
        ident = (int(pool[0]), int(pool[1]))
        if (queue.card, ident) in machine.recording:
            raise RuntimeError("beginAllocateToPool: already recording to mempool_id")
        if queue.capture is not None:
            raise cuda_error("operation not permitted when stream is capturing")
        self._pool = card.pools.setdefault(ident, Pool(ident, queue.card))
        self._pool.graphs += 1
        default = machine.generators[queue.card].state
        if default not in self.states and not machine.options.lazy_generators:
            self.states.append(default)
        machine.recording.append((queue.card, ident))
        self.capture = queue.capture = Capture(self, queue, self._pool, capture_error_mode)
        machine.captures.append(self.capture)
        for state in self.states:
            state.capturing = self.capture

    def capture_end(self) -> None:
        machine = current()
        machine.check()
        capture = self.capture
        if capture is None:
            raise RuntimeError("capture_end() called before capture_begin().")
        if machine.queue(machine.current_device) is not capture.queue:
            raise RuntimeError("Capture must end on the same stream it began on.")
        capture.queue.capture = self.capture = None
        machine.captures.remove(capture)
        for queue in capture.joined:
            queue.capture = None
        valid = capture.valid and not capture.unmerged
        if valid or not machine.options.generators_stay_capturing:
            for state in self.states:
                state.capturing = None
        if not capture.valid:  # the pool stays in `recording`, as torch leaves it
            raise cuda_error(INVALIDATED)
        if not valid:
            raise cuda_error("capturing stream has unjoined work")
        machine.recording.remove((capture.queue.card, capture.pool.ident))
        self.ended = True
        self._lease = _Lease(capture.pool)
        if not self.steps:
            warnings.warn(
                "The CUDA Graph is empty. This usually means that the graph was attempted to be captured on wrong "
                "device or stream.",
                stacklevel=3,
            )

    def instantiate(self) -> None:
        if not self.ended:
            raise RuntimeError("capture_end() must have been called before calling instantiate")

    def replay(self) -> None:
        machine = current()
        machine.check()
        if not self.ended or self._pool is None:
            raise RuntimeError("Called CUDAGraph::replay without a preceding successful capture.")
        not_capturing("Cannot prepare for replay")
        queue = machine.queue(self._pool.card)
        reads, writes = [*self.inside], [*self.inside]
        for reference, written in self.outside.items():
            block = reference()
            if block is None:
                raise RuntimeError("use after free: the graph reads or writes memory of a tensor that is gone")
            (writes if written else reads).append(block)
        machine.launch(queue, reads, writes, "a replay", kernels=len(self.steps))
        for state, offset in self.drawn.items():
            state.offset += offset
        with on_the_cpu(), torch.no_grad():
            for step in self.steps:
                try:
                    step.run()
                except (IndexError, RuntimeError) as error:
                    if not OUT_OF_RANGE.search(str(error)):
                        raise
                    machine.fault = machine.fault or "device-side assert triggered"
                    return

    def pool(self) -> tuple[int, int]:
        if not self.ended or self._pool is None:
            raise RuntimeError("Called CUDAGraph::pool() without a preceding successful capture.")
        return self._pool.ident

    def reset(self) -> None:
        self.steps.clear()
        self.states.clear()
        self.drawn.clear()
        self.outside.clear()
        self._lease = None
        self.ended = False

    def enable_debug_mode(self) -> None:
        pass


def graph_pool_handle() -> tuple[int, int]:
    """In place of `torch._C._graph_pool_handle`."""
    machine = current()
    machine.pool_count += 1
    return (0, machine.pool_count)
