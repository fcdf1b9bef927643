"""The tables of a run, joined from their parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma.gain import TOGETHER
from highgamma.scores import LEVEL, false_discovery_q
from highgamma.summary.choice import FloatArray
from highgamma.summary.columns import (
    Audited,
    Beside,
    Gain,
    GainsPart,
    JudgedFit,
    NuisancePart,
    PartitionPart,
    TableColumn,
    no_gain,
)
from highgamma.summary.fits import FitSummary

if TYPE_CHECKING:
    import pandas as pd


def joined(parts: Iterable[Any], columns: Mapping[str, TableColumn]) -> pd.DataFrame:
    """Join parts into one table with the declared columns.

    Parameters
    ----------
    parts
        Parts of the table, such as `JudgedFit`.
    columns
        Columns of the table by name; the values of each come from one part.
    """
    import pandas as pd

    pieces: dict[str, list[Any]] = {name: [] for name in columns}
    for part in parts:
        values = {name: column.values(part) for name, column in columns.items()}
        rows = max((len(v) for v in values.values() if _is_several(v)), default=1)
        for name, value in values.items():
            pieces[name].append(value if _is_several(value) else _repeated(value, rows))
    table: dict[str, NDArray[Any] | list[Any]] = {}
    for name in columns:
        of_parts = pieces.pop(name)
        if of_parts and all(isinstance(piece, np.ndarray) for piece in of_parts):
            table[name] = np.concatenate(of_parts)
        else:
            table[name] = [value for piece in of_parts for value in piece]
    return with_whole_numbers(pd.DataFrame(table, columns=list(columns)), columns)


def with_whole_numbers(table: pd.DataFrame, columns: Mapping[str, TableColumn]) -> pd.DataFrame:
    """Convert the columns of whole numbers, some of which may be missing, to `Int64`."""
    return table.astype({name: "Int64" for name, column in columns.items() if column.whole})


def _is_several(value: Any) -> bool:
    return isinstance(value, list | np.ndarray)


def _repeated(value: Any, rows: int) -> list[Any] | NDArray[Any]:
    return np.full(rows, value) if isinstance(value, float | int) else [value] * rows


def nuisance_parts(fit: FitSummary) -> Iterator[NuisancePart]:
    """Return the parts of `nuisances.tsv`: one for each group of nuisances."""
    for name, (r, skill) in fit.alone.items():
        yield NuisancePart(fit, name, r, skill)


def gain_parts(judged: JudgedFit) -> Iterator[GainsPart]:
    """Return the parts of `gains.tsv`: one for each control that the analysis names."""
    for control, skill in judged.beside.controls.items():
        gain = judged.beside.gains.get(control, no_gain(len(skill)))
        yield GainsPart(judged.fit, control, skill, gain)


def partition_parts(fit: FitSummary) -> Iterator[PartitionPart]:
    """Return the parts of `partition.tsv`: one for each space of a joint fit."""
    for space, values in fit.spaces.items():
        yield PartitionPart(fit, space, values)


# --------------------------------------------------------- what is known of a fit from elsewhere


def family_q(done: Sequence[FitSummary], p: Sequence[FloatArray]) -> list[FloatArray]:
    """Return q of every fit's electrodes.

    A family is all electrodes of all participants, for one analysis and one model.
    """
    families: dict[tuple[str, str], list[int]] = {}
    for k, s in enumerate(done):
        families.setdefault((s.analysis, s.model), []).append(k)
    q: list[FloatArray] = [np.empty(0)] * len(done)
    for members in families.values():
        together = false_discovery_q(np.concatenate([p[k] for k in members]))
        ends = np.cumsum([len(p[k]) for k in members])
        for k, part in zip(members, np.split(together, ends[:-1]), strict=True):
            q[k] = part
    return q


def standing_beside(
    done: Sequence[FitSummary],
    *,
    places: Mapping[str, Mapping[str, Mapping[str, Any]]],
    audits: Mapping[str, Mapping[str, Audited]],
    controls: Mapping[str, Sequence[str]],
    roles: Mapping[str, str],
    gains: Mapping[tuple[str, str], pd.DataFrame],
    expected: Mapping[str, Sequence[str]],
) -> list[Beside]:
    """Return the context of every fit.

    Parameters
    ----------
    done
        All fits.
    places, audits
        Place and audit by participant and electrode.
    controls
        The controls that each analysis names.
    roles
        For each model its kind's role; one that is not `model` is a control of every analysis that
        fits it.
    gains
        The stage `gain`'s table by analysis and participant.
    expected
        For each analysis the models that every participant should have.
    """
    by_fit = {(s.analysis, s.participant, s.model): s for s in done}

    def on_channels(s: FitSummary, model: str, score: Callable[[FitSummary], FloatArray]) -> Any:
        other = by_fit.get((s.analysis, s.participant, model))
        if other is None:
            return np.full(len(s.channels), np.nan)
        known = dict(zip(other.channels, score(other), strict=True))
        return np.array([known.get(name, np.nan) for name in s.channels])

    def of_position(
        s: FitSummary, positions: Sequence[str], score: Callable[[FitSummary], FloatArray]
    ) -> Any:
        fitted = [name for name in positions if (s.analysis, s.participant, name) in by_fit]
        return on_channels(s, fitted[0] if fitted else "", score)

    fitted = {a: set(models) for a, models in expected.items()}
    for s in done:
        fitted.setdefault(s.analysis, set()).add(s.model)
    gained = [gains_of(gains.get((s.analysis, s.participant)), s) for s in done]
    q_of_r = family_q(done, [s.p for s in done])
    tested = [_tested_gain(s, q, g) for s, q, g in zip(done, q_of_r, gained, strict=True)]
    q_of_gain = family_q(done, tested)
    beside = []
    for s, q, gain_q, gain in zip(done, q_of_r, q_of_gain, gained, strict=True):
        named = list(controls.get(s.analysis, ()))
        positions = [name for name, role in roles.items() if role == "position"]
        everywhere = sorted(m for m in fitted[s.analysis] if roles.get(m, "model") != "model")
        role = roles.get(s.model, "model")
        role = "control" if role == "model" and s.model in named else role
        compared = {
            "model": list(dict.fromkeys([*everywhere, *named])), "control": everywhere
        }.get(role, [])  # fmt: skip
        beside.append(
            Beside(
                q=q,
                place=places.get(s.participant, {}),
                audit=audits.get(s.participant, {}),
                controls={name: on_channels(s, name, lambda o: o.skill) for name in compared},
                gains=gain,
                gain_q=gain_q,
                position_r=of_position(s, positions, lambda o: o.r),
                position_skill=of_position(s, positions, lambda o: o.skill),
                role=role,
            )
        )
    return beside


def _tested_gain(fit: FitSummary, q: FloatArray, gains: Mapping[str, Gain]) -> FloatArray:
    """Return p of the gain (electrode,), NaN where r is not significant or skill not above 0.

    Of two claims the second is tested where the first holds, as a follow-up study tests what a
    first one has selected (Heller, Bogomolov & Benjamini, PNAS 111:16262, 2014).
    """
    p = gains.get(TOGETHER, no_gain(len(q))).p
    return np.where((q < LEVEL) & (fit.skill > 0), p, np.nan)


def gains_of(table: pd.DataFrame | None, fit: FitSummary) -> dict[str, Gain]:
    """Return a fit's gains by control, and over all together, on its own channels."""
    if table is None:
        return {}
    gains = {}
    for against, rows in table[table["model"] == fit.model].groupby("against", sort=False):
        by_channel = rows.set_index("channel")[["gain", "p"]].reindex(fit.channels)
        gains[str(against)] = Gain(
            by_channel["gain"].to_numpy(dtype=float), by_channel["p"].to_numpy(dtype=float)
        )
    return gains


