"""Artefacts in the recorded voltage: blanks, clipping, steps and bursts, found in one pass.

Thresholds come from short stretches spread over the recording, so that the pass itself needs to
keep nothing but what it has found. All four are found in the voltage as it was recorded, because
re-referencing hides the values by which blanks and clipping are recognised.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from highgamma.neural.settings import ArtefactSettings
from highgamma.neural.spans import NOTHING, Mask, merged, widened
from highgamma.recording.reader import Reader, Values

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Found = Mapping[str, IntArray]
"""Spans (span, 2) of a channel's samples by kind of artefact."""

LOG = logging.getLogger("highgamma")

KINDS = {
    "blank": "one value repeated exactly, as from a blanked amplifier",
    "clipping": "the largest or smallest value of the channel, repeated",
    "step": "a jump from one sample to the next, or a spike, that stands alone",
    "burst": "large differences between samples for 50 ms or longer, rare in the channel",
}
"""Every kind of artefact and what it is."""

STRETCHES, STRETCH = 32, 0.5
"""Number and length, s, of the stretches that thresholds are computed from."""

BURST = 0.05
"""s: the length of the blocks in which bursts are looked for."""

FEW = 4
"""Most differences within a block's length that are at least a third as large as a step: a step or
spike stands alone, whereas speech that an electrode picks up has many large differences."""

RARE = 0.02
"""Share of a channel's blocks that are at least a third as far above the median as a burst, above
which its bursts are kept: they are then no rare disturbance, but the upper end of what the channel
records (the voice in a contaminated electrode, seizures)."""

FEWEST_REPEATS = 4
"""Fewest samples of one value that count as clipped: three occur in coarsely digitised signals."""

BEYOND = 3.0
"""Robust standard deviations from the median beyond which the largest value may be a limit of the
amplifier."""

TO_DEVIATION = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""

MUCH = 0.1
"""Share of a channel's samples left out above which a warning names it."""

ROWS = 256
"""Samples that are looked at together; they stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Of each channel, all (channel,), µV; infinite for a channel without variation.

    step : largest difference between neighbouring samples. burst : largest root mean square of
    the differences in a block. high_block : a third as far above the median. low, high : the
    range within which no value is a limit.
    """

    step: FloatArray
    burst: FloatArray
    high_block: FloatArray
    low: FloatArray
    high: FloatArray


def block_samples(rate: float) -> int:
    """Count the samples of a block in which bursts are looked for."""
    return max(2, round(BURST * rate))


