"""Statistics over a group of participants, electrodes nested within them.

Electrodes of one participant resemble each other, and participants have unequal numbers of them: an
interval over electrodes would be too narrow. Participants are therefore the units: the mean over a
participant's electrodes, then Student's t over participants (r after Fisher's z-transformation).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from highgamma import store
from highgamma.errors import InputError
from highgamma.sections import setting
from highgamma.summary.columns import split_flag

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

GREATEST_R = 1 - 1e-9
"""A correlation of 1 has no finite z."""

COLUMNS = (
    *("analysis", "model", "group", "value", "electrodes", "n_participants", "n_electrodes"),
    *("r_mean", "r_low", "r_high", "skill_mean", "skill_low", "skill_high", "n_supported"),
    # New columns come only at the end.
    *("n_r", "gain_mean", "gain_low", "gain_high", "distance_s", "flags"),
)
FOUL = ("contaminated", "flat")
"""Flags of the electrodes that are not `clean`."""

NO_REGION = ("", "unknown", store.MISSING)


# ------------------------------------------------------------------------- means and intervals


def participant_means(values: FloatArray, participant: NDArray[Any]) -> FloatArray:
    """Return the mean over each participant's electrodes, (participant, …), by ascending name.

    Parameters
    ----------
    values
        (electrode, …), without missing values.
    participant
        (electrode,) participant of each electrode.
    """
    names, owner = np.unique(participant, return_inverse=True)
    sums = np.zeros((len(names), *values.shape[1:]))
    np.add.at(sums, owner, values)
    counts = np.bincount(owner).reshape(-1, *(1,) * (values.ndim - 1))
    return np.asarray(sums / counts)


def t_interval(means: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return both ends of the 95 % interval of a mean over the first axis, by Student's t.

    Participants are the units: m ± t(.975, P − 1) s/√P, s the standard deviation of their means.
    NaN for one participant.
    """
    from scipy.stats import t as student

    n = len(means)
    if n < 2:
        missing = np.full(means.shape[1:], np.nan)
        return missing, missing
    half = student.ppf(0.975, n - 1) * means.std(axis=0, ddof=1) / np.sqrt(n)
    return means.mean(axis=0) - half, means.mean(axis=0) + half


def fisher_z(r: FloatArray) -> FloatArray:
    """Return Fisher's z = artanh r."""
    return np.arctanh(np.clip(r, -GREATEST_R, GREATEST_R))


# -------------------------------------------------------------------------------------- the table


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """The section `group`: statistics over participants and the electrodes within them."""

    min_participants: int = setting(
        3,
        "Least number of participants of a region, and of anything that gets an interval.",
        minimum=2,
    )
    min_electrodes: int = setting(6, "The same for electrodes, over all participants.", minimum=2)
    hemispheres: Literal["pooled", "separate"] = setting(
        "pooled", "Whether the left and the right side of a region are `pooled` or `separate`."
    )


@dataclass(frozen=True, slots=True)
class _Fits:
    """Values of one analysis, (electrode, model); NaN if an electrode has none."""

    models: list[str]
    z: FloatArray
    skill: FloatArray
    gain: FloatArray
    clean: BoolArray
    supported: BoolArray | None


class Participants:
    """Means of sets of electrodes over participants, and their intervals.

    Sets of electrodes are indices into `participant`; values are (electrode,), NaN if missing.

    Parameters
    ----------
    participant
        (electrode,) participant of each electrode.
    settings
        Least numbers of participants and electrodes for an interval.
    """

    def __init__(self, participant: NDArray[Any], settings: GroupSettings) -> None:
        self.participant = participant
        self.settings = settings

    def count(self, electrodes: IntArray) -> int:
        """Return the number of participants that the electrodes belong to."""
        return len(set(self.participant[electrodes].tolist()))

    def mean(
        self, values: FloatArray, electrodes: IntArray, *, correlation: bool = False
    ) -> tuple[float, float, float]:
        """Return the mean of participants' means over electrodes with a value, and its interval.

        Parameters
        ----------
        values
            (electrode,), NaN if missing.
        electrodes
            Indices of the electrodes of the set.
        correlation
            Whether the values are Fisher's z, to be transformed back to r.

        Returns
        -------
        mean, low, high
            The interval is NaN with too few participants or electrodes.
        """
        shared = electrodes[np.isfinite(values[electrodes])]
        if not len(shared):
            return (np.nan, np.nan, np.nan)
        back = np.tanh if correlation else np.asarray
        means = participant_means(values[shared], self.participant[shared])
        mean = float(back(means.mean()))
        if _too_few(shared, self, self.settings):
            return (mean, np.nan, np.nan)
        low, high = t_interval(means)
        return (mean, float(back(low)), float(back(high)))

    def difference(
        self,
        values: FloatArray,
        others: FloatArray,
        electrodes: IntArray,
        *,
        correlation: bool = False,
    ) -> tuple[float, float, float]:
        """Return the mean difference over electrodes that have both values, and its interval.

        Parameters
        ----------
        values, others
            (electrode,), NaN if missing.
        electrodes
            Indices of the electrodes of the set.
        correlation
            Whether the values are Fisher's z; each participant's means are then transformed back
            to r before they are compared.

        Returns
        -------
        mean, low, high
            The interval is NaN with too few participants or electrodes.
        """
        known = np.isfinite(values[electrodes]) & np.isfinite(others[electrodes])
        shared = electrodes[known]
        if not len(shared):
            return (np.nan, np.nan, np.nan)
        back = np.tanh if correlation else np.asarray
        means = [participant_means(v[shared], self.participant[shared]) for v in (values, others)]
        each = np.asarray(back(means[0]) - back(means[1]))
        if _too_few(shared, self, self.settings):
            return (float(each.mean()), np.nan, np.nan)
        low, high = t_interval(each)
        return (float(each.mean()), float(low), float(high))


