"""Contamination: a microphone in an electrode is found, an electrode that follows speech is not."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal as ss
import xarray as xr

from highgamma import neural
from highgamma.contamination import audit, shifts, spectra
from highgamma.contamination.settings import ContaminationSettings
from highgamma.contamination.stage import contamination
from highgamma.errors import InputError
from highgamma.recording.reader import Reader
from highgamma.selftest.audit import measure

RATE, AUDIO_RATE, SECONDS = 1024.0, 16000.0, 120.0
LENGTH = int(SECONDS * RATE)


def band(x, low, high, rate=RATE):
    sos = ss.butter(4, [low, high], btype="bandpass", fs=rate, output="sos")
    return ss.sosfiltfilt(sos, x, axis=0)


def spoken(seed):
    """Words every 3 s: harmonics on a falling pitch under syllables, in a little room noise."""
    rng = np.random.default_rng(seed)
    sound = np.zeros(int(SECONDS * AUDIO_RATE))
    for onset in np.arange(0.5, SECONDS - 2, 3.0):
        lasting = rng.uniform(0.4, 0.9)
        t = np.arange(int(lasting * AUDIO_RATE)) / AUDIO_RATE
        pitch = 120 * rng.uniform(0.85, 1.15) * (1.15 - 0.3 * t / lasting)
        phase = 2 * np.pi * np.cumsum(pitch) / AUDIO_RATE
        syllables = np.abs(np.sin(np.pi * rng.integers(1, 4) * t / lasting)) ** 0.7
        harmonics = sum(rng.uniform(0.5, 1.5) / k * np.cos(k * phase) for k in range(1, 16))
        first = int((onset + rng.uniform(0, 0.4)) * AUDIO_RATE)
        sound[first : first + len(t)] += syllables * harmonics
    sound += 1e-3 * sound.std() * rng.standard_normal(len(sound))
    return sound / np.abs(sound).max()


def background(n, seed):
    """Voltage with a 1/f² power spectrum and 50 Hz hum, µV: (samples, n)."""
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.standard_normal((LENGTH, n)), axis=0)
    x = ss.detrend(x, axis=0) * 0.2 + rng.standard_normal((LENGTH, n)) * 0.5
    return x + 5 * np.sin(2 * np.pi * 50 * np.arange(LENGTH) / RATE)[:, None]


def heard(sound):
    """The sound as an amplifier at the neural rate picks it up."""
    return ss.resample_poly(sound, 1024, 16000)[:LENGTH]


def contaminated(sound, n, *, decibels, seed):
    """A copy of the microphone, so many decibels from the electrode's own high-gamma."""
    x = background(n, seed)
    voice = heard(sound)
    ratio = band(x, 70, 170).std(axis=0) / band(voice, 70, 170).std()
    return x + voice[:, None] * ratio * 10 ** (decibels / 20)


def speaking(sound, n, *, strength, seed):
    """High-gamma of some band that rises with the voice's envelope at some lag."""
    rng = np.random.default_rng(seed)
    x = background(n, seed)
    low_pass = ss.butter(2, 8, fs=RATE, output="sos")
    level = ss.sosfiltfilt(low_pass, np.abs(ss.hilbert(band(heard(sound), 80, 450))))
    level = np.clip(level / level.max(), 0, None)
    for column in range(n):
        carrier = band(rng.standard_normal(LENGTH), rng.choice([65, 80]), rng.choice([170, 300]))
        carrier *= band(x[:, column], 70, 170).std() / carrier.std()
        lag = int(rng.uniform(-0.2, 0.3) * RATE)
        x[:, column] += strength * carrier * np.roll(level, lag)
    return x


def readers(sound, data):
    voice = Reader.of_array(sound[:, None], rate=AUDIO_RATE)
    return [voice], [Reader.of_array(data, rate=RATE)]


def audited(sound, data, /, **settings):
    return audit.audit(*readers(sound, data), ContaminationSettings(**settings))


