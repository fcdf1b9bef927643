"""Recordings that MNE reads: BrainVision, EDF, BDF, FIF and EEGLAB."""

from __future__ import annotations

import glob
import logging
import math
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma.errors import InputError
from highgamma.recording import edf, fif, gaps, hdf5, mat5
from highgamma.recording.reader import Fetch, Reader, Values
from highgamma.recording.sidecars import channel_rows
from highgamma.recording.signals import (
    FloatArray,
    Signals,
    checked_fetch,
    microvolts,
    piece_of,
    unreadable,
)

if TYPE_CHECKING:
    import pandas as pd

    from highgamma.recording.files import Segment

LOG = logging.getLogger("highgamma")

EDF_SUFFIXES = (".edf", ".bdf")
NEW_SEGMENT = "New Segment/"
EDGES = ("EDGE boundary", "BAD boundary", "BAD_ACQ_SKIP")

NO_UNIT = ("", "n/a")


@contextmanager
def mne_signals(segment: Segment) -> Iterator[Signals]:
    """Open a recording with MNE.

    Raises
    ------
    InputError
        If MNE cannot read it, or if its header leads to a file in another folder.
    """
    path = segment.signal
    header = edf.read_header(path) if path.suffix.lower() in EDF_SUFFIXES else None
    _check(path)
    others = _at_other_rates(header)
    raw = _opened(path, exclude=sorted(others)) if others else _opened(path)
    # Compared by name, not resolved: data sets keep their large files behind links.
    folder = Path(os.path.normpath(path.parent.absolute()))
    for file in raw.filenames:
        # A header may name its data file: it must not lead out of the recording's folder.
        named = Path(os.path.normpath(Path(path if file is None else file).absolute()))
        if named.parent != folder:
            raise InputError(
                f"the recording's header leads to {file}, outside its folder",
                where=path,
                expected=f"a file in {folder}",
                remedy="correct the header, or do not use this file",
            )
    rate = float(raw.info["sfreq"])
    missing = _gaps_of_records(header, rate) if header else _gaps_of_segments(raw, rate)
    gaps.told(missing, name=path.name)
    units = sorted({str(unit) for unit in raw._orig_units.values()}) or ["V"]
    yield Signals(
        path=path,
        where=str(path),
        rate=rate,
        n_samples=int(raw.n_times),
        names=tuple(str(name) for name in raw.ch_names),
        clock=0.0,
        unit=", ".join(units),
        series={name: partial(_at_own_rate, segment, name) for name in others},
        gaps=missing,
        fetch=_fetch(raw, segment),
        piece=piece_of(len(raw.ch_names)),
    )


def events_in_file(segment: Segment) -> pd.DataFrame:
    """Read the events that a recording's file holds.

    Returns
    -------
    table
        `onset` and `duration`, s from the first sample; `trial_type` and `value`, both the text.
        Marks of the format itself (segments, edges of cut data) are left out.
    """
    import pandas as pd

    with mne_signals(segment):
        pass  # Refuses what cannot be read.
    raw = _opened(segment.signal)
    notes = raw.annotations
    # Onsets count from the date of measurement, where the file states one.
    first = 0.0 if notes.orig_time is None else float(raw.first_time)
    text = [str(note).strip() for note in notes.description]
    kept = [k for k, note in enumerate(text) if not note.startswith((NEW_SEGMENT, *EDGES))]
    described = [text[k] for k in kept]
    return pd.DataFrame(
        {
            "onset": np.asarray(notes.onset, dtype=np.float64)[kept] - first,
            "duration": np.asarray(notes.duration, dtype=np.float64)[kept],
            "trial_type": described,
            "value": described,
        }
    )


def _check(path: Path) -> None:
    """Refuse a file that would end or stop the libraries that read it."""
    suffix = path.suffix.lower()
    if suffix == ".fif":
        # The parts of a split recording, too.
        for part in sorted(path.parent.glob(f"{glob.escape(path.stem.split('_split-')[0])}*.fif")):
            fif.check_tags(part)
    elif suffix == ".set":
        import h5py

        if h5py.is_hdf5(path):
            hdf5.check_file(path)
        else:
            mat5.check_file(path)


def _opened(path: Path, **options: Any) -> Any:
    import mne

    with warnings.catch_warnings(record=True) as said:
        # MNE warns of unusual headers (dates, file names), which do not matter here; that it
        # renames channels does.
        warnings.simplefilter("always")
        try:
            raw = mne.io.read_raw(path, preload=False, verbose="warning", **options)
        except Exception as error:
            raise unreadable(path, error) from error
    doubles = [str(w.message) for w in said if "names are not unique" in str(w.message)]
    if doubles:
        raise InputError(
            f"several channels of the recording have one name: {doubles[0].splitlines()[0][:200]}",
            where=path,
            expected="each name once",
            remedy="give the channels different names in the file, and in channels.tsv",
        )
    rate = float(raw.info["sfreq"])
    if not (raw.ch_names and rate > 0 and math.isfinite(rate)):
        raise InputError(
            f"the recording has {len(raw.ch_names)} channels and a rate of {rate:g} Hz",
            where=path,
            expected="channels with a rate",
            remedy="compare its size or checksum with the published one and download it again",
        )
    return raw


