"""The gain over nuisances and controls, against plain loops and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from highgamma import gain, store
from highgamma.errors import InputError


def predictions(observed, predicted, *, folds=5, block=10):
    n, channels = observed.shape
    return gain.Predictions(
        channels=[f"LA{k}" for k in range(channels)],
        key=np.arange(n),
        block=np.arange(n) // block,
        fold=np.arange(n) * folds // n,
        observed=observed,
        predicted=predicted,
    )


@pytest.mark.parametrize("k", [1, 2, 4])
def test_weights_are_those_of_scipy_s_bounded_least_squares(k):
    rng = np.random.default_rng(k)
    for _ in range(40):
        A, b = rng.standard_normal((12, k)), 2 * rng.standard_normal(12)
        expected = scipy.optimize.lsq_linear(A, b, bounds=(0, 1), method="bvls").x
        found = gain.bounded_weights((A.T @ A)[None], (A.T @ b)[None])[0]
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_prediction_of_nothing_has_no_weight():
    parts = np.zeros((2, 2, 2))
    parts[:, 0, 0] = 4.0
    weights = gain.bounded_weights(parts, np.array([[2.0, 0.0], [-2.0, 0.0]]))
    np.testing.assert_allclose(weights, [[0.5, 0], [0, 0]], atol=1e-8)


def test_twins_share_their_weight():
    A = np.random.default_rng(0).standard_normal((20, 1))
    twins = np.concatenate([A, A], axis=1)
    weights = gain.bounded_weights((twins.T @ twins)[None], (twins.T @ (1.5 * A))[None, :, 0])
    assert weights.sum() == pytest.approx(1.5, abs=1e-5)


def test_stacked_predictions_take_their_weights_from_the_other_folds():
    rng = np.random.default_rng(1)
    observed = rng.standard_normal((60, 3))
    parts = [observed * w + rng.standard_normal((60, 3)) for w in (0.5, -0.4, 1.0)]
    fold = rng.integers(0, 4, 60)
    found = gain.stacked(parts, observed, fold)
    for number in range(4):
        out = fold == number
        for t in range(3):
            A = np.stack([part[~out, t] for part in parts], axis=1)
            weights = scipy.optimize.lsq_linear(A, observed[~out, t], bounds=(0, 1)).x
            expected = np.stack([part[out, t] for part in parts], axis=1) @ weights
            np.testing.assert_allclose(found[out, t], expected, atol=1e-4)


def test_sums_over_groups_are_those_of_a_plain_loop():
    rng = np.random.default_rng(8)
    values, group = rng.standard_normal((50, 3)), rng.choice([-1, 3, 4, 10**12], 50)
    sums = gain.group_sums(values, group)
    for row, number in zip(sums, sorted(set(group)), strict=True):
        expected = [sum(v[k] for v, g in zip(values, group, strict=True) if g == number)
                    for k in range(3)]  # fmt: skip
        np.testing.assert_allclose(row, expected)


def test_p_is_the_larger_of_two_t_tests():
    rng = np.random.default_rng(2)
    observed = rng.standard_normal((120, 4))
    with_model, without = observed * 0.3, rng.standard_normal((120, 4)) * 0.1
    block, fold = np.arange(120) // 8, np.arange(120) // 24
    found, p, n_blocks = gain.gain_and_p(observed, with_model, without, block=block, fold=fold)
    difference = (observed - without) ** 2 - (observed - with_model) ** 2
    np.testing.assert_allclose(found, difference.sum(0) / (observed**2).sum(0))
    expected = [
        scipy.stats.ttest_1samp(
            [difference[group == g].sum(0) for g in np.unique(group)], 0, alternative="greater"
        ).pvalue
        for group in (block, fold)
    ]
    np.testing.assert_allclose(p, np.maximum(*expected))
    assert n_blocks == 15


def test_few_blocks_and_constant_signals_are_not_tested():
    observed = np.random.default_rng(3).standard_normal((60, 2))
    observed[:, 1] = 0.0
    same = observed * 0.1
    few = gain.gain_and_p(
        observed, observed * 0.2, same, block=np.arange(60) // 10, fold=np.arange(60) // 20
    )
    assert np.isnan(few[1]).all()
    many = gain.gain_and_p(observed, same, same, block=np.arange(60) // 5, fold=np.arange(60) // 20)
    assert many[1][0] == 1.0 and np.isnan(many[0][1]) and np.isnan(many[1][1])


def world(seed, *, n=400, channels=50, **share):
    """Predictions of a model, a control and nuisances; each is a signal with noise of its own."""
    rng = np.random.default_rng(seed)
    hidden = {name: rng.standard_normal((n, channels)) for name in ("speech", "sound", "meaning")}
    observed = sum(share.get(k, 0.0) * v for k, v in hidden.items()) + rng.standard_normal(
        (n, channels)
    )

    def proxy(noise, **parts):
        drawn = noise * rng.standard_normal((n, channels))
        return predictions(observed, sum(w * hidden[k] for k, w in parts.items()) + drawn)

    return {
        "model": proxy(0.2, speech=0.4, meaning=0.4),
        "control": proxy(0.2, speech=0.4, sound=0.3),
        "nuisances": proxy(0.05, speech=0.4),
    }


def significant(fits, against="together", **options):
    settings = {"nuisances": ["nuisances"], "controls": ["control"]} | options
    table = gain.gains(fits, **settings)
    rows = table[(table["model"] == "model") & (table["against"] == against)]
    return float((rows["p"] <= 0.05).mean())


def test_what_nuisances_explain_is_no_gain_and_what_they_do_not_is():
    assert significant(world(0, speech=0.5)) <= 0.1
    assert significant(world(1)) <= 0.1
    assert significant(world(2, speech=0.5, meaning=0.5)) > 0.9
    # What an electrode has in common with the nuisances does not hide what it has of meaning.
    assert significant(world(3, speech=2.0, meaning=0.5)) > 0.5


def test_one_of_two_equal_proxies_gains_nothing():
    rng = np.random.default_rng(4)
    sound = rng.standard_normal((400, 200))
    observed = sound + rng.standard_normal((400, 200))

    def proxy():
        return predictions(observed, 0.5 * sound + 0.2 * rng.standard_normal((400, 200)))

    fits = {"model": proxy(), "control": proxy(), "nuisances": predictions(observed, 0 * observed)}
    assert significant(fits) <= 0.07


def test_samples_and_channels_that_not_all_have_are_left_out():
    fits = world(5, meaning=0.5)
    whole = gain.gains(fits, nuisances=["nuisances"], controls=["control"])
    everyone = np.random.default_rng(0).permutation(400)
    shorter = dict(fits)
    shorter["control"] = fits["control"].take(everyone[:390], fits["control"].channels[::-1][:40])
    table = gain.gains(shorter, nuisances=["nuisances"], controls=["control"])
    assert set(table["channel"][table["model"] == "model"]) == set(shorter["control"].channels)
    kept = np.sort(everyone[:390])
    expected = gain.gains(
        {name: fit.take(kept, fit.channels[10:]) for name, fit in fits.items()},
        nuisances=["nuisances"], controls=["control"],
    )  # fmt: skip
    both = table.merge(expected, on=["model", "channel", "against"])
    np.testing.assert_allclose(both["gain_x"], both["gain_y"])
    assert len(whole) > len(table)


def test_controls_are_compared_with_the_nuisances_and_nuisances_with_nothing():
    table = gain.gains(world(6), nuisances=["nuisances"], controls=["control"])
    compared = table.groupby("model")["against"].unique().map(sorted).to_dict()
    assert compared == {
        "control": ["nuisances", "together"],
        "model": ["control", "nuisances", "together"],
    }
    missing = gain.gains(
        world(6), nuisances=["nuisances"], controls=["control"], expected=["nuisances", "absent"]
    )
    assert "together" not in set(missing["against"])
    alone = gain.gains({"model": world(6)["model"]}, nuisances=[], controls=[])
    assert list(alone.columns) == list(gain.COLUMNS) and alone.empty


def score_file(path, *, layers, inner, prediction, observed, mean, unit="word"):
    import xarray as xr

    n, folds = len(observed), inner.shape[1]
    dataset = xr.Dataset(
        {
            "inner_score": (("layer", "fold", "channel"), inner),
            "prediction": (("sample", "channel"), prediction),
            "observed": (("sample", "channel"), observed),
            "training_mean": (("fold", "channel"), mean),
        },
        coords={
            "layer": layers,
            "channel": ["LA1", "LA2"],
            "fold_of_sample": ("sample", np.arange(n) * folds // n),
            "segment": ("sample", np.zeros(n, dtype=np.int16)),
            "time": ("sample", 0.01 * np.arange(n)),
            "word_index": ("sample", np.arange(n)),
        },
        attrs={"unit": unit},
    )
    store.write_dataset(dataset, path, stage="encoding", parameters={})


def test_the_prediction_is_that_of_the_batch_with_the_best_inner_score(tmp_path):
    rng = np.random.default_rng(7)
    observed, mean = rng.standard_normal((12, 2)), rng.standard_normal((3, 2))
    first, second = rng.standard_normal((2, 12, 2))
    inner = rng.uniform(size=(4, 3, 2))
    files = []
    for layers, prediction in (([0, 1], first), ([2, 3], second)):
        files.append(tmp_path / f"gpt2/{layers[0]}.nc")
        score_file(
            files[-1], layers=layers, inner=inner[layers], prediction=prediction,
            observed=observed, mean=mean,
        )  # fmt: skip
    read = gain.read_fits(files)["gpt2"]
    fold = np.arange(12) // 4
    for i in range(12):
        for c in range(2):
            better = second if inner[2:, fold[i], c].max() > inner[:2, fold[i], c].max() else first
            assert read.predicted[i, c] == pytest.approx(better[i, c] - mean[fold[i], c])
    np.testing.assert_allclose(read.observed, observed - mean[fold])
    assert read.block.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_a_file_without_predictions_is_named(tmp_path):
    import xarray as xr

    path = tmp_path / "gpt2/00.nc"
    store.write_dataset(xr.Dataset({"r": ("channel", [0.1])}), path, stage="x", parameters={})
    with pytest.raises(
        InputError, match="the score file lacks inner_score, prediction, training_mean, observed"
    ):
        gain.read_fits([path])
