"""The tables' numbers as arrays over (analysis, model, electrode), with layer and lag profiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from highgamma import store
from highgamma.summary.fits import STUDY_FIGURES, FitSummary

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


def arrays_of(done: Sequence[FitSummary], electrodes: pd.DataFrame) -> xr.Dataset:
    """The same as arrays over (analysis, model, electrode), with layer and lag profiles."""
    import xarray as xr

    analyses = list(dict.fromkeys(s.analysis for s in done))
    models = list(dict.fromkeys(s.model for s in done))
    people = list(dict.fromkeys(s.participant for s in done))
    # Electrodes stand in the order of the recording, which every fit of a participant has.
    keys = list(
        dict.fromkeys(
            (person, c) for person in people for s in done if s.participant == person
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
        name: np.full((*shape, len(layers)), np.nan, dtype=np.float32)
        for name in ("r_layer", "skill_layer", "inner_layer", "votes_layer")
    }
    lag_r = np.full((*shape, len(lags)), np.nan, dtype=np.float32)
    study = {
        name: np.full((len(analyses), len(models), len(people), len(layers)), np.nan)
        for name in STUDY_FIGURES
    }
    distance = np.full((len(analyses), len(models), len(people)), np.nan)
    leaky = np.zeros(distance.shape, dtype=np.int8)
    for s in done:
        a, m = analyses.index(s.analysis), models.index(s.model)
        e = np.array([position[s.participant, c] for c in s.channels])
        rows = np.searchsorted(layers, s.layers)
        for name, profile in (
            ("r_layer", s.r_layer), ("skill_layer", s.skill_layer), ("inner_layer", s.inner_layer),
            ("votes_layer", s.votes),
        ):  # fmt: skip
            profiles[name][a, m, e[:, None], rows[None]] = profile.T
        if s.lag.size:
            at = np.searchsorted(lags, np.round(s.lag, 6))
            lag_r[a, m, e[:, None], at[None]] = s.lag_r
        distance[a, m, people.index(s.participant)] = s.distance_s
        leaky[a, m, people.index(s.participant)] = s.leaky
        for name, values in s.figures.items():
            study[name][a, m, people.index(s.participant), rows] = values
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
            "distance_s": (
                ("analysis", "model", "person"), distance,
                {"units": "s", "long_name": "least time between training and held-out samples"},
            ),
            "leaky": (
                ("analysis", "model", "person"), leaky,
                {"units": "1", "long_name": "1 where the split is flagged leaky-split"},
            ),
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
