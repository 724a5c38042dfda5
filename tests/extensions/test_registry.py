from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch

from benchmnist.errors import PluginError, UnknownNameError
from benchmnist.extensions.registry import find_plugins
from benchmnist.extensions.specs import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmnist.extensions.registry import Registry

OFFERS_LION = """
from benchmnist import OptimizerSpec, hookimpl

@hookimpl
def benchmnist_optimizers():
    return [OptimizerSpec(name="lion", summary="a lion", build="nowhere:lion")]
"""


def test_the_builtin_plugin_comes_in_by_the_door_of_all_others() -> None:
    registry = find_plugins()
    (builtin,) = [plugin for plugin in registry.plugins if plugin.name == "builtin"]
    assert builtin.distribution == "benchmnist"
    assert builtin.error is None
    names = [offer.spec.name for offer in registry.models]
    assert names == sorted(names)
    assert {"2c2d", "cnn", "fc", "fc-bn", "fc-bn-dropout", "lenet5", "logistic"} <= {*names}
    assert registry.models["fc"].plugin == builtin


def test_a_strangers_optimizer_is_offered_with_where_it_comes_from(install_plugin: Callable[..., None]) -> None:
    install_plugin("lion", OFFERS_LION, version="2.5")
    offer = find_plugins().optimizers["lion"]
    assert (offer.plugin.distribution, offer.plugin.version) == ("benchmnist-lion", "2.5")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("raise SystemExit(3)", "calls sys.exit(3)"),
        ("import os; os._exit(0)", "calls os._exit(0)"),
        ("def broken(:", "SyntaxError: "),
        (OFFERS_LION.replace("optimizers()", "optimisers()"), "benchmnist_optimisers is not a hook. Did you mean"),
        (OFFERS_LION.replace("@hookimpl", ""), "benchmnist_optimizers is not decorated with @benchmnist.hookimpl"),
        (
            OFFERS_LION.replace("[Opt", "Opt").replace(")]", ")"),
            "benchmnist_optimizers returned one OptimizerSpec",
        ),
        (OFFERS_LION.replace("return [", "return [3, "), "returned 3, which is not a OptimizerSpec"),
        (OFFERS_LION.replace("return [", "return None #"), "benchmnist_optimizers returned None; return a list"),
        (OFFERS_LION.replace("return [", "return 3 #"), "TypeError: 'int' object is not iterable"),
        (
            OFFERS_LION.replace('name="lion"', 'name="Big Lion"'),
            "ValueError: the name 'Big Lion' must be lower-case",
        ),
        (OFFERS_LION.replace("benchmnist_optimizers()", "benchmnist_models()"), "which is not a ModelSpec"),
        (
            OFFERS_LION.replace("optimizers()", "optimizers(registry)"),
            "benchmnist_optimizers has the parameters registry; a hook must not have any",
        ),
        (OFFERS_LION.replace("return", "raise RuntimeError('no') #"), "RuntimeError: no"),
        (
            "BENCHMNIST_API = 0" + OFFERS_LION,
            "was written for version 0 of the hooks, not 1; upgrade it",
        ),
        ("BENCHMNIST_API = 99" + OFFERS_LION, "hooks, not 1; upgrade benchmnist"),
    ],
)
def test_a_broken_plugin_is_a_record_and_the_rest_works(
    install_plugin: Callable[..., None], source: str, expected: str
) -> None:
    install_plugin("broken", source)
    registry = find_plugins()
    (record,) = [plugin for plugin in registry.plugins if plugin.name == "broken"]
    assert expected in str(record.error)
    assert record.distribution == "benchmnist-broken"
    assert registry.optimizers["adam"].spec.name == "adam"
    with pytest.raises(UnknownNameError, match=r"benchmnist-broken 1\.0 \(plugin 'broken'\) failed to load: "):
        registry.optimizers["lion"]


def test_a_name_offered_twice_can_be_had_from_nobody(install_plugin: Callable[..., None]) -> None:
    install_plugin("lion", OFFERS_LION)
    install_plugin("tiger", OFFERS_LION)
    optimizers = find_plugins().optimizers
    with pytest.raises(
        PluginError, match=r"offered by benchmnist-lion 1\.0 .* and benchmnist-tiger 1\.0.*block one"
    ):
        optimizers["lion"]
    assert find_plugins(["benchmnist-tiger"]).optimizers["lion"].plugin.name == "lion"
    assert optimizers["adam"].spec.name == "adam"
    assert "lion" not in [offer.spec.name for offer in optimizers]