def test_a_microphone_in_the_recording_is_found():
    for seed, decibels in ((0, -10), (1, -15)):
        sound = spoken(seed)
        found = audited(sound, contaminated(sound, 12, decibels=decibels, seed=seed))
        assert (found.p < 0.05).mean() >= 0.95
        assert found.p_recording < 0.01


def test_electrodes_that_follow_speech_are_not_flagged_more_often_than_chance():
    flagged = []
    for seed in range(4):
        sound = spoken(10 + seed)
        data = np.concatenate(
            [
                speaking(sound, 6, strength=1, seed=20 + seed),
                speaking(sound, 6, strength=3, seed=40 + seed),
                background(6, 60 + seed),
            ],
            axis=1,
        )
        flagged.append(audited(sound, data).p < 0.05)
    # 72 electrodes at 5 %: more than 9 have a chance below 1 %.
    assert np.sum(flagged) <= 9


def test_a_microphone_on_a_late_clock_is_found_and_its_delay_named():
    sound = spoken(2)
    data = contaminated(sound, 12, decibels=-12, seed=2)
    found = audited(sound, np.roll(data, round(0.08 * RATE), axis=0))
    assert (found.p < 0.05).mean() >= 0.95
    assert np.median(found.delay) == pytest.approx(0.08, abs=0.025)


def test_correlations_are_those_of_numpy():
    sound = spoken(3)
    data = contaminated(sound, 2, decibels=0, seed=3)
    settings = ContaminationSettings()
    voices, signals = readers(sound, data)
    freqs = spectra.frequencies(settings, rate=RATE)
    times = spectra.frame_times([voices[0], signals[0]], settings)
    a = np.abs(
        spectra.clean_spectrum(
            voices[0], slice(0, 1), times=times, freqs=freqs, lines=spectra.MAINS, settings=settings
        )[0]
    )
    a = np.log(a + 0.01 * np.sqrt((a**2).mean(axis=1, keepdims=True)))
    b = np.log(
        np.abs(
            spectra.clean_spectrum(
                signals[0],
                slice(0, 2),
                times=times,
                freqs=freqs,
                lines=spectra.MAINS,
                settings=settings,
            )
        )
    )
    found = audited(sound, data)
    n = len(freqs)
    for channel in range(2):
        expected = np.corrcoef(a, b[channel])[:n, n:]
        assert np.allclose(found.matrix[channel], expected, atol=1e-4)
        rest = ~np.eye(n, dtype=bool)
        locking = found.locking[channel]
        excess = np.diag(locking).mean() - locking[rest].mean()
        assert found.excess[channel] == pytest.approx(excess, abs=1e-5)


def test_the_amplitude_of_an_electrode_plays_no_part():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((5, 80)) + 1j * rng.standard_normal((5, 80))
    louder = x * rng.uniform(0.1, 50, x.shape)
    assert np.allclose(spectra.unit_phases(x), spectra.unit_phases(louder), atol=1e-6)


def test_gain_and_delay_of_a_copy_do_not_change_how_its_phase_advances():
    settings = ContaminationSettings()
    freqs = np.array([65.0, 92.0, 130.0, 333.0])
    times = np.arange(1.0, 5.0, settings.shift)
    t = np.arange(int(6 * RATE)) / RATE
    glide = np.cos(2 * np.pi * (80 * t + 10 * t**2))
    late = 0.7 * np.cos(2 * np.pi * (80 * (t - 0.001) + 10 * (t - 0.001) ** 2))
    moves = []
    for x in (glide, late):
        signal = Reader.of_array(x[:, None], rate=RATE)
        phases = spectra.unit_phases(
            spectra.spectrum(signal, slice(0, 1), times=times, freqs=freqs, settings=settings)[0]
        )
        moves.append(spectra.advances(phases, freqs, settings))
    heard = np.abs(np.gradient(80 * t + 10 * t**2, t))[:, None]
    near = np.abs(np.interp(times[2:-6], t, heard[:, 0]) - freqs[:, None]) < 8
    turn = np.angle(moves[1][:, 2:-2] * np.conj(moves[0][:, 2:-2]))
    # The glide of 20 Hz a second moves by 2 Hz between windows: a delay of 1 ms turns 0.013 rad.
    assert np.abs(turn[near]).max() < 0.02


