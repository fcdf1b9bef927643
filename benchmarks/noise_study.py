"""`python -m benchmarks.noise_study`: the published study on pure noise, timed and judged.

Runs config/examples/paper-noise.yaml in two steps. The first writes the data set, reads it and
makes all embeddings; the second, the study itself with its embeddings given, is timed: wall time,
processor time and peak memory of every job's process, number of jobs. Then reads the tables, writes
noise_study.json and ends with status 1 if a claim of docs/examples.md does not hold.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.__main__ import machine
from benchmarks.processes import Process, run_workflow
from highgamma import catalogue, store

HERE = Path(__file__).parent
CONFIG = HERE.parent / "config/examples/paper-noise.yaml"
CATALOGUE = HERE.parent / "config/models.yaml"
RESULTS = HERE / "noise_study.json"


def run(targets: list[str], *, folder: Path, cores: int, config: Path) -> dict[str, Any]:
    """Run the workflow, and say what it took."""
    took, processes = run_workflow(*targets, "--cores", str(cores), folder=folder, config=config)
    by_rule: dict[str, list[Process]] = defaultdict(list)
    for process in processes:
        by_rule[process.rule].append(process)
    rules = {
        rule: {
            "jobs": len(of),
            "processor_s": round(sum(one.seconds for one in of), 1),
            "peak_memory_mib": round(max(one.mib for one in of)),
        }
        for rule, of in by_rule.items()
    }
    return {
        **took,
        "work_s": round(sum(one.seconds for one in processes), 1),
        "peak_memory_mib": max((of["peak_memory_mib"] for of in rules.values()), default=0),
        "by_rule": dict(sorted(rules.items(), key=lambda item: -item[1]["processor_s"])),
    }


def figures(results: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the tables say, analysis by analysis; controls, nuisances and position apart."""
    entries = catalogue.load(CATALOGUE, further=config.get("catalogue"))
    people = store.read_table(results / "participants.tsv", strings=("participant",))
    electrodes = store.read_table(results / "electrodes.tsv", strings=("electrode", "verdict"))
    published = people[(people["analysis"] == "paper") & (people["model"] != "position")]
    off = (published["pcc_across_channels"] - published["pcc_mean_predictor"]).abs()
    ignorant = published["model"] == "fasttext-like"
    found: dict[str, Any] = {
        "participants": int(people["participant"].nunique()),
        "electrodes": len(electrodes[["participant", "electrode"]].drop_duplicates()),
        "pcc": {
            model: [round(float(f), 4) for f in (rows.min(), rows.max())]
            for model, rows in published.groupby("model")["pcc_across_channels"]
        },
        "pcc_mean_predictor": [
            round(float(f), 4)
            for f in (published["pcc_mean_predictor"].min(), published["pcc_mean_predictor"].max())
        ],
        "pcc_off_mean_predictor_fasttext": float(off[ignorant].max()),
        "fits": [],
    }
    for (analysis, model), rows in electrodes.groupby(["analysis", "model"], sort=False):
        named = config["analyses"][analysis].get("controls", [])
        finding = model not in named and catalogue.kind_of(entries[model]).role == "model"
        p = rows["p"].dropna()
        found["fits"].append(
            {
                "analysis": analysis,
                "model": model,
                "role": "model" if finding else "control",
                "skill_mean": round(float(rows["skill"].mean()), 5),
                "skill_above_0": int((rows["skill"] > 0).sum()),
                "tested": len(p),
                "p_below_05": round(float((p < 0.05).mean()), 4) if len(p) else None,
                "standing": int((rows["q"] < 0.05).sum()),
                "electrodes": len(rows),
                "verdicts": {str(k): int(n) for k, n in rows["verdict"].value_counts().items()},
            }
        )
    return found


def unmet(found: Mapping[str, Any]) -> list[str]:
    """Claims that do not hold, of the models; controls are in the figures, not in the claims."""
    problems = [
        f"{model}: PCC from {low} to {high}, not within .79 and .99"
        for model, (low, high) in found["pcc"].items()
        if not 0.79 <= low <= high <= 0.99
    ]
    if found["pcc_off_mean_predictor_fasttext"] > 1e-3:
        problems.append("FastText's PCC is not the mean predictor's to 1e-3")
    for fit in found["fits"]:
        name = f"{fit['analysis']}, {fit['model']}"
        if fit["role"] == "control":
            continue
        if fit["skill_mean"] > 0:
            problems.append(f"{name}: mean skill {fit['skill_mean']} is above 0")
        if fit["standing"] > 0.05 * fit["electrodes"]:
            problems.append(f"{name}: {fit['standing']} of {fit['electrodes']} stand")
        if set(fit["verdicts"]) != {"not significant"}:
            problems.append(f"{name}: verdicts {fit['verdicts']}")
    return problems


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.noise_study")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--directory", type=Path, default=HERE.parent)
    parser.add_argument("--config", type=Path, default=CONFIG)
    given = parser.parse_args(arguments)
    config = yaml.safe_load(given.config.read_text(encoding="utf-8"))
    results = given.directory.resolve() / "results" / config["run"]
    options: dict[str, Any] = {
        "folder": given.directory.resolve(),
        "cores": given.cores,
        "config": given.config.resolve(),
    }
    prepared = run(["--until", "embeddings"], **options)
    study = run([], **options)
    found = figures(results, config)
    problems = unmet(found)
    whole = {
        "machine": machine(),
        "cores": given.cores,
        "data_and_embeddings": prepared,
        "study": study,
        "figures": found,
        "unmet": problems,
    }
    RESULTS.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps({"study": study, "figures": found, "unmet": problems}, indent=1))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
