from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import ElasticNet
from worlds import autocorrelated, frames, linear, loop_nested_ridge, words

from highgamma import scores
from highgamma.encoding import cost, nulls
from highgamma.encoding.analysis import analysis_from
from highgamma.encoding.estimators import ESTIMATORS, Task
from highgamma.encoding.fit import fit_analysis
from highgamma.encoding.kept_penalties import shifted_sums
from highgamma.encoding.samples import Samples
from highgamma.encoding.solvers.ridge import hat_rows, refit_ridge
from highgamma.encoding.splits import split_rows
from highgamma.encoding.statistics import block_statistics, table
from highgamma.encoding.surrogates import Reorderings, circular_shifts, word_permutations
from highgamma.errors import InputError


def added(split, sums):
    """Sums of one design as a null holds them."""
    null = nulls.Null(Reorderings.plain(np.empty((sums.shape[1], 0), dtype=int)))
    null.put(split, sums)
    return null.finish()


def refitted(X, Y, split, alpha, surrogates):
    expected = []
    for index in surrogates:
        fit = refit_ridge(table(X), Y[index], split, alpha)
        sums = scores.fold_sums(fit.prediction, fit.training_mean, Y[index], split)
        expected.append(scores.pooled_r(sums))
    return np.stack(expected)


@pytest.mark.parametrize("correlated", [False, True])
@pytest.mark.parametrize("segments", [1, 3])
def test_all_shifts_at_once_equal_fitting_each(correlated, segments):
    X, Y = linear(600, 15, 4, correlated=correlated)
    rows = frames(600, segments=segments)
    split = split_rows(rows, scheme="contiguous", folds=5, gap=0.1, step=0.01)
    rng = np.random.default_rng(0)
    alpha = rng.choice([0.1, 10.0, 1000.0], size=(5, 4))
    surrogates = circular_shifts(rows.segment, count=7, min_shift=20, seed=1)
    statistics = block_statistics(table(X), Y, split)
    sums = added(
        split, shifted_sums(statistics, alpha, Reorderings.plain(surrogates), standardize=True)
    )
    np.testing.assert_allclose(
        scores.pooled_r(sums), refitted(X, Y, split, alpha, surrogates), atol=2e-4
    )


@pytest.mark.parametrize("p", [5, 70])
def test_all_permutations_at_once_equal_fitting_each(p):
    X, Y = linear(40, p, 3)
    split = split_rows(words(40), scheme="leave-one-word-out")
    alpha = np.random.default_rng(0).choice([1.0, 100.0], size=(40, 3))
    surrogates = word_permutations(np.zeros(40, dtype=int), count=6, block=1, seed=1)
    maps = [hat_rows(table(X), split, i, alpha[i], standardize=True) for i in range(40)]
    sums = added(
        split,
        nulls.mapped_sums(
            lambda i, k: maps[i][alpha[i, k]], Y, split, Reorderings.plain(surrogates)
        ),
    )
    expected = refitted(X, Y, split, alpha, surrogates)
    np.testing.assert_allclose(scores.pooled_r(sums), expected, atol=1e-8)


def test_shifts_stay_within_segments_and_keep_the_order_and_the_minimum():
    segment = np.repeat([0, 1], [50, 80])
    index = circular_shifts(segment, count=20, min_shift=10, seed=0)
    for row in index:
        assert (segment[row] == segment).all()
        for number, n in ((0, 50), (1, 80)):
            own = row[segment == number]
            shift = (np.arange(len(segment))[segment == number] - own) % n
            assert len(set(shift)) == 1 and 10 <= shift[0] <= n - 10
    assert len({tuple(row[:50]) for row in index}) == 20


def test_a_segment_too_short_for_a_shift_is_named():
    with pytest.raises(InputError, match="segment 1 has 15 usable samples"):
        circular_shifts(np.repeat([0, 1], [50, 15]), count=3, min_shift=10, seed=0)


