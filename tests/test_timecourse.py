"""Around the onset of the voice: which moments the recreated activity tells apart."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import xarray as xr
from scipy.ndimage import gaussian_filter1d
from scipy.stats import pearsonr
from test_encoding import fit_frames, frame_world, word_table

from highgamma import timecourse
from highgamma.errors import InputError
from highgamma.report.evidence import Evidence
from highgamma.report.figures import around_onset, trial_by_trial
from highgamma.store import read_dataset, write_dataset
from highgamma.timecourse import Course, HeldOut
from highgamma.timecourse.trials import frame_step

RATE = 50.0
N = 40  # trials


def words(n=N, *, voice=0.5, missing=()):
    """A word every 3 s; the voice starts some time after the prompt, a little later each time."""
    onset = 3.0 * np.arange(n) + 1.0
    start = onset + voice + 0.003 * np.arange(n)
    start[list(missing)] = np.nan
    return pd.DataFrame(
        {"segment": 0, "word": [f"w{k}" for k in range(n)], "onset": onset, "offset": onset + 2.0,
         "voice_onset": start, "voice_offset": start + 0.4}
    )  # fmt: skip


def held_out(observed, predicted, *, time=None, segment=None):
    n, channels = observed.shape
    names = xr.Variable("channel", [f"LA{k}" for k in range(channels)])
    return HeldOut(
        observed=observed,
        predicted=predicted,
        time=np.arange(n) / RATE if time is None else time,
        segment=np.zeros(n, dtype=np.int64) if segment is None else segment,
        r=np.zeros(channels),
        skill=np.linspace(0.5, 0.1, channels),
        channels={"channel": names},
        units="µV",
        distance_s=0.5,
        leaky=False,
    )


def planted(*, lag, seed=0, channels=6, strength=2.0):
    """Each trial has an amplitude, which the activity shows at a lag and which is predicted."""
    rng = np.random.default_rng(seed)
    table = words()
    n = int(130 * RATE)
    drive = np.zeros(n)
    for onset, amplitude in zip(table["voice_onset"], rng.normal(size=N), strict=True):
        at = (onset + lag) * RATE
        drive += amplitude * np.exp(-0.5 * ((np.arange(n) - at) / 3) ** 2)

    def noise():
        smooth = gaussian_filter1d(rng.standard_normal((n, channels)), 3, axis=0)
        return smooth / smooth.std()

    observed = strength * drive[:, None] + noise()
    predicted = strength * drive[:, None] + noise()
    observed[:, -1], predicted[:, -1] = noise()[:, 0], noise()[:, 0]
    return held_out(observed, predicted), table


def explained_by(table, time):
    """Columns (trial, k) of what is taken out of both sides at a time (trial,), s."""
    onset, stop = table["voice_onset"].to_numpy(), table["voice_offset"].to_numpy()
    since = (onset - onset[0]) / (onset[-1] - onset[0])
    slow = int(2 * (onset[-1] - onset[0]) / 60)
    columns = [np.cos(np.pi * j * since) for j in range(slow + 1)]
    for k in range(-6, 7):
        at = time - round(0.05 * k, 2)
        columns.append([any(a <= t < b for a, b in zip(onset, stop, strict=True)) for t in at])
    return np.column_stack(columns)


# ------------------------------------------------------------------------------- held-out frames


def test_layers_in_one_file_or_in_several_give_the_same_frames(tmp_path):
    neural, embeddings = frame_world(seconds=60, noise=3.0)
    for name, batches in (("one", [[0, 7]]), ("two", [[0], [7]])):
        for batch in batches:
            path = tmp_path / name / f"frames/sub-01/text/{batch[0]:02d}-{batch[-1]:02d}.nc"
            fit = fit_frames(neural, embeddings, layers=batch)
            write_dataset(fit, path, stage="encoding", parameters={})
    one, two = (
        timecourse.read_held_out((tmp_path / name).rglob("*.nc")) for name in ("one", "two")
    )
    both = fit_frames(neural, embeddings, layers=[0, 7])
    assert len(np.unique(both.chosen_layer)) == 2  # folds differ in what they choose
    np.testing.assert_array_equal(one.predicted, two.predicted)
    np.testing.assert_array_equal(one.observed, two.observed)
    # Frames count from their fold's training mean, as the scores do.
    r = [pearsonr(one.observed[:, c], one.predicted[:, c])[0] for c in range(4)]
    np.testing.assert_allclose(r, one.r, atol=1e-6)
    skill = 1 - ((one.observed - one.predicted) ** 2).sum(0) / (one.observed**2).sum(0)
    np.testing.assert_allclose(skill, one.skill, atol=1e-6)


def test_scores_of_words_have_no_time_course(tmp_path):
    path = tmp_path / "words/sub-01/text/00.nc"
    fit = fit_frames(*frame_world(seconds=30), layers=[0]).assign_attrs(unit="word")
    write_dataset(fit, path, stage="encoding", parameters={})
    with pytest.raises(InputError, match="the scores are of words"):
        timecourse.read_held_out([path])


# ---------------------------------------------------------------------------------------- trials


def test_a_trial_is_the_nearest_frames_within_its_segment():
    # Frames 9.77 or 10.74 ms apart, as 1024 Hz makes them, in two recordings, with a hole.
    sample = np.floor(np.arange(3000) * 10.24)
    time = np.concatenate([sample, sample]) / 1024
    segment = np.repeat([0, 1], 3000)
    kept = ~((segment == 1) & (time > 10.2) & (time < 10.3))
    time, segment = time[kept], segment[kept]
    table = word_table(16, segments=2)
    found = timecourse.find_trials(time, segment, table, window=(-0.5, 1.0))
    assert found.aligned_to == "voice" and found.n_without_onset == 4
    assert timecourse.frame_step(time, segment) == pytest.approx(0.01, abs=1e-5)
    assert found.time[0] == pytest.approx(-0.5) and found.time[-1] == pytest.approx(1.0)
    assert len(found.time) == 151
    expected = []
    for k, row in table.iterrows():
        wanted = row["voice_onset"] + found.time
        own = np.flatnonzero(segment == row["segment"])
        distance = np.abs(time[own][:, None] - wanted)
        if np.isfinite(row["voice_onset"]) and distance.min(axis=0).max() < 0.006:
            expected.append(k)
            taken = time[found.index[found.word_index == k][0]]
            assert np.abs(taken - wanted).max() == pytest.approx(distance.min(axis=0).max())
    assert found.word_index.tolist() == expected
    assert found.n_incomplete == 1  # a part of it is in the hole


def test_without_a_voice_trials_count_from_the_prompt():
    time, segment = np.arange(0, 130, 1 / RATE), np.zeros(6500, dtype=int)
    few = timecourse.find_trials(time, segment, words(missing=range(1, N)), window=(0, 1))
    assert few.aligned_to == "prompt" and few.n_without_onset == 0
    assert time[few.index[0, 0]] == pytest.approx(1.0)
    most = timecourse.find_trials(time, segment, words(missing=[3]), window=(0, 1))
    assert most.aligned_to == "voice" and most.n_without_onset == 1
    assert 3 not in most.word_index


# ----------------------------------------------------------------------------------- the numbers


def test_r_at_each_time_is_pearsons_over_trials():
    frames, table = planted(lag=0.2)
    found = timecourse.timecourse(frames, table, permutations=0)
    onset = table["voice_onset"].to_numpy()
    for t in (0, 20, 35, 75):
        at = np.abs(np.arange(6500) / RATE - onset[:, None] - found.time.values[t]).argmin(axis=1)
        X = explained_by(table, at / RATE)
        for c in (0, 5):
            sides = [values[at, c] for values in (frames.observed, frames.predicted)]
            left = [y - X @ np.linalg.lstsq(X, y, rcond=None)[0] for y in sides]
            # Drift is counted by the frames nearest to the onsets.
            assert float(found.r[c, t]) == pytest.approx(pearsonr(*left)[0], abs=1e-4)
            assert float(found.measured[c, t]) == pytest.approx(frames.observed[at, c].mean())
    assert np.isnan(found.p).all() and np.isnan(found.band).all()


def test_the_greatest_r_of_a_surrogate_is_that_of_a_plain_loop():
    rng = np.random.default_rng(0)
    y, f = rng.normal(size=(2, 12, 7))
    orders = np.stack([rng.permutation(12) for _ in range(5)])
    factor = np.linspace(1.0, 1.2, 7)
    expected = [max(factor[t] * pearsonr(y[o, t], f[:, t])[0] for t in range(7)) for o in orders]
    greatest = timecourse.greatest_r(y, f, orders, inflation=factor)
    np.testing.assert_allclose(greatest, expected)


def test_trials_are_shifted_whole_within_their_recordings_and_each_way_once():
    orders = timecourse.trial_shifts(np.array([0] * 4), count=50, seed=1)
    assert sorted(map(tuple, orders)) == [(1, 2, 3, 0), (2, 3, 0, 1), (3, 0, 1, 2)]
    segment = np.array([0, 0, 0, 1, 2, 2, 2, 2])
    several = timecourse.trial_shifts(segment, count=5, seed=1)
    assert several.shape == (5, 8)
    assert (segment[several] == segment).all() and (several[:, 3] == 3).all()
    assert len(timecourse.trial_shifts(segment, count=50, seed=1)) == 6


@pytest.mark.parametrize("kind", ["on-off", "late", "drift"])
def test_an_electrode_of_speech_or_drift_alone_leaves_the_band_as_seldom_as_noise(kind):
    rng = np.random.default_rng(5)
    table = words()
    table["voice_offset"] = table["voice_onset"] + rng.uniform(0.2, 0.9, N)
    at = np.arange(6500) / RATE
    lag = 0.15 if kind == "late" else 0.0
    speech = np.zeros(6500)
    for a, b in zip(table["voice_onset"], table["voice_offset"], strict=True):
        speech[(at >= a + lag) & (at < b + lag)] = 1.0
    drive = (at / at[-1] - 0.5) * 3 if kind == "drift" else speech
    noise = gaussian_filter1d(rng.standard_normal((2, 6500, 200)), 3, axis=1)
    found = timecourse.timecourse(
        held_out(*(2 * drive[:, None] + noise / noise.std())), table, best=0
    )
    assert (found.r.values > found.band.values[:, None]).any(axis=1).mean() < 0.1


@pytest.mark.parametrize("lag", [-0.2, 0.3])
def test_activity_is_found_when_it_happens(lag):
    frames, table = planted(lag=lag, strength=3.0)
    found = timecourse.timecourse(frames, table, permutations=200)
    r = found.r.values[:5].mean(axis=0)
    assert found.time.values[r.argmax()] == pytest.approx(lag, abs=0.05)
    significant = found.p.values[:5] <= 0.05
    near = np.abs(found.time.values - lag) < 0.025
    assert significant[:, near].all()
    assert not significant[:, np.abs(found.time.values - lag) > 0.4].any()
    np.testing.assert_array_equal(
        found.p.values <= 0.05, found.r.values > found.band.values[:, None]
    )


def test_noise_is_significant_anywhere_in_one_electrode_of_twenty():
    rng = np.random.default_rng(3)
    noise = gaussian_filter1d(rng.standard_normal((2, 6500, 300)), 3, axis=1)
    found = timecourse.timecourse(held_out(*noise), words(), permutations=199, best=0)
    false = (found.p.values <= 0.05).any(axis=1).mean()
    # 300 electrodes at 5 %: between 1.8 % and 9 % with a probability above .99.
    assert 0.018 < false < 0.09


def test_what_sets_recordings_apart_is_no_activity_around_the_onset():
    # The second recording is louder and its prediction higher, and neither follows the words.
    rng = np.random.default_rng(4)
    noise = gaussian_filter1d(rng.standard_normal((2, 6500, 300)), 3, axis=1)
    time = np.tile(np.arange(3250) / RATE, 2)
    segment = np.repeat([0, 1], 3250)
    noise[:, segment == 1] += 2.0 * noise.std()
    table = words()
    table["segment"] = np.repeat([0, 1], N // 2)
    table.loc[N // 2 :, ["onset", "voice_onset", "voice_offset"]] -= 3.0 * (N // 2)
    frames = held_out(*noise, time=time, segment=segment)
    found = timecourse.timecourse(frames, table, permutations=199, best=0)
    assert found.attrs["trials"] == N
    false = (found.p.values <= 0.05).any(axis=1).mean()
    assert 0.018 < false < 0.09


def test_recordings_of_one_trial_each_leave_nothing_to_compare():
    frames, table = planted(lag=0.2)
    segment = np.searchsorted(table["onset"].to_numpy() + 2.0, frames.time)
    table["segment"] = np.arange(N)
    found = timecourse.timecourse(replace(frames, segment=segment), table, permutations=50)
    assert found.attrs["trials"] == N
    assert np.isnan(found.r.values).all() and np.isnan(found.p.values).all()


def test_a_prediction_that_is_the_same_in_all_trials_has_no_correlation():
    frames, table = planted(lag=0.2)
    frames.predicted[:, 0] = 0.0
    found = timecourse.timecourse(frames, table, permutations=50)
    assert np.isnan(found.r[0]).all() and np.isnan(found.p[0]).all()
    assert np.isfinite(found.r[1]).all()


def test_few_trials_give_no_correlation(caplog):
    frames, table = planted(lag=0.2)
    found = timecourse.timecourse(frames, table.iloc[:5], permutations=50)
    assert found.attrs["trials"] == 5 and np.isnan(found.r).all()
    assert "5 whole trials, too few for a time course" in caplog.text


def test_single_trials_are_kept_of_the_best_electrodes(tmp_path):
    frames, table = planted(lag=0.2)
    found = timecourse.timecourse(frames, table, permutations=20, best=2)
    assert found["best"].values.tolist() == ["LA0", "LA1"]
    np.testing.assert_allclose(
        found.measured_trials.mean("trial").values, found.measured.values[:2], atol=1e-6
    )
    for name in ("a", "b"):
        again = timecourse.timecourse(frames, table, permutations=20, best=2)
        write_dataset(again, tmp_path / f"{name}.nc", stage="timecourse", parameters={})
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()
    back = read_dataset(tmp_path / "a.nc")
    assert back["time"].attrs["units"] == "s" and back["measured"].attrs["units"] == "µV"


# ------------------------------------------------------------------------------ over participants


def test_a_region_is_the_mean_over_its_electrodes_with_an_interval():
    rng = np.random.default_rng(0)
    time = np.linspace(-0.5, 1, 11)
    courses, regions = [], {}
    for k in range(4):
        r = np.tanh(rng.normal(0.3, 0.1, (5, 11)) + rng.normal(0, 0.1))
        values = xr.Dataset(
            {"r": (("channel", "time"), r)}, coords={"channel": list("abcde"), "time": time}
        )
        courses.append(Course("frames", f"sub-{k}", "mel", values))
        regions |= {(f"sub-{k}", e): "S_central" for e in "abc"}
        regions |= {(f"sub-{k}", "d"): "Insula"}
    (one,) = timecourse.by_region(courses, regions=regions)
    assert (one.region, one.n_participants, one.n_electrodes) == ("S_central", 4, 12)
    z = np.stack([np.arctanh(c.values["r"].values[:3]).mean(axis=0) for c in courses])
    np.testing.assert_allclose(one.r, np.tanh(z.mean(axis=0)))
    half = scipy.stats.t.ppf(0.975, 3) * z.std(axis=0, ddof=1) / 2
    np.testing.assert_allclose(one.low, np.tanh(z.mean(axis=0) - half))
    assert (one.low < one.r).all() and (one.r < one.high).all()


# ------------------------------------------------------------------------------------- figures


def evidence(flags=""):
    """Three participants whose electrodes are those of `planted`, in one region."""
    rows = [
        {"analysis": "frames", "participant": f"sub-{k}", "electrode": f"LA{c}", "model": "mel",
         "region": "ctx_lh_S_central", "layer": 0, "r": 0.7 - 0.1 * c, "skill": 0.5 - 0.1 * c,
         "q": 0.01, "flags": flags, "verdict": "supported"}
        for k in range(3) for c in range(6)
    ]  # fmt: skip
    # What a figure of time courses looks at; it must ask for nothing else.
    given = {
        "config": {},
        "electrodes": pd.DataFrame(rows),
        "arrays": xr.Dataset(attrs={"analyses": "{}"}),
    }
    return Evidence(**(dict.fromkeys(field.name for field in fields(Evidence)) | given))


@pytest.fixture(scope="module")
def courses():
    made = []
    for k in range(3):
        frames, table = planted(lag=0.2, seed=k)
        values = timecourse.timecourse(frames, table, permutations=40, best=2)
        made.append(Course("frames", f"sub-{k}", "mel", values))
    return made


def test_single_trials_are_drawn_of_electrodes_that_kept_them(courses):
    figure = trial_by_trial(evidence(), courses, "frames")
    assert "4 electrodes" in figure.alt and "voice onset" in figure.alt
    assert trial_by_trial(evidence(), courses, "words") is None


def test_the_course_of_r_is_drawn_of_clean_electrodes(courses):
    figure = around_onset(evidence(), courses, "frames")
    peak = float(figure.alt.split("peaks at ")[1].split(" ms")[0])
    assert peak == pytest.approx(200, abs=60)
    assert "2 panels" in figure.alt
    assert around_onset(evidence(flags="contaminated"), courses, "frames") is None


def test_frames_of_no_fit_or_of_several_are_refused(tmp_path):
    fit = fit_frames(*frame_world(seconds=30), layers=[0])
    paths = [tmp_path / f"frames/sub-0{k}/text/00.nc" for k in (1, 2)]
    for path in paths:
        write_dataset(fit, path, stage="encoding", parameters={})
    with pytest.raises(InputError, match="2 fits where one is expected"):
        timecourse.read_held_out(paths)


def test_samples_that_are_no_neighbours_have_no_step():
    with pytest.raises(InputError, match="there are no neighbouring frames"):
        frame_step(np.arange(3.0), np.arange(3))
