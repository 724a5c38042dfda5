"""Products by oneDNN are torch's own, up to rounding, whatever is multiplied and differentiated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from benchmnist.training.products import products_by_onednn

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

ONEDNN = "mkldnn::_linear_pointwise"
SIZES = st.sampled_from([0, 1, 2, 3, 7, 16, 33, 100])
LAYOUTS: dict[str, Callable[[int, int], Tensor]] = {
    "by rows": torch.randn,
    "by columns": lambda rows, columns: torch.randn(columns, rows).t(),
    "one column expanded": lambda rows, columns: torch.randn(rows, 1).expand(rows, columns),
    "one row expanded": lambda rows, columns: torch.randn(1, columns).expand(rows, columns),
    "part of the columns": lambda rows, columns: torch.randn(rows, columns + 5)[:, 2 : columns + 2],
    "part of the rows of columns": lambda rows, columns: torch.randn(columns, rows + 5).t()[2 : rows + 2],
    "every other": lambda rows, columns: torch.randn(2 * rows, 3 * columns)[::2, ::3],
    "float64": lambda rows, columns: torch.randn(rows, columns, dtype=torch.float64),
}
NAMES = st.sampled_from([*LAYOUTS])


def used(compute: Callable[[], object]) -> bool:
    """Whether a calculation uses oneDNN's product."""
    with torch.autograd.profiler.profile() as profile:
        compute()
    return ONEDNN in {event.name for event in profile.function_events or ()}


@settings(max_examples=200, deadline=None)
@given(st.tuples(SIZES, SIZES, SIZES), st.tuples(NAMES, NAMES), st.data())
def test_any_two_matrices_have_the_product_that_torch_computes(
    sizes: tuple[int, int, int], layouts: tuple[str, str], data: st.DataObject
) -> None:
    (rows, inner, columns), (left, right) = sizes, ("float64",) * 2 if "float64" in layouts else layouts
    torch.manual_seed(0)
    a, b = LAYOUTS[left](rows, inner), LAYOUTS[right](inner, columns)
    added = data.draw(st.sampled_from([(columns,), (rows, columns), (1,), ()]))
    beta, alpha = data.draw(st.sampled_from([(1, 1), (0, 1), (0.5, 2)]))
    bias = torch.randn(added, dtype=a.dtype)

    def products() -> list[Tensor]:
        return [a @ b, torch.addmm(bias, a, b, beta=beta, alpha=alpha)]

    plain = products()
    with products_by_onednn():
        found = products()
    for one, other in zip(found, plain, strict=True):
        assert one.stride() == other.stride()
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def gradients(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """The output of a layer, and the gradients of its weights and its input."""
    x = x.clone().requires_grad_(x.is_floating_point())
    output = layer(x)
    wanted = [x, *(parameter for parameter in layer.parameters() if parameter.requires_grad)]
    return [output, *torch.autograd.grad(output.square().sum(), wanted)]


def of_second_order(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """Gradients of gradients, as an optimizer with create_graph uses them."""
    weights = [*layer.parameters()]
    first = torch.autograd.grad(layer(x).tanh().sum(), weights, create_graph=True)
    return [*first, *torch.autograd.grad(torch.stack([each.square().sum() for each in first]).sum(), weights)]


def mapped(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """Gradients of each example, by torch.func."""
    weights = {name: parameter.detach() for name, parameter in layer.named_parameters()}

    def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        output: Tensor = torch.func.functional_call(layer, weights, (x,))
        return output.square().sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weights, x)
    return [*each.values(), torch.func.jacrev(layer)(x)]


def in_bfloat16(layer: nn.Module, x: Tensor) -> list[Tensor]:
    with torch.autocast("cpu", torch.bfloat16):
        return gradients(layer, x)


def without_gradients(layer: nn.Module, x: Tensor) -> list[Tensor]:
    with torch.no_grad():
        first = layer(x)
    with torch.inference_mode():
        return [first, layer(x).clone()]


class Tied(nn.Module):
    """Uses one weight twice, from both sides."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(24, 40))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(functional.linear(x, self.weight), self.weight.t())


def frozen() -> nn.Module:
    layer = nn.Linear(40, 24)
    layer.weight.requires_grad_(False)
    return layer


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], Callable[[nn.Module, Tensor], list[Tensor]]]] = {
    "batch": (lambda: nn.Linear(40, 24), (30, 40), gradients),
    "one example": (lambda: nn.Linear(40, 24), (1, 40), gradients),
    "no example": (lambda: nn.Linear(40, 24), (0, 40), gradients),
    "one dimension": (lambda: nn.Linear(40, 24), (40,), gradients),
    "three dimensions": (lambda: nn.Linear(40, 24), (3, 10, 40), gradients),
    "no bias": (lambda: nn.Linear(40, 24, bias=False), (30, 40), gradients),
    "one output": (lambda: nn.Linear(40, 1), (30, 40), gradients),
    "float64": (lambda: nn.Linear(40, 24).double(), (30, 40), gradients),
    "bfloat16": (lambda: nn.Linear(40, 24), (30, 40), in_bfloat16),
    "frozen": (frozen, (30, 40), gradients),
    "tied": (Tied, (30, 40), gradients),
    "parametrized": (lambda: parametrizations.weight_norm(nn.Linear(40, 24)), (30, 40), gradients),
    "attention": (lambda: nn.TransformerEncoderLayer(40, 4, 24, 0.0, batch_first=True), (3, 10, 40), gradients),
    "second order": (lambda: nn.Linear(40, 24), (30, 40), of_second_order),
    "torch.func": (lambda: nn.Linear(40, 24), (30, 40), mapped),
    "no gradients": (lambda: nn.Linear(40, 24), (30, 40), without_gradients),
}


@pytest.mark.parametrize("name", CASES)
def test_whatever_multiplies_computes_the_same_up_to_rounding(name: str) -> None:
    build, shape, compute = CASES[name]
    torch.manual_seed(0)
    layer = build()
    x = torch.randn(shape, dtype=next(layer.parameters()).dtype)
    plain = compute(layer, x)
    with products_by_onednn():
        found = compute(layer, x)
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-4)


def test_it_is_onednn_that_multiplies_and_only_within() -> None:
    layer, x = nn.Linear(40, 24), torch.randn(30, 40)
    assert not used(lambda: layer(x).sum().backward())
    with products_by_onednn():
        assert used(lambda: layer(x))
        assert not used(lambda: layer.double()(x.double()))
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            torch.mm(x, x)
    assert not used(lambda: layer.float()(x))


def test_an_error_within_ends_it(recwarn: pytest.WarningsRecorder) -> None:
    x = torch.randn(30, 30)
    with pytest.raises(ZeroDivisionError), products_by_onednn():
        raise ZeroDivisionError
    assert not used(lambda: x @ x)
    assert not recwarn.list  # torch warns of a replaced kernel


def test_a_kernel_that_somebody_else_has_replaced_is_left_alone() -> None:
    library = torch.library.Library("aten", "IMPL")
    x = torch.randn(3, 3)
    library.impl("addmm", lambda *_, **__: torch.full((3, 3), 7.0), "CPU")
    try:
        with pytest.raises(RuntimeError, match="already a kernel registered"), products_by_onednn():
            pass
        assert torch.addmm(x, x, x)[0, 0] == 7
        assert not used(lambda: x @ x)
    finally:
        library._destroy()