def test_blocks_of_words_move_together():
    index = word_permutations(np.zeros(11, dtype=int), count=5, block=3, seed=0)
    for row in index:
        assert sorted(row) == list(range(11))
        assert all(row[np.flatnonzero(row == k)[0] + 1] == k + 1 for k in (0, 1, 3, 4, 6, 7, 9))


def test_words_change_places_within_their_recording_only():
    segment = np.repeat([0, 1, 2], [7, 1, 5])
    index = word_permutations(segment, count=300, block=2, seed=0)
    for row in index:
        assert sorted(row) == list(range(13))
        np.testing.assert_array_equal(segment[row], segment)
    assert len({tuple(row[:7]) for row in index}) == 24  # orders of four runs
    with pytest.raises(InputError, match="2 usable words at most, in blocks of 2"):
        word_permutations(np.repeat([0, 1, 2], 2), count=3, block=2, seed=0)


def test_seeds_come_from_names_alone():
    # sha256("1\x1fsub-01"), first eight bytes, little-endian
    import hashlib

    expected = int.from_bytes(hashlib.sha256(b"1\x1fsub-01").digest()[:8], "little")
    assert nulls.seed_from(1, "sub-01") == expected


@pytest.mark.parametrize(("form", "p"), [("primal", 4), ("dual", 4), ("dual", 60)])
def test_surrogates_that_choose_their_penalty_go_through_the_whole_procedure(form, p, monkeypatch):
    X, Y = linear(45, p, 3, noise=2.0)
    rows = words(45)
    split = split_rows(rows, scheme="contiguous", folds=5, gap=0.0)
    alphas = (0.1, 10.0, 1000.0, 1e5)
    surrogates = word_permutations(np.zeros(45, dtype=int), count=5, block=1, seed=3)
    monkeypatch.setattr(cost, "choosing_form", lambda *_, **__: form)
    sums = gathered("ridge", X, Y, split, surrogates, alphas=alphas, null_penalties="chosen")
    for k, index in enumerate(surrogates):
        prediction, _, _ = loop_nested_ridge(X, Y[index], split, alphas)
        mean = np.stack([Y[index][fold.train].mean(0) for fold in split.folds])[split.block]
        for target in range(3):
            expected = np.corrcoef(
                Y[index][:, target] - mean[:, target], prediction[:, target] - mean[:, target]
            )[0, 1]
            assert scores.pooled_r(sums)[k, target] == pytest.approx(expected, abs=1e-8)


def gathered(estimator, X, Y, split, surrogates, **changes):
    """The null's sums as the estimator of this name gathers them."""
    chosen = ESTIMATORS[estimator]
    analysis = analysis_from(
        {"unit": "word", "estimator": estimator, "choose_by": "folds"} | changes
    )
    task = Task(design=table(X), targets=Y, split=split, analysis=analysis)
    prepared = chosen.prepared(task)
    null = chosen.null(Reorderings.plain(surrogates))
    null.add(task, prepared, chosen.nested(task, prepared))
    return null.finish()


def noise_run(*, electrodes, **changes):
    """What a user's run of frames says of electrodes that the features have nothing to do with."""
    n = 3000
    rows = frames(n)
    X, Y = (autocorrelated(n, k, seed=10 + k) for k in (8, electrodes))
    samples = Samples(
        unit="frame", targets=Y, features=lambda layer: X, rows=rows,
        usable=np.ones(n, dtype=bool), rate=100.0, reach=0.0,
        channels={"channel": ("channel", [f"LA{k}" for k in range(electrodes)])},
    )  # fmt: skip
    analysis = analysis_from(
        {
            "unit": "frame",
            "alphas": [1.0, 100.0, 1e4],
            "folds": 5,
            "permutations": 99,
            "min_shift": 1.0,
        }
        | changes
    )
    assert analysis.split == "contiguous"
    return fit_analysis(samples, analysis=analysis, layers=[0], seed=12, names=("sub-01", "frames"))


