"""The reference and the schema file of the configuration, generated from its sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from highgamma.settings.configuration import schema

WORDS = {"object": "mapping", "array": "list"}
"""YAML's names of JSON's types."""


def schema_text() -> str:
    """Return the JSON schema as YAML, for editors."""
    import yaml

    head = "# Written by `make reference` from the sections in src/highgamma; do not edit.\n"
    return head + str(yaml.safe_dump(schema(), sort_keys=False, allow_unicode=True, width=96))


def reference() -> str:
    """Return the configuration's reference as Markdown."""
    whole = schema()
    title, description = whole["title"].capitalize(), " ".join(whole["description"].split())
    lines = [f"# {title}", "", description, "", *_section(whole, "")]
    return "\n".join(lines).rstrip() + "\n"


def _section(part: Mapping[str, Any], path: str) -> list[str]:
    lines: list[str] = []
    nested: list[tuple[str, Mapping[str, Any]]] = []
    rows = []
    for name, key in part.get("properties", {}).items():
        described = " ".join(str(key.get("description", "")).split())
        required = name in part.get("required", [])
        default = "required" if required else f"`{_shown(key.get('default'))}`"
        rows.append(f"| `{name}` | {_kind(key)} | {default} | {described} |")
        for choice in (key, *key.get("oneOf", [])):
            if "properties" in choice:
                nested.append((f"{path}{name}", choice))
        entries = key.get("additionalProperties")
        if isinstance(entries, dict) and _has_defaults(entries):
            nested.append((f"{path}{name}.<name>", entries))
    lines += ["| key | type | default | what it says |", "| --- | --- | --- | --- |", *rows, ""]
    for place, section in nested:
        lines += [f"## `{place}`", "", *_section(section, f"{place}.")]
    return lines


def _has_defaults(entries: Mapping[str, Any]) -> bool:
    """Return whether a mapping's entries are complete sections, not changes to another one."""
    properties = entries.get("properties", {}).values()
    return any("default" in described for described in properties)


def _kind(part: Mapping[str, Any]) -> str:
    if "enum" in part:
        return " or ".join(f"`{v}`" for v in part["enum"])
    if "oneOf" in part:
        return " or ".join(_kind(p) for p in part["oneOf"])
    if "const" in part:
        return f"`{_shown(part['const'])}`"
    kind = part.get("type", "")
    if isinstance(kind, list):
        return " or ".join("`null`" if k == "null" else WORDS.get(k, str(k)) for k in kind)
    return WORDS.get(kind, str(kind))


def _shown(value: Any) -> str:
    import json

    if value is None:
        return "null"
    return value if isinstance(value, str) else json.dumps(value)
