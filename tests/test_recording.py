"""The recording stage: what a data set says, and what must never be guessed."""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import signal as scipy_signal

from highgamma.errors import InputError
from highgamma.recording.electrodes import channels, common_channels, shaft_and_contact
from highgamma.recording.files import Segment, find, participants, stimulus_files
from highgamma.recording.outputs import record
from highgamma.recording.prompts import words
from highgamma.recording.reader import Reader
from highgamma.recording.signals import amplitude, open_signals
from highgamma.recording.sound import audio, audio_file, ratio, resampled
from highgamma.recording.speech import voice
from highgamma.recording.stimulus import transcript
from highgamma.store import read_table

LAB_CLOCK = 9062565.6229
NAMES = ["LA1", "LA2", "LA3", "RB'11", "EKG1"]
WORDS = ["9", "10", "`s", "null", "koe", "NA"]


def write_nwb(
    path: Path,
    *,
    neural: np.ndarray,
    neural_times: np.ndarray,
    sound: np.ndarray | None = None,
    sound_times: np.ndarray | None = None,
    shown: list[str] | None = None,
    **series: object,
) -> None:
    """One recording in the layout of SingleWordProductionDutch."""
    from datetime import UTC, datetime

    from pynwb import NWBHDF5IO, NWBFile, TimeSeries

    nwb = NWBFile(
        session_description="d",
        identifier="i",
        session_start_time=datetime(2020, 1, 1, tzinfo=UTC),
    )
    settings = {"unit": "uV", "name": "iEEG"} | series
    nwb.add_acquisition(TimeSeries(data=neural, timestamps=neural_times, **settings))
    if sound is not None:
        nwb.add_acquisition(
            TimeSeries(name="Audio", data=sound, unit="a.u.", timestamps=sound_times)
        )
    if shown is not None:
        nwb.add_acquisition(
            TimeSeries(name="Stimulus", data=shown, unit="a.u.", timestamps=neural_times)
        )
    with NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)


def write_dataset(
    root: Path,
    *,
    rate: float = 1024.0,
    audio_rate: float = 47999.187,
    audio_seconds: float = 12.0,
    audio_delay: float = 3.4e-6,
    late_first_interval: bool = False,
    **series: object,
) -> dict[str, np.ndarray]:
    """A data set of one participant, 12 s, six words; gives back what was written."""
    folder = root / "sub-01" / "ieeg"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    n = int(12 * rate)
    neural = np.round(rng.standard_normal((n, len(NAMES))) * 300) * 0.09765625
    times = LAB_CLOCK + np.arange(n) / rate
    if late_first_interval:
        times[0] -= 4 / rate
    m = int(audio_seconds * audio_rate)
    clock = np.arange(m) / audio_rate
    sound = 0.001 * rng.standard_normal(m)
    voiced = []
    for k in range(len(WORDS)):
        onset, offset = 2 * k + 0.5 + 0.05 * k, 2 * k + 1.1 + 0.05 * k
        inside = (clock >= onset) & (clock < offset)
        sound[inside] += 0.3 * np.sin(2 * np.pi * 220 * clock[inside])
        voiced.append((onset, offset))
    shown = np.full(n, "", dtype=object)
    for k, word in enumerate(WORDS):
        shown[int(2 * k * rate) : int((2 * k + 1.5) * rate)] = word
    prefix = folder / "sub-01_task-wordProduction_"
    write_nwb(
        Path(f"{prefix}ieeg.nwb"),
        neural=neural,
        neural_times=times,
        sound=sound,
        sound_times=LAB_CLOCK + audio_delay + clock,
        shown=shown.tolist(),
        **series,
    )
    (root / "participants.tsv").write_text("participant_id\tage\nsub-01\t30\n")
    rows = ["onset\tduration\ttrial_type\tvalue\tsample"]
    for k, word in enumerate(WORDS):
        rows.append(f"{2 * k}\t1.5\tword\t{word}\t{int(2 * k * rate)}")
        rows.append(f"{2 * k + 1.5}\t0.5\tfixation\t+\t{int((2 * k + 1.5) * rate)}")
    Path(f"{prefix}events.tsv").write_text("\n".join(rows) + "\n")
    rows = ["name\ttype\tunits\tlow_cutoff\tdescription\tstatus"]
    regions = ["Left-Hippocampus", "Unknown", "ctx_lh_S_central", "ctx_rh_G_insular", "n/a"]
    status = ["n/a", "good", "bad", "n/a", "n/a"]
    for name, region, state in zip(NAMES, regions, status, strict=True):
        kind = "EKG" if name.startswith("EKG") else "SEEG"
        rows.append(f"{name}\t{kind}\tµV\t0.0\t{region}\t{state}")
    Path(f"{prefix}channels.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8-sig")
    Path(f"{prefix}space-ACPC_electrodes.tsv").write_text(
        "name\tx\ty\tz\nZZ1\t1\t2\t3\nRB'11\t30.5\t-2\t3\nLA1\t-20\t-10\tn/a\nLA2\t-25\t-10\t4\n"
    )
    Path(f"{prefix}space-ACPC_coordsystem.json").write_text('{"iEEGCoordinateUnits": "mm"}')
    Path(f"{prefix}ieeg.json").write_text(json.dumps({"SamplingFrequency": rate}))
    return {"neural": neural, "sound": sound, "voiced": np.array(voiced)}


