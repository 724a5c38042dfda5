"""Each function has its minimum and its gradients where its docstring says."""

import math

import pytest
import torch
from benchmnist_diagnostics import gradients, shapes
from benchmnist_diagnostics.problems import MODELS, PROBLEMS

import benchmnist
from benchmnist.builtin.noise import noise
from benchmnist.testing import conformance
from benchmnist.training.data import epoch_order

SHAPE = (1, 1, 32)
test_rotated = conformance("rotated")
test_delayed = conformance("delayed")


def gradient(model, example=None):
    """Returns the gradient of `x` that a training step has."""
    example = torch.rand(1, *SHAPE) if example is None else example
    value = model.train()(example)[:, 0].mean()
    (found,) = torch.autograd.grad(value, [model.x])
    return found


def move(model, point):
    with torch.no_grad():
        model.x.copy_(point)


@pytest.mark.parametrize(
    ("build", "minimum"),
    [
        (shapes.Ravine, (0, 0)),
        (shapes.Rosenbrock, (1, 1)),
        (shapes.Beale, (3, 0.5)),
        (shapes.Plateau, (0, 0)),
    ],
)
def test_the_minimum_is_0_where_it_is_said_to_be(build, minimum):
    model = build(input_shape=SHAPE)
    move(model, model.origin.zero_() + torch.tensor(minimum, dtype=torch.float32))
    assert model.eval()(torch.zeros(1, *SHAPE)).tolist() == [[0.0, *minimum]]
    assert gradient(model).tolist() == [0.0, 0.0]


def test_a_saddle_has_its_minima_along_the_way_out():
    model = shapes.Saddle(input_shape=SHAPE, sharpness=100.0)
    for sign in (1, -1):
        move(model, torch.full((2,), sign * 0.5**0.5))
        assert model.gap(model.x) < 1e-12
        assert gradient(model).abs().max() < 1e-6
    move(model, torch.zeros(2))
    assert gradient(model).tolist() == [0.0, 0.0]
    assert model.gap(model.x) == 0.25


@pytest.mark.parametrize("distance", [1, 7, 12])
def test_the_gradient_of_a_plateau_vanishes_with_the_distance_but_is_not_rounded_to_0(distance):
    model = shapes.Plateau(input_shape=SHAPE, distance=distance)
    model.double()  # the place of the hole rounds a place far away
    expected = distance * math.exp(-(distance**2) / 2)
    assert gradient(model).norm().item() == pytest.approx(expected, rel=1e-3)
    assert gradient(model.float()).norm().item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_each_seed_has_a_start_of_its_own_and_no_rate_of_a_grid_leads_to_the_minimum(problem):
    models = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        spec = next(each for each in MODELS if each.name == problem.model)
        models.append(spec.load()(input_shape=SHAPE, **problem.params_at("model", next(iter(problem.levels)))))
    first, same, other = (model.eval()(torch.zeros(1, *SHAPE))[0, 0] for model in models)
    assert first == same
    assert first != other
    away = (models[0].x - models[2].x).detach()
    assert len({*away.abs().flatten().tolist()}) == away.numel()


def test_a_layer_alone_cannot_learn_what_the_layers_of_other_scales_have_to():
    torch.manual_seed(0)
    model = shapes.LayerScale(input_shape=SHAPE, ratio=1.0)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    model.x.requires_grad_()
    optimizer = torch.optim.LBFGS([model.x], line_search_fn="strong_wolfe", max_iter=200)

    def closure():
        optimizer.zero_grad()
        value = model.gap(model.x)
        value.backward()
        return value

    optimizer.step(closure)
    assert model.gap(model.x) > 0.01


@pytest.mark.parametrize("delay", [0, 1, 5])
def test_a_delayed_gradient_is_exactly_that_of_an_earlier_point(delay):
    late, plain = (gradients.Delayed(input_shape=SHAPE, delay=d) for d in (delay, 0))
    plain.load_state_dict({k: v for k, v in late.state_dict().items() if k != "history"}, strict=False)
    points = [late.x.detach().clone()]
    for step in range(8):
        move(plain, points[max(step - delay, 0)])
        assert torch.equal(gradient(late), gradient(plain))
        points.append(points[-1] + torch.randn(8))
        late.eval()(torch.zeros(1, *SHAPE))  # a test does not count
        move(late, points[-1])


def test_a_share_of_the_gradients_has_the_wrong_sign():
    model = gradients.SignFlips(input_shape=SHAPE, share=0.3)
    low, high = torch.full((1, *SHAPE), 0.5), torch.full((1, *SHAPE), 0.5)  # no noise
    low[..., 0], high[..., 0] = 0.29, 0.31
    assert torch.equal(gradient(model, low), -gradient(model, high))
    assert torch.allclose(model(low), model(high))


def test_the_players_of_a_game_pull_in_other_directions():
    model = gradients.MinMax(input_shape=SHAPE, pull=0.5)
    a, b = (model.x - model.equilibrium).detach()
    assert torch.allclose(gradient(model), torch.stack([b + 0.5 * a, 0.5 * b - a]))


def test_noise_is_added_to_the_gradient_only():
    model = gradients.GaussianNoise(input_shape=SHAPE, noise=2.0)
    middle, above = torch.full((1, *SHAPE), 0.5), torch.full((1, *SHAPE), 0.8413447)
    assert torch.allclose(gradient(model, above) - gradient(model, middle), torch.full((8,), 2.0), atol=1e-4)
    assert torch.equal(model(above), model(middle))


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_seeds_have_noise_of_their_own(problem):
    """The same few numbers in another order would have their mean, extremes and coverage in every seed."""
    size, steps = len(noise(root=None, **problem.dataset_params).train_images), problem.settings["steps"]
    first, second = ({*epoch_order(size, seed, 1)[:steps].tolist()} for seed in (0, 1))
    assert len(first & second) < 0.1 * steps


def test_rows_are_tested_together_and_left_as_they_end_with_the_figures_that_they_have_alone(tmp_path):
    """One rate diverges, one reaches the target at once, and one never: each ends where it ends alone."""
    file = tmp_path / "rates.toml"
    file.write_text(
        '[suite]\nname = "rates"\n[defaults]\nseeds = 3\n[optimizers.sgd]\nsweep.lr = [1e-5, 0.05, 1e3]\n'
        '[[cases]]\nproblems = ["rotated/1e1", "beale/0.5"]\noptimizers = ["sgd"]\nsteps = 60\n',
        "utf-8",
    )
    options = benchmnist.RunOptions(executor="inline", device="cpu", checkpoints=False)
    together, alone = (
        benchmnist.run(file, options, out=tmp_path / engine, engine=engine) for engine in ("stacked", "resident")
    )
    for one, other in zip(together.cases, alone.cases, strict=True):
        assert (one.id, one.status, one.engine) == (other.id, other.status, "stacked")
        for trial, expected in zip(one.trials, other.trials, strict=True):
            assert (trial.seed, trial.status, trial.ended) == (expected.seed, expected.status, expected.ended)
            points, plain = (
                [(each.step, each.metrics) for epoch in t.epochs for each in epoch.evaluations]
                for t in (trial, expected)
            )
            assert [step for step, _ in points] == [step for step, _ in plain]
            for (_, found), (_, metrics) in zip(points, plain, strict=True):
                assert found == pytest.approx(metrics, rel=1e-3, abs=1e-5)
    assert {case.status for case in together.cases} == {"completed", "diverged"}
    assert {trial.ended for case in together.cases for trial in case.trials} == {"budget", "target"}
