"""A fingerprint changes with the modules that a script reaches, and with no others."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from highgamma.workflow import fingerprint

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "workflow/scripts").glob("*.py"))


def names(script: Path) -> set[str]:
    found = fingerprint.modules(script)
    return {str(p.relative_to(fingerprint.PACKAGE)) for p in found}


def test_imports_are_followed_through_functions_and_modules(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("def f():\n    from highgamma.demo.settings import DemoSettings\n")
    assert names(script) == {
        *("demo/__init__.py", "demo/settings.py", "sections.py", "registry.py", "errors.py"),
    }


def test_text_of_a_reached_module_counts_and_of_others_does_not(tmp_path, monkeypatch):
    package = tmp_path / "highgamma"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "used.py").write_text("A = 1\n")
    (package / "unused.py").write_text("B = 1\n")
    monkeypatch.setattr(fingerprint, "PACKAGE", package)
    script = tmp_path / "script.py"
    script.write_text("from highgamma.used import A\n")
    before = fingerprint.fingerprint(script)
    (package / "unused.py").write_text("B = 2\n")
    assert fingerprint.fingerprint(script) == before
    (package / "used.py").write_text("A = 2\n")
    assert fingerprint.fingerprint(script) != before


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_every_module_that_a_script_loads_from_the_package_is_found(script):
    """What Python itself loads for the script's imports is part of the fingerprint."""
    imports = [
        line.strip()
        for line in script.read_text().splitlines()
        if line.strip().startswith(("from highgamma", "import highgamma")) and "(" not in line
    ]
    program = (
        "import sys\n" + "\n".join(imports) + "\n"
        "print(*[m.__file__ for n, m in sys.modules.items() if n.startswith('highgamma.')],"
        " sep='\\n')"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    found = {str(p) for p in fingerprint.modules(script)}
    assert set(loaded) <= found


PLAIN = """
def f(x, *, low=1.5):
    return {**x, None: f"{low!r:>{3}}", "é": b"\\x00"}
"""


@pytest.mark.parametrize(
    "same",
    [
        '"""What it is for."""\n' + PLAIN,
        PLAIN.replace("    return", '    """Why."""\n    # because\n\n    return'),
        PLAIN.replace("x, *, low=1.5", "\n    x,\n    *,\n    low = 1.50,\n"),
    ],
    ids=["docstring of the module", "docstring and comment", "layout"],
)
def test_comments_docstrings_and_layout_change_no_fingerprint(tmp_path, same):
    script = tmp_path / "script.py"
    script.write_text(PLAIN)
    before = fingerprint.fingerprint(script)
    script.write_text(same)
    assert fingerprint.fingerprint(script) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("1.5", "1.6"),
        ("1.5", '"1.5"'),
        ("low", "high"),
        ("return", "yield"),
        ("*, ", ""),
        ("None", "0"),
        ("{low!r:>{3}}", "{low!r:>3}"),
        ("é", "e"),
        ("    return", "    x\n    return"),
    ],
)
def test_every_other_edit_changes_the_fingerprint(tmp_path, old, new):
    script = tmp_path / "script.py"
    script.write_text(PLAIN)
    before = fingerprint.fingerprint(script)
    script.write_text(PLAIN.replace(old, new))
    assert fingerprint.fingerprint(script) != before


def test_what_is_kept_from_the_last_call_gives_the_same_and_saves_the_parsing(
    tmp_path, monkeypatch
):
    script = SCRIPTS[0]
    expected = fingerprint.fingerprint(script)
    kept = tmp_path / "kept/sources.json"
    sources = fingerprint.Sources(kept)
    assert fingerprint.fingerprint(script, sources) == expected
    sources.keep()

    def parsed(text: str) -> None:
        raise AssertionError("a text that is known was parsed")

    with monkeypatch.context() as patched:
        patched.setattr(fingerprint, "_parsed", parsed)
        assert fingerprint.fingerprint(script, fingerprint.Sources(kept)) == expected
    # An edit is seen although the rest is known.
    edited = tmp_path / script.name
    edited.write_text(script.read_text() + "\nprint()\n")
    assert fingerprint.fingerprint(edited, fingerprint.Sources(kept)) != expected


@pytest.mark.parametrize("spoil", ["", "{", "[]", '{"by": 1}', "older"])
def test_a_kept_file_that_is_damaged_or_of_another_version_is_made_anew(tmp_path, spoil):
    script = SCRIPTS[0]
    expected = fingerprint.fingerprint(script)
    kept = tmp_path / "sources.json"
    first = fingerprint.Sources(kept)
    fingerprint.fingerprint(script, first)
    first.keep()
    whole = kept.read_text()
    older = json.loads(whole)
    older["by"] = "another version"
    older["texts"] = {key: ["0" * 64, []] for key in older["texts"]}
    kept.write_text(json.dumps(older) if spoil == "older" else spoil)
    again = fingerprint.Sources(kept)
    assert fingerprint.fingerprint(script, again) == expected
    again.keep()
    assert kept.read_text() == whole


def test_where_nothing_can_be_written_nothing_is_kept_and_nothing_fails(tmp_path):
    (tmp_path / "file").write_text("")
    sources = fingerprint.Sources(tmp_path / "file/sources.json")
    found = fingerprint.fingerprint(SCRIPTS[0], sources)
    sources.keep()
    assert found == fingerprint.fingerprint(SCRIPTS[0], fingerprint.Sources(tmp_path / "kept.json"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == ""


def test_a_newer_python_reads_the_same_fingerprint():
    """Fields that Python 3.12 added are empty in older code, and are left out."""
    assert fingerprint.code(ast.parse("def f(): pass")) == (
        "(Module body=[(FunctionDef name='f' args=(arguments) body=[(Pass)])])"
    )