@pytest.fixture(scope="module")
def dutch(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    root = tmp_path_factory.mktemp("dutch")
    truth = write_dataset(root)
    return SimpleNamespace(root=root, segment=find(root, "sub-01")[0], **truth)


@pytest.fixture
def copied(dutch: SimpleNamespace, tmp_path: Path) -> Path:
    """A copy of the data set that a test may damage."""
    return Path(shutil.copytree(dutch.root, tmp_path / "set"))


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    logging.getLogger("highgamma").propagate = True
    caplog.set_level(logging.INFO, logger="highgamma")
    return caplog


def test_files_are_found_without_importing_anything_heavy() -> None:
    import subprocess
    import sys

    heavy = ["numpy", "pandas", "scipy", "mne", "pynwb", "h5py", "xarray"]
    code = (
        "import sys, highgamma.recording.files;"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# --- NWB ------------------------------------------------------------------------------------


def test_nwb_values_are_those_written_in_microvolts(dutch: SimpleNamespace) -> None:
    with open_signals(dutch.segment) as signals:
        assert (signals.rate, list(signals.names)) == (1024.0, NAMES)
        assert signals.n_samples == len(dutch.neural)
        np.testing.assert_array_equal(signals.read(), dutch.neural)
        some = signals.select(["EKG1", "LA2"]).read(100, 130)
    np.testing.assert_array_equal(some, dutch.neural[100:130, [4, 1]])


def test_reading_in_blocks_changes_nothing(
    dutch: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("highgamma.recording.signals.BLOCK_BYTES", 1000)
    with open_signals(dutch.segment) as signals:
        np.testing.assert_array_equal(
            signals.select(["LA3"]).read(5, 999), dutch.neural[5:999, [2]]
        )


@pytest.mark.parametrize("rate", [999.412, 1024.0, 2048.0])
def test_a_late_first_sample_does_not_change_the_rate_or_the_alignment(
    tmp_path: Path, rate: float
) -> None:
    write_dataset(tmp_path, rate=rate, late_first_interval=True)
    segment = find(tmp_path, "sub-01")[0]
    with open_signals(segment) as signals:
        # Timestamps at 9·10⁶ s resolve 1.9 ns.
        assert signals.rate == pytest.approx(rate, rel=1e-8)
        assert signals.clock == pytest.approx(LAB_CLOCK, abs=1e-6)


@pytest.mark.parametrize(
    ("series", "factor"),
    [
        ({"unit": "volts", "conversion": 1e-6}, 1.0),
        ({"unit": "V", "conversion": 1e-3}, 1e3),
        ({"unit": "mV", "conversion": 2.0}, 2e3),
        ({"unit": "volts"}, 1.0),  # channels.tsv says µV
    ],
)
def test_nwb_conversion_gives_microvolts(
    tmp_path: Path, series: dict[str, object], factor: float
) -> None:
    truth = write_dataset(tmp_path, **series)
    with open_signals(find(tmp_path, "sub-01")[0]) as signals:
        np.testing.assert_allclose(
            signals.select(["LA1"]).read()[:, 0], truth["neural"][:, 0] * factor, rtol=1e-12
        )


def test_values_in_volts_are_warned_of_and_not_rescaled(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    truth = write_dataset(tmp_path, unit="V", conversion=1.0000001)
    with open_signals(find(tmp_path, "sub-01")[0]) as signals:
        measured = amplitude(signals, ["LA1", "LA2"])
    expected = 1e6 * truth["neural"].std()
    assert measured.rms == pytest.approx(expected, rel=0.05)
    assert not measured.plausible
    assert "0.5 to 5000 µV" in log.text


def test_a_truncated_nwb_is_named(copied: Path) -> None:
    segment = find(copied, "sub-01")[0]
    whole = segment.signal.read_bytes()
    segment.signal.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cut short") as error, open_signals(segment):
        pass
    assert str(segment.signal) in str(error.value)
    assert "download it again" in str(error.value)


def test_a_compressed_nwb_is_read_in_whole_chunks(
    copied: Path, dutch: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hdmf.backends.hdf5 import H5DataIO

    monkeypatch.setattr("highgamma.recording.signals.BLOCK_BYTES", 1000)
    segment = find(copied, "sub-01")[0]
    segment.signal.unlink()
    packed = H5DataIO(dutch.neural, compression="gzip", chunks=(5000, 1))
    write_nwb(segment.signal, neural=packed, neural_times=np.arange(len(dutch.neural)) / 1024)
    with open_signals(segment) as signals:
        assert signals.piece == 5000
        np.testing.assert_array_equal(signals.select(["LA2"]).read()[:, 0], dutch.neural[:, 1])


@pytest.mark.parametrize("damage", ["renamed", "transposed", "one channel too many"])
def test_an_nwb_that_contradicts_its_sidecars_is_refused(copied: Path, damage: str) -> None:
    segment = find(copied, "sub-01")[0]
    values = np.zeros((100, 5)) if damage == "renamed" else np.zeros((5, 100))
    if damage == "one channel too many":
        values = np.zeros((100, 6))
    segment.signal.unlink()
    write_nwb(
        segment.signal,
        neural=values,
        neural_times=np.arange(len(values)) / 100,
        name="ECoG" if damage == "renamed" else "iEEG",
    )
    with pytest.raises(InputError) as error, open_signals(segment):
        pass
    said = {
        "renamed": "ECoG",
        "transposed": "looks transposed",
        "one channel too many": "100 × 6 values, channels.tsv lists 5",
    }
    assert said[damage] in str(error.value)


def test_an_unknown_channel_is_answered_with_the_nearest(dutch: SimpleNamespace) -> None:
    with open_signals(dutch.segment) as signals, pytest.raises(InputError, match="'EKG1'"):
        signals.select(["EKG"]).read()


# --- words ----------------------------------------------------------------------------------


def test_words_are_strings_in_time_order(dutch: SimpleNamespace) -> None:
    table = words([dutch.segment])
    assert table["word"].tolist() == WORDS
    np.testing.assert_allclose(table["onset"], 2.0 * np.arange(6))
    np.testing.assert_allclose(table["offset"] - table["onset"], 1.5)
    assert set(table["segment_label"]) == {"recording"}


def test_words_come_from_the_stimulus_stream_where_events_lack(copied: Path) -> None:
    segment = find(copied, "sub-01")[0]
    assert segment.events is not None
    segment.events.unlink()
    table = words(find(copied, "sub-01"))
    assert table["word"].tolist() == WORDS
    np.testing.assert_allclose(table["onset"], 2.0 * np.arange(6), atol=1e-6)
    np.testing.assert_allclose(table["offset"] - table["onset"], 1.5, atol=1e-6)


def test_no_words_is_an_error_that_lists_the_trial_types(
    film: Callable[[str], list[Segment]],
) -> None:
    segments = film("sub-09")
    with pytest.raises(InputError) as error:
        words(segments)
    assert "speech (6)" in str(error.value)
    assert "dataset.words" in str(error.value)


def test_a_wrong_word_column_is_answered_with_the_nearest(dutch: SimpleNamespace) -> None:
    with pytest.raises(InputError, match="'value'"):
        words([dutch.segment], column="valeu")


def test_onsets_in_milliseconds_are_recognised(copied: Path) -> None:
    events = find(copied, "sub-01")[0].events
    assert events is not None
    table = read_table(events, strings=("value",))
    table["onset"] *= 1000
    table.to_csv(events, sep="\t", index=False)
    with pytest.raises(InputError, match="milliseconds"):
        record("sub-01", {"root": copied})


# --- channels -------------------------------------------------------------------------------


def test_channels_join_three_sidecars_by_name(
    dutch: SimpleNamespace, log: pytest.LogCaptureFixture
) -> None:
    table = channels(dutch.segment, NAMES).set_index("name")
    assert table.index.tolist() == NAMES
    assert table["kept"].tolist() == ["yes", "yes", "no", "yes", "no"]
    assert table["reason"].tolist() == ["n/a", "n/a", "status bad", "n/a", "type EKG"]
    assert table.loc["RB'11", ["x", "y", "z"]].tolist() == [30.5, -2, 3]
    assert table.loc["RB'11", ["shaft", "contact"]].tolist() == ["RB'", 11]
    assert math.isnan(table.loc["LA1", "z"])
    assert math.isnan(table.loc["LA3", "x"])
    assert table.loc["LA3", "region"] == "ctx_lh_S_central"
    assert "3 of 5 channels kept; 1 dropped (status bad); 1 dropped (type EKG)" in log.text
    assert "ZZ1" in log.text


@pytest.mark.parametrize(
    ("name", "shaft", "contact"),
    [
        ("LA1", "LA", 1),
        ("LA'12", "LA'", 12),
        ("G_17", "G", 17),
        ("ECOG_RIGHT_0", "ECOG_RIGHT", 0),
        ("LA07-Ref", "LA", 7),
        ("EKGL", "EKGL", None),
        ("12", "12", None),
    ],
)
def test_shaft_and_contact_are_read_from_a_name(name: str, shaft: str, contact: int | None) -> None:
    assert shaft_and_contact(name) == (shaft, contact)


def test_a_missing_channels_table_is_named(copied: Path) -> None:
    segment = find(copied, "sub-01")[0]
    assert segment.channels is not None
    segment.channels.unlink()
    with pytest.raises(InputError, match=r"sub-01_task-wordProduction_channels\.tsv"):
        record("sub-01", {"root": copied})


def test_only_channels_of_all_recordings_stay(
    dutch: SimpleNamespace, log: pytest.LogCaptureFixture
) -> None:
    first = channels(dutch.segment, NAMES)
    second = first[first["name"] != "LA1"].copy()
    second.loc[second["name"] == "LA2", ["kept", "reason"]] = ["no", "status bad"]
    common = common_channels([first, second], ["run-1", "run-2"]).set_index("name")
    assert common.index.tolist() == ["LA2", "LA3", "RB'11", "EKG1"]
    assert common.loc["LA2", "reason"] == "status bad in run-2"
    assert common["kept"].tolist() == ["no", "no", "yes", "no"]
    assert "LA1" in log.text


# --- audio ----------------------------------------------------------------------------------


def test_48_khz_is_resampled_by_a_third_and_its_exact_rate_kept() -> None:
    assert ratio(47999.187, 16000).as_integer_ratio() == (1, 3)
    assert ratio(44100, 16000).as_integer_ratio() == (160, 441)
    assert ratio(22050, 16000).as_integer_ratio() == (320, 441)


@pytest.mark.parametrize("rate", [48000, 44100, 22050, 16000, 8000, 999.412])
def test_resampling_in_blocks_equals_scipy_in_one_piece(rate: float) -> None:
    sound = np.random.default_rng(0).standard_normal(30_011).astype(np.float32)
    factor = ratio(rate, 16000)
    whole = scipy_signal.resample_poly(sound, factor.numerator, factor.denominator)
    pieces = resampled(Reader.of_array(sound[:, None], rate=rate), factor, block=7000)
    np.testing.assert_allclose(pieces, whole, atol=1e-6 * np.abs(whole).max())


def test_audio_lies_on_the_clock_of_the_neural_recording(tmp_path: Path) -> None:
    write_dataset(tmp_path, audio_delay=-0.25, audio_seconds=12.4)
    sound = audio(find(tmp_path, "sub-01")[0])
    assert sound.rate == pytest.approx(47999.187 / 3, rel=1e-8)
    assert abs(sound.samples).max() == 1
    times = sound.times()
    assert 0 <= times[0] < 1 / sound.rate
    assert 12 - 1 / sound.rate <= times[-1] + 1 / sound.rate < 12 + 1 / sound.rate
    # The tone of the first word starts at 0.5 s of the sound, 0.25 s of the recording.
    first = times[np.flatnonzero(np.abs(sound.samples) > 0.5)[0]]
    assert first == pytest.approx(0.25, abs=0.002)


def test_a_missing_twentieth_of_a_second_is_silence(tmp_path: Path) -> None:
    write_dataset(tmp_path, audio_seconds=11.95)
    sound = audio(find(tmp_path, "sub-01")[0])
    assert sound.times()[-1] == pytest.approx(12, abs=2 / sound.rate)
    assert not sound.samples[int(-0.04 * sound.rate) :].any()


def test_audio_shorter_than_the_recording_names_both_lengths(tmp_path: Path) -> None:
    write_dataset(tmp_path, audio_seconds=9)
    with pytest.raises(InputError, match=r"9\.00 s\) of a recording of 12\.00 s"):
        audio(find(tmp_path, "sub-01")[0])


def test_a_stereo_file_becomes_its_mean(shared_data: Path) -> None:
    import soundfile

    path = shared_data / "audio_english" / "jfk.flac"
    stereo, rate = soundfile.read(path)
    expected = scipy_signal.resample_poly(stereo.mean(axis=1), 160, 441)
    sound = audio_file(path)
    assert (rate, sound.rate) == (44100, 16000)
    np.testing.assert_allclose(sound.samples, expected / np.abs(expected).max(), atol=2e-5)


def test_a_file_or_a_channel_can_carry_the_sound(copied: Path, shared_data: Path) -> None:
    import soundfile

    segment = find(copied, "sub-01")[0]
    with pytest.raises(InputError, match="no audio file"):
        audio(segment, source="file")
    tone = np.sin(2 * np.pi * 220 * np.arange(12 * 22050) / 22050)
    beside = segment.signal.with_name("sub-01_task-wordProduction_audio.wav")
    soundfile.write(beside, tone, 22050)
    segment = find(copied, "sub-01")[0]
    assert segment.audio == beside
    sound = audio(segment, source="file")
    expected = np.sin(2 * np.pi * 220 * sound.times())
    np.testing.assert_allclose(sound.samples[500:-500], expected[500:-500], atol=0.01)

    sound = audio(segment, source="channel", channel="EKG1")
    assert sound.rate == pytest.approx(16000, rel=1e-6)
    with pytest.raises(InputError, match="'EKG1'"):
        audio(segment, source="channel", channel="EKG")


def test_five_minutes_of_sound_are_read_in_little_memory(tmp_path: Path) -> None:
    import tracemalloc

    import soundfile

    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", samplerate=48000, channels=2, subtype="PCM_16") as opened:
        block = np.random.default_rng(0).standard_normal((480_000, 2)) * 0.1
        for _ in range(30):
            opened.write(block)
    audio_file(tmp_path / "long.wav")  # scipy's import is not what is measured
    tracemalloc.start()
    sound = audio_file(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sound.samples.size == 4_800_000
    assert peak < 100e6


# --- voice ----------------------------------------------------------------------------------


def _in_noise(pieces: list[np.ndarray], at: list[float], rate: int, snr: float) -> np.ndarray:
    rng = np.random.default_rng(3)
    sound = 0.1 * 10 ** (-snr / 20) * rng.standard_normal(int((3 * len(at) + 1) * rate))
    for piece, onset in zip(pieces, at, strict=True):
        begin = round(onset * rate)
        sound[begin : begin + piece.size] += 0.1 * piece / np.sqrt(np.mean(piece**2))
    return sound


@pytest.mark.parametrize("snr", [15, 30, 60])
def test_bursts_in_noise_are_found_within_10_ms(snr: float) -> None:
    rate = 16000
    rng = np.random.default_rng(0)
    lengths = [0.15, 0.3, 0.6, 1.0]
    at = [3 * k + 0.4 + 0.2 * k for k in range(4)]
    bursts = [np.hanning(int(0.004 * rate)) for _ in lengths]
    pieces = []
    for length, ramp in zip(lengths, bursts, strict=True):
        burst = rng.standard_normal(int(length * rate))
        burst[: ramp.size // 2] *= ramp[: ramp.size // 2]
        pieces.append(burst)
    sound = _in_noise(pieces, at, rate, snr)
    for k, (onset, length) in enumerate(zip(at, lengths, strict=True)):
        found = voice(sound, rate, 3.0 * k, 3.0 * k + 3)
        assert found == pytest.approx((onset, onset + length), abs=0.010)


@pytest.mark.parametrize(("snr", "part"), [(30, 1.0), (20, 0.9)])
def test_spoken_words_start_within_20_ms_of_where_they_were_put(snr: float, part: float) -> None:
    import soundfile

    folder = Path(__file__).parents[1] / "resources" / "demo-words"
    if not (folder / "words.flac").is_file():
        pytest.skip("the spoken words of the demo are not there")
    sound, rate = soundfile.read(folder / "words.flac")
    table = read_table(folder / "words.tsv", strings=("word",)).iloc[:40]
    pieces = [
        sound[int(a * rate) : int(b * rate)] for a, b in zip(table.start, table.stop, strict=True)
    ]
    at = [3 * k + 0.3 + 0.013 * k for k in range(len(pieces))]
    heard = _in_noise(pieces, at, rate, snr)
    found = np.array([voice(heard, rate, 3.0 * k, 3.0 * k + 3) for k in range(len(at))])
    assert np.isfinite(found).all()
    assert np.mean(np.abs(found[:, 0] - at) <= 0.020) >= part
    ends = np.array(at) + [piece.size / rate for piece in pieces]
    assert np.median(np.abs(found[:, 1] - ends)) <= 0.020


def test_a_sentence_is_found_where_people_marked_it(shared_data: Path) -> None:
    import soundfile

    sound, rate = soundfile.read(shared_data / "audio_aligned" / "mary.wav")
    # mary.TextGrid: the first phone starts at 0.3154 s, the last one ends at 1.5183 s.
    onset, offset = voice(sound, rate, 0, sound.size / rate)
    assert onset == pytest.approx(0.3154, abs=0.02)
    assert offset == pytest.approx(1.5183, abs=0.06)


def test_noise_and_clicks_are_no_voice() -> None:
    rate = 16000
    sound = 0.01 * np.random.default_rng(0).standard_normal(10 * rate)
    assert np.isnan(voice(sound, rate, 0, 3)).all()
    sound[4 * rate : 4 * rate + 80] += 0.5
    assert np.isnan(voice(sound, rate, 3, 6)).all()
    assert np.isnan(voice(np.zeros(3 * rate), rate, 0, 3)).all()
    assert np.isnan(voice(sound, rate, 9.99, 12)).all()


def test_the_voice_of_each_trial_is_found_beside_its_prompt(dutch: SimpleNamespace) -> None:
    recorded = record("sub-01", {"root": dutch.root, "task": "wordProduction"})
    found = recorded.words[["voice_onset", "voice_offset"]].to_numpy(np.float64)
    np.testing.assert_allclose(found, dutch.voiced, atol=0.015)
    sound = recorded.audio
    assert sound["audio"].dtype == np.float32
    assert sound.attrs["rate_hz"] == pytest.approx(15999.729)
    assert sound.attrs["signal_unit_plausible"] == 1
    assert float(sound["time"][-1]) < 12


# --- BIDS -----------------------------------------------------------------------------------


def test_a_data_set_that_does_not_exist_is_named(tmp_path: Path) -> None:
    (tmp_path / "dutch").mkdir()
    with pytest.raises(InputError, match=r"did you mean 'dutch'") as error:
        find(tmp_path / "ductch", "sub-01")
    assert "ductch" in str(error.value)
    assert "dataset.root" in str(error.value)


@pytest.mark.parametrize("name", ["sub-1", "sub-01x"])
def test_an_unknown_participant_is_answered_with_the_nearest(
    dutch: SimpleNamespace, name: str
) -> None:
    with pytest.raises(InputError, match="did you mean 'sub-01'"):
        find(dutch.root, name)


def test_a_participant_cannot_lead_out_of_the_data_set(dutch: SimpleNamespace) -> None:
    with pytest.raises(InputError, match="no participant"):
        find(dutch.root, "../" + dutch.root.name + "/sub-01")


def test_an_unknown_task_is_answered_with_the_nearest(dutch: SimpleNamespace) -> None:
    with pytest.raises(InputError, match="did you mean 'wordProduction'"):
        find(dutch.root, "sub-01", task="wordProdcution")


def test_an_annexed_recording_that_was_not_fetched_is_explained(copied: Path) -> None:
    signal = find(copied, "sub-01")[0].signal
    signal.unlink()
    signal.symlink_to("../../.git/annex/objects/gone")
    with pytest.raises(InputError, match="datalad get"):
        find(copied, "sub-01")


@pytest.fixture
def film(shared_data: Path, tmp_path: Path) -> Callable[[str], list[Segment]]:
    """The film set holds sidecars only: its recordings are stood for by empty files."""

    def segments(participant: str) -> list[Segment]:
        source = shared_data / "bids_metadata" / "ds003688_dutch_film" / participant
        shutil.copytree(source, tmp_path / participant)
        for path in (tmp_path / participant).glob("ses-iemu/ieeg/*_ieeg.json"):
            path.with_suffix(".vhdr").touch()
        return find(tmp_path, participant, task="film")

    return segments


def test_events_without_the_acquisition_belong_to_every_acquisition(
    film: Callable[[str], list[Segment]],
) -> None:
    (segment,) = film("sub-09")
    assert segment.label == "ses-iemu_acq-clinical_run-2"
    assert segment.events is not None
    assert segment.events.name == "sub-09_ses-iemu_task-film_run-2_events.tsv"
    assert segment.channels is not None
    assert "task-film_acq-clinical_run-2" in segment.channels.name
    assert segment.electrodes is not None
    assert segment.electrodes.name == "sub-09_ses-iemu_acq-clinical_electrodes.tsv"
    names = read_table(segment.channels, strings=("name",))["name"].tolist()
    table = channels(segment, names)
    # Counted in the file: 69 SEEG channels of status good.
    assert (table["kept"] == "yes").sum() == 69
    first = table.set_index("name").loc["AL1"]
    assert [first.x, first.y, first.z] == [-14.107, 19.317, -11.208]


def test_status_bad_channels_of_the_film_are_dropped(
    film: Callable[[str], list[Segment]],
) -> None:
    for participant in ("sub-01", "sub-02", "sub-03", "sub-05", "sub-06", "sub-07", "sub-10"):
        for segment in film(participant):
            assert segment.channels is not None
            lines = segment.channels.read_text("utf-8-sig").splitlines()
            header = lines[0].split("\t")
            rows = [dict(zip(header, line.split("\t"), strict=False)) for line in lines[1:]]
            good = [
                row["name"]
                for row in rows
                if row["type"] in ("SEEG", "ECOG") and row["status"] != "bad"
            ]
            table = channels(segment, [row["name"] for row in rows])
            assert table.loc[table["kept"] == "yes", "name"].tolist() == good


def test_native_coordinates_are_preferred_to_a_template(
    shared_data: Path, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    source = shared_data / "bids_metadata" / "ds005574_podcast"
    shutil.copytree(source, tmp_path / "podcast", ignore=shutil.ignore_patterns(".*"))
    for name in ("sub-01", "sub-02", "sub-03"):
        (tmp_path / "podcast" / name / "ieeg" / f"{name}_task-podcast_ieeg.edf").touch()
    assert participants(tmp_path / "podcast") == ["sub-01", "sub-02", "sub-03"]
    (segment,) = find(tmp_path / "podcast", "sub-01", task="podcast")
    assert segment.spaces == ("Other", "MNI152NLin2009aSym")
    assert segment.coordsystem is not None
    assert "space-Other" in segment.coordsystem.name
    names = read_table(segment.channels, strings=("name",))["name"].tolist()
    table = channels(segment, names).set_index("name")
    assert table.loc["G2", ["x", "y", "z"]].tolist() == [64.507256, 12.288622, -28.19117]
    assert table.loc["G1", "reason"] == "status bad"
    assert math.isnan(table.loc["G1", "x"])
    assert "space-Other" in log.text


def test_sessions_and_runs_become_sorted_segments(tmp_path: Path) -> None:
    for session, run in (("ses-2", 1), ("ses-1", 10), ("ses-1", 2)):
        folder = tmp_path / "sub-7" / session / "ieeg"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"sub-7_{session}_task-a_run-{run}_ieeg.edf").touch()
        (folder / f"sub-7_{session}_task-b_run-{run}_ieeg.edf").touch()
    labels = [segment.label for segment in find(tmp_path, "sub-7", task="a")]
    assert labels == ["ses-1_run-2", "ses-1_run-10", "ses-2_run-1"]
    assert len({segment.label for segment in find(tmp_path, "sub-7")}) == 6
    assert participants(tmp_path) == ["sub-7"]


def test_listed_participants_without_recordings_are_left_out(shared_data: Path) -> None:
    root = shared_data / "bids_metadata" / "ds003688_dutch_film"
    # sub-04 and sub-08 were only scanned; the folder holds sub-01 … sub-10 of 63.
    assert participants(root) == [f"sub-{k:02}" for k in (1, 2, 3, 5, 6, 7, 9, 10)]


# --- what MNE reads -------------------------------------------------------------------------


@pytest.fixture
def gripforce(shared_data: Path) -> Path:
    return shared_data / "ieeg_signals" / "pyneuromod_gripforce"


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
    assert "intracranial recordings have 0.5 to 5000 µV" in log.text
    assert table.index[table["kept"] == "yes"].tolist() == [f"ECOG_RIGHT_{k}" for k in range(6)]
    # electrodes.tsv is in metres.
    assert table.loc["ECOG_RIGHT_0", "x"] == pytest.approx(37.318174)
    assert table.loc["ECOG_RIGHT_0", ["shaft", "contact"]].tolist() == ["ECOG_RIGHT", 0]
    assert set(table["region"]) == {"n/a"}


def test_a_recording_without_words_or_sound_gives_empty_tables(gripforce: Path) -> None:
    dataset = {"root": gripforce, "task": "gripforce", "words": {"trial_type": None}}
    recorded = record("sub-testsub", dataset)
    assert recorded.words.empty
    assert list(recorded.words)[:4] == ["segment", "segment_label", "word", "onset"]
    assert recorded.audio.sizes["time"] == 0
    assert recorded.audio.attrs["signal_unit_plausible"] == 0
    with pytest.raises(InputError, match=r"dataset\.words\.trial_type to null"):
        record("sub-testsub", dict(dataset, words={}))


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
    with pytest.raises(InputError, match="outside its folder"), open_signals(segment):
        pass


# --- a shared stimulus ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "features", ["whisper-medium", "spectral", "phonetic", "gpt2-xl", "syntactic"]
)
def test_transcripts_of_different_row_counts_name_the_same_words(
    shared_data: Path, features: str
) -> None:
    folder = shared_data / "bids_metadata" / "ds005574_podcast" / "stimuli"
    plain = pd.read_csv(folder / "whisper-medium" / "transcript.tsv", sep="\t", quoting=3)
    expected = dict(zip(plain["word_idx"], plain["word"].astype(str), strict=True))
    table = transcript(folder / features / "transcript.tsv")
    assert table["word_idx"].is_unique
    assert len(table) > 5000
    assert (np.diff(table["onset"]) >= 0).all()
    different = [
        w for i, w in zip(table["word_idx"], table["word"], strict=True) if expected.get(i, w) != w
    ]
    assert not different


def test_the_film_transcript_is_read_by_its_own_column_names(shared_data: Path) -> None:
    folder = shared_data / "bids_metadata" / "ds003688_dutch_film" / "stimuli"
    table = transcript(folder / "annotations" / "sound" / "sound_annotation_words.tsv", shift=2)
    assert table["word"].tolist()[:2] == ["pippi", "wil"]
    assert table["onset"].tolist()[:2] == pytest.approx([32.736, 33.59])
    assert len(table) == 446


def test_an_unsorted_transcript_with_tokens_and_durations(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "Word,Onset,Duration,word_idx\nnull,2.0,0.5,1\n10,1.0,0.25,0\n10,1.25,0.25,0\nNA,,,2\n"
    )
    table = transcript(path)
    assert table["word"].tolist() == ["10", "null"]
    assert table["onset"].tolist() == [1.0, 2.0]
    assert table["offset"].tolist() == [1.5, 2.5]
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="columns a, b"):
        transcript(path)


def test_the_stimulus_is_a_pseudo_participant(dutch: SimpleNamespace, shared_data: Path) -> None:
    setting = {
        "audio": str(shared_data / "audio_english" / "jfk.flac"),
        "words": str(
            shared_data / "bids_metadata/ds005574_podcast/stimuli/whisper-medium/transcript.tsv"
        ),
    }
    dataset = {"root": dutch.root, "stimulus": setting}
    recorded = record("stimulus", dataset)
    assert recorded.audio.sizes["time"] == 176_000
    assert recorded.words["word"].iloc[0] == "Act"
    assert (recorded.words["voice_onset"] == recorded.words["onset"]).all()
    assert recorded.channels.empty
    with pytest.raises(InputError, match=r"dataset\.stimulus\.audio"):
        stimulus_files(dutch.root, {"audio": "stimuli/none.wav"})


# --- the script -----------------------------------------------------------------------------


def _run_script(tmp_path: Path, root: Path) -> dict[str, Path]:
    import runpy

    script = Path(__file__).parents[1] / "workflow" / "scripts" / "recording.py"
    output = {
        "words": tmp_path / "words.tsv",
        "audio": tmp_path / "audio.nc",
        "channels": tmp_path / "channels.tsv",
    }
    handed = SimpleNamespace(
        log=[str(tmp_path / "log.txt")],
        threads=1,
        params=SimpleNamespace(participant="sub-01", dataset={"root": str(root)}),
        output=SimpleNamespace(**{key: str(path) for key, path in output.items()}),
    )
    runpy.run_path(str(script), init_globals={"snakemake": handed})
    return output


def test_the_same_input_gives_the_same_bytes(dutch: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = _run_script(tmp_path / "a", dutch.root)
    second = _run_script(tmp_path / "b", dutch.root)
    for key, path in first.items():
        assert path.read_bytes() == second[key].read_bytes()
    assert read_table(first["words"], strings=("word",))["word"].tolist() == WORDS


def test_nothing_is_written_when_the_input_is_bad(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signal = find(copied, "sub-01")[0].signal
    signal.write_bytes(signal.read_bytes()[:5000])
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(SystemExit):
        _run_script(folder, copied)
    assert [path.name for path in folder.iterdir()] == ["log.txt"]
    assert "cut short" in (folder / "log.txt").read_text()
