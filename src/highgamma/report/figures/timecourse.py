"""Draw measured and predicted activity around the onset of the voice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma import group
from highgamma.report.evidence import Evidence
from highgamma.report.figures.canvas import (
    INK,
    MEASURED,
    RECREATED,
    SOFT,
    WIDTH,
    Drawn,
    canvas,
    colours,
    drawn,
    legend_below,
    line,
    milliseconds,
    short,
)
from highgamma.report.findings import best_electrodes
from highgamma.timecourse import Course, RegionCourse, by_region

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes

FloatArray = NDArray[np.float64]

MOST_MODELS = 3
MOST_REGIONS = 8


def trial_by_trial(
    evidence: Evidence, courses: Sequence[Course], analysis: str, *, n: int = 4
) -> Drawn | None:
    """Draw measured and predicted activity of the best electrodes, one image row for each trial.

    Parameters
    ----------
    evidence
        The run's evidence.
    courses
        The run's time courses (`timecourse.read_courses`). An electrode is shown with its best
        model if that model's file holds its single trials.
    analysis
        Name of the analysis.
    n
        Most electrodes to show.
    """
    by_fit = {(c.participant, c.model): c.values for c in courses if c.analysis == analysis}
    best = best_electrodes(evidence, analysis, n=len(evidence.electrodes))
    shown: list[tuple[dict[str, Any], xr.Dataset]] = []
    for record in best.to_dict("records"):
        row = {str(k): v for k, v in record.items()}
        values = by_fit.get((str(row["participant"]), str(row["model"])))
        if values is None or str(row["electrode"]) not in values["best"].values:
            continue
        if values.sizes["trial"]:
            shown.append((row, values))
    shown = shown[:n]
    if not shown:
        return None
    onset = _onset(shown[0][1])
    with canvas(WIDTH, 0.55 + 1.62 * len(shown)) as figure:
        grid = figure.subplots(
            len(shown), 4, squeeze=False, sharex=True,
            gridspec_kw={"width_ratios": [1.25, 1.25, 1.15, 1.15]},
        )  # fmt: skip
        for (row, values), panels in zip(shown, grid, strict=True):
            _images(figure, panels[:2], values, str(row["electrode"]))
            _means(panels[2], values, str(row["electrode"]))
            _significance(panels[3], values, str(row["electrode"]))
            panels[0].set_title(f"{row['participant']}  {row['electrode']}", pad=12)
            region = row["region"] if isinstance(row["region"], str) else "region not given"
            about = panels[0].annotate(
                f"{region} · {row['model']} · r {short(float(row['r']))}"
                + ("" if row["flags"] == "" else f" · {str(row['flags']).replace(',', ', ')}"),
                (0, 1), xycoords="axes fraction", xytext=(0, 4), textcoords="offset points",
                fontsize=7.0, color=SOFT, parse_math=False, annotation_clip=False,
            )  # fmt: skip
            # The line may extend over the next panels; the layout must not make room for it.
            about.set_in_layout(False)
            panels[0].set_ylabel("trial")
        for axes, title in zip(
            grid[-1], ("measured", "recreated", "mean over trials", "r over trials"), strict=True
        ):
            axes.set_xlabel(f"{title} (ms)")
            milliseconds(axes, n_ticks=4)
        figure.legend(
            handles=[
                line(MEASURED, "measured", width=1.0),
                line(RECREATED, "recreated"),
                line(SOFT, "r above which p is at most .05", style=(0, (3, 2))),
            ],
            loc="outside upper right",
            ncols=3,
        )
        return drawn(
            figure,
            f"trials_{analysis}",
            alt=f"Measured and recreated activity of {len(shown)} electrodes in the analysis "
            f"{analysis}, trial by trial around {onset}.",
            caption=f"Analysis {analysis}: single trials of the electrodes with the highest skill, "
            f"supported ones first, around {onset} (0 ms), sorted by how long the voice lasted "
            "(the line ends each word). Both images have one colour scale, µV from the training "
            "mean; every recreated value was held out. Then the mean over trials, and r over "
            "trials at each moment, without what voice on and off and drift explain: what the "
            "model knows beyond them and the mean.",
        )


def _onset(values: xr.Dataset) -> str:
    return "voice onset" if values.attrs.get("aligned_to") == "voice" else "prompt onset"


def _images(figure: Any, panels: Sequence[Axes], values: xr.Dataset, electrode: str) -> None:
    duration = values["voice_duration"].values.astype(float)
    order = np.argsort(duration, kind="stable")
    pair = [
        values[name].sel(best=electrode).transpose("trial", "time").values.astype(float)[order]
        for name in ("measured_trials", "recreated_trials")
    ]
    span = float(np.nanquantile(np.abs(pair[0]), 0.98)) or 1.0
    time = values["time"].values
    step = float(np.median(np.diff(time)))
    edges = (time[0] - step / 2, time[-1] + step / 2, len(order) - 0.5, -0.5)
    image = None
    for axes, trials in zip(panels, pair, strict=True):
        image = axes.imshow(
            trials, aspect="auto", cmap="RdBu_r", vmin=-span, vmax=span, extent=edges,
            interpolation="antialiased",
        )  # fmt: skip
        axes.axvline(0, color=INK, lw=0.7)
        if values.attrs.get("aligned_to") == "voice" and np.isfinite(duration).all():
            axes.plot(duration[order], np.arange(len(order)), color=INK, lw=0.7)
        axes.set_xlim(edges[0], edges[1])
        axes.locator_params(axis="y", nbins=4)
    panels[1].tick_params(axis="y", labelleft=False)
    bar = figure.colorbar(image, ax=panels[1], shrink=0.85, aspect=14, pad=0.02)
    bar.ax.tick_params(labelsize=6.4)
    bar.locator = bar.ax.yaxis.get_major_locator()
    bar.outline.set_visible(False)


def _means(axes: Axes, values: xr.Dataset, electrode: str) -> None:
    time = values["time"].values
    course = values.sel(channel=electrode)
    axes.plot(time, course["measured"].values, color=MEASURED, lw=1.0)
    axes.plot(time, course["recreated"].values, color=RECREATED, lw=1.3)
    axes.axvline(0, color="#8a949d", lw=0.7, zorder=0)
    axes.axhline(0, color="#8a949d", lw=0.7, zorder=0)
    axes.set_ylabel("µV")
    axes.locator_params(axis="y", nbins=4)


def _significance(axes: Axes, values: xr.Dataset, electrode: str) -> None:
    time = values["time"].values
    course = values.sel(channel=electrode)
    r, band = course["r"].values.astype(float), float(course["band"].values)
    axes.plot(time, r, color=INK, lw=1.1)
    if np.isfinite(band):
        axes.axhline(band, color=SOFT, lw=0.8, ls=(0, (3, 2)))
        axes.fill_between(time, band, r, where=(r > band).tolist(), color=INK, alpha=0.14, lw=0)
    axes.axvline(0, color="#8a949d", lw=0.7, zorder=0)
    axes.axhline(0, color="#8a949d", lw=0.7, zorder=0)
    axes.set_ylim(min(-0.35, float(np.nanmin(r, initial=0.0)) - 0.03), 1.0)
    axes.locator_params(axis="y", nbins=5)


# ------------------------------------------------------------------------------- over the group


def around_onset(evidence: Evidence, courses: Sequence[Course], analysis: str) -> Drawn | None:
    """Draw r over trials at each moment, by region, with its interval.

    Contaminated and flat electrodes are left out. The first panel is of all electrodes; regions
    follow by their number of electrodes, at most `MOST_REGIONS`.

    Parameters
    ----------
    evidence
        The run's evidence.
    courses
        The run's time courses (`timecourse.read_courses`).
    analysis
        Name of the analysis.
    """
    analysis_courses = [c for c in courses if c.analysis == analysis]
    models = _models(evidence, analysis_courses, analysis)
    if not models:
        return None
    settings: Mapping[str, Any] = evidence.config.get("group", {})
    least = {
        k: int(settings[k]) for k in ("min_participants", "min_electrodes") if k in settings
    }  # the report's own defaults are those of the group statistics
    clean = _clean(evidence.electrodes, analysis)
    regions = {
        key: name
        for key, label in clean.items()
        if (name := group.region_name(label, hemispheres=settings.get("hemispheres", "pooled")))
    }
    panels: dict[str, dict[str, RegionCourse]] = {}
    for model in models:
        model_courses = [c for c in analysis_courses if c.model == model]
        together = by_region(model_courses, regions=dict.fromkeys(clean, "all electrodes"), **least)
        for regional in together + by_region(model_courses, regions=regions, **least):
            panels.setdefault(regional.region, {})[model] = regional
    if not panels:
        return None
    size = {
        name: max(c.n_electrodes for c in by_model.values()) for name, by_model in panels.items()
    }
    names = sorted(panels, key=lambda name: (name != "all electrodes", -size[name], name))
    names = names[: MOST_REGIONS + 1]
    tint = colours(evidence.models)
    onset = _onset(analysis_courses[0].values)
    n_columns = min(3, len(names))
    n_rows = -(-len(names) // n_columns)
    with canvas(WIDTH, 0.6 + 1.5 * n_rows) as figure:
        grid = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True)
        for k, axes in enumerate(grid.flat):
            if k >= len(names):
                axes.set_visible(False)
                continue
            for model, course in panels[names[k]].items():
                axes.fill_between(
                    course.time, course.low, course.high, color=tint[model], alpha=0.16, lw=0
                )
                axes.plot(course.time, course.r, color=tint[model], lw=1.2)
            first_course = next(iter(panels[names[k]].values()))
            axes.set_title(names[k], fontsize=7.6, pad=12)
            axes.annotate(
                f"{first_course.n_electrodes} electrodes, "
                f"{first_course.n_participants} participants",
                (0, 1), xycoords="axes fraction", xytext=(0, 4), textcoords="offset points",
                fontsize=6.6, color=SOFT,
            )  # fmt: skip
            axes.axvline(0, color="#8a949d", lw=0.7, zorder=0)
            axes.axhline(0, color="#8a949d", lw=0.7, zorder=0)
            axes.set_xlim(first_course.time[0], first_course.time[-1])
            axes.grid(axis="y")
            if k % n_columns == 0:
                axes.set_ylabel("r over trials")
            if k + n_columns >= len(names):
                axes.set_xlabel(f"ms from {onset}")
                axes.tick_params(axis="x", labelbottom=True)
            milliseconds(axes, n_ticks=5)
        legend_below(figure, [line(tint[m], m) for m in models])
        first = panels[names[0]].get(models[0], first_course)
        peak = int(np.argmax(first.r))
        return drawn(
            figure,
            f"onset_{analysis}",
            alt=f"r over trials around {onset} in {len(names)} panels; over {names[0]} it peaks at "
            f"{first.time[peak] * 1000:.0f} ms with {short(float(first.r[peak]))}.",
            caption=f"Analysis {analysis}: correlation over trials at each moment around {onset}, "
            "mean over participants (Fisher’s z) with pointwise 95 % intervals (Student’s t over "
            "participants). Left of 0 speech is planned, right of it also heard. "
            "All electrodes count, not only supported ones; contaminated and flat ones are left "
            "out, and regions with too few participants or electrodes. Without any relation "
            "cross-validation pulls r a little below 0.",
        )


def _models(evidence: Evidence, courses: Sequence[Course], analysis: str) -> list[str]:
    """Return the models with the highest mean r; controls only if there are no other models."""
    there = {c.model for c in courses}
    mean = {
        m: float(np.nanmean([np.nanmean(c.values["r"]) for c in courses if c.model == m]))
        for m in there
        if any(np.isfinite(c.values["r"]).any() for c in courses if c.model == m)
    }
    names = [m for m in evidence.models if m in mean and m not in evidence.positions]
    names = [m for m in names if m not in evidence.controls(analysis)] or names
    best = sorted(names, key=lambda m: -mean[m])[:MOST_MODELS]
    return [m for m in names if m in best]


def _clean(table: pd.DataFrame, analysis: str) -> dict[tuple[str, str], str]:
    """Return the region of every electrode that is neither contaminated nor flat."""
    rows = table[table["analysis"] == analysis]
    rows = rows[~rows["flags"].str.contains("|".join(group.FOUL))]
    return {
        (str(p), str(e)): label if isinstance(label, str) else ""
        for p, e, label in zip(rows["participant"], rows["electrode"], rows["region"], strict=True)
    }
