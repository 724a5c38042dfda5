"""The documentation does what it says: its commands are run, its suites read, its output compared."""

from __future__ import annotations

import doctest
import importlib.util
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from markdown_it import MarkdownIt
from processes import NOT_OURS, OURS, pytest_in_a_process, python_in_a_process

from benchmnist.extensions import hookspecs
from benchmnist.extensions.registry import HOOKS, find_plugins
from benchmnist.preflight.prepare import prepare
from benchmnist.suites import pace
from benchmnist.suites.options import RunOptions
from benchmnist.suites.reader import load_suite
from benchmnist.testing import CHECKS, examine, subjects
from benchmnist.testing.checks import make
from benchmnist.training.data import default_data_root

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

    from click.testing import Result

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"(?P<before>[^\n]*)\n\n?```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
STORED_RUN = ROOT / "docs" / "runs" / "assignment4"


@dataclass(frozen=True)
class Block:
    kind: str
    text: str
    file: str | None  # of which it is the content: what the line before ends with, as `fair.toml`:


def blocks(page: Path) -> list[Block]:
    found = []
    for match in FENCE.finditer(page.read_text("utf-8")):
        named = re.search(r"`([\w./-]+\.\w+)`:$", match["before"])
        found.append(Block(match["kind"], match["text"], named[1] if named else None))
    return found


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Each command of a console block and the output that it is said to have."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


Run = Callable[..., subprocess.CompletedProcess[str]]


