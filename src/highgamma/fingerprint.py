"""Which library modules a script depends on, and one fingerprint of all their texts.

Snakemake reruns a job when its parameters change, but does not look into the modules that its
script imports. A fingerprint among the parameters closes that gap: it changes when, and only
when, the script or a module of this package that it reaches by imports changes.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent


def fingerprint(script: str | Path) -> str:
    """SHA-256 (first 16 digits) over a script and every `highgamma` module it reaches."""
    digest = hashlib.sha256()
    for path in (Path(script), *modules(Path(script))):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def modules(script: str | Path) -> list[Path]:
    """Files of this package that `script` imports, directly or through one another, sorted.

    Imports inside functions count. `from highgamma import name` counts `name` when it is a
    module. A package's `__init__` counts with each of its modules.
    """
    reached: set[Path] = set()
    waiting = [Path(script)]
    while waiting:
        for name in _imported(waiting.pop()):
            for path in _files(name):
                if path not in reached:
                    reached.add(path)
                    waiting.append(path)
    return sorted(reached)


@cache
def _imported(path: Path) -> tuple[str, ...]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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
