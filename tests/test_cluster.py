"""The graph on a cluster: a real Slurm on this machine, and a stand-in for any other scheduler."""

from __future__ import annotations

import filecmp
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import kubernetes_api
import pytest
import slurm
from running import ROOT, snakemake

NOT_RESULTS = ("logs", "benchmarks", "provenance.json", "compare")

needs_slurm = pytest.mark.skipif(
    bool(slurm.missing()),
    reason=f"no Slurm here ({', '.join(slurm.missing())}): apt-get install slurm-wlm munge",
)

# Without accounting sacct has no answer; the other options shorten the waiting.
HERE = (
    *("--slurm-status-command", "squeue", "--slurm-no-account"),
    *("--slurm-init-seconds-before-status-checks", "3", "--seconds-between-status-checks", "3"),
    *("--latency-wait", "10", "--jobs", "4"),
    # A job that asks for more cores than the node has would wait for ever.
    *("--set-threads", "embeddings=1"),
)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """The environment of a running Slurm with one node."""
    with slurm.cluster(tmp_path_factory.mktemp("slurm")) as environment:
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
def submitted_demo(nodes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("submitted")
    done = submit(folder=folder, nodes=nodes)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@needs_slurm
def test_slurm_makes_the_demo_that_one_machine_makes_byte_for_byte(submitted_demo, demo):
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


needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="no kubectl here: apt-get install kubernetes-client"
)


@needs_kubectl
def test_kubernetes_is_asked_for_what_each_job_needs_and_again_for_a_pod_that_was_killed(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    wanted = ["results/demo/words/sub-01.tsv", "results/demo/embeddings/minilm/sub-01.nc"]
    seen = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    with kubernetes_api.cluster(tmp_path, seen) as cluster:
        cluster.kill.add("recording")
        done = snakemake(
            *(*wanted, "--profile", str(ROOT / "workflow/profiles/kubernetes")),
            *("--jobs", "2", "--latency-wait", "10", "--seconds-between-status-checks", "1"),
            *("--config", "gpus=1", "device=auto"),
            folder=folder, cores=None, environment=cluster.environment,
        )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert all((folder / file).is_file() for file in wanted)
    asked: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for job in cluster.submitted:
        assert job["spec"]["activeDeadlineSeconds"] >= 60
        container = job["spec"]["template"]["spec"]["containers"][0]
        assert container["workingDir"] == str(folder)
        needs = container["resources"]
        assert needs["requests"]["memory"] == needs["limits"]["memory"]
        asked[job["metadata"]["labels"]["rule"]].append(needs)
    # The pod that was killed is asked for again, with more memory.
    first, second = (int(needs["limits"]["memory"].rstrip("M")) for needs in asked["recording"])
    assert second > first
    assert [needs["requests"]["cpu"] for needs in asked["embeddings"]] == ["4"]
    assert [needs["limits"].get("nvidia.com/gpu") for needs in asked["embeddings"]] == ["1"]
    assert all("nvidia.com/gpu" not in needs["limits"] for needs in asked["recording"])


@needs_kubectl
def test_pods_of_a_run_that_is_stopped_are_deleted(tmp_path):
    programs = ROOT / "workflow/profiles/kubernetes"
    script = tmp_path / "job.sh"
    needs = {"threads": 1, "rule": "neural", "resources": {"mem_mb": 100, "runtime": 5}}
    script.write_text(f"#!/bin/sh\n# properties = {json.dumps(needs)}\nsleep 600\n")

    def said(program: str, *arguments: str) -> str:
        return subprocess.run(
            [str(programs / program), *arguments],
            env=cluster.environment, capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip

    with kubernetes_api.cluster(tmp_path, os.environ) as cluster:
        names = [said("submit", str(script)) for _ in range(2)]
        assert [said("status", name) for name in names] == ["running", "running"]
        said("cancel", *names)
        assert cluster.deleted == names
        assert [said("status", name) for name in names] == ["failed", "failed"]


def test_every_rule_tells_a_cluster_its_memory_and_run_time():
    for path in sorted((ROOT / "workflow/rules").glob("*.smk")):
        text = path.read_text()
        at_home = text.split("localrules:")[1].split("\n\n")[0] if "localrules:" in text else ""
        for name, body in re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", text, re.M | re.S):
            if "script:" in body and f"{name}," not in at_home:
                assert {"mem_mb", "runtime"} <= set(re.findall(r"^        (\w+)=", body, re.M)), (
                    name
                )
