"""Locks that a killed run left behind are taken away, those of a living one are respected.

Snakemake locks the files of a run until it ends; a run that is killed leaves its locks, and the
next one is refused until somebody unlocks the folder by hand. The operating system knows better:
it gives back a file lock (flock) when its process dies, however it dies.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import IO

NAME = "highgamma.workflow.lock"


def hold(folder: str | os.PathLike[str]) -> IO[str] | None:
    """Say that this process runs in a folder, and clear the locks of runs that are dead.

    Every run holds a shared lock on one file. Whoever can have it alone is alone. A run on another
    machine may not be seen where the file system keeps locks to each machine; its name stands in
    the file, and its locks are then left to whoever knows.

    Parameters
    ----------
    folder
        Snakemake's own folder, `.snakemake`, of the working directory.

    Returns
    -------
    The open file, to be kept until the run ends; None where the file system has no such locks.
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
        return None  # Snakemake says what is wrong with the folder
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
