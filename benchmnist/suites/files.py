"""Reads the text of a suite; where it cannot, says why, and which file may be meant."""

from __future__ import annotations

import contextlib
import json
import re
import tomllib
from pathlib import Path

from benchmnist.errors import Problem, SuiteError, closest, reason

EMPTY = "empty; a suite has [suite] with a name, and [[cases]] with models and optimizers"
LARGEST_FILE = 1_000_000
"""Bytes of a suite: what is larger is another file."""
MAX_NAMED = 5
"""Number of suites of a folder that a message names."""
PACKAGE = Path(__file__).parent.parent
PACKAGE_SUITES = PACKAGE / "builtin" / "suites", PACKAGE.parent / "suites"
"""Folders of the suites of the package: in an installed one, and in a clone that is installed with `-e`."""


def package_suites() -> dict[str, Path]:
    """Returns the suites that come with the package, by their names, in order."""
    folder = next((each for each in PACKAGE_SUITES if each.is_dir()), PACKAGE_SUITES[0])
    return {path.stem: path for path in sorted(folder.glob("*.toml"), key=lambda path: path.stem)}


def find_suite(named: str | Path) -> Path:
    """Returns the file of a suite: its path, or that of a suite of the package if there is no such file."""
    path = Path(named)
    if not re.fullmatch(r"[A-Za-z0-9._-]+", str(named)) or path.exists():
        return path
    return package_suites().get(path.name.removesuffix(".toml"), path)


def recorded_run(name: str) -> Path | None:
    """Returns the results that come with a suite of the package, by its name; None if it has none."""
    suite = package_suites().get(name)
    if suite is None:
        return None
    header = tomllib.loads(suite.read_text("utf-8")).get("suite", {})
    file = suite.parent / str(header.get("recorded", ""))
    return file if file.is_file() else None


def read_text(path: Path) -> str:
    """The text of a suite.

    Raises:
        SuiteError: if it cannot be read, or is empty.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # a pipe would be waited for
            raise SuiteError([Problem("is not a file; name a TOML file", str(path))])
        if path.is_file() and (size := path.stat().st_size) > LARGEST_FILE:
            raise SuiteError([Problem(f"has {size:,} bytes; a suite has at most {LARGEST_FILE:,}", str(path))])
        text = path.read_text("utf-8-sig")  # some editors begin a file with a byte-order mark
    except (FileNotFoundError, NotADirectoryError):
        raise SuiteError([_missing(path)]) from None
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        column = error.start - before.rfind(b"\n")
        byte = f"byte 0x{error.object[error.start]:02x} at position {column}"
        message = f"not UTF-8 text ({byte} of the line); save the file as UTF-8"
        raise SuiteError([Problem(message, str(path), before.count(b"\n") + 1)]) from error
    except (OSError, ValueError) as error:
        if path.is_dir():
            raise SuiteError([_folder(path)]) from None
        raise SuiteError([Problem(f"cannot be read: {reason(error)}", str(path))]) from error
    if not text.strip():
        raise SuiteError([Problem(EMPTY, str(path))])
    return text


def suites_in(folder: Path) -> list[Path]:
    """The TOML files in a folder that may be suites, and those in its folder `suites`."""
    found = [*sorted(folder.glob("*.toml")), *sorted((folder / "suites").glob("*.toml"))]
    return [path for path in found if path.name != "pyproject.toml" and path.is_file()]


def other_format(path: Path, text: str) -> str:
    """Returns the format of a file that is not TOML; empty if it is unknown."""
    name = ""
    if path.suffix in (".yaml", ".yml") or text.startswith("---"):
        name = "YAML"
    else:
        with contextlib.suppress(ValueError):
            json.loads(text)
            name = "JSON"
    return (
        f"is {name}; a suite is TOML: [suite] with a name, and [[cases]] with models and optimizers"
        if name
        else ""
    )


def _missing(path: Path) -> Problem:
    """No such file: the nearest by name, of those beside it and of those of the package."""
    there = suites_in(path.parent)
    same = [file for file in there if path.name in (file.stem, file.name)]
    near = closest(path.stem.lower(), {file.stem.lower() for file in there})
    meant = [str(file) for file in same or there if same or file.stem.lower() == near]
    of_package = [*package_suites()] if path.parent == Path() else []
    meant += filter(None, [closest(path.stem.lower(), of_package)])
    hint = f" Did you mean {meant[0]!r}?" if meant else ""
    if not hint:
        named = [str(file) for file in there[:MAX_NAMED]] + ["…"] * (len(there) > MAX_NAMED)
        shown = f"of the package: {', '.join(of_package)}" if of_package and path.suffix != ".toml" else ""
        lists = [", ".join(named), shown]
        hint = " Choose from: " + "; ".join(filter(None, lists)) if any(lists) else ""
    if path.suffix == ".toml":
        return Problem(f"does not exist.{hint}".removesuffix("."), str(path))
    return Problem(f"no suite named {str(path)!r}.{hint}".removesuffix("."), "")


def _folder(path: Path) -> Problem:
    """A folder instead of a file: a suite in it, if it has any."""
    if (path / "run.json").is_file():
        return Problem(f"is the folder of a run; to read it: benchmnist report {path}", str(path))
    there = suites_in(path)
    what = f"name a suite in it, such as {there[0]}" if there else "name a suite, which is a TOML file"
    return Problem(f"is a folder; {what}", str(path))
