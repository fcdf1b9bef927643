"""The columns of a run's tables: each one's name, meaning, unit and origin.

A column that is declared here reaches its table, the documentation (docs/files.md) and, of
electrodes, the report's table. What is stored with the fits themselves is declared in
`highgamma.encoding.columns`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np

from highgamma import store
from highgamma.encoding.columns import SCORE_COLUMNS
from highgamma.gain import TOGETHER
from highgamma.registry import Registry
from highgamma.scores import LEVEL
from highgamma.summary.choice import FloatArray
from highgamma.summary.fits import STUDY_FIGURES, FitSummary, number
from highgamma.summary.verdict import Score, judge

FLAGS = {
    "flat": "the electrode’s signal is constant",
    "intercept-only": "the fit ignores its input: it predicts the training mean everywhere",
    "contaminated": f"the audit finds the microphone in the electrode (q < {LEVEL} within its "
    "participant)",
    "not-auditable": "the audio is altered in pitch, and the audit cannot tell by how much",
    "not-tested": "the analysis drew no permutations, so there is no p",
    "not-significant": f"q is not below {LEVEL}",
    "no-skill": "the skill is not above 0: the training mean predicts the held-out samples as well",
    "below-control": "nuisances and controls explain as much: the gain is not above 0, or "
    f"its q is not below {LEVEL}",
    "leaky-split": "held-out samples have close neighbours among the training samples",
}
"""Every flag and its meaning."""


@dataclass(frozen=True, slots=True)
class Audited:
    """The audit of one electrode: its p, its q within the participant, and whether it can tell.

    An electrode is not `auditable` if the audio is altered in pitch by an unknown amount.
    """

    p: float
    q: float
    auditable: bool = True


NOT_AUDITED = Audited(float("nan"), float("nan"))


@dataclass(frozen=True, slots=True)
class Gain:
    """The gain of each electrode over one control, or over all, and its p (electrode,)."""

    gain: FloatArray
    p: FloatArray


def no_gain(n: int) -> Gain:
    """Return the gain of n electrodes where none is known."""
    return Gain(np.full(n, np.nan), np.full(n, np.nan))


@dataclass(frozen=True, slots=True)
class Beside:
    """Context of a fit: what is known of it from other files and fits.

    Attributes
    ----------
    q
        (electrode,) false-discovery rates within the family.
    place, audit
        Place and audit of electrodes, by name.
    controls
        The skill (electrode,) of every nuisance and control that the model is compared with, NaN
        where it has none here.
    gains
        By control, and `gain.TOGETHER` for all: the gain (electrode,) over it and its p.
    gain_q
        (electrode,) false-discovery rates of the gain over all, within those of the family that
        are significant; NaN elsewhere.
    position_r, position_skill
        (electrode,) of position features under the same split.
    role
        `model`, `control` (named by the analysis), `position` or `nuisance`.
    """

    q: FloatArray
    place: Mapping[str, Mapping[str, Any]]
    audit: Mapping[str, Audited]
    controls: Mapping[str, FloatArray]
    gains: Mapping[str, Gain]
    gain_q: FloatArray
    position_r: FloatArray
    position_skill: FloatArray
    role: str


class JudgedFit:
    """A fit in its context, with gains, flags and verdicts.

    Attributes
    ----------
    fit, beside
        The fit's scores, and its context.
    gain, best_control
        (electrode,) the gain over nuisances and controls together, and the one of them over which
        the model gains least.
    audits
        The audit of each electrode.
    flags, verdict, rule
        Each electrode's flags, joined by commas, its verdict and the sentence that led to it.
    """

    def __init__(self, fit: FitSummary, beside: Beside) -> None:
        self.fit, self.beside = fit, beside
        self.gain = beside.gains.get(TOGETHER, no_gain(len(fit.channels)))
        self.best_control = self._least_gains()
        self.audits = [beside.audit.get(name, NOT_AUDITED) for name in fit.channels]
        self.flags = [self._flags(k) for k in range(len(fit.channels))]
        judged = [judge(self._score(k)) for k in range(len(fit.channels))]
        self.verdict = [verdict for verdict, _ in judged]
        self.rule = [rule for _, rule in judged]

    def _least_gains(self) -> list[str | None]:
        """Return for each electrode the control over which the model gains least."""
        names = [name for name in self.beside.gains if name != TOGETHER]
        if not names:
            return [None] * len(self.fit.channels)
        each = np.stack([self.beside.gains[name].gain for name in names])
        known = np.asarray(np.isfinite(each).any(axis=0))
        least = np.argmin(np.where(np.isfinite(each), each, np.inf), axis=0)
        return [names[k] if there else None for k, there in zip(least, known, strict=True)]

    def _flags(self, k: int) -> str:
        fit = self.fit
        raised = {
            "flat": fit.flat[k],
            "intercept-only": fit.intercept_only[k],
            "contaminated": self.audits[k].q < LEVEL,
            "not-auditable": not self.audits[k].auditable and not self.audits[k].q < LEVEL,
            "not-tested": not fit.tested,
            "not-significant": fit.tested and not self.beside.q[k] < LEVEL,
            "no-skill": fit.skill[k] <= 0,
            "below-control": self.gain.gain[k] <= 0 or self.beside.gain_q[k] >= LEVEL,
            "leaky-split": fit.leaky,
        }
        return ",".join(name for name in FLAGS if raised[name])

    def _score(self, k: int) -> Score:
        fit, audit = self.fit, self.audits[k]
        controls = self.beside.controls.items()
        return Score(
            skill=float(fit.skill[k]),
            q=float(self.beside.q[k]),
            gain=float(self.gain.gain[k]),
            gain_q=float(self.beside.gain_q[k]),
            compared=bool(self.beside.controls),
            audit_q=audit.q,
            auditable=audit.auditable,
            distance_s=fit.distance_s,
            flat=bool(fit.flat[k]),
            leaky=fit.leaky,
            intercept_only=bool(fit.intercept_only[k]),
            tested=fit.tested,
            contaminated=audit.q < LEVEL,
            best_control=self.best_control[k],
            lacking=tuple(name for name, skill in controls if not np.isfinite(skill[k])),
            role=self.beside.role,
        )

    def coordinate(self, axis: str) -> FloatArray:
        """Return a coordinate (electrode,), mm, from the channels table, else from the scores.

        A re-referenced pair has a place of its own, which only the scores hold.
        """
        names, place = self.fit.channels, self.beside.place
        known = np.array([number(place.get(name, {}).get(axis)) for name in names])
        from_scores = np.array(self.fit.places.get(axis, [np.nan] * len(known)))
        return np.where(np.isfinite(known), known, from_scores)

    def region(self) -> list[str | None]:
        """Return the region of each electrode from the channels table, else from the scores."""
        names, place = self.fit.channels, self.beside.place
        regions: list[str | None] = []
        from_scores = self.fit.places.get("region", [None] * len(names))
        for name, from_score in zip(names, from_scores, strict=True):
            value = place.get(name, {}).get("region")
            value = value if isinstance(value, str) else from_score
            regions.append(value if value not in ("", store.MISSING) else None)
        return regions

    def space(self) -> list[str | None]:
        """Return the coordinate system of each electrode's position; None where it is unknown.

        A re-referenced pair has that of its participant's electrodes.
        """
        systems = {of.get("space") for of in self.beside.place.values()}
        named = [s for s in systems if isinstance(s, str) and s not in ("", store.MISSING)]
        only = named[0] if len(named) == 1 else None
        found = (self.beside.place.get(name, {}).get("space") for name in self.fit.channels)
        return [s if isinstance(s, str) and s != store.MISSING else only for s in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumn:
    """A column of a table.

    Attributes
    ----------
    name, meaning
        What the table's head and the documentation call it.
    values
        ``values(part)`` returns the column's values for one part of the table, or a scalar that
        all its rows share.
    text
        Whether it holds text.
    whole
        Whether it holds whole numbers, some of which may be missing.
    """

    name: str
    meaning: str
    values: Callable[[Any], Any]
    text: bool = False
    whole: bool = False


@dataclass(frozen=True, slots=True)
class LayersPart:
    """The rows of one fit in `layers.tsv`, one for each layer."""

    fit: FitSummary


@dataclass(frozen=True, slots=True)
class GainsPart:
    """The rows of one fit and control in `gains.tsv`, one for each electrode."""

    fit: FitSummary
    control: str
    control_skill: FloatArray
    gain: Gain


@dataclass(frozen=True, slots=True)
class NuisancePart:
    """The rows of one group of nuisances in `nuisances.tsv`, a row an electrode."""

    fit: FitSummary
    nuisance: str
    r: FloatArray
    skill: FloatArray


@dataclass(frozen=True, slots=True)
class PartitionPart:
    """The rows of one joint fit and space in `partition.tsv`, one for each electrode."""

    fit: FitSummary
    space: str
    values: Mapping[str, FloatArray]


def split_flag(*, leaky: bool) -> str:
    """Return the flag of results under a split that leaks, else an empty string."""
    return "leaky-split" if leaky else ""


def _keys(names: Sequence[str], fit: Callable[[Any], FitSummary]) -> list[TableColumn]:
    """Return the columns that identify a row's fit."""
    meanings = {
        "analysis": ("the analysis", lambda part: fit(part).analysis),
        "participant": ("the participant", lambda part: fit(part).participant),
        "model": ("the model", lambda part: fit(part).model),
        "electrode": ("the electrode", lambda part: fit(part).channels),
    }
    return [
        TableColumn(name=name, meaning=meanings[name][0], values=meanings[name][1], text=True)
        for name in names
    ]


