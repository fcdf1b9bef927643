"""Snakemake's scheduler without its unnecessary passes.

Snakemake 9 limits how many jobs start within a time (`--max-jobs-per-timespan`, 100 per second by
default). To find out when it may start more, every pass of its scheduler sets a timer for
the next one, and so does that one: each job that ends adds one pass per second for the rest of
the run. After a hundred jobs they take half a core, after several hundred a whole one.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def without_idle_passes() -> bool:
    """Remove idle passes from Snakemake's scheduler.

    The scheduler is a private class of Snakemake. A version with another class is not changed,
    and runs more slowly.

    Returns
    -------
    removed
        Whether the scheduler was changed.
    """
    try:
        module = import_module("snakemake.scheduling.job_scheduler")
        scheduler = module.JobScheduler
    except (ImportError, AttributeError):
        return False
    return relieve(scheduler)


def relieve(scheduler: Any) -> bool:
    """Let a scheduler class repeat a pass only if jobs started within the limit's time.

    Otherwise the limit did not delay any job, and the end of the next job triggers the next pass.

    Parameters
    ----------
    scheduler
        `snakemake.scheduling.job_scheduler.JobScheduler`; a class that sets its timers in another
        way is not changed.

    Returns
    -------
    relieved
        Whether the class was changed.
    """
    original = getattr(scheduler, "_schedule_reevalutation", None)
    if original is None:
        return False

    def look_again(self: Any, delay: float) -> None:
        limit = getattr(self, "job_rate_limiter", None)
        if limit is None or delay != limit.timespan:
            original(self, delay)
        elif limit.get_free_jobs() < limit.max_jobs:
            timer = getattr(self, "_highgamma_timer", None)
            if timer is None or timer.done.is_set():
                self._highgamma_timer = _Timer(delay, self._open_jobs.release)

    scheduler._schedule_reevalutation = look_again
    return True


class _Timer:
    """Calls a function once after a time, in a thread that keeps no process alive."""

    def __init__(self, seconds: float, function: Any) -> None:
        import threading

        self.done = threading.Event()

        def run() -> None:
            self.done.set()
            function()

        timer = threading.Timer(seconds, run)
        timer.daemon = True
        timer.start()
