"""One normal form of words, and the forms that models know."""

from __future__ import annotations

import unicodedata

import pytest

from highgamma.spelling import bare, forms, identity, normal


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("huis", "huis"),
        (" huis\t", "huis"),
        ("huis\u00a0", "huis"),
        ("ijs\u200bje", "ijsje"),
        ("\ufeffhuis", "huis"),
        (unicodedata.normalize("NFD", "één"), "één"),
        ("`s", "`s"),
        ('"Hello', '"Hello'),
        ("New  York", "New York"),
        ("8", "8"),
        ("null", "null"),
    ],
)
def test_the_normal_form_changes_characters_and_never_what_is_said(written, expected) -> None:
    assert normal(written) == expected
    assert normal(normal(written)) == normal(written)


@pytest.mark.parametrize(
    "spellings",
    [
        ("Huis", "huis", "huis ", "HUIS", "huis.", "“huis”"),
        ("één", unicodedata.normalize("NFD", "Één")),
        ("don't", "don\u2019t", "Don't,"),
    ],
)
def test_spellings_of_one_word_are_one(spellings) -> None:
    assert len({identity(word) for word in spellings}) == 1


def test_different_words_stay_different() -> None:
    words = [
        "een",
        "één",
        "it's",
        "its",
        "8",
        "10",
        "+",
        "-",
        "...",
        "?",
        "well-known",
        "wellknown",
    ]
    assert len({identity(word) for word in words}) == len(words)


def test_forms_go_from_what_is_written_to_the_plainest() -> None:
    assert forms("Huis,") == ["Huis,", "Huis", "huis,", "huis"]
    assert forms("huis") == ["huis"]
    assert bare("`s") == "s" and bare("...") == "..."
