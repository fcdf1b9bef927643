"""Targets: sample-exact means of the full-rate envelope over each word's window."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from highgamma import neural
from highgamma.errors import InputError
from highgamma.recording.reader import Reader
from highgamma.targets import event_times, targets, word_windows

RATE = 1024.0


def envelope(data):
    """The published chain at full rate."""
    import scipy.fftpack
    import scipy.signal as ss

    n = len(data)
    data = ss.detrend(data, axis=0)
    for low, high, kind in ((70, 170, "bandpass"), (98, 102, "bandstop"), (148, 152, "bandstop")):
        sos = ss.iirfilter(4, [low / (RATE / 2), high / (RATE / 2)], btype=kind, output="sos")
        data = ss.sosfiltfilt(sos, data, axis=0)
    return np.abs(ss.hilbert(data, scipy.fftpack.next_fast_len(n), axis=0)[:n])


def noise(seconds, channels=3, seed=0):
    return np.random.default_rng(seed).standard_normal((int(seconds * RATE), channels)) * 10


def recording(data):
    return Reader.of_array(data, rate=RATE, where="sub-01_ieeg.nwb")


def words(onsets, voices=None, segments=None):
    return pd.DataFrame(
        {
            "segment": segments if segments is not None else [0] * len(onsets),
            "word": [str(i) for i in range(len(onsets))],
            "onset": onsets,
            "voice_onset": voices if voices is not None else [np.nan] * len(onsets),
        }
    )


def computed(data, table, *, align="prompt", start=0.0, stop=1.0, **settings):
    data = data if isinstance(data, list) else [data]
    return targets(
        [recording(d) for d in data],
        neural.Electrodes.from_names(["A1", "A2", "A3"]),
        table,
        neural.neural_settings(settings),
        align=align,
        start=start,
        stop=stop,
    )


def test_a_target_is_the_mean_of_every_sample_in_the_window():
    data = noise(12)
    onsets = [0.0, 1.5004, 4.25, 7.9]
    made = computed(data, words(onsets))
    full = envelope(data)
    expected = [full[round(t * RATE) : round(t * RATE) + 1024].mean(axis=0) for t in onsets]
    assert np.allclose(made.target, expected, rtol=1e-10, atol=0)
    assert list(made.valid.values) == [1, 1, 1, 1]
    assert made.target.dims == ("word", "channel")
    assert np.allclose(made.start, [round(t * RATE) / RATE for t in onsets])
    assert np.allclose(made.stop - made.start, 1.0)
    assert list(made.word.values) == ["0", "1", "2", "3"]


def test_the_first_word_at_the_start_is_kept_and_marked_as_edge():
    made = computed(noise(12), words([0.0, 1.0, 5.0, 10.5]))
    assert list(made.valid.values) == [1, 1, 1, 1]
    assert list(made.edge.values) == [1, 0, 0, 1]


def test_windows_may_start_before_the_voice():
    data = noise(12)
    made = computed(data, words([1, 4, 8], [1.6, 4.7, 8.5]), align="voice", start=-0.25, stop=0.5)
    full = envelope(data)
    for row, voice in enumerate((1.6, 4.7, 8.5)):
        first = int(np.floor((voice - 0.25) * RATE + 0.5))
        assert np.allclose(made.target[row], full[first : first + 768].mean(axis=0), rtol=1e-10)


def test_a_word_without_a_voice_has_no_target(caplog):
    made = computed(noise(12), words([1, 4, 8], [1.6, np.nan, 8.5]), align="voice")
    assert list(made.valid.values) == [1, 0, 1]
    assert np.isnan(made.target[1]).all()
    assert np.isnan(made.start[1])
    assert np.isfinite(made.target[[0, 2]]).all()
    assert "1 word(s) have no voice onset and no target" in caplog.text


def test_a_window_beyond_the_recording_has_no_target(caplog):
    made = computed(noise(12), words([1, 4, 8, 11.5]))
    assert list(made.valid.values) == [1, 1, 1, 0]
    assert np.isnan(made.target[3]).all()
    assert "the windows of 1 word(s) leave the recording: no target" in caplog.text


def test_windows_that_mostly_leave_the_recording_are_refused():
    with pytest.raises(InputError, match="leaves the recording for 2 of 3 words"):
        computed(noise(12), words([4, 100, 200]))


def test_words_belong_to_their_own_segment():
    first, second = noise(6), noise(8, seed=1)
    made = computed([first, second], words([2, 3, 2, 5], segments=[0, 1, 1, 0]))
    a, b = envelope(first), envelope(second)
    expected = [a[2048:3072], b[3072:4096], b[2048:3072], a[5120:6144]]
    assert np.allclose(made.target, [e.mean(axis=0) for e in expected], rtol=1e-10)


def test_one_pass_targets_agree_with_exact_ones():
    data = noise(20)
    onsets = list(np.arange(3, 15, 1.7))
    exact = computed(data, words(onsets)).target
    fast = computed(data, words(onsets), method="fft").target
    assert np.allclose(exact, fast, rtol=2e-3)


def test_a_robust_scale_is_that_of_the_recordings_frames():
    from scipy.stats import median_abs_deviation

    data = noise(12)
    table = words([2, 4, 8])
    settings = neural.NeuralSettings()
    frames = neural.high_gamma(
        [recording(data)], neural.Electrodes.from_names(["A1", "A2", "A3"]), settings
    )
    counted = frames.values()[frames.valid == 1]
    raw = computed(data, table).target.values
    expected = (raw - np.median(counted, axis=0)) / median_abs_deviation(
        counted, axis=0, scale="normal"
    )
    assert np.allclose(computed(data, table, scale="robust").target, expected, rtol=1e-4)


def test_windows_hold_equally_many_samples_at_a_rate_that_is_no_integer():
    rates = np.full(200, 999.412)
    events = np.linspace(1, 90, 200)
    made = word_windows(events, start=0, stop=0.5, rates=rates, lengths=np.full(200, 99941), edge=1)
    assert set(made.stop - made.start) == {500}
    assert np.abs(made.start / rates - events).max() <= 0.5 / 999.412 + 1e-12


def test_an_empty_window_and_an_unknown_event_are_refused():
    with pytest.raises(InputError, match="holds no sample"):
        computed(noise(6), words([2]), start=1.0, stop=1.0)
    with pytest.raises(InputError, match="windows cannot be aligned to 'voise'"):
        event_times(words([2]), "voise")
    with pytest.raises(InputError, match="none of the 1 words has a voice onset"):
        event_times(words([2]), "voice")


def test_words_of_a_segment_that_is_not_there_are_refused():
    with pytest.raises(InputError, match="the words belong to 2 segments"):
        computed(noise(6), words([2], segments=[1]))
