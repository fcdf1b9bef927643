"""Tables over a whole run: which electrodes hold, for which model, at which layer.

The layer is chosen for each electrode inside every fold, on that fold's training samples alone;
the score is that of the chosen layers on the held-out samples. A significance is a share of
circular shifts that do as well, controlled for false discoveries over a declared family: all
electrodes of all participants, for one analysis and one model.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma import store
from highgamma.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

LEVEL = 0.05
"""Rate of false discoveries that a finding may belong to."""

FLAT_BELOW = 1e-9
"""Root mean square deviation from the training mean (µV) up to which a signal is constant."""

FAMILY = "all electrodes of all participants, for one analysis and one model"

ELECTRODE_COLUMNS = (
    *("analysis", "participant", "electrode", "x", "y", "z", "region", "model", "layer"),
    *("r", "skill", "p", "q", "gain", "contamination", "flags"),
    # Further columns only follow after `flags`.
    *("stability", "best_control", "peak_lag", "peak_lag_low", "peak_lag_high", "distance_s"),
)
LAYER_COLUMNS = (
    *("analysis", "participant", "model", "layer", "n_electrodes"),
    *("r_mean", "r_median", "r_max", "skill_mean", "skill_median"),
)
PARTICIPANT_COLUMNS = (
    *("analysis", "participant", "model", "layer", "n_electrodes", "n_samples"),
    *("pcc_across_channels", "r2_across_channels", "pcc_mean_predictor", "r2_mean_predictor"),
    *("pcc_shuffled", "r2_shuffled", "skill_median", "n_significant", "distance_s", "leaky"),
)
STUDY_FIGURES = PARTICIPANT_COLUMNS[6:12]

FLAGS = {
    "flat": "the electrode’s signal is constant",
    "intercept-only": "the fit ignores its input: it predicts the training mean everywhere",
    "contaminated": f"the audit finds the microphone in the electrode (q < {LEVEL} within its "
    "participant)",
    "not-tested": "the analysis drew no permutations, so there is no p",
    "not-significant": f"q is not below {LEVEL}",
    "no-skill": "the skill is not above 0: the training mean predicts the held-out samples as well",
    "below-control": "a control model explains as much (gain not above 0)",
    "leaky-split": "held-out samples have close neighbours among the training samples",
}
"""Every flag and what it says; an electrode that carries none of them holds."""

_FOLD_SUMS = (
    *("fold_sse", "fold_sst", "fold_sy", "fold_sf", "fold_syy", "fold_sff", "fold_syf"),
    *("fold_n", "inner_score"),
)


@dataclass(frozen=True, slots=True)
class FoldSums:
    """What each fold contributes to the pooled scores; arrays are (layer, fold, channel).

    With y the measured and ŷ the predicted signal, both minus the fold's training mean of y, over
    the fold's held-out samples: their number `n`, sums `sy` and `sf`, sums of squares and products
    `syy`, `sff`, `syf`; `sse` = Σ(y − ŷ)², `sst` = Σy².
    """

    n: FloatArray
    sy: FloatArray
    sf: FloatArray
    syy: FloatArray
    sff: FloatArray
    syf: FloatArray
    sse: FloatArray
    sst: FloatArray

    def of(self, chosen: IntArray) -> FoldSums:
        """The sums of one layer for each fold and channel: arrays become (fold, channel)."""
        return FoldSums(
            *(
                np.take_along_axis(getattr(self, name), chosen[None], axis=0)[0]
                for name in self.__slots__
            )
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """Scores of the layers chosen on training folds; all arrays run over channels.

    `layer` is the layer most folds chose (the lowest of equals), `stability` its share of folds,
    `votes` the share of every layer (layer, channel), `index` the layer's row in each fold
    (fold, channel), `modal` the row of `layer`.
    """

    index: IntArray
    modal: IntArray
    layer: IntArray
    stability: FloatArray
    votes: FloatArray
    r: FloatArray
    skill: FloatArray
    p: FloatArray


@dataclass(frozen=True, slots=True)
class Fit:
    """All layers of one analysis, participant and model."""

    analysis: str
    participant: str
    model: str
    scores: xr.Dataset
    distance_s: float
    leaky: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """The three tables and the arrays behind them."""

    electrodes: pd.DataFrame
    layers: pd.DataFrame
    participants: pd.DataFrame
    arrays: xr.Dataset


# ---------------------------------------------------------------------------------- the numbers


def chosen_layers(inner_score: FloatArray) -> IntArray:
    """Row of the layer with the best inner score, for every fold and channel.

    Parameters
    ----------
    inner_score
        (layer, fold, channel), cross-validated inside the fold's training samples. The lowest
        layer wins among equals. Where a fold has no inner score at all (a fixed penalty leaves
        nothing to choose by), the last layer is taken, as the study of science.md does.
    """
    known = np.isfinite(inner_score)
    best = np.argmax(np.where(known, inner_score, -np.inf), axis=0)
    chosen: IntArray = np.where(known.any(axis=0), best, inner_score.shape[0] - 1).astype(np.int64)
    return chosen


def pooled_r(sums: FoldSums) -> FloatArray:
    """Pearson correlation of y and ŷ over the samples of all folds, from the folds' sums.

    r = (Σyŷ − ΣyΣŷ/n) / sqrt((Σy² − (Σy)²/n)(Σŷ² − (Σŷ)²/n)), every Σ over folds. NaN where the
    measured or the predicted signal is constant: a constant has no correlation.
    """
    n, sy, sf, syy, sff, syf = (
        np.sum(part, axis=-2) for part in (sums.n, sums.sy, sums.sf, sums.syy, sums.sff, sums.syf)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        variance_y = syy - sy**2 / n
        variance_f = sff - sf**2 / n
        # Rounding leaves about 1e-16 of each sum of squares; a fit that is its intercept alone
        # predicts 1e-14 of the signal.
        varies = (variance_y > 1e-13 * syy) & (variance_f > np.maximum(1e-13 * sff, 1e-24 * syy))
        r = (syf - sy * sf / n) / np.sqrt(variance_y * variance_f)
    return np.where(varies, np.clip(r, -1.0, 1.0), np.nan)


def pooled_skill(sums: FoldSums) -> FloatArray:
    """1 − ΣSSE / ΣSSE of the training mean, every Σ over folds; NaN where nothing varies."""
    sse, sst = np.sum(sums.sse, axis=-2), np.sum(sums.sst, axis=-2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sst > 0, 1.0 - sse / sst, np.nan)


def permutation_p(r: FloatArray, null_r: FloatArray) -> FloatArray:
    """p = (1 + number of permutations whose best layer reaches r) / (permutations + 1).

    Parameters
    ----------
    r
        (channel,), of the chosen layers.
    null_r
        (permutation, layer, channel), each permutation the same for all layers. The maximum over
        layers stands for the choice of a layer, so the p-value is conservative: the choice was
        made on training folds and cannot gain as much. A permutation without a correlation (a
        constant prediction) counts as 0.

    Returns
    -------
    p
        (channel,); NaN where r is, or where there are no permutations.
    """
    if not null_r.size:
        return np.full(r.shape, np.nan)
    known = np.isfinite(null_r)
    best = np.max(np.where(known, null_r, 0.0), axis=1)
    reached = np.sum(best >= r, axis=0)
    p = (1.0 + reached) / (null_r.shape[0] + 1.0)
    return np.where(np.isfinite(r) & known.any(axis=(0, 1)), p, np.nan)


def false_discovery_q(p: FloatArray) -> FloatArray:
    """Benjamini-Hochberg adjusted p-values of one family; NaN are no members of it."""
    from scipy.stats import false_discovery_control

    q = np.full(p.shape, np.nan)
    member = np.isfinite(p)
    if member.any():
        q[member] = false_discovery_control(p[member], method="bh")
    return q


def choose(
    *,
    layers: IntArray,
    inner_score: FloatArray,
    sums: FoldSums,
    null_r: FloatArray,
    p: FloatArray,
) -> Choice:
    """Nested choice of the layer: chosen on training folds, scored on the held-out ones.

    Parameters
    ----------
    layers
        (layer,), ascending layer numbers.
    inner_score, sums
        (layer, fold, channel).
    null_r
        (permutation, layer, channel), of size 0 without permutations.
    p
        (layer, channel), each layer's own p-value: taken as it stands where no layer was chosen
        (one layer only, or no inner score to choose by).
    """
    index = chosen_layers(inner_score)
    n_folds = max(index.shape[0], 1)
    votes = np.stack([(index == row).sum(axis=0) for row in range(len(layers))]) / n_folds
    modal = np.argmax(votes, axis=0)
    r = pooled_r(sums.of(index))
    own = np.take_along_axis(p, modal[None], axis=0)[0]
    fixed = ~np.isfinite(inner_score).any(axis=(0, 1))
    if len(layers) > 1:
        p_chosen = np.where(fixed, own, permutation_p(r, null_r))
    else:
        p_chosen = own
    return Choice(
        index=index,
        modal=modal,
        layer=layers[modal],
        stability=np.take_along_axis(votes, modal[None], axis=0)[0],
        votes=votes,
        r=r,
        skill=pooled_skill(sums.of(index)),
        p=np.where(np.isfinite(r), p_chosen, np.nan),
    )


def gains(
    skill: FloatArray, controls: Mapping[str, FloatArray]
) -> tuple[FloatArray, list[str | None]]:
    """Skill minus the best control's skill, and which control that is; NaN without a control."""
    if not controls:
        return np.full(skill.shape, np.nan), [None] * len(skill)
    names = list(controls)
    stacked = np.stack([controls[name] for name in names])
    best = np.argmax(np.where(np.isfinite(stacked), stacked, -np.inf), axis=0)
    known: BoolArray = np.asarray(np.isfinite(stacked).any(axis=0))
    gain = np.where(known, skill - np.take_along_axis(stacked, best[None], axis=0)[0], np.nan)
    return gain, [names[b] if k else None for b, k in zip(best, known, strict=True)]


