"""One file from which another lab can run a study again, and compare.

It holds the code, the configuration and the results, and names the rest (recordings, models,
intermediate files) with size and SHA-256. Same content, same bytes: no clock time, names in order.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from highgamma import models as model_store
from highgamma import store
from highgamma.errors import InputError
from highgamma.provenance import HIDDEN, sources

CODE = (
    *("Snakefile", "src", "workflow", "profiles", "envs", "docs"),
    *("config/models.yaml", "config/models.lock.yaml", "config/config.yaml", "config/README.md"),
    *("constraints.txt", "pyproject.toml", "Makefile", "README.md", "CHANGELOG.md"),
    *("LICENSE", "CITATION.cff"),
)
"""What runs the study, relative to the workflow's folder."""

LEFT_OUT = ("datasets", "demo", "models")
"""Folders of `resources` that are fetched or written again."""

FIGURES = "figures"
"""The one folder of the results that is archived; the files next to it are archived too."""

CONFIG = "config/archived.yaml"
DELIVERED = "delivered"
"""Where the results are in the archive, so that a new run doesn't overwrite them."""

MANIFEST = "MANIFEST.tsv"
README = "READ-ME-FIRST.md"


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """A file of the archive.

    Attributes
    ----------
    name
        Its name in the archive.
    path
        The file that is copied; None if `content` holds the bytes.
    content
        The bytes, if there is no `path`.
    """

    name: str
    path: Path | None = None
    content: bytes = b""

    def read(self) -> bytes:
        """Return the bytes."""
        return self.content if self.path is None else self.path.read_bytes()


def code_entries(workflow: str | Path) -> list[ArchivedFile]:
    """List the workflow, the library and the small resources, without caches."""
    base = Path(workflow)
    resources = sorted(
        f"resources/{path.name}"
        for path in (base / "resources").glob("*")
        if path.name not in LEFT_OUT
    )
    names = [name for name in (*CODE, *resources) if (base / name).exists()]
    missing = [name for name in ("Snakefile", "src", "workflow") if name not in names]
    if missing:
        raise InputError(
            f"the workflow's folder has no {missing[0]}",
            where=base,
            remedy="run `snakemake archive` from a complete checkout",
        )
    return [ArchivedFile(path.relative_to(base).as_posix(), path) for path in sources(base, names)]


def result_entries(results: str | Path) -> list[ArchivedFile]:
    """List tables, arrays, report, provenance and figures of a run."""
    base = Path(results)
    names = [path.name for path in base.glob("*") if path.is_file()] + [FIGURES]
    present = [name for name in sorted(names) if (base / name).exists()]
    return [
        ArchivedFile(f"{DELIVERED}/{path.relative_to(base).as_posix()}", path)
        for path in sources(base, present)
    ]


