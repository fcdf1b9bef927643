"""Removal of the locks of killed runs; those of active runs are kept.

Snakemake locks the files of a run until it ends. A run that is killed leaves its locks, and the
next one is refused until the folder is unlocked by hand. The operating system, in contrast,
releases a file lock (flock) whenever its process ends.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import IO

NAME = "highgamma.workflow.lock"


def hold(folder: str | os.PathLike[str]) -> IO[str] | None:
    """Register this process as a run in a folder, and remove the locks of runs that were killed.

    Every run holds a shared lock on one file. A process that obtains an exclusive lock on it is
    the only run. On file systems with locks local to each machine, a run on another machine is
    recognised by its machine's name in the file, and the locks are kept.

    Parameters
    ----------
    folder
        Snakemake's own folder, `.snakemake`, of the working directory.

    Returns
    -------
    held
        The open file, to be kept until the run ends; None if the file system has no such locks.
    """
    try:
        import fcntl
    except ImportError:  # not on this system
        return None
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
        held = open(place / NAME, "a+", encoding="utf-8")  # noqa: SIM115 (until the run ends)
    except OSError:
        return None  # Snakemake reports what is wrong with the folder
    here = socket.gethostname()
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            held.seek(0)
            if set(held.read().split()) <= {here}:
                for left in (place / "locks").glob("*.lock"):
                    left.unlink(missing_ok=True)
                held.truncate(0)
        fcntl.flock(held, fcntl.LOCK_SH)
        held.write(f"{here}\n")
        held.flush()
    except OSError:
        held.close()
        return None
    return held
