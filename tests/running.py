"""Snakemake on this repository's Snakefile, as a user runs it, in a folder of the test's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]


def snakemake(
    *arguments: str,
    folder: Path,
    cores: int | None = 2,
    environment: Mapping[str, str] | None = None,
    seconds: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run Snakemake with `folder` as the working directory; without `cores`, as a profile says."""
    inherited = os.environ if environment is None else environment
    return subprocess.run(
        [
            *(sys.executable, "-m", "snakemake"),
            *(() if cores is None else ("--cores", str(cores))),
            *("--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)),
            *arguments,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds,
        env={k: v for k, v in inherited.items() if not k.startswith("PYTEST")},
    )


def jobs(plan: str) -> dict[str, int]:
    """Number of jobs by rule, out of the table that a dry run prints."""
    table = plan.split("Job stats:")[1].split("total")[0]
    return {name: int(n) for name, n in re.findall(r"^(\w+)\s+(\d+)\s*$", table, re.MULTILINE)}
