"""The model catalogue: which models there are, where their files lie, how many layers they have.

Read before anything is computed or downloaded, so that the graph is known from the names alone;
imports nothing heavy and opens no model file but the config.json of a local folder.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from highgamma.embeddings.kinds import KINDS, Kind
from highgamma.errors import InputError, nearest
from highgamma.models.places import MODELS, SOURCES, location
from highgamma.models.sizes import stated_size
from highgamma.store import parse_yaml

Entry = dict[str, Any]
Catalogue = dict[str, Entry]

MOST_LAYERS, MOST_WIDTH, MOST_SEED = 10_000, 10_000_000, 2**63 - 1
"""Numbers beyond which an entry is not believed."""

_COMMON = (
    *("kind", "source", "licence", "language", "layers", "width", "facts"),
    *("untrained", "seed", "digits"),
)
_DOCUMENTATION = ("facts", "licence", "language")
"""Keys that describe a model and do not make it: an edited remark recomputes nothing."""


def read_catalogue(path: str | Path) -> Catalogue:
    """Read a catalogue file and check every entry.

    Raises
    ------
    InputError
        If the file is absent, no YAML mapping, or any entry is wrong; all problems at once.
    """
    import yaml

    try:
        loaded = parse_yaml(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"the model catalogue cannot be read: {error.strerror}",
            where=path,
            remedy="restore config/models.yaml from the repository",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(
            f"the model catalogue is not valid YAML: {error}", where=path, remedy="correct the file"
        ) from error
    if not isinstance(loaded, dict):
        raise InputError("the model catalogue holds no entries", where=path, expected="name: {…}")
    return checked_catalogue(loaded, where=path)


def checked_catalogue(entries: Mapping[str, Any], *, where: str | Path | None = None) -> Catalogue:
    """Check entries against one another; all problems are named in one `InputError`.

    Layers and width that a network in a local folder leaves out are those of its config.json.
    """
    entries = {name: _sized(entry) for name, entry in entries.items()}
    problems: list[str] = []
    for name, entry in entries.items():
        here = f"{name}: "
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,99}", str(name)):
            problems.append(f"{here}a name has up to 100 lower-case letters, digits, `.`, `_`, `-`")
        if not isinstance(entry, dict):
            problems.append(f"{here}an entry is a mapping such as {{kind: text, …}}")
            continue
        problems += [here + problem for problem in _problems(entry, entries)]
    if problems:
        raise InputError(
            "the model catalogue has problems:\n  - " + "\n  - ".join(problems),
            where=where,
            remedy="correct the entries; the head of config/models.yaml describes every key",
        )
    return {str(name): dict(entry) for name, entry in entries.items()}


def _sized(entry: Any) -> Any:
    """Return an entry with layers and width, from config.json where it leaves them out."""
    if not isinstance(entry, dict) or isinstance(entry.get("untrained"), str):
        return entry
    source = entry.get("source")
    if not isinstance(source, dict) or list(source) != ["folder"]:
        return entry
    if entry.get("kind") not in KINDS or not kind_of(entry).is_network:
        return entry
    return {**stated_size(Path(str(source["folder"]))), **entry}


def load(path: str | Path, *, further: Mapping[str, Any] | None = None) -> Catalogue:
    """Read a catalogue, add a configuration's own entries, and resolve every entry.

    An own entry replaces its namesake, and the twins of its namesake follow it.

    Raises
    ------
    InputError
        If the file or any entry is wrong.
    """
    entries = read_catalogue(path)
    if further:
        where = "catalogue (in the configuration)"
        entries = checked_catalogue({**entries, **further}, where=where)
    entries = {**_by_trial(entries), **entries}
    return {name: resolve(entries, name) for name in entries}


def trial_twin(name: str) -> str:
    """Return the name of the twin that hears each trial alone: `x-trial`, `x-trial-untrained`."""
    bare = name.removesuffix("-untrained")
    return f"{bare}-trial{name[len(bare) :]}"


def _by_trial(entries: Catalogue) -> Catalogue:
    """Return a twin that hears each trial alone for every model that leaves its context open."""
    twins: Catalogue = {}
    for name, entry in entries.items():
        base = entry.get("untrained")
        if isinstance(base, str):
            whole = {**entries[base], **entry}
            if kind_of(whole).by_trial(whole) is not None:
                twins[trial_twin(name)] = {**entry, "untrained": trial_twin(base)}
        elif (twin := kind_of(entry).by_trial(entry)) is not None:
            twins[trial_twin(name)] = twin
    return twins


def heard_by_trial(config: Mapping[str, Any], entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration whose analyses of words hear each trial alone.

    A model that hears a whole recording holds neighbouring words too, and what it says of a word
    depends on them. Where the trial covers an analysis's window, and its entry does not state a
    context, the model's twin stands in its place: in the models, controls, bands and overrides, and
    in the published scores of the analysis.

    Parameters
    ----------
    config
        The checked configuration.
    entries
        The resolved catalogue (`load`).
    """
    heard: dict[str, Any] = copy.deepcopy(dict(config))
    stated, added = list(heard["models"]), list[str]()
    for name, analysis in heard["analyses"].items():
        if analysis["unit"] != "word" or heard["dataset"]["stimulus"]:
            continue
        bands = analysis["bands"] or []
        every = stated if analysis["models"] == "all" else analysis["models"]
        known = {*(bands or every), *analysis["controls"]}
        twins = {
            model: trial_twin(model)
            for model in known
            if _covered({**analysis, **analysis["overrides"].get(model, {})}, model, entries)
        }
        if not twins:
            continue

        def renamed(names: Iterable[str], twins: Mapping[str, str] = twins) -> list[str]:
            return list(dict.fromkeys(twins.get(model, model) for model in names))

        if bands:
            analysis["bands"] = renamed(bands)
        else:
            analysis["models"] = renamed(every)
            added += analysis["models"]
        analysis["controls"] = renamed(analysis["controls"])
        analysis["overrides"] = {twins.get(m, m): of for m, of in analysis["overrides"].items()}
        published = heard["published"]
        if published and published["analysis"] == name:
            published["models"] = {twins.get(m, m): of for m, of in published["models"].items()}
    heard["models"] = list(dict.fromkeys([*stated, *added]))
    for analysis in heard["analyses"].values():
        # All models of the others are still those that were stated.
        if added and analysis["models"] == "all" and not analysis["bands"]:
            analysis["models"] = list(stated)
    return heard


