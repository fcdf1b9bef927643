"""Draw the correlation by lag, and the peak of each electrode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma.report.evidence import Evidence
from highgamma.report.figures.canvas import WIDTH, Drawn, canvas, crowded, drawn, milliseconds
from highgamma.report.findings import best_electrodes
from highgamma.scores import LEVEL

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes

FloatArray = NDArray[np.float64]


def lag_curves(evidence: Evidence, analysis: str) -> Drawn | None:
    """Draw the correlation by lag for the significant electrodes, and the peak of each of them."""
    arrays = evidence.arrays
    if not arrays.sizes.get("lag"):
        return None
    of_analysis = arrays["lag_r"].sel(analysis=analysis)
    if not np.isfinite(of_analysis.values).any():
        return None
    table = evidence.electrodes[evidence.electrodes["analysis"] == analysis]
    table = table[table["peak_lag"].notna()] if "peak_lag" in table else table.iloc[:0]
    significant = table[(table["q"] < LEVEL) & ~table["flags"].str.contains("flat|contaminated")]
    if significant.empty:
        why = "none is significant" if table["q"].notna().any() else "none was tested"
        shown, selection = best_electrodes(evidence, analysis, n=6), f"{why}; the best six"
    else:
        shown, selection = significant, "significant, not flagged as contaminated"
    shown = shown.sort_values(["peak_lag", "participant", "electrode"], kind="stable")
    if shown.empty:
        return None
    many = len(shown) > 40
    lag = arrays["lag"].values.astype(float)
    height = 3.0 if many else max(2.4, 0.95 + 0.15 * len(shown))
    with canvas(WIDTH, height) as figure:
        left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.25, 1.0]})
        norm_of, cmap = _diverging(shown["peak_lag"].to_numpy(float))
        tints = [cmap(norm_of(peak)) for peak in shown["peak_lag"]]
        _curves(left, evidence, of_analysis, shown, tints)
        left.axvline(0, color="#8a949d", lw=0.7, zorder=0)
        left.set_ylabel("r (held out)")
        left.set_xlabel("lag (ms)")
        left.set_title("Correlation by lag")
        left.grid(axis="y")
        _peaks(right, shown, tints, many=many)
        for axes in (left, right):
            axes.set_xlim(lag.min(), lag.max())
            milliseconds(axes)
        middle = shown["peak_lag"].median() * 1000
        return drawn(
            figure,
            f"lags_{analysis}",
            alt=f"Correlation by lag of {len(shown)} electrodes in the analysis {analysis}; the "
            f"median peak is at {middle:.0f} ms.",
            caption=f"Analysis {analysis}: electrodes ({selection}), each with its own fit at "
            "every lag. Right of 0 the activity follows the sound (hearing), left of it the "
            "activity leads (movement, planning). Intervals: bootstrap over folds.",
        )


def _curves(
    left: Axes, evidence: Evidence, r: xr.DataArray, shown: pd.DataFrame, tints: Sequence[Any]
) -> None:
    """Draw the correlation by lag of some electrodes, and mark each peak."""
    arrays = evidence.arrays
    lag = arrays["lag"].values.astype(float)
    pixels = crowded(len(shown))
    at = {
        key: k
        for k, key in enumerate(
            zip(arrays["channel_participant"].values, arrays["channel"].values, strict=True)
        )
    }
    for row, tint in zip(shown.to_dict("records"), tints, strict=True):
        key = (row["participant"], row["electrode"])
        if key not in at:
            continue
        curve = r.sel(model=row["model"]).values[at[key]].astype(float)
        known = np.isfinite(curve)
        left.plot(lag[known], curve[known], color=tint, lw=1.0, alpha=0.9, rasterized=pixels)
        if known.any():
            top = int(np.nanargmax(curve))
            left.plot(lag[top], curve[top], marker="o", ms=3, mew=0, color=tint, rasterized=pixels)


def _peaks(right: Axes, shown: pd.DataFrame, tints: Sequence[Any], *, many: bool) -> None:
    """Draw the peak of each electrode and its interval; names them unless there are many."""
    pixels = crowded(len(shown))
    for y, (row, tint) in enumerate(zip(shown.to_dict("records"), tints, strict=True)):
        low, high = (float(row.get(k, np.nan)) for k in ("peak_lag_low", "peak_lag_high"))
        if np.isfinite(low) and np.isfinite(high):
            right.plot([low, high], [y, y], color=tint, lw=1.2, rasterized=pixels)
        right.plot(row["peak_lag"], y, marker="o", ms=3.6, mew=0, color=tint, rasterized=pixels)
    right.axvline(0, color="#8a949d", lw=0.7, zorder=0)
    right.set_title("Peak and 95 % interval")
    right.set_xlabel("lag (ms)")
    right.set_ylim(len(shown) - 0.4, -0.6)
    if many:
        right.set_yticks([])
        right.set_ylabel(f"{len(shown)} electrodes, by peak")
    else:
        right.set_yticks(
            range(len(shown)),
            [
                f"{r['participant']} {r['electrode']}"
                + (f" · {r['model']}" if shown["model"].nunique() > 1 else "")
                for r in shown.to_dict("records")
            ],
            fontsize=6.4,
        )
        right.tick_params(axis="y", length=0)


def _diverging(values: FloatArray) -> tuple[Any, Any]:
    """Return a norm and a colour map: blue if the activity leads, vermilion if it follows."""
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    known = values[np.isfinite(values)]
    span = max(float(np.max(np.abs(known))) if known.size else 0.0, 0.05)
    cmap = LinearSegmentedColormap.from_list("leads-follows", ["#0072B2", "#7a848d", "#D55E00"])
    return Normalize(-span, span), cmap
