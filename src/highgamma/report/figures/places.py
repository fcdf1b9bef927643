"""Draw the electrodes' positions."""

from __future__ import annotations

import numpy as np

from highgamma.report.evidence import Evidence
from highgamma.report.figures.canvas import INK, WIDTH, Drawn, canvas, crowded, drawn
from highgamma.report.findings import SUPPORTED


def electrode_map(evidence: Evidence, analysis: str) -> Drawn | None:
    """Draw the electrodes in three projections, coloured by r; hollow if not supported."""
    table = evidence.electrodes[evidence.electrodes["analysis"] == analysis]
    table = evidence.findings(table, analysis)
    table = table[table[["x", "y", "z"]].notna().all(axis=1)]
    if table.empty:
        return None
    table = table.assign(supported=table["verdict"] == SUPPORTED, known=table["r"].fillna(-2.0))
    best = table.sort_values(
        ["supported", "known"], ascending=False, kind="stable"
    ).drop_duplicates(["participant", "electrode"])
    best = best.iloc[::-1]
    place = best[["x", "y", "z"]].to_numpy(float)
    r = best["r"].to_numpy(dtype=float, na_value=np.nan)
    supported = best["supported"].to_numpy(bool)
    top = max(float(np.nanmax(r, initial=0.0)) if np.isfinite(r).any() else 0.0, 0.1)
    # One scale for all views, so that a millimetre is a millimetre in each.
    middle = (place.min(axis=0) + place.max(axis=0)) / 2
    reach = max(float(np.ptp(place, axis=0).max()) / 2 * 1.08, 5.0)
    views = (
        ("From above", 0, 1, "left – right (mm)", "back – front (mm)"),
        ("From the front", 0, 2, "left – right (mm)", "down – up (mm)"),
        ("From the side", 1, 2, "back – front (mm)", "down – up (mm)"),
    )
    with canvas(WIDTH, 2.7) as figure:
        grid = figure.subplots(1, 3)
        image = None
        for axes, (title, a, b, across, up) in zip(grid, views, strict=True):
            axes.axhline(0, color="#e3e7ea", lw=0.7, zorder=0)
            axes.axvline(0, color="#e3e7ea", lw=0.7, zorder=0)
            axes.scatter(
                place[~supported, a], place[~supported, b], s=12, facecolors="none",
                edgecolors="#9aa4ad", linewidths=0.6, rasterized=crowded(len(best)),
            )  # fmt: skip
            image = axes.scatter(
                place[supported, a], place[supported, b], c=np.clip(r[supported], 0, top), s=26,
                cmap="plasma_r", vmin=0, vmax=top, edgecolors=INK, linewidths=0.4,
                rasterized=crowded(len(best)),
            )  # fmt: skip
            for set_limits, k in ((axes.set_xlim, a), (axes.set_ylim, b)):
                set_limits(middle[k] - reach, middle[k] + reach)
            axes.set_aspect("equal")
            axes.set_title(title)
            axes.set_xlabel(across)
            axes.set_ylabel(up)
            axes.locator_params(nbins=5)
        if image is not None and supported.any():
            bar = figure.colorbar(image, ax=list(grid), shrink=0.7, aspect=20, pad=0.01)
            bar.set_label("r (held out)")
            bar.outline.set_visible(False)
        return drawn(
            figure,
            f"map_{analysis}",
            alt=f"Map of {len(best)} electrodes in three projections; {int(supported.sum())} are "
            f"supported in the analysis {analysis}.",
            caption=f"Analysis {analysis}: {len(best)} electrodes of all participants in the "
            "coordinates of the data set, each with its best model that is no control. Filled and "
            "coloured by r where supported, hollow where not.",
        )
