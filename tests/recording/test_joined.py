"""Files of several amplifiers are one recording, as if one file held all their channels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from edf_writer import write_edf

from highgamma.check.participants import read_participant
from highgamma.check.problems import Problems
from highgamma.errors import InputError
from highgamma.recording.files import selected
from highgamma.recording.gaps import Gap
from highgamma.recording.joined import joined
from highgamma.recording.opening import open_channels, reopened
from highgamma.recording.outputs import record
from highgamma.recording.reader import Reader
from highgamma.recording.signals import Signals

RATE, SECONDS = 512, 30
NAMES = ("LA1", "LA2", "RB1", "RB2", "RB3")
EVENTS = pd.DataFrame(
    {
        "onset": 2.0 * np.arange(1, 11),
        "duration": 1.0,
        "trial_type": "word",
        "value": [f"w{k}" for k in range(10)],
    }
)


def voltage() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.round(50 * rng.standard_normal((SECONDS * RATE, len(NAMES)))).astype(int)


def write(
    root: Path,
    acquisition: str,
    channels: slice,
    *,
    events: pd.DataFrame | None = EVENTS,
    rate: int = RATE,
    seconds: int = SECONDS,
    names: tuple[str, ...] = NAMES,
) -> None:
    """One amplifier's file with its side tables; without an acquisition the only file."""
    folder = root / "sub-01/ieeg"
    folder.mkdir(parents=True, exist_ok=True)
    stem = "_".join(filter(None, ["sub-01_task-read", acquisition]))
    values = np.resize(voltage(), (seconds * rate, len(NAMES)))[:, channels]
    signals = {name: (rate, values[:, k]) for k, name in enumerate(names[channels])}
    write_edf(folder / f"{stem}_ieeg.edf", signals)
    table = pd.DataFrame({"name": names[channels], "type": "SEEG", "units": "µV"})
    table.to_csv(folder / f"{stem}_channels.tsv", sep="\t", index=False)
    if events is not None:
        events.to_csv(folder / f"{stem}_events.tsv", sep="\t", index=False)
    (folder / f"{stem}_ieeg.json").write_text(json.dumps({"SamplingFrequency": rate}))


def two(root: Path, **other: Any) -> dict[str, Any]:
    """The channels in two files; `other` changes the second one."""
    write(root, "acq-A", slice(0, 2))
    write(root, "acq-B", slice(2, 5), **other)
    return {"root": root, "join_acquisitions": True}


def test_two_files_are_what_one_file_with_all_channels_is(tmp_path: Path, caplog) -> None:
    write(tmp_path / "one", "", slice(0, 5))
    one, several = {"root": tmp_path / "one"}, two(tmp_path / "two")
    (segment,) = selected(several, "sub-01")
    assert segment.label == "recording"
    files = [f"sub-01_task-read_acq-{k}_ieeg.edf" for k in "AB"]
    assert [path.name for path in segment.paths() if path.suffix == ".edf"] == files
    expected, made = record("sub-01", one), record("sub-01", several)
    pd.testing.assert_frame_equal(made.words, expected.words)
    pd.testing.assert_frame_equal(made.channels, expected.channels)
    assert list(json.loads(made.audio.attrs["inputs"])) == files
    assert "their first samples are of the same moment and their clocks the same" in caplog.text
    chosen = ["RB3", "LA1", "RB1", "LA2"]
    expected_values = voltage()[:, [NAMES.index(name) for name in chosen]]
    with open_channels([segment], chosen) as (reader,):
        np.testing.assert_allclose(reader.read(), expected_values, atol=1e-6)
        np.testing.assert_allclose(reader.read(100, 120), expected_values[100:120], atol=1e-6)
    (again,) = reopened(segment, chosen)
    np.testing.assert_allclose(again.read(5, 9, slice(1, 3)), expected_values[5:9, 1:3], atol=1e-6)


def test_without_the_setting_acquisitions_are_recordings_one_after_another(tmp_path: Path) -> None:
    dataset = two(tmp_path) | {"join_acquisitions": False}
    assert [s.label for s in selected(dataset, "sub-01")] == ["acq-A", "acq-B"]
    with pytest.raises(InputError, match="no electrode is kept in all of the recordings"):
        record("sub-01", dataset)
    # One of them can be chosen, joined or not.
    dataset |= {"acquisition": "B", "join_acquisitions": True}
    assert record("sub-01", dataset).channels["name"].tolist() == ["RB1", "RB2", "RB3"]


