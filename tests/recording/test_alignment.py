"""Sound files beside a recording: when they begin, how fast their clock runs, what cancels."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from edf_writer import write_edf

from highgamma.errors import InputError
from highgamma.recording.alignment import align
from highgamma.recording.files import Segment, find
from highgamma.recording.outputs import compare_with_prompts
from highgamma.recording.reader import Reader
from highgamma.recording.settings import AudioSettings
from highgamma.recording.sound import audio

SECONDS, RATE, SOUND_RATE = 120, 1024, 8000


def spoken(seconds: float, rate: float, *, seed: int = 0) -> np.ndarray:
    """A 150-Hz voice in words of random length and pause; a function of time alone."""
    rng = np.random.default_rng(seed)
    edges = np.cumsum(rng.uniform(0.2, 1.4, 2000))
    loud = rng.uniform(0.3, 1.0, 2000)
    t = np.arange(round(seconds * rate)) / rate
    at = np.searchsorted(edges, t)
    return np.where(at % 2 == 1, loud[at], 0.0) * np.sin(2 * np.pi * 150 * t)


def at_times(t: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """The same voice at any times; silence before 0."""
    rng = np.random.default_rng(seed)
    edges = np.cumsum(rng.uniform(0.2, 1.4, 2000))
    loud = rng.uniform(0.3, 1.0, 2000)
    at = np.searchsorted(edges, t)
    on = np.where((at % 2 == 1) & (t >= 0), loud[at], 0.0)
    return on * np.sin(2 * np.pi * 150 * t)


@pytest.mark.parametrize(
    ("start", "stretch"), [(-5.0, 1.0), (-3.3, 1.002), (0.0, 0.998), (2.25, 1.0), (-60.0, 1.005)]
)
def test_start_and_stretch_are_found_through_a_channel_that_heard_the_sound(start, stretch) -> None:
    """The file's time s is heard at start + stretch · s of the recording."""
    length = SECONDS + 70.0
    heard = spoken(length, SOUND_RATE)[:, None]
    t = np.arange(SECONDS * RATE) / RATE
    noise = np.random.default_rng(1).normal(size=len(t))
    recorded = at_times((t - start) / stretch) + 0.05 * noise
    found = align(
        Reader.of_array(heard, rate=SOUND_RATE, names=["sound"]),
        Reader.of_array(recorded[:, None], rate=RATE, names=["MIC"]),
        where="dataset.audio.reference",
    )
    assert found.start == pytest.approx(start, abs=0.01)
    assert found.stretch == pytest.approx(stretch, abs=1e-4)
    assert found.residual_s < 0.01


def test_a_channel_that_heard_something_else_is_refused() -> None:
    one, other = spoken(60, SOUND_RATE)[:, None], spoken(60, RATE, seed=5)[:, None]
    with pytest.raises(InputError, match="the sound is not that of the channel 'MIC'"):
        align(
            Reader.of_array(one, rate=SOUND_RATE, names=["sound"]),
            Reader.of_array(other, rate=RATE, names=["MIC"]),
            where="here",
        )
    with pytest.raises(InputError, match="has 512 Hz, too few"):
        align(
            Reader.of_array(one, rate=SOUND_RATE, names=["sound"]),
            Reader.of_array(other[::2], rate=512, names=["MIC"]),
            where="here",
        )


def beside(folder: Path, sound: np.ndarray, *, sidecar: dict[str, object] | None = None) -> Segment:
    """A recording of 30 s that holds the voice at 1024 Hz, and a sound file next to it."""
    home = folder / "sub-01/ieeg"
    home.mkdir(parents=True)
    n = 30 * RATE
    voice = np.round(3000 * at_times(np.arange(n) / RATE))
    noise = np.round(np.random.default_rng(0).normal(0, 50, n))
    write_edf(home / "sub-01_task-read_ieeg.edf", {"LA1": (RATE, noise), "MIC": (RATE, voice)})
    table = "name\ttype\nLA1\tSEEG\nMIC\tMISC\n"
    (home / "sub-01_task-read_channels.tsv").write_text(table)
    soundfile.write(home / "sub-01_task-read_audio.wav", sound, SOUND_RATE)
    if sidecar is not None:
        (home / "sub-01_task-read_audio.json").write_text(json.dumps(sidecar))
    return find(folder, "sub-01")[0]