def _covered(fit: Mapping[str, Any], model: str, entries: Mapping[str, Any]) -> bool:
    """Return whether a model's twin hears the whole window of a fit."""
    twin = entries.get(trial_twin(model), {})
    if twin.get("context") != "trial" or model not in entries:
        return False
    alone = ("context", "trial", "base")
    if any(twin[key] != entries[model].get(key) for key in twin if key not in alone):
        return False
    trial, (start, stop) = twin["trial"], fit["window"]
    return bool(fit["align"] == trial["align"] and trial["start"] <= start < stop <= trial["stop"])


def check_names(catalogue: Mapping[str, Any], names: Iterable[str]) -> None:
    """Check that the catalogue has every name; an `InputError` names all that it has not."""
    unknown = [n for n in dict.fromkeys(names) if n not in catalogue]
    if unknown:
        known = list(catalogue)
        listed = ", ".join(f"{n!r}{nearest(n, known)}" for n in unknown)
        raise InputError(
            f"unknown model {listed}",
            where="models",
            expected="names from config/models.yaml, or from `catalogue` in the configuration",
            remedy="correct the name, or describe the model under `catalogue` in the configuration",
        )


def resolve(catalogue: Catalogue, name: str) -> Entry:
    """Return one model's entry with all inherited values and defaults filled in.

    An untrained twin takes all of its base but the weights. The result holds scalars, lists and
    mappings only and is the model's identity: where nothing in it changes, nothing is computed
    again.

    Raises
    ------
    InputError
        If there is no such model; the message has the nearest name.
    """
    check_names(catalogue, [name])
    entry = dict(catalogue[name])
    untrained = entry.pop("untrained", False)
    seed = entry.pop("seed", 0)
    base = name
    if isinstance(untrained, str):
        base = untrained
        entry = {**catalogue[base], **entry}
    kind = KINDS[entry["kind"]]
    filled = {key: option.default for key, option in kind.options.items()}
    stated = {k: v for k, v in entry.items() if k not in _DOCUMENTATION}
    filled |= {"digits": 4, "width": None, "layers": 0, **stated}
    if kind.is_network:
        filled |= {"untrained": bool(untrained), "seed": int(seed)}
    filled = kind.settled(filled)
    filled["base"] = base
    return dict(sorted(filled.items()))


def layers_of(catalogue: Catalogue, name: str) -> list[int]:
    """Return the numbers of a model's layers: 0 (input of the first block) to L (the output).

    Models without blocks (acoustic, static, channel, position) and the surprisal of a language
    model have the one layer 0. No model file is read; the catalogue may be as read or as resolved
    by `load`.
    """
    check_names(catalogue, [name])
    entry = catalogue[name]
    base = entry.get("untrained")
    inherited: Entry = catalogue[base] if isinstance(base, str) else {}
    whole: Entry = {"layers": 0, **inherited, **entry}
    return kind_of(whole).layers(whole)


