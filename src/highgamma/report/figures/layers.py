"""Draw profiles of scores over a model's layers."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma.report.evidence import Evidence
from highgamma.report.figures.canvas import (
    INK,
    SOFT,
    WIDTH,
    Drawn,
    canvas,
    colours,
    drawn,
    legend_below,
    line,
    patch,
    quantile,
)
from highgamma.report.findings import SUPPORTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = NDArray[np.float64]


MOST_COLUMNS, TITLE_WIDTH = 3, 24
"""Models beside one another, and characters in a line of their titles."""

LOWEST = -0.6
"""Lower scores are cut off, unless a median is among them."""


def layer_profiles(evidence: Evidence, analysis: str) -> Drawn | None:
    """Draw the median r and skill of every layer, with the interquartile band over electrodes."""
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
    table = evidence.electrodes
    table = table[(table["analysis"] == analysis) & (table["verdict"] == SUPPORTED)]
    people = arrays["channel_participant"].values.astype(str)
    keys = list(zip(people, arrays["channel"].values.astype(str), strict=True))
    colour = colours(evidence.models)
    n_columns = min(len(deep), MOST_COLUMNS)
    blocks = -(-len(deep) // n_columns)
    with canvas(WIDTH if n_columns > 1 else WIDTH * 0.62, 0.45 + 3.6 * blocks) as figure:
        grid = figure.subplots(2 * blocks, n_columns, squeeze=False, sharex="col", sharey="row")
        for axes in grid.flat:
            axes.set_visible(False)
        for k, model in enumerate(deep):
            supported = table[table["model"] == model]
            kept = set(zip(supported["participant"], supported["electrode"], strict=True))
            of_supported = np.array([key in kept for key in keys])
            for row, (name, label) in enumerate(
                (("r_layer", "r (held out)"), ("skill_layer", "skill (held out)"))
            ):
                axes = grid[2 * (k // n_columns) + row, k % n_columns]
                axes.set_visible(True)
                values = profiles[name][model]
                _profile(axes, layers, values, people, colour[model])
                if of_supported.any():
                    middle = quantile(values[of_supported], 0.5)
                    known = np.isfinite(middle)
                    axes.plot(
                        layers[known], middle[known], color=INK, lw=1.1, ls=(0, (4, 2)), zorder=4
                    )
                for other in single:
                    level = quantile(profiles[name][other].T.reshape(1, -1).T, 0.5)
                    if np.isfinite(level[0]):
                        axes.axhline(level[0], color=colour[other], lw=0.9, ls=":", zorder=1)
                axes.axhline(0, color="#8a949d", lw=0.7, zorder=0)
                if row == 0:
                    lines = textwrap.wrap(model, TITLE_WIDTH)
                    axes.set_title("\n".join([*lines, f"{of_supported.sum()} supported"]))
                else:
                    _number_layers(axes)
                if k % n_columns == 0:
                    axes.set_ylabel(label)
                axes.grid(axis="y")
        _limit_profiles(grid, profiles, deep)
        handles = [line(SOFT, "median, all electrodes"), patch("half of the electrodes")]
        handles += [line(SOFT, "each participant", width=0.7, alpha=0.6)]
        handles += [line(INK, "median of supported ones", style=(0, (4, 2)))]
        handles += [line(colour[m], f"{m} (one layer)", style=":") for m in single]
        legend_below(figure, handles)
        best = []
        for model in deep:
            middle = quantile(profiles["skill_layer"][model], 0.5)
            best.append(f"{model} at layer {layers[np.nanargmax(middle)]:.0f}")
        return drawn(
            figure,
            f"layers_{analysis}",
            alt=f"Profiles over layers in the analysis {analysis}; the median skill is largest for "
            + ", ".join(best)
            + ".",
            caption=f"Analysis {analysis}: scores by layer. The line is the median over all "
            "electrodes, the band holds their middle half, thin lines are participants. Supported "
            "electrodes were selected by their score, so their level flatters; their shape is what "
            "to read. What lies below the axis is cut off.",
        )


def _number_layers(axes: Axes) -> None:
    """Number the layers: columns are of different heights, and each has its own numbers."""
    from matplotlib.ticker import MaxNLocator

    axes.tick_params(labelbottom=True)
    axes.set_xlabel("layer")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))


def _profile(
    axes: Axes, layers: FloatArray, values: FloatArray, people: NDArray[Any], colour: str
) -> None:
    low, middle, high = (quantile(values, share) for share in (0.25, 0.5, 0.75))
    known = np.isfinite(middle)
    axes.fill_between(layers[known], low[known], high[known], color=colour, alpha=0.16, lw=0)
    for person in dict.fromkeys(people.tolist()):
        median = quantile(values[people == person], 0.5)
        axes.plot(layers[known], median[known], color=colour, lw=0.7, alpha=0.5)
    axes.plot(layers[known], middle[known], color=colour, marker="o", ms=2.6, lw=1.5)


def _limit_profiles(grid: Any, profiles: Mapping[str, Any], models: Sequence[str]) -> None:
    """Keep a few very bad fits from flattening every profile; every median stays in view."""
    for row in range(grid.shape[0]):
        name = "r_layer" if row % 2 == 0 else "skill_layer"
        quarter, middle = (
            np.concatenate([quantile(profiles[name][m], share) for m in models])
            for share in (0.25, 0.5)
        )
        if np.isfinite(quarter).any() and np.nanmin(quarter) < LOWEST:
            grid[row, 0].set_ylim(bottom=min(LOWEST, 1.1 * np.nanmin(middle)))