def _split_columns(fit: Callable[[Any], FitSummary]) -> list[TableColumn]:
    """Return the columns of a split's least distance (s) and flag."""
    return [
        TableColumn(
            name="distance_s",
            meaning="least time between a training and a held-out sample, s",
            values=lambda part: fit(part).distance_s,
        ),
        TableColumn(
            name="flags",
            meaning="`leaky-split`, or empty",
            values=lambda part: split_flag(leaky=fit(part).leaky),
            text=True,
        ),
    ]


def _fit(part: Any) -> FitSummary:
    fit: FitSummary = part.fit
    return fit


def _of_fit(attribute: str, key: int | str) -> Callable[[Any], Any]:
    """Return a function that gets an entry of one of the fit's collections."""
    return lambda part: getattr(part.fit, attribute)[key]


def _of_space(name: str) -> Callable[[Any], Any]:
    return lambda part: part.values[name]


def _coordinate(axis: str) -> Callable[[Any], Any]:
    return lambda part: part.coordinate(axis)


def _study_figure(name: str) -> Callable[[Any], Any]:
    return lambda part: part.fit.figures[name][part.fit.modal]


def _registry(noun: str, columns: Sequence[TableColumn]) -> Registry[TableColumn]:
    registry: Registry[TableColumn] = Registry(noun)
    for column in columns:
        registry.register(column)
    return registry


