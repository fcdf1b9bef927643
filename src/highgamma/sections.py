"""Sections of the configuration: typed, checked, and described once.

A section is a frozen dataclass whose fields are made by `setting`. From it come the JSON schema
that a configuration is checked against (`schema_of`), the typed values that a stage works with
(`section_from`) and, for the documentation, the description of every key.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from typing import Any, ClassVar, Literal, Protocol, TypeVar, Union, get_args, get_origin
from typing import get_type_hints as type_hints

from highgamma.errors import InputError, nearest, refuse_unknown
from highgamma.registry import Registry

Schema = dict[str, Any]


class Section(Protocol):
    """A dataclass whose fields are made by `setting`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


S = TypeVar("S", bound=Section)

_REQUIRED: Any = dataclasses.MISSING
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def setting(
    default: Any = _REQUIRED,
    description: str | Callable[[], str] = "",
    *,
    choices: Collection[str] | Callable[[], Iterable[str]] | None = None,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    pattern: str | None = None,
    length: int = 0,
    unique: bool = False,
    names: str | None = None,
    entries: Callable[[], Schema] | None = None,
    by_model: bool = False,
) -> Any:
    """Declare one key of a section.

    Parameters
    ----------
    default
        Its value where the configuration leaves it out; without one the key is required. A section
        as the default means that section's own defaults.
    description
        What the key means, with its unit; one or two sentences for the configuration's reference,
        or a function that writes them when they are needed.
    choices
        The strings it may be; a registry, whose items' descriptions follow the key's own, or a
        function that is called when they are needed.
    minimum, above, maximum
        Bounds of a number, or of every number of a list; `above` is exclusive.
    pattern
        Regular expression for a string, or for every string of a list.
    length
        Least number of entries of a list or mapping.
    unique
        Whether the entries of a list differ.
    names
        Regular expression for the keys of a mapping.
    entries
        Schema of a mapping's values where their type does not give it (`partial_schema`).
    by_model
        Whether an analysis may set the key differently for one of its models.
    """
    metadata = {
        "description": description, "choices": choices, "minimum": minimum, "above": above,
        "maximum": maximum, "pattern": pattern, "length": length, "unique": unique,
        "names": names, "entries": entries, "by_model": by_model,
    }  # fmt: skip
    if isinstance(default, dict | list):
        # Neither has a hash; sections are keys of caches.
        return dataclasses.field(
            default_factory=lambda: type(default)(default), hash=False, metadata=metadata
        )
    if default is _REQUIRED:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


# ---------------------------------------------------------------------------------- to JSON schema


def schema_of(section: type[Section]) -> Schema:
    """Return the JSON schema of a section: every key with description, bounds and default.

    Nested sections are written out in place. A section as the value of a key has the default `{}`,
    which a checked configuration fills in.
    """
    hints = _hints(section)
    properties: dict[str, Schema] = {}
    required = []
    for field in dataclasses.fields(section):
        properties[field.name] = _described(field, hints[field.name])
        if field.default is _REQUIRED and field.default_factory is _REQUIRED:
            required.append(field.name)
    schema: Schema = {"type": "object", "additionalProperties": False}
    if required:
        schema["required"] = required
    return {**schema, "properties": properties}


def partial_schema(section: type[Section], keys: Iterable[str] | None = None) -> Schema:
    """Return the schema of a mapping that states only what differs from a section.

    Nothing in it is required or has a default, in nested sections neither. `keys` are those that
    may differ; all by default.
    """
    whole = schema_of(section)["properties"]
    allowed = list(whole) if keys is None else list(keys)
    properties = {key: _without_defaults(whole[key]) for key in allowed}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _without_defaults(schema: Schema) -> Schema:
    bare = {key: value for key, value in schema.items() if key != "default"}
    if "properties" in bare:
        nested = bare["properties"].items()
        bare["properties"] = {key: _without_defaults(value) for key, value in nested}
    return bare


def keys_by_model(section: type[Section]) -> list[str]:
    """Return the keys of a section that may be set differently for one model."""
    return [f.name for f in dataclasses.fields(section) if f.metadata["by_model"]]


