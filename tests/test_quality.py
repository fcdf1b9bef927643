"""Quality: each measure is what plain formulas give, each flag is raised by what it is for."""

from __future__ import annotations

import logging

import mne
import numpy as np
import pytest
from scipy import signal, stats

from highgamma import neural
from highgamma.errors import InputError
from highgamma.quality import measures, stage
from highgamma.quality.columns import QUALITY_COLUMNS, QUALITY_FLAGS
from highgamma.quality.settings import QualitySettings
from highgamma.recording import sidecars
from highgamma.recording.files import find
from highgamma.recording.opening import open_channels
from highgamma.recording.outputs import record
from highgamma.recording.reader import Reader
from highgamma.sections import checked_section
from highgamma.store import read_table

RATE = 512.0


def background(seconds, channels, *, seed=0, shared=0.7):
    """Channels with a 1/f² spectrum that share a part, µV, on an offset."""
    rng = np.random.default_rng(seed)
    n = int(seconds * RATE)
    own, common = rng.standard_normal((n, channels)), rng.standard_normal((n, 1))
    walk = signal.lfilter([1], [1, -0.99], shared * common + (1 - shared) * own, axis=0)
    return 10 * walk + 0.3 * rng.standard_normal((n, channels)) + 200


def electrodes(n, shaft="A"):
    return neural.Electrodes(
        names=tuple(f"{shaft}{i + 1}" for i in range(n)),
        regions=(None,) * n,
        shafts=(shaft,) * n,
        contacts=tuple(range(1, n + 1)),
        positions=np.full((n, 3), np.nan),
        spaces=(None,) * n,
    )


def judged(data, *, mains=None, where=None, **settings):
    where = where or electrodes(data.shape[1])
    recordings = [Reader.of_array(data, rate=RATE, names=where.names)]
    limits = checked_section(QualitySettings, settings, where="quality")
    return stage.quality(recordings, where, limits, neural.ArtefactSettings(), mains=mains)


def pieces_of(data):
    step = round(measures.PIECE * RATE)
    return [signal.detrend(data[a : a + step], axis=0) for a in range(0, len(data), step)]


def test_every_measure_is_what_plain_formulas_give():
    data = background(32, 5)
    made = judged(data, mains=50).measures
    straight = np.concatenate(pieces_of(data))
    assert np.allclose(made.kurtosis, stats.kurtosis(straight, axis=0))
    spread = [stats.median_abs_deviation(p[::4], scale="normal") for p in pieces_of(data)]
    assert np.allclose(made.amplitude, np.median(spread, axis=0), rtol=1e-4)
    r = np.corrcoef(straight.T)
    expected = [max(r[i, j] for j in (i - 1, i + 1) if 0 <= j < 5) for i in range(5)]
    assert np.allclose(made.neighbour_r, expected, atol=1e-3)
    power = np.mean(
        [
            mne.time_frequency.psd_array_welch(
                p.T, RATE, fmax=RATE / 2, n_fft=512, n_overlap=256, window="hann", verbose="error"
            )[0]
            for p in pieces_of(data)
        ],
        axis=0,
    )
    inner = slice(1, -1)
    assert np.allclose(made.spectra[:, inner], power[:, inner], rtol=1e-6)
    assert np.array_equal(made.frequencies, np.arange(257.0))
    assert np.allclose(made.slope, -2, atol=0.15)
    assert not made.artefacts.any() and not made.masked.any()


def test_line_noise_is_the_line_over_what_lies_next_to_it():
    frequencies = np.arange(300.0)
    spectra = np.ones((3, 300))
    spectra[0, 50] = 100
    spectra[1, 149:152] = 1000
    spectra[2] = 0
    noise = measures.line_noise(frequencies, spectra, 50)
    assert np.allclose(noise[:2], [10 * np.log10(102 / 3), 30])
    assert np.isnan(noise[2])
    assert measures.strongest_mains(frequencies, spectra) == 50
    spectra[:2, 60] = 1e5
    assert measures.strongest_mains(frequencies, spectra) == 60


def test_a_slope_is_found_next_to_line_noise():
    frequencies = np.arange(257.0)
    spectra = np.stack([np.maximum(frequencies, 1.0) ** exponent for exponent in (0, -1, -3)])
    spectra[:, 49:52] *= 1e4
    assert np.allclose(measures.slopes(frequencies, spectra, 50), [0, -1, -3])


