"""Draw the published study's scores and this run's."""

from __future__ import annotations

import numpy as np

from highgamma.report.figures.canvas import (
    INK,
    MODEL_COLOURS,
    RECREATED,
    SOFT,
    WIDTH,
    Drawn,
    canvas,
    drawn,
    handle,
    legend_below,
    short,
)
from highgamma.report.findings import PublishedComparison


def published_scores(comparison: PublishedComparison) -> Drawn | None:
    """Draw published scores and ours as dumbbells, by participant, with the mean predictor.

    A column for each model, a row for the correlation and one for R².
    """
    people = list(dict.fromkeys(row.participant for row in comparison.rows))
    if not people:
        return None
    scores = (
        ("r across channels", "pcc", "pcc_published", "pcc_mean_predictor"),
        ("R² across channels", "r2", "r2_published", "r2_mean_predictor"),
    )
    n = len(comparison.models)
    place = {person: y for y, person in enumerate(people)}
    with canvas(WIDTH if n > 1 else WIDTH * 0.62, 1.1 + 0.3 * len(people)) as figure:
        grid = figure.subplots(2, n, sharey=True, sharex="row", squeeze=False)
        for k, (label, ours, theirs, mean) in enumerate(scores):
            for axes, model in zip(grid[k], comparison.models, strict=True):
                rows = comparison.of(model)
                for row in rows:
                    y = place[row.participant]
                    a, b = float(getattr(row, ours)), float(getattr(row, theirs))
                    if np.isfinite([a, b]).all():
                        axes.plot([a, b], [y, y], color=SOFT, lw=1.1, zorder=2)
                    axes.plot(getattr(row, mean), y, marker="|", ms=8, mew=1.2, color=INK, zorder=3)
                    if theirs == "pcc_published" and row.within > 0.001:
                        axes.plot([b - row.within, b + row.within], [y, y], color=RECREATED, lw=2.6,
                                  alpha=0.35, solid_capstyle="butt", zorder=1)  # fmt: skip
                    axes.plot(b, y, marker="D", ms=4.2, mfc="white", mew=1.0, color=RECREATED,
                              zorder=4)  # fmt: skip
                    axes.plot(a, y, marker="o", ms=3.4, mew=0, color=MODEL_COLOURS[0], zorder=5)
                if not np.isfinite([getattr(row, theirs) for row in rows]).any():
                    axes.annotate(
                        "not published", (0.04, 0.5), xycoords="axes fraction", fontsize=6.6,
                        color=SOFT, va="center",
                    )  # fmt: skip
                axes.set_title(model if k == 0 else "")
                axes.set_xlabel(label)
                axes.set_yticks(range(len(people)), people)
                axes.set_ylim(len(people) - 0.4, -0.6)
                axes.tick_params(axis="y", length=0)
                axes.grid(axis="x")
        handles = [
            handle(color=MODEL_COLOURS[0], marker="o", label="this run"),
            handle(color=RECREATED, marker="D", label="published", hollow=True),
            handle(color=INK, marker="|", label="mean predictor, this run", size=8),
        ]
        legend_below(figure, handles)
        known = comparison.differences("pcc")
        most = max((abs(v) for v in known), default=np.nan)
        return drawn(
            figure,
            "published",
            alt=f"This run’s scores beside the published ones for {len(people)} participants; the "
            f"correlations differ by at most {short(most, 3)}.",
            caption=f"The analysis {comparison.analysis} beside the published study, for each "
            "participant and model: correlation over channels (above) and R² over channels (below) "
            "within one held-out word, mean over words. The bar is what the training mean reaches "
            "in this run without looking at its input.",
        )
