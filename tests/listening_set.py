"""A small listening set in BIDS layout: everybody hears one sound, each at another time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

RATE, SOUND_RATE = 512, 16000
"""Samples per second of the electrodes and of the sound."""

SECONDS = 120.0
"""Length of the sound."""

NAMES = ("LA1", "LA2", "LA3", "LA4")
"""Electrodes; the first follows the sound, at `LAG`."""

LAG = 0.1
"""s."""

WORDS = [
    "the",
    "man",
    "who",
    "went",
    "into",
    "town",
    "with",
    "a",
    "small",
    "dog",
    "saw",
    "that",
    "no",
    "one",
    "was",
    "there",
    "and",
    "so",
    "he",
    "sat",
    "down",
    "by",
    "the",
    "old",
    "road",
    "to",
    "wait",
    "for",
    "his",
    "friend",
    "from",
    "school",
    "but",
    "it",
    "got",
    "dark",
    "then",
    "all",
    "at",
    "once",
    "some",
    "light",
    "came",
    "on",
    "in",
    "one",
    "house",
    "near",
    "him",
]


@dataclass(frozen=True)
class Recording:
    """When a recording heard the sound: s before or after its own start, and how fast its clock."""

    participant: str
    label: str
    seconds: float
    onset: float
    stretch: float = 1.0


RECORDINGS = (
    Recording("sub-01", "task-story", 140.0, 12.8),
    Recording("sub-02", "task-story_run-1", 70.0, 5.0),
    Recording("sub-02", "task-story_run-2", 70.0, -57.3),
)


def sound(rng: np.random.Generator) -> tuple[np.ndarray, pd.DataFrame]:
    """Return noise bursts, one a word, and the transcript (s from the start of the sound)."""
    starts = np.arange(0.3, SECONDS - 0.6, 0.5)
    starts += rng.uniform(0, 0.1, len(starts))
    stops = starts + rng.uniform(0.15, 0.35, len(starts))
    t = np.arange(int(SECONDS * SOUND_RATE)) / SOUND_RATE
    level = np.zeros(len(t))
    for a, b in zip(starts, stops, strict=True):
        inside = (t >= a) & (t < b)
        level[inside] = rng.uniform(0.2, 1.0) * np.sin(np.pi * (t[inside] - a) / (b - a))
    table = pd.DataFrame(
        {"word": [WORDS[k % len(WORDS)] for k in range(len(starts))], "start": starts, "end": stops}
    )
    return 0.5 * level * rng.standard_normal(len(t)) / 3, table


def write(root: Path, *, recordings=RECORDINGS, seed: int = 0) -> pd.DataFrame:
    """Write the data set, and return the transcript."""
    import soundfile

    rng = np.random.default_rng(seed)
    samples, words = sound(rng)
    (root / "stimuli").mkdir(parents=True)
    soundfile.write(root / "stimuli/story.wav", samples, SOUND_RATE)
    words.to_csv(root / "stimuli/words.tsv", sep="\t", index=False)
    people = sorted({r.participant for r in recordings})
    pd.DataFrame({"participant_id": people}).to_csv(
        root / "participants.tsv", sep="\t", index=False
    )
    (root / "dataset_description.json").write_text(
        json.dumps({"Name": "story", "BIDSVersion": "1.8.0"})
    )
    window = round(0.05 * SOUND_RATE)
    envelope = np.convolve(np.abs(samples), np.ones(window) / window, "same")
    for recording in recordings:
        write_recording(root, recording, envelope / envelope.max(), rng=rng)
    onsets = [
        {"participant": r.participant, "recording": label_of(r), "onset": r.onset}
        for r in recordings
    ]
    pd.DataFrame(onsets).to_csv(root / "stimuli/onsets.tsv", sep="\t", index=False)
    return words


def label_of(recording: Recording) -> str:
    """Return the recording's name among those of its participant."""
    return recording.label.removeprefix("task-story").removeprefix("_") or "recording"


def write_recording(
    root: Path, recording: Recording, envelope: np.ndarray, *, rng: np.random.Generator
) -> None:
    """Write a recording in BrainVision format, with its side tables."""
    from scipy.signal import butter, sosfiltfilt

    n = int(recording.seconds * RATE)
    heard = (np.arange(n) / RATE - LAG - recording.onset) / recording.stretch
    drive = np.interp(heard, np.arange(len(envelope)) / SOUND_RATE, envelope, left=0, right=0)
    band = butter(4, (70, 150), "bandpass", fs=RATE, output="sos")
    voltage = 10 * rng.standard_normal((n, len(NAMES))).cumsum(axis=0) / np.sqrt(RATE)
    voltage -= voltage.mean(axis=0)
    carrier = sosfiltfilt(band, rng.standard_normal((n, len(NAMES))), axis=0)
    carrier *= 4 / carrier.std(axis=0)
    carrier[:, 0] *= 1 + 4 * drive
    voltage += carrier
    folder = root / recording.participant / "ieeg"
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{recording.participant}_{recording.label}"
    voltage.astype("<f4").tofile(folder / f"{stem}_ieeg.eeg")
    (folder / f"{stem}_ieeg.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\n"
        f"DataFile={stem}_ieeg.eeg\nMarkerFile={stem}_ieeg.vmrk\nDataFormat=BINARY\n"
        f"DataOrientation=MULTIPLEXED\nNumberOfChannels={len(NAMES)}\n"
        f"SamplingInterval={1e6 / RATE}\n[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n"
        "[Channel Infos]\n" + "".join(f"Ch{k}={name},,1,µV\n" for k, name in enumerate(NAMES, 1)),
        encoding="utf-8",
    )
    (folder / f"{stem}_ieeg.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\n"
        f"DataFile={stem}_ieeg.eeg\n[Marker Infos]\nMk1=New Segment,,1,1,0\n"
    )
    pd.DataFrame(
        {
            "name": NAMES, "type": "SEEG", "units": "µV", "low_cutoff": 0.1, "high_cutoff": 250.0,
            "sampling_frequency": RATE, "status": "good",
        }
    ).to_csv(folder / f"{stem}_channels.tsv", sep="\t", index=False)  # fmt: skip
    pd.DataFrame(
        {"onset": [max(recording.onset, 0.0)], "duration": [0.0], "trial_type": ["story begins"]}
    ).to_csv(folder / f"{stem}_events.tsv", sep="\t", index=False)
    sidecar = {
        "TaskName": "story", "SamplingFrequency": RATE, "PowerLineFrequency": 60,
        "RecordingDuration": recording.seconds, "SoftwareFilters": "n/a",
    }  # fmt: skip
    (folder / f"{stem}_ieeg.json").write_text(json.dumps(sidecar))
