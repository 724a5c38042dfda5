"""The engines: how the epochs of a trial are executed. One protocol; they never change what is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from benchmnist.training.trial import Trial


class Engine(Protocol):
    """Executes epochs.

    Attributes:
        name: What a suite calls it.
        untimed_seconds: Time of the last epoch that is not the time of its steps as they are from then on.
        untimed_steps: Steps of the last epoch that were made within that time.
        clock: Clock of `untimed_seconds`.
        goes_on: Whether a part of the epoch with a whole batch follows the next one that is trained: what is done
            once an epoch can wait.
    """

    name: str
    clock: Callable[[], float]
    untimed_seconds: float
    untimed_steps: int
    goes_on: bool = False

    def move(self, order: Tensor) -> Tensor:
        """Moves the order of an epoch from the CPU to where `train_epoch` reads it; this is not timed."""
        ...

    def train_epoch(self, trial: Trial, order: Tensor) -> Tensor:
        """Trains on the examples in that order, [size]. Returns the loss of each step, [steps], on the device.

        A stack of several seeds comes with an order [seeds, size], and its losses are [seeds, steps].
        This is what is timed: no more than it needs, and no waiting for the device.
        """
        ...

    def rehearse(self) -> None:
        """Looks closer at the steps from now on, until it is released: they are for nothing but that."""
        return

    def foresee(self, trial: Trial, steps: int, *, wholly: bool) -> None:
        """Makes so many steps of the schedule of a trial that it has trained, where they may show anything.

        Args:
            trial: The trial.
            steps: Of its schedule.
            wholly: Whether the schedule may move anything at any step, and put it back later.

        Raises:
            CaptureError: if the schedule moves what it cannot train with.
        """
        del trial, steps, wholly

    def check(self, trial: Trial) -> None:
        """Does what has waited, where a trial ends within an epoch; its weights are of no use any more.

        Raises:
            CaptureError: if its steps do not all do the same.
        """
        del trial

    def release(self) -> None:
        """Lets go of the trial that it has trained, and of what was made for it."""
        return


def seconds_of(engine: Engine, elapsed: float, steps: int) -> float:
    """Returns the seconds of the steps of the last epoch, by those that were timed; by all if none was.

    Args:
        engine: Engine that trained it.
        elapsed: Seconds that `train_epoch` took.
        steps: Number of steps.
    """
    timed = steps - engine.untimed_steps
    return (elapsed - engine.untimed_seconds) * steps / timed if timed else elapsed
