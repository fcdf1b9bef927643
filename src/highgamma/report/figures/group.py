"""Draw means over participants and their electrodes, with intervals: by model and by region."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma.report.figures.canvas import (
    INK,
    SOFT,
    WIDTH,
    Drawn,
    at_the_edge,
    canvas,
    colours,
    drawn,
    handle,
    legend_below,
    markers,
    short,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

BELOW = -0.3
"""Lower skill is drawn at the edge, so that a very bad fit does not compress all others."""


def group_models(table: pd.DataFrame, models: Sequence[str]) -> Drawn | None:
    """Draw group means of r and skill for every analysis and model, and trained minus untrained.

    Parameters
    ----------
    table
        Group statistics, `group.tsv`.
    models
        The run's models in their order, which sets their colours.
    """
    everything = table[(table["group"] == "all") & table["skill_mean"].notna()]
    if everything.empty:
        return None
    pairs = table[(table["group"] == "trained-untrained") & table["skill_mean"].notna()]
    analyses = list(dict.fromkeys(everything["analysis"]))
    rows = [
        (analysis, model)
        for analysis in analyses
        for model in dict.fromkeys(everything.loc[everything["analysis"] == analysis, "model"])
    ]
    panels = [("r", "r (held out)", everything), ("skill", "skill (held out)", everything)]
    if not pairs.empty:
        panels.append(("skill", "skill, trained − untrained", pairs))
    places: list[float] = []
    for k, (analysis, _) in enumerate(rows):
        new = k > 0 and rows[k - 1][0] != analysis
        places.append((places[-1] + 1 if places else 0) + 0.9 * new)
    with canvas(WIDTH, 0.85 + 0.19 * (places[-1] + 1)) as figure:
        grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (score, label, part) in zip(grid, panels, strict=True):
            _intervals(axes, part, rows, places, score=score, models=models)
            axes.axvline(0, color="#8a949d", lw=0.7, zorder=0)
            axes.set_xlabel(label)
            axes.grid(axis="x")
            axes.locator_params(axis="x", nbins=5)
        grid[0].set_yticks(places, [model for _, model in rows])
        grid[0].tick_params(axis="y", length=0)
        grid[0].set_ylim(places[-1] + 0.8, -1.3)
        for analysis in analyses:
            first = min(y for y, (a, _) in zip(places, rows, strict=True) if a == analysis)
            grid[0].annotate(
                analysis, (0, first - 0.72), xycoords=("axes fraction", "data"),
                xytext=(2, 0), textcoords="offset points", fontweight="bold", fontsize=7.4,
                va="center",
            )  # fmt: skip
        legend_below(
            figure,
            [
                handle(color=SOFT, marker="o", label="all electrodes"),
                handle(color=SOFT, marker="o", label="without contaminated and flat", hollow=True),
            ],
        )
        most = everything.sort_values("skill_mean", kind="stable").to_dict("records")[-1]
        return drawn(
            figure,
            "group",
            alt=f"Mean r and skill with intervals of {len(rows)} fits over the group; the highest "
            f"mean skill is {short(float(most['skill_mean']))} ({most['model']} in "
            f"{most['analysis']}).",
            caption="Means over participants of the means over their electrodes (r after Fisher’s "
            "z) with 95 % intervals by Student’s t over participants."
            + at_the_edge(everything["skill_low"].fillna(everything["skill_mean"]), BELOW)
            + (
                " Right: the trained model minus its untrained twins at the same electrodes; where "
                "the interval reaches 0, training has not been shown to matter."
                if len(panels) == 3
                else ""
            ),
        )


def _intervals(
    axes: Axes,
    part: pd.DataFrame,
    rows: Sequence[tuple[str, str]],
    places: Sequence[float],
    *,
    score: str,
    models: Sequence[str],
) -> None:
    colour, marker = colours(models), markers(models)
    for which, offset in (("all", -0.17), ("clean", 0.17)):
        row_of_fit = {
            (str(row["analysis"]), str(row["model"])): row
            for row in part[part["electrodes"] == which].to_dict("records")
        }
        for y, key in zip(places, rows, strict=True):
            row = row_of_fit.get(key)
            if row is None:
                continue
            tint = colour.get(key[1], SOFT)
            _interval(
                axes, row, y + offset, score=score, colour=tint, marker=marker.get(key[1], "o"),
                hollow=which == "clean",
            )  # fmt: skip


def _interval(
    axes: Axes,
    row: Mapping[Hashable, Any],
    y: float,
    *,
    score: str,
    colour: str,
    marker: str,
    hollow: bool,
) -> None:
    mean, low, high = (float(row[f"{score}_{k}"]) for k in ("mean", "low", "high"))
    if not np.isfinite(mean):
        return
    if score == "skill":
        mean, low, high = (max(v, BELOW) if np.isfinite(v) else v for v in (mean, low, high))
    if np.isfinite(low):
        axes.plot([low, high], [y, y], color=colour, lw=1.1, alpha=0.9, solid_capstyle="butt")
    axes.plot(
        mean, y, ls="", marker=marker, ms=3.4, color=colour, mew=0.9,
        mfc="white" if hollow else colour,
    )  # fmt: skip


def group_regions(table: pd.DataFrame, analysis: str, models: Sequence[str]) -> Drawn | None:
    """Draw mean r and skill by region and model, without contaminated and flat electrodes.

    Parameters
    ----------
    table
        Group statistics, `group.tsv`.
    analysis
        Name of the analysis.
    models
        The run's models in their order, which sets their colours.
    """
    part = table[
        (table["analysis"] == analysis)
        & (table["group"] == "region")
        & (table["electrodes"] == "clean")
        & table["skill_mean"].notna()
    ]
    if part.empty:
        return None
    order = part.groupby("value")["skill_mean"].max().sort_values(ascending=False)
    regions = list(order.index)
    shown = list(dict.fromkeys(part["model"]))
    colour, marker = colours(models), markers(models)
    pitch = max(0.2, 0.085 * len(shown) + 0.05)
    with canvas(WIDTH, 0.9 + pitch * len(regions)) as figure:
        grid = figure.subplots(1, 2, sharey=True)
        for axes, (score, label) in zip(
            grid, (("r", "r (held out)"), ("skill", "skill (held out)")), strict=True
        ):
            for row in part.to_dict("records"):
                spread = (shown.index(row["model"]) - (len(shown) - 1) / 2) * 0.72 / len(shown)
                _interval(
                    axes, row, regions.index(row["value"]) + spread, score=score,
                    colour=colour.get(row["model"], SOFT),
                    marker=marker.get(row["model"], "o"), hollow=False,
                )  # fmt: skip
            axes.axvline(0, color="#8a949d", lw=0.7, zorder=0)
            axes.set_xlabel(label)
            axes.grid(axis="x")
        counts = part.drop_duplicates("value").set_index("value")
        grid[0].set_yticks(
            range(len(regions)),
            [
                f"{r}  ({counts.loc[r, 'n_electrodes']} in {counts.loc[r, 'n_participants']})"
                for r in regions
            ],
        )
        grid[0].tick_params(axis="y", length=0, labelcolor=INK)
        grid[0].set_ylim(len(regions) - 0.4, -0.6)
        legend_below(
            figure,
            [handle(color=colour.get(m, SOFT), marker=marker.get(m, "o"), label=m) for m in shown],
        )
        return drawn(
            figure,
            f"regions_{analysis}",
            alt=f"Mean r and skill of {len(regions)} regions in the analysis {analysis}; the "
            f"highest skill is in {regions[0]}.",
            caption=f"Analysis {analysis}: means by region with 95 % intervals (Student’s t over "
            "participants); in brackets the number of electrodes and of "
            "participants. Contaminated and flat electrodes are left out, and regions with too few "
            "of either." + at_the_edge(part["skill_low"].fillna(part["skill_mean"]), BELOW),
        )
