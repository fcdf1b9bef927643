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
    """Design the Butterworth filters: the band-pass, then every band-stop.

    Parameters
    ----------
    settings
        Settings of the signal.
    rate
        Hz.
    band
        A sub-band in Hz in place of `settings.band`.

    Returns
    -------
    filters
        Second-order sections (section, 6) of each filter, in the order in which they are applied.
    """
    from scipy import signal

    nyquist = rate / 2
    low, high = band or settings.band
    filters: list[tuple[float, float, Literal["bandpass", "bandstop"]]] = [(low, high, "bandpass")]
    filters += [
        (centre - settings.notch_halfwidth, centre + settings.notch_halfwidth, "bandstop")
        for centre in settings.notch
    ]
    return [
        signal.iirfilter(
            settings.order,
            [lower / nyquist, upper / nyquist],
            btype=kind,
            ftype="butter",
            output="sos",
        )
        for lower, upper, kind in filters
    ]


def exact_envelopes(
    data: FloatArray, *, rate: float, settings: NeuralSettings
) -> Iterator[FloatArray]:
    """Compute the envelope of every sub-band by the published chain.

    Linear detrend over the whole segment; band-pass, then the band-stops one after another, each
    forwards and backwards (`sosfiltfilt`); magnitude of the analytic signal, which is computed
    over the next fast length of a real transform and cropped. Sources: arXiv 2505.14074, and the
    data set's script, doi 10.1038/s41597-022-01542-9.

    Parameters
    ----------
    data
        (sample, electrode), µV, one whole segment.
    rate
        Hz.
    settings
        Settings of the signal.

    Yields
    ------
    envelope : (sample, electrode)
        µV, of one sub-band after another.
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
