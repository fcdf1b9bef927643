"""Features that go along with speech whatever it means: what a finding has to be more than.

Of frames: whether there is voice, whether a word is shown, how loud the sound is and how fast words
come. Of words: how long, how loud and how late they are said, how long and how frequent they are,
and when in the recording they come. Word rate and position in time belong together as nuisances of
speech (Hadidi et al., Nature Communications 2026, with Nastase's open review, 2025); an electrode
may follow them late or early, so that those of frames are given at several lags.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from highgamma.embeddings.acoustic import envelope, on_off
from highgamma.embeddings.stream import GROUPS, Audio, Embeddings, Float32Array, FloatArray, Words
from highgamma.errors import InputError

logger = logging.getLogger("highgamma")

LAGS_S = tuple(round(0.05 * k, 2) for k in range(-10, 11))
"""Lags of the signal behind the nuisances of frames, s. The word rate has none: it is so smooth
that lags would be copies of it, and a fit to what little tells copies apart explodes where words
end."""
RATE_S = 1.0
"""Standard deviation of the Gaussian that counts words into a rate, s."""
QUIET = 1e-4
"""Share of the loudest frame's amplitude below which sound counts as silence (−80 dB)."""

VOICE = "voice"
"""Name of the group that says whether there is voice."""
VOICE_LAGS_S = (0.0, 0.1, 0.2, 0.3)
"""Lags of the signal behind the voice in windows of words, s."""
RATE = "word-rate"
"""Name of the group that counts words."""
FRAME_GROUPS = {
    VOICE: "whether a word is being said",
    "prompt": "whether a word is being shown, where words are shown",
    "envelope": "the sound's amplitude, and its logarithm",
    RATE: "words a second",
}
WORD_GROUPS = {
    VOICE: "share of the window in which a word is being said",
    "duration": "how long the word is said, s",
    "latency": "from the prompt to the voice, s",
    "length": "characters of the word",
    "frequency": "the word's frequency in its language (Zipf scale), where the language is known",
    "loudness": "mean level of the sound while the word is said, dB",
    "trial-number": "which word of the recording it is",
}
"""Groups of features and what they are, for docs/models.md."""


def frame_nuisances(
    words: Words, audio: Audio, extents: list[tuple[int, float, float]], *, shift: float
) -> Embeddings:
    """Return the nuisances of frames, each at its lags.

    Parameters
    ----------
    words
        The participant's words.
    audio
        The sound; it may be empty.
    extents
        Number, start and stop (s) of each recording.
    shift
        Step from frame to frame, s.
    """
    window = 5 * shift
    loudest = float(np.abs(audio.samples).max()) if len(audio.samples) else 0.0
    sounds: dict[int, list[tuple[float, Float32Array]]] = {}
    for number, start, samples in audio.parts():
        sounds.setdefault(number, []).append((start, samples))
    makers: dict[str, Callable[[int, FloatArray], FloatArray]] = {}
    if np.isfinite(words.voice_onset).any():
        makers["voice"] = lambda n, t: _said(words, "voice", n, t, window)
    if np.isfinite(words.onset).any():
        makers["prompt" if "voice" in makers else "voice"] = lambda n, t: _said(
            words, "prompt", n, t, window
        )
    if loudest > 0:
        makers["envelope"] = lambda n, t: _loudness(
            sounds.get(n, []), audio.rate, t, loudest, shift
        )
    if np.isfinite(words.onset).any():
        makers[RATE] = lambda n, t: _rate(words, n, t)
    if not makers:
        logger.info("no nuisance is known, because there are neither words nor sound")
        makers["none"] = lambda n, t: np.zeros((len(t), 1))
    lags = {name: (0.0,) if name == RATE else LAGS_S for name in makers}
    probe = {name: make(-1, np.zeros(1)).shape[1] for name, make in makers.items()}
    grids = [(number, np.arange(start + shift / 2, stop, shift)) for number, start, stop in extents]

    def blocks() -> Iterator[NDArray[np.float32]]:
        for number, time in grids:
            columns = []
            for name, make in makers.items():
                columns += [make(number, time - lag) for lag in lags[name]]
            yield np.concatenate(columns, axis=1)[None].astype(np.float32)

    widths = [(name, width * len(lags[name])) for name, width in probe.items()]
    return Embeddings(
        unit="frame",
        layers=[0],
        width=sum(width for _, width in widths),
        coordinates={
            "time": np.concatenate([time for _, time in grids]),
            "segment": np.concatenate([np.full(len(t), n, dtype=np.int16) for n, t in grids]),
        },
        blocks=blocks(),
        attributes={
            "rate_hz": 1.0 / shift,
            "reach_s": max(LAGS_S),
            GROUPS: json.dumps(widths),
        },
    )


def _said(words: Words, mark: str, number: int, time: FloatArray, window: float) -> FloatArray:
    """Share of each frame's window within a word, (frame, 1); 0 outside the recording."""
    start, stop = words.edges(mark)
    here = words.segment == number
    return on_off(time, start[here], stop[here], window=window)


