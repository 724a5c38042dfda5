"""The key of a case covers what decides its result, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_support import component, make_case

from benchmnist.preflight.prepare import prepare
from benchmnist.suites.cases import ParameterGroup
from benchmnist.suites.keys import case_key
from benchmnist.suites.options import RunOptions
from benchmnist.training.data import Datasets, default_data_root

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmnist.suites.cases import Case

PLATFORM = {"torch": "2.13.0", "device": "cpu"}
CASE = make_case(optimizer=component("adam", lr=1e-3), schedule=component("cosine"))
SLOW_BIASES = ParameterGroup(kind=("bias",), lr_scale=0.1)
SUITE = """
[suite]
name = "NAME"
[defaults]
epochs = 2
seeds = 2
train_size = 300
[optimizers.fast]
use = "sgd"
lr = 0.1
[[cases]]
models = ["fc"]
optimizers = ["fast", "adam"]
"""


def key(case: Case) -> str:
    return case_key(case, "data", PLATFORM)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 2},
        {"batch_size": 51},
        {"seeds": (1,)},
        {"clip_grad_norm": 1.0},
        {"label_smoothing": 0.1},
        {"init_seed": 0},
        {"evaluate_in": "train"},
        {"normalise": True},
        {"engine": "dataloader"},
        {"precision": "bf16"},
        {"train_size": 499},
        {"test_size": 199},
        {"validation_size": 100},
        {"reference": True},
        {"steps": 9},
        {"seconds": 1.0},
        {"evaluate_every": 5},
        {"patience": 3},
        {"stop_at_target": True, "target_accuracy": 90.0},
        {"schedule": None},
        *({kind: component("other")} for kind in ("dataset", "model", "optimizer", "schedule")),
        {"optimizer": component("adam", lr=1e-4)},
        {"optimizer": component("adam", lr=1e-3).model_copy(update={"version": "9"})},
        {"optimizer": component("adam", lr=1e-3).model_copy(update={"groups": (SLOW_BIASES,)})},
        {"optimizer": component("adam", lr=1e-3).model_copy(update={"distribution": "other"})},
    ],
    ids="-".join,
)
def test_what_decides_a_result_changes_the_key(change: dict[str, Any]) -> None:
    assert key(CASE.model_copy(update=change)) != key(CASE)


def test_every_field_of_a_case_either_decides_or_does_not() -> None:
    """A new field changes the key, unless somebody says that it should not."""
    decides = {
        "dataset", "model", "optimizer", "schedule", "epochs", "batch_size", "seeds", "clip_grad_norm",
        "label_smoothing", "init_seed", "normalise", "augmentation", "evaluate_in", "engine", "precision",
        "train_size", "test_size", "validation_size", "reference", "task", "metrics", "steps", "seconds",
        "evaluate_every", "stop_at_target", "patience", "dynamics",
    }  # fmt: skip
    assert {*type(CASE).model_fields} == decides | {
        "id", "label", "line", "marks", "expect", "baseline", "axes", "resources", "target_accuracy", "margin",
        "spread", "control", "tuned", "untuned", "search", "chosen", "compared_with", "evaluates", "target_loss",
        "problem", "level", "rung", "costs",
    }  # fmt: skip


@pytest.mark.parametrize("ends", [{"stop_at_target": True}, {"patience": 3}])
@pytest.mark.parametrize("target", ["target_accuracy", "target_loss"])
def test_a_target_decides_where_trials_end_by_it(ends: dict[str, Any], target: str) -> None:
    one, other = (CASE.model_copy(update={target: value}) for value in (0.5, 0.6))
    assert key(one) == key(other) == key(CASE)
    assert key(one.model_copy(update=ends)) != key(other.model_copy(update=ends))


def test_what_was_added_later_leaves_the_keys_of_cases_without_it() -> None:
    later = {"steps", "seconds", "evaluate_every", "target_loss", "stop_at_target", "patience"}
    before = CASE.model_validate_json(CASE.model_dump_json(exclude=later))  # as an earlier version stored it
    assert case_key(before, "data", PLATFORM, stored=True) == case_key(before, "data", PLATFORM) == key(CASE)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "id": st.text(min_size=1),
            "label": st.text(),
            "line": st.integers(1, 99) | st.none(),
            "marks": st.lists(st.text()).map(tuple),
            "baseline": st.text() | st.none(),
            "axes": st.lists(st.text()).map(tuple),
            "compared_with": st.lists(st.text()).map(tuple) | st.none(),
            "optimizer": st.builds(
                lambda name, variant: CASE.optimizer.model_copy(update={"name": name, "variant": variant}),
                st.text(),
                st.text(),
            ),
        },
    )
)
def test_what_a_case_is_called_and_where_it_stands_does_not(change: dict[str, Any]) -> None:
    assert key(CASE.model_copy(update=change)) == key(CASE)


@settings(max_examples=20)
@given(st.dictionaries(st.text(min_size=1), st.floats(allow_nan=False) | st.text() | st.booleans(), max_size=4))
def test_the_order_of_parameters_does_not(params: dict[str, Any]) -> None:
    backwards = dict(reversed(params.items()))
    one, two = (make_case(model=component("fc").model_copy(update={"params": p})) for p in (params, backwards))
    assert key(one) == key(two)


def test_the_data_and_the_platform_do() -> None:
    keys = {
        case_key(CASE, "data", PLATFORM),
        case_key(CASE, "other data", PLATFORM),
        case_key(CASE, "data", {**PLATFORM, "torch": "2.14.0"}),
    }
    assert len(keys) == 3


def test_a_suite_may_be_renamed_and_reordered(write_suite: Callable[..., Path]) -> None:
    def keys(text: str) -> dict[str, str]:
        return dict(prepare(write_suite(text), RunOptions(device="cpu")).keys)

    expected = keys(SUITE)
    renamed = SUITE.replace("NAME", "another").replace('["fast", "adam"]', '["adam", "fast"]')
    assert keys("# a comment\n" + renamed) == expected
    called_otherwise = keys(SUITE.replace("fast", "quick"))
    assert called_otherwise["mnist/fc/quick"] == expected["mnist/fc/fast"]
    changed = keys(SUITE.replace("0.1", "0.2"))
    assert changed["mnist/fc/adam"] == expected["mnist/fc/adam"]
    assert changed["mnist/fc/fast"] != expected["mnist/fc/fast"]


def test_one_pixel_changes_the_digest(install_plugin: Callable[..., None]) -> None:
    install_plugin(
        "pixels",
        """
        import torch
        from benchmnist import Dataset, DatasetSpec, hookimpl

        def pixels(*, root, pixel=0):
            images = torch.zeros(20, 1, 8, 8, dtype=torch.uint8)
            images[7, 0, 3, 3] = pixel
            labels = torch.arange(20) % 2
            return Dataset(images, labels, images, labels, ("a", "b"))

        @hookimpl
        def benchmnist_datasets():
            return [DatasetSpec(name="pixels", summary="", build=pixels)]
        """,
    )
    from benchmnist.extensions.registry import find_plugins

    datasets = Datasets(find_plugins(), default_data_root())
    digests = [datasets.digest(make_case(dataset=component("pixels", pixel=p))) for p in (0, 1, 0)]
    assert digests[0] == digests[2] != digests[1]
