"""Snakemake's scheduler looks for work when there may be some, and not all the time."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from running import ROOT

SNAKEFILE = f"""
import sys
sys.path.insert(0, {str(ROOT / "src")!r})
from snakemake.scheduling.job_scheduler import JobScheduler
from highgamma import scheduling

passes = 0
select = JobScheduler.job_selector


def counted(self, jobs):
    global passes
    passes += 1
    return select(self, jobs)


JobScheduler.job_selector = counted
scheduling.without_idle_passes(JobScheduler)


onsuccess:
    print("passes", passes)


rule all:
    input: expand("quick/{{n}}", n=range(QUICK)), "slow/1", "slow/2"


rule quick:
    output: touch("quick/{{n}}")


rule slow:
    input: expand("quick/{{n}}", n=range(QUICK))
    output: "slow/{{n}}"
    shell: "sleep SECONDS; touch {{output}}"
"""


def run(folder: Path, *options: str, quick: int, seconds: float) -> tuple[int, float]:
    """Passes of the scheduler, and the run's time (s)."""
    text = SNAKEFILE.replace("QUICK", str(quick)).replace("SECONDS", str(seconds))
    (folder / "Snakefile").write_text(text)
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *options],
        cwd=folder, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    took = time.monotonic() - began
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert len(list(folder.glob("quick/*"))) == quick
    return int(said.split("passes ")[1].split()[0]), took


def test_jobs_that_ended_bring_no_passes_while_a_long_one_runs(tmp_path):
    # One slow job waits for the other: there is always one that is ready.
    passes, _ = run(tmp_path, "--cores", "1", quick=15, seconds=4)
    # One for each job's end and one a second after each start; else 15 a second for 8 s.
    assert passes < 3 * 17


def test_the_limit_of_starts_holds_and_holds_nothing_up(tmp_path):
    limit = ("--max-jobs-per-timespan", "2/2s")
    _, took = run(tmp_path, "--cores", "8", *limit, quick=6, seconds=0)
    # 6 + 2 + 1 jobs, two every 2 s: the last ones start after 8 s.
    assert 8 < took < 60
