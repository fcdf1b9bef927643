"""`python -m benchmarks [neural] [long] [encoding] [embeddings] [group] [delayed]`, in turn.

All but `delayed`, which takes most of an hour, where none is named.
Writes results.json, which keeps rows of other names, and README.md with the table and the machine.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
Row = dict[str, Any]


def _neural() -> list[Row]:
    return importlib.import_module("benchmarks.neural").run(HERE / "high-gamma-length.png")


def _long() -> list[Row]:
    return importlib.import_module("benchmarks.neural").long()


def _encoding() -> list[Row]:
    return importlib.import_module("benchmarks.encoding").results()


def _delayed() -> list[Row]:
    return importlib.import_module("benchmarks.encoding").delayed_ridge()


def _embeddings() -> list[Row]:
    return importlib.import_module("benchmarks.embeddings").results()


def _group() -> list[Row]:
    return importlib.import_module("benchmarks.group").results()


SUITES: dict[str, Callable[[], list[Row]]] = {
    "neural": _neural,
    "long": _long,
    "encoding": _encoding,
    "embeddings": _embeddings,
    "group": _group,
    "delayed": _delayed,
}
ONLY_WHERE_NAMED = ("delayed",)
LIBRARIES = ("numpy", "scipy", "torch", "transformers", "netCDF4", "mne", "scikit-learn")


def machine() -> dict[str, str]:
    """What the figures were measured on; neither a path nor the machine's name."""
    found = {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{_memory() / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
    }
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def merged(kept: list[Row], new: list[Row]) -> list[Row]:
    """Rows of other names as they are, in their place; rows of the new names renewed."""
    names = {row["name"] for row in new}
    return [row for row in kept if row["name"] not in names] + new


def page(rows: list[Row], measured_on: dict[str, str]) -> str:
    """README.md: the machine, and a row for each result."""
    lines = [
        "# Benchmarks",
        "",
        "`make bench`, or `python -m benchmarks neural`. Ratios above 1 favour highgamma, but for",
        "the limits, which say what share of the machine's rate is reached, and",
        "`high-gamma-length` and `group-study`, which are the growth of time over the growth of",
        "length or of the number of fits (1 is linear).",
        "`high-gamma-long` is of memory: the bound over what was taken.",
        "Memory is a process's peak; for `embeddings-netcdf` it is the size on disk. The head of",
        "each file here says what is measured; [results.json](results.json) has all figures.",
        "Other jobs may have run on the machine meanwhile: close ratios want a repeat.",
        "",
        "Measured last on: " + ", ".join(f"{k} {v}" for k, v in measured_on.items()) + ".",
        "",
        "| name | against | ratio | ours (s) | theirs (s) | ours (MiB) | theirs (MiB) "
        "| agreement | processor |",
        "| --- | --- | --: | --: | --: | --: | --: | --- | --- |",
    ]
    for row in rows:
        figures = [_number(row.get(key)) for key in ("ratio", "ours_s", "theirs_s")]
        sizes = [_number(row.get(key)) for key in ("ours_mib", "theirs_mib")]
        agreement = row.get("agreement")
        cells = [
            *(row["name"], row["against"], *figures, *sizes),
            agreement if isinstance(agreement, str) else _number(agreement),
            row.get("processor", ""),
        ]
        lines.append("| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |")
    if any(row["name"] == "high-gamma-length" for row in rows):
        lines += ["", "![Time and peak memory by the recording's length](high-gamma-length.png)"]
    lines += [
        "",
        "Longer campaigns write files of their own: [the plan of 150,000 fits](graph.json)",
        "(`make bench-graph`), [jobs at once, here and under Slurm](scaling.json)",
        "(`make bench-scaling`), [30 kills](faults.json) (`make faults`), [damaged bytes for every",
        "reader of foreign ones](fuzz.json) (`make fuzz`), [the study on noise](noise_study.json)",
        "(`make noise-study`), [two versions of Snakemake](versions.json)",
        "(`make snakemake-versions`); `docs/scaling.md`, `docs/examples.md` and `docs/cluster.md`",
        "tell what they say.",
    ]
    return "\n".join(lines) + "\n"


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def main(names: list[str], folder: Path = HERE) -> None:
    """Run the suites of these names (the usual ones where none is named) and write both files."""
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        raise SystemExit(f"no benchmark {', '.join(unknown)}; there are {', '.join(SUITES)}")
    path = folder / "results.json"
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    for name in names or [name for name in SUITES if name not in ONLY_WHERE_NAMED]:
        print(f"{name} ...", flush=True)
        rows = merged(rows, [{**row, "processor": _processor()} for row in SUITES[name]()])
        # After each, so that an interrupted run keeps what it has measured.
        path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        text = page(rows, machine())
        (folder / "README.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
