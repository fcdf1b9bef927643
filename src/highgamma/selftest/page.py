"""The self-test's figure and its page of tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from highgamma import store
from highgamma.selftest.rates import bounds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"acoustic": "#0072B2", "speech-on-off": "#009E73", "language": "#D55E00"}
MARKERS = {"acoustic": "o", "speech-on-off": "s", "language": "D"}
FOUL = "#6A51A3"
RATIO = "signal-to-noise ratio"


def write(
    outcome: Mapping[str, Any], *, result: str | Path, page: str | Path, figure: str | Path
) -> None:
    """Write the result as JSON, the figure, and the page that shows both.

    Parameters
    ----------
    outcome
        Result of the self-test (`rates.result`).
    result, page, figure
        Paths of the JSON, Markdown and PNG files.
    """
    with store.written_whole(result) as temporary:
        temporary.write_text(json.dumps(outcome, indent=2, ensure_ascii=False) + "\n", "utf-8")
    draw(outcome, figure)
    with store.written_whole(page) as temporary:
        temporary.write_text(text(outcome, figure=Path(figure).name), "utf-8")


def draw(outcome: Mapping[str, Any], path: str | Path) -> None:
    """Draw sensitivity, false discoveries and detected contamination by level, as PNG.

    Parameters
    ----------
    outcome
        Result of the self-test (`rates.result`).
    path
        Path of the PNG file.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    # Each part that ran has a row of panels, or two.
    rows = 2 * ("sensitivity_supported" in outcome) + ("sizes" in outcome or "audit" in outcome)
    style: Any = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}
    with pyplot.rc_context(style):
        canvas, panels = pyplot.subplots(
            rows, 2, figsize=(7.4, 2.7 * rows), layout="constrained", squeeze=False
        )
        if "sensitivity_supported" in outcome:
            _draw_participants(list(panels[:2].ravel()), outcome)
        if "sizes" in outcome or "audit" in outcome:
            _draw_battery(list(panels[-1]), outcome)
        with store.written_whole(path) as temporary:
            canvas.savefig(temporary, format="png", dpi=160, metadata={"Software": None})
        pyplot.close(canvas)


def _draw_participants(panels: Sequence[Axes], outcome: Mapping[str, Any]) -> None:
    """Draw what was found in whole recordings, on four panels."""
    frames, words, discoveries, foul = panels
    for axes, kinds in ((frames, ("acoustic", "speech-on-off")), (words, ("language",))):
        for kind in kinds:
            _line(axes, outcome["sensitivity_supported"].get(kind, {}), kind)
        axes.axhline(0.95, color="#8a949d", lw=0.8, ls=(0, (4, 3)))
        axes.set(xscale="log", ylim=(-0.03, 1.03), xlabel=RATIO, ylabel="electrodes supported")
        axes.legend(frameon=False, loc="lower right")
    frames.set_title("Sensitivity, frames", loc="left")
    words.set_title("Sensitivity, words", loc="left")
    for kind in COLOURS:
        levels = outcome["false_discovery_by_level"].get(kind, {})
        discoveries.plot(
            [float(level) for level in levels],
            [counted["rate"] for counted in levels.values()],
            color=COLOURS[kind], marker=MARKERS[kind], ms=4, lw=1, label=kind,
        )  # fmt: skip
    discoveries.axhline(0.05, color="#8a949d", lw=0.8, ls=(0, (4, 3)))
    discoveries.set(xscale="log", ylim=(-0.01, 0.3), xlabel=RATIO)
    discoveries.set_ylabel("false among findings")
    discoveries.set_title("False-discovery rate (q < .05)", loc="left")
    discoveries.legend(frameon=False, loc="upper right")
    _line(foul, outcome["contaminated_by_db"], "contaminated", colour=FOUL)
    for kind, counted in outcome["clean_by_kind"].items():
        foul.axhline(counted["rate"], color=COLOURS.get(kind, "#1c2733"), lw=0.8, label=kind)
    foul.set(ylim=(-0.03, 1.03), ylabel="electrodes flagged (q < .05)")
    foul.set_xlabel("level (dB of the high-gamma carrier)")
    foul.set_title("Contaminated; lines: clean electrodes", loc="left")
    foul.legend(frameon=False, loc="center right")


