"""From recordings to mean envelopes in windows, one block of electrodes after another."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highgamma.neural.artefacts import KINDS, left_out, report
from highgamma.neural.electrodes import Electrodes
from highgamma.neural.filters import exact_envelopes
from highgamma.neural.frames import Windows, settings_windows, window_means
from highgamma.neural.montage import Montage, rereferenced
from highgamma.neural.references import montage
from highgamma.neural.settings import ArtefactSettings, NeuralSettings, check_recording
from highgamma.neural.spans import Mask, bridged
from highgamma.neural.spectral import envelope_means, envelope_stretches
from highgamma.neural.survey import survey
from highgamma.recording.reader import Reader

FloatArray = NDArray[np.float64]

LOG = logging.getLogger("highgamma")

BLOCK_BYTES = 256 * 2**20
"""Memory that one block of channels may take while it is filtered."""

FFT_BLOCK = (8, 64)
"""Fewest and most channels of one block of the fft method."""

FFT_READ = 256
"""Most channels that are read at a time if frames are computed in the order of time."""

SUMS_BYTES = 16 * 2**20
"""Memory of the windows' sums above which blocks of the fft method get smaller; what is filtered
takes the same memory at any length."""

SILENCE = 1e-9
"""µV: the smallest amplitude that a logarithm is taken of (a flat channel has none)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRecordings:
    """Recordings that have passed every check, read through one montage.

    Attributes
    ----------
    recordings
        One reader for each segment.
    montage
        The signals after re-referencing.
    regions, spaces
        (signal,), the anatomical label of each, and the system of its coordinates; None where
        unknown.
    trends
        For each segment (2, signal): the straight lines, see `Survey`.
    masks
        For each segment the samples of each signal that are left out.
    recorded, recorded_masks
        For each segment the channels before re-referencing, artefacts bridged, and their mask.
    artefacts
        (kind, signal), how often each kind was found in the channels that make up a signal.
    """

    recordings: tuple[Reader, ...]
    montage: Montage
    regions: tuple[str | None, ...]
    spaces: tuple[str | None, ...]
    trends: tuple[FloatArray, ...]
    masks: tuple[Mask, ...]
    recorded: tuple[Reader, ...]
    recorded_masks: tuple[Mask, ...]
    artefacts: NDArray[np.int64]

    @property
    def masked_share(self) -> FloatArray:
        """Share of the samples of all segments that are left out, (signal,)."""
        lengths = [r.n_samples for r in self.recordings]
        shares = [m.share(n) for m, n in zip(self.masks, lengths, strict=True)]
        return np.average(shares, axis=0, weights=lengths)


def prepare(
    recordings: Sequence[Reader], electrodes: Electrodes, settings: NeuralSettings
) -> PreparedRecordings:
    """Check recordings against the settings, find artefacts, and apply the reference.

    Parameters
    ----------
    recordings
        The electrodes' voltages, µV, one reader for each segment.
    electrodes
        The electrodes.
    settings
        Settings of the signal.

    Raises
    ------
    InputError
        If the rate is too low or the recording too short; or as `rereference`.
    """
    for recording in recordings:
        check_recording(
            settings,
            rate=recording.rate,
            n_samples=recording.n_samples,
            where=recording.where,
        )
    return rereference(
        recordings,
        electrodes.on_grids(settings.grids),
        settings.reference,
        artefacts=settings.artefacts,
    )


def rereference(
    recordings: Sequence[Reader],
    electrodes: Electrodes,
    reference: str,
    *,
    artefacts: ArtefactSettings | None = None,
) -> PreparedRecordings:
    """Look at every sample once, and read the recordings through a montage from then on.

    Artefacts are bridged before the reference is subtracted, so that those of one channel do not
    enter the others, and masked with the padding around them. An electrode that is flat in any
    segment is kept, flagged and warned of; it is never subtracted from another one, except in a
    bipolar pair, which is then flagged as flat.

    Parameters
    ----------
    recordings, electrodes
        As in `prepare`.
    reference
        Name of the reference scheme.
    artefacts
        What counts as an artefact; without it, or if it is not enabled, none is looked for.

    Raises
    ------
    InputError
        If samples are missing, or if the reference leaves no electrode.
    """
    wanted = artefacts if artefacts is not None and artefacts.enabled else None
    surveys = [survey(recording, artefacts=wanted) for recording in recordings]
    for recording, surveyed in zip(recordings, surveys, strict=True):
        for name, is_flat in zip(electrodes.names, surveyed.flat, strict=True):
            if is_flat:
                LOG.warning(
                    "channel %s is flat (one value in all %d samples) in %s: it is kept and "
                    "flagged; write status 'bad' in channels.tsv to leave it out",
                    name,
                    recording.n_samples,
                    recording.where or "the recording",
                )
    signals = montage(reference, electrodes, np.any([s.flat for s in surveys], axis=0))
    recorded, masks = tuple(recordings), tuple(Mask.empty(len(electrodes)) for _ in recordings)
    counts = np.zeros((len(KINDS), len(electrodes)), np.int64)
    if wanted is not None:
        # A channel that is flat throughout is flagged as such; it has no other samples to keep.
        always_flat = np.all([s.flat for s in surveys], axis=0)
        found = [
            left_out(recording, surveyed.artefacts, always_flat, wanted)
            for recording, surveyed in zip(recordings, surveys, strict=True)
        ]
        recorded = tuple(
            bridged(recording, some.bridges)
            for recording, some in zip(recordings, found, strict=True)
        )
        masks = tuple(some.mask for some in found)
        counts = np.sum([some.counts for some in found], axis=0)
        report(counts, masks, recordings)
    return PreparedRecordings(
        recordings=tuple(rereferenced(recording, signals) for recording in recorded),
        montage=signals,
        regions=tuple(electrodes.regions[i] for i in signals.origin),
        spaces=tuple(electrodes.spaces[i] for i in signals.origin),
        trends=tuple(signals.lines(s.trend) for s in surveys),
        masks=tuple(mask.through(signals) for mask in masks),
        recorded=recorded,
        recorded_masks=masks,
        artefacts=signals.counted(counts),
    )