ELECTRODE_COLUMNS = _registry(
    "column of electrodes.tsv",
    [
        *_keys(("analysis", "participant", "electrode"), _fit),
        *(
            TableColumn(
                name=axis,
                meaning="position in mm, in the data set's coordinate system",
                values=_coordinate(axis),
            )
            for axis in ("x", "y", "z")
        ),
        TableColumn(
            name="region",
            meaning="anatomical label",
            values=lambda part: part.region(),
            text=True,
        ),
        *_keys(("model",), _fit),
        TableColumn(
            name="layer",
            meaning="the layer chosen on training folds, most often over the folds",
            values=lambda part: part.fit.layer,
            whole=True,
        ),
        TableColumn(
            name="r",
            meaning="held-out correlation of that choice",
            values=lambda part: part.fit.r,
        ),
        TableColumn(
            name="skill",
            meaning="1 − SSE / SSE of the training mean of that choice, on held-out samples",
            values=lambda part: part.fit.skill,
        ),
        TableColumn(
            name="p",
            meaning="p-value of r against surrogates; of several layers or lags, of the best one's "
            "r against the surrogates' best",
            values=lambda part: part.fit.p,
        ),
        TableColumn(
            name="q",
            meaning="false-discovery rate of p over the family",
            values=lambda part: part.beside.q,
        ),
        TableColumn(
            name="gain",
            meaning="skill of the model with the nuisances, minus skill of nuisances and controls, "
            "the least over each control and all; [Gain](scores.md#gain)",
            values=lambda part: part.gain.gain,
        ),
        TableColumn(
            name="contamination",
            meaning="p-value of the audit of sound",
            values=lambda part: np.array([audit.p for audit in part.audits]),
        ),
        TableColumn(
            name="flags",
            meaning="comma-separated, empty where nothing is wrong",
            values=lambda part: part.flags,
            text=True,
        ),
        # New columns come only after `flags`.
        TableColumn(
            name="stability",
            meaning="share of folds that chose `layer`",
            values=lambda part: part.fit.stability,
        ),
        TableColumn(
            name="best_control",
            meaning="the nuisance or control over which the model gains least",
            values=lambda part: part.best_control,
            text=True,
        ),
        *(
            TableColumn(
                name=name,
                meaning=f"of a lag curve: {meaning}, s",
                values=_of_fit("peak", k),
            )
            for k, (name, meaning) in enumerate(
                (
                    ("peak_lag", "the lag of its peak"),
                    ("peak_lag_low", "lower end of the peak's bootstrap interval"),
                    ("peak_lag_high", "upper end of the peak's bootstrap interval"),
                )
            )
        ),
        _split_columns(_fit)[0],
        TableColumn(
            name="mean_r",
            meaning="correlation of the signal with its folds' training means: what the mean "
            "predictor reaches (−1 where one word is left out)",
            values=lambda part: part.fit.mean_r,
        ),
        TableColumn(
            name="position_r",
            meaning="r of features that know nothing but the time, under the same split",
            values=lambda part: part.beside.position_r,
        ),
        TableColumn(
            name="position_skill",
            meaning="skill of features that know nothing but the time, under the same split",
            values=lambda part: part.beside.position_skill,
        ),
        TableColumn(
            name="verdict",
            meaning="one word on the score; [Verdicts](scores.md#verdicts)",
            values=lambda part: part.verdict,
            text=True,
        ),
        TableColumn(
            name="rule",
            meaning="the sentence that led to the verdict",
            values=lambda part: part.rule,
            text=True,
        ),
        TableColumn(
            name="noise_ceiling",
            meaning="greatest r that a function of the word can reach",
            values=lambda part: part.fit.noise_ceiling,
        ),
        TableColumn(
            name="ceiling_status",
            meaning="`estimated`, or `not-estimable` where words do not repeat",
            values=lambda part: part.fit.ceiling_status,
            text=True,
        ),
        TableColumn(
            name="lag",
            meaning="of a lag curve: the lag that most folds chose on their training samples, s; "
            "`r` and `skill` are of each fold's own choice",
            values=lambda part: part.fit.chosen_lag,
        ),
        TableColumn(
            name="lag_stability",
            meaning="share of folds that chose `lag`",
            values=lambda part: part.fit.lag_stability,
        ),
        TableColumn(
            name="r_best",
            meaning="r of the best layer and lag on held-out samples, which `p` is of; `r` is of "
            "those that training folds chose",
            values=lambda part: part.fit.r_best,
        ),
        TableColumn(
            name="gain_p",
            meaning="one-sided p-value of `gain`, the largest over each control and all",
            values=lambda part: part.gain.p,
        ),
        TableColumn(
            name="gain_q",
            meaning="false-discovery rate of `gain_p` over those electrodes of the family whose "
            "skill is above 0 and whose q is below .05",
            values=lambda part: part.beside.gain_q,
        ),
        TableColumn(
            name="space",
            meaning="coordinate system of the position, such as `ACPC` (a participant's own head) "
            "or a template's name",
            values=lambda part: part.space(),
            text=True,
        ),
    ],
)
"""Columns of electrodes.tsv; score columns of the kind `electrode_column` follow them."""