def test_runs_stay_apart(tmp_path: Path) -> None:
    for run in ("run-1", "run-2"):
        write(tmp_path, f"acq-A_{run}", slice(0, 2))
        write(tmp_path, f"acq-B_{run}", slice(2, 5))
    found = selected({"root": tmp_path, "join_acquisitions": True}, "sub-01")
    assert [(s.label, len(s.parts())) for s in found] == [("run-1", 2), ("run-2", 2)]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"rate": 1024}, "not recorded together: their rates are 512 Hz and 1024 Hz"),
        ({"seconds": 31}, "their lengths are 15360 samples and 15872 samples"),
        (
            {"names": ("x", "y", "RB1", "LA2", "LA1")},
            "have 2 channels of the same name: LA2, LA1",
        ),
        ({"events": EVENTS.iloc[:9]}, "the events of .* differ: 10 and 9 rows"),
        ({"events": EVENTS.assign(onset=EVENTS["onset"] + 0.02)}, "differ: line 2"),
        ({"events": EVENTS.assign(value="w0")}, "events.tsv differ: line 3"),
    ],
)
def test_files_that_cannot_be_of_one_moment_are_refused(tmp_path: Path, other, message) -> None:
    with pytest.raises(InputError, match=message):
        record("sub-01", two(tmp_path, **other))


def test_events_of_one_file_are_those_of_both(tmp_path: Path) -> None:
    alike = EVENTS.assign(onset=EVENTS["onset"] + 0.005)
    assert record("sub-01", two(tmp_path / "a", events=None)).words["word"].tolist()[0] == "w0"
    assert record("sub-01", two(tmp_path / "b", events=alike)).words["onset"].iloc[0] == 2.0


def signals(name: str, n: int, **changes: Any) -> Signals:
    values = np.arange(n, dtype=float)[:, None]
    read = Reader.of_array(values, rate=100.0, names=[name])
    made = Signals(
        path=Path(f"{name}.nwb"), names=(name,), rate=100.0, n_samples=n, clock=0.0, unit="V",
        fetch=read.fetch,
    )  # fmt: skip
    return replace(made, **changes)


def test_a_longer_file_loses_its_end_and_pieces_are_the_smallest() -> None:
    made = joined([signals("a", 1000, piece=300), signals("b", 1004), signals("c", 1001, piece=7)])
    assert (made.n_samples, made.piece, made.names) == (1000, 7, ("a", "b", "c"))
    np.testing.assert_array_equal(made.read(), np.arange(1000.0)[:, None].repeat(3, axis=1))


def test_a_series_of_the_first_file_counts_before_the_others() -> None:
    sound = {name: Reader.of_array(np.full((5, 1), k), rate=1.0) for k, name in enumerate("xyz")}
    made = joined(
        [
            signals("a", 100, series={"Audio": lambda: sound["x"]}),
            signals("b", 100, series={"Audio": lambda: sound["y"], "Other": lambda: sound["z"]}),
        ]
    )
    assert {name: int(read().read()[0, 0]) for name, read in made.series.items()} == {
        "Audio": 0, "Other": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clock": 3.5}, "their starts on their clocks are 0.000000 s and 3.500000 s"),
        ({"gaps": (Gap(50, 2.0),)}, "their gaps are 0 and 1"),
    ],
)
def test_files_that_began_or_stopped_at_other_times_are_refused(changes, message) -> None:
    with pytest.raises(InputError, match=message):
        joined([signals("a", 100), signals("b", 100, **changes)])


def test_the_check_reads_every_file_and_states_the_assumption(tmp_path: Path) -> None:
    problems = Problems([])
    found = read_participant("sub-01", two(tmp_path), problems)
    assert found.recordings[0].names == NAMES and found.recordings[0].n_electrodes == 5
    (said,) = (p for p in problems.every if "taken as one recording" in p.message)
    assert not said.fatal and problems.fatal() == []
    assert not any("channels are listed" in p.message for p in problems.every)
