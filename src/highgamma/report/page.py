"""The report as one HTML page: nothing is fetched, everything foreign is escaped."""

from __future__ import annotations

import base64
import json
import platform
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma import __version__, store
from highgamma.report import figures, findings
from highgamma.report.evidence import Evidence, Trace, read_trace
from highgamma.report.figures import Drawn
from highgamma.summary import FAMILY, FLAGS, LEVEL, false_discovery_q

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]

N_BEST = 4
MAX_ROWS = 3000
"""Rows of the page's own table of electrodes; the whole table is in `electrodes.tsv`."""

PACKAGES = (
    *("h5py", "himalaya", "jinja2", "matplotlib", "mne", "mne-bids", "netCDF4", "numpy", "pandas"),
    *("pynwb", "scikit-learn", "scipy", "snakemake", "torch", "transformers", "xarray"),
)

STANDING_CLASS = {
    "holds": "holds",
    "explained by a control": "control",
    "not significant": "noise",
    "contaminated": "foul",
    "leaky split": "leaky",
    "not tested": "untested",
    "not estimable": "void",
}


@dataclass(frozen=True, slots=True)
class Source:
    """A publication that the page leans on."""

    key: str
    text: str
    doi: str


SOURCES = (
    Source(
        "khanday",
        "Khanday, Rodríguez San Esteban, Lone, Ouellet, Gonzalez-Lopez (2025). Recreating neural "
        "activity during speech production with language and speech model embeddings. "
        "Interspeech. arXiv 2505.14074.",
        "https://arxiv.org/abs/2505.14074",
    ),
    Source(
        "verwoert",
        "Verwoert et al. (2022). Dataset of speech production in intracranial "
        "electroencephalography. Scientific Data.",
        "https://doi.org/10.1038/s41597-022-01542-9",
    ),
    Source(
        "roussel",
        "Roussel et al. (2020). Observation and assessment of acoustic contamination of "
        "electrophysiological brain signals during speech production and sound perception. "
        "Journal of Neural Engineering 17, 056028.",
        "https://doi.org/10.1088/1741-2552/abb25e",
    ),
    Source(
        "feghhi",
        "Feghhi, Hadidi et al. (2024). What are large language models mapping to in the brain? A "
        "case against over-reliance on brain scores. arXiv 2406.01538.",
        "https://arxiv.org/abs/2406.01538",
    ),
    Source(
        "benjamini",
        "Benjamini, Hochberg (1995). Controlling the false discovery rate. Journal of the Royal "
        "Statistical Society B 57, 289–300.",
        "https://doi.org/10.1111/j.2517-6161.1995.tb02031.x",
    ),
    Source(
        "phipson",
        "Phipson, Smyth (2010). Permutation p-values should never be zero. Statistical "
        "Applications in Genetics and Molecular Biology 9, 39.",
        "https://doi.org/10.2202/1544-6115.1585",
    ),
)

