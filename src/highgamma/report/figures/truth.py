"""Draw planted against recovered lags and layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from highgamma.report.figures.canvas import (
    INK,
    MARKERS,
    MODEL_COLOURS,
    WIDTH,
    Drawn,
    canvas,
    drawn,
    handle,
    milliseconds,
)
from highgamma.report.findings import LAG_TOLERANCE, Recovery

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from highgamma.report.findings.recovery import LagFound, LayerFound


def planted_truth(recovery: Recovery) -> Drawn | None:
    """Draw planted against recovered lags, and the mean skill by layer."""
    if not recovery.lags and not recovery.layers:
        return None
    n_panels = bool(recovery.lags) + bool(recovery.layers)
    with canvas(WIDTH if n_panels == 2 else WIDTH * 0.55, 2.7) as figure:
        panels = list(figure.subplots(1, n_panels, squeeze=False)[0])
        summaries = []
        if recovery.lags:
            summaries.append(_lag_panel(panels.pop(0), recovery.lags))
        if recovery.layers:
            summaries.append(_layer_panel(panels.pop(0), recovery.layers))
        return drawn(
            figure,
            "truth",
            alt="Planted against recovered: " + "; ".join(summaries) + ".",
            caption="What was planted against what was found. "
            + (
                f"Lag: each electrode’s peak with its 95 % interval; the band is ±"
                f"{LAG_TOLERANCE * 1000:.0f} ms. "
                if recovery.lags
                else ""
            )
            + (
                "Layer: mean skill over the electrodes planted from one layer (the wide line); the "
                "ring marks the best layer."
                if recovery.layers
                else ""
            ),
        )


def _lag_panel(axes: Axes, groups: Sequence[LagFound]) -> str:
    """Draw recovered against planted lags; return a summary."""
    from matplotlib.ticker import FuncFormatter

    analyses = list(dict.fromkeys((f.analysis, f.model) for f in groups))
    everything = np.concatenate([np.append(f.recovered, f.planted) for f in groups])
    ends = np.array([everything.min() - 0.04, everything.max() + 0.04])
    axes.fill_between(ends, ends - LAG_TOLERANCE, ends + LAG_TOLERANCE, color="#e9f3ee", lw=0)
    axes.plot(ends, ends, color="#8a949d", lw=0.7)
    for f in groups:
        k = analyses.index((f.analysis, f.model))
        step = min(0.0022, 0.04 / max(len(f.recovered), 1))
        spread = (np.arange(len(f.recovered)) - (len(f.recovered) - 1) / 2) * step
        x = f.planted + spread + 0.004 * k
        for at, low, high in zip(x, f.low, f.high, strict=True):
            if np.isfinite(low) and np.isfinite(high):
                axes.plot([at, at], [low, high], color=MODEL_COLOURS[k % 8], lw=0.9)
        axes.plot(
            x, f.recovered, ls="", marker=MARKERS[k % 8], ms=3.4, mew=0,
            color=MODEL_COLOURS[k % 8],
        )  # fmt: skip
    axes.set_title("Lag")
    axes.set_xlabel("planted (ms)")
    axes.set_ylabel("recovered (ms)")
    milliseconds(axes)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v * 1000:.0f}".replace("-", "−")))
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    axes.legend(
        handles=[
            handle(color=MODEL_COLOURS[k % 8], marker=MARKERS[k % 8], label=f"{a}, {m}")
            for k, (a, m) in enumerate(analyses)
        ],
        loc="upper left",
    )
    n_close = sum(f.ok for f in groups)
    return f"lags: {n_close} of {len(groups)} groups within {LAG_TOLERANCE * 1000:.0f} ms"


def _layer_panel(axes: Axes, groups: Sequence[LayerFound]) -> str:
    """Draw the mean skill by layer; return a summary."""
    from matplotlib.ticker import MaxNLocator

    for k, g in enumerate(groups):
        tint = MODEL_COLOURS[k % 8]
        axes.axvline(g.planted, color=tint, lw=5, alpha=0.15, zorder=0)
        axes.plot(
            g.layers, g.skill, color=tint, marker=MARKERS[k % 8], ms=3,
            label=f"{g.analysis}, {g.model} ({g.n} electrodes)",
        )  # fmt: skip
        axes.plot(g.recovered, np.nanmax(g.skill), marker="o", ms=8, mfc="none", mec=INK, mew=0.9)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_title("Layer")
    axes.set_xlabel("layer")
    axes.set_ylabel("mean skill")
    axes.grid(axis="y")
    axes.legend(loc="lower left")
    return ", ".join(f"layer {g.planted} planted, {g.recovered} found" for g in groups)
