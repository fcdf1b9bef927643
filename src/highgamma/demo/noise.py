"""A participant without any relation between speech and signal: noise times each channel's gain.

The words are read aloud and recorded as in the demo; the electrodes do not depend on them. Their
amplitude drifts, as that of real recordings does, and each electrode's does so in its own way:

    v(t) = gain · n(t) · (1 + depth·d(t)),    n and d noise of 1/f in power,

d from 0.01 to 1 Hz, its depth such that it makes up a given share of the envelope's variance.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from highgamma.demo import signals, spoken, truth
from highgamma.demo.dataset import RATE, hemisphere_of, write_session
from highgamma.demo.files import participant_number

FloatArray = NDArray[np.float64]

COMPOUNDS = 36  # 132 words, of which a participant reads 100: two share about three of four
LOWEST = 0.5  # Hz; below it the spectrum of n is flat
DRIFT = (0.01, 1.0)  # Hz; lowest and highest frequency of d


def write_noise_participant(
    root: str | PathLike[str],
    participant: str,
    *,
    words_folder: str | PathLike[str],
    channels: int,
    n_words: int,
    gain_spread: float,
    drift: float,
    seed: int,
) -> list[Path]:
    """Simulate a participant whose electrodes follow nothing, and write the files of a recording.

    Parameters
    ----------
    root, participant, words_folder
        As in `dataset.write_participant`.
    channels
        Recorded contacts.
    n_words
        Words read aloud, each once; one takes 3 s.
    gain_spread
        Standard deviation of the log gain over channels.
    drift
        Share of the envelope's variance, in frames of 50 ms, that drifts; below 1.
    seed
        Seed of everything random; the participant's number enters it.

    Returns
    -------
    files
        The files written. The same arguments give the same bytes.
    """
    number = participant_number(participant)
    plan = truth.plan_noise(
        channels,
        hemisphere=hemisphere_of(participant),
        gain_spread=gain_spread,
        rng=np.random.default_rng([seed, number, 0]),
    )
    return write_session(
        root,
        participant,
        plan=plan,
        words=vocabulary(words_folder),
        n_words=n_words,
        voltage=lambda session, _: simulate_noise(
            session.n_samples, plan, drift=drift, seed=(seed, number)
        ),
        seed=seed,
        identifier=f"highgamma-noise-{participant}-{seed}",
    )


def vocabulary(words_folder: str | PathLike[str]) -> tuple[spoken.SpokenWord, ...]:
    """Return the demo's list of words, with compounds of its short ones."""
    return spoken.with_compounds(spoken.read_words(words_folder), count=COMPOUNDS)


def simulate_noise(
    n_samples: int, plan: truth.Plan, *, drift: float, seed: tuple[int, int]
) -> FloatArray:
    """Simulate the voltage, µV, (sample, channel), independent between channels.

    It comes in multiples of the recorder's resolution; `drift` as in `write_noise_participant`.
    """
    neural = np.empty((n_samples, len(plan.planted)), order="F")
    for column, electrode in enumerate(plan.planted):
        rng = np.random.default_rng([*seed, 100 + column])
        noise = signals.shaped_noise(
            n_samples, RATE, lambda f: 1 / np.sqrt(np.maximum(f, LOWEST)), rng=rng
        )
        if drift:
            noise = noise * drifting_amplitude(noise, share=drift, rng=rng)
            noise /= noise.std()
        volts = electrode.gain * signals.BACKGROUND * noise
        neural[:, column] = np.rint(volts / signals.STEP) * signals.STEP
    return neural


def drifting_amplitude(noise: FloatArray, *, share: float, rng: np.random.Generator) -> FloatArray:
    """Return 1 + depth·d(t), (sample,), for noise (sample,) that does not drift.

    `share` of the variance of the high-gamma envelope's frames is then of d.
    """
    envelope = np.abs(signals.analytic_in_band(noise, RATE))
    slow = signals.shaped_noise(len(noise), RATE, _drift_spectrum, rng=rng)
    depth = signals.depth_for(
        slow, envelope, snr=share / (1 - share), means=signals.frames_of(RATE)
    )
    return np.maximum(1 + depth * slow, 0.1)


def _drift_spectrum(frequency: FloatArray) -> FloatArray:
    within = (frequency >= DRIFT[0]) & (frequency <= DRIFT[1])
    return np.where(within, 1 / np.sqrt(np.maximum(frequency, DRIFT[0])), 0.0)
