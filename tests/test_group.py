"""Group statistics: what an interval over participants and their electrodes covers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from highgamma import group, store
from highgamma.errors import InputError
from highgamma.group import GroupSettings
from highgamma.report.figures import group_models, group_regions


def electrodes(values: dict[str, dict[str, list[float]]], **columns) -> pd.DataFrame:
    """A table of electrodes from r by model, participant and electrode; skill is r squared."""
    rows = [
        {"analysis": "words", "participant": person, "electrode": f"LA{k + 1}", "model": model,
         "r": r, "skill": r**2, "gain": r**2 / 2, "region": "n/a", "flags": ""}
        for model, people in values.items()
        for person, own in people.items()
        for k, r in enumerate(own)
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**columns)


def people(*own: list[float]) -> dict[str, list[float]]:
    return {f"sub-{k + 1:02d}": list(r) for k, r in enumerate(own)}


def row(found: pd.DataFrame, **where) -> pd.Series:
    for name, value in where.items():
        found = found[found[name] == value]
    assert len(found) == 1, found
    return found.iloc[0]


# ------------------------------------------------------------------------- means and intervals


def test_means_of_participants_are_those_of_a_plain_loop():
    values = np.random.default_rng(0).normal(size=(9, 2))
    who = np.array(list("babcbacab"))
    expected = [values[who == p].mean(axis=0) for p in "abc"]
    np.testing.assert_allclose(group.participant_means(values, who), expected)


def test_the_interval_is_scipys():
    means = np.random.default_rng(1).normal(size=(6, 3))
    expected = scipy.stats.ttest_1samp(means, 0).confidence_interval(0.95)
    np.testing.assert_allclose(group.t_interval(means), (expected.low, expected.high))
    assert np.isnan(group.t_interval(means[:1])).all()


@pytest.mark.parametrize("n", [3, 5, 10])
def test_an_interval_over_participants_holds_the_truth_in_95_of_100(n):
    rng = np.random.default_rng(n)
    simulations = 4000
    who = np.repeat(np.arange(n), 25)
    y = np.repeat(rng.normal(size=(n, simulations)), 25, axis=0)
    y = y + rng.normal(size=(len(who), simulations))
    low, high = group.t_interval(group.participant_means(y, who))
    assert 0.935 <= ((low <= 0) & (high >= 0)).mean() <= 0.965


# -------------------------------------------------------------------------------------- the table


def test_the_mean_of_r_goes_through_fishers_z():
    r = [[0.1, 0.9], [0.5, 0.3], [-0.2, 0.4]]
    found = group.table(electrodes({"gpt2": people(*r)}), twins={}, settings=GroupSettings())
    one = row(found, group="all", electrodes="all")
    z = [np.mean([0.5 * np.log((1 + x) / (1 - x)) for x in own]) for own in r]
    assert one["r_mean"] == pytest.approx(np.tanh(np.mean(z)))
    assert one["skill_mean"] == pytest.approx(np.mean([x**2 for own in r for x in own]))
    assert one["r_low"] < one["r_mean"] < one["r_high"]
    assert (one["n_participants"], one["n_electrodes"]) == (3, 6)


def test_two_participants_get_a_mean_and_no_interval():
    found = group.table(
        electrodes({"gpt2": people([0.1] * 4, [0.2] * 4)}), twins={}, settings=GroupSettings()
    )
    one = row(found, group="all", electrodes="all")
    assert np.isfinite(one["r_mean"]) and np.isnan(one["r_low"]) and np.isnan(one["skill_high"])


def test_flagged_electrodes_are_in_all_and_not_in_clean():
    table = electrodes({"gpt2": people([0.1, 0.2, 0.9], [0.1, 0.2, 0.9], [0.1, 0.2, 0.9])})
    table["flags"] = np.where(table["r"] == 0.9, "contaminated,not-significant", "not-significant")
    found = group.table(table, twins={}, settings=GroupSettings())
    assert row(found, group="all", electrodes="all")["n_electrodes"] == 9
    clean = row(found, group="all", electrodes="clean")
    assert clean["n_electrodes"] == 6
    assert clean["skill_mean"] == pytest.approx((0.01 + 0.04) / 2)


def test_an_electrode_without_a_correlation_counts_for_skill_alone():
    table = electrodes({"gpt2": people([0.4, 0.4, 0.4], [0.4, 0.4, 0.4], [0.4, 0.4, 0.4])})
    table.loc[0, ["r", "skill"]] = [np.nan, 0.0]
    one = row(group.table(table, twins={}, settings=GroupSettings()), group="all", electrodes="all")
    assert (one["n_electrodes"], one["n_r"]) == (9, 8)
    assert one["r_mean"] == pytest.approx(0.4)
    assert one["skill_mean"] == pytest.approx(8 * 0.16 / 9)


def test_a_region_needs_enough_participants_and_electrodes():
    table = electrodes({"gpt2": people(*[[0.1, 0.2, 0.3, 0.4, 0.5]] * 4)})
    regions = {
        **{(f"sub-{p:02d}", "LA1"): "ctx_lh_S_central" for p in (1, 2, 3)},
        **{(f"sub-{p:02d}", "LA2"): "ctx_rh_S_central" for p in (1, 2, 3)},
        **{("sub-01", f"LA{k}"): "Left-Hippocampus" for k in (3, 4, 5)},
        **{("sub-02", f"LA{k}"): "Left-Hippocampus" for k in (3, 4, 5)},
        **{(f"sub-{p:02d}", "LA5"): "Unknown" for p in (3, 4)},
    }
    table["region"] = [
        regions.get((p, e), "n/a")
        for p, e in zip(table["participant"], table["electrode"], strict=True)
    ]
    found = group.table(table, twins={}, settings=GroupSettings())
    assert set(found.loc[found["group"] == "region", "value"]) == {"S_central"}
    one = row(found, value="S_central", electrodes="all")
    assert (one["n_participants"], one["n_electrodes"]) == (3, 6)
    apart = group.table(table, twins={}, settings=GroupSettings(hemispheres="separate"))
    assert not (apart["group"] == "region").any()
    two = group.table(table, twins={}, settings=GroupSettings(min_participants=2))
    assert set(two.loc[two["group"] == "region", "value"]) == {"Hippocampus", "S_central"}


@pytest.mark.parametrize(
    ("label", "region"),
    [
        ("ctx_lh_G_temp_sup-Lateral", "G_temp_sup-Lateral"),
        ("ctx-rh-superiortemporal", "superiortemporal"),
        ("Left-Cerebral-White-Matter", "Cerebral-White-Matter"),
        ("wm-lh-insula", "wm-insula"),
        ("Temporal_Sup_R", "Temporal_Sup"),
        ("Brain-Stem", "Brain-Stem"),
        ("Unknown", None),
        ("n/a", None),
    ],
)
def test_a_region_pools_both_hemispheres(label, region):
    assert group.region_name(label) == region


def test_the_trained_model_is_compared_with_its_twin_at_the_same_electrodes():
    # Electrodes differ far more than the two models do: only pairs show the difference.
    rng = np.random.default_rng(1)
    base = [rng.uniform(-0.6, 0.8, 20) for _ in range(5)]
    trained = [np.tanh(np.arctanh(b) + 0.05 + rng.normal(0, 0.02, 20)) for b in base]
    table = electrodes(
        {"gpt2": people(*trained), "gpt2-untrained": people(*base), "mel": people(*base)}
    )
    found = group.table(table, twins={"gpt2": ["gpt2-untrained"]}, settings=GroupSettings())
    one = row(found, group="trained-untrained", electrodes="all")
    assert (one["model"], one["value"], one["n_electrodes"]) == ("gpt2", "gpt2-untrained", 100)
    mean = [np.array([np.tanh(np.arctanh(e).mean()) for e in x]) for x in (trained, base)]
    assert one["r_mean"] == pytest.approx((mean[0] - mean[1]).mean())
    assert 0.02 < one["r_low"] < one["r_mean"] < one["r_high"] < 0.08
    alone = row(found, model="gpt2", group="all", electrodes="all")
    assert alone["r_high"] - alone["r_low"] > 5 * (one["r_high"] - one["r_low"])


def test_several_twins_are_averaged_before_they_are_compared():
    r = {"gpt2": people(*[[0.5] * 3] * 3), "t0": people(*[[0.1] * 3] * 3),
         "t1": people(*[[0.3] * 3] * 3)}  # fmt: skip
    found = group.table(electrodes(r), twins={"gpt2": ["t0", "t1"]}, settings=GroupSettings())
    one = row(found, group="trained-untrained", electrodes="all")
    assert one["value"] == "t0,t1"
    expected = 0.5 - np.tanh((np.arctanh(0.1) + np.arctanh(0.3)) / 2)
    assert one["r_mean"] == pytest.approx(expected)
    assert one["skill_mean"] == pytest.approx(0.25 - (0.01 + 0.09) / 2)


def test_supported_electrodes_are_counted_where_there_are_verdicts():
    table = electrodes({"gpt2": people([0.5, 0.1], [0.5, 0.1], [0.5, 0.1])})
    without = group.table(table, twins={}, settings=GroupSettings())
    assert without["n_supported"].isna().all()
    table["verdict"] = np.where(table["r"] == 0.5, "supported", "not significant")
    found = group.table(table, twins={}, settings=GroupSettings())
    assert row(found, group="all", electrodes="all")["n_supported"] == 3


def test_another_model_changes_no_row(tmp_path):
    rng = np.random.default_rng(0)
    one = {"gpt2": people(*rng.uniform(0, 0.5, (4, 6)))}
    more = one | {"mel": people(*rng.uniform(0, 0.5, (4, 6)))}
    first, second = (
        group.table(electrodes(r), twins={}, settings=GroupSettings()) for r in (one, more)
    )
    pd.testing.assert_frame_equal(
        first, second[second["model"] == "gpt2"].reset_index(drop=True), check_exact=True
    )
    group.write(first, tmp_path / "group.tsv")
    back = store.read_table(tmp_path / "group.tsv")
    assert list(back.columns) == list(group.COLUMNS)


def test_the_figures_show_every_fit_and_only_regions_there_is_enough_of():
    rng = np.random.default_rng(0)
    table = electrodes(
        {m: people(*rng.uniform(0, 0.6, (4, 8))) for m in ("gpt2", "gpt2-untrained")}
    )
    assert (
        group_regions(group.table(table, twins={}, settings=GroupSettings()), "words", []) is None
    )
    table["region"] = np.where(table["electrode"] < "LA5", "ctx_lh_S_central", "Left-Insula")
    found = group.table(table, twins={"gpt2": ["gpt2-untrained"]}, settings=GroupSettings())
    models = ["gpt2", "gpt2-untrained"]
    whole, regions = group_models(found, models), group_regions(found, "words", models)
    assert "2 fits" in whole.alt and "training" in whole.caption
    assert "2 regions" in regions.alt
    assert whole.svg == group_models(found, models).svg
    # A fit that is its intercept alone has no r to show, and no reason to fail.
    none = found.assign(r_mean=np.nan, r_low=np.nan, r_high=np.nan)
    assert group_models(none, models) is not None


def test_a_table_without_a_column_is_refused():
    table = electrodes({"gpt2": people([0.1], [0.1])}).drop(columns="skill")
    with pytest.raises(InputError, match="the table of electrodes lacks skill"):
        group.table(table, twins={}, settings=GroupSettings())


def test_every_region_of_a_large_study_has_its_rows():
    rng = np.random.default_rng(0)
    sizes = (127, 127, 127, 115, 60, 127, 127, 54, 117, 122)
    table = electrodes(
        {f"m{k}": people(*(rng.uniform(-0.2, 0.6, n) for n in sizes)) for k in range(27)}
    )
    table["region"] = [f"ctx_lh_{k % 40}" for k in range(len(table))]
    found = group.table(table, twins={"m0": ["m1"]}, settings=GroupSettings())
    assert len(found[found["group"] == "region"]) > 27 * 20
