"""How long a plan takes: the graph of a large study, on one core, fresh and finished.

A simulated data set (empty files, which a plan only counts) and a catalogue of local stubs give a
study of participants × models × layers × analyses; `snakemake --dry-run` plans it:

`fresh`: nothing is there yet; `finished`: all outputs are there, as empty files, with the metadata
that Snakemake writes (`--touch`); `another penalty`: one analysis has another one since; `a tenth`:
with `--batch`; `trusted`: with `--trust-io-cache`; `database`: Snakemake's metadata in a database.

`python -m benchmarks.graph` measures 150,000 fits with `layers_per_job: auto` and writes
graph.json; `python -m benchmarks.graph 10 auto` plans 10 participants, `python -m benchmarks.graph
100 1 fresh` one layer a job before anything is there. Rows of other sizes stay as they are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
MODELS, LAYERS, WIDTH = 20, 25, 768
SUFFIXES = (
    *("ieeg.nwb", "ieeg.json", "channels.tsv", "events.tsv"),
    *("space-ACPC_electrodes.tsv", "space-ACPC_coordsystem.json"),
)
DATABASE = ("--persistence-backend", "db")
# `--touch` waits a tenth of a second for each job, so that times differ; nothing here needs it.
CALL = (
    "import sys; from snakemake.cli import main; from snakemake.executors import touch; "
    "touch.Executor.SLEEPING_TIME = 0; main(sys.argv[1:])"
)
Row = dict[str, Any]


def write_study(
    folder: Path, *, participants: int, layers_per_job: str | int, models: int = MODELS
) -> dict[str, Any]:
    """Empty recordings, stubs of models and a configuration with three analyses; the latter."""
    import yaml

    for number in range(participants):
        label = f"sub-{number:03d}"
        ieeg = folder / "data" / label / "ieeg"
        ieeg.mkdir(parents=True)
        for suffix in SUFFIXES:
            (ieeg / f"{label}_task-wordProduction_{suffix}").touch()
    catalogue = {}
    for number in range(models):
        place = folder / f"models/m{number:02d}"
        place.mkdir(parents=True)
        for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
            (place / name).touch()
        catalogue[place.name] = {
            "kind": "text" if number % 2 else "speech",
            "source": {"folder": f"models/{place.name}"},
            "layers": LAYERS - 1,
            "width": WIDTH,
        }
    config = {
        "run": "large",
        "dataset": {"root": "data", "task": "wordProduction"},
        "models": list(catalogue),
        "catalogue": catalogue,
        "layers_per_job": layers_per_job,
        "analyses": {
            "paper": {
                "unit": "word",
                "estimator": "elastic-net",
                "alpha": 1.0,
                "standardize": False,
                "split": "leave-one-word-out",
                "permutations": 0,
            },
            "words": {"unit": "word", "split": "leave-one-word-out"},
            "frames": {"unit": "frame", "split": "contiguous"},
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
    return config


def snakemake(folder: Path, *arguments: str, config: str = "config.yaml") -> tuple[str, Row]:
    """What a call says, and what it took: seconds of the wall and of the processor, MiB."""
    command = [sys.executable, "-c", CALL, "--cores", "1", "--directory", str(folder)]
    command += [*arguments, "--configfile", str(folder / config)]
    # wait4 alone tells the memory of one child; the largest of all so far would be another's.
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        child = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    if child.returncode != 0:
        raise SystemExit(text[-3000:])
    return text, {
        "wall_s": round(seconds, 1),
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "mib": round(used.ru_maxrss / 1024),
    }


def planned(folder: Path, *options: str, config: str = "config.yaml") -> Row:
    """Jobs that a dry run plans, and what it took."""
    text, used = snakemake(folder, *options, "--dry-run", "--quiet", "rules", config=config)
    totals = [line.split()[1] for line in text.splitlines() if line.startswith("total")]
    return {"jobs": int(totals[0]) if totals else 0, **used}


def finish(folder: Path, *options: str) -> Row:
    """Make every output, empty, and have Snakemake write its metadata; what the latter took."""
    text, _ = snakemake(folder, "--summary")
    for line in text.splitlines():
        path = folder / line.split("\t")[0]
        if line.startswith("results/") and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir() if path.name == "figures" else path.touch()
    return snakemake(folder, "--touch", "--forceall", "--quiet", "all", *options)[1]


def results(participants: int, layers_per_job: str | int, *, states: Sequence[str]) -> list[Row]:
    """Rows for a study of this many participants."""
    import yaml

    about = {
        "fits": participants * MODELS * LAYERS * 3,
        "participants": participants,
        "layers_per_job": layers_per_job,
    }
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        config = write_study(folder, participants=participants, layers_per_job=layers_per_job)
        config["analyses"]["words"]["alphas"] = [1, 100]
        (folder / "penalty.yaml").write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
        # `report` reads the scores as well, so a part is planned up to the tables.
        tenth = ("results/large/electrodes.tsv", "--batch", "summary=3/10")

        def row(name: str, **measured: Any) -> None:
            rows.append({"name": name, **about, **measured})
            print(rows[-1], flush=True)

        for state in states:
            if state == "fresh":
                row("fresh", **planned(folder))
                row("fresh, a tenth", **planned(folder, *tenth))
            if state == "finished":
                row("metadata written", **finish(folder))
                row("finished", **planned(folder))
                row("finished, trusted", **planned(folder, "--trust-io-cache"))
                row("another penalty", **planned(folder, config="penalty.yaml"))
                row("another penalty, a tenth", **planned(folder, *tenth, config="penalty.yaml"))
            if state == "database":
                row("metadata written, database", **finish(folder, *DATABASE))
                row("finished, database", **planned(folder, *DATABASE))
    return rows


def main(arguments: list[str]) -> None:
    participants = int(arguments[0]) if arguments else 100
    size: str | int = arguments[1] if len(arguments) > 1 else "auto"
    path = HERE / "graph.json"
    kept: list[Row] = json.loads(path.read_text("utf-8")) if path.exists() else []
    states = arguments[2:] or ("fresh", "finished", "database")
    new = results(participants, size if size == "auto" else int(size), states=states)
    same = [(row["name"], row["participants"], str(row["layers_per_job"])) for row in new]
    kept = [
        row
        for row in kept
        if (row["name"], row["participants"], str(row["layers_per_job"])) not in same
    ]
    path.write_text(json.dumps(kept + new, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    # One core, whatever else the machine has.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    main(sys.argv[1:])