def frames_of(prepared: PreparedRecordings, settings: NeuralSettings) -> list[Windows]:
    """Return the frames of every segment."""
    return [
        settings_windows(settings, rate=r.rate, n_samples=r.n_samples) for r in prepared.recordings
    ]


def valid_frames(
    prepared: PreparedRecordings, windows: Sequence[Windows], settings: NeuralSettings
) -> list[NDArray[np.bool_]]:
    """Tell for every segment which windows stay clear of its first and last `edge` seconds."""
    return [
        w.apart_from_edges(rate=r.rate, n_samples=r.n_samples, edge=settings.edge)
        for r, w in zip(prepared.recordings, windows, strict=True)
    ]


def envelope_blocks(
    prepared: PreparedRecordings,
    settings: NeuralSettings,
    windows: Sequence[Windows],
    *,
    threads: int = 1,
    block: int | None = None,
) -> Iterator[tuple[slice, FloatArray]]:
    """Compute mean envelopes in windows, for one block of electrodes after another.

    Every segment is filtered on its own and whole, before anything is cut.

    Parameters
    ----------
    prepared
        From `prepare`.
    settings
        Settings of the signal.
    windows
        One set for each segment.
    threads
        For the transforms of the fft method.
    block
        Electrodes at a time; None for as many as `BLOCK_BYTES` hold (exact) or `SUMS_BYTES` allow
        (fft).

    Yields
    ------
    electrodes : slice
    values : (sub-band, window, electrode)
        µV; the windows of all segments, one after another.
    """
    means, electrodes_at_a_time = _METHODS[settings.method]
    n_electrodes = len(prepared.montage)
    longest = max(r.n_samples for r in prepared.recordings)
    n_windows = settings.bands * sum(len(w) for w in windows)
    step = block or electrodes_at_a_time(longest, n_windows)
    for first in range(0, n_electrodes, step):
        electrodes = slice(first, min(first + step, n_electrodes))
        parts = [
            means(
                recording,
                electrodes,
                trend=trend[:, electrodes],
                windows=segment_windows,
                settings=settings,
                mask=mask,
                threads=threads,
            )
            for recording, trend, mask, segment_windows in zip(
                prepared.recordings, prepared.trends, prepared.masks, windows, strict=True
            )
        ]
        LOG.info("high-gamma: %d of %d channels", electrodes.stop, n_electrodes)
        yield electrodes, parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def frame_blocks(
    prepared: PreparedRecordings,
    settings: NeuralSettings,
    windows: Sequence[Windows],
    *,
    threads: int = 1,
) -> Iterator[tuple[slice, slice, FloatArray]]:
    """Compute frames on the settings' scale, one block after another.

    If an electrode's scale needs the whole recording, or the filter does, electrode by electrode;
    else in the order of time, which reads the recording once and holds a stretch of it.

    Yields
    ------
    windows, electrodes : slice
    values : (window, electrode)
    """
    if settings.method == "fft" and not needs_statistics(settings):
        yield from _frames_in_time(prepared, settings, windows, threads=threads)
        return
    valid = np.concatenate(valid_frames(prepared, windows, settings))
    for electrodes, values in envelope_blocks(prepared, settings, windows, threads=threads):
        rows = slice(0, values.shape[1])
        yield rows, electrodes, scaled(values, settings, frames=values, valid=valid)


