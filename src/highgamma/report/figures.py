"""The report's figures: data in, one `Drawn` figure out; the same bytes for the same data.

Colours are Okabe and Ito's, which readers of every colour vision tell apart; every series also
has its own marker or stands in a panel of its own.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma.report.evidence import Audit, Evidence, Trace
from highgamma.report.findings import LAG_TOLERANCE, Recovery, best_electrodes
from highgamma.summary import LEVEL

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]

INK, SOFT, FAINT = "#1c2733", "#5f6b76", "#d5dadf"
MEASURED, RECREATED = INK, "#D55E00"
MODEL_COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6A51A3", "#7F7F7F"),
)
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "h")
WIDTH = 7.4  # inches; the page's column
EXCERPT = 18.0  # s of a frame-wise trace
STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 7.6,
    "text.color": INK,
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "axes.edgecolor": "#8a949d",
    "axes.labelcolor": INK,
    "axes.labelsize": 7.6,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 8.2,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 5.0,
    "axes.axisbelow": True,
    "grid.color": "#e9ecef",
    "grid.linewidth": 0.7,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "legend.frameon": False,
    "legend.fontsize": 7.2,
    "legend.handlelength": 1.6,
    "figure.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "highgamma",
}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure as bytes, with the words that stand for it where it cannot be seen."""

    name: str
    svg: bytes
    png: bytes
    alt: str
    caption: str
    width: float
    """Inches; the page shows all figures at one scale."""


