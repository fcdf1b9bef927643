"""What Snakemake plans to do in a folder, counted by rule."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def snakemake(*arguments: str, checkout: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a checkout's Snakefile with `folder` as the working directory, as its users do."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    environment["PYTHONPATH"] = ""
    return subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--cores", "2"),
            *("--snakefile", str(checkout / "Snakefile"), "--directory", str(folder)),
            *arguments,
        ],
        cwd=checkout,
        capture_output=True,
        text=True,
        env=environment,
    )


def planned(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Number of jobs by rule, out of what a dry run says; none where there is nothing to do."""
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout + done.stderr
    if "Job stats:" not in said:
        assert "Nothing to be done" in said, said
        return {}
    table = said.split("Job stats:")[1].split("total")[0]
    counted = re.findall(r"^(\w+)\s+(\d+)\s*$", table, re.MULTILINE)
    return {name: int(n) for name, n in counted if name != "all"}