GLOSSARY = (
    (
        "r",
        "Correlation over time (or words) within one electrode, between what was measured and what "
        "was recreated, both minus the training mean of their fold, over all held-out samples. It "
        "says how well the shape is recreated, not its size. A constant recreation has none.",
        (),
    ),
    (
        "skill",
        "1 − (squared error of the model) / (squared error of the training mean), over all "
        "held-out samples of one electrode. 1 is perfect, 0 is no better than ignoring the input, "
        "below 0 is worse than that.",
        (),
    ),
    (
        "layer",
        "Chosen for each electrode inside every fold on the training samples alone, and scored on "
        "the held-out ones: the best of many layers by its test score would be a winner’s curse. "
        "The table gives the layer that most folds chose; stability is its share of folds. Where a "
        "fixed penalty leaves nothing to choose by, it is the last layer.",
        (),
    ),
    (
        "p",
        "(1 + number of permutations that do as well) / (permutations + 1), for r. A permutation "
        "breaks the bond between signal and model and keeps the course of each: frames are shifted "
        "in a circle, words change places. With several layers each permutation counts with its "
        "best layer, which is strict: the choice was made on training folds and cannot gain as "
        "much.",
        ("phipson",),
    ),
    (
        "q",
        "p, adjusted for the number of electrodes: among those with q < .05, at most 1 in 20 is "
        f"expected to be false. The family is {FAMILY}.",
        ("benjamini",),
    ),
    (
        "gain",
        "Skill minus the skill of the best control model on the same electrode (sound features, or "
        "the same network with random weights). Untrained networks explain much of what trained "
        "ones do, so the gain is what training is worth.",
        ("feghhi",),
    ),
    (
        "contamination",
        "p of the audit: is the microphone’s spectrum in the electrode, frequency for frequency, "
        "more than with sound from other moments? The voice shakes cables and amplifiers, and "
        "high-gamma lies at the frequencies of speech.",
        ("roussel",),
    ),
    (
        "r across channels (PCC, R²)",
        "The published study’s score: for one held-out word, correlation over channels between "
        "the measured and the predicted vector; mean over words. Channels differ in gain in the "
        "same way for every word, so any word’s vector predicts any other’s.",
        ("khanday", "verwoert"),
    ),
    (
        "mean predictor",
        "Returns the training mean whatever the input is. What it reaches, a model must exceed.",
        (),
    ),
    (
        "distance",
        "The realised smallest time between a held-out and a training sample. Neighbours in time "
        "resemble each other: with shuffled frames a feature that knows only the time wins.",
        ("feghhi",),
    ),
)


@dataclass(frozen=True, slots=True)
class Numbered:
    """A figure on the page."""

    number: int
    drawn: Drawn
    uri: str


def build(evidence: Evidence) -> tuple[str, list[Drawn]]:
    """The page as HTML, and its figures."""
    drawn: list[Drawn] = []

    def numbered(figure: Drawn | None) -> list[Numbered]:
        if figure is None:
            return []
        drawn.append(figure)
        uri = "data:image/svg+xml;base64," + base64.b64encode(figure.svg).decode()
        return [Numbered(len(drawn), figure, uri)]

    headline = findings.headline(evidence)
    analyses = evidence.analyses
    best = {a: findings.best_electrodes(evidence, a, n=N_BEST) for a in analyses}
    traces = {a: [_trace_of(evidence, a, row) for row in rows.to_dict("records")]
              for a, rows in best.items()}  # fmt: skip
    recovery = findings.recovery(evidence)

    # In the order of the page, for they are numbered as they are drawn.
    truth = numbered(figures.planted_truth(recovery)) if recovery else []
    layers = [n for a in analyses for n in numbered(figures.layer_profiles(evidence, a))]
    pictured = [
        n
        for a in analyses
        for n in numbered(figures.best_traces(a, best[a], traces[a], evidence.words))
    ]
    across = numbered(figures.across_channels(evidence))
    lags = [n for a in analyses for n in numbered(figures.lag_curves(evidence, a))]
    weights = [
        n for a in analyses for n in numbered(figures.response_weights(a, best[a], traces[a]))
    ]
    audit = numbered(figures.contamination(evidence.audits))
    tested = [f.analysis for f in headline if f.tested] or analyses[:1]
    maps = [n for a in tested for n in numbered(figures.electrode_map(evidence, a))]

    untraced = [a for a in analyses if not any(n.drawn.name == f"best_{a}" for n in pictured)]
    html = _environment().get_template("page.html.j2").render(
        run=evidence.run,
        version=__version__,
        headline=headline,
        standing_class=STANDING_CLASS,
        verdict=_verdict(headline),
        mean_predictor=_mean_predictor(evidence),
        n_participants=evidence.electrodes["participant"].nunique(),
        n_electrodes=len(evidence.electrodes.drop_duplicates(["participant", "electrode"])),
        layers=layers,
        pictured=pictured,
        untraced=untraced,
        across=across,
        study=_study_rows(evidence),
        lags=lags,
        weights=weights,
        audit=audit,
        audits=_audit_rows(evidence),
        recovery=recovery,
        truth=truth,
        maps=maps,
        flags=findings.flag_counts(evidence),
        flag_names=[f for f in FLAGS if evidence.electrodes["flags"].str.contains(f).any()],
        flag_meaning=FLAGS,
        warnings=_warnings(evidence),
        rows=_table_rows(evidence.electrodes),
        n_rows=len(evidence.electrodes),
        settings=_settings_text(evidence.config),
        permutations=_attribute(evidence, "n_permutations"),
        versions=_versions(),
        glossary=GLOSSARY,
        sources=SOURCES,
        source_number={s.key: k + 1 for k, s in enumerate(SOURCES)},
        level=LEVEL,
        family=FAMILY,
    )  # fmt: skip
    return html, drawn