@contextmanager
def _canvas(width: float, height: float) -> Iterator[Figure]:
    """An empty figure in the report's style; nothing global is touched."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A user's own matplotlibrc must not change the report.
    settings: Any = {**mpl.rcParamsDefault, **STYLE, "backend": "agg"}
    with mpl.rc_context(rc=settings):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def _drawn(figure: Figure, name: str, *, alt: str, caption: str) -> Drawn:
    svg, png = io.BytesIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    # The layout is settled; drawing again need not find it again.
    figure.set_layout_engine("none")
    figure.savefig(png, format="png", dpi=160, metadata={"Software": None})
    return Drawn(
        name=name,
        svg=svg.getvalue(),
        png=png.getvalue(),
        alt=alt,
        caption=caption,
        width=float(figure.get_size_inches()[0]),
    )


def short(value: float, digits: int = 2) -> str:
    """A number without its leading zero, as statistics are written: `.62`, `−.05`, `n/a`."""
    if not np.isfinite(value):
        return "n/a"
    text = f"{abs(value):.{digits}f}"
    text = text[1:] if text.startswith("0.") else text
    is_zero = not any(c in "123456789" for c in text)
    return text if value >= 0 or is_zero else f"−{text}"


def probability(value: float) -> str:
    """A p-value or q-value: three digits, or `< .001`."""
    if not np.isfinite(value):
        return "n/a"
    return "< .001" if value < 0.001 else short(value, 3)


def colours(models: Sequence[str]) -> dict[str, str]:
    """A colour for each model, by its place in the run."""
    return {m: MODEL_COLOURS[k % len(MODEL_COLOURS)] for k, m in enumerate(models)}


def _markers(models: Sequence[str]) -> dict[str, str]:
    return {m: MARKERS[k % len(MARKERS)] for k, m in enumerate(models)}


def _milliseconds(axes: Axes, *, n_ticks: int = 7) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(n_ticks, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v * 1000:.0f}".replace("-", "−")))


# ------------------------------------------------------------------------------- across channels


def across_channels(evidence: Evidence) -> Drawn | None:
    """The study's correlation across channels beside the mean predictor's and shuffled words'."""
    people = evidence.participants
    people = people[people["pcc_across_channels"].notna() | people["pcc_mean_predictor"].notna()]
    if people.empty:
        return None
    analyses = list(dict.fromkeys(people["analysis"]))
    participants = list(dict.fromkeys(people["participant"]))
    colour, marker = colours(evidence.models), _markers(evidence.models)
    values = people[["pcc_across_channels", "pcc_mean_predictor", "pcc_shuffled"]].to_numpy(float)
    low = float(np.nanmin(values))
    left = max(-1.0, np.floor((low - 0.02) * 10) / 10) if low > 0 else max(-1.0, low - 0.1)
    n_columns = min(len(analyses), 4)
    n_rows = -(-len(analyses) // n_columns)
    most = people.groupby(["analysis"])["model"].nunique().max()
    pitch = max(0.34, 0.11 * most + 0.1)
    height = 0.95 + n_rows * (0.5 + pitch * len(participants))
    with _canvas(WIDTH, height) as figure:
        grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
        for k, axes in enumerate(grid.flat):
            if k >= len(analyses):
                axes.set_visible(False)
                continue
            rows = people[people["analysis"] == analyses[k]]
            models = list(dict.fromkeys(rows["model"]))
            for y, participant in enumerate(participants):
                own = rows[rows["participant"] == participant]
                mean = own["pcc_mean_predictor"].to_numpy(float)
                if np.isfinite(mean).any():
                    axes.vlines(np.nanmedian(mean), y - 0.42, y + 0.42, color=INK, lw=2.2, zorder=2)
                for row in own.to_dict("records"):
                    offset = (models.index(row["model"]) - (len(models) - 1) / 2) * (
                        0.68 / max(len(models), 1)
                    )
                    style = {"color": colour[row["model"]], "marker": marker[row["model"]]}
                    axes.plot(
                        row["pcc_shuffled"], y + offset, ms=3.6, mfc="white", mew=0.9, ls="",
                        **style,
                    )  # fmt: skip
                    axes.plot(
                        row["pcc_across_channels"], y + offset, ms=3.6, mew=0, ls="", zorder=3,
                        **style,
                    )  # fmt: skip
            axes.set_title(analyses[k])
            axes.set_xlim(left, 1.005)
            axes.set_ylim(len(participants) - 0.4, -0.6)
            axes.set_yticks(range(len(participants)), participants)
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="x")
            if k + n_columns >= len(analyses):
                axes.set_xlabel("r across channels")
                axes.tick_params(axis="x", labelbottom=True)
        handles = [
            _handle(color=colour[m], marker=marker[m], label=m)
            for m in evidence.models
            if m in set(people["model"])
        ]
        handles += [
            _handle(color=SOFT, marker="o", label="embeddings shuffled", hollow=True),
            _handle(color=INK, marker="|", label="mean predictor", size=9),
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=4, columnspacing=1.6)
        mean = people["pcc_mean_predictor"].to_numpy(float)
        middle = float(np.nanmedian(mean)) if np.isfinite(mean).any() else np.nan
        return _drawn(
            figure,
            "across-channels",
            alt="Dot plot of the correlation across channels by participant and analysis. The mean "
            f"predictor’s median is {short(middle)}; the models lie beside it.",
            caption="Pearson correlation over channels between the measured and the predicted "
            "channel vector, mean over held-out samples (dots), the same for embeddings shuffled "
            "among samples (hollow) and for the mean predictor, which ignores its input (bar).",
        )


def _handle(*, color: str, marker: str, label: str, hollow: bool = False, size: float = 4.5) -> Any:
    from matplotlib.lines import Line2D

    face = "white" if hollow else color
    edge = 1.6 if marker == "|" else 0.9
    return Line2D(
        [], [], ls="", color=color, marker=marker, ms=size, mfc=face, mew=edge, label=label
    )


# --------------------------------------------------------------------------------- layer profiles


