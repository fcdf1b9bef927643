"""The self-test passes where rates are as they ought to be, and fails where any of them is off."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.signal import lfilter

from highgamma import settings
from highgamma.demo import spoken
from highgamma.encoding import fit
from highgamma.encoding.analysis import analysis_from
from highgamma.encoding.fit import fit_analysis
from highgamma.errors import InputError
from highgamma.selftest import files, page, rates, stages, worlds
from highgamma.selftest.cases import AUDIT_CASES
from highgamma.selftest.settings import SelftestSettings

ROOT = Path(__file__).parents[1]
SETTINGS = SelftestSettings(
    seeds=(1, 2),
    participants=2,
    words=40,
    noise=100,
    planted=5,
    snr_frames=(0.01, 1.0),
    snr_words=(1.0, 10.0),
    contamination_db=(-10.0, 0.0),
    permutations=199,
)


# ----------------------------------------------------------- rates, from tables made by hand


def table():
    """Electrodes of which exactly those are found that ought to be: a table of the summary."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in SETTINGS.seeds:
        for person in files.participants(SETTINGS.participants):
            electrodes = [("noise", np.nan)] * SETTINGS.noise + [("flat", np.nan)]
            for kind, levels in (
                ("acoustic", SETTINGS.snr_frames),
                ("speech-on-off", SETTINGS.snr_frames),
                ("language", SETTINGS.snr_words),
                ("contaminated", SETTINGS.contamination_db),
            ):
                electrodes += [(kind, level) for level in levels for _ in range(SETTINGS.planted)]
            for analysis, models in files.FITS.items():
                for model in models:
                    rows += [
                        row(rng, seed, person, analysis, model, f"E{k}", kind, level, k)
                        for k, (kind, level) in enumerate(electrodes)
                        if analysis != "lags" or kind == "acoustic"
                    ]
    return pd.DataFrame(rows)


def row(rng, seed, person, analysis, model, name, kind, level, k):
    own = rates.OF_KIND.get(kind) == (analysis, model)
    strong = own and level >= 1
    foul = kind == "contaminated"
    # Evenly spread p-values of noise: one in twenty lies at or below .05.
    p = 0.001 if strong else 0.01 + (k % 20) / 20.5 if kind == "noise" else 0.5
    return {
        **{"seed": seed, "participant": person, "analysis": analysis, "model": model},
        **{"electrode": name, "kind": kind, "level": level, "p": p, "q": p if strong else 1.0},
        "verdict": "supported" if strong else "not estimable" if kind == "flat" else "no",
        "flags": "contaminated" if foul else None,
        "contamination": 0.0005 if foul else 0.5,
        **{"lag_s": 0.1, "peak_lag": 0.1 + 0.004 * rng.standard_normal()},
        **{"peak_lag_low": 0.05, "peak_lag_high": 0.15, "layer": 2, "planted_layer": 2},
    }


def off(electrodes):
    return {c.name for c in rates.checks(electrodes, SETTINGS) if not c.passed}


def test_rates_as_expected_pass():
    assert off(table()) == set()


def where(t, analysis=None, model=None, kind=None):
    mask = np.ones(len(t), bool)
    for column, value in (("analysis", analysis), ("model", model), ("kind", kind)):
        if value is not None:
            mask &= t[column].to_numpy() == value
    return mask


def some(mask, share):
    chosen = np.zeros(len(mask), bool)
    places = np.flatnonzero(mask)
    chosen[places[: round(share * len(places))]] = True
    return chosen


