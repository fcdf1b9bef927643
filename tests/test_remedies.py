"""Every setting that a message names exists, and takes the value that the message recommends.

The texts are found in the syntax trees of the whole library: all string constants but docstrings.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from highgamma import settings
from highgamma.embeddings.kinds import KINDS
from highgamma.models.places import SOURCES

SOURCE = Path(__file__).parents[1] / "src/highgamma"
SCHEMA = settings.schema()
SECTIONS = [name for name, part in SCHEMA["properties"].items() if "object" in str(part)]

VALUE = r"\[[^\]{}]*\]|\{[^{}]*\}|[A-Za-z0-9][\w.+-]*"
DOTTED = re.compile(rf"(?<![/\w])({'|'.join(SECTIONS)})((?:\.[a-z_0-9]+)+)(?:: ({VALUE}))?")
"""A setting by its path, such as `dataset.words.column`, perhaps with a value."""
SHARED = re.compile(r"^(analyses|contamination|neural|dataset): ([a-z_, ]+)$")
"""Where a message says `analyses: folds, gap`."""
PAIR = re.compile(rf"(?<![.\w…])([a-z][a-z_0-9]*): ({VALUE})")
"""A key with its value, such as `permutations: 0`."""
PROSE = {"a", "an", "the", "their", "as", "it", "only"}
"""Words after a colon that begin a clause."""


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every string constant that is not a docstring; `…` for what is filled in."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented: set[int] = set()
    inside: set[int] = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else []:
            if isinstance(statement, ast.Expr):
                documented.add(id(statement.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [v.value if isinstance(v, ast.Constant) else "…" for v in node.values]
            inside |= {id(v) for v in node.values}
            yield node.lineno, "".join(map(str, parts))
    for node in ast.walk(tree):
        text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if text and id(node) not in documented | inside:
            yield node.lineno, node.value


def schemas_of(key: str, schema: Any = SCHEMA) -> Iterator[Any]:
    """The schemas of every setting of this name, wherever it is."""
    if not isinstance(schema, dict):
        return
    for name, part in schema.get("properties", {}).items():
        if name == key:
            yield part
        yield from schemas_of(key, part)
    yield from schemas_of(key, schema.get("additionalProperties"))
    for part in schema.get("oneOf", []):
        yield from schemas_of(key, part)


def at(path: list[str], schema: Any = SCHEMA) -> list[Any]:
    """The schemas that a path of keys leads to, some of which may be names that users choose."""
    if not path:
        return [schema]
    choices = [schema, *schema.get("oneOf", [])]
    inside = [c["properties"][path[0]] for c in choices if path[0] in c.get("properties", {})]
    reached = [part for schema in inside for part in at(path[1:], schema)]
    further = [c["additionalProperties"] for c in choices if c.get("additionalProperties")]
    # A message may leave out the name between `signals` or `analyses` and a key.
    for entries in further:
        if isinstance(entries, dict):
            reached += at(path[1:], entries) + at(path, entries)
    return reached


def accepted(key: str, value: Any) -> bool:
    """Whether any setting or option of a kind of this name takes the value."""
    if any(Draft202012Validator(part).is_valid(value) for part in schemas_of(key)):
        return True
    if key == "source" and isinstance(value, dict):
        return set(value) <= set(SOURCES)
    options = [kind.options[key] for kind in KINDS.values() if key in kind.options]
    return any(not option.problems(key, value) for option in options)


def is_setting(key: str) -> bool:
    named = any(True for _ in schemas_of(key))
    return named or any(key in kind.options for kind in KINDS.values())


def problems(path: Path) -> list[str]:
    found = []
    for line, text in texts(path):
        where = f"{path.relative_to(SOURCE)}:{line}: {text!r}"
        for section, keys, written in DOTTED.findall(text):
            parts = at([section, *keys.strip(".").split(".")])
            if not parts:
                found.append(f"{where}: there is no {section}{keys}")
            elif written and written not in PROSE and not text.startswith(section):
                value = yaml.safe_load(written.rstrip("."))
                if not any(Draft202012Validator(part).is_valid(value) for part in parts):
                    found.append(f"{where}: {section}{keys} does not take {written}")
        shared = SHARED.match(text)
        if shared:
            found += [
                f"{where}: there is no {shared[1]}.{key}"
                for key in re.split(r",\s*", shared[2])
                if not at([shared[1], *(["name"] if shared[1] == "analyses" else []), key])
            ]
            continue
        for pair in PAIR.finditer(text):
            key, written = pair.groups()
            # A text that begins with a key says what is wrong with it.
            section = key in SECTIONS and not written.startswith("{")
            if (
                section
                or pair.start() == 0
                or written in PROSE
                or "…" in written
                or not is_setting(key)
            ):
                continue
            if not accepted(key, yaml.safe_load(written.rstrip("."))):
                found.append(f"{where}: {key} does not take {written}")
    return found


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_the_settings_that_messages_name_exist_and_take_what_they_recommend(path: Path) -> None:
    assert problems(path) == []


def test_a_remedy_that_the_schema_refuses_is_found(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(f"{__name__}.SOURCE", tmp_path)
    (tmp_path / "module.py").write_text(
        "A = 'set dataset.words: none'\n"
        "B = f'{x}: use context: recording'\n"
        "C = 'set dataset.wrods, or permutations: 0'\n"
        "D = dict(where='analyses: folds, gapp')\n"
    )
    said = "\n".join(problems(tmp_path / "module.py"))
    assert "dataset.words does not take none" in said and "context does not take recording" in said
    assert "no dataset.wrods" in said and "no analyses.gapp" in said
    assert "permutations" not in said.replace("or permutations: 0'", "")
