"""What the documentation takes from declarations is current."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from highgamma import documentation, messages

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


def test_every_refusal_and_warning_is_on_the_page_of_errors(tmp_path: Path) -> None:
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage/a.py").write_text(
        'def f(n, path):\n'
        '    if n:\n'
        '        raise InputError(f"{n} rows are bad" + ", and more", where=path,\n'
        '            expected="good ones", remedy="correct the table")\n'
        '    LOG.warning("%s has %d rows", path, n)\n'
        '    problems.warn(path, "odd" if n else "even")\n'
    )  # fmt: skip
    found = messages.messages(tmp_path)
    assert [(m.refusal, m.text, m.expected, m.remedy) for m in found] == [
        (True, "… rows are bad, and more", "good ones", "correct the table"),
        (False, "odd / even", "", ""),
        (False, "… has … rows", "", ""),
    ]
    every = messages.messages()
    assert len(every) > 300
    page = (ROOT / "docs/errors.md").read_text()
    assert "the words were found by their voice, and the model reads how they are spelled" in page
    assert page.count("\n| ") > len(every)
