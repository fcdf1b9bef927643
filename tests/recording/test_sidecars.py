"""What sidecars say is taken where it can be meant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from highgamma.errors import InputError
from highgamma.recording.files import Segment
from highgamma.recording.outputs import compare_with_sidecar
from highgamma.recording.sidecars import mains_of, read_json
from highgamma.recording.signals import Signals


@pytest.mark.parametrize(
    ("stated", "mains"),
    [
        ("50", 50.0),
        ("60.0", 60.0),
        ("1e999", None),
        ("1" * 400, None),
        ("NaN", None),
        ("-1", None),
        ("1e-320", None),
        ("true", None),
    ],
)
def test_a_mains_frequency_that_cannot_be_is_none(tmp_path: Path, stated: str, mains) -> None:
    path = tmp_path / "x_ieeg.json"
    path.write_text(f'{{"PowerLineFrequency": {stated}}}')
    segment = Segment("sub-01", "recording", tmp_path / "x_ieeg.edf", sidecar=path)
    assert mains_of([segment]) == mains


def test_a_sidecar_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"a": ' + "[" * 20_000 + "]" * 20_000 + "}")
    with pytest.raises(InputError, match="nested too deeply"):
        read_json(path)


@pytest.mark.parametrize("stated", ["1" * 400, "1e-320", "1e308", "NaN", "Infinity"])
def test_numbers_that_cannot_be_are_compared_all_the_same(tmp_path: Path, stated: str) -> None:
    path = tmp_path / "x_ieeg.json"
    path.write_text(f'{{"SamplingFrequency": {stated}, "RecordingDuration": {stated}}}')
    segment = Segment("sub-01", "recording", tmp_path / "x_ieeg.edf", sidecar=path)
    signals = Signals(
        path=segment.signal, names=("A1",), rate=100.0, n_samples=100, clock=0.0, unit="V",
        fetch=lambda start, stop, columns: np.zeros((stop - start, len(columns))),
    )  # fmt: skip
    try:
        compare_with_sidecar(segment, signals)
    except InputError as error:
        assert "states" in str(error)


def test_a_sidecar_that_is_a_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(InputError, match="the sidecar holds no object"):
        read_json(tmp_path / "x.json")


def test_a_recording_without_sidecar_or_of_another_length_is_reported(
    tmp_path: Path, caplog
) -> None:
    segment = Segment("sub-01", "recording", tmp_path / "x_ieeg.edf")
    signals = Signals(
        path=segment.signal, names=("A1",), rate=100.0, n_samples=1000, clock=0.0, unit="V",
        fetch=lambda start, stop, columns: np.zeros((stop - start, len(columns))),
    )  # fmt: skip
    compare_with_sidecar(segment, signals)
    assert "x_ieeg.edf has no ieeg.json; its rate and duration are not checked" in caplog.text
    path = tmp_path / "x_ieeg.json"
    path.write_text('{"SamplingFrequency": 100, "RecordingDuration": 20}')
    compare_with_sidecar(replace(segment, sidecar=path), signals)
    assert "RecordingDuration is 20 s in x_ieeg.json and 10 s in the recording" in caplog.text
