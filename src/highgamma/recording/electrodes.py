"""The channels of a recording: type, position, and whether each is an electrode."""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from highgamma.errors import InputError
from highgamma.recording.files import Segment
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
    "region",
    "shaft",
    "contact",
)

ELECTRODE_TYPES = ("SEEG", "ECOG")
"""BIDS types of electrodes. DBS leads, scalp EEG and everything else are listed, but not kept."""

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

_REGION_COLUMNS = ("region", "anat", "anatomy", "anatomical_label", "label", "location", "roi")

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


def channels(segment: Segment, names: Sequence[str]) -> pd.DataFrame:
    """Join channels.tsv, electrodes.tsv and coordsystem.json to the recording's channels, by name.

    Parameters
    ----------
    segment
        From `find`.
    names
        The channels that the recording holds, in its order.

    Returns
    -------
    table
        One row per channel of the recording, in its order; columns `COLUMNS`. `kept` is "yes" for
        electrodes that are not marked bad; for the others `reason` tells why not. `x y z` are in
        mm, missing if unknown; `region` is the anatomical label.

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
    if not any(name in listed for name in names):
        raise InputError(
            f"no channel of the recording ({', '.join(list(names)[:3])}, …) is listed",
            where=segment.channels,
            expected="the same names in both",
            remedy="check that the table belongs to this recording, or correct its names",
        )
    _report_names("channels.tsv lists", sorted(set(listed) - set(names)), "not in the recording")
    places = _places(segment)
    unlisted = [name for name in places if name not in listed]
    _report_names("electrodes.tsv lists", unlisted, "not in channels.tsv")
    table = pd.DataFrame(
        [_row(name, listed.get(name), places.get(name, NO_PLACE)) for name in names],
        columns=list(COLUMNS),
    )
    table["region"] = table["region"].replace("", "n/a")
    table["contact"] = table["contact"].astype("Int64")
    _report_kept(table, segment)
    return table


def _row(name: str, listed: dict[str, str] | None, place: Place) -> dict[str, object]:
    """One row of the table of channels; `listed` is the channel's row of channels.tsv."""
    columns = listed or {}
    kind = listed["type"].upper() if listed else "n/a"
    status = columns.get("status", "n/a").lower()
    reason = "n/a"
    if listed is None:
        reason = "not in channels.tsv"
    elif kind not in ELECTRODE_TYPES:
        reason = f"type {kind}"
    elif status == "bad":
        reason = "status bad"
    x, y, z, label = place
    description = columns.get("description", "")
    shaft, contact = shaft_and_contact(name)
    return {
        "name": name,
        "type": kind,
        "units": columns.get("units", "n/a"),
        "status": status,
        "kept": "yes" if reason == "n/a" else "no",
        "reason": reason,
        "x": x,
        "y": y,
        "z": z,
        "region": label if description.lower() in _NO_REGION else description,
        "shaft": shaft,
        "contact": contact,
    }


def _report_names(before: str, names: Sequence[str], after: str) -> None:
    if names:
        shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        LOG.info("%s %d names that are %s: %s", before, len(names), after, shown)


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
            expected=f"channels of type {' or '.join(ELECTRODE_TYPES)} that are not bad",
            remedy="correct the types or the status in the table",
        )
    placed = table.loc[kept, ["x", "y", "z"]].notna().all(axis=1)
    if not placed.all():
        LOG.info("%d kept electrodes have no coordinates", int((~placed).sum()))


def _places(segment: Segment) -> dict[str, Place]:
    """Name → x, y, z in mm and an anatomical label, from electrodes.tsv; empty without one."""
    if segment.electrodes is None:
        LOG.warning(
            "%s has no electrodes.tsv: its electrodes have no coordinates", segment.signal.name
        )
        return {}
    if len(segment.spaces) > 1:
        LOG.info(
            "coordinates from %s, the most native of the spaces %s",
            segment.electrodes.name,
            ", ".join(segment.spaces),
        )
    table = read_table(segment.electrodes, strings=("name",))
    lacking = [column for column in ("name", "x", "y", "z") if column not in table]
    if lacking:
        raise InputError(
            f"the table lacks the columns {', '.join(lacking)}",
            where=segment.electrodes,
            expected="columns name, x, y, z",
            remedy="compare the file with the published one",
        )
    position = table[["x", "y", "z"]].apply(numeric).to_numpy(np.float64)
    position = position * _unit_to_mm(segment, position)
    by_lower = {str(column).lower(): column for column in table.columns}
    region = next((by_lower[name] for name in _REGION_COLUMNS if name in by_lower), None)
    labels = [""] * len(table)
    if region is not None:
        labels = ["" if pd.isna(label) else str(label) for label in table[region]]
    return {
        str(name).strip(): (float(x), float(y), float(z), label)
        for name, (x, y, z), label in zip(table["name"], position, labels, strict=True)
    }


def _unit_to_mm(segment: Segment, position: np.ndarray) -> float:
    known = np.abs(position[np.isfinite(position)])
    farthest = float(known.max()) if known.size else 0.0
    unit = "n/a"
    if segment.coordsystem is not None:
        unit = str(read_json(segment.coordsystem).get("iEEGCoordinateUnits", "n/a")).strip()
    else:
        LOG.warning("%s has no coordsystem.json", segment.electrodes)
    factor = _TO_MM.get(unit.lower(), 1.0)
    if unit.lower() not in _TO_MM:
        LOG.info("the unit of the coordinates is %r: they are taken as mm", unit)
    if known.size and not 1 <= farthest * factor <= 1000:
        LOG.warning(
            "%s: the farthest coordinate is %.3g %s, which would be %.3g mm; a head is about "
            "100 mm wide. The unit in coordsystem.json is probably wrong; it is used nevertheless",
            segment.electrodes,
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
            remedy="choose one task or one session of the data set (dataset.task)",
        )
    return common
