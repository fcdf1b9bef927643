"""The published study on noise: a small cut of config/examples/paper-noise.yaml.

Two participants whose electrodes know nothing of what is said; the claims are those of the whole
study, which `make noise-study` runs.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from running import ROOT, snakemake

from benchmarks.noise_study import CONFIG, figures, unmet
from highgamma.report import evidence, findings
from highgamma.store import read_table

PARTICIPANTS = {"sub-01": {"channels": 60}, "sub-02": {"channels": 48}}
N_WORDS = 40
"""Of twenty words in an order that happens to go with slow noise, all electrodes of a participant
have a mean skill up to .03 above 0 (a plain loop over folds gives the same)."""


def cut() -> dict[str, Any]:
    """The example with fewer participants, channels and words, and a smaller speech model."""
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    config["run"] = "cut"
    config["demo"]["noise"]["participants"] = {
        name: {**of, "n_words": N_WORDS} for name, of in PARTICIPANTS.items()
    }
    config["contamination"] = {"enabled": False}
    config["models"].remove("mel")
    source = {"folder": "resources/demo/models/wav2vec2-tiny"}
    config["catalogue"]["xls-r-like"] |= {"source": source, "layers": 3, "width": 48}
    for analysis in config["analyses"].values():
        analysis |= {"permutations": 50, "controls": [], "position": False}
    config["analyses"]["words"]["layers"] = config["analyses"]["frames"]["layers"] = "last"
    return config


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tables."""
    folder = tmp_path_factory.mktemp("noise")
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(cut()))
    done: subprocess.CompletedProcess[str] = snakemake(
        "results/cut/electrodes.tsv", "--configfile", str(config), folder=folder
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "results/cut"


@pytest.fixture(scope="module")
def electrodes(study: Path) -> pd.DataFrame:
    return read_table(study / "electrodes.tsv", strings=("electrode", "verdict"))


@pytest.fixture(scope="module")
def published(study: Path) -> pd.DataFrame:
    people = read_table(study / "participants.tsv", strings=("participant",))
    return people[people["analysis"] == "paper"].set_index(["model", "participant"])


def test_the_studys_correlation_comes_out_of_noise(published: pd.DataFrame) -> None:
    assert len(published) == 3 * len(PARTICIPANTS)
    assert published["pcc_across_channels"].between(0.79, 0.99).all()


def test_on_vectors_of_fasttexts_size_the_study_is_the_mean_predictor(
    published: pd.DataFrame,
) -> None:
    ours = published.loc["fasttext-like"]
    np.testing.assert_allclose(
        ours["pcc_across_channels"], ours["pcc_mean_predictor"], rtol=0, atol=1e-3
    )


def test_no_model_has_skill_on_noise(electrodes: pd.DataFrame) -> None:
    means = electrodes.groupby(["analysis", "model"])["skill"].mean()
    assert len(means) == 11
    assert (means <= 0).all()


def test_next_to_no_electrode_of_noise_stands(electrodes: pd.DataFrame) -> None:
    standing = (electrodes["q"] < 0.05).groupby([electrodes["analysis"], electrodes["model"]])
    assert (standing.mean() <= 0.05).all()


def test_every_verdict_on_noise_is_not_significant(electrodes: pd.DataFrame) -> None:
    assert len(electrodes) == 11 * sum(of["channels"] for of in PARTICIPANTS.values())
    assert set(electrodes["verdict"]) == {"not significant"}


def test_the_published_scores_stand_beside_those_of_noise(study: Path) -> None:
    found = evidence.read(
        run="cut", config=cut(), electrodes=study / "electrodes.tsv", layers=study / "layers.tsv",
        participants=study / "participants.tsv", summary=study / "summary.nc", scores=[],
        published=ROOT / cut()["published"]["scores"],
    )  # fmt: skip
    compared = findings.comparison(found)
    rows = {(row.model, row.participant): row for row in compared.rows}
    row = rows["gpt2-like", "sub-01"]
    assert row.pcc_published == 0.964 and row.r2_published == 0.872
    assert row.pcc_difference == row.pcc - 0.964
    # Noise comes as near to what was published as another recording would.
    assert max(abs(d) for d in compared.differences("pcc")) < 0.2
    assert len(compared.differences("r2")) == 3 * len(PARTICIPANTS)
    # Participants that this cut lacks still stand there, with what was published of them.
    assert rows["xls-r-like-trial", "sub-09"].pcc_published == 0.793


def test_the_judgement_of_the_whole_study_says_so_too(study: Path) -> None:
    found = figures(study, cut())
    assert found["electrodes"] == sum(of["channels"] for of in PARTICIPANTS.values())
    assert unmet(found) == []


def test_the_judgement_names_every_claim_that_fails(study: Path) -> None:
    found = figures(study, cut())
    found["pcc"]["gpt2-like"] = (0.5, 0.9)
    found["pcc_off_mean_predictor_fasttext"] = 0.01
    found["fits"][0] |= {"skill_mean": 0.1, "standing": 9, "verdicts": {"supported": 9}}
    found["fits"][1] |= {"role": "control", "skill_mean": 0.1}
    said = unmet(found)
    assert len(said) == 5
    assert any("0.5" in line for line in said)


def test_the_example_has_the_published_data_sets_size() -> None:
    """Counts of SingleWordProductionDutch-iBIDS: 1103 contacts, 95 words in the tenth."""
    config = yaml.safe_load((ROOT / "config/examples/paper-noise.yaml").read_text())
    people = config["demo"]["noise"]["participants"]
    assert list(people) == [f"sub-{number:02d}" for number in range(1, 11)]
    counts = [of["channels"] for of in people.values()]
    assert counts == [127, 127, 127, 115, 60, 127, 127, 54, 117, 122]
    assert [of.get("n_words", 100) for of in people.values()] == [100] * 9 + [95]
