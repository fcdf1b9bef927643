"""What the stage gives: a participant's words, audio and channels."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from highgamma.errors import InputError, nearest
from highgamma.recording import electrodes, prompts
from highgamma.recording.files import STIMULUS, Segment, find, stimulus_files
from highgamma.recording.sidecars import read_json
from highgamma.recording.signals import Amplitude, Signals, amplitude, open_signals
from highgamma.recording.sound import RATE, SILENCE, Audio, audio, audio_file
from highgamma.recording.speech import voice
from highgamma.recording.stimulus import transcript
from highgamma.store import read_table, sha256

if TYPE_CHECKING:
    import xarray as xr

LOG = logging.getLogger("highgamma")

LONGEST_TRIAL = 10.0
"""The voice is sought from a prompt to the next one, at most this long after it, s."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The three tables and arrays of the stage, as its files hold them."""

    words: pd.DataFrame
    audio: xr.Dataset
    channels: pd.DataFrame


def record(participant: str, dataset: Mapping[str, Any]) -> Recorded:
    """Read a participant's words, audio and channels; nothing is written.

    Parameters
    ----------
    participant
        Such as `sub-01`, or `stimulus` for the stimulus that all participants heard.
    dataset
        The config's `dataset`: root, task, audio {source, channel}, words {trial_type, column}
        (a null trial_type says that there are none), stimulus {audio, words, onset}.
        `stimulus.onset` says when the stimulus began in each recording: seconds, or a
        `trial_type` of events.tsv whose first row marks it.

    Raises
    ------
    InputError
        Anything in the data set or the config that cannot be used.
    """
    root = dataset["root"]
    shared = stimulus_files(root, dataset.get("stimulus"))
    if participant == STIMULUS:
        return _stimulus(shared.audio, shared.words)
    segments = find(root, participant, task=dataset.get("task"))
    setting = dataset.get("words", {})
    tables, sounds, measured, lengths = [], [], [], []
    heard = dict(dataset.get("audio") or {})
    for segment in segments:
        with open_signals(segment) as signals:
            lengths.append(signals.duration)
            compare_with_sidecar(segment, signals)
            table = electrodes.channels(segment, signals.names)
            tables.append(table)
            kept = table.loc[table["kept"] == "yes", "name"].tolist()
            measured.append(amplitude(signals, kept))
            sounds.append(
                audio(
                    segment,
                    source=str(heard.get("source") or "auto"),
                    channel=heard.get("channel"),
                    signals=signals,
                )
            )
    if shared.words is not None:
        begin = (dataset.get("stimulus") or {}).get("onset", 0.0)
        table = pd.concat(
            [
                transcript(
                    shared.words,
                    shift=stimulus_onset(segment, begin),
                    segment=index,
                    label=segment.label,
                )
                for index, segment in enumerate(segments)
            ],
            ignore_index=True,
        )
    elif not has_words(setting):
        table = prompts.empty()
    else:
        table = prompts.words(segments, **dict(setting))
        within(table, segments, lengths)
        table = with_voice(table, sounds)
    return Recorded(
        words=table,
        audio=sound_dataset(sounds, files=[s.signal for s in segments], measured=measured),
        channels=electrodes.common_channels(tables, [segment.label for segment in segments]),
    )


def has_words(words: Mapping[str, Any]) -> bool:
    """Return whether a recording has words: `dataset.words.trial_type` is null if it has none."""
    trial_type = words.get("trial_type", "word")
    return trial_type is not None and str(trial_type).lower() != "none"


def _stimulus(sound: Path | None, words: Path | None) -> Recorded:
    if sound is None and words is None:
        raise InputError(
            "no stimulus is configured",
            where="dataset.stimulus",
            expected="audio, words or both",
            remedy="name the files in the config, or do not ask for the stimulus",
        )
    return Recorded(
        words=prompts.empty() if words is None else transcript(words),
        audio=sound_dataset(
            [SILENCE if sound is None else audio_file(sound)],
            files=[path for path in (sound, words) if path is not None],
        ),
        channels=pd.DataFrame(columns=list(electrodes.COLUMNS)),
    )


def within(words: pd.DataFrame, segments: Sequence[Segment], lengths: Sequence[float]) -> None:
    """Words past the end of their recording: an error if they are most, else a warning."""
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


