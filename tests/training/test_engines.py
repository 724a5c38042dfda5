"""Engines agree: the same case and seed give the same loss curve, whatever executes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from training_support import component, losses, make_case, result_of, setting_of

from benchmnist.extensions.registry import find_plugins
from benchmnist.training.engines.graph import GraphEngine
from benchmnist.training.engines.resident import ResidentEngine
from benchmnist.training.fast_paths import FastPath, find_fast_path
from benchmnist.training.trial import Build

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmnist.runs.results import CaseResult
    from benchmnist.suites.cases import Component

REGISTRY = find_plugins()
MODELS = [offer.spec.name for offer in REGISTRY.models]
OPTIMIZERS = [offer.spec.name for offer in REGISTRY.optimizers]
SLOW = ("2c2d", "deep-autoencoder", "gru", "lstm", "pixel-gru", "pixel-transformer", "vit")


NARROW = component("fc", hidden_size=64)  # what Muon and LBFGS do with 500 takes a minute

# How far the losses of two engines may be apart. Where every step rounds otherwise, those of SGD are 1e-7 apart in
# the end (4e-7 of 2c2d), those of other rules on NARROW 3e-6; and of Adam, which divides what is small by what is
# small, 3e-4 on convolutions and 1e-5 on batch normalisation.
ROUNDING, ROUNDING_OF_ADAM = 1e-4, 1e-2
ONE_IMAGE = 0.51  # of 200, in %


def both(**options: object) -> tuple[CaseResult, CaseResult]:
    return tuple(result_of(make_case(engine=engine, **options)) for engine in ("dataloader", "resident"))  # type: ignore[return-value]


@pytest.mark.parametrize("model", MODELS)
def test_every_model_learns_the_same_on_each_engine(model: str) -> None:
    size = 130 if model in SLOW else 480  # the last batch is of 30
    reference, resident = both(model=model, epochs=2, train_size=size)
    assert (reference.engine, resident.engine) == ("dataloader", "resident")
    assert losses(resident) == pytest.approx(losses(reference), rel=ROUNDING)
    for name, value in reference.trials[0].epochs[-1].metrics.items():
        room = ONE_IMAGE if name.endswith("accuracy") else ROUNDING * value
        assert resident.trials[0].epochs[-1].metrics[name] == pytest.approx(value, abs=room)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_learns_the_same_on_each_engine(optimizer: str) -> None:
    reference, resident = both(model=NARROW, optimizer=steady(optimizer), epochs=2, train_size=200)
    assert reference.status == "completed", reference.error
    assert losses(resident) == pytest.approx(losses(reference), rel=ROUNDING)


def steady(optimizer: str) -> Component:
    """The optimizer; LBFGS with a rate at which it does not make much of little."""
    return component(optimizer, **({"lr": 0.1} if optimizer == "lbfgs" else {}))


def test_resident_makes_its_updates_by_one_kernel_unless_it_is_told_not_to() -> None:
    def fused(engine: str, **params: object) -> bool:
        setting = setting_of(make_case(optimizer=component("adam", **params), engine=engine))
        return bool(find_fast_path(setting).trial(setting, (0,)).optimizer.param_groups[0]["fused"])

    assert fused("resident")
    assert not fused("dataloader")
    assert not fused("resident", foreach=True)
    assert not fused("resident", fused=False)
    assert fused("dataloader", fused=True)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_that_is_stacked_learns_what_each_seed_learns_alone(model: str) -> None:
    options = {"model": model, "optimizer": "adam", "seeds": (4, 0, 7), "epochs": 2, "train_size": 230}
    options |= {"seeds": (4, 0), "train_size": 130} if model in SLOW else {}
    alone, stacked = (result_of(make_case(engine=engine, **options)) for engine in ("resident", "stacked"))
    assert (stacked.engine, stacked.error) == ("stacked", None)
    assert stacked.parameters == alone.parameters
    for one, other in zip(alone.trials, stacked.trials, strict=True):
        assert one.seed == other.seed
        assert [e.train_loss for e in other.epochs] == pytest.approx(
            [e.train_loss for e in one.epochs], rel=ROUNDING_OF_ADAM
        )
        assert [e.test_loss for e in other.epochs] == pytest.approx(
            [e.test_loss for e in one.epochs], rel=ROUNDING_OF_ADAM
        )


def test_a_stack_that_is_tested_in_train_mode_draws_what_each_seed_draws_alone() -> None:
    options = {"model": "fc-bn-dropout", "seeds": (4, 0), "epochs": 2, "evaluate_in": "train"}
    alone, stacked = (result_of(make_case(engine=engine, **options)) for engine in ("resident", "stacked"))
    assert stacked.engine == "stacked"
    assert losses(stacked) == pytest.approx(losses(alone), rel=ROUNDING)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_is_stacked_or_it_is_said_why_not(optimizer: str) -> None:
    options = {
        "model": NARROW,
        "optimizer": steady(optimizer),
        "seeds": (3, 1),
        "train_size": 230,
        "clip_grad_norm": 0.5,
        "schedule": component("linear-warmup-cosine"),
        "label_smoothing": 0.1,
    }
    alone, stacked = (result_of(make_case(engine=engine, **options)) for engine in ("resident", "stacked"))
    assert losses(stacked) == pytest.approx(losses(alone), rel=ROUNDING)
    if REGISTRY.optimizers[optimizer].spec.elementwise:
        assert (stacked.engine, stacked.remarks) == ("stacked", ("stacked",))
    else:
        assert stacked.engine == "resident"
        assert stacked.remarks == (f"not stacked: the optimizer {optimizer} does not say that it may be",)


ODD_MODELS = """
import random
import torch
from torch import nn
from torch.nn.utils import parametrizations
from benchmnist import ModelSpec, OptimizerSpec, ScheduleSpec, hookimpl