def test_each_flag_is_raised_by_what_it_is_for():
    data = background(40, 10)
    n = len(data)
    t = np.arange(n) / RATE
    data[:, 0] = 7.0
    data[:, 1] *= 1e-6
    data[:, 2] += 400 * np.sin(2 * np.pi * 60 * t)
    data[:, 3] = 20 * np.random.default_rng(1).standard_normal(n)
    data[:, 4] += 1500 * (np.arange(n) % 2000 < 6) * np.hanning(6)[np.arange(n) % 2000 % 6]
    data[:, 6] = data[:, 5] + 0.01 * np.random.default_rng(2).standard_normal(n)
    data[:, 7] = np.round(data[:, 7] / 40) * 40
    data[8 * 512 : 18 * 512, 8] = 0
    flags = dict(zip(electrodes(10).names, judged(data, mains=60).flags, strict=True))
    assert flags["A1"].split(",")[0] == "flat"
    assert flags["A2"] == "unit"
    assert flags["A3"].split(",") == ["line-noise"]
    assert "white" in flags["A4"] and "unlike-neighbours" in flags["A4"]
    assert "heavy-tailed" in flags["A5"]
    assert flags["A6"] == flags["A7"] == "bridged"
    assert "repeated" in flags["A8"]
    assert "masked" in flags["A9"]
    assert flags["A10"] == ""
    raised = {flag for of in flags.values() for flag in of.split(",") if flag}
    assert raised == set(QUALITY_FLAGS)


@pytest.mark.parametrize("factor", [1e-6, 1e-3, 1e3, 1e6])
def test_one_channel_in_another_unit_is_flagged_alone(factor):
    data = background(40, 5)
    right = judged(data).measures.amplitude[3]
    data[:, 3] *= factor
    made = judged(data)
    assert made.raised["unit"].tolist() == [False, False, False, True, False]
    assert made.measures.amplitude[3] == pytest.approx(factor * right)


def test_an_artefact_is_counted_and_leaves_the_spectrum_as_it_is():
    clean = background(32, 3)
    data = clean.copy()
    data[16 * 512, 1] += 5000
    made, whole = judged(data).measures, judged(clean).measures
    assert made.artefacts.sum(axis=1).tolist() == [0, 0, 1, 0]
    assert made.masked[1] == pytest.approx((2 * 128 + 3) / len(data))
    assert np.allclose(made.spectra, whole.spectra, rtol=0.1)
    assert made.kurtosis[1] > 100 + whole.kurtosis[1]
    assert np.array_equal(made.kurtosis[[0, 2]], whole.kurtosis[[0, 2]])


def test_a_grid_without_coordinates_has_no_neighbours_until_its_size_is_known():
    data = background(16, 20)
    where = electrodes(20, "CH")
    assert np.isnan(judged(data, where=where).measures.neighbour_r).all()
    known = judged(data, where=where.on_grids({"CH": (4, 5)})).measures.neighbour_r
    assert np.isfinite(known).all()


def test_the_table_the_figure_and_the_log(tmp_path, caplog):
    data = background(16, 4)
    data[:, 2] = 3.0
    with caplog.at_level(logging.INFO, logger="highgamma"):
        made = judged(data)
    assert "quality: 1 of 4 channels carry a flag; flat 1" in caplog.text
    for name in ("a", "b"):
        stage.write(
            made,
            QualitySettings(),
            title="sub-01",
            tsv=tmp_path / f"{name}.tsv",
            png=tmp_path / f"{name}.png",
        )
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    table = read_table(tmp_path / "a.tsv", strings=("electrode", "flags"))
    assert list(table) == list(QUALITY_COLUMNS)
    assert list(table["electrode"]) == ["A1", "A2", "A3", "A4"]
    assert np.isnan(table["slope"][2]) and np.isfinite(table["slope"][[0, 1, 3]]).all()


def test_memory_is_that_of_a_piece():
    import tracemalloc

    noise = background(8, 16)

    def peak(seconds):
        def fetch(start, stop, columns):
            return noise[np.ix_(np.arange(start, stop) % len(noise), list(columns))]

        where = electrodes(16)
        made = Reader(names=where.names, rate=RATE, n_samples=int(seconds * RATE), fetch=fetch)
        tracemalloc.start()
        measures.measured([made], where, neural.ArtefactSettings())
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(60)
    assert peak(1200) < 1.1 * peak(300)


def test_limits_that_are_no_range_are_refused():
    with pytest.raises(InputError, match="amplitude: 5 to 1 is not a range"):
        checked_section(QualitySettings, {"amplitude": [5, 1]}, where="quality")


def test_values_that_are_no_microvolts_are_flagged_in_a_real_recording(shared_data):
    root = shared_data / "ieeg_signals/pyneuromod_gripforce"
    segments = find(root, "sub-testsub", task="gripforce")
    mains = sidecars.mains_of(segments)
    assert mains == 60
    dataset = {"root": root, "task": "gripforce", "words": {"trial_type": None}}
    where = neural.Electrodes.from_table(record("sub-testsub", dataset).channels)
    with open_channels(segments, where.names) as recordings:
        made = stage.quality(
            recordings, where, QualitySettings(), neural.ArtefactSettings(), mains=mains
        )
    assert all("unit" in flags for flags in made.flags)
