"""BrainVision, EDF, FIF and EEGLAB, read with MNE."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from edf_writer import write_edf

from highgamma.errors import InputError
from highgamma.recording.electrodes import channels
from highgamma.recording.files import Segment, find
from highgamma.recording.opening import open_signals
from highgamma.recording.signals import amplitude


def test_brainvision_is_read_with_its_companions(
    gripforce: Path, log: pytest.LogCaptureFixture
) -> None:
    (segment,) = find(gripforce, "sub-testsub", task="gripforce")
    assert segment.label == "ses-EphysMedOff_run-0"
    assert {path.suffix for path in segment.paths()} == {".vhdr", ".eeg", ".vmrk", ".tsv", ".json"}
    data = np.fromfile(segment.companions[0], "<f4").reshape(-1, 10) * 0.1  # µV, by the header
    with open_signals(segment) as signals:
        assert (signals.rate, signals.n_samples) == (1000.0, 19001)
        values = signals.select(["MOV_RIGHT", "ECOG_RIGHT_3"]).read(1000, 3000)
        measured = amplitude(signals, ["ECOG_RIGHT_3"])
        table = channels(segment, signals.names).set_index("name")
    np.testing.assert_allclose(values, data[1000:3000, [9, 6]], rtol=1e-6)
    assert measured.rms > 1e6  # tens of volts
    assert not measured.plausible
    assert "intracranial recordings have 1 to 2000 µV" in log.text
    assert "channels.tsv probably names the wrong unit" in log.text
    assert table.index[table["kept"] == "yes"].tolist() == [f"ECOG_RIGHT_{k}" for k in range(6)]
    # electrodes.tsv is in metres.
    assert table.loc["ECOG_RIGHT_0", "x"] == pytest.approx(37.318174)
    assert table.loc["ECOG_RIGHT_0", ["shaft", "contact"]].tolist() == ["ECOG_RIGHT", 0]
    assert set(table["region"]) == {"n/a"}


def test_edf_keeps_a_rate_that_is_no_integer(
    shared_data: Path, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    import mne

    source = shared_data / "ieeg_signals" / "mne_misc"
    folder = tmp_path / "sub-01" / "ieeg"
    folder.mkdir(parents=True)
    shutil.copy(source / "sample_ecog.edf", folder / "sub-01_task-x_ieeg.edf")
    shutil.copy(source / "sample_ecog_electrodes.tsv", folder / "sub-01_electrodes.tsv")
    shutil.copy(source / "coordsystem.json", folder / "sub-01_coordsystem.json")
    raw = mne.io.read_raw_edf(source / "sample_ecog.edf", preload=True, verbose="error")
    rows = [f"{n}\t{'EKG' if n.startswith('EKG') else 'ECOG'}\tµV" for n in raw.ch_names]
    (folder / "sub-01_task-x_channels.tsv").write_text("\n".join(["name\ttype\tunits", *rows]))
    (segment,) = find(tmp_path, "sub-01")
    with open_signals(segment) as signals:
        assert signals.rate == pytest.approx(999.412, abs=1e-3)
        np.testing.assert_allclose(
            signals.select(["C5", "C1"]).read(20_000), raw.get_data(["C5", "C1"], 20_000).T * 1e6
        )
        table = channels(segment, signals.names)
        assert amplitude(signals, ["C1", "C2", "C3"]).plausible
    assert (table["kept"] == "yes").sum() == 76
    assert table.loc[table["kept"] == "yes", "x"].notna().sum() == 64
    # The coordinates are in metres, whatever the coordsystem says.
    assert "The unit in coordsystem.json is probably wrong" in log.text


def test_fif_is_read(shared_data: Path, tmp_path: Path) -> None:
    import mne

    source = shared_data / "ieeg_signals" / "mne_misc" / "sample_ecog_ieeg.fif"
    folder = tmp_path / "sub-01" / "ieeg"
    folder.mkdir(parents=True)
    shutil.copy(source, folder / "sub-01_task-x_ieeg.fif")
    raw = mne.io.read_raw_fif(source, preload=True, verbose="error")
    with open_signals(find(tmp_path, "sub-01")[0]) as signals:
        assert signals.rate == 160
        np.testing.assert_allclose(
            signals.select(["G2"]).read()[:, 0], raw.get_data(["G2"])[0] * 1e6
        )


def test_eeglab_is_read(tmp_path: Path) -> None:
    pytest.importorskip("pymatreader", reason="MNE reads .set files with pymatreader")
    from scipy.io import savemat

    folder = tmp_path / "sub-01" / "ieeg"
    folder.mkdir(parents=True)
    values = np.random.default_rng(0).standard_normal((2, 500)).astype(np.float32)
    eeg = {
        "srate": 250.0,
        "nbchan": 2,
        "pnts": 500,
        "trials": 1,
        "xmin": 0.0,
        "xmax": 499 / 250,
        "data": values,
        "chanlocs": np.array([("A1",), ("A2",)], dtype=[("labels", "O")]),
        "event": np.array([]),
        "epoch": np.array([]),
    }
    savemat(folder / "sub-01_task-x_ieeg.set", {"EEG": eeg}, appendmat=False)
    with open_signals(find(tmp_path, "sub-01")[0]) as signals:
        np.testing.assert_allclose(signals.select(["A2"]).read()[:, 0], values[1], rtol=1e-6)


def test_a_damaged_edf_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "sub-01" / "ieeg"
    folder.mkdir(parents=True)
    (folder / "sub-01_task-x_ieeg.edf").write_bytes(b"0       nonsense")
    (segment,) = find(tmp_path, "sub-01")
    with pytest.raises(InputError, match="cannot be read"), open_signals(segment):
        pass


def test_a_header_cannot_lead_out_of_its_folder(gripforce: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(gripforce, tmp_path / "set"))
    (segment,) = find(root, "sub-testsub")
    outside = root / "elsewhere.eeg"
    shutil.copy(segment.companions[0], outside)
    segment.signal.chmod(0o644)
    text = segment.signal.read_text("utf-8")
    name = segment.companions[0].name
    segment.signal.write_text(text.replace(f"DataFile={name}", "DataFile=../../../elsewhere.eeg"))
    with (
        pytest.raises(InputError, match=r"header leads to .*, outside its folder"),
        open_signals(segment),
    ):
        pass


def test_several_channels_of_one_name_are_refused(tmp_path: Path) -> None:
    """MNE would call them LA1-0 and LA1-1, and neither would be found in channels.tsv."""
    folder = tmp_path / "sub-01/ieeg"
    folder.mkdir(parents=True)
    path = folder / "sub-01_task-read_ieeg.edf"
    write_edf(path, {name: (256, np.zeros(512)) for name in ("LA1", "LA2", "LA3")})
    content = path.read_bytes()
    path.write_bytes(content.replace(b"LA2 ", b"LA1 ", 1))
    (folder / "sub-01_task-read_channels.tsv").write_text("name\ttype\nLA1\tSEEG\nLA3\tSEEG\n")
    (segment,) = find(tmp_path, "sub-01")
    with (
        pytest.raises(InputError, match="several channels of the recording have one name"),
        open_signals(segment),
    ):
        pass


def one_recording(root: Path, name: str, content: bytes) -> Segment:
    folder = root / "sub-01" / "ieeg"
    folder.mkdir(parents=True)
    (folder / f"sub-01_task-x_ieeg{name}").write_bytes(content)
    (folder / "sub-01_task-x_channels.tsv").write_text("name\ttype\tunits\nA1\tSEEG\tuV\n")
    return find(root, "sub-01")[0]


def refused(segment: Segment, message: str) -> None:
    with pytest.raises(InputError, match=message), open_signals(segment):
        pass


def test_a_fif_file_whose_tags_lead_in_a_circle_is_refused(tmp_path: Path) -> None:
    import struct

    # MNE follows tags; the second one leads to itself.
    first = struct.pack(">iIii", 100, 31, 20, 0) + bytes(20)
    segment = one_recording(
        tmp_path, ".fif", first + struct.pack(">iIii", 101, 3, 4, 36) + bytes(9)
    )
    refused(segment, "the recording cannot be read: its tags lead back to byte 36")


def test_a_fif_file_whose_tags_state_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    import struct

    first = struct.pack(">iIii", 100, 31, 20, 0) + bytes(20)
    second = struct.pack(">iIii", 101, 3, 2**31 - 17, 0) + bytes(9)
    refused(one_recording(tmp_path / "a", ".fif", first + second), "states 2147483631 bytes")
    # A directory that lists a tag of this size.
    second = struct.pack(">iIii", 101, 3, 4, -1) + struct.pack(">i", 56)
    third = struct.pack(">iIii", 102, 32, 16, -1) + struct.pack(">iIii", 300, 4, 2**31 - 17, 0)
    refused(one_recording(tmp_path / "b", ".fif", first + second + third), "states 2147483631")


def eeglab(**changed: object) -> bytes:
    import io

    from scipy.io import savemat

    places = np.zeros(1, dtype=[("labels", object), ("X", object)])
    places[0] = ("A1", np.empty((0, 0)))
    eeg = {
        "setname": "x", "nbchan": 1.0, "pnts": 64.0, "trials": 1.0, "srate": 64.0, "xmin": 0.0,
        "xmax": 1.0, "data": np.arange(64, dtype="<f4")[None], "chanlocs": places,
        "event": np.empty((0, 0)), "icawinv": np.empty((0, 0)), "icaweights": np.empty((0, 0)),
        "icasphere": np.empty((0, 0)), "ref": "common", "epoch": np.empty((0, 0)),
    }  # fmt: skip
    held = io.BytesIO()
    savemat(held, {"EEG": eeg | changed}, appendmat=False, do_compression=bool(changed))
    return held.getvalue()


@pytest.mark.parametrize("changed", [{}, {"cells": np.array([["a", 1.0]], object)}])
def test_eeglab_files_are_read_compressed_or_not(tmp_path: Path, changed) -> None:
    with open_signals(one_recording(tmp_path, ".set", eeglab(**changed))) as signals:
        np.testing.assert_allclose(signals.read()[:, 0], np.arange(64), rtol=1e-6)


def damaged_eeglab(*, kind: str) -> bytes:
    import struct

    content = eeglab()
    if kind == "version 4":
        return b"\0" + content[1:]
    sizes = struct.pack("<IIii", 5, 8, 1, 64)
    assert content.count(sizes) == 1
    if kind == "more values than bytes":
        return content.replace(sizes, struct.pack("<IIii", 5, 8, 2**15, 2**15))
    # As many arrays in a structure as take the whole memory.
    first = content.index(struct.pack("<IIii", 5, 8, 1, 1))
    return content[: first + 8] + struct.pack("<ii", 2**15, 2**15) + content[first + 16 :]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("version 4", "header"),
        ("more values than bytes", "array of 1073741824 values"),
        ("more structures than bytes", "there are fewer"),
    ],
)
def test_an_eeglab_file_that_scipy_would_trust_is_refused(tmp_path: Path, kind, message) -> None:
    refused(one_recording(tmp_path, ".set", damaged_eeglab(kind=kind)), message)


def test_a_recording_without_channels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.edf"
    write_edf(path, {"EDF Annotations": (64, np.zeros(128))})
    refused(
        one_recording(tmp_path, ".edf", path.read_bytes()),
        "the recording has 0 channels and a rate of",
    )
