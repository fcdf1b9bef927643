"""Damaged bytes give a result or a refusal; of each reader a few of the campaign's mutations."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from running import ROOT

MUTATIONS = 40


@pytest.fixture(scope="module")
def fuzz() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        patch.delitem(sys.modules, "benchmarks", raising=False)
        yield importlib.import_module("benchmarks.fuzz")


def readers() -> list[str]:
    """Names of the readers, which the campaign's own file lists."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        patch.delitem(sys.modules, "benchmarks", raising=False)
        return list(importlib.import_module("benchmarks.readers").READERS)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is bounded on Linux only")
@pytest.mark.parametrize("name", readers())
def test_a_reader_gives_a_result_or_a_refusal(fuzz: Any, name: str) -> None:
    found = fuzz.campaign_of(name, MUTATIONS)
    assert found["first_failures"] == []
    assert found["results"] + found["refused"] == MUTATIONS
    # Damage that every reader refuses at once would show nothing.
    assert found["results"] > 0 or name in ("gzip", "archive", "netcdf")


def test_a_mutation_is_the_same_each_time(fuzz: Any) -> None:
    seeds = [{"a.tsv": b"x\ty\n1\t2\n"}]
    several = [fuzz.files_of("tables", seeds, number) for number in range(50)]
    assert several == [fuzz.files_of("tables", seeds, number) for number in range(50)]
    assert len({str(files) for files in several}) > 25


@pytest.fixture
def misbehaving(fuzz: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A campaign of one reader that is given, with little patience."""
    monkeypatch.setattr(fuzz, "SECONDS", 0.2)

    def counted(read: Any) -> tuple[int, list[str]]:
        first = iter(range(10_000))

        def damaged_only(folder: Path) -> None:
            if (folder / "a.txt").read_bytes() != b"whole" and next(first) == 0:
                read()

        reader = fuzz.FuzzedReader(lambda: [{"a.txt": b"whole"}], damaged_only)
        monkeypatch.setitem(fuzz.READERS, "toy", reader)
        found = fuzz.campaign_of("toy", 3)
        return found["failures"], [failure["what"] for failure in found["first_failures"]]

    return counted


def test_what_a_reader_must_not_do_is_counted(misbehaving: Any) -> None:
    import os
    import signal

    def spins() -> None:
        while True:
            pass

    def raises() -> None:
        raise KeyError("x")

    def swallows() -> None:
        from highgamma.errors import InputError

        try:
            bytearray(1 << 34)
        except MemoryError as error:
            raise InputError("x") from error

    assert misbehaving(raises) == (1, ["exception"])
    assert misbehaving(spins) == (1, ["too long"])
    assert misbehaving(swallows) == (1, ["too much memory"])
    # A process that is begun again begins to count again: each mutation ends one.
    assert misbehaving(lambda: os.kill(os.getpid(), signal.SIGSEGV)) == (3, ["crash"])
