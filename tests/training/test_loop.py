from __future__ import annotations

import importlib
import itertools
import math
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from training_support import component, epochs_of, losses, make_case, result_of, setting_of

from benchmnist.errors import UnknownNameError
from benchmnist.training import clock, loop
from benchmnist.training.clock import Clock
from benchmnist.training.data import epoch_order
from benchmnist.training.manual import ManualTraining
from benchmnist.training.trial import build_trial

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmnist.runs.results import CaseResult

# A plugin for what the built-in ones do not do.
ODD = """
import torch
from torch import nn
from benchmnist import ModelSpec, OptimizerSpec, ScheduleSpec, hookimpl

class SlowToTest(nn.Linear):
    tested = 0

    def forward(self, images):
        if not self.training:
            SlowToTest.tested += 1
        return super().forward(images.flatten(1))

def slow_to_test(*, input_shape, num_classes):
    return SlowToTest(784, num_classes)

def raises_in_step_30(*, input_shape, num_classes):
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes))
    calls = []
    def count(*_):
        if model.training:
            calls.append(1)
        if len(calls) > 25:
            raise RuntimeError("the thirtieth step")
    model.register_forward_pre_hook(count)
    return model

class Modal(torch.optim.SGD):
    seen = []
    def train(self): self.seen.append("train")
    def eval(self): self.seen.append("eval")

def modal(model, *, total_steps):
    optimizer = Modal(model.parameters(), lr=0.1)
    optimizer.seen.append(total_steps)
    return optimizer

@hookimpl
def benchmnist_models():
    return [ModelSpec(name="slow-to-test", summary="", build=slow_to_test),
            ModelSpec(name="raises", summary="", build=raises_in_step_30)]

@hookimpl
def benchmnist_optimizers():
    return [OptimizerSpec(name="modal", summary="", build=modal, has_modes=True),
            OptimizerSpec(name="number", summary="", build=lambda model: 42)]

@hookimpl
def benchmnist_schedules():
    return [ScheduleSpec(name="text", summary="", build=lambda optimizer, *, total_steps: "a")]
"""


def weights_at_the_start(**options: Any) -> list[torch.Tensor]:
    case = make_case(**options)
    setting = setting_of(case)
    trial = build_trial(case, case.seeds[0], setting.registry, setting.dataset, setting.device)
    return [value.clone() for value in trial.model.state_dict().values()]


def test_for_a_seed_every_optimizer_starts_from_the_same_weights() -> None:
    sgd = weights_at_the_start(model="cnn", optimizer="sgd", seeds=(3,))
    torch.rand(7)  # whatever was drawn before
    adam = weights_at_the_start(model="cnn", optimizer="adam", seeds=(3,))
    other = weights_at_the_start(model="cnn", optimizer="adam", seeds=(4,))
    assert all(a.equal(b) for a, b in zip(sgd, adam, strict=True))
    assert not any(a.equal(b) for a, b in zip(adam, other, strict=True))


def test_for_a_seed_every_optimizer_sees_the_same_examples(install_plugin: Callable[..., None]) -> None:
    install_plugin("watch", WATCH)
    watch = importlib.import_module("benchmnist_watch")

    for optimizer in ("sgd", "adam"):
        result = result_of(make_case(model="watch", optimizer=optimizer, seeds=(5,), epochs=2, train_size=100))
        assert result.status == "completed", result.error
    seen = watch.SEEN
    half = len(seen) // 2
    assert half > 4
    assert all(a.equal(b) for a, b in itertools.zip_longest(seen[:half], seen[half:]))
    assert not seen[1].equal(seen[3])  # and the next epoch has another order


WATCH = """
from torch import nn
from benchmnist import ModelSpec, hookimpl

SEEN = []

class Watch(nn.Linear):
    def forward(self, images):
        if self.training:
            SEEN.append(images.clone())
        return super().forward(images.flatten(1))

@hookimpl
def benchmnist_models():
    return [ModelSpec(name="watch", summary="", build=lambda *, input_shape, num_classes: Watch(784, num_classes))]
"""


