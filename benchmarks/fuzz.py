"""`python -m benchmarks.fuzz`: whatever reads foreign bytes, given damaged ones.

Each reader of `benchmarks.readers` is given `MUTATIONS` sets of files, each a small whole set that
was damaged (`benchmarks.mutations`). It must answer with a result or an `InputError`, within
`SECONDS` of computing and `MEMORY` bytes more than before. Readers run in a process of their own,
which is begun again when it dies. Writes fuzz.json; `python -m benchmarks.fuzz nwb --only 17`
repeats one mutation and shows where it fails.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks.readers import READERS, Files, FuzzedReader

HERE = Path(__file__).parent
MUTATIONS = 10_000
SECONDS = 5.0
MEMORY = 1 << 30
SILENCE_S = 60.0
"""Twice this long without a word, and a process is taken to hang without computing."""
KEPT = 20
"""Failures that are written out for a reader."""
SEED = 1

__all__ = ["READERS", "FuzzedReader", "campaign_of", "files_of"]

ANSWERED, REFUSED = "result", "refused"


class _TooLong(BaseException):
    """Raised in a reader that takes longer than `SECONDS`; no library takes it for its own."""


class _Worker:
    """One reader in a process with limits."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.reader, self.folder = name, READERS[name], folder
        self.late = False
        signal.signal(signal.SIGPROF, self._stop)

    def _stop(self, *_: object) -> None:
        self.late = True
        raise _TooLong

    def outcome(self, files: Files) -> tuple[str, str]:
        """Read files; return `result`, `refused` or the kind of failure, and what was raised."""
        from highgamma.errors import InputError

        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
        self.late = False
        raised: BaseException | None = None
        # Computing time, so that other work on the machine doesn't count. The second alarm ends
        # the process where the first one's handler isn't reached: in a loop of a C library.
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.setitimer(signal.ITIMER_VIRTUAL, 2 * SECONDS)
        try:
            self.reader.read(self.folder)
        except InputError as error:
            raised = error
        except (Exception, _TooLong, RecursionError) as error:
            raised = error
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        if self.late:
            return "too long", _where(raised)
        if raised is None:
            return ANSWERED, ""
        if any(isinstance(cause, MemoryError) for cause in _causes(raised)):
            return "too much memory", _where(raised)
        if isinstance(raised, InputError):
            return REFUSED, ""
        return "exception", _where(raised)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    seen = 0
    while cause is not None and seen < 50:
        yield cause
        cause, seen = cause.__cause__ or cause.__context__, seen + 1


def _where(error: BaseException | None) -> str:
    """Return an exception's first line, and the last place of this project that it came from."""
    if error is None:
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "highgamma" in Path(f.filename).parts]
    place = f"{Path(own[-1].filename).name}:{own[-1].name}" if own else ""
    first = (str(error).splitlines() or [""])[0][:200]
    return f"{type(error).__name__}: {first} [{place}]"


def files_of(name: str, seeds: list[Files], number: int) -> Files:
    """Return the files of one mutation; the same number gives the same bytes.

    Parameters
    ----------
    name
        The reader.
    seeds
        Its whole files.
    number
        Of the mutation.
    """
    reader = READERS[name]
    draw = np.random.default_rng([SEED, zlib.crc32(name.encode()), number])
    files = dict(seeds[int(draw.integers(0, len(seeds)))])
    changeable = sorted(set(files) - set(reader.fixed))
    count = 1 if draw.random() < 0.85 else min(2, len(changeable))
    for chosen in draw.choice(changeable, count, replace=False):
        files[str(chosen)] = reader.mutated(files[str(chosen)], Path(str(chosen)).suffix, draw)
    return files


