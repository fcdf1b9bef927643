"""Every refusal and warning of docs/errors.md is named in a test of the package that states it.

Tests run in several processes, and many run the workflow in others, so that what they raise cannot
be counted. Their texts can: a test names a message if one of its strings (what `match` looks for,
or what is looked for in a log) fits into the message, word by word, and into no other message of
the package so well.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from highgamma import messages

TESTS = Path(__file__).parent

LEAST = 2008
"""Two words with eight letters of a message, as `fit` counts them, that a test has to name."""

ANY = "…"
"""What is filled in."""


class Named(NamedTuple):
    """A message of a package."""

    package: str
    text: str


FEW_WORDS = "too few words to tell it from others; the tests name the key, the value or the remedy"

WITHOUT_TEST: dict[str, str] = {
    "compare: only in …: …": FEW_WORDS,
    "models: the … is …": FEW_WORDS,
    "registry: unknown … ……": FEW_WORDS,
    "sections: … is …": FEW_WORDS,
    "sections: … is ……": FEW_WORDS,
}
"""Messages that no test names, as `package: text`, and why."""


def test_every_message_is_named_by_a_test() -> None:
    every = {Named(m.package, m.text) for m in messages.messages()}
    lacking = sorted(f"{m.package}: {' '.join(m.text.split())}" for m in every - claimed())
    assert [text for text in lacking if text not in WITHOUT_TEST] == []
    assert [text for text in WITHOUT_TEST if text not in lacking] == [], "these have a test"


def test_a_text_fits_into_a_message_word_by_word() -> None:
    message = words(f"the {ANY} cannot be read: {ANY}, of {ANY} files")
    assert fit(words("cannot be read"), message) == 3 * 1000 + len("cannotberead")
    assert fit(words("the 'big table' cannot be read: no, of 3"), message) > 4000
    assert fit(words("table cannot be"), message) == 2 * 1000 + len("cannotbe")
    assert fit(words(f"cannot {ANY} files"), message) == 2 * 1000 + len("cannotfiles")
    assert fit(words("but cannot"), words("nobody cannot")) == 0
    assert fit(words("cannot be written"), message) == 0


def words(text: str) -> list[str]:
    """Return the words of a text, without punctuation; one that is filled in is `…`."""
    apart = re.sub(f"{ANY}+s?", f" {ANY} ", text).split()
    return [word for word in (word.strip(".,:;()[]'\"`") for word in apart) if word]


def fit(claim: list[str], message: list[str]) -> int:
    """Return how well a text fits into a message: 1000 for each word they share, 1 for each letter.

    It is 0 if the text, from its first word to its last, is not a part of the message; what is
    filled in, on either side, is any number of words.
    """

    @cache
    def rest(i: int, j: int) -> int:
        if i == len(claim):
            return 0
        if j == len(message):
            return -(10**6) if claim[i] != ANY else rest(i + 1, j)
        if claim[i] == ANY or message[j] == ANY:
            return max(rest(i + 1, j), rest(i, j + 1))
        return 1000 + len(claim[i]) + rest(i + 1, j + 1) if claim[i] == message[j] else -(10**6)

    return max(0, *(rest(0, j) for j in range(len(message)))) if message else 0


def claimed() -> set[Named]:
    """Return the messages that tests name, each with its package."""
    every = {
        Named(m.package, m.text): [words(part) for part in m.text.split(" / ")]
        for m in messages.messages()
    }
    found: set[Named] = set()
    for path in sorted(TESTS.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        near = packages(tree)
        for text in strings(tree) if path != Path(__file__) else ():
            claim = words(text)
            fits = {
                message: max(fit(claim, part) for part in parts)
                for message, parts in every.items()
                if any(len(set(part) & set(claim) - {ANY}) > 1 for part in parts)
            }
            found |= best(fits)
            for package in near:
                found |= best({m: v for m, v in fits.items() if m.package == package})
    return found


def best(fits: dict[Named, int]) -> set[Named]:
    """Return the message that a text fits best, if it is one and fits well.

    A message all of whose words are in the text comes before those with further words.
    """
    most = max(fits.values(), default=0)
    fitting = [message for message, value in fits.items() if value == most]
    if len(fitting) > 1:
        fitting = [m for m in fitting if fit(of := words(m.text), of) == most]
    return set(fitting) if len(fitting) == 1 and most >= LEAST else set()


def strings(tree: ast.AST) -> Iterator[str]:
    """Yield the strings of a test file, apart from docstrings and what must not be in a text."""
    left_out = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) or (
            isinstance(node, ast.Compare) and any(isinstance(op, ast.NotIn) for op in node.ops)
        ):
            part = node.value if isinstance(node, ast.Expr) else node.left
            if isinstance(part, ast.Constant | ast.JoinedStr):
                left_out |= {id(inner) for inner in ast.walk(part)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            left_out |= {id(value) for value in node.values}
            if id(node) not in left_out:
                parts = (v.value if isinstance(v, ast.Constant) else ANY for v in node.values)
                yield plain("".join(map(str, parts)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = "" if id(node) in left_out else plain(node.value)
            if " " in text:
                yield text


def plain(pattern: str) -> str:
    """Return what a regular expression looks for, with `…` for what may be anything."""
    return re.sub(r"\\(\W)", r"\1", re.sub(r"\.[*+]\??|\\[dw]\+?", f" {ANY} ", pattern))


def packages(tree: ast.AST) -> set[str]:
    """Return the packages of the library that a test file imports, at any level."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in found if name.startswith("highgamma.")}
