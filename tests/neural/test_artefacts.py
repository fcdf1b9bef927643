"""Artefacts: each kind is found where it is, bridged before the filter, and left out."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import scipy.signal as ss
from scipy.stats import median_abs_deviation

from highgamma import neural, store
from highgamma.contamination.settings import ContaminationSettings
from highgamma.contamination.spectra import masked_frames
from highgamma.neural.frames import Windows
from highgamma.neural.spans import Mask, bridged, merged
from highgamma.neural.survey import survey
from highgamma.recording.reader import Reader
from highgamma.targets import targets

RATE = 1024.0
STEP = 0.09765625
"""µV: the step of the study's amplifiers."""
SECOND = 1024
KINDS = list(neural.KINDS)


def background(seconds, channels, *, seed=0, rate=RATE):
    """A 1/f² walk and white noise on an offset, digitised."""
    rng = np.random.default_rng(seed)
    n = int(seconds * rate)
    walk = ss.detrend(rng.standard_normal((n, channels)).cumsum(axis=0), axis=0) * 0.3
    return np.rint((walk + rng.standard_normal((n, channels)) * 3 + 400) / STEP) * STEP


def reader(data, rate=RATE):
    return Reader.of_array(data, rate=rate, names=[f"A{i + 1}" for i in range(data.shape[1])])


def found(data, *, piece=2**21, **settings):
    return survey(
        reader(data), artefacts=neural.ArtefactSettings(**settings), piece=piece
    ).artefacts


def computed(data, *, artefacts=None, **settings):
    recordings = [reader(d) for d in (data if isinstance(data, list) else [data])]
    names = neural.Electrodes.from_names(recordings[0].names)
    values = {**settings, "artefacts": artefacts or {}}
    return neural.high_gamma(recordings, names, neural.neural_settings(values))