def _described(field: dataclasses.Field[Any], hint: Any) -> Schema:
    about = field.metadata
    description = about["description"]
    description = description() if callable(description) else description
    description = " ".join(filter(None, [description, _choices_in_words(about)]))
    schema: Schema = {"description": description} if description else {}
    schema |= _schema_of_type(hint, about)
    factory: Any = field.default_factory
    if factory is not _REQUIRED:
        schema["default"] = factory()
    elif field.default is not _REQUIRED:
        schema["default"] = _plain(field.default)
        if dataclasses.is_dataclass(field.default):
            schema["default"] = {}
    return schema


def _choices_in_words(about: Mapping[str, Any]) -> str:
    """What each choice of a registry is, in its own words."""
    choices = about["choices"]
    if not isinstance(choices, Registry):
        return ""
    described = {name: getattr(item, "description", "") for name, item in choices.items()}
    texts = [f"`{name}`: {text}" for name, text in described.items() if text]
    return "; ".join(texts) + "." if texts else ""


def _schema_of_type(hint: Any, about: Mapping[str, Any]) -> Schema:
    """JSON schema of values of a type, with the bounds that its `setting` gives."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _schema_of_union(arguments, about)
    if hint is type(None):
        return {"type": "null"}
    if origin is Literal:
        return {"const": arguments[0]} if len(arguments) == 1 else {"enum": list(arguments)}
    if origin is tuple:
        return _schema_of_list(arguments, about)
    if origin in (dict, Mapping):
        schema: Schema = {"type": "object"}
        if about["length"]:
            schema["minProperties"] = about["length"]
        if about["names"]:
            schema["propertyNames"] = {"pattern": about["names"]}
        if about["entries"]:
            return schema | {"additionalProperties": about["entries"]()}
        values = {**about, "length": 0, "names": None}
        return schema | {"additionalProperties": _schema_of_type(arguments[1], values)}
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return schema_of(hint)
    if hint is Any:
        return {"type": "object"}
    if hint is str and about["choices"] is not None:
        choices = about["choices"]
        return {"enum": list(choices() if callable(choices) else choices)}
    schema = {"type": _TYPES[hint]}
    if hint is str and about["pattern"]:
        schema["pattern"] = about["pattern"]
    if hint in (int, float):
        bounds = {"minimum": "minimum", "exclusiveMinimum": "above", "maximum": "maximum"}
        schema |= {
            key: about[option] for key, option in bounds.items() if about[option] is not None
        }
    return schema


def _schema_of_list(arguments: tuple[Any, ...], about: Mapping[str, Any]) -> Schema:
    any_length = arguments[1:] == (Ellipsis,)
    entry = _schema_of_type(arguments[0], {**about, "length": 0})
    schema: Schema = {"type": "array", "items": entry}
    if not any_length:
        schema |= {"minItems": len(arguments), "maxItems": len(arguments)}
    elif about["length"]:
        schema["minItems"] = about["length"]
    if about["unique"]:
        schema["uniqueItems"] = True
    return schema


def _schema_of_union(members: tuple[Any, ...], about: Mapping[str, Any]) -> Schema:
    parts = [_schema_of_type(member, about) for member in members]
    names = [part.get("type") for part in parts]
    plain = all(isinstance(name, str) and name not in ("array", "object") for name in names)
    if plain:
        merged: Schema = {}
        for part in parts:
            merged |= part
        return merged | {"type": names}
    nullable = [part for part in parts if part != {"type": "null"}]
    if len(nullable) == 1 and "enum" in nullable[0]:
        return {"enum": [*nullable[0]["enum"], None]}
    if len(nullable) == 1 and nullable[0].get("type") == "object":
        return nullable[0] | {"type": ["object", "null"]}
    return {"oneOf": [{"const": None} if part == {"type": "null"} else part for part in parts]}


# --------------------------------------------------------------------------------- to typed values


def section_from(section: type[S], values: Mapping[str, Any], *, where: str) -> S:
    """Build a section from plain values, its defaults filled in.

    Lists become tuples and mappings nested sections, as the fields' types say. A configuration has
    been checked against its schema before (`highgamma.settings.checked`); bounds and choices are
    checked here all the same, since a stage can be called without a configuration.

    Parameters
    ----------
    section
        The dataclass.
    values
        Plain values as YAML or JSON has them.
    where
        The section's place in the configuration, for messages.

    Raises
    ------
    InputError
        For an unknown key (the nearest known one is named), a missing one, or a value that is none
        of the choices or out of bounds.
    """
    fields = {field.name: field for field in dataclasses.fields(section)}
    refuse_unknown(values, list(fields), where=where)
    missing = [
        key
        for key, field in fields.items()
        if key not in values and field.default is _REQUIRED and field.default_factory is _REQUIRED
    ]
    if missing:
        raise InputError(f"the key {missing[0]!r} is missing", where=where)
    hints = _hints(section)
    typed = {}
    for key, value in values.items():
        typed[key] = _typed(hints[key], value, where=f"{where}.{key}")
        _refuse_out_of_bounds(key, typed[key], fields[key].metadata, where=f"{where}.{key}")
        choices = fields[key].metadata["choices"]
        if choices is not None and isinstance(value, str):
            allowed = list(choices() if callable(choices) else choices)
            if value not in allowed:
                raise InputError(
                    f"{key} is {value!r}{nearest(value, allowed)}",
                    where=f"{where}.{key}",
                    expected="one of " + ", ".join(allowed),
                )
    return section(**typed)


def checked_section(section: type[S], values: Mapping[str, Any], *, where: str) -> S:
    """Build a section as `section_from` does, and refuse it where it contradicts itself.

    Raises
    ------
    InputError
        As `section_from`, and with everything that the section's `problems()` names.
    """
    built = section_from(section, values, where=where)
    problems: list[str] = built.problems() if hasattr(built, "problems") else []
    if problems:
        raise InputError(
            "; ".join(problems),
            where=where,
            remedy="correct it; docs/config.md describes every key",
        )
    return built


def as_mapping(section: Section) -> dict[str, Any]:
    """Return a section's values as plain ones: tuples as lists, nested sections as mappings."""
    plain: dict[str, Any] = _plain(section)
    return plain


