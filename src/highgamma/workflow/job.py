"""The frame of every job: its log, its threads, and one message if the input is wrong."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from highgamma.errors import DamagedFileError, InputError

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@contextmanager
def job(
    log: str | os.PathLike[str], *, threads: int, network: bool = False
) -> Iterator[logging.Logger]:
    """Run a job's work with its log and its share of the processors.

    Thread counts are set before numpy or torch are imported, so import them inside the block.
    Progress goes to the log through the logger `highgamma`; warnings also go to the terminal.
    An `InputError` ends the process with its message and status 1, without a traceback; any
    other error is logged with its traceback and raised again. A damaged file of the results is
    set aside, so that the next run recomputes it.

    Parameters
    ----------
    log
        The log file, which is overwritten.
    threads
        Number of threads of numerical libraries.
    network
        Whether the job downloads files: the hub of models is available, and progress also goes
        to the terminal.

    Yields
    ------
    logger
        The logger `highgamma`.
    """
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not network:
        os.environ["HF_HUB_OFFLINE"] = "1"
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger("highgamma")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    to_file = logging.FileHandler(log, mode="w", encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setLevel(logging.INFO if network else logging.WARNING)
    to_terminal.addFilter(lambda record: record.levelno < logging.CRITICAL)
    to_terminal.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger.handlers = [to_file, to_terminal]
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").handlers = [to_file]
    try:
        yield logger
    except InputError as error:
        logger.error("%s", error)
        if isinstance(error, DamagedFileError) and _set_aside(str(error.where)):
            logger.error("it was set aside as %s.damaged: run again", error.where)
        logger.handlers = []
        sys.exit(1)
    except BaseException:
        logger.critical("%s", traceback.format_exc())
        raise
    finally:
        to_file.close()


def _set_aside(path: str) -> bool:
    """Rename a file of the results; files from elsewhere are not touched."""
    whole = Path(path).resolve()
    if not whole.is_relative_to(Path("results").resolve()):
        return False
    try:
        os.replace(whole, f"{whole}.damaged")
    except OSError:
        return False
    return True
