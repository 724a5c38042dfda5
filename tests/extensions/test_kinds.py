"""A kind of plugin is one entry: what derives from KINDS has a kind that is added as CONTRIBUTING.md says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from processes import changed_package, commands_of

from benchmnist.extensions import hookspecs
from benchmnist.extensions.kinds import IN_SUITES, KINDS, PARTS, SETS
from benchmnist.suites.cases import Case
from benchmnist.suites.schema import CASES, DEFAULTS
from benchmnist.testing import CHECKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
PLUGIN = """
from benchmnist import hookimpl
from benchmnist.extensions.specs import CurriculumSpec


def build(*, probability=0.5):
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must be between 0 and 1, not {probability}")
    return lambda order: order


@hookimpl
def benchmnist_curriculums():
    return [CurriculumSpec(name="flip", summary="turns the order over", build=build)]
"""
SUITE = """
[suite]
name = "small"
[defaults]
epochs = 1
seeds = 1
train_size = 100
test_size = 100
[curriculums.often]
use = "flip"
sweep.probability = [0.8, 0.9]
[[cases]]
models = ["logistic"]
optimizers = ["sgd"]
curriculums = ["flip", "often"]
"""


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Runs a command of a copy of the package, which has one kind more, and a plugin of that kind."""
    folder = tmp_path_factory.mktemp("changed")
    recipe = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## Recipe: add a kind of plugin\n")[2]
    spec, hook, entry, field, checks = re.findall(r"```py\n(.*?)```", recipe.partition("\n## ")[0], re.DOTALL)
    changes = (
        ("extensions/specs.py", "@dataclass(frozen=True, eq=False)\nclass Dataset:", f"{spec}\n\n"),
        ("extensions/hookspecs.py", "@hookspec\ndef benchmnist_executors", f"{hook}\n\n"),
        ("extensions/kinds.py", "KINDS = (", entry),
        ("extensions/kinds.py", "EXECUTOR)\n", "CURRICULUM, "),
        ("extensions/kinds.py", "    DatasetSpec,\n", "    CurriculumSpec,\n"),
        ("suites/cases.py", "    schedule: Component | None = None\n", field),
    )
    package = changed_package(folder, changes)
    (package / "testing" / "curriculums.py").write_text(checks, "utf-8")
    (folder / "benchmnist_flip.py").write_text(PLUGIN, "utf-8")
    info = folder / "benchmnist_flip-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: benchmnist-flip\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text("[benchmnist]\nflip = benchmnist_flip\n", "utf-8")
    (folder / "suite.toml").write_text(SUITE, "utf-8")
    with commands_of(folder, {"BENCHMNIST_DEVICE": "cpu", "COLUMNS": "200"}) as run:
        yield run


def test_a_new_kind_is_listed_and_checked(command: Callable[..., str]) -> None:
    assert re.search(
        r"Curriculums *\ncurriculum .*\nflip +turns the order over +benchmnist-flip", command("plugins")
    )
    checked = command("check", "flip")
    assert "curriculum flip, of benchmnist-flip 1.0" in checked
    assert "1 kept, 0 missed" in checked


def test_a_suite_configures_sweeps_and_crosses_a_new_kind(command: Callable[..., str]) -> None:
    shown = command("run", "suite.toml", "--dry-run")
    for name, parameters in (
        ("flip", "curriculum=flip"),
        ("often/probability-0.8", "probability=0.8 curriculum=flip"),
        ("often/probability-0.9", "probability=0.9 curriculum=flip"),
    ):
        assert re.search(rf"mnist/logistic/sgd/{name} .*{parameters}", shown)


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ('cases.0.curriculums=["flop"]', "no curriculum named 'flop'. Did you mean 'flip'?"),
        ("curriculums.often.chance=1", "'flip' takes no parameter 'chance'"),
        (
            "curriculums.often.sweep.probability=[2]",
            "'flip' refuses: probability must be between 0 and 1, not 2",
        ),
        ('curriculum.often.use="flip"', "unknown table; write [curriculums.NAME]"),
    ],
)
def test_a_mistake_in_a_new_kind_is_found_before_any_training(
    command: Callable[..., str], assignment: str, expected: str
) -> None:
    shown = command("run", "suite.toml", "--dry-run", "--set", assignment, code=2)
    assert expected in " ".join(shown.split())


def test_a_run_keeps_and_shows_a_new_kind(command: Callable[..., str], tmp_path: Path) -> None:
    command("run", "suite.toml", "--executor", "inline", "--no-checkpoints", "--out", tmp_path)
    (run,) = (tmp_path / "small").iterdir()
    rows = json.loads(command("report", run, "--format", "json"))["rows"]
    assert [row["curriculum"] for row in rows] == ["flip", "often/probability-0.8", "often/probability-0.9"]
    assert rows[1]["curriculum.probability"] == 0.8
    assert len({row["key"] for row in rows}) == 3


def test_each_kind_has_what_its_entry_says() -> None:
    assert [*CHECKS] == [kind.name for kind in KINDS]
    assert all(CHECKS.values())
    assert {kind.hook for kind in KINDS} == {name for name in vars(hookspecs) if name.startswith("benchmnist_")}
    assert {kind.name for kind in PARTS} | {kind.plural for kind in SETS} <= {*Case.model_fields}
    assert {kind.plural for kind in IN_SUITES} <= {*CASES.model_fields}
    assert {kind.name for kind in PARTS if kind.has_setting} <= {*DEFAULTS.model_fields}