# ------------------------------------------------------------------------------------- the files


def read_fits(paths: Iterable[str | Path]) -> Iterator[Fit]:
    """Read score files, one analysis × participant × model at a time, their layers joined.

    The names come from the path, `<analysis>/<participant>/<model>/<layers>.nc`. Held-out
    predictions are left on disk.

    Raises
    ------
    InputError
        If files of one fit disagree in folds, electrodes or permutations, or lack a variable.
    """
    import xarray as xr

    batches: dict[Path, list[Path]] = {}
    for path in sorted({Path(p) for p in paths}):
        batches.setdefault(path.parent, []).append(path)
    for folder, files in batches.items():
        parts = [_read_scores(path) for path in files]
        first = parts[0]
        for path, part in zip(files[1:], parts[1:], strict=True):
            _check_alike(first, part, path)
        common = [n for n in first.data_vars if "layer" not in first[n].dims]
        layered = [p.drop_vars([n for n in common if n in p]) for p in parts]
        joined = (
            xr.concat(layered, dim="layer", join="override", combine_attrs="override")
            if len(parts) > 1
            else layered[0]
        )
        joined = joined.sortby("layer").assign({n: first[n] for n in common})
        yield Fit(
            analysis=folder.parent.parent.name,
            participant=folder.parent.name,
            model=folder.name,
            scores=joined,
            distance_s=min((_number(p.attrs.get("distance_s")) for p in parts), default=np.nan),
            leaky=any(bool(int(p.attrs.get("leaky", 0))) for p in parts),
        )


