"""Channels joined from the sidecars, and which of them are electrodes."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
from dutch_recording import NAMES

from highgamma.errors import InputError
from highgamma.recording.electrodes import channels, common_channels, shaft_and_contact
from highgamma.recording.files import Segment, find
from highgamma.recording.names import key, matched
from highgamma.recording.outputs import record
from highgamma.recording.settings import ChannelSettings


def test_channels_join_three_sidecars_by_name(
    dutch: SimpleNamespace, log: pytest.LogCaptureFixture
) -> None:
    table = channels(dutch.segment, NAMES).set_index("name")
    assert table.index.tolist() == NAMES
    assert table["kept"].tolist() == ["yes", "yes", "no", "yes", "no"]
    assert table["reason"].tolist() == ["n/a", "n/a", "status bad", "n/a", "type EKG"]
    assert table.loc["RB'11", ["x", "y", "z"]].tolist() == [30.5, -2, 3]
    assert table.loc["RB'11", ["shaft", "contact"]].tolist() == ["RB'", 11]
    assert math.isnan(table.loc["LA1", "z"])
    assert math.isnan(table.loc["LA3", "x"])
    assert table.loc["LA3", "region"] == "ctx_lh_S_central"
    assert "3 of 5 channels kept; 1 dropped (status bad); 1 dropped (type EKG)" in log.text
    assert "ZZ1" in log.text


@pytest.mark.parametrize(
    ("name", "shaft", "contact"),
    [
        ("LA1", "LA", 1),
        ("LA'12", "LA'", 12),
        ("G_17", "G", 17),
        ("ECOG_RIGHT_0", "ECOG_RIGHT", 0),
        ("LA07-Ref", "LA", 7),
        ("EKGL", "EKGL", None),
        ("12", "12", None),
    ],
)
def test_shaft_and_contact_are_read_from_a_name(name: str, shaft: str, contact: int | None) -> None:
    assert shaft_and_contact(name) == (shaft, contact)


def test_a_missing_channels_table_is_named(copied: Path) -> None:
    segment = find(copied, "sub-01")[0]
    assert segment.channels is not None
    segment.channels.unlink()
    with pytest.raises(InputError, match=r"sub-01_task-wordProduction_channels\.tsv"):
        record("sub-01", {"root": copied})


def test_only_channels_of_all_recordings_stay(
    dutch: SimpleNamespace, log: pytest.LogCaptureFixture
) -> None:
    first = channels(dutch.segment, NAMES)
    second = first[first["name"] != "LA1"].copy()
    second.loc[second["name"] == "LA2", ["kept", "reason"]] = ["no", "status bad"]
    common = common_channels([first, second], ["run-1", "run-2"]).set_index("name")
    assert common.index.tolist() == ["LA2", "LA3", "RB'11", "EKG1"]
    assert common.loc["LA2", "reason"] == "status bad in run-2"
    assert common["kept"].tolist() == ["no", "no", "yes", "no"]
    assert "are not in all 2 recordings and are dropped: LA1" in log.text


# ------------------------------------------------------------------------------- names and places


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("LA1", "EEG LA1-Ref"),
        ("LA1", "LA01"),
        ("LA'1", "LA\u20321"),
        ("LA'1", "la`01"),
        ("LA1", "POL LA 1"),
        ("LA10", "SEEG LA10-G2"),
        ("TP3", "tp3_avg"),
    ],
)
def test_spellings_of_one_contact_are_the_same(one: str, other: str) -> None:
    assert key(one) == key(other)
    assert matched([one], [other, "ZZ9"], where="table", what="channels.tsv") == {one: other}


def test_different_contacts_stay_different() -> None:
    names = ["LA1", "LA10", "LA11", "L1", "LA'1", "RA1", "A1", "EKG", "EKG1", "Ref", "G1", "G2"]
    assert len({key(name) for name in names}) == len(names)


def test_names_match_as_they_are_before_anything_else(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "highgamma"):
        same = matched(["LA1", "LA01"], ["LA01", "LA1"], where="t", what="channels.tsv")
    assert same == {"LA1": "LA1", "LA01": "LA01"} and not caplog.text
    with caplog.at_level(logging.WARNING, "highgamma"):
        matched(["EEG LA1", "EEG LA2"], ["LA1", "LA2"], where="t", what="channels.tsv")
    assert "2 names differ in spelling from those of channels.tsv" in caplog.text


@pytest.mark.parametrize(
    ("names", "others"),
    [(["EEG LA1"], ["LA1", "LA01"]), (["LA1", "la01"], ["la1", "LA001"]), (["A1", "a1"], ["A01"])],
)
def test_what_could_be_several_channels_is_refused(names, others) -> None:
    with pytest.raises(InputError, match="not clear"):
        matched(names, others, where="table", what="channels.tsv")


def written(
    folder: Path, *, channels_of: str, electrodes_of: dict[str, str] | None = None, system: str = ""
) -> Segment:
    """A recording's side tables; the recording is not read."""
    home = folder / "sub-01/ieeg"
    home.mkdir(parents=True)
    (home / "sub-01_task-read_ieeg.edf").touch()
    (home / "sub-01_task-read_channels.tsv").write_text(channels_of, encoding="utf-8")
    for space, content in (electrodes_of or {}).items():
        entity = f"_space-{space}" if space else ""
        (home / f"sub-01{entity}_electrodes.tsv").write_text(content, encoding="utf-8")
        coordinates = {"iEEGCoordinateSystem": system or space, "iEEGCoordinateUnits": "mm"}
        (home / f"sub-01{entity}_coordsystem.json").write_text(json.dumps(coordinates))
    return find(folder, "sub-01")[0]


