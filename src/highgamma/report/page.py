"""Write the report as one self-contained HTML page; all text from outside is escaped."""

from __future__ import annotations

import base64
import json
import platform
from collections.abc import Collection, Hashable, Mapping, Sequence
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
from highgamma.report.findings.partition import NOT_ESTIMABLE
from highgamma.report.table import electrode_table
from highgamma.report.texts import GLOSSARY, SOURCES
from highgamma.scores import LEVEL, false_discovery_q
from highgamma.summary import FAMILY, FLAGS

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]

N_BEST = 4
MOST_NAMED = 3
"""Models after the first that a sentence names."""

PACKAGES = (
    *("h5py", "jinja2", "matplotlib", "mne", "netCDF4", "numpy", "pandas", "pynwb"),
    *("scikit-learn", "scipy", "snakemake", "torch", "transformers", "xarray"),
)

VERDICT_CLASS = {
    "supported": "supported",
    "explained by controls": "control",
    "contaminated": "foul",
    "not significant": "noise",
    "leaky split": "leaky",
    "not estimable": "void",
}


@dataclass(frozen=True, slots=True)
class Numbered:
    """A numbered figure on the page, with its image as a data URI."""

    number: int
    drawn: Drawn
    uri: str


def build(evidence: Evidence) -> tuple[str, list[Drawn]]:
    """Build the page.

    Returns
    -------
    html
        The page.
    figures
        Its figures, in order.
    """
    headline = findings.headline(evidence)
    recovery = findings.recovery(evidence)
    comparison = findings.comparison(evidence)
    channel_flags = findings.flagged_channels(evidence)
    numbered, drawn = _figures(evidence, headline, recovery, comparison)
    demonstrations = {a for a in evidence.analyses if evidence.settings(a).get("part_of")}
    untraced = [
        a
        for a in evidence.analyses
        if not any(n.drawn.name == f"best_{a}" for n in numbered["pictured"])
    ]
    html = _environment().get_template("page.html.j2").render(
        **numbered,
        run=evidence.run,
        version=__version__,
        headline=headline,
        verdict_class=VERDICT_CLASS,
        rules=findings.RULES,
        lead=_lead(headline, demonstrations),
        electrodes_of=_electrodes,
        published_range=findings.PUBLISHED_RANGE if evidence.published is not None else None,
        mean_predictor=_mean_predictor(evidence),
        comparison=comparison,
        compared=_compared(comparison) if comparison else None,
        n_participants=evidence.electrodes["participant"].nunique(),
        n_electrodes=len(evidence.electrodes.drop_duplicates(["participant", "electrode"])),
        untraced=untraced,
        study=_study_rows(evidence),
        not_estimable=NOT_ESTIMABLE,
        clean=findings.with_and_without(evidence),
        audits=_audit_rows(evidence),
        channel_flags=channel_flags,
        channel_flag_meaning=findings.flag_meanings(channel_flags),
        quality_of=len(evidence.quality),
        unknown_words=findings.unknown_words(evidence),
        vocabularies=len(evidence.vocabularies),
        recovery=recovery,
        lag_tolerance=findings.LAG_TOLERANCE,
        layer_tolerance=findings.LAYER_TOLERANCE,
        flags=findings.flag_counts(evidence),
        flag_names=[f for f in FLAGS if evidence.electrodes["flags"].str.contains(f).any()],
        flag_meaning=FLAGS,
        warnings=_warnings(evidence),
        table=electrode_table(evidence),
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


def _figures(
    evidence: Evidence,
    headline: list[findings.AnalysisFinding],
    recovery: findings.Recovery | None,
    comparison: findings.PublishedComparison | None,
) -> tuple[dict[str, Any], list[Drawn]]:
    """Return the figures by name in the page's template, and all of them in the page's order."""
    drawn: list[Drawn] = []

    def numbered(figure: Drawn | None) -> list[Numbered]:
        if figure is None:
            return []
        drawn.append(figure)
        uri = "data:image/svg+xml;base64," + base64.b64encode(figure.svg).decode()
        return [Numbered(len(drawn), figure, uri)]

    analyses = evidence.analyses
    best = {a: findings.best_electrodes(evidence, a, n=N_BEST) for a in analyses}
    traces = {a: [_trace_of(evidence, a, row) for row in rows.to_dict("records")]
              for a, rows in best.items()}  # fmt: skip
    # In the order of the page, since figures are numbered as they are drawn.
    counted = numbered(figures.verdicts(evidence, headline))
    published = numbered(figures.published_scores(comparison)) if comparison else []
    across = numbered(figures.across_channels(evidence))
    truth = numbered(figures.planted_truth(recovery)) if recovery else []
    layers = [n for a in analyses for n in numbered(figures.layer_profiles(evidence, a))]
    pictured = [
        n
        for a in analyses
        for n in numbered(figures.best_traces(a, best[a], traces[a], evidence.words))
    ]
    tested = [f.analysis for f in headline if f.tested] or analyses[:1]
    # One figure of the group for all analyses, then one of each that was tested, by region.
    group = numbered(figures.group_models(evidence.group, evidence.models))
    group += [
        n
        for a in tested
        for n in numbered(figures.group_regions(evidence.group, a, evidence.models))
    ]
    leaks = [
        (rows, numbered(figures.leakage(evidence, evidence.group, name)))
        for name in figures.demonstrations(evidence)
        if (rows := figures.leakage_rows(evidence, evidence.group, name))
    ]
    courses = [
        n
        for a in analyses
        for figure in (
            figures.around_onset(evidence, evidence.courses, a),
            figures.trial_by_trial(evidence, evidence.courses, a),
        )
        for n in numbered(figure)
    ]
    lags = [n for a in analyses for n in numbered(figures.lag_curves(evidence, a))]
    weights = [
        n for a in analyses for n in numbered(figures.response_weights(a, best[a], traces[a]))
    ]
    parted = [
        (part, numbered(figures.variance_partition(part))) for part in findings.partitions(evidence)
    ]
    audit = numbered(figures.contamination(evidence.audits))
    maps = [n for a in tested for n in numbered(figures.electrode_map(evidence, a))]
    by_name = {
        "counted": counted,
        "published": published,
        "layers": layers,
        "pictured": pictured,
        "across": across,
        "group": group,
        "leaks": leaks,
        "courses": courses,
        "lags": lags,
        "weights": weights,
        "parted": parted,
        "audit": audit,
        "truth": truth,
        "maps": maps,
    }
    return by_name, drawn


def write(
    evidence: Evidence, *, report: str | Path, folder: str | Path, contamination: str | Path
) -> None:
    """Write the page, its figures and the contamination table.

    Parameters
    ----------
    evidence
        The run's evidence.
    report
        Path of the HTML page.
    folder
        Folder for each figure as SVG and PNG.
    contamination
        Path of `contamination.tsv`.
    """
    html, drawn = build(evidence)
    findings.write_clean(findings.with_and_without(evidence), contamination)
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
        "span": _span,
        "prob": _probability,
        "ms": _milliseconds,
        "median_ms": _median_milliseconds,
    }
    return environment


