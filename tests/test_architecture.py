"""The library's layers: imports run downward, no module is part of a circle, names are unique."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
PAGE = ROOT / "docs/architecture.md"

LAYERS = (
    "errors",
    "spelling",
    "registry",
    "sections",
    "store",
    "connection",
    "fetch",
    "scores",
    "models",
    "recording",
    "neural",
    "targets",
    "contamination",
    "quality",
    "embeddings",
    "catalogue",
    "encoding",
    "gain",
    "summary",
    "group",
    "timecourse",
    "compare",
    "report",
    "demo",
    "selftest.settings",
    "settings",
    "messages",
    "documentation",
    "selftest",
    "dataset",
    "provenance",
    "archive",
    "check",
    "workflow",
)
"""Modules and packages of `highgamma` from the bottom; each may import those before it."""

LONGEST_FUNCTION = 80
"""Most lines of a function, without its docstring."""

MODULES = {
    path.relative_to(SOURCE).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"):
    path
    for path in sorted((SOURCE / "highgamma").rglob("*.py"))
}  # fmt: skip

Definition = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


def for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def run_nodes(node: ast.AST) -> list[ast.AST]:
    """All nodes below, except what only a type checker reads."""
    found = []
    for child in ast.iter_child_nodes(node):
        if not for_types_only(child):
            found += [child, *run_nodes(child)]
    return found


@cache
def imports(module: str) -> frozenset[str]:
    """Modules that a module imports, at its top or in a function, and the packages around them.

    The packages around the module itself count where it imports a name of theirs.
    """
    direct: set[str] = set()
    for node in run_nodes(tree(module)):
        if isinstance(node, ast.Import):
            direct |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their package"
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            direct |= {name if name in MODULES else str(node.module) for name in full}
    around = {package for name in direct for package in packages(name)} - packages(module)
    return frozenset((direct | around) - {module})


def packages(module: str) -> set[str]:
    parts = module.split(".")
    return {".".join(parts[:depth]) for depth in range(1, len(parts))}


def own_imports(module: str) -> set[str]:
    """Modules of the library that a module imports; packages that import nothing don't matter."""
    return {name for name in imports(module) if name in MODULES and not is_bare(name)}


def is_bare(module: str) -> bool:
    """Whether a module is a package whose `__init__` imports nothing."""
    return MODULES[module].name == "__init__.py" and not imports(module)


def layer(module: str) -> int:
    """Position of the longest entry of `LAYERS` that holds the module."""
    name = module.removeprefix("highgamma.")
    entries = [entry for entry in LAYERS if f"{name}.".startswith(f"{entry}.")]
    assert entries, f"{module} has no layer"
    return LAYERS.index(max(entries, key=len))


def functions(module: str) -> list[Definition]:
    return [node for node in ast.walk(tree(module)) if isinstance(node, Definition)]


def n_lines(function: Definition) -> int:
    docstring = function.body[0] if ast.get_docstring(function) is not None else None
    lines = int(function.end_lineno or 0) - function.lineno + 1
    return lines - (int(docstring.end_lineno or 0) - docstring.lineno + 1 if docstring else 0)


@pytest.mark.parametrize("module", [module for module in MODULES if module != "highgamma"])
def test_imports_run_downward(module):
    upward = {name for name in own_imports(module) if layer(name) > layer(module)}
    assert not upward


def test_no_module_is_part_of_a_circle():
    circle = []
    try:
        TopologicalSorter({module: own_imports(module) for module in MODULES}).prepare()
    except CycleError as error:
        circle = error.args[1]
    assert circle == []


def test_no_class_name_is_used_twice():
    places = defaultdict(list)
    for module in MODULES:
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(module)
    assert {name: modules for name, modules in places.items() if len(modules) > 1} == {}


@pytest.mark.parametrize("module", MODULES)
def test_snakemake_is_known_to_its_own_package_only(module):
    if not module.startswith("highgamma.workflow"):
        assert not {name for name in imports(module) if name.split(".")[0] == "snakemake"}
        assert not {name for name in own_imports(module) if name.startswith("highgamma.workflow")}


def test_no_function_is_too_long():
    long = {
        f"{module.removeprefix('highgamma.')}.{function.name}"
        for module in MODULES
        for function in functions(module)
        if n_lines(function) > LONGEST_FUNCTION
    }
    assert long == set()


def test_every_script_has_its_rule():
    rules = {path.stem: path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk")}
    for path in (ROOT / "workflow/scripts").glob("*.py"):
        assert f"scripts/{path.name}" in rules[path.stem.split("_")[0]], path.name


def test_the_page_names_files_that_exist():
    named = re.findall(r"`([\w./]+/[\w./]*)`", PAGE.read_text())
    assert len(named) > 15
    missing = [
        name
        for name in named
        if not (ROOT / name).exists() and not (SOURCE / "highgamma" / name).exists()
    ]
    assert missing == []


def test_the_page_names_modules_that_exist():
    packages_and_modules = {name.split(".")[1] for name in MODULES if "." in name}
    for dotted in re.findall(r"`(\w+(?:\.\w+)+)`", PAGE.read_text()):
        name = f"highgamma.{dotted}"
        module, _, thing = name.rpartition(".")
        if dotted.split(".")[0] in packages_and_modules and name not in MODULES:
            assert thing in MODULES[module].read_text(), dotted
