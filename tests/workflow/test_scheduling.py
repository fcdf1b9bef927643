"""Snakemake's scheduler looks for work when there may be some, and not all the time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from running import ROOT

from highgamma.workflow import scheduling

SNAKEFILE = f"""
import sys
sys.path.insert(0, {str(ROOT / "src")!r})
from snakemake.scheduling.job_scheduler import JobScheduler
from highgamma.workflow import scheduling

passes = 0
select = JobScheduler.job_selector


def counted(self, jobs):
    global passes
    passes += 1
    return select(self, jobs)


JobScheduler.job_selector = counted
assert scheduling.without_idle_passes()


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


def run(folder: Path, *options: str, quick: int, seconds: float) -> int:
    """Passes of the scheduler."""
    text = SNAKEFILE.replace("QUICK", str(quick)).replace("SECONDS", str(seconds))
    (folder / "Snakefile").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *options],
        cwd=folder, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert len(list(folder.glob("quick/*"))) == quick
    return int(said.split("passes ")[1].split()[0])


def test_jobs_that_ended_bring_no_passes_while_a_long_one_runs(tmp_path):
    # One slow job waits for the other: there is always one that is ready.
    passes = run(tmp_path, "--cores", "1", quick=15, seconds=4)
    # One for each job's end and one a second after each start; else 15 a second for 8 s.
    assert passes < 3 * 17


def test_the_limit_of_starts_holds_and_holds_nothing_up(tmp_path):
    run(tmp_path, "--cores", "8", "--max-jobs-per-timespan", "2/2s", quick=6, seconds=0)
    files = [*tmp_path.glob("quick/*"), *tmp_path.glob("slow/*")]
    ended = sorted(path.stat().st_mtime for path in files)
    assert len(ended) == 8
    # Two every 2 s: of the eight that leave files, the last ones start 6 s after the first.
    assert ended[-1] - ended[0] > 5


def test_a_snakemake_without_that_scheduler_runs_as_it_is(monkeypatch):
    assert not scheduling.relieve(type("AnotherScheduler", (), {}))
    monkeypatch.setitem(sys.modules, "snakemake.scheduling.job_scheduler", None)
    assert not scheduling.without_idle_passes()