def _statistic(value: float | None, digits: int = 2) -> str:
    return "–" if value is None or not np.isfinite(value) else figures.short(float(value), digits)


def _span(ends: tuple[float, float], joint: str = " to ") -> str:
    """Return a range as `.79 to .99`; one number if both ends round to the same.

    A negative end follows `to`, never a dash.
    """
    low, high = (_statistic(end) for end in ends)
    return low if low == high else f"{low}{joint if min(ends) >= 0 else ' to '}{high}"


def _probability(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else figures.probability(float(value))


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f}".replace("-", "−") if np.isfinite(seconds) else "–"


def _median_milliseconds(seconds: FloatArray) -> str:
    return _milliseconds(float(np.median(seconds)))


def _trace_of(evidence: Evidence, analysis: str, row: Mapping[Hashable, Any]) -> Trace | None:
    paths = evidence.scores.get((analysis, str(row["participant"]), str(row["model"])), ())
    return read_trace(paths, electrode=str(row["electrode"]), layer=int(row["layer"]))


def _lead(headline: Sequence[findings.AnalysisFinding], demonstrations: Collection[str]) -> str:
    """Return the page's first sentences, one for each analysis; demonstrations do not count.

    What was tested comes first.
    """
    told = [
        f for f in headline if "leaky split" not in f.verdicts and f.analysis not in demonstrations
    ]
    told.sort(key=lambda f: not (f.fitted and f.tested))
    return " ".join(map(_sentence, told)) or "No analysis of this run tests its electrodes."


