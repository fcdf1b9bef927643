"""The settings of the neural stage, and the checks that a rate must pass before any filtering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np

from highgamma.errors import InputError, nearest, refuse_unknown
from highgamma.neural.references import REFERENCES

SCALES = ("amplitude", "log", "robust")
METHODS = ("exact", "fft")


@dataclass(frozen=True, slots=True)
class Settings:
    """How an envelope is made from a voltage; the defaults are the study's.

    band : (low, high), Hz. notch : centres of the band-stops, Hz, each `notch_halfwidth` Hz to
    either side. order : of every Butterworth filter. window, shift : of the frames, s.
    reference : one of `REFERENCES`. scale : `amplitude` (µV), `log` (natural logarithm of µV) or
    `robust` (deviation from the median in units of 1.4826 median absolute deviations).
    edge : s at either end of a segment that are marked as not valid.
    method : `exact` (the published chain) or `fft` (one pass in the frequency domain).
    bands : number of log-spaced sub-bands; with more than one, each is z-scored over the
    recording (with `robust`: scaled robustly) and the mean of all is taken.
    """

    band: tuple[float, float] = (70.0, 170.0)
    notch: tuple[float, ...] = (100.0, 150.0)
    notch_halfwidth: float = 2.0
    order: int = 4
    window: float = 0.05
    shift: float = 0.01
    reference: str = "none"
    scale: str = "amplitude"
    edge: float = 1.0
    method: str = "exact"
    bands: int = 1

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> Settings:
        """Read settings as the config gives them; `bands` may be a number or `{count: number}`.

        Raises
        ------
        InputError
            For an unknown key (the nearest known one is named) or an impossible value.
        """
        known = [field.name for field in fields(cls)]
        refuse_unknown(settings, known, where="neural")
        values = dict(settings)
        if isinstance(values.get("bands"), Mapping):
            values["bands"] = values["bands"].get("count", 1)
        values["bands"] = int(values.get("bands") or 1)
        for key in ("band", "notch"):
            if key in values:
                values[key] = tuple(float(f) for f in values[key] or ())
        made = cls(**values)
        made._check()
        return made

    def _check(self) -> None:
        choices = (
            ("reference", self.reference, tuple(REFERENCES)),
            ("scale", self.scale, SCALES),
            ("method", self.method, METHODS),
        )
        for key, value, allowed in choices:
            if value not in allowed:
                raise InputError(
                    f"{key} is {value!r}{nearest(str(value), allowed)}",
                    where=f"neural.{key}",
                    expected=f"one of {', '.join(allowed)}",
                    remedy="mend the value in the config",
                )
        if len(self.band) != 2 or not 0 < self.band[0] < self.band[1]:
            raise InputError(
                f"the band {list(self.band)} is no range of frequencies",
                where="neural.band",
                expected="two frequencies in Hz, the lower one first, both above 0",
                remedy="write for example band: [70, 170]",
            )
        if any(f <= self.notch_halfwidth for f in self.notch) or self.notch_halfwidth <= 0:
            raise InputError(
                f"notches at {list(self.notch)} Hz with a half-width of {self.notch_halfwidth} Hz "
                "reach down to 0 Hz",
                where="neural.notch",
                expected="centres above the half-width, and a half-width above 0",
                remedy="write for example notch: [100, 150] and notch_halfwidth: 2",
            )
        positive = {"order": self.order, "window": self.window, "shift": self.shift}
        for key, number in {**positive, "bands": self.bands}.items():
            if number <= 0:
                raise InputError(
                    f"{key} is {number}",
                    where=f"neural.{key}",
                    expected="a number above 0",
                    remedy="mend the value in the config",
                )
        if self.edge < 0:
            raise InputError(
                f"edge is {self.edge} s",
                where="neural.edge",
                expected="0 or more seconds",
                remedy="mend the value in the config",
            )

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


def check_recording(
    settings: Settings, *, rate: float, n_samples: int, where: str | None = None
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
