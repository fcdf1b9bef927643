"""Draw the comparison of two runs, electrode by electrode."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from highgamma import store
from highgamma.compare import Comparison
from highgamma.report.figures.canvas import (
    INK,
    MODEL_COLOURS,
    SOFT,
    WIDTH,
    Drawn,
    at_the_edge,
    canvas,
    drawn,
    handle,
    legend_below,
    line,
    short,
)

BELOW = -0.5
"""Lower skill is drawn at the edge."""


def save(figure: Drawn, *, svg: str | Path, png: str | Path) -> None:
    """Write a figure as SVG and PNG."""
    for path, content in ((svg, figure.svg), (png, figure.png)):
        with store.written_whole(path) as temporary:
            temporary.write_bytes(content)


def comparison_scatter(comparison: Comparison) -> Drawn:
    """Draw every electrode's skill in one run against the other, a panel for each fit.

    An electrode's bar is the 95 % interval of the difference, drawn from the other run's skill.
    """
    fits = comparison.summary.to_dict("records")
    n_columns = min(3, len(fits))
    n_rows = -(-len(fits) // n_columns)
    with canvas(WIDTH if n_columns > 1 else WIDTH * 0.6, 0.55 + 2.85 * n_rows) as figure:
        grid = figure.subplots(n_rows, n_columns, squeeze=False)
        for k, axes in enumerate(grid.flat):
            if k >= len(fits):
                axes.set_visible(False)
                continue
            _panel(axes, comparison, fits[k])
            ours, theirs = _names(comparison, fits[k])
            axes.set_ylabel(f"skill, {ours}")
            axes.set_xlabel(f"skill, {theirs}")
        legend_below(
            figure,
            [
                handle(color=MODEL_COLOURS[2], marker="^", label="better on the vertical axis"),
                handle(color=MODEL_COLOURS[1], marker="v", label="worse"),
                handle(color=SOFT, marker="o", label="interval reaches 0, or none"),
                line(INK, "equal", width=0.7),
            ],
        )
        differences = "; ".join(
            f"{f['model']} in {f['analysis']}: {short(float(f['skill_difference']), 3)}"
            for f in fits[:6]
        )
        return drawn(
            figure,
            "compare",
            alt=f"Skill of every electrode in {comparison.ours} against {comparison.theirs}. Mean "
            f"differences: {differences}.",
            caption=f"Each electrode’s skill in {comparison.ours} against {comparison.theirs}; "
            "on the line both are equal. Bars: 95 % interval of the difference from a paired t "
            "over folds, where both runs hold out the same samples. Above each panel "
            "the mean difference with its interval over participants."
            + at_the_edge(comparison.electrodes[["skill", "other_skill"]], BELOW),
        )


def _names(comparison: Comparison, fit: Mapping[Hashable, Any]) -> tuple[str, str]:
    """Return a label of each side: the run, and the analysis or model if these differ."""
    ours, theirs = (
        [name] if comparison.ours != comparison.theirs else []
        for name in (comparison.ours, comparison.theirs)
    )
    for kind in ("analysis", "model"):
        if fit[kind] != fit[f"other_{kind}"]:
            ours.append(str(fit[kind]))
            theirs.append(str(fit[f"other_{kind}"]))
    return " ".join(ours), " ".join(theirs)


def _panel(axes: Any, comparison: Comparison, fit: Mapping[Hashable, Any]) -> None:
    table = comparison.electrodes
    rows = table[
        np.logical_and.reduce(
            [table[k] == fit[k] for k in ("analysis", "model", "other_analysis", "other_model")]
        )
    ]
    x = np.maximum(rows["other_skill"].to_numpy(dtype=float, na_value=np.nan), BELOW)
    y = np.maximum(rows["skill"].to_numpy(dtype=float, na_value=np.nan), BELOW)
    low = rows["skill_low"].to_numpy(dtype=float, na_value=np.nan)
    high = rows["skill_high"].to_numpy(dtype=float, na_value=np.nan)
    higher, lower = low > 0, high < 0
    neither = ~(higher | lower)
    for which, colour, marker in (
        (neither, SOFT, "o"), (higher, MODEL_COLOURS[2], "^"), (lower, MODEL_COLOURS[1], "v"),
    ):  # fmt: skip
        axes.vlines(
            x[which], np.maximum(x + low, BELOW)[which], np.maximum(x + high, BELOW)[which],
            color=colour, lw=0.6, alpha=0.45,
        )  # fmt: skip
        axes.plot(x[which], y[which], ls="", marker=marker, ms=2.6, mew=0, color=colour)
    known = np.concatenate([x, y])
    known = known[np.isfinite(known)]
    if known.size:
        room = 0.05 * (np.ptp(known) or 0.1)
        ends = [known.min() - room, known.max() + room]
        axes.plot(ends, ends, color=INK, lw=0.7, zorder=0)
        axes.set_xlim(*ends)
        axes.set_ylim(*ends)
    axes.set_aspect("equal")
    axes.locator_params(nbins=5)
    axes.set_title(f"{fit['analysis']}: {fit['model']}", pad=12, fontsize=7.4)
    mean, below, above = (float(fit[f"skill_{k}"]) for k in ("difference", "low", "high"))
    axes.annotate(
        f"{short(mean, 3)}"
        + (f" [{short(below, 3)}, {short(above, 3)}]" if np.isfinite(below) else "")
        + f", {fit['n_electrodes']} electrodes",
        (0, 1), xycoords="axes fraction", xytext=(0, 4), textcoords="offset points",
        fontsize=6.8, color=SOFT,
    )  # fmt: skip
