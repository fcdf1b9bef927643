"""File formats: one entry of a table makes the workflow find, describe and read another one."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

from highgamma.errors import InputError
from highgamma.recording.files import find
from highgamma.recording.formats import FORMATS, RecordingFormat, format_of, suffixes
from highgamma.recording.opening import open_signals
from highgamma.recording.reader import Reader
from highgamma.recording.signals import Signals
from highgamma.recording.sound import audio

VALUES = np.random.default_rng(0).standard_normal((3000, 2))
SOUND = np.sin(2 * np.pi * 440 * np.arange(48_000) / 16_000)


@contextmanager
def opened(segment):
    yield Signals(
        path=segment.signal,
        names=("A1", "A2"),
        rate=1000.0,
        n_samples=len(VALUES),
        fetch=lambda start, stop, columns: VALUES[start:stop, list(columns)],
        clock=12.0,
        unit="uV",
        series={"Audio": lambda: Reader.of_array(SOUND[:, None], rate=16_000.0)},
    )


def toy(**options):
    return RecordingFormat(
        name="Toy", suffixes=(".toy",), companions=(".toyinfo",), opened=opened, **options
    )


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "sub-01" / "ieeg"
    folder.mkdir(parents=True)
    for suffix in (".toy", ".toyinfo"):
        (folder / f"sub-01_task-x_ieeg{suffix}").touch()
    return tmp_path


def test_a_registered_format_is_found_and_read_with_its_companions_and_sound(root):
    with FORMATS.extended(toy()):
        (segment,) = find(root, "sub-01")
        assert [path.suffix for path in segment.paths()] == [".toy", ".toyinfo"]
        assert format_of(segment.signal).name == "Toy"
        with open_signals(segment) as signals:
            assert np.array_equal(signals.select(["A2"]).read(5, 9), VALUES[5:9, [1]])
        assert np.allclose(audio(segment).samples, SOUND / np.abs(SOUND).max(), atol=1e-6)
    with pytest.raises(InputError, match="sub-01 has no recording"):
        find(root, "sub-01")


def test_a_package_that_a_format_needs_and_that_is_absent_is_named(root):
    with FORMATS.extended(toy(package="a_reader_of_toys")):
        (segment,) = find(root, "sub-01")
        with (
            pytest.raises(InputError, match="Toy files need the package a_reader_of_toys"),
            open_signals(segment),
        ):
            pass


def test_of_one_recording_in_two_formats_the_first_of_the_table_is_read(root):
    (root / "sub-01" / "ieeg" / "sub-01_task-x_ieeg.fif").touch()
    with FORMATS.extended(toy()):
        (segment,) = find(root, "sub-01")
        assert segment.signal.suffix == ".fif"
        assert suffixes() == [".nwb", ".vhdr", ".edf", ".bdf", ".fif", ".set", ".toy"]
