"""Check of the whole configuration before any job runs, and its defaults."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from highgamma.embeddings.nuisances import FRAME_GROUPS, WORD_GROUPS
from highgamma.encoding.analysis import Analysis
from highgamma.errors import InputError, nearest
from highgamma.neural.settings import NeuralSettings
from highgamma.quality.settings import QualitySettings
from highgamma.recording.settings import DatasetSettings, participant_labels
from highgamma.sections import section_from
from highgamma.settings.configuration import schema
from highgamma.settings.fits import (
    CHOICES,
    Settings,
    analysis_models,
    expanded,
    preset_problems,
    signal_settings,
)
from highgamma.store import check_nesting

STUDY_KEYS = ("run", "models", "analyses", "catalogue", "published")
"""Keys that describe a study of one's own, which needs a data set."""


def checked(config: Mapping[str, Any]) -> Settings:
    """Check a configuration against its schema and fill in the defaults.

    All problems are reported at once: unknown keys with the nearest known name, wrong types and
    values with what was expected.

    Parameters
    ----------
    config
        The configuration as the user wrote it; it is not changed.

    Returns
    -------
    filled
        A copy with every default filled in and every preset expanded.

    Raises
    ------
    InputError
        If anything is wrong.
    """
    from jsonschema import Draft202012Validator

    try:
        check_nesting(config)
    except ValueError as cause:
        raise InputError(f"the configuration cannot be read: {cause}") from cause
    filled = copy.deepcopy(dict(config))
    _refuse(list(_impossible_numbers(filled)))
    errors = Draft202012Validator(schema()).iter_errors(filled)
    problems: list[str] = []
    for error in sorted(errors, key=lambda e: [str(p) for p in e.path]):
        problems += _in_words(error)
    _refuse(problems or preset_problems(filled["analyses"]))
    filled["analyses"] = expanded(filled["analyses"])
    _fill(filled, schema())
    return filled


def _impossible_numbers(values: Any, where: str = "") -> Iterator[str]:
    """Yield the problems of numbers that nothing can be computed with, each with its key."""
    inside: Iterable[tuple[Any, Any]] = values.items() if isinstance(values, Mapping) else ()
    if isinstance(values, list | tuple):
        inside = enumerate(values)
    for key, value in inside:
        here = f"{where}.{key}" if where else str(key)
        if isinstance(value, float) and not math.isfinite(value):
            yield f"{here}: {value} is not a finite number"
        elif isinstance(value, int) and abs(value) > 2**63:
            yield f"{here}: the number is too large"
        yield from _impossible_numbers(value, here)


def _fill(values: Any, part: Mapping[str, Any]) -> None:
    """Fill in the defaults of a schema, sections within sections too."""
    if not isinstance(values, dict):
        return
    properties = part.get("properties", {})
    for name, described in properties.items():
        if name not in values and "default" in described:
            values[name] = copy.deepcopy(described["default"])
        if name in values:
            _fill(values[name], described)
    further = part.get("additionalProperties")
    if isinstance(further, dict):
        for name, item in values.items():
            if name not in properties:
                _fill(item, further)


def refuse_without_dataset(stated: Iterable[str]) -> None:
    """Refuse a configuration that describes a study without its data set.

    Parameters
    ----------
    stated
        The keys that the user states.

    Raises
    ------
    InputError
        If `dataset` is missing though any of `STUDY_KEYS` is there. Otherwise the demo would run
        under the study's name.
    """
    keys = set(stated)
    own = [key for key in STUDY_KEYS if key in keys]
    if own and "dataset" not in keys:
        raise InputError(
            f"the configuration has {' and '.join(own)} but no dataset",
            where="dataset",
            expected="dataset: {root: /data/my-bids-set}",
            remedy=f"add the section `dataset`, or leave out {' and '.join(own)} to run the demo",
        )


def cross_checked(config: Mapping[str, Any]) -> None:
    """Check what a schema cannot: references to other keys, and keys that contradict others.

    Parameters
    ----------
    config
        The configuration with its defaults.

    Raises
    ------
    InputError
        If there are problems; the message lists all of them.
    """
    problems = [
        f"dataset.{p}"
        for p in section_from(DatasetSettings, config["dataset"], where="dataset").problems()
    ]
    problems += _signal_problems(config)
    problems += _analysis_problems(config)
    section = section_from(QualitySettings, config["quality"], where="quality")
    problems += [f"quality.{p}" for p in section.problems()]
    problems += _timecourse_problems(config)
    problems += _published_problems(config)
    problems += _unsimulated(config)
    _refuse(problems)


def _refuse(problems: list[str]) -> None:
    if problems:
        count = "one problem:" if len(problems) == 1 else f"{len(problems)} problems:"
        raise InputError(
            f"the configuration has {count}\n  - " + "\n  - ".join(problems),
            remedy="correct the configuration; docs/config.md describes every key",
        )