def _sentence(finding: findings.AnalysisFinding) -> str:
    """Return which models are supported in an analysis, and on how many electrodes."""
    name, models = finding.analysis, finding.fitted
    if not models:
        return f"In {name} no model was fitted: only nuisances and controls have scores."
    if not finding.tested:
        return f"In {name} nothing was tested: no permutations were drawn."
    supported = [m for m in models if m.n_supported]
    if not supported:
        which = models[0].model if len(models) == 1 else f"none of {len(models)} models"
        return f"In {name} {which} is {'not ' * (len(models) == 1)}supported on any of " + (
            f"{_electrodes(finding.n)}."
        )
    first, *others = supported
    counts = [f"{first.model} is supported on {first.n_supported} of {_electrodes(first.n)}"]
    counts += [f"{m.model} on {m.n_supported}" for m in others[:MOST_NAMED]]
    if others[MOST_NAMED:]:
        counts.append(f"{len(others) - MOST_NAMED} further models on fewer")
    return f"In {name} " + ", ".join(counts) + "."


def _electrodes(n: int) -> str:
    return f"{n} electrode{'s' * (n != 1)}"


def _compared(comparison: findings.PublishedComparison) -> dict[str, Any]:
    """Return how far this run's scores are from the published ones, by score."""
    distances: dict[str, Any] = {}
    for name in ("pcc", "r2"):
        known = np.abs(comparison.differences(name))
        distances[name] = {
            "n": int(known.size),
            "median": float(np.median(known)) if known.size else float("nan"),
            "most": float(known.max()) if known.size else float("nan"),
        }
    return distances


def _mean_predictor(evidence: Evidence) -> dict[str, Any] | None:
    """Return the study's figure for the models and for the mean predictor.

    Over participants, analyses and models that are not controls.
    """
    parts = [
        evidence.findings(people, str(analysis))
        for analysis, people in evidence.participants.groupby("analysis", sort=False)
    ]
    pairs = [part[["pcc_across_channels", "pcc_mean_predictor"]].to_numpy(float) for part in parts]
    both = np.concatenate([np.empty((0, 2)), *pairs])
    both = both[np.isfinite(both).all(axis=1)]
    if not len(both):
        return None
    models, mean = both.T
    return {
        "median": float(np.median(mean)),
        "range": (float(mean.min()), float(mean.max())),
        "models": (float(models.min()), float(models.max())),
        "difference": float(np.median(models - mean)),
    }


def _study_rows(evidence: Evidence) -> list[dict[str, Any]]:
    rows = [{str(k): v for k, v in r.items()} for r in evidence.participants.to_dict("records")]
    for row in rows:
        row["difference"] = row["pcc_across_channels"] - row["pcc_mean_predictor"]
        row["is_control"] = row["model"] in evidence.controls(str(row["analysis"]))
    return rows


def _audit_rows(evidence: Evidence) -> list[dict[str, Any]]:
    """Return the audit's result by participant, as analysed and, if that differs, as recorded."""
    rows = []
    for person, audit in evidence.audits.items():
        rows.append(
            {"participant": person, "signals": "re-referenced" if audit.recorded else "recorded",
             **_audited(audit.electrodes, audit.p), "p_recording": audit.p_recording}
        )  # fmt: skip
        if audit.recorded:
            rows.append(
                {"participant": person, "signals": "recorded",
                 **_audited(audit.recorded, audit.p_recorded),
                 "p_recording": audit.p_recording_recorded}
            )  # fmt: skip
    return rows