def test_a_seed_is_the_same_alone_and_among_others() -> None:
    together = result_of(make_case(model="fc-bn-dropout", seeds=(1, 2), epochs=2))
    alone = result_of(make_case(model="fc-bn-dropout", seeds=(2,), epochs=2))
    assert together.trials[1].epochs[1].train_loss == alone.trials[0].epochs[1].train_loss
    assert together.trials[0].epochs[1].train_loss != alone.trials[0].epochs[1].train_loss


def test_the_losses_are_what_torch_computes() -> None:
    """The loop against a few lines of plain torch."""
    case = make_case(model="fc", optimizer=component("adam", lr=1e-3), epochs=2)
    setting = setting_of(case)
    trial = build_trial(case, 0, setting.registry, setting.dataset, setting.device)
    images, labels = setting.dataset.train_images.float() / 255, setting.dataset.train_labels
    optimizer = torch.optim.Adam(trial.model.parameters(), lr=1e-3)
    expected = []
    for epoch in (1, 2):
        total = 0.0
        for chosen in epoch_order(500, 0, epoch).split(50):
            loss = torch.nn.functional.cross_entropy(trial.model(images[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        expected.append(total / 10)
    result = result_of(case)
    assert [epoch.train_loss for epoch in result.trials[0].epochs] == pytest.approx(expected, rel=1e-5)
    assert (result.trials[0].epochs[-1].test_accuracy or 0) > 50  # eight seeds: 74, a deviation of 4
    assert (result.steps, result.train_size, result.parameters) == (10, 500, 397510)


def test_a_step_is_recorded_every_hundred_and_at_the_end() -> None:
    result = result_of(make_case(model="logistic", batch_size=2, train_size=500))
    assert [step for step, _ in result.trials[0].epochs[0].step_losses] == [100, 200, 250]


def test_evaluation_is_not_timed(install_plugin: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that moves while the model is tested, and at no other time."""
    install_plugin("odd", ODD)
    slow = importlib.import_module("benchmnist_odd").SlowToTest
    monkeypatch.setattr(Clock, "__call__", lambda _: float(slow.tested))
    result = result_of(make_case(model="slow-to-test", epochs=2))
    assert result.status == "completed", result.error
    assert slow.tested >= 2
    assert [epoch.seconds for epoch in result.trials[0].epochs] == [0.0, 0.0]


def test_the_clock_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: said.append(f"wait for {device}"))

    def read() -> float:
        said.append("read")
        return 1.0

    monkeypatch.setattr(clock, "perf_counter", read)
    assert Clock(torch.device("cuda", 1))() == 1.0
    assert said == ["wait for cuda:1", "read"]


def test_an_optimizer_with_modes_is_switched_around_evaluation(install_plugin: Callable[..., None]) -> None:
    install_plugin("odd", ODD)
    seen = importlib.import_module("benchmnist_odd").Modal.seen
    seen.clear()
    result = result_of(make_case(model="logistic", optimizer="modal", epochs=2))
    assert result.status == "completed", result.error
    assert seen == [20, "train", 20, "train", "eval", "train", "eval"]


def test_divergence_is_a_result_and_ends_its_trial_only() -> None:
    result = result_of(make_case(optimizer=component("sgd", lr=1e9), seeds=(0, 1), epochs=3))
    assert result.status == "diverged"
    assert result.error is None
    for trial in result.trials:
        assert trial.status == "diverged"
        assert len(trial.epochs) == 1
        assert not math.isfinite(trial.epochs[0].train_loss)
        assert trial.epochs[0].test_accuracy is None


@pytest.mark.parametrize("engine", ["dataloader", "resident", "stacked"])
def test_weights_that_the_last_step_broke_are_no_completed_training(engine: str) -> None:
    """The loss of the only step is that of the first weights: it is finite, and the test is not."""
    wild = component("sgd", lr=1e38)
    options = {"model": "logistic", "optimizer": wild, "train_size": 100, "batch_size": 100, "seeds": (0, 1)}
    result = result_of(make_case(engine=engine, target_accuracy=1.0, **options))
    assert [trial.status for trial in result.trials] == ["diverged"] * 2
    assert math.isfinite(result.trials[0].epochs[0].train_loss)
    assert result.trials[0].epochs[0].metrics == {}


def test_a_model_that_fails_in_eval_only_diverges(install_plugin: Callable[..., None]) -> None:
    install_plugin(
        "brittle",
        """
        import torch
        from torch import nn
        from benchmnist import ModelSpec, hookimpl

        class Brittle(nn.Sequential):
            def forward(self, images):
                return super().forward(images) * (1.0 if self.training else torch.nan)

        def build(*, input_shape, num_classes):
            return Brittle(nn.Flatten(), nn.Linear(784, num_classes))

        @hookimpl
        def benchmnist_models():
            return [ModelSpec(name="brittle", summary="", build=build)]
        """,
    )
    assert result_of(make_case(model="brittle")).status == "diverged"


def test_what_raises_is_a_result_with_its_traceback_and_what_came_before(
    install_plugin: Callable[..., None],
) -> None:
    install_plugin("odd", ODD)
    result = result_of(make_case(model="raises", epochs=5, seeds=(0, 1)))
    assert result.status == "failed"
    assert "RuntimeError: the thirtieth step" in str(result.error)
    assert "in count\n" in str(result.error)
    (trial,) = result.trials
    assert (trial.status, len(trial.epochs)) == ("failed", 2)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_evaluation_leaves_the_training_as_it_was(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case(model="fc-bn-dropout", epochs=3, evaluate_in=mode)
    tested = result_of(case)
    monkeypatch.setattr(loop, "evaluate", lambda *_: {"test_loss": 0.0, "test_accuracy": 0.0})
    untested = result_of(case)
    assert [e.train_loss for e in tested.trials[0].epochs] == [e.train_loss for e in untested.trials[0].epochs]


def test_the_mode_of_evaluation_matters_where_it_should() -> None:
    def accuracy(model: str, mode: str) -> float | None:
        return result_of(make_case(model=model, evaluate_in=mode)).trials[0].epochs[0].test_accuracy

    assert accuracy("fc", "eval") == accuracy("fc", "train")
    assert accuracy("fc-bn-dropout", "eval") != accuracy("fc-bn-dropout", "train")


MEDDLING = """
import random
import numpy as np
import torch
from torch import nn
from benchmnist import ModelSpec, hookimpl

class Meddling(nn.Module):
    "Does something odd in its thirtieth training step."
    def __init__(self, how):
        super().__init__()
        self.linear, self.how, self.steps = nn.Linear(784, 10), how, 0
    def forward(self, x):
        self.steps += self.training
        x = self.linear(x.flatten(1))
        if self.how == "draws":
            return x * random.choice([0.5, 1, 2]) + np.random.rand() if self.training else x
        if self.training and self.steps == 20:
            getattr(self, self.how)()
        return x
    def gradients(self):
        torch.set_grad_enabled(False)
    def dtype(self):
        torch.set_default_dtype(torch.float64)
    def device(self):
        torch.set_default_device("meta")
    def anomalies(self):
        torch.autograd.set_detect_anomaly(True)
    def autocast(self):
        torch.set_autocast_enabled("cpu", True)
    def autocast_type(self):
        torch.set_autocast_dtype("cpu", torch.float16)
    def precision(self):
        torch.set_float32_matmul_precision("medium")
    def deterministic(self):
        torch.use_deterministic_algorithms(True, warn_only=True)
    def exits(self):
        raise SystemExit(3)
    def stops(self):
        raise StopIteration
    def closes(self):
        raise GeneratorExit

def meddling(*, input_shape, num_classes, how):
    return Meddling(how)

def lazy(*, input_shape, num_classes):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))

@hookimpl
def benchmnist_models():
    return [ModelSpec(name="meddling", summary="", build=meddling), ModelSpec(name="lazy", summary="", build=lazy)]
"""


@pytest.mark.parametrize(
    ("how", "named"),
    [
        ("gradients", "gradient mode from True to False"),
        ("dtype", "default dtype from torch.float32 to torch.float64"),
        ("device", "default device from cpu to meta"),
        ("anomalies", "detection of anomalies from (False, True) to (True, True)"),
        ("autocast", "autocast from (False, False) to (True, False)"),
        (
            "autocast_type",
            "types of autocast from (torch.bfloat16, torch.float16) to (torch.float16, torch.float16)",
        ),
        ("precision", "precision of float32 products from highest (cuDNN: ieee) to medium (cuDNN: ieee)"),
        ("deterministic", "deterministic mode from False to True"),
    ],
)
def test_what_a_step_changes_in_torch_costs_no_other_case_anything(
    install_plugin: Callable[..., None], how: str, named: str
) -> None:
    install_plugin("meddling", MEDDLING)
    expected = losses(result_of(make_case()))
    meddling = result_of(make_case(model=component("meddling", how=how), epochs=2))
    assert f"it changed torch's {named}, which was put back after the case" in meddling.remarks
    assert losses(result_of(make_case())) == expected


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("exits", "calls sys.exit(3)"),
        ("closes", "raises GeneratorExit, which is not an Exception"),
        ("stops", "raises StopIteration"),
    ],
)
def test_a_model_that_wants_to_end_the_process_fails_its_case(
    install_plugin: Callable[..., None], how: str, said: str
) -> None:
    install_plugin("meddling", MEDDLING)
    result = result_of(make_case(model=component("meddling", how=how), epochs=3))
    assert (result.status, [len(trial.epochs) for trial in result.trials]) == ("failed", [1])
    assert f"PluginError: {said}\n" in str(result.error)
    assert "in forward" in str(result.error)


def test_what_is_drawn_by_other_means_than_torchs_comes_from_the_seed_too(
    install_plugin: Callable[..., None],
) -> None:
    install_plugin("meddling", MEDDLING)
    case = make_case(model=component("meddling", how="draws"), seeds=(0, 1), epochs=2)
    first, again = losses(result_of(case)), losses(result_of(case))
    assert again == first
    assert len({*first}) == len(first)


def test_a_lazy_model_is_told_to_be_another(install_plugin: Callable[..., None]) -> None:
    install_plugin("meddling", MEDDLING)
    result = result_of(make_case(model="lazy"))
    assert result.status == "failed"
    assert (
        "the model 'lazy' does not know the size of its parameter 1.weight when it is built; use a layer"
        in str(result.error)
    )


def test_training_leaves_the_callers_generators_alone() -> None:
    def states() -> tuple[object, ...]:
        return torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())  # noqa: NPY002

    before = states()
    result_of(make_case())
    assert states() == before


def test_what_is_no_optimizer_or_schedule_is_refused(install_plugin: Callable[..., None]) -> None:
    install_plugin("odd", ODD)
    number = result_of(make_case(optimizer="number"))
    assert "the optimizer 'number' builds a int; return a torch.optim.Optimizer" in str(number.error)
    text = result_of(make_case(schedule=component("text")))
    assert "the schedule 'text' builds a str; return a torch.optim.lr_scheduler.LRScheduler" in str(text.error)


@pytest.mark.parametrize("reading", [math.nan, math.inf])
def test_a_time_that_is_none_is_not_reported(monkeypatch: pytest.MonkeyPatch, reading: float) -> None:
    monkeypatch.setattr(Clock, "__call__", lambda _: reading)
    result = result_of(make_case())
    assert result.status == "failed"
    assert "the clock measured nan s; the case must have changed it" in str(result.error)


def test_the_weights_are_handed_over_after_each_trial() -> None:
    kept: dict[int, dict[str, torch.Tensor]] = {}

    def keep(seed: int, weights: Callable[[], Mapping[str, torch.Tensor]]) -> str:
        kept[seed] = dict(weights())
        return f"checkpoints/{seed}.file"

    result = result_of(make_case(model="fc-bn", seeds=(3, 5)), keep=keep)
    assert [trial.checkpoint for trial in result.trials] == ["checkpoints/3.file", "checkpoints/5.file"]
    assert set(kept) == {3, 5}
    assert "3.running_mean" in kept[3]


def test_the_reference_is_timed_beside_every_epoch_and_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    without = result_of(make_case(epochs=2))
    assert [epoch.reference_seconds for epoch in without.trials[0].epochs] == [None, None]
    timed = result_of(make_case(epochs=2, reference=True))
    assert losses(timed) == losses(without)
    assert all((epoch.reference_seconds or 0) > 0 for epoch in timed.trials[0].epochs)

    passed = 0.0

    class Slow:
        def __init__(self, device: torch.device) -> None:
            pass

        def __call__(self) -> float:
            nonlocal passed
            passed += 7.0
            return 7.0

    monkeypatch.setattr(loop, "Reference", Slow)
    monkeypatch.setattr(Clock, "__call__", lambda _: passed)
    slow = result_of(make_case(epochs=1, reference=True))
    assert passed == 14.0
    assert slow.trials[0].epochs[0].reference_seconds == 7.0
    assert slow.trials[0].epochs[0].seconds == 0.0


def test_an_epoch_that_was_not_run_is_noticed() -> None:
    training = loop.train_case(setting_of(make_case(epochs=2)))
    next(training)
    with pytest.raises(StopIteration) as stop:
        next(training)
    assert "the epoch was not run" in stop.value.value.error


def test_every_epoch_is_yielded_before_it_is_trained() -> None:
    results: list[CaseResult] = []
    seen = [
        (epoch.seed, epoch.number, epoch.seconds)
        for epoch in epochs_of(setting_of(make_case(seeds=(0, 1), epochs=2)), results)
    ]
    assert seen == [(0, 1, 0.0), (0, 2, 0.0), (1, 1, 0.0), (1, 2, 0.0)]
    assert len(losses(results[0])) == 12


def test_a_schedule_is_stepped_after_every_step_of_the_whole_training() -> None:
    result = result_of(
        make_case(optimizer=component("adam", lr=0.02), schedule=component("cosine"), epochs=4, train_size=200)
    )
    rates = [epoch.learning_rate for epoch in result.trials[0].epochs]
    assert rates == pytest.approx([0.02 * (1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4)])
    plain = result_of(make_case(optimizer=component("adam", lr=0.02), epochs=4, train_size=200))
    assert losses(plain)[0] != losses(result)[0]
    assert [epoch.learning_rate for epoch in plain.trials[0].epochs] == [0.02] * 4
    constant = make_case(
        optimizer=component("adam", lr=0.02), schedule=component("constant"), epochs=4, train_size=200
    )
    assert losses(result_of(constant)) == losses(plain)


def test_gradients_are_cut_down_to_the_norm() -> None:
    """A step of SGD moves the weights by the learning rate times the norm of the gradient."""
    moved = {}
    for norm in (None, 0.01, 1e9):
        setting = setting_of(make_case(optimizer=component("sgd", lr=1.0), clip_grad_norm=norm))
        trial = build_trial(setting.case, 0, setting.registry, setting.dataset, setting.device)
        before = torch.cat([p.detach().flatten().clone() for p in trial.model.parameters()])
        trial.train()
        trial.step(setting.dataset.train_images[:50] / 255, setting.dataset.train_labels[:50])
        after = torch.cat([p.detach().flatten() for p in trial.model.parameters()])
        moved[norm] = (after - before).norm().item()
    assert moved[0.01] == pytest.approx(0.01, rel=1e-3)
    assert moved[1e9] == pytest.approx(moved[None])
    assert moved[None] > 0.1


def test_labels_are_smoothed_in_training_and_not_in_testing() -> None:
    plain, smooth = (
        result_of(make_case(optimizer=component("sgd", lr=0.0), label_smoothing=smoothing))
        for smoothing in (0.0, 0.2)
    )
    (one,), (other,) = plain.trials[0].epochs, smooth.trials[0].epochs
    assert one.test_loss == other.test_loss  # nothing was learnt
    setting = setting_of(make_case())
    trial = build_trial(setting.case, 0, setting.registry, setting.dataset, setting.device)
    logits = trial.model(setting.dataset.train_images / 255)
    expected = torch.nn.functional.cross_entropy(logits, setting.dataset.train_labels, label_smoothing=0.2)
    assert other.train_loss == pytest.approx(expected.item(), rel=1e-5)
    assert one.train_loss != other.train_loss


def test_the_weights_may_start_from_one_seed_in_every_trial() -> None:
    def first_losses(**options: Any) -> list[float]:
        """On the whole training set as one batch, whatever its order."""
        result = result_of(make_case(seeds=(1, 2), batch_size=500, **options))
        return [trial.epochs[0].train_loss for trial in result.trials]

    one, two = first_losses()
    assert one != pytest.approx(two, rel=1e-3)
    assert first_losses(init_seed=2) == pytest.approx([two, two], rel=1e-5)


TWO_PASSES = """
import torch
from benchmnist import OptimizerSpec, hookimpl

class Twice(torch.optim.SGD):
    def step(self, closure):
        with torch.enable_grad():
            closure()
            closure()
        super().step()

class Silent(torch.optim.SGD):
    def step(self, closure):
        super().step()

class Curvature(torch.optim.SGD):
    def step(self):
        for p in self.param_groups[0]["params"]:
            (h,) = torch.autograd.grad(p.grad.sum(), p, retain_graph=True)
            p.grad = p.grad.detach() + 0 * h
        super().step()

@hookimpl
def benchmnist_optimizers():
    build = lambda cls: lambda model: cls(model.parameters(), lr=0.1)
    return [
        OptimizerSpec(name="twice", summary="", build=build(Twice), needs_closure=True, passes=2),
        OptimizerSpec(name="silent", summary="", build=build(Silent), needs_closure=True),
        OptimizerSpec(name="curvature", summary="", build=build(Curvature), needs_create_graph=True),
    ]
"""


def test_optimizers_that_want_more_than_a_gradient_get_it(install_plugin: Callable[..., None]) -> None:
    install_plugin("more", TWO_PASSES)
    plain = result_of(make_case(optimizer=component("sgd", lr=0.1)))
    for name in ("twice", "curvature"):
        result = result_of(make_case(optimizer=name))
        assert result.status == "completed", result.error
        assert losses(result) == pytest.approx(losses(plain))
    silent = result_of(make_case(optimizer="silent"))
    assert silent.status == "failed"
    assert "'silent' declares needs_closure but did not call the closure" in str(silent.error)


def test_every_step_by_hand_has_a_whole_batch() -> None:
    training = ManualTraining("logistic", batch_size=10, train_size=25, device="cpu")
    sizes: list[int] = []
    training.model.register_forward_pre_hook(lambda _, images: sizes.append(len(images[0])))
    for _ in range(5):
        training.step()
    assert sizes == [10] * 5


def test_training_by_hand_augments_and_normalises_as_a_case_does() -> None:
    options: dict[str, Any] = {"normalise": True, "train_size": 100, "test_size": 50, "batch_size": 50}
    augmentation = component("crop", padding=3)
    training = ManualTraining(
        "logistic", "sgd", augmentation="crop", augmentation_params={"padding": 3}, device="cpu", **options
    )
    result = result_of(make_case(model="logistic", augmentation=augmentation, epochs=2, **options))
    for epoch in result.trials[0].epochs:
        assert training.epoch() == pytest.approx(epoch.train_loss)
    assert training.evaluate() == pytest.approx(epoch.metrics)
    plain = ManualTraining("logistic", "sgd", device="cpu", **options)
    assert plain.epoch() != pytest.approx(result.trials[0].epochs[0].train_loss)
    assert plain.step() > 0
    with pytest.raises(UnknownNameError, match="no augmentation named 'crop-flop'"):
        ManualTraining(augmentation="crop-flop")
