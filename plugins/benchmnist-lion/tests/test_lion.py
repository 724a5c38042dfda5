"""Lion is the rule of the paper, and keeps the promises of a plugin."""

import pytest
import torch
from benchmnist_lion import Lion

from benchmnist.testing import conformance

test_lion = conformance("lion")


def test_two_steps_are_those_worked_out_by_hand():
    """Algorithm 2 with lr 0.1, betas (0.9, 0.99) and weight decay 0.5.

    From w = (1, -2): the first gradient (3, -4) gives the momentum (0.03, -0.04). The second, (-0.2, 0.5), gives
    0.9 (0.03, -0.04) + 0.1 (-0.2, 0.5) = (0.007, 0.014): the first entry still goes the way of the first gradient.
    """
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    lion = Lion([weight], lr=0.1, betas=(0.9, 0.99), weight_decay=0.5)
    weight.grad = torch.tensor([3.0, -4.0])
    lion.step()
    assert weight.tolist() == pytest.approx([1.0 * 0.95 - 0.1, -2.0 * 0.95 + 0.1])
    assert lion.state[weight]["momentum"].tolist() == pytest.approx([0.03, -0.04])
    weight.grad = torch.tensor([-0.2, 0.5])
    lion.step()
    assert weight.tolist() == pytest.approx([0.85 * 0.95 - 0.1, -1.8 * 0.95 - 0.1])
    assert lion.state[weight]["momentum"].tolist() == pytest.approx([0.99 * 0.03 - 0.002, 0.99 * -0.04 + 0.005])


@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"betas": (0.9, 1.0)}, {"weight_decay": -0.1}])
def test_what_is_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match="is out of range"):
        Lion([torch.nn.Parameter(torch.ones(1))], **wrong)
