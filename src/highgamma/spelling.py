"""One normal form of words for all stages, and the forms in which models may know them.

What a table holds is often not what a vocabulary holds: decomposed letters (`e` and a combining
acute in place of `é`), blanks at the ends, invisible characters, capitals, punctuation. A word is
kept in its normal form everywhere; its original stays in the table of words.
"""

from __future__ import annotations

import re
import unicodedata

_INVISIBLE = re.compile("[\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff]")
_APOSTROPHES = re.compile("[\u2018\u2019\u02bc\u00b4]")


def normal(word: str) -> str:
    """Return a word's normal form: composed letters (Unicode NFC), no invisible characters.

    Blanks of any kind become one space, and none are left at the ends. Case, punctuation and
    quotes stay.
    """
    return " ".join(_INVISIBLE.sub("", unicodedata.normalize("NFC", word)).split())


def bare(word: str) -> str:
    """Return a normal form without punctuation at its ends; of punctuation alone, all of it."""
    word = _APOSTROPHES.sub("'", normal(word))
    inner = [k for k, c in enumerate(word) if unicodedata.category(c)[0] in "LNM"]
    return word[inner[0] : inner[-1] + 1] if inner else word


def identity(word: str) -> str:
    """Return what two spellings of one word share: neither case nor punctuation at the ends."""
    return bare(word).casefold()


def forms(word: str) -> list[str]:
    """Return the forms in which a vocabulary is asked for a word, in this order.

    As written (in normal form), with straight apostrophes and without punctuation at its ends, and
    both in small letters.
    """
    written = normal(word)
    return list(dict.fromkeys([written, bare(word), written.lower(), bare(word).lower()]))
