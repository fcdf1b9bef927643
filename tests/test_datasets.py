"""The shipped configurations, each run in small on its data set's real sidecars.

Signals are made up: noise of the channels' names, at the rate of the sidecar, a minute or two long.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from running import ROOT, snakemake

from highgamma import catalogue
from highgamma.store import read_table

SOUND_RATE = 16_000
CONFIGS = {path.name for path in (ROOT / "config").glob("*.yaml")} - {"models.yaml"}


def test_every_shipped_configuration_runs_here() -> None:
    """`config.yaml` is the demo, which most tests run; podcast.yaml runs in test_listening too."""
    assert {"config.yaml", *SETS} == CONFIGS


def small(name: str, folder: Path, **dataset: Any) -> dict[str, Any]:
    """A shipped configuration with small stand-ins for its models and few surrogates."""
    config = yaml.safe_load((ROOT / "config" / name).read_text("utf-8"))
    config["dataset"] |= {"root": "data", "source": None, **dataset}
    entries = catalogue.load(ROOT / "config/models.yaml")
    stands_for, further = {}, {}
    for model in config["models"]:
        kind = str(entries[model]["kind"])
        if kind == "acoustic":
            stands_for[model] = model
            continue
        stands_for[model] = f"small-{model}"
        further[stands_for[model]] = (
            {"kind": "static", "source": {"file": f"{model}.vec"}, "width": 6}
            if catalogue.kind_of(entries[model]).reads_words
            else {"kind": "acoustic", "feature": "envelope", "width": 1}
        )
    config["models"] = list(stands_for.values())
    config["catalogue"] = further
    for analysis in config["analyses"].values():
        for key in ("models", "controls"):
            if isinstance(analysis.get(key), list):
                analysis[key] = [stands_for[m] for m in analysis[key]]
        analysis.pop("overrides", None)
        analysis["permutations"] = min(analysis.get("permutations", 30), 30)
        analysis["folds"] = min(analysis.get("folds", 4), 4)
        analysis.pop("lags", None)
        analysis.pop("lag_step", None)
    config["analyses"].pop("leak", None)
    if config.get("published"):
        config.pop("published")
    config["timecourse"] = {"permutations": 20, "best": 1}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return config


def vectors(folder: Path, config: dict[str, Any], words: list[str]) -> None:
    """Random vectors of some words for every stand-in that reads words."""
    known = sorted(set(words))
    for number, entry in enumerate(config["catalogue"].values()):
        if entry["kind"] != "static":
            continue
        values = np.random.default_rng(number).normal(size=(len(known), 6))
        lines = [
            f"{w} " + " ".join(f"{v:.3f}" for v in row)
            for w, row in zip(known, values, strict=True)
        ]
        path = folder / entry["source"]["file"]
        path.write_text("\n".join([f"{len(known)} 6", *lines]) + "\n", encoding="utf-8")


def copied(source: Path, folder: Path, *participants: str) -> Path:
    """A data set's sidecars with only these participants."""
    root = folder / "data"
    root.mkdir(parents=True)
    for path in source.iterdir():
        if path.is_file() and path.name[:1] != ".":
            shutil.copy(path, root)
    if (source / "stimuli").is_dir():
        shutil.copytree(source / "stimuli", root / "stimuli")
    for participant in participants:
        shutil.copytree(source / participant, root / participant)
    if (root / "participants.tsv").is_file():
        table = pd.read_csv(root / "participants.tsv", sep="\t")
        names = table["participant_id"].astype(str)
        labels = ["sub-" + name.removeprefix("sub-") for name in names]
        table[[label in participants for label in labels]].to_csv(
            root / "participants.tsv", sep="\t", index=False
        )
    return root


def recordings(
    root: Path, seconds: float, write: Callable[[Path, list[str], int, int], None]
) -> None:
    """Write a made-up recording next to every channels.tsv."""
    for table in sorted(root.rglob("*_channels.tsv")):
        names = read_table(table, strings=("name",))["name"].tolist()
        sidecar = table.with_name(table.name.replace("_channels.tsv", "_ieeg.json"))
        rate = int(json.loads(sidecar.read_text("utf-8-sig"))["SamplingFrequency"])
        write(
            table.with_name(table.name.replace("_channels.tsv", "_ieeg")), names, rate, int(seconds)
        )