def _audited(electrodes: Sequence[str], p: FloatArray) -> dict[str, Any]:
    q = false_discovery_q(p)
    foul = [e for e, value in zip(electrodes, q, strict=True) if value < LEVEL]
    return {"n": len(electrodes), "foul": foul}


def _attribute(evidence: Evidence, name: str) -> dict[str, Any]:
    value = json.loads(str(evidence.arrays.attrs.get(name, "{}")))
    return value if isinstance(value, dict) else {}


def _warnings(evidence: Evidence) -> list[str]:
    """Return the caveats needed to interpret the scores, in whole sentences."""
    warnings = [_missing(row) for row in evidence.missing.to_dict("records")]
    for participant, reasons in _attribute(evidence, "left_out").items():
        if reasons:
            listed = ", ".join(f"{reason}: {n}" for reason, n in reasons.items())
            n = sum(reasons.values())
            verb = "was" if n == 1 else "were"
            warnings.append(
                f"{participant}: {n} channel{'s' * (n != 1)} {verb} left out ({listed})."
            )
    table = evidence.electrodes
    for analysis in evidence.analyses:
        rows = table[table["analysis"] == analysis]
        if rows["flags"].str.contains("leaky-split").any():
            warnings.append(
                f"The split of {analysis} leaks: held-out samples have neighbours among the "
                "training samples. Its scores are a demonstration, not a finding."
            )
        if rows["flags"].str.contains("not-tested").all():
            warnings.append(
                f"{analysis} drew no permutations: it has no p and no q, nothing is supported."
            )
        constant = int(rows["flags"].str.contains("intercept-only").sum())
        if constant:
            warnings.append(
                f"In {analysis} {constant} of {len(rows)} fits are their intercept alone: they "
                "return the training mean whatever the input is."
            )
        if not evidence.settings(analysis).get("controls"):
            warnings.append(
                f"{analysis} names no control models: a gain is over the nuisances alone."
            )
        n = int(_attribute(evidence, "n_permutations").get(analysis, 0))
        least = _least_findings(rows, n_permutations=n)
        if least:
            warnings.append(least.format(analysis=analysis))
    if not evidence.audits:
        warnings.append("No contamination audit was made (no sound, or switched off).")
    return warnings


def _missing(row: Mapping[Hashable, Any]) -> str:
    """Return a row of the table of missing fits as a sentence."""
    subject = f"{row['participant']} has no "
    what = "audit of contamination"
    if isinstance(row["analysis"], str):
        what = f"scores of {row['model']} in the analysis {row['analysis']}"
    stage = row["stage"]
    why = f": the stage {stage} did not finish; see logs/{stage}/" if isinstance(stage, str) else ""
    return f"{subject}{what}{why}."


def _least_findings(rows: pd.DataFrame, *, n_permutations: int) -> str:
    """Return a warning if one electrode alone cannot be significant with so few permutations.

    With m electrodes in a family and k of them at p = 1/(n + 1), their q is p·m/k, and q < .05
    needs k > p·m/.05.
    """
    if not n_permutations:
        return ""
    m = max(rows.loc[rows["p"].notna(), "model"].value_counts().tolist(), default=0)
    needed = int(np.floor(m / (n_permutations + 1) / LEVEL + 1e-9)) + 1
    smallest = figures.short(1 / (n_permutations + 1), 3)
    if needed <= 1:
        return ""
    head = f"With {n_permutations} permutations the smallest p in {{analysis}} is {smallest}: "
    if needed > m:
        return head + "no electrode can be significant."
    return head + f"{needed} electrodes of one model must reach it before any is significant."


def _settings_text(config: Mapping[str, Any]) -> str:
    import yaml

    # Through JSON, so that the mapping holds only plain text and numbers.
    plain = json.loads(json.dumps(config, default=str))
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=88))


def _versions() -> list[tuple[str, str]]:
    versions = [("highgamma", __version__), ("python", platform.python_version())]
    for name in PACKAGES:
        try:
            versions.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return versions