def _read_scores(path: Path) -> xr.Dataset:
    with store.open_dataset(path) as opened:
        missing = [name for name in _FOLD_SUMS if name not in opened]
        if missing:
            raise InputError(
                f"the score file lacks {', '.join(missing)}",
                where=path,
                remedy="delete the file and run again; the workflow makes it anew",
            )
        held_out = [n for n, v in opened.variables.items() if "sample" in v.dims]
        return opened.drop_vars(held_out).load()


def _check_alike(first: xr.Dataset, part: xr.Dataset, path: Path) -> None:
    """Layers can only be chosen among fits to the same electrodes, folds and permutations."""
    for dimension in ("channel", "fold", "permutation"):
        if first.sizes.get(dimension, 0) != part.sizes.get(dimension, 0):
            raise InputError(
                f"{part.sizes.get(dimension, 0)} {dimension}s where another batch of layers has "
                f"{first.sizes.get(dimension, 0)}",
                where=path,
                expected="the same electrodes, folds and permutations for all layers of a model",
                remedy="delete the model's score files and run again",
            )
    if "channel" in first.coords and list(first["channel"].values) != list(part["channel"].values):
        raise InputError(
            "its electrodes differ from those of another batch of layers",
            where=path,
            remedy="delete the model's score files and run again",
        )


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _channel_names(scores: xr.Dataset) -> list[str]:
    if "channel" in scores.coords:
        return [str(name) for name in scores["channel"].values]
    return [f"channel {k}" for k in range(scores.sizes["channel"])]


