"""The graph on a cluster: a real Slurm on this machine, and a stand-in for any other scheduler."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import slurm
from running import ROOT, snakemake

NOT_RESULTS = ("logs", "benchmarks", "provenance.json", "compare")

needs_slurm = pytest.mark.skipif(
    bool(slurm.missing()),
    reason=f"no Slurm here ({', '.join(slurm.missing())}): apt-get install slurm-wlm munge",
)

# Jobs of the node at a time: they wait more than they work.
SLOTS = 6

# Without accounting sacct has no answer; the other options shorten the waiting.
HERE = (
    *("--slurm-status-command", "squeue", "--slurm-no-account"),
    # After a look in vain the plugin waits ten seconds longer before the next.
    *("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1"),
    *("--latency-wait", "10", "--jobs", str(SLOTS)),
    # A job that asks for more cores than the node has would wait for ever.
    *("--set-threads", "embeddings=1"),
)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """The environment of a running Slurm with one node."""
    with slurm.cluster(tmp_path_factory.mktemp("slurm"), cpus=SLOTS) as environment:
        yield environment


def submit(*arguments: str, folder: Path, nodes) -> subprocess.CompletedProcess[str]:
    profile = ("--profile", str(ROOT / "workflow/profiles/slurm"))
    return snakemake(
        *(*arguments, *profile, *HERE),
        folder=folder,
        cores=None,
        environment=nodes,
        seconds=2400,
    )


def results(folder: Path) -> dict[str, Path]:
    """Every file that a run computes, by its path below the folder."""
    found = {}
    for path in sorted([*(folder / "results").rglob("*"), *(folder / "resources").rglob("*")]):
        name = path.relative_to(folder)
        if path.is_file() and not set(NOT_RESULTS) & set(name.parts):
            found[str(name)] = path
    return found


def differing(one: Path, other: Path) -> list[str]:
    first, second = results(one), results(other)
    return sorted(
        name
        for name in first.keys() | second.keys()
        if name not in first
        or name not in second
        or not filecmp.cmp(first[name], second[name], shallow=False)
    )


def submitted(nodes) -> list[tuple[str, int]]:
    """State and memory in MB of every job that Slurm remembers, in order."""
    said = subprocess.run(
        ["squeue", "--states=all", "--array", "--noheader", "--sort=i", "--format=%T %m"],
        env=nodes, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    units = {"M": 1, "G": 1024}
    lines = map(str.split, said.splitlines())
    return [(state, int(memory[:-1]) * units[memory[-1]]) for state, memory in lines]


@pytest.fixture(scope="module")
def submitted_demo(nodes, demo):
    """A demo made here, of which one participant and all tables were taken away and made by Slurm.

    `make bench-scaling` makes all of it by Slurm, which takes three times as long.
    """
    # Beside the other: elsewhere its inputs would be others.
    folder = demo.with_name(f"{demo.name}-submitted-{os.getpid()}")
    shutil.copytree(demo, folder, symlinks=True)
    taken = [
        path
        for path in results(folder).values()
        if "sub-02" in str(path.relative_to(folder)) or path.parent == folder / "results/demo"
    ]
    assert len(taken) > 30
    for path in taken:
        path.unlink()
    done = submit(folder=folder, nodes=nodes)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(submitted(nodes)) > 30
    yield folder
    shutil.rmtree(folder)


@needs_slurm
def test_slurm_makes_of_the_demo_what_one_machine_makes_byte_for_byte(submitted_demo, demo):
    assert len(results(demo)) > 100
    assert differing(demo, submitted_demo) == []


@needs_slurm
def test_a_job_that_exceeds_its_memory_is_asked_for_again_with_more(submitted_demo, nodes):
    file = "results/demo/neural/sub-01.nc"
    expected = (submitted_demo / file).read_bytes()
    (submitted_demo / file).unlink()
    before = len(submitted(nodes))
    # Importing the libraries alone takes more than 60 MB.
    done = submit(
        file, "--set-resources", "neural:mem_mb=60 * 30 ** (attempt - 1)",
        folder=submitted_demo, nodes=nodes,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    attempts = submitted(nodes)[before:]
    assert [memory for _, memory in attempts] == [60, 1800]
    assert attempts[0][0] != "COMPLETED"
    assert attempts[1][0] == "COMPLETED"
    assert (submitted_demo / file).read_bytes() == expected


@needs_slurm
def test_a_job_that_vanishes_is_submitted_again(submitted_demo, nodes):
    file = "results/demo/neural/sub-02.nc"
    expected = (submitted_demo / file).read_bytes()
    (submitted_demo / file).unlink()
    known = len(submitted(nodes))
    command = [
        *(sys.executable, "-m", "snakemake", file, "--directory", str(submitted_demo)),
        *("--profile", str(ROOT / "workflow/profiles/slurm"), *HERE),
    ]
    run = subprocess.Popen(
        command, cwd=ROOT, env=dict(nodes), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    deadline = time.monotonic() + 120
    while not (len(submitted(nodes)) > known and submitted(nodes)[-1][0] == "RUNNING"):
        assert time.monotonic() < deadline and run.poll() is None
        time.sleep(0.5)
    subprocess.run(["scancel", "--user", str(os.getuid())], env=nodes, check=True)
    said = run.communicate(timeout=300)[0].decode()
    assert run.returncode == 0, said
    assert [state for state, _ in submitted(nodes)[known:]] == ["CANCELLED", "COMPLETED"]
    assert (submitted_demo / file).read_bytes() == expected


@needs_slurm
def test_jobs_that_are_ready_together_can_be_one_array(submitted_demo, nodes):
    files = [f"results/demo/words/sub-0{number}.tsv" for number in (1, 2, 3)]
    expected = [(submitted_demo / file).read_bytes() for file in files]
    for file in files:
        (submitted_demo / file).unlink()
    known = len(submitted(nodes))
    done = submit(*files, "--slurm-array-jobs", "recording", folder=submitted_demo, nodes=nodes)
    assert done.returncode == 0, done.stdout + done.stderr
    arrays = subprocess.run(
        ["squeue", "--states=all", "--array", "--noheader", "--sort=i", "--format=%F"],
        env=nodes, capture_output=True, text=True, check=True,
    ).stdout.split()[known:]  # fmt: skip
    assert len(arrays) == 3
    assert len(set(arrays)) == 1
    assert [(submitted_demo / file).read_bytes() for file in files] == expected


@needs_slurm
def test_nothing_is_left_to_do_after_the_submitted_run(submitted_demo):
    # Where the jobs ran is no reason to run them again.
    done = snakemake("--dry-run", folder=submitted_demo)
    assert "Nothing to be done" in done.stdout + done.stderr


def test_another_scheduler_needs_only_its_submit_command(tmp_path):
    """A scheduler of two lines: it starts the job in the background and prints its number."""
    script = tmp_path / "submit.sh"
    script.write_text('#!/bin/sh\nnohup sh "$1" >"$1.out" 2>&1 &\necho $!\n')
    script.chmod(0o755)
    folder = tmp_path / "run"
    folder.mkdir()
    done = snakemake(
        "resources/demo/participants.tsv", "results/demo/words/sub-01.tsv",
        *("--profile", str(ROOT / "workflow/profiles/cluster-generic")),
        *("--cluster-generic-submit-cmd", str(script), "--latency-wait", "10", "--jobs", "2"),
        folder=folder, cores=None,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert (folder / "results/demo/words/sub-01.tsv").is_file()
    assert len(re.findall(r"external_jobid|external jobid", said, re.IGNORECASE)) >= 3


def test_every_rule_tells_a_cluster_its_memory_and_run_time():
    for path in sorted((ROOT / "workflow/rules").glob("*.smk")):
        text = path.read_text()
        at_home = text.split("localrules:")[1].split("\n\n")[0] if "localrules:" in text else ""
        for name, body in re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", text, re.M | re.S):
            if "script:" in body and f"{name}," not in at_home:
                assert {"mem_mb", "runtime"} <= set(re.findall(r"^        (\w+)=", body, re.M)), (
                    name
                )
