"""Sound on the clock of the recording, resampled piece by piece."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dutch_recording import write_dataset
from scipy import signal as scipy_signal

from highgamma.errors import InputError
from highgamma.recording.files import find
from highgamma.recording.reader import Reader
from highgamma.recording.resampling import ratio, resampled
from highgamma.recording.settings import AudioSettings
from highgamma.recording.sound import audio, audio_file


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
        audio(segment, AudioSettings(source="file"))
    tone = np.sin(2 * np.pi * 220 * np.arange(12 * 22050) / 22050)
    beside = segment.signal.with_name("sub-01_task-wordProduction_audio.wav")
    soundfile.write(beside, tone, 22050)
    segment = find(copied, "sub-01")[0]
    assert segment.audio == beside
    sound = audio(segment, AudioSettings(source="file"))
    expected = np.sin(2 * np.pi * 220 * sound.times())
    np.testing.assert_allclose(sound.samples[500:-500], expected[500:-500], atol=0.01)

    sound = audio(segment, AudioSettings(source="channel", channel="EKG1"))
    assert sound.rate == pytest.approx(16000, rel=1e-6)
    with pytest.raises(InputError, match="'EKG1'"):
        audio(segment, AudioSettings(source="channel", channel="EKG"))


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


def test_a_file_that_ends_before_its_header_says_is_refused(tmp_path: Path) -> None:
    import soundfile

    path = tmp_path / "x.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 40_000), 16000)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="audio file cannot be read"):
        audio_file(path)
    # As many samples as the header can state, for which no room must be made.
    path.write_bytes(whole[:21] + bytes([whole[21] | 15]) + b"\xff" * 4 + whole[26:])
    with pytest.raises(InputError, match="audio file cannot be read"):
        audio_file(path)


@pytest.mark.parametrize("rate", [1, 2_000_000_000])
def test_a_rate_that_no_sound_has_is_refused(tmp_path: Path, rate: int) -> None:
    import struct

    import soundfile

    path = tmp_path / "x.wav"
    soundfile.write(path, np.zeros(1000), 16000, "PCM_16")
    whole = path.read_bytes()
    assert whole.count(struct.pack("<I", 16000)) == 1
    path.write_bytes(whole.replace(struct.pack("<I", 16000), struct.pack("<I", rate)))
    with pytest.raises(InputError, match="has a rate of"):
        audio_file(path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"source": "channel"}, "the audio's source is a channel, but none is named"),
        ({"source": "tape"}, "unknown source of audio 'tape'"),
    ],
)
def test_a_source_that_is_none_is_refused(dutch, given, message) -> None:
    with pytest.raises(InputError, match=message):
        audio(dutch.segment, AudioSettings(**given))


def test_sound_that_is_no_number_is_refused_and_silence_reported(tmp_path: Path, caplog) -> None:
    import soundfile

    path = tmp_path / "x.wav"
    samples = np.zeros(1600, np.float32)
    soundfile.write(path, samples, 16000, "FLOAT")
    assert audio_file(path).peak == 0
    assert "x.wav) is silent throughout" in caplog.text
    samples[[3, 5]] = np.nan
    soundfile.write(path, samples, 16000, "FLOAT")
    with pytest.raises(InputError, match="holds 2 samples that are not numbers"):
        audio_file(path)
