"""Typed sections of the configuration, and the schema that is made from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from jsonschema import Draft202012Validator

from highgamma.errors import InputError
from highgamma.registry import Registry
from highgamma.sections import (
    as_mapping,
    keys_by_model,
    partial_schema,
    schema_of,
    section_from,
    setting,
)

COLOURS = {"red": 1, "blue": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    size: float = setting(0.7, "Diameter, in metres.", above=0)
    spokes: int | None = setting(None, "Number of spokes.", minimum=8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bicycle:
    owner: str = setting(description="Whose it is.", pattern="^[a-z]+$")
    colour: str = setting("red", "Its colour.", choices=COLOURS, by_model=True)
    gears: tuple[int, ...] = setting((1, 2), "Gears.", minimum=1, length=1, unique=True)
    span: tuple[float, float] | None = setting(None, "First and last.", by_model=True)
    parts: Literal["all", "few"] | tuple[str, ...] = setting("all", "Parts.")
    lamp: bool = setting(True, "Whether it has a lamp.")
    wheel: Wheel = setting(Wheel(), "Both wheels.")
    spare: dict[str, Wheel] = setting({}, "Spare wheels.", names="^w[0-9]$")
    other: Mapping[str, Mapping[str, Any]] = setting(
        {}, "What differs.", entries=lambda: partial_schema(Wheel, ["size"])
    )


def accepts(values: dict[str, Any]) -> bool:
    return Draft202012Validator(schema_of(Bicycle)).is_valid(values)


@pytest.mark.parametrize(
    "values",
    [
        {"owner": "ada"},
        {"owner": "ada", "colour": "blue", "gears": [3], "span": [0, 1.5], "parts": ["bell"]},
        {"owner": "ada", "parts": "few", "span": None, "wheel": {"spokes": 36}},
        {"owner": "ada", "spare": {"w1": {}}, "other": {"x": {"size": 1}}},
    ],
    ids=str,
)
def test_right_values_are_accepted(values: dict[str, Any]) -> None:
    assert accepts(values)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"owner": "Ada"},
        {"owner": "ada", "colour": "green"},
        {"owner": "ada", "gears": []},
        {"owner": "ada", "gears": [1, 1]},
        {"owner": "ada", "gears": [0]},
        {"owner": "ada", "span": [1]},
        {"owner": "ada", "parts": "some"},
        {"owner": "ada", "lamp": 1},
        {"owner": "ada", "bell": True},
        {"owner": "ada", "wheel": {"size": 0}},
        {"owner": "ada", "wheel": {"spokes": 7}},
        {"owner": "ada", "spare": {"x": {}}},
        {"owner": "ada", "other": {"x": {"spokes": 36}}},
    ],
    ids=str,
)
def test_wrong_values_are_refused(values: dict[str, Any]) -> None:
    assert not accepts(values)


def test_the_schema_states_description_and_default() -> None:
    properties = schema_of(Bicycle)["properties"]
    assert properties["colour"] == {
        "description": "Its colour.", "enum": ["red", "blue"], "default": "red",
    }  # fmt: skip
    assert properties["wheel"]["default"] == {}
    assert properties["wheel"]["properties"]["size"]["default"] == 0.7
    assert "default" not in properties["owner"]
    assert "default" not in properties["other"]["additionalProperties"]["properties"]["size"]


def test_choices_are_read_when_they_are_needed() -> None:
    COLOURS["green"] = 3
    try:
        assert accepts({"owner": "ada", "colour": "green"})
        assert section_from(Bicycle, {"owner": "ada", "colour": "green"}, where="b")
    finally:
        del COLOURS["green"]


def test_plain_values_become_typed_ones_and_plain_again() -> None:
    plain = {
        "owner": "ada", "gears": [3, 4], "span": [0, 2], "parts": ["bell"],
        "wheel": {"size": 1}, "spare": {"w1": {"spokes": 20}},
    }  # fmt: skip
    bicycle = section_from(Bicycle, plain, where="bicycle")
    assert bicycle.gears == (3, 4) and bicycle.parts == ("bell",)
    assert bicycle.span == (0.0, 2.0) and isinstance(bicycle.span[0], float)
    assert bicycle.wheel == Wheel(size=1.0) and bicycle.spare == {"w1": Wheel(spokes=20)}
    again = as_mapping(bicycle)
    assert again["gears"] == [3, 4] and again["spare"]["w1"]["spokes"] == 20
    assert section_from(Bicycle, again, where="bicycle") == bicycle


def test_an_unknown_key_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"did you mean 'colour'") as raised:
        section_from(Bicycle, {"owner": "ada", "color": "red"}, where="bicycle")
    assert raised.value.where == "bicycle"
    with pytest.raises(InputError, match="unknown setting 'sice'") as raised:
        section_from(Bicycle, {"owner": "ada", "wheel": {"sice": 1}}, where="bicycle")
    assert raised.value.where == "bicycle.wheel"


def test_a_misspelled_choice_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'blue'") as raised:
        section_from(Bicycle, {"owner": "ada", "colour": "blu"}, where="bicycle")
    assert raised.value.where == "bicycle.colour"


def test_keys_that_may_differ_for_a_model_are_marked() -> None:
    assert keys_by_model(Bicycle) == ["colour", "span"]


def test_the_descriptions_of_a_registrys_items_follow_the_keys_own() -> None:
    @dataclass(frozen=True)
    class Colour:
        name: str
        description: str

    colours: Registry[Colour] = Registry("colour")
    colours.register(Colour("red", "as a fire engine"))
    colours.register(Colour("blue", "as the sky"))

    @dataclass(frozen=True, kw_only=True)
    class Paint:
        colour: str = setting("red", "Its colour.", choices=colours)

    described = schema_of(Paint)["properties"]["colour"]
    assert described["enum"] == ["red", "blue"]
    assert described["description"] == "Its colour. `red`: as a fire engine; `blue`: as the sky."


def test_a_key_that_is_required_is_named() -> None:
    with pytest.raises(InputError, match="the key 'owner' is missing"):
        section_from(Bicycle, {}, where="bicycle")
