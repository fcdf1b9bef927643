"""Read the report's inputs: tables, arrays, held-out predictions, audits and planted truth."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma import store
from highgamma.embeddings.vocabulary import VOCABULARY
from highgamma.errors import InputError
from highgamma.group import COLUMNS as GROUP_COLUMNS
from highgamma.summary.columns import GAIN_COLUMNS, MISSING_COLUMNS, PARTITION_COLUMNS
from highgamma.timecourse import Course, read_courses

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

FloatArray = NDArray[np.float64]

_TEXT = (
    *("analysis", "participant", "electrode", "region", "model", "flags", "best_control", "word"),
    *(
        "verdict",
        "rule",
        "control",
        "space",
        "source",
        "group",
        "value",
        "electrodes",
        "ceiling_status",
        "stage",
        "file",
    ),
)

PUBLISHED_COLUMNS = ("participant", "model", "pcc", "r2", "source")


@dataclass(frozen=True, slots=True)
class Audit:
    """A participant's contamination audit.

    Attributes
    ----------
    electrodes
        Names of the channels as they are analysed.
    p, excess
        (electrode,) p of the audit, and the excess that it tests.
    p_recording
        p of the whole recording.
    worst
        The electrode with the smallest p, and among equals the largest excess.
    matrix
        (frequency_audio, frequency) phase locking of `worst`.
    frequency_audio, frequency
        Frequencies of the sound and of the electrode, Hz.
    recorded, p_recorded, p_recording_recorded
        The same for the channels as they were recorded, if the analysis is re-referenced.
    """

    electrodes: tuple[str, ...]
    p: FloatArray
    excess: FloatArray
    p_recording: float
    worst: str
    matrix: FloatArray
    frequency_audio: FloatArray
    frequency: FloatArray
    recorded: tuple[str, ...] = ()
    p_recorded: FloatArray = field(default_factory=lambda: np.empty(0))
    p_recording_recorded: float = float("nan")


@dataclass(frozen=True, slots=True)
class Trace:
    """One electrode's held-out signal and its prediction, in the order of time.

    Attributes
    ----------
    unit
        `frame` or `word`.
    position
        (sample,) time in s, or the number of the word.
    segment
        (sample,) number of the segment.
    observed, predicted
        (sample,) activity.
    delay
        (delay,) s.
    weights
        (delay, feature), of size 0 if the fit kept none.
    """

    unit: str
    position: FloatArray
    segment: NDArray[np.int64]
    observed: FloatArray
    predicted: FloatArray
    delay: FloatArray
    weights: FloatArray


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that a report shows.

    Attributes
    ----------
    run, config
        Name and configuration of the run.
    electrodes, layers, participants, gains, partition, missing
        Tables of the summary.
    arrays
        The summary's arrays.
    scores
        Score files by (analysis, participant, model), not yet read.
    audits
        Contamination audit by participant.
    truth
        Planted truth, None for real recordings.
    words, quality
        Table of words, and table of quality, by participant.
    published
        Scores of a published study, None if not given.
    group
        Group statistics, `group.tsv`.
    courses
        Time courses of all fits that have them.
    """

    run: str
    config: Mapping[str, Any]
    electrodes: pd.DataFrame
    layers: pd.DataFrame
    participants: pd.DataFrame
    arrays: xr.Dataset
    scores: Mapping[tuple[str, str, str], tuple[Path, ...]]
    audits: Mapping[str, Audit]
    truth: pd.DataFrame | None
    words: Mapping[str, pd.DataFrame]
    quality: Mapping[str, pd.DataFrame]
    gains: pd.DataFrame
    partition: pd.DataFrame
    missing: pd.DataFrame
    published: pd.DataFrame | None
    group: pd.DataFrame
    courses: tuple[Course, ...]

    @property
    def analyses(self) -> list[str]:
        """Names of the analyses, in the tables' order."""
        return list(dict.fromkeys(self.electrodes["analysis"]))

    @property
    def models(self) -> list[str]:
        """Names of the models, in the order in which they first appear."""
        return list(dict.fromkeys(self.electrodes["model"]))

    def settings(self, analysis: str) -> Mapping[str, Any]:
        """Return an analysis's settings, as the summary stored them."""
        settings = json.loads(str(self.arrays.attrs.get("analyses", "{}"))).get(analysis, {})
        return settings if isinstance(settings, dict) else {}

    def controls(self, analysis: str) -> list[str]:
        """Return the names of an analysis's controls, position and nuisances among them."""
        named = self.settings(analysis).get("controls") or []
        return list(dict.fromkeys([*named, *self.everywhere]))

    @property
    def positions(self) -> list[str]:
        """Names of the models whose only feature is position in time."""
        return [name for name, role in self.roles.items() if role == "position"]

    @property
    def everywhere(self) -> list[str]:
        """Names of the models that are controls of every analysis: position and nuisances."""
        return [name for name, role in self.roles.items() if role != "model"]

    @property
    def roles(self) -> dict[str, str]:
        """The role of each model's kind."""
        return dict(json.loads(str(self.arrays.attrs.get("roles", "{}"))))

    @property
    def vocabularies(self) -> dict[str, dict[str, Any]]:
        """Which words each model does not know, by model and participant."""
        return dict(json.loads(str(self.arrays.attrs.get(VOCABULARY, "{}"))))

    def findings(self, rows: pd.DataFrame, analysis: str) -> pd.DataFrame:
        """Return the rows of models that are not controls; a control is never a finding."""
        return rows[~rows["model"].isin(self.controls(analysis))]

    def unit(self, analysis: str) -> str:
        """Return the unit of an analysis, `word` or `frame`."""
        units = json.loads(str(self.arrays.attrs.get("unit", "{}")))
        return str(self.settings(analysis).get("unit") or units.get(analysis) or "")


