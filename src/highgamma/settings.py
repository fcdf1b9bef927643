"""The configuration: checked whole before anything runs, with the schema's defaults filled in."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from highgamma.errors import InputError, nearest
from highgamma.store import parse_yaml

Settings = dict[str, Any]

CHOICES = ("models", "layers", "controls", "overrides", "position", "preset", "part_of")
"""Keys of an analysis that say what is fitted, not how."""

POSITION = "position"
"""The catalogue's model that knows nothing but the time, fitted beside the others."""

LEAKAGE_SPLITS = ("shuffled", "contiguous", "leave-one-word-out")
"""Splits that the preset `leakage` sets side by side."""


def load_schema(path: str | Path) -> Settings:
    """Read a JSON schema written as YAML."""
    loaded: Settings = parse_yaml(Path(path).read_text(encoding="utf-8"))
    return loaded


def checked(config: Mapping[str, Any], schema: Mapping[str, Any]) -> Settings:
    """Check a configuration against its schema and fill in the defaults.

    All problems are named at once: unknown keys with the nearest known name, wrong types and
    values with what was expected.

    Raises
    ------
    InputError
        If anything is wrong.
    """
    from jsonschema import Draft202012Validator

    filled = copy.deepcopy(dict(config))
    problems: list[str] = []
    for error in sorted(
        Draft202012Validator(schema).iter_errors(filled), key=lambda e: [str(p) for p in e.path]
    ):
        problems += _in_words(error, schema)
    problems = problems or _preset_problems(filled["analyses"])
    if problems:
        raise InputError(
            "the configuration has " + _count(len(problems)) + "\n  - " + "\n  - ".join(problems),
            remedy="mend the configuration; docs/config.md describes every key",
        )
    filled["analyses"] = _expanded(filled["analyses"])
    _fill(filled, schema, schema)
    return filled


def _preset_problems(analyses: Mapping[str, Any]) -> list[str]:
    """What stands in the way of a preset: keys that it sets itself, names that are taken."""
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
            f"analyses.{made}: the preset of {name} makes an analysis of this name"
            for made in _leakage(name, given)
            if made in analyses
        ]
    return problems


def _expanded(analyses: Mapping[str, Any]) -> Settings:
    """The analyses, each preset replaced by those that it stands for."""
    whole: Settings = {}
    for name, given in analyses.items():
        whole |= {name: given} if given.get("preset") is None else _leakage(name, given)
    return whole


def _leakage(name: str, given: Mapping[str, Any]) -> Settings:
    """The same analysis under every split, with position features beside its models."""
    whole = {"layers": "last", "permutations": 0, **given, "part_of": name, "position": True}
    del whole["preset"]
    controls = list(dict.fromkeys([*given.get("controls", []), POSITION]))
    return {
        f"{name}-{split}": copy.deepcopy({**whole, "controls": controls, "split": split})
        for split in LEAKAGE_SPLITS
    }


def analysis_models(config: Mapping[str, Any], analysis: str) -> list[str]:
    """Names of what an analysis fits: its models (or its bands joined by `+`), controls, position.

    Position features are fitted beside whatever looks at its input, with the same estimator; a
    banded ridge has its own bands instead.
    """
    settings = config["analyses"][analysis]
    if settings["bands"]:
        return list(dict.fromkeys(["+".join(settings["bands"]), *settings["controls"]]))
    own = config["models"] if settings["models"] == "all" else settings["models"]
    beside = [POSITION] if settings["position"] and settings["estimator"] != "mean" else []
    return list(dict.fromkeys([*own, *settings["controls"], *beside]))


def embedded_models(config: Mapping[str, Any]) -> list[str]:
    """Names of all models whose embeddings any analysis needs, sorted."""
    fitted = {m for a in config["analyses"] for m in analysis_models(config, a)}
    return sorted({part for name in fitted for part in name.split("+")})


def timecourse_analyses(config: Mapping[str, Any]) -> list[str]:
    """Analyses whose activity is followed around the onset of each word.

    `all` are those of frames but for demonstrations and splits that leak, which show nothing of
    the brain.
    """
    wanted = config["timecourse"]["analyses"]
    if wanted != "all":
        return [name for name in config["analyses"] if name in wanted]
    return [
        name
        for name, analysis in config["analyses"].items()
        if analysis["unit"] == "frame"
        and analysis["split"] != "shuffled"
        and analysis["part_of"] is None
    ]


