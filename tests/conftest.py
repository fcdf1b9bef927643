"""Fixtures that more than one test file uses."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from running import ROOT, snakemake

#: Begun first, so that no worker is left with one of them at the end.
LONG = ("test_cluster", "test_workflow", "test_noise_study", "test_selftest", "test_reruns")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, all others in their order."""
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real recordings, audio, tokenizer and vectors, kept outside the repository."""
    folder = Path(os.environ.get("HIGHGAMMA_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "MANIFEST.tsv").is_file():
        if os.environ.get("HIGHGAMMA_REQUIRE_SHARED_DATA"):
            pytest.fail(f"the real test data are required but absent: {folder}")
        pytest.skip(f"no real test data at {folder} (HIGHGAMMA_SHARED_DATA names another place)")
    return folder


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Path:
    """The folder of a complete demo run, made by whichever worker asks first; read it only.

    HIGHGAMMA_DEMO_RUN names one that is there already.
    """
    if ready := os.environ.get("HIGHGAMMA_DEMO_RUN"):
        return Path(ready)
    base = tmp_path_factory.getbasetemp()
    # Every worker of a parallel run has a folder of its own inside the run's.
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    folder = shared / "demo-run"
    with FileLock(shared / "demo-run.lock"):
        if not folder.exists():
            folder.mkdir()
            done = snakemake(folder=folder)
            (folder / "said.txt").write_text(f"{done.returncode}\n{done.stdout}{done.stderr}")
    said = (folder / "said.txt").read_text()
    assert said.startswith("0\n"), said
    return folder


@pytest.fixture
def demo_copy(demo, request):
    """A finished demo of the test's own, beside the other: elsewhere its inputs would be others."""
    own = demo.with_name(f"{demo.name}-{request.node.name[:40]}-{os.getpid()}")
    shutil.copytree(demo, own, symlinks=True)
    yield own
    shutil.rmtree(own)
