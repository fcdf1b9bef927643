"""The archive: another lab unpacks it in an empty folder, runs it, and gets the same tables."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_workflow import ROOT, snakemake

from highgamma import archive
from highgamma.errors import InputError

PROVENANCE = {
    "run": "r",
    "software": {"highgamma": "0", "commit": None, "python": "3"},
    "data_set": {"files": {"sub-01/x.nwb": {"size": 7, "sha256": "77"}}},
    "models": {
        "gpt2": {
            "entry": {"kind": "text", "source": {"hub": "openai-community/gpt2"}},
            "files": {"model.safetensors": {"size": 9, "sha256": "99"}},
        }
    },
}
CONFIG = {
    "run": "r",
    "dataset": {"root": "data", "source": "osf:nrgx6"},
    "catalogue": {},
    "models": ["gpt2"],
}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """What a run leaves behind, and one link that leads out of it."""
    folder = tmp_path / "results/r"
    for name, content in {
        "electrodes.tsv": "table",
        "report.html": "page",
        "figures/a.png": "picture",
        "embeddings/gpt2/sub-01.nc": "large",
        "logs/x.log": "private words",
        ".electrodes.tsv.7.part": "half",
        "provenance.json": json.dumps(PROVENANCE),
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    (tmp_path / "private.txt").write_text("private")
    (folder / "link.txt").symlink_to(tmp_path / "private.txt")
    return folder


def written(results: Path, name: str = "r.zip", **config: Any) -> Path:
    target = results.parent / name
    archive.write(target, config={**CONFIG, **config}, workflow=ROOT, results=results)
    return target


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_code_configuration_and_results_are_inside_and_large_files_are_not(results: Path) -> None:
    inside = contents(written(results))
    for name in (
        *("Snakefile", "src/highgamma/settings/checking.py", "workflow/rules/common.smk"),
        *("workflow/profiles/slurm/config.yaml", "profiles/default/config.yaml"),
        *("envs/report.yaml", "constraints.txt", "config/models.yaml", "config/archived.yaml"),
        *("delivered/electrodes.tsv", "delivered/report.html", "delivered/figures/a.png"),
        *("delivered/provenance.json", "MANIFEST.tsv", "READ-ME-FIRST.md"),
    ):
        assert f"r/{name}" in inside
    assert b"private" not in b"".join(v for k, v in inside.items() if "/delivered/" in k)
    assert not any("embeddings/gpt2" in name or name.endswith(".part") for name in inside)
    assert not any("__pycache__" in name or "/." in name for name in inside)


def test_no_name_leads_out_and_no_entry_is_a_link(results: Path) -> None:
    with zipfile.ZipFile(written(results)) as opened:
        for info in opened.infolist():
            assert info.filename.startswith("r/")
            assert ".." not in Path(info.filename).parts
            assert info.external_attr >> 16 == 0o100644
    with pytest.raises(archive.InputError, match="leads out"):
        archive._info("r", "../x")


def test_the_same_run_gives_the_same_bytes_at_any_time(results: Path) -> None:
    first = written(results).read_bytes()
    for path in results.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, (1e9, 1e9))
    assert written(results, "again.zip").read_bytes() == first


def test_the_manifest_names_every_file_with_its_checksum(results: Path) -> None:
    inside = contents(written(results))
    rows = [row.split("\t") for row in inside["r/MANIFEST.tsv"].decode().splitlines()[1:]]
    listed = {(where, name): (int(size), checksum) for where, name, size, checksum in rows}
    assert listed["data set", "sub-01/x.nwb"] == (7, "77")
    assert listed["model", "gpt2/model.safetensors"] == (9, "99")
    assert listed["results", "results/r/embeddings/gpt2/sub-01.nc"] == (
        5,
        hashlib.sha256(b"large").hexdigest(),
    )
    here = {name for where, name in listed if where == "archive"}
    assert here == {name.removeprefix("r/") for name in inside} - {"MANIFEST.tsv"}
    for name in here:
        content = inside[f"r/{name}"]
        assert listed["archive", name] == (len(content), hashlib.sha256(content).hexdigest())


def test_folders_of_this_machine_become_folders_of_the_archive(results: Path) -> None:
    inside = contents(
        written(
            results,
            dataset={"root": "/lab/secret/my-set", "source": None},
            catalogue={"own": {"kind": "text", "source": {"folder": "../up/own"}}},
        )
    )
    config = yaml.safe_load(inside["r/config/archived.yaml"])
    assert config["dataset"]["root"] == "resources/datasets/my-set"
    assert config["catalogue"]["own"]["source"]["folder"] == "resources/models/own"
    assert b"resources/datasets/my-set" in inside["r/READ-ME-FIRST.md"]
    assert not any(b"/lab/secret" in content for content in inside.values())


def test_the_readme_says_the_commands_in_order(results: Path) -> None:
    text = contents(written(results))["r/READ-ME-FIRST.md"].decode()
    calls = [line.split("#")[0].split() for line in text.splitlines() if "snakemake" in line]
    targets = [call[3] if not call[3].startswith("--") else "all" for call in calls]
    assert targets == ["dataset", "models", "check", "all"]


TINY = {
    "run": "tiny",
    "demo": {"n_words": 8},
    "dataset": {"root": "resources/demo", "task": "wordProduction", "participants": ["sub-01"]},
    "models": ["envelope"],
    "neural": {"method": "fft"},
    "contamination": {"enabled": False},
    "analyses": {
        "words": {"unit": "word", "split": "leave-one-word-out", "permutations": 20},
    },
}


def test_an_unpacked_archive_runs_to_the_same_tables(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    made = snakemake("archive", "--configfile", str(tmp_path / "tiny.yaml"), folder=tmp_path)
    assert made.returncode == 0, made.stdout + made.stderr
    with zipfile.ZipFile(tmp_path / "results/tiny.zip") as opened:
        opened.extractall(tmp_path / "elsewhere")
    folder = tmp_path / "elsewhere/tiny"
    # Nothing of this checkout but its packages.
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH",)}

    def there(*arguments: str) -> subprocess.CompletedProcess[str]:
        call = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
        return subprocess.run(
            [*call, "--configfile", "config/archived.yaml"],
            cwd=folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    plan = there("--dry-run")
    assert plan.returncode == 0, plan.stdout + plan.stderr
    assert all(rule in plan.stdout for rule in ("demo", "encoding", "report"))
    done = there("results/tiny/electrodes.tsv")
    assert done.returncode == 0, done.stdout + done.stderr
    for table in ("electrodes.tsv", "layers.tsv", "participants.tsv"):
        again = (folder / "results/tiny" / table).read_bytes()
        assert again == (folder / "delivered" / table).read_bytes()


def test_a_folder_without_the_workflow_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").touch()
    with pytest.raises(InputError, match="the workflow's folder has no src"):
        archive.code_entries(tmp_path)
