"""Recordings in NWB files, read with pynwb."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma.errors import InputError, nearest
from highgamma.recording.gaps import Gap, filled, gaps_of_timestamps, stretches, told
from highgamma.recording.hdf5 import check_file
from highgamma.recording.names import matched
from highgamma.recording.reader import Reader, Values, columns_of
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

NEURAL = "iEEG"
"""Name of the series that holds the neural signals. In a file without it that has exactly one
electrical series, that one is read."""

NAME_COLUMNS = ("channel_name", "label", "electrode_name", "name", "contact")
"""Columns of an NWB file's table of electrodes that name channels, the first that is there."""

SHORTEST_STEP = 1e-9
"""Least time between samples that is believed, s."""

WORDS = "Stimulus"
"""Name of the series that holds what was on the screen."""


@contextmanager
def nwb_signals(segment: Segment) -> Iterator[Signals]:
    """Open a recording in an NWB file.

    Raises
    ------
    InputError
        If the file is damaged, lacks the series, or contradicts channels.tsv.
    """
    with open_nwb(segment.signal) as nwb:
        yield _signals(segment, nwb)


@contextmanager
def open_nwb(path: Path) -> Iterator[Any]:
    """Open an NWB file; damage to it becomes one message."""
    from pynwb import NWBHDF5IO

    check_file(path)
    with warnings.catch_warnings():
        # Files of older schema versions are read well; pynwb warns of each of them.
        warnings.simplefilter("ignore")
        try:
            io = NWBHDF5IO(str(path), "r", load_namespaces=True)
        except Exception as error:
            raise unreadable(path, error) from error
        try:
            try:
                nwb = io.read()
            except Exception as error:
                raise unreadable(path, error) from error
            yield nwb
        finally:
            io.close()


