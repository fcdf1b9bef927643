"""Which words a model does not know: those without a vector, and those it cannot tell apart."""

from __future__ import annotations

import json
import logging
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from highgamma.spelling import identity

LOG = logging.getLogger("highgamma")

VOCABULARY = "vocabulary"
"""Attribute of embeddings: JSON, the counts and examples of `Vocabulary`. That of scores and of the
summary has them by model."""

EXAMPLES = 4
"""Most words of a kind that are kept as examples."""

LONGEST = 40
"""Most characters of an example."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """How a model knows different words (`spelling.identity`).

    Attributes
    ----------
    n_words
        Number of different words.
    absent
        Words without a vector or token.
    unknown
        Words with an unknown token.
    alike
        Groups of words that have the same vector or the same tokens.
    """

    n_words: int
    absent: tuple[str, ...]
    unknown: tuple[str, ...]
    alike: tuple[tuple[str, ...], ...]

    @property
    def n_alike(self) -> int:
        """Number of words that have the vector or the tokens of another word."""
        return sum(map(len, self.alike))

    @property
    def affected(self) -> set[str]:
        """The words of any of these kinds."""
        return {*self.absent, *self.unknown, *(word for group in self.alike for word in group)}

    def examples(self) -> list[str]:
        """Return some words of each kind; words that are alike are joined by `=`."""
        groups = [" = ".join(group[:3]) for group in self.alike]
        kinds = (self.absent, self.unknown, groups)
        return [word[:LONGEST] for kind in kinds for word in kind[:EXAMPLES]]

    def attribute(self) -> str:
        """Return the counts and examples as JSON."""
        counts = {
            "words": self.n_words,
            "absent": len(self.absent),
            "unknown": len(self.unknown),
            "alike": self.n_alike,
        }
        return json.dumps({**counts, "examples": self.examples()})

    def report(self) -> None:
        """Log the counts and examples, if there are any."""
        if self.affected:
            LOG.warning(
                "of %d different words, %d without a vector or token, %d with an unknown token, %d "
                "with the vector or tokens of another word: %s",
                self.n_words,
                *(len(self.absent), len(self.unknown), self.n_alike),
                ", ".join(self.examples()),
            )


def different(words: Iterable[str]) -> list[str]:
    """Return one spelling of each different word, sorted; empty words are left out."""
    return sorted({identity(word): word for word in words if word.strip()}.values())


def vocabulary(
    words: Sequence[str], keys: Sequence[Hashable | None], *, unknown: Iterable[str] = ()
) -> Vocabulary:
    """Return how a model knows words.

    Parameters
    ----------
    words
        The words; several spellings of a word are one word.
    keys
        For each word what stands for it in the model, a vector or tokens, in a form that can be
        compared; None for a word without.
    unknown
        Those with an unknown token.
    """
    spelled = {identity(word): word for word in different(words)}
    by_key: dict[Hashable, set[str]] = {}
    absent = set()
    for word, key in zip(words, keys, strict=True):
        if key is not None:
            by_key.setdefault(key, set()).add(identity(word))
        elif word.strip():
            absent.add(identity(word))
    alike = [tuple(sorted(spelled[i] for i in of)) for of in by_key.values() if len(of) > 1]
    return Vocabulary(
        n_words=len(spelled),
        absent=tuple(sorted(spelled[i] for i in absent)),
        unknown=tuple(sorted(unknown)),
        alike=tuple(sorted(alike)),
    )


def joined_attribute(files: Mapping[str, Any]) -> dict[str, str]:
    """Return the attribute of scores from the embeddings of each model, by name.

    It is empty if no model has a vocabulary.
    """
    by_model = {
        name: json.loads(embeddings.attrs[VOCABULARY])
        for name, embeddings in files.items()
        if VOCABULARY in embeddings.attrs
    }
    return {VOCABULARY: json.dumps(by_model)} if by_model else {}
