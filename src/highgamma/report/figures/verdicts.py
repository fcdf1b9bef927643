"""Draw the number of electrodes with each verdict, next to the study's score of the same models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma.report.evidence import Evidence
from highgamma.report.figures.canvas import (
    INK,
    MODEL_COLOURS,
    SOFT,
    VERDICT_COLOURS,
    WIDTH,
    Drawn,
    canvas,
    drawn,
    handle,
    legend_below,
    patch,
    short,
)
from highgamma.report.findings import PUBLISHED_RANGE, AnalysisFinding

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = NDArray[np.float64]

LEAST_SHARE = 0.045
"""Least share of a bar for a segment to have room for its count."""


def verdicts(evidence: Evidence, headline: Sequence[AnalysisFinding]) -> Drawn | None:
    """Draw electrodes by verdict, a bar for each fit, next to the study's correlation.

    The right panel shows for the same rows the correlation across channels of every participant,
    the mean predictor's, and the range that the study published.
    """
    rows = [(a, m) for a in headline for m in a.models]
    if not rows:
        return None
    people = evidence.participants
    scores = people[["pcc_across_channels", "pcc_mean_predictor"]].to_numpy(float)
    has_scores = bool(np.isfinite(scores).any())
    at, titles, y = _places(rows)
    height = 1.05 + 0.21 * y
    with canvas(WIDTH, height) as figure:
        panels = figure.subplots(
            1, 2 if has_scores else 1, sharey=True, squeeze=False,
            gridspec_kw={"width_ratios": [1.75, 1.0][: 2 if has_scores else 1]},
        )[0]  # fmt: skip
        bars = panels[0]
        used = _stack(bars, rows, at)
        bars.set_xlim(0, 1)
        bars.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
        bars.set_xlabel("electrodes (%)")
        bars.set_yticks(at, [f"{m.model} (control)" if m.is_control else m.model for _, m in rows])
        for label, (_, model) in zip(bars.get_yticklabels(), rows, strict=True):
            label.set_color(SOFT if model.is_control else INK)
        bars.tick_params(axis="y", length=0)
        bars.set_ylim(y - 0.3, -0.7)
        for place, name in titles:
            bars.annotate(
                name, (0, place), xytext=(3, 0), textcoords="offset points",
                va="center_baseline", fontweight="bold", fontsize=7.8,
            )  # fmt: skip
        bars.set_title("Verdicts")
        handles = [
            patch(name, colour=tint, alpha=1.0)
            for name, tint in VERDICT_COLOURS.items()
            if name in used
        ]
        if has_scores:
            _study_panel(panels[1], evidence, rows, at)
            handles += [
                handle(
                    color=MODEL_COLOURS[0], marker="o", label="model, each participant", size=3.2
                ),
                handle(color=INK, marker="|", label="mean predictor", size=7),
            ]
            if evidence.published is not None:
                low, high = map(short, PUBLISHED_RANGE)
                handles.append(patch(f"published, {low} to {high}"))
        legend_below(figure, handles)
        counts = "; ".join(f"{a.n_supported} of {a.n} in {a.analysis}" for a in headline)
        return drawn(
            figure,
            "verdicts",
            alt=f"Electrodes by verdict for each analysis and model; supported are {counts}."
            + (" Beside it the study’s correlation of the same models." if has_scores else ""),
            caption="Left: electrodes of all participants by verdict, for each analysis and model; "
            "the numbers are electrodes. "
            + (
                "Right: for the same rows the published study’s score, the correlation across "
                "channels, a dot for each participant, with the mean predictor’s (bars), which "
                "ignores its input"
                + (
                    ", and the range that the study reports (band)"
                    if evidence.published is not None
                    else ""
                )
                + ". A high correlation across channels does not depend on a single electrode "
                "being supported."
                if has_scores
                else ""
            ),
        )


def _places(
    rows: Sequence[tuple[AnalysisFinding, Any]],
) -> tuple[list[float], list[tuple[float, str]], float]:
    """Return the heights of the rows, those of the analyses' names, and the end."""
    # A gap separates analyses, with the analysis's name in it.
    at: list[float] = []
    titles: list[tuple[float, str]] = []
    y = 0.0
    for k, (analysis, _) in enumerate(rows):
        if k == 0 or analysis is not rows[k - 1][0]:
            y += 1.0 if k == 0 else 1.35
            titles.append((y - 0.95, analysis.analysis))
        at.append(y)
        y += 1.0
    return at, titles, y


def _stack(
    bars: Axes, rows: Sequence[tuple[AnalysisFinding, Any]], at: Sequence[float]
) -> set[str]:
    """Draw a stacked bar for each row; return the verdicts in them."""
    used: set[str] = set()
    for place, (_, model) in zip(at, rows, strict=True):
        left = 0.0
        for name, count in model.verdicts.items():
            share = count / model.n
            bars.barh(place, share, left=left, height=0.74, color=VERDICT_COLOURS[name], lw=0)
            if share >= LEAST_SHARE:
                light = name in ("not significant", "explained by controls")
                bars.annotate(
                    str(count), (left + share / 2, place), ha="center", va="center_baseline",
                    fontsize=6.4, color=INK if light else "white",
                )  # fmt: skip
            left += share
            used.add(name)
    return used


def _study_panel(
    axes: Axes, evidence: Evidence, rows: Sequence[tuple[AnalysisFinding, object]], at: list[float]
) -> None:
    people = evidence.participants
    low = 1.0
    if evidence.published is not None:
        axes.axvspan(*PUBLISHED_RANGE, color=SOFT, alpha=0.14, lw=0, zorder=0)
    for place, (analysis, model) in zip(at, rows, strict=True):
        fit_rows = people[
            (people["analysis"] == analysis.analysis)
            & (people["model"] == getattr(model, "model", None))
        ]
        scores: FloatArray = fit_rows["pcc_across_channels"].to_numpy(float)
        mean: FloatArray = fit_rows["pcc_mean_predictor"].to_numpy(float)
        axes.plot(
            mean, np.full(len(mean), place), ls="", marker="|", ms=8, mew=0.9, color=INK, zorder=2
        )
        axes.plot(
            scores, np.full(len(scores), place), ls="", marker="o", ms=3, mew=0,
            color=MODEL_COLOURS[0], alpha=0.85, zorder=3,
        )  # fmt: skip
        known = np.concatenate([scores, mean])
        low = min(low, float(np.nanmin(known, initial=1.0)))
    axes.set_xlim(max(-1.0, min(0.75, low - 0.04)), 1.01)
    axes.set_title("The study’s score")
    axes.set_xlabel("r across channels")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
