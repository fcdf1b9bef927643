"""Units of voltage as people spell them, and none."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from edf_writer import write_edf

from highgamma.recording.files import find
from highgamma.recording.opening import open_signals
from highgamma.recording.signals import microvolts

RATE = 512
VALUES = np.arange(10 * RATE) % 1000
IN_MICROVOLTS = {
    "uV": 1, "µV": 1, "UV": 1, "uv": 1, "microV": 1, "uVolt": 1, "uVolts": 1,
    "mV": 1000, "milliV": 1000, "V": 1e6, "Volt": 1e6, "nV": 0.001,
}  # fmt: skip


def write(root: Path, suffix: str, unit: str, listed: str = "µV") -> None:
    folder = root / "sub-01/ieeg"
    folder.mkdir(parents=True)
    stem = folder / "sub-01_task-x"
    Path(f"{stem}_channels.tsv").write_text(f"name\ttype\tunits\nLA1\tSEEG\t{listed}\n")
    Path(f"{stem}_ieeg.json").write_text(json.dumps({"SamplingFrequency": RATE}))
    path = Path(f"{stem}_ieeg{suffix}")
    if suffix == ".edf":
        write_edf(path, {"LA1": (RATE, VALUES)}, unit=unit)
        return
    VALUES.astype("<f4").tofile(path.with_suffix(".eeg"))
    path.with_suffix(".vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\n"
        f"DataFile={path.stem}.eeg\n[Marker Infos]\n"
    )
    path.write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\n"
        f"DataFile={path.stem}.eeg\nMarkerFile={path.stem}.vmrk\nDataFormat=BINARY\n"
        f"DataOrientation=MULTIPLEXED\nNumberOfChannels=1\nSamplingInterval={1e6 / RATE}\n"
        f"[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n[Channel Infos]\nCh1=LA1,,1,{unit}\n",
        encoding="utf-8",
    )


def read(root: Path) -> np.ndarray:
    with open_signals(find(root, "sub-01")[0]) as signals:
        return signals.select(["LA1"]).read()[:, 0]


@pytest.mark.parametrize("suffix", [".edf", ".vhdr"])
@pytest.mark.parametrize("unit", IN_MICROVOLTS)
def test_a_unit_is_known_however_it_is_spelled(tmp_path, suffix, unit):
    write(tmp_path, suffix, unit)
    np.testing.assert_allclose(read(tmp_path), VALUES * IN_MICROVOLTS[unit], rtol=1e-6)
    assert microvolts(unit) == IN_MICROVOLTS[unit]


def test_a_unit_that_the_file_leaves_out_is_that_of_the_channels_table(tmp_path, caplog):
    write(tmp_path / "a", ".edf", "", listed="mV")
    np.testing.assert_allclose(read(tmp_path / "a"), VALUES * 1000)
    write(tmp_path / "b", ".edf", "", listed="n/a")
    with caplog.at_level(logging.WARNING, "highgamma"):
        np.testing.assert_allclose(read(tmp_path / "b"), VALUES)
    assert "neither the file nor channels.tsv names the unit of 1 channels" in caplog.text
    # BrainVision's own default is µV.
    write(tmp_path / "c", ".vhdr", "", listed="n/a")
    np.testing.assert_allclose(read(tmp_path / "c"), VALUES, rtol=1e-6)


@pytest.mark.parametrize("unit", ["N", "degC", "a.u.", "mm", "rev", "kV"])
def test_other_units_are_left_as_they_are(tmp_path, unit):
    write(tmp_path, ".edf", unit)
    np.testing.assert_allclose(read(tmp_path), VALUES)
    assert microvolts(unit) is None
