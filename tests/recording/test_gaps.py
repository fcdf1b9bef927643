"""Recordings with gaps, with channels of several rates, and split over several files."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dutch_recording import write_nwb
from edf_writer import write_edf

from highgamma.errors import InputError
from highgamma.recording import edf
from highgamma.recording.files import find
from highgamma.recording.gaps import Gap, bounded, filled, gaps_of_timestamps, stretches
from highgamma.recording.opening import open_channels, open_signals
from highgamma.recording.outputs import record
from highgamma.recording.reader import Reader

RATE = 512
GAP_S = 7.25
"""Missing after `BEFORE` seconds."""
BEFORE, AFTER = 20, 30
NAMES = ("LA1", "LA2")
WORDS = {"one": 5.0, "two": 15.0, "lost": 23.0, "three": 30.0, "four": 50.0}
"""Words and when they were said, s from the start of the recording, gap included."""


def voltage() -> np.ndarray:
    """A channel that counts seconds of the recording, gap included, and one that is a tenth."""
    t = np.arange((BEFORE + AFTER) * RATE) / RATE
    t = np.where(t >= BEFORE, t + GAP_S, t)
    return np.column_stack([t, t / 10])


def side_files(folder: Path, stem: str, *, names=NAMES) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    channels = pd.DataFrame({"name": names, "type": "SEEG", "units": "µV"})
    channels.to_csv(folder / f"{stem}_channels.tsv", sep="\t", index=False)
    events = pd.DataFrame(
        {"onset": WORDS.values(), "duration": 0.5, "trial_type": "word", "value": WORDS.keys()}
    )
    events.to_csv(folder / f"{stem}_events.tsv", sep="\t", index=False)
    (folder / f"{stem}_ieeg.json").write_text(json.dumps({"SamplingFrequency": RATE}))


def edf_with_a_gap(root: Path) -> None:
    folder = root / "sub-01/ieeg"
    side_files(folder, "sub-01_task-read")
    values = np.round(voltage() * 100)
    onsets = [float(k) for k in range(BEFORE)] + [BEFORE + GAP_S + k for k in range(AFTER)]
    signals = {name: (RATE, values[:, k]) for k, name in enumerate(NAMES)}
    write_edf(folder / "sub-01_task-read_ieeg.edf", signals, onsets=onsets)


def nwb_with_a_gap(root: Path) -> None:
    folder = root / "sub-01/ieeg"
    side_files(folder, "sub-01_task-read")
    write_nwb(
        folder / "sub-01_task-read_ieeg.nwb", neural=voltage() * 100,
        neural_times=9e6 + voltage()[:, 0], unit="uV",
    )  # fmt: skip


def brainvision(root: Path, *, clock_with_gap: bool = False) -> None:
    """Two segments; side tables count samples, as BrainVision's markers do."""
    folder = root / "sub-01/ieeg"
    stem = "sub-01_task-read"
    side_files(folder, stem)
    (voltage() * 100).astype("<f4").tofile(folder / f"{stem}_ieeg.eeg")
    (folder / f"{stem}_ieeg.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\n"
        f"DataFile={stem}_ieeg.eeg\nMarkerFile={stem}_ieeg.vmrk\nDataFormat=BINARY\n"
        f"DataOrientation=MULTIPLEXED\nNumberOfChannels=2\nSamplingInterval={1e6 / RATE}\n"
        "[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n[Channel Infos]\n"
        "Ch1=LA1,,1,µV\nCh2=LA2,,1,µV\n",
        encoding="utf-8",
    )
    (folder / f"{stem}_ieeg.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\n"
        f"DataFile={stem}_ieeg.eeg\n[Marker Infos]\nMk1=New Segment,,1,1,0,20200101100000000000\n"
        f"Mk2=New Segment,,{BEFORE * RATE + 1},1,0,20200101100027250000\n"
    )


@pytest.mark.parametrize("write", [edf_with_a_gap, nwb_with_a_gap])
def test_a_recording_with_a_gap_is_two_and_words_keep_their_place(tmp_path, caplog, write):
    write(tmp_path)
    with caplog.at_level(logging.WARNING, "highgamma"):
        recorded = record("sub-01", {"root": tmp_path, "audio": {"source": "none"}})
    assert "was interrupted 1 time, for up to 7.250 s: it is taken as 2 recordings" in caplog.text
    assert "1 words begin in a gap" in caplog.text
    words = recorded.words
    assert words["word"].tolist() == ["one", "two", "three", "four"]
    assert words["segment"].tolist() == [0, 0, 1, 1]
    assert words["segment_label"].tolist() == ["recording_part-1"] * 2 + ["recording_part-2"] * 2
    with open_channels(find(tmp_path, "sub-01"), ["LA1"]) as parts:
        assert [part.n_samples for part in parts] == [BEFORE * RATE, AFTER * RATE]
        for word, segment, onset in zip(
            words["word"], words["segment"], words["onset"], strict=True
        ):
            sample = round(onset * RATE)
            value = float(parts[segment].read(sample, sample + 1)[0, 0]) / 100
            assert value == pytest.approx(WORDS[word], abs=0.011)