@dataclass(frozen=True, slots=True)
class Clock:
    """Sample k of a series was taken at `start + k / rate` seconds of the file's clock, plus the
    seconds of all gaps before it."""

    start: float
    rate: float
    gaps: tuple[Gap, ...] = ()


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
        (sample,), s; anything that can be sliced.
    path, name
        The file and its series, for messages.

    Raises
    ------
    InputError
        If there are fewer than three, or if they do not increase.
    """
    n = int(timestamps.shape[0]) if _is_of_numbers(timestamps, dimensions=(1,)) else 0
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
    standing = InputError(
        f"the timestamps of the series {name!r} do not increase",
        where=path,
        expected="seconds, increasing",
        remedy="download the file again, or correct its timestamps",
    )
    if not SHORTEST_STEP <= step < math.inf:
        raise standing
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
    slope = float(np.median(np.concatenate(slopes)))
    if not SHORTEST_STEP <= slope < math.inf:
        raise standing
    rate = 1 / slope
    if round(rate) > 0 and abs(rate - round(rate)) < 2e-6 * rate:
        rate = float(round(rate))
    start = float(np.median(np.concatenate(times) - np.concatenate(index) / rate))
    if not math.isfinite(start):
        raise standing
    return Clock(start, rate)


def series_clock(series: Any, *, path: Path) -> Clock:
    """Return the clock of an NWB series, from its timestamps or its rate and starting time."""
    stamps = getattr(series, "timestamps", None)
    if stamps is not None:
        clock = clock_of(stamps, path=path, name=series.name)
        missing = gaps_of_timestamps(stamps, rate=clock.rate, where=str(path), name=series.name)
        if not missing:
            return clock
        # The start of what lies before the first gap.
        early = np.asarray(stamps[: min(4096, missing[0].sample)], dtype=np.float64)
        start = float(np.median(early - np.arange(len(early)) / clock.rate))
        return Clock(start, clock.rate, missing)
    rate = _number(getattr(series, "rate", None), default=0.0)
    start = _number(getattr(series, "starting_time", None), default=0.0)
    if rate > 0 and math.isfinite(rate) and math.isfinite(start):
        return Clock(start, rate)
    raise InputError(
        f"the series {series.name!r} has neither timestamps nor a rate",
        where=path,
        expected="timestamps in seconds, or a rate in Hz",
        remedy="download the file again, or write it again with its timestamps",
    )


def _number(value: Any, *, default: float) -> float:
    """Return an attribute as a number, NaN for one that is none, the default if it is absent."""
    if value is None:
        return default
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _is_of_numbers(data: Any, *, dimensions: tuple[int, ...]) -> bool:
    """Return whether data are an array of real numbers with one of these numbers of dimensions."""
    shape, dtype = getattr(data, "shape", None), getattr(data, "dtype", None)
    # Tables have lists of types.
    kind = dtype.kind if isinstance(dtype, np.dtype) else ""
    return shape is not None and len(shape) in dimensions and kind in ("i", "u", "f")


def _neural_series(nwb: Any, path: Path) -> Any:
    if NEURAL in nwb.acquisition:
        return nwb.acquisition[NEURAL]
    electrical = [
        series for series in nwb.acquisition.values() if type(series).__name__ == "ElectricalSeries"
    ]
    if len(electrical) == 1:
        LOG.info("%s: no series %r; using %r", path.name, NEURAL, electrical[0].name)
        return electrical[0]
    known = sorted(nwb.acquisition)
    raise InputError(
        f"the file has no series {NEURAL!r}{nearest(NEURAL, known)}",
        where=path,
        expected=f"{NEURAL!r} under acquisition; there are {', '.join(known) or 'none'}",
        remedy="check that this is the recording's file and that it is whole",
    )


def _signals(segment: Segment, nwb: Any) -> Signals:
    path = segment.signal
    series = _neural_series(nwb, path)
    data = _numbers_of(series, path)
    listed = _in_the_files_order(channel_rows(segment), series, segment)
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
    told(clock.gaps, name=path.name)
    stamps = series.timestamps
    if stamps is not None and stamps.shape[0] != data.shape[0]:
        raise InputError(
            f"the series {series.name!r} has {data.shape[0]} samples and "
            f"{stamps.shape[0]} timestamps",
            where=path,
            expected="one timestamp per sample",
            remedy="download the file again; it may be cut short",
        )
    factors, offset, unit = _units(series, [row.get("units", "") for row in listed], path)
    shift = offset * (microvolts(unit) or 1.0)

    def fetch(start: int, stop: int, columns: Sequence[int]) -> Values:
        picked = columns_of(data, start, stop, columns).astype(np.float64)
        return np.asarray(picked * factors[list(columns)] + shift)

    return Signals(
        path=path,
        where=str(path),
        rate=clock.rate,
        n_samples=int(data.shape[0]),
        names=tuple(names),
        clock=clock.start,
        gaps=clock.gaps,
        unit=unit,
        series={
            name: partial(_further_series, other, path=path, zero=clock.start)
            for name, other in nwb.acquisition.items()
        },
        fetch=checked_fetch(fetch, path),
        piece=piece_of(len(names), chunk=int((getattr(data, "chunks", None) or (1,))[0])),
    )


def _in_the_files_order(
    listed: list[dict[str, str]], series: Any, segment: Segment
) -> list[dict[str, str]]:
    """Return the rows of channels.tsv in the order of the series' electrodes, if it names them.

    Raises
    ------
    InputError
        If only some of the names are those of channels.tsv.
    """
    names = _names_in_file(series)
    if not names or len(names) != len(listed):
        return listed
    if len(set(names)) < len(names):
        LOG.info("%s names electrodes twice; the order is that of channels.tsv", segment.signal)
        return listed
    known = [row["name"] for row in listed]
    same = matched(names, known, where=segment.channels, what="channels.tsv")
    if not same:
        LOG.info(
            "%s names its electrodes %s, …; the order is that of channels.tsv",
            segment.signal.name, ", ".join(names[:3]),
        )  # fmt: skip
        return listed
    absent = [name for name in names if name not in same]
    if absent or len(set(same.values())) < len(known):
        raise InputError(
            f"{len(absent)} electrodes of the file, such as {', '.join(absent[:3])}, are not in "
            "channels.tsv, others are",
            where=segment.signal,
            expected="the same names in both",
            remedy="correct the names in channels.tsv",
        )
    order = [known.index(same[name]) for name in names]
    if order != list(range(len(order))):
        LOG.warning(
            "%s: the order of the channels is the file's, not that of channels.tsv",
            segment.signal.name,
        )
    return [listed[k] for k in order]


def _names_in_file(series: Any) -> list[str]:
    """Return the names of a series' channels in its table of electrodes; none without them."""
    try:
        region = series.electrodes
        table, rows = region.table, [int(row) for row in region.data[:]]
        column = next((name for name in NAME_COLUMNS if name in table.colnames), None)
        return [] if column is None else [_text(table[column][row]) for row in rows]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OSError):
        return []


def _text(value: Any) -> str:
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()


def _numbers_of(series: Any, path: Path) -> Any:
    """Return the data of a series, samples or samples × channels."""
    data = getattr(series, "data", None)
    if not _is_of_numbers(data, dimensions=(1, 2)):
        raise InputError(
            f"the series {series.name!r} holds no numbers of samples, or samples × channels",
            where=path,
            expected="one or two dimensions of numbers",
            remedy="check that this is the series that you mean",
        )
    return data


