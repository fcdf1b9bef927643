"""What is unusual in what the fits are made from: flags of recordings, words not known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from highgamma.quality.columns import QUALITY_FLAGS
from highgamma.report.evidence import Evidence

KINDS = ("absent", "unknown", "alike")
"""Kinds of words that a model does not know."""

MOST_EXAMPLES = 8
"""Most words of a model that are shown."""


@dataclass(frozen=True, slots=True)
class FlaggedChannels:
    """The channels of a participant that carry a flag of quality, of `n` channels."""

    participant: str
    n: int
    flag: str
    channels: tuple[str, ...]


def flagged_channels(evidence: Evidence) -> list[FlaggedChannels]:
    """Return a row for each participant and flag that a channel carries."""
    rows = []
    for participant, table in evidence.quality.items():
        flags = table["flags"].fillna("").map(lambda text: text.split(","))
        for flag in QUALITY_FLAGS:
            on = flags.map(lambda raised, flag=flag: flag in raised).astype(bool)
            channels = tuple(map(str, table.loc[on, "electrode"]))
            if channels:
                rows.append(FlaggedChannels(participant, len(table), flag, channels))
    return rows


def flag_meanings(rows: list[FlaggedChannels]) -> dict[str, str]:
    """Return what each of the flags means."""
    carried = {row.flag for row in rows}
    return {f.name: f.meaning.replace("`", "") for f in QUALITY_FLAGS.values() if f.name in carried}


@dataclass(frozen=True, slots=True)
class UnknownWords:
    """The words that models do not know, of `n_words` different ones of a participant.

    Attributes
    ----------
    models
        Models with the same counts, such as a network and its untrained counterpart.
    n_participants, n_affected
        Number of participants, and of those with any such word.
    n_words, absent, unknown, alike
        As `embeddings.vocabulary.Vocabulary`, each the largest count of a participant.
    examples
        Some of the words.
    """

    models: tuple[str, ...]
    n_participants: int
    n_affected: int
    n_words: int
    absent: int
    unknown: int
    alike: int
    examples: tuple[str, ...]


def unknown_words(evidence: Evidence) -> list[UnknownWords]:
    """Return a row for all models that do not know the same words; none if they know all."""
    rows: dict[tuple[Any, ...], list[str]] = {}
    for model, people in evidence.vocabularies.items():
        affected = [v for v in people.values() if any(v[kind] for kind in KINDS)]
        if affected:
            counts = (max(v[name] for v in people.values()) for name in ("words", *KINDS))
            examples = dict.fromkeys(word for v in affected for word in v["examples"])
            key = (len(people), len(affected), *counts, tuple(examples)[:MOST_EXAMPLES])
            rows.setdefault(key, []).append(model)
    return [UnknownWords(tuple(models), *key) for key, models in rows.items()]
