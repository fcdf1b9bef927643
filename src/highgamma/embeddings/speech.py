"""Speech models: sound to features of all layers, at the network's own frame rate.

Frames carry the time of the centre of the sound they are computed from. A long recording is heard
in windows that overlap by a stated context on either side; only frames with the full context are
kept, and they come block by block. With `context: causal` each frame is the last of a window of its
own, which ends where the frame ends.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from highgamma.embeddings.pretrained import Network, preprocessor
from highgamma.embeddings.stream import Audio, Embeddings, Float32Array, FloatArray, Words
from highgamma.errors import InputError

logger = logging.getLogger("highgamma")

#: What every model here was trained on.
RATE = 16000
#: Networks that hear the waveform through a stack of strided convolutions.
WAVEFORM = (
    *("wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat", "data2vec-audio"),
    "wav2vec2-conformer",
)
_WINDOW_S = 20.0
_PAST_S = 2.0


@dataclass(frozen=True, slots=True)
class Ear:
    """How a network turns samples at 16 kHz into frames.

    Parameters
    ----------
    stride
        Samples between frames.
    reach
        Samples that one frame of layer 0's convolutions sees; 0 where the sound is padded so that
        frame k is centred on sample k · stride.
    longest
        Most samples of one pass, or `None`.
    normalise
        Whether the waveform is brought to mean 0 and variance 1 first.
    n_mels
        Mel bands of the input; 0 where the input is the waveform.
    """

    stride: int
    reach: int
    longest: int | None
    normalise: bool
    n_mels: int

    def n_frames(self, n: int) -> int:
        """Return the number of frames of n samples, without frames of padding."""
        if self.reach == 0:
            return -(-n // self.stride)
        return max(0, (n - self.reach) // self.stride + 1)

    def centre(self) -> float:
        """Centre of frame 0, in samples from the first."""
        return self.reach / 2


def ear_of(network: Network) -> Ear:
    """Return a speech network's frames and limits, from its configuration.

    For convolutions with kernels k and strides s the stride of a frame is Π s and its reach
    1 + Σ (k_i − 1) Π_{j<i} s_j: for wav2vec 2.0 320 and 400 samples, so frame k is centred at
    12.5 ms + 20 ms·k. Whisper's frame k is centred at 20 ms·k: its mel frames and convolutions are
    padded to be centred.

    Raises
    ------
    InputError
        If the network hears no sound.
    """
    config = network.config
    kind = str(config.model_type)
    settings = preprocessor(network.folder)
    rate = settings.get("sampling_rate", RATE)
    if rate != RATE:
        raise InputError(
            f"the model was made for sound at {rate} Hz",
            where=network.folder,
            expected=f"{RATE} Hz",
            remedy="take a model trained on 16 kHz",
        )
    if kind == "whisper":
        # Mel frames every 160 samples, then a convolution of stride 2.
        longest = int(config.max_source_positions) * 320
        return Ear(320, 0, longest, False, int(config.num_mel_bins))
    if kind not in WAVEFORM or getattr(config, "add_adapter", False):
        raise InputError(
            f"the architecture {kind!r} is not a speech encoder that this software supports",
            where=network.folder,
            expected=f"one of {', '.join((*WAVEFORM, 'whisper'))}, without an adapter",
            remedy="give the model the kind `text` if it reads text, or take another model",
        )
    stride, reach = 1, 1
    convolutions = list(zip(config.conv_kernel, config.conv_stride, strict=False))
    if not all(isinstance(n, int) and n > 0 for pair in convolutions for n in pair):
        raise InputError(
            f"the model's convolutions have the lengths and strides {convolutions[:10]}",
            where=network.folder,
            expected="whole numbers above 0",
            remedy="compare config.json with the published one",
        )
    for kernel, step in convolutions:
        reach += (int(kernel) - 1) * stride
        stride *= int(step)
    if "do_normalize" not in settings:
        logger.info("no preprocessor_config.json: the waveform is normalised, as is the default")
    return Ear(stride, reach, None, bool(settings.get("do_normalize", True)), 0)


def hear(network: Network, ear: Ear, waveforms: Float32Array) -> Float32Array:
    """Run one pass of waveforms of equal length: (sound, layer, frame, feature).

    Nothing is padded in a batch, so a sound's features do not depend on the sounds beside it;
    Whisper's window is filled with silence, whose frames are dropped.

    Parameters
    ----------
    waveforms
        (sound, n), float32 at 16 kHz, normalised already where the network wants it.
    """
    import torch

    n_frames = ear.n_frames(waveforms.shape[1])
    if ear.n_mels:
        inputs = {"input_features": torch.from_numpy(_log_mel(ear, waveforms))}
    else:
        inputs = {"input_values": torch.from_numpy(np.ascontiguousarray(waveforms))}
    states = network.hidden(**{k: v.to(network.device) for k, v in inputs.items()})
    # Layer by layer, so that the copy off the device is the only one.
    out = np.empty(
        (waveforms.shape[0], network.layers + 1, n_frames, network.width), dtype=np.float32
    )
    for number, state in enumerate(states):
        out[:, number] = state[:, :n_frames].float().cpu().numpy()
    return out


def normalised(samples: Float32Array) -> Float32Array:
    """Return (x − mean) / √(variance + 1e-7), as transformers' feature extractor does."""
    mean = np.mean(samples, dtype=np.float64)
    variance = np.mean((samples - np.float32(mean)) ** 2, dtype=np.float64)
    return ((samples - np.float32(mean)) / np.float32(np.sqrt(variance + 1e-7))).astype(np.float32)