def as_edf(path: Path, names: list[str], rate: int, seconds: int, **options: Any) -> None:
    import edfio

    rng = np.random.default_rng(len(str(path)))
    signals = [
        edfio.EdfSignal(
            50 * rng.standard_normal(rate * seconds), rate, label=name,
            physical_dimension="uV", physical_range=(-400, 400),
        )
        # The Podcast's channels.tsv lists the annotations as a channel.
        for name in names
        if name != "EDF Annotations"
    ]  # fmt: skip
    edfio.Edf(signals, **options).write(path.with_suffix(".edf"))


def as_brainvision(path: Path, names: list[str], rate: int, seconds: int) -> None:
    rng = np.random.default_rng(len(str(path)))
    (50 * rng.standard_normal((rate * seconds, len(names)))).astype("<f4").tofile(f"{path}.eeg")
    head = (
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={path.name}.eeg\nMarkerFile={path.name}.vmrk\nDataFormat=BINARY\n"
        f"DataOrientation=MULTIPLEXED\nNumberOfChannels={len(names)}\n"
        f"SamplingInterval={1e6 / rate}\n[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n"
        "[Channel Infos]\n" + "".join(f"Ch{k}={n},,1,µV\n" for k, n in enumerate(names, 1))
    )
    Path(f"{path}.vhdr").write_text(head, encoding="utf-8")
    Path(f"{path}.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\n"
        f"DataFile={path.name}.eeg\n[Marker Infos]\nMk1=New Segment,,1,1,0\n"
    )


