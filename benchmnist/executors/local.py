"""The executor `local`: one long-lived worker process trains, while this one draws and stores.

They speak in pickles over the worker's standard input and output. A pipe ends when the other side does, so
neither waits for a dead one: a worker that dies costs its case, and the next case gets a new worker; a parent
that dies leaves a worker that ends at its next word.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from benchmnist.results import CaseResult, EpochResult

if TYPE_CHECKING:
    from collections.abc import Generator

    from benchmnist.cases import Case
    from benchmnist.executors import Epoch, Workplace

WORKER_LOG = "worker.log"
"""What the worker, and what it trains, printed: in the run folder."""


@dataclass
class MeasuredEpoch:
    """An epoch that the worker has trained and timed."""

    seed: int
    result: EpochResult | None

    @property
    def seconds(self) -> float:
        """Of training, by the worker's clock."""
        return self.result.seconds if self.result else 0.0

    def run(self) -> None:
        """Nothing is left to do."""


class LocalExecutor:
    """Starts its worker when the first case comes."""

    def __init__(self, workplace: Workplace) -> None:
        self.workplace = workplace
        self.log = workplace.run_folder / WORKER_LOG
        self.worker: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.worker is not None:
            self.worker.kill()
            self._reap()

    def epochs(self, case: Case) -> Generator[Epoch, None, CaseResult]:
        """See Executor."""
        if self.worker is None:
            self.worker = self._start()
        worker = self.worker
        assert worker.stdin is not None  # noqa: S101 - it was started with pipes
        assert worker.stdout is not None  # noqa: S101
        try:
            pickle.dump(case, worker.stdin)
            worker.stdin.flush()
            while True:
                message = pickle.load(worker.stdout)
                if isinstance(message, MeasuredEpoch):
                    yield message
                else:
                    result: CaseResult = message
                    return result
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            return CaseResult(case=case, status="failed", error=self._epitaph())

    def _start(self) -> subprocess.Popen[bytes]:
        # -P: a file of the current folder named as a module of ours must not be taken for it.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        with self.log.open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-P", "-X", "faulthandler", "-m", "benchmnist.executors.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the parent, which then ends the worker
            )
        assert worker.stdin is not None  # noqa: S101
        pickle.dump(self.workplace, worker.stdin)
        worker.stdin.flush()
        return worker

    def _epitaph(self) -> str:
        """How the worker died."""
        code = self._reap()
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        said = self.log.read_text("utf-8", "replace").strip()
        return f"the worker process {how} while it trained this case\n{said}".strip()

    def _reap(self) -> int:
        worker, self.worker = self.worker, None
        if worker is None:
            return 0
        for pipe in (worker.stdin, worker.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        return worker.wait()
