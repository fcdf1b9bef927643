"""Recordings that MNE reads: BrainVision, EDF, BDF, FIF and EEGLAB."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma.errors import InputError
from highgamma.recording.reader import Values
from highgamma.recording.signals import (
    MICROVOLTS,
    FloatArray,
    Signals,
    checked_fetch,
    piece_of,
    unreadable,
)

if TYPE_CHECKING:
    from highgamma.recording.files import Segment


@contextmanager
def mne_signals(segment: Segment) -> Iterator[Signals]:
    """Open a recording with MNE.

    Raises
    ------
    InputError
        If MNE cannot read it, or if its header leads to a file in another folder.
    """
    import mne

    path = segment.signal
    with warnings.catch_warnings():
        # MNE warns of unusual headers (dates, file names), which do not matter here.
        warnings.simplefilter("ignore")
        try:
            raw = mne.io.read_raw(path, preload=False, verbose="error")
        except Exception as error:
            raise unreadable(path, error) from error
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
    factors = _mne_factors(raw)

    def fetch(start: int, stop: int, columns: Sequence[int]) -> Values:
        picks = list(columns)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = raw.get_data(picks=picks, start=start, stop=stop, verbose="error")
        return np.asarray(values.T * factors[picks])

    units = sorted({str(unit) for unit in raw._orig_units.values()}) or ["V"]
    yield Signals(
        path=path,
        where=str(path),
        rate=float(raw.info["sfreq"]),
        n_samples=int(raw.n_times),
        names=tuple(str(name) for name in raw.ch_names),
        clock=0.0,
        unit=", ".join(units),
        fetch=checked_fetch(fetch, path),
        piece=piece_of(len(raw.ch_names)),
    )


def _mne_factors(raw: Any) -> FloatArray:
    """Return the factor to µV of each channel, 1 for another unit (newton, degrees).

    MNE converts voltages to volts.
    """
    from mne.io.constants import FIFF

    factors = []
    for name, info in zip(raw.ch_names, raw.info["chs"], strict=True):
        unit = str(raw._orig_units.get(name, "n/a")).strip().lower()
        other = unit not in MICROVOLTS and unit not in ("", "n/a")
        factors.append(1.0 if other or int(info["unit"]) != int(FIFF.FIFF_UNIT_V) else 1e6)
    return np.array(factors)