def write(evidence: Evidence, *, report: str | Path, folder: str | Path) -> None:
    """Write the page, and each figure as SVG and PNG into a folder."""
    html, drawn = build(evidence)
    for figure in drawn:
        for ending, content in (("svg", figure.svg), ("png", figure.png)):
            with store.written_whole(Path(folder) / f"{figure.name}.{ending}") as temporary:
                temporary.write_bytes(content)
    with store.written_whole(report) as temporary:
        temporary.write_bytes(html.encode())


def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "stat": _statistic,
        "prob": _probability,
        "ms": _milliseconds,
        "median_ms": _median_milliseconds,
    }
    return environment


def _statistic(value: float | None, digits: int = 2) -> str:
    return "–" if value is None or not np.isfinite(value) else figures.short(float(value), digits)


def _probability(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else figures.probability(float(value))


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f}".replace("-", "−") if np.isfinite(seconds) else "–"


def _median_milliseconds(seconds: FloatArray) -> str:
    return _milliseconds(float(np.median(seconds)))


def _trace_of(evidence: Evidence, analysis: str, row: Mapping[Hashable, Any]) -> Trace | None:
    paths = evidence.scores.get((analysis, str(row["participant"]), str(row["model"])), ())
    return read_trace(paths, electrode=str(row["electrode"]), layer=int(row["layer"]))


def _verdict(headline: Sequence[findings.AnalysisFinding]) -> str:
    """The first sentence of the page."""
    tested = [f for f in headline if f.tested and "leaky split" not in f.standings]
    if not tested:
        return "No analysis of this run tests its electrodes, so none can be said to hold."
    # "a of n in words, b of n in frames"
    parts = [f"{f.n_hold} of {f.n} electrodes hold in {f.analysis}" for f in tested]
    head = "; ".join(parts)
    return head[0].upper() + head[1:] + "."


def _mean_predictor(evidence: Evidence) -> dict[str, Any] | None:
    """The sentence on the study's figure: what a predictor reaches that ignores its input."""
    people = evidence.participants
    both = people[people["pcc_mean_predictor"].notna() & people["pcc_across_channels"].notna()]
    if both.empty:
        return None
    mean = both["pcc_mean_predictor"].to_numpy(float)
    models = both["pcc_across_channels"].to_numpy(float)
    return {
        "median": float(np.median(mean)),
        "low": float(mean.min()),
        "high": float(mean.max()),
        "model_low": float(models.min()),
        "model_high": float(models.max()),
        "difference": float(np.median(models - mean)),
    }


def _study_rows(evidence: Evidence) -> list[dict[str, Any]]:
    rows = [{str(k): v for k, v in r.items()} for r in evidence.participants.to_dict("records")]
    for row in rows:
        row["difference"] = row["pcc_across_channels"] - row["pcc_mean_predictor"]
    return rows


