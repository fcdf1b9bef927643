"""The analyses that are shipped, on scenes in which it is known what every electrode follows.

Each configuration's own analyses, controls and nuisances are fitted, judged by the stages `gain`
and `summary`, and counted: noise by its p, electrodes that follow a nuisance and models that equal
their controls by the verdict `supported`, planted electrodes by the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from highgamma import catalogue, gain, settings, store, summary, timecourse
from highgamma.encoding.analysis import Analysis, analysis_from
from highgamma.encoding.fit import fit_analysis
from highgamma.encoding.samples import (
    Samples,
    frame_samples,
    joint_samples,
    layer_numbers,
    word_samples,
)
from highgamma.scores import LEVEL
from highgamma.selftest.cases import CONFIGURATIONS, EQUAL, PLAIN
from highgamma.selftest.scenes import FRAME_KINDS, WORD_KINDS, FloatArray, Scene

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

SURROGATES = 99
"""Surrogates that every analysis draws here, whatever it states: p has the same size with more."""
SNR = {"frame": (0.1, 0.4), "word": (1.0, 4.0)}
"""Signal-to-noise ratios of electrodes that follow a nuisance."""
PLANTED_SNR = {"frame": (0.03, 0.1, 0.4), "word": (1.0, 4.0, 16.0)}
"""The same of planted ones, of words over means of their windows."""


@dataclass(frozen=True)
class Configured:
    """One analysis of a configuration.

    Attributes
    ----------
    config
        The configuration, checked.
    entries
        The catalogue.
    analysis
        Name of the analysis.
    """

    config: settings.Settings
    entries: catalogue.Catalogue
    analysis: str

    @cached_property
    def unit(self) -> str:
        """`word` or `frame`."""
        return str(self.config["analyses"][self.analysis]["unit"])

    @cached_property
    def models(self) -> list[str]:
        """What the analysis fits."""
        return settings.analysis_models(self.config, self.analysis)

    @cached_property
    def controls(self) -> list[str]:
        """The controls that it names."""
        return list(self.config["analyses"][self.analysis]["controls"])

    @cached_property
    def roles(self) -> dict[str, str]:
        """The role of each model's kind."""
        return {
            m: catalogue.kind_of(self.entries[m]).role if m in self.entries else "model"
            for m in self.models
        }

    def findings(self) -> list[str]:
        """Models that are neither controls nor nuisances."""
        return [m for m in self.models if self.roles[m] == "model" and m not in self.controls]

    def fit(self, model: str) -> Analysis:
        """Return the settings of a fit, with what its model brings along."""
        fit = settings.fit_settings(self.config, self.analysis, model)
        return analysis_from(catalogue.with_fit_options(fit, self.entries, model))


def configured(name: str, folder: str | Path) -> Configured:
    """Return a shipped analysis, or one of `PLAIN`, with `SURROGATES` surrogates.

    Parameters
    ----------
    name
        A key of `CONFIGURATIONS` or `PLAIN`.
    folder
        The folder of configurations.
    """
    if name in CONFIGURATIONS:
        file, analysis = CONFIGURATIONS[name]
        given = store.parse_yaml((Path(folder) / file).read_text("utf-8"))
        wanted = {"permutations": SURROGATES}
        # The window of a lag and its step are the configuration's; the frames here are 50 ms.
        if given["analyses"][analysis].get("lags"):
            wanted["lag_step"] = max(0.1, given["analyses"][analysis].get("lag_step", 0.05))
        given = {**given, "analyses": {analysis: {**given["analyses"][analysis], **wanted}}}
        given.pop("published", None)
    else:
        analysis = name
        plain = {k: v for k, v in PLAIN[name].items() if k != "recordings"}
        models = plain.get("bands") or ["gpt2"]
        given = {
            "dataset": {"root": "selftest"}, "models": models,
            "analyses": {
                name: {"permutations": SURROGATES, "nuisances": [], "position": False, **plain}
            },
        }  # fmt: skip
    entries = catalogue.load(Path(folder) / "models.yaml", further=given.get("catalogue"))
    config = catalogue.heard_by_trial(settings.checked(given), entries)
    return Configured(config, entries, analysis)


@dataclass(frozen=True, slots=True)
class PlantedGroup:
    """Electrodes of one kind and signal-to-noise ratio (NaN of noise)."""

    kind: str
    snr: float
    count: int


def planted(chosen: Configured, *, count: int, sizes_alone: bool) -> list[PlantedGroup]:
    """Return the electrodes that an analysis is tested on."""
    plan = [PlantedGroup("noise", float("nan"), 4 * count)]
    if sizes_alone:
        return plan
    kinds = WORD_KINDS if chosen.unit == "word" else FRAME_KINDS
    plan += [PlantedGroup(kind, snr, count) for kind in kinds for snr in SNR[chosen.unit]]
    plan += [PlantedGroup("meaning", snr, count) for snr in PLANTED_SNR[chosen.unit]]
    return [*plan, PlantedGroup("sound", 0.2, 2 * count)]


