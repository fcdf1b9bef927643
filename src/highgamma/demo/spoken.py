"""The word list, its audio, and a session in which a participant reads words aloud."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from highgamma import store
from highgamma.errors import InputError

FloatArray = NDArray[np.float64]

WORD_SECONDS, FIXATION_SECONDS = 2.0, 1.0
MIN_WORDS = 8  # fewer cannot carry the planted components
TAIL_SECONDS = 1.3  # the recording goes on after the last word
JITTER_SAMPLES = 8  # a screen draws a little early or late
VOICE_START = (0.3, 0.9)  # s after the prompt
VOICE_LEVEL = 3.0  # dB, how much one word may be louder or softer than another
FLOOR = 6e-4  # standard deviation of the microphone's noise, of full scale


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word of the list: its text, its samples (±1) and its phones.

    `phones` holds (phone, start, stop), in seconds from the word's first sample.
    """

    text: str
    samples: FloatArray
    rate: float
    phones: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True, slots=True)
class Session:
    """What happened in a recording; times in s from its first neural sample.

    `prompt` and `prompt_stop` are neural samples; the words last from one to the other and the
    fixations lie between. `n_samples` is the length of the neural recording.
    """

    words: tuple[SpokenWord, ...]
    rate: float
    n_samples: int
    prompt: NDArray[np.int64]
    prompt_stop: NDArray[np.int64]
    voice_onset: FloatArray
    voice_offset: FloatArray


def read_words(folder: str | PathLike[str]) -> tuple[SpokenWord, ...]:
    """Read `words.flac`, `words.tsv` and `phones.tsv`, as `make_words.py` wrote them."""
    import soundfile

    folder = Path(folder)
    table = store.read_table(folder / "words.tsv", strings=("word",))
    phones = store.read_table(folder / "phones.tsv", strings=("word", "phone"))
    audio_file = folder / "words.flac"
    if not audio_file.is_file():
        raise InputError(
            "the audio of the demo's words does not exist",
            where=audio_file,
            remedy="restore the folder from the repository, or run its make_words.py",
        )
    audio, rate = soundfile.read(audio_file, dtype="float64")
    words = []
    for text, start, stop in zip(table["word"], table["start"], table["stop"], strict=True):
        first, last = round(start * rate), round(stop * rate)
        if not 0 <= first < last <= len(audio):
            raise InputError(
                f"the word {text!r} lies outside the audio ({start} to {stop} s)",
                where=folder / "words.tsv",
                expected=f"times between 0 and {len(audio) / rate:.3f} s",
                remedy="run make_words.py, which writes the audio and the tables together",
            )
        spoken_phones = phones[phones["word"] == text]
        words.append(
            SpokenWord(
                text=str(text),
                samples=audio[first:last],
                rate=float(rate),
                phones=tuple(
                    (str(p), float(a) - float(start), float(b) - float(start))
                    for p, a, b in spoken_phones[["phone", "start", "stop"]].itertuples(index=False)
                ),
            )
        )
    return tuple(words)


def with_compounds(words: tuple[SpokenWord, ...], *, count: int) -> tuple[SpokenWord, ...]:
    """Return the words, then `count` compounds of two of the shortest words.

    The list is shorter than a study needs; compounds are as long as long words.
    """
    shortest = sorted(words, key=lambda word: (len(word.samples), word.text))[: 2 * count]
    return words + tuple(
        _joined(first, second)
        for first, second in zip(shortest[:count], shortest[count:], strict=True)
    )


def _joined(first: SpokenWord, second: SpokenWord) -> SpokenWord:
    later = len(first.samples) / first.rate
    return SpokenWord(
        text=first.text + second.text,
        samples=np.concatenate([first.samples, second.samples]),
        rate=first.rate,
        phones=first.phones
        + tuple((phone, later + start, later + stop) for phone, start, stop in second.phones),
    )


def plan_session(
    words: Sequence[SpokenWord], *, n_words: int, rate: float, rng: np.random.Generator
) -> Session:
    """Draw `n_words` different words in random order and lay them out in time.

    A word is on the screen for about 2 s, a fixation cross for about 1 s between two words; the
    voice starts 0.3 to 0.9 s after the prompt.
    """
    if not MIN_WORDS <= n_words <= len(words):
        raise InputError(
            f"a session of {n_words} words cannot be simulated",
            where="demo.n_words",
            expected=f"between {MIN_WORDS} and {len(words)}, the length of the word list",
            remedy="set demo.n_words within these bounds",
        )
    chosen = tuple(words[i] for i in rng.permutation(len(words))[:n_words])
    jitter = rng.integers(-JITTER_SAMPLES, JITTER_SAMPLES + 1, (n_words, 2))
    shown = round(WORD_SECONDS * rate) + jitter[:, 0]
    fixated = round(FIXATION_SECONDS * rate) + jitter[:, 1]
    prompt = np.concatenate([[0], np.cumsum(shown + fixated)[:-1]])
    onset = prompt / rate + rng.uniform(*VOICE_START, n_words)
    return Session(
        words=chosen,
        rate=rate,
        n_samples=int(prompt[-1] + shown[-1] + round(TAIL_SECONDS * rate)),
        prompt=prompt.astype(np.int64),
        prompt_stop=(prompt + shown).astype(np.int64),
        voice_onset=onset,
        voice_offset=onset + np.array([len(w.samples) / w.rate for w in chosen]),
    )


def speak_session(
    session: Session, *, rate: float, start: float, rng: np.random.Generator
) -> FloatArray:
    """Return the microphone's signal, ±1 in steps of 2^-15.

    It is a few ms longer than the neural recording.

    Parameters
    ----------
    rate
        True rate of the audio in Hz, near 48 kHz.
    start
        Time of the first audio sample, in s from the first neural sample.
    """
    from scipy.signal import resample_poly

    n_samples = int(np.ceil(session.n_samples / session.rate * rate)) + round(0.004 * rate)
    audio = FLOOR * rng.standard_normal(n_samples)
    nominal = round(rate / 1000) * 1000
    for word, onset in zip(session.words, session.voice_onset, strict=True):
        common = np.gcd(nominal, round(word.rate))
        voice = resample_poly(word.samples, nominal // common, round(word.rate) // common)
        voice *= 10 ** (rng.uniform(-VOICE_LEVEL, VOICE_LEVEL) / 20)
        first = round((onset - start) * rate)
        audio[first : first + len(voice)] += voice
    steps = np.rint(0.5 * audio * 32768)
    return np.asarray(np.clip(steps, -32768, 32767) / 32768)