def transferable(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with folders of this machine replaced by folders of the archive.

    A data set at an absolute path is expected at `resources/datasets/<name>`, a model's folder or
    file at `resources/models/<name>`.
    """
    moved: dict[str, Any] = json.loads(json.dumps(config))
    moved["dataset"]["root"] = _moved(moved["dataset"]["root"], "resources/datasets")
    for entry in moved["catalogue"].values():
        for key in ("folder", "file"):
            if key in (entry.get("source") or {}) and "package" not in entry["source"]:
                entry["source"][key] = _moved(entry["source"][key], "resources/models")
    return moved


def _moved(path: str, folder: str) -> str:
    leads_out = Path(path).is_absolute() or path.startswith("~") or ".." in Path(path).parts
    return f"{folder}/{Path(path).name}" if leads_out else path


def manifest(
    entries: list[ArchivedFile], provenance: Mapping[str, Any], *, results: str | Path
) -> bytes:
    """Return a table of every file of the study: `where file size sha256`.

    `where` is `archive`, `data set` or `model` (to be fetched), or `results` (recomputed by the
    run).
    """
    rows = []
    for entry in entries:
        content = entry.read()
        rows.append(("archive", entry.name, str(len(content)), _sha256(content)))
    for name, file in provenance["data_set"]["files"].items():
        rows.append(("data set", name, str(file["size"]), str(file["sha256"])))
    for model, about in provenance["models"].items():
        for name, file in about["files"].items():
            rows.append(("model", f"{model}/{name}", str(file["size"]), str(file["sha256"])))
    base = Path(results)
    for path in _intermediate(base):
        name = f"results/{provenance['run']}/{path.relative_to(base).as_posix()}"
        rows.append(("results", name, str(path.stat().st_size), store.sha256(path)))
    table = io.StringIO()
    for row in [("where", "file", "size", "sha256"), *rows]:
        table.write("\t".join(row) + "\n")
    return table.getvalue().encode()


def _sha256(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()


def _intermediate(results: Path) -> Iterator[Path]:
    """Yield the intermediate files of the run: embeddings, envelopes, scores."""
    for folder in sorted(path for path in results.glob("*") if path.is_dir()):
        if folder.name not in (FIGURES, "logs", "benchmarks"):
            yield from sources(results, [folder.name])


def readme(provenance: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Return the archive's READ-ME: its content, and the commands that run the study again."""
    software, run = provenance["software"], provenance["run"]
    commit = software["commit"]
    version = f"highgamma {software['highgamma']}"
    if commit is not None:
        version += f", commit {commit['id']}" + (" with changes" if commit["modified"] else "")
    call = f"--configfile {CONFIG}"
    steps = [
        ("python3 -m venv .venv", f"Python {software['python']} was used"),
        (".venv/bin/pip install --constraint constraints.txt --editable '.[demo]'", ""),
    ]
    if config["dataset"]["source"]:
        steps.append((f".venv/bin/snakemake --cores 1 dataset {call}", "fetches the recordings"))
    if any(model_store.is_fetched(model["entry"]) for model in provenance["models"].values()):
        steps.append((f".venv/bin/snakemake --cores 1 models {call}", "fetches the models"))
    steps += [
        (
            f".venv/bin/snakemake --cores 1 check {call}",
            "lists what is missing, and estimates the cost",
        ),
        (f".venv/bin/snakemake --cores 4 {call}", f"ends in results/{run}/report.html"),
    ]
    width = max(len(command) for command, _ in steps)
    commands = [
        f"    {command.ljust(width)}  # {comment}" if comment else f"    {command}"
        for command, comment in steps
    ]
    lines = [
        f"# The run `{run}`, to be run again",
        "",
        f"Made by {version}.",
        "",
        f"`{DELIVERED}/` holds its tables, report and figures, `{DELIVERED}/provenance.json` where",
        f"they come from, `{CONFIG}` its configuration. To run it again, in this folder:",
        "",
        *commands,
        "",
        *_to_bring(provenance, config),
        f"`{MANIFEST}` has size and SHA-256 of every file in here, of every recording and model",
        "file that was read, and of every intermediate file of the run.",
        "",
        f"To compare: `{DELIVERED}/` with `results/{run}/`. The same packages on the same kind",
        "of processor give the same bytes; others may round sums differently.",
    ]
    return "\n".join(lines) + "\n"


def _to_bring(provenance: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """List what no command fetches, and where it belongs."""
    lines = []
    if not config["dataset"]["source"] and config.get("demo") is None:
        lines.append(f"- The data set goes to `{config['dataset']['root']}`; it is not in here.")
    for name, about in provenance["models"].items():
        source = about["entry"].get("source") or {}
        place = source.get("folder") or source.get("file")
        if place and "package" not in source and str(place).startswith(HIDDEN):
            lines.append(
                f"- The model {name} goes to `resources/models/{Path(str(place)).name}`; it is not "
                "in here."
            )
    return [*lines, ""] if lines else []


def write(
    target: str | Path,
    *,
    config: Mapping[str, Any],
    workflow: str | Path,
    results: str | Path,
) -> None:
    """Write the archive, a ZIP file whose one folder is named for the run.

    Parameters
    ----------
    target
        The file.
    config
        The run's configuration with its defaults.
    workflow
        The folder of the Snakefile.
    results
        The run's folder, with its `provenance.json`.
    """
    import yaml

    provenance = json.loads((Path(results) / "provenance.json").read_text("utf-8"))
    moved = transferable(config)
    configuration = yaml.safe_dump(moved, sort_keys=False, allow_unicode=True)
    entries = [
        *code_entries(workflow),
        *result_entries(results),
        ArchivedFile(CONFIG, content=configuration.encode()),
        ArchivedFile(README, content=readme(provenance, moved).encode()),
    ]
    table = manifest(sorted(entries, key=lambda entry: entry.name), provenance, results=results)
    entries.append(ArchivedFile(MANIFEST, content=table))
    with store.written_whole(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for entry in sorted(entries, key=lambda entry: entry.name):
            archive.writestr(_info(provenance["run"], entry.name), entry.read())


def _info(run: str, name: str) -> zipfile.ZipInfo:
    """Describe a regular file without a clock time, below the archive's one folder."""
    path = PurePosixPath(run) / name
    if path.is_absolute() or ".." in path.parts:
        raise InputError(f"the name {name!r} leads out of the archive")
    info = zipfile.ZipInfo(str(path), date_time=(1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3  # Unix, whatever wrote it
    info.external_attr = 0o100644 << 16
    return info
