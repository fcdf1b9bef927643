"""Channels joined from the sidecars, and which of them are electrodes."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
from dutch_recording import NAMES

from highgamma.errors import InputError
from highgamma.recording.electrodes import channels, common_channels, shaft_and_contact
from highgamma.recording.files import find
from highgamma.recording.outputs import record


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
    assert "LA1" in log.text
