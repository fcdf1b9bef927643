"""Where a run's results come from: configuration, software, models, inputs, machine, job times.

The one file of a run that holds clock times. Nothing is computed from it, and it names no host, no
user and no absolute path, so that it can be published as it is.
"""

from __future__ import annotations

import csv
import json
import math
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from highgamma import __version__, store
from highgamma import models as model_store

SOURCES = ("Snakefile", "src", "workflow", "config/models.yaml", "envs", "constraints.txt")
"""What a run is computed by, relative to the workflow's folder."""

HIDDEN = "…/"
"""Replaces the folders of an absolute path, which are private."""

NAMED_PARTS = {
    "embeddings": {0: "models"},
    "encoding": {0: "analyses", 2: "models"},
}
"""Which parts of a job's name are models (joined by `+`) or analyses, by the job's folder."""


@dataclass(frozen=True, slots=True)
class JobTime:
    """Time and memory of a finished job, from its benchmark file.

    Attributes
    ----------
    job
        The rule's folder and the wildcards, such as `encoding/words/sub-01/mel/00`.
    seconds
        From start to end.
    cpu_s, memory_mb
        CPU seconds and largest resident memory; NaN for jobs too short to be measured.
    ended
        When, UTC.
    """

    job: str
    seconds: float
    cpu_s: float
    memory_mb: float
    ended: str


def job_times(benchmarks: str | Path) -> list[JobTime]:
    """Read the times of a run's finished jobs, sorted by name; other files are skipped.

    Parameters
    ----------
    benchmarks
        The run's folder of benchmark files; it need not exist.
    """
    folder = Path(benchmarks)
    times = []
    for path in sorted(folder.rglob("*.tsv")) if folder.is_dir() else []:
        with open(path, encoding="utf-8", errors="replace", newline="") as opened:
            rows = list(csv.DictReader(opened, delimiter="\t"))
        if not rows or not _number(rows[-1].get("s")) >= 0:
            continue
        ended = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        times.append(
            JobTime(
                job=path.relative_to(folder).with_suffix("").as_posix(),
                seconds=_number(rows[-1].get("s")),
                cpu_s=_number(rows[-1].get("cpu_time")),
                memory_mb=_number(rows[-1].get("max_rss")),
                ended=ended.isoformat(timespec="seconds"),
            )
        )
    return times


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def jobs_of_run(
    times: Iterable[JobTime],
    *,
    participants: Sequence[str],
    models: Sequence[str],
    analyses: Sequence[str],
) -> Iterator[JobTime]:
    """Yield the jobs of a configuration; earlier runs of the same name may have left others."""
    configured = {"models": set(models), "analyses": set(analyses)}
    for time in times:
        folder, *parts = time.job.split("/")
        if any(part.startswith("sub-") and part not in participants for part in parts):
            continue
        if all(
            set(parts[position].split("+")) <= configured[sort]
            for position, sort in NAMED_PARTS.get(folder, {}).items()
        ):
            yield time


