"""What is measured of each channel, in pieces of a few seconds; memory is that of one piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from highgamma import neural
from highgamma.neural.frames import Windows
from highgamma.neural.neighbours import known_neighbours
from highgamma.recording.reader import Reader

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

PIECE = 8.0
"""s of the recording that are read at a time; trends within it count for nothing."""

WINDOW = 1.0
"""s of one window of the spectrum: its frequencies are 1 Hz apart."""

MAINS = (50.0, 60.0)
"""Hz: the frequencies of power grids."""

HARMONICS = 3
"""Multiples of the mains frequency at which line noise is looked for."""

LINE_WIDTH, BESIDE = 1.0, (3.0, 10.0)
"""Hz around a line: its own half-width, and where the spectrum next to it is taken from."""

SLOPE_BAND = (2.0, 100.0)
"""Hz: the range in which the slope of the spectrum is fitted."""

SLOPE_POINTS = 40
"""Frequencies of the fit, equally far apart on a logarithmic scale."""

EVERY = 4
"""Of so many samples one enters the medians, which take the longest."""

TO_DEVIATION = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What was measured; all (channel,) unless stated otherwise.

    Attributes
    ----------
    amplitude
        Standard deviation, robustly (1.4826 MAD), median over pieces, µV.
    line_noise
        dB above the spectrum next to the line, the largest of the mains and its harmonics.
    slope
        Of log power over log frequency.
    kurtosis
        Excess kurtosis of the voltage without trends, artefacts included.
    neighbour_r
        Correlation with the most similar neighbour; NaN without one.
    repeated
        Share of samples that equal the one before.
    flat
        Whether the channel holds one value only, in any segment.
    masked
        Share of samples that artefacts mask.
    artefacts
        (kind, channel), how many were found.
    frequencies, spectra
        (F,) Hz and (channel, F) µV²/Hz, without artefacts.
    mains
        Hz.
    """

    names: tuple[str, ...]
    amplitude: FloatArray
    line_noise: FloatArray
    slope: FloatArray
    kurtosis: FloatArray
    neighbour_r: FloatArray
    repeated: FloatArray
    flat: NDArray[np.bool_]
    masked: FloatArray
    artefacts: IntArray
    frequencies: FloatArray
    spectra: FloatArray
    mains: float


class _Sums:
    """What is summed up over the pieces of all segments."""

    def __init__(self, n_channels: int) -> None:
        self.amplitudes: list[FloatArray] = []
        self.moments = np.zeros((4, n_channels))
        self.products = np.zeros((n_channels, n_channels))
        self.repeated = np.zeros(n_channels, np.int64)
        self.samples = 0
        self.windows = 0
        self.spectra: FloatArray | None = None
        self.frequencies = np.empty(0)

    def add(self, voltage: FloatArray, bridged: FloatArray, rate: float) -> None:
        """Add a piece (sample, channel), as recorded and with artefacts bridged."""
        from scipy import signal

        straight = signal.detrend(voltage, axis=0)
        square = straight * straight
        self.moments += [
            straight.sum(axis=0),
            square.sum(axis=0),
            np.einsum("sc,sc->c", square, straight),
            np.einsum("sc,sc->c", square, square),
        ]
        self.samples += len(voltage)
        self.repeated += (voltage[1:] == voltage[:-1]).sum(axis=0)
        clean = straight if bridged is voltage else signal.detrend(bridged, axis=0)
        some = clean[::EVERY]
        deviation = np.median(np.abs(some - np.median(some, axis=0)), axis=0)
        self.amplitudes.append(TO_DEVIATION * deviation)
        self.products += clean.T @ clean
        length = round(WINDOW * rate)
        if len(clean) < length:
            return
        self.frequencies, power = signal.welch(clean, fs=rate, nperseg=length, axis=0)
        count = 2 * len(clean) // length - 1
        # Segments of other rates than the first's have other frequencies and are left out.
        if self.spectra is None:
            self.spectra = np.zeros_like(power.T)
        if self.spectra.shape == power.T.shape:
            self.spectra += count * power.T
            self.windows += count


