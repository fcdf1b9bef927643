"""A participant without any relation between speech and signal: noise times each channel's gain.

The words are read aloud and recorded as in the demo; the electrodes do not depend on them.
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
LOWEST = 0.5  # Hz; below it the spectrum is flat


def write_noise_participant(
    root: str | PathLike[str],
    participant: str,
    *,
    words_folder: str | PathLike[str],
    channels: int,
    n_words: int,
    gain_spread: float,
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
        voltage=lambda session, _: simulate_noise(session.n_samples, plan, seed=(seed, number)),
        seed=seed,
        identifier=f"highgamma-noise-{participant}-{seed}",
    )


def vocabulary(words_folder: str | PathLike[str]) -> tuple[spoken.SpokenWord, ...]:
    """Return the demo's list of words, with compounds of its short ones."""
    return spoken.with_compounds(spoken.read_words(words_folder), count=COMPOUNDS)


def simulate_noise(n_samples: int, plan: truth.Plan, *, seed: tuple[int, int]) -> FloatArray:
    """Simulate the voltage, µV, (sample, channel): gain · 1/f noise (in power), independent.

    It comes in multiples of the recorder's resolution.
    """
    neural = np.empty((n_samples, len(plan.planted)), order="F")
    for column, electrode in enumerate(plan.planted):
        noise = signals.shaped_noise(
            n_samples,
            RATE,
            lambda f: 1 / np.sqrt(np.maximum(f, LOWEST)),
            rng=np.random.default_rng([*seed, 100 + column]),
        )
        volts = electrode.gain * signals.BACKGROUND * noise
        neural[:, column] = np.rint(volts / signals.STEP) * signals.STEP
    return neural
