"""Check of the analyses against the recordings: bands, windows, folds, nulls.

The checks are those of the stages themselves, called with the sizes in the headers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma import catalogue, settings
from highgamma.check.participants import Participant, Recorded
from highgamma.check.problems import Problem, Problems
from highgamma.errors import InputError
from highgamma.scores import LEVEL
from highgamma.sections import section_from

if TYPE_CHECKING:
    from highgamma.encoding.analysis import Analysis
    from highgamma.encoding.splits import Rows
    from highgamma.neural.settings import NeuralSettings

CONFIGURATION = "configuration"

FEW_PERMUTATIONS = 200
"""Surrogates below which a tenth of the electrodes must have the least p for q < .05."""

Signals = dict[str, "NeuralSettings"]
Fits = dict[tuple[str, str], "Analysis"]


def signals_of(config: Mapping[str, Any], problems: Problems) -> Signals:
    """Return the settings of every signal that an analysis is fitted to, by name."""
    from highgamma.neural.settings import neural_settings

    wanted = sorted({str(a["signal"]) for a in config["analyses"].values()})
    loaded = {
        name: problems.attempt(
            CONFIGURATION, neural_settings, settings.signal_settings(config, name)
        )
        for name in wanted
    }
    return {name: signal for name, signal in loaded.items() if signal is not None}


def fits_of(config: Mapping[str, Any], entries: Mapping[str, Any], problems: Problems) -> Fits:
    """Return the settings of every analysis and model, and check what needs no data.

    Parameters
    ----------
    config
        The configuration, with its defaults.
    entries
        The resolved catalogue of models.
    problems
        Problems are added here.

    Returns
    -------
    fits
        Settings by (analysis, model), without those that are not valid.
    """
    from highgamma.encoding.analysis import analysis_from

    fits: Fits = {}
    for name, written in config["analyses"].items():
        where = f"analyses.{name}"
        for model in settings.analysis_models(config, name):
            fit = problems.attempt(
                CONFIGURATION, analysis_from, settings.fit_settings(config, name, model)
            )
            if fit is None:
                continue
            fits[name, model] = fit
            for part in model.split("+"):
                _check_pair(name, part, fit, entries[part], problems)
        _check_layers(where, written["layers"], settings.analysis_models(config, name), entries,
                      problems)  # fmt: skip
        count = int(written["permutations"])
        if 0 < count < 20:
            problems.warn(
                CONFIGURATION,
                f"with {count} permutations no p-value is below {1 / (count + 1):.2g}: nothing "
                "can be significant",
                where=f"{where}.permutations",
                expected="0 for none, or 1000",
            )
        elif 20 <= count < FEW_PERMUTATIONS:
            # By Benjamini and Hochberg, k of n electrodes at the least p have q = p n / k.
            share = 1 / (count + 1) / LEVEL
            problems.warn(
                CONFIGURATION,
                f"with {count} permutations q is below {LEVEL:g} only if at least "
                f"{100 * share:.0f} % of the electrodes have the least p, {1 / (count + 1):.2g}",
                where=f"{where}.permutations",
                expected=f"{FEW_PERMUTATIONS} or more",
            )
    return fits


def _check_pair(
    name: str, model: str, fit: Analysis, entry: Mapping[str, Any], problems: Problems
) -> None:
    reason = catalogue.kind_of(entry).unfit_for(entry, fit.unit)
    if reason is not None:
        problems.add(
            Problem(
                CONFIGURATION,
                f"the model {model!r} {reason}",
                where=f"analyses.{name}",
                expected="another unit, or another model",
                remedy=f"leave {model!r} out of this analysis",
            )
        )


def _check_layers(
    where: str,
    layers: object,
    models: Sequence[str],
    entries: Mapping[str, Any],
    problems: Problems,
) -> None:
    if not isinstance(layers, list):
        return
    for model in models:
        if model not in entries:
            continue
        known = catalogue.layers_of(dict(entries), model)
        lost = [layer for layer in layers if layer not in known]
        if lost and len(known) > 1:
            problems.warn(
                CONFIGURATION,
                f"{model} has no layer {', '.join(map(str, lost))}"
                + ("" if len(lost) < len(layers) else f"; its last, {known[-1]}, is taken"),
                where=f"{where}.layers",
                expected=f"layers {known[0]} to {known[-1]}",
            )


def check_participant(
    participant: Participant,
    config: Mapping[str, Any],
    entries: Mapping[str, Any],
    signals: Signals,
    fits: Fits,
    problems: Problems,
    *,
    shared_sound: bool,
) -> None:
    """Check every signal, audit, model and analysis against one participant's recordings.

    Parameters
    ----------
    participant
        What could be read of the participant.
    config
        The configuration, with its defaults.
    entries
        The resolved catalogue of models.
    signals, fits
        From `signals_of` and `fits_of`.
    problems
        Problems are added here.
    shared_sound
        Whether the sound is a stimulus that all participants heard.
    """
    from highgamma.neural.settings import check_recording

    for recorded in participant.recordings:
        for wanted in signals.values():
            problems.attempt(
                participant.name,
                check_recording,
                wanted,
                rate=recorded.rate,
                n_samples=recorded.n_samples,
                where=recorded.where,
            )
    _check_mains(participant, config, signals, problems)
    rates = sorted({recorded.rate for recorded in participant.recordings})
    if len(rates) > 1:
        problems.warn(
            participant.name,
            "its recordings have different rates: " + ", ".join(f"{r:g} Hz" for r in rates),
        )
    sound = shared_sound or any(recorded.sound > 0 for recorded in participant.recordings)
    if config["contamination"]["enabled"] and participant.whole:
        problems.attempt(
            participant.name, _check_audit, config, participant.recordings, sound=sound
        )
    if participant.whole:
        _check_models(participant, fits, entries, problems, sound=sound)
    done: set[str] = set()
    for (name, _), fit in fits.items():
        signal = signals.get(fit.signal)
        # Models that are fitted in the same way share their folds.
        if (
            signal is None
            or participant.words is None
            or not participant.whole
            or not participant.recordings
        ):
            continue
        key = f"{name} {fit}"
        if key in done:
            continue
        done.add(key)
        problems.attempt(
            participant.name,
            _check_fit,
            participant,
            name=name,
            fit=fit,
            signal=signal,
            problems=problems,
            sound=sound,
        )


def _check_mains(
    participant: Participant, config: Mapping[str, Any], signals: Signals, problems: Problems
) -> None:
    """Warn if harmonics of the mains frequency in ieeg.json lie in the band and have no notch."""
    from highgamma.recording import files, sidecars

    try:
        segments = files.selected(config["dataset"], participant.name)
    except InputError:
        return
    for segment in segments:
        try:
            line = sidecars.mains_of([segment])
        except InputError:
            continue
        if line is None:
            continue
        for name, filtered in signals.items():
            low, high = filtered.band
            inside = [line * k for k in range(1, int(high / line) + 1) if low < line * k < high]
            left = [
                f
                for f in inside
                if not any(abs(f - n) <= filtered.notch_halfwidth for n in filtered.notch)
            ]
            if left:
                key = "neural.notch" if name == "high-gamma" else f"signals.{name}.notch"
                problems.warn(
                    participant.name,
                    f"the mains are at {line:g} Hz, and no stop band takes out "
                    + ", ".join(f"{f:g}" for f in left)
                    + f" Hz, which lie in the band of {low:g} to {high:g} Hz",
                    where=str(segment.sidecar),
                    expected=f"{key}: [" + ", ".join(f"{f:g}" for f in inside) + "]",
                )


def _check_audit(config: Mapping[str, Any], recordings: Sequence[Recorded], *, sound: bool) -> None:
    from highgamma.contamination.settings import ContaminationSettings
    from highgamma.contamination.spectra import frequencies

    if not sound or not recordings:
        return
    audit = section_from(ContaminationSettings, config["contamination"], where="contamination")
    heard = [r.sound_rate for r in recordings if r.sound_rate > 0] or [math.inf]
    frequencies(audit, rate=min(min(r.rate for r in recordings), min(heard)))
    long = sum(recorded.duration for recorded in recordings)
    least = 2 * audit.min_shift + 100 * audit.shift
    if long < least:
        raise InputError(
            f"the recording lasts {long:.3g} s, too short for the audit of its sound",
            where=recordings[0].where,
            expected=f"at least {least:g} s",
            remedy="set contamination.min_shift lower, or contamination: {enabled: false}",
        )


def _check_models(
    participant: Participant,
    fits: Fits,
    entries: Mapping[str, Any],
    problems: Problems,
    *,
    sound: bool,
) -> None:
    for model in sorted({part for _, name in fits for part in name.split("+")}):
        entry = entries[model]
        kind = catalogue.kind_of(entry)
        if kind.hears(entry) and not sound:
            problems.add(
                Problem(
                    participant.name,
                    f"no sound was found, and the model {model} requires sound",
                    where=participant.recordings[0].where if participant.recordings else None,
                    expected="an NWB series `Audio`, a sound file next to the recording, or a "
                    "channel",
                    remedy=f"set dataset.audio.source, or leave {model} out",
                )
            )
        if kind.reads_words and participant.words is not None and participant.words.empty:
            problems.add(
                Problem(
                    participant.name,
                    f"no words were found, and the model {model} requires words",
                    remedy=f"set dataset.words.trial_type, or leave {model} out",
                )
            )
        for recorded in participant.recordings:
            problems.attempt(
                participant.name, kind.check_recording, entry, recorded.names, where=recorded.where
            )


def _check_fit(
    participant: Participant,
    name: str,
    fit: Analysis,
    signal: NeuralSettings,
    problems: Problems,
    *,
    sound: bool,
) -> None:
    """Windows, folds and null of one analysis; the sizes that do not fit are raised."""
    from highgamma.encoding.splits import split_rows
    from highgamma.encoding.surrogates import circular_shifts, word_permutations

    words = participant.words
    assert words is not None
    where = f"analyses.{name}"
    if fit.unit == "word" and words.empty:
        raise InputError(
            "no words were found, and the analysis takes one sample per word",
            where=where,
            expected="words in events.tsv",
            remedy="set dataset.words.trial_type, or take unit: frame",
        )
    if fit.unit == "word" and fit.align == "voice" and not sound:
        raise InputError(
            "no sound was found, and `align: voice` detects the voice in it",
            where=f"{where}.align",
            expected="sound in the recording or next to it",
            remedy="set dataset.audio.source, or align: prompt",
        )
    rate = 1 / signal.shift
    rows, lost = (
        _word_rows(participant, fit, signal)
        if fit.unit == "word"
        else _frame_rows(participant, fit, signal)
    )
    if lost and fit.align == "prompt":
        problems.warn(
            participant.name,
            f"the windows of {lost} of {len(words)} words leave the recording: no sample",
            where=f"{where}.window",
        )
    try:
        split_rows(
            rows,
            scheme=fit.split,
            folds=fit.folds,
            inner_folds=fit.inner_folds,
            gap=fit.gap + (fit.lag_span if fit.unit == "frame" else 0.0),
            step=signal.shift if fit.unit == "frame" else 0.0,
            seed=0,
        )
        if fit.permutations and fit.unit == "frame" and fit.estimator != "mean":
            circular_shifts(
                rows.segment,
                count=1,
                min_shift=int(np.ceil(fit.min_shift * rate - 1e-9)),
                seed=0,
            )
        if fit.permutations and fit.surrogates == "permutation" and fit.estimator != "mean":
            word_permutations(rows.segment, count=1, block=fit.permutation_block, seed=0)
    except InputError as error:
        # The stage that fits says which analysis it was in its log; here all are listed together.
        raise InputError(
            error.message,
            where=where + (f" ({error.where})" if error.where else ""),
            expected=error.expected,
            remedy=error.remedy,
        ) from error
    words_each = np.unique(rows.segment, return_counts=True)[1].tolist()
    runs = [math.ceil(n / fit.permutation_block) for n in words_each]
    orders = math.prod(math.factorial(min(n, 20)) for n in runs)
    if fit.surrogates == "permutation" and fit.permutations and orders < fit.permutations:
        problems.warn(
            participant.name,
            f"{len(rows)} words in blocks of {fit.permutation_block} have fewer orders than the "
            f"{fit.permutations} permutations that are set",
            where=f"{where}.permutations",
        )


def _word_rows(participant: Participant, fit: Analysis, signal: NeuralSettings) -> tuple[Rows, int]:
    """Return the rows of the words' windows, and the number of windows that leave the recording."""
    from highgamma.encoding.splits import Rows
    from highgamma.targets import event_times, word_windows

    words = participant.words
    assert words is not None
    segment = words["segment"].to_numpy(dtype=np.int64)
    rates = np.array([r.rate for r in participant.recordings])[segment]
    lengths = np.array([r.n_samples for r in participant.recordings])[segment]
    start, stop = fit.window
    # The voice's onset, after the prompt, is known only after the recording stage.
    windows = word_windows(
        event_times(words, "prompt"),
        start=start,
        stop=stop,
        rates=rates,
        lengths=lengths,
        edge=signal.edge,
    )
    _, word = np.unique(words["word"].astype(str).to_numpy(dtype=str), return_inverse=True)
    rows = Rows(
        windows.start / rates,
        windows.stop / rates,
        segment,
        np.arange(len(words), dtype=np.int64),
        word.astype(np.int64),
    )
    return rows.take(windows.valid), int((~windows.valid).sum())


def _frame_rows(
    participant: Participant, fit: Analysis, signal: NeuralSettings
) -> tuple[Rows, int]:
    """Return the rows of the usable frames: away from the edges, with all lags inside; and 0."""
    from highgamma.encoding.lags import lag_frames, reachable
    from highgamma.encoding.samples import trials_of_frames
    from highgamma.encoding.splits import Rows
    from highgamma.neural.frames import settings_windows

    times, valid = [], []
    for recorded in participant.recordings:
        size: dict[str, Any] = {"rate": recorded.rate, "n_samples": recorded.n_samples}
        windows = settings_windows(signal, **size)
        times.append(windows.times(recorded.rate))
        valid.append(windows.apart_from_edges(**size, edge=signal.edge))
    segment = np.concatenate(
        [np.full(len(part), number, np.int64) for number, part in enumerate(times)]
    )
    time = np.concatenate(times)
    assert participant.words is not None
    trial, word = trials_of_frames(time, segment, participant.words)
    usable = np.concatenate(valid)
    if fit.lags is not None:
        usable &= reachable(segment, lag_frames(fit.lags, step=fit.lag_step, rate=1 / signal.shift))
    return Rows(time, time, segment, trial, word).take(usable), 0