def _rate(words: Words, number: int, time: FloatArray) -> FloatArray:
    """Words a second, counted by a Gaussian, (frame, 1)."""
    onsets = words.onset[(words.segment == number) & np.isfinite(words.onset)]
    rate = np.zeros(len(time))
    for onset in onsets:
        first, last = np.searchsorted(time, [onset - 5 * RATE_S, onset + 5 * RATE_S])
        rate[first:last] += np.exp(-0.5 * ((time[first:last] - onset) / RATE_S) ** 2)
    return np.asarray(rate[:, None] / (RATE_S * np.sqrt(2 * np.pi)))


def _loudness(
    parts: Sequence[tuple[float, Float32Array]],
    rate: float,
    time: FloatArray,
    loudest: float,
    shift: float,
) -> FloatArray:
    """Amplitude and its logarithm, (frame, 2); zero outside the sounds of the recording."""
    loudness = np.zeros(len(time))
    for start, samples in parts:
        amplitude = envelope(samples, rate, window=5 * shift, shift=shift)[:, 0]
        if not len(amplitude):
            continue
        centres = start + np.arange(len(amplitude)) * shift + 2.5 * shift
        near = slice(*np.searchsorted(time, [centres[0], centres[-1] + shift]))
        loudness[near] = np.maximum(
            loudness[near], np.interp(time[near], centres, amplitude, left=0.0, right=0.0)
        )
    return np.column_stack([loudness, np.log(np.maximum(loudness, QUIET * loudest))])


def word_nuisances(words: Words, audio: Audio, *, language: str | None) -> Embeddings:
    """Return the nuisances of words, one feature a group; a missing value is the group's mean.

    The voice's share is of an analysis's window, and is added where the window is known
    (`encoding.samples`).

    Parameters
    ----------
    words
        The participant's words.
    audio
        The sound; it may be empty.
    language
        Code of the words' language; None leaves word frequency out.
    """
    spoken = np.isfinite(words.voice_onset) & np.isfinite(words.voice_offset)
    start = np.where(spoken, words.voice_onset, words.onset)
    stop = np.where(spoken, words.voice_offset, words.offset)
    columns = {
        "duration": stop - start,
        "latency": words.voice_onset - words.onset,
        "length": np.array([float(len(word)) for word in words.word]),
        "frequency": _frequency(words, language),
        "loudness": _levels(words, audio, start, stop),
        "trial-number": _trial_numbers(words.segment),
    }
    known = {name: values for name, values in columns.items() if np.isfinite(values).any()}
    for name in columns:
        if name not in known:
            logger.info("the nuisance %s is not known: %s", name, WORD_GROUPS[name])
    for values in known.values():
        values[~np.isfinite(values)] = np.nanmean(values)
    n = len(words.word)
    features = np.stack(list(known.values()), axis=1) if known else np.zeros((n, 1))
    return Embeddings(
        unit="word",
        layers=[0],
        width=features.shape[1],
        coordinates={
            "word_index": np.arange(n, dtype=np.int32),
            "word": np.array(words.word, dtype=object),
        },
        blocks=iter([features[None].astype(np.float32)]),
        attributes={GROUPS: json.dumps([(name, 1) for name in known] or [("none", 1)])},
    )


def _trial_numbers(segment: NDArray[np.int64]) -> FloatArray:
    """Number (word,) of each word within its recording."""
    numbers = np.zeros(len(segment))
    for value in np.unique(segment):
        here = segment == value
        numbers[here] = np.arange(here.sum())
    return numbers


def _levels(words: Words, audio: Audio, start: FloatArray, stop: FloatArray) -> FloatArray:
    """Level (word,) of the sound in each word's span, dB of full scale; NaN without sound."""
    levels = np.full(len(start), np.nan)
    for number, begins, samples in audio.parts():
        for k in np.flatnonzero((words.segment == number) & np.isfinite(start) & np.isfinite(stop)):
            a, b = (round((edge - begins) * audio.rate) for edge in (start[k], stop[k]))
            part = samples[max(a, 0) : max(b, 0)].astype(np.float64)
            if len(part):
                levels[k] = 10 * np.log10(np.mean(part**2) + QUIET**2)
    return levels


def _frequency(words: Words, language: str | None) -> FloatArray:
    """Frequency (word,) on the Zipf scale; NaN where the language is not known."""
    frequency = np.full(len(words.word), np.nan)
    if language is None:
        logger.info("the language of the words is not known (dataset.language)")
        return frequency
    of_word = _zipf(language)
    for k, word in enumerate(words.word):
        frequency[k] = of_word(word)
    return frequency


@cache
def _zipf(language: str) -> Callable[[str], float]:
    """Return what gives a word's frequency in a language.

    Source: Speer, wordfreq (2022, doi 10.5281/zenodo.7199437); the Zipf scale, log10 of occurrences
    per 10⁹ words, is that of van Heuven et al. (Q. J. Exp. Psychol. 67:1176, 2014). A word that the
    list does not have counts 0.
    """
    from wordfreq import available_languages, zipf_frequency

    if language.split("-")[0] not in available_languages():
        raise InputError(
            f"no list of word frequencies is known for the language {language!r}",
            where="dataset.language",
            expected="one of " + ", ".join(sorted(available_languages())),
            remedy="correct dataset.language, or set it to null, which leaves frequency out",
        )
    return lambda word: float(zipf_frequency(word, language))
