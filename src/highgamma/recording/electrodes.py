"""The channels of a recording: type, position, and whether each is an electrode."""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from highgamma.errors import InputError, nearest
from highgamma.recording.edf import ANNOTATIONS
from highgamma.recording.events import matches
from highgamma.recording.files import Segment, space_of
from highgamma.recording.names import matched
from highgamma.recording.settings import ChannelSettings
from highgamma.recording.sidecars import channel_rows, read_json
from highgamma.store import numeric, read_table

LOG = logging.getLogger("highgamma")

COLUMNS = (
    "name",
    "type",
    "units",
    "status",
    "kept",
    "reason",
    "x",
    "y",
    "z",
    "space",
    "x_mni",
    "y_mni",
    "z_mni",
    "region",
    "shaft",
    "contact",
)

UNKNOWN_SPACE = "n/a"

Place = tuple[float, float, float, str]
"""x, y, z in mm and an anatomical label."""

NO_PLACE: Place = (math.nan, math.nan, math.nan, "")

_TO_MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0}

# What MNE-BIDS writes into `description` if there is no anatomical label.
_NO_REGION = {
    "",
    "n/a",
    "electrocorticography",
    "stereoeeg",
    "stereo-electroencephalography",
    "deep brain stimulation",
    "electroencephalogram",
    "miscellaneous",
    "other type of channel",
}

_REGION_COLUMNS = (
    "region", "anat", "anatomy", "anatomical_label", "label", "location", "roi",
    "desikan-killiany", "desikan_killiany", "desikankilliany", "dk", "aparc+aseg", "aparc", "aseg",
    "destrieux", "aparc.a2009s", "a2009s", "brainnetome", "aal", "hcp-mmp1", "glasser", "yeo7",
)  # fmt: skip
"""Columns of electrodes.tsv with an anatomical label; the first that is there counts."""

_REFERENCE = re.compile(r"[-_ ](ref|avg|car)$", re.IGNORECASE)
_CONTACT = re.compile(r"^(.*?)[-_ ]*(\d+)$")


def shaft_and_contact(name: str) -> tuple[str, int | None]:
    """Split an electrode's name into shaft (or grid) and contact number.

    The contact is the number at the end: `LA1` → (`LA`, 1), `LA'12` → (`LA'`, 12), `G_17` →
    (`G`, 17), `ECOG_RIGHT_0` → (`ECOG_RIGHT`, 0). A name without one is a shaft of its own.
    """
    match = _CONTACT.match(_REFERENCE.sub("", name.strip()))
    if match is None or not match.group(1):
        return name, None
    return match.group(1), int(match.group(2))


def channels(
    segment: Segment, names: Sequence[str], chosen: ChannelSettings | None = None
) -> pd.DataFrame:
    """Join channels.tsv, electrodes.tsv and coordsystem.json to the recording's channels, by name.

    Names that are spelled differently match as `names.matched` states.

    Parameters
    ----------
    segment
        From `find`.
    names
        The channels that the recording holds, in its order.
    chosen
        Which channels are electrodes; by default of type SEEG or ECOG, whatever their name.

    Returns
    -------
    table
        One row per channel of the recording, in its order; columns `COLUMNS`. `kept` is "yes" for
        electrodes that are not marked bad; for the others `reason` tells why not. `x y z` are in
        mm in the system `space`, missing if unknown; `x_mni y_mni z_mni` are those of a template,
        if the data set has both; `region` is the anatomical label.

    Raises
    ------
    InputError
        If channels.tsv is missing, has no `type`, or shares no name with the recording, or if no
        electrode is left.
    """
    listed = {row["name"]: row for row in channel_rows(segment)}
    if "type" not in next(iter(listed.values())):
        raise InputError(
            "the table has no column `type`",
            where=segment.channels,
            expected="BIDS channel types such as SEEG, ECOG, EKG, MISC",
            remedy="add the column; it distinguishes electrodes from other channels",
        )
    chosen = chosen or ChannelSettings()
    same = matched(list(names), list(listed), where=segment.channels, what="channels.tsv")
    if not same:
        raise InputError(
            f"no channel of the recording ({', '.join(list(names)[:3])}, …) is listed",
            where=segment.channels,
            expected="the same names in both",
            remedy="check that the table belongs to this recording, or correct its names",
        )
    # Some tables list the annotations of an EDF file as a channel.
    absent = sorted(set(listed) - set(same.values()) - set(ANNOTATIONS))
    _report_names("channels.tsv lists", absent, "not in the recording")
    _report_names("the recording has", [n for n in names if n not in same], "not in channels.tsv")
    rows = {name: listed[same[name]] for name in same}
    reasons = {name: _reason(name, rows.get(name), chosen) for name in names}
    own = [name for name in names if reasons[name] == KEPT]
    places, templates = _placed(segment, own, chosen.atlas)
    space = _system(segment)
    table = pd.DataFrame(
        [
            _row(name, rows.get(name), reasons[name])
            | _position(places.get(name, NO_PLACE), templates.get(name, NO_PLACE), space)
            | {"region": _region(rows.get(name), places.get(name, NO_PLACE), chosen.atlas)}
            for name in names
        ],
        columns=list(COLUMNS),
    )
    table["region"] = table["region"].replace("", "n/a")
    table["contact"] = table["contact"].astype("Int64")
    _report_kept(table, segment)
    return table


