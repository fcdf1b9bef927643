"""The audit of sound in the electrodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
from highgamma.summary import LEVEL


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
    pixels = crowded(sum(len(a.p) for a in audits.values()))
    with canvas(WIDTH, height) as figure:
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
                bar.set_label("correlation")
                bar.outline.set_visible(False)
        foul_total = sum(int((false_discovery_q(a.p) < LEVEL).sum()) for a in audits.values())
        return drawn(
            figure,
            "contamination",
            alt=f"p-value of the contamination audit for every electrode; {foul_total} are flagged."
            + (" Below, correlation matrices of the worst electrodes." if with_matrix else ""),
            caption="Whether the microphone is in the electrode. Above: p of every electrode, "
            "sorted; without contamination the dots follow the dashed line. "
            + (
                "Below: correlation of the sound’s power at one frequency with the electrode’s at "
                "another, for the electrode with the strongest evidence of each participant. "
                "Speech in the brain has no reason to prefer the diagonal; a shaken cable does."
                if with_matrix
                else ""
            ),
        )