EARLY = at_times(np.arange(40 * SOUND_RATE) / SOUND_RATE - 5.0)
"""Sound that begins 5 s before the recording."""


def misplaced(segment: Segment, settings: AudioSettings | None = None) -> float:
    """By how much (s) the voice of the sound read is later than that of the recording."""
    sound = audio(segment, settings)
    loud = np.abs(sound.samples) > 0.2
    first = sound.times()[np.flatnonzero(loud)[0]]
    t = np.arange(30 * SOUND_RATE) / SOUND_RATE
    expected = t[np.flatnonzero(np.abs(at_times(t)) > 0.2)[0]]
    return float(first - expected)


def test_a_longer_file_is_taken_from_its_start_only_with_a_warning(tmp_path, caplog) -> None:
    segment = beside(tmp_path, EARLY)
    with caplog.at_level(logging.WARNING, "highgamma"):
        assert misplaced(segment) == pytest.approx(5.0, abs=0.05)
    assert "10.000 s longer than the recording" in caplog.text
    assert "dataset.audio.start" in caplog.text


@pytest.mark.parametrize(
    ("sidecar", "settings"),
    [
        ({"StartTime": -5.0}, None),
        (None, AudioSettings(start=-5.0)),
        ({"StartTime": 3.0}, AudioSettings(start=-5.0)),
        (None, AudioSettings(reference="MIC")),
    ],
)
def test_a_file_that_begins_earlier_is_put_in_its_place(tmp_path, sidecar, settings, caplog):
    segment = beside(tmp_path, EARLY, sidecar=sidecar)
    with caplog.at_level(logging.WARNING, "highgamma"):
        assert misplaced(segment, settings) == pytest.approx(0.0, abs=0.02)
    assert "longer than" not in caplog.text
    assert (sidecar is None) or any(p.suffix == ".json" for p in segment.paths())


def test_a_balanced_pair_does_not_cancel(tmp_path, caplog) -> None:
    one = EARLY[5 * SOUND_RATE : 35 * SOUND_RATE]
    segment = beside(tmp_path, np.column_stack([one, -0.98 * one]))
    with caplog.at_level(logging.WARNING, "highgamma"):
        sound = audio(segment)
    assert "cancels them" in caplog.text
    assert np.abs(sound.samples).max() == 1
    expected = at_times(sound.times())
    assert np.corrcoef(sound.samples, expected)[0, 1] > 0.99


def test_two_microphones_are_averaged(tmp_path, caplog) -> None:
    one = EARLY[5 * SOUND_RATE : 35 * SOUND_RATE]
    noise = np.random.default_rng(0).normal(0, 0.01, (len(one), 2))
    segment = beside(tmp_path, one[:, None] * [1.0, 0.5] + noise)
    with caplog.at_level(logging.WARNING, "highgamma"):
        audio(segment)
    assert "cancels" not in caplog.text


# -------------------------------------------------------------------- against the prompts


def answered(latency: np.ndarray) -> tuple[pd.DataFrame, list[Segment]]:
    """Words shown every 3 s, and a voice that comes later by `latency`, s."""
    prompts = 3.0 * np.arange(len(latency))
    table = pd.DataFrame(
        {"segment": 0, "onset": prompts, "voice_onset": prompts + latency, "word": "kat"}
    )
    return table, [Segment("sub-01", "run-1", Path("x.edf"))]


def said(latency: np.ndarray, caplog: pytest.LogCaptureFixture) -> str:
    caplog.clear()
    with caplog.at_level(logging.WARNING, "highgamma"):
        compare_with_prompts(*answered(latency))
    return caplog.text


def test_a_voice_that_contradicts_the_prompts_is_reported(caplog) -> None:
    rng = np.random.default_rng(0)
    latency = rng.normal(0.6, 0.12, 100)
    assert said(latency, caplog) == ""
    assert "already sounds when the word is shown" in said(latency - 0.6, caplog)
    drifting = latency + 0.003 * 3.0 * np.arange(100)
    text = said(drifting, caplog)
    assert "later after each minute" in text and "differ by 0.3" in text
    # People tire: a hundredth of a second a minute is no clock.
    assert said(latency + 0.01 / 60 * 3.0 * np.arange(100), caplog) == ""