def table(
    electrodes: pd.DataFrame,
    *,
    twins: Mapping[str, Sequence[str]],
    settings: GroupSettings,
) -> pd.DataFrame:
    """Compute the group statistics of a run: by model, by region, trained against untrained.

    Parameters
    ----------
    electrodes
        The run's table of electrodes, a row for each analysis × participant × electrode × model.
    twins
        For each trained model the names of its untrained counterparts; several are averaged
        electrode by electrode (their r after Fisher's z) before they are compared.
    settings
        Least numbers of participants and electrodes of a region and of an interval.

    Returns
    -------
    statistics
        `COLUMNS`. `r_mean` is tanh of the mean over participants of their mean z. Rows of the group
        `trained-untrained` hold the trained model's mean minus the untrained mean over the same
        electrodes.

    Raises
    ------
    InputError
        If the table of electrodes lacks a column.
    """
    import pandas as pd

    _check_columns(electrodes)
    keys = electrodes[["participant", "electrode"]].drop_duplicates()
    index = pd.MultiIndex.from_frame(keys)
    participant = keys["participant"].to_numpy(dtype=str)
    regions = _regions(electrodes, index, settings)
    people = Participants(participant, settings)
    everyone = np.arange(len(keys))
    rows: list[dict[str, Any]] = []
    for analysis in dict.fromkeys(electrodes["analysis"]):
        analysis_rows = electrodes[electrodes["analysis"] == analysis]
        fits = _fits(analysis_rows, index)
        groups = [("all", "all", everyone)] + [("region", n, e) for n, e in regions.items()]
        for m, model in enumerate(fits.models):
            about = {
                "analysis": analysis,
                "model": model,
                **split_of(analysis_rows[analysis_rows["model"] == model]),
            }
            there = np.isfinite(fits.skill[:, m])
            for group, value, members in groups:
                for which, taken in _which(members[there[members]], fits.clean[:, m]):
                    if group == "region" and _too_few(taken, people, settings):
                        continue
                    place = {"group": group, "value": value, "electrodes": which}
                    rows.append(about | place | _row(fits, m, taken, people))
            untrained = [t for t in twins.get(model, ()) if t in fits.models]
            if untrained:
                pair = (m, [fits.models.index(t) for t in untrained])
                value = ",".join(untrained)
                for which, taken in _which(everyone[there], fits.clean[:, m]):
                    place = {"group": "trained-untrained", "value": value, "electrodes": which}
                    rows.append(about | place | _pair_row(fits, pair, taken, people))
    statistics = pd.DataFrame(rows, columns=list(COLUMNS))
    for name in ("n_participants", "n_electrodes", "n_supported", "n_r"):
        statistics[name] = statistics[name].astype("Int64")
    return statistics


def _check_columns(electrodes: pd.DataFrame) -> None:
    needed = ("analysis", "participant", "electrode", "region", "model", "r", "skill", "flags")
    missing = [name for name in needed if name not in electrodes.columns]
    if missing:
        raise InputError(
            f"the table of electrodes lacks {', '.join(missing)}",
            expected="the columns that docs/files.md names",
            remedy="delete electrodes.tsv and run again; the workflow recreates it",
        )


def split_of(rows: pd.DataFrame) -> dict[str, Any]:
    """Return how far apart a split's samples are, and the flag of a split that leaks.

    Parameters
    ----------
    rows
        Rows of `electrodes.tsv`.

    Returns
    -------
    split
        `distance_s`, the least time (s) between training and held-out samples, and `flags`
        (`leaky-split`, or empty).
    """
    leaky = rows["flags"].fillna("").astype(str).str.contains("leaky-split").any()
    distance = rows["distance_s"].min() if "distance_s" in rows else np.nan
    return {"distance_s": float(distance), "flags": split_flag(leaky=bool(leaky))}


def _which(electrodes: IntArray, clean: BoolArray) -> list[tuple[str, IntArray]]:
    return [("all", electrodes), ("clean", electrodes[clean[electrodes]])]


def _too_few(electrodes: IntArray, people: Participants, settings: GroupSettings) -> bool:
    few = len(electrodes) < settings.min_electrodes
    return few or people.count(electrodes) < settings.min_participants


