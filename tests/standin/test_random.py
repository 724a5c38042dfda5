from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from cuda_standin import standin
from standin_support import captured
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


@pytest.mark.usefixtures("machine")
def test_generators_of_cards_are_not_those_of_the_cpu() -> None:
    torch.manual_seed(3)
    on_the_cpu = torch.rand(4)
    torch.manual_seed(3)
    assert torch.rand(4, device="cuda").tolist() == on_the_cpu.tolist()  # the CPU's was not drawn from …
    assert torch.rand(4).tolist() == on_the_cpu.tolist()  # … and both are seeded
    torch.cuda.manual_seed(3)
    assert torch.rand(4, device="cuda").tolist() == on_the_cpu.tolist()
    torch.cuda.manual_seed_all(3)
    assert torch.rand(4, device="cuda:1").tolist() == on_the_cpu.tolist()
    state = torch.cuda.get_rng_state()
    dropped = functional.dropout(torch.ones(50, device="cuda"))
    torch.cuda.set_rng_state(state)
    assert torch.equal(functional.dropout(torch.ones(50, device="cuda")), dropped)
    with torch.random.fork_rng(devices=[0]):
        torch.rand(3, device="cuda")
    with pytest.raises(RuntimeError, match="Expected a 'cuda' device type for generator but found 'cpu'"):
        torch.rand(3, device="cuda", generator=torch.Generator())


@pytest.mark.usefixtures("machine")
def test_a_seed_before_cuda_is_initialised_is_remembered() -> None:
    torch.cuda.manual_seed(5)
    assert not torch.cuda.is_initialized()
    assert (
        torch.rand(3, device="cuda").tolist() == torch.rand(3, generator=torch.Generator().manual_seed(5)).tolist()
    )


@pytest.mark.usefixtures("machine")
def test_states_are_cloned_or_shared() -> None:
    one = torch.Generator(device="cuda").manual_seed(1)
    assert one.device == torch.device("cuda:0")
    assert isinstance(one, torch.Generator)
    clone = one.clone_state()
    first = torch.rand(3, device="cuda", generator=one).tolist()
    assert torch.rand(3, device="cuda", generator=clone).tolist() == first
    other = torch.Generator(device="cuda")
    other.graphsafe_set_state(one.graphsafe_get_state())
    second = torch.rand(3, device="cuda", generator=other).tolist()
    assert second != first
    assert torch.rand(3, device="cuda", generator=clone).tolist() == second
    assert torch.equal(one.get_state(), other.get_state())


@pytest.mark.usefixtures("machine")
def test_replays_draw_what_the_same_steps_would_draw() -> None:
    one = torch.Generator(device="cuda")

    def default() -> torch.Generator:
        return torch.cuda.default_generators[0]

    def work() -> Tensor:
        dropped = functional.dropout(torch.ones(20, device="cuda"))
        return torch.cat([dropped, torch.rand(3, device="cuda", generator=one)])

    def seed() -> None:
        torch.manual_seed(1)
        one.manual_seed(2)

    seed()
    expected = [work().tolist() for _ in range(3)]
    offsets = [generator.get_offset() for generator in (one, default())]
    graph, drawn = captured(work, one)
    seed()
    seen = []
    for _ in range(3):
        graph.replay()
        seen.append(drawn.tolist())
    assert seen == expected
    assert [generator.get_offset() for generator in (one, default())] == offsets
    assert work().tolist() not in expected


@pytest.mark.usefixtures("machine")
def test_what_cannot_be_done_with_generators_in_a_capture() -> None:
    one = torch.Generator(device="cuda")
    state = torch.cuda.get_rng_state()
    for forbidden in (
        lambda: torch.manual_seed(1),
        lambda: torch.cuda.manual_seed(1),
        lambda: torch.cuda.set_rng_state(state),
        torch.cuda.get_rng_state,
        lambda: torch.Generator(device="cuda"),
        lambda: torch.cuda.CUDAGraph().register_generator_state(one),
    ):
        with (
            pytest.warns(UserWarning, match="empty"),
            pytest.raises(RuntimeError, match=r"during CUDA graph capture. If you need this call to be captured"),
        ):
            captured(forbidden)
    with pytest.raises(RuntimeError, match="for a CUDA generator not in capture mode"):
        captured(lambda: torch.ones(3, device="cuda").bernoulli_(generator=one))
    captured(lambda: torch.ones(3, device="cuda").bernoulli_(generator=one), one)


def test_a_generator_is_registered_when_it_is_drawn_from_as_torch_2_13_does() -> None:
    with standin(lazy_generators=True):
        one = torch.Generator(device="cuda").manual_seed(2)
        expected = torch.rand(3, device="cuda", generator=one).tolist()
        graph, drawn = captured(lambda: torch.rand(3, device="cuda", generator=one))
        one.manual_seed(2)
        graph.replay()
        assert drawn.tolist() == expected


@pytest.mark.parametrize("stay", [False, True])
def test_generators_after_a_capture_that_failed(stay: bool) -> None:
    with standin(generators_stay_capturing=stay):
        x = torch.ones(30, device="cuda")
        before = torch.cuda.current_stream()
        with pytest.raises(RuntimeError, match="previous error"):
            captured(lambda: x.sum().item())
        torch.cuda.set_stream(before)
        if stay:
            with pytest.raises(
                RuntimeError, match="Offset increment outside graph capture encountered unexpectedly"
            ):
                functional.dropout(x)
        else:
            functional.dropout(x)
