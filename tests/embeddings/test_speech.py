"""Speech models: layers, frame times by gradients, windows without seams, trials."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_networks import LAYERS, WIDTH, entry

from highgamma.embeddings import speech, writing
from highgamma.embeddings.pretrained import Network, load_network
from highgamma.embeddings.stream import Audio, Words
from highgamma.errors import InputError

WAVEFORM = [
    *("wav2vec2-group", "wav2vec2-stable", "hubert", "hubert-stable", "wavlm", "wavlm-stable")
]
RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def loaded(saved: Callable[[str], Path]) -> Callable[[str], Network]:
    kept: dict[str, Network] = {}

    def load(name: str) -> Network:
        if name not in kept:
            kept[name] = load_network(entry("speech"), saved(name), device="cpu")
        return kept[name]

    return load


def noise(seconds: float) -> np.ndarray:
    return (0.1 * RNG.normal(size=round(seconds * 16000))).astype(np.float32)


def sound(*seconds: float, rate: float = 16000.0, start: float = 0.0) -> Audio:
    pieces = [noise(s) for s in seconds]
    first = np.cumsum([0, *(len(p) for p in pieces)])[:-1]
    return Audio(
        np.concatenate(pieces),
        rate,
        tuple(range(len(pieces))),
        tuple(int(f) for f in first),
        (start,) * len(pieces),
    )


def words_at(*onsets: float) -> Words:
    onset = np.array(onsets)
    n = len(onsets)
    return Words(tuple("w" * n), np.zeros(n, np.int64), onset, onset + 1, np.full(n, np.nan), onset)


@pytest.mark.parametrize("name", WAVEFORM)
def test_layers_are_those_of_a_plain_pass_and_the_last_is_the_models_output(
    loaded, name: str
) -> None:
    import torch

    network = loaded(name)
    ear = speech.ear_of(network)
    wave = noise(1.0)
    got = speech.hear(network, ear, wave[None])[0]
    with torch.no_grad():
        out = network.module(torch.from_numpy(wave[None]), output_hidden_states=True)
    assert got.shape == (LAYERS + 1, 49, WIDTH)
    for number in range(LAYERS):
        np.testing.assert_allclose(
            got[number], out.hidden_states[number][0].numpy(), rtol=1e-4, atol=1e-5
        )
    np.testing.assert_allclose(got[-1], out.last_hidden_state[0].numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["wav2vec2-stable", "hubert-stable", "wavlm-stable"])
def test_with_stable_layer_norm_the_output_is_the_normed_output_of_the_last_block(
    loaded, name: str
) -> None:
    import torch

    network = loaded(name)
    left = []
    hook = network.module.encoder.layers[-1].register_forward_hook(
        lambda module, args, out: left.append(out[0] if isinstance(out, tuple) else out)
    )
    got = speech.hear(network, speech.ear_of(network), noise(0.5)[None])[0]
    hook.remove()
    with torch.no_grad():
        normed = network.module.encoder.layer_norm(left[0])[0].numpy()
    np.testing.assert_allclose(got[-1], normed, rtol=1e-4, atol=1e-5)
    assert np.abs(got[-1] - left[0][0].numpy()).max() > 0.01


def centre_of_gradient(network: Network, n: int, frame: int) -> tuple[float, int, int]:
    """Centre and extent, in samples, of the sound that a frame of the convolutions depends on."""
    import torch

    wave = torch.from_numpy(noise(n / 16000)[None]).requires_grad_()
    features = network.module.feature_extractor(wave)  # (1, channel, frame)
    features[0, :, frame].abs().sum().backward()
    seen = np.flatnonzero(wave.grad[0].numpy())
    return (seen[0] + seen[-1] + 1) / 2, int(seen[0]), int(seen[-1])


@pytest.mark.parametrize("name", ["wav2vec2-stable", "hubert-stable", "wavlm-stable"])
def test_frame_times_are_the_centres_of_the_sound_that_the_gradient_reaches(
    loaded, name: str
) -> None:
    network = loaded(name)
    ear = speech.ear_of(network)
    times = speech.frame_times(ear, 49, 16000.0)
    for frame in (0, 7, 30):
        centre, first, last = centre_of_gradient(network, 16000, frame)
        assert last - first + 1 == 400
        assert abs(centre / 16000 - times[frame]) < 1e-9
    # As measured and published: 12.5 ms + 20 ms k.
    np.testing.assert_allclose(times[:3], [0.0125, 0.0325, 0.0525])


def test_whispers_frame_k_is_centred_at_20_ms_k_by_its_gradient(loaded) -> None:
    import torch

    network = loaded("whisper")
    ear = speech.ear_of(network)
    times = speech.frame_times(ear, 100, 16000.0)
    # Through the convolutions: which mel frames does a frame depend on?
    mel = torch.randn(1, ear.n_mels, 200).requires_grad_()
    module = network.module
    inner = torch.nn.functional.gelu(module.conv1(mel))
    inner = torch.nn.functional.gelu(module.conv2(inner))
    for frame in (5, 40):
        mel.grad = None
        inner[0, :, frame].abs().sum().backward(retain_graph=True)
        seen = np.flatnonzero(mel.grad[0].abs().sum(0).numpy())
        # Mel frame m is centred at 10 ms m: the extractor pads half a window on either side.
        assert abs((seen[0] + seen[-1]) / 2 * 0.01 - times[frame]) < 1e-9
    # And from the sound to the mel frames: a click at t is strongest in the mel frame at t.
    click = np.full(32000, 0.0, np.float32)
    click[16000] = 1.0
    features = speech._log_mel(ear, click[None])[0]
    loud = np.flatnonzero(features.mean(axis=0) > features.mean(axis=0).min() + 0.1)
    assert abs((loud[0] + loud[-1]) / 2 - 100) <= 0.5


def test_whisper_drops_the_frames_of_its_padding(loaded) -> None:
    network = loaded("whisper")
    ear = speech.ear_of(network)
    assert ear.longest == 32000
    assert speech.hear(network, ear, noise(0.5)[None]).shape == (1, LAYERS + 1, 25, WIDTH)


@pytest.mark.parametrize("name", [*WAVEFORM, "whisper"])
def test_a_sounds_features_do_not_depend_on_the_sounds_in_its_batch(loaded, name: str) -> None:
    network = loaded(name)
    ear = speech.ear_of(network)
    waves = np.stack([noise(0.6), 5 * noise(0.6), 0 * noise(0.6)])
    together = speech.hear(network, ear, waves)
    for number in range(3):
        alone = speech.hear(network, ear, waves[number : number + 1])[0]
        np.testing.assert_allclose(together[number], alone, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", [*WAVEFORM, "whisper", "whisper-large-v3"])
def test_a_recording_of_one_window_is_heard_in_one_pass(loaded, name: str) -> None:
    network = loaded(name)
    ear = speech.ear_of(network)
    wave = noise(1.0)
    got = np.concatenate(list(speech.continuous(network, wave, window=2.0, context=0.2)), axis=1)
    whole = speech.normalised(wave) if ear.normalise else wave
    expected = speech.hear(network, ear, whole[None])[0]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["wav2vec2-stable", "hubert-stable", "wavlm-stable"])
def test_windows_leave_no_seam_where_the_architecture_allows_equality(loaded, name: str) -> None:
    # Layer 0 of these sees 400 samples and 16 frames: within the context, so windows are exact.
    network = loaded(name)
    wave = noise(6.0)
    windowed = np.concatenate(
        list(speech.continuous(network, wave, window=1.5, context=0.4)), axis=1
    )
    at_once = np.concatenate(
        list(speech.continuous(network, wave, window=10.0, context=0.4)), axis=1
    )
    assert windowed.shape == at_once.shape
    np.testing.assert_allclose(windowed[0], at_once[0], rtol=1e-3, atol=1e-4)


def test_windows_cover_every_frame_once_with_its_full_context() -> None:
    ear = speech.Ear(320, 400, None, True, 0)
    for n in (399, 400, 720, 16000, 100001, 16000 * 47):
        plan = speech.windows(n, ear, window=4.0, context=0.5)
        covered = [f for _, _, a, b in plan for f in range(a, b)]
        assert covered == list(range(ear.n_frames(n)))
        for first, stop, a, b in plan:
            assert stop - first <= 4 * 16000
            assert first % 320 == 0
            assert a * 320 - first >= min(a * 320, 8000)
            last = (b - 1) * 320 + 400
            assert stop - last >= min(n - last, 8000 - 320)


def test_a_window_without_room_for_its_context_is_refused() -> None:
    ear = speech.Ear(320, 400, None, True, 0)
    with pytest.raises(InputError, match="no frame with 2 s of context"):
        speech.windows(160000, ear, window=3.0, context=2.0)


@pytest.mark.parametrize("name", [*WAVEFORM, "whisper"])
def test_a_causal_frame_does_not_change_when_the_future_changes(loaded, name: str) -> None:
    network = loaded(name)
    ear = speech.ear_of(network)
    one = noise(1.2)
    other = one.copy()
    other[9600:] = 20 * noise(0.6)
    frames = [
        np.concatenate(list(speech.causal(network, w, window=0.4, shift=0.04)), axis=1)
        for w in (one, other)
    ]
    times = speech.frame_times(ear, ear.n_frames(len(one)), 16000.0)[::2]
    assert frames[0].shape == (LAYERS + 1, len(times), WIDTH)
    # A frame hears to the end of its own convolutions: at most 20 ms after its centre.
    past = times <= 0.6 - 0.02
    assert past.sum() >= 14
    np.testing.assert_array_equal(frames[0][:, past], frames[1][:, past])
    assert (np.abs(frames[0] - frames[1])[1:, times > 0.62].max(axis=(0, 2)) > 1e-3).all()


@pytest.mark.parametrize("name", ["wav2vec2-group", "wav2vec2-stable", "wavlm-stable"])
def test_a_causal_frame_is_the_last_of_a_plain_pass_over_the_sound_before_it(
    loaded, name: str
) -> None:
    import torch

    network = loaded(name)
    wave = noise(0.8)
    got = np.concatenate(list(speech.causal(network, wave, window=0.305, batch=3)), axis=1)
    assert got.shape[1] == (12800 - 400) // 320 + 1
    # 0.305 s are 4880 samples: 14 strides of 320 and a reach of 400.
    for frame in (0, 5, 14, 25, 38):
        stop = 320 * frame + 400
        heard = speech.normalised(wave[max(0, stop - 4880) : stop])
        with torch.no_grad():
            out = network.module(torch.from_numpy(heard[None]), output_hidden_states=True)
        states = [*out.hidden_states[:-1], out.last_hidden_state]
        expected = torch.stack(states)[:, 0, -1].numpy()
        np.testing.assert_allclose(got[:, frame], expected, rtol=1e-3, atol=1e-4)


def test_causal_embeddings_carry_the_times_of_the_frames_that_are_kept(loaded) -> None:
    audio = sound(0.7, 0.5, rate=15999.73, start=0.25)
    model = entry("speech", context="causal", window=0.3, shift=0.1)
    made = speech.speech_embeddings(
        model, audio=audio, words=words_at(0.1), network=loaded("wav2vec2-group")
    )
    dataset = writing.as_dataset(made)
    # Every fifth of 34 and of 24 frames of 20 ms.
    assert dataset["embedding"].shape == (LAYERS + 1, 7 + 5, WIDTH)
    np.testing.assert_allclose(dataset["time"][:2], 0.25 + np.array([200, 1800]) / 15999.73)
    assert abs(dataset.attrs["rate_hz"] - 10) < 0.01
    assert dataset.attrs["context"] == "causal"


def test_a_causal_window_shorter_than_a_frame_is_refused() -> None:
    with pytest.raises(InputError, match="s is shorter than a frame"):
        speech.causal_windows(16000, speech.Ear(320, 400, None, True, 0), window=0.02, shift=None)


def test_half_precision_is_refused_on_a_cpu(saved) -> None:
    for dtype in ("float16", "bfloat16"):
        with pytest.raises(InputError, match=f"dtype: {dtype}` is for GPUs"):
            load_network(entry("speech", dtype=dtype), saved("hubert"), device="cpu")


def test_a_network_in_bfloat16_hears_float32_sound_and_gives_nearly_the_same(loaded) -> None:
    import copy
    import dataclasses

    exact = loaded("wav2vec2-stable")
    half = dataclasses.replace(exact, module=copy.deepcopy(exact.module).bfloat16())
    ear, wave = speech.ear_of(exact), noise(0.5)[None]
    a, b = speech.hear(exact, ear, wave), speech.hear(half, ear, wave)
    assert b.dtype == np.float32
    assert np.isfinite(b).all()
    for layer in range(LAYERS + 1):
        alike = np.corrcoef(a[0, layer].ravel(), b[0, layer].ravel())[0, 1]
        assert 0.95 < alike < 1, layer


def test_normalisation_is_the_feature_extractors() -> None:
    from transformers import Wav2Vec2FeatureExtractor

    wave = 3 * noise(0.3) + np.float32(0.2)
    expected = Wav2Vec2FeatureExtractor(do_normalize=True)(
        wave, sampling_rate=16000, return_tensors="np"
    )["input_values"][0]
    np.testing.assert_allclose(speech.normalised(wave), expected, rtol=1e-4, atol=1e-5)


def test_a_model_made_without_normalisation_hears_the_waveform_as_it_is(
    saved, tmp_path: Path
) -> None:
    folder = saved("wav2vec2-group")
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"do_normalize": False, "sampling_rate": 16000}), encoding="utf-8"
    )
    network = load_network(entry("speech"), tmp_path, device="cpu")
    assert not speech.ear_of(network).normalise
    (tmp_path / "preprocessor_config.json").write_text('{"sampling_rate": 8000}', encoding="utf-8")
    with pytest.raises(InputError, match="was made for sound at 8000 Hz"):
        speech.ear_of(network)


def test_frames_of_a_recording_carry_its_true_clock_and_its_segments(loaded) -> None:
    audio = sound(1.0, 0.7, rate=15999.73, start=0.25)
    model = entry("speech", window=2.0, context=0.2)
    made = speech.speech_embeddings(
        model, audio=audio, words=words_at(0.1), network=loaded("wav2vec2-group")
    )
    dataset = writing.as_dataset(made)
    assert dataset["embedding"].shape == (LAYERS + 1, 49 + 34, WIDTH)
    np.testing.assert_allclose(dataset["time"][:2], 0.25 + np.array([200, 520]) / 15999.73)
    assert dataset["time"][49] == dataset["time"][0]
    assert list(np.unique(dataset["segment"])) == [0, 1]
    assert np.isfinite(dataset["embedding"]).all()


@pytest.mark.parametrize("context", [0.2, "causal"])
def test_segments_shorter_than_a_frame_are_named_and_have_no_features(
    loaded, caplog, context
) -> None:
    audio = sound(0.02, 1.0, 0.01)
    model = entry("speech", window=2.0, context=context)
    made = speech.speech_embeddings(
        model, audio=audio, words=words_at(0.1), network=loaded("wav2vec2-group")
    )
    assert writing.as_dataset(made)["embedding"].shape == (LAYERS + 1, 49, WIDTH)
    assert set(made.coordinates["segment"]) == {1}
    assert "segments 0, 2 are shorter than a frame" in caplog.text
    with pytest.raises(InputError, match=r"longest segment of sound has 0\.02 s"):
        speech.speech_embeddings(
            model, audio=sound(0.02), words=words_at(0.1), network=loaded("wav2vec2-group")
        )


def test_two_seconds_of_a_trial_give_99_frames_as_in_the_study(loaded, caplog) -> None:
    audio = sound(6.0)
    model = entry("speech", context="trial", trial={"align": "prompt", "start": 0, "stop": 2})
    made = speech.speech_embeddings(
        model, audio=audio, words=words_at(0.0, 1.5, 4.5, np.nan), network=loaded("wav2vec2-stable")
    )
    values = np.concatenate(list(made.blocks), axis=1)
    assert values.shape == (LAYERS + 1, 4 * 99, WIDTH)
    np.testing.assert_array_equal(made.coordinates["word_index"], np.repeat(np.arange(4), 99))
    alone = speech.normalised(audio.samples[24000:56000])
    network = loaded("wav2vec2-stable")
    expected = speech.hear(network, speech.ear_of(network), alone[None])[0]
    np.testing.assert_allclose(values[:, 99:198], expected, rtol=1e-3, atol=1e-4)
    # The third trial leaves the recording, the fourth word has no onset.
    assert np.isnan(values[:, 198:]).all()
    assert "2 of 4 trials have no sound over their whole length" in caplog.text


def test_a_text_model_given_for_sound_is_refused(saved) -> None:
    network = load_network(entry("text"), saved("gpt2"), device="cpu")
    with pytest.raises(InputError, match="'gpt2' is not a speech encoder"):
        speech.ear_of(network)


def test_no_sound_and_a_wrong_rate_are_refused(loaded) -> None:
    network = loaded("wav2vec2-group")
    silent = Audio(np.empty(0, np.float32), float("nan"), (), (), ())
    with pytest.raises(InputError, match="this recording has no audio"):
        speech.speech_embeddings(entry("speech"), audio=silent, words=words_at(0), network=network)
    with pytest.raises(InputError, match="48000 samples per second"):
        speech.speech_embeddings(
            entry("speech"), audio=sound(1.0, rate=48000.0), words=words_at(0), network=network
        )


def test_a_trial_that_is_too_short_for_the_network_is_refused(loaded) -> None:
    model = entry("speech", context="trial", trial={"align": "prompt", "start": 0, "stop": 0.001})
    with pytest.raises(InputError, match=r"a trial of 0\.001 s does not suit the network"):
        speech.speech_embeddings(
            model, audio=sound(1.0), words=words_at(0.0), network=loaded("wav2vec2-group")
        )
