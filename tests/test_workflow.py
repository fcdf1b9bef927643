"""The graph as a user runs it: what is planned, what is found, what is said when something is off.

The complete demo is run once, in a temporary folder, and shared by all tests that read it
(`demo` in conftest.py).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from running import ROOT, jobs, snakemake

from highgamma.store import read_dataset, read_table


@pytest.fixture(scope="session")
def electrodes(demo) -> pd.DataFrame:
    found = read_table(demo / "results/demo/electrodes.tsv", strings=("electrode", "flags"))
    truth = pd.concat(
        read_table(path, strings=("electrode",))
        for path in sorted((demo / "resources/demo/truth").glob("sub-??.tsv"))
    )
    truth = truth.rename(columns={"model": "planted_model", "layer": "planted_layer"})
    return found.merge(truth, on=["participant", "electrode"], validate="many_to_one")


def test_the_demo_ends_in_a_report(demo):
    page = (demo / "results/demo/report.html").read_text()
    assert "mean predictor" in page
    assert list((demo / "results/demo/figures").glob("*.png"))


def test_the_tables_have_the_promised_columns(demo):
    columns = {
        "electrodes": "analysis participant electrode x y z region model layer r skill p q gain "
        "contamination flags",
        "layers": "analysis participant model layer n_electrodes r_mean r_median r_max skill_mean "
        "skill_median",
    }
    for name, expected in columns.items():
        header = (demo / f"results/demo/{name}.tsv").read_text().splitlines()[0].split("\t")
        assert header[: len(expected.split())] == expected.split()


def test_every_planted_acoustic_electrode_is_found(electrodes):
    planted = electrodes[
        (electrodes["kind"] == "acoustic")
        & (electrodes["analysis"] == "frames")
        & (electrodes["model"] == "envelope")
    ]
    assert len(planted) >= 9
    assert (planted["q"] < 0.05).all()


def test_every_electrode_planted_from_the_language_model_is_found(electrodes):
    planted = electrodes[
        (electrodes["kind"] == "language")
        & (electrodes["analysis"] == "words")
        & (electrodes["model"] == "minilm")
    ]
    assert len(planted) >= 18
    assert (planted["q"] < 0.05).all()


def test_no_noise_electrode_is_found_by_the_planted_models(electrodes):
    noise = electrodes[
        (electrodes["kind"] == "noise")
        & (
            ((electrodes["analysis"] == "words") & (electrodes["model"] == "minilm"))
            | ((electrodes["analysis"] == "frames") & (electrodes["model"] == "envelope"))
        )
    ]
    assert len(noise) >= 30
    assert not (noise["q"] < 0.05).any()


def test_contaminated_electrodes_are_flagged_and_flat_ones_too(electrodes):
    flags = electrodes["flags"].fillna("").str.split(",")
    for kind, flag in (("contaminated", "contaminated"), ("flat", "flat")):
        flagged = flags.apply(lambda of, flag=flag: flag in of)
        assert flagged[electrodes["kind"] == kind].all()
        assert flagged[electrodes["kind"] != kind].mean() <= 0.05


def test_planted_lags_come_back_within_20_ms(electrodes):
    planted = electrodes[
        (electrodes["kind"] == "acoustic")
        & (electrodes["analysis"] == "lags")
        & (electrodes["model"] == "envelope")
    ]
    assert len(planted) >= 9
    assert ((planted["peak_lag"] - planted["lag_s"]).abs() <= 0.0201).all()


def test_the_planted_layer_comes_back_within_one_when_pooled(demo, electrodes):
    planted = electrodes[electrodes["kind"] == "language"]
    profile: dict[int, list[float]] = {}
    for path in (demo / "results/demo/scores/words").glob("sub-*/minilm/*.nc"):
        scores = read_dataset(path)
        mine = planted.loc[planted["participant"] == path.parts[-3], "electrode"].unique()
        skill = scores["skill"].sel(channel=[str(e) for e in mine])
        for layer in scores["layer"].values:
            profile.setdefault(int(layer), []).extend(skill.sel(layer=layer).values)
    best = max(profile, key=lambda layer: sum(profile[layer]) / len(profile[layer]))
    assert abs(best - planted["planted_layer"].iloc[0]) <= 1


def test_the_trained_model_beats_its_untrained_twin_on_its_electrodes(electrodes):
    words = electrodes[(electrodes["analysis"] == "words") & (electrodes["kind"] == "language")]
    skill = words.pivot_table(index=["participant", "electrode"], columns="model", values="skill")
    assert (skill["minilm"] > skill["minilm-untrained"]).all()


def test_the_published_headline_is_reached_by_the_mean_predictor_as_well(demo):
    participants = read_table(demo / "results/demo/participants.tsv")
    paper = participants[participants["analysis"] == "paper"]
    assert len(paper) == 3 * 6
    assert (paper["pcc_across_channels"] > 0.9).all()
    assert (paper["pcc_mean_predictor"] > 0.9).all()


def test_a_second_run_has_nothing_to_do(demo):
    again = snakemake(folder=demo)
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout + again.stderr


def test_another_penalty_reruns_fits_and_tables_alone(demo, tmp_path):
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    config["analyses"]["words"]["alphas"] = [1, 100]
    changed = tmp_path / "changed.yaml"
    changed.write_text(yaml.safe_dump(config))
    plan = snakemake("--dry-run", "--configfile", str(changed), folder=demo)
    tables = {"summary": 1, "group": 1, "report": 1, "provenance": 1}
    assert jobs(plan.stdout) == {"all": 1, "encoding": 3 * 5, "gain": 3, **tables}


def test_two_models_of_a_run_are_compared_electrode_by_electrode(demo_copy):
    other = "compare={run: demo, models: {minilm: minilm-untrained}}"
    done = snakemake("compare", "--config", other, folder=demo_copy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert jobs(done.stdout + done.stderr) == {"compare": 1}
    found = read_table(demo_copy / "results/demo/compare/demo-summary.tsv")
    words = found[found["analysis"] == "words"].iloc[0]
    assert words["skill_low"] > 0 and words["n_higher"] >= 18


def test_a_run_that_is_not_there_cannot_be_compared(tmp_path):
    plan = snakemake("compare", "--dry-run", "--config", "compare=older", folder=tmp_path)
    assert plan.returncode != 0
    said = plan.stdout + plan.stderr
    assert "the run does not exist" in said and "results/older" in said
    plan = snakemake("compare", "--dry-run", folder=tmp_path)
    assert plan.returncode != 0
    said = plan.stdout + plan.stderr
    assert "no run to compare with was named" in said
    assert "snakemake compare --config compare=<run>" in said


def test_snakemakes_own_report_is_written(demo):
    made = snakemake("--report", "snakemake-report.html", folder=demo)
    assert made.returncode == 0, made.stderr
    page = (demo / "snakemake-report.html").read_text()
    assert "electrodes.tsv" in page


@pytest.fixture
def paper_layout(tmp_path) -> Path:
    """The published data set's files, empty: a dry run reads none of them."""
    root = tmp_path / "resources/datasets/SingleWordProductionDutch-iBIDS"
    for number in range(1, 11):
        folder = root / f"sub-{number:02d}/ieeg"
        folder.mkdir(parents=True)
        prefix = f"sub-{number:02d}_task-wordProduction_"
        for suffix in (
            *("ieeg.nwb", "ieeg.json", "channels.tsv", "events.tsv"),
            *("space-ACPC_electrodes.tsv", "space-ACPC_coordsystem.json"),
        ):
            (folder / (prefix + suffix)).touch()
    return tmp_path


