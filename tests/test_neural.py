"""Neural: the published chain to the letter, the same chain in one pass, references, frames."""

from __future__ import annotations

import itertools
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from highgamma import neural, store
from highgamma.errors import InputError
from highgamma.neural import frames as framing
from highgamma.neural import spectral
from highgamma.neural.filters import sections
from highgamma.neural.settings import check_recording
from highgamma.neural.survey import survey
from highgamma.recording.reader import Reader

RATE = 1024.0


def published(data, sr):
    """The published formulas, transcribed: detrend, three filters, Hilbert, windows."""
    import scipy.fftpack
    import scipy.signal as ss

    data = ss.detrend(data, axis=0)
    n_windows = int(np.floor((data.shape[0] - 0.05 * sr) / (0.01 * sr)))
    for low, high, kind in ((70, 170, "bandpass"), (98, 102, "bandstop"), (148, 152, "bandstop")):
        sos = ss.iirfilter(4, [low / (sr / 2), high / (sr / 2)], btype=kind, output="sos")
        data = ss.sosfiltfilt(sos, data, axis=0)
    fast = scipy.fftpack.next_fast_len(len(data))
    envelope = np.abs(ss.hilbert(data, fast, axis=0)[: len(data)])
    features = np.zeros((n_windows, data.shape[1]))
    for w in range(n_windows):
        start = int(np.floor((w * 0.01) * sr))
        stop = int(np.floor(start + 0.05 * sr))
        features[w] = np.mean(envelope[start:stop], axis=0)
    return features


def background(seconds, channels, *, rate=RATE, seed=0):
    """A 1/f walk with white noise on an offset and a slope, in µV."""
    rng = np.random.default_rng(seed)
    n = int(seconds * rate)
    walk = rng.standard_normal((n, channels)).cumsum(axis=0) * 0.3
    return walk + rng.standard_normal((n, channels)) * 3 + 400 + 0.01 * np.arange(n)[:, None]


def recording(data, rate=RATE, where="sub-01_ieeg.nwb"):
    return Reader.of_array(data, rate=rate, names=electrodes(data.shape[1]).names, where=where)


def electrodes(n):
    return neural.Electrodes.from_names([f"A{i + 1}" for i in range(n)])


def computed(data, rate=RATE, **settings):
    recordings = [recording(d, rate) for d in (data if isinstance(data, list) else [data])]
    n = len(recordings[0].names)
    return neural.high_gamma(recordings, electrodes(n), neural.neural_settings(settings))


@pytest.mark.parametrize("rate", [1024.0, 999.412, 2048.0])
def test_the_exact_method_is_the_published_chain(rate):
    data = background(12.3, 5, rate=rate)
    expected = published(data, rate)
    frames = computed(data, rate)
    relative = np.abs(frames.values() - expected) / expected
    assert relative.max() < 1e-10


def test_frames_have_51_samples_and_hops_of_10_or_11_at_1024_hz():
    windows = framing.frame_windows(307511, rate=RATE, window=0.05, shift=0.01)
    assert len(windows) == int(np.floor((307511 - 51.2) / 10.24))
    assert set(windows.stop - windows.start) == {51}
    assert set(np.diff(windows.start)) == {10, 11}


def test_a_frames_time_is_the_mean_time_of_its_samples():
    windows = framing.frame_windows(5000, rate=RATE, window=0.05, shift=0.01)
    pairs = zip(windows.start, windows.stop, strict=True)
    expected = [np.mean(np.arange(a, b) / RATE) for a, b in pairs]
    assert np.allclose(windows.times(RATE), expected, rtol=0, atol=1e-12)


def test_frames_within_a_second_of_a_segments_edge_are_not_valid():
    data = background(6, 2)
    frames = computed([data, data[: int(4 * RATE)]])
    assert set(frames.segment) == {0, 1}
    for segment, seconds in ((0, 6.0), (1, 4.0)):
        mine = frames.segment == segment
        half = 25 / RATE
        clear = (frames.time[mine] - half >= 1) & (frames.time[mine] + half < seconds - 1)
        assert np.array_equal(frames.valid[mine] == 1, clear)


def test_each_segment_is_filtered_on_its_own():
    first, second = background(5, 2), background(4, 2, seed=1) * 100
    together = computed([first, second]).values()
    apart = np.concatenate([computed(first).values(), computed(second).values()])
    assert np.array_equal(together, apart)


