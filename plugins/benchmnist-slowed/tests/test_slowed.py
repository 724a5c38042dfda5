"""The slowed Adam learns what Adam learns, and keeps the promises of a plugin."""

import pytest
import torch
from benchmnist_slowed import build

from benchmnist.testing import conformance

test_slowed = conformance("slowed")


def test_it_learns_what_adam_learns():
    ended = []
    for make in (build, lambda model: torch.optim.Adam(model.parameters())):
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 2)
        optimizer = make(model)
        for _ in range(5):
            optimizer.zero_grad()
            model(torch.ones(3, 4)).square().sum().backward()
            optimizer.step()
        ended.append(model.weight.detach())
    assert torch.equal(*ended)


def test_a_factor_below_one_is_refused():
    with pytest.raises(ValueError, match="would be faster"):
        build(torch.nn.Linear(2, 2), factor=0.5)