def _filled(scores: xr.Dataset, name: str, *dims: str) -> FloatArray:
    """A variable as a float array over `dims`, repeated over those it lacks; NaN where absent."""
    shape = tuple(scores.sizes.get(d, 1) for d in dims)
    if name not in scores:
        return np.full(shape, np.nan)
    array = scores[name].reset_coords(drop=True)
    array = array.transpose(*(d for d in dims if d in array.dims))
    slots = tuple(slice(None) if d in array.dims else None for d in dims)
    values = np.asarray(array.values, dtype=np.float64)[slots]
    return np.broadcast_to(values, shape)


def fold_sums(scores: xr.Dataset) -> FoldSums:
    """The folds' sums of one fit, each as (layer, fold, channel)."""
    dims = ("layer", "fold", "channel")
    return FoldSums(
        n=_filled(scores, "fold_n", *dims),
        sy=_filled(scores, "fold_sy", *dims),
        sf=_filled(scores, "fold_sf", *dims),
        syy=_filled(scores, "fold_syy", *dims),
        sff=_filled(scores, "fold_sff", *dims),
        syf=_filled(scores, "fold_syf", *dims),
        sse=_filled(scores, "fold_sse", *dims),
        sst=_filled(scores, "fold_sst", *dims),
    )


# ------------------------------------------------------------------------------------- one fit


@dataclass(frozen=True, slots=True)
class _Summarised:
    """One fit, reduced to what tables and report need; arrays over (layer, channel) or channel."""

    fit: Fit
    channels: list[str]
    layers: IntArray
    choice: Choice
    flat: BoolArray
    intercept_only: BoolArray
    tested: bool
    n_samples: int
    r: FloatArray
    skill: FloatArray
    inner: FloatArray
    figures: dict[str, FloatArray]
    lag: FloatArray
    lag_r: FloatArray
    peak: FloatArray


def _summarise(fit: Fit) -> _Summarised:
    scores = fit.scores
    layers = np.asarray(scores["layer"].values, dtype=np.int64)
    sums = fold_sums(scores)
    inner = _filled(scores, "inner_score", "layer", "fold", "channel")
    null_r = (
        np.asarray(scores["null_r"].transpose("permutation", "layer", "channel").values)
        if "null_r" in scores
        else np.empty((0, len(layers), scores.sizes["channel"]))
    )
    p = _filled(scores, "p", "layer", "channel")
    choice = choose(layers=layers, inner_score=inner, sums=sums, null_r=null_r, p=p)
    # Filtering leaves rounding noise of a constant: such a signal is flat.
    flat = np.sum(sums.sst[0], axis=0) <= FLAT_BELOW**2 * np.sum(sums.n[0], axis=0)
    if "flat" in scores.variables:
        flat = flat | (_filled(scores, "flat", "channel") > 0)
    constant = np.nan_to_num(_filled(scores, "intercept_only", "layer", "channel")) > 0
    # A fold's layer may be its intercept alone while another fold's is not.
    rows = np.take_along_axis(constant, choice.index, axis=0) if choice.index.size else constant
    intercept_only = rows.all(axis=0) & ~flat
    with np.errstate(invalid="ignore"):
        inner_mean = _nan_mean(inner, axis=1)
    lag_r = np.empty((scores.sizes["channel"], 0))
    lag = np.empty(0)
    if "lag_r" in scores and "lag" in scores.coords:
        lag = np.asarray(scores["lag"].values, dtype=np.float64)
        all_layers = np.asarray(scores["lag_r"].transpose("channel", "layer", "lag").values)
        lag_r = all_layers[np.arange(len(all_layers)), choice.modal]
    peak = np.stack(
        [
            np.take_along_axis(
                _filled(scores, name, "layer", "channel"), choice.modal[None], axis=0
            )[0]
            for name in ("peak_lag", "peak_lag_low", "peak_lag_high")
        ]
    )
    return _Summarised(
        fit=fit,
        channels=_channel_names(scores),
        layers=layers,
        choice=choice,
        flat=flat,
        intercept_only=intercept_only,
        tested=bool(null_r.shape[0]) or bool(np.isfinite(p).any()),
        n_samples=int(np.nanmax(np.nansum(sums.n[0], axis=0), initial=0)),
        r=_filled(scores, "r", "layer", "channel"),
        skill=_filled(scores, "skill", "layer", "channel"),
        inner=inner_mean,
        figures={name: _filled(scores, name, "layer") for name in STUDY_FIGURES},
        lag=lag,
        lag_r=lag_r,
        peak=peak,
    )


