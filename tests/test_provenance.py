"""provenance.json: complete, publishable, and no reason for anything to be computed again."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from test_workflow import ROOT, jobs, snakemake

from highgamma import provenance, store
from highgamma.workflow import fingerprint

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def benchmark(folder: Path, job: str, row: str) -> None:
    path = folder / f"{job}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + row + "\n")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A data set at an absolute path and what a run left behind, as arguments of `collect`."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "secret/data/sub-01/ieeg"
    folder.mkdir(parents=True)
    (folder / "sub-01_ieeg.nwb").write_bytes(b"signal")
    (folder / "sub-01_events.tsv").write_bytes(b"onset\n")
    results = tmp_path / "results/r"
    results.mkdir(parents=True)
    (results / "electrodes.tsv").write_text("table\n")
    store.write_dataset(
        xr.Dataset({"audio": ("time", np.zeros(3))}, attrs={"inputs": json.dumps(
            {"sub-01_ieeg.nwb": "taken by the recording stage"})}),
        results / "audio/sub-01.nc", stage="recording", parameters={},
    )  # fmt: skip
    store.write_dataset(
        xr.Dataset(attrs={"model_sha256": "ab12"}),
        results / "embeddings/mine/sub-01.nc", stage="embeddings", parameters={},
    )  # fmt: skip
    benchmark(results / "benchmarks", "encoding/words/sub-01/mine/00",
              "2.5\t0:00:02\t120.5\t1\t1\t1\t0\t0\t80\t1.75")  # fmt: skip
    benchmark(
        results / "benchmarks", "neural/sub-01", "0.1\t0:00:00\tNA\tNA\tNA\tNA\tNA\tNA\tNA\tNA"
    )
    benchmark(
        results / "benchmarks", "encoding/words/sub-99/mine/00", "1\t0\t1\t1\t1\t1\t0\t0\t0\t1"
    )
    benchmark(results / "benchmarks", "embeddings/gone/sub-01", "1\t0\t1\t1\t1\t1\t0\t0\t0\t1")
    return {
        "run": "r",
        "config": {
            "dataset": {"root": str(tmp_path / "secret/data")},
            "analyses": {"words": {"unit": "word"}},
            "catalogue": {"mine": {"source": {"folder": str(tmp_path / "secret/mine")}}},
        },
        "entries": {"mine": {"kind": "text", "source": {"folder": str(tmp_path / "secret/mine")}}},
        "participants": ["sub-01"],
        "files": sorted(folder.iterdir()),
        "sounds": [results / "audio/sub-01.nc"],
        "outputs": [results / "electrodes.tsv"],
        "results": results,
        "lock": tmp_path / "none.yaml",
        "workflow": ROOT,
    }


def test_files_have_their_sizes_and_checksums(run: dict[str, Any]) -> None:
    made = provenance.collect(**run)
    files = made["data_set"]["files"]
    assert files["sub-01/ieeg/sub-01_events.tsv"] == {
        "size": 6,
        "sha256": hashlib.sha256(b"onset\n").hexdigest(),
    }
    assert made["outputs"]["electrodes.tsv"]["sha256"] == hashlib.sha256(b"table\n").hexdigest()
    assert made["models"]["mine"]["embedded_sha256"] == "ab12"


def test_a_recording_is_not_read_a_second_time(run: dict[str, Any]) -> None:
    recording = provenance.collect(**run)["data_set"]["files"]["sub-01/ieeg/sub-01_ieeg.nwb"]
    assert recording == {"size": 6, "sha256": "taken by the recording stage"}


def test_jobs_have_their_times_and_those_of_other_configurations_are_left_out(
    run: dict[str, Any],
) -> None:
    made = provenance.collect(**run)["jobs"]
    assert [job["job"] for job in made] == ["encoding/words/sub-01/mine/00", "neural/sub-01"]
    assert (made[0]["seconds"], made[0]["cpu_s"], made[0]["memory_mb"]) == (2.5, 1.75, 120.5)
    assert made[1]["cpu_s"] is None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", made[0]["ended"])


def test_no_absolute_path_no_host_and_no_user_is_named(run: dict[str, Any], tmp_path: Path) -> None:
    import getpass
    import platform

    provenance.write(provenance.collect(**run), tmp_path / "p.json")
    text = (tmp_path / "p.json").read_text()
    json.loads(text)
    assert "secret" not in text
    assert str(tmp_path) not in text
    assert "…/data" in text and "…/mine" in text
    for private in (platform.node(), os.environ.get("USER") or getpass.getuser()):
        assert not any(f"{sign}{private}" in text for sign in "/@")
        assert f"{private}@" not in text
    assert f'"{platform.node()}"' not in text
    assert str(ROOT) not in text


def test_versions_are_those_of_python_packages_and_commit(run: dict[str, Any]) -> None:
    found = provenance.collect(**run)["software"]
    import platform

    assert found["python"] == platform.python_version()
    assert found["packages"]["numpy"] == np.__version__
    said = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if said.returncode == 0:
        assert found["commit"]["id"] == said.stdout.strip()


def test_another_repository_around_the_workflow_gives_no_commit(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "inside/src").mkdir(parents=True)
    assert provenance.software(tmp_path / "inside")["commit"] is None


def test_sources_change_their_checksum_and_caches_do_not(tmp_path: Path) -> None:
    (tmp_path / "src/__pycache__").mkdir(parents=True)
    (tmp_path / "src/a.py").write_text("1")
    before = provenance.software(tmp_path)["sources_sha256"]
    (tmp_path / "src/__pycache__/a.pyc").write_text("x")
    (tmp_path / "src/.a.py.swp").write_text("x")
    assert provenance.software(tmp_path)["sources_sha256"] == before
    (tmp_path / "src/a.py").write_text("2")
    assert provenance.software(tmp_path)["sources_sha256"] != before


def test_a_link_that_leads_out_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "base/src").mkdir(parents=True)
    (tmp_path / "outside.txt").write_text("private")
    (tmp_path / "base/src/link.txt").symlink_to(tmp_path / "outside.txt")
    (tmp_path / "base/src/a.py").write_text("1")
    names = [path.name for path in provenance.sources(tmp_path / "base", ["src"])]
    assert names == ["a.py"]


def test_the_machine_has_a_processor_cores_and_memory() -> None:
    found = provenance.machine()
    assert found["processor"]
    assert found["cores"] == os.cpu_count()
    assert found["memory_bytes"] > 2**28


def test_no_other_stage_depends_on_provenance() -> None:
    own = {"provenance.py", "archive.py", "check.py"}
    for script in sorted((ROOT / "workflow/scripts").glob("*.py")):
        if script.name not in own:
            assert ROOT / "src/highgamma/provenance.py" not in fingerprint.modules(script)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """Every file that the demo's run makes, empty, all of one moment: enough for a plan."""
    now = time.time()
    listed = snakemake("--summary", folder=tmp_path).stdout.split("output_file")[1].splitlines()
    for line in listed[1:]:
        path = tmp_path / line.split("\t")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if path.name == "figures" else path.touch()
        os.utime(path, (now, now))
    return tmp_path


def plan(folder: Path) -> dict[str, int]:
    """What is planned by the age of files alone: empty files have no record of parameters."""
    done = snakemake("--dry-run", "--rerun-triggers", "mtime", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return jobs(done.stdout) if "Job stats" in done.stdout else {}


def test_provenance_is_renewed_after_results_and_renews_nothing(finished: Path) -> None:
    (finished / "results/demo/provenance.json").unlink()
    assert plan(finished) == {"all": 1, "provenance": 1}
    (finished / "results/demo/provenance.json").touch()
    assert plan(finished) == {}
    (finished / "results/demo/summary.nc").write_text("renewed")
    later = (finished / "results/demo/provenance.json").stat().st_mtime + 10
    os.utime(finished / "results/demo/summary.nc", (later, later))
    assert plan(finished) == {"all": 1, "report": 1, "provenance": 1}