def test_channels_come_out_the_same_in_any_block():
    data = background(4, 5)
    settings = neural.NeuralSettings()
    prepared = neural.prepare([recording(data)], electrodes(5), settings)
    windows = neural.frames_of(prepared, settings)
    for size in (1, 2, 5):
        blocks = list(neural.envelope_blocks(prepared, settings, windows, block=size))
        assert next(b.stop - b.start for b, _ in blocks) == size
        whole = np.concatenate([v for _, v in blocks], axis=2)[0]
        assert np.allclose(whole, published(data, RATE), rtol=1e-10, atol=0)


def test_the_one_pass_method_differs_by_a_ten_thousandth_of_a_deviation():
    data = background(60, 4)
    exact, fast = computed(data), computed(data, method="fft")
    valid = exact.valid == 1
    a, b = exact.values()[valid], fast.values()[valid]
    rms = np.sqrt(np.mean((a - b) ** 2, axis=0)) / a.std(axis=0)
    assert rms.max() < 4e-4
    # The filters' own start and end differ and die out: two seconds further in, nothing is left.
    inner = (exact.time[valid] > 4) & (exact.time[valid] < 56)
    assert (np.abs(a - b)[inner].max(axis=0) / a.std(axis=0)).max() < 1e-3


def test_pieces_of_a_long_recording_meet_without_a_seam():
    data = background(90, 2)
    settings = neural.NeuralSettings(method="fft")
    trend = survey(recording(data)).trend
    windows = framing.settings_windows(settings, rate=RATE, n_samples=len(data))

    def means(piece):
        return spectral.envelope_means(
            recording(data),
            slice(0, 2),
            trend=trend,
            windows=windows,
            settings=settings,
            piece=piece,
        )[0]

    whole, cut = means(2**18), means(2**14)
    assert np.abs(whole - cut).max() < 1e-3 * whole.std(axis=1).min()


@pytest.mark.parametrize(("window", "shift"), [(0.05, 0.01), (30.0, 7.0), (0.05, 13.0)])
def test_frames_that_come_stretch_by_stretch_are_those_of_the_whole_recording(window, shift):
    data = background(90, 5)
    settings = neural.NeuralSettings(method="fft", window=window, shift=shift)
    windows = framing.settings_windows(settings, rate=RATE, n_samples=len(data))
    asked = np.zeros((len(data), 5), int)

    def fetch(start, stop, channels):
        asked[start:stop, list(channels)] += 1
        return data[start:stop, list(channels)]

    signals = Reader(names=tuple("abcde"), rate=RATE, n_samples=len(data), fetch=fetch)
    options = {
        "trend": survey(signals).trend,
        "windows": windows,
        "settings": settings,
        "piece": 2**14,
    }
    whole = spectral.envelope_means(signals, slice(0, 5), **options)
    asked[:] = 0
    found = np.full_like(whole, np.nan)
    stretches = 0
    for rows, channels, means in spectral.envelope_stretches(
        signals, [slice(0, 3), slice(3, 5)], **options
    ):
        assert np.isnan(found[:, channels, rows]).all()
        found[:, channels, rows] = means
        stretches += 1
    assert np.array_equal(found, whole)
    assert stretches > 4
    # No sample is read again but for the overlaps of neighbouring pieces.
    assert asked.max() <= 2
    assert asked[asked > 0].mean() < 1.5


def test_the_memory_of_the_one_pass_method_grows_neither_with_hours_nor_with_channels(
    tmp_path, monkeypatch
):
    import tracemalloc

    from highgamma.neural import envelopes

    monkeypatch.setattr(envelopes, "FFT_READ", 32)
    noise = np.random.default_rng(0).standard_normal((2**14, 32))

    def peak(seconds, channels):
        def fetch(start, stop, columns):
            rows = np.arange(start, stop) % len(noise)
            return noise[np.ix_(rows, np.array(columns) % 32)]

        n = int(seconds * 256)
        names = tuple(f"A{i}" for i in range(channels))
        made = Reader(names=names, rate=256.0, n_samples=n, fetch=fetch)
        settings = neural.NeuralSettings(method="fft", band=(70, 110), notch=(100,), shift=0.05)
        frames = neural.high_gamma([made], neural.Electrodes.from_names(names), settings)
        tracemalloc.start()
        neural.write_frames(frames, tmp_path / "a.nc", name="high-gamma", parameters={})
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(200, 2)  # what is imported and kept the first time
    few = peak(500, 32)
    assert peak(2000, 32) < 1.15 * few
    assert peak(500, 128) < 1.15 * few


