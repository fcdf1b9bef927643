"""Draw measured and predicted activity of the best electrodes, and the weights of the fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from highgamma.report.evidence import Trace
from highgamma.report.figures.canvas import (
    MEASURED,
    MODEL_COLOURS,
    RECREATED,
    SOFT,
    WIDTH,
    Drawn,
    canvas,
    drawn,
    line,
    milliseconds,
    probability,
    short,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

EXCERPT = 18.0  # s of a frame-wise trace


def best_traces(
    analysis: str,
    rows: pd.DataFrame,
    traces: Sequence[Trace | None],
    words: Mapping[str, pd.DataFrame],
) -> Drawn | None:
    """Draw measured and predicted activity of the best electrodes: an excerpt, and all samples.

    Parameters
    ----------
    analysis
        Name of the analysis.
    rows
        Rows of the best electrodes (`findings.best_electrodes`).
    traces
        The trace of each row, None if the fit kept none.
    words
        Table of words by participant.
    """
    shown = [
        (row, trace)
        for row, trace in zip(rows.to_dict("records"), traces, strict=True)
        if trace is not None and np.isfinite(trace.predicted).any()
    ]
    if not shown:
        return None
    with canvas(WIDTH, 0.45 + 1.5 * len(shown)) as figure:
        grid = figure.subplots(
            len(shown), 2, squeeze=False, gridspec_kw={"width_ratios": [4.6, 1.0]}
        )
        for (row, trace), (wide, square) in zip(shown, grid, strict=True):
            part = _excerpt(trace)
            _trace(wide, trace, part, words.get(str(row["participant"])))
            region = row["region"] if isinstance(row["region"], str) else "region not given"
            wide.set_title(f"{row['participant']}  {row['electrode']}", pad=12)
            wide.annotate(
                f"{region} · {row['model']}, layer {int(row['layer'])} · r {short(row['r'])} · "
                f"skill {short(row['skill'])} · q {probability(row['q'])} · {row['verdict']}",
                (0, 1),
                xycoords="axes fraction",
                xytext=(0, 4),
                textcoords="offset points",
                fontsize=7.0,
                color=SOFT,
                parse_math=False,
            )
            wide.set_ylabel("µV")
            _scatter(square, trace)
        last = shown[-1][1]
        grid[-1, 0].set_xlabel("time in the recording (s)" if last.unit == "frame" else "word")
        grid[-1, 1].set_xlabel("recreated (µV)")
        figure.legend(
            handles=[line(MEASURED, "measured", width=1.0), line(RECREATED, "recreated")],
            loc="outside upper right",
            ncols=2,
        )
        first = shown[0][0]
        frame = shown[0][1].unit == "frame"
        excerpt = (
            f"The excerpt is the middle {EXCERPT:.0f} s of the longest recording, not the best."
            if frame
            else "Every held-out word is shown, in the order of the recording."
        )
        return drawn(
            figure,
            f"best_{analysis}",
            alt=f"Measured and recreated activity of {len(shown)} electrodes in the analysis "
            f"{analysis}; the first, {first['participant']} {first['electrode']}, has r "
            f"{short(first['r'])} and skill {short(first['skill'])}.",
            caption=f"Analysis {analysis}: the electrodes with the highest skill, supported ones "
            f"first. Every recreated value was held out of its fit. {excerpt} Right: measured "
            "against recreated, all held-out samples; on the line both are equal.",
        )


def _excerpt(trace: Trace) -> slice:
    """Return the middle of the longest segment; of words, all samples."""
    if trace.unit != "frame":
        return slice(0, len(trace.position))
    segments, counts = np.unique(trace.segment, return_counts=True)
    inside = np.flatnonzero(trace.segment == segments[np.argmax(counts)])
    time = trace.position[inside]
    middle = (time[0] + time[-1]) / 2
    kept = inside[np.abs(time - middle) <= EXCERPT / 2]
    return slice(int(kept[0]), int(kept[-1]) + 1) if kept.size else slice(0, len(trace.position))


def _trace(axes: Axes, trace: Trace, part: slice, words: pd.DataFrame | None) -> None:
    x = trace.position[part].copy()
    measured, recreated = trace.observed[part].copy(), trace.predicted[part].copy()
    if trace.unit == "frame":
        step = float(np.median(np.diff(x))) if x.size > 1 else 1.0
        # A gap in time is a gap in the line.
        cut = np.flatnonzero(np.diff(x) > 1.5 * step) + 1
        x, measured, recreated = (np.insert(v, cut, np.nan) for v in (x, measured, recreated))
        axes.plot(x, measured, color=MEASURED, lw=0.7, alpha=0.85)
        axes.plot(x, recreated, color=RECREATED, lw=1.3)
        if words is not None and {"onset", "offset", "word"} <= set(words.columns):
            _word_spans(axes, words, segment=int(trace.segment[part][0]))
    else:
        axes.plot(x, measured, color=MEASURED, lw=0.7, marker="o", ms=2.2, mew=0)
        axes.plot(x, recreated, color=RECREATED, lw=1.1, marker="o", ms=2.2, mew=0)
    if np.isfinite(x).any():
        room = 0.0 if trace.unit == "frame" else 0.6
        axes.set_xlim(np.nanmin(x) - room, np.nanmax(x) + room)


def _word_spans(axes: Axes, words: pd.DataFrame, *, segment: int) -> None:
    left, right = axes.get_xlim()
    inside = words
    if "segment" in words:
        inside = words[words["segment"] == segment]
    voice = {"voice_onset", "voice_offset"} <= set(words.columns)
    for row in inside.to_dict("records"):
        start, stop = float(row["onset"]), float(row["offset"])
        if voice and np.isfinite(float(row["voice_onset"])):
            start, stop = float(row["voice_onset"]), float(row["voice_offset"])
        if stop < left or start > right:
            continue
        axes.axvspan(start, stop, color="#eef2f5", lw=0, zorder=0)
        axes.annotate(
            str(row["word"]),
            ((start + stop) / 2, 0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=5.8,
            color=SOFT,
            annotation_clip=True,
            parse_math=False,
        )


def _scatter(axes: Axes, trace: Trace) -> None:
    known = np.flatnonzero(np.isfinite(trace.observed) & np.isfinite(trace.predicted))
    # A regular stride keeps the file small and the cloud's shape.
    known = known[:: max(1, len(known) // 500)]
    x, y = trace.predicted[known], trace.observed[known]
    axes.plot(x, y, ls="", marker="o", ms=1.9, mew=0, color=MEASURED, alpha=0.35)
    if known.size:
        ends = [max(x.min(), y.min()), min(x.max(), y.max())]
        if ends[0] < ends[1]:
            axes.plot(ends, ends, color=RECREATED, lw=1.0)
    axes.set_ylabel("measured")
    axes.locator_params(nbins=4)


def response_weights(
    analysis: str, rows: pd.DataFrame, traces: Sequence[Trace | None]
) -> Drawn | None:
    """Draw temporal response weights of the best electrodes: by delay, or by delay and feature.

    Parameters
    ----------
    analysis
        Name of the analysis.
    rows
        Rows of the best electrodes (`findings.best_electrodes`).
    traces
        The trace of each row, None if the fit kept none.
    """
    shown = [
        (row, trace)
        for row, trace in zip(rows.to_dict("records"), traces, strict=True)
        if trace is not None and trace.weights.size and np.isfinite(trace.weights).any()
    ]
    if not shown:
        return None
    with canvas(WIDTH if len(shown) > 1 else 3.2, 2.25) as figure:
        grid = figure.subplots(1, len(shown), squeeze=False)[0]
        for (row, trace), axes in zip(shown, grid, strict=True):
            features = trace.weights.shape[1]
            if features > 3 and len(trace.delay) > 1:
                span = float(np.nanmax(np.abs(trace.weights))) or 1.0
                step = float(np.median(np.diff(trace.delay)))
                axes.imshow(
                    trace.weights.T,
                    origin="lower",
                    aspect="auto",
                    cmap="RdBu_r",
                    vmin=-span,
                    vmax=span,
                    extent=(
                        trace.delay[0] - step / 2, trace.delay[-1] + step / 2, -0.5, features - 0.5
                    ),
                    interpolation="nearest",
                )  # fmt: skip
                axes.set_ylabel("feature" if axes is grid[0] else "")
            elif len(trace.delay) > 1:
                for k in range(features):
                    axes.plot(trace.delay, trace.weights[:, k], color=MODEL_COLOURS[k])
                axes.axhline(0, color="#8a949d", lw=0.7, zorder=0)
                axes.set_ylabel("weight" if axes is grid[0] else "")
                # A common factor above the axis would overlap with the title.
                axes.yaxis.set_major_formatter("{x:.2g}")
            else:
                axes.bar(np.arange(features), trace.weights[0], color=MODEL_COLOURS[0])
                axes.set_xlabel("feature")
            axes.set_title(str(row["electrode"]), pad=12)
            axes.annotate(
                f"{row['participant']}, {row['model']}, layer {int(row['layer'])}",
                (0, 1), xycoords="axes fraction",
                xytext=(0, 4), textcoords="offset points", fontsize=6.8, color=SOFT,
                parse_math=False,
            )  # fmt: skip
            if len(trace.delay) > 1:
                axes.axvline(0, color="#8a949d", lw=0.7)
                axes.set_xlabel("delay (ms)")
                milliseconds(axes, n_ticks=4)
        return drawn(
            figure,
            f"weights_{analysis}",
            alt=f"Temporal response weights of {len(shown)} electrodes in the analysis {analysis}.",
            caption=f"Analysis {analysis}: weights of the fitted response by delay, mean over "
            "folds, each panel on its own scale (red up, blue down). Weights of correlated "
            "features share what they explain; they are no independent effects.",
        )
