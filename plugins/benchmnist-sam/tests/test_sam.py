"""SAM is the rule of the paper, and keeps the promises of a plugin."""

import pytest
import torch
from benchmnist_sam import sam_sgd

from benchmnist.testing import conformance

test_sam = conformance("sam")
test_sam_adamw = conformance("sam-adamw")
test_asam = conformance("asam")


class Quadratic(torch.nn.Module):
    """The loss 1/2 (a x^2 + b y^2), whose gradient at (x, y) is (a x, b y)."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))

    def loss(self):
        return (torch.tensor([1.0, 2.0]) * self.weight.square()).sum() / 2


@pytest.mark.parametrize("adaptive", [False, True])
def test_a_step_is_the_one_worked_out_by_hand(adaptive):
    model = Quadratic()
    optimizer = sam_sgd(model, lr=0.1, momentum=0.0, rho=0.5, adaptive=adaptive)

    def closure():
        optimizer.zero_grad()
        loss = model.loss()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 0.5 * (9 + 2 * 16)
    if adaptive:  # w^2 g / |w g|, with w = (3, 4) and g = (3, 8)
        norm = (9**2 + 32**2) ** 0.5
        x, y = 3 + 0.5 * 9 * 3 / norm, 4 + 0.5 * 16 * 8 / norm
    else:
        norm = (3**2 + 8**2) ** 0.5
        x, y = 3 + 0.5 * 3 / norm, 4 + 0.5 * 8 / norm
    assert model.weight.tolist() == pytest.approx([3 - 0.1 * x, 4 - 0.1 * 2 * y])


def test_batch_normalisation_does_not_see_the_perturbed_weights():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    images = torch.randn(8, 4)
    optimizer = sam_sgd(model, rho=5.0)
    expected = 0.1 * model[0](images).detach().mean(dim=0)

    def closure():
        optimizer.zero_grad()
        loss = model(images).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert torch.allclose(model[1].running_mean, expected, atol=1e-6)
    assert model[1].momentum == 0.1


def test_a_radius_of_nothing_is_refused():
    with pytest.raises(ValueError, match="rho=0 is not greater than 0"):
        sam_sgd(torch.nn.Linear(2, 2), rho=0)