def test_the_study_is_ten_participants_by_models_by_all_layers(paper_layout):
    plan = snakemake(
        *("--dry-run", "--configfile", "config/paper.yaml", "--config", "layers_per_job=5"),
        folder=paper_layout,
    )
    assert plan.returncode == 0, plan.stdout + plan.stderr
    planned = jobs(plan.stdout)
    # Layers, by five a job: FastText 1, mel 1, GPT-2 13 (3 jobs), XLS-R 25 (5 jobs); the analysis
    # `paper` fits three models, `words` and `frames` three, their controls and nuisances, all
    # position; `leak` the last layer of XLS-R under three splits.
    paper = 1 + 3 + 5 + 1
    words = (1 + 3 + 5) + (1 + 3 + 5) + 1 + 1
    frames = (1 + 3 + 5) + (1 + 5) + 1 + 1
    leak = 3 * (1 + 1)
    assert planned["encoding"] == 10 * (paper + words + frames + leak)
    assert planned["recording"] == planned["neural"] == planned["contamination"] == 10
    # One second from the prompt and two of the study's signal, one of the signal without artefacts.
    assert planned["targets"] == 10 * 3
    assert planned["embeddings"] == 10 * 11


def test_a_real_human_recording_runs_to_its_report(shared_data, tmp_path):
    done = snakemake(
        *("--configfile", "config/examples/gripforce.yaml"),
        *("--config", f"dataset={{root: {shared_data}/ieeg_signals/pyneuromod_gripforce}}"),
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = tmp_path / "results/gripforce"
    assert (results / "report.html").is_file()
    found = read_table(results / "electrodes.tsv", strings=("electrode",))
    assert set(found["electrode"]) == {f"ECOG_RIGHT_{n}" for n in range(6)}
    beta = read_dataset(results / "neural/beta/sub-testsub.nc")["beta"]
    force = read_dataset(results / "embeddings/force/sub-testsub.nc")["embedding"]
    inside = beta["valid"].values.astype(bool)
    correlation = [
        pd.Series(beta.values[inside, c]).corr(pd.Series(force.values[0, inside, 0]))
        for c in range(6)
    ]
    # The beta band of motor cortex falls while the hand squeezes.
    assert all(-0.55 < r < -0.25 for r in correlation)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["run: x", "dataset: {rot: y}"], ["'rot'", "did you mean 'root'"]),
        (["models: [mell]"], ["'mell'", "did you mean 'mel'"]),
        (["nueral: {}"], ["'nueral'", "did you mean 'neural'"]),
        (["dataset: {root: nowhere}"], ["nowhere", "does not exist"]),
        (["dataset: {root: DATA, participants: [sub-9]}"], ["sub-9"]),
    ],
    ids=["config key", "model", "section", "data set", "participant"],
)
def test_a_mistake_in_the_configuration_is_one_message(tmp_path, options, parts):
    (tmp_path / "data/sub-01/ieeg").mkdir(parents=True)
    (tmp_path / "data/participants.tsv").write_text("participant_id\nsub-01\n")
    config = {"dataset": {"root": "data"}, "models": ["mel"], "analyses": {"w": {"unit": "word"}}}
    for option in options:
        config |= yaml.safe_load(option.replace("DATA", "data"))
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    done = snakemake("--configfile", str(path), folder=tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert all(part in said for part in parts), said
    assert "Traceback" not in said
    assert not (tmp_path / "results").exists()


def test_a_study_without_a_data_set_is_refused_and_not_run_as_the_demo(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("run: mine\nmodels: [mel]\nanalyses: {w: {unit: word}}\n")
    for target in ((), ("check",)):
        done = snakemake(*target, "--configfile", str(path), "--dry-run", folder=tmp_path)
        assert done.returncode != 0
        assert "has run and models and analyses but no dataset" in done.stdout + done.stderr
    # Settings that belong to no study leave the demo as it is.
    path.write_text("summarise: present\n")
    assert snakemake("--configfile", str(path), "--dry-run", folder=tmp_path).returncode == 0


@pytest.mark.parametrize(
    "file", ["embeddings/unheard-of/sub-01.nc", "scores/unheard-of/sub-01/mel/00.nc"]
)
def test_a_file_of_an_unknown_model_or_analysis_is_no_rules(tmp_path, file):
    done = snakemake(f"results/demo/{file}", "--dry-run", folder=tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert f"No rule to produce results/demo/{file}" in said
    assert "KeyError" not in said and "Traceback" not in said


@pytest.fixture
def two_participants(demo, tmp_path) -> Path:
    """A copy of two demo participants, for a small run."""
    for name in ("sub-01", "sub-02"):
        shutil.copytree(demo / "resources/demo" / name, tmp_path / "data" / name)
    config = {
        "run": "two",
        "dataset": {
            "root": "data",
            "participants": ["sub-01", "sub-02"],
            "task": "wordProduction",
        },
        "models": ["mel"],
        "analyses": {"words": {"unit": "word", "permutations": 20}},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def test_a_failed_participant_is_named_until_it_is_mended(two_participants):
    folder, results = two_participants, two_participants / "results/two"
    run = ("--configfile", str(folder / "config.yaml"))
    (recording,) = (folder / "data/sub-02/ieeg").glob("*.nwb")
    whole = recording.read_bytes()
    recording.write_bytes(whole[: len(whole) // 2])

    failed = snakemake(*run, folder=folder)
    assert failed.returncode != 0
    # Nothing pretends to be complete; the other participant's fits are there all the same.
    assert not (results / "electrodes.tsv").exists()
    assert len(list((results / "scores/words/sub-01").glob("*/*.nc"))) == 3
    assert "3 of 6 fits are there" in failed.stderr
    assert "--config summarise=present" in failed.stderr

    partial = snakemake(*run, "--config", "summarise=present", folder=folder)
    assert partial.returncode == 0, partial.stdout + partial.stderr
    tables = {"summary": 1, "group": 1, "report": 1, "provenance": 1}
    assert jobs(partial.stdout + partial.stderr) == {**tables, "all": 1}
    assert set(read_table(results / "electrodes.tsv")["participant"]) == {"sub-01"}
    missing = read_table(results / "missing.tsv")
    assert missing[["participant", "model", "stage"]].values.tolist() == [
        ["sub-02", "mel", "recording"],
        ["sub-02", "position", "recording"],
        ["sub-02", "word-nuisances", "recording"],
    ]
    assert "sub-02" in (results / "report.html").read_text()

    recording.write_bytes(whole)
    mended = snakemake(*run, folder=folder)
    assert mended.returncode == 0, mended.stdout + mended.stderr
    planned = jobs(mended.stdout + mended.stderr)
    assert planned.pop("encoding") == 3 and planned["summary"] == planned["report"] == 1
    assert set(read_table(results / "electrodes.tsv")["participant"]) == {"sub-01", "sub-02"}
    assert read_table(results / "missing.tsv").empty

    # Results of a recording that has gone bad since are none of the summary's.
    recording.write_bytes(whole[: len(whole) // 3])
    assert snakemake(*run, folder=folder).returncode != 0
    again = snakemake(*run, "--config", "summarise=present", folder=folder)
    assert again.returncode == 0, again.stdout + again.stderr
    assert set(read_table(results / "electrodes.tsv")["participant"]) == {"sub-01"}


@pytest.fixture
def broken(demo, tmp_path) -> Path:
    """A copy of one demo participant, to be spoilt."""
    target = tmp_path / "data/sub-01"
    shutil.copytree(demo / "resources/demo/sub-01", target)
    config = {
        "run": "broken",
        "dataset": {"root": "data", "participants": ["sub-01"], "task": "wordProduction"},
        "models": ["mel"],
        "analyses": {"words": {"unit": "word", "permutations": 20}},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def only(folder: Path, ending: str) -> Path:
    (found,) = (folder / "data/sub-01/ieeg").glob(f"*{ending}")
    return found


def without_channels(folder: Path) -> None:
    only(folder, "channels.tsv").unlink()


def truncated(folder: Path) -> None:
    path = only(folder, ".nwb")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def not_a_number(folder: Path) -> None:
    import h5py

    with h5py.File(only(folder, ".nwb"), "r+") as file:
        file["acquisition/iEEG/data"][5000:5010, 3] = float("nan")


def short_audio(folder: Path) -> None:
    import h5py

    with h5py.File(only(folder, ".nwb"), "r+") as file:
        series = file["acquisition/Audio"]
        for name in ("data", "timestamps"):
            values = series[name][: series[name].shape[0] // 2]
            attributes = dict(series[name].attrs)
            del series[name]
            series[name] = values
            series[name].attrs.update(attributes)


def no_words(folder: Path) -> None:
    import h5py

    with h5py.File(only(folder, ".nwb"), "r+") as file:
        file["acquisition/Stimulus/data"][:] = ""
    path = only(folder, "events.tsv")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "\tword\t" not in line))


def high_band(folder: Path) -> None:
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(config | {"neural": {"band": [400, 600], "notch": []}}))


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (without_channels, ["channels.tsv"]),
        (truncated, [".nwb", "what to do"]),
        (not_a_number, ["NaN", ".nwb", "status"]),
        (short_audio, [".nwb", "s"]),
        (no_words, ["events.tsv", "word"]),
        (high_band, ["600", "512"]),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_bad_input_is_one_message_with_nothing_half_written(broken, spoil, parts):
    spoil(broken)
    done = snakemake("--configfile", str(broken / "config.yaml"), folder=broken)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert all(part in said for part in parts), said
    assert "Traceback" not in said
    left = [p for p in (broken / "results").rglob("*") if p.name.endswith(".part")]
    assert left == []
    assert not (broken / "results/broken/electrodes.tsv").exists()
