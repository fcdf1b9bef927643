"""Which library modules a script depends on, and one fingerprint of all their code.

Snakemake reruns a job when its parameters change, but does not look into the modules that its
script imports. A fingerprint among the parameters closes that gap: it changes when, and only
when, the script or a module of this package that it reaches by imports does something else.
Comments, docstrings and layout do nothing, and so change nothing.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_SILENT = ("ctx", "kind", "type_comment")


def fingerprint(script: str | Path) -> str:
    """SHA-256 (first 16 digits) over a script and every `highgamma` module it reaches."""
    digest = hashlib.sha256()
    for path in (Path(script), *modules(Path(script))):
        digest.update(path.name.encode())
        digest.update(_read(path)[0].encode())
    return digest.hexdigest()[:16]


def modules(script: str | Path) -> list[Path]:
    """Files of this package that `script` imports, directly or through one another, sorted.

    Imports inside functions count. `from highgamma import name` counts `name` when it is a
    module. A package's `__init__` counts with each of its modules.
    """
    reached: set[Path] = set()
    waiting = [Path(script)]
    while waiting:
        for name in _read(waiting.pop())[1]:
            for path in _files(name):
                if path not in reached:
                    reached.add(path)
                    waiting.append(path)
    return sorted(reached)


@cache
def _parsed(text: str) -> tuple[str, tuple[str, ...]]:
    """What a module's text does, and the names of this package that it imports."""
    tree = ast.parse(text)
    return code(tree), _imported(tree)


def _read(path: Path) -> tuple[str, tuple[str, ...]]:
    return _parsed(path.read_text(encoding="utf-8"))


def code(node: object) -> str:
    """What a syntax tree does, as text: no comments, positions or docstrings.

    Fields that are empty are left out: a newer Python adds some, and means nothing by it.
    """
    if isinstance(node, list):
        return f"[{','.join(map(code, node))}]"
    if not isinstance(node, ast.AST):
        return ascii(node)
    parts = [type(node).__name__]
    for name in node._fields:
        value = getattr(node, name, None)
        if name == "body" and isinstance(node, _DOCUMENTED) and ast.get_docstring(node, False):
            value = node.body[1:]
        elif name in _SILENT or ((value is None or value == []) and name != "value"):
            continue
        parts.append(f"{name}={code(value)}")
    return f"({' '.join(parts)})"


def _imported(tree: ast.Module) -> tuple[str, ...]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(n for n in names if n.split(".")[0] == PACKAGE.name)


def _files(name: str) -> list[Path]:
    """The files that importing a dotted name of this package executes."""
    found: list[Path] = []
    folder = PACKAGE
    for part in name.split(".")[1:]:
        module, package = folder / f"{part}.py", folder / part / "__init__.py"
        if package.is_file():
            found.append(package)
            folder = folder / part
        elif module.is_file():
            return [*found, module]
        else:
            break
    return found
