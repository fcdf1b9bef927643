"""The graph on Kubernetes: the real kubectl, and a stand-in for the cluster that it speaks to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import defaultdict
from typing import Any

import kubernetes_api
import pytest
from running import ROOT, snakemake

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