def spans_of(mask):
    """First sample and the one after the last of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return edges.reshape(-1, 2)


# ------------------------------------------------------------------------------- what is found


def test_clean_recordings_have_none():
    for of in found(background(30, 6)):
        assert all(len(of[kind]) == 0 for kind in KINDS)


def test_a_spike_a_step_a_blank_and_clipping_are_found_where_they_are():
    data = background(30, 5)
    data[10 * SECOND, 0] += 5000
    data[12 * SECOND :, 1] += 800
    data[14 * SECOND : 16 * SECOND, 2] = 0
    limit = data[:, 3].max() + 50
    data[18 * SECOND : 18 * SECOND + 8, 3] = limit
    data[21 * SECOND : 21 * SECOND + 5, 3] = limit
    spike, step, blank, clipped, clean = found(data)
    assert spike["step"].tolist() == [[10 * SECOND - 1, 10 * SECOND + 2]]
    assert step["step"].tolist() == [[12 * SECOND - 1, 12 * SECOND + 1]]
    assert blank["blank"].tolist() == [[14 * SECOND, 16 * SECOND]]
    expected = [[18 * SECOND, 18 * SECOND + 8], [21 * SECOND, 21 * SECOND + 5]]
    assert clipped["clipping"].tolist() == expected
    assert not any(len(clean[kind]) for kind in KINDS)


def test_a_burst_is_found_by_the_root_mean_square_of_its_blocks():
    data = background(60, 2)
    rng = np.random.default_rng(1)
    data[20 * SECOND : 20 * SECOND + 512, 0] += 100 * rng.standard_normal(512)
    loud, clean = found(data)
    assert not len(clean["burst"])
    # The definition, block by block; of 60 s, the thresholds see every second sample or so.
    size = round(0.05 * RATE)
    moves = np.diff(data[:, 0], prepend=data[0, 0])
    blocks = moves[: len(moves) // size * size].reshape(-1, size)
    power = np.sqrt(np.mean(blocks**2, axis=1))
    limit = np.median(power) + 40 * median_abs_deviation(power, scale="normal")
    assert spans_of(power > limit).tolist() == (loud["burst"] // size).tolist()


def test_exactly_repeated_values_count_from_the_length_that_the_settings_give():
    data = background(10, 2)
    data[5 * SECOND : 5 * SECOND + 60, 0] = data[5 * SECOND, 0]
    data[5 * SECOND : 5 * SECOND + 40, 1] = data[5 * SECOND, 1]
    long, short = found(data)
    assert len(long["blank"]) == 1 and not len(short["blank"])
    assert len(found(data, blank=0.03)[1]["blank"]) == 1


def test_the_length_of_the_pieces_changes_nothing():
    data = background(12, 4)
    data[5000:7100, 0] = 0
    data[6000, 1] += 5000
    data[7000:, 2] -= 900
    data[3000:3006, 3] = data[:, 3].min() - 30
    whole = found(data)
    for piece in (4 * 51, 4 * 51 * 3, 4 * 1000, 4 * 51 * 39):
        for one, other in zip(whole, found(data, piece=piece), strict=True):
            for kind in KINDS:
                assert np.array_equal(one[kind], other[kind]), (piece, kind)


def test_a_voice_that_a_channel_records_is_no_artefact():
    data = background(60, 2)
    t = np.arange(len(data)) / RATE
    speaking = (t % 3 < 0.8) * np.abs(np.sin(2 * np.pi * 4 * t))
    voice = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in (1, 2, 3))
    data[:, 0] += 150 * speaking * voice
    contaminated, _ = found(data)
    assert not any(len(contaminated[kind]) for kind in KINDS)


@pytest.mark.parametrize("factor", [1e-6, 1e-3, 1e3, 1e9])
def test_the_unit_of_the_voltage_changes_nothing(factor):
    data = background(10, 2)
    data[4000, 0] += 5000
    data[6000:7000, 1] = 0
    for one, other in zip(found(data), found(data * factor), strict=True):
        assert all(np.array_equal(one[kind], other[kind]) for kind in KINDS)


# ------------------------------------------------------------------------------- what is left out


@pytest.mark.parametrize("method", ["exact", "fft"])
@pytest.mark.parametrize("scale", ["amplitude", "log", "robust"])
def test_without_artefacts_the_mask_changes_no_bit(method, scale):
    data = background(8, 3)
    on = computed(data, method=method, scale=scale)
    off = computed(data, method=method, scale=scale, artefacts={"enabled": False})
    assert np.array_equal(on.values(), off.values())


@pytest.mark.parametrize("method", ["exact", "fft"])
@pytest.mark.parametrize("kind", ["spike", "step", "blank"])
def test_nothing_of_an_artefact_is_left_outside_its_padding(method, kind):
    clean = background(30, 2)
    data = clean.copy()
    begin, end = 10 * SECOND, 12 * SECOND
    if kind == "spike":
        data[begin, 0] += 5000
        end = begin + 1
    elif kind == "step":
        data[begin:, 0] += 5000
        end = begin
    else:
        data[begin:end, 0] = 0
    frames = computed(data, method=method, artefacts={"most": 0})
    values = frames.values()
    expected = computed(clean, method=method, artefacts={"enabled": False}).values()
    missing = np.isnan(values[:, 0])
    half = 26 / RATE
    padded = (frames.time > begin / RATE - 0.25 + half) & (frames.time < end / RATE + 0.25 - half)
    assert missing[padded].all()
    apart = (frames.time < begin / RATE - 0.28) | (frames.time > end / RATE + 0.28)
    assert not missing[apart].any()
    error = np.abs(values - expected)[~missing, 0] / expected[:, 0].std()
    assert error.max() < 0.2
    assert np.array_equal(values[:, 1], expected[:, 1])
    # Without a mask the same frames are far off.
    off = computed(data, method=method, artefacts={"enabled": False}).values()
    assert np.abs(off - expected)[:, 0].max() / expected[:, 0].std() > 3


def test_one_sample_of_5_mv_no_longer_makes_up_a_minutes_variance():
    data = background(60, 1)
    clean = computed(data).values().var()
    data[30 * SECOND] += 5000
    off = computed(data, artefacts={"enabled": False}).values()
    on = computed(data).values()
    assert 1 - clean / off.var() > 0.8
    assert abs(1 - clean / np.nanvar(on)) < 0.02
    assert np.isnan(on).mean() < 0.012


@pytest.mark.parametrize("method", ["exact", "fft"])
def test_a_blank_is_missing_and_no_extreme_under_a_logarithm(method):
    data = background(30, 1)
    data[10 * SECOND : 12 * SECOND] = 0
    off = computed(data, scale="log", method=method, artefacts={"enabled": False}).values()
    on = computed(data, scale="log", method=method)
    values = on.values()[:, 0]
    assert off.min() < -3
    assert np.nanmin(values) > -1.5
    blank = (on.time > 10) & (on.time < 12)
    assert np.isnan(values[blank]).all()


@pytest.mark.parametrize("method", ["exact", "fft"])
def test_a_window_is_the_mean_of_its_samples_that_are_left(method):
    data = background(12, 1)
    data[5 * SECOND] += 5000
    frames = computed(data, window=2.0, shift=0.5, method=method)
    values = frames.values()[:, 0]
    prepared = frames.prepared
    voltage = prepared.recordings[0].read()
    x = ss.detrend(voltage, axis=0)
    for low, high, kind in ((70, 170, "bandpass"), (98, 102, "bandstop"), (148, 152, "bandstop")):
        sos = ss.iirfilter(4, [low / 512, high / 512], btype=kind, output="sos")
        x = ss.sosfiltfilt(sos, x, axis=0)
    envelope = np.abs(ss.hilbert(x, axis=0))[:, 0]
    kept = np.ones(len(data), bool)
    for start, stop in prepared.masks[0].spans[0]:
        kept[start:stop] = False
    assert 0.4 * SECOND < (~kept).sum() < 0.6 * SECOND
    windows = neural.frames_of(prepared, frames.settings)[0]
    for row, (start, stop) in enumerate(zip(windows.start, windows.stop, strict=True)):
        expected = envelope[start:stop][kept[start:stop]].mean()
        if frames.time[row] - 1 > 1 and frames.time[row] + 1 < 11:
            assert values[row] == pytest.approx(expected, rel=1e-10 if method == "exact" else 3e-3)


def test_missing_frames_count_for_nothing_in_a_robust_scale():
    data = background(12, 2)
    data[5 * SECOND, 0] += 5000
    frames = computed(data, scale="robust")
    raw = computed(data).values()
    counted = raw[frames.valid == 1]
    spread = median_abs_deviation(counted, axis=0, scale="normal", nan_policy="omit")
    expected = (raw - np.nanmedian(counted, axis=0)) / spread
    assert np.allclose(frames.values(), expected, rtol=1e-4, equal_nan=True)


@pytest.mark.parametrize("reference", ["car", "shaft", "bipolar", "laplacian"])
def test_an_artefact_reaches_no_other_channel_through_the_reference(reference):
    clean = background(12, 8)
    data = clean.copy()
    data[6 * SECOND :, 3] += 5000
    names = [f"A{i + 1}" for i in range(8)]
    where = neural.Electrodes(
        names=tuple(names),
        regions=(None,) * 8,
        shafts=("A",) * 8,
        contacts=tuple(range(1, 9)),
        positions=np.full((8, 3), np.nan),
        spaces=(None,) * 8,
    )
    settings = neural.neural_settings({"reference": reference})
    made = neural.high_gamma([reader(data)], where, settings)
    whole = neural.high_gamma([reader(clean)], where, settings).values()
    values = made.values()
    made_of = [made.prepared.montage.makers(i) for i in range(len(made.prepared.montage))]
    missing = np.isnan(values).any(axis=0)
    assert list(missing) == [3 in makers for makers in made_of]
    error = np.abs(values - whole)[:, ~missing] / whole.std(axis=0)[~missing]
    assert error.max() < (1.5 if reference in ("car", "shaft") else 1e-12)
    assert made.prepared.artefacts.sum(axis=0).tolist() == missing.astype(int).tolist()


def test_a_channel_that_is_flat_in_one_recording_is_missing_there(caplog):
    first, second = background(8, 2), background(6, 2, seed=1)
    second[:, 1] = 12.5
    frames = computed([first, second], scale="log")
    values = frames.values()
    assert np.isnan(values[frames.segment == 1, 1]).all()
    assert np.isfinite(values[frames.segment == 0]).all()
    assert np.isfinite(values[:, 0]).all()
    assert "channel A2 is flat (one value in all" in caplog.text
    assert "of its samples are left out as artefacts" in caplog.text


def test_words_within_an_artefact_have_no_target_and_others_keep_theirs():
    import pandas as pd

    clean = background(30, 2)
    data = clean.copy()
    data[10 * SECOND : 12 * SECOND, 0] = 0
    onsets = [4.0, 10.5, 13.0, 20.0]
    words = pd.DataFrame(
        {
            "segment": 0,
            "word": list("abcd"),
            "onset": onsets,
            "voice_onset": np.nan,
        }
    )
    electrodes = neural.Electrodes.from_names(["A1", "A2"])

    def made(of, **settings):
        return targets(
            [reader(of)],
            electrodes,
            words,
            neural.neural_settings(settings),
            align="prompt",
            start=0.0,
            stop=1.0,
        ).target.values

    masked, whole = made(data), made(clean, artefacts={"enabled": False})
    assert np.isnan(masked[:, 0]).tolist() == [False, True, False, False]
    assert np.array_equal(masked[:, 1], whole[:, 1])
    assert np.allclose(masked[[0, 2, 3], 0], whole[[0, 2, 3], 0], rtol=1e-2)


def test_the_file_and_the_log_count_what_is_left_out(tmp_path, caplog):
    data = background(10, 3)
    data[4 * SECOND, 0] += 5000
    data[2 * SECOND : 8 * SECOND, 2] = 0
    with caplog.at_level(logging.INFO, logger="highgamma"):
        frames = computed(data)
    assert "blank 1, clipping 0, step 1, burst 0, in 2 of 3 channels" in caplog.text
    assert "channel A3: 65 % of its samples are left out" in caplog.text
    neural.write_frames(frames, tmp_path / "a.nc", name="high-gamma", parameters={})
    written = store.read_dataset(tmp_path / "a.nc")
    assert written.artefacts.sel(kind="step").values.tolist() == [1, 0, 0]
    assert written.artefacts.sel(kind="blank").values.tolist() == [0, 0, 1]
    expected = [(2 * 256 + 3) / 10240, 0, (6 * 1024 + 2 + 512) / 10240]
    assert np.allclose(written.masked_share, expected)
    assert written.attrs["artefact_channels"] == 2
    assert np.isnan(written.high_gamma.values[:, 0]).any()
    assert not np.isnan(written.high_gamma.values[:, 1]).any()


# ------------------------------------------------------------------------------- spans and masks


def test_masks_count_and_silence_samples_as_a_plain_mask_does():
    rng = np.random.default_rng(0)
    plain = rng.random((3, 400)) < [[0.1], [0.5], [0.0]]
    mask = Mask(tuple(spans_of(row) for row in plain))
    start = np.sort(rng.integers(0, 390, 50))
    stop = np.minimum(start + rng.integers(1, 60, 50), 400)
    counts = mask.masked(Windows(start, stop))
    expected = [[row[a:b].sum() for a, b in zip(start, stop, strict=True)] for row in plain]
    assert np.array_equal(counts, expected)
    assert np.allclose(mask.share(400), plain.mean(axis=1))
    for first, last in ((0, 400), (37, 112), (399, 400)):
        values = np.ones((3, last - first))
        mask.silence(values, first=first, signals=range(3))
        assert np.array_equal(values == 0, plain[:, first:last])


def test_spans_are_joined_where_they_touch_or_lie_near():
    spans = np.array([[50, 60], [0, 10], [10, 20], [55, 70], [75, 80]])
    assert merged(spans).tolist() == [[0, 20], [50, 70], [75, 80]]
    assert merged(spans, apart=5).tolist() == [[0, 20], [50, 80]]


def test_a_bridge_is_the_same_in_any_stretch_and_any_channels():
    data = background(2, 4)
    spans = [np.array([[100, 300], [900, 1000]]), np.empty((0, 2), int)]
    spans += [np.array([[0, 50]]), np.array([[2000, 2048]])]
    read = bridged(reader(data), spans)
    whole = read.read()
    assert np.array_equal(whole[:, 1], data[:, 1])
    rise = 0.5 - 0.5 * np.cos(np.pi * np.arange(1, 201) / 201)
    expected = data[99, 0] + (data[300, 0] - data[99, 0]) * rise
    assert np.allclose(whole[100:300, 0], expected)
    assert (whole[:50, 2] == data[50, 2]).all()
    assert (whole[2000:, 3] == data[1999, 3]).all()
    for start, stop in ((0, 150), (150, 250), (299, 301), (950, 2048)):
        assert np.array_equal(read.read(start, stop), whole[start:stop])
        some = read.select(["A4", "A1"])
        assert np.array_equal(some.read(start, stop), whole[start:stop, [3, 0]])


def test_frames_of_the_audit_that_touch_masked_samples_are_left_out():
    mask = Mask((np.array([[5000, 6000]]), np.empty((0, 2), int)))
    settings = ContaminationSettings()
    times = np.arange(1, 10, settings.shift)
    hidden = masked_frames(mask, reader(np.zeros((12000, 2))), times=times, settings=settings)
    touching = (times + 0.05 > 5000 / RATE) & (times - 0.05 < 6000 / RATE)
    assert hidden[0][touching].all()
    assert hidden[0].sum() <= touching.sum() + 2
    assert not hidden[1].any()
    assert replace(settings) == settings


def test_the_audit_of_sound_leaves_masked_samples_out():
    import xarray as xr

    from highgamma.contamination.stage import contamination

    rng = np.random.default_rng(0)
    seconds, rate = 40, 16000
    t = np.arange(seconds * rate) / rate
    pitch = 150 + 40 * np.sin(2 * np.pi * 0.3 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    sound = (np.sin(phase) + 0.5 * np.sin(2 * phase)) * (t % 2 < 1)
    sound += 1e-3 * rng.standard_normal(len(t))
    audio = xr.Dataset(
        {"audio": ("time", sound)}, coords={"time": t, "segment": ("time", np.zeros(len(t), int))}
    )
    clean = background(seconds, 2)
    clean[:, 0] += 3 * ss.resample_poly(sound, 1024, rate)[: len(clean)]
    data = clean.copy()
    data[8 * SECOND : 11 * SECOND, 0] = 0
    data[20 * SECOND :, 1] += 5000

    def audited(of, artefacts):
        where = neural.Electrodes.from_names(["A1", "A2"])
        settings = ContaminationSettings()
        return contamination(audio, [reader(of)], where, settings, artefacts=artefacts)

    whole = audited(clean, None)
    masked = audited(data, neural.ArtefactSettings())
    bare = audited(data, None)
    assert masked.p[0] < 0.01 and whole.p[0] < 0.01
    # Correlations of amplitudes are those of the samples that are left, not those with a blank.
    error = [float(np.abs(of.matrix - whole.matrix).mean()) for of in (masked, bare)]
    assert error[0] < 0.5 * error[1]
    # A burst may be the sound itself, and stays.
    assert audited(clean, neural.ArtefactSettings(burst=0.1)).equals(whole)
