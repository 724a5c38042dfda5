"""A worker process of the executor `local`: `python -m benchmnist.executors.worker [CPU,CPU,...]`.

Reads a pickled Workplace, then tasks, from standard input; for each task writes its epochs and its result.
"""

from __future__ import annotations

import os
import pickle
import sys
from typing import BinaryIO

from benchmnist.executors import Bench
from benchmnist.results import CaseResult, MeasuredEpoch


def main() -> None:
    """Trains what it is told to, until there is nobody left to tell it."""
    if len(sys.argv) > 1:  # the threads that torch starts later stay where this one is
        os.sched_setaffinity(0, map(int, sys.argv[1].split(",")))
    # What a model prints must not end up among the pickles: from here on standard output is standard error.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    bench = Bench(pickle.load(sys.stdin.buffer))
    while True:
        try:
            task = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        trained = None
        for step in bench.train(task):
            if trained is not None and trained.result is not None:
                _tell(answers, MeasuredEpoch(trained.seed, trained.result))
            if isinstance(step, CaseResult):
                _tell(answers, step)
            else:
                step.run()
                trained = step


def _tell(answers: BinaryIO, message: object) -> None:
    try:
        pickle.dump(message, answers)
        answers.flush()
    except BrokenPipeError:
        sys.exit(1)  # nobody listens any more


if __name__ == "__main__":
    main()
