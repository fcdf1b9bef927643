"""The fits of a checked configuration: the models of each analysis, the settings of each fit."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from highgamma.encoding.analysis import Analysis, AnalysisSettings
from highgamma.encoding.estimators import ESTIMATORS

Settings = dict[str, Any]

CHOICES = tuple(
    field.name
    for field in fields(AnalysisSettings)
    if field.name not in {fit.name for fit in fields(Analysis)}
)
"""Keys of an analysis that define what is fitted, not how."""

POSITION = "position"
"""The catalogue's model of position features (the time only), fitted with the others."""

NUISANCES = {"frame": "frame-nuisances", "word": "word-nuisances"}
"""The catalogue's model of the nuisances of each unit of analysis, fitted with the others."""

LEAKAGE_SPLITS = ("shuffled", "contiguous", "leave-one-word-out")
"""Splits that the preset `leakage` compares."""


def expanded(analyses: Mapping[str, Any]) -> Settings:
    """Return the analyses by name, with each preset replaced by its analyses."""
    expanded_analyses: Settings = {}
    for name, given in analyses.items():
        preset = given.get("preset") is not None
        expanded_analyses |= leakage(name, given) if preset else {name: given}
    return expanded_analyses


def leakage(name: str, given: Mapping[str, Any]) -> Settings:
    """Return the same analysis under every split, with position features among its models."""
    defaults = {"layers": "last", "permutations": 0, "drift": None, "nuisances": []}
    settings = {**defaults, **given, "part_of": name, "position": True}
    del settings["preset"]
    controls = list(dict.fromkeys([*given.get("controls", []), POSITION]))
    return {
        f"{name}-{split}": copy.deepcopy({**settings, "controls": controls, "split": split})
        for split in LEAKAGE_SPLITS
    }


def preset_problems(analyses: Mapping[str, Any]) -> list[str]:
    """Return the problems of presets: keys that they set themselves, names that already exist."""
    problems = []
    for name, given in analyses.items():
        if given.get("preset") is None:
            continue
        problems += [
            f"analyses.{name}.{key}: the preset {given['preset']} sets it"
            for key in ("split", "position", "part_of")
            if key in given
        ]
        if given.get("bands"):
            problems.append(f"analyses.{name}.bands: the preset takes one model at a time")
        problems += [
            f"analyses.{derived}: the preset of {name} makes an analysis of this name"
            for derived in leakage(name, given)
            if derived in analyses
        ]
    return problems


def analysis_models(config: Mapping[str, Any], analysis: str) -> list[str]:
    """Return the names of what an analysis fits: models (bands joined by `+`), controls, nuisances.

    Position features are added if the estimator uses its input, except to a joint fit, which has
    its own bands.

    Parameters
    ----------
    config
        The configuration with its defaults.
    analysis
        Name of the analysis.
    """
    settings = config["analyses"][analysis]
    uses_input = ESTIMATORS[settings["estimator"]].uses_input
    beside = [NUISANCES[settings["unit"]]] if settings["nuisances"] and uses_input else []
    if settings["bands"]:
        return list(dict.fromkeys(["+".join(settings["bands"]), *settings["controls"], *beside]))
    models = config["models"] if settings["models"] == "all" else settings["models"]
    beside += [POSITION] if settings["position"] and uses_input else []
    return list(dict.fromkeys([*models, *settings["controls"], *beside]))


def embedded_models(config: Mapping[str, Any]) -> list[str]:
    """Return the names of all models whose embeddings any analysis needs, sorted."""
    fitted = {m for a in config["analyses"] for m in analysis_models(config, a)}
    return sorted({part for name in fitted for part in name.split("+")})


def timecourse_analyses(config: Mapping[str, Any]) -> list[str]:
    """Return the analyses whose activity is followed around the onset of each word.

    `all` selects the analyses of frames, except demonstrations and splits with leakage, whose
    predictions do not reflect brain activity.
    """
    from highgamma.encoding.splits import SPLITS

    wanted = config["timecourse"]["analyses"]
    if wanted != "all":
        return [name for name in config["analyses"] if name in wanted]
    return [
        name
        for name, analysis in config["analyses"].items()
        if analysis["unit"] == "frame"
        and not SPLITS[analysis["split"]].leaky
        and analysis["part_of"] is None
    ]


def compared(config: Mapping[str, Any]) -> Settings | None:
    """Return the other run of a comparison, with its names of analyses and models, or None."""
    given = config.get("compare")
    if given is None:
        return None
    settings = {"run": given} if isinstance(given, str) else given
    return {"analyses": {}, "models": {}, **settings}


def fit_settings(config: Mapping[str, Any], analysis: str, model: str) -> Settings:
    """Return the settings of a model's fit: those of its analysis, and its overrides.

    The choices of models, layers and controls are left out, so that adding a model or a control
    does not change the other fits. A control of a joint fit is fitted separately.

    Parameters
    ----------
    config
        The configuration with its defaults.
    analysis
        Name of the analysis.
    model
        Name of the model; bands are joined by `+`.

    Returns
    -------
    settings
        With sorted keys.
    """
    settings = config["analyses"][analysis]
    settings = {**settings, **settings["overrides"].get(model, {})}
    if settings["bands"] and "+" not in model:
        alone = ESTIMATORS[settings["estimator"]].of_one_space
        settings |= {"estimator": alone, "bands": None}
    groups = settings["nuisances"] if model in NUISANCES.values() else "all"
    fit = {k: v for k, v in settings.items() if k not in CHOICES}
    return in_order(fit | {"groups": None if groups == "all" else groups})


def in_order(settings: Mapping[str, Any]) -> Settings:
    """Return the same settings with sorted keys, since their order has no meaning."""
    return {
        key: in_order(value) if isinstance(value, Mapping) else value
        for key, value in sorted(settings.items())
    }


def signal_settings(config: Mapping[str, Any], signal: str) -> Settings:
    """Return the settings of a signal: those of `neural`, and what `signals` says differs.

    Of a section within, such as `artefacts`, it states the keys that differ.
    """
    whole = dict(config["neural"])
    for key, value in config["signals"].get(signal, {}).items():
        whole[key] = {**whole[key], **value} if isinstance(value, Mapping) else value
    return in_order(whole)
