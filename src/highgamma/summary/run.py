"""All fits of a run, joined into its tables and arrays, and written."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from highgamma import store
from highgamma.errors import InputError
from highgamma.summary.arrays import arrays_of
from highgamma.summary.choice import FAMILY
from highgamma.summary.fits import STUDY_FIGURES, Fit, summarise_fit
from highgamma.summary.tables import (
    ELECTRODE_COLUMNS,
    LAYER_COLUMNS,
    PARTICIPANT_COLUMNS,
    audit_flags,
    controls_of,
    electrode_rows,
    family_q,
    layer_rows,
    left_out,
    missing_fits,
    participant_row,
    places_of,
)

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@dataclass(frozen=True, slots=True)
class Summary:
    """The three tables and the arrays behind them."""

    electrodes: pd.DataFrame
    layers: pd.DataFrame
    participants: pd.DataFrame
    arrays: xr.Dataset


def summarise(
    fits: Iterable[Fit],
    *,
    channels: Mapping[str, pd.DataFrame],
    contamination: Mapping[str, Mapping[str, float]],
    participants: Sequence[str],
    analyses: Mapping[str, Mapping[str, Any]],
    models: Sequence[str],
    run: str,
) -> Summary:
    """Join the fits of a run into its tables.

    Parameters
    ----------
    fits
        One for each analysis, participant and model (`read_fits`).
    channels
        For each participant its channels table, by which electrodes get region and coordinates
        (mm), and which says how many channels were left out.
    contamination
        For each participant the audit's p-value of each electrode.
    participants, models
        The run's, in the order the tables take; a participant without scores is named in the log,
        in a row of its own and in the arrays' attribute `missing`.
    analyses
        Each analysis's settings; `controls` names the models that a gain is measured against.
    """
    import pandas as pd

    log = logging.getLogger("highgamma")
    order = _order(analyses, participants, models)
    done = sorted((summarise_fit(fit) for fit in fits), key=lambda s: order(s.fit))
    if not done:
        raise InputError(
            "there are no scores to summarise",
            expected="one score file for each analysis, participant and model",
            remedy="name at least one participant, model and analysis in the configuration",
        )
    places = {name: places_of(table) for name, table in channels.items()}
    audits = {name: audit_flags(p_values) for name, p_values in sorted(contamination.items())}
    q = family_q(done)
    electrodes = pd.DataFrame(
        [
            row
            for s, q_values in zip(done, q, strict=True)
            for row in electrode_rows(
                s,
                q=q_values,
                place=places.get(s.fit.participant, {}),
                audit=audits.get(s.fit.participant, {}),
                controls=controls_of(s, done, analyses),
            )
        ],
        columns=list(ELECTRODE_COLUMNS),
    )
    electrodes["layer"] = electrodes["layer"].astype("Int64")
    missing = missing_fits(done, participants)
    for analysis, participant, model in missing:
        log.warning("%s has no scores of %s in the analysis %s", participant, model, analysis)
    for analysis in analyses:
        if not any(s.fit.analysis == analysis for s in done):
            log.warning("there are no scores of the analysis %s", analysis)
    layers = pd.DataFrame([row for s in done for row in layer_rows(s)], columns=list(LAYER_COLUMNS))
    rows = [participant_row(s, q_values) for s, q_values in zip(done, q, strict=True)]
    rows += [
        {"analysis": a, "participant": p, "model": m, "n_electrodes": 0} for a, p, m in missing
    ]
    rows.sort(key=lambda row: order.of(row["analysis"], row["participant"], row["model"]))
    table = pd.DataFrame(rows, columns=list(PARTICIPANT_COLUMNS))
    for name in ("layer", "n_electrodes", "n_samples", "n_significant", "leaky"):
        table[name] = table[name].astype("Int64")
    for name in STUDY_FIGURES:
        table[name] = table[name].astype("float64")
    arrays = arrays_of(done, electrodes)
    arrays.attrs = {
        "run": run,
        "family": FAMILY,
        "analyses": json.dumps(analyses, sort_keys=True, default=str),
        "missing": json.dumps([list(m) for m in missing]),
        "left_out": json.dumps(
            {name: left_out(t) for name, t in sorted(channels.items())}, sort_keys=True
        ),
        "n_permutations": json.dumps(
            {s.fit.analysis: int(s.fit.scores.sizes.get("permutation", 0)) for s in done},
            sort_keys=True,
        ),
        "unit": json.dumps(
            {s.fit.analysis: str(s.fit.scores.attrs.get("unit", "")) for s in done}, sort_keys=True
        ),
    }
    log.info(
        "%d fits, %d electrode rows, %d missing fits", len(done), len(electrodes), len(missing)
    )
    return Summary(electrodes=electrodes, layers=layers, participants=table, arrays=arrays)


@dataclass(frozen=True, slots=True)
class _Order:
    """The order of the configuration, unknown names last and by the alphabet."""

    analyses: tuple[str, ...]
    participants: tuple[str, ...]
    models: tuple[str, ...]

    def __call__(self, fit: Fit) -> tuple[tuple[int, str], ...]:
        return self.of(fit.analysis, fit.participant, fit.model)

    def of(self, analysis: str, participant: str, model: str) -> tuple[tuple[int, str], ...]:
        def place(name: str, known: tuple[str, ...]) -> tuple[int, str]:
            return (known.index(name) if name in known else len(known), name)

        return (
            place(analysis, self.analyses),
            place(participant, self.participants),
            place(model, self.models),
        )


def _order(
    analyses: Mapping[str, Any], participants: Sequence[str], models: Sequence[str]
) -> _Order:
    return _Order(tuple(analyses), tuple(participants), tuple(models))


def read_channels(paths: Iterable[str | Path]) -> dict[str, pd.DataFrame]:
    """Channels tables by participant, which is the file's name."""
    text = ("name", "type", "status", "kept", "reason", "region", "shaft", "contact")
    return {Path(p).stem: store.read_table(p, strings=text) for p in sorted(map(str, paths))}


def read_contamination(paths: Iterable[str | Path]) -> dict[str, dict[str, float]]:
    """The audit's p-value of each electrode, by participant, which is the file's name."""
    found: dict[str, dict[str, float]] = {}
    for path in sorted(map(str, paths)):
        with store.open_dataset(path) as audit:
            if "p" not in audit or "channel" not in audit.coords:
                continue
            names = [str(name) for name in audit["channel"].values]
            found[Path(path).stem] = dict(zip(names, audit["p"].values.astype(float), strict=True))
    return found


def write(
    summary: Summary,
    *,
    electrodes: str | Path,
    layers: str | Path,
    participants: str | Path,
    arrays: str | Path,
) -> None:
    """Write the three tables and the arrays."""
    store.write_table(summary.electrodes, electrodes)
    store.write_table(summary.layers, layers)
    store.write_table(summary.participants, participants)
    store.write_dataset(
        summary.arrays, arrays, stage="summary", parameters={"run": summary.arrays.attrs["run"]}
    )