def electrode_columns() -> dict[str, TableColumn]:
    """Return the columns of electrodes.tsv by name, those of score columns last."""
    further = {
        name: TableColumn(
            name=name,
            meaning=column.meaning,
            values=_of_fit("columns", name),
        )
        for name, column in SCORE_COLUMNS.items()
        if column.electrode_column
    }
    return {**ELECTRODE_COLUMNS, **further}


LAYER_COLUMNS = _registry(
    "column of layers.tsv",
    [
        *_keys(("analysis", "participant", "model"), _fit),
        TableColumn(
            name="layer",
            meaning="hidden state, 0 enters the first block",
            values=lambda part: part.fit.layers,
        ),
        *(
            TableColumn(
                name=name,
                meaning=meaning,
                values=_of_fit("layer_rows", name),
            )
            for name, meaning in (
                ("n_electrodes", "electrodes that have a skill"),
                ("r_mean", "mean of r over electrodes"),
                ("r_median", "median of r over electrodes"),
                ("r_max", "largest r"),
                ("skill_mean", "mean of the skill over electrodes"),
                ("skill_median", "median of the skill over electrodes"),
            )
        ),
        *_split_columns(_fit),
    ],
)


def _median_skill(part: JudgedFit) -> float:
    skill = part.fit.skill[np.isfinite(part.fit.skill)]
    return float(np.median(skill)) if skill.size else np.nan


