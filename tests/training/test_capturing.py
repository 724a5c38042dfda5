"""Steps that must not be captured or recorded are noticed; without a GPU, they are run instead of a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from training_support import component, make_case, setting_of

from benchmnist.errors import CaptureError
from benchmnist.training.engines.graph import GraphEngine
from benchmnist.training.engines.recorded import RecordedEngine
from benchmnist.training.engines.resident import ResidentEngine
from benchmnist.training.fast_paths import FastPath
from benchmnist.training.loop import evaluate
from benchmnist.training.trial import Build

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmnist.suites.cases import Case
    from benchmnist.training.fast_paths import Setting

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


def train(case: Case, epochs: int = 2, *, rehearse: bool = False, ahead: bool = False) -> GraphEngine:
    """Trains as the engine graph does, but for the capture."""
    setting = setting_of(case)
    engine = GraphEngine(setting.dataset, setting.session, case.batch_size, ahead=ahead)
    if rehearse:
        engine.rehearse()
    train_by(engine, setting, epochs)
    return engine


def train_recorded(case: Case, epochs: int = 2) -> None:
    """Trains with recorded steps."""
    setting = setting_of(case)
    train_by(RecordedEngine(setting.dataset, setting.session, case.batch_size), setting, epochs)


def train_by(engine: ResidentEngine, setting: Setting, epochs: int) -> None:
    case = setting.case
    trial = FastPath(engine, Build()).trial(setting, case.seeds[:1])
    for epoch in range(1, epochs + 1):
        trial.begin(epoch)
        engine.train_epoch(trial, engine.move(trial.order(case.train_size or 0, epoch)))


@pytest.mark.parametrize(
    ("optimizer", "moved"), [("adam", "betas"), ("momentum", "momentum"), ("rmsprop", None), ("sgd", None)]
)
@pytest.mark.parametrize("cycle_momentum", [True, False])
@pytest.mark.parametrize("ahead", [True, False])
def test_a_schedule_that_moves_more_than_the_learning_rate_is_not_captured(
    optimizer: str, moved: str | None, *, ahead: bool, cycle_momentum: bool
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
        assert train(case, ahead=ahead).recording is not None
        return
    with pytest.raises(CaptureError, match=f"the schedule changes .*{moved} from step to step") as raised:
        train(case, ahead=ahead)
    assert not raised.value.spoiled


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear-warmup-cosine", "onecycle", "step"])
def test_rates_that_are_computed_ahead_are_those_of_each_step(schedule: str) -> None:
    case = make_case(schedule=component(schedule), optimizer="adam", train_size=230, batch_size=3, epochs=3)
    setting = setting_of(case)
    curves: list[list[torch.Tensor]] = []
    rates: list[list[float | None]] = []
    for engine in (
        ResidentEngine(setting.dataset, setting.session, 3),
        GraphEngine(setting.dataset, setting.session, 3),
        GraphEngine(setting.dataset, setting.session, 3, ahead=True),
    ):
        trial = FastPath(engine, Build()).trial(setting, (0,))
        curves.append([])
        rates.append([])
        for epoch in (1, 2, 3):
            rates[-1].append(trial.learning_rate)
            trial.begin(epoch)
            curves[-1].append(engine.train_epoch(trial, engine.move(trial.order(230, epoch))))
        rates[-1].append(trial.learning_rate)
        assert isinstance(trial.optimizer.param_groups[0]["lr"], float)
    assert rates[0] == rates[1] == rates[2]
    torch.testing.assert_close(torch.cat(curves[1]), torch.cat(curves[2]))
    torch.testing.assert_close(torch.cat(curves[0]), torch.cat(curves[2]), rtol=1e-3, atol=1e-4)


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
    def __init__(self, model):
        super().__init__(model.parameters(), lr=0.1, momentum=0.9)
        self.momentum, self.model = 0.9, model
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
        elif self.how == "momentum_buffer":
            for state in self.optimizer.state.values():
                state["momentum_buffer"] = torch.zeros_like(state["momentum_buffer"])
        elif self.how == "training":
            self.optimizer.model.eval()

def odd(model):
    return Odd(model)

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
    "how",
    [
        *("array", "nested", "tensor", "momentum", "param_groups", "requires_grad"),
        *("momentum_buffer", "training", "nothing"),
    ],
)
def test_whatever_a_schedule_moves_on_the_host_is_noticed(install_plugin: Callable[..., None], how: str) -> None:
    install_plugin("moving", MOVING)
    case = make_case(optimizer="odd", schedule=component("moving", how=how), train_size=230)
    if how == "nothing":
        assert train(case).recording is not None
        return
    with pytest.raises(CaptureError, match=f"the schedule changes .*{how}.* from step to step"):
        train(case)


MODELS = """
import itertools, random, threading, time, types, weakref
import numpy as np
import torch
from torch import nn
from benchmnist import ModelSpec, hookimpl