def thresholds(recording: Reader, settings: ArtefactSettings) -> Thresholds:
    """Compute the thresholds of each channel from stretches spread evenly over a recording.

    A difference is a step beyond `step` times 1.4826 MAD of the differences (about 0), a block is
    a burst beyond its median root mean square plus `burst` times 1.4826 MAD. Values that repeat
    exactly are left out of both, so that blanks do not lower them.
    """
    block = block_samples(recording.rate)
    length = block * max(1, round(STRETCH / BURST)) + 1
    last = max(0, recording.n_samples - length)
    count = min(STRETCHES, max(1, -(-recording.n_samples // length)))
    starts = [int(start) for start in np.unique(np.linspace(0, last, count).astype(np.int64))]
    values = np.stack([recording.read(start, start + length) for start in starts])
    step, burst, high_block, low, high = np.full((5, values.shape[2]), np.inf)
    low *= -1
    for channel in range(values.shape[2]):
        voltage = values[..., channel]
        moves = np.abs(np.diff(voltage, axis=1))
        blocks = moves[:, : moves.shape[1] // block * block].reshape(-1, block)
        power = np.sqrt(np.mean(np.square(blocks), axis=1))
        moves, power = moves[moves > 0], power[power > 0]
        if not len(moves):
            continue
        step[channel] = settings.step * TO_DEVIATION * np.median(moves)
        if len(power):
            usual = np.median(power)
            # Of a few blocks the deviation is hardly known; it is at least a twentieth.
            spread = max(TO_DEVIATION * np.median(np.abs(power - usual)), usual / 20)
            burst[channel] = usual + settings.burst * spread
            high_block[channel] = usual + settings.burst * spread / 3
        centre = np.median(voltage)
        beyond = BEYOND * TO_DEVIATION * np.median(np.abs(voltage - centre))
        low[channel], high[channel] = centre - beyond, centre + beyond
    return Thresholds(step, burst, high_block, low, high)


class ArtefactFinder:
    """Finds artefacts in the pieces of a recording, which it is given in the order of time.

    Parameters
    ----------
    recording
        The segment; only its description and the stretches for the thresholds are read here.
    settings
        What counts as an artefact.
    """

    def __init__(self, recording: Reader, settings: ArtefactSettings) -> None:
        n_channels = len(recording.names)
        self._limits = thresholds(recording, settings)
        self._n_samples = recording.n_samples
        self._block = block_samples(recording.rate)
        self._repeats = max(FEWEST_REPEATS, round(settings.clipping * recording.rate))
        self._blank = max(self._repeats, round(settings.blank * recording.rate))
        self._before = np.empty((0, n_channels))
        self._still = np.zeros((2, n_channels), bool)
        self._largest = np.full(n_channels, -np.inf)
        self._smallest = np.full(n_channels, np.inf)
        # Of each channel: runs (first, stop, value) of one value, the last of which may go on.
        self._runs: list[list[tuple[int, int, float]]] = [[] for _ in range(n_channels)]
        self._steps: list[list[IntArray]] = [[] for _ in range(n_channels)]
        # Of each channel: blocks that are at least a third as high as a burst.
        self._high = np.zeros(n_channels, np.int64)
        self._bursts: list[list[IntArray]] = [[] for _ in range(n_channels)]

    def rows(self, most: int) -> int:
        """Return a length of pieces, at most about `most`, that holds whole blocks."""
        return max(1, most // self._block) * self._block

    def look(self, start: int, voltage: Values) -> None:
        """Look at the samples from `start` on, (sample, channel); all before have been given."""
        n_channels = voltage.shape[1]
        repeating = np.zeros(n_channels, bool)
        batch = max(1, ROWS // self._block) * self._block
        squares = np.empty((batch, n_channels))
        # Differences of 0, with those of the two samples before the batch.
        still = np.zeros((batch + 2, n_channels), bool)
        still[:2] = self._still
        for row in range(0, len(voltage), batch):
            rows = voltage[row : row + batch]
            square = squares[: len(rows)]
            np.subtract(rows[1:], rows[:-1], out=square[1:])
            if row:
                np.subtract(rows[0], voltage[row - 1], out=square[0])
            elif len(self._before):
                np.subtract(rows[0], self._before[-1], out=square[0])
            else:
                square[0] = square[1] if len(rows) > 1 else 0.0
            np.square(square, out=square)
            np.equal(square, 0, out=still[2 : 2 + len(rows)])
            here = still[: 2 + len(rows)]
            repeating |= (here[2:] & here[1:-1] & here[:-2]).any(axis=0)
            still[:2] = here[-2:].copy()
            np.maximum(self._largest, rows.max(axis=0), out=self._largest)
            np.minimum(self._smallest, rows.min(axis=0), out=self._smallest)
            self._look_at_differences(start + row, square)
        self._still = still[:2].copy()
        before = len(self._before)
        for channel in np.flatnonzero(repeating):
            values = np.concatenate([self._before[:, channel], voltage[:, channel]])
            self._look_for_runs(int(channel), start - before, values)
        whole = np.concatenate([self._before, voltage[-self._repeats :]])
        self._before = whole[-self._repeats :].copy()

    def _look_at_differences(self, start: int, square: FloatArray) -> None:
        """Steps and bursts in squared differences (sample, channel) of some blocks."""
        for channel in np.flatnonzero(square.max(axis=0) > np.square(self._limits.step)):
            limit = np.square(self._limits.step[channel])
            jumps = np.flatnonzero(square[:, channel] > limit)
            large = np.concatenate([[0], np.cumsum(square[:, channel] > limit / 9)])
            from_, to = np.maximum(jumps - self._block // 2, 0), jumps + self._block // 2 + 1
            around = large[np.minimum(to, len(square))] - large[from_]
            jumps = jumps[around <= FEW]
            square[jumps, channel] = 0  # what stands alone makes no burst
            # A jump lies between a sample and the one before it.
            ends = start + np.stack([jumps - 1, jumps + 1], axis=1)
            self._steps[channel].append(np.maximum(ends, 0))
        whole = len(square) // self._block
        blocks = square[: whole * self._block].reshape(whole, self._block, square.shape[1])
        power = blocks.sum(axis=1)
        self._high += (power > self._block * np.square(self._limits.high_block)).sum(axis=0)
        loud = power > self._block * np.square(self._limits.burst)
        for block, channel in zip(*np.nonzero(loud), strict=True):
            first = start + int(block) * self._block
            self._bursts[channel].append(np.array([[first, first + self._block]]))

    def _look_for_runs(self, channel: int, start: int, values: FloatArray) -> None:
        """Runs of one value, at least as long as clipping; a run may go on in the next piece."""
        changes = np.flatnonzero(values[1:] != values[:-1]) + 1
        first = np.concatenate([[0], changes])
        stop = np.concatenate([changes, [len(values)]])
        long = np.flatnonzero(stop - first >= self._repeats)
        runs = self._runs[channel]
        for begin, end in zip(first[long], stop[long], strict=True):
            value = float(values[begin])
            span = (start + int(begin), start + int(end), value)
            if runs and runs[-1][2] == value and span[0] <= runs[-1][1]:
                runs[-1] = (runs[-1][0], max(runs[-1][1], span[1]), value)
                continue
            if runs and not self._may_count(channel, runs[-1]):
                runs.pop()
            runs.append(span)

    def _may_count(self, channel: int, run: tuple[int, int, float]) -> bool:
        first, stop, value = run
        at_limit = value in (self._largest[channel], self._smallest[channel])
        return at_limit or stop - first >= self._blank

    def found(self) -> tuple[Found, ...]:
        """Return what was found in each channel: spans (span, 2) of samples by kind.

        `[first, stop)` of every span; spans of one kind neither touch nor overlap. Bursts of a
        channel in which they are not rare are not returned.
        """
        found = []
        for channel, runs in enumerate(self._runs):
            spans: dict[str, list[tuple[int, int]]] = {"blank": [], "clipping": []}
            low, high = self._limits.low[channel], self._limits.high[channel]
            for first, stop, value in runs:
                at_limit = value in (self._largest[channel], self._smallest[channel])
                blank = stop - first >= self._blank
                # A blanked amplifier gives zeros, which may lie below all other values.
                if at_limit and not low <= value <= high and not (blank and value == 0):
                    spans["clipping"].append((first, stop))
                elif blank:
                    spans["blank"].append((first, stop))
            bursts = _joined(self._bursts[channel])
            if self._high[channel] * self._block > RARE * self._n_samples:
                bursts = NOTHING
            found.append(
                {
                    **{kind: merged(np.array(some, np.int64)) for kind, some in spans.items()},
                    "step": _joined(self._steps[channel]),
                    "burst": bursts,
                }
            )
        return tuple(found)


def _joined(parts: Sequence[IntArray]) -> IntArray:
    return merged(np.concatenate(parts)) if parts else NOTHING


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What artefacts cost a segment.

    mask : the samples left out. bridges : (channel,) spans that are bridged before the filter.
    counts : (kind, channel).
    """

    mask: Mask
    bridges: tuple[IntArray, ...]
    counts: IntArray


def left_out(
    recording: Reader, found: Sequence[Found], spared: NDArray[np.bool_], settings: ArtefactSettings
) -> LeftOut:
    """Decide which samples of a segment are bridged and left out.

    Artefacts less than twice the padding apart are one, of the first of their kinds in the order
    of `KINDS`: a blank begins and ends with a step. A bridge reaches half the padding to
    either side, so that the filters settle within the other half.

    Parameters
    ----------
    recording
        The segment.
    found
        From `ArtefactFinder.found`.
    spared
        (channel,); channels of which nothing is left out.
    settings
        Padding, and share of a window that may be left out.
    """
    padding = int(np.ceil(settings.padding * recording.rate))
    n_samples = recording.n_samples
    counts = np.zeros((len(KINDS), len(found)), np.int64)
    masks, bridges = [], []
    for channel, of in enumerate(found):
        kept = {} if spared[channel] else of
        spans = merged(np.concatenate([NOTHING, *kept.values()]), apart=2 * padding)
        kinds = np.full(len(spans), len(KINDS))
        for kind, name in reversed(list(enumerate(kept))):
            kinds[np.searchsorted(spans[:, 0], kept[name][:, 0], side="right") - 1] = kind
        counts[:, channel] = np.bincount(kinds, minlength=len(KINDS))
        masks.append(widened(spans, padding, n_samples))
        bridges.append(widened(spans, padding // 2, n_samples))
    return LeftOut(Mask(tuple(masks), most=settings.most), tuple(bridges), counts)


def report(counts: IntArray, masks: Sequence[Mask], recordings: Sequence[Reader]) -> None:
    """Log how many artefacts there are, how much is left out, and which channels lose much."""
    lengths = [recording.n_samples for recording in recordings]
    shares = [mask.share(n) for mask, n in zip(masks, lengths, strict=True)]
    share = np.average(shares, axis=0, weights=lengths)
    names = recordings[0].names
    kinds = ", ".join(
        f"{kind} {count}" for kind, count in zip(KINDS, counts.sum(axis=1), strict=True)
    )
    LOG.info(
        "artefacts: %s, in %d of %d channels; %.3g %% of the samples left out",
        kinds,
        int((share > 0).sum()),
        len(names),
        100 * share.mean(),
    )
    for channel in np.flatnonzero(share > MUCH):
        LOG.warning(
            "channel %s: %.3g %% of its samples are left out as artefacts (%s); write status "
            "'bad' in channels.tsv to leave the channel out, or set neural.artefacts: "
            "{enabled: false} to keep all samples",
            names[channel],
            100 * share[channel],
            ", ".join(f"{k} {n}" for k, n in zip(KINDS, counts[:, channel], strict=True) if n),
        )
