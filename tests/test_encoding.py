from __future__ import annotations

import json
from itertools import chain, repeat

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter1d
from scipy.stats import pearsonr

from highgamma import scores
from highgamma.embeddings.nuisances import VOICE_LAGS_S
from highgamma.embeddings.position import position_embeddings
from highgamma.encoding import cost, nulls
from highgamma.encoding.analysis import analysis_from
from highgamma.encoding.components import principal_components
from highgamma.encoding.fit import fit_analysis
from highgamma.encoding.samples import frame_samples, layer_numbers, voiced_shares, word_samples
from highgamma.encoding.surrogates import word_permutations
from highgamma.errors import InputError
from highgamma.store import read_dataset, write_dataset

PLAIN = {"drift": None, "choose_by": "folds"}
WORDS = {"unit": "word", "surrogates": "permutation", **PLAIN}
RATE = 50.0
ALPHAS = [1.0, 100.0, 10_000.0]


def word_table(n, *, segments=1):
    onset = 1.0 + 3.0 * (np.arange(n) % -(-n // segments))
    return pd.DataFrame(
        {
            "segment": (np.arange(n) * segments) // n,
            "word": [f"word{k}" for k in range(n)],
            "onset": onset,
            "offset": onset + 2,
            "voice_onset": np.where(np.arange(n) % 5 == 0, np.nan, onset + 0.5),
            "voice_offset": np.where(np.arange(n) % 5 == 0, np.nan, onset + 1.2),
        }
    )


def frame_world(*, seconds=120, segments=1, channels=4, features=6, lag=0.1, noise=1.0, seed=0):
    """Smooth features; channels follow their sum after a lag, the last one follows nothing."""
    rng = np.random.default_rng(seed)
    per = int(seconds * RATE)
    n = per * segments
    X = gaussian_filter1d(rng.standard_normal((2, n, features)), 2.0, axis=1)
    X /= X.std()
    drive = np.roll(X[1] @ rng.standard_normal((features, channels)), round(lag * RATE), axis=0)
    Y = drive + noise * gaussian_filter1d(rng.standard_normal((n, channels)), 2.0, axis=0) * 3
    Y[:, -1] = gaussian_filter1d(rng.standard_normal(n), 2.0)
    time = np.tile(0.025 + np.arange(per) / RATE, segments)
    segment = np.repeat(np.arange(segments), per).astype(np.int16)
    valid = np.tile((np.arange(per) >= RATE) & (np.arange(per) < per - RATE), segments)
    neural = xr.Dataset(
        {"high_gamma": (("time", "channel"), Y + 20)},
        coords={
            "time": time,
            "segment": ("time", segment),
            "valid": ("time", valid.astype(np.int8)),
            "channel": [f"LA{k}" for k in range(channels)],
            "x": ("channel", np.arange(channels, dtype=float)),
        },
        attrs={"rate_hz": RATE},
    )
    embeddings = xr.Dataset(
        {"embedding": (("layer", "sample", "feature"), X.astype(np.float32))},
        coords={"layer": [0, 7], "time": ("sample", time), "segment": ("sample", segment)},
        attrs={"unit": "frame", "rate_hz": RATE},
    )
    return neural, embeddings


def settings(**changes):
    return analysis_from(
        PLAIN | {"unit": "frame", "alphas": ALPHAS, "folds": 5, "permutations": 0} | changes
    )


def fit_frames(neural, embeddings, *, layers=(0, 7), **changes):
    analysis = settings(**changes)
    samples = frame_samples(embeddings, word_table(6), neural, analysis)
    return fit_analysis(samples, analysis=analysis, layers=layers, seed=1, names=("sub-01", "a"))


@pytest.fixture(scope="module")
def delayed():
    neural, embeddings = frame_world()
    return fit_frames(neural, embeddings, lags=[0.0, 0.2], lag_step=0.02, permutations=99)


def test_the_driving_layer_is_chosen_on_inner_folds_and_scores(delayed):
    assert (delayed.chosen_layer.values[:, :3] == 7).all()
    assert (delayed.r.sel(layer=7).values[:3] > 0.5).all()
    assert abs(float(delayed.r.sel(layer=7)[3])) < 0.2
    assert (delayed.skill.sel(layer=7).values[:3] > 0.2).all()


def test_planted_channels_are_significant_and_noise_is_not(delayed):
    np.testing.assert_allclose(delayed.p.sel(layer=7).values[:3], 0.01)
    assert float(delayed.p.sel(layer=7)[3]) > 0.05
    assert delayed.null_r.dims == ("permutation", "layer", "channel")


def test_stored_sums_give_the_stored_scores(delayed):
    one = delayed.sel(layer=7)
    np.testing.assert_allclose(
        1 - one.fold_sse.sum("fold") / one.fold_sst.sum("fold"), one.skill, atol=1e-12
    )
    np.testing.assert_allclose(
        one.fold_sse, one.fold_syy - 2 * one.fold_syf + one.fold_sff, atol=1e-8
    )
    observed, predicted = delayed.observed.values, delayed.prediction.values
    fold = delayed.fold_of_sample.values
    r = pearsonr(observed[fold == 2, 0], predicted[fold == 2, 0])[0]
    assert r == pytest.approx(float(one.fold_r[2, 0]), abs=1e-5)


def test_the_realised_distance_is_the_gap_plus_the_lag_span(delayed):
    assert delayed.attrs["gap_s"] == pytest.approx(0.7)
    assert delayed.attrs["distance_s"] == pytest.approx(0.7)
    assert delayed.attrs["leaky"] == 0
    assert json.loads(delayed.attrs["analysis"])["folds"] == 5


def test_the_receptive_field_peaks_at_the_planted_lag(delayed):
    field = delayed.coefficients.sel(layer=7).values
    strength = (field**2).sum(axis=1)[:, :3]
    np.testing.assert_allclose(delayed.delay.values[strength.argmax(axis=0)], 0.1)


def test_the_file_is_written_and_read_back_the_same(delayed, tmp_path):
    write_dataset(delayed, tmp_path / "scores.nc", stage="encoding", parameters={})
    again = read_dataset(tmp_path / "scores.nc")
    for name in delayed.variables:
        np.testing.assert_array_equal(again[name].values, delayed[name].values)


def test_a_lag_curve_finds_the_planted_lag_with_an_interval():
    neural, embeddings = frame_world(segments=2, seconds=60)
    fit = fit_frames(
        neural, embeddings, layers=[7], lags=[-0.1, 0.3], lag_step=0.02, lag_mode="curve",
        permutations=19, min_shift=2.0,
    )  # fmt: skip
    assert fit.lag_r.dims == ("layer", "lag", "channel")
    np.testing.assert_allclose(fit.peak_lag.values[0, :3], 0.1, atol=0.01)
    np.testing.assert_allclose(fit.chosen_lag.values[0, :, :3], 0.1)
    assert (fit.peak_lag_low.values[0, :3] <= 0.1 + 0.005).all()
    assert (fit.peak_lag_high.values[0, :3] >= 0.1 - 0.005).all()
    np.testing.assert_allclose(fit.p.values[0, :3], 1 / 20)


def test_surrogates_of_a_lag_curve_count_with_their_best_lag():
    neural, embeddings = frame_world(seconds=60)
    null = {"permutations": 9, "min_shift": 2.0, "lag_step": 0.1}
    lags = (0.0, 0.1, 0.2)
    curve = fit_frames(neural, embeddings, layers=[7], lags=[0.0, 0.2], lag_mode="curve", **null)
    # One lag has no span of its own, so the purge gap is widened by that of the curve.
    gap = json.loads(curve.attrs["analysis"])["gap"] + 0.2
    single = [
        fit_frames(neural, embeddings, layers=[7], lags=[a, a], gap=gap, **null) for a in lags
    ]
    assert all((one.time.values == curve.time.values).all() for one in single)
    np.testing.assert_allclose(
        curve.null_r, np.maximum.reduce([one.null_r.values for one in single]), atol=1e-6
    )


def test_the_mean_of_the_other_words_correlates_at_exactly_minus_one():
    Y = np.random.default_rng(0).normal(5, 1, (40, 3))
    left_out = np.stack([np.delete(Y, i, axis=0).mean(axis=0) for i in range(40)])
    np.testing.assert_allclose(scores.plain_r(left_out, Y), -1.0, atol=1e-9)
    assert pearsonr(Y[:, 0], Y[:, 1])[0] == pytest.approx(scores.plain_r(Y[:, [0]], Y[:, [1]])[0])
    assert np.isnan(scores.plain_r(np.full((40, 1), 3.3), Y[:, :1])).all()


def test_missing_and_constant_channels_cost_the_others_nothing():
    neural, embeddings = frame_world(seconds=60)
    whole = fit_frames(neural, embeddings, layers=[7])
    broken = neural.copy(deep=True)
    broken.high_gamma[:, 1] = np.nan
    broken.high_gamma[:, 2] = 3.3
    fit = fit_frames(broken, embeddings, layers=[7], permutations=9)
    np.testing.assert_allclose(fit.r[0, [0, 3]], whole.r[0, [0, 3]], atol=1e-10)
    assert np.isnan(fit.r[0, [1, 2]]).all() and np.isnan(fit.p[0, [1, 2]]).all()
    assert fit.constant.values.tolist() == [0, 0, 1, 0]
    assert fit.attrs["channels_without_target"] == 1
    assert int(fit.intercept_only[0, 2]) == 1


def test_missing_rows_are_left_out_and_counted():
    neural, embeddings = frame_world(seconds=60)
    neural.high_gamma[500:510, 0] = np.nan
    embeddings.embedding[:, 700:705] = np.nan
    fit = fit_frames(neural, embeddings, layers=[7])
    assert fit.attrs["samples_without_target"] == 10
    assert fit.attrs["samples_without_features"] == 5
    assert fit.attrs["samples_invalid"] == 100
    assert fit.sizes["sample"] == 3000 - 115
    assert np.isfinite(fit.prediction).all()


@pytest.mark.parametrize("components", [None, 4])
def test_lags_without_zero_never_ask_for_a_sample_s_own_features(components):
    neural, embeddings = frame_world(seconds=60, features=16)
    embeddings.embedding[:, 700:705] = np.nan
    earlier = embeddings.copy(data={"embedding": np.roll(embeddings.embedding, 5, axis=1)})
    same = {"lag_step": 0.02, "components": components, "permutations": 5, "min_shift": 2.0}
    fit = fit_frames(neural, embeddings, lags=[0.1, 0.2], **same)
    expected = fit_frames(neural, earlier, lags=[0.0, 0.1], **same)
    np.testing.assert_array_equal(fit.time, expected.time)
    assert 700 in np.rint(fit.time.values * RATE - 1.25)
    assert (fit.r.sel(layer=7).values[:3] > 0.3).all()
    for name in ("r", "skill", "inner_score", "null_r"):
        np.testing.assert_allclose(fit[name], expected[name], atol=1e-6)


def test_a_single_electrode_is_fitted():
    neural, embeddings = frame_world(seconds=60)
    fit = fit_frames(
        neural.isel(channel=[0]), embeddings, layers=[7], lags=[0.1, 0.1], permutations=9
    )
    assert float(fit.r[0, 0]) > 0.3 and np.isnan(fit.pcc_across_channels).all()


def test_position_features_win_only_where_neighbours_leak():
    rng = np.random.default_rng(5)
    neural, embeddings = frame_world(seconds=120)
    n = neural.sizes["time"]
    neural.high_gamma[:] = gaussian_filter1d(rng.standard_normal((n, 4)), 25.0, axis=0)
    centres = np.arange(0, n, 40)
    bumps = np.exp(-0.5 * ((np.arange(n)[:, None] - centres) / 40) ** 2)
    position = xr.Dataset(
        {"embedding": (("layer", "sample", "feature"), bumps[None].astype(np.float32))},
        coords={"layer": [0], **{k: embeddings[k] for k in ("time", "segment")}},
        attrs=embeddings.attrs,
    )
    alphas = [0.01, 1.0, 100.0]
    leaky = fit_frames(neural, position, layers=[0], split="shuffled", alphas=alphas)
    honest = fit_frames(neural, position, layers=[0], gap=2.0, alphas=alphas)
    assert (leaky.r.values > 0.5).all() and leaky.attrs["leaky"] == 1
    assert (honest.r.values < 0.3).all() and honest.attrs["leaky"] == 0


def test_position_stands_under_the_split_that_its_analysis_asks_for():
    neural, embeddings = frame_world(seconds=60)
    made = position_embeddings(
        {"spacing": 1.0, "blur": 0.5, "shift": 0.1, "most": 1000}, extents=[(0, 0.0, 60.0)]
    )
    bumps = np.concatenate(list(made.blocks), axis=1)
    position = xr.Dataset(
        {"embedding": (("layer", "sample", "feature"), bumps)},
        coords={"layer": [0], **{k: ("sample", v) for k, v in made.coordinates.items()}},
        attrs={"unit": "frame", **made.attributes},
    )
    beside = fit_frames(neural, position, layers=[0], gap=1.1)
    model = fit_frames(neural, embeddings, layers=[0], gap=0.5, lags=[-0.3, 0.3])
    # Ten bumps a second, brought to the signal's hundred frames, ask for no wider gap.
    assert beside.attrs["gap_s"] == pytest.approx(model.attrs["gap_s"]) == pytest.approx(1.1)
    assert beside.attrs["distance_s"] == pytest.approx(model.attrs["distance_s"])


def test_folds_shorter_than_gap_and_lags_are_refused():
    neural, embeddings = frame_world(seconds=20)
    with pytest.raises(InputError, match=r"lasts 3\.6 s, the gap 4 s"):
        fit_frames(neural, embeddings, gap=3.0, lags=[-0.5, 0.5])


def word_world(*, n=40, p=12, channels=5, seed=0, layers=(0, 3)):
    rng = np.random.default_rng(seed)
    words = word_table(n)
    X = rng.standard_normal((len(layers), n, p))
    Y = X[-1] @ rng.standard_normal((p, channels)) + rng.standard_normal((n, channels)) + 30
    target = xr.Dataset(
        {"target": (("word", "channel"), Y)},
        coords={
            "word_index": ("word", np.arange(n)),
            "word": words["word"].to_numpy(),
            "start": ("word", words["onset"].to_numpy()),
            "stop": ("word", words["onset"].to_numpy() + 1),
            "segment": ("word", np.zeros(n, dtype=np.int16)),
            "valid": ("word", np.ones(n, dtype=np.int8)),
            "channel": [f"LB{k}" for k in range(channels)],
        },
    )
    embeddings = xr.Dataset(
        {"embedding": (("layer", "sample", "feature"), X.astype(np.float32))},
        coords={"layer": list(layers), "word_index": ("sample", np.arange(n))},
        attrs={"unit": "word"},
    )
    return words, target, embeddings


def fit_words(words, target, embeddings, **changes):
    analysis = settings(**(WORDS | {"split": "leave-one-word-out"} | changes))
    samples = word_samples(embeddings, words, target, analysis)
    return fit_analysis(
        samples,
        analysis=analysis,
        layers=layer_numbers(embeddings, "all"),
        seed=1,
        names=("sub-01", "words"),
    )


@pytest.mark.parametrize("null_penalties", ["chosen", "kept"])
def test_words_are_recreated_by_their_layer_and_beat_their_permutations(null_penalties):
    words, target, embeddings = word_world()
    fit = fit_words(words, target, embeddings, permutations=49, null_penalties=null_penalties)
    assert (fit.r.sel(layer=3).values > 0.6).all()
    np.testing.assert_allclose(fit.p.sel(layer=3), 0.02)
    assert fit.sizes["fold"] == 40
    assert float(fit.pcc_across_channels[1]) > float(fit.pcc_shuffled[1])


@pytest.mark.parametrize(
    "changes", [{}, {"components": 0.8}, {"estimator": "elastic-net", "alphas": [0.01, 0.3, 1.0]}]
)
def test_a_surrogate_that_chooses_anew_is_the_fit_of_its_permuted_words(changes):
    words, target, embeddings = word_world(n=24, channels=3, layers=(3,))
    same = {"split": "contiguous", "folds": 4, "gap": 0.0, "null_penalties": "chosen"} | changes
    fit = fit_words(words, target, embeddings, permutations=3, **same)
    assert fit.attrs["null_penalties_used"] == "chosen"
    own = nulls.seed_from(1, "sub-01", "words", "null")
    orders = word_permutations(np.zeros(24, dtype=int), count=3, block=1, seed=own)
    for k, order in enumerate(orders):
        moved = target.copy(data={"target": target.target.values[order]})
        expected = fit_words(words, moved, embeddings, **same).r.values
        np.testing.assert_allclose(fit.null_r[k], expected, atol=1e-6)


def test_folds_with_different_numbers_of_components_have_one_kind_of_surrogates(monkeypatch):
    words, target, embeddings = word_world(n=24, p=60, channels=3, layers=(3,))
    same = {"split": "contiguous", "folds": 4, "gap": 0.0, "components": 0.8, "permutations": 3}
    kept = fit_words(words, target, embeddings, null_penalties="kept", **same)
    chosen = fit_words(words, target, embeddings, null_penalties="chosen", **same)
    # A fold's components decide what choosing anew would cost: here the limit lies between folds.
    costs = chain([1.0, 1.0], repeat(1e99))
    monkeypatch.setattr(cost, "choosing_operations", lambda size: (next(costs),) * 2)
    fit = fit_words(words, target, embeddings, **same)
    np.testing.assert_array_equal(fit.null_r, chosen.null_r)
    costs = chain([1e99, 1e99], repeat(1.0))
    fit = fit_words(words, target, embeddings, **same)
    np.testing.assert_array_equal(fit.null_r, kept.null_r)


def test_words_without_embedding_or_window_are_left_out():
    words, target, embeddings = word_world()
    embeddings.embedding[:, 4] = np.nan
    target["valid"][9] = 0
    target["target"][9] = np.nan
    fit = fit_words(words, target, embeddings.isel(sample=slice(0, 39)))
    assert fit.word_index.values.tolist() == [k for k in range(39) if k not in (4, 9)]
    assert fit.attrs["samples_without_features"] == 2


def test_the_study_preset_on_small_embeddings_is_its_intercept():
    words, target, embeddings = word_world()
    embeddings["embedding"] = embeddings.embedding * 0.01
    fit = fit_words(
        words, target, embeddings, estimator="elastic-net", alpha=1.0, standardize=False
    )
    assert (fit.intercept_only.values == 1).all() and np.isnan(fit.r).all()
    np.testing.assert_allclose(fit.skill, 0, atol=1e-12)
    assert float(fit.pcc_across_channels[0]) == pytest.approx(float(fit.pcc_mean_predictor))


def test_a_fixed_elastic_net_tests_the_last_layer_alone():
    words, target, embeddings = word_world(layers=(0, 3, 5))
    preset = {"estimator": "elastic-net", "alpha": 0.05, "standardize": False, "permutations": 19}
    fit = fit_words(words, target, embeddings, **preset)
    assert (fit.chosen_layer == 5).all()
    assert np.isfinite(fit.r).all()
    np.testing.assert_allclose(fit.p.sel(layer=5), 0.05)
    assert np.isnan(fit.p.sel(layer=[0, 3])).all()
    assert np.isfinite(fit.null_r.sel(layer=5)).all()
    # Where the last layer is fitted by another job, this one tests none.
    analysis = settings(**WORDS, split="leave-one-word-out", **preset)
    samples = word_samples(embeddings, words, target, analysis)
    part = fit_analysis(
        samples, analysis=analysis, layers=[0, 3], last_layer=5, seed=1, names=("sub-01", "words")
    )
    assert part.null_r.shape == (19, 2, 5)
    assert np.isnan(part.null_r).all() and np.isnan(part.p).all()
    np.testing.assert_allclose(part.r, fit.r.sel(layer=[0, 3]))


def test_the_mean_predicts_the_training_mean():
    words, target, embeddings = word_world()
    fit = fit_words(words, target, embeddings, estimator="mean", permutations=5)
    values = target.target.values
    np.testing.assert_allclose(fit.prediction, (values.sum(0) - values) / 39, rtol=1e-6)
    assert "null_r" not in fit and np.isnan(fit.p).all()


def test_components_equal_scikit_learn_s():
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(0)
    for shape in ((30, 80), (80, 30)):
        X = rng.standard_normal(shape) @ np.diag(np.linspace(3, 0.1, shape[1]))
        rows = np.arange(5, shape[0])
        for components in (4, 0.9):
            reference = PCA(components, svd_solver="full").fit(X[rows])
            expected = reference.transform(X)
            found = principal_components(X, rows, components)
            assert found.shape == expected.shape
            np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-9)


def test_components_are_fitted_without_the_held_out_words():
    words, target, embeddings = word_world(n=20, p=60)
    fit = fit_words(words, target, embeddings, components=0.9, permutations=9)
    outlier = embeddings.copy(deep=True)
    outlier.embedding[:, 6] *= 1000
    moved = fit_words(words, target, outlier, components=0.9)
    # The held-out word's own features are no part of the fit that predicts it.
    np.testing.assert_array_equal(fit.alpha[:, 6], moved.alpha[:, 6])
    np.testing.assert_allclose(fit.inner_score[:, 6], moved.inner_score[:, 6], atol=1e-9)
    everywhere = fit_words(words, target, outlier, components=0.9, components_fit="all")
    assert not np.allclose(everywhere.inner_score[:, 6], moved.inner_score[:, 6])


def test_frames_paint_words_from_voice_onset_to_offset():
    neural, _ = frame_world(seconds=30)
    words, _, embeddings = word_world(n=8)
    analysis = settings()
    samples = frame_samples(embeddings, words, neural, analysis)
    values = samples.features(3)
    time = neural.time.values
    inside = (time >= 4.5) & (time < 5.2)  # word 1: prompt at 4 s, voice from 4.5 to 5.2 s
    np.testing.assert_allclose(
        values[inside], np.tile(embeddings.embedding[1, 1], (inside.sum(), 1))
    )
    assert (values[(time >= 4.0) & (time < 4.5)] == 0).all()
    assert (values[(time >= 1.0) & (time < 3.0)] == embeddings.embedding[1, 0].values).all()


def test_the_voice_s_share_of_a_window_is_the_overlap_of_the_two():
    words = word_table(3)  # prompts at 1, 4, 7 s, voices from half a second later to 1.2 s later
    start, segment = words["onset"].to_numpy(), np.zeros(3, dtype=int)
    shares = voiced_shares(words, start, start + 1.0, segment)
    for k, lag in enumerate(VOICE_LAGS_S):
        for word in (1, 2):
            grid = start[word] - lag + (np.arange(10_000) + 0.5) / 10_000
            voiced = ((grid >= start[word] + 0.5) & (grid < start[word] + 1.2)).mean()
            assert shares[word, k] == pytest.approx(voiced, abs=1e-3)
    # A voice that was not found lasts as long as the prompt.
    assert shares[0, 0] == 1.0


def test_unknown_settings_and_layers_are_answered_with_what_was_meant():
    with pytest.raises(InputError, match="did you mean 'folds'"):
        analysis_from({"unit": "frame", "fold": 3})
    with pytest.raises(InputError, match="did you mean 'ridge'"):
        analysis_from({"unit": "frame", "estimator": "rigde"})
    with pytest.raises(InputError, match="lags: lags are for `unit: frame`"):
        analysis_from({"unit": "word", "lags": [0, 0.1]})
    _, _, embeddings = word_world()
    with pytest.raises(InputError, match="layer 5 is not among the 2 layers"):
        layer_numbers(embeddings, [5])
    assert layer_numbers(embeddings, "last") == [3]


def test_the_same_seed_gives_the_same_numbers():
    words, target, embeddings = word_world()
    first = fit_words(words, target, embeddings, permutations=9)
    assert first.identical(fit_words(words, target, embeddings, permutations=9))


def test_a_ridge_job_does_not_import_what_it_does_not_use():
    import subprocess
    import sys

    code = (
        "import sys, highgamma.encoding.fit, highgamma.encoding.samples\n"
        "heavy = {'torch', 'transformers', 'mne', 'sklearn', 'matplotlib', 'scipy.signal'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_samples_that_nothing_can_be_fitted_to_are_refused():
    neural, embeddings = frame_world(seconds=30)
    nothing = embeddings.assign(embedding=embeddings["embedding"] * np.nan)
    with pytest.raises(InputError, match="no sample has both features and a signal"):
        fit_frames(neural, nothing)
    silent = neural.assign(high_gamma=neural["high_gamma"] * np.nan)
    with pytest.raises(InputError, match="no channel has a signal in the usable samples"):
        fit_frames(silent, embeddings)
    holes = embeddings.copy(deep=True)
    holes["embedding"].values[1, 600:700] = np.nan
    with pytest.raises(InputError, match="layer 7 lacks features where layer 0 has them"):
        fit_frames(neural, holes)
    with pytest.raises(InputError, match="no layer was selected for the fit"):
        fit_frames(neural, embeddings, layers=[])
    trials = embeddings.assign_attrs(unit="trial-frame")
    with pytest.raises(InputError, match="the embeddings were made trial by trial"):
        fit_frames(neural, trials)