def test_phases_agree_between_signals_of_different_rates_and_starts():
    settings = ContaminationSettings()
    freqs = spectra.frequencies(settings, rate=RATE)
    times = np.arange(1.0, 5.0, settings.shift)
    made = []
    for rate, first in ((1024.0, 0.0), (15999.729, 0.3137)):
        t = first + np.arange(int(6 * rate)) / rate
        x = np.cos(2 * np.pi * 185 * t + 0.4)[:, None]
        signal = Reader.of_array(x, rate=rate, start=first)
        row = spectra.spectrum(signal, slice(0, 1), times=times, freqs=freqs, settings=settings)[0][
            freqs == 185
        ][0]
        # A difference of neighbours is late by half a sample and turned by a quarter.
        made.append(np.angle(row * np.exp(2j * np.pi * 185 * 0.5 / rate) / 1j))
    assert np.abs(np.angle(np.exp(1j * (made[0] - made[1])))).max() < 0.02


def test_every_shift_has_the_excess_of_the_shifted_audio():
    rng = np.random.default_rng(0)

    def made(*shape):
        return spectra.centred(rng.standard_normal(shape) + 1j * rng.standard_normal(shape))

    voice, electrodes = made(7, 90), made(3, 7, 90)
    excess = np.concatenate(
        [shifts.excess_of_shifts(np.fft.fft(voice)[None], np.fft.fft(e)) for e in electrodes]
    )
    off = ~np.eye(7, dtype=bool)
    for shift in (0, 1, 33, 89):
        for channel in range(3):
            moved = np.roll(voice, shift, axis=1)
            c = np.array([[np.vdot(a, b).real / 90 for b in electrodes[channel]] for a in moved])
            expected = np.diag(c).mean() - c[off].mean()
            assert excess[channel, shift] == pytest.approx(expected, abs=1e-6)
    widest = shifts.largest_within(excess, 2)
    assert widest[1, 0] == max(excess[1, k] for k in (-2, -1, 0, 1, 2))


def test_a_sine_appears_at_its_frequency_and_time_in_either_clock():
    settings = ContaminationSettings()
    freqs = np.arange(60.0, 400.0, 5.0)
    for rate, first in ((1024.0, 0.0), (15999.729, 0.31)):
        t = first + np.arange(int(6 * rate)) / rate
        x = np.where((t > 2) & (t < 4), np.sin(2 * np.pi * 200 * t), 0)[:, None]
        signal = Reader.of_array(x, rate=rate, start=first)
        times = np.arange(1.0, 5.0, 0.05)
        a = np.abs(
            spectra.spectrum(signal, slice(0, 1), times=times, freqs=freqs, settings=settings)[0]
        )
        assert freqs[a.mean(axis=1).argmax()] == 200
        # |1 - exp(-2πi f / rate)| / 2: the difference of neighbours, and half a cosine.
        expected = abs(1 - np.exp(-2j * np.pi * 200 / rate)) / 2
        inside = (times > 2.06) & (times < 3.94)
        outside = (times < 1.94) | (times > 4.06)
        row = a[freqs == 200][0]
        assert np.allclose(row[inside], expected, rtol=1e-3)
        assert row[outside].max() < 1e-3 * expected


def test_mains_harmonics_and_what_lies_beyond_the_rate_are_left_out():
    freqs = spectra.frequencies(ContaminationSettings(), rate=1024, mains=50)
    assert freqs.min() == 60 and freqs.max() == 395
    assert not np.isin([100, 150, 200, 250, 300, 350, 400], freqs).any()
    assert spectra.frequencies(ContaminationSettings(), rate=512).max() <= 0.4 * 512
    with pytest.raises(InputError, match="rate of 200 Hz"):
        spectra.frequencies(ContaminationSettings(), rate=200)


