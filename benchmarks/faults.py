"""`python -m benchmarks.faults`: the demo, killed at random times, must come out the same.

The demo runs once undisturbed. Then it runs in another folder, and its whole process group is
killed (SIGKILL) after a random time, `KILLS` times in all; when a run comes to its end before that,
its folder is compared and a new one begun. After each kill follows a plain restart, with no
unlocking and no cleaning. Writes faults.json.
"""

from __future__ import annotations

import filecmp
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
KILLS = int(os.environ.get("HIGHGAMMA_FAULTS_KILLS", "30"))
SECONDS = (2.0, 35.0)
SEED = 1
CORES = 2
NOT_RESULTS = ("logs", "benchmarks", "provenance.json")


def _start(folder: Path) -> subprocess.Popen[bytes]:
    log = (folder / "said.txt").open("ab")
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "snakemake", "--cores", str(CORES)),
            *("--snakefile", str(HERE.parent / "Snakefile"), "--directory", str(folder)),
        ],
        cwd=HERE.parent,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def files(folder: Path) -> dict[str, Path]:
    """Every file that a run computes; temporary files, which none may leave, included."""
    found = {}
    for top in ("results", "resources"):
        for path in sorted((folder / top).rglob("*")):
            name = path.relative_to(folder)
            if path.is_file() and not set(NOT_RESULTS) & set(name.parts):
                found[str(name)] = path
    return found


def differing(one: Path, other: Path) -> list[str]:
    """Names of files that only one of two runs has, or whose bytes differ."""
    first, second = files(one), files(other)
    return sorted(
        name
        for name in first.keys() | second.keys()
        if name not in first
        or name not in second
        or not filecmp.cmp(first[name], second[name], shallow=False)
    )


def campaign(kills: int = KILLS, *, seed: int = SEED) -> dict[str, Any]:
    """Run it, in temporary folders."""
    rng = np.random.default_rng(seed)
    killed_after: list[float] = []
    unequal: list[str] = []
    failures: list[str] = []
    rounds = 0
    with tempfile.TemporaryDirectory(prefix="highgamma-faults-") as place:
        calm = Path(place) / "calm"
        calm.mkdir()
        began = time.monotonic()
        if _start(calm).wait():
            raise RuntimeError((calm / "said.txt").read_text()[-3000:])
        undisturbed_s = time.monotonic() - began
        while len(killed_after) < kills:
            rounds += 1
            folder = Path(place) / f"round-{rounds}"
            folder.mkdir()
            while True:
                run = _start(folder)
                last = len(killed_after) >= kills
                wait = None if last else float(rng.uniform(*SECONDS))
                try:
                    status = run.wait(wait)
                except subprocess.TimeoutExpired:
                    os.killpg(run.pid, signal.SIGKILL)
                    run.wait()
                    killed_after.append(round(wait or 0.0, 1))
                    print(f"{len(killed_after)} of {kills} killed after {wait:.1f} s", flush=True)
                    continue
                if status:
                    failures.append((folder / "said.txt").read_text()[-2000:])
                break
            unequal += [f"round {rounds}: {name}" for name in differing(calm, folder)]
    return {
        "kills": len(killed_after),
        "killed_after_s": killed_after,
        "runs_to_the_end": rounds,
        "restarts_that_failed": failures,
        "files_that_differ": unequal,
        "undisturbed_s": round(undisturbed_s, 1),
        "seed": seed,
        "cores": CORES,
    }


def main() -> int:
    found = campaign()
    (HERE / "faults.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
    return int(bool(found["files_that_differ"] or found["restarts_that_failed"]))


if __name__ == "__main__":
    sys.exit(main())