def _audit_rows(evidence: Evidence) -> list[dict[str, Any]]:
    rows = []
    for person, audit in evidence.audits.items():
        foul = [
            e
            for e, q in zip(audit.electrodes, false_discovery_q(audit.p), strict=True)
            if q < LEVEL
        ]
        rows.append(
            {"participant": person, "n": len(audit.electrodes), "foul": foul,
             "p_recording": audit.p_recording}
        )  # fmt: skip
    return rows


def _attribute(evidence: Evidence, name: str) -> dict[str, Any]:
    found = json.loads(str(evidence.arrays.attrs.get(name, "{}")))
    return found if isinstance(found, dict) else {}


def _warnings(evidence: Evidence) -> list[str]:
    """What a reader must know before trusting a number, in whole sentences."""
    said = [
        f"{participant} has no scores of {model} in the analysis {analysis}."
        for analysis, participant, model in json.loads(
            str(evidence.arrays.attrs.get("missing", "[]"))
        )
    ]
    for participant, reasons in _attribute(evidence, "left_out").items():
        if reasons:
            listed = ", ".join(f"{reason}: {n}" for reason, n in reasons.items())
            n = sum(reasons.values())
            verb = "was" if n == 1 else "were"
            said.append(f"{participant}: {n} channel{'s' * (n != 1)} {verb} left out ({listed}).")
    table = evidence.electrodes
    for analysis in evidence.analyses:
        rows = table[table["analysis"] == analysis]
        if rows["flags"].str.contains("leaky-split").any():
            said.append(
                f"The split of {analysis} leaks: held-out samples have neighbours among the "
                "training samples. Its scores are a demonstration, not a finding."
            )
        if rows["flags"].str.contains("not-tested").all():
            said.append(f"{analysis} drew no permutations: it has no p and no q, nothing holds.")
        constant = int(rows["flags"].str.contains("intercept-only").sum())
        if constant:
            said.append(
                f"In {analysis} {constant} of {len(rows)} fits are their intercept alone: they "
                "return the training mean whatever the input is."
            )
        if not evidence.controls(analysis):
            said.append(f"{analysis} names no control models, so it has no gain.")
        n = int(_attribute(evidence, "n_permutations").get(analysis, 0))
        needed = _least_findings(rows, n_permutations=n)
        if needed > 1:
            said.append(
                f"With {n} permutations the smallest p in {analysis} is {1 / (n + 1):.2g}: "
                f"{needed} electrodes of one model must reach it before any is significant."
            )
    if not evidence.audits:
        said.append("No contamination audit was made (no sound, or switched off).")
    return said


def _least_findings(rows: pd.DataFrame, *, n_permutations: int) -> int:
    """How many electrodes must reach the smallest possible p before one of them has q < .05.

    With m electrodes in a family and k of them at p = 1/(n + 1), their q is p·m/k.
    """
    if not n_permutations:
        return 0
    m = max(rows.loc[rows["p"].notna(), "model"].value_counts().tolist(), default=0)
    return int(np.floor(m / (n_permutations + 1) / LEVEL)) + 1


def _table_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of the page's table; of a large table those that hold and the best by skill."""
    if len(table) > MAX_ROWS:
        order = table.assign(holds=table["flags"] == "").sort_values(
            ["holds", "skill"], ascending=False, kind="stable"
        )
        table = table.loc[np.sort(order.index[:MAX_ROWS])]
    return [
        {str(k): (None if isinstance(v, float) and not np.isfinite(v) else v) for k, v in r.items()}
        for r in table.to_dict("records")
    ]


def _settings_text(config: Mapping[str, Any]) -> str:
    import yaml

    # Through JSON, so that whatever the caller's mapping holds is plain text and numbers.
    plain = json.loads(json.dumps(config, default=str))
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=88))


def _versions() -> list[tuple[str, str]]:
    found = [("highgamma", __version__), ("python", platform.python_version())]
    for name in PACKAGES:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return found