def test_a_spec_loads_what_it_names() -> None:
    spec = ModelSpec(name="x", summary="", build="json:loads")
    assert spec.load()("3") == 3
    assert ModelSpec(name="x", summary="", build=len).load() is len
    with pytest.raises(ValueError, match=r"package\.module:attribute"):
        ModelSpec(name="x", summary="", build="json.loads")


def test_a_plugin_that_offers_a_name_twice_is_named(install_plugin: Callable[..., None]) -> None:
    install_plugin("lion", OFFERS_LION.replace("return [", "return 2 * ["))
    with pytest.raises(PluginError, match=r"offered twice by benchmnist-lion 1\.0 .*; upgrade benchmnist-lion"):
        find_plugins().optimizers["lion"]


MEDDLES = """
import random, sys
print("hello from", __name__)
print("and a warning", file=sys.stderr)
import torch
torch.set_default_dtype(torch.float64)
torch.set_num_threads(torch.get_num_threads() + 3)
torch.manual_seed(5)
torch.set_grad_enabled(False)
torch.use_deterministic_algorithms(True)
torch.backends.cudnn.benchmark = True
torch.set_default_device("meta")
torch.set_float32_matmul_precision("medium")
"""
CHANGES = (
    "default dtype from torch.float32 to torch.float64",
    "number of threads from",
    "random numbers",
    "gradient mode from True to False",
    "deterministic mode from False to True",
    "use of cuDNN",
    "default device from cpu to meta",
    "precision of float32 products from highest to medium",
)


def test_what_a_plugin_prints_or_changes_is_undone_and_noted(
    install_plugin: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    install_plugin("meddling", MEDDLES + OFFERS_LION)
    torch.manual_seed(3)
    before = torch.get_rng_state(), torch.get_num_threads()
    registry = find_plugins()
    (record,) = [plugin for plugin in registry.plugins if plugin.name == "meddling"]
    assert record.error is None
    assert registry.optimizers["lion"].plugin == record  # its offers stand
    printed, *changed = record.notes
    assert printed.startswith("prints 'hello from benchmnist_meddling'; ")
    for change in CHANGES:
        assert any(note.startswith(f"changes torch's {change}") for note in changed)
    assert len(changed) == len(CHANGES)
    assert (torch.get_default_dtype(), torch.get_num_threads()) == (torch.float32, before[1])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.is_grad_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark
    assert torch.empty(1).device.type == "cpu"
    assert capfd.readouterr() == ("", "")


def test_the_first_to_import_torch_is_watched_too(install_plugin: Callable[..., None]) -> None:
    install_plugin("meddling", MEDDLES + OFFERS_LION)
    program = (
        "import sys; from benchmnist.extensions.registry import find_plugins\n"
        "assert 'torch' not in sys.modules\n"
        "(record,) = [p for p in find_plugins().plugins if p.name == 'meddling']\n"
        "import torch; print(len(record.notes), torch.get_default_dtype())"
    )
    site = next(path for path in sys.path if path.endswith("site-packages"))
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {site!r})\n{program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{1 + len(CHANGES)} torch.float32\n"
    assert done.stderr == ""


@pytest.mark.parametrize("name", ["broken", "benchmnist-broken"])
def test_a_blocked_plugin_is_not_even_loaded(
    install_plugin: Callable[..., None], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    install_plugin("broken", "import os; os._exit(5)")
    install_plugin("lion", OFFERS_LION)
    for registry in (find_plugins([name]), _with_variable(monkeypatch, f"nobody, {name}")):
        (record,) = [plugin for plugin in registry.plugins if plugin.name == "broken"]
        assert record.blocked
        assert registry.optimizers["lion"].spec.summary == "a lion"
        with pytest.raises(UnknownNameError, match=r"benchmnist-broken 1\.0 \(plugin 'broken'\) is blocked\."):
            registry.optimizers["tiger"]


def _with_variable(monkeypatch: pytest.MonkeyPatch, value: str) -> Registry:
    monkeypatch.setenv("BENCHMNIST_BLOCK", value)
    return find_plugins()


def test_what_is_blocked_has_to_be_there() -> None:
    with pytest.raises(UnknownNameError, match=r"no plugin named 'bultin'\. Did you mean 'builtin'\?"):
        find_plugins(["bultin"])
