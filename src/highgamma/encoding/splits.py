"""Who trains and who tests: every row is held out once, and nothing near it is trained on.

The rows fall into blocks; a fold holds out one block and trains on all rows that are at least a gap
away from it in time, within the same segment (rows of other segments are never too near). The inner
folds of a fold are the other blocks, so that one training set without blocks i and j serves inner
fold j of outer fold i and inner fold i of outer fold j.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from highgamma.errors import InputError
from highgamma.registry import Registry

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

TOLERANCE_S = 1e-9


@dataclass(frozen=True, slots=True)
class Rows:
    """Where the rows lie in time.

    start, stop
        (n,) s; equal for frames, the analysis window's ends for words.
    segment
        (n,) number of the recording.
    trial
        (n,) number of the trial (word shown), -1 where there is none.
    word
        (n,) identity of the word, the same number for the same word, -1 where there is none.
    """

    start: FloatArray
    stop: FloatArray
    segment: IntArray
    trial: IntArray
    word: IntArray

    def __len__(self) -> int:
        return len(self.start)

    def take(self, index: IntArray | BoolArray) -> Rows:
        """Return the rows named by an index or a mask."""
        return Rows(
            self.start[index],
            self.stop[index],
            self.segment[index],
            self.trial[index],
            self.word[index],
        )


@dataclass(frozen=True, slots=True)
class Fold:
    """One outer fold: mask (n,) of the training rows, indices of the held-out rows, a label."""

    train: BoolArray
    test: IntArray
    label: str


@dataclass(frozen=True, slots=True)
class Split:
    """The outer folds and their inner folds.

    folds
        One `Fold` for each block.
    block
        (n,) number of the fold that holds the row out.
    inner
        For each outer fold, its inner folds, each a tuple of the blocks held out together.
    distance
        Smallest distance in s between a training and a test row of the same segment; infinite
        where they never share one.
    leaky
        Whether neighbours in time stand on both sides by design.
    """

    folds: tuple[Fold, ...]
    block: IntArray
    inner: tuple[tuple[tuple[int, ...], ...], ...]
    distance: float
    leaky: bool


def distances_to(rows: Rows, held_out: BoolArray) -> FloatArray:
    """Return the distance (n,) in s from each row to the nearest held-out row of the same segment.

    Rows are intervals [start, stop]: the distance of two is max(0, later start − earlier stop);
    infinite where the segment has no held-out row.
    """
    distance = np.full(len(rows), np.inf)
    for segment in np.unique(rows.segment[held_out]):
        here = np.flatnonzero(rows.segment == segment)
        chosen = here[held_out[here]]
        order = chosen[np.argsort(rows.start[chosen], kind="stable")]
        starts = rows.start[order]
        last_stop = np.maximum.accumulate(rows.stop[order])
        after = np.searchsorted(starts, rows.start[here], side="right")
        before = np.where(after > 0, rows.start[here] - last_stop[np.maximum(after - 1, 0)], np.inf)
        ahead = np.where(
            after < len(order),
            starts[np.minimum(after, len(order) - 1)] - rows.stop[here],
            np.inf,
        )
        distance[here] = np.maximum(np.minimum(before, ahead), 0.0)
    return distance


def _even(n: int, parts: int) -> IntArray:
    """Number of the part (n,), contiguous parts whose sizes differ by one at most."""
    return (np.arange(n, dtype=np.int64) * parts) // n


def _ranked(labels: IntArray) -> IntArray:
    """Labels as 0, 1, … in the order of their first row."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def _needs(labels: IntArray, what: str, least: int) -> int:
    n = int(labels.max()) + 1
    if n < least:
        raise InputError(
            f"there are {n} {what}, too few for the split",
            where="analyses: split, folds",
            expected=f"at least {least}",
            remedy="ask for fewer folds, or use another split",
        )
    return n


def contiguous_blocks(rows: Rows, *, folds: int, seed: int) -> IntArray:
    """Assign runs of neighbouring rows to folds of equal size, in time order."""
    order = np.lexsort((rows.start, rows.segment))
    if len(rows) < folds:
        raise InputError(
            f"there are {len(rows)} usable samples for {folds} folds",
            where="analyses: folds",
            expected="at least one sample for each fold",
            remedy="ask for fewer folds",
        )
    block = np.empty(len(rows), dtype=np.int64)
    block[order] = _even(len(rows), folds)
    return block


