"""TOML -> Suite. Every mistake is found in one reading, each as `file:line: key: what is wrong`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from benchmnist.errors import Problem, SuiteError, nearest
from benchmnist.extensions.kinds import IN_SUITES, OPTIMIZER
from benchmnist.extensions.specs import NAME
from benchmnist.suites.assignments import assign, parse_assignment
from benchmnist.suites.schema import CASES, DEFAULTS, Configured, ConfiguredOptimizer, Header, Suite, Tune
from benchmnist.suites.toml_lines import TomlPath, line_numbers, problem_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_core import ErrorDetails

M = TypeVar("M", bound=BaseModel)


def load_suite(path: str | Path, *, set: Sequence[str] = ()) -> Suite:  # noqa: A002 - as the option is called
    """Reads a suite.

    Args:
        path: The TOML file.
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
    path = Path(path)
    try:
        text = path.read_text("utf-8")
        raw = tomllib.loads(text)
    except FileNotFoundError:
        near = nearest(path.stem, (p.stem for p in path.parent.glob("*.toml")))
        raise SuiteError([Problem(f"no such suite.{near}", str(path))]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError([Problem(f"cannot be read: {error}", str(path))]) from error
    except tomllib.TOMLDecodeError as error:
        message, line = str(error), None
        if place := re.search(r" \(at line (\d+), column (\d+)\)$", message):
            message, line = f"{message[: place.start()]} (column {place[2]})", int(place[1])
        raise SuiteError([Problem(f"not TOML: {message}", str(path), line)]) from error
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
        tables = ("suite", "defaults", "cases", *(kind.plural for kind in IN_SUITES), "tune")
        for key in self.raw:
            if key not in tables:
                self.report(f"unknown table.{nearest(key, tables)} There are: {', '.join(tables)}", key)
        header = self.read(Header, self.raw.get("suite", {}), "suite")
        defaults = self.read(DEFAULTS, self.raw.get("defaults", {}), "defaults") or DEFAULTS()
        given = defaults.model_dump(exclude_unset=True, exclude={"expect"})
        blocks = self.raw.get("cases")
        if not isinstance(blocks, list) or not blocks:
            self.report("the suite has no cases; give it a [[cases]] with models and optimizers", "cases")
            blocks = []
        read = {
            index: self.read(CASES, {**given, **block} if isinstance(block, dict) else block, "cases", index)
            for index, block in enumerate(blocks)
        }
        whole = {index: block for index, block in read.items() if block}
        name = header.name if header else "suite"
        return Suite(
            name=name,
            title=(header.title if header else "") or name,
            order=header.order if header else "suite",
            blocks=tuple(whole.values()),
            tables={kind.plural: self.configured(kind.plural) for kind in IN_SUITES},
            tune=self.read(Tune, self.raw.get("tune", {}), "tune") or Tune(),
            expect=defaults.expect,
            file=self.file,
            text=self.text,
            lines=self.lines,
            assigned=self.assigned,
            block_indices=tuple(whole),
            problems=tuple(self.problems),  # the last, when all has been read
        )

    def configured(self, kind: str) -> dict[str, Configured]:
        model = ConfiguredOptimizer if kind == OPTIMIZER.plural else Configured
        tables = self.raw.get(kind, {})
        if not isinstance(tables, dict):
            self.report(f"should be tables, [{kind}.NAME]", kind)
            return {}
        for name in tables:
            if not NAME.fullmatch(name):
                self.report(
                    "a name is lower-case letters and digits joined by single - _ . or +; rename it",
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
            self.report(_message(mistake, model), *path, *(part for part in mistake["loc"] if part != "[key]"))
        if not isinstance(raw, dict):
            return None
        bad = {mistake["loc"][0] for mistake in wrong if mistake["loc"]}
        try:
            return model.model_validate({key: value for key, value in raw.items() if key not in bad})
        except ValidationError:
            return None

    def report(self, message: str, *path: str | int) -> None:
        self.problems.append(problem_at(message, path, self.file, self.lines, self.assigned))


def _message(mistake: ErrorDetails, model: type[BaseModel]) -> str:
    """What pydantic found, as a person would say it."""
    kind, given = mistake["type"], mistake["input"]
    if kind == "extra_forbidden":
        return f"unknown key.{nearest(str(mistake['loc'][-1]), model.model_fields)}"
    if kind == "missing":
        return "is missing"
    if kind == "too_short":
        return "is empty; name at least one"
    if kind == "value_error":
        return str(mistake["ctx"]["error"])
    if kind == "string_pattern_mismatch" and "marks" in mistake["loc"]:
        return f"{given!r} is no name of a pytest mark"
    if kind == "string_pattern_mismatch":
        return f"{given!r} is not letters and digits joined by single - _ or ."
    said = mistake["msg"].removeprefix("Input ")
    return f"{said}, not {given!r}" if len(repr(given)) < 40 else said  # noqa: PLR2004