def _nan_mean(values: FloatArray, *, axis: int) -> FloatArray:
    """Mean of what is finite, NaN where nothing is, without a warning."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


# ------------------------------------------------------------------------------------- the run


def summarise(
    fits: Iterable[Fit],
    *,
    channels: Mapping[str, pd.DataFrame],
    contamination: Mapping[str, Mapping[str, float]],
    participants: Sequence[str],
    analyses: Mapping[str, Mapping[str, Any]],
    models: Sequence[str],
    run: str,
) -> Summary:
    """Join the fits of a run into its tables.

    Parameters
    ----------
    fits
        One for each analysis, participant and model (`read_fits`).
    channels
        For each participant its channels table, by which electrodes get region and coordinates
        (mm), and which says how many channels were left out.
    contamination
        For each participant the audit's p-value of each electrode.
    participants, models
        The run's, in the order the tables take; a participant without scores is named in the log,
        in a row of its own and in the arrays' attribute `missing`.
    analyses
        Each analysis's settings; `controls` names the models that a gain is measured against.
    """
    import pandas as pd

    log = logging.getLogger("highgamma")
    order = _order(analyses, participants, models)
    done = sorted((_summarise(fit) for fit in fits), key=lambda s: order(s.fit))
    if not done:
        raise InputError(
            "there are no scores to summarise",
            expected="one score file for each analysis, participant and model",
            remedy="name at least one participant, model and analysis in the configuration",
        )
    places = {name: _places(table) for name, table in channels.items()}
    audits = {name: _audit_flags(p_values) for name, p_values in sorted(contamination.items())}
    q = _family_q(done)
    electrodes = pd.DataFrame(
        [
            row
            for s, q_values in zip(done, q, strict=True)
            for row in _electrode_rows(
                s,
                q=q_values,
                place=places.get(s.fit.participant, {}),
                audit=audits.get(s.fit.participant, {}),
                controls=_controls_of(s, done, analyses),
            )
        ],
        columns=list(ELECTRODE_COLUMNS),
    )
    electrodes["layer"] = electrodes["layer"].astype("Int64")
    missing = _missing(done, participants)
    for analysis, participant, model in missing:
        log.warning("%s has no scores of %s in the analysis %s", participant, model, analysis)
    for analysis in analyses:
        if not any(s.fit.analysis == analysis for s in done):
            log.warning("there are no scores of the analysis %s", analysis)
    layers = pd.DataFrame(
        [row for s in done for row in _layer_rows(s)], columns=list(LAYER_COLUMNS)
    )
    rows = [_participant_row(s, q_values) for s, q_values in zip(done, q, strict=True)]
    rows += [
        {"analysis": a, "participant": p, "model": m, "n_electrodes": 0} for a, p, m in missing
    ]
    rows.sort(key=lambda row: order.of(row["analysis"], row["participant"], row["model"]))
    table = pd.DataFrame(rows, columns=list(PARTICIPANT_COLUMNS))
    for name in ("layer", "n_electrodes", "n_samples", "n_significant", "leaky"):
        table[name] = table[name].astype("Int64")
    for name in STUDY_FIGURES:
        table[name] = table[name].astype("float64")
    arrays = _arrays(done, electrodes)
    arrays.attrs = {
        "run": run,
        "family": FAMILY,
        "analyses": json.dumps(analyses, sort_keys=True, default=str),
        "missing": json.dumps([list(m) for m in missing]),
        "left_out": json.dumps(
            {name: _left_out(t) for name, t in sorted(channels.items())}, sort_keys=True
        ),
        "n_permutations": json.dumps(
            {s.fit.analysis: int(s.fit.scores.sizes.get("permutation", 0)) for s in done},
            sort_keys=True,
        ),
        "unit": json.dumps(
            {s.fit.analysis: str(s.fit.scores.attrs.get("unit", "")) for s in done}, sort_keys=True
        ),
    }
    log.info(
        "%d fits, %d electrode rows, %d missing fits", len(done), len(electrodes), len(missing)
    )
    return Summary(electrodes=electrodes, layers=layers, participants=table, arrays=arrays)


@dataclass(frozen=True, slots=True)
class _Order:
    """The order of the configuration, unknown names last and by the alphabet."""

    analyses: tuple[str, ...]
    participants: tuple[str, ...]
    models: tuple[str, ...]

    def __call__(self, fit: Fit) -> tuple[tuple[int, str], ...]:
        return self.of(fit.analysis, fit.participant, fit.model)

    def of(self, analysis: str, participant: str, model: str) -> tuple[tuple[int, str], ...]:
        def place(name: str, known: tuple[str, ...]) -> tuple[int, str]:
            return (known.index(name) if name in known else len(known), name)

        return (
            place(analysis, self.analyses),
            place(participant, self.participants),
            place(model, self.models),
        )


def _order(
    analyses: Mapping[str, Any], participants: Sequence[str], models: Sequence[str]
) -> _Order:
    return _Order(tuple(analyses), tuple(participants), tuple(models))


def _family_q(done: Sequence[_Summarised]) -> list[FloatArray]:
    """q of every fit's electrodes; the family is one analysis and model over participants."""
    families: dict[tuple[str, str], list[int]] = {}
    for k, s in enumerate(done):
        families.setdefault((s.fit.analysis, s.fit.model), []).append(k)
    q: list[FloatArray] = [np.empty(0)] * len(done)
    for members in families.values():
        together = false_discovery_q(np.concatenate([done[k].choice.p for k in members]))
        ends = np.cumsum([len(done[k].choice.p) for k in members])
        for k, part in zip(members, np.split(together, ends[:-1]), strict=True):
            q[k] = part
    return q