def trial_blocks(rows: Rows, *, folds: int, seed: int) -> IntArray:
    """Assign whole trials to the folds in turn."""
    labels = _ranked(rows.trial)
    _needs(labels, "trials", folds)
    return labels % folds


def word_blocks(rows: Rows, *, folds: int, seed: int) -> IntArray:
    """Assign word identities to the folds in turn, so that a repeated word is in one fold."""
    labels = _ranked(rows.word)
    _needs(labels, "different words", folds)
    return labels % folds


def each_word_blocks(rows: Rows, *, folds: int, seed: int) -> IntArray:
    """Assign every word identity to its own fold."""
    labels = _ranked(rows.word)
    _needs(labels, "different words", 3)
    return labels


def recording_blocks(rows: Rows, *, folds: int, seed: int) -> IntArray:
    """Assign every segment to its own fold."""
    labels = _ranked(rows.segment)
    _needs(labels, "recordings", 2)
    return labels


def shuffled_blocks(rows: Rows, *, folds: int, seed: int) -> IntArray:
    """Assign rows at random; neighbouring rows leak, which serves as a demonstration."""
    block = _even(len(rows), folds)
    np.random.default_rng(seed).shuffle(block)
    return block


def _by_number(rows: Rows, test: IntArray, number: int, name: str) -> str:
    return f"{name} {number}"


def _by_recording(rows: Rows, test: IntArray, number: int, name: str) -> str:
    return f"recording {int(rows.segment[test[0]])}"


