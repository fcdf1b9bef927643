"""A simulated participant through the workflow's own stages, from the voltage to score files."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma import catalogue, gain, neural, store
from highgamma.contamination.settings import ContaminationSettings
from highgamma.contamination.stage import contamination
from highgamma.demo import dataset
from highgamma.embeddings.making import make_embeddings
from highgamma.embeddings.stream import Embeddings
from highgamma.embeddings.writing import as_dataset
from highgamma.encoding.analysis import Analysis, analysis_from
from highgamma.encoding.fit import fit_analysis
from highgamma.encoding.samples import Samples, frame_samples, layer_numbers, word_samples
from highgamma.recording.outputs import sound_dataset, with_voice
from highgamma.recording.reader import Reader
from highgamma.recording.resampling import ratio, resampled
from highgamma.recording.sound import RATE, Sound
from highgamma.selftest.files import FITS, gain_name, score_name
from highgamma.selftest.settings import SelftestSettings
from highgamma.selftest.worlds import World
from highgamma.settings import checked, fit_settings
from highgamma.targets import targets

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]

logger = logging.getLogger("highgamma")

UNTESTED = ("language-untrained",)
"""Controls that are not tested themselves; they draw no surrogates."""

ACOUSTIC: dict[str, dict[str, Any]] = {
    "envelope": {"kind": "acoustic", "feature": "envelope", "width": 1},
    "word-onoff": {"kind": "acoustic", "feature": "on-off", "width": 1, "mark": "voice"},
}


def analyses(settings: SelftestSettings) -> dict[str, dict[str, Any]]:
    """Return the analyses as a configuration names them; other settings have their defaults.

    In a family with few findings, p must be able to reach far below the level: with n surrogates no
    p is below 1 / (n + 1), and k findings among m electrodes need p < .05 k / m. The analysis of
    words has about one finding in twenty electrodes.
    """
    frames = {"unit": "frame", "split": "contiguous", "folds": 10, "lags": [-0.3, 0.3]}
    return {
        "frames": {
            **frames,
            "lag_step": 0.1,
            "permutations": settings.permutations,
            "controls": ["word-onoff"],
            # What is planted here is among the nuisances; `battery` tests with them.
            "nuisances": [],
        },
        "lags": {**frames, "lag_step": 0.02, "lag_mode": "curve", "permutations": 0},
        "words": {
            "unit": "word",
            "split": "leave-one-word-out",
            "window": [0.0, 1.0],
            "permutations": 3 * settings.permutations + 2,
            "controls": ["language-untrained"],
            "nuisances": [],
        },
    }


def analysis_of(settings: SelftestSettings, analysis: str, model: str) -> Analysis:
    """Return the settings of one fit, checked and completed as those of a run are."""
    config = checked(
        {
            "dataset": {"root": "selftest"},
            "models": list(dict.fromkeys(name for models in FITS.values() for name in models)),
            "analyses": analyses(settings),
        }
    )
    fit = analysis_from(fit_settings(config, analysis, model))
    return replace(fit, permutations=0) if model in UNTESTED else fit


def heard(world: World) -> Sound:
    """Return the sound as the stage `recording` keeps it: near 16 kHz, scaled by its peak."""
    factor = ratio(dataset.AUDIO_RATE, RATE)
    sound = Reader.of_array(world.audio[:, None].astype(np.float32), rate=dataset.AUDIO_RATE)
    samples = resampled(sound, factor)
    peak = float(np.abs(samples).max())
    rate = dataset.AUDIO_RATE * factor.numerator / factor.denominator
    return Sound(samples / np.float32(peak), rate, dataset.AUDIO_DELAY, peak)


def word_table(world: World, sound: Sound) -> pd.DataFrame:
    """Return the words as the stage `recording` writes them, with the detected voice."""
    import pandas as pd

    session = world.session
    table = pd.DataFrame(
        {
            "segment": 0,
            "segment_label": "recording",
            "word": [word.text for word in session.words],
            "onset": session.prompt / session.rate,
            "offset": session.prompt_stop / session.rate,
            "voice_onset": np.nan,
            "voice_offset": np.nan,
        }
    )
    return with_voice(table, [sound])


def model_embeddings(world: World, words: pd.DataFrame, audio: xr.Dataset) -> dict[str, xr.Dataset]:
    """Compute the embeddings of every model: acoustic features of the sound, and the words' layers.

    Parameters
    ----------
    world
        The simulated participant.
    words
        Table of words (`word_table`).
    audio
        `audio(time)` as the stage `recording` writes it.

    Returns
    -------
    embeddings
        A Dataset for each model, by name.
    """
    embeddings = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        store.write_table(words, place / "words.tsv")
        store.write_dataset(audio, place / "audio.nc", stage="recording", parameters={})
        entries = catalogue.checked_catalogue(ACOUSTIC)
        for name in ACOUSTIC:
            make_embeddings(
                place / f"{name}.nc",
                name=name,
                model=catalogue.resolve(entries, name),
                participant="",
                dataset={},
                words=place / "words.tsv",
                audio=place / "audio.nc",
            )
            embeddings[name] = store.read_dataset(place / f"{name}.nc")
    embeddings["language"] = _of_words(world.layers, words)
    embeddings["language-untrained"] = _of_words(world.control[None], words)
    return embeddings


def _of_words(layers: FloatArray, words: pd.DataFrame) -> xr.Dataset:
    n_layers, n_words, width = layers.shape
    return as_dataset(
        Embeddings(
            unit="word",
            layers=list(range(n_layers)),
            width=width,
            coordinates={
                "word_index": np.arange(n_words),
                "word": words["word"].to_numpy(dtype=object),
            },
            blocks=[layers.astype(np.float32)],
        )
    )


def recorded(world: World) -> tuple[list[Reader], neural.Electrodes]:
    """Return the voltage as the stages read it: one recording, and its electrodes."""
    names = [electrode.contact.name for electrode in world.plan.planted]
    recording = Reader.of_array(
        world.voltage, rate=world.session.rate, names=names, where="selftest"
    )
    return [recording], neural.Electrodes.from_names(names)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Inputs of the fits of one participant.

    Attributes
    ----------
    words
        Table of words.
    audio
        `audio(time)`.
    signal
        High-gamma frames as the stage `neural` keeps them.
    target
        Means over the words' windows as the stage `targets` keeps them.
    embeddings
        A Dataset for each model, by name.
    follows_sound
        (channel,) whether the electrode is planted from the sound.
    """

    words: pd.DataFrame
    audio: xr.Dataset
    signal: xr.Dataset
    target: xr.Dataset
    embeddings: dict[str, xr.Dataset]
    follows_sound: BoolArray