def test_p_is_b_plus_1_over_n_plus_1_and_fine_enough_for_false_discovery_control():
    sound = spoken(5)
    found = audited(sound, contaminated(sound, 3, decibels=0, seed=5))
    assert found.surrogates >= 1000
    assert np.allclose(found.p, 1 / (found.surrogates + 1))


def test_a_flat_channel_has_no_p():
    sound = spoken(6)
    data = background(3, 6)
    data[:, 1] = 4.0
    found = audited(sound, data)
    assert list(np.isnan(found.p)) == [False, True, False]
    assert np.isfinite(found.p_recording)


def dataset(sound, first=0.0):
    n = len(sound)
    return xr.Dataset(
        {"audio": ("time", sound.astype(np.float32))},
        coords={
            "time": ("time", first + np.arange(n) / AUDIO_RATE),
            "segment": ("time", np.zeros(n, np.int16)),
        },
    )


def contamination_of(sound, data, *, heard_as="unknown", **options):
    n = data.shape[1]
    electrodes = neural.Electrodes(
        names=tuple(f"LA{i + 1}" for i in range(n)),
        regions=("cortex",) * n,
        shafts=("LA",) * n,
        contacts=tuple(range(1, n + 1)),
        positions=np.full((n, 3), np.nan),
        spaces=(None,) * n,
    )
    recording = Reader.of_array(data, rate=RATE, names=electrodes.names, where="x.nwb")
    return contamination(
        dataset(sound), [recording], electrodes, ContaminationSettings(sound=heard_as), **options
    )


def test_channels_are_audited_as_analysed_and_as_recorded():
    sound = spoken(7)
    data = contaminated(sound, 4, decibels=-5, seed=7)
    plain = contamination_of(sound, data)
    assert plain.matrix.dims == ("channel", "frequency_audio", "frequency")
    assert plain.matrix.dtype == np.float32
    assert np.array_equal(plain.p, plain.p_recorded)
    pairs = contamination_of(sound, data, reference="bipolar")
    assert list(pairs.channel.values) == ["LA1-LA2", "LA2-LA3", "LA3-LA4"]
    assert list(pairs.recorded_channel.values) == ["LA1", "LA2", "LA3", "LA4"]
    assert np.allclose(pairs.p_recorded, plain.p)
    # What is the same in neighbours goes with the reference; the scales differ a little.
    assert np.abs(pairs.excess).max() < plain.excess.min()


def test_without_audio_nothing_is_judged(caplog):
    made = contamination_of(np.zeros(0), background(2, 8))
    assert np.isnan(made.p).all()
    assert np.isnan(made.p_recording)
    assert list(made.channel.values) == ["LA1", "LA2"]
    assert "there is no audio (dataset.audio): contamination cannot be judged" in caplog.text


def test_constant_or_short_audio_is_refused():
    sound, data = spoken(8), background(2, 8)
    with pytest.raises(InputError, match="one value throughout"):
        contamination_of(np.zeros_like(sound), data)
    with pytest.raises(InputError, match="overlap for"):
        contamination_of(sound[: int(9 * AUDIO_RATE)], data)


