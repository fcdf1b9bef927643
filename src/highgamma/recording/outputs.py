"""The stage: a participant's words, sound and channels."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from highgamma.errors import InputError
from highgamma.recording import electrodes, gaps, prompts
from highgamma.recording.files import STIMULUS, Segment, selected
from highgamma.recording.heard import nothing_heard, presentations, words_heard
from highgamma.recording.opening import open_signals
from highgamma.recording.settings import AudioSettings, ChannelSettings, WordSettings
from highgamma.recording.sidecars import positive, read_json
from highgamma.recording.signals import Amplitude, Signals, amplitude
from highgamma.recording.sound import RATE, SILENCE, Sound, audio, audio_file
from highgamma.recording.speech import voice
from highgamma.recording.stimuli import Stimulus, stimuli
from highgamma.recording.stimulus import transcript
from highgamma.sections import section_from
from highgamma.store import sha256

if TYPE_CHECKING:
    import xarray as xr

LOG = logging.getLogger("highgamma")

RATE_TOLERANCE = 0.005
"""Share by which the rate in ieeg.json may differ: nominal rates differ from measured ones."""

LONGEST_TRIAL = 10.0
"""The voice is searched for from a prompt to the next one, at most this long after it, s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingOutputs:
    """What the stage writes: tables of words, presentations and channels, and the sound."""

    words: pd.DataFrame
    heard: pd.DataFrame
    audio: xr.Dataset
    channels: pd.DataFrame


def record(participant: str, dataset: Mapping[str, Any]) -> RecordingOutputs:
    """Read a participant's words, sound and channels; nothing is written.

    Parameters
    ----------
    participant
        Such as `sub-01`, or `stimulus` for the stimulus that all participants heard.
    dataset
        The configuration's section `dataset`, see `settings.DatasetSettings`.

    Raises
    ------
    InputError
        If anything in the data set or the configuration cannot be used.
    """
    if participant == STIMULUS:
        return _stimuli(stimuli(dataset["root"], dataset.get("stimulus")))
    segments = selected(dataset, participant)
    heard_as = section_from(AudioSettings, dataset.get("audio") or {}, where="dataset.audio")
    given = dataset.get("channels") or {}
    chosen = section_from(ChannelSettings, given, where="dataset.channels")
    tables, sounds, amplitudes, lengths, parts, rates = [], [], [], [], [], []
    for segment in segments:
        with open_signals(segment) as signals:
            lengths.append(signals.elapsed)
            parts.append(signals.stretches())
            rates.append(signals.rate)
            report_joined(segment, signals)
            of_files = list(zip(segment.parts(), signals.files(), strict=True))
            for part, file in of_files:
                compare_with_sidecar(part, file)
            table = pd.concat(
                [electrodes.channels(part, file.names, chosen) for part, file in of_files],
                ignore_index=True,
            )
            tables.append(table)
            kept = table.loc[table["kept"] == "yes", "name"].tolist()
            amplitudes.append(amplitude(signals, kept))
            sounds.append(audio(segment, heard_as, signals=signals))
    heard = heard_by(segments, dataset)
    words = words_of(segments, dataset, heard, lengths=lengths, sounds=sounds)
    if dataset.get("stimulus") is None and len(words):
        within(words, segments, lengths)
        words = with_voice(words, sounds)
        compare_with_prompts(words, segments)
    sounds = gaps.sounds_by_part(sounds, parts, rates)
    return RecordingOutputs(
        words=gaps.words_by_part(words, parts, rates),
        heard=gaps.heard_by_part(heard, parts),
        audio=sound_dataset(
            sounds,
            files=[part.signal for s in segments for part in s.parts()],
            amplitudes=amplitudes,
        ),
        channels=electrodes.common_channels(tables, [segment.label for segment in segments]),
    )


def report_joined(segment: Segment, signals: Signals) -> None:
    """Report the assumption behind acquisitions that are taken as one recording."""
    if signals.parts:
        LOG.warning(
            "%s: the acquisitions %s are taken as one recording; it is assumed that their first "
            "samples are of the same moment and their clocks the same",
            segment.label,
            ", ".join(f"{part.path.name} ({len(part.names)} channels)" for part in signals.parts),
        )


def heard_by(segments: Sequence[Segment], dataset: Mapping[str, Any]) -> pd.DataFrame:
    """Return when a participant's recordings heard the shared stimulus; no rows without one."""
    stimulus = dataset.get("stimulus")
    if stimulus is None:
        return nothing_heard()
    return presentations(segments, stimulus, root=dataset["root"])