def _limited() -> None:
    """Allow this process `MEMORY` bytes more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _work(name: str, seeds: list[Files], numbers: range, folder: Path, answers: Connection) -> None:
    """Read the mutations of these numbers, and report each."""
    _quiet()
    faulthandler.disable()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    worker = _Worker(name, folder)
    # Imports and first allocations don't count towards a mutation's memory.
    for files in seeds:
        worker.outcome(files)
    _limited()
    for number in numbers:
        answers.send((number, *worker.outcome(files_of(name, seeds, number))))
    answers.close()


def _sleeps(process: int | None) -> bool:
    """Return whether a process waits, instead of computing or wanting to."""
    state = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][:1]
    return state not in ("R", "Z")


def _answers(
    name: str, seeds: list[Files], numbers: range, folder: Path
) -> Iterator[tuple[int, str, str]]:
    """Yield number, outcome and what was raised, of each mutation that a process got to."""
    context = get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(name, seeds, numbers, folder, sender))
    process.start()
    sender.close()
    following, silent = numbers.start, 0
    try:
        while following < numbers.stop:
            if not receiver.poll(SILENCE_S):
                # One that waits for its turn on a busy machine is not waiting for anything else.
                silent = silent + 1 if _sleeps(process.pid) else 0
                if silent == 2:
                    process.kill()
                    yield following, "hang", "no answer and no computing"
                    return
                continue
            silent = 0
            try:
                answer = receiver.recv()
            except EOFError:
                process.join()
                code = -(process.exitcode or 0)
                said = signal.Signals(code).name if code > 0 else f"exit {-code}"
                yield following, "hang" if said == "SIGVTALRM" else "crash", said
                return
            yield answer
            following = answer[0] + 1
    finally:
        process.join(None if following == numbers.stop else 0)
        process.kill()
        process.join()
        receiver.close()


def checked_seeds(name: str, folder: Path) -> list[Files]:
    """Return the whole files of a reader, which it must take."""
    seeds = READERS[name].seeds()
    for files in seeds:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for file, content in files.items():
            (folder / file).write_bytes(content)
        READERS[name].read(folder)
    return seeds


def campaign_of(name: str, mutations: int) -> dict[str, Any]:
    """Give a reader its mutations; return the counts, and the first failures of each kind."""
    began = time.monotonic()
    counts = {ANSWERED: 0, REFUSED: 0}
    failures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="highgamma-fuzz-") as place:
        folder = Path(place) / "files"
        seeds = checked_seeds(name, folder)
        number = 0
        while number < mutations:
            for at, outcome, said in _answers(name, seeds, range(number, mutations), folder):
                number = at + 1
                if outcome in counts:
                    counts[outcome] += 1
                else:
                    failures.append({"number": at, "what": outcome, "said": said})
    known = {(f["what"], f["said"]): f for f in reversed(failures)}
    shown = sorted(known.values(), key=lambda f: f["number"])[:KEPT]
    return {
        "mutations": mutations,
        "results": counts[ANSWERED],
        "refused": counts[REFUSED],
        "failures": len(failures),
        "first_failures": shown,
        "seconds": round(time.monotonic() - began, 1),
        "seed": SEED,
    }


def again(name: str, number: int) -> int:
    """Repeat one mutation in this process, without limits, and show what is raised."""
    from highgamma.errors import InputError

    with tempfile.TemporaryDirectory(prefix="highgamma-fuzz-") as place:
        folder = Path(place) / "files"
        seeds = checked_seeds(name, folder)
        shutil.rmtree(folder)
        folder.mkdir()
        for file, content in files_of(name, seeds, number).items():
            (folder / file).write_bytes(content)
        try:
            READERS[name].read(folder)
        except InputError as error:
            print(f"refused: {error}")
            return 0
    print("a result")
    return 0


def _quiet() -> None:
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("readers", nargs="*", default=list(READERS), metavar="reader")
    parser.add_argument("--mutations", type=int, default=MUTATIONS)
    parser.add_argument("--workers", type=int, default=1, help="readers at once")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="repeat one mutation")
    given = parser.parse_args()
    unknown = sorted(set(given.readers) - set(READERS))
    if unknown:
        parser.error(f"unknown reader {unknown[0]}; there are {', '.join(READERS)}")
    _quiet()
    if given.only is not None:
        return again(given.readers[0], given.only)
    path = HERE / "fuzz.json"
    before = json.loads(path.read_text("utf-8")) if path.is_file() else {}

    def run(name: str) -> dict[str, Any]:
        found = campaign_of(name, given.mutations)
        print(json.dumps({name: found}, indent=1), flush=True)
        return found

    failures = 0
    with ThreadPoolExecutor(given.workers) as pool:
        for name, found in zip(given.readers, pool.map(run, given.readers), strict=True):
            failures += found["failures"]
            before[name] = found
            whole = {name: before[name] for name in READERS if name in before}
            path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
