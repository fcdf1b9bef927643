"""The tables of a run: nested choice of the layer, significance, gain over controls, flags."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import xarray as xr

from highgamma import group, scores, store, summary
from highgamma.errors import InputError
from highgamma.summary.verdict import VERDICTS, Score, judge

COLUMNS = [
    *("analysis", "participant", "electrode", "x", "y", "z", "region", "model", "layer"),
    *("r", "skill", "p", "q", "gain", "contamination", "flags"),
]


# ----------------------------------------------------------------- score files as a fit writes them


def write_scores(
    root: Path,
    *,
    analysis: str,
    participant: str,
    model: str,
    layers: list[int],
    measured: np.ndarray,
    predicted: np.ndarray,
    inner: np.ndarray | None = None,
    n_folds: int = 5,
    permutations: int = 99,
    seed: int = 0,
    unit: str = "word",
    rate: float = 1.0,
    leaky: int = 0,
    distance_s: float = 0.5,
    batches: list[list[int]] | None = None,
    null_r: np.ndarray | None = None,
    lags: np.ndarray | None = None,
    lag_r: np.ndarray | None = None,
    chosen_lag: np.ndarray | None = None,
    coefficients: np.ndarray | None = None,
    names: list[str] | None = None,
    flat: list[int] | None = None,
    mean_r: np.ndarray | None = None,
    ceiling: np.ndarray | None = None,
    spaces: dict[str, dict[str, np.ndarray]] | None = None,
) -> list[Path]:
    """Write score files from measured (sample, channel) and predicted (layer, sample, channel).

    The predictions stand for those of held-out folds; folds are contiguous. Every number is
    computed here by plain formulas.
    """
    n, n_channels = measured.shape
    names = names or [f"LA{k + 1}" for k in range(n_channels)]
    rng = np.random.default_rng(seed)
    fold_of = np.minimum(np.arange(n) * n_folds // n, n_folds - 1)
    shape = (len(layers), n_folds, n_channels)
    sums = {k: np.zeros(shape) for k in ("sse", "sst", "sy", "sf", "syy", "sff", "syf", "r")}
    counts = np.zeros(n_folds)
    y0, f0 = np.zeros_like(measured), np.zeros_like(predicted)
    for k in range(n_folds):
        test = fold_of == k
        mean = measured[~test].mean(axis=0)
        counts[k] = test.sum()
        y0[test] = measured[test] - mean
        f0[:, test] = predicted[:, test] - mean
        y, f = y0[test], f0[:, test]
        sums["sse"][:, k] = ((y - f) ** 2).sum(axis=1)
        sums["sst"][:, k] = (y**2).sum(axis=0)
        sums["sy"][:, k] = y.sum(axis=0)
        sums["syy"][:, k] = (y**2).sum(axis=0)
        sums["sf"][:, k] = f.sum(axis=1)
        sums["sff"][:, k] = (f**2).sum(axis=1)
        sums["syf"][:, k] = (y * f).sum(axis=1)
        sums["r"][:, k] = correlation(np.broadcast_to(y, f.shape), f, axis=1)
    r = correlation(np.broadcast_to(y0, f0.shape), f0, axis=1)
    skill = 1 - sums["sse"].sum(axis=1) / np.where(
        sums["sst"].sum(axis=1) > 0, sums["sst"].sum(axis=1), np.nan
    )
    if inner is None:
        inner = np.repeat(skill[:, None], n_folds, axis=1) + rng.normal(0, 0.01, shape)
    if null_r is None:
        null_r = rng.normal(
            0, 1.5 / np.sqrt(n / rate**0.5), (permutations, len(layers), n_channels)
        )
    p = (1 + (null_r >= r).sum(axis=0)) / (permutations + 1)
    p = np.where(np.isfinite(r), p, np.nan) if permutations else np.full(r.shape, np.nan)
    mean_predictor = measured - y0
    written = []
    for batch in batches or [layers]:
        rows = [layers.index(layer) for layer in batch]
        best = np.argmax(np.nan_to_num(inner[rows], nan=-9), axis=0)
        chosen = np.array(batch)[best]
        prediction = np.zeros_like(measured)
        for k in range(n_folds):
            for c in range(n_channels):
                prediction[fold_of == k, c] = predicted[rows[best[k, c]], fold_of == k, c]
        shuffled = predicted[:, rng.permutation(n)]
        data = {
            "r": (("layer", "channel"), r[rows]),
            "skill": (("layer", "channel"), skill[rows]),
            "p": (("layer", "channel"), p[rows]),
            "null_r": (("permutation", "layer", "channel"), null_r[:, rows].astype("float32")),
            "fold_r": (("layer", "fold", "channel"), sums["r"][rows]),
            "fold_n": ("fold", counts),
            "inner_score": (("layer", "fold", "channel"), inner[rows]),
            "alpha": (("layer", "fold", "channel"), np.ones((len(rows), n_folds, n_channels))),
            "intercept_only": (
                ("layer", "channel"),
                (np.abs(f0[rows]).max(axis=1) < 1e-12).astype("int8"),
            ),
            "pcc_across_channels": ("layer", across(predicted[rows], measured)),
            "r2_across_channels": ("layer", across(predicted[rows], measured) ** 2),
            "pcc_mean_predictor": ((), np.mean(correlation(measured, mean_predictor, axis=1))),
            "r2_mean_predictor": ((), np.mean(correlation(measured, mean_predictor, axis=1)) ** 2),
            "pcc_shuffled": ("layer", across(shuffled[rows], measured)),
            "r2_shuffled": ("layer", across(shuffled[rows], measured) ** 2),
            "prediction": (("sample", "channel"), prediction.astype("float32")),
            "observed": (("sample", "channel"), measured.astype("float32")),
            "chosen_layer": (("fold", "channel"), chosen),
            "fold": ("sample", fold_of),
            **{
                f"fold_{k}": (("layer", "fold", "channel"), v[rows])
                for k, v in sums.items()
                if k != "r"
            },
        }
        if not permutations:
            del data["null_r"]
        coords = {"layer": batch, "channel": names}
        if unit == "word":
            coords["word_index"] = ("sample", np.arange(n))
        else:
            coords["time"] = ("sample", 1.0 + np.arange(n) / rate)
            coords["segment"] = ("sample", np.zeros(n, dtype="int16"))
        if lags is not None:
            peak = lags[np.argmax(lag_r, axis=1)]
            coords["lag"] = lags
            data["lag_r"] = (
                ("layer", "lag", "channel"),
                np.broadcast_to(lag_r.T, (len(rows), *lag_r.T.shape)),
            )
            for name, shift in (("peak_lag", 0), ("peak_lag_low", -0.01), ("peak_lag_high", 0.015)):
                data[name] = (
                    ("layer", "channel"),
                    np.broadcast_to(peak + shift, (len(rows), n_channels)),
                )
            if chosen_lag is not None:
                data["chosen_lag"] = (("layer", "fold", "channel"), chosen_lag[rows])
        if coefficients is not None:
            coords["delay"] = np.linspace(-0.3, 0.3, coefficients.shape[0])
            data["coefficients"] = (
                ("layer", "delay", "feature", "channel"),
                np.broadcast_to(coefficients, (len(rows), *coefficients.shape)),
            )
        if flat is not None:
            data["flat"] = ("channel", np.array(flat, dtype="int8"))
        if mean_r is not None:
            data["mean_r"] = ("channel", mean_r)
        attrs = {"distance_s": distance_s, "leaky": leaky, "unit": unit}
        if ceiling is not None:
            data["noise_ceiling"] = ("channel", ceiling)
            data["explainable"] = ("channel", ceiling**2)
            attrs["noise_ceiling"] = "estimated" if np.isfinite(ceiling).any() else "not-estimable"
        if spaces is not None:
            coords["space"] = list(spaces)
            for name in ("unique", "share"):
                data[name] = (("space", "channel"), [of[name] for of in spaces.values()])
            data["shared"] = ("channel", next(iter(spaces.values()))["shared"])
            data["band_alpha"] = (
                ("fold", "space", "channel"),
                np.stack([of["alpha"] for of in spaces.values()], axis=1),
            )
        path = (
            root / "scores" / analysis / participant / model / f"{batch[0]:02d}-{batch[-1]:02d}.nc"
        )
        dataset = xr.Dataset(data, coords=coords, attrs=attrs)
        store.write_dataset(dataset, path, stage="encoding", parameters={"analysis": analysis})
        written.append(path)
    return written


def across(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Correlation over channels in every sample, mean over samples, for each layer."""
    return np.array([np.mean(correlation(measured, f, axis=1)) for f in predicted])