def layer_profiles(evidence: Evidence, analysis: str) -> Drawn | None:
    """Median r and skill of every layer, with the interquartile band over electrodes."""
    arrays = evidence.arrays.sel(analysis=analysis)
    layers = arrays["layer"].values.astype(float)
    profiles = {
        name: {m: arrays[name].sel(model=m).values for m in evidence.models}
        for name in ("r_layer", "skill_layer")
    }
    n_layers = {
        m: int(np.isfinite(profiles["skill_layer"][m]).any(axis=0).sum()) for m in evidence.models
    }
    deep = [m for m in evidence.models if n_layers[m] > 1]
    single = [m for m in evidence.models if n_layers[m] == 1]
    if not deep:
        return None
    from matplotlib.ticker import MaxNLocator

    table = evidence.electrodes
    table = table[(table["analysis"] == analysis) & (table["flags"] == "")]
    people = arrays["participant"].values.astype(str)
    keys = list(zip(people, arrays["name"].values.astype(str), strict=True))
    colour = colours(evidence.models)
    n_columns = min(len(deep), 4)
    blocks = -(-len(deep) // n_columns)
    with _canvas(WIDTH if n_columns > 1 else WIDTH * 0.62, 0.45 + 3.6 * blocks) as figure:
        grid = figure.subplots(2 * blocks, n_columns, squeeze=False, sharex="col", sharey="row")
        for axes in grid.flat:
            axes.set_visible(False)
        for k, model in enumerate(deep):
            holding = table[table["model"] == model]
            held = set(zip(holding["participant"], holding["electrode"], strict=True))
            of_held = np.array([key in held for key in keys])
            for row, (name, label) in enumerate(
                (("r_layer", "r (held out)"), ("skill_layer", "skill (held out)"))
            ):
                axes = grid[2 * (k // n_columns) + row, k % n_columns]
                axes.set_visible(True)
                values = profiles[name][model]
                _profile(axes, layers, values, people, colour[model])
                if of_held.any():
                    middle = _quantile(values[of_held], 0.5)
                    known = np.isfinite(middle)
                    axes.plot(
                        layers[known], middle[known], color=INK, lw=1.1, ls=(0, (4, 2)), zorder=4
                    )
                for other in single:
                    level = _quantile(profiles[name][other].T.reshape(1, -1).T, 0.5)
                    if np.isfinite(level[0]):
                        axes.axhline(level[0], color=colour[other], lw=0.9, ls=":", zorder=1)
                axes.axhline(0, color="#8a949d", lw=0.7, zorder=0)
                if row == 0:
                    axes.set_title(f"{model} ({of_held.sum()} hold)")
                else:
                    axes.set_xlabel("layer")
                    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
                if k % n_columns == 0:
                    axes.set_ylabel(label)
                axes.grid(axis="y")
        _limit_profiles(grid, profiles, deep)
        handles = [_line(SOFT, "median, all electrodes"), _patch("half of the electrodes")]
        handles += [_line(SOFT, "each participant", width=0.7, alpha=0.6)]
        handles += [_line(INK, "median of those that hold", style=(0, (4, 2)))]
        handles += [_line(colour[m], f"{m} (one layer)", style=":") for m in single]
        figure.legend(handles=handles, loc="outside lower left", ncols=5, columnspacing=1.4)
        best = []
        for model in deep:
            middle = _quantile(profiles["skill_layer"][model], 0.5)
            best.append(f"{model} at layer {layers[np.nanargmax(middle)]:.0f}")
        return _drawn(
            figure,
            f"layers_{analysis}",
            alt=f"Profiles over layers in the analysis {analysis}; the median skill is largest for "
            + ", ".join(best)
            + ".",
            caption=f"Analysis {analysis}: scores by layer. The line is the median over all "
            "electrodes, the band holds their middle half, thin lines are participants. Electrodes "
            "that hold were selected by their score, so their level flatters; their shape is what "
            "to read.",
        )


def _quantile(values: FloatArray, share: float) -> FloatArray:
    """Quantile over electrodes, NaN where no electrode has a value."""
    out = np.full(values.shape[1], np.nan)
    for k, column in enumerate(values.T):
        known = column[np.isfinite(column)]
        if known.size:
            out[k] = np.quantile(known, share)
    return out


def _profile(
    axes: Axes, layers: FloatArray, values: FloatArray, people: NDArray[Any], colour: str
) -> None:
    low, middle, high = (_quantile(values, share) for share in (0.25, 0.5, 0.75))
    known = np.isfinite(middle)
    axes.fill_between(layers[known], low[known], high[known], color=colour, alpha=0.16, lw=0)
    for person in dict.fromkeys(people.tolist()):
        own = _quantile(values[people == person], 0.5)
        axes.plot(layers[known], own[known], color=colour, lw=0.7, alpha=0.5)
    axes.plot(layers[known], middle[known], color=colour, marker="o", ms=2.6, lw=1.5)


def _limit_profiles(grid: Any, profiles: Mapping[str, Any], models: Sequence[str]) -> None:
    """Keep a few very bad fits (skill far below 0) from flattening every profile."""
    for row in range(grid.shape[0]):
        name = "r_layer" if row % 2 == 0 else "skill_layer"
        quarter = np.concatenate([_quantile(profiles[name][m], 0.25) for m in models])
        if np.isfinite(quarter).any() and np.nanmin(quarter) < -0.6:
            grid[row, 0].set_ylim(bottom=-0.6)


def _line(
    colour: str, label: str, *, style: Any = "-", width: float = 1.3, alpha: float = 1.0
) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, ls=style, lw=width, alpha=alpha, label=label)


def _patch(label: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(facecolor=SOFT, alpha=0.22, lw=0, label=label)


# -------------------------------------------------------------------------------- best electrodes


def best_traces(
    analysis: str,
    rows: pd.DataFrame,
    traces: Sequence[Trace | None],
    words: Mapping[str, pd.DataFrame],
) -> Drawn | None:
    """Measured and recreated activity of the best electrodes: an excerpt, and all samples."""
    shown = [
        (row, trace)
        for row, trace in zip(rows.to_dict("records"), traces, strict=True)
        if trace is not None and np.isfinite(trace.predicted).any()
    ]
    if not shown:
        return None
    with _canvas(WIDTH, 0.45 + 1.5 * len(shown)) as figure:
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
                f"skill {short(row['skill'])} · q {probability(row['q'])}"
                + ("" if row["flags"] == "" else f" · {row['flags'].replace(',', ', ')}"),
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
            handles=[_line(MEASURED, "measured", width=1.0), _line(RECREATED, "recreated")],
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
        return _drawn(
            figure,
            f"best_{analysis}",
            alt=f"Measured and recreated activity of {len(shown)} electrodes in the analysis "
            f"{analysis}; the first, {first['participant']} {first['electrode']}, has r "
            f"{short(first['r'])} and skill {short(first['skill'])}.",
            caption=f"Analysis {analysis}: the electrodes with the highest skill, those that hold "
            f"first. Every recreated value was held out of its fit. {excerpt} Right: measured "
            "against recreated, all held-out samples; on the line both are equal.",
        )


def _excerpt(trace: Trace) -> slice:
    """The middle of the longest segment; words are all shown."""
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


# ------------------------------------------------------------------------------------------- lags


def lag_curves(evidence: Evidence, analysis: str) -> Drawn | None:
    """Correlation by lag for the electrodes that hold, and where each of them peaks."""
    arrays = evidence.arrays
    if not arrays.sizes.get("lag"):
        return None
    of_analysis = arrays["lag_r"].sel(analysis=analysis)
    if not np.isfinite(of_analysis.values).any():
        return None
    table = evidence.electrodes[evidence.electrodes["analysis"] == analysis]
    table = table[table["peak_lag"].notna()] if "peak_lag" in table else table.iloc[:0]
    holding = table[(table["q"] < LEVEL) & ~table["flags"].str.contains("flat|contaminated")]
    if holding.empty:
        why = "none is significant" if table["q"].notna().any() else "none was tested"
        shown, said = best_electrodes(evidence, analysis, n=6), f"{why}; the best six"
    else:
        shown, said = holding, "significant, not flagged as contaminated"
    shown = shown.sort_values(["peak_lag", "participant", "electrode"], kind="stable")
    if shown.empty:
        return None
    crowded = len(shown) > 40
    lag = arrays["lag"].values.astype(float)
    at = {
        key: k
        for k, key in enumerate(
            zip(arrays["participant"].values, arrays["name"].values, strict=True)
        )
    }
    height = 3.0 if crowded else max(2.4, 0.95 + 0.15 * len(shown))
    with _canvas(WIDTH, height) as figure:
        left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.25, 1.0]})
        norm_of, cmap = _diverging(shown["peak_lag"].to_numpy(float))
        for row in shown.to_dict("records"):
            key = (row["participant"], row["electrode"])
            if key not in at:
                continue
            curve = of_analysis.sel(model=row["model"]).values[at[key]].astype(float)
            known = np.isfinite(curve)
            tint = cmap(norm_of(row["peak_lag"]))
            left.plot(lag[known], curve[known], color=tint, lw=1.0, alpha=0.9)
            if known.any():
                top = int(np.nanargmax(curve))
                left.plot(lag[top], curve[top], marker="o", ms=3, mew=0, color=tint)
        left.axvline(0, color="#8a949d", lw=0.7, zorder=0)
        left.set_ylabel("r (held out)")
        left.set_xlabel("lag (ms)")
        left.set_title("Correlation by lag")
        left.grid(axis="y")
        for y, row in enumerate(shown.to_dict("records")):
            tint = cmap(norm_of(row["peak_lag"]))
            low, high = (float(row.get(k, np.nan)) for k in ("peak_lag_low", "peak_lag_high"))
            if np.isfinite(low) and np.isfinite(high):
                right.plot([low, high], [y, y], color=tint, lw=1.2)
            right.plot(row["peak_lag"], y, marker="o", ms=3.6, mew=0, color=tint)
        right.axvline(0, color="#8a949d", lw=0.7, zorder=0)
        right.set_title("Peak and 95 % interval")
        right.set_xlabel("lag (ms)")
        right.set_ylim(len(shown) - 0.4, -0.6)
        if crowded:
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
        for axes in (left, right):
            axes.set_xlim(lag.min(), lag.max())
            _milliseconds(axes)
        middle = shown["peak_lag"].median() * 1000
        return _drawn(
            figure,
            f"lags_{analysis}",
            alt=f"Correlation by lag of {len(shown)} electrodes in the analysis {analysis}; the "
            f"median peak is at {middle:.0f} ms.",
            caption=f"Analysis {analysis}: electrodes ({said}), each with its own fit at every "
            "lag. Right of 0 the activity follows the sound (hearing), left of it the activity "
            "leads (movement, planning). Intervals: bootstrap over folds.",
        )


