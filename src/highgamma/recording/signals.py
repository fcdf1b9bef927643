"""Signals of one recording, read in pieces: NWB with pynwb, everything else with MNE."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highgamma.errors import InputError, nearest
from highgamma.recording.files import Segment
from highgamma.recording.reader import Fetch, Reader, Values, columns_of

FloatArray = NDArray[np.float64]

LOG = logging.getLogger("highgamma")

BLOCK_BYTES = 32_000_000
"""How much of a file is in memory at a time while a piece of it is read."""

PLAUSIBLE_UV = (0.5, 5000.0)
"""Typical amplitudes (standard deviation, µV) that intracranial recordings have."""

_MICROVOLT = {
    "v": 1e6,
    "volt": 1e6,
    "volts": 1e6,
    "mv": 1e3,
    "millivolt": 1e3,
    "millivolts": 1e3,
    "µv": 1.0,
    "μv": 1.0,
    "uv": 1.0,
    "microv": 1.0,
    "microvolt": 1.0,
    "microvolts": 1.0,
    "nv": 1e-3,
    "nanovolt": 1e-3,
    "nanovolts": 1e-3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals(Reader):
    """An open recording: a reader of all its channels, in µV, with what its file states.

    Time counts from sample 0 (`start` is 0). Channels whose unit is not one of voltage keep their
    own unit.

    Attributes
    ----------
    kind
        "nwb" or "mne".
    path
        The file.
    clock
        Time of sample 0 on the file's own clock, s (0 if the file has none).
    unit
        Unit of the file's values, before they became µV.
    handle
        The open NWB file (`pynwb.NWBFile`) or MNE's `Raw`.
    """

    kind: str
    path: Path
    clock: float
    unit: str
    handle: Any


def checked_fetch(fetch: Fetch, path: Path) -> Fetch:
    """Turn what a library raises where a file is damaged into one message."""

    def checked(start: int, stop: int, columns: Sequence[int]) -> Values:
        try:
            return fetch(start, stop, columns)
        except (OSError, ValueError, RuntimeError) as error:
            raise _unreadable(path, error) from error

    return checked


def piece_of(n_channels: int, *, chunk: int = 1) -> int:
    """Samples read at a time: `BLOCK_BYTES` of all channels, but at least one chunk of the file.

    A file that is stored in compressed chunks unpacks each of them anew for smaller pieces.
    """
    return max(chunk, BLOCK_BYTES // (8 * max(1, n_channels)))


@dataclass(frozen=True, slots=True)
class Amplitude:
    """A recording's typical amplitude beside what is plausible, all in µV.

    `rms` is the median over channels of the standard deviation in blocks of 2 s.
    """

    rms: float
    low: float
    high: float

    @property
    def plausible(self) -> bool:
        """Whether the amplitude can be that of an intracranial recording in µV."""
        return self.low <= self.rms <= self.high

    def sentence(self) -> str:
        """What was measured and what is expected, in plain words."""
        return (
            f"typical amplitude (median over channels of the rms, mean removed) is {self.rms:.3g} "
            f"µV; intracranial recordings have {self.low:g} to {self.high:g} µV"
        )


def amplitude(signals: Signals, names: Sequence[str], *, blocks: int = 5) -> Amplitude:
    """Measure the typical amplitude and warn where the unit is probably wrong.

    Nothing is rescaled: correlations do not depend on the unit, and only the owner of the data
    knows what was meant.

    Parameters
    ----------
    signals
        An open recording.
    names
        Its electrodes.
    blocks
        Number of 2 s blocks, spread evenly over the recording.
    """
    length = max(1, min(signals.n_samples, round(2 * signals.rate)))
    last = signals.n_samples - length
    starts = sorted({round(at) for at in np.linspace(0, last, blocks)})
    electrodes = signals.select(names)
    spread = [np.std(electrodes.read(at, at + length), axis=0) for at in starts]
    known = np.concatenate(spread) if spread else np.empty(0)
    known = known[np.isfinite(known) & (known > 0)]
    measured = Amplitude(float(np.median(known)) if known.size else math.nan, *PLAUSIBLE_UV)
    if not measured.plausible:
        LOG.warning(
            "%s: %s. The file or channels.tsv probably names the wrong unit (%s). The values are "
            "used as they are; correlations do not depend on the unit, figures in µV do.",
            signals.path.name,
            measured.sentence(),
            signals.unit,
        )
    return measured


@contextmanager
def open_signals(segment: Segment, *, series: str = "iEEG") -> Iterator[Signals]:
    """Open a recording without reading it; see `Signals`.

    Parameters
    ----------
    segment
        From `find`.
    series
        Name of the NWB series that holds the neural signals. Where it is absent and the file has
        exactly one electrical series, that one is taken.

    Raises
    ------
    InputError
        A file that cannot be read, or that contradicts channels.tsv.
    """
    if segment.signal.suffix == ".nwb":
        with open_nwb(segment.signal) as nwb:
            yield _nwb_signals(segment, nwb, series)
    else:
        yield _mne_signals(segment)


# --- NWB ------------------------------------------------------------------------------------


@contextmanager
def open_nwb(path: Path) -> Iterator[Any]:
    """Open an NWB file; damage to it becomes one message."""
    import warnings

    from pynwb import NWBHDF5IO

    with warnings.catch_warnings():
        # Files of older schema versions are read well; pynwb warns of each of them.
        warnings.simplefilter("ignore")
        try:
            io = NWBHDF5IO(str(path), "r", load_namespaces=True)
        except Exception as error:
            raise _unreadable(path, error) from error
        try:
            try:
                nwb = io.read()
            except Exception as error:
                raise _unreadable(path, error) from error
            yield nwb
        finally:
            io.close()


def _unreadable(path: Path, error: Exception) -> InputError:
    first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InputError(
        f"the recording cannot be read, it may be cut short: {first_line}",
        where=path,
        expected=f"a whole {path.suffix[1:].upper()} file",
        remedy="compare its size or checksum with the published one and download it again",
    )


@dataclass(frozen=True, slots=True)
class Clock:
    """Sample k of a series was taken at `start + k / rate` seconds of the file's clock."""

    start: float
    rate: float


