"""What must not be captured is noticed before it is; here without a GPU, where the same step is run instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from training_support import component, make_case, setting_of

from benchmnist.errors import CaptureError
from benchmnist.training.engines.graph import GraphEngine
from benchmnist.training.trial import Build
from benchmnist.training.ways import Way

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmnist.cases import Case

COUNTING = """
import torch
from benchmnist import OptimizerSpec, hookimpl

class Counting(torch.optim.SGD):
    "Keeps a number in its groups that moves, as schedule-free optimizers do."
    def __init__(self, params, every):
        super().__init__(params, lr=0.1)
        self.every = every
        self.param_groups[0]["k"] = 0
        self.steps = 0
    def step(self, closure=None):
        self.steps += 1
        if self.steps % self.every == 0:
            self.param_groups[0]["k"] += 1
        return super().step(closure)

def counting(model, *, every=1):
    return Counting(model.parameters(), every)

@hookimpl
def benchmnist_optimizers():
    return [OptimizerSpec(name="counting", summary="", build=counting, capturable=True)]
"""


def train(case: Case, epochs: int = 2) -> GraphEngine:
    """Trains as the engine graph does, but for the capture."""
    setting = setting_of(case)
    engine = GraphEngine(setting.dataset, setting.session, case.batch_size)
    trial = Way(engine, Build()).trial(setting, case.seeds[:1])
    for epoch in range(1, epochs + 1):
        trial.begin(epoch)
        engine.train_epoch(trial, engine.place(trial.order(case.train_size or 0, epoch)))
    return engine


@pytest.mark.parametrize(
    ("optimizer", "moved"), [("adam", "betas"), ("momentum", "momentum"), ("rmsprop", None), ("sgd", None)]
)
@pytest.mark.parametrize("cycle_momentum", [True, False])
def test_a_schedule_that_moves_more_than_the_learning_rate_is_not_captured(
    optimizer: str, moved: str | None, *, cycle_momentum: bool
) -> None:
    params = {"momentum": 0.9} if optimizer == "rmsprop" else {}
    if optimizer == "sgd":
        cycle_momentum = False  # torch refuses it
    if optimizer == "rmsprop":
        moved = "momentum"
    case = make_case(
        optimizer=component(optimizer, **params),
        schedule=component("onecycle", cycle_momentum=cycle_momentum),
        train_size=230,
        epochs=2,
    )
    if not cycle_momentum:
        assert train(case).recording is not None
        return
    with pytest.raises(CaptureError, match=f"the schedule changes .*{moved} from step to step") as raised:
        train(case)
    assert not raised.value.spoiled


def test_an_optimizer_that_moves_a_number_of_its_groups_is_not_captured(
    install_plugin: Callable[..., None],
) -> None:
    install_plugin("counting", COUNTING)
    with pytest.raises(CaptureError, match="the optimizer changes k and steps from step to step"):
        train(make_case(optimizer="counting"))


MOVING = """
import numpy as np
import torch
from torch.optim.lr_scheduler import LRScheduler
from benchmnist import OptimizerSpec, ScheduleSpec, hookimpl

class Odd(torch.optim.SGD):
    "Keeps numbers in all the places where one can."
    def __init__(self, params):
        super().__init__(params, lr=0.1)
        self.momentum = 0.9
        self.param_groups[0] |= {"array": np.array([0.9]), "nested": {"a": [0.9]}, "nan": float("nan"),
                                 "tensor": torch.tensor(0.9)}

class Moving(LRScheduler):
    def __init__(self, optimizer, how):
        self.how = how
        super().__init__(optimizer)
    def get_lr(self):
        return [group["lr"] for group in self.optimizer.param_groups]
    def step(self, *_):
        self._step_count = getattr(self, "_step_count", 0) + 1
        group, count = self.optimizer.param_groups[0], self._step_count
        if count < 6:  # late: none of the first steps shows it
            return
        if self.how == "array":
            group["array"][0] = 0.9 - count / 100
        elif self.how == "nested":
            group["nested"]["a"][0] = 0.9 - count / 100
        elif self.how == "tensor":
            group["tensor"] = torch.tensor(0.9)
        elif self.how == "momentum":
            self.optimizer.momentum -= 0.01
        elif self.how == "param_groups":
            self.optimizer.param_groups = [dict(group)]
        elif self.how == "requires_grad":
            group["params"][0].requires_grad_(False)

def odd(model):
    return Odd(model.parameters())

def moving(optimizer, *, total_steps, how="nothing"):
    return Moving(optimizer, how)

@hookimpl
def benchmnist_optimizers():
    return [OptimizerSpec(name="odd", summary="", build=odd, capturable=True)]

@hookimpl
def benchmnist_schedules():
    return [ScheduleSpec(name="moving", summary="", build=moving)]
"""


@pytest.mark.parametrize(
    "how", ["array", "nested", "tensor", "momentum", "param_groups", "requires_grad", "nothing"]
)
def test_whatever_a_schedule_moves_on_the_host_is_noticed(install_plugin: Callable[..., None], how: str) -> None:
    install_plugin("moving", MOVING)
    case = make_case(optimizer="odd", schedule=component("moving", how=how), train_size=230)
    if how == "nothing":
        assert train(case).recording is not None
        return
    with pytest.raises(CaptureError, match=f"the schedule changes .*{how}.* from step to step"):
        train(case)


def test_steps_that_are_no_replays_are_not_timed() -> None:
    case = make_case(train_size=230)  # four steps of 50, and one of 30
    setting = setting_of(case)
    engine = GraphEngine(setting.dataset, setting.session, 50)
    trial = Way(engine, Build()).trial(setting, (0,))
    untimed = []
    for epoch in (1, 2, 3):
        trial.begin(epoch)
        losses = engine.train_epoch(trial, engine.place(trial.order(230, epoch)))
        assert losses.shape == (5,)
        untimed.append((engine.untimed_steps, engine.untimed_seconds > 0))
    assert untimed == [(3, True), (0, False), (0, False)]
    recording = engine.recording
    engine.release()
    assert recording is not None
    assert engine.recording is None


def test_data_lie_on_the_device_once() -> None:
    setting = setting_of(make_case())
    engines = [GraphEngine(setting.dataset, setting.session, size) for size in (10, 50)]
    assert engines[0].images is engines[1].images
    assert setting.session.data(setting.dataset).train[0] is engines[0].images


def test_a_stack_draws_what_each_seed_draws_alone_in_every_step() -> None:
    setting = setting_of(make_case(model="fc-bn-dropout", optimizer="adam", train_size=230, seeds=(2, 9)))
    engine = GraphEngine(setting.dataset, setting.session, 50)
    alone = []
    for seed in (2, 9):
        trial = Way(engine, Build()).trial(setting, (seed,))
        trial.begin(1)
        alone.append(engine.train_epoch(trial, engine.place(trial.order(230, 1))))
    trial = Way(engine, Build(), stacked=True).trial(setting, (2, 9))
    trial.begin(1)
    together = engine.train_epoch(trial, engine.place(trial.order(230, 1)))
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-3, atol=1e-3)