TWO = "name\ttype\nLA1\tSEEG\nLA2\tSEEG\n"


def test_channels_are_joined_under_the_names_of_the_recording(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    places = "name\tx\ty\tz\tdestrieux\nla01\t1\t2\t3\tG_front\nLA2\t4\t5\t6\tS_calc\n"
    segment = written(tmp_path, channels_of=TWO, electrodes_of={"ACPC": places})
    table = channels(segment, ["EEG LA1-Ref", "EEG LA2-Ref", "EEG LA3-Ref"])
    assert table["kept"].tolist() == ["yes", "yes", "no"]
    assert table["reason"].tolist() == ["n/a", "n/a", "not in channels.tsv"]
    with pytest.raises(InputError, match="no channel of the recording"):
        channels(segment, ["ECG", "DC01"])
    # Names of the recording and of electrodes.tsv are both spelled otherwise than channels.tsv.
    assert table["x"].tolist()[:2] == [1, 4]
    assert table["region"].tolist()[:2] == ["G_front", "S_calc"]
    assert table["space"].tolist() == ["ACPC", "ACPC", "n/a"]
    assert "1 names that are" in log.text and "not in channels.tsv: EEG LA3-Ref" in log.text


def test_native_coordinates_stand_beside_those_of_a_template(tmp_path: Path) -> None:
    native = "name\tx\ty\tz\nLA1\t1\t2\t3\nLA2\t4\t5\t6\n"
    warped = "name\tx\ty\tz\nLA1\t11\t12\t13\nLA2\tn/a\tn/a\tn/a\n"
    both = {"ACPC": native, "MNI152NLin2009aSym": warped}
    segment = written(tmp_path, channels_of=TWO, electrodes_of=both)
    table = channels(segment, ["LA1", "LA2"])
    assert table[["x", "y", "z"]].to_numpy().tolist() == [[1, 2, 3], [4, 5, 6]]
    assert table.loc[0, ["x_mni", "y_mni", "z_mni"]].tolist() == [11, 12, 13]
    assert math.isnan(table.loc[1, "x_mni"])
    assert set(table["space"]) == {"ACPC"}
    chosen = find(tmp_path, "sub-01", space="MNI152NLin2009aSym")[0]
    table = channels(chosen, ["LA1", "LA2"])
    assert table.loc[0, ["x", "y", "z"]].tolist() == [11, 12, 13]
    assert table["space"].tolist() == ["MNI152NLin2009aSym", "n/a"]
    with pytest.raises(InputError, match="no coordinates in the space 'MNI305'"):
        find(tmp_path, "sub-01", space="MNI305")


@pytest.mark.parametrize(
    ("space", "system", "expected"),
    [("", "ACPC", "ACPC"), ("Other", "Other", "Other"), ("", "", "n/a"), ("T1w", "Other", "T1w")],
)
def test_the_systems_name_is_kept(tmp_path: Path, space, system, expected) -> None:
    places = "name\tx\ty\tz\nLA1\t1\t2\t3\nLA2\t4\t5\t6\n"
    segment = written(tmp_path, channels_of=TWO, electrodes_of={space: places}, system=system)
    assert set(channels(segment, ["LA1", "LA2"])["space"]) == {expected}


def test_the_atlas_that_is_asked_for_names_the_regions(tmp_path: Path) -> None:
    places = "name\tx\ty\tz\tdesikan-killiany\tdestrieux\nLA1\t1\t2\t3\tinsula\tS_circ\n"
    segment = written(
        tmp_path, channels_of="name\ttype\tdescription\nLA1\tSEEG\tn/a\n",
        electrodes_of={"ACPC": places},
    )  # fmt: skip
    assert channels(segment, ["LA1"])["region"].tolist() == ["insula"]
    other = ChannelSettings(atlas="destrieux")
    assert channels(segment, ["LA1"], other)["region"].tolist() == ["S_circ"]
    with pytest.raises(InputError, match="the table has no column 'destrieu'"):
        channels(segment, ["LA1"], ChannelSettings(atlas="destrieu"))


def test_contradicting_rows_of_one_electrode_are_refused(tmp_path: Path) -> None:
    same = "name\tx\ty\tz\nLA1\t1\t2\t3\nLA1\t1\t2\t3\nLA2\t4\t5\tinf\n"
    segment = written(tmp_path / "a", channels_of=TWO, electrodes_of={"ACPC": same})
    table = channels(segment, ["LA1", "LA2"])
    assert table["x"].tolist() == [1, 4] and math.isnan(table["z"].tolist()[1])
    other = "name\tx\ty\tz\nLA1\t1\t2\t3\nLA1\t9\t2\t3\n"
    segment = written(tmp_path / "b", channels_of=TWO, electrodes_of={"ACPC": other})
    with pytest.raises(InputError, match="'LA1' has several places"):
        channels(segment, ["LA1", "LA2"])


def test_types_and_names_of_electrodes_are_chosen(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    table = "name\ttype\nLA1\tSEEG\nLA2\tSEEG\nRB1\tDBS\nRB2\tDBS\nEKG\tECG\n"
    segment = written(tmp_path, channels_of=table)
    names = ["LA1", "LA2", "RB1", "RB2", "EKG"]
    chosen = channels(segment, names, ChannelSettings(types=("SEEG", "DBS"), names=("*", "!LA2")))
    kept = dict(zip(chosen["name"], chosen["reason"], strict=True))
    assert kept == {
        "LA1": "n/a", "LA2": "not in dataset.channels.names", "RB1": "n/a", "RB2": "n/a",
        "EKG": "type ECG",
    }  # fmt: skip
    assert "has no electrodes.tsv: its electrodes have no coordinates" in log.text


ONE = "name\ttype\nLA1\tSEEG\n"


@pytest.mark.parametrize(
    ("channels_of", "electrodes_of", "message"),
    [
        ("name\nLA1\n", {}, "the table has no column `type`"),
        ("label\ttype\nLA1\tSEEG\n", {}, "the table has the columns label, type and 1 rows"),
        ("name\ttype\nLA1\tECG\n", {}, "no electrode is left: 1 of type ECG"),
        (ONE, {"ACPC": "name\tx\ty\nLA1\t1\t2\n"}, "the table lacks the columns z"),
    ],
)
def test_tables_that_say_too_little_are_refused(
    tmp_path: Path, channels_of: str, electrodes_of: dict[str, str], message: str
) -> None:
    segment = written(tmp_path, channels_of=channels_of, electrodes_of=electrodes_of)
    with pytest.raises(InputError, match=message):
        channels(segment, ["LA1"])


def test_recordings_without_a_common_electrode_are_refused(tmp_path: Path) -> None:
    first = channels(written(tmp_path / "a", channels_of=TWO), ["LA1"])
    other = channels(written(tmp_path / "b", channels_of=TWO), ["LA2"])
    with pytest.raises(InputError, match="no electrode is kept in all of the recordings a, b"):
        common_channels([first, other], ["a", "b"])


def test_places_without_their_system_are_taken_as_mm(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    segment = written(
        tmp_path, channels_of=ONE, electrodes_of={"ACPC": "name\tx\ty\tz\nLA1\t1\t2\t3\n"}
    )
    assert segment.coordsystem is not None
    segment.coordsystem.unlink()
    table = channels(find(tmp_path, "sub-01")[0], ["LA1"])
    assert table[["x", "y", "z"]].to_numpy().tolist() == [[1, 2, 3]]
    assert "electrodes.tsv has no coordsystem.json" in log.text
