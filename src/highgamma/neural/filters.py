"""The exact method: the study's chain of filters, as its authors wrote it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from highgamma.neural.settings import NeuralSettings

FloatArray = NDArray[np.float64]


def sections(
    settings: NeuralSettings, *, rate: float, band: tuple[float, float] | None = None
) -> list[FloatArray]:
    """Second-order sections of the band-pass and then of every band-stop, Butterworth.

    Parameters
    ----------
    rate : Hz. band : a sub-band in Hz in place of `settings.band`.

    Returns
    -------
    One array (section, 6) for each filter, in the order in which they are applied.
    """
    from scipy import signal

    nyquist = rate / 2
    low, high = band or settings.band
    kinds: list[tuple[float, float, Literal["bandpass", "bandstop"]]] = [(low, high, "bandpass")]
    kinds += [
        (f - settings.notch_halfwidth, f + settings.notch_halfwidth, "bandstop")
        for f in settings.notch
    ]
    return [
        signal.iirfilter(
            settings.order,
            [lower / nyquist, upper / nyquist],
            btype=kind,
            ftype="butter",
            output="sos",
        )
        for lower, upper, kind in kinds
    ]


def exact_envelopes(
    data: FloatArray, *, rate: float, settings: NeuralSettings
) -> Iterator[FloatArray]:
    """Envelope of every sub-band by the published chain (science: arXiv 2505.14074, and the data
    set's script, doi 10.1038/s41597-022-01542-9).

    Linear detrend over the whole segment; band-pass, then the band-stops one after another, each
    forwards and backwards (`sosfiltfilt`); magnitude of the analytic signal, which is computed
    over the next fast length of a real transform and cropped.

    Parameters
    ----------
    data : (samples, channels), µV, one whole segment. rate : Hz.

    Yields
    ------
    One array (samples, channels), µV, for each sub-band.
    """
    from scipy import fft, signal

    n_samples = len(data)
    straight = signal.detrend(data, axis=0)
    for band in settings.sub_bands:
        filtered = straight
        for sos in sections(settings, rate=rate, band=band):
            filtered = signal.sosfiltfilt(sos, filtered, axis=0)
        analytic = signal.hilbert(filtered, fft.next_fast_len(n_samples, real=True), axis=0)
        yield np.abs(analytic[:n_samples])