def _fits(rows: pd.DataFrame, index: pd.MultiIndex) -> _Fits:
    """Return the values of one analysis as arrays (electrode, model)."""
    models = list(dict.fromkeys(rows["model"]))
    shape = (len(index), len(models))
    at = index.get_indexer(
        list(zip(rows["participant"], rows["electrode"], strict=True))  # type: ignore[arg-type]
    )
    column = rows["model"].map(models.index).to_numpy(dtype=int)

    def filled(name: str) -> FloatArray:
        values = np.full(shape, np.nan)
        if name in rows:
            values[at, column] = rows[name].to_numpy(dtype=float, na_value=np.nan)
        return values

    flags = rows["flags"].fillna("").astype(str).str.split(",")
    clean = np.ones(shape, dtype=bool)
    clean[at, column] = [not set(raised) & set(FOUL) for raised in flags]
    supported = None
    if "verdict" in rows:
        supported = np.zeros(shape, dtype=bool)
        supported[at, column] = (rows["verdict"] == "supported").to_numpy(dtype=bool)
    return _Fits(
        models=models,
        z=fisher_z(filled("r")),
        skill=filled("skill"),
        gain=filled("gain"),
        clean=clean,
        supported=supported,
    )


def _row(fits: _Fits, m: int, electrodes: IntArray, people: Participants) -> dict[str, Any]:
    z = fits.z[:, m]
    return (
        {
            "n_participants": people.count(electrodes),
            "n_electrodes": len(electrodes),
            "n_supported": _n_supported(fits, m, electrodes),
            "n_r": int(np.isfinite(z[electrodes]).sum()),
        }
        | _named("r", people.mean(z, electrodes, correlation=True))
        | _named("skill", people.mean(fits.skill[:, m], electrodes))
        | _named("gain", people.mean(fits.gain[:, m], electrodes))
    )


def _pair_row(
    fits: _Fits, pair: tuple[int, list[int]], electrodes: IntArray, people: Participants
) -> dict[str, Any]:
    m, untrained = pair
    # An electrode is left out if one of its untrained models has no correlation: a mean over
    # the others would not be the same quantity.
    z = (fits.z[:, m], fits.z[:, untrained].mean(axis=1))
    skill = (fits.skill[:, m], fits.skill[:, untrained].mean(axis=1))
    paired = electrodes[np.isfinite(skill[1][electrodes])]
    has_r = np.isfinite(np.stack([v[paired] for v in z])).all(axis=0)
    return (
        {
            "n_participants": people.count(paired),
            "n_electrodes": len(paired),
            "n_supported": _n_supported(fits, m, paired),
            "n_r": int(has_r.sum()),
        }
        | _named("r", people.difference(*z, paired, correlation=True))
        | _named("skill", people.difference(*skill, paired))
    )


def _named(name: str, values: tuple[float, float, float]) -> dict[str, float]:
    return {f"{name}_{k}": v for k, v in zip(("mean", "low", "high"), values, strict=True)}


def _n_supported(fits: _Fits, m: int, electrodes: IntArray) -> int | None:
    return None if fits.supported is None else int(fits.supported[electrodes, m].sum())


# ---------------------------------------------------------------------------------------- regions


def region_name(label: str, *, hemispheres: str = "pooled") -> str | None:
    """Return the region of an anatomical label, without its hemisphere if hemispheres are pooled.

    Parameters
    ----------
    label
        A label as FreeSurfer writes it (`ctx_lh_S_central`, `Left-Hippocampus`) or as atlases do
        that end in the side (`Precentral_L`).
    hemispheres
        `pooled` or `separate`.

    Returns
    -------
    region
        None if the label names no region.
    """
    label = label.strip()
    if label.lower() in NO_REGION:
        return None
    if hemispheres == "separate":
        return label
    within = re.sub(r"^(?:ctx[_-])?(?:[lr]h|left|right)[ _-]", "", label, flags=re.IGNORECASE)
    within = re.sub(r"^(wm)[_-][lr]h[_-]", r"\1-", within, flags=re.IGNORECASE)
    return re.sub(r"[ _-][LR]$", "", within) or label


def _regions(
    electrodes: pd.DataFrame, index: pd.MultiIndex, settings: GroupSettings
) -> dict[str, IntArray]:
    """Return the indices of the electrodes of each region, by name."""
    first = electrodes.drop_duplicates(["participant", "electrode"])
    labels = first["region"].fillna("").astype(str)
    names = [region_name(label, hemispheres=settings.hemispheres) for label in labels]
    members: dict[str, list[int]] = {}
    for k, name in enumerate(names):
        if name is not None:
            members.setdefault(name, []).append(k)
    return {name: np.array(members[name], dtype=np.int64) for name in sorted(members)}


# ----------------------------------------------------------------------------------- the hand-over

TEXT = ("analysis", "participant", "electrode", "region", "model", "flags", "verdict")


def read_electrodes(path: str | Path) -> pd.DataFrame:
    """Read a run's table of electrodes."""
    return store.read_table(path, strings=TEXT)


def write(statistics: pd.DataFrame, path: str | Path) -> None:
    """Write the table of group statistics."""
    store.write_table(statistics, path)
