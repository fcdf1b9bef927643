"""The gain over nuisances and controls, against plain loops and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import scipy.signal
import scipy.stats

from highgamma import gain, store
from highgamma.errors import InputError


def predictions(observed, predicted, *, folds=5):
    n, channels = observed.shape
    return gain.Predictions(
        channels=[f"LA{k}" for k in range(channels)],
        key=np.arange(n),
        segment=np.zeros(n, dtype=np.int64),
        apart=5,
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


def by_loops(observed, with_model, without, *, segment, fold, apart):
    """Gain and p of one electrode, from shifts that are made one by one."""
    d, u = with_model - without, observed - (with_model + without) / 2
    parts = [np.flatnonzero(segment == number) for number in np.unique(segment)]
    for rows in parts:
        d[rows] -= d[rows].mean()
        u[rows] -= u[rows].mean()
    line = scipy.stats.linregress(d, u)
    rest = u - line.slope * d
    variance = 0.0
    for rows in parts:
        shifts = range(apart, len(rows) - apart + 1)
        variance += np.mean([(np.roll(rest[rows], -k) @ d[rows]) ** 2 for k in shifts])
    n = (rest @ rest) * (d @ d) / variance
    folds = len(set(fold))
    t = line.rvalue * np.sqrt((n - 2) / (1 - line.rvalue**2) / (1 + folds / (folds - 1)))
    skill = [1 - ((observed - part) ** 2).sum() / (observed**2).sum()
             for part in (with_model, without)]  # fmt: skip
    return skill[0] - skill[1], scipy.stats.t(n - 2).sf(t)


def test_p_is_that_of_a_correlation_with_effective_samples():
    rng = np.random.default_rng(2)
    observed = np.cumsum(rng.standard_normal((120, 4)), axis=0)
    with_model = 0.3 * observed + rng.standard_normal((120, 4))
    without = 0.1 * rng.standard_normal((120, 4))
    options = {"segment": np.arange(120) // 70, "fold": np.arange(120) // 24, "apart": 6}
    found, p = gain.gain_and_p(observed, with_model, without, **options)
    for k in range(4):
        columns = (part[:, k].copy() for part in (observed, with_model, without))
        expected = by_loops(*columns, **options)
        assert (found[k], p[k]) == pytest.approx(expected, rel=1e-9)


def ar(n, channels, coefficient, rng):
    drawn = rng.standard_normal((n, channels))
    return scipy.signal.lfilter([1], [1, -coefficient], drawn, axis=0)


@pytest.mark.parametrize(("one", "other"), [(0.0, 0.0), (0.8, 0.8), (0.9, -0.5)])
def test_effective_samples_are_those_of_bartlett(one, other):
    """n (1 − ab) / (1 + ab) for two autoregressive series (Bartlett 1946)."""
    rng, segment = np.random.default_rng(3), np.zeros(4000, dtype=int)
    pair = (gain.within(ar(4000, 50, c, rng), segment) for c in (one, other))
    n = gain.effective_samples(*pair, segment=segment, apart=100)
    expected = 4000 * (1 - one * other) / (1 + one * other)
    assert np.median(n) == pytest.approx(expected, rel=0.08)


def held_out(features, observed, fold, penalty):
    """Held-out predictions of a plain ridge."""
    predicted = np.empty(observed.shape)
    for k in np.unique(fold):
        X, Y = features[fold != k], observed[fold != k]
        gram = X.T @ X + penalty * np.eye(X.shape[1])
        predicted[fold == k] = features[fold == k] @ np.linalg.solve(gram, X.T @ Y)
    return predicted


@pytest.mark.parametrize("penalty", [1.0, 100.0, 1000.0])
def test_what_a_fit_makes_of_noise_is_no_gain(penalty):
    """Folds share their training samples: a correlation by itself is significant far too often."""
    rng = np.random.default_rng(4)
    fold, segment = np.arange(600) // 60, np.zeros(600, dtype=int)
    observed = ar(600, 2000, 0.5, rng)
    predicted = held_out(ar(600, 30, 0.5, rng), observed, fold, penalty)
    nothing = np.zeros(observed.shape)
    found, p = gain.gain_and_p(observed, predicted, nothing, segment=segment, fold=fold, apart=50)
    assert (p <= 0.05).mean() <= 0.06
    if penalty == 1000.0:
        better = zip(observed.T[found > 0], predicted.T[found > 0], strict=True)
        naive = [scipy.stats.pearsonr(a, b).pvalue / 2 for a, b in better]
        assert np.sum(np.array(naive) <= 0.05) / 2000 > 0.1


def test_few_samples_and_constant_signals_are_not_tested():
    observed = np.random.default_rng(3).standard_normal((60, 2))
    observed[:, 1] = 0.0
    same = observed * 0.1
    options = {"segment": np.zeros(60, dtype=int), "fold": np.arange(60) // 20, "apart": 5}
    found, p = gain.gain_and_p(observed, same, same, **options)
    assert p[0] == 1.0 and np.isnan(found[1]) and np.isnan(p[1])
    turn = 2 * np.pi * np.arange(60)[:, None] / 60
    _, few = gain.gain_and_p(np.cos(turn), np.cos(turn + 0.5), 0 * turn, **options)
    assert np.isnan(few).all()


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


def test_together_a_model_has_to_gain_over_nuisances_each_control_and_all():
    fits = world(8, speech=0.5, meaning=0.2)
    rng = np.random.default_rng(8)
    observed = fits["model"].observed
    # A control that holds nothing makes the prediction from all controls worse.
    fits["idle"] = predictions(observed, rng.standard_normal(observed.shape))
    table = gain.gains(fits, nuisances=["nuisances"], controls=["control", "idle"])
    rows = table[table["model"] == "model"].set_index(["channel", "against"])
    apart = rows.drop(index="together", level="against").groupby("channel")
    together = rows.xs("together", level="against").sort_index()
    assert (together["gain"] <= apart["gain"].min() + 1e-12).all()
    assert (together["p"] >= apart["p"].max() - 1e-12).all()
    both = gain.stacked(
        [fits[name].predicted for name in ("nuisances", "control", "idle")],
        observed, fits["model"].fold,
    )  # fmt: skip
    with_model = gain.stacked(
        [fits[name].predicted for name in ("model", "nuisances")], observed, fits["model"].fold
    )
    of_all, p_of_all = gain.gain_and_p(
        observed, with_model, both,
        segment=fits["model"].segment, fold=fits["model"].fold, apart=5,
    )  # fmt: skip
    for k, name in enumerate(fits["model"].channels):
        assert together["gain"][name] == pytest.approx(min(apart["gain"].min()[name], of_all[k]))
        assert together["p"][name] == pytest.approx(max(apart["p"].max()[name], p_of_all[k]))


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
    assert read.segment.tolist() == [0] * 12 and read.apart == gain.APART_WORDS


def test_frames_are_shifted_by_seconds(tmp_path):
    rng = np.random.default_rng(9)
    score_file(
        tmp_path / "mel/0.nc", layers=[0], inner=np.ones((1, 3, 2)), mean=np.zeros((3, 2)),
        prediction=rng.standard_normal((12, 2)), observed=rng.standard_normal((12, 2)),
        unit="frame",
    )  # fmt: skip
    assert gain.read_fits([tmp_path / "mel/0.nc"])["mel"].apart == round(gain.APART_S / 0.01)


def test_a_file_without_predictions_is_named(tmp_path):
    import xarray as xr

    path = tmp_path / "gpt2/00.nc"
    store.write_dataset(xr.Dataset({"r": ("channel", [0.1])}), path, stage="x", parameters={})
    with pytest.raises(
        InputError, match="the score file lacks inner_score, prediction, training_mean, observed"
    ):
        gain.read_fits([path])