def _decade(value: float) -> str:
    """A power of ten as `1`, `.1`, `.01`: powers in mathematical type would need parsing."""
    return "1" if value >= 1 else f"{value:.{max(0, round(-np.log10(value)))}f}"[1:]


def _diverging(values: FloatArray) -> tuple[Any, Any]:
    """Blue where the activity leads, vermilion where it follows, grey between."""
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    known = values[np.isfinite(values)]
    span = max(float(np.max(np.abs(known))) if known.size else 0.0, 0.05)
    cmap = LinearSegmentedColormap.from_list("leads-follows", ["#0072B2", "#7a848d", "#D55E00"])
    return Normalize(-span, span), cmap


def response_weights(
    analysis: str, rows: pd.DataFrame, traces: Sequence[Trace | None]
) -> Drawn | None:
    """Temporal response weights of the best electrodes: by delay, or by delay and feature."""
    shown = [
        (row, trace)
        for row, trace in zip(rows.to_dict("records"), traces, strict=True)
        if trace is not None and trace.weights.size and np.isfinite(trace.weights).any()
    ]
    if not shown:
        return None
    with _canvas(WIDTH if len(shown) > 1 else 3.2, 2.25) as figure:
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
                # A common factor above the axis would stand where the title is.
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
                _milliseconds(axes, n_ticks=4)
        return _drawn(
            figure,
            f"weights_{analysis}",
            alt=f"Temporal response weights of {len(shown)} electrodes in the analysis {analysis}.",
            caption=f"Analysis {analysis}: weights of the fitted response by delay, mean over "
            "folds, each panel on its own scale (red up, blue down). Weights of correlated "
            "features share what they explain; they are no independent effects.",
        )


