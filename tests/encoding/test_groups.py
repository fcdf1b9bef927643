"""Channels that lack different samples are fitted on their own, and cost the others nothing."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import xarray as xr

from highgamma import summary
from highgamma.encoding.analysis import analysis_from
from highgamma.encoding.fit import fit_analysis
from highgamma.encoding.groups import MOST_GROUPS, target_groups
from highgamma.encoding.samples import Samples
from highgamma.encoding.splits import Rows
from highgamma.store import write_dataset
from highgamma.summary.fits import summarise_fit


def world(n, t, *, unit, seed=0, rate=50.0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 5))
    Y = X @ rng.standard_normal((5, t)) + 2 * rng.standard_normal((n, t)) + 10
    if unit == "frame":
        time = np.arange(n) / rate
        rows = Rows(time, time, np.zeros(n, int), np.full(n, -1), np.full(n, -1))
    else:
        start = 3.0 * np.arange(n)
        rows = Rows(start, start + 1, np.zeros(n, int), np.arange(n), np.arange(n))
    return Samples(
        unit=unit,
        targets=Y,
        features=lambda layer: X * (1 + layer),
        rows=rows,
        usable=np.ones(n, bool),
        rate=rate if unit == "frame" else 0.0,
        reach=0.0,
        channels={"channel": xr.Variable("channel", [f"A{i}" for i in range(t)])},
    )


def fitted(samples, **changes):
    settings = {"unit": samples.unit, "alphas": [1.0, 100.0], "permutations": 19} | changes
    if samples.unit == "frame":
        settings |= {"folds": 5}
    else:
        settings |= {"surrogates": "permutation", "drift": None}
    analysis = analysis_from(settings)
    return fit_analysis(samples, analysis=analysis, layers=[0, 1], seed=1, names=("sub-01", "a"))


def with_targets(samples, targets):
    from dataclasses import replace

    return replace(samples, targets=targets)


# ------------------------------------------------------------------------------- the groups


def test_small_gaps_share_a_group_and_half_a_channel_has_one_of_its_own():
    missing = np.zeros((1000, 6), bool)
    missing[10:20, 1] = missing[500:530, 2] = True
    missing[:450, 3] = missing[5:455, 4] = True
    missing[:600, 5] = True
    groups, aside = target_groups(missing)
    assert [g.tolist() for g in groups] == [[0, 1, 2, 5], [3, 4]]
    assert len(aside) == 0


def test_no_channel_loses_more_than_a_tenth_to_the_gaps_of_others():
    rng = np.random.default_rng(0)
    missing = np.repeat(rng.random((50, 40)) < rng.uniform(0, 0.3, 40), 20, axis=0)
    groups, aside = target_groups(missing)
    assert len(groups) <= MOST_GROUPS
    assert sorted(np.concatenate([*groups, aside]).tolist()) == list(range(40))
    for group in groups:
        union = missing[:, group].any(axis=1).sum()
        assert union - missing[:, group].sum(axis=0).min() <= 100


def test_without_gaps_there_is_one_group():
    groups, aside = target_groups(np.zeros((10, 3), bool))
    assert [g.tolist() for g in groups] == [[0, 1, 2]] and len(aside) == 0


# ------------------------------------------------------------------------------- the fits


def test_half_a_channel_missing_costs_the_others_no_sample():
    whole = world(3000, 4, unit="frame")
    targets = whole.targets.copy()
    targets[:1400, 2] = np.nan
    fit = fitted(with_targets(whole, targets))
    # The others' results are those of a fit in which the channel does not take part.
    alone = whole.targets.copy()
    alone[:, 2] = np.nan
    others = fitted(with_targets(whole, alone))
    for name in ("r", "skill", "p", "null_r", "fold_syf", "prediction", "chosen_layer"):
        expected = others[name].values[..., [0, 1, 3]]
        assert np.array_equal(fit[name].values[..., [0, 1, 3]], expected), name
    assert fit.sizes["sample"] == others.sizes["sample"] == 3000
    assert np.array_equal(fit.fold_of_sample, others.fold_of_sample)
    # The channel's own results are those of its samples.
    prediction, observed = fit.prediction.values[:, 2], fit.observed.values[:, 2]
    assert np.isnan(prediction[:1400]).all() and np.isfinite(prediction[1400:]).all()
    assert np.isnan(observed[:1400]).all()
    assert np.corrcoef(prediction[1400:], observed[1400:])[0, 1] > 0.3
    assert fit.fold_n.dims == ("fold", "channel")
    assert fit.fold_n.values[:, 2].tolist() == [0, 0, 400, 600, 600]
    assert fit.fold_n.values[:, 0].tolist() == [600] * 5
    assert fit.attrs["target_groups"] == 2
    assert list(fit.fold_label.values) == list(others.fold_label.values)


def test_a_channel_that_lacks_words_is_a_fit_to_the_words_it_has():
    whole = world(60, 3, unit="word")
    lacking = np.arange(5, 30)
    targets = whole.targets.copy()
    targets[lacking, 1] = np.nan
    fit = fitted(with_targets(whole, targets), split="leave-one-word-out", permutations=0)
    kept = np.setdiff1d(np.arange(60), lacking)
    own = whole.targets.copy()
    own[:, [0, 2]] = np.nan
    own[lacking] = np.nan
    expected = fitted(with_targets(whole, own), split="leave-one-word-out", permutations=0)
    assert np.allclose(fit.r.values[:, 1], expected.r.values[:, 1])
    assert np.allclose(fit.prediction.values[kept, 1], expected.prediction.values[:, 1])
    assert fit.sizes["fold"] == 60
    assert np.array_equal(fit.fold_n.values[:, 1] == 0, np.isin(np.arange(60), lacking))


@pytest.mark.parametrize("unit", ["frame", "word"])
def test_tables_read_joined_groups(tmp_path, unit):
    samples = world(2000 if unit == "frame" else 80, 4, unit=unit)
    samples.targets[: len(samples.targets) * 2 // 5, 2] = np.nan
    split = "contiguous" if unit == "frame" else "leave-one-word-out"
    fit = fitted(samples, split=split)
    path = tmp_path / "scores/a/sub-01/m/00-01.nc"
    write_dataset(fit, path, stage="encoding", parameters={})
    (read,) = summary.read_fits([path])
    found = summarise_fit(read)
    assert found.n_samples == len(samples.targets)
    assert np.isfinite(found.r).all()
    # Layers differ by a factor only: whichever is chosen has the same r.
    assert np.allclose(found.r, fit.r.values[0], atol=0.02)
    assert np.isfinite(found.p).all()


def test_channels_that_fit_into_no_group_are_set_aside_and_named(caplog):
    samples = world(1000, 12, unit="frame")
    rng = np.random.default_rng(0)
    for channel in range(1, 12):
        gaps = np.repeat(rng.random(20) < 0.35, 50)
        samples.targets[gaps, channel] = np.nan
    with caplog.at_level(logging.WARNING, logger="highgamma"):
        fit = fitted(samples, permutations=0)
    aside = int(fit.attrs["channels_set_aside"])
    assert aside == np.isnan(fit.r.values[0]).sum() > 0
    assert f"{aside} channels are set aside" in caplog.text