def _typed(hint: Any, value: Any, *, where: str) -> Any:
    """A plain value in its field's type; one that fits no type is left for the stage to refuse."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        for member in arguments:
            if (
                (isinstance(value, list | tuple) and get_origin(member) is tuple)
                or (isinstance(value, Mapping) and get_origin(member) in (dict, Mapping))
                or (isinstance(value, Mapping) and dataclasses.is_dataclass(member))
            ):
                return _typed(member, value, where=where)
        numeric = isinstance(value, int) and not isinstance(value, bool)
        return float(value) if numeric and float in arguments and int not in arguments else value
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_typed(arguments[0], entry, where=where) for entry in value)
    if origin in (dict, Mapping) and isinstance(value, Mapping):
        return {
            str(key): _typed(arguments[1], entry, where=f"{where}.{key}")
            for key, entry in value.items()
        }
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return section_from(hint, value, where=where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _refuse_out_of_bounds(key: str, value: Any, about: Mapping[str, Any], *, where: str) -> None:
    entries = value if isinstance(value, tuple) else (value,)
    minimum, above, maximum = (about[name] for name in ("minimum", "above", "maximum"))
    bounds = [
        *([f"at least {minimum:g}"] if minimum is not None else []),
        *([f"above {above:g}"] if above is not None else []),
        *([f"at most {maximum:g}"] if maximum is not None else []),
    ]
    outside = [
        entry
        for entry in entries
        if isinstance(entry, int | float)
        and not isinstance(entry, bool)
        and not (
            (minimum is None or entry >= minimum)
            and (above is None or entry > above)
            and (maximum is None or entry <= maximum)
        )
    ]
    if outside:
        raise InputError(f"{key} is {outside[0]}", where=where, expected=" and ".join(bounds))
    if isinstance(value, tuple):
        repeated = about["unique"] and len(set(value)) < len(value)
        if repeated or len(value) < about["length"]:
            different = "different " if about["unique"] else ""
            raise InputError(
                f"{key} is {list(value)}",
                where=where,
                expected=f"at least {about['length']} {different}values",
            )


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    return value


@cache
def _hints(section: type[Section]) -> dict[str, Any]:
    return type_hints(section)
