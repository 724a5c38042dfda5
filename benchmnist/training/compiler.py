"""To import this has torch import its compiler, as the first optimizer of a process does."""

import torch

torch.optim.SGD([torch.zeros(1, requires_grad=True)])
