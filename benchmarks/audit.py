"""Measure the audit of sound in every case, over five seeds, and write `audit.json`.

Run with `python benchmarks/audit.py`; it takes about ten minutes on one core.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from highgamma.selftest.audit import CASES, measure

SEEDS = (11, 12, 13, 14, 15)
"""Seeds of the five parts of each case."""

ELECTRODES = 80
"""Electrodes of each part."""

COUNTED = ("rate", "p", "not_auditable")
"""Rates that are averaged over the parts."""


def main(cases: list[str]) -> None:
    """Measure the named cases, all by default; other cases in the file are kept."""
    path = Path(__file__).with_suffix(".json")
    measured = json.loads(path.read_text()) if path.exists() else {}
    for case in cases or CASES:
        parts = [measure(case, ELECTRODES, seed) for seed in SEEDS]
        measured[case] = {
            **parts[0],
            "n": sum(part["n"] for part in parts),
            **{key: sum(part[key] for part in parts) / len(parts) for key in COUNTED},
        }
        path.write_text(json.dumps(measured, indent=1) + "\n")
        print(measured[case], flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
