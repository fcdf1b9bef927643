"""Every refusal and warning, as the library's own source states it, for docs/errors.md.

A refusal is an `InputError` (or `Unreachable`), a warning a line of a log or of `snakemake check`.
What is filled in when it happens stands as `…`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent

REFUSALS = ("InputError", "Unreachable", "Problem")
"""Classes of refusals."""

PLACES = {"InputError": 0, "Unreachable": 0, "Problem": 1, "warning": 0, "warn": 1}
"""Which argument of a call is the message."""

_FILLED = re.compile(r"%[-+.0-9]*[a-z]")

INTRODUCTION = """\
# What is refused, and what is warned of

A refusal ends a stage, or appears in `snakemake check` before any stage runs. It says what was
found, where, what was expected, and what to do. A warning stands in the log of its stage
(`results/<run>/logs/`), and in the check where it can be known before. `…` stands for names and
numbers of the case.

This page is written from the source: `make reference`.
"""


@dataclass(frozen=True, slots=True)
class Message:
    """A refusal or warning: its text, what was expected, and what to do, where they are stated."""

    package: str
    refusal: bool
    text: str
    expected: str
    remedy: str


def messages(source: Path = SOURCE) -> list[Message]:
    """Return all messages, by package and text."""
    found = {
        message
        for path in sorted(source.rglob("*.py"))
        for message in _of_module(path, path.relative_to(source).parts[0].removesuffix(".py"))
    }
    return sorted(found, key=lambda m: (m.package, not m.refusal, m.text, m.expected, m.remedy))


def _of_module(path: Path, package: str) -> Iterator[Message]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        place = PLACES.get(name)
        if place is None:
            continue
        words = {k.arg: _text(k.value) for k in node.keywords if k.arg}
        text = _text(node.args[place]) if len(node.args) > place else words.get("message", "")
        if text.strip("… "):
            expected, remedy = (words.get(key, "") for key in ("expected", "remedy"))
            yield Message(package, name in REFUSALS, text, expected, remedy)


def _text(node: ast.expr) -> str:
    """Return a text as it is written, with `…` for what is filled in."""
    if isinstance(node, ast.Constant):
        return _FILLED.sub("…", node.value) if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(v) if isinstance(v, ast.Constant) else "…" for v in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.IfExp):
        return " / ".join(filter(None, dict.fromkeys([_text(node.body), _text(node.orelse)])))
    return "…"


def page() -> str:
    """Return docs/errors.md."""
    every = messages()
    parts = [INTRODUCTION]
    for package in dict.fromkeys(message.package for message in every):
        parts.append(f"\n## {package}\n")
        for refusal, head in ((True, "refused"), (False, "warned of")):
            here = [m for m in every if m.package == package and m.refusal == refusal]
            if here:
                rows = [[head, "expected", "what to do"], ["---"] * 3]
                rows += [[_cell(t) for t in (m.text, m.expected, m.remedy)] for m in here]
                parts += ["\n", *(f"| {' | '.join(row)} |\n" for row in rows)]
    return "".join(parts)


def _cell(text: str) -> str:
    line = " ".join(re.sub("…+", "…", text).split())
    return line.replace("|", "\\|").replace("<", "&lt;") or "–"
