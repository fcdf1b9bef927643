"""The page's table of electrodes: every row of the run, as data that the page's script reads.

A browser would need long to lay out a table of tens of thousands of rows. The page carries the
rows as compact data and shows a part of them at a time; the HTML itself holds `SHOWN` rows, for
readers without scripts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from highgamma.report.evidence import Evidence
from highgamma.report.findings import by_verdict
from highgamma.summary.columns import ELECTRODE_COLUMNS, electrode_columns

SHOWN = 40
DIGITS = 4
"""Significant digits of a number; `electrodes.tsv` has them all."""

KEYS = ("analysis", "participant", "electrode", "model")
LEFT_OUT = ("x", "y", "z")
"""Columns of electrodes.tsv that the page's table leaves out, since the map shows them."""


@dataclass(frozen=True, slots=True)
class ElectrodeTable:
    """The rows in the HTML, and all rows as JSON.

    Attributes
    ----------
    n
        Number of rows.
    shown
        The first `SHOWN` rows.
    data
        All rows as JSON that cannot end a script element.
    """

    n: int
    shown: list[dict[str, Any]]
    data: str


def electrode_table(evidence: Evidence) -> ElectrodeTable:
    """Return all rows, by verdict and then by skill, each with its gain over every control.

    Texts are in a list, and rows refer to them by number; a missing value is null. A row ends with
    its gains, each a triple (control, the control's skill, gain).
    """
    table = by_verdict(evidence.electrodes)
    columns_of_table = {k: c for k, c in electrode_columns().items() if k not in LEFT_OUT}
    text_names = [name for name, column in columns_of_table.items() if column.text]
    number_names = [name for name, column in columns_of_table.items() if not column.text]
    for name in columns_of_table:
        if name not in table:
            table = table.assign(**{name: None})
    texts: dict[str, int] = {}

    def coded(value: Any) -> int | None:
        if not isinstance(value, str):
            return None
        return texts.setdefault(value, len(texts))

    gains = _gains(evidence, coded)
    keys = list(table[list(KEYS)].itertuples(index=False, name=None))
    columns: list[list[Any]] = [[coded(v) for v in table[name]] for name in text_names]
    columns += [[_rounded(v) for v in table[name]] for name in number_names]
    columns.append([gains.get(key) for key in keys])
    rows = [list(row) for row in zip(*columns, strict=True)]
    data = json.dumps(
        {
            "columns": [*text_names, *number_names, "gains"],
            "texts": list(texts),
            "n_texts": len(text_names),
            "further": [name for name in number_names if name not in ELECTRODE_COLUMNS],
            "rows": rows,
        },
        ensure_ascii=False,
        allow_nan=False,
        separators=(",", ":"),
    )
    # A name with `</script>` or `<!--` in it must not end the element that holds the data.
    for sign in "<>&\u2028\u2029":
        data = data.replace(sign, f"\\u{ord(sign):04x}")
    return ElectrodeTable(n=len(table), shown=_plain(table.head(SHOWN)), data=data)


def _gains(evidence: Evidence, coded: Any) -> dict[tuple[str, ...], list[list[Any]]]:
    gains: dict[tuple[str, ...], list[list[Any]]] = {}
    for row in evidence.gains.to_dict("records"):
        key = tuple(str(row[n]) for n in KEYS)
        entry = [coded(row["control"]), _rounded(row["control_skill"]), _rounded(row["gain"])]
        gains.setdefault(key, []).append(entry)
    return gains


def _rounded(value: Any) -> float | int | None:
    """Return a number with four significant digits, null if there is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if not np.isfinite(number):
        return None
    number = float(f"{number:.{DIGITS}g}")
    return int(number) if number.is_integer() else number


def _plain(table: Any) -> list[dict[str, Any]]:
    rows: list[Mapping[Any, Any]] = table.to_dict("records")
    return [
        {str(k): (None if isinstance(v, float) and not np.isfinite(v) else v) for k, v in r.items()}
        for r in rows
    ]
