"""What the documentation takes from declarations is current."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from highgamma import documentation

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "path", [*documentation.WHOLE, *documentation.PAGES], ids=lambda path: Path(path).name
)
def test_what_is_written_from_declarations_is_current(path: str) -> None:
    assert (ROOT / path).read_text() == documentation.current(ROOT)[ROOT / path], (
        "run `make reference`"
    )


def test_every_table_of_a_run_has_its_columns_on_the_page() -> None:
    page = (ROOT / "docs/files.md").read_text()
    parts = set(re.findall(r"<!-- columns: (\w+) -->", page))
    assert parts == {"scores", *documentation.TABLES}


def test_a_part_of_a_page_is_replaced_and_the_rest_stays() -> None:
    page = "before\n<!-- columns: missing -->\nold\n<!-- end -->\nafter <!-- a remark -->\n"
    lines = documentation.written(page).splitlines()
    assert lines[0] == "before" and lines[-1] == "after <!-- a remark -->"
    assert "old" not in lines and any(line.startswith("| `stage` |") for line in lines)
