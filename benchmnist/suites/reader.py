"""TOML -> Suite. Every mistake is found in one reading, each as `file:line: key: what is wrong`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from benchmnist.errors import Problem, SuiteError, closest
from benchmnist.extensions.kinds import AXES, BUNDLED, BUNDLES, IN_SUITES, MODEL, OPTIMIZER, PROBLEM, SETS
from benchmnist.extensions.specs import NAME
from benchmnist.suites.assignments import assign, parse_assignment
from benchmnist.suites.files import EMPTY, find_suite, other_format, read_text
from benchmnist.suites.messages import (
    explain,
    missing,
    not_a_suite,
    wrong_table,
    wrong_tables,
)
from benchmnist.suites.schema import (
    CASES,
    COMPARE,
    DEFAULTS,
    EXCLUSIVE,
    REQUIRED,
    Block,
    Compare,
    Configured,
    ConfiguredOptimizer,
    ConfiguredProblem,
    Header,
    Tune,
    excluded_by,
)
from benchmnist.suites.suite import Suite
from benchmnist.suites.toml_lines import TomlPath, line_numbers, problem_at
from benchmnist.suites.toml_slips import find_slip
from benchmnist.suites.toml_statements import load_toml
from benchmnist.suites.unknown_keys import (
    LISTS,
    TABLES,
    meant_in_compare,
    unknown_assignment,
    unknown_key,
    unknown_table,
    value_in_compare,
)
from benchmnist.suites.values import is_list_of_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

M = TypeVar("M", bound=BaseModel)

HEADLESS = {*(kind.plural for kind in IN_SUITES), "engines", "label"} - {kind.plural for kind in SETS}
"""The keys that only [[cases]] have."""
CONFIGURED: dict[str, type[Configured]] = {
    OPTIMIZER.plural: ConfiguredOptimizer,
    PROBLEM.plural: ConfiguredProblem,
}
"""The models of configurations that have more than parameters, by the key of their tables."""


def load_suite(path: str | Path, *, set: Sequence[str] = ()) -> Suite:  # noqa: A002 - as the option is called
    """Reads a suite.

    Args:
        path: The TOML file, or the name of a suite that comes with the package: `quick`.
        set: Override values in it: `["optimizers.adam.lr=0.01"]`, typed as TOML.

    Raises:
        SuiteError: with every mistake in the file.
    """
    suite = read_suite(path, set)
    if suite.problems:
        raise SuiteError(suite.problems)
    return suite


def read_suite(path: str | Path, assignments: Sequence[str] = ()) -> Suite:
    """Reads a suite, with some of its values overridden by `KEY=VALUE`.

    Its `problems` say what is wrong; that is left out, so that everything wrong is reported together.

    Raises:
        SuiteError: if so much is wrong that nothing can be read from it.
    """
    path = find_suite(path)
    text = read_text(path)
    try:
        raw = load_toml(text)
    except tomllib.TOMLDecodeError as error:
        if other := other_format(path, text):
            raise SuiteError([Problem(other, str(path))]) from error
        slip = find_slip(text, error)
        raise SuiteError([Problem(slip.message, str(path), slip.line)]) from error
    if not raw:  # nothing but comments
        raise SuiteError([Problem(EMPTY, str(path))])
    if not {*raw} & {*TABLES} and not any(closest(key, TABLES) for key in raw):
        raise SuiteError([Problem(not_a_suite(raw), str(path), 1)])
    return _Reader(raw, text, str(path), assignments).suite()


class _Reader:
    """Reads the parts of a suite one by one, so that a mistake in one does not hide those in the others."""

    def __init__(self, raw: dict[str, Any], text: str, file: str, assignments: Sequence[str]) -> None:
        self.raw, self.text, self.file = raw, text, file
        self.lines = line_numbers(text)
        self.problems: list[Problem] = []
        self.assigned: dict[TomlPath, str] = {}
        for assignment in assignments:
            try:
                self.assigned[assign(raw, parse_assignment(assignment))] = assignment
            except ValueError as error:
                self.problems.append(Problem(str(error), f"--set {assignment}"))

    def suite(self) -> Suite:
        listed = {name: kind for block in self.raw_blocks() for kind, name in _listed(block)}
        for key in [*self.raw]:
            if key not in TABLES:
                assigned = next((path for path in self.assigned if path[0] == key), (key,))
                typed = "" if (key,) in self.lines else self.assigned.get(assigned, "")
                said = unknown_assignment(key, typed, listed) if typed else ""
                self.report(said or unknown_table(key, self.raw[key], listed), *(assigned if typed else (key,)))
                self.rename(key, closest(key, TABLES))
        blocks, comparing = self.blocks(), self.tables("compare")
        header = self.read(Header, self.raw.get("suite", {}), "suite")
        defaults = self.read(DEFAULTS, self.one_of_each(self.raw.get("defaults", {}), "defaults"), "defaults")
        defaults = defaults or DEFAULTS()
        given = defaults.model_dump(exclude_unset=True, exclude={"expect"})
        read = {index: self.block(block, given, index) for index, block in enumerate(blocks)}
        whole = {index: block for index, block in read.items() if block}
        compared = {index: self.comparison(entry, index) for index, entry in enumerate(comparing)}
        name = header.name if header else "suite"
        return Suite(
            name=name,
            title=(header.title if header else "") or name,
            order=header.order if header else None,
            recorded=self.recorded(header) if header else "",
            needs=header.needs if header else (),
            blocks=tuple(whole.values()),
            tables={kind.plural: self.configured(kind.plural) for kind in IN_SUITES},
            tune=self.read(Tune, self.raw.get("tune", {}), "tune") or Tune(),
            expect=defaults.expect,
            file=self.file,
            text=self.text,
            lines=self.lines,
            assigned=self.assigned,
            block_indices=tuple(whole),
            own_keys={index: frozenset(map(str, blocks[index])) for index in whole},
            comparisons={index: entry for index, entry in compared.items() if entry},
            problems=tuple(self.problems),  # the last, when all has been read
        )

    def recorded(self, header: Header) -> str:
        """The file with results of others, which must be beside the suite."""
        if header.recorded and not (Path(self.file).parent / header.recorded).is_file():
            self.report(f"{header.recorded!r} is not beside the suite; remove the line", "suite", "recorded")
            return ""
        return header.recorded

    def blocks(self) -> list[Any]:
        """The [[cases]]."""
        blocks = self.tables("cases")
        if not isinstance(self.raw.get("cases", []), list):
            return blocks
        if not blocks and (found := self.headless()):
            return [found]
        if not blocks and not any(isinstance(self.raw.get(kind.plural), list) for kind in (*AXES, *BUNDLES)):
            self.report("the suite has no cases; add [[cases]] with models and optimizers", "cases")
        return blocks

    def tables(self, key: str) -> list[Any]:
        """The tables of [[key]]."""
        tables = self.raw.get(key, [])
        if isinstance(tables, dict):
            self.report(f"must be a list of tables; write [[{key}]] with double brackets", key)
            if not all(part.isdecimal() and isinstance(table, dict) for part, table in tables.items()):
                return [tables]
            for index, part in enumerate(tables):  # [cases.0], [cases.1]
                self.move((key, part), (key, index))
            return [*tables.values()]
        if not isinstance(tables, list):
            self.report(wrong_table(tables, (key,), typed=(key,) in self.assigned), key)
            return []
        return tables

    def raw_blocks(self) -> list[Any]:
        """Returns what [[cases]] have, as far as it can be told."""
        blocks = self.raw.get("cases", [])
        return blocks if isinstance(blocks, list) else [blocks]

    def headless(self) -> dict[str, Any]:
        """Finds the keys of a block whose [[cases]] was forgotten, in the table before it; empty without any."""
        named = [
            ((kind.plural, name), table) for kind in IN_SUITES for name, table in _tables(self.raw, kind.plural)
        ]
        for path, table in [*(((key,), self.raw.get(key)) for key in ("suite", "defaults", "tune")), *named]:
            if not isinstance(table, dict) or not any(
                isinstance(table.get(kind.plural), (list, str)) for kind in (MODEL, PROBLEM)
            ):
                continue
            found = {key: table.pop(key) for key in [*table] if key in HEADLESS}
            found |= {key: [name] for key, name in found.items() if isinstance(name, str) and key != "label"}
            self.report("must be in [[cases]]; write that header above it", *path, next(iter(found)))
            self.lines.setdefault(("cases", 0), self.lines.get((*path, next(iter(found))), 1))
            return found
        return {}

    def block(self, block: Any, given: dict[str, Any], index: int) -> Block | None:
        """One of [[cases]], with the defaults filled in; `model = "fc"` is read as the list that is meant."""
        if not isinstance(block, dict):
            return self.read(CASES, block, "cases", index)
        block = dict(block)
        for plural in (kind.plural for kind in (*REQUIRED, *BUNDLES)):
            singular = plural.removesuffix("s")
            if singular in block and plural not in block:
                self.report(unknown_key(singular, block[singular], CASES), "cases", index, singular)
                one = block.pop(singular)
                block[plural] = one if isinstance(one, list) else [one]
        posed = PROBLEM.plural in block
        for key in [key for kind in BUNDLED for key in (kind.name, kind.plural) if posed and key in block]:
            said = "is decided by the problems; remove it, or move it to [[cases]] without problems"
            self.report(said, "cases", index, key)
            del block[key]
        block = self.one_of_each(block, "cases", index)
        kept = {key: value for key, value in given.items() if key not in excluded_by(block)}
        read = self.read(CASES, {**kept, **block}, "cases", index)
        for kind in REQUIRED:
            if kind in BUNDLED and not posed and kind.plural not in block:
                self.report(missing(kind.plural), "cases", index, kind.plural)
        return read if read and (read.lists(MODEL) or read.lists(PROBLEM)) else None

    def one_of_each(self, table: Any, *path: str | int) -> Any:
        """Reports settings of a table that exclude each other; returns it with the first of each pair."""
        if isinstance(table, dict):
            for first, second in EXCLUSIVE:
                if first in table and second in table:
                    self.report(f"the same table has {first}; remove one of both", *path, second)
                    table = {key: value for key, value in table.items() if key != second}
        return table

    def comparison(self, entry: Any, index: int) -> Compare | None:
        """One of [[compare]]; `baseline = "sgd"` is read as the `with` that is meant."""
        found = dict(entry) if isinstance(entry, dict) else {}
        for key in [*found]:
            meant = "" if key in COMPARE.model_fields else meant_in_compare(key)
            if meant and meant not in found:
                value = found.pop(key)
                self.report(unknown_key(key, value, COMPARE), "compare", index, key)
                found[meant] = value_in_compare(meant, value)
        return self.read(COMPARE, found or entry, "compare", index)

    def rename(self, key: str, name: str) -> None:
        """Reads a top-level table as the one that it is meant to be, so that no more is reported for its name."""
        if not name or name in self.raw:
            return
        self.raw[name] = self.raw.pop(key)
        if name in LISTS and isinstance(self.raw[name], dict):
            self.raw[name] = [self.raw[name]]
        self.move((key,), (name,))

    def move(self, old: TomlPath, new: TomlPath) -> None:
        """Has the lines of what is at one path for another path, too."""
        n = len(old)
        self.lines |= {(*new, *path[n:]): line for path, line in self.lines.items() if path[:n] == old}
        self.assigned |= {(*new, *path[n:]): text for path, text in self.assigned.items() if path[:n] == old}

    def configured(self, kind: str) -> dict[str, Configured]:
        model = CONFIGURED.get(kind, Configured)
        tables = self.raw.get(kind, {})
        if not isinstance(tables, dict):
            self.report(wrong_tables(kind, tables), kind)
            return {}
        for name in tables:
            if not NAME.fullmatch(name):
                self.report(
                    "a name must be lower-case letters and digits joined by single - _ . or +; rename it",
                    kind,
                    name,
                )
        read = {name: self.read(model, table, kind, name) for name, table in tables.items()}
        return {name: table for name, table in read.items() if table}

    def read(self, model: type[M], raw: object, *path: str | int) -> M | None:
        """`raw` as a `model`, less the keys that are wrong; None where too little is left."""
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            wrong = error.errors(include_url=False)
        for mistake in wrong:  # "[key]": the mistake is in the key itself
            where = (*path, *_location(mistake["loc"]))
            self.report(explain(mistake, model, where), *where)
        if is_list_of_tables(raw) and isinstance(raw, list):
            return self.read(model, raw[0], *path)
        if not isinstance(raw, dict):
            return None
        bad = {mistake["loc"][0] for mistake in wrong if mistake["loc"]}
        try:
            return model.model_validate({key: value for key, value in raw.items() if key not in bad})
        except ValidationError:
            return None

    def report(self, message: str, *path: str | int) -> None:
        self.problems.append(problem_at(message, path, self.file, self.lines, self.assigned))


def _location(loc: TomlPath) -> TomlPath:
    """Returns the keys of a mistake; `model.dropout` of a space or a sweep is two of them."""
    keys = [part for part in loc if part != "[key]"]
    if keys[:1] in (["space"], ["sweep"]) and len(keys) > 1:
        keys[1:2] = str(keys[1]).split(".", 1)
    return tuple(keys)


def _tables(raw: dict[str, Any], key: str) -> list[tuple[str, Any]]:
    """Returns the tables below a key, each with its name."""
    tables = raw.get(key)
    return [*tables.items()] if isinstance(tables, dict) else []


def _listed(block: Any) -> Iterator[tuple[str, str]]:
    """Yields the names that a block lists, each after the key of its list."""
    for kind in IN_SUITES if isinstance(block, dict) else ():
        names = block.get(kind.plural)
        yield from (
            (kind.plural, name) for name in (names if isinstance(names, list) else ()) if isinstance(name, str)
        )
