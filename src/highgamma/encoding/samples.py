"""From the cached files of a participant to samples: targets, features of a layer, and times."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma.embeddings.nuisances import VOICE, VOICE_LAGS_S
from highgamma.embeddings.stream import GROUPS
from highgamma.encoding.analysis import Analysis
from highgamma.encoding.splits import BoolArray, FloatArray, IntArray, Rows
from highgamma.encoding.statistics import Real
from highgamma.encoding.surrogates import Windowed, windowed
from highgamma.errors import InputError, nearest
from highgamma.spelling import identity

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

logger = logging.getLogger("highgamma")


@dataclass(frozen=True, slots=True)
class Samples:
    """All samples of a participant, usable or not; m samples, t channels.

    targets
        (m, t) µV (or what the signal's scale is), NaN where there is none.
    features
        Gives a layer's features (m, p), NaN where there are none.
    rows
        Times, segments, trials and words of the samples.
    usable
        (m,) whether the sample lies within a recording and away from its edges.
    rate
        Samples per s for frames, 0 for words.
    reach
        s on either side of a sample from which its features were interpolated.
    channels
        The coordinates of the targets' channels.
    stimulus
        (m,) what was presented, equal where it repeats, −1 for nothing: the word, and for frames
        the word with the frames since its prompt. None where that is not known.
    windows
        Of words, the envelope in frames with every word's window, where it is given.
    block
        (m,) number of the fold that holds the sample out, if that is settled; −1 for none.
    spaces
        Where several models, or several groups of features, enter one fit: their names, in the
        features' order, with what gives each one's features (m, p_k).
    """

    unit: str
    targets: FloatArray
    features: Callable[[int], Real]
    rows: Rows
    usable: BoolArray
    rate: float
    reach: float
    channels: dict[str, Any]
    stimulus: IntArray | None = None
    windows: Windowed | None = None
    block: IntArray | None = None
    spaces: tuple[tuple[str, Callable[[], Real]], ...] = ()


def layer_numbers(embeddings: xr.Dataset, layers: list[int] | str) -> list[int]:
    """Return the layers, with `last` and `all` resolved; raise an `InputError` for unknown ones."""
    there = [int(layer) for layer in embeddings["layer"].values]
    if layers == "last":
        return there[-1:]
    if layers == "all":
        return there
    wanted = [int(layer) for layer in layers]
    for layer in wanted:
        if layer not in there:
            raise InputError(
                f"layer {layer} is not among the {len(there)} layers of the embeddings",
                expected=f"layers {there[0]} to {there[-1]}",
                remedy="correct the layers in the config, or the model's entry in the catalogue",
            )
    return wanted


def band_layers(
    embeddings: Mapping[str, xr.Dataset], layers: Mapping[str, int] | str
) -> dict[str, int]:
    """Return each model's layer in a joint fit: the one given for it, or its last."""
    given = {} if isinstance(layers, str) else layers
    for name in given:
        if name not in embeddings:
            raise InputError(
                f"a layer is given for {name!r}{nearest(name, list(embeddings))}",
                where="analyses: layers",
                expected="models among the bands: " + ", ".join(embeddings),
            )
    return {
        name: layer_numbers(dataset, [given[name]] if name in given else "last")[0]
        for name, dataset in embeddings.items()
    }


Features = Callable[[int], Real]
"""What gives a layer's features (m, p)."""

Spaces = tuple[tuple[str, Callable[[], Real]], ...]
"""Names, with what gives each one's features (m, p_k)."""


def _grouped(
    embeddings: xr.Dataset, analysis: Analysis, further: Mapping[str, Real] | None = None
) -> Callable[[Features], tuple[Features, Spaces]]:
    """Return what takes the groups of features that enter, and gives each by itself.

    `further` groups (m, p_k) follow those of the embeddings. Embeddings without groups stay as they
    are. A group that this participant's embeddings lack
    (there is no sound, say) is left out.
    """
    written = embeddings.attrs.get(GROUPS)
    if written is None:
        return lambda features: (features, ())
    edges, columns = 0, {}
    for name, width in json.loads(written):
        columns[name] = slice(edges, edges + width)
        edges += width
    for name, values in (further or {}).items():
        columns[name] = slice(edges, edges + values.shape[1])
        edges += values.shape[1]
    chosen = list(columns) if analysis.groups is None else list(analysis.groups)
    known = [name for name in chosen if name in columns] or list(columns)[:1]

    def of_groups(features: Features) -> tuple[Features, Spaces]:
        def whole(layer: int) -> Real:
            return np.concatenate([features(layer), *(further or {}).values()], axis=1)

        def together(layer: int) -> Real:
            values = whole(layer)
            return np.concatenate([values[:, columns[name]] for name in known], axis=1)

        def alone(name: str) -> Real:
            return np.asarray(whole(0)[:, columns[name]])

        return together, tuple((name, partial(alone, name)) for name in known)

    return of_groups


def _layer(embeddings: xr.Dataset, layer: int) -> Real:
    return np.asarray(embeddings["embedding"].sel(layer=layer).values)


def _channels(dataset: xr.Dataset) -> dict[str, Any]:
    return {
        str(name): coordinate.variable
        for name, coordinate in dataset.coords.items()
        if coordinate.dims == ("channel",)
    }


def _identities(words: pd.DataFrame) -> IntArray:
    """Number each word; spellings of one word (`Huis`, `huis`) have one number."""
    spelled = np.array([identity(word) for word in words["word"].astype(str)], dtype=str)
    _, codes = np.unique(spelled, return_inverse=True)
    return codes.astype(np.int64)


def word_samples(
    embeddings: xr.Dataset,
    words: pd.DataFrame,
    target: xr.Dataset,
    analysis: Analysis,
    envelope: xr.Dataset | None = None,
) -> Samples:
    """Return one sample for each word: the target's window mean and the word's features.

    Parameters
    ----------
    embeddings
        Unit `word` (taken as they are), `frame` (mean over the target's window, or its frames one
        after another) or `trial-frame` (mean over the trial's frames, or flattened).
    words
        The participant's word table; row k is word k.
    target
        `target(word, channel)` with word_index, start, stop (s), segment, valid.
    analysis
        The settings.
    envelope
        The same signal in frames, over (time, channel), which the null shifts; None without one.
    """
    index = np.asarray(target["word_index"].values, dtype=np.int64)
    start = np.asarray(target["start"].values, dtype=np.float64)
    stop = np.asarray(target["stop"].values, dtype=np.float64)
    segment = np.asarray(target["segment"].values, dtype=np.int64)
    unit = str(embeddings.attrs["unit"])
    flatten = analysis.features == "flatten"

    def of_words(layer: int) -> Real:
        values = _layer(embeddings, layer)
        place = np.full(max(len(words), int(index.max(initial=-1)) + 1), -1)
        place[np.asarray(embeddings["word_index"].values, dtype=np.int64)] = np.arange(len(values))
        chosen = place[index]
        return np.asarray(np.where((chosen >= 0)[:, None], values[chosen], np.nan))

    def of_frames(layer: int) -> Real:
        from highgamma.embeddings import placing

        place = placing.window_flatten if flatten else placing.window_means
        return np.asarray(
            place(
                _layer(embeddings, layer),
                np.asarray(embeddings["time"].values, dtype=np.float64),
                np.asarray(embeddings["segment"].values, dtype=np.int64),
                start,
                stop,
                segment,
            )
        )

    def of_trials(layer: int) -> Real:
        from highgamma.embeddings import placing

        place = placing.trial_flatten if flatten else placing.trial_means
        trial = np.asarray(embeddings["word_index"].values, dtype=np.int64)
        return np.asarray(place(_layer(embeddings, layer), trial, len(words)))[index]

    by_unit = {"word": of_words, "frame": of_frames, "trial-frame": of_trials}
    features, spaces = _grouped(
        embeddings, analysis, {VOICE: voiced_shares(words, start, stop, segment)}
    )(by_unit[unit])
    usable = np.asarray(target["valid"].values) > 0
    usable &= np.isfinite(start) & np.isfinite(stop)
    return Samples(
        unit="word",
        targets=np.asarray(target["target"].values, dtype=np.float64),
        features=features,
        rows=Rows(start, stop, segment, index, _identities(words)[index]),
        usable=usable,
        rate=0.0,
        reach=0.0,
        channels=_channels(target),
        stimulus=_identities(words)[index],
        windows=None if envelope is None else _windows(envelope, target, start, stop, segment),
        spaces=spaces,
    )


def voice_edges(words: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    """Return onset and offset (word,), s, of the voice, or of the prompt of words without one."""
    onset, offset = (
        words[f"voice_{edge}"].fillna(words[edge]).to_numpy(dtype=np.float64)
        for edge in ("onset", "offset")
    )
    return onset, offset


def voiced_shares(
    words: pd.DataFrame, start: FloatArray, stop: FloatArray, segment: IntArray
) -> FloatArray:
    """Return the share of each window in which a word is said, (window, lag).

    An electrode that follows the voice alone has this, at the lag of its response, as its mean over
    the window, whatever is said.

    Parameters
    ----------
    words
        The table of words (`voice_edges`).
    start, stop, segment
        (window,) ends, s, and recording of each window.
    """
    onset, offset = voice_edges(words)
    of_word = words["segment"].to_numpy(dtype=np.int64)
    shares = np.zeros((len(start), len(VOICE_LAGS_S)))
    for number in np.unique(segment):
        here, spoken = np.flatnonzero(segment == number), of_word == number
        for k, lag in enumerate(VOICE_LAGS_S):
            a, b = start[here, None] - lag, stop[here, None] - lag
            inside = np.minimum(b, offset[spoken]) - np.maximum(a, onset[spoken])
            with np.errstate(invalid="ignore"):
                total = np.nansum(np.clip(inside, 0, None), axis=1) / (b - a)[:, 0]
            shares[here, k] = np.minimum(np.nan_to_num(total), 1.0)
    return shares


def _windows(
    envelope: xr.Dataset, target: xr.Dataset, start: FloatArray, stop: FloatArray, segment: IntArray
) -> Windowed:
    """The envelope's frames of the targets' channels, and where every word's window lies."""
    name = _signal_name(envelope)
    usable = np.asarray(envelope["valid"].values) > 0
    # Channels by name: the two files were made by two stages.
    values = envelope[name].sel(channel=target["channel"].values).values
    return windowed(
        np.asarray(values, dtype=np.float64)[usable],
        np.asarray(envelope["time"].values, dtype=np.float64)[usable],
        np.asarray(envelope["segment"].values, dtype=np.int64)[usable],
        start=start,
        stop=stop,
        window_segment=segment,
        rate=float(envelope.attrs["rate_hz"]),
    )


def _signal_name(neural: xr.Dataset) -> str:
    """The one variable of a signal's file that runs over time and channels."""
    return next(str(n) for n, v in neural.data_vars.items() if v.dims == ("time", "channel"))


def frame_samples(
    embeddings: xr.Dataset,
    words: pd.DataFrame,
    neural: xr.Dataset,
    analysis: Analysis,
    heard: pd.DataFrame | None = None,
) -> Samples:
    """Return one sample for each frame of the signal, with features at the signal's times.

    Parameters
    ----------
    embeddings
        Unit `frame` (resampled; features of time alone say with `reach_s` 0 that no sample's
        surroundings enter) or `word` (each word's values while it is spoken, from the voice's onset
        to its offset, or the prompt's without a voice; zeros elsewhere).
    words
        The participant's word table; a frame belongs to the word last prompted.
    neural
        One variable over (time, channel), with coordinates time (s), segment and valid.
    heard
        A listener's presentations of stimuli. Without words they are the trials, and stimuli the
        words.
    """
    from highgamma.embeddings import placing

    unit = str(embeddings.attrs["unit"])
    if unit == "trial-frame":
        raise InputError(
            "the embeddings were made trial by trial, the analysis is of all frames",
            where="analyses: unit",
            expected="unit: word, or a model that takes the whole recording",
            remedy="set unit: word, or a model whose context is in seconds (context: 2.0)",
        )
    time = np.asarray(neural["time"].values, dtype=np.float64)
    segment = np.asarray(neural["segment"].values, dtype=np.int64)
    name = _signal_name(neural)
    rate = float(neural.attrs["rate_hz"])
    reach = 0.0
    if unit == "frame":
        source_time = np.asarray(embeddings["time"].values, dtype=np.float64)
        source_segment = np.asarray(embeddings["segment"].values, dtype=np.int64)
        same = len(source_time) == len(time) and bool(np.abs(source_time - time).max() < 1e-9)
        between = placing.reach(float(embeddings.attrs["rate_hz"]), rate)
        reach = 0.0 if same else float(embeddings.attrs.get("reach_s", between))

    def of_frames(layer: int) -> Real:
        return np.asarray(
            placing.resample_frames(
                _layer(embeddings, layer), source_time, source_segment, time, segment
            )
        )

    def of_words(layer: int) -> Real:
        values = _layer(embeddings, layer)
        rows = words.iloc[np.asarray(embeddings["word_index"].values, dtype=np.int64)]
        spoken = np.isfinite(values).all(axis=1)
        onset, offset = voice_edges(rows)
        return np.asarray(
            placing.paint_words(
                values[spoken],
                onset[spoken],
                offset[spoken],
                rows["segment"].to_numpy(dtype=np.int64)[spoken],
                time,
                segment,
            )
        )

    features, spaces = _grouped(embeddings, analysis)(of_frames if unit == "frame" else of_words)
    prompted = words if len(words) or heard is None else _presented(heard)
    trial, word = trials_of_frames(time, segment, prompted)
    return Samples(
        unit="frame",
        targets=np.asarray(neural[name].values, dtype=np.float64),
        features=features,
        rows=Rows(time, time, segment, trial, word),
        usable=np.asarray(neural["valid"].values) > 0,
        rate=rate,
        reach=reach,
        channels=_channels(neural),
        stimulus=frames_since_prompt(time, trial, word, prompted, rate=rate),
        spaces=spaces,
    )


def _presented(heard: pd.DataFrame) -> pd.DataFrame:
    """Return presentations as a table of words: the stimulus's number, and when it began."""
    return heard[["segment", "onset"]].assign(word=heard["stimulus"].astype(str))


def trials_of_frames(
    time: FloatArray, segment: IntArray, words: pd.DataFrame
) -> tuple[IntArray, IntArray]:
    """Return trial and word identity (m,) of every frame: the last prompted word.

    Frames before the first prompt belong to the first trial; -1 where a segment has no word.

    Parameters
    ----------
    time, segment
        (m,) time of each frame in its segment, s, and number of the segment.
    words
        Table of words.

    Returns
    -------
    trial, word
        (m,) numbers of trial and word.
    """
    trial = np.full(len(time), -1, dtype=np.int64)
    onsets = words["onset"].to_numpy(dtype=np.float64)
    of_segment = words["segment"].to_numpy(dtype=np.int64)
    for number in np.unique(segment):
        inside = np.flatnonzero((of_segment == number) & np.isfinite(onsets))
        if not len(inside):
            continue
        inside = inside[np.argsort(onsets[inside], kind="stable")]
        here = segment == number
        last = np.searchsorted(onsets[inside], time[here], side="right") - 1
        trial[here] = inside[np.maximum(last, 0)]
    word = np.full(len(time), -1, dtype=np.int64)
    word[trial >= 0] = _identities(words)[trial[trial >= 0]] if len(words) else -1
    return trial, word


def frames_since_prompt(
    time: FloatArray, trial: IntArray, word: IntArray, words: pd.DataFrame, *, rate: float
) -> IntArray:
    """Number the pairs of word and frames since its prompt, (m,); −1 before a prompt.

    Parameters
    ----------
    time, trial, word
        (m,) time of each frame in its segment, s, and numbers of its trial and word.
    words
        Table of words.
    rate
        Frame rate, Hz.
    """
    stimulus = np.full(len(time), -1, dtype=np.int64)
    inside = np.flatnonzero(trial >= 0)
    onsets = words["onset"].to_numpy(dtype=np.float64)
    since = np.floor((time[inside] - onsets[trial[inside]]) * rate).astype(np.int64)
    inside, since = inside[since >= 0], since[since >= 0]
    stimulus[inside] = word[inside] * (since.max(initial=0) + 1) + since
    return stimulus


def joint_samples(parts: Mapping[str, tuple[Samples, int]]) -> Samples:
    """Join the features of several models, of the same participant and signal.

    `parts` gives for each model, in the order of the bands, its samples and the layer to take. The
    joint samples have one layer, numbered 0.
    """
    spaces = tuple(
        (name, partial(samples.features, layer)) for name, (samples, layer) in parts.items()
    )
    first = next(iter(parts.values()))[0]
    return replace(
        first,
        features=lambda _: np.concatenate([read() for _, read in spaces], axis=1),
        reach=max(samples.reach for samples, _ in parts.values()),
        spaces=spaces,
    )