class Noisy(nn.Linear):
    "Draws by other means than nn.Dropout."
    def forward(self, x):
        return super().forward(x.flatten(1)) + torch.rand(1)

class Tied(nn.Module):
    def __init__(self, *, input_shape, num_classes):
        super().__init__()
        self.a = nn.Linear(784, num_classes)
        self.b = nn.Linear(784, num_classes)
        self.b.weight = self.a.weight
    def forward(self, x):
        return self.a(x.flatten(1)) + self.b(x.flatten(1))

class Viewing(nn.Module):
    "Takes for granted how its activations lie in memory."
    def __init__(self, *, input_shape, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 5, stride=3)
        self.out = nn.Linear(4 * 64, num_classes)
    def forward(self, x):
        x = self.conv(x)
        return self.out(x.view(len(x), -1))

class Strided(Viewing):
    "And does so silently."
    def forward(self, x):
        x = self.conv(x)
        return self.out(torch.as_strided(x, (len(x), 256), (256, 1)))

class Rebinding(nn.Module):
    "Makes another tensor of its buffer in every step."
    def __init__(self, *, input_shape, num_classes):
        super().__init__()
        self.out = nn.Linear(784, num_classes)
        self.register_buffer("scale", torch.ones(()))
    def forward(self, x):
        if self.training:
            self.scale = 0.9 * self.scale
        return self.out(x.flatten(1)) * (1 + self.scale)

class Drawn(nn.Module):
    "Draws, when it is built, what is neither parameter nor buffer."
    def __init__(self, *, input_shape, num_classes, where):
        super().__init__()
        self.out = nn.Linear(784, num_classes)
        drawn = 0.5 + float(torch.rand(()))
        if where == "number":
            self.scale = drawn
        elif where == "tensor":
            self.scale = torch.tensor(drawn)
        elif where == "structure":
            self.scale = nn.ReLU() if drawn < 1.3 else nn.Tanh()
        else:
            self.scale = lambda: drawn
    def forward(self, x):
        scale = self.scale
        y = self.out(x.flatten(1))
        return scale(y) if isinstance(scale, nn.Module) else y * (scale() if callable(scale) else scale)