STUDY_MEANINGS = {
    "pcc_across_channels": "the study's correlation across electrodes, mean over samples",
    "r2_across_channels": "the study's R² across electrodes, mean over samples",
    "pcc_mean_predictor": "the same correlation of the training mean",
    "r2_mean_predictor": "the same R² of the training mean",
    "pcc_shuffled": "the same correlation with shuffled embeddings",
    "r2_shuffled": "the same R² with shuffled embeddings",
}

PARTICIPANT_COLUMNS = _registry(
    "column of participants.tsv",
    [
        *_keys(("analysis", "participant", "model"), _fit),
        TableColumn(
            name="layer",
            meaning="the layer chosen most often over folds and electrodes",
            values=lambda part: int(part.fit.layers[part.fit.modal]),
            whole=True,
        ),
        TableColumn(
            name="n_electrodes",
            meaning="electrodes of the fit",
            values=lambda part: len(part.fit.channels),
            whole=True,
        ),
        TableColumn(
            name="n_samples",
            meaning="held-out samples of all folds",
            values=lambda part: part.fit.n_samples,
            whole=True,
        ),
        *(
            TableColumn(
                name=name,
                meaning=STUDY_MEANINGS[name],
                values=_study_figure(name),
            )
            for name in STUDY_FIGURES
        ),
        TableColumn(
            name="skill_median",
            meaning="median of the skill over electrodes",
            values=_median_skill,
        ),
        TableColumn(
            name="n_significant",
            meaning=f"electrodes with q < {LEVEL}; missing where nothing was tested",
            values=lambda part: int((part.beside.q < LEVEL).sum()) if part.fit.tested else None,
            whole=True,
        ),
        _split_columns(_fit)[0],
        TableColumn(
            name="leaky",
            meaning="1 where the split mixes neighbours",
            values=lambda part: int(part.fit.leaky),
            whole=True,
        ),
        _split_columns(_fit)[1],
    ],
)