def places_of(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the region and coordinates (mm) of every channel of a channels table."""
    kept = table[[c for c in ("name", "region", "x", "y", "z", "space") if c in table]]
    return {
        str(row["name"]): {str(k): v for k, v in row.items()} for row in kept.to_dict("records")
    }


def left_out(table: pd.DataFrame) -> dict[str, int]:
    """Count the channels that were left out, by the reason given."""
    if "kept" not in table:
        return {}
    reasons = table.loc[table["kept"].astype(str) != "yes"].get("reason")
    if reasons is None:
        return {}
    counted = reasons.fillna("no reason given").astype(str).value_counts()
    return {str(k): int(v) for k, v in sorted(counted.items(), key=lambda item: str(item[0]))}


def vocabularies(done: Sequence[FitSummary]) -> dict[str, dict[str, Any]]:
    """Return which words each model does not know, by model and participant."""
    known: dict[str, dict[str, Any]] = {}
    for fit in done:
        for model, vocabulary in fit.vocabulary.items():
            known.setdefault(model, {})[fit.participant] = vocabulary
    return known


def audited(p_values: Mapping[str, float], *, auditable: bool = True) -> dict[str, Audited]:
    """Return the audit of each electrode of one participant from its p.

    Parameters
    ----------
    p_values
        p by electrode.
    auditable
        Whether the audit could find the sound in the electrodes.
    """
    p = np.array(list(p_values.values()), dtype=np.float64)
    q = false_discovery_q(p)
    return {
        name: Audited(float(a), float(b), auditable)
        for name, a, b in zip(p_values, p, q, strict=True)
    }


def missing_fits(
    done: Sequence[FitSummary],
    participants: Sequence[str],
    expected: Mapping[str, Sequence[str]],
) -> list[tuple[str, str, str]]:
    """Return the analysis, participant and model of every missing fit.

    Parameters
    ----------
    done
        All fits.
    participants
        Participants of the run.
    expected
        Models of each analysis; a fit is also expected if another participant has it.
    """
    have = {(s.analysis, s.participant, s.model) for s in done}
    wanted = [(a, m) for a, models in expected.items() for m in models]
    pairs = list(dict.fromkeys([*wanted, *((s.analysis, s.model) for s in done)]))
    everyone = list(dict.fromkeys([*participants, *(s.participant for s in done)]))
    return [(a, p, m) for a, m in pairs for p in everyone if (a, p, m) not in have]