def _frames_in_time(
    prepared: PreparedRecordings,
    settings: NeuralSettings,
    windows: Sequence[Windows],
    *,
    threads: int,
) -> Iterator[tuple[slice, slice, FloatArray]]:
    n_electrodes, before = len(prepared.montage), 0
    blocks = [slice(a, min(a + FFT_READ, n_electrodes)) for a in range(0, n_electrodes, FFT_READ)]
    for recording, trend, mask, segment_windows in zip(
        prepared.recordings, prepared.trends, prepared.masks, windows, strict=True
    ):
        stretches = envelope_stretches(
            recording,
            blocks,
            trend=trend,
            windows=segment_windows,
            settings=settings,
            mask=mask,
            threads=threads,
        )
        for rows, electrodes, means in stretches:
            values = means.transpose(0, 2, 1)
            every = np.ones(values.shape[1], bool)
            placed = slice(before + rows.start, before + rows.stop)
            yield placed, electrodes, scaled(values, settings, frames=values, valid=every)
        before += len(segment_windows)
        LOG.info("high-gamma: %d frames", before)


def _exact_means(
    recording: Reader,
    electrodes: slice,
    *,
    windows: Windows,
    settings: NeuralSettings,
    mask: Mask,
    **_: Any,
) -> FloatArray:
    voltage = np.asarray(recording.read(channels=electrodes), dtype=np.float64)
    signals = range(*electrodes.indices(len(recording.names)))
    means = np.empty((settings.bands, len(windows), len(signals)))
    envelopes = exact_envelopes(voltage, rate=recording.rate, settings=settings)
    for band, envelope in enumerate(envelopes):
        mask.silence(envelope.T, first=0, signals=signals)
        means[band] = window_means(envelope, windows)
    mask.correct(means.transpose(0, 2, 1), windows, electrodes)
    return means


def _exact_block(n_samples: int, n_windows: int) -> int:
    # Nine arrays of the recording's length are alive at the analytic signal, 8 bytes a value.
    return max(1, BLOCK_BYTES // (72 * n_samples))


def _fft_means(recording: Reader, electrodes: slice, **options: Any) -> FloatArray:
    return envelope_means(recording, electrodes, **options).transpose(0, 2, 1)


def _fft_block(n_samples: int, n_windows: int) -> int:
    fewest, most = FFT_BLOCK
    return min(most, max(fewest, SUMS_BYTES // (8 * max(1, n_windows))))


# Mean envelopes of one segment, (sub-band, window, electrode), and electrodes at a time, by the
# longest segment's samples and the number of windows.
_METHODS: dict[str, tuple[Callable[..., FloatArray], Callable[[int, int], int]]] = {
    "exact": (_exact_means, _exact_block),
    "fft": (_fft_means, _fft_block),
}


def needs_statistics(settings: NeuralSettings) -> bool:
    """Tell whether an electrode's scale depends on the whole recording (z-score, median)."""
    return settings.scale == "robust" or settings.bands > 1


def scaled(
    values: FloatArray, settings: NeuralSettings, *, frames: FloatArray, valid: NDArray[np.bool_]
) -> FloatArray:
    """Bring amplitudes to the settings' scale and average sub-bands.

    `log`: natural logarithm of the mean amplitude (not the mean of logarithms). `robust`:
    `(a - median) / (1.4826 MAD)`. Several sub-bands: each `(a - mean) / standard deviation` (or
    robustly), then the mean over sub-bands. Medians, means and deviations are those of the valid
    frames of the whole recording that are not missing; an electrode without any deviation becomes
    0.

    Parameters
    ----------
    values
        (sub-band, window, electrode), µV.
    settings
        Settings of the signal.
    frames
        (sub-band, frame, electrode), µV, which the statistics are computed from.
    valid
        (frame,); whether a frame counts.

    Returns
    -------
    scaled : (window, electrode)
    """
    if settings.scale == "log":
        values = np.log(np.maximum(values, SILENCE))
    if not needs_statistics(settings):
        return np.asarray(values[0])
    total = np.zeros(values.shape[1:])
    # One sub-band after another: hours of all of them are held once, not once for each step.
    for band, amplitudes in zip(values, frames, strict=True):
        counted = amplitudes[valid]
        if settings.scale == "log":
            counted = np.log(np.maximum(counted, SILENCE))
        centre, spread = _centre_and_spread(counted, robust=settings.scale == "robust")
        # Rounding leaves a constant channel a deviation of some 1e-16 of its mean.
        constant = spread <= 1e-12 * np.abs(centre)
        total += np.where(constant, 0.0, (band - centre) / np.where(constant, 1.0, spread))
    return total / len(values)


def _centre_and_spread(values: FloatArray, *, robust: bool) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation, or their robust counterparts, over axis 0 without missing values.

    They are NaN for an electrode of which every value is missing.
    """
    there = np.isfinite(values)
    if not there.all():
        parts = [
            _centre_and_spread(some[known, None], robust=robust)
            if known.any()
            else (np.full(1, np.nan),) * 2
            for some, known in zip(values.T, there.T, strict=True)
        ]
        centre, spread = (np.concatenate(part) for part in zip(*parts, strict=True))
        return centre, spread
    if robust:
        centre = np.median(values, axis=0)
        return centre, 1.4826 * np.median(np.abs(values - centre), axis=0)
    return values.mean(axis=0), values.std(axis=0)