@pytest.mark.parametrize(
    ("what", "change"),
    [
        (
            "false positives, frames with envelope",
            lambda t: t.__setitem__(
                "p", t["p"].mask(some(where(t, "frames", "envelope", "noise"), 0.12), 0.01)
            ),
        ),
        (
            # A null that is far too wide finds no noise at all: that is off as well.
            "false positives, frames with word-onoff",
            lambda t: t.__setitem__("p", t["p"].mask(where(t, "frames", "word-onoff"), 0.4)),
        ),
        (
            "false positives, words with language",
            lambda t: t.__setitem__(
                "p", t["p"].mask(some(where(t, "words", "language", "noise"), 0.12), 0.01)
            ),
        ),
        (
            "false discoveries, frames with envelope",
            lambda t: t.__setitem__(
                "q", t["q"].mask(some(where(t, "frames", "envelope", "noise"), 0.05), 0.01)
            ),
        ),
        (
            # Features of words cannot tell of a sound that they were drawn apart from.
            "false discoveries, words with language",
            lambda t: t.__setitem__("q", t["q"].mask(where(t, "words", "language", "acoustic"), 0)),
        ),
        (
            "language electrodes supported at the highest ratio, 10",
            lambda t: t.__setitem__(
                "verdict",
                t["verdict"].mask(where(t, "words", "language", "language"), "not significant"),
            ),
        ),
        (
            "fall of the sensitivity to acoustic electrodes from one ratio to the next",
            lambda t: t.__setitem__(
                "verdict",
                t["verdict"].mask(
                    where(t, "frames", "envelope", "acoustic"),
                    np.where(t["level"] == 0.01, "supported", "no"),
                ),
            ),
        ),
        (
            "contaminated electrodes found (q < .05), all levels",
            lambda t: t.__setitem__("flags", t["flags"].mask((t["level"] == -10).to_numpy(), None)),
        ),
        (
            "clean electrodes flagged (q < .05)",
            lambda t: t.__setitem__(
                "flags", t["flags"].mask(where(t, kind="acoustic"), "contaminated,no-skill")
            ),
        ),
        (
            "clean electrodes with p ≤ .05 in the audit",
            lambda t: t.__setitem__(
                "contamination", t["contamination"].mask(some(where(t, kind="noise"), 0.3), 0.01)
            ),
        ),
        (
            "contaminated electrodes that pass as supported",
            lambda t: t.__setitem__(
                "verdict", t["verdict"].mask(where(t, kind="contaminated"), "supported")
            ),
        ),
        (
            "median error of the lag of acoustic electrodes found, s",
            lambda t: t.__setitem__("peak_lag", t["peak_lag"] - 0.05),
        ),
        (
            "mean error of the layer of language electrodes found",
            lambda t: t.__setitem__("layer", 3),
        ),
        (
            "flat electrodes that are not estimable",
            lambda t: t.__setitem__(
                "verdict",
                t["verdict"].mask(where(t, "words", "language", "flat"), "not significant"),
            ),
        ),
    ],
)
def test_one_rate_that_is_off_fails_its_check(what, change):
    t = table()
    change(t)
    assert what in off(t)


def test_what_was_never_counted_has_not_passed():
    t = table()
    assert len(off(t[~t["kind"].isin(["acoustic"])])) >= 3


def test_bounds_about_a_rate_hold_a_binomial_count_in_all_but_one_of_a_thousand():
    low, high = rates.interval_about(0.05, n=1000, clusters=10**9)
    outside = stats.binom.cdf(np.ceil(1000 * low) - 1, 1000, 0.05)
    outside += stats.binom.sf(np.floor(1000 * high), 1000, 0.05)
    assert 0.0004 < outside < 0.0025
    wider = rates.interval_about(0.05, n=1000, clusters=1)
    assert wider[1] - 0.05 == pytest.approx(
        3.29 * np.sqrt(0.0475 / 1000 + rates.AMONG_PARTICIPANTS**2)
    )


def test_intervals_of_shares_are_quantiles_of_beta_distributions():
    found = rates.share([True] * 7 + [False] * 33)
    assert found["low"] == pytest.approx(stats.beta.ppf(0.025, 7, 34))
    assert found["high"] == pytest.approx(stats.beta.ppf(0.975, 8, 33))


def test_false_discoveries_of_a_run_are_averaged_over_runs():
    t = table()
    noise = np.flatnonzero(where(t, "frames", "envelope", "noise") & (t["seed"] == 1).to_numpy())
    t.loc[noise[:5], "q"] = 0.01
    # 5 false and 10 true findings in one run, none false in the other.
    found = rates.false_discoveries(t)["frames", "envelope"]
    assert found["by_seed"] == [pytest.approx(5 / 15), 0.0]
    assert found["rate"] == pytest.approx(1 / 6)
    assert (found["k"], found["n"]) == (5, 25)


