"""The tables' numbers as arrays over (analysis, model, electrode), with layer and lag profiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma import store
from highgamma.summary.columns import STUDY_MEANINGS, electrode_columns
from highgamma.summary.fits import STUDY_FIGURES, FitSummary

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

ELECTRODE = ("analysis", "model", "channel")
PARTICIPANT = ("analysis", "model", "participant")

SCALARS = ("layer", "r", "skill", "p", "q", "gain", "stability", "peak_lag")
"""Columns of electrodes.tsv that are also arrays."""
RENAMED = {"layer": "chosen_layer"}
UNITS = {"peak_lag": "s"}

PROFILES: dict[str, Callable[[FitSummary], Any]] = {
    "r_layer": lambda fit: fit.r_layer,
    "skill_layer": lambda fit: fit.skill_layer,
    "inner_layer": lambda fit: fit.inner_layer,
    "votes_layer": lambda fit: fit.votes,
}
"""Figures (layer, channel) of every layer of a fit, in single precision."""


@dataclass(frozen=True, slots=True)
class _Axes:
    """The names along each axis, in the order of the tables."""

    analyses: list[str]
    models: list[str]
    participants: list[str]
    electrodes: list[tuple[str, str]]
    layers: Any
    lags: Any

    def sizes(self, dims: Sequence[str]) -> tuple[int, ...]:
        """Return the lengths of some axes."""
        lengths = {
            "analysis": len(self.analyses), "model": len(self.models),
            "participant": len(self.participants), "channel": len(self.electrodes),
            "layer": len(self.layers), "lag": len(self.lags),
        }  # fmt: skip
        return tuple(lengths[dim] for dim in dims)


def arrays_of(done: Sequence[FitSummary], electrodes: pd.DataFrame) -> xr.Dataset:
    """Return the numbers of all fits as arrays.

    Parameters
    ----------
    done
        All fits.
    electrodes
        The table of electrodes.

    Returns
    -------
    arrays : Dataset
        Over (analysis, model, channel), with layer and lag profiles, and over (analysis, model,
        participant) for the study's figures and the splits. The channels are those of all
        participants; `channel_participant` and `channel` hold the participant and the name of each.
    """
    import xarray as xr

    axes = _axes(done)
    electrode_of = {key: k for k, key in enumerate(axes.electrodes)}
    variables = _filled_from_fits(done, axes, electrode_of)
    index = (
        electrodes["analysis"].map(axes.analyses.index).to_numpy(int),
        electrodes["model"].map(axes.models.index).to_numpy(int),
        np.array(
            [
                electrode_of[key]
                for key in zip(electrodes["participant"], electrodes["electrode"], strict=True)
            ],
            dtype=int,
        ),
    )
    meanings = {name: column.meaning for name, column in electrode_columns().items()}
    scalars: dict[str, Any] = {}
    for name in SCALARS:
        values = np.full(axes.sizes(ELECTRODE), np.nan)
        values[index] = electrodes[name].to_numpy(dtype=float, na_value=np.nan)
        about = {"units": UNITS.get(name, "1"), "long_name": meanings[name]}
        scalars[RENAMED.get(name, name)] = (ELECTRODE, values, about)
    of_electrode = electrodes.drop_duplicates(["participant", "electrode"])
    of_electrode = of_electrode.set_index(["participant", "electrode"]).reindex(axes.electrodes)
    contamination = of_electrode["contamination"].to_numpy(float)
    variables["contamination"] = ("channel", contamination, {"units": "1"})
    return xr.Dataset({**scalars, **variables}, coords=_coordinates(axes, of_electrode))


def _axes(done: Sequence[FitSummary]) -> _Axes:
    participants = list(dict.fromkeys(fit.participant for fit in done))
    # Electrodes are in the order of the recording, which every fit of a participant has.
    electrodes = [
        (participant, name)
        for participant in participants
        for fit in done
        if fit.participant == participant
        for name in fit.channels
    ]
    return _Axes(
        analyses=list(dict.fromkeys(fit.analysis for fit in done)),
        models=list(dict.fromkeys(fit.model for fit in done)),
        participants=participants,
        electrodes=list(dict.fromkeys(electrodes)),
        layers=np.unique(np.concatenate([fit.layers for fit in done])),
        lags=np.unique(np.round(np.concatenate([fit.lag for fit in done]), 6)),
    )


def _filled_from_fits(
    done: Sequence[FitSummary], axes: _Axes, electrode_of: dict[tuple[str, str], int]
) -> dict[str, Any]:
    """Return layer and lag profiles, the study's figures and the splits, filled in fit by fit."""

    def empty(dims: tuple[str, ...], dtype: Any = np.float64) -> Any:
        return np.full(axes.sizes(dims), np.nan, dtype=dtype)

    profiles = {name: empty((*ELECTRODE, "layer"), np.float32) for name in PROFILES}
    lag_r = empty((*ELECTRODE, "lag"), np.float32)
    study = {name: empty((*PARTICIPANT, "layer")) for name in STUDY_FIGURES}
    distance, leaky = empty(PARTICIPANT), np.zeros(axes.sizes(PARTICIPANT), dtype=np.int8)
    for fit in done:
        a, m = axes.analyses.index(fit.analysis), axes.models.index(fit.model)
        p = axes.participants.index(fit.participant)
        e = np.array([electrode_of[fit.participant, name] for name in fit.channels])
        rows = np.searchsorted(axes.layers, fit.layers)
        for name, profile in PROFILES.items():
            profiles[name][a, m, e[:, None], rows[None]] = profile(fit).T
        if fit.lag.size:
            at = np.searchsorted(axes.lags, np.round(fit.lag, 6))
            lag_r[a, m, e[:, None], at[None]] = fit.lag_r
        distance[a, m, p], leaky[a, m, p] = fit.distance_s, fit.leaky
        for name, values in fit.figures.items():
            study[name][a, m, p, rows] = values
    split = {"distance_s": (distance, "s", "least time between training and held-out samples"),
             "leaky": (leaky, "1", "1 where the split is flagged leaky-split")}  # fmt: skip
    return {
        **{name: ((*ELECTRODE, "layer"), v, {"units": "1"}) for name, v in profiles.items()},
        "lag_r": ((*ELECTRODE, "lag"), lag_r, {"units": "1"}),
        **{
            f"{name}_layer": (
                (*PARTICIPANT, "layer"),
                values,
                {"units": "1", "long_name": STUDY_MEANINGS[name]},
            )
            for name, values in study.items()
        },
        **{
            name: (PARTICIPANT, values, {"units": units, "long_name": meaning})
            for name, (values, units, meaning) in split.items()
        },
    }


def _coordinates(axes: _Axes, of_electrode: pd.DataFrame) -> dict[str, Any]:
    region = of_electrode["region"].fillna(store.MISSING).astype(str).to_numpy(dtype=str)
    return {
        "analysis": axes.analyses,
        "model": axes.models,
        "participant": axes.participants,
        "layer": ("layer", axes.layers, {"long_name": "hidden state, 0 enters the first block"}),
        "lag": (
            "lag",
            axes.lags,
            {"units": "s", "long_name": "lag of the signal behind the model"},
        ),
        "channel_participant": ("channel", [key[0] for key in axes.electrodes]),
        "channel": ("channel", [key[1] for key in axes.electrodes]),
        "region": ("channel", region),
        **{
            axis: ("channel", of_electrode[axis].to_numpy(float), {"units": "mm"})
            for axis in ("x", "y", "z")
        },
    }
