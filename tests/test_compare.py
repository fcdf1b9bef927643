"""Two runs side by side: what is paired, what an interval rests on, what cannot be compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr
from test_encoding import fit_frames, frame_world

from highgamma import compare, group, scores, summary
from highgamma.compare import ComparedRun
from highgamma.errors import InputError
from highgamma.report.figures.compare import comparison_scatter
from highgamma.store import write_dataset, write_table

PEOPLE = ("sub-01", "sub-02", "sub-03")


def make_run(results: Path, name: str, fits: dict[str, dict], *, analysis="frames") -> ComparedRun:
    """A run of some models, each fitted to three participants with settings of its own."""
    folder = results / name
    for model, given in fits.items():
        changes = {k: v for k, v in given.items() if k != "shuffle"}
        for seed, participant in enumerate(PEOPLE):
            neural, embeddings = frame_world(seconds=60, noise=2.0, seed=seed)
            if "shuffle" in given:
                rng = np.random.default_rng(9)
                embeddings["embedding"].values[:] = rng.permuted(embeddings["embedding"], axis=1)
            fit = fit_frames(neural, embeddings, **changes)
            path = folder / f"scores/{analysis}/{participant}/{model}/00-07.nc"
            write_dataset(fit, path, stage="encoding", parameters={})
    scores = sorted(folder.rglob("*.nc"))
    made = summary.summarise(
        summary.read_fits(scores), channels={}, contamination={}, participants=PEOPLE,
        analyses={analysis: {"controls": []}}, models=list(fits), run=name,
    )  # fmt: skip
    write_table(made.electrodes, folder / "electrodes.tsv")
    return compare.read_run(name, *compare.files(results, name))


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def delayed(results) -> ComparedRun:
    return make_run(
        results, "delayed",
        {"text": {"lags": [0.1, 0.1]}, "noise": {"lags": [0.1, 0.1], "shuffle": True}},
    )  # fmt: skip


@pytest.fixture(scope="module")
def coarse(results) -> ComparedRun:
    """The same frames and folds, one fixed penalty that is far too large."""
    return make_run(results, "coarse", {"text": {"lags": [0.1, 0.1], "alpha": 1e5}})


def one(table: pd.DataFrame, **where) -> pd.Series:
    for name, value in where.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_differences_are_ours_minus_theirs_at_the_same_electrode(delayed, coarse):
    found = compare.compare(delayed, coarse, settings=group.GroupSettings())
    assert len(found.electrodes) == 12 and set(found.electrodes["model"]) == {"text"}
    for row in found.electrodes.to_dict("records"):
        at = {"participant": row["participant"], "electrode": row["electrode"], "model": "text"}
        ours, theirs = one(delayed.electrodes, **at), one(coarse.electrodes, **at)
        assert row["skill_difference"] == pytest.approx(ours["skill"] - theirs["skill"])
        assert row["r_difference"] == pytest.approx(ours["r"] - theirs["r"])
    whole = one(found.summary, model="text")
    assert (whole["n_participants"], whole["n_electrodes"]) == (3, 12)
    assert whole["skill_difference"] == pytest.approx(found.electrodes["skill_difference"].mean())
    z = np.arctanh(found.electrodes[["r", "other_r"]]).groupby(found.electrodes["participant"])
    each = np.tanh(z.mean())
    assert whole["r_difference"] == pytest.approx((each["r"] - each["other_r"]).mean())
    assert whole["skill_low"] < whole["skill_difference"] < whole["skill_high"]


def test_pseudo_values_are_those_of_leaving_each_fold_out(delayed):
    (fit,) = summary.read_fits(delayed.scores["frames", "sub-02", "text"])
    neural, embeddings = frame_world(seconds=60, noise=2.0, seed=1)
    raw = fit_frames(neural, embeddings, lags=[0.1, 0.1])
    chosen = scores.best_candidates(fit.scores["inner_score"].values)
    r, skill = compare.pseudo_values(summary.fold_sums(fit.scores).of(chosen))
    fold = raw["fold_of_sample"].values
    y, f = raw["observed"].values.astype(float), raw["prediction"].values.astype(float)
    # The fold's training samples are all others but those within the gap of half a second.
    usable = neural["high_gamma"].values[np.isin(neural["time"].values, raw["time"].values)]
    for c in (0, 3):
        mean = np.empty(len(fold))
        for k in range(5):
            at = raw["time"].values[fold == k]
            gap = 0.5 - 1e-9
            far = (raw["time"] <= at.min() - gap) | (raw["time"] >= at.max() + gap)
            mean[fold == k] = usable[far.values, c].mean()
        dy, df = y[:, c] - mean, f[:, c] - mean

        def pooled(kept, dy=dy, df=df):
            a, b = dy[kept], df[kept]
            return np.array([pearsonr(a, b)[0], 1 - ((a - b) ** 2).sum() / (a**2).sum()])

        everything = pooled(np.ones(len(fold), bool))
        for k in range(5):
            expected = 5 * everything - 4 * pooled(fold != k)
            np.testing.assert_allclose((r[k, c], skill[k, c]), expected, atol=1e-4)


@pytest.mark.parametrize("folds", [5, 10, 100])
def test_the_interval_of_equal_fits_holds_0_in_95_of_100(folds):
    rng = np.random.default_rng(folds)
    n, electrodes = 30, 600
    y = rng.normal(size=(folds, n, electrodes))
    sums = []
    for _ in range(2):
        f = 0.5 * y + 0.5 * rng.normal(size=y.shape)
        parts = (y.sum(1), f.sum(1), (y * y).sum(1), (f * f).sum(1), (y * f).sum(1))
        sums.append(scores.FoldSums(np.full((folds, 1), float(n)), *parts))
    for ours, theirs in zip(*(compare.pseudo_values(s) for s in sums), strict=True):
        low, high = group.t_interval(ours - theirs)
        assert 0.92 <= ((low <= 0) & (high >= 0)).mean() <= 0.98


def test_a_better_fit_is_seen_at_every_electrode_and_at_none_that_follows_nothing(delayed):
    found = compare.compare(
        delayed, delayed, models={"text": "noise"}, settings=group.GroupSettings()
    )
    follows = found.electrodes["electrode"] != "LA3"
    assert (found.electrodes["interval"] == "5 folds").all()
    assert (found.electrodes.loc[follows, "skill_low"] > 0).all()
    assert (found.electrodes.loc[~follows, "skill_low"] <= 0).all()
    row = one(found.summary, model="text")
    assert (row["other_model"], row["n_higher"], row["n_intervals"]) == ("noise", 9, 12)


def test_other_folds_leave_no_interval_for_an_electrode_and_one_for_the_group(
    results, delayed, caplog
):
    other = make_run(results, "folds", {"text": {"lags": [0.1, 0.1], "folds": 6}})
    found = compare.compare(delayed, other, settings=group.GroupSettings())
    assert set(found.electrodes["interval"]) == {"none: the runs hold out other samples"}
    assert found.electrodes["skill_low"].isna().all()
    row = one(found.summary, model="text")
    assert row["n_intervals"] == 0 and np.isfinite(row["skill_low"])
    assert ": no intervals (none: the runs hold out other samples)" in caplog.text


def test_the_summary_names_both_splits_and_the_one_that_leaks(delayed, coarse):
    leaky = coarse.electrodes.assign(flags="leaky-split", distance_s=0.01)
    found = compare.compare(
        delayed, ComparedRun("leaky", leaky, coarse.scores), settings=group.GroupSettings()
    )
    row = one(found.summary, model="text")
    assert row["distance_s"] == pytest.approx(delayed.electrodes["distance_s"].min())
    assert row["distance_s"] >= 0.5
    assert (row["flags"], row["other_flags"], row["other_distance_s"]) == ("", "leaky-split", 0.01)


def test_electrodes_and_participants_of_one_run_alone_are_counted(delayed, coarse):
    fewer = ComparedRun(
        "fewer", coarse.electrodes[coarse.electrodes["electrode"] != "LA1"], coarse.scores
    )
    found = compare.compare(delayed, fewer, settings=group.GroupSettings())
    row = one(found.summary, model="text")
    assert (row["n_electrodes"], row["only_here"], row["only_there"]) == (9, 3, 0)
    assert "LA1" not in set(found.electrodes["electrode"])


def test_all_that_stands_in_the_way_is_said_at_once(delayed, coarse):
    renamed = coarse.electrodes["participant"].str.replace("sub-0", "sub-9")
    strangers = ComparedRun(
        "strangers", coarse.electrodes.assign(participant=renamed), coarse.scores
    )
    with pytest.raises(InputError) as raised:
        compare.compare(
            delayed, strangers, models={"txt": "text", "noise": "nose"},
            analyses={"frames": "words"}, settings=group.GroupSettings(),
        )  # fmt: skip
    said = str(raised.value)
    for part in (
        "delayed has no model 'txt' (did you mean 'text'?)",
        "strangers has no model 'nose'",
        "strangers has no analysis 'words'",
        "no participant in common: sub-01, sub-02, sub-03 here, sub-91, sub-92, sub-93 there",
    ):
        assert part in said


def test_words_are_not_compared_with_frames(delayed, results):
    folder = results / "words"
    for participant in PEOPLE:
        fit = fit_frames(*frame_world(seconds=30), layers=[0]).assign_attrs(unit="word")
        path = folder / f"scores/words/{participant}/text/00.nc"
        write_dataset(fit, path, stage="encoding", parameters={})
    table = delayed.electrodes[delayed.electrodes["model"] == "text"].assign(analysis="words")
    write_table(table, folder / "electrodes.tsv")
    words = compare.read_run("words", *compare.files(results, "words"))
    with pytest.raises(InputError, match="frames is of frames here, words is of words there"):
        compare.compare(
            delayed, words, analyses={"frames": "words"}, settings=group.GroupSettings()
        )


def test_a_run_compared_with_itself_needs_other_names(delayed):
    with pytest.raises(InputError, match="the runs delayed and delayed cannot be") as refused:
        compare.compare(delayed, delayed, settings=group.GroupSettings())
    assert "needs `analyses` or `models`" in str(refused.value)


def test_a_run_that_is_not_there_is_named_with_those_that_are(results, delayed):
    with pytest.raises(InputError, match="did you mean 'delayed'") as raised:
        compare.files(results, "delaied")
    assert "there are" in str(raised.value)
    (results / "begun").mkdir(exist_ok=True)
    with pytest.raises(InputError, match=r"not finished: no electrodes\.tsv"):
        compare.files(results, "begun")


def test_the_figure_says_which_side_is_which(delayed, coarse):
    found = compare.compare(delayed, coarse, settings=group.GroupSettings())
    figure = comparison_scatter(found)
    assert "delayed against coarse" in figure.alt
    assert figure.png.startswith(b"\x89PNG") and b"<svg" in figure.svg[:400]
    assert figure.svg == comparison_scatter(found).svg


def test_runs_of_other_electrodes_have_nothing_to_compare(delayed, coarse, caplog):
    table = coarse.electrodes
    renamed = table.assign(electrode="other " + table["electrode"])
    moved = table.assign(participant=table["participant"].replace("sub-03", "sub-09"), model="mel")
    other = replace(
        coarse, electrodes=pd.concat([renamed[renamed["participant"] != "sub-03"], moved])
    )
    with pytest.raises(InputError, match="no fit of delayed and coarse has an electrode in common"):
        compare.compare(delayed, other, settings=group.GroupSettings())
    assert "only in coarse: sub-09" in caplog.text
