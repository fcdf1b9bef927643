"""A participant without any relation between speech and signal: noise times each channel's gain.

The words are read aloud and recorded as in the demo; the electrodes know nothing of them.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from highgamma.demo import signals, spoken, truth
from highgamma.demo.dataset import AUDIO_DELAY, AUDIO_RATE, RATE, participant_number, write_files

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
    The files written. The same arguments give the same bytes.
    """
    number = participant_number(participant)
    plan = truth.plan_noise(
        channels,
        hemisphere="R" if number % 2 == 0 else "L",
        gain_spread=gain_spread,
        rng=np.random.default_rng([seed, number, 0]),
    )
    session = spoken.plan_session(
        vocabulary(words_folder),
        n_words=n_words,
        rate=RATE,
        rng=np.random.default_rng([seed, number, 1]),
    )
    audio = spoken.speak_session(
        session, rate=AUDIO_RATE, start=AUDIO_DELAY, rng=np.random.default_rng([seed, number, 2])
    )
    neural = simulate_noise(session.n_samples, plan, seed=(seed, number))
    return write_files(
        root,
        participant,
        plan=plan,
        session=session,
        audio=audio,
        neural=neural,
        identifier=f"highgamma-noise-{participant}-{seed}",
    )


def vocabulary(words_folder: str | PathLike[str]) -> tuple[spoken.SpokenWord, ...]:
    """The words that a session is drawn from: the demo's list, and compounds of its short words."""
    return spoken.with_compounds(spoken.read_words(words_folder), count=COMPOUNDS)


def simulate_noise(n_samples: int, plan: truth.Plan, *, seed: tuple[int, int]) -> FloatArray:
    """Voltage in µV, (sample, channel): gain · 1/f noise (in power), independent in each channel.

    In multiples of the recorder's resolution.
    """
    neural = np.empty((n_samples, len(plan.planted)), order="F")
    for column, one in enumerate(plan.planted):
        noise = signals.shaped_noise(
            n_samples,
            RATE,
            lambda f: 1 / np.sqrt(np.maximum(f, LOWEST)),
            rng=np.random.default_rng([*seed, 100 + column]),
        )
        volts = one.gain * signals.BACKGROUND * noise
        neural[:, column] = np.rint(volts / signals.STEP) * signals.STEP
    return neural