def counting():
    count = 0
    while True:
        count += 1
        yield count

class Hiding:
    "Says that it has nothing."
    def __init__(self):
        self.count = 0
    def __getstate__(self):
        return ()

class Refusing(Hiding):
    def __getstate__(self):
        raise SystemExit("ask somebody else")

class Slotted(nn.Module):
    __slots__ = ("__count",)
    def __init__(self):
        super().__init__()
        self.__count = 0
    def forward(self, x):
        self.__count += 1
        return x

unseen, tensors = 0, [*torch.zeros(3, 10)]  # of a module, to which no attribute leads

class Block(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.linear, self.how = nn.Linear(784, 10), how
        self.calls, self.nested, self.counter = 0, types.SimpleNamespace(calls=[{"all": 0}]), itertools.count()
        self.rng, self.numbers, self.last = random.Random(0), np.random.default_rng(0), None
        self.register_buffer("ema", torch.zeros(()))
        # What cannot be written down, and what never moves.
        self.lock, self.weak, self.odd = threading.Lock(), weakref.ref(self.linear), float("nan")
        self.shape, self.names, self.steps = torch.Size([1]), {"b", "a"}, (n for n in range(3))
        closed_over = 0
        def hook(*_):
            nonlocal closed_over
            closed_over += how == "hook"
        self.register_forward_hook(hook)
        self.loop = lambda: self.loop  # closes over the module itself
        self.generator, self.hiding, self.refusing, self.slotted = counting(), Hiding(), Refusing(), Slotted()
        self.default, self.pop = (lambda count=[0]: count.append(0)), [*range(99)].pop
        self.local, self.view = threading.local(), memoryview(bytearray(1))
        self.local.count, self.linear.weight.count = 0, 0
        def gradient_hook(gradient, count=[0]):
            if how == "hook of a tensor":
                count.append(0)
        self.linear.weight.register_hook(gradient_hook)

    def train(self, mode=True):
        self.epochs = getattr(self, "epochs", 0) + (mode and self.how == "epochs")
        return super().train(mode)

    def forward(self, x):
        x = self.linear(x.flatten(1))
        if self.how == "calls":
            self.calls += 1
        elif self.how == "nested":
            self.nested.calls[0]["all"] += 1
        elif self.how == "counter":
            next(self.counter)
        elif self.how == "rng":
            self.rng.random()
        elif self.how == "numbers":
            self.numbers.random()
        elif self.how == "python":
            random.random()
        elif self.how == "numpy":
            np.random.random()
        elif self.how == "last":
            self.last = x
        elif self.how == "_buffers":
            self.ema = 0.9 * self.ema + x.detach().mean()
        elif self.how == "epochs":
            x = x * (1 + 0.1 * self.epochs)
        elif self.how == "generator":
            next(self.generator)
        elif self.how in ("hiding", "refusing"):
            getattr(self, self.how).count += 1
        elif self.how == "slotted":
            x = self.slotted(x)
        elif self.how in ("default", "pop"):
            getattr(self, self.how)()
        elif self.how == "local":
            self.local.count += 1
        elif self.how == "lock":  # the new one may lie where the old one lay
            self.lock = None
            self.lock = threading.Lock()
        elif self.how == "view":
            self.view[0] += 1
        elif self.how == "attribute of a tensor":
            self.linear.weight.count += 1
        elif self.how.startswith("unseen"):
            global unseen
            unseen += 1
            if self.how == "unseen number":
                x = x * (1 + unseen / 100)
            elif self.how == "unseen tensor":
                x = x + tensors[unseen % 3]
            elif self.how == "unseen operation":
                for _ in range(unseen):
                    x = x * 1
        elif self.how == "slow" and self.training:
            self.slow = Slow()
        return x

class Slow:
    "Takes its time to be looked at."
    def __reduce_ex__(self, protocol):
        time.sleep(0.2)
        return (int, ())

def build(*, input_shape, num_classes, how):
    return nn.Sequential(nn.Identity(), Block(how))

@hookimpl
def benchmnist_models():
    return [ModelSpec(name="moving", summary="", build=build)]
"""


@pytest.mark.parametrize(
    "how",
    [
        *("calls", "nested", "counter", "rng", "numbers", "last", "_buffers", "hook", "python", "numpy"),
        *("generator", "hiding", "refusing", "slotted", "default", "pop", "local", "view", "lock"),
        *("attribute of a tensor", "hook of a tensor", "nothing"),
    ],
)
def test_whatever_a_model_moves_on_the_host_is_noticed(install_plugin: Callable[..., None], how: str) -> None:
    install_plugin("models", MODELS)
    case = make_case(model=component("moving", how=how))
    if how == "nothing":
        assert train(case).recording is not None
        return
    called = {
        "hook": "_forward_hooks",
        "slotted": "Slotted._Slotted__count",
        "attribute of a tensor": "_parameters",
        "hook of a tensor": "_parameters",
    }
    expected = f"the model changes {called.get(how, how)} from step to step"
    if how in ("python", "numpy"):
        expected = "a step draws random numbers on the host"
    by: Callable[[Case], object]
    for by in (train, train_recorded):
        with pytest.raises(CaptureError, match=expected) as raised:
            by(case)
        assert not raised.value.spoiled


@pytest.mark.parametrize("train_size", [20, 60, 230])
@pytest.mark.parametrize("how", ["number", "tensor", "operation", "nothing"])
def test_what_no_attribute_leads_to_is_noticed_in_a_rehearsal_by_what_the_step_does(
    install_plugin: Callable[..., None], how: str, train_size: int
) -> None:
    install_plugin("models", MODELS)
    case = make_case(model=component("moving", how=f"unseen {how}"), train_size=train_size, batch_size=50)
    if how == "nothing":
        engine = train(case, epochs=4, rehearse=True)
        assert engine.recording is not None
        assert {(size, 1) for size in engine.recording.sizes} == {*engine.recording.replays}
        return
    expected = r"one step (does|works) .*(where|with other tensors than|other tensors than) the next"
    with pytest.raises(CaptureError, match=expected):
        train(case, epochs=4, rehearse=True)
    if train_size >= 2 * case.batch_size:  # less has no steps to repeat
        with pytest.raises(CaptureError, match=expected):
            train_recorded(case)


def test_what_a_model_moves_between_epochs_is_captured_anew(install_plugin: Callable[..., None]) -> None:
    install_plugin("models", MODELS)
    case = make_case(model=component("moving", how="epochs"), epochs=3)
    setting = setting_of(case)
    losses = []
    for make in (ResidentEngine, GraphEngine, RecordedEngine):
        engine = make(setting.dataset, setting.session, case.batch_size)
        trial = FastPath(engine, Build()).trial(setting, case.seeds[:1])
        for epoch in (1, 2, 3):
            trial.begin(epoch)
            losses.append(engine.train_epoch(trial, engine.move(trial.order(case.train_size or 0, epoch))))
            assert (engine.untimed_steps == 0) == (make is ResidentEngine)
            evaluate(trial, *setting.session.data(setting.dataset).test, case)
    torch.testing.assert_close(torch.stack(losses[:3]), torch.stack(losses[3:6]), rtol=1e-3, atol=1e-3)
    assert torch.equal(torch.stack(losses[:3]), torch.stack(losses[6:]))


@pytest.mark.parametrize(
    ("train_size", "untimed"),
    [
        pytest.param(230, [3, 0, 0], id="four steps of 50 and one of 30"),
        pytest.param(110, [0, 0, 0], id="two steps of 50 and one of 10"),
        pytest.param(60, [0, 0, 0], id="one step of 50 and one of 10"),
        pytest.param(50, [0, 0, 0], id="one step of 50"),
        pytest.param(20, [0, 0, 0], id="one step of 20"),
    ],
)
def test_steps_that_are_no_replays_are_not_timed_where_others_are_replayed(
    train_size: int, untimed: list[int]
) -> None:
    case = make_case(train_size=train_size)
    setting = setting_of(case)
    engine = GraphEngine(setting.dataset, setting.session, 50)
    trial = FastPath(engine, Build()).trial(setting, (0,))
    seen = []
    for epoch in (1, 2, 3):
        trial.begin(epoch)
        losses = engine.train_epoch(trial, engine.move(trial.order(train_size, epoch)))
        assert losses.shape == (-(-train_size // 50),)
        seen.append(engine.untimed_steps)
    assert seen == untimed
    recording = engine.recording
    engine.release()
    assert recording is not None
    assert engine.recording is None


@pytest.mark.parametrize("train_size", [20, 50, 60, 110, 230])
def test_what_is_done_to_capture_a_step_is_never_timed(
    install_plugin: Callable[..., None], train_size: int
) -> None:
    install_plugin("models", MODELS)
    case = make_case(model=component("moving", how="slow"), train_size=train_size, batch_size=50)
    setting = setting_of(case)
    engine = GraphEngine(setting.dataset, setting.session, 50)
    trial = FastPath(engine, Build()).trial(setting, (0,))
    trial.begin(1)
    engine.train_epoch(trial, engine.move(trial.order(train_size, 1))[:20])
    assert engine.untimed_seconds >= 0.4  # it was written down twice, each with a pause of 0.2 s


@pytest.mark.parametrize(
    ("steps", "together"),
    [
        pytest.param(19, 1, id="an epoch that is too short"),
        pytest.param(24, 12, id="two graphs an epoch"),
        pytest.param(120, 20, id="six graphs an epoch"),
        pytest.param(131, 26, id="five graphs an epoch, and one step"),
    ],
)
def test_one_graph_makes_as_many_steps_as_leave_few_over(steps: int, together: int) -> None:
    setting = setting_of(make_case(train_size=steps * 2 + 1, batch_size=2))
    engine = GraphEngine(setting.dataset, setting.session, 2)
    trial = FastPath(engine, Build()).trial(setting, (0,))
    assert engine.together(trial) == together
    engine.rehearse()
    assert engine.together(trial) == min(together, 2)


def test_the_batches_of_one_graph_do_not_fill_the_memory() -> None:
    setting = setting_of(make_case(model="logistic", train_size=500, batch_size=10, seeds=tuple(range(1000))))
    engine = GraphEngine(setting.dataset, setting.session, 10)
    trial = FastPath(engine, Build(), stacked=True).trial(setting, setting.case.seeds)
    assert engine.together(trial) == 5  # each has 31 MB


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
        trial = FastPath(engine, Build()).trial(setting, (seed,))
        trial.begin(1)
        alone.append(engine.train_epoch(trial, engine.move(trial.order(230, 1))))
    trial = FastPath(engine, Build(), stacked=True).trial(setting, (2, 9))
    trial.begin(1)
    together = engine.train_epoch(trial, engine.move(trial.order(230, 1)))
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-3, atol=1e-3)
