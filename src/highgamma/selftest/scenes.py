"""Scenes: words, sound, stand-ins for models, and electrodes that follow one thing alone.

A scene has no voltage: it begins with the envelope in frames, so that many electrodes can be tested
with the analyses that the shipped configurations state. Its noise is as that of real recordings:
1/f down to a hundredth of a hertz, a fifth of its variance a linear trend, and a voice that grows
softer by 6 dB. Stand-ins have what real models have and findings must be more than: word vectors
share a direction and hold frequency and length; networks of speech, trained or not, hold the sound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma import catalogue
from highgamma.embeddings.nuisances import frame_nuisances, word_nuisances
from highgamma.embeddings.position import position_embeddings
from highgamma.embeddings.stream import Audio, Embeddings, Words
from highgamma.embeddings.writing import as_dataset

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

FloatArray = NDArray[np.float64]

RATE = 20.0
"""Frames per second."""
SECONDS = 300.0
AUDIO_RATE = 4000.0
"""Samples of the sound per second: it carries an envelope, no speech."""
BANDS = 23
WIDTH, LAYERS = 32, 4
"""Features and layers of stand-ins; trained text models have all layers, others one."""
MEANING_LAYER, COMPONENTS = 2, 4
"""The layer, and how many of its leading features, that electrodes of meaning follow."""
TREND = 0.2
"""Share of the noise's variance that is a linear trend."""
SLOWEST = 0.01
"""Lowest frequency of the noise, Hz."""
SOFTER = 0.5
"""Level of the voice at the end, relative to the beginning (−6 dB)."""
LATE = 0.15
"""Lag of a late response, s."""

FRAME_KINDS = ("on-off", "on-off-late", "prompt", "loudness", "word-rate", "drift")
WORD_KINDS = ("on-off", "duration", "latency", "length", "frequency", "loudness", "drift")
"""Electrodes that follow nothing but a nuisance."""


def one_over_f(n: int, columns: int, *, rng: np.random.Generator, lowest: float) -> FloatArray:
    """Return 1/f noise of unit variance, (n, columns), with nothing slower than `lowest` (Hz)."""
    frequency = np.fft.rfftfreq(n, 1 / RATE)
    amplitude = np.zeros(len(frequency))
    kept = frequency >= lowest
    amplitude[kept] = frequency[kept] ** -0.5
    spectrum = rng.standard_normal((2, len(frequency), columns))
    noise = np.fft.irfft((spectrum[0] + 1j * spectrum[1]) * amplitude[:, None], n, axis=0)
    return np.asarray(noise / noise.std(axis=0))


def unit(values: FloatArray) -> FloatArray:
    """Return values of mean 0 and standard deviation 1 in each column."""
    return np.asarray((values - values.mean(axis=0)) / values.std(axis=0))