def correlation(a: np.ndarray, b: np.ndarray, *, axis: int) -> np.ndarray:
    a = a - a.mean(axis=axis, keepdims=True)
    b = b - b.mean(axis=axis, keepdims=True)
    scale = np.sqrt((a**2).sum(axis=axis) * (b**2).sum(axis=axis))
    return np.where(
        scale > 1e-12, (a * b).sum(axis=axis) / np.where(scale > 1e-12, scale, 1), np.nan
    )


def channels_table(names: list[str], **columns: list[object]) -> pd.DataFrame:
    n = len(names)
    table = {
        "name": names, "type": ["SEEG"] * n, "units": ["µV"] * n, "status": ["good"] * n,
        "kept": ["yes"] * n, "reason": [None] * n, "x": np.linspace(-60, 60, n),
        "y": np.linspace(-40, 40, n), "z": np.linspace(-20, 50, n),
        "region": ["ctx_lh_S_central"] * n, "shaft": ["LA"] * n, "contact": range(1, n + 1),
    }  # fmt: skip
    return pd.DataFrame(table | columns)


def signals(seed: int = 1, *, n: int = 60, channels: int = 4, layers: int = 1):
    """Measured signals and predictions whose quality falls from the first electrode to the last."""
    rng = np.random.default_rng(seed)
    gain = rng.uniform(5, 20, channels)
    drive = rng.normal(size=(n, channels))
    measured = gain * (10 + drive)
    share = np.linspace(0.9, 0.0, channels)
    noise = rng.normal(size=(layers, n, channels))
    quality = share * np.linspace(0.6, 1.0, layers)[:, None, None]
    predicted = gain * (10 + quality * drive + 0.3 * (1 - quality) * noise)
    return measured, predicted


def summarised(root: Path, paths: list[Path], **changes) -> summary.Summary:
    options = {
        "channels": {}, "contamination": {}, "participants": ["sub-01"],
        "analyses": {"words": {"controls": []}}, "models": ["text"], "run": "test",
    }  # fmt: skip
    return summary.summarise(summary.read_fits(paths), **(options | changes))


# --------------------------------------------------------------------------------- pooled numbers