def _fetch(raw: Any, segment: Segment) -> Fetch:
    factors = _factors(raw, segment)

    def fetch(start: int, stop: int, columns: Sequence[int]) -> Values:
        picks = list(columns)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = raw.get_data(picks=picks, start=start, stop=stop, verbose="error")
        return np.asarray(values.T * factors[picks])

    return checked_fetch(fetch, segment.signal)


def _at_other_rates(header: edf.EdfHeader | None) -> dict[str, float]:
    """Return the channels of an EDF file, and their rates (Hz), that most others don't have.

    MNE would interpolate them, piece by piece, at the highest rate.
    """
    rates = header.rates() if header else {}
    if len(set(rates.values())) < 2:
        return {}
    counts = Counter(rates.values())
    usual, count = max(counts.items(), key=lambda item: (item[1], item[0]))
    others = {name: rate for name, rate in rates.items() if rate != usual}
    LOG.warning(
        "%d channels have %g Hz; %d with other rates are not taken as electrodes: %s",
        count,
        usual,
        len(others),
        ", ".join(f"{name} ({rate:g} Hz)" for name, rate in list(others.items())[:5]),
    )
    return others


def _at_own_rate(segment: Segment, name: str) -> Reader:
    """Read one channel of an EDF file at its own rate."""
    path = segment.signal
    raw = _opened(path, include=[name])
    header = edf.read_header(path)
    rate = float(raw.info["sfreq"])
    reader = Reader(
        names=(name,),
        rate=rate,
        n_samples=int(raw.n_times),
        fetch=_fetch(raw, segment),
        where=str(path),
        piece=piece_of(1),
    )
    return gaps.filled(reader, _gaps_of_records(header, rate))


def _gaps_of_records(header: edf.EdfHeader, rate: float) -> tuple[gaps.Gap, ...]:
    """Return the gaps between the records of an EDF file, in samples of this rate."""
    if not header.gaps_allowed:
        return ()
    onsets = header.record_onsets()
    if onsets is None:
        raise InputError(
            "the recording may have gaps (EDF+D) and does not state where",
            where=header.path,
            expected="the time of each record in an annotation signal",
            remedy="convert it to a continuous recording (EDF+C), or download it again",
        )
    excess = np.diff(onsets) - header.record_s
    if len(excess) and excess.min() < -gaps.SHORTEST_S:
        k = int(excess.argmin())
        raise InputError(
            f"record {k + 2} begins {-excess[k]:.6g} s before the one before it ends",
            where=header.path,
            expected="records in order of time",
            remedy="correct the file, or download it again",
        )
    size = header.record_s * rate
    return gaps.bounded(
        [
            gaps.Gap(round((int(k) + 1) * size), float(excess[k]))
            for k in np.flatnonzero(excess > gaps.SHORTEST_S)
        ],
        where=header.path,
    )


def _gaps_of_segments(raw: Any, rate: float) -> tuple[gaps.Gap, ...]:
    """Return where a BrainVision recording was interrupted; side tables count its samples on."""
    onsets = [
        float(onset)
        for onset, text in zip(raw.annotations.onset, raw.annotations.description, strict=True)
        if str(text).startswith(NEW_SEGMENT)
    ]
    samples = sorted({round(onset * rate) for onset in onsets})
    inside = [gaps.Gap(k, 0.0) for k in samples if 0 < k < int(raw.n_times)]
    return gaps.bounded(inside, where=str(raw.filenames[0]))


def _factors(raw: Any, segment: Segment) -> FloatArray:
    """Return the factor to µV of each channel's values as MNE gives them, 1 for another unit.

    MNE multiplies the units that it knows by what makes volts of them and leaves all others as they
    are, though it calls them volts too. A unit that the file leaves out is that of channels.tsv.
    """
    converted = _converted(raw, segment.signal.suffix.lower())
    if converted is None:
        units = [str(raw._orig_units.get(name, "")).strip() or "V" for name in raw.ch_names]
        return np.array([1.0 if microvolts(unit) is None else 1e6 for unit in units])
    listed: dict[str, str] = {}
    if segment.channels is not None:
        listed = {row["name"]: row.get("units", "") for row in channel_rows(segment)}
    factors, nameless = [], []
    for name, by_mne in zip(raw.ch_names, converted, strict=True):
        unit = str(raw._orig_units.get(name, "")).strip()
        if unit.lower() in NO_UNIT:
            unit = listed.get(name, "").strip()
        factor = microvolts(unit)
        if factor is None and unit.lower() in NO_UNIT:
            nameless.append(name)
        factors.append(1.0 if factor is None else factor / by_mne)
    if nameless:
        LOG.warning(
            "%s: neither the file nor channels.tsv names the unit of %d channels (%s …); their "
            "values are taken as µV",
            segment.signal.name, len(nameless), nameless[0],
        )  # fmt: skip
    return np.array(factors)


def _converted(raw: Any, suffix: str) -> list[float] | None:
    """Return what MNE multiplied each channel's values by; None where it made volts of all."""
    if suffix in EDF_SUFFIXES:
        return [float(factor) for factor in raw._raw_extras[0]["units"]]
    if suffix == ".vhdr":
        return [float(channel["range"]) for channel in raw.info["chs"]]
    return None
