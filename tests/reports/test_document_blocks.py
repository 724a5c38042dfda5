"""Documents: what stands between the comments is replaced, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmnist.errors import BenchmnistError
from benchmnist.reports.document_blocks import read_document, replaced

FILE = Path("README.md")
BLOCK = "<!-- benchmnist:start{0} -->\n{1}<!-- benchmnist:end{0} -->\n"
# Any lines but such as have something to do with comments or fences, and any ends of lines.
PROSE = st.lists(
    st.tuples(
        st.text(st.characters(exclude_characters="\r\n`~<\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029", codec="utf-8")),
        st.sampled_from(["\n", "\r\n"]),
    )
).map(lambda lines: "".join(f"{line}{end}" for line, end in lines))
TABLE = st.from_regex(r"\A(\|[a-z `~<!-]*\|\n){1,5}\Z")


@given(PROSE, PROSE, TABLE, st.sampled_from(["", " speed", " a.b-c"]))
def test_only_the_block_changes_and_twice_is_as_good_as_once(
    before: str, after: str, table: str, name: str
) -> None:
    document = before + BLOCK.format(name, "old\n```\nstuff\n") + after
    once = replaced(document, table, name.strip(), FILE)
    assert once == before + BLOCK.format(name, f"\n{table}\n") + after
    assert replaced(once, table, name.strip(), FILE) == once


def test_a_document_of_windows_stays_one() -> None:
    document = BLOCK.format("", "").replace("\n", "\r\n")
    assert replaced(document, "| a |\n| b |\n", "", FILE) == (
        "<!-- benchmnist:start -->\r\n\r\n| a |\r\n| b |\r\n\r\n<!-- benchmnist:end -->\r\n"
    )


@pytest.mark.parametrize("fence", ["```", "~~~~", "```text"])
def test_what_is_shown_as_code_is_no_block(fence: str) -> None:
    example = f"{fence}\n{BLOCK.format('', '')}{fence.removesuffix('text')}\n"
    document = example + BLOCK.format("", "")
    assert replaced(document, "| a |", "", FILE) == example + BLOCK.format("", "\n| a |\n\n")
    with pytest.raises(BenchmnistError, match="Blocks in the file: none"):
        replaced(example, "| a |", "", FILE)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (
            "text\n",
            r"README\.md: no line <!-- benchmnist:start -->\. Blocks in the file: none\. Add that line, then",
        ),
        (BLOCK.format(" x", ""), r"no line <!-- benchmnist:start -->\. Blocks in the file: x\."),
        ("\n<!-- benchmnist:start -->\n", r"README\.md:2: the block has no end; add <!-- benchmnist:end -->"),
        ("<!-- benchmnist:end x -->\n", r"README\.md:1: this block has no start; add <!-- benchmnist:start x -->"),
        (
            "<!-- benchmnist:start -->\n" + BLOCK.format(" x", ""),
            r"README\.md:2: this block starts inside the block of line 1; add <!-- benchmnist:end --> before",
        ),
        (BLOCK.format(" x", "") * 2, r"README\.md:3: duplicate <!-- benchmnist:start x -->"),
        ("<!-- benchmnist:begin -->\n", r"README\.md:1: unknown comment benchmnist:begin; use benchmnist:start"),
    ],
)
def test_what_is_wrong_with_a_document_is_told_with_its_line(document: str, said: str) -> None:
    with pytest.raises(BenchmnistError, match=said):
        replaced(document, "| a |", "", FILE)


def test_a_document_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff")
    with pytest.raises(BenchmnistError, match=r"cannot read .*picture\.png"):
        read_document(tmp_path / "picture.png")