def words_of(
    segments: Sequence[Segment],
    dataset: Mapping[str, Any],
    heard: pd.DataFrame,
    *,
    lengths: Sequence[float] | None = None,
    sounds: Sequence[Sound] = (),
) -> pd.DataFrame:
    """Read the words of a participant's recordings, before the voice is searched for.

    They are those of the shared stimulus that each recording heard, else those of events.tsv; none
    if `dataset.words` states that there are none.

    Parameters
    ----------
    segments
        From `find`.
    dataset
        The configuration's section `dataset`.
    heard
        From `heard_by`.
    lengths
        Length of each recording, s, if it is known.
    sounds
        The sound of each recording, for words that are found by their voice.
    """
    stimulus, given = dataset.get("stimulus"), dataset.get("words", {})
    if stimulus is not None:
        spoken = words_spoken(stimuli(dataset["root"], stimulus))
        return words_heard(spoken, heard, lengths)
    if not has_words(given):
        return prompts.empty()
    settings = section_from(WordSettings, given, where="dataset.words")
    return prompts.words(segments, settings, sounds=sounds)


def has_words(words: Mapping[str, Any]) -> bool:
    """Return whether a recording has words: `dataset.words.trial_type` is null if it has none."""
    trial_type = words.get("trial_type", "word")
    return trial_type is not None and str(trial_type).lower() != "none"


def words_spoken(shared: Sequence[Stimulus]) -> pd.DataFrame:
    """Return the words of all stimuli, each a segment of its own."""
    tables = [
        transcript(one.words).assign(segment=number, segment_label=one.name)
        for number, one in enumerate(shared)
        if one.words is not None
    ]
    return pd.concat(tables, ignore_index=True) if tables else prompts.empty()


def _stimuli(shared: Sequence[Stimulus]) -> RecordingOutputs:
    files = [path for one in shared for path in one.paths()]
    if not files:
        raise InputError(
            "no stimulus is configured",
            where="dataset.stimulus",
            expected="audio, words or both",
            remedy="name the files in dataset.stimulus",
        )
    return RecordingOutputs(
        words=words_spoken(shared),
        heard=nothing_heard(),
        audio=sound_dataset(
            [SILENCE if one.audio is None else audio_file(one.audio) for one in shared], files=files
        ),
        channels=pd.DataFrame(columns=list(electrodes.COLUMNS)),
    )


def within(words: pd.DataFrame, segments: Sequence[Segment], lengths: Sequence[float]) -> None:
    """Refuse words past the end of their recording if they are most of them, else warn.

    Parameters
    ----------
    words
        From `words_of`.
    segments, lengths
        The recordings, and how long each is, s.
    """
    length = np.array(lengths)[words["segment"].to_numpy(np.int64)]
    past = words["onset"].to_numpy(np.float64) >= length
    if past.mean() > 0.5:
        raise InputError(
            f"{int(past.sum())} of {len(words)} words are shown after the recording's end "
            f"({length.max():.2f} s), the last at {words['onset'].max():g}",
            where=segments[0].events,
            expected="onsets in seconds from the start of the recording",
            remedy="check whether the onsets are in samples or milliseconds, or on another clock",
        )
    if past.any():
        LOG.warning("%d words are shown after the recording's end", int(past.sum()))


def with_voice(words: pd.DataFrame, sounds: Sequence[Sound]) -> pd.DataFrame:
    """Fill in the voice onset and offset of each word, between its prompt and the next.

    Parameters
    ----------
    words
        From `words_of`; those whose voice is known keep it.
    sounds
        The sound of each segment; a segment without sound keeps missing values.
    """
    filled = words.copy()
    n_found = n_searched = 0
    for index, sound in enumerate(sounds):
        rows = np.flatnonzero(words["segment"].to_numpy() == index)
        if not sound.samples.size or not rows.size:
            continue
        onsets = words["onset"].to_numpy(np.float64)[rows]
        ends = np.r_[onsets[1:], np.inf]
        known = words["voice_onset"].notna().to_numpy()[rows]
        for row, onset, end in zip(rows[~known], onsets[~known], ends[~known], strict=True):
            low = onset - sound.start
            high = min(end, onset + LONGEST_TRIAL) - sound.start
            first, last = voice(sound.samples, sound.rate, low, high)
            filled.loc[row, ["voice_onset", "voice_offset"]] = (
                first + sound.start,
                last + sound.start,
            )
            n_searched += 1
            n_found += bool(np.isfinite(first))
    if n_searched:
        LOG.info("voice found in %d of %d trials", n_found, n_searched)
        if n_found < 0.8 * n_searched:
            LOG.warning(
                "the voice was found in only %d of %d trials: is this the participant's audio?",
                n_found,
                n_searched,
            )
    return filled


EARLY_S = 0.05
"""Time after a prompt in which nobody has begun to say the word, s."""

MOST_EARLY = 0.2
"""Share of words whose voice may already sound at the prompt."""

GROWTH = 5e-4
"""Change of the voice's latency over the recording (s a second) that no one's reading has."""