def read(
    *,
    run: str,
    config: Mapping[str, Any],
    electrodes: str | Path,
    layers: str | Path,
    participants: str | Path,
    summary: str | Path,
    scores: Iterable[str | Path],
    contamination: Iterable[str | Path] = (),
    truth: Iterable[str | Path] = (),
    words: Iterable[str | Path] = (),
    quality: Iterable[str | Path] = (),
    gains: str | Path | None = None,
    partition: str | Path | None = None,
    missing: str | Path | None = None,
    published: str | Path | None = None,
    group: str | Path | None = None,
    courses: Iterable[str | Path] = (),
) -> Evidence:
    """Read a run's tables, audits and truth, and collect the paths of its score files.

    Parameters
    ----------
    run, config
        Name and configuration of the run.
    electrodes, layers, participants, gains, partition, missing
        Tables of the summary.
    summary
        The summary's arrays.
    scores
        Score files `…/<analysis>/<participant>/<model>/<layers>.nc`.
    contamination, truth, words, quality
        Audits, planted truth, tables of words and of quality, one file for each participant.
    published
        Scores of a published study, a table of `participant model pcc r2 source`.
    group
        Group statistics, `group.tsv`.
    courses
        Time courses (`timecourse.read_courses`).

    Returns
    -------
    evidence
        The report leaves out what is not given.

    Raises
    ------
    InputError
        If the published scores lack a column.
    """
    import pandas as pd

    by_fit: dict[tuple[str, str, str], list[Path]] = {}
    for path in sorted({Path(p) for p in scores}):
        key = (path.parent.parent.parent.name, path.parent.parent.name, path.parent.name)
        by_fit.setdefault(key, []).append(path)
    planted = [store.read_table(p, strings=(*_TEXT, "kind")) for p in sorted(map(str, truth))]
    planted = [t for t in planted if {"participant", "electrode", "kind"} <= set(t.columns)]
    table = store.read_table(electrodes, strings=_TEXT)
    return Evidence(
        run=run,
        config=config,
        electrodes=table.assign(flags=table["flags"].fillna("")),
        layers=store.read_table(layers, strings=_TEXT),
        participants=store.read_table(participants, strings=_TEXT),
        arrays=store.read_dataset(summary),
        scores={key: tuple(paths) for key, paths in by_fit.items()},
        audits={Path(p).stem: a for p in sorted(map(str, contamination)) if (a := read_audit(p))},
        truth=pd.concat(planted, ignore_index=True) if planted else None,
        words=_by_participant(words),
        quality=_by_participant(quality),
        gains=_table(gains, GAIN_COLUMNS),
        partition=_table(partition, PARTITION_COLUMNS),
        missing=_table(missing, MISSING_COLUMNS),
        published=None if published is None else _published(published),
        group=_table(group, GROUP_COLUMNS),
        courses=tuple(read_courses(courses)),
    )


def _by_participant(paths: Iterable[str | Path]) -> dict[str, pd.DataFrame]:
    return {Path(p).stem: store.read_table(p, strings=_TEXT) for p in sorted(map(str, paths))}


def _table(path: str | Path | None, columns: Iterable[str]) -> pd.DataFrame:
    """Read a table; without a path, return one without rows."""
    import pandas as pd

    if path is None:
        return pd.DataFrame(columns=list(columns))
    return store.read_table(path, strings=_TEXT)


