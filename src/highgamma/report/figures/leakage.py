"""Draw one model under splits that leak and splits that do not, next to position in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma.encoding.splits import SPLITS
from highgamma.report.evidence import Evidence
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
"""Skill further below is drawn at the edge."""


@dataclass(frozen=True, slots=True)
class SplitScores:
    """One model under one split: means over all electrodes with their 95 % intervals.

    Attributes
    ----------
    analysis, split, model
        Names of the analysis, its split and the model.
    leaky
        Whether the split leaks.
    distance_s
        Least time (s) between a training and a held-out sample.
    n_electrodes
        Number of electrodes.
    r, skill
        Mean, low, high.
    """

    analysis: str
    split: str
    leaky: bool
    distance_s: float
    model: str
    n_electrodes: int
    r: tuple[float, float, float]
    skill: tuple[float, float, float]


def demonstrations(evidence: Evidence) -> list[str]:
    """Return the names of the run's analyses with the preset `leakage`."""
    presets = (evidence.settings(analysis).get("part_of") for analysis in evidence.analyses)
    return list(dict.fromkeys(str(name) for name in presets if name))


def leakage_rows(evidence: Evidence, table: pd.DataFrame, name: str) -> list[SplitScores]:
    """Return the scores of each model under each split.

    Parameters
    ----------
    evidence
        The run's evidence.
    table
        Group statistics, `group.tsv`.
    name
        One of `demonstrations`.
    """
    rows = []
    for analysis in evidence.analyses:
        settings = evidence.settings(analysis)
        if settings.get("part_of") != name:
            continue
        group_rows = table[
            (table["analysis"] == analysis)
            & (table["group"] == "all")
            & (table["electrodes"] == "all")
        ]
        people = evidence.participants[evidence.participants["analysis"] == analysis]
        for row in group_rows.to_dict("records"):
            of_model = people.loc[people["model"] == row["model"], "distance_s"]
            rows.append(
                SplitScores(
                    analysis=analysis,
                    split=str(settings.get("split")),
                    leaky=SPLITS[str(settings.get("split"))].leaky,
                    distance_s=float(of_model.min()) if len(of_model) else float("nan"),
                    model=str(row["model"]),
                    n_electrodes=int(row["n_electrodes"]),
                    r=_mean(row, "r"),
                    skill=_mean(row, "skill"),
                )
            )
    return rows


def _mean(row: Mapping[Any, Any], score: str) -> tuple[float, float, float]:
    mean, low, high = (float(row[f"{score}_{k}"]) for k in ("mean", "low", "high"))
    return mean, low, high


def leakage(evidence: Evidence, table: pd.DataFrame, name: str) -> Drawn | None:
    """Draw r and skill of every electrode by split, the models next to position.

    Parameters
    ----------
    evidence
        The run's evidence.
    table
        Group statistics, `group.tsv`.
    name
        One of `demonstrations`.
    """
    rows = leakage_rows(evidence, table, name)
    models = list(dict.fromkeys(row.model for row in rows))
    splits = list(dict.fromkeys(row.split for row in rows))
    position = next((model for model in models if model in evidence.positions), None)
    if position is None:
        return None
    # Position comes last, next to what it is compared with.
    models = [*(m for m in models if m != position), position]
    shown = evidence.electrodes
    shown = shown[shown["analysis"].isin({row.analysis for row in rows})]
    with canvas(WIDTH, 3.1) as figure:
        grid = figure.subplots(1, 2)
        for axes, score in zip(grid, ("r", "skill"), strict=True):
            for row in rows:
                _strip(axes, evidence, row, score, at=_place(row, splits, models), models=models)
            axes.axhline(0, color="#8a949d", lw=0.7, zorder=0)
            axes.set_xticks(range(len(splits)), [_label(split, rows) for split in splits])
            axes.tick_params(axis="x", length=0, labelcolor=INK)
            axes.set_xlim(-0.5, len(splits) - 0.5)
            axes.set_ylabel(f"{score} (held out)")
            axes.grid(axis="y")
        colour, marker = _styles(evidence)
        legend_below(figure, [handle(color=colour[m], marker=marker[m], label=m) for m in models])
        by = {(row.split, row.model): row.r[0] for row in rows}
        position_r = ", ".join(f"{split} {short(by[split, position])}" for split in splits)
        others = "; ".join(
            f"{m}: " + ", ".join(f"{split} {short(by[split, m])}" for split in splits)
            for m in models[:-1]
        )
        return drawn(
            figure,
            f"leakage_{name}",
            alt=f"r and skill of every electrode by split. Mean r of position: {position_r}; "
            f"{others}.",
            caption=f"Analysis {name}: the same samples and models under three splits. Every dot "
            "is an electrode; next to them is the mean with its 95 % interval (Student’s t over "
            "participants). Position knows when a sample was "
            f"recorded and nothing else (mean r: {position_r}). What it reaches where neighbours "
            "are shuffled between training and test, the split gave away, and a model’s score "
            "there is no finding. In brackets the least time between a training and a "
            "held-out sample." + at_the_edge(shown["skill"], BELOW),
        )


def _styles(evidence: Evidence) -> tuple[dict[str, str], dict[str, str]]:
    """Return the colour and marker of each model; position is grey."""
    colour, marker = colours(evidence.models), markers(evidence.models)
    return colour | dict.fromkeys(evidence.positions, SOFT), marker


def _place(row: SplitScores, splits: list[str], models: list[str]) -> float:
    step = 0.88 / len(models)
    return splits.index(row.split) + (models.index(row.model) - (len(models) - 1) / 2) * step


def _label(split: str, rows: list[SplitScores]) -> str:
    """Return the split's name with the least distance of its samples."""
    least = min((r.distance_s for r in rows if r.split == split), default=float("nan"))
    words = split.replace("leave-one-word-out", "leave one\nword out")
    return f"{words}\n({least * 1000:.0f} ms)" if np.isfinite(least) else words


def _strip(
    axes: Axes, evidence: Evidence, row: SplitScores, score: str, *, at: float, models: list[str]
) -> None:
    table = evidence.electrodes
    rows = table[(table["analysis"] == row.analysis) & (table["model"] == row.model)]
    values = rows[score].to_numpy(dtype=float, na_value=np.nan)
    mean, low, high = row.r if score == "r" else row.skill
    label = short(mean)
    if score == "skill":
        values = np.maximum(values, BELOW)
        mean, low, high = (max(v, BELOW) if np.isfinite(v) else v for v in (mean, low, high))
    colour, marker = _styles(evidence)
    width = 0.34 / len(models)
    # Spread in a fixed order; random positions would change the figure each time.
    spread = (np.arange(len(values)) * 0.618034 % 1 - 0.5) * width
    axes.plot(
        at - 0.3 * width + spread, values, ls="", marker="o", ms=1.7, mew=0,
        color=colour[row.model], alpha=0.45,
    )  # fmt: skip
    beside = at + 0.7 * width
    if np.isfinite(low):
        axes.plot([beside, beside], [low, high], color=colour[row.model], lw=1.6)
    axes.plot(
        beside, mean, ls="", marker=marker[row.model], ms=4.4, color=colour[row.model],
        mec="white", mew=0.5, zorder=3,
    )  # fmt: skip
    if np.isfinite(mean):
        axes.annotate(
            label, (beside, mean), xytext=(5, 0), textcoords="offset points",
            va="center", fontsize=6.8, color=colour[row.model],
        )  # fmt: skip