def compare_with_prompts(words: pd.DataFrame, segments: Sequence[Segment]) -> None:
    """Warn where the voice contradicts the prompts: sound from another time, or another clock.

    Parameters
    ----------
    words
        With prompts and the voice that was found for each.
    segments
        The recordings.
    """
    for number, segment in enumerate(segments):
        here = words[(words["segment"] == number) & words["voice_onset"].notna()]
        prompt = here["onset"].to_numpy(np.float64)
        latency = here["voice_onset"].to_numpy(np.float64) - prompt
        if len(here) < 20 or not (latency != 0).any():
            continue
        early = float((latency < EARLY_S).mean())
        if early > MOST_EARLY:
            LOG.warning(
                "%s: in %.0f %% of the trials the voice already sounds when the word is shown: "
                "the sound and the prompts may be on different clocks (dataset.audio.start), or "
                "the times of the table are those of the voice (dataset.words.times)",
                segment.label, 100 * early,
            )  # fmt: skip
        change, low, high = growth(prompt, latency)
        if min(abs(low), abs(high)) > GROWTH and low * high > 0:
            LOG.warning(
                "%s: the voice comes %.3g s later after each minute (95 %% interval %.3g to %.3g "
                "s): the clocks of sound and recording may differ by %.2g %% "
                "(dataset.audio.stretch, dataset.audio.reference)",
                segment.label, 60 * change, 60 * low, 60 * high, 100 * change,
            )  # fmt: skip


def growth(
    prompt: np.ndarray[Any, Any], latency: np.ndarray[Any, Any]
) -> tuple[float, float, float]:
    """Return the slope of the latency over time and its 95 % interval (Theil and Sen)."""
    from scipy.stats import theilslopes

    slope, _, low, high = theilslopes(latency, prompt)
    return float(slope), float(low), float(high)


def sound_dataset(
    sounds: Sequence[Sound],
    *,
    files: Sequence[Path],
    amplitudes: Sequence[Amplitude] = (),
) -> xr.Dataset:
    """Join the segments' sounds: `audio(time)` with coordinates `time` (s) and `segment`.

    Its attributes are the exact rate, what the sound was divided by, the checksums of the
    recordings, and their typical amplitude with the plausible one.

    Parameters
    ----------
    sounds
        The sound of each segment.
    files
        What it was read from.
    amplitudes
        The typical amplitude of each recording.
    """
    import xarray as xr

    rates = [sound.rate for sound in sounds if sound.samples.size]
    attributes: dict[str, Any] = {
        "rate_hz": float(np.median(rates)) if rates else float(RATE),
        "segment_rates_hz": json.dumps([sound.rate for sound in sounds]),
        "segment_peaks": json.dumps([sound.peak for sound in sounds]),
        "inputs": json.dumps({path.name: sha256(path) for path in files}, sort_keys=True),
    }
    if amplitudes:
        attributes |= {
            "signal_rms_uv": json.dumps([float(f"{a.rms:.6g}") for a in amplitudes]),
            "signal_rms_expected_uv": f"{amplitudes[0].low:g} to {amplitudes[0].high:g}",
            "signal_unit_plausible": int(all(a.plausible for a in amplitudes)),
        }
    segment = [np.full(sound.samples.size, i, np.int16) for i, sound in enumerate(sounds)]
    return xr.Dataset(
        {
            "audio": (
                "time",
                np.concatenate([sound.samples for sound in sounds]),
                {"long_name": "sound, scaled by its peak", "units": "1"},
            )
        },
        coords={
            "time": (
                "time",
                np.concatenate([sound.times() for sound in sounds]),
                {"units": "s", "long_name": "time from the start of the segment's recording"},
            ),
            "segment": ("time", np.concatenate(segment), {"long_name": "index of the recording"}),
        },
        attrs=attributes,
    )


def compare_with_sidecar(segment: Segment, signals: Signals) -> None:
    """Refuse a recording whose rate (Hz) ieeg.json contradicts; warn of another duration (s)."""
    if segment.sidecar is None:
        LOG.warning(
            "%s has no ieeg.json; its rate and duration are not checked", segment.signal.name
        )
        return
    sidecar = read_json(segment.sidecar)
    rate = positive(sidecar, "SamplingFrequency")
    duration = positive(sidecar, "RecordingDuration")
    if rate is not None and rate < abs(signals.rate - rate) / RATE_TOLERANCE:
        raise InputError(
            f"the recording has {signals.rate:.6g} Hz, {segment.sidecar.name} states {rate:g} Hz",
            where=segment.signal,
            expected="the same SamplingFrequency in both",
            remedy="find out which is wrong, since all times depend on it, and correct the sidecar "
            "or the recording",
        )
    if duration is not None and abs(signals.elapsed - duration) > 0.01 * duration + 0.5:
        LOG.warning(
            "%s: RecordingDuration is %g s in %s and %.6g s in the recording, which is taken",
            segment.signal.name,
            duration,
            segment.sidecar.name,
            signals.elapsed,
        )
