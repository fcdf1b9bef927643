"""The battery: scenes in which it is known what electrodes follow, and what is counted there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from wordfreq import zipf_frequency

from highgamma.selftest import battery, counts, files, intervals
from highgamma.selftest.cases import CONFIGURATIONS, PLAIN
from highgamma.selftest.scenes import FRAME_KINDS, RATE, WORD_KINDS, Scene

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "config"


# ------------------------------------------------------------------------------------- scenes


@pytest.fixture(scope="module")
def scene():
    return Scene(1)


def test_a_fifth_of_the_noise_is_a_trend_and_nothing_is_slower_than_100_s(scene):
    noise = scene.noise(300, "test")
    t = np.arange(len(noise)) - np.arange(len(noise)).mean()
    slope = t @ noise / (t @ t)
    assert (slope**2 * (t @ t) / len(t)).mean() == pytest.approx(0.2, abs=0.02)
    power = np.abs(np.fft.rfft(noise - t[:, None] * slope, axis=0)[1:]) ** 2
    frequency = np.fft.rfftfreq(len(noise), 1 / RATE)[1:]
    band = (frequency > 0.05) & (frequency < 5)
    log = np.log(power[band].mean(axis=1))
    assert np.polyfit(np.log(frequency[band]), log, 1)[0] == pytest.approx(-1, abs=0.05)


def test_recordings_differ_in_level():
    noise = Scene(1, recordings=3).noise(200, "test")
    levels = noise.reshape(3, -1, 200).mean(axis=1)
    assert levels.std(axis=0).mean() > 0.5
    assert Scene(1, recordings=3).segment.tolist() == [0] * 2000 + [1] * 2000 + [2] * 2000


def test_the_voice_grows_softer_by_6_db():
    slopes = [
        np.polyfit(np.linspace(-0.5, 0.5, len(s.loudness)), s.loudness, 1)[0]
        for s in map(Scene, range(1, 31))
    ]
    assert np.mean(slopes) == pytest.approx(np.log(0.5), abs=0.1)


def test_means_over_windows_are_those_of_a_plain_loop(scene):
    values = scene.noise(2, "test")
    means = scene.means(values, (0.1, 0.9))
    for k in (0, 7, 99):
        onset = scene.words["onset"][k]
        rows = [i for i in range(len(values)) if onset + 0.1 <= scene.time[i] < onset + 0.9]
        np.testing.assert_allclose(means[k], values[rows].mean(axis=0))


@pytest.mark.parametrize("kind", FRAME_KINDS)
def test_electrodes_of_frames_follow_one_thing_at_the_ratio_that_was_asked_for(scene, kind):
    plain = scene.noise(3, f"{kind} 0.4")
    driven = scene.electrodes(kind, snr=0.4, count=3) - plain
    assert driven.std(axis=0) ** 2 == pytest.approx([0.4] * 3)
    assert np.corrcoef(driven.T).min() == pytest.approx(1)


@pytest.mark.parametrize("kind", [kind for kind in WORD_KINDS if kind != "drift"])
def test_electrodes_of_words_have_the_ratio_in_the_words_windows(scene, kind):
    plain = scene.noise(3, f"{kind} 4")
    driven = scene.electrodes(kind, snr=4.0, count=3, window=(0.0, 1.0)) - plain
    ratio = scene.means(driven, (0, 1)).var(axis=0) / scene.means(plain, (0, 1)).var(axis=0)
    assert ratio == pytest.approx([4.0] * 3)


def test_an_electrode_of_speech_is_on_while_a_word_is_said(scene):
    drive = scene.drive("on-off", np.zeros((100, 1)))[:, 0]
    said = np.zeros(len(drive), dtype=bool)
    for a, b in zip(scene.words["voice_onset"], scene.words["voice_offset"], strict=True):
        said |= (scene.time >= a) & (scene.time < b)
    assert (drive[said] > 0).all() and (drive[~said] < 0).all()
    late = scene.drive("on-off-late", np.zeros((100, 1)))[:, 0]
    np.testing.assert_array_equal(late[3:], drive[:-3])


def test_meaning_says_nothing_of_frequency_or_length_and_word_vectors_do(scene):
    said = scene.words["word"]
    known = {
        "frequency": [zipf_frequency(word, "nl") for word in said],
        "length": [float(len(word)) for word in said],
    }
    directions = np.random.default_rng(0).standard_normal((32, 5))
    vectors = scene.vectors("gpt2")[2]
    meaning = scene._without_nuisances(vectors @ directions)
    for values in known.values():
        assert np.abs([np.corrcoef(m, values)[0, 1] for m in meaning.T]).max() < 1e-8
        assert max(abs(np.corrcoef(v, values)[0, 1]) for v in vectors.T) > 0.3


def test_the_same_seed_gives_the_same_electrodes_and_another_one_others():
    a, b, c = (Scene(seed).electrodes("drift", snr=0.1, count=2) for seed in (1, 1, 2))
    assert np.array_equal(a, b) and not np.allclose(a, c)


# ------------------------------------------------------------------------------------ analyses


@pytest.mark.parametrize("case", CONFIGURATIONS)
def test_the_analyses_are_those_that_are_shipped(case):
    file, name = CONFIGURATIONS[case]
    shipped = yaml.safe_load((CONFIG / file).read_text("utf-8"))["analyses"][name]
    chosen = battery.configured(case, CONFIG)
    assert chosen.controls == shipped["controls"]
    for key in ("split", "estimator", "folds", "gap", "window", "lags"):
        if key in shipped:
            assert chosen.config["analyses"][name][key] == shipped[key]
    assert {"position", f"{chosen.unit}-nuisances"} <= set(chosen.models)
    assert all(chosen.fit(m).permutations == battery.SURROGATES for m in chosen.findings())


@pytest.mark.parametrize("case", PLAIN)
def test_further_analyses_state_their_split_and_estimator(case):
    chosen = battery.configured(case, CONFIG)
    stated = {k: v for k, v in PLAIN[case].items() if k not in ("recordings", "permutations")}
    filled = chosen.config["analyses"][case]
    for key in ("unit", "split", "estimator", "null_penalties", "choose_by", "lag_mode"):
        if key in stated:
            assert filled[key] == stated[key]


def test_a_case_is_fitted_judged_and_told_apart():
    table = battery.electrodes("demo-words", folder=CONFIG, seed=1, count=1)
    groups = battery.planted(battery.configured("demo-words", CONFIG), count=1, sizes_alone=False)
    n = sum(group.count for group in groups)
    assert set(table["model"]) == {
        "mel", "minilm", "minilm-untrained", "position", "word-nuisances"
    }  # fmt: skip
    assert table.groupby("model").size().eq(n).all()
    assert set(table["model"][table["finding"]]) == set(table["model"][table["own"]]) == {"minilm"}
    own = table[table["own"]].set_index(["kind", "snr"])
    assert own.loc[("meaning", 16.0), "verdict"] == "supported"
    noise = own.loc["noise"]
    assert not (noise["verdict"] == "supported").any()
    assert table["left_band"].isna().all()


def test_time_courses_are_judged_where_there_are_frames():
    table = battery.electrodes("demo-frames", folder=CONFIG, seed=1, count=1)
    finding = table["finding"]
    assert table["left_band"][finding].isin([0, 1]).all()
    assert table["left_band"][~finding].isna().all()


# -------------------------------------------------------------------------------------- counts


def rows(case, kind, *, n=100, p=0.05, supported=0.0, snr=0.4, **columns):
    """Electrodes of which `p` have p ≤ .05 and `supported` are supported."""
    few = np.arange(n) < round(p * n)
    good = np.arange(n) < round(supported * n)
    return pd.DataFrame(
        {
            "model": "gpt2", "case": case, "kind": kind, "snr": snr, "equal": False,
            "finding": True, "own": True, "p": np.where(few, 0.01, 0.5),
            "verdict": np.where(good, "supported", "no skill"),
            "left_band": np.nan,
        }
    ).assign(**columns)  # fmt: skip


def whole():
    return pd.concat(
        [
            rows("paper-words", "noise"),
            rows("paper-words", "length", supported=0.04),
            rows("paper-words", "frequency", supported=0.02),
            rows("paper-words", "meaning", supported=0.3, snr=1.0),
            rows("paper-words", "meaning", supported=0.9, snr=4.0),
            rows("paper-frames", "noise", left_band=np.arange(100) < 4),
            rows("paper-frames", "on-off", left_band=np.arange(100) < 6),
            rows("paper-words-equal", "sound", supported=0.03, equal=True, own=False),
        ]
    )


def failed(table, **parts):
    found = counts.added({}, battery=table, **parts)
    assert found["passed"] == all(check["passed"] for check in found["checks"])
    return {check["name"] for check in found["checks"] if not check["passed"]}


def test_shares_are_counted_by_case_kind_and_model():
    found = counts.counted(whole())
    sizes = {size["case"]: (size["rate"], size["n"]) for size in found["sizes"]}
    assert sizes == {
        "paper-words": (0.05, 100), "paper-frames": (0.05, 100),
        "time course of noise, paper-frames": (0.04, 100),
        "time course of on-off, paper-frames": (0.06, 100),
    }  # fmt: skip
    by_kind = {(r["configuration"], r["kind"]): r["supported"] for r in found["nuisances"]}
    assert by_kind["paper-words", "length"] == 0.04
    assert by_kind["paper-words", "frequency"] == 0.02
    assert [(r["snr"], r["rate"]) for r in found["power"]] == [(1.0, 0.3), (4.0, 0.9)]
    assert [(r["kind"], r["supported"]) for r in found["equal_models"]] == [("sound", 0.03)]
    assert failed(whole()) == set()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (rows("words-word", "noise", p=0.09), "size, words-word"),
        (rows("words-word", "noise", p=0.01), "size, words-word"),
        (rows("words-elastic-net", "noise", p=0.01), None),
        (
            rows("paper-frames", "drift", left_band=np.arange(100) < 9),
            "size, time course of drift, paper-frames",
        ),
        (
            rows("demo-words", "length", supported=0.06),
            "supported electrodes of a nuisance alone, demo-words",
        ),
        (
            rows("paper-frames-equal", "sound", supported=0.2, equal=True, own=False),
            "supported equals, paper-frames-equal",
        ),
        (
            rows("demo-words", "meaning", supported=0.4, snr=16.0),
            "electrodes of meaning supported, demo-words, ratio 16",
        ),
    ],
)
def test_a_share_that_is_off_fails_its_check(change, expected):
    assert failed(pd.concat([whole(), change])) == ({expected} if expected else set())


def test_the_audits_cases_have_their_bars():
    audited = [
        {"case": "hum", "clean": True, "rate": 0.06, "n": 400},
        {"case": "clean", "clean": True, "rate": 0.05, "n": 400},
        {"case": "copy", "clean": False, "rate": 0.95, "n": 400},
        {"case": "band", "clean": False, "rate": 0.94, "n": 400},
    ]
    assert failed(whole(), audit=audited) == {
        "flagged by the audit, hum", "flagged by the audit, band"
    }  # fmt: skip


def test_intervals_miss_the_truth_at_their_level():
    measured = intervals.measure(seed=2)
    assert len(measured) == 9 and min(row["n"] for row in measured) >= 400
    assert failed(None, intervals=measured) == set()
    off = [measured[0] | {"rate": 0.12}]
    assert failed(None, intervals=off) == {f"size, {measured[0]['case']}"}


# ---------------------------------------------------------------------------------- the graph


def test_the_parts_of_the_self_test_can_be_chosen(tmp_path):
    config = tmp_path / "audit.yaml"
    config.write_text("selftest: {parts: [audit, intervals], audit_electrodes: 16}")
    run = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "results/selftest/selftest.json", "--cores", "1"),
            *("--snakefile", str(ROOT / "Snakefile"), "--directory", str(tmp_path)),
            *("--configfile", str(config), "--dry-run"),
        ],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    jobs = dict(
        line.split() for line in run.stdout.splitlines()
        if line.startswith("selftest") and len(line.split()) == 2
    )  # fmt: skip
    assert jobs == {"selftest_audit": "8", "selftest_intervals": "1", "selftest_rates": "1"}
    parts = files.part_files("a", "audit", scenes=3)
    assert len(parts) == 8 and parts[0].as_posix() == "a/audit/clean.tsv"
