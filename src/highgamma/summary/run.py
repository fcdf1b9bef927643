"""All fits of a run, joined into its tables and arrays, and written."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from highgamma import store
from highgamma.embeddings.vocabulary import VOCABULARY
from highgamma.errors import InputError
from highgamma.summary.arrays import arrays_of
from highgamma.summary.choice import FAMILY
from highgamma.summary.columns import (
    GAIN_COLUMNS,
    LAYER_COLUMNS,
    MISSING_COLUMNS,
    NUISANCE_COLUMNS,
    PARTICIPANT_COLUMNS,
    PARTITION_COLUMNS,
    JudgedFit,
    LayersPart,
    electrode_columns,
)
from highgamma.summary.fits import STUDY_FIGURES, Fit, FitSummary, summarise_fit
from highgamma.summary.tables import (
    audited,
    gain_parts,
    joined,
    left_out,
    missing_fits,
    nuisance_parts,
    partition_parts,
    places_of,
    standing_beside,
    vocabularies,
    with_whole_numbers,
)

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@dataclass(frozen=True, slots=True)
class Summary:
    """The tables of a run, and the arrays behind them."""

    electrodes: pd.DataFrame
    layers: pd.DataFrame
    participants: pd.DataFrame
    gains: pd.DataFrame
    nuisances: pd.DataFrame
    partition: pd.DataFrame
    missing: pd.DataFrame
    arrays: xr.Dataset


def summarise(
    fits: Iterable[Fit],
    *,
    channels: Mapping[str, pd.DataFrame],
    contamination: Mapping[str, Mapping[str, float]],
    not_auditable: Collection[str] = (),
    participants: Sequence[str],
    analyses: Mapping[str, Mapping[str, Any]],
    models: Sequence[str],
    run: str,
    expected: Mapping[str, Sequence[str]] | None = None,
    lacking: Iterable[Sequence[str]] = (),
    roles: Mapping[str, str] | None = None,
    gains: Mapping[tuple[str, str], pd.DataFrame] | None = None,
) -> Summary:
    """Join the fits of a run into its tables.

    Parameters
    ----------
    fits
        One for each analysis, participant and model (`read_fits`).
    channels
        For each participant the channels table, which has the electrodes' regions and coordinates
        (mm) and the channels that were left out.
    contamination
        For each participant the audit's p-value of each electrode.
    not_auditable
        Participants whose audio is altered in pitch by an unknown amount (`read_not_auditable`).
    participants, models
        The run's, in the order of the tables. A participant without scores is named in the log, in
        a row of its own, in the table of missing fits and in the arrays' attribute `missing`.
    analyses
        Settings of each analysis; `controls` names the models that a gain is measured against.
    run
        Name of the run.
    expected
        For each analysis the models that every participant should have.
    lacking
        For each missing fit: analysis, participant, model, the stage that did not finish, and the
        file that is missing.
    roles
        For each model the role of its kind, `model` (the default), `position` or `nuisance`.
    gains
        The stage `gain`'s table by analysis and participant (`read_gains`).

    Raises
    ------
    InputError
        If there are no fits.
    """
    import pandas as pd

    log = logging.getLogger("highgamma")
    order = _Order(tuple(analyses), tuple(participants), tuple(models))
    done = sorted(
        (summarise_fit(fit) for fit in fits),
        key=lambda s: order.of(s.analysis, s.participant, s.model),
    )
    if not done:
        raise InputError(
            "there are no scores to summarise",
            expected="one score file for each analysis, participant and model",
            remedy="name at least one participant, model and analysis in the configuration",
        )
    beside = standing_beside(
        done,
        places={name: places_of(table) for name, table in channels.items()},
        audits={
            name: audited(p_values, auditable=name not in not_auditable)
            for name, p_values in contamination.items()
        },
        controls={name: settings.get("controls") or () for name, settings in analyses.items()},
        roles=roles or {},
        gains=gains or {},
        expected=expected or {},
    )
    judged = [JudgedFit(s, b) for s, b in zip(done, beside, strict=True)]
    electrodes = joined(judged, electrode_columns())
    missing = sorted(missing_fits(done, participants, expected or {}), key=lambda m: order.of(*m))
    for analysis, participant, model in missing:
        log.warning("%s has no scores of %s in the analysis %s", participant, model, analysis)
    for analysis in analyses:
        if not any(s.analysis == analysis for s in done):
            log.warning("there are no scores of the analysis %s", analysis)
    arrays = arrays_of(done, electrodes)
    arrays.attrs = {
        "run": run,
        "analyses": json.dumps(analyses, sort_keys=True, default=str),
        "missing": json.dumps([list(m) for m in missing]),
        "left_out": json.dumps(
            {name: left_out(t) for name, t in sorted(channels.items())}, sort_keys=True
        ),
        "roles": json.dumps(dict(roles or {}), sort_keys=True),
        **_attributes(done),
    }
    log.info(
        "%d fits, %d electrode rows, %d missing fits", len(done), len(electrodes), len(missing)
    )
    why = {(a, p, m): (stage, file) for a, p, m, stage, file in lacking}
    # An audit may also be missing, which has no analysis and no model.
    absent = missing + [fit for fit in why if fit not in missing]
    return Summary(
        electrodes=electrodes,
        layers=joined((LayersPart(s) for s in done), LAYER_COLUMNS),
        participants=_participants(judged, missing, order),
        gains=joined((part for j in judged for part in gain_parts(j)), GAIN_COLUMNS),
        nuisances=joined((part for s in done for part in nuisance_parts(s)), NUISANCE_COLUMNS),
        partition=joined((part for s in done for part in partition_parts(s)), PARTITION_COLUMNS),
        missing=pd.DataFrame(
            [(*fit, *why.get(fit, (None, None))) for fit in absent], columns=list(MISSING_COLUMNS)
        ),
        arrays=arrays,
    )


def _attributes(done: Sequence[FitSummary]) -> dict[str, str]:
    """Return what the arrays' attributes hold of the fits themselves."""
    return {
        "family": FAMILY,
        "n_permutations": json.dumps({s.analysis: s.n_permutations for s in done}, sort_keys=True),
        "unit": json.dumps({s.analysis: s.unit for s in done}, sort_keys=True),
        VOCABULARY: json.dumps(vocabularies(done), sort_keys=True),
    }