def noise_sound(seconds: float, *, seed: int = 0) -> np.ndarray:
    """Bursts of noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * SOUND_RATE)) / SOUND_RATE
    return 0.3 * rng.standard_normal(len(t)) * (np.sin(2 * np.pi * 0.7 * t) > 0)


# --------------------------------------------------------------------------------- the data sets


def study(shared: Path, folder: Path) -> dict[str, Any]:
    """sub-05 of SingleWordProductionDutch in BrainVision, with a WAV file beside it."""
    root = copied(shared / "nm000371_swpd", folder, "sub-05")
    recordings(root, 301, as_brainvision)
    home = root / "sub-05/ieeg"
    soundfile.write(home / "sub-05_task-wordProduction_audio.wav", noise_sound(301), SOUND_RATE)
    config = small("paper.yaml", folder, participants=["sub-05"])
    vectors(
        folder, config, read_table(next(home.glob("*events.tsv")))["value"].astype(str).tolist()
    )
    return config


def podcast(shared: Path, folder: Path) -> dict[str, Any]:
    root = copied(shared / "ds005574_podcast", folder, "sub-02")
    recordings(root, 90, as_edf)
    soundfile.write(root / "stimuli/podcast.wav", noise_sound(90), SOUND_RATE)
    config = small("podcast.yaml", folder, participants="all")
    spoken = pd.read_csv(root / config["dataset"]["stimulus"]["words"], sep="\t")
    assert spoken["word_idx"].nunique() == 5136
    vectors(folder, config, spoken["word"].astype(str).tolist())
    return config


def film(shared: Path, folder: Path) -> dict[str, Any]:
    root = copied(shared / "ds003688_dutch_film", folder, "sub-09")
    recordings(root, 110, as_brainvision)
    config = small("dutch-film.yaml", folder, participants="all")
    spoken = pd.read_csv(root / config["dataset"]["stimulus"]["words"], sep="\t")
    vectors(folder, config, spoken["item"].tolist())
    return config


def wired(shared: Path, folder: Path) -> dict[str, Any]:
    root = copied(shared / "ds004993_wired_icm", folder, "sub-W2")
    recordings(root, 100, as_edf)
    (root / "stimuli").mkdir()
    (events,) = root.rglob("*_events.tsv")
    for number, name in enumerate(sorted(set(read_table(events)["trial_type"]) - {"TIMIT_tone"})):
        soundfile.write(root / f"stimuli/{name}.wav", noise_sound(1.3, seed=number), SOUND_RATE)
    return small("wired.yaml", folder, participants="all")


def naming(shared: Path, folder: Path) -> dict[str, Any]:
    root = copied(shared / "ds005545_auditory_naming", folder, "sub-02")
    for session in ("ses-02", "ses-03"):
        shutil.rmtree(root / "sub-02" / session)

    def with_annotations(path: Path, names: list[str], rate: int, seconds: int) -> None:
        import edfio

        codes = [
            edfio.EdfAnnotation(float(t + after), None, code)
            for t in np.arange(2.0, seconds - 4, 4.0)
            for code, after in (("401", 0.0), ("402", 1.6), ("501", 2.5))
        ]
        as_edf(path, names, rate, seconds, annotations=codes)

    recordings(root, 80, with_annotations)
    return small("auditory-naming.yaml", folder, participants="all")


SETS = {
    "paper.yaml": study,
    "podcast.yaml": podcast,
    "dutch-film.yaml": film,
    "wired.yaml": wired,
    "auditory-naming.yaml": naming,
}


@pytest.fixture(scope="module", params=sorted(SETS))
def run(request, shared_data, tmp_path_factory) -> tuple[str, dict[str, Any], Path]:
    """Name, configuration and results of a finished run of a shipped configuration."""
    name = str(request.param)
    folder = tmp_path_factory.mktemp(name.removesuffix(".yaml"))
    config = SETS[name](shared_data / "bids_metadata", folder)
    done = snakemake("--configfile", str(folder / "config.yaml"), folder=folder)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return name, config, folder / "results" / config["run"]


def test_a_shipped_configuration_fits_every_model_of_every_analysis(run) -> None:
    _, config, results = run
    table = read_table(results / "electrodes.tsv", strings=("participant", "electrode", "verdict"))
    for name, analysis in config["analyses"].items():
        here = table[table["analysis"] == name]
        named = analysis.get("models", config["models"])
        wanted = set(config["models"] if named == "all" else named)
        assert wanted <= set(here["model"]), name
        # Noise predicts nothing.
        assert not (here["verdict"] == "supported").any()
    assert (results / "report.html").stat().st_size > 10_000


EXPECTED = {
    "paper.yaml": ("sub-05", 60, "ACPC"),
    "podcast.yaml": ("sub-02", 98, "Other"),
    "dutch-film.yaml": ("sub-09", 69, "ACPC"),
    "wired.yaml": ("sub-W2", 106, "ACPC"),
    "auditory-naming.yaml": ("sub-02", 128, "n/a"),
}
"""Participant, electrodes of channels.tsv, and coordinate system, from the sidecars."""


def test_its_channels_are_those_of_the_sidecars(run) -> None:
    name, _, results = run
    participant, count, system = EXPECTED[name]
    table = read_table(results / f"channels/{participant}.tsv", strings=("name", "space"))
    kept = table[table["kept"] == "yes"]
    bad = int(((table["status"] == "bad") & table["type"].isin(["SEEG", "ECOG"])).sum())
    assert len(kept) == count - bad
    placed = kept[kept["x"].notna()]
    assert set(placed["space"].fillna("n/a")) <= {system}


def test_its_words_and_sounds_lie_where_the_sidecars_say(run, shared_data) -> None:
    name, _, results = run
    source = shared_data / "bids_metadata"
    participant = EXPECTED[name][0]
    words = read_table(results / f"words/{participant}.tsv", strings=("word",))
    if name == "paper.yaml":
        events = pd.read_csv(next(source.glob("nm000371_swpd/sub-05/ieeg/*events.tsv")), sep="\t")
        shown = events[events["trial_type"] != "fixation"]
        assert len(words) == 100
        np.testing.assert_allclose(words["onset"], shown["onset"], atol=1e-6)
        assert words["word"].iloc[0] == "verlost"
    if name == "dutch-film.yaml":
        # The film starts at 12.808 s; "pippi" is said at 30.736 s of it.
        assert words["word"].iloc[0] == "pippi"
        assert words["voice_onset"].iloc[0] == pytest.approx(12.808 + 30.736, abs=1e-3)
    if name == "podcast.yaml":
        assert words["word"].iloc[0] == "Act" and words["onset"].iloc[0] == pytest.approx(3.71)
    if name == "wired.yaml":
        heard = read_table(results / f"heard/{participant}.tsv")
        events = pd.read_csv(
            next(source.glob("ds004993_wired_icm/sub-W2/ses-iemu/ieeg/*events.tsv")),
            sep="\t", encoding="utf-8-sig",
        )  # fmt: skip
        played = events[events["trial_type"] != "TIMIT_tone"]
        np.testing.assert_allclose(heard["onset"], played["onset"], atol=1e-6)
        assert heard["stimulus"].nunique() == 11
        assert (heard["stimulus"].value_counts() == 10).sum() == 10
        # Sentences that were heard again say how much of an electrode can be predicted at best.
        table = read_table(results / "electrodes.tsv", strings=("ceiling_status",))
        assert table["noise_ceiling"].notna().all()
    if name == "auditory-naming.yaml":
        np.testing.assert_allclose(words["offset"] - words["onset"], 1.6, atol=1e-3)