def files_of(catalogue: Catalogue, name: str, *, models: str | Path = MODELS) -> list[str]:
    """Return the sorted files that a model of a resolved catalogue is read from.

    Those that are there, and the config.json of an untrained model in a local folder even before
    it is there, for the workflow may be about to write it. A model whose files are absent has
    none, and its job then says what to fetch.
    """
    check_names(catalogue, [name])
    entry = catalogue[name]
    source = entry.get("source") or {}
    try:
        place = location(entry, models=models)
    except InputError:
        return []
    if place is None:
        return []
    if entry.get("untrained") and list(source) == ["folder"]:
        patterns = kind_of(entry).file_patterns(entry)
        there = (path for pattern in patterns for path in place.glob(pattern))
        return sorted({str(place / "config.json"), *map(str, there)})
    if place.is_file():
        return [str(place)]
    patterns = kind_of(entry).file_patterns(entry)
    if not entry.get("untrained"):
        weights = ("*.safetensors", "pytorch_model*.bin")
        # The second format is read only where there is none of the first.
        patterns += next(((w,) for w in weights if any(place.glob(w))), ())
    return sorted({str(path) for pattern in patterns for path in place.glob(pattern)})


def kind_of(entry: Mapping[str, Any]) -> Kind:
    """Return the kind of an entry."""
    return KINDS[str(entry["kind"])]


def with_fit_options(fit: Mapping[str, Any], catalogue: Catalogue, model: str) -> dict[str, Any]:
    """Return the settings of a fit with what its model's kind changes in them.

    Parameters
    ----------
    fit
        The settings of the analysis for this model (`settings.fit_settings`).
    catalogue, model
        The catalogue, and the model's name; the bands of a joint fit are not in it.
    """
    if model not in catalogue:
        return dict(fit)
    entry = catalogue[model]
    return {**fit, **kind_of(entry).fit_options(entry, fit)}


def _problems(entry: Entry, entries: Mapping[str, Any]) -> list[str]:
    """What is wrong with one entry, in the user's words."""
    untrained = entry.get("untrained", False)
    if isinstance(untrained, str):
        base = entries.get(untrained)
        if not isinstance(base, dict):
            return [f"untrained: unknown model {untrained!r}{nearest(untrained, list(entries))}"]
        if base.get("untrained"):
            return [f"untrained: {untrained!r} is itself untrained; name the trained model"]
        if base.get("kind") not in KINDS or not kind_of(base).is_network:
            return [f"untrained: {untrained!r} is not a network (kind {base.get('kind')})"]
        entry = {**base, **entry}
    elif not isinstance(untrained, bool):
        return [f"untrained: {untrained!r} is neither true nor a model's name"]
    if entry.get("kind") not in KINDS:
        hint = nearest(str(entry.get("kind")), list(KINDS))
        return [f"kind: {entry.get('kind')!r} is not one of {', '.join(KINDS)}{hint}"]
    kind = kind_of(entry)
    known = [*_COMMON, *kind.options]
    problems = [
        f"unknown key {key!r}{nearest(str(key), known)}" for key in entry if key not in known
    ]
    problems += _source_problems(entry.get("source"), needed="model" in kind.needs)
    for key, option in kind.options.items():
        if key in entry:
            problems += option.problems(key, entry[key])
    problems += [
        f"{key}: missing; expected {option.expected}"
        for key, option in kind.options.items()
        if option.required and key not in entry
    ]
    return problems + _size_problems(entry, kind) + kind.problems(entry)


def _source_problems(source: Any, *, needed: bool) -> list[str]:
    if source is None:
        return ["source: missing; one of hub, package, folder, file, url"] if needed else []
    keys = [key for key in SOURCES if isinstance(source, dict) and key in source]
    # A package also names the folder inside it; every other source stands alone.
    if "package" in keys and "folder" not in keys:
        return ["source: a package needs `folder`, the model's place inside it"]
    if not keys or (len(keys) != 1 and keys != ["package", "folder"]) or len(source) != len(keys):
        return [f"source: {source!r} is not one of {{hub: …}}, {{folder: …}}, {{url: …}}, …"]
    return [
        f"source.{key}: {source[key]!r} is not of the form {SOURCES[key]}"
        for key in keys
        if not isinstance(source[key], str) or not re.fullmatch(SOURCES[key], source[key])
    ]


def _size_problems(entry: Entry, kind: Kind) -> list[str]:
    problems = []
    layers, width = entry.get("layers"), entry.get("width")
    if kind.is_network and not _within(layers, 1, MOST_LAYERS):
        problems.append(
            "layers: missing, and no config.json in the folder states them"
            if layers is None
            else f"layers: {layers!r}; expected the number of the network's blocks"
        )
    if not kind.is_network and layers not in (None, 0):
        problems.append(f"layers: {layers!r}; the kind {kind.name} has none (0)")
    if kind.has_width and not _within(width, 1, MOST_WIDTH):
        problems.append(
            "width: missing, and no config.json in the folder states it"
            if width is None
            else f"width: {width!r}; expected the number of features"
        )
    for key in ("seed", "digits"):
        value = entry.get(key, 1)
        if not _within(value, 0, MOST_SEED):
            problems.append(f"{key}: {value!r}; expected a whole number, 0 or more")
    return problems


def _within(value: Any, least: int, most: int) -> bool:
    """Return whether a value is a whole number within bounds."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