# ---------------------------------------------------------------------------------- contamination


def contamination(audits: Mapping[str, Audit]) -> Drawn | None:
    """The audit's p of every electrode, and the correlation matrix of each worst electrode."""
    if not audits:
        return None
    from matplotlib.ticker import FuncFormatter

    from highgamma.summary import false_discovery_q

    people = list(audits)
    with_matrix = [p for p in people if audits[p].matrix.size][:4]
    rows = -(-len(people) // 5) if not with_matrix else 1
    height = (0.6 + 1.9 * rows) + (2.35 if with_matrix else 0.0)
    with _canvas(WIDTH, height) as figure:
        heights = [1.9, 2.35] if with_matrix else [1.0]
        parts: Any = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)
        above, below = parts[0, 0], parts[1, 0] if with_matrix else None
        axes = above.subplots()
        start = 0
        ticks = []
        floor = 1.0
        for person in people:
            audit = audits[person]
            order = np.argsort(np.nan_to_num(audit.p, nan=2.0), kind="stable")
            p = audit.p[order]
            q = false_discovery_q(audit.p)[order]
            x = start + np.arange(len(p))
            foul = q < LEVEL
            axes.plot(x[~foul], p[~foul], ls="", marker="o", ms=2.8, mew=0, color=SOFT, alpha=0.7)
            axes.plot(x[foul], p[foul], ls="", marker="D", ms=3.4, mew=0, color=RECREATED)
            expected = (np.arange(len(p)) + 0.5) / max(len(p), 1)
            axes.plot(x, expected, color=INK, lw=0.7, ls=(0, (3, 2)))
            ticks.append(start + (len(p) - 1) / 2)
            start += len(p) + max(2, len(p) // 8)
            floor = min(floor, float(np.nanmin(p)) if np.isfinite(p).any() else 1.0)
        axes.set_yscale("log")
        axes.set_ylim(floor * 0.6, 1.5)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: _decade(v)))
        axes.set_xticks(ticks, people)
        axes.tick_params(axis="x", length=0)
        axes.tick_params(axis="y", which="minor", left=False)
        axes.set_ylabel("p of the audit")
        axes.set_xlabel("electrodes of each participant, by p")
        axes.grid(axis="y")
        axes.legend(
            handles=[
                _handle(color=RECREATED, marker="D", label=f"contaminated (q < {short(LEVEL)})"),
                _handle(color=SOFT, marker="o", label="not"),
                _line(INK, "expected without contamination", style=(0, (3, 2)), width=0.8),
            ],
            loc="lower right",
            ncols=3,
            bbox_to_anchor=(1.0, 1.0),
        )
        if below is not None:
            grid = below.subplots(1, len(with_matrix), squeeze=False)[0]
            span = max(float(np.nanmax(np.abs(audits[p].matrix), initial=0.0)) for p in with_matrix)
            image = None
            for person, panel in zip(with_matrix, grid, strict=True):
                audit = audits[person]
                across, up = audit.frequency, audit.frequency_audio
                image = panel.imshow(
                    audit.matrix, origin="lower", aspect="auto", cmap="RdBu_r",
                    vmin=-(span or 1.0), vmax=span or 1.0, interpolation="nearest",
                    extent=(across[0], across[-1], up[0], up[-1]),
                )  # fmt: skip
                ends = [max(across[0], up[0]), min(across[-1], up[-1])]
                panel.plot(ends, ends, color=INK, lw=0.6, ls=(0, (4, 4)))
                panel.set_title(f"{person} {audit.worst}")
                panel.set_xlabel("electrode (Hz)")
                panel.locator_params(nbins=5)
            grid[0].set_ylabel("sound (Hz)")
            if image is not None:
                bar = below.colorbar(image, ax=list(grid), shrink=0.8, aspect=18, pad=0.01)
                bar.set_label("locking")
                bar.outline.set_visible(False)
        foul_total = sum(int((false_discovery_q(a.p) < LEVEL).sum()) for a in audits.values())
        return _drawn(
            figure,
            "contamination",
            alt=f"p-value of the contamination audit for every electrode; {foul_total} are flagged."
            + (" Below, correlation matrices of the worst electrodes." if with_matrix else ""),
            caption="Whether the microphone is in the electrode. Above: p of every electrode, "
            "sorted; without contamination the dots follow the dashed line. "
            + (
                "Below: how far an electrode’s phase at one frequency advances with the sound’s "
                "at another, for the electrode with the strongest evidence of each participant. "
                "Speech in the brain has no reason to prefer the diagonal; a shaken cable does."
                if with_matrix
                else ""
            ),
        )