def clock_of(timestamps: Any, *, path: Path, name: str) -> Clock:
    """Fit a uniform clock to timestamps, by medians.

    `rate = 1 / median_k((t[k + L] − t[k]) / L)` with spans of L samples (a quarter of the series,
    at most about 10 s), `start = median_k(t[k] − k / rate)`. Spans rather than single steps: a
    lab clock at 9·10⁶ s resolves 1.9 ns, a tenth of a per mille of a step at 48 kHz. Medians pass
    over a gap, such as a first interval of five samples. A rate within 2·10⁻⁶ of a whole number
    is that number.

    Parameters
    ----------
    timestamps
        (samples,) seconds; anything that can be sliced.
    """
    n = int(timestamps.shape[0])
    if n < 3:
        raise InputError(
            f"the series {name!r} has {n} timestamps",
            where=path,
            expected="one timestamp per sample, at least 3",
            remedy="download the file again",
        )
    # A piece at the start, in the middle and at the end, of at most 2 million steps each.
    probe = np.asarray(timestamps[: min(n, 4096)], dtype=np.float64)
    step = float(np.median(np.diff(probe)))
    if not (math.isfinite(step) and step > 0):
        raise InputError(
            f"the timestamps of the series {name!r} do not increase",
            where=path,
            expected="seconds, increasing",
            remedy="download the file again, or mend its timestamps",
        )
    span = max(1, min(n // 4, round(10 / step)))
    pieces = 16
    width = max(1, min(n - span, 4096))
    begins = sorted({int(at) for at in np.linspace(0, n - span - width, pieces)})
    slopes, index, times = [], [], []
    for begin in begins:
        early = np.asarray(timestamps[begin : begin + width], dtype=np.float64)
        late = np.asarray(timestamps[begin + span : begin + span + width], dtype=np.float64)
        slopes.append((late - early) / span)
        index.append(np.arange(begin, begin + width))
        times.append(early)
    rate = 1 / float(np.median(np.concatenate(slopes)))
    if round(rate) > 0 and abs(rate - round(rate)) < 2e-6 * rate:
        rate = float(round(rate))
    start = float(np.median(np.concatenate(times) - np.concatenate(index) / rate))
    return Clock(start, rate)


def series_clock(series: Any, *, path: Path) -> Clock:
    """The clock of an NWB series, from its timestamps or from its rate and starting time."""
    if series.timestamps is not None:
        return clock_of(series.timestamps, path=path, name=series.name)
    if series.rate:
        return Clock(float(series.starting_time or 0.0), float(series.rate))
    raise InputError(
        f"the series {series.name!r} has neither timestamps nor a rate",
        where=path,
        expected="timestamps in seconds, or a rate in Hz",
        remedy="download the file again, or write it anew with its timestamps",
    )


def _neural_series(nwb: Any, name: str, path: Path) -> Any:
    if name in nwb.acquisition:
        return nwb.acquisition[name]
    electrical = [
        series for series in nwb.acquisition.values() if type(series).__name__ == "ElectricalSeries"
    ]
    if len(electrical) == 1:
        LOG.info("%s: no series %r; using %r", path.name, name, electrical[0].name)
        return electrical[0]
    known = sorted(nwb.acquisition)
    raise InputError(
        f"the file has no series {name!r}{nearest(name, known)}",
        where=path,
        expected=f"{name!r} under acquisition; there are {', '.join(known) or 'none'}",
        remedy="check that this is the recording's file and that it is whole",
    )


def _nwb_signals(segment: Segment, nwb: Any, series_name: str) -> Signals:
    path = segment.signal
    series = _neural_series(nwb, series_name, path)
    data = series.data
    listed = channel_rows(segment)
    names = [row["name"] for row in listed]
    if len(data.shape) != 2 or data.shape[1] != len(names):
        shape = " × ".join(str(size) for size in data.shape)
        turned = len(data.shape) == 2 and data.shape[0] == len(names)
        raise InputError(
            f"the series {series.name!r} holds {shape} values, channels.tsv lists "
            f"{len(names)} channels" + ("; it looks transposed" if turned else ""),
            where=path,
            expected=f"samples × {len(names)}, in the order of {segment.channels}",
            remedy="check that both files are of the same recording",
        )
    clock = series_clock(series, path=path)
    stamps = series.timestamps
    if stamps is not None and stamps.shape[0] != data.shape[0]:
        raise InputError(
            f"the series {series.name!r} has {data.shape[0]} samples and "
            f"{stamps.shape[0]} timestamps",
            where=path,
            expected="one timestamp per sample",
            remedy="download the file again; it may be cut short",
        )
    factors, offset, unit = _nwb_units(series, [row.get("units", "") for row in listed], path)

    def fetch(start: int, stop: int, columns: Sequence[int]) -> Values:
        picked = columns_of(data, start, stop, columns).astype(np.float64)
        factor = factors[list(columns)]
        return np.asarray(picked * factor + offset * _MICROVOLT.get(unit.lower(), 1.0))

    return Signals(
        kind="nwb",
        path=path,
        where=str(path),
        rate=clock.rate,
        n_samples=int(data.shape[0]),
        names=tuple(names),
        clock=clock.start,
        unit=unit,
        handle=nwb,
        fetch=checked_fetch(fetch, path),
        piece=piece_of(len(names), chunk=int((getattr(data, "chunks", None) or (1,))[0])),
    )


def _nwb_units(series: Any, listed: list[str], path: Path) -> tuple[FloatArray, float, str]:
    """Factors to µV per channel.

    NWB says `value = data · conversion + offset` in the series' unit. Where no conversion was
    given (1), channels.tsv says what the stored numbers are, since writers of electrical series
    cannot name another unit than volts.
    """
    conversion = float(series.conversion if series.conversion is not None else 1.0)
    offset = float(getattr(series, "offset", 0.0) or 0.0)
    said = str(series.unit or "").strip()
    per_channel = getattr(series, "channel_conversion", None)
    gains = np.ones(len(listed)) if per_channel is None else np.asarray(per_channel[:], float)
    if conversion != 1.0 or per_channel is not None or offset != 0.0:
        return gains * conversion * _MICROVOLT.get(said.lower(), 1.0), offset, said
    units = [unit.strip().lower() for unit in listed]
    fallback = _MICROVOLT.get(said.lower(), 1.0)
    electrodes = {unit for unit in units if unit in _MICROVOLT}
    if said.lower() in _MICROVOLT and any(_MICROVOLT[u] != fallback for u in electrodes):
        LOG.warning(
            "%s: the series %r is said to be in %r, channels.tsv says %s; channels.tsv is taken",
            path.name,
            series.name,
            said,
            ", ".join(sorted(electrodes)),
        )
    if not electrodes and said.lower() not in _MICROVOLT:
        LOG.warning(
            "%s: neither channels.tsv nor the series %r (%r) names a unit of voltage; the values "
            "are taken as µV",
            path.name,
            series.name,
            said,
        )
    factors = np.array(
        [_MICROVOLT.get(unit, fallback if unit in ("", "n/a") else 1.0) for unit in units]
    )
    name = sorted(electrodes)[0] if electrodes else said
    return factors, 0.0, name


def channel_rows(segment: Segment) -> list[dict[str, str]]:
    """The rows of channels.tsv as text, in the file's order.

    Raises
    ------
    InputError
        The table is missing, empty, without names, or names a channel twice.
    """
    from highgamma.store import read_table

    if segment.channels is None:
        raise InputError(
            "the recording has no channels.tsv",
            where=segment.signal,
            expected=f"{segment.signal.stem.removesuffix('_ieeg')}_channels.tsv beside it or in a "
            "folder above",
            remedy="download the data set's sidecar files, or write the table",
        )
    table = read_table(segment.channels, strings=("name", "type", "units", "status"))
    if "name" not in table or table.empty or table["name"].isna().any():
        raise InputError(
            f"the table has the columns {', '.join(map(str, table.columns))} and {len(table)} rows",
            where=segment.channels,
            expected="a column `name` that is filled in each row",
            remedy="compare the file with the published one",
        )
    twice = table["name"][table["name"].duplicated()].tolist()
    if twice:
        raise InputError(
            f"the channel {twice[0]!r} is listed twice",
            where=segment.channels,
            expected="each name once",
            remedy="mend the table",
        )
    text = table.astype("object").where(table.notna(), "n/a").astype(str)
    return [
        {str(key): str(value).strip() for key, value in row.items()}
        for row in text.to_dict("records")
    ]


# --- MNE ------------------------------------------------------------------------------------


def _mne_signals(segment: Segment) -> Signals:
    import warnings
    from importlib.util import find_spec

    import mne

    path = segment.signal
    if path.suffix == ".set" and find_spec("pymatreader") is None:
        raise InputError(
            "EEGLAB files need the package pymatreader, which is not installed",
            where=path,
            remedy="pip install pymatreader, or convert the recording to BrainVision or EDF",
        )
    with warnings.catch_warnings():
        # What MNE has to say of odd headers (dates, file names) is no news to the user.
        warnings.simplefilter("ignore")
        try:
            raw = mne.io.read_raw(path, preload=False, verbose="error")
        except Exception as error:
            raise _unreadable(path, error) from error
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
                remedy="mend the header, or do not use this file",
            )
    factors = _mne_factors(raw)

    def fetch(start: int, stop: int, columns: Sequence[int]) -> Values:
        picks = list(columns)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = raw.get_data(picks=picks, start=start, stop=stop, verbose="error")
        return np.asarray(values.T * factors[picks])

    units = sorted({str(unit) for unit in raw._orig_units.values()}) or ["V"]
    return Signals(
        kind="mne",
        path=path,
        where=str(path),
        rate=float(raw.info["sfreq"]),
        n_samples=int(raw.n_times),
        names=tuple(str(name) for name in raw.ch_names),
        clock=0.0,
        unit=", ".join(units),
        handle=raw,
        fetch=checked_fetch(fetch, path),
        piece=piece_of(len(raw.ch_names)),
    )


def _mne_factors(raw: Any) -> FloatArray:
    """MNE gives volts: 10⁶ for each voltage, 1 for channels in another unit (newton, degrees)."""
    volt = 107  # FIFF_UNIT_V
    factors = []
    for name, info in zip(raw.ch_names, raw.info["chs"], strict=True):
        said = str(raw._orig_units.get(name, "n/a")).strip().lower()
        other = said not in _MICROVOLT and said not in ("", "n/a")
        factors.append(1.0 if other or int(info["unit"]) != volt else 1e6)
    return np.array(factors)
