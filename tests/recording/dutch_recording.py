"""A small data set in the layout of SingleWordProductionDutch, written for the tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

LAB_CLOCK = 9062565.6229
NAMES = ["LA1", "LA2", "LA3", "RB'11", "EKG1"]
WORDS = ["9", "10", "`s", "null", "koe", "NA"]


def write_nwb(
    path: Path,
    *,
    neural: np.ndarray,
    neural_times: np.ndarray,
    sound: np.ndarray | None = None,
    sound_times: np.ndarray | None = None,
    shown: list[str] | None = None,
    **series: object,
) -> None:
    """One recording in the layout of SingleWordProductionDutch."""
    from datetime import UTC, datetime

    from pynwb import NWBHDF5IO, NWBFile, TimeSeries

    nwb = NWBFile(
        session_description="d",
        identifier="i",
        session_start_time=datetime(2020, 1, 1, tzinfo=UTC),
    )
    settings = {"unit": "uV", "name": "iEEG"} | series
    nwb.add_acquisition(TimeSeries(data=neural, timestamps=neural_times, **settings))
    if sound is not None:
        nwb.add_acquisition(
            TimeSeries(name="Audio", data=sound, unit="a.u.", timestamps=sound_times)
        )
    if shown is not None:
        nwb.add_acquisition(
            TimeSeries(name="Stimulus", data=shown, unit="a.u.", timestamps=neural_times)
        )
    with NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)


def write_dataset(
    root: Path,
    *,
    rate: float = 1024.0,
    audio_rate: float = 47999.187,
    audio_seconds: float = 12.0,
    audio_delay: float = 3.4e-6,
    late_first_interval: bool = False,
    **series: object,
) -> dict[str, np.ndarray]:
    """A data set of one participant, 12 s, six words; gives back what was written."""
    folder = root / "sub-01" / "ieeg"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    n = int(12 * rate)
    neural = np.round(rng.standard_normal((n, len(NAMES))) * 300) * 0.09765625
    times = LAB_CLOCK + np.arange(n) / rate
    if late_first_interval:
        times[0] -= 4 / rate
    m = int(audio_seconds * audio_rate)
    clock = np.arange(m) / audio_rate
    sound = 0.001 * rng.standard_normal(m)
    voiced = []
    for k in range(len(WORDS)):
        onset, offset = 2 * k + 0.5 + 0.05 * k, 2 * k + 1.1 + 0.05 * k
        inside = (clock >= onset) & (clock < offset)
        sound[inside] += 0.3 * np.sin(2 * np.pi * 220 * clock[inside])
        voiced.append((onset, offset))
    shown = np.full(n, "", dtype=object)
    for k, word in enumerate(WORDS):
        shown[int(2 * k * rate) : int((2 * k + 1.5) * rate)] = word
    prefix = folder / "sub-01_task-wordProduction_"
    write_nwb(
        Path(f"{prefix}ieeg.nwb"),
        neural=neural,
        neural_times=times,
        sound=sound,
        sound_times=LAB_CLOCK + audio_delay + clock,
        shown=shown.tolist(),
        **series,
    )
    (root / "participants.tsv").write_text("participant_id\tage\nsub-01\t30\n")
    rows = ["onset\tduration\ttrial_type\tvalue\tsample"]
    for k, word in enumerate(WORDS):
        rows.append(f"{2 * k}\t1.5\tword\t{word}\t{int(2 * k * rate)}")
        rows.append(f"{2 * k + 1.5}\t0.5\tfixation\t+\t{int((2 * k + 1.5) * rate)}")
    Path(f"{prefix}events.tsv").write_text("\n".join(rows) + "\n")
    rows = ["name\ttype\tunits\tlow_cutoff\tdescription\tstatus"]
    regions = ["Left-Hippocampus", "Unknown", "ctx_lh_S_central", "ctx_rh_G_insular", "n/a"]
    status = ["n/a", "good", "bad", "n/a", "n/a"]
    for name, region, state in zip(NAMES, regions, status, strict=True):
        kind = "EKG" if name.startswith("EKG") else "SEEG"
        rows.append(f"{name}\t{kind}\tµV\t0.0\t{region}\t{state}")
    Path(f"{prefix}channels.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8-sig")
    Path(f"{prefix}space-ACPC_electrodes.tsv").write_text(
        "name\tx\ty\tz\nZZ1\t1\t2\t3\nRB'11\t30.5\t-2\t3\nLA1\t-20\t-10\tn/a\nLA2\t-25\t-10\t4\n"
    )
    Path(f"{prefix}space-ACPC_coordsystem.json").write_text('{"iEEGCoordinateUnits": "mm"}')
    Path(f"{prefix}ieeg.json").write_text(json.dumps({"SamplingFrequency": rate}))
    return {"neural": neural, "sound": sound, "voiced": np.array(voiced)}
