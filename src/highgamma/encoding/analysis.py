"""The settings of one analysis, checked before any data are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from highgamma.errors import InputError, nearest, refuse_unknown

CHOICES = {
    "unit": ("word", "frame"),
    "align": ("prompt", "voice"),
    "features": ("mean", "flatten"),
    "components_fit": ("train", "all"),
    "estimator": ("ridge", "elastic-net", "banded-ridge", "mean"),
    "split": ("contiguous", "leave-one-word-out", "trial", "word", "recording", "shuffled"),
    "lag_mode": ("delays", "curve"),
    "null_penalties": ("auto", "chosen", "kept"),
    "precision": ("float64", "float32"),
}
# Settings of an analysis that say what is fitted, not how.
ELSEWHERE = ("models", "layers", "controls", "overrides")
RIDGE_ALPHAS = tuple(10.0 ** (k / 2) for k in range(13))
ELASTIC_NET_ALPHAS = tuple(10.0 ** (k / 3) for k in range(-9, 4))


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """One analysis of the config; times in seconds.

    `alphas` are the penalties among which inner folds choose, per electrode; a single `alpha` fixes
    the penalty instead. `inner_folds` is an upper bound: there are never more
    inner folds than other outer blocks. The purge gap that is used is `gap` plus the span of
    `lags`. `permutation_block` is the number of neighbouring words permuted together.
    `bands` are the models whose features enter one banded ridge together, each with a penalty of
    its own; `band_draws` is the number of divisions of the penalty among them that are tried.
    """

    unit: str = "frame"
    signal: str = "high-gamma"
    align: str = "prompt"
    window: tuple[float, float] = (0.0, 1.0)
    features: str = "mean"
    components: int | float | None = None
    components_fit: str = "train"
    estimator: str = "ridge"
    alphas: tuple[float, ...] | None = None
    alpha: float | None = None
    l1_ratio: float = 0.5
    standardize: bool = True
    split: str = "contiguous"
    folds: int = 10
    inner_folds: int = 9
    gap: float = 0.5
    lags: tuple[float, float] | None = None
    lag_step: float = 0.05
    lag_mode: str = "delays"
    permutations: int = 1000
    permutation_block: int = 1
    min_shift: float = 5.0
    null_penalties: str = "auto"
    precision: str = "float64"
    bands: tuple[str, ...] | None = None
    band_draws: int = 50

    @property
    def penalties(self) -> tuple[float, ...]:
        """The penalties to choose from, ascending; one only where it is fixed."""
        if self.estimator == "mean":
            return (0.0,)
        if self.alpha is not None:
            return (float(self.alpha),)
        if self.estimator == "elastic-net":
            return tuple(sorted(self.alphas or ELASTIC_NET_ALPHAS))
        return tuple(sorted(self.alphas or RIDGE_ALPHAS))

    @property
    def lag_span(self) -> float:
        """Width of the lag range in seconds; it is added to the purge gap."""
        return 0.0 if self.lags is None else float(self.lags[1] - self.lags[0])

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values, for a file's attributes."""
        return asdict(self)


def analysis_from(settings: Mapping[str, Any]) -> Analysis:
    """Check the settings of one analysis and fill in the defaults.

    Raises `InputError` for a key or value that is not known, an empty or negative penalty list, a
    window or lag range that ends before it starts, or fewer than two folds.
    """
    values = {key: value for key, value in settings.items() if key not in ELSEWHERE}
    refuse_unknown(values, [field.name for field in fields(Analysis)], where="analyses")
    for key in ("window", "lags", "alphas", "bands"):
        if isinstance(values.get(key), list):
            values[key] = tuple(values[key])
    analysis = Analysis(**values)
    for key, choices in CHOICES.items():
        found = getattr(analysis, key)
        if found not in choices:
            raise InputError(
                f"{key} is {found!r}{nearest(str(found), choices)}",
                where=f"analyses: {key}",
                expected="one of " + ", ".join(choices),
            )
    if analysis.estimator != "mean" and min(analysis.penalties) <= 0:
        raise InputError(
            f"a penalty is {min(analysis.penalties)}",
            where="analyses: alphas",
            expected="penalties above 0",
        )
    if not 0 < analysis.l1_ratio <= 1:
        raise InputError(
            f"l1_ratio is {analysis.l1_ratio}",
            where="analyses: l1_ratio",
            expected="above 0, at most 1",
            remedy="for no sparse part at all use estimator: ridge",
        )
    for key in ("window", "lags"):
        pair = getattr(analysis, key)
        if pair is not None and (len(pair) != 2 or pair[1] < pair[0]):
            raise InputError(
                f"{key} is {list(pair)}", where=f"analyses: {key}", expected="[start, stop] in s"
            )
    if analysis.lags is not None and analysis.unit == "word":
        raise InputError(
            "lags are set for an analysis of words",
            where="analyses: lags",
            expected="unit: frame",
            remedy="remove lags, or move the window",
        )
    if analysis.lags is not None and analysis.lag_step <= 0:
        raise InputError(
            f"lag_step is {analysis.lag_step}", where="analyses: lag_step", expected="above 0 s"
        )
    for key, least in (
        ("folds", 2), ("inner_folds", 2), ("gap", 0), ("permutations", 0), ("min_shift", 0),
        ("permutation_block", 1), ("band_draws", 1),
    ):  # fmt: skip
        if getattr(analysis, key) < least:
            raise InputError(
                f"{key} is {getattr(analysis, key)}",
                where=f"analyses: {key}",
                expected=f"at least {least}",
            )
    _check_bands(analysis)
    return analysis


def _check_bands(analysis: Analysis) -> None:
    banded = analysis.estimator == "banded-ridge"
    if banded != (analysis.bands is not None):
        raise InputError(
            "bands are set for another estimator" if not banded else "banded-ridge has no bands",
            where="analyses: bands",
            expected="estimator: banded-ridge together with bands: [model, model, ...]",
        )
    if analysis.bands is None:
        return
    if len(analysis.bands) < 2 or len(set(analysis.bands)) < len(analysis.bands):
        raise InputError(
            f"bands is {list(analysis.bands)}",
            where="analyses: bands",
            expected="at least two different models",
        )
    if analysis.components is not None:
        raise InputError(
            "components are set for a banded ridge",
            where="analyses: components",
            expected="features as they are; principal components would mix the bands",
            remedy="remove components",
        )
    if analysis.lags is not None and analysis.lag_mode == "curve":
        raise InputError(
            "a lag curve is asked for a banded ridge",
            where="analyses: lag_mode",
            expected="lag_mode: delays",
        )
    if analysis.null_penalties == "chosen":
        raise InputError(
            "surrogates of a banded ridge are to choose their penalties anew",
            where="analyses: null_penalties",
            expected="auto or kept; the search over penalties is too long for every surrogate",
        )