# -------------------------------------------------------------------------------------------- map


def electrode_map(evidence: Evidence, analysis: str) -> Drawn | None:
    """Electrodes in three projections, coloured by r; hollow where they do not hold."""
    table = evidence.electrodes[evidence.electrodes["analysis"] == analysis]
    own = table[~table["model"].isin(evidence.controls(analysis))]
    table = table if own.empty else own
    table = table[table[["x", "y", "z"]].notna().all(axis=1)]
    if table.empty:
        return None
    table = table.assign(holds=table["flags"] == "", known=table["r"].fillna(-2.0))
    best = table.sort_values(["holds", "known"], ascending=False, kind="stable").drop_duplicates(
        ["participant", "electrode"]
    )
    best = best.iloc[::-1]
    place = best[["x", "y", "z"]].to_numpy(float)
    r = best["r"].to_numpy(dtype=float, na_value=np.nan)
    holds = best["holds"].to_numpy(bool)
    top = max(float(np.nanmax(r, initial=0.0)) if np.isfinite(r).any() else 0.0, 0.1)
    # One scale for all views, so that a millimetre is a millimetre in each.
    middle = (place.min(axis=0) + place.max(axis=0)) / 2
    reach = max(float(np.ptp(place, axis=0).max()) / 2 * 1.08, 5.0)
    views = (
        ("From above", 0, 1, "left – right (mm)", "back – front (mm)"),
        ("From the front", 0, 2, "left – right (mm)", "down – up (mm)"),
        ("From the side", 1, 2, "back – front (mm)", "down – up (mm)"),
    )
    with _canvas(WIDTH, 2.7) as figure:
        grid = figure.subplots(1, 3)
        image = None
        for axes, (title, a, b, across, up) in zip(grid, views, strict=True):
            axes.axhline(0, color="#e3e7ea", lw=0.7, zorder=0)
            axes.axvline(0, color="#e3e7ea", lw=0.7, zorder=0)
            axes.scatter(
                place[~holds, a], place[~holds, b], s=12, facecolors="none", edgecolors="#9aa4ad",
                linewidths=0.6,
            )  # fmt: skip
            image = axes.scatter(
                place[holds, a], place[holds, b], c=np.clip(r[holds], 0, top), s=26,
                cmap="plasma_r", vmin=0, vmax=top, edgecolors=INK, linewidths=0.4,
            )  # fmt: skip
            for set_limits, k in ((axes.set_xlim, a), (axes.set_ylim, b)):
                set_limits(middle[k] - reach, middle[k] + reach)
            axes.set_aspect("equal")
            axes.set_title(title)
            axes.set_xlabel(across)
            axes.set_ylabel(up)
            axes.locator_params(nbins=5)
        if image is not None and holds.any():
            bar = figure.colorbar(image, ax=list(grid), shrink=0.7, aspect=20, pad=0.01)
            bar.set_label("r (held out)")
            bar.outline.set_visible(False)
        return _drawn(
            figure,
            f"map_{analysis}",
            alt=f"Map of {len(best)} electrodes in three projections; {int(holds.sum())} hold in "
            f"the analysis {analysis}.",
            caption=f"Analysis {analysis}: {len(best)} electrodes of all participants in the "
            "coordinates of the data set, each with its best model that is no control. Filled and "
            "coloured by r where it holds, hollow where it does not.",
        )


