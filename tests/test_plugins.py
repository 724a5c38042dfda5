from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmnist.errors import PluginError, UnknownNameError
from benchmnist.plugins import find_plugins
from benchmnist.specs import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Callable

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
    assert names == ["2c2d", "cnn", "fc", "fc-bn", "fc-bn-dropout", "lenet5", "logistic"]
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
            "ValueError: the name 'Big Lion' is not lower-case",
        ),
        (OFFERS_LION.replace("benchmnist_optimizers()", "benchmnist_models()"), "which is not a ModelSpec"),
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
    with pytest.raises(PluginError, match=r"offered by benchmnist-lion 1\.0 .* and benchmnist-tiger 1\.0"):
        optimizers["lion"]
    assert optimizers["adam"].spec.name == "adam"
    assert "lion" not in [offer.spec.name for offer in optimizers]


def test_a_spec_loads_what_it_names() -> None:
    spec = ModelSpec(name="x", summary="", build="json:loads")
    assert spec.load()("3") == 3
    assert ModelSpec(name="x", summary="", build=len).load() is len
    with pytest.raises(ValueError, match=r"package\.module:attribute"):
        ModelSpec(name="x", summary="", build="json.loads")
