"""The parts of the documentation that are written from declarations.

`python -m highgamma.documentation ROOT` writes them; a test keeps them current. docs/config.md,
docs/errors.md and the schema are written whole. In the other pages a part stands between two
comments, `<!-- columns: electrodes -->` and `<!-- end -->`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from highgamma import messages
from highgamma.embeddings.kinds import KINDS
from highgamma.encoding.columns import SCORE_COLUMNS
from highgamma.quality.columns import QUALITY_COLUMNS, QUALITY_FLAGS
from highgamma.settings import reference
from highgamma.summary.columns import TABLES as SUMMARY_TABLES

WHOLE: dict[str, Callable[[], str]] = {
    "docs/config.md": reference.reference,
    "docs/errors.md": messages.page,
    "workflow/schemas/config.schema.yaml": reference.schema_text,
}
"""Files that are written whole, from the root of the repository."""

PAGES = ("docs/files.md", "docs/models.md")
"""Pages with parts that are written."""

TABLES: dict[str, Callable[[], Mapping[str, Any]]] = {
    **SUMMARY_TABLES,
    "quality": lambda: QUALITY_COLUMNS,
}
"""The columns of each table, by the table's name."""

_PART = re.compile(r"<!-- (\w+): (\w+) -->\n.*?<!-- end -->", re.DOTALL)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def columns(name: str) -> str:
    """Return the columns of a table of a run, or the variables of a file of scores."""
    if name == "scores":
        return table(
            ("variable", "dimensions", "unit", "meaning"),
            (
                (f"`{c.name}`", ", ".join(c.dims) or "–", c.units, c.meaning)
                for c in SCORE_COLUMNS.values()
            ),
        )
    if name == "quality":
        return table(
            ("column", "unit", "meaning"),
            ((f"`{c.name}`", c.unit, c.meaning) for c in QUALITY_COLUMNS.values()),
        )
    return table(
        ("column", "meaning"), ((f"`{c.name}`", c.meaning) for c in TABLES[name]().values())
    )


def flags(name: str) -> str:
    """Return the flags of the table of quality."""
    return table(("flag", "meaning"), ((f"`{f.name}`", f.meaning) for f in QUALITY_FLAGS.values()))


def kinds(name: str) -> str:
    """Return the kinds of models with what they read, or the options of one kind."""
    if name == "all":
        return table(
            ("kind", "needs", "what it is"),
            ((f"`{k.name}`", ", ".join(k.needs), k.description) for k in KINDS.values()),
        )
    return table(
        ("key", "meaning", "default"),
        (
            (f"`{key}`", option.meaning, "required" if option.required else _shown(option.default))
            for key, option in KINDS[name].options.items()
        ),
    )


def _shown(value: object) -> str:
    return "–" if value is None or value == {} else f"`{json.dumps(value).strip(chr(34))}`"


PARTS: dict[str, Callable[[str], str]] = {"columns": columns, "flags": flags, "kinds": kinds}
"""What a part of a page shows, by the first word of its comment."""


def written(page: str) -> str:
    """Return a page with its generated parts up to date."""

    def part(match: re.Match[str]) -> str:
        kind, name = match.groups()
        return f"<!-- {kind}: {name} -->\n{PARTS[kind](name)}<!-- end -->"

    return _PART.sub(part, page)


def current(root: Path) -> dict[Path, str]:
    """Return what every file that has written parts should hold."""
    files = {root / path: text() for path, text in WHOLE.items()}
    return files | {root / p: written((root / p).read_text(encoding="utf-8")) for p in PAGES}


if __name__ == "__main__":
    import sys

    for file, content in current(Path(sys.argv[1])).items():
        file.write_text(content, encoding="utf-8")