def _published(path: str | Path) -> pd.DataFrame:
    table = store.read_table(path, strings=_TEXT)
    missing = [name for name in PUBLISHED_COLUMNS if name not in table]
    if missing:
        raise InputError(
            f"the published scores have no column {', '.join(missing)}",
            where=path,
            expected="a tab-separated table with the columns " + " ".join(PUBLISHED_COLUMNS),
            remedy="add the column, n/a where a score was not published",
        )
    return table


def read_audit(path: str | Path) -> Audit | None:
    """Read a participant's audit; None if the recording has no sound."""
    with store.open_dataset(path) as audit:
        if "p" not in audit or "channel" not in audit.coords or not audit.sizes["channel"]:
            return None
        names = tuple(str(name) for name in audit["channel"].values)
        p = audit["p"].values.astype(float)
        excess = (
            audit["excess"].values.astype(float) if "excess" in audit else np.full(p.shape, 0.0)
        )
        worst = int(np.lexsort((-np.nan_to_num(excess, nan=-np.inf), np.nan_to_num(p, nan=2.0)))[0])
        matrix = np.empty((0, 0))
        sound = neural = np.empty(0)
        # The audit tests phase locking; files without it have only `matrix`.
        kept = next((name for name in ("locking", "matrix") if name in audit), None)
        if kept:
            values = audit[kept].isel(channel=worst)
            dims = sorted(map(str, values.dims), key=lambda d: "audio" not in d)
            matrix = values.transpose(*dims).values.astype(float)
            sound, neural = (
                audit[d].values.astype(float)
                if d in audit.coords
                else np.arange(audit.sizes[d], dtype=float)
                for d in dims
            )
        rereferenced = str(audit.attrs.get("reference", "none")) != "none"
        return Audit(
            electrodes=names,
            p=p,
            excess=excess,
            p_recording=float(audit["p_recording"]),
            worst=names[worst],
            matrix=matrix,
            frequency_audio=sound,
            frequency=neural,
            **(_as_recorded(audit) if rereferenced else {}),
        )


def _as_recorded(audit: xr.Dataset) -> dict[str, Any]:
    return {
        "recorded": tuple(str(name) for name in audit["recorded_channel"].values),
        "p_recorded": audit["p_recorded"].values.astype(float),
        "p_recording_recorded": float(audit["p_recording_recorded"]),
    }


def read_trace(paths: Iterable[Path], *, electrode: str, layer: int) -> Trace | None:
    """Read an electrode's held-out signal and its prediction.

    Parameters
    ----------
    paths
        Score files of one fit.
    electrode
        Name of the electrode.
    layer
        A layer; the prediction comes from the file that holds it, and is that of the layers which
        the folds chose within that file.

    Returns
    -------
    trace
        None if no file has the layer, the electrode or the predictions.
    """
    for path in paths:
        with store.open_dataset(path) as scores:
            layers = np.atleast_1d(scores["layer"].values).astype(int)
            if layer not in layers or not {"prediction", "observed"} <= set(scores.data_vars):
                continue
            names = [str(name) for name in scores["channel"].values]
            if electrode not in names:
                return None
            k = names.index(electrode)
            n = scores.sizes["sample"]
            unit = str(scores.attrs.get("unit", "frame" if "time" in scores.variables else "word"))
            position = scores["time"] if unit == "frame" else scores.get("word_index")
            delay, weights = np.empty(0), np.empty((0, 0))
            if "coefficients" in scores and "delay" in scores["coefficients"].dims:
                kept = scores["coefficients"].isel(channel=k)
                if "layer" in kept.dims:
                    kept = kept.isel(layer=int(np.flatnonzero(layers == layer)[0]))
                kept = kept if "feature" in kept.dims else kept.expand_dims("feature")
                weights = kept.transpose("delay", "feature").values.astype(float)
                delay = scores["delay"].values.astype(float)
            where = np.arange(n, dtype=float) if position is None else position.values.astype(float)
            segment = scores["segment"].values if "segment" in scores.variables else np.zeros(n)
            order = np.lexsort((where, segment))
            return Trace(
                unit=unit,
                position=where[order],
                segment=np.asarray(segment[order], dtype=np.int64),
                observed=scores["observed"].isel(channel=k).values.astype(float)[order],
                predicted=scores["prediction"].isel(channel=k).values.astype(float)[order],
                delay=delay,
                weights=weights,
            )
    return None