def test_segments_of_brainvision_are_not_filtered_across(tmp_path):
    brainvision(tmp_path)
    recorded = record("sub-01", {"root": tmp_path, "audio": {"source": "none"}})
    # Onsets count samples there: nothing is missing between segments.
    assert recorded.words["onset"].tolist() == [5.0, 15.0, 3.0, 10.0, 30.0]
    assert recorded.words["segment"].tolist() == [0, 0, 1, 1, 1]
    with open_channels(find(tmp_path, "sub-01"), NAMES) as parts:
        assert [part.n_samples for part in parts] == [BEFORE * RATE, AFTER * RATE]


def test_an_edf_file_that_may_have_gaps_and_does_not_state_them_is_refused(tmp_path):
    edf_with_a_gap(tmp_path)
    path = tmp_path / "sub-01/ieeg/sub-01_task-read_ieeg.edf"
    data = path.read_bytes().replace(b"\x14\x14\x00", b"   ")
    path.write_bytes(data)
    with (
        pytest.raises(InputError, match="may have gaps"),
        open_signals(find(tmp_path, "sub-01")[0]),
    ):
        pass


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 100), (236, 244), (244, 252), (252, 256), (256, 400)]
)
def test_any_header_is_read_or_refused(tmp_path, start, stop):
    edf_with_a_gap(tmp_path)
    path = tmp_path / "sub-01/ieeg/sub-01_task-read_ieeg.edf"
    whole = path.read_bytes()
    for fill in (b"\xff", b"9", b" ", b"-"):
        path.write_bytes(whole[:start] + fill * (stop - start) + whole[stop:])
        try:
            edf.read_header(path).record_onsets()
        except InputError as error:
            assert "in its header" in str(error)
    path.write_bytes(whole[:300])
    with pytest.raises(InputError, match="cannot be read: in its header, it ends too early"):
        edf.read_header(path)


@pytest.mark.parametrize(
    ("at", "text", "message"),
    [
        (256 + 216 * 2, "-9", "-9 samples in a record"),
        (252, "0", "0 signals"),
        (244, "0", "records are empty"),
        (244, "-1", "records are empty"),
    ],
)
def test_a_header_whose_numbers_cannot_be_is_refused(tmp_path, at, text, message):
    path = tmp_path / "a.edf"
    write_edf(path, {name: (4, np.zeros(8)) for name in NAMES})
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + text.ljust(8 if at != 252 else 4).encode() + whole[at + 8 :])
    with pytest.raises(InputError, match=message):
        edf.read_header(path)


def test_records_without_end_are_refused(tmp_path, monkeypatch):
    write_edf(tmp_path / "a.edf", {"LA1": (1, np.zeros(50))})
    monkeypatch.setattr(edf, "MOST_RECORDS", 49)
    with pytest.raises(InputError, match="there are 50"):
        edf.read_header(tmp_path / "a.edf")


def test_a_gap_of_years_and_gaps_without_end_are_refused():
    with pytest.raises(InputError, match="1 gaps, the longest of 1e\\+09 s"):
        bounded([Gap(5, 1e9)], where="file")
    with pytest.raises(InputError, match="1001 gaps"):
        bounded([Gap(k, 1.0) for k in range(1, 1002)], where="file")
    assert bounded([Gap(5, 3600.0)], where="file") == (Gap(5, 3600.0),)
    stamps = np.r_[np.arange(100.0), 1e9 + np.arange(100.0)]
    with pytest.raises(InputError, match="the longest of"):
        gaps_of_timestamps(stamps, rate=1.0, where="file", name="iEEG")


def test_each_channel_of_an_edf_file_is_read_at_its_own_rate(tmp_path, caplog):
    folder = tmp_path / "sub-01/ieeg"
    side_files(folder, "sub-01_task-read", names=(*NAMES, "MIC"))
    rng = np.random.default_rng(0)
    fast = np.round(1000 * rng.standard_normal((50 * RATE, 2)))
    slow = np.round(1000 * np.sin(2 * np.pi * 3.1 * np.arange(50 * 2048) / 2048))
    signals = {"LA1": (RATE, fast[:, 0]), "LA2": (RATE, fast[:, 1]), "MIC": (2048, slow)}
    write_edf(folder / "sub-01_task-read_ieeg.edf", signals, onsets=None)
    with caplog.at_level(logging.WARNING, "highgamma"):
        dataset = {"root": tmp_path, "audio": {"source": "channel", "channel": "MIC"}}
        recorded = record("sub-01", dataset)
    assert "1 with other rates are not taken as electrodes: MIC (2048 Hz)" in caplog.text
    assert "was recorded at 2048 Hz: it holds nothing above 1024 Hz" in caplog.text
    assert " words are shown after the recording's end" in caplog.text
    assert recorded.channels["name"].tolist() == list(NAMES)
    with open_channels(find(tmp_path, "sub-01"), NAMES) as (reader,):
        assert reader.rate == RATE
        np.testing.assert_allclose(reader.read(), fast, atol=1e-6)
        np.testing.assert_allclose(reader.read(1001, 1013), fast[1001:1013], atol=1e-6)
    sound = recorded.audio["audio"].values
    at = recorded.audio["time"].values
    expected = np.sin(2 * np.pi * 3.1 * at)
    assert np.corrcoef(sound[1000:-1000], expected[1000:-1000])[0, 1] > 0.999


