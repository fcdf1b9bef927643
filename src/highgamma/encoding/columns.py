"""The columns of the file of scores: each variable's name, dimensions, meaning, unit and origin.

A column that is declared here reaches the file of scores, the documentation (docs/files.md) and,
with `electrode_column`, the table of electrodes at the chosen layer and the report's table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np

from highgamma import scores
from highgamma.encoding import nulls
from highgamma.encoding.ceiling import Ceiling, noise_ceiling, repetitions
from highgamma.encoding.lags import peak_interval
from highgamma.encoding.layer import Fitted, LayerProblem
from highgamma.encoding.samples import Samples
from highgamma.encoding.splits import BoolArray, FloatArray, IntArray
from highgamma.registry import Registry

COEFFICIENT_FEATURES = 64
"""Features up to which a temporal receptive field is kept."""


@dataclass(frozen=True, kw_only=True)
class Fits:
    """What was fitted, for all layers of a job.

    Attributes
    ----------
    samples, problem
        All samples of the participant, and what the layers share: targets, split, settings.
    layers, fitted
        Numbers of the layers, and the outcome of each.
    curves
        For each layer of a lag curve what was found at each lag, else empty.
    alone
        The outcome of each group of features by itself, of a model that has groups.
    delays
        Delays of the features, in samples.
    seed
        Seed of the bootstrap.
    """

    samples: Samples
    problem: LayerProblem
    layers: Sequence[int]
    fitted: Sequence[Fitted]
    curves: Sequence[dict[str, Any]] = field(default_factory=tuple)
    alone: Sequence[Fitted] = ()
    delays: Sequence[int] = (0,)
    seed: int = 0

    @cached_property
    def r(self) -> FloatArray:
        """(layer, channel) held-out correlation."""
        return np.stack([scores.pooled_r(layer.sums) for layer in self.fitted])

    @cached_property
    def constant(self) -> BoolArray:
        """(channel,) whether the target is constant to the rounding of what was taken out of it."""
        targets = self.problem.targets
        return np.asarray(np.ptp(targets, axis=0) <= scores.CONSTANT * np.abs(targets).max(axis=0))

    @cached_property
    def null_r(self) -> FloatArray | None:
        """(permutation, layer, channel) correlation of the surrogates."""
        surrogates = [layer.null_r for layer in self.fitted if layer.null_r is not None]
        return np.stack(surrogates, axis=1) if surrogates else None

    @cached_property
    def inner_score(self) -> FloatArray:
        """(layer, fold, channel) skill on the inner folds."""
        return np.stack([layer.fit.inner_score for layer in self.fitted])

    @cached_property
    def chosen(self) -> IntArray:
        """(fold, channel) number of the chosen layer along the first axis."""
        return scores.best_candidates(self.inner_score)

    @cached_property
    def mean_prediction(self) -> FloatArray:
        """(sample, channel) the prediction that ignores its input: each fold's training mean."""
        return self.fitted[0].fit.training_mean[self.problem.split.block]

    @cached_property
    def seconds(self) -> FloatArray:
        """(lag,) the delays in s."""
        rate = self.samples.rate
        return np.asarray(self.delays) / rate if rate else np.zeros(1)

    @cached_property
    def ceiling(self) -> Ceiling:
        """The noise ceiling, from repeated stimuli."""
        kept = self.problem.kept
        rows = self.samples.rows.take(kept)
        stimulus = self.samples.stimulus
        if stimulus is None:
            stimulus = np.full(len(self.samples.targets), -1)
        return noise_ceiling(
            self.problem.targets, stimulus[kept], repeated=repetitions(rows.word, rows.trial)
        )

    @cached_property
    def peaks(self) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
        """For each layer of a lag curve its peak and the ends of its interval, s."""
        seed = nulls.seed_from(self.seed, "bootstrap")
        return [
            peak_interval(curve["lag_fold_r"], self.seconds, seed=seed) for curve in self.curves
        ]

    @cached_property
    def coefficients(self) -> FloatArray | None:
        """(layer, delay, feature, channel) receptive fields, where they are small enough."""
        weights = [layer.fit.coefficients for layer in self.fitted]
        delays = len(self.delays)
        widths = {len(w) // delays for w in weights if w is not None}
        if delays < 2 or len(widths) != 1 or max(widths) > COEFFICIENT_FEATURES:
            return None
        known = [w for w in weights if w is not None]
        if len(known) < len(weights):
            return None
        return np.stack([w.reshape(delays, -1, w.shape[1]) for w in known])

    def by_layer(self, value_of: Callable[[Fitted], Any]) -> FloatArray:
        """Return something of every layer, layers first."""
        return np.stack([value_of(layer) for layer in self.fitted])

    def across_channels(
        self, prediction_of: Callable[[Fitted], FloatArray | None], score: int
    ) -> FloatArray:
        """Return the study's correlation (0) or R² (1) of each layer's prediction."""
        predictions = [prediction_of(layer) for layer in self.fitted]
        return np.array(
            [
                np.nan
                if prediction is None
                else scores.across_channels(prediction, self.problem.targets)[score]
                for prediction in predictions
            ]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreColumn:
    """A variable of the file of scores.

    Attributes
    ----------
    name, meaning, units
        What the file, the documentation and a reader call it.
    dims
        Its dimensions; `channel`, where there is one, last.
    values
        ``values(fits)`` returns the array, of the channels that were fitted; None where a file has
        no such variable.
    dtype, missing
        How it is stored, and its value in channels that were not fitted.
    read
        Whether the tables read it; the others stay on disk.
    electrode_column
        Whether the table of electrodes has it as a column of its own, at the chosen layer.
    """

    name: str
    meaning: str
    dims: tuple[str, ...]
    values: Callable[[Fits], Any]
    units: str = "1"
    dtype: Any = np.float64
    missing: Any = np.nan
    read: bool = False
    electrode_column: bool = False


SCORE_COLUMNS: Registry[ScoreColumn] = Registry("score column")

CHANNELS = ("channel",)
LAYERS = ("layer", "channel")
FOLDS = ("layer", "fold", "channel")
SPACES = ("space", "channel")


def _p(fits: Fits) -> FloatArray:
    if fits.null_r is None:
        return np.full(fits.r.shape, np.nan)
    # Surrogates count with their best lag, and so does the signal.
    best = [curve["lag_r"] for curve in fits.curves] or [r[None] for r in fits.r]
    p = np.stack(
        [scores.p_values(np.fmax.reduce(r, axis=0), fits.null_r[:, k]) for k, r in enumerate(best)]
    )
    p[[layer.null_penalties == "none" for layer in fits.fitted]] = np.nan
    p[:, fits.constant] = np.nan
    return p


def _extra(name: str) -> Callable[[Fits], FloatArray | None]:
    """What the estimator found out beyond its fit, by name."""
    return lambda fits: fits.fitted[-1].extras.get(name)


def _alone(score: Callable[[scores.FoldSums], FloatArray]) -> Callable[[Fits], FloatArray | None]:
    """A score of each group of features by itself; None without groups."""
    return lambda fits: (
        np.stack([score(group.sums) for group in fits.alone]) if fits.alone else None
    )


def _curve(values: Callable[[Fits], Any]) -> Callable[[Fits], Any]:
    """Values of a lag curve; None without one."""
    return lambda fits: values(fits) if fits.curves else None


def _peak(end: int) -> Callable[[Fits], Any]:
    return _curve(lambda fits: np.stack([peak[end] for peak in fits.peaks]))


_layer = partial(ScoreColumn, dims=LAYERS)
_fold = partial(ScoreColumn, dims=FOLDS)
_channel = partial(ScoreColumn, dims=CHANNELS)
_over_layers = partial(ScoreColumn, dims=("layer",), read=True)


def _sum(sum_of: Callable[[scores.FoldSums], FloatArray]) -> Callable[[Fits], FloatArray]:
    """A sum of every layer's folds."""
    return lambda fits: fits.by_layer(lambda layer: sum_of(layer.sums))


def _named_sum(name: str) -> Callable[[Fits], FloatArray]:
    return _sum(lambda sums: np.asarray(getattr(sums, name)))


def _across(prediction: Callable[[Fitted], Any], score: int) -> Callable[[Fits], FloatArray]:
    return lambda fits: fits.across_channels(prediction, score)


def _across_of_mean(score: int) -> Callable[[Fits], float]:
    return lambda fits: scores.across_channels(fits.mean_prediction, fits.problem.targets)[score]


_SUMS = tuple(
    _fold(
        name=f"fold_{name}",
        meaning=f"{name} over the fold's held-out samples, from the training mean",
        units="µV" if name in ("sy", "sf") else "µV2",
        values=values,
        read=True,
    )
    for name, values in (
        ("sse", _sum(scores.fold_sse)),
        ("sst", _named_sum("syy")),
        *((name, _named_sum(name)) for name in scores.SUMS),
    )
)

_STUDY = tuple(
    column
    for score, (name, meaning) in enumerate(
        (("pcc", "Pearson correlation across channels"), ("r2", "R2 across channels"))
    )
    for column in (
        _over_layers(
            name=f"{name}_across_channels",
            meaning=f"{meaning}, mean over samples",
            values=_across(lambda layer: layer.fit.prediction, score),
        ),
        _over_layers(
            name=f"{name}_shuffled",
            meaning=f"{meaning}, shuffled embeddings",
            values=_across(lambda layer: layer.shuffled, score),
        ),
        ScoreColumn(
            name=f"{name}_mean_predictor",
            dims=(),
            meaning=f"{meaning}, training mean as the prediction",
            values=_across_of_mean(score),
            read=True,
        ),
    )
)

for _column in (
    _layer(
        name="r",
        meaning="Pearson correlation pooled over all held-out samples",
        values=lambda fits: fits.r,
        read=True,
    ),
    _layer(
        name="skill",
        meaning="1 - SSE / SSE of the training mean, pooled over all held-out samples",
        values=lambda fits: fits.by_layer(lambda layer: scores.pooled_skill(layer.sums)),
        read=True,
    ),
    _fold(
        name="fold_r",
        meaning="Pearson correlation in the fold",
        values=lambda fits: fits.by_layer(lambda layer: scores.fold_r(layer.sums)),
    ),
    *_SUMS,
    ScoreColumn(
        name="fold_n",
        dims=("fold",),
        meaning="held-out samples in the fold",
        values=lambda fits: fits.fitted[0].sums.n[:, 0],
        read=True,
    ),
    _fold(
        name="inner_score",
        meaning="best penalty's skill on the inner folds",
        values=lambda fits: fits.inner_score,
        read=True,
    ),
    _fold(
        name="alpha",
        meaning="penalty of the fold",
        values=lambda fits: fits.by_layer(lambda layer: layer.fit.alpha),
    ),
    _fold(
        name="n_nonzero",
        meaning="non-zero coefficients; -1 where nothing was fitted",
        values=lambda fits: fits.by_layer(lambda layer: layer.fit.n_nonzero),
        dtype=np.int32,
        missing=-1,
    ),
    ScoreColumn(
        name="training_mean",
        dims=("fold", "channel"),
        meaning="mean of the fold's training samples",
        units="µV",
        values=lambda fits: fits.fitted[0].fit.training_mean,
    ),
    _layer(
        name="intercept_only",
        meaning="1 where the fit predicts its training mean in every fold",
        values=lambda fits: fits.by_layer(lambda layer: (layer.sums.sff == 0).all(axis=0)),
        dtype=np.int8,
        missing=0,
        read=True,
    ),
    _channel(
        name="constant",
        meaning="1 where the target is constant",
        values=lambda fits: fits.constant,
        dtype=np.int8,
        missing=0,
    ),
    ScoreColumn(
        name="null_r",
        dims=("permutation", "layer", "channel"),
        meaning="r of each surrogate; of a lag curve, at its best lag",
        values=lambda fits: fits.null_r,
        dtype=np.float32,
    ),
    _layer(
        name="p",
        meaning="(surrogates with r at least as large + 1) / (surrogates + 1); of a lag curve, the "
        "best lag's on both sides",
        values=_p,
        read=True,
    ),
    _channel(
        name="mean_r",
        meaning="Pearson correlation of the signal with its training means, over held-out samples",
        values=lambda fits: scores.plain_r(fits.mean_prediction, fits.problem.targets),
        read=True,
    ),
    *_STUDY,
    ScoreColumn(
        name="chosen_layer",
        dims=("fold", "channel"),
        meaning="layer with the best inner score; -1 where nothing was fitted",
        values=lambda fits: np.asarray(fits.layers)[fits.chosen],
        dtype=np.int16,
        missing=-1,
    ),
    ScoreColumn(
        name="prediction",
        dims=("sample", "channel"),
        meaning="held-out prediction of the chosen layer and lag",
        units="µV",
        values=lambda fits: scores.chosen_prediction(
            [layer.fit.prediction for layer in fits.fitted], fits.chosen, fits.problem.split.block
        ),
        dtype=np.float32,
    ),
    ScoreColumn(
        name="observed",
        dims=("sample", "channel"),
        meaning="measured signal",
        units="µV",
        values=lambda fits: fits.problem.targets,
        dtype=np.float32,
    ),
    _channel(
        name="noise_ceiling",
        meaning="greatest r that a function of the stimulus can reach, from repeated stimuli",
        values=lambda fits: fits.ceiling.r,
        read=True,
    ),
    _channel(
        name="explainable",
        meaning="signal power over total power, from repeated stimuli; unbiased, so that it can be "
        "below 0",
        values=lambda fits: fits.ceiling.explainable,
        read=True,
    ),
    ScoreColumn(
        name="lag_r",
        dims=("layer", "lag", "channel"),
        meaning="r of the fit at each lag",
        values=_curve(lambda fits: np.stack([curve["lag_r"] for curve in fits.curves])),
        read=True,
    ),
    _fold(
        name="chosen_lag",
        meaning="lag with the best inner score",
        units="s",
        values=_curve(
            lambda fits: fits.seconds[np.stack([curve["chosen_lag"] for curve in fits.curves])]
        ),
        read=True,
    ),
    _layer(
        name="peak_lag",
        meaning="lag at which the fold-averaged r peaks",
        units="s",
        values=_peak(0),
        read=True,
    ),
    _layer(
        name="peak_lag_low",
        meaning="2.5 % of the bootstrap over folds",
        units="s",
        values=_peak(1),
        read=True,
    ),
    _layer(
        name="peak_lag_high",
        meaning="97.5 % of the bootstrap over folds",
        units="s",
        values=_peak(2),
        read=True,
    ),
    ScoreColumn(
        name="band_alpha",
        dims=("fold", "space", "channel"),
        meaning="penalty of each space",
        values=_extra("band_alpha"),
        read=True,
    ),
    ScoreColumn(
        name="unique",
        dims=SPACES,
        meaning="joint skill minus the skill without the space",
        values=_extra("unique"),
        read=True,
    ),
    ScoreColumn(
        name="unique_r",
        dims=SPACES,
        meaning="joint r minus the r without the space",
        values=_extra("unique_r"),
    ),
    ScoreColumn(
        name="alone_r",
        dims=SPACES,
        meaning="r of the group of features by itself",
        values=_alone(scores.pooled_r),
        read=True,
    ),
    ScoreColumn(
        name="alone_skill",
        dims=SPACES,
        meaning="skill of the group of features by itself",
        values=_alone(scores.pooled_skill),
        read=True,
    ),
    ScoreColumn(
        name="share",
        dims=SPACES,
        meaning="the space's part of the joint skill (product measure)",
        values=_extra("share"),
        read=True,
    ),
    ScoreColumn(
        name="share_r",
        dims=SPACES,
        meaning="the space's part of the joint r (correlation split)",
        values=_extra("share_r"),
    ),
    _channel(
        name="shared",
        meaning="joint skill minus all spaces' unique parts",
        values=_extra("shared"),
        read=True,
    ),
    ScoreColumn(
        name="coefficients",
        dims=("layer", "delay", "feature", "channel"),
        meaning="weights, mean over folds, per unit of the feature",
        units="µV",
        values=lambda fits: fits.coefficients,
    ),
):
    SCORE_COLUMNS.register(_column)
