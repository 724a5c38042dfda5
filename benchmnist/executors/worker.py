"""A worker process of the executor `local`: forked, or `python -m benchmnist.executors.worker [CPU,CPU,...]`.

Reads messages (see messages.py) from standard input: a Workplace, then tasks. Writes the evaluations, the
epochs and the result of each task. If the device is broken in this process, it writes a Farewell and ends.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from benchmnist.errors import CaptureError
from benchmnist.executors import Farewell
from benchmnist.executors.messages import Evaluated, encode, read_messages
from benchmnist.executors.trainer import Trainer
from benchmnist.runs.pipes import write_all
from benchmnist.runs.results import CaseResult
from benchmnist.training.environment import use_threads

if TYPE_CHECKING:
    from collections.abc import Collection

    from benchmnist.training.telling import Evaluations


def main() -> None:
    """Works in a process that was started for it, whose environment has the number of threads."""
    work(cpus=[int(cpu) for arguments in sys.argv[1:] for cpu in arguments.split(",")])


def work(threads: int = 0, cpus: Collection[int] = ()) -> NoReturn:
    """Trains tasks from standard input until it ends.

    Args:
        threads: Number of threads of torch; 0 for as many as it has.
        cpus: Logical processors to stay on; none for all.
    """
    if cpus:  # the threads that torch starts later stay where this one is
        os.sched_setaffinity(0, cpus)
    if threads:
        use_threads(threads)
    # What a model prints must not end up among the messages: from here on standard output is standard error.
    answers = os.dup(1)
    os.dup2(2, 1)
    words: queue.SimpleQueue[Any] = queue.SimpleQueue()
    # Not sys.stdin: Python closes that at its end, and cannot while somebody waits for it.
    threading.Thread(target=_listen, args=(os.dup(0), words), daemon=True).start()
    trainer = Trainer(words.get())

    def tell(evaluations: Evaluations) -> None:
        _tell(answers, Evaluated(evaluations))

    while True:
        task = words.get()
        try:
            for step in trainer.measure(task.case, task.no_graph, tell):
                if trainer.broken and isinstance(step, CaseResult):
                    _leave(answers, Farewell(trainer.broken, step))
                _tell(answers, step)
        except CaptureError as error:
            _leave(answers, Farewell(str(error)))
        except BaseException:  # noqa: BLE001 - an orderly end would wait for the threads that a plugin has left
            _end_with_traceback()


def _listen(there: int, words: queue.SimpleQueue[Any]) -> None:
    """Reads messages, even during a training; ends the process when its parent has died."""
    try:
        for message in read_messages(partial(os.read, there)):
            words.put(message)
    finally:
        os._exit(0)


def _tell(answers: int, message: object) -> None:
    write_all(partial(os.write, answers), encode(message))


def _leave(answers: int, farewell: Farewell) -> NoReturn:
    _tell(answers, farewell)
    os._exit(0)  # an orderly end would talk to the device


def _end_with_traceback() -> NoReturn:
    """Ends the process; an exception of a plugin may not even be printable."""
    try:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