def _draw_battery(panels: Sequence[Axes], outcome: Mapping[str, Any]) -> None:
    """Draw sizes by case, and the share of electrodes of meaning that are supported."""
    size, power = panels
    found = outcome.get("sizes", [])
    place = range(len(found))
    size.axvspan(0.03, 0.07, color="#e3e8ec", lw=0)
    size.axvline(0.05, color="#8a949d", lw=0.8, ls=(0, (4, 3)))
    size.plot([case["rate"] for case in found], place, "o", ms=4, color="#1c2733")
    size.set_yticks(place, [case["case"] for case in found], fontsize=6)
    size.set(xlim=(0, 0.15), xlabel="noise electrodes with p ≤ .05")
    size.invert_yaxis()
    size.set_title("Size, by analysis", loc="left")
    for case in dict.fromkeys(row["case"] for row in outcome.get("power", [])):
        rows = sorted((r for r in outcome["power"] if r["case"] == case), key=lambda r: r["snr"])
        power.plot(
            [r["snr"] for r in rows], [r["rate"] for r in rows], "o-", ms=4, lw=1, label=case
        )
    power.set(xscale="log", ylim=(-0.03, 1.03), xlabel=RATIO, ylabel="electrodes supported")
    power.set_title("Electrodes of meaning", loc="left")
    power.legend(frameon=False, loc="upper left", fontsize=6)


def _line(
    axes: Axes, levels: Mapping[str, Mapping[str, Any]], kind: str, *, colour: str | None = None
) -> None:
    at = [float(level) for level in levels]
    rate = [counted["rate"] for counted in levels.values()]
    below = [counted["rate"] - counted["low"] for counted in levels.values()]
    above = [counted["high"] - counted["rate"] for counted in levels.values()]
    axes.errorbar(
        at, rate, yerr=[below, above], color=colour or COLOURS[kind],
        marker=MARKERS.get(kind, "o"), ms=4, lw=1.2, elinewidth=0.8, label=kind,
    )  # fmt: skip


def text(outcome: Mapping[str, Any], *, figure: str) -> str:
    """Return the page of tables, as Markdown.

    Parameters
    ----------
    outcome
        Result of the self-test (`rates.result`).
    figure
        Path of the figure, relative to the page.
    """
    off = [check["name"] for check in outcome["checks"] if not check["passed"]]
    parts = [
        "# Self-test",
        f"**{'All checks passed.' if not off else 'Off: ' + '; '.join(off) + '.'}** "
        "docs/selftest.md says what is simulated and how the bounds come about.",
        f"![rates of true and false findings]({figure})",
        "## Checks",
        _table(
            ("", "check", "found", "expected", "n", "bounds are"),
            [
                (
                    "ok" if check["passed"] else "**off**",
                    check["name"],
                    _digits(check["found"]),
                    bounds(check),
                    str(check["n"]),
                    check["why"],
                )
                for check in outcome["checks"]
            ],
        ),
        *(_participants(outcome) if "verdicts" in outcome else []),
        *(_sizes(outcome["sizes"]) if "sizes" in outcome else []),
        *(_battery(outcome) if "power" in outcome else []),
        *(_audit(outcome["audit"]) if "audit" in outcome else []),
    ]
    return "\n\n".join(parts) + "\n"


def _participants(outcome: Mapping[str, Any]) -> list[str]:
    """Return the sections on whole recordings."""
    return [
        "## Whole recordings",
        f"Simulated: {', '.join(f'{count} {kind}' for kind, count in outcome['n'].items())} "
        f"electrodes, seeds {', '.join(map(str, outcome['settings']['seeds']))}, "
        f"{outcome['settings']['participants']} participants each.",
        *_detections(outcome),
        *_recovered(outcome),
        "## Verdicts",
        _verdicts(outcome["verdicts"]),
        "## Seed by seed",
        _by_seed(outcome["by_seed"]),
    ]