def test_the_gain_is_the_squared_magnitude_of_all_filters():
    import scipy.signal as ss

    filters = sections(neural.NeuralSettings(), rate=RATE)
    expected = np.ones(501)
    for low, high, kind in ((70, 170, "bandpass"), (98, 102, "bandstop"), (148, 152, "bandstop")):
        z, p, k = ss.iirfilter(4, [low, high], btype=kind, output="zpk", fs=RATE, ftype="butter")
        _w, h = ss.freqz_zpk(z, p, k, worN=np.linspace(0, np.pi, 501))
        expected *= np.abs(h) ** 2
    assert np.allclose(spectral.gains(filters, 1000), expected, atol=1e-9)


@pytest.mark.parametrize("method", ["exact", "fft"])
def test_a_sine_in_the_band_has_its_amplitude(method):
    t = np.arange(int(10 * RATE)) / RATE
    data = np.stack([7 * np.sin(2 * np.pi * 120 * t), 7 * np.sin(2 * np.pi * 20 * t)], axis=1)
    frames = computed(data, method=method)
    values = frames.values()[frames.valid == 1]
    assert np.allclose(values[:, 0], 7, rtol=2e-3)
    assert values[:, 1].max() < 1e-2


@pytest.mark.parametrize("method", ["exact", "fft"])
def test_another_band_without_notches_is_a_butterworth_band_pass(method):
    import scipy.signal as ss

    data = background(20, 2)
    frames = computed(data, band=[13, 35], notch=[], method=method)
    sos = ss.butter(4, [13, 35], btype="bandpass", fs=RATE, output="sos")
    envelope = np.abs(ss.hilbert(ss.sosfiltfilt(sos, ss.detrend(data, axis=0), axis=0), axis=0))
    windows = framing.frame_windows(len(data), rate=RATE, window=0.05, shift=0.01)
    pairs = zip(windows.start, windows.stop, strict=True)
    expected = np.stack([envelope[a:b].mean(axis=0) for a, b in pairs])
    inner = (frames.time > 3) & (frames.time < 17)
    assert np.allclose(frames.values()[inner], expected[inner], rtol=1e-2, atol=1e-3)


def test_a_logarithm_is_taken_of_the_frames_mean():
    data = background(4, 2)
    assert np.allclose(computed(data, scale="log").values(), np.log(published(data, RATE)))


def test_robust_scaling_is_median_and_median_absolute_deviation():
    from scipy.stats import median_abs_deviation

    data = background(8, 3)
    frames = computed(data, scale="robust")
    raw = published(data, RATE)
    counted = raw[frames.valid == 1]
    spread = median_abs_deviation(counted, axis=0, scale="normal")
    expected = (raw - np.median(counted, axis=0)) / spread
    assert np.allclose(frames.values(), expected, rtol=1e-4)


@pytest.mark.parametrize("method", ["exact", "fft"])
def test_sub_bands_are_z_scored_and_averaged(method):
    data = background(10, 2)
    edges = 70 * (170 / 70) ** (np.arange(4) / 3)
    parts = []
    for low, high in itertools.pairwise(edges):
        part = computed(data, band=[low, high], notch=[], method=method)
        values = part.values()
        counted = values[part.valid == 1]
        parts.append((values - counted.mean(axis=0)) / counted.std(axis=0))
    many = computed(data, notch=[], bands=3, method=method)
    assert np.allclose(many.values(), np.mean(parts, axis=0), atol=1e-3)


def test_missing_samples_are_refused_by_channel_file_and_number():
    data = background(4, 3)
    data[100:107, 1] = np.nan
    with pytest.raises(InputError) as refused:
        computed(data)
    message = str(refused.value)
    for part in (
        "'A2'",
        "7 missing (NaN) or infinite samples of 4096",
        "sub-01_ieeg.nwb",
        "channels.tsv",
        "bad",
    ):
        assert part in message


@pytest.mark.parametrize("method", ["exact", "fft"])
@pytest.mark.parametrize("scale", ["amplitude", "log", "robust"])
def test_a_flat_channel_is_kept_flagged_and_warned_of(method, scale, caplog):
    data = background(4, 3)
    data[:, 1] = 12.5
    with caplog.at_level(logging.WARNING, logger="highgamma"):
        frames = computed(data, method=method, scale=scale)
    assert "A2 is flat" in caplog.text
    assert "sub-01_ieeg.nwb" in caplog.text
    assert list(frames.prepared.montage.flat) == [False, True, False]
    values = frames.values()
    assert np.isfinite(values).all()
    if scale == "amplitude":
        assert values[:, 1].max() < 1e-9


