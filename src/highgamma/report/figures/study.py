"""Draw the published study's score next to the mean predictor's and that of shuffled embeddings."""

from __future__ import annotations

import numpy as np

from highgamma.report.evidence import Evidence
from highgamma.report.figures.canvas import (
    INK,
    SOFT,
    WIDTH,
    Drawn,
    canvas,
    colours,
    drawn,
    handle,
    legend_below,
    markers,
    short,
)


def across_channels(evidence: Evidence) -> Drawn | None:
    """Draw the study's correlation across channels next to the mean predictor's."""
    people = evidence.participants
    people = people[people["pcc_across_channels"].notna() | people["pcc_mean_predictor"].notna()]
    if people.empty:
        return None
    analyses = list(dict.fromkeys(people["analysis"]))
    participants = list(dict.fromkeys(people["participant"]))
    colour, marker = colours(evidence.models), markers(evidence.models)
    values = people[["pcc_across_channels", "pcc_mean_predictor", "pcc_shuffled"]].to_numpy(float)
    low = float(np.nanmin(values))
    left = max(-1.0, np.floor((low - 0.02) * 10) / 10) if low > 0 else max(-1.0, low - 0.1)
    n_columns = min(len(analyses), 4)
    n_rows = -(-len(analyses) // n_columns)
    most = people.groupby(["analysis"])["model"].nunique().max()
    pitch = max(0.34, 0.11 * most + 0.1)
    height = 0.95 + n_rows * (0.5 + pitch * len(participants))
    with canvas(WIDTH, height) as figure:
        grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
        for k, axes in enumerate(grid.flat):
            if k >= len(analyses):
                axes.set_visible(False)
                continue
            rows = people[people["analysis"] == analyses[k]]
            models = list(dict.fromkeys(rows["model"]))
            for y, participant in enumerate(participants):
                participant_rows = rows[rows["participant"] == participant]
                mean = participant_rows["pcc_mean_predictor"].to_numpy(float)
                if np.isfinite(mean).any():
                    axes.vlines(np.nanmedian(mean), y - 0.42, y + 0.42, color=INK, lw=2.2, zorder=2)
                for row in participant_rows.to_dict("records"):
                    offset = (models.index(row["model"]) - (len(models) - 1) / 2) * (
                        0.68 / max(len(models), 1)
                    )
                    style = {"color": colour[row["model"]], "marker": marker[row["model"]]}
                    axes.plot(
                        row["pcc_shuffled"], y + offset, ms=3.6, mfc="white", mew=0.9, ls="",
                        **style,
                    )  # fmt: skip
                    axes.plot(
                        row["pcc_across_channels"], y + offset, ms=3.6, mew=0, ls="", zorder=3,
                        **style,
                    )  # fmt: skip
            axes.set_title(analyses[k])
            axes.set_xlim(left, 1.005)
            axes.set_ylim(len(participants) - 0.4, -0.6)
            axes.set_yticks(range(len(participants)), participants)
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="x")
            axes.locator_params(axis="x", nbins=4)
            if k + n_columns >= len(analyses):
                axes.set_xlabel("r across channels")
                axes.tick_params(axis="x", labelbottom=True)
        handles = [
            handle(color=colour[m], marker=marker[m], label=m)
            for m in evidence.models
            if m in set(people["model"])
        ]
        handles += [
            handle(color=SOFT, marker="o", label="embeddings shuffled", hollow=True),
            handle(color=INK, marker="|", label="mean predictor", size=9),
        ]
        legend_below(figure, handles, columns=4)
        mean = people["pcc_mean_predictor"].to_numpy(float)
        middle = float(np.nanmedian(mean)) if np.isfinite(mean).any() else np.nan
        return drawn(
            figure,
            "across-channels",
            alt="Dot plot of the correlation across channels by participant and analysis. The mean "
            f"predictor’s median is {short(middle)}; the models lie beside it.",
            caption="Pearson correlation over channels between the measured and the predicted "
            "channel vector, mean over held-out samples (dots), the same for embeddings shuffled "
            "among samples (hollow) and for the mean predictor, which ignores its input (bar).",
        )