# ------------------------------------------------------------------------------- the message


def test_one_message_names_all_that_is_off_and_the_job_ends_in_failure(tmp_path):
    t = table()
    t["peak_lag"] -= 0.05
    t["layer"] = 4
    found = rates.result(t, SETTINGS)
    assert found["passed"] is False
    with pytest.raises(
        InputError, match=r"(?s)the self-test is off in 2 of .*the lag of.*the layer of"
    ):
        rates.demand(found, where="selftest.json")
    path = tmp_path / "selftest.json"
    path.write_text(json.dumps(found))
    given = SimpleNamespace(
        input=SimpleNamespace(result=str(path)), log=[str(tmp_path / "log")], threads=1
    )
    script = str(ROOT / "workflow/scripts/selftest.py")
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(script, init_globals={"snakemake": given})
    assert ended.value.code == 1
    path.write_text(json.dumps(rates.result(table(), SETTINGS)))
    runpy.run_path(script, init_globals={"snakemake": given})


def test_a_result_without_checks_is_no_success():
    with pytest.raises(InputError, match="the self-test is off in 0 of 0 checks"):
        rates.demand({"checks": []}, where="selftest.json")


def test_the_result_has_the_promised_keys_and_page_and_figure(tmp_path):
    found = rates.result(table(), SETTINGS)
    page.write(found, result=tmp_path / "r.json", page=tmp_path / "r.md", figure=tmp_path / "r.png")
    written = json.loads((tmp_path / "r.json").read_text())
    assert written["false_positive_rate"] == pytest.approx(0.05, abs=0.01)
    assert written["sensitivity"]["acoustic"] == {"0.01": 0.0, "1": 1.0}
    assert written["contaminated_found"] == 1.0
    assert written["clean_flagged"] == 0.0
    assert written["false_discovery_rate"] == 0.0
    assert written["lag_error_s"] < 0.02
    assert written["layer_error"] == 0.0
    assert (tmp_path / "r.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    text = (tmp_path / "r.md").read_text()
    assert "All checks passed" in text
    for seed in SETTINGS.seeds:
        assert f"| {seed} |" in text


# ------------------------------------------------------------------------------- the worlds


def test_layers_are_alike_as_told_and_the_same_for_all_participants():
    words = [f"w{k}" for k in range(3000)]
    layers, control = worlds.language_layers(words, seed=3)
    for near, far, expected in ((0, 1, 0.8), (1, 3, 0.64), (0, 3, 0.8**3)):
        r = np.corrcoef(layers[near][:, 0], layers[far][:, 0])[0, 1]
        assert r == pytest.approx(expected, abs=0.04)
    assert abs(np.corrcoef(layers[2][:, 0], control[:, 0])[0, 1]) < 0.06
    assert layers[2].var(axis=0)[[0, 3]] == pytest.approx([1, 1 / 8], rel=0.1)
    again, _ = worlds.language_layers(words[::-1], seed=3)
    assert np.array_equal(layers, again)


SMALL = replace(
    SETTINGS, seeds=(3,), participants=1, noise=8, planted=2, permutations=119,
    snr_frames=(0.1, 1.0), snr_words=(4.0, 30.0), contamination_db=(-5.0,),
)  # fmt: skip


@pytest.fixture(scope="module")
def world():
    spoken_words = spoken.read_words(ROOT / "resources/demo-words")
    return worlds.simulate(SMALL, spoken_words, seed=3, number=1)


def fitted(world, folder, monkeypatch, fits):
    """The electrode table of the small world, of some fits alone."""
    for module in (files, stages):
        monkeypatch.setattr(module, "FITS", fits)
    stages.run(world, SMALL, participant="sub-01", seed=3, folder=folder / "3")
    return rates.electrodes_of(folder, SMALL)


def test_the_stages_find_what_was_planted_at_its_lag_and_the_microphone(
    world, tmp_path, monkeypatch
):
    fits = {"frames": ("envelope", "word-onoff"), "lags": ("envelope",)}
    t = fitted(world, tmp_path, monkeypatch, fits)
    found = rates.sensitivities(t, rates.supported)
    assert found["acoustic"][1.0]["rate"] == found["speech-on-off"][1.0]["rate"] == 1
    assert rates.audited(t).query("kind == 'contaminated'")["flagged"].all()
    assert not rates.audited(t).query("kind == 'noise'")["flagged"].any()
    peaks = rates.lag_errors(t).query("level == 1")
    assert len(peaks) == 2 and peaks["error"].max() < 0.02


def frames_in_any_order(segment, *, count, min_shift, seed):
    """A broken null: it does not keep the autocorrelation of the frames."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(len(segment)) for _ in range(count)])


@pytest.mark.parametrize("broken", [False, True])
def test_a_null_that_forgets_the_autocorrelation_is_caught(world, monkeypatch, broken):
    made = stages.prepare(world)
    n, rng = made.signal.sizes["time"], np.random.default_rng(4)
    # Noise that changes within a second or so, and has nothing to do with the sound.
    noise = lfilter([1], [1, -0.99], rng.standard_normal((n, 120)), axis=0) + 1000
    signal = made.signal.isel(channel=np.zeros(120, int))
    made = replace(made, signal=signal.assign(high_gamma=(("time", "channel"), noise)))
    if broken:
        monkeypatch.setattr(fit, "circular_shifts", frames_in_any_order)
    analysis = replace(stages.analysis_of(SMALL, "frames", "envelope"), alpha=100.0)
    scores = fit_analysis(
        stages.samples_of(made, "frames", "envelope", analysis),
        analysis=analysis,
        layers=[0],
        seed=3,
    )
    t = table()
    mine = np.flatnonzero(where(t, "frames", "envelope", "noise"))
    t.loc[mine[:120], "p"] = scores["p"].values[0]
    t = t.drop(index=mine[120:])
    assert ("false positives, frames with envelope" in off(t)) == broken


def test_the_self_test_measures_what_users_run():
    config = settings.checked(
        {"dataset": {"root": "x"}, "models": ["mel"], "analyses": {"a": {"unit": "frame"}}}
    )
    users = analysis_from(settings.fit_settings(config, "a", "mel"))
    for name, models in files.FITS.items():
        for model in models:
            analysis = stages.analysis_of(SMALL, name, model)
            for key in ("penalties", "inner_folds", "null_penalties", "standardize", "gap"):
                assert getattr(analysis, key) == getattr(users, key)


def test_a_split_that_leaks_supports_nothing(world, tmp_path, monkeypatch):
    real = stages.analyses

    def leaky(settings):
        made = real(settings)
        made["frames"]["split"] = "shuffled"
        return made

    monkeypatch.setattr(stages, "analyses", leaky)
    t = fitted(world, tmp_path, monkeypatch, {"frames": ("envelope",)})
    failed = {c.name for c in rates.checks(t, SMALL) if not c.passed}
    assert "acoustic electrodes supported at the highest ratio, 1" in failed


# ---------------------------------------------------------------------------------- the graph


def test_the_self_test_needs_no_data_set_and_has_a_job_for_each_participant(tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    config = tmp_path / "seeds.yaml"
    config.write_text("selftest: {seeds: [7, 8, 9], participants: 2}")
    plan = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "selftest", "--cores", "1", "--dry-run"),
            *("--snakefile", str(ROOT / "Snakefile"), "--directory", str(tmp_path)),
            *("--configfile", str(config)),
        ],
        cwd=ROOT, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert plan.returncode == 0, plan.stderr
    counts = dict(
        line.split() for line in plan.stdout.splitlines() if line.startswith("selftest")
        and len(line.split()) == 2
    )  # fmt: skip
    assert counts == {
        "selftest_participant": "6",
        "selftest_battery": str(len(files.BATTERY) * SelftestSettings().scenes),
        "selftest_audit": str(len(AUDIT_CASES)),
        "selftest_intervals": "1",
        "selftest_rates": "1",
        "selftest": "1",
    }
