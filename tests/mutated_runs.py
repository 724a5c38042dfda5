"""Run folders of strangers, made from good ones by chance: `python tests/mutated_runs.py 1000`.

Each has one to three changes: a value of run.json or of a case becomes another (its checksum is computed again, as
a stranger could), a file is cut, swapped, or becomes a folder, a link or a pipe. Every command that reads runs is
then called on it. It must end with one of its exit codes, and say what is wrong in one line.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import mock

from click.testing import CliRunner
from made_up import made_up_run, seeds_result

from benchmnist.cli import cli
from benchmnist.errors import BenchmnistError
from benchmnist.retraining import Retrainer
from benchmnist.runs.files import checksum_of
from benchmnist.runs.searches import Attempt, Search
from benchmnist.runs.store import RunFolder, load_record
from benchmnist.suites.cases import Space
from benchmnist.suites.looks import announce

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DATA = Path(__file__).parent / "runs" / "data"
STRINGS = (
    "", "x", "../..", "/etc/passwd", "a/b", "x" * 2000, "a\nb", "\x1b[31m", "[/x]", "[bold]", "|", "`", "\0",
    "</script>", "{0}", "%s", "$x^2$", "é", "\uff57", "\u202e", "NaN", "Infinity", "mnist", "sgd", "accuracy",
)  # fmt: skip
NUMBERS = (
    0,
    1,
    -1,
    2,
    10**6,
    10**18,
    10**30,
    -(10**12),
    0.5,
    1e-300,
    1e308,
    -1e308,
    "NaN",
    "Infinity",
    "-Infinity",
)
INTEGERS = (0, 1, -1, 2, 3, 10**6, 10**18, 10**30, -(10**12))
OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [[]], {"": None}, [1, 2, 3], {"a": {"b": [1]}})

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("report", "RUN"),
    ("report", "RUN", "--format", "markdown"),
    ("report", "RUN", "--format", "latex"),
    ("report", "RUN", "--format", "csv", "--level", "step"),
    ("report", "RUN", "--format", "json"),
    ("report", "RUN", "--format", "html", "-o", "page.html"),
    *(("report", "RUN", "--show", show) for show in ("findings", "verdicts", "ranks", "targets")),
    *(("report", "RUN", "--show", show) for show in ("profiles", "tuning", "models")),
    ("report", "RUN", "--show", "plots", "--plots", "plots"),
    ("compare", "RUN", "OTHER"),
    ("compare", "RUN", "OTHER", "--format", "html", "-o", "page.html"),
    ("compare", "OTHER", "RUN", "--format", "markdown"),
    ("gate", "OTHER", "RUN", "--on", "accuracy", "--margin", "1"),
    ("runs",),
    ("runs", "show", "RUN"),
    ("runs", "prune", "--keep", "0", "--dry-run"),
    ("verify", "RUN", "--seed", "1"),
    ("run", "suite.toml", "--resume", "RUN", "--dry-run"),
    ("run", "suite.toml", "--reuse", "--dry-run"),
)
SUITE = load_record(DATA / "format-3").suite_text


class Failure(NamedTuple):
    """A command that ended otherwise than it should on a mutated run."""

    seed: int
    command: str
    what: str


def make_good_runs(folder: Path) -> list[Path]:
    """Writes runs that are as they should be: stored ones, and one with everything that a record may have."""
    found = []
    for number in (1, 3):
        path = folder / "runs" / "stored" / f"2026010{number}-000000-aaa{number}"
        shutil.copytree(DATA / f"format-{number}", path)
        found.append(path)
    looks = announce((0, 1, 2), 5)
    results = [
        seeds_result("fc", "sgd", [80.0, 81.0, 82.5], epochs=2, baseline="sgd", target_accuracy=60.0, margin=0.5),
        seeds_result("fc", "adam", [85.0, 86.5, 87.0], epochs=2, baseline="sgd", target_accuracy=60.0, margin=0.5),
        seeds_result("cnn", "sgd", [90.0, 91.0, 92.5], baseline="sgd", tuned=True),
        seeds_result("cnn", "adam", [95.0, None, 97.0], baseline="sgd", expect={"accuracy": ">= 90"}),
    ]
    results[2] = results[2].model_copy(
        update={"status": "failed", "error": "Traceback\nValueError: no", "trials": ()}
    )
    space = {"lr": Space(low=0.01, high=1.0, log=True), "batch_size": Space(values=(10, 20))}
    attempts = tuple(Attempt(params={"lr": 0.1 * n, "batch_size": 10}, value=80.0 + n) for n in range(1, 6))
    search = Search(dataset="mnist", model="cnn", method="sgd", sampler="random", space=space, attempts=attempts)
    run = made_up_run(results, searches=[search], suite_text=SUITE)
    path = folder / "runs" / "made-up" / "20261124-000000-aaaa"
    writer = RunFolder(path)
    writer.make()
    writer.write_record(run.record.model_copy(update={"looks": looks, "data": {"mnist": "0" * 32}}))
    for result in results:
        writer.write_case(result.model_copy(update={"environment": {"torch": "2", "device": "cpu", "threads": 1}}))
    return [*found, path]


def mutate(run: Path, chance: random.Random) -> list[str]:
    """Changes a run folder; returns what was done."""
    return [_mutate_once(run, chance) for _ in range(chance.randint(1, 3))]


def _mutate_once(run: Path, chance: random.Random) -> str:
    files = sorted(file for file in (run / "run.json", *(run / "cases").glob("*.json")) if file.is_file())
    if not files:
        return "nothing is left"
    file = chance.choice(files)
    if chance.random() < 0.85:
        with contextlib.suppress(*NO_OBJECT):
            return _change_value(file, chance)
    change = chance.choice(FILE_CHANGES)
    with contextlib.suppress(OSError):
        change(file, chance.choice(files), chance)
    return f"{change.__name__} {file.name}"


def _change_value(file: Path, chance: random.Random) -> str:
    content: Any = json.loads(file.read_text("utf-8"))
    content.pop("checksum", None)
    holder, key = content, chance.choice(sorted(content))
    while chance.random() < 0.8 and isinstance(holder[key], (dict, list)) and holder[key]:
        holder = holder[key]
        key = chance.choice(sorted(holder)) if isinstance(holder, dict) else chance.randrange(len(holder))
    value = holder[key]
    if chance.random() < 0.05:
        del holder[key]
    else:
        holder[key] = _other_value(value, chance)
    text = json.dumps(content, indent=1)
    file.write_text(f'{text[:-2]},\n "checksum": "{checksum_of(text)}"\n}}\n', "utf-8")
    return f"{file.name}: {key} was {str(value)[:60]!r}"


def _other_value(value: Any, chance: random.Random) -> Any:
    """Returns another value, mostly of the same type: what the schema refuses is soon tried."""
    if chance.random() < 0.1:
        return chance.choice((*OTHERS, *STRINGS, *NUMBERS))
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return chance.choice((*INTEGERS, value + 1, -value))
    if isinstance(value, float):
        return chance.choice((*NUMBERS, -value, value * 1e-9))
    if isinstance(value, str):
        return chance.choice((*STRINGS, value * 50, value[::-1]))
    if isinstance(value, list):
        return chance.choice(([], value * 2, value[::-1], value[1:], value * 300 if len(value) < 10 else value))
    if isinstance(value, dict):
        return chance.choice(({}, value | {"x": 1}, dict(list(value.items())[1:])))
    return chance.choice((*STRINGS, *NUMBERS))


def cut(file: Path, _: Path, chance: random.Random) -> None:
    """Cuts a file."""
    file.write_bytes(file.read_bytes()[: chance.randrange(1 + file.stat().st_size)])


def swap(file: Path, other: Path, _: random.Random) -> None:
    """Swaps two files."""
    one, two = file.read_bytes(), other.read_bytes()
    file.write_bytes(two)
    other.write_bytes(one)


def become_a_folder(file: Path, _: Path, __: random.Random) -> None:
    """Puts a folder where a file was."""
    file.unlink()
    file.mkdir()


def become_a_pipe(file: Path, _: Path, __: random.Random) -> None:
    """Puts a pipe where a file was."""
    file.unlink()
    os.mkfifo(file)


def become_a_link(file: Path, _: Path, chance: random.Random) -> None:
    """Puts a link where a file was: to nothing, itself, a folder, a device."""
    file.unlink()
    file.symlink_to(chance.choice(("nothing", file.name, "/", "/dev/zero", "/dev/full")))


def vanish(file: Path, _: Path, __: random.Random) -> None:
    """Removes a file."""
    file.unlink()


def fill(file: Path, _: Path, chance: random.Random) -> None:
    """Replaces what is in a file."""
    file.write_bytes(chance.choice((b"", b"\0" * 100, b"[" * 10**5, b"\xff\xfe", b"null", b"{}", b"1" * 5000)))


NO_OBJECT = (AttributeError, IndexError, OSError, RecursionError, TypeError, ValueError)
"""What reading a file raises that was changed before, and has no JSON object any more."""
FILE_CHANGES: tuple[Callable[[Path, Path, random.Random], None], ...] = (
    cut, swap, become_a_folder, become_a_pipe, become_a_link, vanish, fill,
)  # fmt: skip


def no_training(*_: object, **__: object) -> None:
    raise BenchmnistError("nothing is trained here")


@contextlib.contextmanager
def in_a_folder() -> Iterator[Path]:
    """Enters a temporary folder with a suite, in which nothing is trained."""
    kept = Path.cwd()
    with tempfile.TemporaryDirectory() as name, mock.patch.object(Retrainer, "_train", no_training):
        os.chdir(name)
        try:
            Path("suite.toml").write_text(SUITE, "utf-8")
            yield Path(name)
        finally:
            os.chdir(kept)


def attack(good: list[Path], seed: int, counts: Counter[str]) -> list[Failure]:
    """Mutates a copy of one of the good runs, and calls a third of the commands on it; returns what went wrong."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    run = good[0].parents[1] / "mutated" / "20261125-000000-ffff"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(chance.choice(good), run, symlinks=True)
    mutate(run, chance)
    failures = []
    for command in COMMANDS[seed % 3 :: 3]:
        names = {"RUN": str(run), "OTHER": str(good[-1])}
        start = time.monotonic()
        done = CliRunner().invoke(cli, [names.get(each, each) for each in command])
        seconds = time.monotonic() - start
        counts[f"exit {done.exit_code}"] += 1
        said = " ".join(command)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            where = traceback.extract_tb(done.exception.__traceback__)[-1]
            error = f"{type(done.exception).__name__}: {str(done.exception)[:120]}"
            failures.append(Failure(seed, said, f"{error} ({where.filename}:{where.lineno})"))
        elif done.exit_code == 2 and not re.fullmatch(r"(error: [^\n]{1,2000}\n)+", done.stderr):
            failures.append(Failure(seed, said, f"no error in a line: {done.stderr[:300]!r}"))
        elif seconds > 20:
            failures.append(Failure(seed, said, f"took {seconds:.0f} s"))
    return failures


def main() -> None:
    """Prints how the commands ended on so many mutated runs, and each failure."""
    first, number = int(sys.argv[2]) if len(sys.argv) > 2 else 0, int(sys.argv[1])
    counts, failures = Counter[str](), list[Failure]()
    os.environ.update(BENCHMNIST_DEVICE="cpu", COLUMNS="80", BENCHMNIST_RUN_EXECUTOR="inline")
    with in_a_folder() as folder:
        good = make_good_runs(folder)
        for seed in range(first, first + number):
            failures += attack(good, seed, counts)
    for failure in failures:
        print(f"{failure.seed}: {failure.command}: {failure.what}")  # noqa: T201
    print(f"{number} mutated runs, {counts.total()} commands: {dict(sorted(counts.items()))}")  # noqa: T201
    print(f"{len(failures)} failures")  # noqa: T201
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