@dataclass(frozen=True)
class Scene:
    """What was said and heard in one or several recordings of equal length.

    Attributes
    ----------
    seed
        Of everything in it.
    listening
        Running speech without prompts, instead of single words read aloud.
    recordings
        Recordings that the time is divided into; the level of each differs.
    language
        Code of the words' language.
    """

    seed: int
    listening: bool = False
    recordings: int = 1
    language: str = "nl"

    def rng(self, name: str) -> np.random.Generator:
        """Return the generator of one part, which the others leave as it is."""
        import zlib

        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    @property
    def n(self) -> int:
        """Frames of all recordings."""
        return int(SECONDS * RATE)

    @cached_property
    def segment(self) -> NDArray[np.int64]:
        """(frame,) number of the recording."""
        return np.arange(self.n, dtype=np.int64) * self.recordings // self.n

    @cached_property
    def time(self) -> FloatArray:
        """(frame,) s from the start of the recording."""
        within = np.concatenate(
            [np.arange((self.segment == s).sum()) for s in range(self.recordings)]
        )
        return (within + 0.5) / RATE

    @cached_property
    def words(self) -> pd.DataFrame:
        """The table of words as the stage `recording` writes it."""
        import pandas as pd
        from wordfreq import top_n_list

        rng = self.rng("words")
        step = 0.5 if self.listening else 3.0
        per_recording = int(SECONDS / step / self.recordings)
        each = per_recording * self.recordings
        names = [w for w in top_n_list(self.language, 4000) if w.isalpha()]
        drawn = rng.choice(len(names), each, replace=self.listening)
        prompt = np.tile(np.arange(per_recording) * step + 0.2, self.recordings)
        word = [names[k] for k in drawn]
        # Long words take longer to say.
        length = 0.15 + 0.05 * np.array([len(w) for w in word])
        spoken = np.clip(length + 0.1 * rng.random(each), 0.1, 1.2)
        late = np.zeros(each) if self.listening else 0.4 + 0.4 * rng.random(each)
        spoken = np.minimum(spoken, 0.9 * step) if self.listening else spoken
        return pd.DataFrame(
            {
                "segment": np.repeat(np.arange(self.recordings), per_recording),
                "segment_label": "recording",
                "word": word,
                "onset": prompt,
                "offset": prompt + (spoken if self.listening else 2.0),
                "voice_onset": prompt + late,
                "voice_offset": prompt + late + spoken,
            }
        )

    @cached_property
    def columns(self) -> Words:
        """The same words as embeddings take them."""
        table = self.words
        return Words(
            tuple(table["word"]),
            table["segment"].to_numpy(np.int64),
            *(table[name].to_numpy(float) for name in
              ("onset", "offset", "voice_onset", "voice_offset")),
        )  # fmt: skip

    def painted(self, values: FloatArray, *, mark: str = "voice", lag: float = 0.0) -> FloatArray:
        """Return word values (word, m) held while the word lasts, zeros elsewhere: (frame, m)."""
        frames = np.zeros((self.n, values.shape[1]))
        start, stop = self.columns.edges(mark)
        for k, (a, b) in enumerate(zip(start, stop, strict=True)):
            here = self.segment == self.columns.segment[k]
            frames[here & (self.time - lag >= a) & (self.time - lag < b)] = values[k]
        return frames

    @cached_property
    def loudness(self) -> FloatArray:
        """(word,) level of each word, nepers; the voice grows softer by `SOFTER`."""
        n = len(self.words)
        return np.asarray(
            0.4 * self.rng("loudness").standard_normal(n) + np.linspace(0, np.log(SOFTER), n)
        )

    @cached_property
    def bands(self) -> FloatArray:
        """(frame, band) amplitudes of the sound."""
        rng = self.rng("bands")
        profile = rng.standard_normal((len(self.words), 4)) @ rng.standard_normal((4, BANDS)) * 0.4
        levels = self.painted(np.exp(profile + self.loudness[:, None]))
        fast = one_over_f(self.n, BANDS, rng=rng, lowest=1.0)
        return np.asarray(levels * np.exp(0.4 * fast))

    @cached_property
    def audio(self) -> Audio:
        """Noise with the envelope of the bands' sum."""
        envelope = self.bands.mean(axis=1)
        samples: list[FloatArray] = []
        for s in range(self.recordings):
            here = self.segment == s
            t = np.arange(int(here.sum() / RATE * AUDIO_RATE)) / AUDIO_RATE
            samples.append(np.interp(t, self.time[here], envelope[here]))
        carrier = self.rng("audio").standard_normal(sum(map(len, samples)))
        sound = np.concatenate(samples) * carrier + 1e-4 * self.rng("floor").standard_normal(
            len(carrier)
        )
        first = np.cumsum([0, *(len(s) for s in samples[:-1])])
        return Audio(
            (sound / np.abs(sound).max()).astype(np.float32),
            AUDIO_RATE,
            tuple(range(self.recordings)),
            tuple(int(f) for f in first),
            (0.0,) * self.recordings,
        )

    @property
    def extents(self) -> list[tuple[int, float, float]]:
        """Number, start and stop (s) of each recording."""
        return [(s, 0.0, SECONDS / self.recordings) for s in range(self.recordings)]

    # ------------------------------------------------------------------------ stand-ins

    @cached_property
    def zipf(self) -> FloatArray:
        """(word,) frequency of each word on the Zipf scale."""
        from wordfreq import zipf_frequency

        return np.array([zipf_frequency(w, self.language) for w in self.words["word"]])

    def vectors(self, name: str) -> FloatArray:
        """Return (layer, word, feature) of a trained text model: meaning, frequency and length."""
        rng = self.rng(name)
        known = sorted(set(self.words["word"]))
        rows = np.searchsorted(known, self.words["word"].to_numpy(dtype=str))
        # A few features dominate, as a few components of real vectors do.
        size = np.arange(1, WIDTH + 1) ** -0.75
        layers = [size * rng.standard_normal((len(known), WIDTH))]
        for _ in range(LAYERS - 1):
            fresh = size * rng.standard_normal((len(known), WIDTH))
            layers.append(0.8 * layers[-1] + 0.6 * fresh)
        length = np.array([float(len(w)) for w in self.words["word"]])
        shared = 0.5 * np.outer(unit(self.zipf), size * rng.standard_normal(WIDTH))
        shared += 0.5 * np.outer(unit(length), size * rng.standard_normal(WIDTH))
        # One direction is common to all words, as in contextual models.
        common = 3.0 * rng.standard_normal(WIDTH)
        return np.stack([layer[rows] + shared + common for layer in layers])

    @cached_property
    def context(self) -> FloatArray:
        """(frame, feature) logarithm of the bands now and 100 ms before and after."""
        log = np.log(self.bands + 1e-3)
        return np.concatenate([np.roll(log, shift, axis=0) for shift in (-2, 0, 2)], axis=1)

    def random_network(self, name: str) -> FloatArray:
        """Return (1, frame, feature) of an untrained network that hears the bands."""
        rng = self.rng(name)
        weights = rng.standard_normal((self.context.shape[1], WIDTH)) / np.sqrt(3 * BANDS)
        return np.asarray(np.tanh(unit(self.context) @ weights)[None])

    def embeddings(self, name: str, entries: Mapping[str, Any]) -> xr.Dataset:
        """Return the stand-in for a model of the catalogue, by its kind."""
        entry = entries[name]
        role, untrained = catalogue.kind_of(entry).role, bool(entry.get("untrained"))
        if role == "nuisance" and entry["unit"] == "word":
            return as_dataset(word_nuisances(self.columns, self.audio, language=self.language))
        if role == "nuisance":
            return as_dataset(frame_nuisances(self.columns, self.audio, self.extents, shift=0.01))
        if role == "position":
            spacing = {"spacing": 1.0, "blur": 0.5, "shift": 0.1, "most": 1000}
            return as_dataset(position_embeddings(spacing, extents=self.extents))
        kind = entry["kind"]
        if kind in ("static", "text"):
            base = str(entry.get("base") or name)
            drawn = self.vectors(name) if untrained else self.vectors(base)
            if untrained:
                # Random weights know which word it is and how long, neither meaning nor frequency.
                rng = self.rng(name)
                known = sorted(set(self.words["word"]))
                rows = np.searchsorted(known, self.words["word"].to_numpy(dtype=str))
                drawn = rng.standard_normal((1, len(known), WIDTH))[:, rows]
            return self._of_words(drawn if kind == "text" or untrained else drawn[[MEANING_LAYER]])
        if kind == "speech":
            heard = self.random_network(name)
            if not untrained:
                said = self.painted(self.vectors(name)[MEANING_LAYER])
                heard = np.concatenate([heard, 0.5 * said[None]], axis=2)
            return self._of_frames(heard)
        return self._of_frames(np.log(self.bands + 1e-3)[None])

    def _of_words(self, values: FloatArray) -> xr.Dataset:
        return as_dataset(
            Embeddings(
                unit="word",
                layers=list(range(len(values))),
                width=values.shape[2],
                coordinates={
                    "word_index": np.arange(len(self.words), dtype=np.int32),
                    "word": self.words["word"].to_numpy(dtype=object),
                },
                blocks=[values.astype(np.float32)],
            )
        )

    def _of_frames(self, values: FloatArray) -> xr.Dataset:
        return as_dataset(
            Embeddings(
                unit="frame",
                layers=list(range(len(values))),
                width=values.shape[2],
                coordinates={"time": self.time, "segment": self.segment.astype(np.int16)},
                blocks=[values.astype(np.float32)],
                attributes={"rate_hz": RATE},
            )
        )

    # ------------------------------------------------------------------------ electrodes

    def noise(self, count: int, name: str) -> FloatArray:
        """Return (frame, electrode) noise, with a trend and a level of each recording."""
        rng = self.rng(f"noise {name}")
        trend = unit(np.arange(self.n, dtype=float)[:, None])
        noise = one_over_f(self.n, count, rng=rng, lowest=SLOWEST)
        signs = rng.choice([-1.0, 1.0], count)
        values = np.sqrt(1 - TREND) * noise + np.sqrt(TREND) * trend * signs
        if self.recordings > 1:
            values = values + rng.standard_normal((self.recordings, count))[self.segment]
        return np.asarray(values)

    def drive(self, kind: str, meaning: FloatArray) -> FloatArray:
        """Return (frame, electrode) what electrodes of a kind follow, of unit variance.

        Parameters
        ----------
        kind
            One of `FRAME_KINDS` or `WORD_KINDS`, `meaning`, or `sound`.
        meaning
            (feature, electrode) directions that electrodes of the kind `meaning` follow.
        """
        ones = np.ones((len(self.words), 1))
        envelope = np.log(self.bands.mean(axis=1, keepdims=True) + 1e-3)
        length = np.array([[float(len(w))] for w in self.words["word"]])
        start, stop = self.columns.edges("voice")
        makers: dict[str, Callable[[], FloatArray]] = {
            "on-off": lambda: self.painted(ones),
            "on-off-late": lambda: self.painted(ones, lag=LATE),
            "prompt": lambda: self.painted(ones, mark="prompt"),
            "loudness": lambda: envelope,
            "word-rate": lambda: self._rate(),
            "duration": lambda: self.painted((stop - start)[:, None]),
            "latency": lambda: self.painted((start - self.columns.onset)[:, None]),
            "length": lambda: self.painted(length),
            "frequency": lambda: self.painted(self.zipf[:, None]),
            "drift": lambda: np.arange(self.n, dtype=float)[:, None],
            "meaning": lambda: self.painted(meaning),
            "sound": lambda: unit(self.context) @ self.rng("sound").standard_normal(
                (self.context.shape[1], meaning.shape[1])
            ),
        }  # fmt: skip
        return unit(makers[kind]())

    def _rate(self) -> FloatArray:
        """(frame, 1) words a second."""
        rate = np.zeros(self.n)
        for onset, segment in zip(self.columns.onset, self.columns.segment, strict=True):
            here = self.segment == segment
            rate[here] += np.exp(-0.5 * (self.time[here] - onset) ** 2)
        return rate[:, None]

    def electrodes(
        self,
        kind: str,
        *,
        snr: float,
        count: int,
        model: str = "",
        window: tuple[float, float] | None = None,
    ) -> FloatArray:
        """Return (frame, electrode) signals of electrodes of one kind.

        Parameters
        ----------
        kind
            `noise`, or see `drive`. Those of `meaning` also follow speech on and off.
        snr
            Variance of what they follow over that of the noise.
        count
            Number of electrodes.
        model
            The text model whose meaning they follow.
        window
            Of words (s after the prompt): variances are then those of means over it.
        """
        values = self.noise(count, f"{kind} {snr:g}")
        if kind == "noise":
            return values
        meaning = np.zeros((len(self.words), count))
        if kind == "meaning":
            directions = np.zeros((WIDTH, count))
            directions[:COMPONENTS] = self.rng("meaning").standard_normal((COMPONENTS, count))
            drawn = self.vectors(model)
            meaning = unit(drawn[min(MEANING_LAYER, len(drawn) - 1)]) @ directions
            meaning = unit(self._without_nuisances(meaning))
            values = values + 0.3 * self.drive("on-off", meaning)
        drive = self.drive(kind, meaning)
        gain = np.sqrt(snr)
        if window is not None and kind != "drift":
            gain = (
                gain
                * self.means(values, window).std(axis=0)
                / self.means(drive, window).std(axis=0)
            )
        return np.asarray(values + gain * drive)

    def means(self, values: FloatArray, window: tuple[float, float]) -> FloatArray:
        """Return means (word, electrode) over the words' windows, s after the prompt."""
        onsets = zip(self.columns.onset, self.columns.segment, strict=True)
        return np.stack(
            [
                values[
                    (self.segment == s) & (self.time >= a + window[0]) & (self.time < a + window[1])
                ].mean(axis=0)
                for a, s in onsets
            ]
        )

    def _without_nuisances(self, values: FloatArray) -> FloatArray:
        """Word values (word, m) less what frequency and length say of them."""
        length = np.array([float(len(w)) for w in self.words["word"]])
        known = np.column_stack([np.ones(len(values)), self.zipf, length])
        return np.asarray(values - known @ np.linalg.lstsq(known, values, rcond=None)[0])

    def signal(self, values: FloatArray) -> xr.Dataset:
        """Return envelopes (frame, electrode) as the stage `neural` writes them."""
        import xarray as xr

        return xr.Dataset(
            {"high_gamma": (("time", "channel"), values)},
            coords={
                "time": self.time,
                "segment": ("time", self.segment.astype(np.int16)),
                "valid": ("time", np.ones(self.n, dtype=np.int8)),
                "channel": [f"E{k:04d}" for k in range(values.shape[1])],
            },
            attrs={"rate_hz": RATE},
        )

    def target(self, values: FloatArray, *, window: tuple[float, float]) -> xr.Dataset:
        """Return means over the words' windows as the stage `targets` writes them."""
        import xarray as xr

        start = self.columns.onset + window[0]
        stop = self.columns.onset + window[1]
        means = self.means(values, window)
        return xr.Dataset(
            {"target": (("word", "channel"), means)},
            coords={
                "word_index": ("word", np.arange(len(means))),
                "word": ("word", self.words["word"].to_numpy(dtype=object)),
                "segment": ("word", self.columns.segment.astype(np.int16)),
                "start": ("word", start),
                "stop": ("word", stop),
                "valid": ("word", np.ones(len(means), dtype=np.int8)),
                "channel": [f"E{k:04d}" for k in range(values.shape[1])],
            },
        )
