"""Elements that all figures share: the style, colours, legends and numbers.

The colours are those of Okabe and Ito, which are distinct for all types of colour vision; every
series also has its own marker or its own panel.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]


INK, SOFT, FAINT = "#1c2733", "#5f6b76", "#d5dadf"
MEASURED, RECREATED = INK, "#D55E00"
MODEL_COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6A51A3", "#7F7F7F"),
)
VERDICT_COLOURS = {
    "supported": "#0072B2",
    "explained by controls": "#E69F00",
    "contaminated": "#D55E00",
    "not significant": "#C9D0D6",
    "leaky split": "#CC79A7",
    "not estimable": "#8A949D",
}
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "h")
WIDTH = 7.4  # inches; the page's column
PIXELS = 160  # per inch
MANY = 300
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
    """A figure as image files and text.

    Attributes
    ----------
    name
        Name of the figure and of its files.
    svg, png
        Content of the files.
    alt, caption
        Text for readers who do not see the figure, and the caption.
    width
        Inches; the page shows all figures at one scale.
    """

    name: str
    svg: bytes
    png: bytes
    alt: str
    caption: str
    width: float


@contextmanager
def canvas(width: float, height: float) -> Iterator[Figure]:
    """Return an empty figure in the report's style; global settings do not change.

    Parameters
    ----------
    width, height
        Inches.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A user's own matplotlibrc must not change the report.
    settings: Any = {**mpl.rcParamsDefault, **STYLE, "backend": "agg"}
    with mpl.rc_context(rc=settings):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def drawn(figure: Figure, name: str, *, alt: str, caption: str) -> Drawn:
    """Return the figure as SVG and PNG bytes, without a date or the name of a program in them."""
    svg, png = io.BytesIO(), io.BytesIO()
    # The resolution is that of the marks that `crowded` draws as pixels.
    figure.savefig(svg, format="svg", dpi=PIXELS, metadata={"Date": None, "Creator": None})
    # The layout is computed; the second file does not need to compute it again.
    figure.set_layout_engine("none")
    figure.savefig(png, format="png", dpi=PIXELS, metadata={"Software": None})
    return Drawn(
        name=name,
        svg=svg.getvalue(),
        png=png.getvalue(),
        alt=alt,
        caption=caption,
        width=float(figure.get_size_inches()[0]),
    )


def crowded(n: int) -> bool:
    """Return whether n marks are drawn as pixels: as paths they would make the page too large."""
    return n > MANY


def short(value: float, digits: int = 2) -> str:
    """Return a number without its leading zero: `.62`, `−.05`, `n/a`."""
    if not np.isfinite(value):
        return "n/a"
    text = f"{abs(value):.{digits}f}"
    text = text[1:] if text.startswith("0.") else text
    is_zero = not any(c in "123456789" for c in text)
    return text if value >= 0 or is_zero else f"−{text}"


def probability(value: float) -> str:
    """Return a p-value or q-value with three digits, or `< .001`."""
    if not np.isfinite(value):
        return "n/a"
    return "< .001" if value < 0.001 else short(value, 3)


def colours(models: Sequence[str]) -> dict[str, str]:
    """Return a colour for each model, by its place in the run."""
    return {m: MODEL_COLOURS[k % len(MODEL_COLOURS)] for k, m in enumerate(models)}


def markers(models: Sequence[str]) -> dict[str, str]:
    """Return a marker for each model, by its place in the run."""
    return {m: MARKERS[k % len(MARKERS)] for k, m in enumerate(models)}


def milliseconds(axes: Axes, *, n_ticks: int = 7) -> None:
    """Label an x-axis in s as ms."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(n_ticks, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v * 1000:.0f}".replace("-", "−")))


def handle(*, color: str, marker: str, label: str, hollow: bool = False, size: float = 4.5) -> Any:
    """Return a legend entry of one marker."""
    from matplotlib.lines import Line2D

    face = "white" if hollow else color
    edge = 1.6 if marker == "|" else 0.9
    return Line2D(
        [], [], ls="", color=color, marker=marker, ms=size, mfc=face, mew=edge, label=label
    )


def line(
    colour: str, label: str, *, style: Any = "-", width: float = 1.3, alpha: float = 1.0
) -> Any:
    """Return a legend entry of one line."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, ls=style, lw=width, alpha=alpha, label=label)


def patch(label: str, *, colour: str = SOFT, alpha: float = 0.22) -> Any:
    """Return a legend entry of one band or bar."""
    from matplotlib.patches import Patch

    return Patch(facecolor=colour, alpha=alpha, lw=0, label=label)


def legend_below(figure: Figure, handles: Sequence[Any], *, columns: int = 5) -> None:
    """Add a legend below the panels, in as many of `columns` columns as fit the figure."""
    for n in range(columns, 0, -1):
        legend = figure.legend(
            handles=list(handles), loc="outside lower left", ncols=n, columnspacing=1.4
        )
        if legend.get_window_extent().width <= figure.bbox.width:
            return
        if n > 1:
            legend.remove()


def at_the_edge(values: Any, below: float) -> str:
    """Return the caption's sentence on scores drawn at the edge, empty if there are none."""
    known = np.asarray(values, dtype=float)
    return (
        f" Skill below {short(below)} is drawn at {short(below)}." if (known < below).any() else ""
    )


def quantile(values: FloatArray, share: float) -> FloatArray:
    """Return a quantile over electrodes.

    Parameters
    ----------
    values
        (electrode, column), NaN if missing.
    share
        Between 0 and 1.

    Returns
    -------
    quantile : (column,)
        NaN if no electrode has a value.
    """
    out = np.full(values.shape[1], np.nan)
    for k, column in enumerate(values.T):
        known = column[np.isfinite(column)]
        if known.size:
            out[k] = np.quantile(known, share)
    return out


def decade(value: float) -> str:
    """Return a power of ten as `1`, `.1`, `.01`, which needs no mathematical type."""
    return "1" if value >= 1 else f"{value:.{max(0, round(-np.log10(value)))}f}"[1:]