GAIN_COLUMNS = _registry(
    "column of gains.tsv",
    [
        *_keys(("analysis", "participant", "electrode", "model"), _fit),
        TableColumn(
            name="control",
            meaning="a nuisance or control that the model is compared with",
            values=lambda part: part.control,
            text=True,
        ),
        TableColumn(name="skill", meaning="the model's skill", values=lambda part: part.fit.skill),
        TableColumn(
            name="control_skill",
            meaning="the control's skill",
            values=lambda part: part.control_skill,
        ),
        TableColumn(
            name="gain",
            meaning="skill of the model with the nuisances, minus skill of the nuisances with the "
            "control",
            values=lambda part: part.gain.gain,
        ),
        *_split_columns(_fit),
        TableColumn(
            name="p", meaning="one-sided p-value of `gain`", values=lambda part: part.gain.p
        ),
    ],
)

NUISANCE_COLUMNS = _registry(
    "column of nuisances.tsv",
    [
        *_keys(("analysis", "participant", "electrode"), _fit),
        TableColumn(
            name="nuisance",
            meaning="the group of nuisances, fitted by itself",
            values=lambda part: part.nuisance,
            text=True,
        ),
        TableColumn(name="r", meaning="held-out correlation", values=lambda part: part.r),
        TableColumn(
            name="skill",
            meaning="1 − SSE / SSE of the training mean, on held-out samples",
            values=lambda part: part.skill,
        ),
        *_split_columns(_fit),
    ],
)

PARTITION_COLUMNS = _registry(
    "column of partition.tsv",
    [
        *_keys(("analysis", "participant", "electrode", "model"), _fit),
        TableColumn(
            name="space",
            meaning="the model whose part it is",
            values=lambda part: part.space,
            text=True,
        ),
        TableColumn(
            name="skill", meaning="the joint fit's skill", values=lambda part: part.fit.skill
        ),
        *(
            TableColumn(
                name=name,
                meaning=meaning,
                values=_of_space(name),
            )
            for name, meaning in (
                ("unique", "joint skill minus the skill without the space"),
                ("share", "the space's part of the joint skill (product measure)"),
                (
                    "shared",
                    "what no single space explains alone (the same in all rows of an electrode)",
                ),
            )
        ),
        TableColumn(
            name="noise_ceiling",
            meaning="greatest r that a function of the word can reach",
            values=lambda part: part.fit.noise_ceiling,
        ),
        TableColumn(
            name="explainable",
            meaning="signal power over total power, where words repeat",
            values=_of_space("explainable"),
        ),
        TableColumn(
            name="alpha",
            meaning="median over folds of the space's penalty, `inf` where most folds leave the "
            "space out",
            values=_of_space("alpha"),
        ),
        TableColumn(
            name="ceiling_status",
            meaning="`estimated`, or `not-estimable` where words do not repeat",
            values=lambda part: part.fit.ceiling_status,
            text=True,
        ),
        *_split_columns(_fit),
    ],
)

MISSING_COLUMNS = _registry(
    "column of missing.tsv",
    [
        TableColumn(name=name, meaning=meaning, values=itemgetter(k), text=True)
        for k, (name, meaning) in enumerate(
            (
                ("analysis", "the analysis"),
                ("participant", "the participant"),
                ("model", "the model"),
                ("stage", "the stage whose job did not finish; its log is in `logs/<stage>/`"),
                ("file", "the file that it would have made"),
            )
        )
    ],
)

TABLES: dict[str, Callable[[], Mapping[str, TableColumn]]] = {
    "electrodes": electrode_columns,
    "layers": lambda: LAYER_COLUMNS,
    "participants": lambda: PARTICIPANT_COLUMNS,
    "gains": lambda: GAIN_COLUMNS,
    "nuisances": lambda: NUISANCE_COLUMNS,
    "partition": lambda: PARTITION_COLUMNS,
    "missing": lambda: MISSING_COLUMNS,
}
"""The columns of each table, by the table's name."""
