"""The section `analyses`: what one analysis fits, to which samples, split and tested how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from highgamma.encoding.estimators import ESTIMATORS
from highgamma.encoding.splits import SPLITS
from highgamma.sections import (
    as_mapping,
    checked_section,
    keys_by_model,
    partial_schema,
    setting,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """How one model is fitted and tested; times in seconds."""

    unit: Literal["word", "frame"] = setting(
        description="`word` (one sample a word) or `frame` (one sample a window of the envelope)."
    )
    signal: str = setting(
        "high-gamma", "`high-gamma` (the settings under `neural`), or a name from `signals`."
    )
    align: Literal["prompt", "voice"] = setting(
        "prompt",
        "What a word's window is counted from: the `prompt`'s onset or the `voice`'s.",
        by_model=True,
    )
    window: tuple[float, float] = setting(
        (0.0, 1.0), "Start and end of a word's window, in seconds.", by_model=True
    )
    features: Literal["mean", "flatten"] = setting(
        "mean",
        "How frames become one word's features: their `mean` over the window, or all of them, "
        "`flatten`.",
        by_model=True,
    )
    components: float | None = setting(
        None,
        "Principal components kept of the features: a number, a share of the variance below 1, or "
        "`null` for no reduction.",
        above=0,
        by_model=True,
    )
    components_fit: Literal["train", "all"] = setting(
        "train",
        "Samples that the components are fitted on: `train` (right), or `all` (as the study did).",
        by_model=True,
    )
    estimator: str = setting(
        "ridge",
        "How weights are found.",
        choices=ESTIMATORS,
        by_model=True,
    )
    bands: tuple[str, ...] | None = setting(
        None,
        "The models of a banded ridge; each enters with its last layer. The variance that they "
        "predict is divided among them.",
        length=2,
        unique=True,
    )
    band_draws: int = setting(
        50, "How many divisions of the penalty among the bands are tried.", minimum=1
    )
    alphas: tuple[float, ...] | None = setting(
        None,
        lambda: (
            "Penalties to choose from, for each electrode, inside the training folds; `null` "
            "takes the estimator's own: "
            + "; ".join(f"{e.name}: {e.alphas_in_words}" for e in ESTIMATORS.values() if e.alphas)
            + "."
        ),
        above=0,
        length=1,
        by_model=True,
    )
    alpha: float | None = setting(
        None,
        "One fixed penalty instead of a choice (the study's elastic net has 1).",
        above=0,
        by_model=True,
    )
    l1_ratio: float = setting(
        0.5, "Share of the L1 penalty in the elastic net.", above=0, maximum=1, by_model=True
    )
    standardize: bool = setting(
        True,
        "Whether features are z-scored with the training samples' mean and standard deviation.",
        by_model=True,
    )
    split: str = setting("contiguous", "How samples are held out.", choices=SPLITS)
    folds: int = setting(
        10,
        lambda: (
            "Number of outer folds (of "
            + ", ".join(f"`{s.name}`" for s in SPLITS.values() if s.counts_folds)
            + ")."
        ),
        minimum=2,
    )
    inner_folds: int = setting(
        9,
        "Number of contiguous inner folds that the penalty is chosen on, where these are not the "
        "other outer folds.",
        minimum=2,
    )
    choose_by: Literal["auto", "folds", "gcv"] = setting(
        "auto",
        "How a ridge's penalty is chosen: on inner `folds`, or by generalised cross-validation "
        "(`gcv`, in closed form; for words); `auto` takes `gcv` for words and `folds` for frames.",
    )
    drift: float | None = setting(
        60.0,
        "Shortest period that counts as drift, in seconds: slower cosines and the mean of each "
        "recording are removed from features, signal and surrogates. `null` removes nothing.",
        above=0,
    )
    gap: float = setting(
        0.5,
        "Least time between a training and a test sample, in seconds; the lags' span is added to "
        "it.",
        minimum=0,
    )
    lags: tuple[float, float] | None = setting(
        None,
        "First and last lag of the signal behind the features, in seconds; negative lags: the "
        "brain comes first. `null` for none.",
        by_model=True,
    )
    lag_step: float = setting(0.05, "Step between lags, in seconds.", above=0, by_model=True)
    lag_mode: Literal["delays", "curve"] = setting(
        "delays", "`delays` (all lags in one fit) or `curve` (one fit for each lag).", by_model=True
    )
    permutations: int = setting(
        1000,
        "Number of surrogates of the null; 0 for none.",
        minimum=0,
    )
    surrogates: Literal["shift", "permutation"] = setting(
        "shift",
        "What surrogates are. `shift`: the signal is shifted in a circle within each recording (of "
        "words, each gets the envelope in the window of another, as many places away), which keeps "
        "the autocorrelation. "
        "`permutation`: words change places, which assumes that neighbouring words are unrelated.",
    )
    permutation_block: int = setting(
        1,
        "Neighbouring words that change places together (of `surrogates: permutation`).",
        minimum=1,
    )
    null_penalties: Literal["auto", "chosen", "kept"] = setting(
        "auto",
        "Whether surrogates have their penalties `chosen` anew (exact p-values), or `kept` from "
        "the measured signal (faster, mostly conservative); `auto` chooses anew where that takes "
        "less than about a quarter of a minute of one core a layer.",
    )
    min_shift: float = setting(5.0, "Least circular shift of the null, in seconds.", above=0)
    groups: tuple[str, ...] | None = setting(
        None,
        "Groups of features that enter the fit of a model that has groups (the nuisances); written "
        "by the workflow from `nuisances`.",
    )
    precision: Literal["float64", "float32"] = setting("float64", "Arithmetic of the fit.")

    @property
    def penalties(self) -> tuple[float, ...]:
        """The penalties to choose from, ascending; only one where it is fixed."""
        return ESTIMATORS[self.estimator].penalties(self)

    @property
    def by_gcv(self) -> bool:
        """Whether a ridge's penalty is chosen by generalised cross-validation."""
        return self.choose_by == "gcv" or (self.choose_by == "auto" and self.unit == "word")

    @property
    def shifts_windows(self) -> bool:
        """Whether surrogates of words are made from the envelope."""
        return self.unit == "word" and self.surrogates == "shift" and self.permutations > 0

    @property
    def reads_envelope(self) -> bool:
        """Whether a fit to words takes the envelope in frames, for drift or surrogates."""
        return self.unit == "word" and (self.drift is not None or self.shifts_windows)

    @property
    def lag_span(self) -> float:
        """Width of the lag range in seconds; it is added to the purge gap."""
        return 0.0 if self.lags is None else float(self.lags[1] - self.lags[0])

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain values, for a file's attributes."""
        return as_mapping(self)

    def problems(self) -> list[str]:
        """Return what is wrong with the analysis, each as `key: message`."""
        problems = []
        for key in ("window", "lags"):
            pair = getattr(self, key)
            if pair is not None and pair[0] > pair[1]:
                problems.append(f"{key}: {list(pair)} is reversed; the lower end comes first")
        if self.window[0] == self.window[1]:
            problems.append(f"window: {list(self.window)} is empty")
        if self.unit == "frame" and self.surrogates == "permutation":
            problems.append("surrogates: permutation is for `unit: word`; frames are shifted")
        if self.unit == "word" and self.lags is not None:
            problems.append("lags: lags are for `unit: frame`; shift the window instead")
        if self.components is not None and self.components >= 1 and self.components % 1:
            problems.append(f"components: {self.components:g} is neither a count nor a share")
        if self.unit not in SPLITS[self.split].units:
            units = " or ".join(f"`unit: {unit}`" for unit in SPLITS[self.split].units)
            problems.append(f"split: {self.split} is for {units}")
        return problems + ESTIMATORS[self.estimator].problems(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisSettings(Analysis):
    """One entry of the section `analyses`: how models are fitted, and which."""

    overrides: dict[str, Mapping[str, Any]] = setting(
        {},
        "Keys of this analysis that differ for one model, by the model's name.",
        entries=lambda: partial_schema(Analysis, keys_by_model(Analysis)),
    )
    preset: Literal["leakage"] | None = setting(
        None,
        "`leakage` makes three analyses of this one, `<name>-shuffled`, `<name>-contiguous` and "
        "`<name>-leave-one-word-out`, with position features beside the models of each: what a "
        "split gives away, they show. Unless set otherwise it takes the last layer, draws no "
        "surrogates and removes no drift.",
    )
    part_of: str | None = setting(
        None, "The preset analysis that this one was made of; written by the workflow."
    )
    models: Literal["all"] | tuple[str, ...] = setting(
        "all", "`all`, or the models that this analysis takes.", length=1, unique=True
    )
    layers: Literal["all", "last"] | tuple[int, ...] = setting(
        "all",
        "`all`, `last`, or a list of layers; 0 enters the first block, L leaves the last.",
        minimum=0,
        length=1,
        unique=True,
    )
    controls: tuple[str, ...] = setting(
        (),
        "Models that the others have to explain more than, together with the nuisances "
        "(docs/scores.md, Gain).",
        unique=True,
    )
    nuisances: Literal["all"] | tuple[str, ...] = setting(
        "all",
        "Nuisances that are fitted next to the models and count as controls: `all`, a list of "
        "names (see docs/models.md), or `[]` for none. They are fitted together and one by one "
        "(not for `mean`).",
        unique=True,
    )
    position: bool = setting(
        True,
        "Whether features that know nothing but the time are fitted beside the models, under the "
        "same split and with the same estimator (not beside `mean`, nor a banded ridge): what they "
        "reach, neighbouring samples give away.",
    )


def analysis_from(values: Mapping[str, Any], *, where: str = "analyses") -> Analysis:
    """Build the settings of one fit, its defaults filled in.

    Raises
    ------
    InputError
        For a key or value that is not known, and for settings that contradict each other.
    """
    return checked_section(Analysis, values, where=where)