KEPT = "n/a"
"""The reason against a channel that is kept."""


def _reason(name: str, listed: dict[str, str] | None, chosen: ChannelSettings) -> str:
    """Return why a channel is not kept; `listed` is its row of channels.tsv."""
    if listed is None:
        return "not in channels.tsv"
    kind = listed["type"].upper()
    if kind not in {of.upper() for of in chosen.types}:
        return f"type {kind}"
    if listed.get("status", "n/a").lower() == "bad":
        return "status bad"
    return KEPT if matches(name, chosen.names) else "not in dataset.channels.names"


def _row(name: str, listed: dict[str, str] | None, reason: str) -> dict[str, object]:
    """Return what the table of channels has of a channel beside its place."""
    columns = listed or {}
    shaft, contact = shaft_and_contact(name)
    return {
        "name": name,
        "type": columns.get("type", "n/a").upper() if listed else "n/a",
        "units": columns.get("units", "n/a"),
        "status": columns.get("status", "n/a").lower(),
        "kept": "yes" if reason == KEPT else "no",
        "reason": reason,
        "shaft": shaft,
        "contact": contact,
    }


def _region(listed: dict[str, str] | None, place: Place, atlas: str | None) -> str:
    description = (listed or {}).get("description", "")
    return place[3] if atlas or description.lower() in _NO_REGION else description


def _position(place: Place, template: Place, space: str) -> dict[str, object]:
    own = dict(zip(("x", "y", "z"), place, strict=False))
    warped = dict(zip(("x_mni", "y_mni", "z_mni"), template, strict=False))
    return {**own, "space": space if math.isfinite(place[0]) else UNKNOWN_SPACE, **warped}


def _system(segment: Segment) -> str:
    """Return the coordinate system: that of coordsystem.json, else the space in the file's name."""
    named = None if segment.electrodes is None else space_of(segment.electrodes)
    if segment.coordsystem is None:
        return named or UNKNOWN_SPACE
    stated = str(read_json(segment.coordsystem).get("iEEGCoordinateSystem") or "").strip()
    return stated if stated and stated.lower() != "other" else named or stated or UNKNOWN_SPACE


def _placed(
    segment: Segment, names: Sequence[str], atlas: str | None
) -> tuple[dict[str, Place], dict[str, Place]]:
    """Return the place of each electrode in `electrodes` and in a template's space."""
    tables = []
    for path in (segment.electrodes, segment.template):
        places = {} if path is None else _places(segment, path, atlas)
        same = matched(list(names), list(places), where=path, what="electrodes.tsv")
        tables.append({name: places[same[name]] for name in same})
        spare = sorted(set(places) - set(same.values()))
        without = [name for name in names if name not in same]
        if path is not None and spare:
            # Contacts that were not recorded are usual; together with contacts that have no row,
            # they may be the same under another name.
            LOG.log(
                logging.WARNING if without else logging.INFO,
                "%s: %d rows are of no electrode that is kept: %s; %d electrodes have no row: %s",
                path.name, len(spare), ", ".join(spare[:5]), len(without), ", ".join(without[:5]),
            )  # fmt: skip
    if segment.electrodes is None:
        LOG.warning(
            "%s has no electrodes.tsv: its electrodes have no coordinates", segment.signal.name
        )
    elif len(segment.spaces) > 1:
        LOG.info(
            "coordinates from %s, the most native of the spaces %s",
            segment.electrodes.name,
            ", ".join(segment.spaces),
        )
    return tables[0], tables[1]


def _report_names(before: str, names: Sequence[str], after: str) -> None:
    if names:
        shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        LOG.warning("%s %d names that are %s: %s", before, len(names), after, shown)


def _report_kept(table: pd.DataFrame, segment: Segment) -> None:
    """Log how many channels are kept; refuse a recording without any."""
    kept = table["kept"] == "yes"
    reasons = sorted(Counter(table.loc[~kept, "reason"]).items())
    LOG.info(
        "%s %s: %d of %d channels kept%s",
        segment.participant,
        segment.label,
        int(kept.sum()),
        len(table),
        "".join(f"; {count} dropped ({reason})" for reason, count in reasons),
    )
    if not kept.any():
        raise InputError(
            "no electrode is left: "
            + ", ".join(f"{count} of {reason}" for reason, count in reasons),
            where=segment.channels,
            expected="channels of the types and names of dataset.channels that are not bad",
            remedy="correct the types or the status in the table, or dataset.channels",
        )
    placed = table.loc[kept, ["x", "y", "z"]].notna().all(axis=1)
    if not placed.all():
        LOG.info("%d kept electrodes have no coordinates", int((~placed).sum()))


