"""Whole analyses: several models in one fit, repeated words, and what the file says of its null."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter1d
from worlds import WORDS

from highgamma.encoding.analysis import analysis_from
from highgamma.encoding.fit import fit_analysis
from highgamma.encoding.samples import (
    band_layers,
    frame_samples,
    frames_since_prompt,
    joint_samples,
    trials_of_frames,
    word_samples,
)
from highgamma.errors import InputError
from highgamma.recording.heard import nothing_heard
from highgamma.store import read_dataset, write_dataset, write_table

ALPHAS = [1.0, 100.0, 10_000.0]
RATE = 50.0
SCRIPT = Path(__file__).parents[2] / "workflow/scripts/encoding.py"


def word_table(identities):
    n = len(identities)
    onset = 1.0 + 3.0 * np.arange(n)
    return pd.DataFrame(
        {
            "segment": np.zeros(n, dtype=int),
            "segment_label": ["recording"] * n,
            "word": [f"word{k}" for k in identities],
            "onset": onset,
            "offset": onset + 2,
            "voice_onset": onset + 0.5,
            "voice_offset": onset + 1.2,
        }
    )


def two_models(*, identities=None, n=60, seed=0):
    """Electrode 0 follows model a alone, 1 model b alone, 2 what both hold, 3 nothing."""
    rng = np.random.default_rng(seed)
    identities = np.arange(n) if identities is None else np.asarray(identities)
    n = len(identities)
    types = int(identities.max()) + 1
    both = rng.standard_normal((types, 2))
    own = [rng.standard_normal((types, 4)) for _ in "ab"]
    drive = np.stack(
        [own[0].sum(1) / 2, own[1].sum(1) / 2, both.sum(1) / 1.4, np.zeros(types)], axis=1
    )
    words = word_table(identities)
    Y = 10 * drive[identities] + 5 * rng.standard_normal((n, 4)) + 30
    target = xr.Dataset(
        {"target": (("word", "channel"), Y)},
        coords={
            "word_index": ("word", np.arange(n)),
            "word": words["word"].to_numpy(),
            "start": ("word", words["onset"].to_numpy()),
            "stop": ("word", words["onset"].to_numpy() + 1),
            "segment": ("word", np.zeros(n, dtype=np.int16)),
            "valid": ("word", np.ones(n, dtype=np.int8)),
            "channel": [f"LB{k}" for k in range(4)],
        },
    )

    def embeddings(values, layers):
        X = np.stack([np.zeros_like(values)] * (len(layers) - 1) + [values])
        return xr.Dataset(
            {"embedding": (("layer", "sample", "feature"), X[:, identities].astype(np.float32))},
            coords={"layer": layers, "word_index": ("sample", np.arange(n))},
            attrs={"unit": "word"},
        )

    models = {
        "a": embeddings(np.concatenate([own[0], both], axis=1), [0, 4]),
        "b": embeddings(np.concatenate([own[1], both], axis=1), [0, 1, 9]),
    }
    return words, target, models


def settings(**changes):
    return analysis_from(
        WORDS
        | {
            "estimator": "banded-ridge",
            "bands": ["a", "b"],
            "band_draws": 10,
            "alphas": ALPHAS,
            "split": "contiguous",
            "folds": 6,
            "permutations": 0,
        }
        | changes
    )


def fit_words(words, target, models, **changes):
    analysis = settings(**changes)
    layers = band_layers(models, "last")
    samples = joint_samples(
        {
            name: (word_samples(one, words, target, analysis), layers[name])
            for name, one in models.items()
        }
    )
    return fit_analysis(samples, analysis=analysis, layers=[0], seed=1, names=("sub-01", "j"))


@pytest.fixture(scope="module")
def joint():
    return fit_words(*two_models(n=240), permutations=19)


def test_unique_parts_go_to_the_model_that_alone_knows(joint):
    unique = joint.unique
    assert unique.dims == ("space", "channel") and joint.space.values.tolist() == ["a", "b"]
    assert float(unique.sel(space="a")[0]) > 0.6 and abs(float(unique.sel(space="b")[0])) < 0.05
    assert float(unique.sel(space="b")[1]) > 0.6 and abs(float(unique.sel(space="a")[1])) < 0.05
    assert (np.abs(unique[:, 2]) < 0.05).all() and float(joint.shared[2]) > 0.6
    assert abs(float(joint.shared[0])) < 0.1 and abs(float(joint.shared[3])) < 0.1


def test_the_parts_sum_to_the_joint_score(joint):
    skill, r = joint.skill.sel(layer=0), joint.r.sel(layer=0)
    np.testing.assert_allclose(joint.unique.sum("space") + joint.shared, skill, atol=1e-12)
    np.testing.assert_allclose(joint.share.sum("space"), skill, atol=1e-10)
    np.testing.assert_allclose(joint.share_r.sum("space")[:3], r[:3], atol=1e-10)
    assert float(joint.share[0, 0]) > 0.6 and float(joint.share[1, 1]) > 0.6


def test_driven_electrodes_beat_their_permutations_and_the_way_is_written_down(joint):
    np.testing.assert_allclose(joint.p.values[0, :3], 0.05)
    assert joint.p.values[0, 3] > 0.05
    assert joint.attrs["null_penalties_used"] == "kept"


def test_the_score_without_a_space_is_that_of_the_other_model_alone(joint):
    words, target, models = two_models(n=240)
    analysis = analysis_from(
        WORDS | {"alphas": ALPHAS, "split": "contiguous", "folds": 6, "permutations": 0}
    )
    for name, layer, other in (("a", 4, "b"), ("b", 9, "a")):
        samples = word_samples(models[name], words, target, analysis)
        alone = fit_analysis(samples, analysis=analysis, layers=[layer], seed=1, names=("x",))
        without = joint.skill.sel(layer=0) - joint.unique.sel(space=other)
        np.testing.assert_allclose(without, alone.skill[0], atol=1e-10)


def test_frames_of_several_models_are_fitted_with_delays():
    rng = np.random.default_rng(2)
    n = int(90 * RATE)
    X = {
        name: gaussian_filter1d(rng.standard_normal((n, p)), 2.0, axis=0)
        for name, p in (("a", 9), ("b", 12))
    }
    time = 0.01 + np.arange(n) / RATE
    Y = np.stack([np.roll(X["a"][:, 0], 5), np.roll(X["b"][:, 0], 5)], axis=1)
    Y = Y / Y.std(0) + 0.7 * rng.standard_normal(Y.shape)
    neural = xr.Dataset(
        {"high_gamma": (("time", "channel"), Y)},
        coords={
            "time": time,
            "segment": ("time", np.zeros(n, dtype=np.int16)),
            "valid": ("time", np.ones(n, dtype=np.int8)),
            "channel": ["LA1", "LA2"],
        },
        attrs={"rate_hz": RATE},
    )
    words = word_table(np.arange(6))
    analysis = settings(
        unit="frame",
        surrogates="shift",
        lags=[0.0, 0.2],
        lag_step=0.1,
        permutations=9,
        folds=4,
        band_draws=4,
    )
    parts = {}
    for name, values in X.items():
        one = xr.Dataset(
            {"embedding": (("layer", "sample", "feature"), values[None].astype(np.float32))},
            coords={
                "layer": [0],
                "time": ("sample", time),
                "segment": ("sample", np.zeros(n, dtype=np.int16)),
            },
            attrs={"unit": "frame", "rate_hz": RATE},
        )
        parts[name] = (frame_samples(one, words, neural, analysis), 0)
    fit = fit_analysis(
        joint_samples(parts), analysis=analysis, layers=[0], seed=1, names=("sub-01", "j")
    )
    assert (fit.r.values > 0.6).all()
    assert float(fit.unique[0, 0]) > 0.4 and float(fit.unique[1, 1]) > 0.4
    assert abs(float(fit.unique[1, 0])) < 0.05 and abs(float(fit.unique[0, 1])) < 0.05
    np.testing.assert_allclose(fit.p, 0.1)
    assert fit.attrs["noise_ceiling"] == "not-estimable"


def test_repeated_words_give_the_planted_ceiling_and_unique_words_none(joint):
    assert joint.attrs["noise_ceiling"] == "not-estimable"
    assert np.isnan(joint.noise_ceiling).all() and np.isnan(joint.explainable).all()
    words, target, models = two_models(identities=np.tile(np.arange(100), 4))
    fit = fit_words(words, target, models, split="word", folds=5)
    assert fit.attrs["noise_ceiling"] == "estimated" and fit.noise_ceiling.dims == ("channel",)
    np.testing.assert_allclose(fit.explainable[:3], 0.8, atol=0.08)  # 10² against 10² + 5²
    assert float(fit.noise_ceiling[3]) < 0.3
    assert (fit.r.values[0, :3] < fit.noise_ceiling.values[:3] + 0.03).all()


def test_frames_repeat_where_the_same_word_was_prompted_equally_long_ago():
    words = word_table([0, 1, 0])  # prompts at 1, 4 and 7 s
    time = np.arange(0, 10, 0.5)
    segment = np.zeros(len(time), dtype=int)
    trial, word = trials_of_frames(time, segment, words)
    stimulus = frames_since_prompt(time, trial, word, words, rate=2.0)
    assert (stimulus[time < 1] == -1).all()
    at = {float(t): int(s) for t, s in zip(time, stimulus, strict=True)}
    assert at[1.0] == at[7.0] and at[2.5] == at[8.5]
    assert len({at[1.0], at[1.5], at[4.0], at[4.5]}) == 4


@pytest.mark.parametrize(
    ("changes", "used"),
    [
        ({"permutations": 0}, "none"),
        ({"null_penalties": "chosen"}, "chosen"),
        ({"null_penalties": "kept"}, "kept"),
        ({"null_penalties": "auto"}, "chosen"),
        ({"alphas": None, "alpha": 10.0}, "fixed"),
        ({"estimator": "elastic-net", "alphas": [0.1, 1.0]}, "kept"),
        ({"estimator": "elastic-net", "alphas": None, "alpha": 1.0}, "fixed"),
    ],
)
def test_the_file_says_whether_surrogates_chose_their_penalties(changes, used):
    words, target, models = two_models(n=30)
    analysis = analysis_from(
        WORDS | {"alphas": ALPHAS, "split": "contiguous", "folds": 3, "permutations": 4} | changes
    )
    samples = word_samples(models["a"], words, target, analysis)
    fit = fit_analysis(samples, analysis=analysis, layers=[4], seed=1, names=("x",))
    assert fit.attrs["null_penalties_used"] == used


def test_the_script_takes_one_embedding_file_for_each_band(tmp_path, joint):
    words, target, models = two_models(n=240)
    write_table(words, tmp_path / "words.tsv")
    write_table(nothing_heard(), tmp_path / "heard.tsv")
    write_dataset(target, tmp_path / "target.nc", stage="targets", parameters={})
    for name, one in models.items():
        write_dataset(one, tmp_path / f"{name}.nc", stage="embeddings", parameters={})
    analysis = WORDS | {
        "estimator": "banded-ridge", "bands": ["a", "b"], "band_draws": 10,
        "alphas": ALPHAS, "split": "contiguous", "folds": 6, "permutations": 19,
    }  # fmt: skip
    snakemake = SimpleNamespace(
        log=[str(tmp_path / "log")],
        threads=1,
        input=SimpleNamespace(
            words=tmp_path / "words.tsv",
            heard=tmp_path / "heard.tsv",
            target=tmp_path / "target.nc",
            embeddings=[tmp_path / "a.nc", tmp_path / "b.nc"],
        ),
        params=SimpleNamespace(
            participant="sub-01", analysis=analysis, bands=["a", "b"], layers="last", last_layer=0,
            name="j", model="a+b", seed=1,
        ),
        output=SimpleNamespace(scores=tmp_path / "scores.nc"),
    )  # fmt: skip
    runpy.run_path(str(SCRIPT), init_globals={"snakemake": snakemake})
    written = read_dataset(tmp_path / "scores.nc")
    np.testing.assert_array_equal(written.unique, joint.unique)
    assert written.attrs["band_layers"].tolist() == [4, 9]


def test_layers_of_bands_are_the_last_or_the_ones_given():
    _, _, models = two_models()
    assert band_layers(models, "last") == {"a": 4, "b": 9}
    assert band_layers(models, {"b": 1}) == {"a": 4, "b": 1}
    with pytest.raises(InputError, match="layer 3 is not among"):
        band_layers(models, {"b": 3})
    with pytest.raises(InputError, match="a layer is given for 'c'"):
        band_layers(models, {"c": 3})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bands": None}, "bands: `bands` and `estimator: banded-ridge` go together"),
        ({"estimator": "ridge"}, "bands: `bands` and `estimator: banded-ridge` go together"),
        ({"bands": ["a"]}, "expected: at least 2 different values"),
        ({"bands": ["a", "a"]}, "expected: at least 2 different values"),
        (
            {"null_penalties": "chosen"},
            "null_penalties: the search over",
        ),
        ({"components": 3}, "components: principal components would mix"),
        (
            {"unit": "frame", "lags": [0, 0.1], "lag_mode": "curve"},
            "lag_mode: a banded ridge has no",
        ),
    ],
)
def test_bands_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        settings(**changes)


def test_features_of_other_models_than_the_bands_are_refused():
    with pytest.raises(InputError, match="the features are of a, b"):
        fit_words(*two_models(), bands=["b", "a"])
