"""The schedule-free optimizers keep the promises of a plugin, and are tested at the weights that they average."""

import torch
from benchmnist_schedulefree import benchmnist_optimizers

from benchmnist.testing import conformance

test_schedulefree = conformance("schedulefree")


def test_the_tested_weights_are_not_the_trained_ones():
    (spec,) = (spec for spec in benchmnist_optimizers() if spec.name == "sgd-schedulefree")
    assert spec.has_modes
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = spec.load()(model, lr=0.1)
    optimizer.train()
    for _ in range(5):
        optimizer.zero_grad()
        model(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()
    trained = model.weight.detach().clone()
    optimizer.eval()
    assert not torch.equal(trained, model.weight)
    optimizer.train()
    assert torch.allclose(trained, model.weight, atol=1e-6)