def _controls_of(
    s: _Summarised, done: Sequence[_Summarised], analyses: Mapping[str, Mapping[str, Any]]
) -> dict[str, FloatArray]:
    """Skill of the analysis's control models on the same electrodes; none for a control itself."""
    named = list(analyses.get(s.fit.analysis, {}).get("controls") or [])
    if s.fit.model in named:
        return {}
    found: dict[str, FloatArray] = {}
    for other in done:
        same = (other.fit.analysis, other.fit.participant) == (s.fit.analysis, s.fit.participant)
        if same and other.fit.model in named:
            skill = dict(zip(other.channels, other.choice.skill, strict=True))
            found[other.fit.model] = np.array([skill.get(c, np.nan) for c in s.channels])
    return {name: found[name] for name in named if name in found}


def _places(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    kept = table[[c for c in ("name", "region", "x", "y", "z") if c in table]]
    return {
        str(row["name"]): {str(k): v for k, v in row.items()} for row in kept.to_dict("records")
    }


def _left_out(table: pd.DataFrame) -> dict[str, int]:
    """Number of channels left out, by the reason given."""
    if "kept" not in table:
        return {}
    reasons = table.loc[table["kept"].astype(str) != "yes"].get("reason")
    if reasons is None:
        return {}
    counted = reasons.fillna("no reason given").astype(str).value_counts()
    return {str(k): int(v) for k, v in sorted(counted.items(), key=lambda item: str(item[0]))}


def _audit_flags(p_values: Mapping[str, float]) -> dict[str, tuple[float, bool]]:
    """Audit p of each electrode, and whether its q within the participant is below the level."""
    names = list(p_values)
    p = np.array([p_values[n] for n in names], dtype=np.float64)
    q = false_discovery_q(p)
    return {n: (float(a), bool(b < LEVEL)) for n, a, b in zip(names, p, q, strict=True)}


def _electrode_rows(
    s: _Summarised,
    *,
    q: FloatArray,
    place: Mapping[str, Mapping[str, Any]],
    audit: Mapping[str, tuple[float, bool]],
    controls: Mapping[str, FloatArray],
) -> Iterator[dict[str, Any]]:
    c = s.choice
    gain, best = gains(c.skill, controls)
    for k, name in enumerate(s.channels):
        where = place.get(name, {})
        contamination, contaminated = audit.get(name, (np.nan, False))
        raised = {
            "flat": bool(s.flat[k]),
            "intercept-only": bool(s.intercept_only[k]),
            "contaminated": contaminated,
            "not-tested": not s.tested,
            "not-significant": s.tested and not q[k] < LEVEL,
            "no-skill": bool(c.skill[k] <= 0),
            "below-control": bool(gain[k] <= 0),
            "leaky-split": s.fit.leaky,
        }
        yield {
            "analysis": s.fit.analysis,
            "participant": s.fit.participant,
            "electrode": name,
            **{axis: _coordinate(s, where, axis, k) for axis in ("x", "y", "z")},
            "region": _region(s, where, k),
            "model": s.fit.model,
            "layer": int(c.layer[k]),
            "r": c.r[k],
            "skill": c.skill[k],
            "p": c.p[k],
            "q": q[k],
            "gain": gain[k],
            "contamination": contamination,
            "flags": ",".join(name for name, is_raised in raised.items() if is_raised),
            "stability": c.stability[k],
            "best_control": best[k],
            "peak_lag": s.peak[0, k],
            "peak_lag_low": s.peak[1, k],
            "peak_lag_high": s.peak[2, k],
            "distance_s": s.fit.distance_s,
        }


def _coordinate(s: _Summarised, place: Mapping[str, Any], axis: str, k: int) -> float:
    """From the channels table, else from the scores (a re-referenced pair has its own place)."""
    value = _number(place.get(axis))
    if not np.isfinite(value) and axis in s.fit.scores.variables:
        value = _number(s.fit.scores[axis].values[k])
    return value


def _region(s: _Summarised, place: Mapping[str, Any], k: int) -> str | None:
    value = place.get("region")
    if not isinstance(value, str) and "region" in s.fit.scores.variables:
        value = str(s.fit.scores["region"].values[k])
    return value if isinstance(value, str) and value not in ("", store.MISSING) else None


def _layer_rows(s: _Summarised) -> Iterator[dict[str, Any]]:
    for row, layer in enumerate(s.layers):
        r, skill = s.r[row], s.skill[row]
        r, skill_known = r[np.isfinite(r)], skill[np.isfinite(skill)]
        yield {
            "analysis": s.fit.analysis,
            "participant": s.fit.participant,
            "model": s.fit.model,
            "layer": int(layer),
            "n_electrodes": len(skill_known),
            "r_mean": r.mean() if r.size else np.nan,
            "r_median": np.median(r) if r.size else np.nan,
            "r_max": r.max() if r.size else np.nan,
            "skill_mean": skill_known.mean() if skill_known.size else np.nan,
            "skill_median": np.median(skill_known) if skill_known.size else np.nan,
        }


def _participant_row(s: _Summarised, q: FloatArray) -> dict[str, Any]:
    votes = s.choice.votes.sum(axis=1)
    row = int(np.argmax(votes)) if votes.size else 0
    skill = s.choice.skill[np.isfinite(s.choice.skill)]
    return {
        "analysis": s.fit.analysis,
        "participant": s.fit.participant,
        "model": s.fit.model,
        "layer": int(s.layers[row]),
        "n_electrodes": len(s.channels),
        "n_samples": s.n_samples,
        **{name: values[row] for name, values in s.figures.items()},
        "skill_median": np.median(skill) if skill.size else np.nan,
        "n_significant": int((q < LEVEL).sum()) if s.tested else None,
        "distance_s": s.fit.distance_s,
        "leaky": int(s.fit.leaky),
    }


def _missing(
    done: Sequence[_Summarised], participants: Sequence[str]
) -> list[tuple[str, str, str]]:
    """Fits that other participants have and a participant lacks."""
    have = {(s.fit.analysis, s.fit.participant, s.fit.model) for s in done}
    pairs = list(dict.fromkeys((s.fit.analysis, s.fit.model) for s in done))
    everyone = list(dict.fromkeys([*participants, *(s.fit.participant for s in done)]))
    return [(a, p, m) for a, m in pairs for p in everyone if (a, p, m) not in have]


def _arrays(done: Sequence[_Summarised], electrodes: pd.DataFrame) -> xr.Dataset:
    """The same as arrays over (analysis, model, electrode), with layer and lag profiles."""
    import xarray as xr

    analyses = list(dict.fromkeys(s.fit.analysis for s in done))
    models = list(dict.fromkeys(s.fit.model for s in done))
    people = list(dict.fromkeys(s.fit.participant for s in done))
    # Electrodes stand in the order of the recording, which every fit of a participant has.
    keys = list(
        dict.fromkeys(
            (person, c) for person in people for s in done if s.fit.participant == person
            for c in s.channels
        )
    )  # fmt: skip
    position = {key: k for k, key in enumerate(keys)}
    layers = np.unique(np.concatenate([s.layers for s in done]))
    lags = np.unique(np.round(np.concatenate([s.lag for s in done]), 6))

    shape = (len(analyses), len(models), len(keys))
    scalars = ("layer", "r", "skill", "p", "q", "gain", "stability", "peak_lag")
    flat = {name: np.full(shape, np.nan) for name in scalars}
    profiles = {
        name: np.full((*shape, len(layers)), np.nan)
        for name in ("r_layer", "skill_layer", "inner_layer", "votes_layer")
    }
    lag_r = np.full((*shape, len(lags)), np.nan)
    study = {
        name: np.full((len(analyses), len(models), len(people), len(layers)), np.nan)
        for name in STUDY_FIGURES
    }
    for s in done:
        a, m = analyses.index(s.fit.analysis), models.index(s.fit.model)
        e = np.array([position[s.fit.participant, c] for c in s.channels])
        rows = np.searchsorted(layers, s.layers)
        for name, values in (
            ("r_layer", s.r), ("skill_layer", s.skill), ("inner_layer", s.inner),
            ("votes_layer", s.choice.votes),
        ):  # fmt: skip
            profiles[name][a, m, e[:, None], rows[None]] = values.T
        if s.lag.size:
            at = np.searchsorted(lags, np.round(s.lag, 6))
            lag_r[a, m, e[:, None], at[None]] = s.lag_r
        for name, values in s.figures.items():
            study[name][a, m, people.index(s.fit.participant), rows] = values
    index = (
        electrodes["analysis"].map(analyses.index).to_numpy(int),
        electrodes["model"].map(models.index).to_numpy(int),
        np.array(
            [
                position[p, e]
                for p, e in zip(electrodes["participant"], electrodes["electrode"], strict=True)
            ],
            dtype=int,
        ),
    )
    for name in scalars:
        flat[name][index] = electrodes[name].to_numpy(dtype=float, na_value=np.nan)
    of_electrode = electrodes.drop_duplicates(["participant", "electrode"]).set_index(
        ["participant", "electrode"]
    )
    of_electrode = of_electrode.reindex(keys)
    dims = ("analysis", "model", "electrode")
    rename = {"layer": "chosen_layer"}
    units = {"peak_lag": {"units": "s"}}
    return xr.Dataset(
        {
            **{rename.get(n, n): (dims, v, units.get(n, {"units": "1"})) for n, v in flat.items()},
            **{n: ((*dims, "layer"), v, {"units": "1"}) for n, v in profiles.items()},
            "lag_r": ((*dims, "lag"), lag_r, {"units": "1"}),
            **{
                f"{n}_layer": (("analysis", "model", "person", "layer"), v, {"units": "1"})
                for n, v in study.items()
            },
            "contamination": (
                "electrode", of_electrode["contamination"].to_numpy(float), {"units": "1"}
            ),
        },
        coords={
            "analysis": analyses,
            "model": models,
            "person": ("person", people, {"long_name": "participant"}),
            "layer": ("layer", layers, {"long_name": "hidden state, 0 enters the first block"}),
            "lag": ("lag", lags, {"units": "s", "long_name": "lag of the signal behind the model"}),
            "participant": ("electrode", [k[0] for k in keys]),
            "name": ("electrode", [k[1] for k in keys]),
            "region": ("electrode", of_electrode["region"].fillna(store.MISSING).astype(str)
                       .to_numpy(dtype=str)),
            **{
                axis: ("electrode", of_electrode[axis].to_numpy(float), {"units": "mm"})
                for axis in ("x", "y", "z")
            },
        },
    )  # fmt: skip


# ---------------------------------------------------------------------------------- the hand-over


def read_channels(paths: Iterable[str | Path]) -> dict[str, pd.DataFrame]:
    """Channels tables by participant, which is the file's name."""
    text = ("name", "type", "status", "kept", "reason", "region", "shaft", "contact")
    return {Path(p).stem: store.read_table(p, strings=text) for p in sorted(map(str, paths))}


def read_contamination(paths: Iterable[str | Path]) -> dict[str, dict[str, float]]:
    """The audit's p-value of each electrode, by participant, which is the file's name."""
    found: dict[str, dict[str, float]] = {}
    for path in sorted(map(str, paths)):
        with store.open_dataset(path) as audit:
            if "p" not in audit or "channel" not in audit.coords:
                continue
            names = [str(name) for name in audit["channel"].values]
            found[Path(path).stem] = dict(zip(names, audit["p"].values.astype(float), strict=True))
    return found


def write(
    summary: Summary,
    *,
    electrodes: str | Path,
    layers: str | Path,
    participants: str | Path,
    arrays: str | Path,
) -> None:
    """Write the three tables and the arrays."""
    store.write_table(summary.electrodes, electrodes)
    store.write_table(summary.layers, layers)
    store.write_table(summary.participants, participants)
    store.write_dataset(
        summary.arrays, arrays, stage="summary", parameters={"run": summary.arrays.attrs["run"]}
    )