def prepare(world: World) -> Prepared:
    """Detect the voice, filter the voltage, and compute all embeddings."""
    sound = heard(world)
    audio = sound_dataset([sound], files=[])
    words = word_table(world, sound)
    recordings, electrodes = recorded(world)
    # One pass through the frequency domain; the tests compare it with the study's chain.
    chain = neural.NeuralSettings(method="fft")
    frames = neural.high_gamma(recordings, electrodes, chain)
    signal = neural.frame_coordinates(frames)
    signal["high_gamma"] = (("time", "channel"), frames.values(), {"units": chain.units})
    return Prepared(
        words=words,
        audio=audio,
        signal=signal,
        target=targets(recordings, electrodes, words, chain, align="prompt", start=0.0, stop=1.0),
        embeddings=model_embeddings(world, words, audio),
        follows_sound=np.array([electrode.kind == "acoustic" for electrode in world.plan.planted]),
    )


def samples_of(prepared: Prepared, name: str, model: str, analysis: Analysis) -> Samples:
    """Return the samples of one fit.

    A lag curve is fitted only to the electrodes that follow the sound.
    """
    features = prepared.embeddings[model]
    if analysis.unit == "word":
        return word_samples(features, prepared.words, prepared.target, analysis, prepared.signal)
    signal = prepared.signal
    if name == "lags":
        signal = signal.isel(channel=np.flatnonzero(prepared.follows_sound))
    return frame_samples(features, prepared.words, signal, analysis)


def run(
    world: World, settings: SelftestSettings, *, participant: str, seed: int, folder: Path
) -> None:
    """Filter, fit and audit one participant.

    Below `folder`, as the workflow lays them out: `scores/…` (without the held-out predictions),
    `contamination/<participant>.nc`, `channels/<participant>.tsv`, `truth/<participant>.tsv`.

    Parameters
    ----------
    world
        The simulated participant.
    settings
        Settings of the self-test.
    participant
        Label of the participant.
    seed
        Seed of the run.
    folder
        Folder of the seed's files.
    """
    import pandas as pd

    prepared = prepare(world)
    for name, models in FITS.items():
        fits = {}
        for model in models:
            analysis = analysis_of(settings, name, model)
            scores = fit_analysis(
                samples_of(prepared, name, model, analysis),
                analysis=analysis,
                layers=layer_numbers(prepared.embeddings[model], "all"),
                seed=seed,
                names=(participant, name),
            )
            held_out = [
                name for name, variable in scores.variables.items() if "sample" in variable.dims
            ]
            fits[model] = gain.predictions_of([scores])
            store.write_dataset(
                scores.drop_vars(held_out),
                folder / "scores" / score_name(name, participant, model),
                stage="selftest",
                parameters={
                    "participant": participant,
                    "analysis": analysis.as_dict(),
                    "model": model,
                },
            )
            logger.info("%s: %s, %s fitted", participant, name, model)
        controls = analyses(settings)[name].get("controls", [])
        store.write_table(
            gain.gains(fits, nuisances=[], controls=controls),
            folder / "scores" / gain_name(name, participant),
        )
    recordings, electrodes = recorded(world)
    audited = contamination(prepared.audio, recordings, electrodes, ContaminationSettings())
    matrices = [
        name for name, variable in audited.variables.items() if "frequency" in variable.dims
    ]
    store.write_dataset(
        audited.drop_vars(matrices),
        folder / f"contamination/{participant}.nc",
        stage="selftest",
        parameters={"participant": participant},
    )
    planted = dataset.truth_table(participant, world.plan)
    store.write_table(planted, folder / f"truth/{participant}.tsv")
    store.write_table(
        pd.DataFrame({"name": electrodes.names, "kept": "yes", "region": planted["kind"]}),
        folder / f"channels/{participant}.tsv",
    )
