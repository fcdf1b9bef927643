"""The section `neural`: how the recorded voltage becomes the signal to be predicted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from highgamma.errors import InputError
from highgamma.neural.references import REFERENCES
from highgamma.sections import checked_section, setting

FEW_SAMPLES = 3
"""Samples of a step below which frames that start on whole samples are uneven."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtefactSettings:
    """What counts as an artefact in the recorded voltage, and how much around it is left out."""

    enabled: bool = setting(
        True, "Whether artefacts are bridged before the filter and their samples left out."
    )
    blank: float = setting(
        0.05,
        "Shortest stretch of one exactly repeated value that counts as blanked, in seconds.",
        above=0,
    )
    clipping: float = setting(
        0.004,
        "Shortest stretch at the channel's largest or smallest value that counts as clipped, in "
        "seconds; at least four samples.",
        above=0,
    )
    step: float = setting(
        25,
        "Difference between neighbouring samples above which there is a step, in robust standard "
        "deviations (1.4826 median absolute deviation) of the channel's differences.",
        above=0,
    )
    burst: float = setting(
        40,
        "Root mean square of the differences within 50 ms above which there is a burst, in robust "
        "standard deviations above its median in the channel. Bursts are kept in a channel that "
        "exceeds a third of this in more than 2 % of its time, as contaminated electrodes do.",
        above=0,
    )
    padding: float = setting(
        0.25,
        "Seconds on either side of an artefact that are left out with it, for the filters to "
        "settle.",
        minimum=0,
    )
    most: float = setting(
        0.5,
        "Share of a window's samples that may be left out; a window (of a frame or word) with more "
        "has no value.",
        minimum=0,
        maximum=1,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuralSettings:
    """How an envelope is computed from a voltage; the defaults are the study's."""

    band: tuple[float, float] = setting((70, 170), "Pass band, in Hz.", above=0)
    notch: tuple[float, ...] = setting(
        (100, 150), "Centres of the stop bands, in Hz (line noise and its harmonics).", above=0
    )
    notch_halfwidth: float = setting(2, "Half-width of each stop band, in Hz.", above=0)
    order: int = setting(
        4, "Order of the Butterworth filters, applied forward and backward.", minimum=1, maximum=10
    )
    method: Literal["exact", "fft"] = setting(
        "exact",
        "`exact` (the published filters in time) or `fft` (the same responses in one pass).",
    )
    bands: int = setting(
        1,
        "Number of logarithmically spaced sub-bands whose envelopes are z-scored and averaged; 1 "
        "takes the band whole.",
        minimum=1,
    )
    window: float = setting(
        0.05, "Length of the window over which the envelope is averaged, in seconds.", above=0
    )
    shift: float = setting(0.01, "Step from one window to the next, in seconds.", above=0)
    reference: str = setting("none", "Re-referencing before the filter.", choices=REFERENCES)
    grids: dict[str, tuple[int, int]] = setting(
        {},
        "Rows and columns of grids, by the letters of their contacts' names, as in `{G: [8, 8]}`; "
        "contacts are numbered row by row. Without it, neighbours are found by contact number and "
        "distance.",
        minimum=1,
    )
    artefacts: ArtefactSettings = setting(
        ArtefactSettings(),
        "Which stretches of a channel are artefacts; they are reported and left out.",
    )
    scale: Literal["amplitude", "log", "robust"] = setting(
        "amplitude",
        "`amplitude` in µV, its logarithm `log`, or `robust` (minus median, over median absolute "
        "deviation).",
    )
    edge: float = setting(
        1.0,
        "Seconds at both ends of a recording that are marked invalid, since filters settle there.",
        minimum=0,
    )

    def problems(self) -> list[str]:
        """Return what is wrong with the section, each as `key: message`."""
        problems = []
        low, high = self.band
        if low >= high:
            problems.append(
                f"band: {low:g} Hz to {high:g} Hz is not a band; the lower end comes first"
            )
        low_notches = [f"{centre:g}" for centre in self.notch if centre <= self.notch_halfwidth]
        if low_notches:
            problems.append(
                f"notch: the stop bands at {', '.join(low_notches)} Hz reach down to 0 Hz "
                f"(notch_halfwidth: {self.notch_halfwidth:g})"
            )
        return problems

    @property
    def sub_bands(self) -> tuple[tuple[float, float], ...]:
        """(low, high) of each sub-band in Hz: equal ratios, `low (high/low)^(i/bands)`."""
        if self.bands == 1:
            return (self.band,)
        edges = [float(f) for f in np.geomspace(*self.band, self.bands + 1)]
        return tuple(pairwise(edges))

    @property
    def units(self) -> str:
        """Unit of the values that come out."""
        if self.scale == "robust" or self.bands > 1:
            return "1"
        return "log(uV)" if self.scale == "log" else "uV"


def neural_settings(values: Mapping[str, Any], *, where: str = "neural") -> NeuralSettings:
    """Build the settings of a signal from plain values, and check them.

    Raises
    ------
    InputError
        For an unknown key (the nearest known one is named) or an impossible value.
    """
    return checked_section(NeuralSettings, values, where=where)


def check_recording(
    settings: NeuralSettings, *, rate: float, n_samples: int, where: str | None = None
) -> None:
    """Refuse a recording whose rate is too low for the band or the window, or that is too short to
    be filtered.

    Parameters
    ----------
    rate : Hz. n_samples : length of the segment. where : the file, for the message.

    Raises
    ------
    InputError
        With rate, band and remedy; or with the length that would do.
    """
    nyquist = rate / 2
    if settings.band[1] >= nyquist:
        low, high = settings.band
        remedy = f"choose a band that ends below {nyquist:g} Hz (neural.band), or leave this "
        raise InputError(
            f"the rate of {rate:g} Hz is too low for the band of {low:g} to {high:g} Hz",
            where=where,
            expected=f"a rate above {2 * high:g} Hz, twice the band's upper edge",
            remedy=remedy + "recording out (dataset.participants)",
        )
    for centre in settings.notch:
        if centre + settings.notch_halfwidth >= nyquist:
            raise InputError(
                f"the rate of {rate:g} Hz is too low for the notch at {centre:g} Hz "
                f"(band {settings.band[0]:g} to {settings.band[1]:g} Hz)",
                where=where,
                expected=f"notches that end below {nyquist:g} Hz, half the rate",
                remedy=f"take {centre:g} out of neural.notch",
            )
    if settings.window * rate < 1:
        raise InputError(
            f"a window of {settings.window:g} s holds no sample at {rate:g} Hz",
            where=where,
            expected=f"at least {1 / rate:.3g} s",
            remedy="make neural.window longer",
        )
    samples = settings.shift * rate
    if samples < FEW_SAMPLES and abs(samples - round(samples)) > 1e-6:
        least = max(1, math.ceil(samples)) / rate
        raise InputError(
            f"a step of {settings.shift:g} s is {samples:.3g} samples at {rate:g} Hz: frames start "
            "on whole samples and would be uneven",
            where=where,
            expected="a step of three samples or more, or of a whole number of them",
            remedy=f"set neural.shift to {least:g}",
        )
    # One edge at either end is not valid; what is left has to hold a frame.
    shortest = 2 * settings.edge + settings.window + settings.shift
    # scipy's odd padding at either end: 3 (2 sections + 1) samples, sections = order.
    padding = 3 * (2 * settings.order + 1)
    if n_samples / rate < shortest or n_samples <= padding:
        raise InputError(
            f"the recording is too short for the filter: {n_samples / rate:.3g} s "
            f"({n_samples} samples)",
            where=where,
            expected=f"at least {max(shortest, (padding + 1) / rate):.3g} s: {settings.edge:g} s "
            "at either end are not valid",
            remedy="leave this recording out (dataset.participants), or set neural.edge lower",
        )
