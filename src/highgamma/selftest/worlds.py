"""Simulate a participant: speech, a language model, and electrodes of every kind.

Speech, electrodes and signal-to-noise ratios are those of the demo (`demo.signals`), in larger
numbers and over a range. The language model is not the demo's: its layers are drawn at random
for every word, independently of the sound, so that an electrode which follows the sound follows no
layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from highgamma.demo import dataset, semantics, signals, spoken, truth
from highgamma.selftest.settings import SelftestSettings

FloatArray = NDArray[np.float64]

LAGS = (-0.20, -0.08, 0.0, 0.10, 0.25)
"""Lags of the acoustic electrodes in turn, s."""

LAYERS, WIDTH = 4, 32
NEIGHBOURS = 0.8
"""Correlation of a feature between one layer and the next."""

PLANTED_LAYER = 2
AMPLIFIER = 1.0
"""Standard deviation of the amplifier's white noise, µV. Above the high-gamma band, where the
simulated brain has no activity, a copy of the microphone would otherwise be the only signal."""


DRIFT = 0.4
"""Standard deviation of the gain of every second noise electrode, relative to its mean. A null that
ignores the autocorrelation has too many false positives on such an envelope."""


@dataclass(frozen=True, slots=True)
class World:
    """A simulated participant.

    Attributes
    ----------
    session
        Words and their times.
    audio
        (sample,), at `demo.dataset.AUDIO_RATE`, starting `AUDIO_DELAY` s after the first neural
        sample.
    plan
        The electrodes and what each of them follows.
    voltage
        (sample, electrode), µV.
    layers
        (layer, word, feature) of the language model.
    control
        (word, feature) of its untrained control.
    """

    session: spoken.Session
    audio: FloatArray
    plan: truth.Plan
    voltage: FloatArray
    layers: FloatArray
    control: FloatArray


def plan_electrodes(settings: SelftestSettings, *, rng: np.random.Generator) -> truth.Plan:
    """Plan electrodes of all kinds: noise, planted at every level, contaminated, and one flat."""
    planted: list[truth.Planted] = []

    def add(kind: str, snr: float, *, lag: float = np.nan, model: str = "") -> None:
        weights: tuple[float, ...] = ()
        if kind == "language":
            direction = rng.standard_normal(truth.COMPONENTS)
            weights = tuple((direction / np.linalg.norm(direction)).tolist())
        planted.append(
            truth.Planted(
                contact=truth.Contact(f"E{len(planted) + 1}", (np.nan, np.nan, np.nan), kind),
                kind=kind,
                lag=lag,
                model=model,
                layer=PLANTED_LAYER if kind == "language" else None,
                snr=snr,
                gain=float(np.exp(truth.GAIN_SPREAD * rng.standard_normal())),
                weights=weights,
            )
        )

    for _ in range(settings.noise):
        add("noise", np.nan)
    for level, snr in enumerate(sorted(settings.snr_frames)):
        for number in range(settings.planted):
            lag = LAGS[(level + number) % len(LAGS)]
            add("acoustic", snr, lag=lag, model="envelope")
            add("speech-on-off", snr, lag=0.0, model="word-onoff")
    for snr in sorted(settings.snr_words):
        for _ in range(settings.planted):
            add("language", snr, model="language")
    for decibels in sorted(settings.contamination_db):
        for _ in range(settings.planted):
            add("contaminated", 10 ** (decibels / 10), lag=0.0)
    add("flat", np.nan)
    return truth.Plan(planted=tuple(planted), contacts=tuple(p.contact for p in planted))


def language_layers(words: Sequence[str], *, seed: int) -> tuple[FloatArray, FloatArray]:
    """Draw features of each word in each layer of a model, and in an unrelated control.

    Layer 0 is noise whose kth feature has the variance k^-1.5, so that a few components dominate;
    every further layer is `NEIGHBOURS` times the one before plus noise that keeps the variances. A
    word has the same features for all participants of a seed.

    Returns
    -------
    layers : (layer, word, feature)
    control : (word, feature)
        Words are sorted and distinct.
    """
    names = sorted(set(words))
    rng = np.random.default_rng([seed, 7])
    drawn = rng.standard_normal((LAYERS + 1, len(names), WIDTH)) * np.arange(1, WIDTH + 1) ** -0.75
    layers = [drawn[0]]
    for fresh in drawn[1:LAYERS]:
        layers.append(NEIGHBOURS * layers[-1] + np.sqrt(1 - NEIGHBOURS**2) * fresh)
    return np.stack(layers), drawn[LAYERS]


def simulate(
    settings: SelftestSettings,
    spoken_words: tuple[spoken.SpokenWord, ...],
    *,
    seed: int,
    number: int,
) -> World:
    """Simulate one participant.

    Parameters
    ----------
    settings
        Settings of the self-test.
    spoken_words
        The demo's word list (`demo.spoken.read_words`).
    seed, number
        The run, and the number of the participant in it.
    """

    def rng(part: int) -> np.random.Generator:
        return np.random.default_rng([seed, number, part])

    plan = plan_electrodes(settings, rng=rng(0))
    session = spoken.plan_session(
        spoken_words, n_words=settings.words, rate=dataset.RATE, rng=rng(1)
    )
    audio = spoken.speak_session(
        session, rate=dataset.AUDIO_RATE, start=dataset.AUDIO_DELAY, rng=rng(2)
    )
    everyone = [word.text for word in spoken_words]
    layers, control = language_layers(everyone, seed=seed)
    rows = np.searchsorted(sorted(set(everyone)), [word.text for word in session.words])
    layers, control = layers[:, rows], control[rows]
    components = semantics.leading_components(layers[PLANTED_LAYER], n_components=truth.COMPONENTS)
    voltage = dataset.simulate(
        session, audio, plan, components / components.std(axis=0), seed=(seed, number)
    )[:, : len(plan.planted)]
    noise, drift = rng(4), rng(5)
    for column, electrode in enumerate(plan.planted):
        if electrode.kind == "noise" and column % 2:
            gain = 1 + DRIFT * signals.slow_modulation(len(voltage), dataset.RATE, rng=drift)
            voltage[:, column] *= np.maximum(gain, 0.1)
        if electrode.kind != "flat":
            voltage[:, column] += AMPLIFIER * electrode.gain * noise.standard_normal(len(voltage))
    return World(
        session=session, audio=audio, plan=plan, voltage=voltage, layers=layers, control=control
    )
