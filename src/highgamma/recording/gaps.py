"""Gaps: where a file's samples do not follow one another in time.

Filters and time axes would join what lies before a gap with what lies behind it. A recording with
gaps therefore counts as several, one for each stretch without a gap, whose clock starts with it.
Times in side tables are on the clock of the file, from its first sample.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma.errors import InputError
from highgamma.recording.reader import Reader, Values

if TYPE_CHECKING:
    import pandas as pd

    from highgamma.recording.sound import Sound

FloatArray = NDArray[np.float64]

LOG = logging.getLogger("highgamma")

SHORTEST_S = 0.05
"""Longest gap that does not split a recording, s: no feature is placed more exactly."""

MOST_GAPS = 1000
"""Gaps beyond which a recording is refused: its time stamps are then of another kind."""

LONGEST_S = 86_400.0
"""Longest gap that a file may have, s: two recordings of different days are no recording."""

PIECE = 1 << 20
"""Time stamps read at a time."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A gap: `seconds` are missing before the sample with this number."""

    sample: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """Samples `first` to `stop` (exclusive), which begin `start` s after the file's first one."""

    first: int
    stop: int
    start: float


def stretches(n_samples: int, rate: float, gaps: Sequence[Gap]) -> list[Stretch]:
    """Return the stretches between gaps.

    Parameters
    ----------
    n_samples, rate
        Number of samples of the file, and Hz.
    gaps
        In order.
    """
    found, first, missing = [], 0, 0.0
    for gap in gaps:
        if gap.sample > first:
            found.append(Stretch(first, gap.sample, first / rate + missing))
        first, missing = gap.sample, missing + gap.seconds
    return [*found, Stretch(first, n_samples, first / rate + missing)]


def gaps_of_timestamps(timestamps: Any, *, rate: float, where: str, name: str) -> tuple[Gap, ...]:
    """Return the gaps between time stamps.

    Parameters
    ----------
    timestamps
        (sample,), s; anything that can be sliced.
    rate
        Hz.
    where, name
        The file and its series, for messages.

    Raises
    ------
    InputError
        If time runs backwards by more than `SHORTEST_S`, or if gaps are not `bounded`.
    """
    gaps: list[Gap] = []
    n, last = int(timestamps.shape[0]), None
    for first in range(0, n, PIECE):
        times = np.asarray(timestamps[first : first + PIECE], dtype=np.float64)
        steps = np.diff(times, prepend=times[0] - 1 / rate if last is None else last)
        last = float(times[-1])
        excess = steps - 1 / rate
        if not np.isfinite(excess).all() or excess.min() < -SHORTEST_S:
            k = int(np.argmin(np.where(np.isfinite(excess), excess, -np.inf)))
            raise InputError(
                f"the time stamps of the series {name!r} jump by {steps[k]:.6g} s at sample "
                f"{first + k}",
                where=where,
                expected="seconds, increasing",
                remedy="correct the time stamps, or cut the recording there",
            )
        gaps += [Gap(first + int(k), float(excess[k])) for k in np.flatnonzero(excess > SHORTEST_S)]
        bounded(gaps, where=where)
    return tuple(gaps)


def told(gaps: Sequence[Gap], *, name: str) -> None:
    """Report gaps in the log."""
    if not gaps:
        return
    longest = max(gap.seconds for gap in gaps)
    LOG.warning(
        "%s was interrupted %d time%s, %s: it is taken as %d recordings",
        name,
        len(gaps),
        "s" if len(gaps) > 1 else "",
        f"for up to {longest:.3f} s" if longest else "for how long is not stated",
        len(gaps) + 1,
    )


def bounded(gaps: Sequence[Gap], *, where: str | Path) -> tuple[Gap, ...]:
    """Return gaps as they are.

    Raises
    ------
    InputError
        If there are more than `MOST_GAPS`, or if one is longer than `LONGEST_S`.
    """
    longest = max((gap.seconds for gap in gaps), default=0.0)
    if len(gaps) > MOST_GAPS or longest > LONGEST_S:
        raise InputError(
            f"the recording has {len(gaps)} gaps, the longest of {longest:.6g} s",
            where=where,
            expected=f"at most {MOST_GAPS} gaps, of at most {LONGEST_S:g} s each",
            remedy="correct its time stamps, or cut it into several recordings",
        )
    return tuple(gaps)


def stretch_of(reader: Reader, part: Stretch) -> Reader:
    """Return a reader of one stretch, whose clock starts with it."""

    def fetch(start: int, stop: int, columns: Sequence[int]) -> Values:
        return reader.fetch(part.first + start, part.first + stop, columns)

    return Reader(
        names=reader.names,
        rate=reader.rate,
        n_samples=part.stop - part.first,
        fetch=fetch,
        where=reader.where,
        piece=reader.piece,
    )


