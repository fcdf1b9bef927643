"""What goes wrong on real machines, and that a plain restart makes good."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
from running import ROOT, snakemake

from highgamma.workflow import lock

NEURAL = "results/demo/neural/sub-01.nc"
SCORES = "results/demo/scores/frames/sub-01/envelope/00.nc"


@pytest.fixture
def folder(demo_copy):
    return demo_copy


@contextmanager
def small_disk(place: Path, *, kilobytes: int, options: str = ""):
    """A file system of a few kilobytes on a folder; only the super-user may mount one."""
    place.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k{options}", "tmpfs", str(place)],
        capture_output=True, text=True,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def start(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "snakemake", "--cores", "2"]
    return subprocess.Popen(
        [*command, "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder), *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def until(happened, run: subprocess.Popen[str], *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert run.poll() is None, run.stdout and run.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_truncated_file_is_named_set_aside_and_made_anew(folder):
    expected = {name: (folder / name).read_bytes() for name in (NEURAL, SCORES)}
    os.truncate(folder / NEURAL, len(expected[NEURAL]) // 2)
    (folder / SCORES).unlink()
    failed = snakemake(SCORES, folder=folder)
    assert failed.returncode != 0
    said = failed.stdout + failed.stderr
    assert "not a readable NetCDF file" in said
    assert f"set aside as {NEURAL}.damaged" in said
    assert "Traceback" not in said
    again = snakemake(SCORES, folder=folder)
    assert again.returncode == 0, again.stdout + again.stderr
    assert {name: (folder / name).read_bytes() for name in expected} == expected


def test_damage_inside_a_file_is_found_where_it_is_read(folder):
    expected = (folder / NEURAL).read_bytes()
    with h5py.File(folder / NEURAL) as opened:
        signal = opened["high_gamma"].id.get_chunk_info(0).byte_offset
    with (folder / NEURAL).open("r+b") as file:
        file.seek(signal)
        file.write(np.random.default_rng(0).bytes(4096))
    (folder / SCORES).unlink()
    failed = snakemake(SCORES, folder=folder)
    assert "not a readable NetCDF file" in failed.stdout + failed.stderr
    assert snakemake(SCORES, folder=folder).returncode == 0
    assert (folder / NEURAL).read_bytes() == expected


def test_a_full_disk_leaves_nothing_half_written(folder):
    expected = (folder / NEURAL).read_bytes()
    shutil.rmtree(folder / "results/demo/neural")
    with small_disk(folder / "results/demo/neural", kilobytes=64):
        failed = snakemake(NEURAL, folder=folder)
        said = failed.stdout + failed.stderr
        assert failed.returncode != 0
        assert "cannot write the file" in said
        assert "free space" in said
        assert not list((folder / "results/demo/neural").iterdir())
    assert snakemake(NEURAL, folder=folder).returncode == 0
    assert (folder / NEURAL).read_bytes() == expected


def test_a_folder_that_may_not_be_written_to_is_named(folder):
    shutil.rmtree(folder / "results/demo/neural")
    with small_disk(folder / "results/demo/neural", kilobytes=64, options=",ro"):
        failed = snakemake(NEURAL, folder=folder)
    said = failed.stdout + failed.stderr
    assert failed.returncode != 0
    assert "Read-only file system" in said
    assert "results/demo/neural" in said


def test_a_killed_run_is_taken_up_by_a_plain_restart(folder):
    expected = (folder / NEURAL).read_bytes()
    (folder / NEURAL).unlink()
    run = start(NEURAL, folder=folder)
    log = folder / "results/demo/logs/neural/sub-01.log"
    log.unlink()
    until(log.exists, run)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert not (folder / NEURAL).exists()
    assert list((folder / ".snakemake/locks").iterdir())
    again = snakemake(NEURAL, folder=folder)
    assert again.returncode == 0, again.stdout + again.stderr
    assert (folder / NEURAL).read_bytes() == expected


def test_a_second_run_on_one_folder_is_refused_and_harms_nothing(folder):
    expected = (folder / NEURAL).read_bytes()
    (folder / NEURAL).unlink()
    run = start(NEURAL, folder=folder)
    locks = folder / ".snakemake/locks"
    until(lambda: locks.is_dir() and any(locks.iterdir()), run)
    # Stopped, it holds its locks for as long as the second one takes to start.
    os.killpg(run.pid, signal.SIGSTOP)
    try:
        second = snakemake(NEURAL, folder=folder)
    finally:
        os.killpg(run.pid, signal.SIGCONT)
    assert second.returncode != 0
    assert "cannot be locked" in second.stdout + second.stderr
    said = run.communicate(timeout=300)[0]
    assert run.returncode == 0, said
    assert (folder / NEURAL).read_bytes() == expected


def test_locks_of_a_run_on_another_machine_are_left_alone(tmp_path):
    left = tmp_path / "locks/0.input.lock"
    left.parent.mkdir()
    left.write_text("x\n")
    (tmp_path / lock.NAME).write_text("another-machine\n")
    held = lock.hold(tmp_path)
    assert held is not None
    held.close()
    assert left.exists()


def test_locks_are_cleared_by_whoever_is_alone(tmp_path):
    left = tmp_path / "locks/0.input.lock"
    left.parent.mkdir()
    left.write_text("x\n")
    alone = lock.hold(tmp_path)
    assert alone is not None
    assert not left.exists()
    left.write_text("x\n")
    beside = lock.hold(tmp_path)
    assert beside is not None
    assert left.exists()
    alone.close()
    beside.close()
