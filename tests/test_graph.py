"""The graph of a large study: what a plan costs grows with its jobs and no faster.

Calls of functions are counted, not seconds: they are the same on every machine.
"""

from __future__ import annotations

import importlib
import os
import pstats
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from planning import ROOT, planned, snakemake

MODELS, LAYERS, ANALYSES = 2, 25, 3


@pytest.fixture(scope="module")
def graph() -> Any:
    """The benchmark, which writes the studies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        patch.delitem(sys.modules, "benchmarks", raising=False)
        return importlib.import_module("benchmarks.graph")


@pytest.fixture(scope="module")
def counted(graph: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Any]:
    """Calls by function in a plan of so many participants, one layer a job."""
    found: dict[int, Any] = {}

    def calls(participants: int) -> Any:
        if participants not in found:
            folder = tmp_path_factory.mktemp("large")
            graph.write_study(folder, participants=participants, layers_per_job=1, models=MODELS)
            profile = folder / "profile"
            options = ("--cores", "1", "--dry-run", "--quiet", "all", "--directory", str(folder))
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "cProfile", "-o", str(profile), "-m", "snakemake"),
                    *(*options, "--configfile", str(folder / "config.yaml")),
                ],
                cwd=ROOT,
                capture_output=True,
                text=True,
                env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST")},
            )
            assert done.returncode == 0, done.stdout + done.stderr
            found[participants] = pstats.Stats(str(profile))
        return found[participants]

    return calls


def number(stats: Any, file: str, function: str) -> int:
    """How often a function of a file was called."""
    return sum(
        of[1]
        for (path, _, name), of in stats.stats.items()
        if (Path(path).name, name) == (file, function)
    )


def test_twice_the_participants_cost_twice_the_calls(counted):
    two, four, eight = (counted(n).total_calls for n in (2, 4, 8))
    assert eight - four == pytest.approx(2 * (four - two), rel=0.05)


def test_a_participant_s_folder_is_searched_once(counted):
    for participants in (2, 4):
        assert number(counted(participants), "files.py", "find") == participants


def test_settings_are_worked_out_for_each_analysis_and_model_and_not_for_each_job(counted):
    few, many = (number(counted(n), "settings.py", "fit_settings") for n in (2, 8))
    assert few == many <= 3 * ANALYSES * MODELS


def test_a_batch_of_the_summary_plans_its_part_alone(graph, tmp_path):
    graph.write_study(tmp_path, participants=2, layers_per_job=1, models=MODELS)
    # Position and the nuisances, of one layer, are fitted with the models of every analysis.
    fits = 2 * ANALYSES * (MODELS * LAYERS + 2)

    def encoding(*arguments: str) -> int:
        done = snakemake(
            *("results/large/electrodes.tsv", "--dry-run", "--quiet", "rules", *arguments),
            *("--configfile", str(tmp_path / "config.yaml")),
            checkout=ROOT,
            folder=tmp_path,
        )
        return planned(done)["encoding"]

    assert encoding() == fits
    # The gains of a participant in an analysis take all of its fits.
    assert encoding("--batch", "summary=1/5") <= fits / 5 + 2 * fits / (2 * ANALYSES)
