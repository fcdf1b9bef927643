"""A job ends a user's mistake with one message, and leaves everything else in its log."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from highgamma.workflow.job import job
with job(sys.argv[1], threads=1) as logger:
    logger.info("started")
    {body}
"""


def run(tmp_path: Path, body: str) -> tuple[subprocess.CompletedProcess[str], str]:
    log = tmp_path / "logs" / "job.log"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=body), str(log)], capture_output=True, text=True
    )
    return done, log.read_text()


def test_a_users_mistake_is_one_message_without_a_traceback(tmp_path):
    done, log = run(
        tmp_path,
        "from highgamma.errors import InputError; "
        "raise InputError('no words', where='events.tsv', remedy='add some')",
    )
    assert done.returncode == 1
    assert "no words" in done.stderr
    assert "events.tsv" in done.stderr
    assert "add some" in done.stderr
    assert "Traceback" not in done.stderr + log


def test_any_other_error_keeps_its_traceback_in_the_log(tmp_path):
    done, log = run(tmp_path, "1 / 0")
    assert done.returncode == 1
    assert "ZeroDivisionError" in log
    assert "started" in log


def test_threads_are_handed_to_the_numerical_libraries(tmp_path):
    done, _ = run(
        tmp_path,
        "import os; print(os.environ['OMP_NUM_THREADS'], os.environ['OPENBLAS_NUM_THREADS'])",
    )
    assert done.stdout.split() == ["1", "1"]


def test_warnings_reach_the_terminal_and_progress_does_not(tmp_path):
    done, log = run(tmp_path, "logger.warning('flat electrode')")
    assert "flat electrode" in done.stderr
    assert "started" not in done.stderr
    assert "started" in log
