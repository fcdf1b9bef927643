"""What the software declares is what it imports, in `pyproject.toml` and in `envs`."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))

NOT_IMPORTED = {
    "pymatreader": "MNE reads EEGLAB's files with it",
    "snakemake": "the command that runs the workflow",
    "snakemake-executor-plugin-cluster-generic": "Snakemake loads it by its name",
    "snakemake-executor-plugin-slurm": "Snakemake loads it by its name",
}

CONDA_NAMES = {
    "pytorch": "torch",
    "matplotlib-base": "matplotlib",
    "python-soundfile": "soundfile",
}
"""Packages whose name on conda-forge differs from the one on PyPI."""


def declared(requirements: list[str]) -> dict[str, Requirement]:
    return {canonicalize_name(r.name): r for r in map(Requirement, requirements)}


RUNTIME = declared(PROJECT["dependencies"])
EXTRAS = {name: declared(lines) for name, lines in PROJECT["optional-dependencies"].items()}


def imported(*folders: str) -> set[str]:
    """Names of the distributions that Python files import, at any level of the code."""
    modules: set[str] = set()
    for path in (p for folder in folders for p in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                modules.add(node.module.partition(".")[0])
    distributions = packages_distributions()
    return {
        canonicalize_name(distributions.get(module, [module])[0])
        for module in modules - set(sys.stdlib_module_names)
    }


def pinned() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text().split()
    pairs = (line.split("==") for line in lines)
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def test_every_import_is_declared():
    optional = set(EXTRAS["demo"]) | {"highgamma"}
    assert imported("src", "workflow") <= set(RUNTIME) | optional


@pytest.mark.parametrize("name", sorted(RUNTIME))
def test_every_dependency_is_imported_or_has_a_reason(name):
    assert (name in imported("src", "workflow")) is not (name in NOT_IMPORTED)


def test_every_dependency_is_pinned_to_a_version_that_is_allowed():
    versions = pinned()
    for requirements in (RUNTIME, *EXTRAS.values()):
        for name, requirement in requirements.items():
            assert requirement.specifier.contains(versions[name]), name


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_an_environment_names_declared_packages_in_their_pinned_versions(path):
    versions = pinned()
    for line in yaml.safe_load(path.read_text())["dependencies"]:
        if isinstance(line, dict):
            for name, requirement in declared(line["pip"]).items():
                assert requirement.specifier == EXTRAS["demo"][name].specifier
            continue
        name, _, version = line.partition(" =")
        if name == "python":
            assert SpecifierSet(PROJECT["requires-python"]).contains(f"{version}.0")
        elif name != "pip":
            name = canonicalize_name(CONDA_NAMES.get(name, name))
            assert name in RUNTIME
            assert re.match(rf"{re.escape(version)}(\.|$)", str(versions[name])), name