def windows(n: int, ear: Ear, *, window: float, context: float) -> list[tuple[int, int, int, int]]:
    """Return windows over n samples: (first sample, stop sample, first frame, stop frame).

    The frames of all windows follow one another without a gap, and each has `context` seconds of
    sound on either side within its window, or all the sound there is. Windows begin on frames, so
    a frame hears the same samples in whichever window.

    Parameters
    ----------
    n
        Number of samples.
    ear
        The network's frames and limits.
    window, context
        Length of a window, and of the sound on either side of its frames, s.
    """
    total = ear.n_frames(n)
    longest = round(window * RATE) if ear.longest is None else ear.longest
    longest = min(longest, round(window * RATE))
    margin = -(-round(context * RATE) // ear.stride)
    keep = (longest - ear.reach) // ear.stride + (1 if ear.reach else 0) - 2 * margin
    if keep < 1:
        raise InputError(
            f"a window of {longest / RATE:g} s leaves no frame with {context:g} s of context",
            where="window, context (model catalogue)",
            expected="window longer than twice the context",
            remedy="make `window` longer or `context` shorter",
        )
    plan = []
    for frame in range(0, total, keep):
        stop = min(total, frame + keep)
        first_sample = max(0, frame - margin) * ear.stride
        stop_sample = min(n, (stop - 1 + margin) * ear.stride + max(ear.reach, ear.stride))
        plan.append((first_sample, stop_sample, frame, stop))
    return plan


def continuous(
    network: Network, samples: Float32Array, *, window: float, context: float
) -> Iterator[Float32Array]:
    """Yield all frames of one recording in consecutive blocks (layer, frame, feature).

    Normalisation uses the whole recording, so that no window's loudness shows as a seam.

    Parameters
    ----------
    network
        A speech network.
    samples
        (sample,) sound at 16 kHz.
    window, context
        Length of a window, and of the sound on either side of its frames, s.
    """
    ear = ear_of(network)
    whole = normalised(samples) if ear.normalise else samples
    for a, b, frame, stop in windows(len(samples), ear, window=window, context=context):
        heard = hear(network, ear, whole[None, a:b])[0]
        skip = frame - a // ear.stride
        yield heard[:, skip : skip + stop - frame]


def causal_windows(
    n: int, ear: Ear, *, window: float, shift: float | None
) -> list[tuple[int, int]]:
    """Return first and stop sample of the window that ends with each kept frame.

    A window ends with the last sample that its last frame's convolutions reach (half a reach, or
    a stride for Whisper, after the frame's centre) and holds the `window` seconds before, or all
    the sound there is; the windows at the beginning are shorter for that.

    Parameters
    ----------
    n
        Samples of the recording.
    window, shift
        Seconds heard; seconds between the frames kept, to the nearest frame (`None`: every frame).
    """
    longest = round(window * RATE)
    if ear.longest is not None:
        longest = min(longest, ear.longest)
    end = max(ear.reach, ear.stride)
    before = (longest - end) // ear.stride
    if before < 0:
        raise InputError(
            f"a window of {longest / RATE:g} s is shorter than a frame",
            where="window (model catalogue)",
            expected=f"{end / RATE:g} s or more",
        )
    kept = range(0, ear.n_frames(n), causal_step(ear, shift))
    # Windows begin on frames, so that all full ones have the same length.
    return [
        (max(0, frame - before) * ear.stride, min(n, frame * ear.stride + end)) for frame in kept
    ]


def causal_step(ear: Ear, shift: float | None) -> int:
    """Return the number of frames from one kept frame to the next, at least 1."""
    return max(1, round((shift or 0.0) * RATE / ear.stride))


def causal(
    network: Network,
    samples: Float32Array,
    *,
    window: float,
    shift: float | None = None,
    batch: int = 8,
) -> Iterator[Float32Array]:
    """Yield frames computed from past sound only: consecutive blocks (layer, frame, feature).

    Each window is normalised by itself, for the loudness of the whole recording is known only when
    it is over. Windows of equal length share a batch.

    Parameters
    ----------
    network
        A speech network.
    samples
        (sample,) sound at 16 kHz.
    window
        Length of the past sound that each frame is computed from, s.
    shift
        Time between frames, s; None for that of the network.
    batch
        Largest number of windows in a pass.
    """
    ear = ear_of(network)
    plan = causal_windows(len(samples), ear, window=window, shift=shift)
    for length, same in itertools.groupby(plan, key=lambda span: span[1] - span[0]):
        spans = list(same)
        for a in range(0, len(spans), batch):
            some = spans[a : a + batch]
            waves = [samples[first : first + length] for first, _ in some]
            waves = [normalised(wave) for wave in waves] if ear.normalise else waves
            yield np.moveaxis(hear(network, ear, np.stack(waves))[:, :, -1], 0, 1)


def trials(
    network: Network, sounds: list[Float32Array | None], n: int, *, batch: int
) -> Iterator[Float32Array]:
    """Yield features of each trial's sound by itself: blocks (layer, trial × frame, feature).

    Parameters
    ----------
    sounds
        (n,) each at 16 kHz, normalised each by itself; `None` for a trial without sound, whose
        frames are missing (NaN).
    n
        Samples of a trial.
    batch
        Trials in one pass; all have the same length, so nothing is padded.
    """
    ear = ear_of(network)
    frames = ear.n_frames(n)
    for a in range(0, len(sounds), batch):
        some = sounds[a : a + batch]
        block = np.full(
            (network.layers + 1, len(some), frames, network.width), np.nan, dtype=np.float32
        )
        there = [i for i, sound in enumerate(some) if sound is not None]
        if there:
            waves = [s for s in some if s is not None]
            waves = [normalised(s) for s in waves] if ear.normalise else waves
            block[:, there] = np.moveaxis(hear(network, ear, np.stack(waves)), 0, 1)
        yield block.reshape(network.layers + 1, len(some) * frames, network.width)


def speech_embeddings(
    model: Mapping[str, Any], *, audio: Audio, words: Words, network: Network
) -> Embeddings:
    """Return features of the sound for a resolved catalogue entry of kind `speech`.

    Unit `frame` over the whole recording, or `trial-frame` with `context: trial`.
    """
    audio.required()
    if abs(audio.rate / RATE - 1) > 0.01:
        raise InputError(
            f"the audio has {audio.rate:g} samples per second",
            expected=f"{RATE}, to 1 %",
            remedy="recreate the audio file (stage recording)",
        )
    ear = ear_of(network)
    if model["context"] == "trial":
        return _trial_embeddings(model, audio=audio, words=words, network=network, ear=ear)
    if model["context"] == "causal":
        return _causal_embeddings(model, audio=audio, network=network, ear=ear)
    window = float(model["window"] or (ear.longest / RATE if ear.longest else _WINDOW_S))
    context = float(model["context"])
    parts = _heard(audio, ear)
    times, numbers = [], []
    for number, start, samples in parts:
        count = ear.n_frames(len(samples))
        times.append(start + frame_times(ear, count, audio.rate))
        numbers.append(np.full(count, number, dtype=np.int16))

    def blocks() -> Iterator[Float32Array]:
        for _, _, samples in parts:
            yield from continuous(network, samples, window=window, context=context)

    return Embeddings(
        unit="frame",
        layers=list(range(network.layers + 1)),
        width=network.width,
        coordinates={"time": np.concatenate(times), "segment": np.concatenate(numbers)},
        blocks=blocks(),
        attributes={
            "rate_hz": audio.rate / ear.stride,
            "window_s": window,
            "context_s": context,
        },
    )


def _heard(audio: Audio, ear: Ear) -> list[tuple[int, float, Float32Array]]:
    """Segments (number, start, samples) that hold a frame or more; the others are named."""
    parts = audio.parts()
    heard = [part for part in parts if ear.n_frames(len(part[2]))]
    if not heard:
        raise InputError(
            f"the longest segment of sound has {max(len(p[2]) for p in parts) / audio.rate:.3g} s",
            expected=f"{max(ear.reach, 1) / audio.rate:.3g} s or more, one frame of the network",
        )
    if len(heard) < len(parts):
        short = sorted({part[0] for part in parts} - {part[0] for part in heard})
        logger.warning(
            "segments %s are shorter than a frame of the network; they have no features",
            ", ".join(map(str, short)),
        )
    return heard


def frame_times(ear: Ear, count: int, rate: float) -> FloatArray:
    """Return centres of frames, s from the first sample; `rate` is the sound's true rate."""
    times: FloatArray = (ear.centre() + ear.stride * np.arange(count, dtype=np.float64)) / rate
    return times


def _causal_embeddings(
    model: Mapping[str, Any], *, audio: Audio, network: Network, ear: Ear
) -> Embeddings:
    window = float(model["window"] or _PAST_S)
    shift = None if model["shift"] is None else float(model["shift"])
    step = causal_step(ear, shift)
    parts = _heard(audio, ear)
    times, numbers = [], []
    for number, start, samples in parts:
        times.append(start + frame_times(ear, ear.n_frames(len(samples)), audio.rate)[::step])
        numbers.append(np.full(len(times[-1]), number, dtype=np.int16))

    def blocks() -> Iterator[Float32Array]:
        for _, _, samples in parts:
            yield from causal(
                network, samples, window=window, shift=shift, batch=int(model["batch"])
            )

    return Embeddings(
        unit="frame",
        layers=list(range(network.layers + 1)),
        width=network.width,
        coordinates={"time": np.concatenate(times), "segment": np.concatenate(numbers)},
        blocks=blocks(),
        attributes={
            "rate_hz": audio.rate / ear.stride / step,
            "window_s": window,
            "context": "causal",
        },
    )


def _trial_embeddings(
    model: Mapping[str, Any], *, audio: Audio, words: Words, network: Network, ear: Ear
) -> Embeddings:
    trial = model["trial"]
    n = round((trial["stop"] - trial["start"]) * RATE)
    frames = ear.n_frames(n)
    if frames < 1 or (ear.longest is not None and n > ear.longest):
        raise InputError(
            f"a trial of {n / RATE:g} s does not suit the network",
            where="trial (model catalogue)",
            expected=f"{max(ear.reach, 1) / RATE:g} s"
            + (f" to {ear.longest / RATE:g} s" if ear.longest else " or more"),
        )
    parts = {number: (start, samples) for number, start, samples in audio.parts()}
    sounds: list[Float32Array | None] = []
    for segment, onset in zip(words.segment, words.edges(trial["align"])[0], strict=True):
        begin, samples = parts.get(int(segment), (0.0, audio.samples[:0]))
        if np.isnan(onset):
            sounds.append(None)
            continue
        first = round((onset + trial["start"] - begin) * audio.rate)
        sound = samples[first : first + n] if first >= 0 else samples[:0]
        sounds.append(sound if len(sound) == n else None)
    absent = sum(sound is None for sound in sounds)
    if absent:
        logger.warning(
            "%d of %d trials have no sound over their whole length; they are missing",
            *(absent, len(sounds)),
        )
    time = trial["start"] + frame_times(ear, frames, float(RATE))
    return Embeddings(
        unit="trial-frame",
        layers=list(range(network.layers + 1)),
        width=network.width,
        coordinates={
            "word_index": np.repeat(np.arange(len(sounds), dtype=np.int32), frames),
            "time": np.tile(time, len(sounds)),
        },
        blocks=trials(network, sounds, n, batch=int(model["batch"])),
        attributes={"rate_hz": RATE / ear.stride, "frames_per_trial": frames},
    )


def _log_mel(ear: Ear, waveforms: Float32Array) -> Float32Array:
    """Whisper's input, (sound, mel, 2 × positions): silence after the sound to the full window."""
    from transformers import WhisperFeatureExtractor

    seconds = (ear.longest or 0) // RATE
    extractor = WhisperFeatureExtractor(feature_size=ear.n_mels, chunk_length=seconds)
    features = extractor(
        list(waveforms), sampling_rate=RATE, return_tensors="np", padding="max_length"
    )["input_features"]
    return np.asarray(features, dtype=np.float32)
