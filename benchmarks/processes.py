"""A run of the workflow, and what every Python process of it took, noted as it ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent

#: Read by every Python process at its start; Snakemake's own samples miss a job's last part.
NOTE = """
import atexit, os, resource, sys

def _note(path=os.environ.get("HIGHGAMMA_NOTES")):
    used = resource.getrusage(resource.RUSAGE_SELF)
    name = os.path.basename(sys.argv[0] if sys.argv else "")
    rule = name.split(".")[1] if name.startswith("tmp") else "snakemake"
    if path:
        with open(path, "a") as notes:
            notes.write(f"{rule} {used.ru_utime + used.ru_stime} {used.ru_maxrss}\\n")

atexit.register(_note)
"""
SCHEDULING = "snakemake"


@dataclass(frozen=True, slots=True)
class Process:
    """A process that has ended: its rule, or `snakemake` for all that is not a job's script."""

    rule: str
    seconds: float
    mib: float


@dataclass(slots=True)
class Notes:
    """The environment that makes processes note what they took, and afterwards the notes."""

    environment: dict[str, str]
    processes: list[Process] = field(default_factory=list)


@contextmanager
def noted(environment: dict[str, str] | None = None) -> Iterator[Notes]:
    """Note all Python processes that are started in the block with the environment it gives."""
    inherited = dict(os.environ) if environment is None else dict(environment)
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "sitecustomize.py").write_text(NOTE, encoding="utf-8")
        path = Path(scratch) / "notes.txt"
        paths = filter(None, [scratch, inherited.get("PYTHONPATH")])
        notes = Notes(
            inherited | {"PYTHONPATH": os.pathsep.join(paths), "HIGHGAMMA_NOTES": str(path)}
        )
        yield notes
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
            rule, seconds, kilobytes = line.split()
            notes.processes.append(Process(rule, float(seconds), float(kilobytes) / 1024))


def run_workflow(
    *arguments: str, folder: Path, config: Path, environment: dict[str, str] | None = None
) -> tuple[dict[str, Any], list[Process]]:
    """Run the workflow in a folder: jobs, wall time, processor time around the jobs; processes.

    What it said goes to standard error, and the benchmark ends, if it fails.
    """
    with noted(environment) as notes:
        began = time.monotonic()
        done = subprocess.run(
            [
                *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
                *("--directory", str(folder), *arguments, "--configfile", str(config)),
            ],
            cwd=ROOT,
            env=notes.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        wall = time.monotonic() - began
        if done.returncode:
            sys.exit(done.stdout[-4000:])
    counted = re.search(r"^total\s+(\d+)\s*$", done.stdout, re.MULTILINE)
    around = sum(one.seconds for one in notes.processes if one.rule == SCHEDULING)
    took = {
        "jobs": int(counted.group(1)) if counted else 0,
        "wall_s": round(wall, 1),
        "scheduling_s": round(around, 1),
        "load_at_end": round(os.getloadavg()[0], 1),
    }
    return took, [one for one in notes.processes if one.rule != SCHEDULING]
