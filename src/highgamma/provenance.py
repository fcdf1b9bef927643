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
"""Stands for the folders of an absolute path, which are nobody else's business."""


@dataclass(frozen=True, slots=True)
class JobTime:
    """What a finished job took, out of its benchmark file.

    job : the rule's folder and the wildcards, such as `encoding/words/sub-01/mel/00`. seconds :
    from start to end. cpu_s, memory_mb : CPU seconds and largest resident memory; NaN for jobs
    too short to be looked at. ended : when, UTC.
    """

    job: str
    seconds: float
    cpu_s: float
    memory_mb: float
    ended: str


def job_times(benchmarks: str | Path) -> list[JobTime]:
    """Times of a run's finished jobs, sorted by name; a file that is no benchmark is passed over.

    Parameters
    ----------
    benchmarks
        The run's folder of benchmark files; it need not exist.
    """
    folder = Path(benchmarks)
    found = []
    for path in sorted(folder.rglob("*.tsv")) if folder.is_dir() else []:
        with open(path, encoding="utf-8", errors="replace", newline="") as opened:
            rows = list(csv.DictReader(opened, delimiter="\t"))
        if not rows or not _number(rows[-1].get("s")) >= 0:
            continue
        ended = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        found.append(
            JobTime(
                job=path.relative_to(folder).with_suffix("").as_posix(),
                seconds=_number(rows[-1].get("s")),
                cpu_s=_number(rows[-1].get("cpu_time")),
                memory_mb=_number(rows[-1].get("max_rss")),
                ended=ended.isoformat(timespec="seconds"),
            )
        )
    return found


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def of_run(
    times: Iterable[JobTime],
    *,
    participants: Sequence[str],
    models: Sequence[str],
    analyses: Sequence[str],
) -> Iterator[JobTime]:
    """Those jobs that a configuration has; earlier runs of the same name leave others behind."""
    for time in times:
        kind, *parts = time.job.split("/")
        if any(p.startswith("sub-") and p not in participants for p in parts):
            continue
        if kind == "embeddings" and parts[0] not in models:
            continue
        if kind == "encoding" and (
            parts[0] not in analyses or not set(parts[2].split("+")) <= set(models)
        ):
            continue
        yield time


def portable(value: Any) -> Any:
    """The same settings with the folders of absolute paths left out."""
    if isinstance(value, Mapping):
        return {str(key): portable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [portable(part) for part in value]
    if isinstance(value, str) and (Path(value).is_absolute() or value.startswith("~")):
        return HIDDEN + Path(value).name
    return value


def software(workflow: str | Path) -> dict[str, Any]:
    """Versions of this software, of Python and of every package; the commit where there is one.

    `sources_sha256` is over the names and bytes of `SOURCES`: two runs that share it were computed
    by the same code, whether or not it is under version control.
    """
    import hashlib

    base = Path(workflow)
    digest = hashlib.sha256()
    for path in sources(base, SOURCES):
        digest.update(f"{path.relative_to(base).as_posix()} {store.sha256(path)}\n".encode())
    packages = {
        name.lower(): one.version
        for one in metadata.distributions()
        if (name := one.metadata["Name"])
    }
    return {
        "highgamma": __version__,
        "commit": _commit(base),
        "sources_sha256": digest.hexdigest(),
        "python": platform.python_version(),
        "packages": dict(sorted(packages.items())),
    }


def sources(base: Path, names: Sequence[str]) -> list[Path]:
    """Files at and below the names, sorted; hidden files, caches and half-written ones left out.

    A link that leads out of `base` is left out as well.
    """
    found = set()
    for name in names:
        place = base / name
        for path in [place, *place.rglob("*")] if place.is_dir() else [place]:
            parts = path.relative_to(base).parts
            passing = any(
                p.startswith((".", "__pycache__")) or p.endswith((".egg-info", ".part", ".pyc"))
                for p in parts
            )
            if not passing and path.is_file() and path.resolve().is_relative_to(base.resolve()):
                found.add(path)
    return sorted(found)


def _commit(base: Path) -> dict[str, Any] | None:
    """Commit of the workflow's own repository, and whether files differ from it."""
    git = shutil.which("git")
    if git is None:
        return None

    def said(*arguments: str) -> str | None:
        done = subprocess.run(  # noqa: S603
            [git, "-C", str(base), *arguments], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else None

    top = said("rev-parse", "--show-toplevel")
    # An unpacked archive may lie inside another repository, whose commit says nothing of it.
    if top is None or Path(top).resolve() != base.resolve():
        return None
    commit = said("rev-parse", "HEAD")
    changed = said("status", "--porcelain", "--untracked-files=no")
    return None if commit is None else {"id": commit, "modified": bool(changed)}


def machine() -> dict[str, Any]:
    """Processor, cores, memory, GPUs and system of the machine that this runs on."""
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
    """Models of NVIDIA GPUs, as their driver names them."""
    found = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("Model:"):
                found.append(line.split(":", 1)[1].strip())
    return found


def input_files(
    files: Iterable[str | Path], *, root: str | Path, sounds: Iterable[str | Path]
) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of the data set's files, by their path in the data set.

    The recordings' checksums are those that the recording stage took when it read them (attribute
    `inputs` of the sound files), so that gigabytes are not read once more; the others are small.

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
    base, found = Path(root), {}
    for path in sorted({Path(file) for file in files}):
        inside = path.relative_to(base) if path.is_relative_to(base) else Path(path.name)
        owner = inside.parts[0] if inside.parts[0].startswith("sub-") else "stimulus"
        checksum = known.get((owner, path.name))
        found[inside.as_posix()] = {
            "size": path.stat().st_size,
            "sha256": checksum or store.sha256(path),
        }
    return found


def models(
    entries: Mapping[str, Mapping[str, Any]], *, lock: str | Path, results: str | Path
) -> dict[str, dict[str, Any]]:
    """Source, revision and checksums of every model, by name.

    `files` are those of the manifest of fetched models; `embedded_sha256` is the checksum over all
    files that the embeddings were made from, as they say themselves.
    """
    locked, found = model_store.read_lock(lock), {}
    for name, entry in sorted(entries.items()):
        source = dict(entry.get("source") or {})
        about: dict[str, Any] = {"entry": portable(dict(entry)), "revision": None, "files": {}}
        if model_store.is_fetched(entry):
            pinned = locked.get(str(source.get("hub") or source.get("url")), {})
            about["revision"] = pinned.get("revision")
            manifest = model_store.manifest_path(entry)
            if manifest is not None and manifest.is_file():
                read = model_store.read_manifest(manifest)
                about["revision"] = read.get("revision") or about["revision"]
                about["files"] = read["files"]
        elif "package" in source:
            about["revision"] = metadata.version(source["package"])
        about["embedded_sha256"] = _embedded(Path(results) / "embeddings" / name)
        found[name] = about
    return found


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
    """Everything that provenance.json holds.

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
        Tables and report, whose checksums are taken.
    results
        The run's folder.
    lock
        The lock file of the models.
    workflow
        The folder of the Snakefile.
    """
    base = Path(results)
    times = of_run(
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
    """JSON has no NaN."""
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()}


def write(provenance: Mapping[str, Any], path: str | Path) -> None:
    """Write the file, sorted by key."""
    with store.written_whole(path) as temporary:
        text = json.dumps(provenance, indent=1, sort_keys=True, ensure_ascii=False)
        temporary.write_text(text + "\n", "utf-8")
