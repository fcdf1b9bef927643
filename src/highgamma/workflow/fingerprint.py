"""The modules that a script depends on, and one fingerprint of all their code.

Snakemake reruns a job when its parameters change, but does not look into the modules that its
script imports. A fingerprint among the parameters closes that gap: it changes when, and only
when, the code of the script, or of a module of this package that it imports, changes. Comments,
docstrings and layout do not change it.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
ALL_MODULES = "."
"""Name for all modules of a package whose `__init__` has a registry that imports them."""
_SILENT = ("ctx", "kind", "type_comment")


def fingerprint(script: str | Path, sources: Sources | None = None) -> str:
    """Return a fingerprint of a script and of every `highgamma` module that it imports.

    Parameters
    ----------
    script
        The script.
    sources
        Source files that were read before; None reads them again.

    Returns
    -------
    digits
        The first 16 hexadecimal digits of a SHA-256.
    """
    sources = sources or Sources()
    digest = hashlib.sha256()
    for path in (Path(script), *modules(script, sources)):
        digest.update(path.name.encode())
        digest.update(sources.read(path)[0].encode())
    return digest.hexdigest()[:16]


def modules(script: str | Path, sources: Sources | None = None) -> list[Path]:
    """Return the files of this package that a script imports, directly or indirectly, sorted.

    Imports inside functions count. `from highgamma import name` counts `name` when it is a
    module. A package's `__init__` counts with each of its modules.
    """
    sources = sources or Sources()
    reached: set[Path] = set()
    waiting = [Path(script)]
    while waiting:
        for path in sources.read(waiting.pop())[1]:
            if path not in reached:
                reached.add(path)
                waiting.append(path)
    return sorted(reached)


class Sources:
    """The current scripts and modules; each file is read once.

    Parameters
    ----------
    kept
        A file that caches the analysis of each text, by its SHA-256, between processes: every job
        of a cluster first computes all fingerprints. A damaged file is recreated.
    """

    def __init__(self, kept: Path | None = None) -> None:
        self._kept = kept
        self._by = f"{_sha256(Path(__file__).read_text('utf-8'))} {sys.version_info[:2]}"
        self._known: dict[str, tuple[str, list[str]]] = {}
        self._read: dict[Path, tuple[str, list[Path]]] = {}
        self._grown = False
        with suppress(OSError, ValueError, TypeError, LookupError, AttributeError):
            content = json.loads(kept.read_text("utf-8")) if kept else {}
            if content.get("by") == self._by:
                self._known = {str(k): (str(v[0]), list(v[1])) for k, v in content["texts"].items()}

    def read(self, path: Path) -> tuple[str, list[Path]]:
        """Return the SHA-256 of a file's code, and the files of this package that it imports."""
        if path not in self._read:
            text = path.read_text(encoding="utf-8")
            key = _sha256(text)
            if key not in self._known:
                self._known[key] = _parsed(text)
                self._grown = True
            does, names = self._known[key]
            files = [file for name in names for file in _files(name)]
            if ALL_MODULES in names:
                files += sorted(p for p in path.parent.glob("*.py") if p != path)
            self._read[path] = does, files
        return self._read[path]

    def keep(self) -> None:
        """Write new results to the cache; if it cannot be written, they are lost."""
        from highgamma.errors import InputError
        from highgamma.store import written_whole

        if self._kept is not None and self._grown:
            with suppress(OSError, InputError), written_whole(self._kept) as temporary:
                temporary.write_text(json.dumps({"by": self._by, "texts": self._known}), "utf-8")


@cache
def _parsed(text: str) -> tuple[str, list[str]]:
    """Return the SHA-256 of a module's code, and the names of this package that it imports."""
    tree = ast.parse(text)
    return _sha256(code(tree)), _imported(tree)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def code(node: object) -> str:
    """Return the code of a syntax tree as text, without comments, positions and docstrings.

    Empty fields are left out, since newer versions of Python add some.
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


def _imported(tree: ast.Module) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and _is_registry_of_a_package(node):
            names.append(ALL_MODULES)
    return sorted({n for n in names if n == ALL_MODULES or n.split(".")[0] == PACKAGE.name})


def _is_registry_of_a_package(call: ast.Call) -> bool:
    """Return whether a call creates a `Registry` that imports the modules of its package."""
    function = call.func.value if isinstance(call.func, ast.Subscript) else call.func
    return (
        isinstance(function, ast.Name)
        and function.id == "Registry"
        and any(keyword.arg == "package" for keyword in call.keywords)
    )


def _files(name: str) -> list[Path]:
    """Return the files that are executed when a dotted name of this package is imported."""
    files: list[Path] = []
    folder = PACKAGE
    for part in name.split(".")[1:]:
        module, package = folder / f"{part}.py", folder / part / "__init__.py"
        if package.is_file():
            files.append(package)
            folder = folder / part
        elif module.is_file():
            return [*files, module]
        else:
            break
    return files