def test_pooled_correlation_equals_scipys_on_all_held_out_samples(tmp_path):
    measured, predicted = signals(n=47)
    paths = write_scores(
        tmp_path, analysis="words", participant="sub-01", model="text", layers=[3],
        measured=measured, predicted=predicted,
    )  # fmt: skip
    table = summarised(tmp_path, paths).electrodes
    fold = np.minimum(np.arange(47) * 5 // 47, 4)
    means = np.stack([measured[fold != k].mean(axis=0) for k in fold])
    for k, row in table.iterrows():
        expected = scipy.stats.pearsonr((measured - means)[:, k], (predicted[0] - means)[:, k])
        assert row["r"] == pytest.approx(expected.statistic, abs=1e-12)
        sse = ((measured - predicted[0])[:, k] ** 2).sum()
        assert row["skill"] == pytest.approx(1 - sse / ((measured - means)[:, k] ** 2).sum())


def test_nested_choice_of_the_layer_equals_a_plain_loop(tmp_path):
    measured, predicted = signals(n=50, channels=5, layers=4)
    layers, n_folds = [0, 1, 2, 7], 5
    inner = np.random.default_rng(4).uniform(size=(4, n_folds, 5)).round(1)
    null_r = np.random.default_rng(5).normal(0, 0.4, (49, 4, 5)).astype("float32")
    paths = write_scores(
        tmp_path, analysis="words", participant="sub-01", model="text", layers=layers,
        measured=measured, predicted=predicted, inner=inner, batches=[[7], [0, 1], [2]],
        null_r=null_r, permutations=49,
    )  # fmt: skip
    table = summarised(tmp_path, paths).electrodes
    fold = np.arange(50) // 10
    for c in range(5):
        y, f, votes = [], [], []
        for k in range(n_folds):
            best = max(range(4), key=lambda row: (inner[row, k, c], -row))
            votes.append(layers[best])
            mean = measured[fold != k, c].mean()
            y.append(measured[fold == k, c] - mean)
            f.append(predicted[best, fold == k, c] - mean)
        y, f = np.concatenate(y), np.concatenate(f)
        modal = min(set(votes), key=lambda layer: (-votes.count(layer), layer))
        r = np.corrcoef(y, f)[0, 1]
        means = np.stack([measured[fold != k, c].mean() for k in fold])
        each = [np.corrcoef(measured[:, c] - means, p[:, c] - means)[0, 1] for p in predicted]
        # The best layer on both sides.
        reached = sum(max(null_r[k, :, c]) >= max(each) for k in range(49))
        row = table.iloc[c]
        assert row["layer"] == modal
        assert row["stability"] == pytest.approx(votes.count(modal) / n_folds)
        assert row["r"] == pytest.approx(r)
        assert row["skill"] == pytest.approx(1 - ((y - f) ** 2).sum() / (y**2).sum())
        assert row["p"] == pytest.approx((1 + reached) / 50)


def test_an_outstanding_test_score_does_not_choose_the_layer(tmp_path):
    measured, predicted = signals(layers=2)
    predicted[1] = measured
    inner = np.stack([np.ones((5, 4)), np.zeros((5, 4))])
    paths = write_scores(
        tmp_path, analysis="words", participant="sub-01", model="text", layers=[0, 1],
        measured=measured, predicted=predicted, inner=inner,
    )  # fmt: skip
    table = summarised(tmp_path, paths).electrodes
    assert list(table["layer"]) == [0, 0, 0, 0]
    assert table["skill"].max() < 0.99


def test_without_inner_scores_the_last_layer_is_taken_with_its_own_p():
    inner = np.full((3, 4, 2), np.nan)
    assert np.array_equal(scores.best_candidates(inner), np.full((4, 2), 2))
    ones = np.ones((3, 4, 2))
    sums = scores.FoldSums(
        n=np.full((4, 1), 10.0),
        sy=0 * ones,
        sf=0 * ones,
        syy=ones,
        sff=ones,
        syf=0.5 * ones,
    )
    chosen = summary.choose(
        layers=np.array([4, 5, 6]),
        inner_score=inner,
        sums=sums,
        best_r=np.full((3, 2), 0.5),
        null_best=np.full((9, 2), 0.9),
        p=np.array([[0.1, 0.1], [0.2, 0.2], [0.3, 0.4]]),
    )
    assert list(chosen.layer) == [6, 6]
    assert chosen.p == pytest.approx([0.3, 0.4])
    assert chosen.r == pytest.approx([0.5, 0.5])


def test_a_constant_prediction_has_no_correlation_and_is_flagged(tmp_path):
    measured, predicted = signals(n=50)
    fold = np.arange(50) // 10
    means = np.stack([measured[fold != k].mean(axis=0) for k in fold])
    predicted[0][:, 2] = means[:, 2]
    measured[:, 3] = 4.0
    predicted[0][:, 3] = 4.0
    paths = write_scores(
        tmp_path, analysis="words", participant="sub-01", model="text", layers=[0],
        measured=measured, predicted=predicted,
    )  # fmt: skip
    table = summarised(tmp_path, paths).electrodes
    assert table["r"].isna().tolist() == [False, False, True, True]
    assert "intercept-only" in table.loc[2, "flags"].split(",")
    assert "flat" in table.loc[3, "flags"].split(",")
    assert "intercept-only" not in table.loc[3, "flags"].split(",")
    assert table.loc[2:, "p"].isna().all() and table.loc[2:, "q"].isna().all()
    assert table.loc[0, "flags"] == ""


# ------------------------------------------------------------------------------------ significance


@pytest.mark.parametrize("missing", [[], [0], [3, 7]])
def test_q_is_benjamini_and_hochbergs(missing):
    p = np.array([0.001, 0.3, 0.02, 0.02, 0.9, 0.04, 0.011, 0.5])
    p[missing] = np.nan
    q = scores.false_discovery_q(p)
    known = p[np.isfinite(p)]
    ranked = np.sort(known)
    for value, adjusted in zip(p, q, strict=True):
        if np.isnan(value):
            assert np.isnan(adjusted)
        else:
            steps = [
                ranked[k] * len(ranked) / (k + 1) for k in range(len(ranked)) if ranked[k] >= value
            ]
            assert adjusted == pytest.approx(min([1.0, *steps]))


def test_the_family_is_all_participants_of_one_analysis_and_model(tmp_path):
    paths = []
    p_values = {}
    for k, participant in enumerate(["sub-01", "sub-02"]):
        for model in ("text", "sound"):
            measured, predicted = signals(seed=10 + k, channels=6)
            paths += write_scores(
                tmp_path, analysis="words", participant=participant, model=model, layers=[0],
                measured=measured, predicted=predicted, seed=k + 7 * len(model),
            )  # fmt: skip
            with xr.open_dataset(paths[-1]) as scores:
                p_values.setdefault(model, []).append(scores["p"].values[0])
    table = summarised(
        tmp_path, paths, participants=["sub-01", "sub-02"], models=["text", "sound"]
    ).electrodes
    for model, parts in p_values.items():
        expected = scipy.stats.false_discovery_control(np.concatenate(parts))
        assert table.loc[table["model"] == model, "q"].to_numpy() == pytest.approx(expected)


def test_a_significant_noise_electrode_is_no_more_than_the_null_allows():
    rng = np.random.default_rng(0)
    r = rng.normal(0, 0.1, 400)
    null_r = rng.normal(0, 0.1, (199, 5, 400))
    p = scores.p_values(r, scores.best_of_surrogates(null_r, axis=1))
    assert (p <= 0.05).mean() <= 0.05
    assert p.min() >= 1 / 200


def test_without_permutations_nothing_is_tested(tmp_path):
    measured, predicted = signals()
    paths = write_scores(
        tmp_path, analysis="words", participant="sub-01", model="text", layers=[0],
        measured=measured, predicted=predicted, permutations=0,
    )  # fmt: skip
    result = summarised(tmp_path, paths)
    assert result.electrodes["q"].isna().all()
    assert result.electrodes["flags"].str.contains("not-tested").all()
    assert not result.electrodes["flags"].str.contains("not-significant").any()
    assert result.participants["n_significant"].isna().all()


# --------------------------------------------------------------------------- gain and contamination


def gains_table(**against) -> pd.DataFrame:
    """The stage gain's table of the model `text`: gains and p of LA1, LA2, … by control."""
    rows = [
        {
            "model": "text",
            "channel": f"LA{k + 1}",
            "against": name,
            "gain": g,
            "p": p,
        }
        for name, (gain, p_values) in against.items()
        for k, (g, p) in enumerate(zip(gain, p_values, strict=True))
    ]
    return pd.DataFrame(rows)


def test_the_gain_is_tested_where_r_is_significant_and_the_least_is_named(tmp_path):
    measured, predicted = signals()
    paths, gains = [], {}
    rng = np.random.default_rng(4)
    for participant in ("sub-01", "sub-02"):
        for k, model in enumerate(["text", "sound", "clock"]):
            paths += write_scores(
                tmp_path, analysis="words", participant=participant, model=model, layers=[0],
                measured=measured, predicted=predicted + k,
            )  # fmt: skip
        gains["words", participant] = gains_table(
            **{name: (rng.normal(size=4), rng.uniform(size=4) ** 4) for name in
               ("sound", "clock", "together")}
        )  # fmt: skip
    table = summarised(
        tmp_path, paths, analyses={"words": {"controls": ["sound"]}}, gains=gains,
        models=["text", "sound", "clock"], participants=["sub-01", "sub-02"],
        roles={"clock": "nuisance"},
    ).electrodes  # fmt: skip
    text = table[table["model"] == "text"]
    whole = pd.concat([gains["words", p] for p in ("sub-01", "sub-02")])
    together = whole[whole["against"] == "together"]
    np.testing.assert_allclose(text["gain"], together["gain"])
    np.testing.assert_allclose(text["gain_p"], together["p"])
    reached = ((text["skill"] > 0) & (text["q"] < 0.05)).to_numpy()
    assert 1 < reached.sum() < 8
    q = np.full(8, np.nan)
    q[reached] = scipy.stats.false_discovery_control(together["p"].to_numpy()[reached])
    np.testing.assert_allclose(text["gain_q"], q)
    each = {n: whole.loc[whole["against"] == n, "gain"].to_numpy() for n in ("sound", "clock")}
    least = np.where(each["sound"] < each["clock"], "sound", "clock")
    assert text["best_control"].tolist() == least.tolist()
    below = text["flags"].str.contains("below-control")
    assert (below.to_numpy() == ((together["gain"] <= 0) | (q >= 0.05)).to_numpy()).all()
    assert 0 < below.sum() < 8
    # A control and a nuisance have no gain of their own here.
    assert table.loc[table["model"] != "text", "gain"].isna().all()


def test_electrodes_of_altered_audio_carry_a_flag_unless_the_sound_was_found(tmp_path):
    measured, predicted = signals()
    paths = write_scores(
        tmp_path, analysis="words", participant="sub-01", model="text", layers=[0],
        measured=measured, predicted=predicted,
    )  # fmt: skip
    audit = {"LA1": 0.001, "LA2": 0.8, "LA3": 0.9}
    plain = summarised(tmp_path, paths, contamination={"sub-01": audit}).electrodes
    table = summarised(
        tmp_path, paths, contamination={"sub-01": audit}, not_auditable=["sub-01"]
    ).electrodes
    flagged = table["flags"].str.split(",").map(lambda flags: "not-auditable" in flags)
    assert flagged.tolist()[:3] == [False, True, True]
    assert not plain["flags"].str.contains("not-auditable").any()
    assert table["verdict"].tolist() == plain["verdict"].tolist()
    supported = table[(table["verdict"] == "supported") & flagged]
    assert supported["rule"].str.endswith("not auditable for sound").all()


def test_contaminated_electrodes_are_those_whose_q_is_small_within_their_participant(tmp_path):
    measured, predicted = signals()
    paths = write_scores(
        tmp_path, analysis="words", participant="sub-01", model="text", layers=[0],
        measured=measured, predicted=predicted, leaky=1,
    )  # fmt: skip
    audit = {"LA1": 0.001, "LA2": 0.03, "LA3": 0.9}
    q = scipy.stats.false_discovery_control([0.001, 0.03, 0.9])
    table = summarised(tmp_path, paths, contamination={"sub-01": audit}).electrodes
    assert table["contamination"].tolist()[:3] == [0.001, 0.03, 0.9]
    assert np.isnan(table["contamination"].iloc[3])
    flagged = table["flags"].str.split(",").map(lambda flags: "contaminated" in flags)
    assert flagged.tolist() == [*(q < 0.05), False]
    assert table["flags"].str.contains("leaky-split").all()


def test_every_table_of_a_leaky_split_says_so_and_how_near_its_samples_are(tmp_path):
    measured, predicted = signals()
    space = {k: np.zeros(4) for k in ("unique", "share", "shared")} | {"alpha": np.ones((5, 4))}
    paths = []
    for analysis, leaky, distance_s in (("shuffled", 1, 0.01), ("blocks", 0, 0.8)):
        for model in ("text", "sound"):
            paths += write_scores(
                tmp_path, analysis=analysis, participant="sub-01", model=model, layers=[0],
                measured=measured, predicted=predicted, leaky=leaky, distance_s=distance_s,
                spaces=dict.fromkeys(("a", "b"), space),
            )  # fmt: skip
    analyses = {name: {"controls": ["sound"]} for name in ("shuffled", "blocks")}
    result = summarised(tmp_path, paths, analyses=analyses, models=["text", "sound"])
    for table in (
        result.electrodes, result.layers, result.participants, result.gains, result.partition,
        group.table(result.electrodes, twins={}, settings=group.GroupSettings()),
    ):  # fmt: skip
        leaky = table["analysis"] == "shuffled"
        assert leaky.any() and not leaky.all()
        assert (table["flags"].str.contains("leaky-split") == leaky).all()
        np.testing.assert_array_equal(table["distance_s"], np.where(leaky, 0.01, 0.8))
    arrays = result.arrays.sel(participant="sub-01", model="text")
    assert arrays["leaky"].values.tolist() == [1, 0]
    assert arrays["distance_s"].values.tolist() == [0.01, 0.8]


def test_the_lag_is_that_of_the_layer_each_fold_chose_with_its_share_of_folds(tmp_path):
    measured, predicted = signals(layers=2)
    inner = np.zeros((2, 5, 4))
    inner[0, :2] = inner[1, 2:] = 1.0  # folds 0 and 1 choose layer 0, the others layer 3
    chosen_lag = np.full((2, 5, 4), 0.1)
    chosen_lag[1, 2:] = -0.1
    chosen_lag[1, 4, 0] = 0.1
    chosen_lag[:, :, 3] = np.nan
    paths = write_scores(
        tmp_path, analysis="words", participant="sub-01", model="text", layers=[0, 3],
        measured=measured, predicted=predicted, inner=inner, lags=np.array([-0.1, 0.0, 0.1]),
        lag_r=np.array([[0.1, 0.2, 0.5]] * 4), chosen_lag=chosen_lag,
    )  # fmt: skip
    table = summarised(tmp_path, paths).electrodes
    np.testing.assert_allclose(table["lag"].to_numpy(float), [0.1, -0.1, -0.1, np.nan])
    np.testing.assert_allclose(table["lag_stability"].to_numpy(float), [0.6, 0.6, 0.6, np.nan])


def test_every_named_control_has_a_row_for_every_electrode(tmp_path):
    rng = np.random.default_rng(3)
    measured, predicted = signals()
    paths = []
    for model, noise in (("text", 0.0), ("sound", 4.0), ("untrained", 9.0)):
        paths += write_scores(
            tmp_path, analysis="words", participant="sub-01", model=model, layers=[0],
            measured=measured, predicted=predicted + rng.normal(0, noise, predicted.shape),
        )  # fmt: skip
    steps = np.arange(4)
    gains = gains_table(sound=(0.1 + steps, 0.01 * steps), untrained=(0.2 + steps, 0.01 * steps))
    result = summarised(
        tmp_path, paths, analyses={"words": {"controls": ["untrained", "sound", "absent"]}},
        models=["text", "sound", "untrained"], gains={("words", "sub-01"): gains},
    )  # fmt: skip
    skill = result.electrodes.set_index(["model", "electrode"])["skill"]
    table = result.gains
    assert list(table.columns) == [
        *("analysis", "participant", "electrode", "model"),
        *("control", "skill", "control_skill", "gain", "distance_s", "flags", "p"),
    ]
    assert len(table) == 3 * 4 and set(table["model"]) == {"text"}
    for row in table[table["control"] != "absent"].itertuples():
        own, other = skill["text", row.electrode], skill[row.control, row.electrode]
        assert (row.skill, row.control_skill) == (own, other)
        k = int(row.electrode[2:]) - 1
        assert (row.gain, row.p) == ({"sound": 0.1, "untrained": 0.2}[row.control] + k, 0.01 * k)
    absent = table[table["control"] == "absent"]
    assert absent["gain"].isna().all() and absent["skill"].notna().all()


# ------------------------------------------------------------------------ position, mean predictor


def test_position_stands_beside_every_model_of_its_analysis_and_is_no_finding(tmp_path):
    measured, predicted = signals()
    paths = []
    for analysis, model in (("words", "text"), ("words", "clock"), ("frames", "text")):
        paths += write_scores(
            tmp_path, analysis=analysis, participant="sub-01", model=model, layers=[0],
            measured=measured, predicted=predicted if model == "text" else measured[None],
            null_r=np.zeros((99, 1, 4)),
        )  # fmt: skip
    table = summarised(
        tmp_path,
        paths,
        analyses={"words": {}, "frames": {}},
        models=["text", "clock"],
        roles={"clock": "position"},
    ).electrodes
    words = table[table["analysis"] == "words"].set_index(["model", "electrode"])
    for electrode in ("LA1", "LA2", "LA3", "LA4"):
        own = words.loc[("clock", electrode)]
        assert own["r"] == pytest.approx(1) and own["skill"] == pytest.approx(1)
        beside = words.loc[("text", electrode)]
        assert (beside["position_r"], beside["position_skill"]) == (own["r"], own["skill"])
        assert own["verdict"] == "explained by controls"
    # Beside the models only: it is subtracted from nothing unless the analysis names it.
    assert words["gain"].isna().all()
    frames = table[table["analysis"] == "frames"]
    assert frames[["position_r", "position_skill"]].isna().all(axis=None)


def test_the_mean_predictor_and_the_ceiling_stand_in_the_table(tmp_path):
    measured, predicted = signals()
    ceiling = np.array([0.8, 0.5, np.nan, 0.0])
    paths = write_scores(
        tmp_path, analysis="words", participant="sub-01", model="text", layers=[0, 1],
        measured=measured, predicted=np.repeat(predicted, 2, axis=0), batches=[[0], [1]],
        mean_r=np.full(4, -1.0), ceiling=ceiling,
    )  # fmt: skip
    paths += write_scores(
        tmp_path, analysis="words", participant="sub-01", model="sound", layers=[0],
        measured=measured, predicted=predicted, ceiling=np.full(4, np.nan),
    )  # fmt: skip
    table = summarised(tmp_path, paths, models=["text", "sound"]).electrodes
    text, sound = (table[table["model"] == model] for model in ("text", "sound"))
    assert text["mean_r"].tolist() == [-1] * 4
    assert np.array_equal(text["noise_ceiling"], ceiling, equal_nan=True)
    assert text["ceiling_status"].tolist() == ["estimated"] * 4
    # A file of an earlier version says nothing of the mean predictor; it is not made up.
    assert sound["mean_r"].isna().all()
    assert sound["ceiling_status"].tolist() == ["not-estimable"] * 4
    assert sound["noise_ceiling"].isna().all()


# ------------------------------------------------------------------------------------ the verdict


GAINED = "gain over nuisances and controls together (least over mel) = 0.03"


def score(**changes) -> Score:
    """A score with which nothing is wrong."""
    sound = {
        "skill": 0.12, "q": 0.004, "gain": 0.03, "gain_q": 0.01, "audit_q": 0.6,
        "distance_s": 0.55, "best_control": "mel",
    }  # fmt: skip
    return Score(**(sound | changes))


@pytest.mark.parametrize(
    ("changes", "verdict", "rule"),
    [
        ({}, "supported", f"q = 0.004 is below 0.05; {GAINED} has q = 0.01"),
        (
            {"gain": np.nan, "gain_q": np.nan, "compared": False, "best_control": None},
            "supported",
            "q = 0.004 is below 0.05; nothing that it is to be more than is named",
        ),
        (
            {"best_control": "frame-nuisances", "role": "control"},
            "supported",
            "q = 0.004 is below 0.05; gain over the nuisances together (least over "
            "frame-nuisances) = 0.03 has q = 0.01",
        ),
        (
            {"audit_q": np.nan},
            "supported",
            f"q = 0.004 is below 0.05; {GAINED} has q = 0.01; not audited for sound",
        ),
        ({"flat": True, "skill": np.nan}, "not estimable", "the signal is constant"),
        ({"skill": np.nan}, "not estimable", "there is no score"),
        (
            {"leaky": True, "distance_s": 0.01},
            "leaky split",
            "the split mixes neighbours: a training sample lies 0.01 s from a held-out one",
        ),
        (
            {"intercept_only": True, "skill": 0.0, "q": np.nan},
            "not significant",
            "the fit ignores its input and predicts the training mean",
        ),
        ({"skill": -0.0123}, "not significant", "skill = -0.012 is not above 0"),
        ({"skill": 0.0}, "not significant", "skill = 0 is not above 0"),
        (
            {"tested": False, "q": np.nan},
            "not estimable",
            "no permutations were drawn, so there is no p",
        ),
        ({"q": np.nan}, "not estimable", "r is not defined"),
        ({"q": 0.31}, "not significant", "q = 0.31 is not below 0.05"),
        ({"q": 0.05}, "not significant", "q = 0.05 is not below 0.05"),
        ({"q": 0.05004}, "not significant", "q = 0.05004 is not below 0.05"),
        (
            {"contaminated": True, "audit_q": 0.0021},
            "contaminated",
            "the audit of sound has q = 0.0021, below 0.05",
        ),
        (
            {"gain": -0.02, "gain_q": 0.9},
            "explained by controls",
            GAINED.replace("0.03", "-0.02") + " is not above 0",
        ),
        (
            {"gain": 0.0, "gain_q": 1.0},
            "explained by controls",
            GAINED.replace("0.03", "0") + " is not above 0",
        ),
        (
            {"gain_q": 0.2},
            "explained by controls",
            f"{GAINED} has q = 0.2, not below 0.05",
        ),
        (
            {"gain_q": np.nan},
            "not estimable",
            "the gain over nuisances and controls was not tested: too few samples",
        ),
        (
            {"role": "nuisance", "gain": np.nan, "gain_q": np.nan, "compared": False},
            "explained by controls",
            "nuisances are a control, never a finding",
        ),
        (
            {"lacking": ("untrained",)},
            "not estimable",
            "the gain over untrained is not known: no score of it here",
        ),
        (
            {"role": "position", "gain": np.nan, "gain_q": np.nan, "compared": False},
            "explained by controls",
            "position in time is a control, never a finding",
        ),
    ],
)
def test_a_verdict_names_its_rule_with_the_numbers(changes, verdict, rule):
    assert judge(score(**changes)) == (verdict, rule)


def test_of_several_faults_the_first_in_the_declared_order_gives_the_verdict():
    faults = [
        ({"flat": True}, "not estimable"),
        ({"leaky": True}, "leaky split"),
        ({"intercept_only": True}, "not significant"),
        ({"skill": -1.0}, "not significant"),
        ({"tested": False}, "not estimable"),
        ({"q": 0.5}, "not significant"),
        ({"contaminated": True}, "contaminated"),
        ({"gain": -1.0}, "explained by controls"),
        ({"gain_q": 0.4}, "explained by controls"),
    ]
    for first in range(len(faults)):
        together = {}
        for changes, _ in faults[first:]:
            together |= changes
        assert judge(score(**together))[0] == faults[first][1]
    assert {verdict for _, verdict in faults} | {"supported"} == set(VERDICTS)


GAINS = [0.1, 0.1, -0.1, 0.1, -0.1, np.nan, 0.1, -0.1]
P_OF_GAINS = [1e-4 if g > 0 else 0.9 for g in GAINS]


def test_the_verdicts_in_the_table_follow_its_own_figures(tmp_path):
    measured, predicted = signals(channels=8, n=120)
    measured[:, 5] = 3.0
    paths = []
    for k, model in enumerate(("text", "sound")):
        paths += write_scores(
            tmp_path, analysis="words", participant="sub-01", model=model, layers=[0],
            measured=measured, permutations=199, seed=k,
            predicted=predicted if model == "text" else predicted[:, :, [0, 1, 2, 4, 3, 5, 7, 6]],
        )  # fmt: skip
    table = summarised(
        tmp_path, paths, analyses={"words": {"controls": ["sound"]}}, models=["text", "sound"],
        contamination={"sub-01": {"LA2": 1e-4, **{f"LA{k}": 0.5 for k in (1, 3, 4, 5, 6, 7, 8)}}},
        gains={("words", "sub-01"): gains_table(together=(GAINS, P_OF_GAINS))},
    ).electrodes  # fmt: skip
    text = table[table["model"] == "text"].set_index("electrode")
    assert text.loc["LA2", "verdict"] == "contaminated"
    assert text.loc["LA6", "verdict"] == "not estimable"
    expected = {
        (True, True): "supported",
        (True, False): "explained by controls",
        (False, True): "not significant",
        (False, False): "not significant",
    }
    for _, row in text.drop(["LA2", "LA6"]).iterrows():
        significant = row["q"] < 0.05 and row["skill"] > 0
        assert row["verdict"] == expected[significant, row["gain_q"] < 0.05]
    assert {"supported", "explained by controls", "not significant"} <= set(text["verdict"])


# -------------------------------------------------------------------------------------- the tables


def test_the_partition_has_a_row_for_every_space_of_a_banded_ridge(tmp_path):
    measured, predicted = signals()
    rng = np.random.default_rng(8)
    shared = rng.uniform(size=4)
    spaces = {
        name: {
            "unique": rng.uniform(size=4), "share": rng.uniform(size=4), "shared": shared,
            "alpha": rng.uniform(1, 9, size=(5, 4)),
        }
        for name in ("mel", "text")
    }  # fmt: skip
    spaces["mel"]["alpha"][1:4, 2] = np.inf
    ceiling = np.array([0.9, np.nan, 0.4, 0.2])
    paths = write_scores(
        tmp_path, analysis="both", participant="sub-01", model="mel+text", layers=[0],
        measured=measured, predicted=predicted, spaces=spaces, ceiling=ceiling,
    )  # fmt: skip
    paths += write_scores(
        tmp_path, analysis="words", participant="sub-01", model="text", layers=[0],
        measured=measured, predicted=predicted,
    )  # fmt: skip
    result = summarised(
        tmp_path, paths, analyses={"both": {}, "words": {}}, models=["mel+text", "text"]
    )
    assert list(result.partition.columns)[:11] == [
        *("analysis", "participant", "electrode", "model", "space"),
        *("skill", "unique", "share", "shared", "noise_ceiling", "explainable"),
    ]
    assert len(result.partition) == 2 * 4 and set(result.partition["analysis"]) == {"both"}
    skill = result.electrodes.query("analysis == 'both'").set_index("electrode")["skill"]
    for space, rows in result.partition.groupby("space"):
        assert np.array_equal(rows["unique"], spaces[space]["unique"])
        assert np.array_equal(rows["share"], spaces[space]["share"])
        assert np.array_equal(rows["shared"], shared)
        assert np.array_equal(rows["skill"], skill[rows["electrode"]])
        assert np.array_equal(rows["noise_ceiling"], ceiling, equal_nan=True)
        assert rows["explainable"].to_numpy() == pytest.approx(ceiling**2, nan_ok=True)
        assert np.array_equal(rows["alpha"], np.median(spaces[space]["alpha"], axis=0))
    assert np.isinf(result.partition.query("space == 'mel'")["alpha"]).tolist() == [
        *(False, False, True, False)
    ]


def test_a_run_without_controls_and_bands_has_tables_with_their_header_alone(tmp_path):
    measured, predicted = signals()
    paths = write_scores(
        tmp_path, analysis="words", participant="sub-01", model="text", layers=[0],
        measured=measured, predicted=predicted,
    )  # fmt: skip
    result = summarised(tmp_path, paths)
    names = ("gains", "nuisances", "partition", "missing")
    summary.write(result, arrays=tmp_path / "s.nc", **{n: tmp_path / f"{n}.tsv" for n in names})
    headers = {
        "gains": "analysis participant electrode model control skill control_skill gain "
        "distance_s flags p",
        "nuisances": "analysis participant electrode nuisance r skill distance_s flags",
        "partition": "analysis participant electrode model space skill unique share shared "
        "noise_ceiling explainable alpha ceiling_status distance_s flags",
        "missing": "analysis participant model stage file",
    }
    for name in names:
        assert (tmp_path / f"{name}.tsv").read_text().split() == headers[name].split()


def test_the_tables_have_the_promised_columns(tmp_path):
    measured, predicted = signals(layers=2)
    paths = write_scores(
        tmp_path, analysis="words", participant="sub-01", model="text", layers=[1, 2],
        measured=measured, predicted=predicted,
    )  # fmt: skip
    result = summarised(tmp_path, paths, channels={"sub-01": channels_table(["LA1", "LA3", "LA2"])})
    out = [tmp_path / name for name in ("e.tsv", "l.tsv", "p.tsv", "s.nc")]
    summary.write(result, electrodes=out[0], layers=out[1], participants=out[2], arrays=out[3])
    header = out[0].read_text().splitlines()[0].split("\t")
    assert header == [
        *COLUMNS,
        *("stability", "best_control", "peak_lag", "peak_lag_low", "peak_lag_high", "distance_s"),
        *("mean_r", "position_r", "position_skill", "verdict", "rule"),
        *("noise_ceiling", "ceiling_status", "lag", "lag_stability"),
        *("r_best", "gain_p", "gain_q", "space"),
    ]
    assert out[1].read_text().splitlines()[0] == (
        "analysis\tparticipant\tmodel\tlayer\tn_electrodes\tr_mean\tr_median\tr_max"
        "\tskill_mean\tskill_median\tdistance_s\tflags"
    )
    assert out[2].read_text().splitlines()[0].split("\t") == [
        *("analysis", "participant", "model", "layer", "n_electrodes", "n_samples"),
        *("pcc_across_channels", "r2_across_channels", "pcc_mean_predictor", "r2_mean_predictor"),
        *("pcc_shuffled", "r2_shuffled", "skill_median", "n_significant", "distance_s", "leaky"),
        "flags",
    ]
    table = store.read_table(out[0])
    assert table.loc[table["electrode"] == "LA2", "x"].item() == 60
    assert table.loc[table["electrode"] == "LA4", ["x", "region"]].isna().all(axis=None)
    assert len(store.read_table(out[1])) == 2
    assert "\tn/a\t" in out[0].read_text() and "nan" not in out[0].read_text().lower()


def test_layer_rows_hold_the_mean_median_and_best_of_each_layer(tmp_path):
    measured, predicted = signals(layers=2, channels=7)
    paths = write_scores(
        tmp_path, analysis="words", participant="sub-01", model="text", layers=[1, 2],
        measured=measured, predicted=predicted, batches=[[1], [2]],
    )  # fmt: skip
    table = summarised(tmp_path, paths).layers
    with xr.open_dataset(paths[1]) as second:
        r, skill = second["r"].values[0], second["skill"].values[0]
    row = table[table["layer"] == 2].iloc[0]
    assert row["r_mean"] == pytest.approx(np.mean(r))
    assert row["r_median"] == pytest.approx(np.median(r))
    assert row["r_max"] == pytest.approx(np.max(r))
    assert row["skill_mean"] == pytest.approx(np.mean(skill))
    assert row["skill_median"] == pytest.approx(np.median(skill))


def test_a_participant_without_scores_is_named(tmp_path, caplog):
    measured, predicted = signals()
    paths = write_scores(
        tmp_path, analysis="words", participant="sub-01", model="text", layers=[0],
        measured=measured, predicted=predicted,
    )  # fmt: skip
    with caplog.at_level(logging.WARNING, logger="highgamma"):
        result = summarised(tmp_path, paths, participants=["sub-01", "sub-02"])
    assert "sub-02 has no scores of text" in caplog.text
    row = result.participants.set_index("participant").loc["sub-02"]
    assert row["n_electrodes"] == 0 and np.isnan(row["pcc_across_channels"])
    assert "sub-02" in result.arrays.attrs["missing"]
    assert result.missing[["analysis", "participant", "model"]].values.tolist() == [
        ["words", "sub-02", "text"]
    ]


def test_a_model_that_nobody_has_is_named_with_the_stage_that_did_not_finish(tmp_path):
    measured, predicted = signals()
    paths = write_scores(
        tmp_path, analysis="words", participant="sub-01", model="text", layers=[0],
        measured=measured, predicted=predicted,
    )  # fmt: skip
    lacking = [
        ("words", "sub-01", "sound", "embeddings", "embeddings/sound/sub-01.nc"),
        ("n/a", "sub-01", "n/a", "contamination", "contamination/sub-01.nc"),
    ]
    missing = summarised(
        tmp_path, paths, models=["text", "sound"], expected={"words": ["text", "sound"]},
        lacking=lacking,
    ).missing  # fmt: skip
    assert [tuple(row) for row in missing.to_numpy()] == lacking


def test_the_arrays_hold_the_tables_numbers_and_every_layer(tmp_path):
    measured, predicted = signals(layers=3)
    lags = np.array([-0.1, 0.0, 0.1])
    lag_r = np.array([[0.1, 0.2, 0.5]] * 4)
    paths = write_scores(
        tmp_path, analysis="words", participant="sub-01", model="text", layers=[0, 1, 5],
        measured=measured, predicted=predicted, lags=lags, lag_r=lag_r,
    )  # fmt: skip
    result = summarised(tmp_path, paths)
    arrays = result.arrays
    assert arrays.sizes == {
        "analysis": 1,
        "model": 1,
        "participant": 1,
        "channel": 4,
        "layer": 3,
        "lag": 3,
    }
    assert np.allclose(arrays["r"].values[0, 0], result.electrodes["r"])
    with xr.open_dataset(paths[0]) as scores:
        assert np.allclose(arrays["skill_layer"].values[0, 0], scores["skill"].values.T)
        assert np.allclose(
            arrays["inner_layer"].values[0, 0], scores["inner_score"].values.mean(axis=1).T
        )
    assert np.allclose(arrays["lag_r"].values[0, 0], lag_r)
    assert result.electrodes["peak_lag"].tolist() == [0.1] * 4


def test_the_same_scores_give_the_same_bytes(tmp_path):
    measured, predicted = signals(layers=2)
    paths = write_scores(
        tmp_path, analysis="words", participant="sub-01", model="text", layers=[0, 1],
        measured=measured, predicted=predicted,
    )  # fmt: skip
    for k, order in enumerate((paths, paths[::-1])):
        base = tmp_path / str(k)
        summary.write(
            summarised(tmp_path, order, channels={"sub-01": channels_table(["LA1"])}),
            electrodes=base / "e", layers=base / "l", participants=base / "p", arrays=base / "s",
        )  # fmt: skip
    for name in "elps":
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes()


def test_batches_that_do_not_belong_together_are_refused(tmp_path):
    for layer, n_folds in ((0, 5), (1, 4)):
        measured, predicted = signals()
        write_scores(
            tmp_path, analysis="words", participant="sub-01", model="text", layers=[layer],
            measured=measured, predicted=predicted, n_folds=n_folds,
        )  # fmt: skip
    with pytest.raises(InputError, match="4 folds where another batch of layers has 5"):
        list(summary.read_fits((tmp_path / "scores").rglob("*.nc")))


def test_a_run_without_scores_is_refused(tmp_path):
    with pytest.raises(InputError, match="there are no scores to summarise"):
        summarised(tmp_path, [])


def test_batches_of_other_electrodes_and_files_that_lack_sums_are_refused(tmp_path):
    paths = []
    for layer, names in ((0, ["LA1"]), (1, ["LB1"])):
        measured, predicted = signals()
        paths += write_scores(
            tmp_path, analysis="words", participant="sub-01", model="text", layers=[layer],
            measured=measured[:, :1], predicted=predicted[:, :, :1], names=names,
        )  # fmt: skip
    with pytest.raises(InputError, match="its electrodes differ from those of another batch"):
        list(summary.read_fits(paths))
    short = store.read_dataset(paths[0]).drop_vars("inner_score")
    store.write_dataset(short, paths[0], stage="encoding", parameters={})
    with pytest.raises(InputError, match="the score file lacks inner_score"):
        list(summary.read_fits(paths[:1]))