def cross_checked(config: Mapping[str, Any]) -> None:
    """Check what a schema cannot: names that refer to other keys, pairs in their order.

    Raises
    ------
    InputError
        With all problems at once.
    """
    problems: list[str] = []
    signals = {"high-gamma": {}, **config["signals"]}
    for name, overrides in signals.items():
        low, high = overrides.get("band", config["neural"]["band"])
        if low >= high:
            where = "neural.band" if name == "high-gamma" else f"signals.{name}.band"
            problems.append(f"{where}: {low} Hz to {high} Hz is no band; the lower end comes first")
    for name, analysis, here in _with_overrides(config):
        if analysis["signal"] not in signals:
            hint = nearest(analysis["signal"], list(signals))
            problems.append(f"{here}.signal: there is no signal {analysis['signal']!r}{hint}")
        unknown = [m for m in analysis["overrides"] if m not in analysis_models(config, name)]
        for model in unknown if here == f"analyses.{name}" else []:
            hint = nearest(model, analysis_models(config, name))
            problems.append(f"{here}.overrides: {model!r} is no model of this analysis{hint}")
        for key in ("window", "lags"):
            pair = analysis[key]
            if pair is not None and pair[0] > pair[1]:
                problems.append(f"{here}.{key}: {pair} runs backward; the lower end comes first")
        if analysis["window"][0] == analysis["window"][1]:
            problems.append(f"{here}.window: {analysis['window']} is empty")
        if here == f"analyses.{name}" and analysis["models"] != "all":
            for model in analysis["models"]:
                if model not in config["models"]:
                    hint = nearest(model, config["models"])
                    problems.append(f"{here}.models: {model!r} is not among `models`{hint}")
        if analysis["unit"] == "word" and analysis["lags"] is not None:
            problems.append(f"{here}.lags: lags are for `unit: frame`; shift the window instead")
        if analysis["unit"] == "frame" and analysis["split"] == "word":
            problems.append(f"{here}.split: {analysis['split']} is for `unit: word`")
        if (analysis["estimator"] == "banded-ridge") != bool(analysis["bands"]):
            problems.append(f"{here}: `bands` and `estimator: banded-ridge` go together")
        components = analysis["components"]
        if components is not None and components >= 1 and components != int(components):
            problems.append(f"{here}.components: {components} is neither a count nor a share")
        if analysis["estimator"] == "elastic-net" and analysis["unit"] == "frame":
            problems.append(f"{here}.estimator: the elastic net is fitted to words, not to frames")
    problems += _timecourse_problems(config)
    problems += _published_problems(config)
    problems += _unsimulated(config)
    audio = config["dataset"]["audio"]
    if audio["source"] == "channel" and audio["channel"] is None:
        problems.append("dataset.audio.channel: name the channel that carries the sound")
    if problems:
        raise InputError(
            "the configuration has " + _count(len(problems)) + "\n  - " + "\n  - ".join(problems),
            remedy="mend the configuration; docs/config.md describes every key",
        )


def _timecourse_problems(config: Mapping[str, Any]) -> list[str]:
    of = config["timecourse"]
    problems = []
    for name in of["analyses"] if of["analyses"] != "all" else []:
        if name not in config["analyses"]:
            hint = nearest(name, list(config["analyses"]))
            problems.append(f"timecourse.analyses: there is no analysis {name!r}{hint}")
        elif config["analyses"][name]["unit"] != "frame":
            problems.append(f"timecourse.analyses: {name!r} is of words; words have no time course")
    if of["window"][0] >= of["window"][1]:
        problems.append(f"timecourse.window: {of['window']} is empty or runs backward")
    return problems


def _published_problems(config: Mapping[str, Any]) -> list[str]:
    """What is wrong with the names in `published`."""
    published = config["published"]
    if published is None:
        return []
    analysis = published["analysis"]
    if analysis not in config["analyses"]:
        hint = nearest(analysis, list(config["analyses"]))
        return [f"published.analysis: there is no analysis {analysis!r}{hint}"]
    fitted = analysis_models(config, analysis)
    return [
        f"published.models: {model!r} is no model of {analysis}{nearest(model, fitted)}"
        for model in published["models"]
        if model not in fitted
    ]


def _unsimulated(config: Mapping[str, Any]) -> list[str]:
    """Participants that are asked for and that the simulation does not describe."""
    noise = config.get("demo", {}).get("noise")
    named = config["dataset"]["participants"]
    if noise is None or named == "all":
        return []
    known = list(noise["participants"])
    labels = [name if name.startswith("sub-") else f"sub-{name}" for name in map(str, named)]
    return [
        f"dataset.participants: {label!r} is not described under demo.noise.participants"
        + nearest(label, known)
        for label in labels
        if label not in known
    ]


def _with_overrides(config: Mapping[str, Any]) -> list[tuple[str, Settings, str]]:
    """Every analysis as written and as overridden for a model: its name, settings, place."""
    found = []
    for name, analysis in config["analyses"].items():
        found.append((name, analysis, f"analyses.{name}"))
        for model, differing in analysis["overrides"].items():
            found.append((name, {**analysis, **differing}, f"analyses.{name}.overrides.{model}"))
    return found


def compared(config: Mapping[str, Any]) -> Settings | None:
    """The run to compare with, and what analyses and models are called there; None for none."""
    given = config.get("compare")
    if given is None:
        return None
    whole = {"run": given} if isinstance(given, str) else given
    return {"analyses": {}, "models": {}, **whole}