# ------------------------------------------------------------------------------------------ truth


def planted_truth(recovery: Recovery) -> Drawn | None:
    """Planted against recovered lags, and the skill by layer on electrodes planted from one."""
    if not recovery.lags and not recovery.layers:
        return None
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    n_panels = bool(recovery.lags) + bool(recovery.layers)
    with _canvas(WIDTH if n_panels == 2 else WIDTH * 0.55, 2.7) as figure:
        panels = list(figure.subplots(1, n_panels, squeeze=False)[0])
        said = []
        if recovery.lags:
            axes = panels.pop(0)
            analyses = list(dict.fromkeys((f.analysis, f.model) for f in recovery.lags))
            everything = np.concatenate([np.append(f.recovered, f.planted) for f in recovery.lags])
            ends = np.array([everything.min() - 0.04, everything.max() + 0.04])
            axes.fill_between(
                ends, ends - LAG_TOLERANCE, ends + LAG_TOLERANCE, color="#e9f3ee", lw=0
            )
            axes.plot(ends, ends, color="#8a949d", lw=0.7)
            for f in recovery.lags:
                k = analyses.index((f.analysis, f.model))
                spread = (np.arange(len(f.recovered)) - (len(f.recovered) - 1) / 2) * 0.0022
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
            _milliseconds(axes)
            axes.yaxis.set_major_formatter(
                FuncFormatter(lambda v, _: f"{v * 1000:.0f}".replace("-", "−"))
            )
            axes.set_xlim(*ends)
            axes.set_ylim(*ends)
            axes.legend(
                handles=[
                    _handle(color=MODEL_COLOURS[k % 8], marker=MARKERS[k % 8], label=f"{a}, {m}")
                    for k, (a, m) in enumerate(analyses)
                ],
                loc="upper left",
            )
            said.append(f"lags: {sum(f.ok for f in recovery.lags)} of {len(recovery.lags)} groups "
                        f"within {LAG_TOLERANCE * 1000:.0f} ms")  # fmt: skip
        if recovery.layers:
            axes = panels.pop(0)
            for k, g in enumerate(recovery.layers):
                tint = MODEL_COLOURS[k % 8]
                axes.axvline(g.planted, color=tint, lw=5, alpha=0.15, zorder=0)
                axes.plot(
                    g.layers, g.skill, color=tint, marker=MARKERS[k % 8], ms=3,
                    label=f"{g.analysis}, {g.model} ({g.n} electrodes)",
                )  # fmt: skip
                axes.plot(
                    g.recovered, np.nanmax(g.skill), marker="o", ms=8, mfc="none", mec=INK, mew=0.9
                )
            axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
            axes.set_title("Layer")
            axes.set_xlabel("layer")
            axes.set_ylabel("mean skill")
            axes.grid(axis="y")
            axes.legend(loc="lower left")
            said.append(
                ", ".join(
                    f"layer {g.planted} planted, {g.recovered} found" for g in recovery.layers
                )
            )
        return _drawn(
            figure,
            "truth",
            alt="Planted against recovered: " + "; ".join(said) + ".",
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