def filled(reader: Reader, gaps: Sequence[Gap]) -> Reader:
    """Return a reader with zeros in the gaps, so that all samples follow one another in time."""
    if not gaps:
        return reader
    rate = reader.rate
    parts = stretches(reader.n_samples, rate, gaps)
    places = [round(part.start * rate) for part in parts]

    def fetch(start: int, stop: int, columns: Sequence[int]) -> Values:
        values = np.zeros((stop - start, len(columns)))
        for part, place in zip(parts, places, strict=True):
            low, high = max(start, place), min(stop, place + part.stop - part.first)
            if low < high:
                first = part.first + low - place
                values[low - start : high - start] = reader.fetch(
                    first, first + high - low, columns
                )
        return values

    length = places[-1] + parts[-1].stop - parts[-1].first
    return replace(reader, n_samples=length, fetch=fetch)


# ------------------------------------------- words, sound and presentations, stretch by stretch


def labels_of(label: str, parts: Sequence[Stretch]) -> list[str]:
    """Return a name for each stretch of a recording."""
    return [label] if len(parts) == 1 else [f"{label}_part-{k + 1}" for k in range(len(parts))]


def words_by_part(
    table: pd.DataFrame, parts: Sequence[Sequence[Stretch]], rates: Sequence[float]
) -> pd.DataFrame:
    """Return a table of words with the stretches as its recordings, each on its own clock.

    Parameters
    ----------
    table
        Words on the clocks of the files, with `segment`, the number of the file.
    parts, rates
        The stretches of each file, and its rate, Hz.

    Returns
    -------
    table
        The same; words that begin in a gap are left out, with a warning. Words before the first
        sample or behind the last one stay with the first or last stretch.
    """
    if all(len(some) == 1 for some in parts):
        return table
    import pandas as pd

    moved, before, lost = [], 0, 0
    for number, (some, rate) in enumerate(zip(parts, rates, strict=True)):
        here = table[table["segment"] == number]
        starts = np.array([part.start for part in some])
        stops = starts + np.array([part.stop - part.first for part in some]) / rate
        onset = here["onset"].to_numpy(np.float64)
        part = np.clip(np.searchsorted(starts, onset, side="right") - 1, 0, len(some) - 1)
        known = (onset < stops[part]) | (part == len(some) - 1)
        lost += int((~known).sum())
        here, part = here[known].copy(), part[known]
        for name in ("onset", "offset", "voice_onset", "voice_offset"):
            here[name] = here[name].astype(np.float64) - starts[part]
        names = np.array(labels_of(str(here["segment_label"].iloc[0]), some)) if len(here) else None
        here["segment"] = before + part
        if names is not None:
            here["segment_label"] = names[part]
        moved.append(here)
        before += len(some)
    if lost:
        LOG.warning("%d words begin in a gap of the recording and are left out", lost)
    joined: pd.DataFrame = pd.concat(moved, ignore_index=True)
    return joined


def sounds_by_part(
    sounds: Sequence[Sound], parts: Sequence[Sequence[Stretch]], rates: Sequence[float]
) -> list[Sound]:
    """Return the sound of each stretch, on its clock.

    Parameters
    ----------
    sounds
        Of each file, on its clock.
    parts, rates
        The stretches of each file, and its rate, Hz.
    """
    cut = []
    for sound, some, rate in zip(sounds, parts, rates, strict=True):
        if len(some) == 1:
            cut.append(sound)
            continue
        for part in some:
            edges = (part.start, part.start + (part.stop - part.first) / rate)
            first, stop = (
                int(np.clip(np.ceil((t - sound.start) * sound.rate - 1e-6), 0, sound.samples.size))
                for t in edges
            )
            start = sound.start + first / sound.rate - part.start
            cut.append(replace(sound, samples=sound.samples[first:stop], start=start))
    return cut


def heard_by_part(heard: pd.DataFrame, parts: Sequence[Sequence[Stretch]]) -> pd.DataFrame:
    """Return a table of presentations with the stretches as its recordings."""
    if all(len(some) == 1 for some in parts) or heard.empty:
        return heard
    import pandas as pd

    rows = []
    firsts = np.cumsum([0, *map(len, parts)])
    for row in heard.to_dict("records"):
        some = parts[int(row["segment"])]
        for k, (part, label) in enumerate(
            zip(some, labels_of(str(row["segment_label"]), some), strict=True)
        ):
            segment = int(firsts[int(row["segment"])]) + k
            onset = row["onset"] - part.start
            rows.append({**row, "segment": segment, "segment_label": label, "onset": onset})
    return pd.DataFrame(rows, columns=heard.columns)
