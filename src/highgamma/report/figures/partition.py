"""Draw how a joint fit's skill divides among its models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from highgamma.report.figures.canvas import (
    INK,
    MODEL_COLOURS,
    SOFT,
    WIDTH,
    Drawn,
    canvas,
    crowded,
    drawn,
    handle,
    legend_below,
    patch,
    short,
)
from highgamma.report.findings import SUPPORTED, Partition

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = NDArray[np.float64]

MOST = 24
"""Number of electrodes with a bar of their own."""

SHARED = "#B9C1C8"


def variance_partition(partition: Partition) -> Drawn | None:
    """Draw unique and shared parts: of the best electrodes as stacked bars, of all as clouds."""
    parts = np.column_stack([partition.unique, partition.shared])  # (electrode, space + 1)
    known = np.isfinite(parts).all(axis=1) & np.isfinite(partition.skill)
    if not known.any():
        return None
    names = [*partition.spaces, "shared"]
    tints = [*(MODEL_COLOURS[k % len(MODEL_COLOURS)] for k in range(len(names) - 1)), SHARED]
    shown = np.flatnonzero(known)[:MOST]
    with canvas(WIDTH, max(2.4, 0.95 + 0.145 * len(shown))) as figure:
        left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.6, 1.0]})
        _divided(left, partition, parts=parts, shown=shown, tints=tints)
        _clouds(right, parts[known], names=names, tints=tints)
        handles = [
            patch("shared" if name == "shared" else f"{name}, unique", colour=tint, alpha=1.0)
            for name, tint in zip(names, tints, strict=True)
        ]
        handles += [handle(color=INK, marker="|", label="joint skill", size=8)]
        if partition.has_ceiling:
            handles += [handle(color=INK, marker="D", label="explainable share", hollow=True)]
        legend_below(figure, handles)
        middles = ", ".join(
            f"{name} {short(middle, 3)}" for name, middle, _, _ in partition.medians()
        )
        return drawn(
            figure,
            f"partition_{partition.analysis}_{partition.model}",
            alt=f"Skill of the joint fit in {partition.analysis}, divided for {len(shown)} "
            f"electrodes; median unique parts: {middles}.",
            caption=f"Analysis {partition.analysis}: what each model explains that the others do "
            "not (unique) and what more than one of them explains (shared), which together make "
            "the joint skill (bar). Left: the electrodes with the highest skill, supported ones "
            "first and in dark type; parts left of 0 are lost rather than won, as where models "
            "help each other. "
            + (
                "Diamonds: the share of the variance that comes again with each repetition. "
                if partition.has_ceiling
                else ""
            )
            + "Right: the parts of every electrode, with their medians.",
        )


def _divided(
    left: Axes,
    partition: Partition,
    *,
    parts: FloatArray,
    shown: NDArray[np.intp],
    tints: Sequence[str],
) -> None:
    """Draw the parts of some electrodes' skill, stacked."""
    left.axvline(0, color="#8a949d", lw=0.7, zorder=3)
    for y, k in enumerate(shown):
        # Positive parts to the right of 0, negative ones to its left, each stacked.
        ends = {True: 0.0, False: 0.0}
        for value, tint in zip(parts[k], tints, strict=True):
            up = bool(value >= 0)
            left.barh(y, value, left=ends[up], height=0.74, color=tint, lw=0)
            ends[up] += value
        left.plot(partition.skill[k], y, marker="|", ms=8, mew=1.3, color=INK, zorder=4)
        if np.isfinite(partition.explainable[k]):
            left.plot(
                partition.explainable[k], y, marker="D", ms=3.4, mfc="white", mew=0.9,
                color=INK, zorder=4,
            )  # fmt: skip
    left.set_yticks(
        range(len(shown)),
        [f"{partition.participant[k]} {partition.electrode[k]}" for k in shown],
        fontsize=6.4,
    )
    for label, k in zip(left.get_yticklabels(), shown, strict=True):
        label.set_color(INK if partition.verdict[k] == SUPPORTED else SOFT)
    left.tick_params(axis="y", length=0)
    left.set_ylim(len(shown) - 0.4, -0.6)
    left.set_xlabel("skill")
    left.set_title("Each electrode’s skill, divided")
    left.grid(axis="x")


def _clouds(right: Axes, cloud: FloatArray, *, names: Sequence[str], tints: Sequence[str]) -> None:
    """Draw each part of all electrodes' skill (electrode, part) with its median."""
    for row, tint in enumerate(tints):
        of_part = cloud[:, row]
        # An even spread by rank, so that the figure is the same each time.
        order = np.argsort(np.argsort(of_part, kind="stable"), kind="stable")
        height = row + 0.52 * ((order * 0.618034) % 1.0 - 0.5)
        right.plot(
            of_part, height, ls="", marker="o", ms=2.6, mew=0, color=tint, alpha=0.6,
            rasterized=crowded(len(of_part)),
        )  # fmt: skip
        middle = float(np.median(of_part))
        right.plot([middle, middle], [row - 0.36, row + 0.36], color=INK, lw=1.6, zorder=4)
    right.axvline(0, color="#8a949d", lw=0.7, zorder=0)
    right.set_yticks(range(len(names)), names)
    right.tick_params(axis="y", length=0)
    right.set_ylim(len(names) - 0.45, -0.55)
    # A few very bad fits must not compress the rest of the figure.
    low, high = np.quantile(cloud, [0.01, 0.99])
    room = 0.08 * max(high - low, 0.02)
    right.set_xlim(min(low, 0) - room, max(float(cloud.max()), high) + room)
    right.set_xlabel("part of the skill")
    right.set_title(f"All {len(cloud)} electrodes")
    right.grid(axis="x")