def fit_settings(config: Mapping[str, Any], analysis: str, model: str) -> Settings:
    """What the fit of a model depends on: its analysis, with what `overrides` says of the model.

    The choices of models, layers and controls are left out: a model that is added, or a control
    that is named later, leaves the fits of the others as they are. A control of a banded ridge is
    a ridge of its own.
    """
    settings = config["analyses"][analysis]
    whole = {**settings, **settings["overrides"].get(model, {})}
    if whole["bands"] and "+" not in model:
        whole |= {"estimator": "ridge", "bands": None}
    return in_order({k: v for k, v in whole.items() if k not in CHOICES})


def in_order(settings: Mapping[str, Any]) -> Settings:
    """The same settings with sorted keys: the order they are written in is no change."""
    return {
        key: in_order(value) if isinstance(value, Mapping) else value
        for key, value in sorted(settings.items())
    }


def signal_settings(config: Mapping[str, Any], signal: str) -> Settings:
    """Settings of a signal: those of `neural`, overridden by what `signals` says of it."""
    given = config["signals"].get(signal, {})
    return in_order({**config["neural"], **given})


def reference(schema: Mapping[str, Any]) -> str:
    """The configuration's reference as Markdown, made from the schema."""
    lines = [f"# {schema['title'].capitalize()}", "", " ".join(schema["description"].split()), ""]
    lines += _section(schema, schema, "")
    return "\n".join(lines).rstrip() + "\n"


def _count(n: int) -> str:
    return "one problem:" if n == 1 else f"{n} problems:"


def _in_words(error: Any, schema: Mapping[str, Any]) -> list[str]:
    """One problem in the user's words, each with the path of its key."""
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
        return [f"{prefix}{error.instance!r} is none of {error.validator_value}{hint}"]
    if error.validator in ("oneOf", "not", "pattern"):
        return [f"{prefix}{error.instance!r} does not fit{expected}"]
    return [f"{prefix}{error.message}{expected}"]


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    name = schema.get("$ref")
    if name is None:
        return schema
    target: Any = root
    for part in str(name).removeprefix("#/").split("/"):
        target = target[part]
    return {**target, **{k: v for k, v in schema.items() if k != "$ref"}}


def _fill(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> None:
    if not isinstance(value, dict):
        return
    schema = _resolved(schema, root)
    properties = schema.get("properties", {})
    for name, part in properties.items():
        resolved = _resolved(part, root)
        if name not in value and "default" in resolved:
            value[name] = copy.deepcopy(resolved["default"])
        if name in value:
            # A named signal states only what differs from `neural`, so it gets no defaults.
            _fill(value[name], {} if name == "signals" else part, root)
    further = schema.get("additionalProperties")
    if isinstance(further, dict):
        for name, item in value.items():
            if name not in properties:
                _fill(item, further, root)


def _section(schema: Mapping[str, Any], root: Mapping[str, Any], path: str) -> list[str]:
    schema = _resolved(schema, root)
    lines: list[str] = []
    nested: list[tuple[str, Mapping[str, Any]]] = []
    rows = []
    for name, part in schema.get("properties", {}).items():
        part = _resolved(part, root)
        here = f"{path}{name}"
        described = " ".join(str(part.get("description", "")).split())
        required = name in schema.get("required", [])
        default = "required" if required else f"`{_shown(part.get('default'))}`"
        rows.append(f"| `{name}` | {_kind(part)} | {default} | {described} |")
        if "properties" in part:
            nested.append((here, part))
        elif isinstance(part.get("additionalProperties"), dict):
            inner = _resolved(part["additionalProperties"], root)
            if "properties" in inner and name != "signals":
                nested.append((f"{here}.<name>", inner))
    lines += ["| key | type | default | what it says |", "| --- | --- | --- | --- |", *rows, ""]
    for here, part in nested:
        lines += [f"## `{here}`", ""]
        lines += _section(part, root, f"{here}.")
    return lines


def _kind(part: Mapping[str, Any]) -> str:
    if "enum" in part:
        return " or ".join(f"`{v}`" for v in part["enum"])
    if "oneOf" in part:
        return " or ".join(_kind(p) for p in part["oneOf"])
    if "const" in part:
        return f"`{_shown(part['const'])}`"
    kind = part.get("type", "")
    if isinstance(kind, list):
        return " or ".join("`null`" if k == "null" else str(k) for k in kind)
    return {"object": "mapping", "array": "list"}.get(kind, str(kind))


def _shown(value: Any) -> str:
    import json

    if value is None:
        return "null"
    return value if isinstance(value, str) else json.dumps(value)


if __name__ == "__main__":
    import sys

    Path(sys.argv[2]).write_text(reference(load_schema(sys.argv[1])), encoding="utf-8")
