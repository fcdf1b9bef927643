"""The voice's onset and offset in speech and noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from highgamma.recording.speech import voice
from highgamma.store import read_table


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

    folder = Path(__file__).parents[2] / "resources" / "demo-words"
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
