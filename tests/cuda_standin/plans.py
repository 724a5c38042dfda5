"""What an operation of ATen does to its arguments, read once from its schema; and what the schema does not say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


WAITING = _names(
    "nonzero masked_select equal is_nonzero unique _unique _unique2 unique_dim unique_consecutive bincount histc "
    "repeat_interleave allclose _linalg_check_errors _linalg_svd _linalg_eigh linalg_eig _ctc_loss"
)
"""The host waits for these, since it needs a value or a size from the device."""

INDEXING = _names(
    "index_select gather scatter scatter_ scatter_add scatter_add_ scatter_reduce scatter_reduce_ index_add "
    "index_add_ index_copy index_copy_ index_fill index_fill_ index index_put index_put_ _index_put_impl_ "
    "_unsafe_index _unsafe_index_put take put put_ embedding embedding_dense_backward _embedding_bag "
    "nll_loss_forward nll_loss_backward nll_loss2d_forward nll_loss2d_backward"
)
"""On a GPU these do not raise for an index out of range: the kernel asserts, and the context is lost."""

PRODUCTS = _names("mm addmm bmm baddbmm addbmm addmv mv dot vdot linear _addmm_activation")
"""These go through cuBLAS, which takes a workspace."""

ALLOCATING = _names("empty_like new_empty new_empty_strided")
"""These run nothing on the device."""

VIEWING = _names("_unsafe_view _reshape_alias resize_ resize_as_ set_ sym_size sym_stride sym_numel")
"""These only make a view, or nothing on the device, beside those whose schema says so."""

ADOPTING = _names("native_batch_norm native_batch_norm_backward native_group_norm native_layer_norm")
"""Where vmap is over them C++ gives them a weight of its own, on what it takes for their device: the CPU."""

UNDECLARED = {"native_batch_norm": (3, 4), "cudnn_batch_norm": (3, 4), "batch_norm_update_stats": (1, 2)}
"""Positions of arguments that are written although the schema does not say so: running statistics."""


@dataclass(frozen=True)
class Plan:
    """What there is to know of an operation before it is executed.

    Attributes:
        name: `add_`, of any overload.
        view: It runs nothing on the device.
        writes: Positions and names of the arguments that it writes.
        returns: For each result, the position or name of the argument that it is; None for a new one.
        out: Names of the `out` arguments, which it may resize.
        generator: Position or name of its generator; None for one that has none.
    """

    name: str
    view: bool
    allocating: bool
    writes: frozenset[int | str]
    returns: tuple[int | str | None, ...]
    out: tuple[str, ...]
    random: bool
    generator: int | str | None
    waiting: bool
    indexing: bool
    product: bool

    @property
    def in_place(self) -> bool:
        """It has no new result."""
        return None not in self.returns


@cache
def plan_of(func: Any) -> Plan:
    """Reads the plan of an operation from its schema."""
    schema, name = func._schema, func._schema.name.partition("::")[2]
    writes: dict[int | str, frozenset[str]] = {}
    generator: int | str | None = None
    for position, argument in enumerate(schema.arguments):
        key: int | str = argument.name if argument.kwarg_only else position
        if argument.alias_info is not None and argument.alias_info.is_write:
            writes[key] = frozenset(argument.alias_info.before_set)
        if argument.name == "generator":
            generator = key
    returns: list[int | str | None] = []
    views = bool(schema.returns)
    for result in schema.returns:
        info = result.alias_info
        views &= info is not None and not info.is_write
        same = info is not None and info.is_write
        returns.append(
            next((key for key, names in writes.items() if names & set(info.before_set)), None) if same else None
        )
    return Plan(
        name=name,
        view=views or name in VIEWING or torch.Tag.inplace_view in func.tags,
        allocating=name in ALLOCATING,
        writes=frozenset(writes) | frozenset(UNDECLARED.get(name, ())),
        returns=tuple(returns),
        out=tuple(key for key in writes if isinstance(key, str)) if torch.Tag.out in func.tags else (),
        random=torch.Tag.nondeterministic_seeded in func.tags,
        generator=generator,
        waiting=name in WAITING,
        indexing=name in INDEXING,
        product=name in PRODUCTS,
    )