def readers(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a reader."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "BENCHMNIST_DATA": str(default_data_root()),
        "BENCHMNIST_RUN_JOBS": "1",  # other tests are run meanwhile
        "BENCHMNIST_TUNE_JOBS": "1",
        "BENCHMNIST_VERSUS_JOBS": "1",
        **environment,
    }


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command as a reader does."""
    env = readers(environment)
    return subprocess.run(["/bin/bash", "-c", command], env=env, capture_output=True, text=True, check=False)


def without_imports(invoke: Callable[..., Result]) -> Run:
    """As `shell`, but runs `benchmnist` and `pytest` where torch is imported already: it takes seconds."""

    def run(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        first, then, command = command.rpartition("; ")
        if then:
            shell(first, **environment)
        program, *arguments = shlex.split(command)
        if program not in ("benchmnist", "pytest") or re.search("[;|&<>]|--help", command):
            return shell(command, **environment)
        if program == "pytest":
            output = Path("pytest-output.txt")
            code = pytest_in_a_process(arguments, readers(environment), output)
            return subprocess.CompletedProcess(command, code, output.read_text("utf-8"), "")
        done = invoke(*arguments, env=readers(environment))
        return subprocess.CompletedProcess(command, done.exit_code, done.stdout, done.stderr)

    return run


def with_site(site: Path) -> Run:
    """As `shell`, but only its first `benchmnist` is a new process: the others have torch, and the site added."""
    started: set[str] = set()

    def run(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        program, *arguments = shlex.split(command)
        module = {"benchmnist": ["benchmnist"], "python": arguments[1:2]}.get(program, [])
        if module not in (["benchmnist"], ["pytest"]) or (program == "benchmnist" and "benchmnist" not in started):
            started.add(program)
            return shell(command, **environment)
        rest = arguments if program == "benchmnist" else [*NOT_OURS, *arguments[2:], *OURS]
        return python_in_a_process("-c", WITH_SITE, str(site), *module, *rest, environment=readers(environment))

    return run


WITH_SITE = """
import runpy, site, sys
_, added, *sys.argv = sys.argv
site.addsitedir(added)
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """The current folder, as a reader's: with the suites in it."""
    shutil.copytree(ROOT / "suites", tmp_path / "suites")
    shutil.copytree(ROOT / "docs" / "runs", tmp_path / "docs" / "runs")
    (tmp_path / "pyproject.toml").write_text("", "utf-8")
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_do_what_it_says(
    page: Path,
    workplace: Path,
    invoke: Callable[..., Result],
    pip_install: Callable[[Path], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if page.name == "tutorial-plugin.md":
        pytest.skip("it is followed in an environment of its own, below")
    # Where all fits into its budget, `versus` here does the least that it may, and not as much as fits.
    monkeypatch.setattr(pace, "LEVELS", pace.LEVELS[:1])
    here = without_imports(invoke)
    inline = {"BENCHMNIST_RUN_EXECUTOR": "inline", "BENCHMNIST_VERSUS_EXECUTOR": "inline"}
    if page.name in WANTS:  # which the processes of other executors would not find
        monkeypatch.syspath_prepend(pip_install(ROOT / "plugins" / WANTS[page.name]))
        inline["BENCHMNIST_TUNE_EXECUTOR"] = "inline"

    def as_a_reader(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return here(command, **inline) if "benchmnist versus" in command else shell(command, **environment)

    # Of a reader's processes the README's are enough: each is seconds of importing torch.
    if page.name == "README.md":
        follow(page, workplace, as_a_reader)
    else:
        follow(page, workplace, here, **inline)


WANTS = {"how-to-diagnostics.md": "benchmnist-diagnostics"}
"""The distribution that a reader of a page has installed."""

SMALLER = {
    "tutorial.md": {"BENCHMNIST_RUN_SEEDS": "1"},
    "tutorial-plugin.md": {"BENCHMNIST_RUN_SEEDS": "1"},
    "how-to-problems.md": {"BENCHMNIST_RUN_SET": "defaults.test_size=500"},
    "how-to-report.md": {"BENCHMNIST_RUN_SET": "defaults.train_size=20000"},
}
"""What trainings of a page are asked for beside, where the output that it shows does not depend on it."""


def follow(page: Path, workplace: Path, run: Run, **environment: str) -> None:
    """Does what a page says, from top to bottom."""
    checker = doctest.OutputChecker()
    smaller = SMALLER.get(page.name, {})
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    for block in blocks(page):
        if block.file:
            file = workplace / block.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, "utf-8")
        if block.kind == "console":
            for command, expected in commands(block):
                trains = "benchmnist run" in command and "--dry-run" not in command
                done = run(command, **(environment | smaller if trains else environment))
                said = done.stdout if done.returncode == 0 else done.stdout + done.stderr
                assert checker.check_output(expected, said, options), f"$ {command}\n{said}{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_suites_of_a_page_are_sound(
    page: Path, tmp_path: Path, pip_install: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    if page.name in ("tutorial-plugin.md", "how-to-track-throughput.md"):
        pytest.skip("its suite wants a plugin, and is tested with it")
    if page.name in WANTS:
        monkeypatch.syspath_prepend(pip_install(ROOT / "plugins" / WANTS[page.name]))
    for block in blocks(page):
        if block.kind == "toml" and "[[cases]]" in block.text:
            path = tmp_path / "suite.toml"
            path.write_text(block.text, "utf-8")
            assert prepare(path, RunOptions(device="cpu")).plan.cases


@pytest.mark.parametrize("suite", sorted((ROOT / "suites").glob("*.toml")), ids=lambda suite: suite.name)
def test_the_suites_that_come_along_are_sound(
    suite: Path, pip_install: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in load_suite(suite).needs:
        monkeypatch.syspath_prepend(pip_install(ROOT / "plugins" / name))
    # Its cases are many, and those of one optimizer are as those of another.
    optimizers = ("adam",) if suite.name == "where-it-breaks.toml" else None
    assert prepare(suite, RunOptions(device="cpu", optimizers=optimizers)).plan.cases


def test_the_page_for_python_runs_from_top_to_bottom(workplace: Path) -> None:
    """As it stands there, but for the size of what the suite trains on."""
    quick = workplace / "suites" / "quick.toml"
    quick.write_text(quick.read_text("utf-8").replace("epochs = 1", "epochs = 1\ntrain_size = 6000"), "utf-8")
    program = "\n".join(block.text for block in blocks(ROOT / "docs" / "python.md") if block.kind == "python")
    done = python_in_a_process("-c", program)
    assert done.returncode == 0, done.stderr
    title, *lines = done.stdout.splitlines()
    assert title == "MNIST: SGD and Adam, one epoch"
    assert re.fullmatch(r"mnist/fc/adam seed 1: [89]\d\.\d\d % in \d+\.\d s", lines[3])
    assert lines[-1].startswith("does not exist. Choose from: suites/assignment4")


@pytest.fixture
def fresh_environment(tmp_path: Path) -> dict[str, str]:
    """A virtual environment in which only what the tests were installed with is there already."""
    home = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    program = "import sysconfig; print(sysconfig.get_path('purelib'))"
    asked = subprocess.run([home / "bin" / "python", "-c", program], capture_output=True, text=True, check=True)
    ours = sysconfig.get_path("purelib")
    (Path(asked.stdout.strip()) / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n", "utf-8")
    script = home / "bin" / "benchmnist"
    # By way of the shell: a #! line takes no path that is long or has spaces.
    program = f'exec {shlex.quote(str(home / "bin" / "python"))} -m benchmnist "$@"'
    script.write_text(f"#!/bin/sh\n{program}\n", "utf-8")
    script.chmod(0o755)
    return {
        "PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PIP_NO_BUILD_ISOLATION": "0",  # which means that there is none: setuptools is there, a network may not be
        "PIP_NO_INDEX": "1",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }


def test_the_plugin_tutorial_is_followed_to_the_letter(
    tmp_path: Path, fresh_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "somewhere" / "new"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    environment = {**fresh_environment, "BENCHMNIST_RUN_EXECUTOR": "inline"}
    follow(ROOT / "docs" / "tutorial-plugin.md", folder, with_site(site), **environment)


def test_a_new_plugin_is_the_one_of_the_tutorial(invoke: Callable[..., Result], tmp_path: Path) -> None:
    written = invoke("new-plugin", "signsgd")
    assert written.exit_code == 0, written.stderr
    folder = tmp_path / "benchmnist-signsgd"
    page = {block.file: block.text for block in blocks(ROOT / "docs" / "tutorial-plugin.md") if block.file}
    files = {str(f.relative_to(folder)): f.read_text("utf-8") for f in folder.rglob("*") if f.is_file()}
    assert files.pop("README.md")
    assert files == page


HOOK_EXAMPLES = [block.text for block in blocks(ROOT / "docs" / "hooks.md") if block.kind == "python"]


PROBLEM_EXAMPLES = [b.text for b in blocks(ROOT / "docs" / "how-to-problems.md") if b.kind == "python"]


@pytest.mark.parametrize(
    "source",
    [*HOOK_EXAMPLES, *PROBLEM_EXAMPLES],
    ids=lambda text: re.findall(r"def (benchmnist_\w+)", text)[0],
)
def test_the_example_of_a_hook_runs(install_plugin: Callable[..., None], source: str) -> None:
    install_plugin("example", source)
    registry = find_plugins()
    (record,) = [plugin for plugin in registry.plugins if plugin.name == "example"]
    assert (record.error, record.notes) == (None, ())
    found = [offer for offers in registry.by_kind.values() for offer in offers if offer.plugin == record]
    assert found
    for offer in found:
        if offer.spec.name in registry.executors:  # it is the built-in one, which is examined elsewhere
            assert callable(offer.spec.load())
            continue
        (subject,) = subjects(offer.spec.name, registry)
        assert [outcome.said for outcome in examine(subject) if outcome.state == "missed"] == []


def test_the_executor_of_its_page_keeps_its_promises(install_plugin: Callable[..., None]) -> None:
    """Those that it does not leave to LocalExecutor, which keeps them in tests/executors."""
    (source,) = [b.text for b in blocks(ROOT / "docs" / "how-to-write-an-executor.md") if b.kind == "python"]
    install_plugin("fresh", source)
    (subject,) = [s for s in subjects("fresh", find_plugins()) if s.kind == "executor"]
    tried = ("starts", "tells-in-order", "survives-what-dies", "refuses-in-words")
    outcomes = [make(check, subject) for check in CHECKS["executor"] if check.name in tried]
    assert [(outcome.check.name, outcome.state, outcome.said) for outcome in outcomes] == [
        (name, "kept", "") for name in tried
    ]


def generator() -> ModuleType:
    """docs/generate.py."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_generated_is_up_to_date() -> None:
    generate = generator()
    for name, text in (
        ("hooks.md", generate.hooks_page()),
        ("../benchmnist/suites/suite.schema.json", generate.schema_file()),
        ("cli.md", generate.cli_page((ROOT / "docs" / "cli.md").read_text("utf-8"))),
    ):
        assert (ROOT / "docs" / name).read_text("utf-8") == text, "run `python docs/generate.py`"


def test_every_hook_is_documented_with_its_signature_and_an_example() -> None:
    text = (ROOT / "docs" / "hooks.md").read_text("utf-8")
    for name in HOOKS:
        returned = inspect.signature(getattr(hookspecs, name)).return_annotation
        assert f"@benchmnist.hookimpl\ndef {name}() -> {returned}: ...\n" in text
    assert len(HOOK_EXAMPLES) == len(HOOKS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_tables(page: Path) -> None:
    """A table whose lines were joined is text."""
    parser = MarkdownIt("commonmark").enable("table")
    inline = [token for token in parser.parse(page.read_text("utf-8")) if token.type == "inline"]
    texts = ["".join(child.content for child in token.children or () if child.type == "text") for token in inline]
    assert not [text for text in texts if re.search(r"\|\s*:?-{3}", text)]


def test_the_readme_opens_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    found = re.findall(r"^    (.+)$", text, re.MULTILINE)
    assert found[:2] == [
        "python -m pip install -c constraints.txt . && benchmnist run suites/assignment4.toml",
        'python -m pip install -c constraints.txt -e ".[test]" && python -m pytest',
    ]


def test_what_the_pages_have_of_the_stored_runs_is_what_is_made_of_them(
    invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    done = invoke("docs", "--check", "README.md", "docs")
    assert done.exit_code == 0, done.stderr
    checked = int(done.stderr.split()[0])
    there = sum(page.read_text("utf-8").count("\n<!-- benchmnist:start") for page in PAGES)
    shown_as_code = (ROOT / "docs" / "how-to-report.md").read_text("utf-8").count("\n<!-- benchmnist:start")
    measured = "".join(file.read_text("utf-8") for file in (ROOT / "tests" / "benchmarks").glob("*.py"))
    blocks_of_pages = re.findall(
        r"^<!-- benchmnist:start (\S+) -->", "".join(page.read_text("utf-8") for page in PAGES), re.MULTILINE
    )
    by_benchmarks = sum(f'"{name}"' in measured for name in blocks_of_pages)
    assert checked == there - shown_as_code - by_benchmarks  # none is kept by hand


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_reference_names_every_key_of_a_suite() -> None:
    from benchmnist.suites.schema import CASES, COMPARE, Header, Tune

    text = (ROOT / "docs" / "suites.md").read_text("utf-8")
    for key in {**Header.model_fields, **CASES.model_fields, **COMPARE.model_fields, **Tune.model_fields}:
        assert f"`{key}`" in text