def _further_series(series: Any, *, path: Path, zero: float) -> Reader:
    """Read another series of the file; time counts from `zero` s of the file's clock."""
    data = _numbers_of(series, path)
    clock = series_clock(series, path=path)

    def fetch(start: int, stop: int, columns: Sequence[int]) -> Values:
        if len(data.shape) == 1:
            return np.asarray(data[start:stop])[:, None]
        return columns_of(data, start, stop, columns)

    reader = Reader(
        names=tuple(map(str, range(1 if len(data.shape) == 1 else data.shape[1]))),
        rate=clock.rate,
        n_samples=int(data.shape[0]),
        fetch=checked_fetch(fetch, path),
        start=clock.start - zero,
        where=str(path),
    )
    return filled(reader, clock.gaps)


def shown_words(segment: Segment) -> pd.DataFrame:
    """Read the words from the series of one string per neural sample, empty between words."""
    import pandas as pd

    with open_nwb(segment.signal) as nwb:
        if WORDS not in nwb.acquisition:
            return pd.DataFrame({"word": [], "onset": [], "offset": []})
        series = nwb.acquisition[WORDS]
        clock = series_clock(series, path=segment.signal)
        neural = nwb.acquisition.get(NEURAL)
        begin = clock.start - series_clock(neural, path=segment.signal).start if neural else 0.0
        text = _texts_of(series, segment.signal)
    change = np.flatnonzero(np.r_[True, text[1:] != text[:-1]])
    stop = np.r_[change[1:], text.size]
    shown = [(a, b) for a, b in zip(change, stop, strict=True) if text[a] not in ("", "+")]
    parts = stretches(text.size, clock.rate, clock.gaps)

    def at(sample: int) -> float:
        """Time of a sample, s after the first one."""
        part = next(p for p in reversed(parts) if sample >= p.first)
        return part.start + (sample - part.first) / clock.rate

    LOG.info("%s: words from the series %r, not from events.tsv", segment.signal.name, WORDS)
    return pd.DataFrame(
        {
            "word": [text[a] for a, _ in shown],
            "onset": [begin + at(int(a)) for a, _ in shown],
            "offset": [begin + at(int(b)) for _, b in shown],
        }
    )


def _texts_of(series: Any, path: Path) -> np.ndarray[Any, Any]:
    """Read the data of a series of one string per sample."""
    data: Any = getattr(series, "data", None)
    kind = getattr(getattr(data, "dtype", None), "kind", "")
    if len(getattr(data, "shape", None) or ()) != 1 or kind not in ("O", "S", "U"):
        raise InputError(
            f"the series {series.name!r} holds no words",
            where=path,
            expected="one string for each sample",
            remedy="check that the file is whole, or list the words in events.tsv",
        )
    try:
        values = data[:]
        return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in values], object)
    except (OSError, ValueError, RuntimeError) as error:
        raise unreadable(path, error) from error


def _units(series: Any, listed: list[str], path: Path) -> tuple[FloatArray, float, str]:
    """Return the factor to µV of each channel, an offset in the series' unit, and the unit.

    In NWB, `value = data · conversion + offset` in the series' unit. Without a conversion (1), the
    unit is that of channels.tsv, since electrical series can only be written in volts.
    """
    conversion = _number(series.conversion, default=1.0)
    offset = _number(getattr(series, "offset", None), default=0.0)
    unit = str(series.unit or "").strip()
    per_channel = getattr(series, "channel_conversion", None)
    gains = np.ones(len(listed)) if per_channel is None else np.asarray(per_channel[:], float)
    if not (np.isfinite([conversion, offset]).all() and gains.shape == (len(listed),)):
        raise InputError(
            f"the series {series.name!r} has the conversion {conversion}, the offset {offset} and "
            f"{gains.size} conversions of channels",
            where=path,
            expected=f"numbers, for {len(listed)} channels",
            remedy="compare the file with the published one and download it again",
        )
    if conversion != 1.0 or per_channel is not None or offset != 0.0:
        return gains * conversion * (microvolts(unit) or 1.0), offset, unit
    listed = [u.strip() for u in listed]
    of_series = microvolts(unit)
    fallback = 1.0 if of_series is None else of_series
    voltages = {u: f for u in listed if (f := microvolts(u)) is not None}
    if of_series is not None and any(f != of_series for f in voltages.values()):
        LOG.warning(
            "%s: the unit of the series %r is %r, in channels.tsv it is %s; channels.tsv is used",
            path.name,
            series.name,
            unit,
            ", ".join(sorted(voltages)),
        )
    if not voltages and of_series is None:
        LOG.warning(
            "%s: neither channels.tsv nor the series %r (%r) names a unit of voltage; the values "
            "are taken as µV",
            path.name,
            series.name,
            unit,
        )
    factors = np.array(
        [voltages.get(u, fallback if u.lower() in ("", "n/a") else 1.0) for u in listed]
    )
    return factors, 0.0, sorted(voltages)[0] if voltages else unit
