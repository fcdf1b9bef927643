"""Signals of one recording, read in pieces, whatever its file format."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from highgamma.errors import InputError
from highgamma.recording.gaps import Gap, Stretch, stretches
from highgamma.recording.reader import Fetch, Reader, Values

FloatArray = NDArray[np.float64]

LOG = logging.getLogger("highgamma")

BLOCK_BYTES = 32_000_000
"""How much of a file is in memory at a time while a stretch of it is read."""

PLAUSIBLE_UV = (1.0, 2000.0)
"""Standard deviations of the voltage (µV) that intracranial recordings have.

An amplifier's own noise is about 1 µV, its range a few millivolts. The range spans a factor of
2000, so that a unit that is wrong by 1000 or more shows on every channel of 2 to 1000 µV.
"""

PREFIXES = {
    "": 1e6,
    "m": 1e3,
    "milli": 1e3,
    "µ": 1.0,
    "u": 1.0,
    "micro": 1.0,
    "n": 1e-3,
    "nano": 1e-3,
}
"""How many µV a volt with this prefix is."""


def microvolts(unit: str) -> float | None:
    """Return how many µV one of a unit is; None if it is not a unit of voltage.

    Case does not matter (`UV`, `uVolt`, `microV` and `µV` are the same), nor does which of the two
    letters µ is used: the micro sign or the Greek letter.
    """
    text = unit.strip().lower().replace("\u03bc", "\u00b5")
    for name in ("volts", "volt", "v"):
        if text.endswith(name):
            return PREFIXES.get(text.removesuffix(name).strip())
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals(Reader):
    """An open recording: a reader of all its channels, in µV, with what its file states.

    Time counts from sample 0 (`start` is 0). Channels whose unit is not one of voltage keep their
    own unit.

    Attributes
    ----------
    path
        The file.
    clock
        Time of sample 0 on the file's own clock, s (0 if the file has none).
    unit
        Unit of the file's values, before they became µV.
    series
        Further signals of the same file by name, such as its sound, on the same clock.
    gaps
        Where samples do not follow one another in time.
    parts
        The files that the channels are from, if there are several (`joined`).
    """

    path: Path
    clock: float
    unit: str
    series: Mapping[str, Callable[[], Reader]] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()
    parts: tuple[Signals, ...] = ()

    def files(self) -> tuple[Signals, ...]:
        """Return what each file holds, in the order of `Segment.parts`."""
        return self.parts or (self,)

    def stretches(self) -> list[Stretch]:
        """Return the stretches between gaps, each of which counts as a recording."""
        return stretches(self.n_samples, self.rate, self.gaps)

    @property
    def elapsed(self) -> float:
        """Time from the first sample to behind the last one, gaps included, s."""
        return self.duration + sum(gap.seconds for gap in self.gaps)


def checked_fetch(fetch: Fetch, path: Path) -> Fetch:
    """Turn what a library raises for a damaged file into one message."""

    def checked(start: int, stop: int, columns: Sequence[int]) -> Values:
        try:
            return fetch(start, stop, columns)
        except (OSError, ValueError, RuntimeError) as error:
            raise unreadable(path, error) from error

    return checked


def piece_of(n_channels: int, *, chunk: int = 1) -> int:
    """Return the samples read at a time: `BLOCK_BYTES`, but at least one chunk of the file.

    A file that is stored in compressed chunks unpacks each of them again for smaller pieces.
    """
    return max(chunk, BLOCK_BYTES // (8 * max(1, n_channels)))


@dataclass(frozen=True, slots=True)
class Amplitude:
    """A recording's typical amplitude and what is plausible.

    Attributes
    ----------
    rms
        Median over channels of the standard deviation in blocks of 2 s, µV.
    low, high
        Bounds of what is plausible, µV.
    """

    rms: float
    low: float
    high: float

    @property
    def plausible(self) -> bool:
        """Whether the amplitude can be that of an intracranial recording in µV."""
        return self.low <= self.rms <= self.high

    def sentence(self) -> str:
        """Report what was measured and what is expected."""
        return (
            f"typical amplitude (median over channels of the rms, mean removed) is {self.rms:.3g} "
            f"µV; intracranial recordings have {self.low:g} to {self.high:g} µV"
        )


def amplitude(signals: Signals, names: Sequence[str], *, blocks: int = 5) -> Amplitude:
    """Measure the typical amplitude and warn if the unit is probably wrong.

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


def unreadable(path: Path, error: Exception) -> InputError:
    """Explain that a library could not read a recording."""
    first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InputError(
        f"the recording cannot be read, it may be cut short: {first_line}",
        where=path,
        expected=f"a whole {path.suffix[1:].upper()} file",
        remedy="compare its size or checksum with the published one and download it again",
    )
