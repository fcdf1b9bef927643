"""Listening sets: one sound, heard by everybody at another time, in one recording or several."""

from __future__ import annotations

from pathlib import Path

import listening_set
import numpy as np
import pandas as pd
import pytest
import yaml
from listening_set import NAMES, RECORDINGS, SECONDS
from running import ROOT, jobs, snakemake

from highgamma.store import read_dataset, read_table


def small_podcast(folder: Path, **stimulus) -> Path:
    """The shipped configuration of a listening set, with this data set and small models."""
    config = yaml.safe_load((ROOT / "config/podcast.yaml").read_text("utf-8"))
    config["dataset"] |= {
        "source": None, "root": "data", "task": "story", "participants": "all",
        "stimulus": {"audio": "stimuli/story.wav", "words": "stimuli/words.tsv", **stimulus},
    }  # fmt: skip
    config["models"] = ["mel", "vectors", "random"]
    config["catalogue"] = {
        "vectors": {"kind": "static", "source": {"file": "vectors.vec"}, "width": 8},
        "random": {"kind": "static", "source": {"file": "random.vec"}, "width": 8},
    }
    frames = config["analyses"]["frames"]
    frames |= {"controls": ["random"], "permutations": 99, "folds": 5}
    config["analyses"]["words"] = {
        "unit": "word", "window": [0.0, 0.4], "split": "contiguous", "folds": 5,
        "permutations": 99, "controls": ["mel"],
    }  # fmt: skip
    path = folder / "podcast.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A finished run of a listening set."""
    folder = tmp_path_factory.mktemp("listening")
    words = listening_set.write(folder / "data")
    known = sorted(set(words["word"]))
    for seed, name in enumerate(("vectors", "random")):
        values = np.random.default_rng(seed).normal(size=(len(known), 8))
        lines = [
            f"{w} " + " ".join(map("{:.4f}".format, v)) for w, v in zip(known, values, strict=True)
        ]
        (folder / f"{name}.vec").write_text("\n".join([f"{len(known)} 8", *lines]) + "\n")
    config = small_podcast(folder, onset="stimuli/onsets.tsv")
    done = snakemake("--configfile", str(config), folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "results/podcast"


def test_each_model_of_the_sound_runs_once(study):
    assert sorted(p.stem for p in (study / "embeddings/mel").iterdir()) == ["stimulus"]
    own = sorted(p.stem for p in (study / "embeddings/position").iterdir())
    assert own == ["sub-01", "sub-02"]


def test_every_recording_states_when_it_heard_the_sound(study):
    for participant in ("sub-01", "sub-02"):
        heard = read_table(study / f"heard/{participant}.tsv", strings=("segment_label",))
        expected = [r.onset for r in RECORDINGS if r.participant == participant]
        assert heard["onset"].tolist() == expected
        assert heard["segment"].tolist() == list(range(len(expected)))


def test_words_are_on_the_clock_of_their_recording(study):
    transcript = pd.read_csv(study.parents[1] / "data/stimuli/words.tsv", sep="\t")
    words = read_table(study / "words/sub-02.tsv", strings=("word", "segment_label"))
    for segment, recording in enumerate(r for r in RECORDINGS if r.participant == "sub-02"):
        here = words[words["segment"] == segment]
        inside = transcript[
            (transcript["end"] + recording.onset > 0)
            & (transcript["start"] + recording.onset < recording.seconds)
        ]
        np.testing.assert_allclose(here["onset"], inside["start"] + recording.onset, atol=1e-6)
        assert here["word"].tolist() == inside["word"].tolist()
        assert here["stimulus_word"].tolist() == inside.index.tolist()


def test_an_electrode_that_follows_the_sound_is_found_wherever_it_begins(study):
    table = read_table(study / "electrodes.tsv", strings=("electrode", "verdict"))
    mel = table[(table["model"] == "mel") & (table["analysis"] == "frames")]
    r = mel.set_index(["participant", "electrode"])["r"]
    for participant in ("sub-01", "sub-02"):
        assert r[participant, "LA1"] > 0.4
        assert max(abs(r[participant, name]) for name in NAMES[1:]) < 0.15


def test_all_frames_in_which_the_sound_was_heard_are_fitted(study):
    for participant in ("sub-01", "sub-02"):
        (file,) = (study / f"scores/frames/{participant}/mel").iterdir()
        scores = read_dataset(file)
        for segment, one in enumerate(r for r in RECORDINGS if r.participant == participant):
            time = scores["time"].values[scores["segment"].values == segment]
            first, last = max(one.onset, 0.0), min(one.onset + SECONDS, one.seconds)
            # Lags take 0.4 s at either end, the filter's edges less than a second.
            assert time.min() < first + 1.5 and time.max() > last - 1.5
            assert (np.diff(time) < 0.012).mean() > 0.99
            assert time.min() > first - 0.1 and time.max() < last + 0.1


def test_the_audit_hears_the_sound_where_it_was_heard(study):
    audit = read_dataset(study / "contamination/sub-02.nc")
    assert np.isfinite(audit["p"].values).all()


def test_check_counts_the_words_that_were_heard_and_finds_nothing_wrong(study):
    folder = study.parents[1]
    done = snakemake("check", "--configfile", str(folder / "podcast.yaml"), folder=folder)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "no errors" in said
    assert "shown after the recording" not in said and "begin before the recording" not in said


def test_the_shipped_configuration_is_planned_for_nine_listeners(tmp_path):
    listening_set.write(tmp_path / "data")
    config = yaml.safe_load((ROOT / "config/podcast.yaml").read_text("utf-8"))
    config["dataset"] |= {"source": None, "root": "data", "task": "story", "participants": "all"}
    config["dataset"]["stimulus"] = {"audio": "stimuli/story.wav", "words": "stimuli/words.tsv"}
    path = tmp_path / "podcast.yaml"
    path.write_text(yaml.safe_dump(config))
    plan = snakemake("--configfile", str(path), "--dry-run", folder=tmp_path)
    assert plan.returncode == 0, plan.stdout + plan.stderr
    counted = jobs(plan.stdout)
    assert counted["recording"] == 3 and counted["neural"] == 2


def test_a_stimulus_of_which_only_the_words_are_known_has_its_own_times(tmp_path):
    """A film without its sound: whether a word is said still is a model."""
    from highgamma import catalogue, store
    from highgamma.embeddings.making import make_embeddings
    from highgamma.recording.outputs import sound_dataset
    from highgamma.recording.sound import SILENCE

    words = pd.DataFrame(
        {
            "segment": 0, "segment_label": "stimulus", "word": ["so", "it", "went"],
            "onset": [1.0, 2.0, 4.0], "offset": [1.5, 3.0, 4.75],
        }
    )  # fmt: skip
    words = words.assign(voice_onset=words["onset"], voice_offset=words["offset"])
    store.write_table(words, tmp_path / "words.tsv")
    silent = sound_dataset([SILENCE], files=[])
    store.write_dataset(silent, tmp_path / "audio.nc", stage="recording", parameters={})
    make_embeddings(
        tmp_path / "onoff.nc", name="word-onoff", participant="stimulus", dataset={"root": "."},
        model=catalogue.load(ROOT / "config/models.yaml")["word-onoff"],
        words=tmp_path / "words.tsv", audio=tmp_path / "audio.nc",
    )  # fmt: skip
    made = read_dataset(tmp_path / "onoff.nc")
    said, time = made["embedding"].values[0, :, 0], made["time"].values
    for a, b in zip(words["onset"], words["offset"], strict=True):
        assert (said[(time > a + 0.03) & (time < b - 0.03)] == 1).all()
    assert (said[(time > 3.1) & (time < 3.9)] == 0).all()
    assert time[-1] == pytest.approx(4.75, abs=0.06)