class Keeping(nn.Module):
    "Keeps in attributes or buffers what moves, which counts only later than anybody compares."
    def __init__(self, *, input_shape, num_classes, how):
        super().__init__()
        self.out, self.how = nn.Linear(784, num_classes), how
        self.count, self.tensor, self.equal = 0, torch.zeros(()), torch.ones(2)  # the last in every seed's
        self.register_buffer("buffer", torch.zeros(()))
        self.register_buffer("steps", torch.zeros(()))
        if how == "a number to learn":
            self.number = nn.Parameter(torch.zeros(()))
        if how == "hook":
            self.out.weight.register_hook(lambda gradient: 0.999 * gradient)
        if how == "later hook":
            self.out.weight.register_post_accumulate_grad_hook(lambda weight: print(end=""))
        if how == "attribute":
            self.out.weight.no_decay = True
        if how == "parametrized":
            self.out = parametrizations.weight_norm(self.out)
    def train(self, mode=True):
        if mode and self.how == "count in train()":
            self.count += 1
        if mode and self.how == "buffer in train()":
            self.buffer += 1
        if not mode and self.how == "count in eval()":
            self.count += 1
        if mode and not self.training and self.how == "count of returns":
            self.count += 1
        weight = self.out.weight
        if not mode and self.how == "weight by gradient" and weight.grad is not None:
            weight.data.mul_(1 / (1 + weight.grad.norm()))
        if not mode and self.how == "frozen in eval()":
            weight.requires_grad_(False)
        return super().train(mode)
    def forward(self, x):
        if self.training:
            self.steps += 1
            self.count += self.how == "count in training"
            if self.how == "tensor in training":
                self.tensor = self.tensor + 1
            if self.how == "random numbers" and random.random() < 0.1:
                x = x * 1.0001
        else:
            self.count += self.how == "count in testing"
            if self.how == "buffer in testing":
                self.buffer += 1
        return self.out(x.flatten(1)) * (1 + ((self.count + self.tensor + self.buffer) > 20) + self.equal[0])

def noisy(*, input_shape, num_classes):
    return Noisy(784, num_classes)

class Linear(nn.Module):
    def __init__(self, input_shape, num_classes):
        super().__init__()
        self.out = nn.Linear(784, num_classes)

class Aliased(Linear):  # a buffer and a parameter with one memory
    def __init__(self, **shape):
        super().__init__(**shape)
        self.register_buffer("alias", self.out.weight.data)
    def forward(self, x):
        return self.out(x.flatten(1)) + x.flatten(1) @ self.alias.T

class Halving(Linear):  # a gradient, by a hook that is never there where torch.func maps
    def __init__(self, **shape):
        super().__init__(**shape)
        self.hidden = nn.Linear(784, 784)
    def forward(self, x):
        hidden = self.hidden(x.flatten(1))
        if hidden.requires_grad:
            hidden.register_hook(lambda gradient: gradient / 2)
        return self.out(hidden.relu())

class Noisy2d(nn.Module):  # drawn in the order of the memory, which channels_last changes
    def __init__(self, *, input_shape, num_classes):
        super().__init__()
        self.first, self.conv = nn.Conv2d(1, 4, 5), nn.Conv2d(4, 4, 5)
        self.out = nn.Linear(4 * 20 * 20, num_classes)
    def forward(self, x):
        weight = self.conv.weight + 1e-2 * torch.randn_like(self.conv.weight)
        return self.out(nn.functional.conv2d(self.first(x), weight, self.conv.bias).relu().flatten(1))

class Plain(Linear):
    def forward(self, x):
        return self.out(x.flatten(1))

class Complex(Linear):
    def __init__(self, **shape):
        super().__init__(**shape)
        self.turn = nn.Parameter(torch.ones(10, dtype=torch.complex64))
    def forward(self, x):
        return (self.out(x.flatten(1)) * self.turn).real

class Sparse(nn.Module):
    def __init__(self, *, input_shape, num_classes):
        super().__init__()
        self.bag = nn.EmbeddingBag(4, num_classes, sparse=True)
    def forward(self, x):
        return self.bag((x.flatten(1)[:, 300:500] * 3).long().clamp(0, 3))

@hookimpl
def benchmnist_models():
    return [ModelSpec(name=n, summary="", build=b) for n, b in
            (("noisy", noisy), ("tied", Tied), ("rebinding", Rebinding), ("drawn", Drawn), ("viewing", Viewing),
             ("strided", Strided), ("keeping", Keeping), ("aliased", Aliased), ("complex", Complex),
             ("halving", Halving), ("noisy2d", Noisy2d), ("plain", Plain),
             ("sparse", Sparse))]

def by_norm(optimizer, *, total_steps):
    def rate(step):  # only later than what is compared
        weight = optimizer.param_groups[0]["params"][0]
        return 1.0 if step < 6 else 1.0 / (1.0 + float(weight.detach().norm()))
    return torch.optim.lr_scheduler.LambdaLR(optimizer, rate)

