"""`python -m benchmarks.scaling`: one study with 1, 2 and 4 jobs at once, locally and under Slurm.

The demo of two participants (`--participants`), with its own number of surrogates or another
(`--permutations`), run six times into folders of its own, one after the other. Notes wall
time, the processor time of the jobs' scripts, and that of everything around them (planning,
submitting, and Snakemake's start in every submitted job); compares all files, byte for byte, with
the first run's. Writes scaling.json. Slurm runs on this machine (tests/slurm.py).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from benchmarks.__main__ import machine
from benchmarks.faults import differing
from benchmarks.processes import run_workflow

HERE = Path(__file__).parent
ROOT = HERE.parent
AT_ONCE = (1, 2, 4)
SLURM = (
    *("--profile", str(ROOT / "workflow/profiles/slurm"), "--latency-wait", "10"),
    # Without accounting; and asked often, so that waiting for an answer is no part of the result.
    *("--slurm-status-command", "squeue", "--slurm-no-account"),
    *("--slurm-init-seconds-before-status-checks", "3", "--seconds-between-status-checks", "3"),
    *("--set-threads", "embeddings=1"),
)


def measure(participants: int, permutations: int | None) -> list[dict[str, Any]]:
    """All six runs."""
    sys.path.insert(0, str(ROOT / "tests"))
    import slurm

    if slurm.missing():
        sys.exit(f"no Slurm here ({', '.join(slurm.missing())}): apt-get install slurm-wlm munge")
    rows = []
    with tempfile.TemporaryDirectory(prefix="highgamma-scaling-") as scratch:
        place = Path(scratch)
        demo = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
        demo["dataset"]["participants"] = demo["dataset"]["participants"][:participants]
        for analysis in demo["analyses"].values():
            if permutations is not None and analysis["permutations"]:
                analysis["permutations"] = permutations
        config = place / "config.yaml"
        config.write_text(yaml.safe_dump(demo), encoding="utf-8")
        (place / "slurm").mkdir()
        with slurm.cluster(place / "slurm") as nodes:
            for where, environment in (("locally", dict(os.environ)), ("Slurm", dict(nodes))):
                for number in AT_ONCE:
                    options = ("--cores", str(number))
                    if where == "Slurm":
                        options = ("--jobs", str(number), *SLURM)
                    folder = place / f"{where}-{number}"
                    folder.mkdir()
                    row, processes = run_workflow(
                        *options, folder=folder, config=config, environment=environment
                    )
                    row["work_s"] = round(sum(one.seconds for one in processes), 1)
                    first = place / f"locally-{AT_ONCE[0]}"
                    row |= {"files_that_differ": differing(first, folder)}
                    rows.append({"where": where, "at_once": number, **row})
                    print(rows[-1], flush=True)
    return rows


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling")
    parser.add_argument("--participants", type=int, default=2)
    parser.add_argument("--permutations", type=int)
    given = parser.parse_args(arguments)
    rows = measure(given.participants, given.permutations)
    whole = {"machine": machine(), **vars(given), "runs": rows}
    path = HERE / "scaling.json"
    path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(any(row["files_that_differ"] for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