def _places(segment: Segment, path: Path, atlas: str | None) -> dict[str, Place]:
    """Name → x, y, z in mm and an anatomical label, from an electrodes.tsv."""
    table = read_table(path, strings=("name",))
    lacking = [column for column in ("name", "x", "y", "z") if column not in table]
    if lacking:
        raise InputError(
            f"the table lacks the columns {', '.join(lacking)}",
            where=path,
            expected="columns name, x, y, z",
            remedy="compare the file with the published one",
        )
    position = table[["x", "y", "z"]].apply(numeric).to_numpy(np.float64, copy=True)
    position = position * _unit_to_mm(segment, path, position)
    table["name"] = table["name"].astype(str).str.strip()
    rows = table[["name", "x", "y", "z"]].drop_duplicates()
    twice = rows["name"][rows["name"].duplicated()].tolist()
    if twice:
        raise InputError(
            f"the electrode {twice[0]!r} has several places",
            where=path,
            expected="each name once",
            remedy="correct the table",
        )
    by_lower = {str(column).lower(): column for column in table.columns}
    wanted = _REGION_COLUMNS if atlas is None else (atlas.lower(),)
    region = next((by_lower[name] for name in wanted if name in by_lower), None)
    if atlas is not None and region is None and path == segment.electrodes:
        known = [str(name) for name in table.columns]
        raise InputError(
            f"the table has no column {atlas!r}{nearest(atlas, known)}",
            where=path,
            expected=f"one of {', '.join(known)}",
            remedy="correct dataset.channels.atlas in the config",
        )
    labels = [""] * len(table)
    if region is not None:
        labels = ["" if pd.isna(label) else str(label) for label in table[region]]
    return {
        str(name): (float(x), float(y), float(z), label)
        for name, (x, y, z), label in zip(table["name"], position, labels, strict=True)
    }


def _unit_to_mm(segment: Segment, path: Path, position: np.ndarray) -> float:
    known = np.abs(position[np.isfinite(position)])
    farthest = float(known.max()) if known.size else 0.0
    unit = "n/a"
    if path == segment.electrodes and segment.coordsystem is not None:
        unit = str(read_json(segment.coordsystem).get("iEEGCoordinateUnits", "n/a")).strip()
    elif path == segment.electrodes:
        LOG.warning("%s has no coordsystem.json", path)
    factor = _TO_MM.get(unit.lower(), 1.0)
    if unit.lower() not in _TO_MM:
        LOG.info("the unit of the coordinates is %r: they are taken as mm", unit)
    if known.size and not 1 <= farthest * factor <= 1000:
        LOG.warning(
            "%s: the farthest coordinate is %.3g %s, which would be %.3g mm; a head is about "
            "100 mm wide. The unit in coordsystem.json is probably wrong; it is used nevertheless",
            path,
            farthest,
            unit,
            farthest * factor,
        )
    return factor


def common_channels(tables: Sequence[pd.DataFrame], labels: Sequence[str]) -> pd.DataFrame:
    """Return the channels that every recording of a participant holds, in the first one's order.

    A channel is kept if each recording keeps it; the first reason against it is reported. Channels
    that are dropped because a recording lacks them are logged.

    Parameters
    ----------
    tables
        From `channels`, one for each recording.
    labels
        Labels of the recordings, for messages.

    Raises
    ------
    InputError
        If no electrode is kept in all recordings.
    """
    first = tables[0]
    everywhere = set(first["name"]).intersection(*(table["name"] for table in tables[1:]))
    for table, label in zip(tables, labels, strict=True):
        extra = [name for name in table["name"] if name not in everywhere]
        if extra:
            LOG.warning(
                "%d channels of %s are not in all %d recordings and are dropped: %s",
                len(extra),
                label,
                len(tables),
                ", ".join(extra),
            )
    common = first[first["name"].isin(everywhere)].reset_index(drop=True)
    for table, label in zip(tables[1:], labels[1:], strict=True):
        reasons = table.set_index("name")["reason"]
        against = common["name"].map(reasons)
        newly = (common["kept"] == "yes") & (against != "n/a")
        common.loc[newly, "kept"] = "no"
        common.loc[newly, "reason"] = against[newly] + f" in {label}"
    if not (common["kept"] == "yes").any():
        raise InputError(
            f"no electrode is kept in all of the recordings {', '.join(labels)}",
            where="channels.tsv",
            expected="some electrodes that all recordings share",
            remedy="choose one session, acquisition or task of the data set (dataset.session, "
            "dataset.acquisition, dataset.task), or, for acquisitions of the same moment, set "
            "dataset.join_acquisitions: true",
        )
    return common
