"""Draw the audit of sound in the electrodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma.report.evidence import Audit
from highgamma.report.figures.canvas import (
    INK,
    RECREATED,
    SOFT,
    WIDTH,
    Drawn,
    canvas,
    crowded,
    decade,
    drawn,
    handle,
    line,
    short,
)
from highgamma.scores import LEVEL, false_discovery_q

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

COLUMNS = 5
MATRICES = 10
"""Most matrices of one figure."""


def contamination(audits: Mapping[str, Audit]) -> Drawn | None:
    """Draw the audit's p of every electrode, and the matrix of each participant's worst one."""
    if not audits:
        return None
    from matplotlib.ticker import FuncFormatter

    people = list(audits)
    with_matrix = _most_evident(audits)
    n_columns = min(len(with_matrix), COLUMNS)
    n_rows = -(-len(with_matrix) // COLUMNS)
    heights = [2.5, *([2.35 if n_columns < 4 else 1.75] * n_rows)]
    with canvas(WIDTH, sum(heights)) as figure:
        shares = [heights[0], sum(heights[1:])] if with_matrix else [1.0]
        parts: Any = figure.subfigures(len(shares), 1, squeeze=False, height_ratios=shares)
        above, below = parts[0, 0], parts[1, 0] if with_matrix else None
        axes = above.subplots()
        floor, ticks = _p_values(axes, audits)
        axes.set_yscale("log")
        axes.set_ylim(floor * 0.6, 1.5)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: decade(v)))
        axes.set_xticks(ticks, people)
        axes.tick_params(axis="x", length=0)
        axes.tick_params(axis="y", which="minor", left=False)
        axes.set_ylabel("p of the audit")
        axes.set_xlabel("electrodes of each participant, by p")
        axes.grid(axis="y")
        axes.legend(
            handles=[
                handle(color=RECREATED, marker="D", label=f"contaminated (q < {short(LEVEL)})"),
                handle(color=SOFT, marker="o", label="not"),
                line(INK, "expected without contamination", style=(0, (3, 2)), width=0.8),
            ],
            loc="lower right",
            ncols=3,
            bbox_to_anchor=(1.0, 1.0),
        )
        if below is not None:
            _matrices(below, [(name, audits[name]) for name in with_matrix], n_rows, n_columns)
        foul_total = sum(int((false_discovery_q(a.p) < LEVEL).sum()) for a in audits.values())
        return drawn(
            figure,
            "contamination",
            alt=f"p-value of the contamination audit for every electrode; {foul_total} are flagged."
            + (" Below, phase locking of the worst electrodes." if with_matrix else ""),
            caption="Whether the microphone is in the electrode. Above: p of every electrode, "
            "sorted; without contamination the dots follow the dashed line. " + _below(audits),
        )


def _p_values(axes: Axes, audits: Mapping[str, Audit]) -> tuple[float, list[float]]:
    """Draw p of every electrode; return the least p and the middle x of each participant."""
    pixels = crowded(sum(len(a.p) for a in audits.values()))
    start = 0
    ticks: list[float] = []
    floor = 1.0
    for audit in audits.values():
        order = np.argsort(np.nan_to_num(audit.p, nan=2.0), kind="stable")
        p = audit.p[order]
        q = false_discovery_q(audit.p)[order]
        x = start + np.arange(len(p))
        foul = q < LEVEL
        axes.plot(
            x[~foul], p[~foul], ls="", marker="o", ms=2.8, mew=0, color=SOFT, alpha=0.7,
            rasterized=pixels,
        )  # fmt: skip
        axes.plot(x[foul], p[foul], ls="", marker="D", ms=3.4, mew=0, color=RECREATED)
        expected = (np.arange(len(p)) + 0.5) / max(len(p), 1)
        axes.plot(x, expected, color=INK, lw=0.7, ls=(0, (3, 2)))
        ticks.append(start + (len(p) - 1) / 2)
        start += len(p) + max(2, len(p) // 8)
        floor = min(floor, float(np.nanmin(p)) if np.isfinite(p).any() else 1.0)
    return floor, ticks


def _matrices(
    below: SubFigure, shown: Sequence[tuple[str, Audit]], n_rows: int, n_columns: int
) -> None:
    """Draw the phase locking of each participant's worst electrode with the sound."""
    grid = below.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True)
    span = max(float(np.nanmax(np.abs(audit.matrix), initial=0.0)) for _, audit in shown)
    image = None
    for k, panel in enumerate(grid.flat):
        if k >= len(shown):
            panel.set_visible(False)
            continue
        name, audit = shown[k]
        across, up = audit.frequency, audit.frequency_audio
        image = panel.imshow(
            audit.matrix, origin="lower", aspect="auto", cmap="RdBu_r",
            vmin=-(span or 1.0), vmax=span or 1.0, interpolation="nearest",
            extent=(across[0], across[-1], up[0], up[-1]),
        )  # fmt: skip
        ends = [max(across[0], up[0]), min(across[-1], up[-1])]
        panel.plot(ends, ends, color=INK, lw=0.6, ls=(0, (4, 4)), alpha=0.35)
        panel.set_title(f"{name} {audit.worst}", fontsize=7.4)
        panel.locator_params(nbins=4)
        if k + n_columns >= len(shown):
            panel.set_xlabel("electrode (Hz)")
            panel.tick_params(axis="x", labelbottom=True)
        if k % n_columns == 0:
            panel.set_ylabel("sound (Hz)")
    if image is not None:
        bar = below.colorbar(image, ax=list(grid.flat), shrink=0.8, aspect=18, pad=0.01)
        bar.set_label("phase locking")
        bar.outline.set_visible(False)


def _most_evident(audits: Mapping[str, Audit]) -> list[str]:
    """Return the participants that have a matrix, at most `MATRICES`, those with the smallest p."""
    have = [p for p in audits if audits[p].matrix.size]
    by_p = sorted(have, key=lambda p: float(np.nanmin(audits[p].p, initial=1.0)))[:MATRICES]
    return [p for p in have if p in by_p]


def _below(audits: Mapping[str, Audit]) -> str:
    """Return the part of the caption on the matrices."""
    n = sum(bool(audit.matrix.size) for audit in audits.values())
    if not n:
        return ""
    people = (
        "each participant" if n <= MATRICES else f"the {MATRICES} participants with the smallest p"
    )
    return (
        "Below: how far an electrode’s phase at one frequency advances with the sound’s at another "
        f"(0 where they have nothing to do with each other), for the electrode of {people} that "
        "has the strongest evidence. Speech in the brain has no reason to prefer the diagonal; a "
        "shaken cable does."
    )
