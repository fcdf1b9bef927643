"""Which jobs Snakemake would run, according to its own graph."""

from __future__ import annotations

import csv
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from highgamma.errors import InputError

COLUMNS = ("output_file", "rule", "plan")
"""Columns of `snakemake --summary` that are read."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job that Snakemake would run.

    Attributes
    ----------
    rule
        Name of its rule.
    name
        The rule, then the path of the job's file below the first folder of the run, such as
        `encoding/words/sub-01/mel/00`. It contains all wildcards and identifies the job's
        benchmark.
    """

    rule: str
    name: str

    @property
    def wildcards(self) -> tuple[str, ...]:
        """The parts of the name after the rule."""
        return tuple(self.name.split("/")[1:])


def planned(command: Sequence[str], *, results: str | Path) -> list[Job]:
    """Return the jobs that a call of Snakemake would run, from its `--summary`.

    A dry run prints only a job's message; the summary lists rule and plan of every file.

    Parameters
    ----------
    command
        Program and arguments, without `--summary`.
    results
        Folder of the run's results.

    Returns
    -------
    jobs
        Each job once, in the order of the summary.

    Raises
    ------
    InputError
        If the graph cannot be built; the message is Snakemake's.
    """
    done = subprocess.run(  # noqa: S603
        [*command, "--summary"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        messages = [line for line in done.stderr.strip().splitlines() if line.strip()]
        shown = [
            line for line in messages if not line.startswith(("Using workflow", "Building DAG"))
        ]
        raise InputError(
            "the jobs cannot be planned:\n" + "\n".join(shown[-20:]),
            remedy="fix what the message names",
        )
    return list(jobs_of(done.stdout.splitlines(), results=results))


def jobs_of(summary: Iterable[str], *, results: str | Path) -> Iterator[Job]:
    """Yield the jobs of a summary, each once.

    Parameters
    ----------
    summary
        Lines that `snakemake --summary` printed.
    results
        Folder of the run's results.

    Raises
    ------
    InputError
        If the summary does not have the expected columns.
    """
    lines = iter(summary)
    header = next((line for line in lines if line.startswith(COLUMNS[0])), None)
    if header is None or not set(COLUMNS) <= set(header.split("\t")):
        raise InputError(
            "the summary of the jobs cannot be read",
            expected="a table with the columns " + ", ".join(COLUMNS),
            remedy="report this with the version of Snakemake",
        )
    folder = PurePosixPath(Path(results).as_posix())
    seen: set[Job] = set()
    for row in csv.DictReader(lines, header.split("\t"), delimiter="\t", quoting=csv.QUOTE_NONE):
        job = Job(row["rule"], _name(row["rule"], PurePosixPath(row["output_file"]), folder))
        if row["plan"] == "update pending" and job not in seen:
            seen.add(job)
            yield job


def _name(rule: str, path: PurePosixPath, results: PurePosixPath) -> str:
    """Return a job's name from one of its files; all files of a job give the same name."""
    if path.is_relative_to(results):
        _, *parts = path.relative_to(results).with_suffix("").parts
    elif path.parts[:2] == ("resources", "models"):
        parts = [path.name]
    else:
        # The demo's rules write several files of a participant, or several of all.
        match = re.search(r"sub-[A-Za-z0-9]+", str(path))
        parts = [match.group()] if match else []
    return "/".join([rule, *parts])