def _by_time(rows: Rows, test: IntArray, number: int, name: str) -> str:
    first, last = test[0], test[-1]
    return (
        f"{int(rows.segment[first])}:{rows.start[first]:.2f}-"
        f"{int(rows.segment[last])}:{rows.stop[last]:.2f} s"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitScheme:
    """A way of holding samples out.

    Attributes
    ----------
    name
        What the configuration calls it.
    description
        One clause for docs/config.md.
    blocks
        ``blocks(rows, folds=…, seed=…)`` returns the number of the fold (n,) that holds each row
        out, 0 to K − 1.
    n_folds
        ``n_folds(folds, words, recordings)`` returns how many folds come out of it.
    counts_folds
        Whether the setting `folds` says how many folds there are.
    units
        The units of analysis that it is for.
    purged
        The units for which training samples keep the gap to held-out ones.
    needs_long_folds
        Whether a fold that is shorter than the gap is refused.
    leaky
        Whether neighbours in time are on both sides by design.
    label
        ``label(rows, held_out, number, name)`` returns the name of a fold.
    """

    name: str
    description: str
    blocks: Callable[..., IntArray]
    n_folds: Callable[[int, float, int], float]
    counts_folds: bool = True
    units: tuple[str, ...] = ("word", "frame")
    purged: tuple[str, ...] = ("word", "frame")
    needs_long_folds: bool = False
    leaky: bool = False
    label: Callable[[Rows, IntArray, int, str], str] = _by_number


SPLITS: Registry[SplitScheme] = Registry("split")

for _scheme in (
    SplitScheme(
        name="contiguous",
        description="blocks of neighbouring samples, with a gap",
        blocks=contiguous_blocks,
        n_folds=lambda folds, words, recordings: folds,
        needs_long_folds=True,
        label=_by_time,
    ),
    SplitScheme(
        name="trial",
        description="whole trials, dealt out to the folds in turn",
        blocks=trial_blocks,
        n_folds=lambda folds, words, recordings: folds,
    ),
    SplitScheme(
        name="leave-one-word-out",
        description="each word by itself; of frames all of a word's, with a gap: as many fits as "
        "there are words",
        blocks=each_word_blocks,
        n_folds=lambda folds, words, recordings: words,
        counts_folds=False,
        # Words that are left out one by one are apart; the frames of neighbouring words are not.
        purged=("frame",),
    ),
    SplitScheme(
        name="word",
        description="by the identity of words, dealt out to the folds in turn; a repeated word is "
        "never on both sides",
        blocks=word_blocks,
        n_folds=lambda folds, words, recordings: folds,
        units=("word",),
    ),
    SplitScheme(
        name="recording",
        description="each recording by itself",
        blocks=recording_blocks,
        n_folds=lambda folds, words, recordings: recordings,
        counts_folds=False,
        label=_by_recording,
    ),
    SplitScheme(
        name="shuffled",
        description="samples at random; leaks, is allowed as a demonstration, and is flagged",
        blocks=shuffled_blocks,
        n_folds=lambda folds, words, recordings: folds,
        purged=(),
        leaky=True,
    ),
):
    SPLITS.register(_scheme)


def split_rows(
    rows: Rows,
    *,
    scheme: str,
    folds: int = 10,
    inner_folds: int = 9,
    gap: float = 0.5,
    step: float = 0.0,
    seed: int = 0,
    block: IntArray | None = None,
) -> Split:
    """Divide rows into outer folds and their inner folds.

    Parameters
    ----------
    rows
        Where the rows lie in time; only rows that can be used.
    scheme
        A name in `SPLITS`.
    folds
        Number of outer folds, where the scheme leaves it open.
    inner_folds
        At most this many inner folds; with fewer than the other blocks, neighbouring blocks are
        held out together.
    gap
        Smallest distance in s that training rows keep from test rows. Frames pass the configured
        gap plus the lag span. Shuffled splits have no gap, nor has leave-one-word-out of words;
        every other split of words keeps it between the analysis windows.
    step
        Duration in s that a row stands for (one frame), for the length of a fold.
    seed
        For the shuffled split.
    block
        (n,) number of the fold that holds each row out, if it is settled; numbers without a row
        are passed over.

    Raises
    ------
    InputError
        A contiguous fold shorter than the gap, or a fold that leaves nothing to train on.
    """
    chosen = SPLITS[scheme]
    settled = block is not None
    if block is None:
        block = chosen.blocks(rows, folds=folds, seed=seed)
    else:
        block = np.unique(block, return_inverse=True)[1].astype(np.int64)
    gap = gap if ("frame" if step > 0 else "word") in chosen.purged else 0.0
    n_blocks = int(block.max()) + 1
    # Where folds are settled, some rows of each may be absent: they are longer than they seem.
    if chosen.needs_long_folds and gap > 0 and not settled:
        _refuse_short_folds(rows, block, gap=gap, step=step)
    outer = []
    nearest_pair = np.inf
    for number in range(n_blocks):
        held_out = block == number
        distance = distances_to(rows, held_out)
        train = ~held_out & (distance >= gap - TOLERANCE_S)
        if not train.any():
            raise InputError(
                f"fold {number} leaves no sample to train on beyond the gap of {gap:g} s",
                where="analyses: gap, folds",
                remedy="shorten the gap or the lag span, or use other folds",
            )
        nearest_pair = min(nearest_pair, float(distance[train].min()))
        test = np.flatnonzero(held_out)
        outer.append(Fold(train, test, chosen.label(rows, test, number, scheme)))
    return Split(
        folds=tuple(outer),
        block=block,
        inner=inner_groups(n_blocks, inner_folds),
        distance=nearest_pair,
        leaky=chosen.leaky,
    )


def inner_groups(n_blocks: int, inner_folds: int) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Return the inner folds of each outer fold: the other blocks, or runs of too many.

    The runs are the same for all outer folds (less the outer block itself), so that training sets
    are shared between them.
    """
    if inner_folds >= n_blocks - 1:
        groups: list[tuple[int, ...]] = [(block,) for block in range(n_blocks)]
    else:
        part = _even(n_blocks, inner_folds)
        groups = [tuple(np.flatnonzero(part == g).tolist()) for g in range(inner_folds)]
    return tuple(
        tuple(
            rest for group in groups if (rest := tuple(block for block in group if block != outer))
        )
        for outer in range(n_blocks)
    )


def _refuse_short_folds(rows: Rows, block: IntArray, *, gap: float, step: float) -> None:
    durations = np.zeros(int(block.max()) + 1)
    for number in range(len(durations)):
        for segment in np.unique(rows.segment[block == number]):
            here = (block == number) & (rows.segment == segment)
            durations[number] += rows.stop[here].max() - rows.start[here].min() + step
    shortest = float(durations.min())
    if shortest < gap - TOLERANCE_S:
        raise InputError(
            f"the shortest of {len(durations)} folds lasts {shortest:.3g} s, the gap {gap:.3g} s",
            where="analyses: folds, gap, lags",
            expected="folds longer than the gap (the configured gap plus the lag span)",
            remedy="ask for fewer folds, a shorter gap or a narrower range of lags",
        )
