"""The worker process of the executor `local`: `python -m benchmnist.executors.worker`.

Reads a pickled Workplace, then Cases, from standard input; for each case writes its epochs and its result.
"""

from __future__ import annotations

import os
import pickle
import sys
from typing import BinaryIO

from benchmnist.executors import Bench, Walk
from benchmnist.executors.local import MeasuredEpoch


def main() -> None:
    """Trains what it is told to, until there is nobody left to tell it."""
    # What a model prints must not end up among the pickles: from here on standard output is standard error.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    bench = Bench(pickle.load(sys.stdin.buffer))
    while True:
        try:
            case = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        walk = Walk(bench.epochs(case), lambda seed, result: _tell(answers, MeasuredEpoch(seed, result)))
        while (epoch := walk.next()) is not None:
            epoch.run()
        _tell(answers, walk.result)


def _tell(answers: BinaryIO, message: object) -> None:
    try:
        pickle.dump(message, answers)
        answers.flush()
    except BrokenPipeError:
        sys.exit(1)  # nobody listens any more


if __name__ == "__main__":
    main()