def test_a_fif_file_in_several_parts_is_one_recording(tmp_path):
    import mne

    folder = tmp_path / "sub-01/ieeg"
    side_files(folder, "sub-01_task-read")
    raw = mne.io.RawArray(
        voltage().T * 1e-4, mne.create_info(list(NAMES), RATE, "seeg"), verbose="error"
    )
    raw = mne.concatenate_raws([raw.copy() for _ in range(12)], verbose="error")
    raw.save(
        folder / "sub-01_task-read_ieeg.fif", split_size="2MB", split_naming="bids",
        verbose="error",
    )  # fmt: skip
    assert len(list(folder.glob("*_split-*"))) > 1
    for name in ("channels.tsv", "events.tsv"):
        assert (folder / f"sub-01_task-read_{name}").is_file()
    (segment,) = find(tmp_path, "sub-01")
    with open_signals(segment) as signals:
        assert signals.n_samples == 12 * len(voltage())
    next(folder.glob("*_split-01_*")).unlink()
    with pytest.raises(InputError, match="first file of a split recording is missing"):
        find(tmp_path, "sub-01")


def test_a_rate_that_the_sidecar_contradicts_is_refused_with_both_numbers(tmp_path):
    edf_with_a_gap(tmp_path)
    sidecar = tmp_path / "sub-01/ieeg/sub-01_task-read_ieeg.json"
    sidecar.write_text(json.dumps({"SamplingFrequency": 500}))
    with pytest.raises(InputError, match=r"has 512 Hz, .* states 500 Hz"):
        record("sub-01", {"root": tmp_path, "audio": {"source": "none"}})
    sidecar.write_text(json.dumps({"SamplingFrequency": 511.9}))
    record("sub-01", {"root": tmp_path, "audio": {"source": "none"}})


# ------------------------------------------------------------------------------ the parts alone


def test_stretches_begin_where_time_says():
    found = stretches(100, 10.0, [Gap(30, 2.0), Gap(60, 0.5)])
    assert [(s.first, s.stop, s.start) for s in found] == [
        (0, 30, 0.0), (30, 60, 5.0), (60, 100, 8.5)
    ]  # fmt: skip


def test_gaps_of_time_stamps_are_found_across_pieces_and_short_ones_passed_over():
    times = np.arange(3_000_000) / 1000.0
    times[5:] += 0.004
    times[1_048_576:] += 0.3
    times[2_000_001:] += 60
    found = gaps_of_timestamps(times, rate=1000.0, where="x", name="iEEG")
    assert [gap.sample for gap in found] == [1_048_576, 2_000_001]
    np.testing.assert_allclose([gap.seconds for gap in found], [0.3, 60], atol=1e-6)
    times[2_500_000:] -= 1
    with pytest.raises(InputError, match=r"jump by -0\.999 s at sample 2500000"):
        gaps_of_timestamps(times, rate=1000.0, where="x", name="iEEG")


def test_a_gap_is_filled_with_silence():
    reader = Reader.of_array(np.arange(1.0, 7)[:, None], rate=2.0)
    whole = filled(reader, [Gap(2, 1.0), Gap(5, 0.5)])
    assert whole.read()[:, 0].tolist() == [1, 2, 0, 0, 3, 4, 5, 0, 6]
    assert whole.read(1, 5)[:, 0].tolist() == [2, 0, 0, 3]


def test_records_that_run_backwards_are_refused(tmp_path):
    folder = tmp_path / "sub-01/ieeg"
    side_files(folder, "sub-01_task-read")
    signals = {name: (RATE, np.zeros(3 * RATE)) for name in NAMES}
    write_edf(folder / "sub-01_task-read_ieeg.edf", signals, onsets=[0.0, 1.0, 1.5])
    with (
        pytest.raises(InputError, match=r"record 3 begins 0\.5 s before the one before it ends"),
        open_signals(find(tmp_path, "sub-01")[0]),
    ):
        pass
