"""Recordings and sidecars found by BIDS names and inheritance."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from highgamma.errors import InputError
from highgamma.recording import files
from highgamma.recording.electrodes import channels
from highgamma.recording.files import Segment, find, participants
from highgamma.store import read_table


def test_files_are_found_without_importing_anything_heavy() -> None:
    import subprocess
    import sys

    heavy = ["numpy", "pandas", "scipy", "mne", "pynwb", "h5py", "xarray"]
    code = (
        "import sys, highgamma.recording.files;"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_data_set_that_does_not_exist_is_named(tmp_path: Path) -> None:
    (tmp_path / "dutch").mkdir()
    with pytest.raises(InputError, match=r"folder does not exist \(did you mean 'dutch'") as error:
        find(tmp_path / "ductch", "sub-01")
    assert "ductch" in str(error.value)
    assert "dataset.root" in str(error.value)


@pytest.mark.parametrize("name", ["sub-1", "sub-01x"])
def test_an_unknown_participant_is_answered_with_the_nearest(
    dutch: SimpleNamespace, name: str
) -> None:
    with pytest.raises(InputError, match="did you mean 'sub-01'"):
        find(dutch.root, name)


def test_a_participant_cannot_lead_out_of_the_data_set(dutch: SimpleNamespace) -> None:
    with pytest.raises(InputError, match="found for participant"):
        find(dutch.root, "../" + dutch.root.name + "/sub-01")


def test_an_unknown_task_is_answered_with_the_nearest(dutch: SimpleNamespace) -> None:
    with pytest.raises(InputError, match="did you mean 'wordProduction'"):
        find(dutch.root, "sub-01", task="wordProdcution")


def test_an_annexed_recording_that_was_not_fetched_is_explained(copied: Path) -> None:
    signal = find(copied, "sub-01")[0].signal
    signal.unlink()
    signal.symlink_to("../../.git/annex/objects/gone")
    with pytest.raises(InputError, match="a link to content that was not") as error:
        find(copied, "sub-01")
    assert "datalad get" in str(error.value)


def test_events_without_the_acquisition_belong_to_every_acquisition(
    film: Callable[[str], list[Segment]],
) -> None:
    (segment,) = film("sub-09")
    assert segment.label == "ses-iemu_acq-clinical_run-2"
    assert segment.events is not None
    assert segment.events.name == "sub-09_ses-iemu_task-film_run-2_events.tsv"
    assert segment.channels is not None
    assert "task-film_acq-clinical_run-2" in segment.channels.name
    assert segment.electrodes is not None
    assert segment.electrodes.name == "sub-09_ses-iemu_acq-clinical_electrodes.tsv"
    names = read_table(segment.channels, strings=("name",))["name"].tolist()
    table = channels(segment, names)
    # Counted in the file: 69 SEEG channels of status good.
    assert (table["kept"] == "yes").sum() == 69
    first = table.set_index("name").loc["AL1"]
    assert [first.x, first.y, first.z] == [-14.107, 19.317, -11.208]


def test_status_bad_channels_of_the_film_are_dropped(
    film: Callable[[str], list[Segment]],
) -> None:
    for participant in ("sub-01", "sub-02", "sub-03", "sub-05", "sub-06", "sub-07", "sub-10"):
        for segment in film(participant):
            assert segment.channels is not None
            lines = segment.channels.read_text("utf-8-sig").splitlines()
            header = lines[0].split("\t")
            rows = [dict(zip(header, line.split("\t"), strict=False)) for line in lines[1:]]
            good = [
                row["name"]
                for row in rows
                if row["type"] in ("SEEG", "ECOG") and row["status"] != "bad"
            ]
            table = channels(segment, [row["name"] for row in rows])
            assert table.loc[table["kept"] == "yes", "name"].tolist() == good


def test_native_coordinates_are_preferred_to_a_template(
    shared_data: Path, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    source = shared_data / "bids_metadata" / "ds005574_podcast"
    shutil.copytree(source, tmp_path / "podcast", ignore=shutil.ignore_patterns(".*"))
    for name in ("sub-01", "sub-02", "sub-03"):
        (tmp_path / "podcast" / name / "ieeg" / f"{name}_task-podcast_ieeg.edf").touch()
    assert participants(tmp_path / "podcast") == ["sub-01", "sub-02", "sub-03"]
    (segment,) = find(tmp_path / "podcast", "sub-01", task="podcast")
    assert segment.spaces == ("Other", "MNI152NLin2009aSym")
    assert segment.coordsystem is not None
    assert "space-Other" in segment.coordsystem.name
    names = read_table(segment.channels, strings=("name",))["name"].tolist()
    table = channels(segment, names).set_index("name")
    assert table.loc["G2", ["x", "y", "z"]].tolist() == [64.507256, 12.288622, -28.19117]
    assert table.loc["G1", "reason"] == "status bad"
    assert math.isnan(table.loc["G1", "x"])
    assert "space-Other" in log.text


def test_sessions_and_runs_become_sorted_segments(tmp_path: Path) -> None:
    for session, run in (("ses-2", 1), ("ses-1", 10), ("ses-1", 2)):
        folder = tmp_path / "sub-7" / session / "ieeg"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"sub-7_{session}_task-a_run-{run}_ieeg.edf").touch()
        (folder / f"sub-7_{session}_task-b_run-{run}_ieeg.edf").touch()
    labels = [segment.label for segment in find(tmp_path, "sub-7", task="a")]
    assert labels == ["ses-1_run-2", "ses-1_run-10", "ses-2_run-1"]
    assert len({segment.label for segment in find(tmp_path, "sub-7")}) == 6
    assert participants(tmp_path) == ["sub-7"]


def test_listed_participants_without_recordings_are_left_out(shared_data: Path) -> None:
    root = shared_data / "bids_metadata" / "ds003688_dutch_film"
    # sub-04 and sub-08 were only scanned; the folder holds sub-01 … sub-10 of 63.
    assert participants(root) == [f"sub-{k:02}" for k in (1, 2, 3, 5, 6, 7, 9, 10)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"participant_id\tage\n01\t30\n02\t40\n", ["sub-01", "sub-02"]),
        (b"\xef\xbb\xbfparticipant_id\r\nsub-02\r\nsub-01\r\n\r\n", ["sub-01", "sub-02"]),
        (b"participant_id\nsub-01\n../sub-02\nsub-02/..\n", ["sub-01"]),
        (b"age\tparticipant_id\n30\tsub-02\t\n", ["sub-02"]),
        (b"participant_id\nsub-02\nsub-" + b"1" * 5000 + b"\n", ["sub-02"]),
    ],
)
def test_participants_are_listed_however_they_are_written(tmp_path, content, expected) -> None:
    for name in ("sub-01", "sub-02"):
        (tmp_path / name / "ieeg").mkdir(parents=True)
    (tmp_path / "participants.tsv").write_bytes(content)
    assert participants(tmp_path) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"participant_id\nsub-\xe9\n", "table of participants cannot be read"),
        (b"subject\nsub-01\n", "the table has the columns subject"),
        (b"participant_id\n" + b"x" * 200_000 + b"\n", "table of participants cannot be read"),
    ],
)
def test_a_table_of_participants_of_another_form_is_named(tmp_path, content, message) -> None:
    (tmp_path / "sub-01/ieeg").mkdir(parents=True)
    (tmp_path / "participants.tsv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        participants(tmp_path)


def test_a_configured_file_lies_in_the_data_set_or_in_the_working_directory(tmp_path, monkeypatch):
    root, here = tmp_path / "set", tmp_path / "here"
    root.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    (here / "own.tsv").touch()
    assert files.place(root, "own.tsv") == Path("own.tsv")
    assert files.in_data_set(root, "own.tsv", where="a setting") == Path("own.tsv")
    (root / "own.tsv").touch()
    assert files.place(root, "own.tsv") == root / "own.tsv"
    # What is not there yet is expected in the data set.
    assert files.place(root, "other.tsv") == root / "other.tsv"
    with pytest.raises(InputError, match=r"'other\.tsv' does not exist"):
        files.in_data_set(root, "other.tsv", where="a setting")


def test_recordings_are_selected_by_session_run_acquisition_and_task(tmp_path: Path) -> None:
    for name in (
        "ses-1/ieeg/sub-01_ses-1_task-film_acq-clinical_run-01",
        "ses-1/ieeg/sub-01_ses-1_task-film_acq-HDgrid_run-01",
        "ses-1/ieeg/sub-01_ses-1_task-film_acq-clinical_run-02",
        "ses-2/ieeg/sub-01_ses-2_task-rest_acq-clinical_run-01",
    ):
        path = tmp_path / "sub-01" / f"{name}_ieeg.edf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def labels(**keys: object) -> list[str]:
        dataset = {"root": tmp_path, **keys}
        return [segment.label for segment in files.selected(dataset, "sub-01")]

    assert len(labels()) == 4
    assert len(labels(session="1", acquisition="clinical")) == 2
    assert labels(acquisition="HDgrid") == ["ses-1_acq-HDgrid_run-01"]
    # Runs are numbers: 1 and 01 are the same.
    assert len(labels(run="1")) == 3 and len(labels(run=["02", "3"])) == 1
    assert len(labels(task=["film", "rest"])) == 4
    with pytest.raises(InputError, match=r"acquisition 'HDgird' .did you mean 'HDgrid'"):
        labels(acquisition="HDgird")
    with pytest.raises(InputError, match="no recording of the session '3'") as error:
        labels(task="film", session="3")
    assert "one of 1" in str(error.value)


def test_a_data_set_without_intracranial_recordings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sub-01/anat").mkdir(parents=True)
    with pytest.raises(InputError, match="no participant with intracranial recordings"):
        participants(tmp_path)
