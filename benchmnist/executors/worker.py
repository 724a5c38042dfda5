"""A worker process of the executor `local`: `python -m benchmnist.executors.worker [CPU,CPU,...]`.

Reads a pickled Workplace, then tasks, from standard input; writes the epochs and the result of each task. If the
device is broken in this process, it writes a Farewell and ends.
"""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
import traceback
from typing import BinaryIO, NoReturn

from benchmnist.errors import CaptureError
from benchmnist.executors import Farewell
from benchmnist.executors.trainer import Trainer
from benchmnist.runs.results import CaseResult


def main() -> None:
    """Trains tasks from standard input until it ends."""
    if len(sys.argv) > 1:  # the threads that torch starts later stay where this one is
        os.sched_setaffinity(0, map(int, sys.argv[1].split(",")))
    # What a model prints must not end up among the pickles: from here on standard output is standard error.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    words: queue.SimpleQueue[object] = queue.SimpleQueue()
    # Not sys.stdin: Python closes that at its end, and cannot while somebody waits for it.
    threading.Thread(target=_listen, args=(os.fdopen(os.dup(0), "rb"), words), daemon=True).start()
    trainer = Trainer(words.get())  # type: ignore[arg-type]
    while True:
        try:
            for step in trainer.measure(*words.get()):  # type: ignore[misc]
                if trainer.broken and isinstance(step, CaseResult):
                    _leave(answers, Farewell(trainer.broken, step))
                _tell(answers, step)
        except CaptureError as error:
            _leave(answers, Farewell(str(error)))
        except BaseException:  # noqa: BLE001 - an orderly end would wait for the threads that a plugin has left
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)


def _listen(there: BinaryIO, words: queue.SimpleQueue[object]) -> None:
    """Reads messages, even during a training; ends the process when its parent has died."""
    while True:
        try:
            words.put(pickle.load(there))
        except (EOFError, OSError, pickle.UnpicklingError):
            os._exit(0)


def _tell(answers: BinaryIO, message: object) -> None:
    try:
        pickle.dump(message, answers)
        answers.flush()
    except BrokenPipeError:
        sys.exit(1)  # nobody listens any more


def _leave(answers: BinaryIO, farewell: Farewell) -> NoReturn:
    _tell(answers, farewell)
    os._exit(0)  # an orderly end would talk to the device


if __name__ == "__main__":
    main()