def _signal_problems(config: Mapping[str, Any]) -> list[str]:
    """Return the problems of `neural`, and of the changes to it under `signals`."""
    problems = []
    for name in ("high-gamma", *config["signals"]):
        where = "neural" if name == "high-gamma" else f"signals.{name}"
        whole = section_from(NeuralSettings, signal_settings(config, name), where=where)
        problems += [f"{where}.{problem}" for problem in whole.problems()]
    return problems


def _analysis_problems(config: Mapping[str, Any]) -> list[str]:
    problems = []
    signals = ["high-gamma", *config["signals"]]
    for name, analysis in config["analyses"].items():
        where = f"analyses.{name}"
        fitted = analysis_models(config, name)
        problems += [
            f"{where}.overrides: {model!r} is not a model of this analysis{nearest(model, fitted)}"
            for model in analysis["overrides"]
            if model not in fitted
        ]
        named = analysis["models"] if analysis["models"] != "all" else []
        problems += [
            f"{where}.models: {model!r} is not among `models`{nearest(model, config['models'])}"
            for model in named
            if model not in config["models"]
        ]
        groups = WORD_GROUPS if analysis["unit"] == "word" else FRAME_GROUPS
        problems += [
            f"{where}.nuisances: {name!r} is not a nuisance of {analysis['unit']}s"
            + nearest(name, list(groups))
            for name in ([] if analysis["nuisances"] == "all" else analysis["nuisances"])
            if name not in groups
        ]
        if analysis["signal"] not in signals:
            hint = nearest(analysis["signal"], signals)
            problems.append(f"{where}.signal: unknown signal {analysis['signal']!r}{hint}")
        reported: set[str] = set()
        for place, fit in _with_overrides(where, analysis):
            section = section_from(Analysis, fit, where=place)
            # Problems of the analysis itself are not repeated for every override.
            problems += [f"{place}.{p}" for p in section.problems() if p not in reported]
            reported |= set(section.problems())
    return problems


def _with_overrides(where: str, analysis: Settings) -> Iterator[tuple[str, Settings]]:
    """Yield key and settings of an analysis as written, then as overridden for each model."""
    fit = {key: value for key, value in analysis.items() if key not in CHOICES}
    yield where, fit
    for model, differing in analysis["overrides"].items():
        yield f"{where}.overrides.{model}", {**fit, **differing}


def _timecourse_problems(config: Mapping[str, Any]) -> list[str]:
    timecourse = config["timecourse"]
    problems = []
    for name in timecourse["analyses"] if timecourse["analyses"] != "all" else []:
        if name not in config["analyses"]:
            hint = nearest(name, list(config["analyses"]))
            problems.append(f"timecourse.analyses: unknown analysis {name!r}{hint}")
        elif config["analyses"][name]["unit"] != "frame":
            problems.append(f"timecourse.analyses: {name!r} is of words; words have no time course")
    if timecourse["window"][0] >= timecourse["window"][1]:
        problems.append(f"timecourse.window: {timecourse['window']} is empty or reversed")
    return problems


def _published_problems(config: Mapping[str, Any]) -> list[str]:
    """Return the problems of the names in `published`."""
    published = config["published"]
    if published is None:
        return []
    analysis = published["analysis"]
    if analysis not in config["analyses"]:
        hint = nearest(analysis, list(config["analyses"]))
        return [f"published.analysis: unknown analysis {analysis!r}{hint}"]
    fitted = analysis_models(config, analysis)
    return [
        f"published.models: {model!r} is not a model of {analysis}{nearest(model, fitted)}"
        for model in published["models"]
        if model not in fitted
    ]


def _unsimulated(config: Mapping[str, Any]) -> list[str]:
    """Return problems of participants that are named but not described by the simulation."""
    noise = (config["demo"] or {}).get("noise")
    named = config["dataset"]["participants"]
    if noise is None or named == "all":
        return []
    known = list(noise["participants"])
    return [
        f"dataset.participants: {label!r} is not described under demo.noise.participants"
        + nearest(label, known)
        for label in participant_labels(named)
        if label not in known
    ]


def _in_words(error: Any) -> list[str]:
    """Return the problems of a schema error in plain words, each with the path of its key."""
    here = ".".join(str(part) for part in error.absolute_path)
    prefix = f"{here}: " if here else ""
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        return [
            f"{prefix}unknown key {name!r}{nearest(str(name), known)}"
            for name in error.instance
            if name not in known
        ]
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return [f"{prefix}the key {name!r} is missing" for name in missing][:1]
    described = " ".join(str(error.schema.get("description", "")).split())
    expected = f" (expected: {described})" if described else ""
    if error.validator == "enum":
        hint = nearest(str(error.instance), [str(v) for v in error.validator_value])
        return [f"{prefix}{error.instance!r} is not one of {error.validator_value}{hint}"]
    if error.validator in ("oneOf", "not", "pattern"):
        return [f"{prefix}{error.instance!r} does not fit{expected}"]
    return [f"{prefix}{error.message}{expected}"]
