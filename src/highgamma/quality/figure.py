"""The figure of a participant's quality: spectra, and every measure with its limits."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma.quality.columns import JudgedQuality
from highgamma.quality.settings import QualitySettings
from highgamma.store import written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLAIN, FLAGGED, LIMIT = "#8a949d", "#D55E00", "#1c2733"
"""Colours of channels without and with a flag, and of limits."""

NAMED = 8
"""Most flagged channels whose names are written next to their spectra."""


def draw(
    judged: JudgedQuality, settings: QualitySettings, path: str | PathLike[str], *, title: str
) -> None:
    """Draw the spectrum and the measures of every channel; flagged channels are coloured."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    of = judged.measures
    measures: list[tuple[str, Any, tuple[float, ...], bool, tuple[str, ...]]] = [
        ("amplitude (µV)", of.amplitude, settings.amplitude, True, ("unit", "flat")),
        ("line noise (dB)", of.line_noise, (settings.line_noise,), False, ("line-noise",)),
        ("slope of the spectrum", of.slope, (settings.slope,), False, ("white",)),
        ("excess kurtosis", of.kurtosis, (settings.kurtosis,), False, ("heavy-tailed",)),
        (
            "r with a neighbour",
            of.neighbour_r,
            (settings.least_r, settings.most_r),
            False,
            ("unlike-neighbours", "bridged"),
        ),
        ("share repeated", of.repeated, (settings.repeated,), False, ("repeated",)),
        ("share masked", of.masked, (settings.masked,), False, ("masked",)),
    ]
    # A user's own matplotlibrc changes nothing.
    style: Any = {**dict(mpl.rcParamsDefault), "backend": "agg", "font.size": 7}
    with mpl.rc_context(rc=style):
        figure = Figure(figsize=(9, 5.4), layout="constrained")
        FigureCanvasAgg(figure)
        halves: Any = figure.subfigures(1, 2, width_ratios=(1, 1.1))
        _spectra(halves[0].subplots(), judged)
        panels = halves[1].subplots(len(measures), 1, sharex=True)
        for axes, (label, values, limits, logarithmic, flags) in zip(panels, measures, strict=True):
            on = np.any([judged.raised[name] for name in flags], axis=0)
            _measure(axes, values, on, limits, logarithmic=logarithmic)
            axes.set_ylabel(label, rotation=0, ha="right", va="center")
        axes.set_xlabel("channel, in the order of the table; dashed: limits of the flags")
        flagged = sum(bool(flags) for flags in judged.flags)
        figure.suptitle(f"{title}: {flagged} of {len(of.names)} channels carry a flag")
        with written_whole(path) as temporary:
            figure.savefig(temporary, format="png", dpi=140, metadata={"Software": None})


def _spectra(axes: Axes, judged: JudgedQuality) -> None:
    """Power spectra, those of flagged channels coloured and named at their right end."""
    of = judged.measures
    positive = of.frequencies > 0
    named = 0
    for channel, flags in enumerate(judged.flags):
        power = of.spectra[channel][positive]
        if not (power > 0).any():
            continue
        colour = FLAGGED if flags else PLAIN
        axes.loglog(
            of.frequencies[positive],
            np.where(power > 0, power, np.nan),
            color=colour,
            linewidth=0.8 if flags else 0.4,
            zorder=3 if flags else 2,
        )
        if flags and named < NAMED:
            axes.annotate(
                of.names[channel],
                (of.frequencies[-1], power[-1]),
                color=FLAGGED,
                xytext=(2, 0),
                textcoords="offset points",
                va="center",
            )
            named += 1
    for line in of.mains * np.arange(1, 4):
        axes.axvline(line, color=LIMIT, linewidth=0.4, linestyle=":")
    axes.set_xlabel("frequency (Hz); dotted: the mains and its harmonics")
    axes.set_ylabel("power (µV²/Hz), artefacts bridged")
    axes.set_title("Spectra; channels with a flag are coloured", loc="left", fontsize=7)


def _measure(
    axes: Axes, values: Any, on: Any, limits: tuple[float, ...], *, logarithmic: bool
) -> None:
    """One measure of all channels with its limits."""
    place = np.arange(len(values))
    for some, colour in ((~on, PLAIN), (on, FLAGGED)):
        axes.plot(place[some], np.asarray(values)[some], ".", color=colour, markersize=3)
    for limit in limits:
        axes.axhline(limit, color=LIMIT, linewidth=0.5, linestyle="--")
    if logarithmic:
        axes.set_yscale("log", nonpositive="mask")
    axes.spines[["top", "right"]].set_visible(False)