def electrodes(case: str, *, folder: str | Path, seed: int, count: int) -> pd.DataFrame:
    """Fit and judge one analysis on one scene.

    Parameters
    ----------
    case
        A key of `CONFIGURATIONS`, `PLAIN` or `EQUAL`.
    folder
        The folder of configurations.
    seed
        Of the scene.
    count
        Electrodes of each kind and ratio.

    Returns
    -------
    Some columns of electrodes.tsv, with `case`, `seed`, `kind` and `snr`, and whether the models
    are `equal` to their controls, the model is a `finding` and not a control, and it is the
    electrode's `own`; `left_band` is 1 where a finding's time course leaves its band, 0 where it
    does not, NaN where there is none.
    """
    equal, name = case in EQUAL, EQUAL.get(case, case)
    chosen = configured(name, folder)
    listening = name.startswith("podcast")
    scene = Scene(
        seed, listening=listening, recordings=PLAIN.get(name, {}).get("recordings", 1),
        language="en" if listening or name.startswith("demo") else "nl",
    )  # fmt: skip
    plan = planted(chosen, count=count, sizes_alone=name in PLAIN)
    window = chosen.fit(chosen.findings()[0]).window if chosen.unit == "word" else None
    text = next((m for m in reversed(chosen.findings()) if _is_text(chosen, m)), "")
    values = np.concatenate(
        [
            scene.electrodes(p.kind, snr=p.snr, count=p.count, model=text, window=window)
            for p in plan
        ],
        axis=1,
    )
    truth = {
        f"E{k:04d}": p for k, p in enumerate([part for part in plan for _ in range(part.count)])
    }
    fitted = {model: model for model in chosen.models}
    if equal:
        fitted = {m: m for m in chosen.models if m not in chosen.findings()}
        fitted |= {f"{m}-again": m for m in chosen.controls}
    with tempfile.TemporaryDirectory() as place:
        table = _judged(chosen, scene, values, fitted, place=Path(place))
        left = _left_band(chosen, scene, place=Path(place)) if name in CONFIGURATIONS else {}
    kept = table[
        ["model", "electrode", "r", "skill", "p", "q", "gain", "gain_p", "gain_q", "verdict"]
    ]
    named = {*chosen.controls, *(m for m, role in chosen.roles.items() if role != "model")}
    return kept.assign(
        case=case,
        seed=seed,
        kind=[truth[e].kind for e in table["electrode"]],
        snr=[truth[e].snr for e in table["electrode"]],
        equal=equal,
        left_band=[
            left.get((m, e), np.nan)
            for m, e in zip(table["model"], table["electrode"], strict=True)
        ],
        finding=~table["model"].isin(named),
        own=table["model"] == text,
    )


def _is_text(chosen: Configured, model: str) -> bool:
    entry = chosen.entries.get(model, {})
    return entry.get("kind") in ("text", "static") and not entry.get("untrained")


def _judged(
    chosen: Configured, scene: Scene, values: FloatArray, fitted: Mapping[str, str], *, place: Path
) -> pd.DataFrame:
    """Fit all models, compare them, and return the table of electrodes.

    `fitted` gives for each fit's name the catalogue's model whose stand-in it is.
    """
    files = []
    for name, model in fitted.items():
        # A second draw of a control is judged; that of the first needs no null of its own.
        judged = name != model or all(n == m for n, m in fitted.items())
        scores = _fitted(chosen, scene, values, name=name, model=model, tested=judged)
        files.append(place / f"scores/{chosen.analysis}/sub-01/{name}/all.nc")
        store.write_dataset(scores, files[-1], stage="selftest", parameters={})
    nuisances = [name for name, model in fitted.items() if chosen.roles[model] != "model"]
    gains = gain.gains(
        gain.read_fits(files),
        nuisances=nuisances,
        controls=chosen.controls,
        expected=[*nuisances, *chosen.controls],
    )
    return summary.summarise(
        summary.read_fits(files),
        channels={},
        contamination={},
        participants=["sub-01"],
        analyses=chosen.config["analyses"],
        models=list(fitted),
        run="selftest",
        expected={chosen.analysis: list(fitted)},
        roles={name: chosen.roles[model] for name, model in fitted.items()},
        gains={(chosen.analysis, "sub-01"): gains},
    ).electrodes


def _left_band(chosen: Configured, scene: Scene, *, place: Path) -> dict[tuple[str, str], float]:
    """Return by model and electrode whether the time course leaves its band anywhere."""
    left: dict[tuple[str, str], float] = {}
    for model in chosen.findings() if chosen.unit == "frame" else []:
        file = place / f"scores/{chosen.analysis}/sub-01/{model}/all.nc"
        if not file.exists():
            continue
        course = timecourse.timecourse(
            timecourse.read_held_out([file]), scene.words, permutations=SURROGATES, best=0
        )
        p = course["p"].transpose("channel", "time").values
        for name, over_time in zip(course["channel"].values, p, strict=True):
            known = np.isfinite(over_time).any()
            left[model, str(name)] = float((over_time <= LEVEL).any()) if known else np.nan
    return left


def _fitted(
    chosen: Configured, scene: Scene, values: FloatArray, *, name: str, model: str, tested: bool
) -> xr.Dataset:
    """Fit the stand-in of one model, or the bands of a joint fit; `tested` with surrogates."""
    analysis = chosen.fit(model)
    if not tested:
        analysis = replace(analysis, permutations=0)
    # Another name is another draw of the same model.
    entries = {**chosen.entries, name: chosen.entries[model]} if name != model else chosen.entries

    def samples_of(features: xr.Dataset) -> Samples:
        signal = scene.signal(values)
        if analysis.unit == "word":
            target = scene.target(values, window=analysis.window)
            return word_samples(features, scene.words, target, analysis, signal)
        return frame_samples(features, scene.words, signal, analysis)

    if analysis.bands is not None:
        bands = {b: (samples_of(scene.embeddings(b, entries)), 0) for b in analysis.bands}
        samples, layers = joint_samples(bands), [0]
    else:
        features = scene.embeddings(name, entries)
        samples, layers = samples_of(features), layer_numbers(features, "all")
    return fit_analysis(
        samples,
        analysis=analysis,
        layers=layers,
        seed=scene.seed,
        names=("sub-01", chosen.analysis),
    )