def _sizes(sizes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the section on rates that are to be the level."""
    return [
        "## Sizes",
        "Noise electrodes with p ≤ .05, by analysis; electrodes whose time course leaves its band "
        "anywhere; intervals that miss a difference of 0.",
        _table(
            ("case", "rate", "n", "by model"),
            [
                (
                    size["case"],
                    _digits(size["rate"]),
                    str(size["n"]),
                    ", ".join(f"{m} {_digits(r)}" for m, r in size["models"].items()),
                )
                for size in sizes
            ],
        ),
    ]


def _audit(cases: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the section on the audit of sound."""
    return [
        "## Audit of sound",
        _table(
            ("case", "electrodes are", "flagged", "p ≤ .05", "recordings not auditable", "n"),
            [
                (
                    case["case"],
                    "clean" if case["clean"] else "contaminated",
                    *(_digits(case[name]) for name in ("rate", "p", "not_auditable")),
                    str(case["n"]),
                )
                for case in cases
            ],
        ),
    ]


def _battery(outcome: Mapping[str, Any]) -> list[str]:
    """Return the sections on the shipped analyses."""
    return [
        "## Electrodes that follow a nuisance alone",
        _table(
            ("analysis", "kind", "model", "supported", "n"),
            [
                (r["configuration"], r["kind"], r["model"], _digits(r["supported"]), str(r["n"]))
                for r in outcome["nuisances"]
            ],
        ),
        "## Models that equal their controls",
        _table(
            ("analysis", "model", "electrodes", "supported", "n"),
            [
                (r["configuration"], r["model"], r["kind"], _digits(r["supported"]), str(r["n"]))
                for r in outcome["equal_models"]
            ],
        ),
        "## Electrodes of meaning, by signal-to-noise ratio",
        _table(
            ("analysis", "ratio", "supported", "n"),
            [
                (r["case"], _digits(r["snr"]), _digits(r["rate"]), str(r["n"]))
                for r in outcome["power"]
            ],
        ),
    ]


def _detections(outcome: Mapping[str, Any]) -> list[str]:
    """Return the sections on planted, noise and contaminated electrodes."""
    return [
        "## Sensitivity and false discoveries by signal-to-noise ratio",
        "Supported: the verdict. Significant: q < .05. Intervals are exact 95 % (Clopper-Pearson). "
        "The false-discovery rate of a ratio is that of a family of its own.",
        _table(
            ("kind", "ratio", "supported", "95 %", "significant", "n", "false among findings"),
            [
                (
                    kind,
                    level,
                    _digits(counted["rate"]),
                    f"{_digits(counted['low'])}–{_digits(counted['high'])}",
                    _digits(outcome["sensitivity_significant"][kind][level]["rate"]),
                    str(counted["n"]),
                    _among(outcome["false_discovery_by_level"][kind][level]),
                )
                for kind, levels in outcome["sensitivity_supported"].items()
                for level, counted in levels.items()
            ],
        ),
        "## Noise electrodes",
        _table(
            ("analysis/model", "p ≤ .05", "95 %", "n"),
            [
                (
                    name,
                    _digits(counted["rate"]),
                    f"{_digits(counted['low'])}–{_digits(counted['high'])}",
                    str(counted["n"]),
                )
                for name, counted in outcome["false_positives"].items()
            ],
        ),
        "## Contamination",
        _table(
            ("dB", "found (q < .05)", "95 %", "n"),
            [
                (
                    level,
                    _digits(counted["rate"]),
                    f"{_digits(counted['low'])}–{_digits(counted['high'])}",
                    str(counted["n"]),
                )
                for level, counted in outcome["contaminated_by_db"].items()
            ],
        ),
        _table(
            ("clean kind", "flagged (q < .05)", "p ≤ .05", "n"),
            [
                (kind, _digits(counted["rate"]), _digits(counted["p"]["rate"]), str(counted["n"]))
                for kind, counted in outcome["clean_by_kind"].items()
            ],
        ),
    ]


def _recovered(outcome: Mapping[str, Any]) -> list[str]:
    """Return the section on recovered lags and layers."""
    return [
        "## Lags and layers of electrodes found",
        _table(
            ("ratio", "median error of the lag, s", "n"),
            [
                (level, _digits(counted["median"]), str(counted["n"]))
                for level, counted in outcome["lag_error_by_level"].items()
            ],
        ),
        f"The planted lag lies in the 95 % interval of the peak in "
        f"{_among(outcome['lag_interval_coverage'])}.",
        _table(
            ("ratio", "mean error of the layer", "n"),
            [
                (level, _digits(counted["mean"]), str(counted["n"]))
                for level, counted in outcome["layer_error_by_level"].items()
            ],
        ),
    ]


def _verdicts(counted: Mapping[str, Mapping[str, Mapping[str, int]]]) -> str:
    names = sorted({v for fit in counted.values() for kind in fit.values() for v in kind})
    return _table(
        ("analysis/model", "planted", *names),
        [
            (fit, kind, *(str(numbers.get(name, 0)) for name in names))
            for fit, kinds in counted.items()
            for kind, numbers in kinds.items()
        ],
    )


def _by_seed(seeds: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for seed, figures in seeds.items():
        for key, value in figures.items():
            inner = value.items() if isinstance(value, Mapping) else [("", value)]
            rows += [
                (seed, f"{key.replace('_', ' ')} {name}".strip(), _digits(v)) for name, v in inner
            ]
    return _table(("seed", "figure", "value"), rows)


def _among(figures: Mapping[str, Any]) -> str:
    return f"{_digits(figures['rate'])} ({figures['k']} of {figures['n']})"


def _digits(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