def measured(
    recordings: Sequence[Reader],
    electrodes: neural.Electrodes,
    artefacts: neural.ArtefactSettings,
    *,
    mains: float | None = None,
) -> Measures:
    """Measure the voltage of each electrode, as recorded.

    Parameters
    ----------
    recordings
        The electrodes' voltages, µV, one reader for each segment.
    electrodes
        The electrodes.
    artefacts
        What counts as an artefact; it is counted whether or not the neural stage leaves it out.
    mains
        Hz; None for the stronger one of `MAINS`.

    Raises
    ------
    InputError
        If samples are missing.
    """
    looked_for = replace(artefacts, enabled=True)
    prepared = neural.rereference(recordings, electrodes, "none", artefacts=looked_for)
    n_channels = len(electrodes)
    sums = _Sums(n_channels)
    for recorded, bridged, mask in zip(
        recordings, prepared.recorded, prepared.recorded_masks, strict=True
    ):
        step = max(2, round(PIECE * recorded.rate))
        for start in range(0, recorded.n_samples, step):
            stop = min(start + step, recorded.n_samples)
            if stop - start < step / 2 and start:
                continue  # a short end would be detrended to nothing
            voltage = np.asarray(recorded.read(start, stop), dtype=np.float64)
            touched = mask.masked(Windows(np.array([start]), np.array([stop]))).any()
            clean = voltage
            if touched:
                clean = np.asarray(bridged.read(start, stop), dtype=np.float64)
            sums.add(voltage, clean, recorded.rate)
    flat = prepared.montage.flat
    # Rounding gives a flat channel a spectrum of its own.
    sums.products[flat], sums.products[:, flat] = 0, 0
    spectra = np.zeros((n_channels, 0))
    if sums.spectra is not None:
        spectra = np.where(flat[:, None], 0, sums.spectra / sums.windows)
    mains = mains or strongest_mains(sums.frequencies, spectra)
    return Measures(
        names=electrodes.names,
        amplitude=np.median(sums.amplitudes, axis=0),
        line_noise=line_noise(sums.frequencies, spectra, mains),
        slope=slopes(sums.frequencies, spectra, mains),
        kurtosis=_kurtosis(sums),
        neighbour_r=_neighbour_r(sums.products, electrodes),
        repeated=sums.repeated / sums.samples,
        flat=flat,
        masked=prepared.masked_share,
        artefacts=prepared.artefacts,
        frequencies=sums.frequencies,
        spectra=spectra,
        mains=mains,
    )


def line_noise(frequencies: FloatArray, spectra: FloatArray, mains: float) -> FloatArray:
    """Compute the power at the mains and its harmonics over the median next to it, in dB.

    Parameters
    ----------
    frequencies, spectra
        (F,) Hz and (channel, F).
    mains
        Hz.

    Returns
    -------
    line_noise : (channel,)
        The largest of the lines that the spectrum holds; NaN if it holds none, or no power.
    """
    ratios = [np.full(len(spectra), np.nan)]
    for line in mains * np.arange(1, HARMONICS + 1):
        away = np.abs(frequencies - line)
        at, beside = away <= LINE_WIDTH, (away >= BESIDE[0]) & (away <= BESIDE[1])
        if line + BESIDE[1] > frequencies.max(initial=0) or not at.any() or not beside.any():
            continue
        power, usual = spectra[:, at].mean(axis=1), np.median(spectra[:, beside], axis=1)
        known = (power > 0) & (usual > 0)
        ratio = np.full(len(spectra), np.nan)
        ratio[known] = 10 * np.log10(power[known] / usual[known])
        ratios.append(ratio)
    return np.asarray(np.fmax.reduce(ratios))


def strongest_mains(frequencies: FloatArray, spectra: FloatArray) -> float:
    """Return the frequency of `MAINS` at which the channels have the larger line noise."""
    heights = []
    for mains in MAINS:
        noise = line_noise(frequencies, spectra, mains)
        heights.append(np.median(noise[np.isfinite(noise)]) if np.isfinite(noise).any() else 0.0)
    return MAINS[int(np.argmax(heights))]


def slopes(frequencies: FloatArray, spectra: FloatArray, mains: float) -> FloatArray:
    """Fit a line to log power over log frequency by Theil and Sen's method: (channel,).

    The lines of the mains are left out. NaN for a channel without power, or if the spectrum holds
    fewer than ten frequencies of `SLOPE_BAND`.
    """
    from scipy import stats

    low, high = SLOPE_BAND
    inside = (frequencies >= low) & (frequencies <= min(high, 0.8 * frequencies.max(initial=0)))
    nearest = np.abs(frequencies - mains * np.round(frequencies / mains))
    inside &= (nearest > BESIDE[0]) | (frequencies < mains / 2)
    result = np.full(len(spectra), np.nan)
    if inside.sum() < 10:
        return result
    # Every octave weighs alike; without this most points would lie in the highest.
    wanted = np.geomspace(frequencies[inside][0], frequencies[inside][-1], SLOPE_POINTS)
    places = np.unique(np.abs(frequencies[inside][:, None] - wanted).argmin(axis=0))
    x = np.log10(frequencies[inside][places])
    for channel, power in enumerate(spectra[:, inside][:, places]):
        if (power > 0).all():
            result[channel] = stats.theilslopes(np.log10(power), x).slope
    return result


def _kurtosis(sums: _Sums) -> FloatArray:
    first, second, third, fourth = sums.moments / sums.samples
    variance = second - first**2
    central = fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4
    constant = variance <= 1e-18 * np.maximum(second, 1)
    return np.where(constant, np.nan, central / np.where(constant, 1, variance) ** 2 - 3)


def _neighbour_r(products: FloatArray, electrodes: neural.Electrodes) -> FloatArray:
    """Correlation of each channel with the most similar of its neighbours."""
    power = np.sqrt(np.diag(products))
    found = known_neighbours(electrodes)
    r = np.full(len(electrodes), np.nan)
    for channel, around in enumerate(found):
        live = [j for j in around if power[j] > 0]
        if live and power[channel] > 0:
            r[channel] = max(products[channel, j] / (power[channel] * power[j]) for j in live)
    return r