def test_unrelated_autocorrelated_noise_is_significant_as_often_as_chance_says():
    fit = noise_run(electrodes=1000)
    assert fit.attrs["null_penalties_used"] == "chosen"
    assert 0.03 <= (fit.p.values < 0.05).mean() <= 0.07


def test_penalties_kept_from_the_measured_signal_can_only_make_it_harder():
    fit = noise_run(electrodes=1000, null_penalties="kept")
    assert fit.attrs["null_penalties_used"] == "kept"
    assert (fit.p.values < 0.05).mean() <= 0.05


@pytest.mark.parametrize(("folds", "warned"), [(30, True), (10, False)])
def test_penalties_kept_over_many_folds_are_warned_of(folds, warned, caplog):
    X, Y = linear(30, 3, 2)
    split = split_rows(words(30), scheme="word", folds=folds)
    orders = word_permutations(np.zeros(30, dtype=int), count=3, block=1, seed=1)
    gathered("ridge", X, Y, split, orders, alphas=(1.0, 10.0), null_penalties="kept")
    assert ("null_penalties: chosen, or a split with fewer folds" in caplog.text) is warned


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_shifts_of_features_with_few_different_rows_equal_fitting_each(dtype):
    # Words painted on frames: the blocks' Gram matrices are singular.
    rng = np.random.default_rng(4)
    painted = np.repeat(rng.standard_normal((12, 30)), 50, axis=0)
    X = np.where((np.arange(600) % 50 < 20)[:, None], painted, 0.0)
    Y = rng.standard_normal((600, 4))
    rows = frames(600)
    split = split_rows(rows, scheme="contiguous", folds=5, gap=0.1, step=0.01)
    alpha = rng.choice([10.0, 1000.0], size=(5, 4))
    surrogates = circular_shifts(rows.segment, count=7, min_shift=20, seed=1)
    statistics = block_statistics(table(X), Y, split, dtype=dtype)
    sums = added(
        split, shifted_sums(statistics, alpha, Reorderings.plain(surrogates), standardize=True)
    )
    np.testing.assert_allclose(
        scores.pooled_r(sums), refitted(X, Y, split, alpha, surrogates), atol=2e-4
    )


def test_surrogates_fitted_side_by_side_equal_fitting_each(monkeypatch):
    X, Y = linear(30, 4, 3, noise=3.0)
    split = split_rows(words(30), scheme="leave-one-word-out")
    surrogates = word_permutations(np.zeros(30, dtype=int), count=5, block=1, seed=2)
    # Room for two surrogates at once: batches of two, two and one.
    monkeypatch.setattr(nulls, "BATCH_BYTES", 2 * 8 * 3 * (30 + 4 * 34))
    estimator, counts = ESTIMATORS["elastic-net"], []
    refit = type(estimator).refit

    def counting(self, task, chosen):
        counts.append(task.targets.shape[1] // 3)
        return refit(self, task, chosen)

    monkeypatch.setattr(type(estimator), "refit", counting)
    sums = gathered(
        "elastic-net", X, Y, split, surrogates, alpha=0.3, standardize=False, unit="word"
    )
    assert counts == [2, 2, 1]
    for k, index in enumerate(surrogates):
        for target in range(3):
            y, predicted, mean = Y[index][:, target], np.empty(30), np.empty(30)
            for fold in split.folds:
                model = ElasticNet(alpha=0.3, l1_ratio=0.5, tol=1e-12, max_iter=100_000)
                predicted[fold.test] = model.fit(X[fold.train], y[fold.train]).predict(X[fold.test])
                mean[fold.test] = y[fold.train].mean()
            expected = np.corrcoef(y - mean, predicted - mean)[0, 1]
            assert scores.pooled_r(sums)[k, target] == pytest.approx(expected, abs=1e-6)
