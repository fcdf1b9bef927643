"""What a fit costs: operations, and seconds of one core, from sizes alone.

The engine decides by these formulas whether surrogates choose new penalties, the workflow
how many layers make a job, and the check how long a run takes.

The unit costs were measured in the benchmarks (benchmarks/results.json) and in the demo's jobs on
one machine (Intel Xeon, 2 cores, numpy with OpenBLAS, one thread); other machines differ by a
factor of two or three.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from highgamma.encoding.limits import BATCH_BYTES, ROTATED_FROM

if TYPE_CHECKING:
    from highgamma.encoding.analysis import Analysis
    from highgamma.encoding.splits import Split

MAPS_UP_TO = 1500
"""Samples up to which a fold's predictions are one matrix times the targets."""
CHOOSING_LIMIT = 2e11
"""Operations of a layer's null up to which `null_penalties: auto` chooses new penalties: ten to
twenty seconds of one core."""

GCV_LIMIT = 4e12
"""The same where they are chosen in closed form: about two minutes of one core."""

GRAM_S, SOLVE_S, ROTATE_S, MODEL_S = 1.4e-10, 4.9e-11, 5.2e-10, 5.4e-4
"""Seconds of a ridge, per n·p·m, per training set and m³, per training set and m²·t, per training
set (see `ridge_seconds`). Fitted to 15 sizes, `nested-ridge` in results.json among them, n 72 to
30,000, p 23 to 3000, t 25 to 128; each is met within a factor of 2.5, those above a second within
two."""
KEPT_S = 3.6e-11
"""Per surrogate, electrode, sample and feature: `null` in results.json, 143 s for 1000 shifts."""
PASS_S = 2.3e-8
"""Per surrogate, electrode and frame, whatever the features: shifting, and sums of blocks (30,000
frames × 115 electrodes × 200 surrogates × 8 features, 17.8 s; 60,000 frames × 50, 13.7 s)."""
GCV_S, GCV_PASS, GCV_COLUMN = 3e-11, 12, 6000
"""Per operation of choosing penalties in closed form, the operations of a pass over memory, and
those of a fold and target whatever the features (100 words × 115 × 1000 surrogates: 8 features 3.6
s, 300 8.2 s, 768 8.0 s)."""
CHOSEN_S = 6e-11
"""Per operation of choosing new penalties (demo: 3.2e10 operations, 2.0 s a layer)."""
MAPS_S = 1e-9
"""Per surrogate, electrode and pair of words, with penalties kept."""
ELASTIC_S, ELASTIC_SQUARE_S = 6e-5, 9.5e-9
"""Per fold, penalty and electrode, and the same by features² (95 words × 66 components × 122, 0.73
s; benchmark `elastic-net`, 3000 frames × 300 features × 128, 20 penalties and six sets, 14 s)."""
EMBEDDED_RATE = 50.0
"""Frames of a speech model in a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSize:
    """The sizes of one layer's fit.

    Attributes
    ----------
    samples, features, electrodes
        Numbers of samples, of features with delayed copies, and of electrodes.
    folds
        Outer folds.
    training_sets
        Different training sets of the inner cross-validation.
    inner_folds
        Inner folds of an outer fold.
    held_out
        Blocks that an inner fold holds out together.
    penalties
        Penalties to choose from.
    surrogates
        Surrogates of the null.
    """

    samples: float
    features: float
    electrodes: int
    folds: float
    training_sets: float
    inner_folds: float
    held_out: int = 1
    penalties: int = 1
    surrogates: int = 0

    @classmethod
    def of_split(
        cls,
        shape: tuple[int, int],
        split: Split,
        *,
        electrodes: int,
        penalties: int,
        surrogates: int,
    ) -> FitSize:
        """Return the sizes of a design (samples, features) under a split that is known."""
        training_sets = {
            frozenset((i, *group)) for i, groups in enumerate(split.inner) for group in groups
        }
        return cls(
            samples=shape[0],
            features=shape[1],
            electrodes=electrodes,
            folds=len(split.folds),
            training_sets=len(training_sets),
            inner_folds=max(len(groups) for groups in split.inner),
            held_out=max(len(group) for groups in split.inner for group in groups),
            penalties=penalties,
            surrogates=surrogates,
        )

    @classmethod
    def of_analysis(
        cls,
        analysis: Analysis,
        *,
        samples: float,
        width: float,
        electrodes: int,
        words: float,
        recordings: int = 1,
    ) -> FitSize:
        """Return the expected sizes of an analysis, before any data are read.

        Parameters
        ----------
        samples
            Words or frames.
        width
            Features of a layer (of all models of a joint fit).
        words, recordings
            Different words and recordings, by which some splits count their folds.
        """
        from highgamma.encoding.splits import SPLITS

        samples = max(samples, 2.0)
        folds = max(2.0, SPLITS[analysis.split].n_folds(analysis.folds, words, recordings))
        inner = min(float(analysis.inner_folds), folds - 1)
        every_pair = inner >= folds - 1
        return cls(
            samples=samples,
            features=n_features(analysis, width=width, samples=samples),
            electrodes=max(electrodes, 1),
            folds=folds,
            training_sets=folds * (folds + 1) / 2 if every_pair else folds * inner,
            inner_folds=inner,
            penalties=len(analysis.penalties),
            surrogates=analysis.permutations,
        )

    @property
    def rank(self) -> float:
        """The smaller of samples and features."""
        return min(self.samples, self.features)


def n_lags(analysis: Analysis) -> int:
    """Return how many lags an analysis has."""
    if analysis.lags is None:
        return 1
    return math.floor(analysis.lag_span / analysis.lag_step + 1e-9) + 1


def n_fits(analysis: Analysis) -> int:
    """Return how many fits a layer takes: one, or one for each lag of a curve."""
    return n_lags(analysis) if analysis.lag_mode == "curve" else 1


def n_features(analysis: Analysis, *, width: float, samples: float) -> float:
    """Return how many features a fit has: flattened, reduced to components, delayed."""
    features = width
    if analysis.features == "flatten":
        features *= EMBEDDED_RATE * (analysis.window[1] - analysis.window[0])
    if analysis.components is not None:
        share = analysis.components < 1
        features = min(features, 0.5 * samples if share else analysis.components)
    return features if analysis.lag_mode == "curve" else features * n_lags(analysis)


def surrogates_at_a_time(size: FitSize) -> int:
    """Return how many surrogates choose penalties from block statistics together.

    Their series, cross-products of blocks and of the gaps on both sides of each, and weights of all
    penalties are in memory at once.
    """
    width = size.samples + size.features * (3 * size.folds + 3 * size.penalties)
    return max(1, int(BATCH_BYTES // (8 * size.electrodes * width)))


def choosing_operations(size: FitSize) -> tuple[float, float]:
    """Return the approximate operations of choosing new penalties for every surrogate.

    Returns
    -------
    primal, dual
        From block statistics, and from kernels. A pass over memory counts as 16 operations for
        each element. Measured in eigenvectors, 6000 samples, 15 and 55 training sets, 7 penalties:
        4e-8 s · p + 1.4e-10 s · p² for each target and training set, p 32 to 768.
    """
    n, p, sets = size.samples, size.features, size.training_sets
    columns = size.electrodes * size.surrogates
    together = size.electrodes * min(surrogates_at_a_time(size), size.surrogates)
    square = 0.33 if together >= ROTATED_FROM * p else 6.0
    primal = sets * p * (size.penalties * (square * p + 82) + 48 * (size.held_out + 1))
    primal += n * (2.0 * p + 64)
    dual = sets * (size.penalties * n / size.inner_folds * (2.0 * n + 48))
    dual += sets * n**3 / max(columns, 1)
    return columns * primal, columns * dual


def choosing_form(size: FitSize, *, wide: bool) -> str:
    """Return the cheaper form, `primal` or `dual`, of choosing new penalties."""
    primal, dual = choosing_operations(size)
    return "dual" if wide or (dual < primal and size.samples <= MAPS_UP_TO) else "primal"


def chooses_anew(size: FitSize, null_penalties: str, *, wide: bool) -> bool:
    """Return whether surrogates choose new penalties.

    Parameters
    ----------
    null_penalties
        The setting: `chosen`, `kept`, or `auto` for `chosen` up to `CHOOSING_LIMIT` operations.
    wide
        Whether features outnumber the training samples.
    """
    if size.penalties < 2 or null_penalties == "kept":
        return False
    primal, dual = choosing_operations(size)
    operations = dual if choosing_form(size, wide=wide) == "dual" else primal
    return null_penalties == "chosen" or operations <= CHOOSING_LIMIT


def gcv_operations(size: FitSize, columns: float) -> float:
    """Return the rough operations of fits whose penalties are chosen in closed form.

    A decomposition a fold, then for each of `columns` targets the rotation and, for every penalty,
    the squares of the rotated targets.
    """
    n, r = size.samples, size.rank
    decompose = 12.0 * r**3 + 2.0 * n * size.features * r
    column = 2.0 * n * r + 2.0 * size.penalties * r + GCV_PASS * (n + 2 * r + 6 * size.penalties)
    column += GCV_COLUMN
    return size.folds * (decompose + columns * column)


def gcv_chooses_anew(size: FitSize, null_penalties: str) -> bool:
    """Return whether surrogates choose penalties of their own, in closed form."""
    if size.penalties < 2 or null_penalties == "kept":
        return False
    operations = gcv_operations(size, size.electrodes * size.surrogates)
    return null_penalties == "chosen" or operations <= GCV_LIMIT


def gcv_seconds(size: FitSize, null_penalties: str) -> float:
    """Return the seconds of a ridge whose penalties are chosen in closed form, null included."""
    anew = gcv_chooses_anew(size, null_penalties)
    columns = size.electrodes * (1 + size.surrogates * anew)
    seconds = GCV_S * gcv_operations(size, columns)
    if size.surrogates and not anew:
        seconds += ridge_null_seconds(size, "kept")
    return seconds


def ridge_seconds(size: FitSize) -> float:
    """Return the seconds of a nested ridge: statistics, then a factorisation a training set.

    n·p·m for the Gram matrix, then m³ and m²·t for each training set, with m the smaller of
    samples and features.
    """
    m = size.rank
    gram = GRAM_S * size.samples * size.features * m
    return gram + size.training_sets * (m**2 * (SOLVE_S * m + ROTATE_S * size.electrodes) + MODEL_S)


def ridge_null_seconds(size: FitSize, null_penalties: str) -> float:
    """Return the seconds of a ridge's surrogates."""
    if not size.surrogates:
        return 0.0
    wide = size.features > size.samples
    columns = size.surrogates * size.electrodes
    passes = columns * PASS_S * size.samples if size.samples > MAPS_UP_TO else 0.0
    if chooses_anew(size, null_penalties, wide=wide):
        primal, dual = choosing_operations(size)
        return passes + CHOSEN_S * (dual if choosing_form(size, wide=wide) == "dual" else primal)
    if size.samples <= MAPS_UP_TO:
        return columns * MAPS_S * size.samples**2
    return passes + columns * KEPT_S * size.samples * size.features


def elastic_net_seconds(size: FitSize, *, fits: float) -> float:
    """Return the seconds of elastic nets: `fits` times every fold, penalty and electrode."""
    each = ELASTIC_S + ELASTIC_SQUARE_S * size.rank**2
    return fits * size.folds * size.penalties * size.electrodes * each


def total_seconds(
    analysis: Analysis, size: FitSize, *, layers: int = 1, model_layers: int = 1
) -> float:
    """Return the estimated seconds of fitting some layers of a model.

    If fits have no inner scores, only the last layer has surrogates; their time is divided among
    all layers.

    Parameters
    ----------
    analysis
        Settings of the fit.
    size
        Numbers of samples, features, electrodes and so on.
    layers
        Number of layers that are fitted.
    model_layers
        Number of layers that the analysis fits in all.
    """
    from highgamma.encoding.estimators import ESTIMATORS

    estimator = ESTIMATORS[analysis.estimator]
    untested = estimator.seconds(analysis, replace(size, surrogates=0))
    tested = estimator.seconds(analysis, size)
    share = 1.0 if estimator.chooses_layers(analysis) else 1.0 / model_layers
    return (untested + share * (tested - untested)) * n_fits(analysis) * layers
