"""When a recording heard the stimulus, from a number, an event or marks, and what follows."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from highgamma.embeddings.listening import as_heard, audio_as_heard
from highgamma.embeddings.placing import resample_frames
from highgamma.embeddings.stream import Audio
from highgamma.errors import InputError
from highgamma.recording import heard
from highgamma.recording.files import Segment


def segments(folder: Path, *labels: str) -> list[Segment]:
    return [
        Segment("sub-01", label, folder / f"{label}.vhdr", events=folder / f"{label}.tsv")
        for label in labels
    ]


def placed(**rows) -> pd.DataFrame:
    table = {"segment": [0], "segment_label": "run-1", "stimulus": 0, "onset": [0.0],
             "stretch": 1.0, "marks": 1, "residual_s": 0.0}  # fmt: skip
    return pd.DataFrame(table | rows)


def onsets_of(folder, onset, *labels):
    table = heard.presentations(segments(folder, *labels), {"onset": onset}, root=folder)
    return table[["segment", "onset", "stretch", "marks"]].to_numpy().tolist()


# ---------------------------------------------------------------------------------- the onset


def test_a_number_holds_for_every_recording_and_is_said_where_there_are_several(tmp_path, caplog):
    assert onsets_of(tmp_path, 42.8, "run-1") == [[0, 42.8, 1.0, 0]]
    with caplog.at_level(logging.WARNING, "highgamma"):
        assert onsets_of(tmp_path, 1.5, "run-1", "run-2") == [[0, 1.5, 1, 0], [1, 1.5, 1, 0]]
    assert "each of 2 recordings is assumed to hear the stimulus from its start" in caplog.text


def test_the_onset_of_the_dutch_film_is_an_event(shared_data):
    folder = shared_data / "bids_metadata/ds003688_dutch_film"
    events = sorted(folder.glob("sub-*/**/*task-film*_events.tsv"))[0]
    table = pd.read_csv(events, sep="\t")
    expected = float(table["onset"][table["trial_type"] == "start task"].iloc[0])
    film = [Segment("sub-01", "run-1", folder / "x.vhdr", events=events)]
    (row,) = heard.presentations(film, {"onset": "start task"}, root=folder).to_dict("records")
    assert row["onset"] == expected and row["stretch"] == 1
    with pytest.raises(InputError, match="no row has the trial_type 'start tsk'"):
        heard.presentations(film, {"onset": "start tsk"}, root=folder)


def test_the_first_of_several_events_counts_and_that_is_said(tmp_path, caplog):
    (tmp_path / "run-1.tsv").write_text("onset\ttrial_type\n3.5\tplay\n9\tplay\n1\tother\n")
    with caplog.at_level(logging.WARNING, "highgamma"):
        assert onsets_of(tmp_path, "play", "run-1") == [[0, 3.5, 1.0, 1]]
    assert "2 rows are of the type 'play'" in caplog.text
    nwb = replace(segments(tmp_path, "run-1")[0], events=None, signal=tmp_path / "run-1.nwb")
    with pytest.raises(InputError, match="has no events to tell when the stimulus began"):
        heard.presentations([nwb], {"onset": "play"}, root=tmp_path)


def test_marks_give_onset_and_stretch_of_each_recording(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for label, onset, stretch in (("run-1", 12.0, 1.0004), ("run-2", -300.0, 0.9999)):
        for time in np.arange(0, 600, 60.0):
            mark = onset + stretch * time + rng.normal(0, 1e-3)
            rows.append({"participant": "01", "recording": label, "time": time, "onset": mark})
    pd.DataFrame(rows).to_csv(tmp_path / "marks.tsv", sep="\t", index=False)
    table = heard.presentations(
        segments(tmp_path, "run-1", "run-2"), {"onset": "marks.tsv"}, root=tmp_path
    )
    for row, (onset, stretch) in zip(
        table.to_dict("records"), ((12.0, 1.0004), (-300.0, 0.9999)), strict=True
    ):
        assert row["onset"] == pytest.approx(onset, abs=3e-3)
        assert row["stretch"] == pytest.approx(stretch, abs=1e-5)
        assert row["marks"] == 10 and 0 < row["residual_s"] < 2e-3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("participant\tonset\nsub-02\t3\n", "no onset of sub-01, recording run-1"),
        ("participant\tstart\nsub-01\t3\n", "the table lacks the column onset"),
        ("participant\tonset\nsub-01\t3\nsub-01\t9\n", "has 2 onsets of sub-01"),
        ("participant\tonset\nsub-01\tlate\n", "the onset in line 2 is 'late'"),
        ("participant\tonset\ttime\nsub-01\t0\t0\nsub-01\t9\t1\n", "stretch the stimulus by 9"),
    ],
)
def test_a_table_that_says_too_little_or_something_else_is_refused(tmp_path, text, message):
    (tmp_path / "onsets.tsv").write_text(text)
    with pytest.raises(InputError, match=message):
        onsets_of(tmp_path, "onsets.tsv", "run-1")
    with pytest.raises(InputError, match=r"dataset\.stimulus\.onset"):
        onsets_of(tmp_path, "nothing.tsv", "run-1")


# ------------------------------------------------------------------------------ what was heard


def test_words_outside_a_recording_were_not_heard():
    words = pd.DataFrame(
        {"word": ["a", "b", "c", "d"], "onset": [0.0, 10.0, 20.0, 30.0], "segment": 0,
         "segment_label": "stimulus"}
    )  # fmt: skip
    words["offset"] = words["onset"] + 0.5
    words["voice_onset"], words["voice_offset"] = words["onset"], words["offset"]
    table = heard.words_heard(words, placed(onset=[-9.0], stretch=1.1), lengths=[20.0])
    assert table["word"].tolist() == ["b", "c"]
    np.testing.assert_allclose(table["onset"], [2.0, 13.0])
    np.testing.assert_allclose(table["voice_offset"], [2.55, 13.55])
    assert table[heard.STIMULUS_WORD].tolist() == [1, 2]


def frames(n: int, *, rate: float = 10.0) -> xr.Dataset:
    values = np.arange(n, dtype=np.float32)[None, :, None] * np.ones((2, 1, 3), np.float32)
    return xr.Dataset(
        {"embedding": (("layer", "sample", "feature"), values)},
        coords={
            "layer": [0, 1],
            "time": ("sample", (np.arange(n) + 0.5) / rate),
            "segment": ("sample", np.zeros(n, dtype=np.int16)),
        },
        attrs={"unit": "frame"},
    )


def test_frames_come_once_for_each_presentation_on_the_recordings_clock():
    where = placed(segment=[1, 0, 0], onset=[-0.3, 20.0, 2.0], stretch=[1.0, 1.0, 1.01])
    found = as_heard(frames(5), pd.DataFrame(), where)
    assert found["segment"].values.tolist() == [0] * 10 + [1] * 5
    base = (np.arange(5) + 0.5) / 10
    expected = np.concatenate([2 + 1.01 * base, 20 + base, base - 0.3])
    np.testing.assert_allclose(found["time"].values, expected)
    assert found["embedding"].sel(layer=1).values[:, 0].tolist() == [0, 1, 2, 3, 4] * 3


def test_frames_of_stimuli_one_after_another_are_interpolated_within_each():
    where = placed(segment=[0, 0], onset=[2.0, 20.0])
    found = as_heard(frames(50), pd.DataFrame(), where)
    target = np.arange(0, 30, 0.1) + 0.05
    values = resample_frames(
        found["embedding"].sel(layer=0).values, found["time"].values,
        found["segment"].values, target, np.zeros(300, dtype=np.int64),
    )[:, 0]  # fmt: skip
    known = np.isfinite(values)
    assert target[known].tolist() == [t for t in target if 2 <= t < 7 or 20 <= t < 25]
    # A ramp is exact where the interpolation has neighbours on both sides.
    for part in values[known].reshape(2, 50):
        np.testing.assert_allclose(part[10:40], np.arange(10, 40), atol=1e-4)
        np.testing.assert_allclose(part, np.arange(50), atol=0.1)


def test_words_take_the_values_of_the_stimuluss_words_and_others_none():
    embeddings = xr.Dataset(
        {"embedding": (("layer", "sample", "feature"), np.array([[[5.0], [7.0], [9.0]]]))},
        coords={"layer": [0], "word_index": ("sample", [0, 2, 3])},
        attrs={"unit": "word"},
    )
    words = pd.DataFrame({heard.STIMULUS_WORD: [3, 1, 0, 3]})
    found = as_heard(embeddings, words, placed())
    assert found["embedding"].values[0, :, 0].tolist() == [9, 5, 9]
    assert found["word_index"].values.tolist() == [0, 2, 3]


def test_sound_is_moved_to_the_clock_of_the_recording():
    audio = xr.Dataset(
        {"audio": ("time", np.arange(4.0))},
        coords={"time": np.arange(4) / 4.0, "segment": ("time", np.zeros(4, dtype=np.int16))},
    )
    where = placed(segment=[0, 1], onset=[2.0, 5.0], stretch=[1.0, 1.5])
    moved = heard.sound_as_heard(audio, where)
    np.testing.assert_allclose(moved["time"], [2, 2.25, 2.5, 2.75, 5, 5.375, 5.75, 6.125])
    assert moved["audio"].values.tolist() == [0, 1, 2, 3] * 2
    sound = Audio(np.arange(4, dtype=np.float32), 4.0, (0,), (0,), (0.0,))
    parts = audio_as_heard(sound, placed(onset=[2.0], stretch=0.5)).parts()
    assert [(n, start, s.tolist()) for n, start, s in parts] == [(0, 2.0, [0, 1, 2, 3])]
    assert audio_as_heard(sound, placed(onset=[2.0], stretch=0.5)).rate == 8
    assert audio_as_heard(sound, heard.nothing_heard()).parts() == []


def test_the_sound_of_clocks_that_differ_is_at_its_place_in_each_recording():
    t = np.arange(16_000 * 20) / 16_000
    sound = Audio(np.sin(2 * np.pi * 100 * t).astype(np.float32), 16_000.0, (0,), (0,), (0.0,))
    stretches = (1.0, 1.001)
    moved = audio_as_heard(sound, placed(segment=[0, 1], onset=[2.0, 5.0], stretch=stretches))
    for (number, start, samples), stretch in zip(moved.parts(), stretches, strict=True):
        at = np.arange(len(samples)) / moved.rate
        inside = at < 19.99 * stretch
        expected = np.sin(2 * np.pi * 100 * at / stretch)
        assert start == (2.0, 5.0)[number]
        np.testing.assert_allclose(samples[inside], expected[inside], rtol=0, atol=1e-3)
        assert len(samples) / moved.rate == pytest.approx(20 * stretch, abs=1e-3)


def test_events_without_a_time_are_refused(tmp_path):
    (tmp_path / "run-1.tsv").write_text("time\ttrial_type\n3.5\tplay\n")
    with pytest.raises(InputError, match="no column 'onset'"):
        heard.presentations(segments(tmp_path, "run-1"), {"onset": "play"}, root=tmp_path)


@pytest.mark.filterwarnings("ignore")
def test_marks_that_no_line_goes_through_are_refused():
    time = np.array([0.0, 1e308, -1e308])
    with pytest.raises(InputError, match="3 marks stretch the stimulus by"):
        heard.line_through(time, time[::-1] * 1.5, where="marks.tsv")


def test_events_that_name_no_stimulus_are_refused(tmp_path):
    (tmp_path / "a.wav").touch()
    several = {"audio": "*.wav", "onset": 0.0}
    (tmp_path / "run-1.tsv").write_text("onset\tduration\n1\t1\n")
    with pytest.raises(InputError, match="the recording has no events that name stimuli"):
        heard.presentations(segments(tmp_path, "run-1"), several, root=tmp_path)
    (tmp_path / "run-1.tsv").write_text("onset\ttrial_type\n1\tb\n2\tc\n")
    with pytest.raises(InputError, match="none of 2 events names one of 1 stimuli"):
        heard.presentations(segments(tmp_path, "run-1"), several, root=tmp_path)