def higher(sound, semitones):
    """Shift the pitch, with unchanged timing: overlap-add of windows, then resampling."""
    ratio = 2 ** (semitones / 12)
    width = round(0.04 * AUDIO_RATE)
    hop = width // 4
    window = np.hanning(width + 1)[:-1]
    stretched = np.zeros(int(len(sound) * ratio) + 2 * width)
    weight = np.zeros_like(stretched)
    padded = np.pad(sound, (0, 4 * width))
    previous = 0
    for first in range(0, len(stretched) - width, hop):
        wanted = int(first / ratio)
        if first:
            # The window that continues the last one best (WSOLA).
            target = padded[previous + hop : previous + hop + width]
            low = max(0, wanted - width // 2)
            near = padded[low : low + 2 * width]
            if len(target) == width and len(near) == 2 * width:
                wanted = low + int(ss.correlate(near, target, "valid").argmax())
        piece = padded[wanted : wanted + width]
        if len(piece) < width:
            break
        stretched[first : first + width] += window * piece
        weight[first : first + width] += window
        previous = wanted
    stretched /= np.maximum(weight, 1e-3)
    at = np.arange(len(sound)) * ratio
    return np.interp(at, np.arange(len(stretched)), stretched)


@pytest.mark.parametrize("semitones", [-3, 1.4, 2.5])
def test_a_copy_is_found_though_the_pitch_of_the_audio_is_shifted(semitones):
    sound = spoken(9)
    data = contaminated(sound, 6, decibels=-10, seed=9)
    found = audited(higher(sound, semitones), data, sound="altered")
    assert found.pitch.shift == pytest.approx(semitones, abs=0.3)
    assert found.pitch.altered and found.status == "auditable"
    assert (found.p < 0.05).mean() >= 0.95


def test_clean_electrodes_under_altered_audio_are_not_auditable_but_otherwise_are():
    sound, data = spoken(11), background(4, 11)
    altered = contamination_of(sound, data, heard_as="altered")
    assert altered.attrs["status"] == "not auditable"
    assert float(altered.p_pitch_shift) > 0.01
    assert abs(float(altered.pitch_shift)) < 3.51
    assert contamination_of(sound, data, heard_as="unknown").attrs["status"] == "auditable"
    plain = contamination_of(sound, data, heard_as="as-recorded")
    assert plain.attrs["status"] == "auditable" and np.isnan(plain.p_pitch_shift)


def test_an_unshifted_copy_shows_no_shift():
    sound = spoken(12)
    found = audited(sound, contaminated(sound, 4, decibels=-5, seed=12), sound="altered")
    assert found.pitch.found and not found.pitch.altered
    assert abs(found.pitch.shift) < 0.15
    assert found.status == "auditable"


@pytest.mark.parametrize("case", ["resonance", "band", "pitch"])
def test_narrow_and_shifted_copies_are_found(case):
    assert measure(case, 16, 3)["rate"] >= 0.9


def test_hum_flags_no_clean_electrode():
    # 48 electrodes at 5 %: more than 6 have a chance below 2 %.
    assert measure("hum", 48, 3)["rate"] <= 6 / 48


def test_steady_hum_is_removed_from_a_spectrum():
    settings = ContaminationSettings()
    freqs = spectra.frequencies(settings, rate=RATE, mains=50)
    t = np.arange(int(8 * RATE)) / RATE
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(len(t))
    times = np.arange(1.0, 7.0, settings.shift)
    power = []
    for hum in (0, 5 * np.sin(2 * np.pi * 100.03 * t)):
        signal = Reader.of_array((noise + hum)[:, None], rate=RATE)
        power.append(
            np.abs(
                spectra.clean_spectrum(
                    signal, slice(0, 1), times=times, freqs=freqs, lines=(50.0,), settings=settings
                )[0]
            ).mean()
        )
    assert power[1] == pytest.approx(power[0], rel=0.1)


def test_the_mains_frequency_is_that_of_settings_then_sidecar():
    assert spectra.mains_lines(ContaminationSettings(line=60), 50.0) == (60,)
    assert spectra.mains_lines(ContaminationSettings(), 60.0) == (60.0,)
    assert spectra.mains_lines(ContaminationSettings(), None) == spectra.MAINS


def test_an_audit_needs_sound():
    silent, signals = [None], [Reader.of_array(background(2, 8), rate=RATE)]
    with pytest.raises(InputError, match="there is no audio to compare the electrodes with"):
        audit.audit(silent, signals, ContaminationSettings())