def _participants(
    judged: Sequence[JudgedFit],
    missing: Sequence[tuple[str, str, str]],
    order: _Order,
) -> pd.DataFrame:
    """Return the table of participants, a row for every fit and every missing fit."""
    import pandas as pd

    rows = [
        {name: column.values(fit) for name, column in PARTICIPANT_COLUMNS.items()} for fit in judged
    ]
    rows += [
        {"analysis": a, "participant": p, "model": m, "n_electrodes": 0} for a, p, m in missing
    ]
    rows.sort(key=lambda row: order.of(row["analysis"], row["participant"], row["model"]))
    table = pd.DataFrame(rows, columns=list(PARTICIPANT_COLUMNS))
    table = with_whole_numbers(table, PARTICIPANT_COLUMNS)
    for name in STUDY_FIGURES:
        table[name] = table[name].astype("float64")
    return table


@dataclass(frozen=True, slots=True)
class _Order:
    """The order of the configuration; unknown names come last, in alphabetical order."""

    analyses: tuple[str, ...]
    participants: tuple[str, ...]
    models: tuple[str, ...]

    def of(self, analysis: str, participant: str, model: str) -> tuple[tuple[int, str], ...]:
        """Return the sort key of a fit."""

        def place(name: str, known: tuple[str, ...]) -> tuple[int, str]:
            return (known.index(name) if name in known else len(known), name)

        return (
            place(analysis, self.analyses),
            place(participant, self.participants),
            place(model, self.models),
        )


def read_channels(paths: Iterable[str | Path]) -> dict[str, pd.DataFrame]:
    """Read the channels tables, by participant (the file's name)."""
    text = ("name", "type", "status", "kept", "reason", "region", "space", "shaft", "contact")
    return {Path(p).stem: store.read_table(p, strings=text) for p in sorted(map(str, paths))}


def read_gains(paths: Iterable[str | Path]) -> dict[tuple[str, str], pd.DataFrame]:
    """Read the tables of gains by analysis and participant, which are the names of its folders."""
    return {
        (Path(p).parent.parent.name, Path(p).parent.name): store.read_table(
            p, strings=("model", "channel", "against")
        )
        for p in sorted(map(str, paths))
    }


def read_contamination(paths: Iterable[str | Path]) -> dict[str, dict[str, float]]:
    """Read the audit's p-value of each electrode, by participant (the file's name)."""
    p_of_electrodes: dict[str, dict[str, float]] = {}
    for path in sorted(map(str, paths)):
        with store.open_dataset(path) as audit:
            if "p" not in audit or "channel" not in audit.coords:
                continue
            names = [str(name) for name in audit["channel"].values]
            p_of_electrodes[Path(path).stem] = dict(
                zip(names, audit["p"].values.astype(float), strict=True)
            )
    return p_of_electrodes


def read_not_auditable(paths: Iterable[str | Path]) -> list[str]:
    """Return the participants (the file's name) whose audit has the status `not auditable`."""
    found = []
    for path in sorted(map(str, paths)):
        with store.open_dataset(path) as audit:
            if audit.attrs.get("status") == "not auditable":
                found.append(Path(path).stem)
    return found


def write(summary: Summary, *, arrays: str | Path, **tables: str | Path) -> None:
    """Write the arrays and the tables of a summary.

    Parameters
    ----------
    summary
        The tables and arrays.
    arrays
        Path of the arrays.
    **tables
        Path of each table to write, by its name in `Summary`.
    """
    for name, path in tables.items():
        store.write_table(getattr(summary, name), path)
    store.write_dataset(
        summary.arrays, arrays, stage="summary", parameters={"run": summary.arrays.attrs["run"]}
    )