def test_a_rate_too_low_for_the_band_is_refused_with_rate_band_and_remedy():
    with pytest.raises(InputError) as refused:
        computed(background(4, 1, rate=160.0), 160.0)
    for part in ("160 Hz", "70 to 170 Hz", "340 Hz", "neural.band"):
        assert part in str(refused.value)
    with pytest.raises(InputError, match="notch at 150 Hz"):
        computed(background(4, 1, rate=300.0), 300.0, band=[70, 140])


def test_a_recording_too_short_for_the_filter_is_refused():
    with pytest.raises(InputError, match="too short for the filter"):
        computed(background(0.7, 2))


def test_a_window_that_holds_no_sample_is_refused():
    with pytest.raises(InputError, match=r"0\.0005 s holds no sample at 1024 Hz"):
        computed(background(4, 1), window=0.0005)


def test_an_unknown_setting_is_answered_with_the_nearest_name():
    with pytest.raises(InputError, match="did you mean 'notch'"):
        neural.neural_settings({"notches": [50]})
    with pytest.raises(InputError, match="did you mean 'bipolar'"):
        neural.neural_settings({"reference": "bipolr"})


def test_a_band_that_runs_backward_and_a_notch_that_reaches_0_hz_are_refused():
    with pytest.raises(InputError, match="band: 170 Hz to 70 Hz is not a band"):
        neural.neural_settings({"band": [170, 70]})
    with pytest.raises(InputError, match="notch: the stop bands at 2 Hz reach down to 0 Hz"):
        neural.neural_settings({"notch": [2, 50]})
    assert neural.neural_settings({"band": [13, 35], "notch": []}).problems() == []


def test_the_file_holds_the_frames_with_their_coordinates(tmp_path: Path):
    data = background(5, 20)
    table = pd.DataFrame(
        {
            "name": [f"LA{i + 1}" for i in range(20)],
            "kept": "yes",
            "x": np.arange(20.0),
            "y": 1.0,
            "z": np.nan,
            "region": ["Left-Hippocampus"] + [np.nan] * 19,
            "shaft": "LA",
            "contact": np.arange(1, 21),
        }
    )
    where = neural.Electrodes.from_table(table)
    paths = [tmp_path / "a.nc", tmp_path / "b.nc"]
    for path in paths:
        frames = neural.high_gamma([recording(data)], where, neural.NeuralSettings())
        neural.write_frames(frames, path, name="high-gamma", parameters={"participant": "sub-01"})
    assert paths[0].read_bytes() == paths[1].read_bytes()
    written = store.read_dataset(paths[0])
    assert written.high_gamma.dims == ("time", "channel")
    assert written.high_gamma.dtype == np.float64
    assert np.allclose(written.high_gamma, published(data, RATE), rtol=1e-10)
    assert written.attrs["rate_hz"] == 100
    assert list(written.channel.values[:2]) == ["LA1", "LA2"]
    assert list(written.region.values[:2]) == ["Left-Hippocampus", "n/a"]
    assert written.high_gamma.attrs["units"] == "uV"
    for name in ("segment", "valid", "x", "y", "z", "flat"):
        assert name in written.coords


def test_importing_the_stage_imports_no_filter_library():
    code = "import sys, highgamma.neural, highgamma.targets, highgamma.contamination; "
    code += (
        "print([m for m in ('scipy', 'xarray', 'pandas', 'mne', 'netCDF4') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("rate", "shift"), [(200, 0.01), (128, 1 / 64), (100, 0.02)])
def test_frames_of_slow_recordings_are_even_where_a_step_is_whole(rate, shift):
    """0.29 · 200 is 57.99… in floating point; a step of two samples is two samples."""
    windows = framing.frame_windows(rate * 60, rate=rate, window=0.05, shift=shift)
    assert set(np.diff(windows.start)) == {round(shift * rate)}


def test_a_step_of_one_sample_and_a_bit_is_refused_with_one_that_fits():
    settings = neural.neural_settings({"band": [13, 30], "notch": [], "edge": 0.5})
    with pytest.raises(InputError, match=r"1\.28 samples at 128 Hz") as error:
        check_recording(settings, rate=128, n_samples=128 * 60)
    assert "neural.shift to 0.015625" in str(error.value)
    check_recording(
        neural.neural_settings({"band": [13, 30], "notch": [], "edge": 0.5, "shift": 0.015625}),
        rate=128, n_samples=128 * 60,
    )  # fmt: skip
