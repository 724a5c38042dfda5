"""Suite: what is read from a TOML file, with the points that a search chose for its optimizers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from benchmnist.extensions.kinds import OPTIMIZER, PROBLEM
from benchmnist.suites.toml_lines import TomlPath, problem_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmnist.errors import Problem
    from benchmnist.extensions.kinds import Kind
    from benchmnist.suites.schema import (
        Block,
        Compare,
        Configured,
        ConfiguredOptimizer,
        ConfiguredProblem,
        Expect,
        Order,
        Tune,
    )


class SearchScope(NamedTuple):
    """The scope of one search: a benchmnist.suites.cases.Group, and the method."""

    dataset: str
    model: str
    label: str
    method: str


@dataclass(frozen=True)
class Point:
    """Parameters of an optimizer that were chosen for it, on one model.

    Attributes:
        params: Instead of those that the suite says.
        variant: What tells the case apart from those with other points.
        search: Number of the search, from 1.
    """

    params: Mapping[str, Any]
    variant: str = ""
    search: int = 1


@dataclass(frozen=True)
class Suite:
    """A suite, as read.

    Attributes:
        name: Names the folder of its runs.
        title: For people.
        order: Order of the trials; None if the suite does not set it: then `benchmnist run` trains seed by seed.
        blocks: Its [[cases]], with the defaults filled in.
        tables: Its named configurations, by the key of their tables and by name: `tables["models"]["wide"]`.
        tune: What `benchmnist tune` does with it.
        expect: What its [defaults] expect of every case; `blocks` have only what they say themselves.
        file: Where it was read from.
        text: The TOML, as read.
        problems: What is wrong with it; a suite with problems is never run.
        lines: Where each of its tables and keys begins.
        block_indices: Which of [[cases]] each of `blocks` is.
        own_keys: The keys that each of [[cases]] has itself, by its index; its others are those of [defaults].
        comparisons: Its [[compare]], by their index in the file.
        assigned: The paths of values that override the file's, each with its `KEY=VALUE`.
        points: Parameters that were chosen for a scope: a case for each, instead of one.
        chooses: Whether it is a search: a target at which its cases do not stop has no part in it.
        tuned: Whether those points are the outcome of a search.
        searches: How many searches there are; with more than one, each case is planned once for each of them.
        seed_step: The difference between the seeds of one search and those of the next.
        announced: How often its comparisons will be looked at, where searches are added until they are told.
        needs: Distributions of the plugins that it uses.
        recorded: File beside its own, a packed run with results that ladders show; empty without one.
    """

    name: str
    title: str
    order: Order | None
    blocks: tuple[Block, ...]
    tables: Mapping[str, Mapping[str, Configured]]
    tune: Tune
    expect: Expect
    file: str
    text: str
    problems: tuple[Problem, ...]
    lines: Mapping[TomlPath, int] = field(repr=False)
    block_indices: tuple[int, ...]
    own_keys: Mapping[int, frozenset[str]] = field(default_factory=dict)
    comparisons: Mapping[int, Compare] = field(default_factory=dict)
    assigned: Mapping[TomlPath, str] = field(default_factory=dict)
    points: Mapping[SearchScope, tuple[Point, ...]] = field(default_factory=dict)
    chooses: bool = False
    tuned: bool = False
    searches: int = 1
    seed_step: int = 0
    announced: int = 1
    recorded: str = ""
    needs: tuple[str, ...] = ()

    @property
    def recorded_file(self) -> Path | None:
        """The packed run with results of others; None without one."""
        return Path(self.file).parent / self.recorded if self.recorded else None

    @property
    def optimizers(self) -> Mapping[str, ConfiguredOptimizer]:
        """Its [optimizers.NAME], by name."""
        return cast("Mapping[str, ConfiguredOptimizer]", self.tables[OPTIMIZER.plural])

    @property
    def posed(self) -> Mapping[str, ConfiguredProblem]:
        """Its [problems.NAME], by name."""
        return cast("Mapping[str, ConfiguredProblem]", self.tables[PROBLEM.plural])

    def problem(self, message: str, *path: str | int) -> Problem:
        """Returns the problem at `path`, `("optimizers", "sgd", "lr")`."""
        return problem_at(message, path, self.file, self.lines, self.assigned)

    @property
    def written_blocks(self) -> int:
        """Number of its [[cases]], with those that could not be read."""
        return len({path[:2] for path in self.lines if path[0] == "cases" and len(path) > 1})

    def block_path(self, block: int) -> TomlPath:
        """Returns the path of the block with that index in `blocks`."""
        return ("cases", self.block_indices[block])

    def block_line(self, block: int) -> int | None:
        """The line of the block of that index in `blocks`, counted from 1."""
        return self.lines.get(self.block_path(block))

    def setting_path(self, block: TomlPath, key: str) -> TomlPath:
        """Returns the path of a block's setting: in the block or else in [defaults]; or of its problems."""
        if (*block, key) in self.lines:
            return *block, key
        posed = (*block, PROBLEM.plural)
        return posed if posed in self.lines and ("defaults", key) not in self.lines else ("defaults", key)

    def listed_path(self, kind: Kind, block: Block, path: TomlPath) -> TomlPath:
        """Returns the path of a block's models, or of its schedule."""
        if kind.has_setting and not block.lists(kind):
            return self.setting_path(path, kind.name)
        return self.setting_path(path, kind.plural) if kind.role == "set" else (*path, kind.plural)