def averaging(model, lr):  # puts a hook on the model that is called
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    model.register_forward_hook(lambda module, given, out: out if module.training else out * 0)
    return optimizer

@hookimpl
def benchmnist_optimizers():
    return [OptimizerSpec(name="averaging", summary="", build=averaging, elementwise=True)]

@hookimpl
def benchmnist_schedules():
    return [ScheduleSpec(name="by-norm", summary="", build=by_norm)]
"""


@pytest.mark.parametrize(
    ("model", "engine", "reason"),
    [
        ("noisy", "stacked", "not stacked: vmap: called random operation while in randomness error mode"),
        ("tied", "stacked", "not stacked: two parts of the model share a parameter"),
        ("aliased", "stacked", "not stacked: out.weight and alias of the model share their memory"),
        ("complex", "auto", "not fused: `fused=True` requires all the params to be floating point"),
        ("sparse", "auto", "not fused: `_fused_sgd` does not support sparse gradients"),
        ("rebinding", "stacked", "not stacked: the model puts another tensor in the place of its buffer 'scale'"),
        ("viewing", "auto", None),
        ("strided", "auto", None),
    ],
)
def test_a_model_that_cannot_be_trained_faster_is_trained_as_it_is(
    install_plugin: Callable[..., None], model: str, engine: str, reason: str | None
) -> None:
    install_plugin("odd", ODD_MODELS)
    options = {"model": model, "seeds": (0, 1), "optimizer": component("sgd", lr=0.1, momentum=0.5)}
    expected = result_of(make_case(engine="dataloader", **options))
    result = result_of(make_case(engine=engine, **options))
    assert (result.status, result.engine) == ("completed", "resident"), result.error
    assert losses(result) == pytest.approx(losses(expected), rel=ROUNDING)
    assert [remark.partition(";")[0].startswith(reason or "?") for remark in result.remarks] == [True] * bool(
        reason
    )


def test_an_optimizer_that_puts_hooks_on_the_model_is_not_stacked(install_plugin: Callable[..., None]) -> None:
    install_plugin("odd", ODD_MODELS)
    options = {"model": "plain", "optimizer": component("averaging", lr=0.1), "seeds": (0, 1)}
    expected, result = (result_of(make_case(engine=engine, **options)) for engine in ("dataloader", "stacked"))
    assert result.remarks == ("not stacked: the optimizer puts hooks on the model",)
    assert losses(result) == pytest.approx(losses(expected), rel=ROUNDING)


@pytest.mark.parametrize(
    ("model", "engine", "remarks"),
    [
        ("halving", "stacked", ("not stacked: its first steps change the weights otherwise",)),
        ("noisy2d", "auto", ()),  # it is not trained with channels_last
    ],
)
def test_what_the_first_losses_hardly_show_is_seen(
    install_plugin: Callable[..., None], model: str, engine: str, remarks: tuple[str, ...]
) -> None:
    install_plugin("odd", ODD_MODELS)
    options = {"model": model, "seeds": (0, 1), "epochs": 2, "optimizer": component("sgd", lr=1e-3)}
    expected, result = (result_of(make_case(engine=engine, **options)) for engine in ("dataloader", engine))
    assert (result.engine, result.remarks) == ("resident", remarks)
    assert losses(result) == pytest.approx(losses(expected), rel=ROUNDING)


def test_a_schedule_that_may_look_at_all_seeds_is_not_stacked(install_plugin: Callable[..., None]) -> None:
    install_plugin("odd", ODD_MODELS)
    options = {"model": "logistic", "schedule": component("by-norm"), "seeds": (0, 1), "epochs": 2}
    expected, result = (result_of(make_case(engine=engine, **options)) for engine in ("dataloader", "stacked"))
    assert result.remarks == ("not stacked: the schedule of a plugin may look at the weights of all seeds",)
    assert losses(result) == pytest.approx(losses(expected), rel=ROUNDING)


@pytest.mark.parametrize("where", ["number", "tensor", "structure", "closure"])
def test_models_that_differ_in_more_than_tensors_are_not_stacked(
    install_plugin: Callable[..., None], where: str
) -> None:
    install_plugin("odd", ODD_MODELS)
    options = {"model": component("drawn", where=where), "seeds": (0, 1, 2), "epochs": 2}
    expected, result = (result_of(make_case(engine=engine, **options)) for engine in ("dataloader", "stacked"))
    assert (result.status, result.engine) == ("completed", "resident"), result.error
    assert result.remarks[0].startswith("not stacked: ")
    assert losses(result) == pytest.approx(losses(expected), rel=ROUNDING)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("count in training", "not stacked: the model changes count in training"),
        ("count in train()", "not stacked: the model changes count between training and testing"),
        ("count in testing", "not stacked: the model changes count while it is tested"),
        ("tensor in training", "not stacked: the model changes tensor in training"),
        ("buffer in train()", "not stacked: the model changes buffer between training and testing"),
        ("buffer in testing", "not stacked: the model changes buffer while it is tested"),
        ("count in eval()", "not stacked: the model changes count between training and testing"),
        ("count of returns", "not stacked: the model changes count between training and testing"),
        ("weight by gradient", "not stacked: the model changes weight between training and testing"),
        ("frozen in eval()", "not stacked: the model changes weight between training and testing"),
        ("random numbers", "not stacked: the model changes the random numbers of the host in training"),
        ("hook", "not stacked: the parameter out.weight has a hook, an attribute or a class of its own"),
        ("later hook", "not stacked: the parameter out.weight has a hook, an attribute or a class of its own"),
        ("attribute", "not stacked: the parameter out.weight has a hook, an attribute or a class of its own"),
        ("parametrized", "not stacked: the seeds' models have layers of different classes (Parametrized"),
        ("a number to learn", "stacked"),
        ("nothing", "stacked"),
    ],
)
def test_what_a_stack_would_lose_of_a_model_is_noticed_before_it_counts(
    install_plugin: Callable[..., None], how: str, reason: str
) -> None:
    install_plugin("odd", ODD_MODELS)
    options = {"model": component("keeping", how=how), "seeds": (0, 1), "clip_grad_norm": 0.5}
    result = result_of(make_case(engine="stacked", **options))
    assert result.status == "completed", result.error
    assert result.remarks[0].startswith(reason)


def test_convolutions_lie_channels_last_where_that_changes_nothing() -> None:
    reference, resident = both(model="cnn", optimizer="adam", epochs=2)
    assert resident.remarks == ("channels_last",)
    assert losses(resident) == pytest.approx(losses(reference), rel=ROUNDING_OF_ADAM)
    assert both(model="fc")[1].remarks == ()
    assert both(model="cnn", optimizer="muon")[1].remarks == ()  # which may look at how a weight lies


@pytest.mark.parametrize("model", ["fc-bn-dropout", "cnn"])
@pytest.mark.parametrize("optimizer", ["momentum", "adam", "rmsprop"])
def test_what_is_captured_trains_as_the_other_engines_do(model: str, optimizer: str) -> None:
    """Without a GPU nothing is captured, but the same step is run, on the same buffers."""
    setting = setting_of(
        make_case(model=model, optimizer=optimizer, train_size=230, schedule=component("cosine"), epochs=3)
    )
    curves, rates = [], []
    for engine in (ResidentEngine, GraphEngine):
        executes = engine(setting.dataset, setting.session, 50)
        trial = FastPath(executes, Build()).trial(setting, (5,))
        curve = []
        for epoch in (1, 2):
            trial.begin(epoch)
            curve.append(executes.train_epoch(trial, trial.order(230, epoch)))
        curves.append(torch.cat(curve))
        rates.append(trial.learning_rate)
    assert curves[0].shape == (10,)
    assert rates[0] == rates[1]
    assert isinstance(trial.optimizer.param_groups[0]["lr"], float)
    torch.testing.assert_close(curves[1], curves[0], rtol=ROUNDING_OF_ADAM, atol=1e-4)


def test_a_stack_is_captured_too() -> None:
    setting = setting_of(make_case(optimizer="adam", train_size=230, seeds=(2, 9)))
    curves = []
    for engine in (ResidentEngine, GraphEngine):
        executes = engine(setting.dataset, setting.session, 50)
        trial = FastPath(executes, Build(), stacked=True).trial(setting, (2, 9))
        trial.begin(1)
        curves.append(executes.train_epoch(trial, trial.order(230, 1)))
    assert curves[0].shape == (2, 5)
    torch.testing.assert_close(curves[1], curves[0], rtol=ROUNDING_OF_ADAM, atol=1e-4)


def test_one_seed_of_a_stack_may_diverge(install_plugin: Callable[..., None]) -> None:
    install_plugin(
        "fragile",
        """
        import torch
        from torch import nn
        from benchmnist import ModelSpec, hookimpl

        def build(*, input_shape, num_classes):
            model = nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes))
            if torch.rand(1) < 0.5:  # by the seed
                model[1].weight.data.fill_(float("inf"))
            return model

        @hookimpl
        def benchmnist_models():
            return [ModelSpec(name="fragile", summary="", build=build)]
        """,
    )
    options = {"model": "fragile", "seeds": tuple(range(8)), "epochs": 2}
    alone, stacked = (result_of(make_case(engine=engine, **options)) for engine in ("resident", "stacked"))
    assert stacked.engine == "stacked" or "nan" in stacked.remarks[0]
    statuses = [trial.status for trial in alone.trials]
    assert {*statuses} == {"completed", "diverged"}
    assert [trial.status for trial in stacked.trials] == statuses
    assert [len(trial.epochs) for trial in stacked.trials] == [len(trial.epochs) for trial in alone.trials]


def test_the_time_of_a_stack_is_shared_out() -> None:
    result = result_of(make_case(engine="stacked", seeds=(0, 1, 2), epochs=2))
    for first, *others in zip(*(trial.epochs for trial in result.trials), strict=True):
        assert first.seconds > 0
        assert [other.seconds for other in others] == [first.seconds] * 2


def test_bf16_rounds_products_and_keeps_the_weights() -> None:
    exact, rounded = (
        result_of(make_case(model="fc", optimizer="adam", epochs=2, precision=p)) for p in ("float32", "bf16")
    )
    assert (exact.precision, rounded.precision) == ("float32", "bf16")
    assert losses(rounded) == pytest.approx(losses(exact), rel=0.1)  # eight seeds: 0.0009, a deviation of 0.0006
    assert losses(rounded) != losses(exact)
    setting = setting_of(make_case(precision="bf16"))
    trial = find_fast_path(setting).trial(setting, (0,))
    assert {p.dtype for p in trial.model.parameters()} == {torch.float32}


def test_tf32_is_nvidias() -> None:
    result = result_of(make_case(precision="tf32"))
    assert result.status == "failed"
    assert 'precision = "tf32" needs an NVIDIA GPU, not cpu' in str(result.error)


@settings(max_examples=8)
@given(batch_size=st.integers(1, 130), train_size=st.integers(100, 250), seed=st.integers(0, 2**31))
def test_engines_agree_on_batches_of_any_size(batch_size: int, train_size: int, seed: int) -> None:
    """Without batch normalisation: of two images it makes a sign, which rounding may turn round."""
    reference, resident = both(model=NARROW, batch_size=batch_size, train_size=train_size, seeds=(seed,), epochs=1)
    assert reference.status == "completed", reference.error
    assert resident.steps == -(-train_size // batch_size)
    assert losses(resident) == pytest.approx(losses(reference), rel=ROUNDING)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("engine", ["dataloader", "resident", "graph", "stacked"])
@pytest.mark.parametrize("model", ["fc-bn", "cnn"])
def test_a_gpu_learns_what_a_cpu_learns(engine: str, model: str) -> None:
    on_cpu = result_of(make_case(model=model, epochs=2, engine="resident"), device="cpu")
    on_gpu = result_of(make_case(model=model, epochs=2, engine=engine), device="cuda")
    assert on_gpu.engine == engine, on_gpu.remarks
    assert losses(on_gpu) == pytest.approx(losses(on_cpu), rel=1e-2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("optimizer", [o.spec.name for o in REGISTRY.optimizers if o.spec.capturable])
def test_a_gpu_captures_every_optimizer_that_says_so(optimizer: str) -> None:
    options = {"optimizer": optimizer, "epochs": 2, "train_size": 230, "schedule": component("cosine")}
    plain, captured = (
        result_of(make_case(engine=engine, **options), device="cuda") for engine in ("resident", "graph")
    )
    assert captured.engine == "graph", captured.remarks
    assert losses(captured) == pytest.approx(losses(plain), rel=1e-2)