def stimulus_onset(segment: Segment, begin: float | str) -> float:
    """When the shared stimulus began, s: as configured, or the first event of that type."""
    if not isinstance(begin, str):
        return float(begin)
    if segment.events is None:
        raise InputError(
            "the recording has no events.tsv to tell when the stimulus began",
            where=segment.signal,
            remedy="set dataset.stimulus.onset to seconds, or download the events.tsv",
        )
    table = read_table(segment.events, strings=("trial_type",))
    kinds = table["trial_type"].astype(str) if "trial_type" in table else pd.Series(dtype=str)
    marks = table[kinds == begin] if len(kinds) else table.iloc[:0]
    if marks.empty:
        known = sorted(set(kinds))
        raise InputError(
            f"no row has the trial_type {begin!r}{nearest(begin, known)}",
            where=segment.events,
            expected=f"one of {', '.join(known)}",
            remedy="mend dataset.stimulus.onset in the config",
        )
    return float(
        prompts.numbers(marks["onset"], where=segment.events, column="onset", missing=False)[0]
    )


def with_voice(words: pd.DataFrame, sounds: Sequence[Audio]) -> pd.DataFrame:
    """Fill in voice onset and offset of each word, from its prompt to the next in its segment.

    Parameters
    ----------
    words
        From `words`.
    sounds
        One per segment; a segment without sound keeps missing values.
    """
    filled = words.copy()
    found = tried = 0
    for index, sound in enumerate(sounds):
        rows = np.flatnonzero(words["segment"].to_numpy() == index)
        if not sound.samples.size or not rows.size:
            continue
        onsets = words["onset"].to_numpy(np.float64)[rows]
        ends = np.r_[onsets[1:], np.inf]
        for row, onset, end in zip(rows, onsets, ends, strict=True):
            low = onset - sound.start
            high = min(end, onset + LONGEST_TRIAL) - sound.start
            first, last = voice(sound.samples, sound.rate, low, high)
            filled.loc[row, ["voice_onset", "voice_offset"]] = (
                first + sound.start,
                last + sound.start,
            )
            tried += 1
            found += bool(np.isfinite(first))
    if tried:
        LOG.info("voice found in %d of %d trials", found, tried)
        if found < 0.8 * tried:
            LOG.warning(
                "the voice was found in only %d of %d trials: is this the participant's audio?",
                found,
                tried,
            )
    return filled


def sound_dataset(
    sounds: Sequence[Audio],
    *,
    files: Sequence[Path],
    measured: Sequence[Amplitude] = (),
) -> xr.Dataset:
    """Join the segments' sounds: `audio(time)` with coordinates `time` (s) and `segment`.

    Attributes say the exact rate, what the sound was divided by, the checksums of the recordings
    and their typical amplitude beside the plausible one.
    """
    import xarray as xr

    rates = [sound.rate for sound in sounds if sound.samples.size]
    attributes: dict[str, Any] = {
        "rate_hz": float(np.median(rates)) if rates else float(RATE),
        "segment_rates_hz": json.dumps([sound.rate for sound in sounds]),
        "segment_peaks": json.dumps([sound.peak for sound in sounds]),
        "inputs": json.dumps({path.name: sha256(path) for path in files}, sort_keys=True),
    }
    if measured:
        attributes |= {
            "signal_rms_uv": json.dumps([float(f"{one.rms:.6g}") for one in measured]),
            "signal_rms_expected_uv": f"{measured[0].low:g} to {measured[0].high:g}",
            "signal_unit_plausible": int(all(one.plausible for one in measured)),
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
    """Warn where ieeg.json and the recording differ in rate (Hz) or duration (s)."""
    if segment.sidecar is None:
        LOG.warning("%s has no ieeg.json; nothing in it is needed", segment.signal.name)
        return
    said = read_json(segment.sidecar)
    for key, unit, is_ in (
        ("SamplingFrequency", "Hz", signals.rate),
        ("RecordingDuration", "s", signals.duration),
    ):
        value = said.get(key)
        if isinstance(value, int | float) and value > 0 and abs(is_ - value) > 0.01 * value + 0.5:
            LOG.warning(
                "%s: %s is %g %s in %s and %.6g %s in the recording, which is taken",
                segment.signal.name,
                key,
                value,
                unit,
                segment.sidecar.name,
                is_,
                unit,
            )