def portable(value: Any) -> Any:
    """Return the same settings without the folders of absolute paths."""
    if isinstance(value, Mapping):
        return {str(key): portable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [portable(item) for item in value]
    if isinstance(value, str) and (Path(value).is_absolute() or value.startswith("~")):
        return HIDDEN + Path(value).name
    return value


def software(workflow: str | Path) -> dict[str, Any]:
    """Return the versions of this software, of Python and of every package, and the commit.

    `sources_sha256` is over the names and bytes of `SOURCES`: two runs that share it were computed
    by the same code, whether or not it is under version control.
    """
    import hashlib

    base = Path(workflow)
    digest = hashlib.sha256()
    for path in sources(base, SOURCES):
        digest.update(f"{path.relative_to(base).as_posix()} {store.sha256(path)}\n".encode())
    packages = {
        name.lower(): distribution.version
        for distribution in metadata.distributions()
        if (name := distribution.metadata["Name"])
    }
    return {
        "highgamma": __version__,
        "commit": _commit(base),
        "sources_sha256": digest.hexdigest(),
        "python": platform.python_version(),
        "packages": dict(sorted(packages.items())),
    }


def sources(base: Path, names: Sequence[str]) -> list[Path]:
    """List the files at and below some names, sorted.

    Hidden, cached and incomplete files are left out, and links that lead out of `base`.
    """
    files = set()
    for name in names:
        top = base / name
        for path in [top, *top.rglob("*")] if top.is_dir() else [top]:
            parts = path.relative_to(base).parts
            temporary = any(
                p.startswith((".", "__pycache__")) or p.endswith((".egg-info", ".part", ".pyc"))
                for p in parts
            )
            if not temporary and path.is_file() and path.resolve().is_relative_to(base.resolve()):
                files.add(path)
    return sorted(files)


def _commit(base: Path) -> dict[str, Any] | None:
    """Return the commit of the workflow's own repository, and whether files differ from it."""
    git = shutil.which("git")
    if git is None:
        return None

    def output(*arguments: str) -> str | None:
        done = subprocess.run(  # noqa: S603
            [git, "-C", str(base), *arguments], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else None

    top = output("rev-parse", "--show-toplevel")
    # An unpacked archive may lie inside another repository, whose commit is not the archive's.
    if top is None or Path(top).resolve() != base.resolve():
        return None
    commit = output("rev-parse", "HEAD")
    changed = output("status", "--porcelain", "--untracked-files=no")
    return None if commit is None else {"id": commit, "modified": bool(changed)}


def machine() -> dict[str, Any]:
    """Describe this machine: processor, cores, memory, GPUs and system."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpus": _gpus(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _gpus() -> list[str]:
    """List the models of NVIDIA GPUs, as their driver names them."""
    names = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("Model:"):
                names.append(line.split(":", 1)[1].strip())
    return names


def input_files(
    files: Iterable[str | Path], *, root: str | Path, sounds: Iterable[str | Path]
) -> dict[str, dict[str, Any]]:
    """Return size and SHA-256 of the data set's files, by their path in the data set.

    The recordings' checksums are those that the recording stage computed when it read them
    (attribute `inputs` of the sound files), so that gigabytes are not read again.

    Parameters
    ----------
    files
        The files that a run reads.
    root
        The data set's folder.
    sounds
        `audio/<participant>.nc` of all participants.
    """
    known: dict[tuple[str, str], str] = {}
    for path in sounds:
        with store.open_dataset(path) as opened:
            for name, checksum in json.loads(opened.attrs.get("inputs", "{}")).items():
                known[Path(path).stem, name] = str(checksum)
    base, described = Path(root), {}
    for path in sorted({Path(file) for file in files}):
        inside = path.relative_to(base) if path.is_relative_to(base) else Path(path.name)
        owner = inside.parts[0] if inside.parts[0].startswith("sub-") else "stimulus"
        checksum = known.get((owner, path.name))
        described[inside.as_posix()] = {
            "size": path.stat().st_size,
            "sha256": checksum or store.sha256(path),
        }
    return described


def models(
    entries: Mapping[str, Mapping[str, Any]], *, lock: str | Path, results: str | Path
) -> dict[str, dict[str, Any]]:
    """Return source, revision and checksums of every model, by name.

    `files` are those of the manifest of fetched models; `embedded_sha256` is the checksum over all
    files that the embeddings were computed from, as the embeddings' own files report it.
    """
    locked, described = model_store.read_lock(lock), {}
    for name, entry in sorted(entries.items()):
        source = dict(entry.get("source") or {})
        about: dict[str, Any] = {"entry": portable(dict(entry)), "revision": None, "files": {}}
        if model_store.is_fetched(entry):
            pinned = locked.get(str(source.get("hub") or source.get("url")), {})
            about["revision"] = pinned.get("revision")
            manifest = model_store.manifest_path(entry)
            if manifest is not None and manifest.is_file():
                fetched = model_store.read_manifest(manifest)
                about["revision"] = fetched.get("revision") or about["revision"]
                about["files"] = fetched["files"]
        elif "package" in source:
            about["revision"] = metadata.version(source["package"])
        about["embedded_sha256"] = _embedded(Path(results) / "embeddings" / name)
        described[name] = about
    return described


def _embedded(folder: Path) -> str | None:
    for path in sorted(folder.glob("*.nc")):
        with store.open_dataset(path) as opened:
            checksum = str(opened.attrs.get("model_sha256", store.MISSING))
        return None if checksum == store.MISSING else checksum
    return None


def collect(
    *,
    run: str,
    config: Mapping[str, Any],
    entries: Mapping[str, Mapping[str, Any]],
    participants: Sequence[str],
    files: Iterable[str | Path],
    sounds: Iterable[str | Path],
    outputs: Iterable[str | Path],
    results: str | Path,
    lock: str | Path,
    workflow: str | Path,
) -> dict[str, Any]:
    """Return the content of provenance.json.

    Parameters
    ----------
    run, config
        Name, and the configuration with its defaults.
    entries
        Resolved catalogue entries of the run's models.
    participants
        Labels of all participants.
    files, sounds
        See `input_files`.
    outputs
        Tables and report; their checksums are computed.
    results
        The run's folder.
    lock
        The lock file of the models.
    workflow
        The folder of the Snakefile.
    """
    base = Path(results)
    times = jobs_of_run(
        job_times(base / "benchmarks"),
        participants=[*participants, "stimulus"],
        models=sorted(entries),
        analyses=list(config["analyses"]),
    )
    return {
        "run": run,
        "config": portable(config),
        "software": software(workflow),
        "models": models(entries, lock=lock, results=base),
        "data_set": {
            "root": portable(str(config["dataset"]["root"])),
            "files": input_files(files, root=config["dataset"]["root"], sounds=sounds),
        },
        "outputs": {
            Path(path).relative_to(base).as_posix(): {
                "size": Path(path).stat().st_size,
                "sha256": store.sha256(path),
            }
            for path in sorted(map(Path, outputs))
        },
        "machine": machine(),
        "jobs": [_without_gaps(asdict(time)) for time in times],
    }


def _without_gaps(values: dict[str, Any]) -> dict[str, Any]:
    """Replace NaN, which JSON doesn't have, by None."""
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()}


def write(provenance: Mapping[str, Any], path: str | Path) -> None:
    """Write provenance.json, sorted by key."""
    with store.written_whole(path) as temporary:
        text = json.dumps(provenance, indent=1, sort_keys=True, ensure_ascii=False)
        temporary.write_text(text + "\n", "utf-8")
