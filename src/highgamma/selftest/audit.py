"""Measure the audit of sound on simulated electrodes: hum, narrow copies, shifted pitch, clean.

The voice is synthesised as harmonics on a falling pitch under syllables, so that the same words
are available at any pitch. It is not the demo's voice (`worlds`), which needs espeak-ng.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highgamma.contamination import audit
from highgamma.contamination.settings import ContaminationSettings
from highgamma.recording.reader import Reader
from highgamma.scores import LEVEL, false_discovery_q
from highgamma.selftest.cases import AUDIT_CASES, AuditCase

FloatArray = NDArray[np.float64]

RATE, AUDIO_RATE = 1024, 16000
"""Sampling rates of electrodes and microphone, Hz."""

SECONDS = 120
"""Duration of a simulated recording, s."""

ELECTRODES = 16
"""Electrodes of a simulated recording."""

BAND = (70.0, 170.0)
"""Band in which the level of a copy is measured, Hz."""

HUM = -40.0
"""Level of the mains hum in the microphone, dB of the sound's root mean square."""

WANDER = 0.03
"""Standard deviation of the mains frequency, Hz; it changes over some 30 s."""

SEMITONES = (1.0, 3.0)
"""Range of the shift of pitch, up or down."""


def measure(case: str, n: int, seed: int) -> dict[str, Any]:
    """Return the share of electrodes that the audit flags (q < .05) in one case.

    Parameters
    ----------
    case
        One of `cases.AUDIT_CASES`.
    n
        Number of electrodes, rounded up to whole recordings of `ELECTRODES`.
    seed
        Seed of the first recording.

    Returns
    -------
    measured : dict
        `case`, `rate` (flagged), `n`, `clean` (what the electrodes are), `p` (share with p ≤ .05),
        and `not_auditable` (share of the recordings).
    """
    what = AUDIT_CASES[case]
    settings = ContaminationSettings(sound=what.sound)
    flagged, below, status = [], [], []
    for number in range(-(-n // ELECTRODES)):
        voices, signals, mains = recording(what, seed=1000 * seed + number)
        found = audit.audit(voices, signals, settings, mains=mains)
        flagged.append(false_discovery_q(found.p) < LEVEL)
        below.append(found.p <= LEVEL)
        status.append(found.status == audit.NOT_AUDITABLE)
    return {
        "case": case,
        "rate": float(np.mean(flagged)),
        "n": int(np.size(flagged)),
        "clean": what.clean,
        "p": float(np.mean(below)),
        "not_auditable": float(np.mean(status)),
    }


def recording(case: AuditCase, *, seed: int) -> tuple[list[Reader], list[Reader], float]:
    """Simulate the microphone and the electrodes of a recording, and its mains frequency (Hz).

    Half of the clean electrodes follow the envelope of the voice, at lags from −0.2 to 0.3 s.
    """
    rng = np.random.default_rng(seed)
    mains = float(rng.choice([50.0, 60.0]))
    ratio = 1.0
    if case.shifted:
        ratio = 2.0 ** (rng.choice([-1, 1]) * rng.uniform(*SEMITONES) / 12)
    words = spoken_words(rng)
    voice = heard(voiced(words, ratio=1.0, rng=rng))
    audio = voiced(words, ratio=ratio, rng=rng)
    wave = mains_wave(mains, rng)
    if case.hum:
        hum = wave(np.arange(len(audio)) / AUDIO_RATE)
        audio = audio + hum * audio.std() / hum.std() * 10 ** (HUM / 20)
    x = background(ELECTRODES, rng)
    x += 5 * rng.uniform(0.2, 1, ELECTRODES) * wave(np.arange(len(x)) / RATE)[:, None]
    if case.clean:
        follow_speech(x, voice, rng)
    else:
        low, high = case.band or BAND
        copy = passed(voice, low, high) if case.band else voice
        level = passed(x, low, high).std(axis=0) / passed(voice, low, high).std()
        x += copy[:, None] * level * 10 ** (case.decibels / 20)
    return (
        [Reader.of_array(audio[:, None], rate=float(AUDIO_RATE))],
        [Reader.of_array(x, rate=float(RATE))],
        mains,
    )


@dataclass(frozen=True, slots=True)
class Word:
    """A word: onset and duration (s), pitch (Hz), syllables, and amplitude of each harmonic."""

    onset: float
    duration: float
    pitch: float
    syllables: int
    harmonics: FloatArray


def spoken_words(rng: np.random.Generator) -> list[Word]:
    """Draw a word every three seconds."""
    return [
        Word(
            onset + rng.uniform(0, 0.4),
            rng.uniform(0.4, 0.9),
            120 * rng.uniform(0.85, 1.15),
            int(rng.integers(1, 4)),
            rng.uniform(0.5, 1.5, 15),
        )
        for onset in np.arange(0.5, SECONDS - 2, 3.0)
    ]


def voiced(words: list[Word], *, ratio: float, rng: np.random.Generator) -> FloatArray:
    """Synthesise the words at `ratio` times their pitch, with unchanged timing, in room noise."""
    sound = np.zeros(SECONDS * AUDIO_RATE)
    for word in words:
        t = np.arange(int(word.duration * AUDIO_RATE)) / AUDIO_RATE
        pitch = ratio * word.pitch * (1.15 - 0.3 * t / word.duration)
        phase = 2 * np.pi * np.cumsum(pitch) / AUDIO_RATE
        envelope = np.abs(np.sin(np.pi * word.syllables * t / word.duration)) ** 0.7
        first = int(word.onset * AUDIO_RATE)
        sound[first : first + len(t)] += envelope * sum(
            a / k * np.cos(k * phase) for k, a in enumerate(word.harmonics, 1)
        )
    return np.asarray(sound + 1e-3 * sound.std() * rng.standard_normal(len(sound)))


def mains_wave(mains: float, rng: np.random.Generator) -> Callable[[FloatArray], FloatArray]:
    """Draw the mains: seven harmonics of a frequency that wanders, as a function of time (s)."""
    from scipy.ndimage import gaussian_filter1d

    knots = np.arange(0.0, SECONDS + 1, 0.1)
    wander = gaussian_filter1d(rng.standard_normal(len(knots)), 150, mode="wrap")
    frequency = mains + WANDER * wander / wander.std()
    turns = np.concatenate([[0.0], np.cumsum(frequency[:-1] * 0.1)])
    share = rng.uniform(0.1, 1, 7) / np.arange(1, 8)
    angle = rng.uniform(0, 2 * np.pi, 7)

    def wave(t: FloatArray) -> FloatArray:
        turned = 2 * np.pi * np.interp(t, knots, turns)
        return np.asarray(
            sum(
                s * np.sin(k * turned + a)
                for k, (s, a) in enumerate(zip(share, angle, strict=True), 1)
            )
        )

    return wave


def background(n: int, rng: np.random.Generator) -> FloatArray:
    """Draw voltages with a 1/f² power spectrum over white noise, µV, (sample, electrode)."""
    from scipy.signal import detrend

    x = np.cumsum(rng.standard_normal((SECONDS * RATE, n)), axis=0)
    return np.asarray(detrend(x, axis=0) * 0.2 + rng.standard_normal(x.shape) * 0.5)


def passed(x: FloatArray, low: float, high: float) -> FloatArray:
    """Filter to a band, Hz, without delay."""
    from scipy.signal import butter, sosfiltfilt

    sos = butter(4, [low, high], btype="bandpass", fs=RATE, output="sos")
    return np.asarray(sosfiltfilt(sos, x, axis=0))


def heard(sound: FloatArray) -> FloatArray:
    """Sample the sound at the electrodes' rate."""
    from scipy.signal import resample_poly

    return np.asarray(resample_poly(sound, RATE // 64, AUDIO_RATE // 64)[: SECONDS * RATE])


def follow_speech(x: FloatArray, voice: FloatArray, rng: np.random.Generator) -> None:
    """Add high-gamma activity that rises with the voice to every other electrode."""
    from scipy.signal import butter, hilbert, sosfiltfilt

    low_pass = butter(2, 8, fs=RATE, output="sos")
    level = sosfiltfilt(low_pass, np.abs(hilbert(passed(voice, 80, 450))))
    level = np.clip(level / level.max(), 0, None)
    for column in range(0, x.shape[1], 2):
        noise = rng.standard_normal(len(x))
        carrier = passed(noise, rng.choice([65, 80]), rng.choice([170, 300]))
        carrier *= passed(x[:, column], *BAND).std() / carrier.std()
        lag = int(rng.uniform(-0.2, 0.3) * RATE)
        x[:, column] += rng.choice([1, 3]) * carrier * np.roll(level, lag)
