"""Compare the results with what was planted: rates, and the checks on them.

Every check has an expected number with an interval around it, or a bar; both are in the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma import scores, store, summary
from highgamma.errors import InputError
from highgamma.selftest import files, stages
from highgamma.selftest.settings import SelftestSettings

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]

LEVEL = scores.LEVEL
DEVIATIONS = 3.29
"""Half width of an interval in standard errors; one check in a thousand fails by chance."""

AMONG_PARTICIPANTS = 0.008
"""Standard deviation, over participants, of the chance that a test of noise is significant.

The electrodes of a participant have independent noise but share features and shifts, and a sound of
a few hundred words has only about a hundred independent shifts. Measured on other seeds
(docs/selftest.md)."""

SENSITIVE = 0.95
"""Least share of electrodes detected at the highest signal-to-noise ratio."""

CONTAMINATED_FOUND, CLEAN_FLAGGED = 0.95, 0.05
LAG_ERROR = 0.02
"""Greatest median distance of the peak from the planted lag, s; one step of the curve."""

LAYER_ERROR = 0.5
"""Greatest mean distance of the chosen layer from the planted one, in layers."""

OF_KIND = {
    "acoustic": ("frames", "envelope"),
    "speech-on-off": ("frames", "word-onoff"),
    "language": ("words", "language"),
}
"""The analysis and the model that should detect each kind of electrode."""

UNRELATED = {
    ("frames", "envelope"): ("noise",),
    ("frames", "word-onoff"): ("noise",),
    ("words", "language"): ("noise", "acoustic", "speech-on-off", "contaminated"),
}
"""Kinds of electrodes that are unrelated to a model: a finding among them is a false discovery.
Electrodes that follow the prompt or the sound are related to every acoustic model; the layers of
the language model are drawn independently of the sound."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a measured rate or error.

    Attributes
    ----------
    name
        What is checked.
    found, expected
        The measured number and the expected one.
    low, high
        Bounds of the measured number, NaN for none.
    n
        Number of electrodes, findings or tests behind it.
    why
        Where the bounds come from.
    """

    name: str
    found: float
    expected: float
    low: float
    high: float
    n: int
    why: str

    @property
    def passed(self) -> bool:
        """Whether the number is finite, within its bounds, and counted over at least one case."""
        above = not self.found < self.low if np.isfinite(self.low) else True
        below = not self.found > self.high if np.isfinite(self.high) else True
        return bool(np.isfinite(self.found)) and self.n > 0 and above and below


# ------------------------------------------------------------------------------ reading the runs


def electrodes_of(folder: str | Path, settings: SelftestSettings) -> pd.DataFrame:
    """Return the electrode table of every seed, joined with what was planted.

    Parameters
    ----------
    folder
        Holds a folder for each seed, as `stages.run` writes it.
    settings
        Settings of the self-test.

    Returns
    -------
    table
        The rows of `electrodes.tsv`, from the stage `summary`, with `seed`, and with `kind`,
        `lag_s`, `planted_layer` and `level` of the truth; `level` is the signal-to-noise ratio, for
        contaminated electrodes dB.
    """
    import pandas as pd

    people = files.participants(settings.participants)
    parts = []
    for seed in settings.seeds:
        place = Path(folder) / str(seed)
        table = summary.summarise(
            summary.read_fits(f for person in people for f in files.score_files(place, person)),
            channels=summary.read_channels(place / f"channels/{p}.tsv" for p in people),
            contamination=summary.read_contamination(
                place / f"contamination/{p}.nc" for p in people
            ),
            gains=summary.read_gains(
                f for person in people for f in files.gain_files(place, person)
            ),
            participants=people,
            analyses=stages.analyses(settings),
            models=sorted({m for models in files.FITS.values() for m in models}),
            run=f"selftest-{seed}",
        ).electrodes
        planted = pd.concat(
            [store.read_table(place / f"truth/{p}.tsv", strings=("model",)) for p in people]
        )
        parts.append(
            table.merge(
                _truth(planted), on=["participant", "electrode"], how="left", validate="m:1"
            ).assign(seed=seed)
        )
    return pd.concat(parts, ignore_index=True)


def _truth(planted: pd.DataFrame) -> pd.DataFrame:
    truth = planted[["participant", "electrode", "kind", "lag_s"]].copy()
    truth["planted_layer"] = planted["layer"]
    snr = planted["snr"].to_numpy(dtype=float)
    foul = (planted["kind"] == "contaminated").to_numpy()
    with np.errstate(invalid="ignore"):
        truth["level"] = np.where(foul, np.round(10 * np.log10(snr), 6), snr)
    return truth


# ------------------------------------------------------------------------------------- the rates


def interval_about(rate: float, *, n: int, clusters: int) -> tuple[float, float]:
    """Return the bounds around an expected rate.

    The bounds are `rate ± 3.29 sqrt(rate (1 - rate) / n + τ² / clusters)`, τ =
    `AMONG_PARTICIPANTS`: the noise of the electrodes is independent, but a participant's electrodes
    share features and shifts.

    Parameters
    ----------
    rate
        Expected rate.
    n
        Number of tests.
    clusters
        Number of participants.
    """
    spread = np.sqrt(rate * (1 - rate) / max(n, 1) + AMONG_PARTICIPANTS**2 / max(clusters, 1))
    return max(0.0, rate - DEVIATIONS * float(spread)), rate + DEVIATIONS * float(spread)


def share(mask: Iterable[bool]) -> dict[str, Any]:
    """Return the share of true values with its exact (Clopper-Pearson) 95 % interval.

    Returns
    -------
    share
        `rate`, `low`, `high`, `k` (true values) and `n`; rate and interval are NaN without values.
    """
    from scipy.stats import binomtest

    values = np.asarray(list(mask), dtype=bool)
    if not len(values):
        return {"rate": float("nan"), "low": float("nan"), "high": float("nan"), "k": 0, "n": 0}
    bounds = binomtest(int(values.sum()), len(values)).proportion_ci(0.95)
    return {
        "rate": float(values.mean()),
        "low": float(bounds.low),
        "high": float(bounds.high),
        "k": int(values.sum()),
        "n": len(values),
    }


def fit_rows(table: pd.DataFrame, analysis: str, model: str) -> pd.DataFrame:
    """Return the rows of one analysis and model."""
    return table[(table["analysis"] == analysis) & (table["model"] == model)]


def by_level(rows: pd.DataFrame) -> list[tuple[float, pd.DataFrame]]:
    """Return the rows of every level, ascending."""
    level = rows["level"].to_numpy(dtype=float)
    return [(float(value), rows[level == value]) for value in np.unique(level)]


def false_positives(table: pd.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the share of noise electrodes with p ≤ .05, for each tested analysis and model."""
    rates = {}
    for fit in UNRELATED:
        rows = fit_rows(table, *fit)
        rows = rows[rows["kind"] == "noise"]
        rates[fit] = share(rows["p"] <= LEVEL)
    return rates


def false_discoveries(table: pd.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the share of false findings among all findings (q < .05), for each analysis and model.

    The family is that of a run: all electrodes of one analysis and model. A finding is false if the
    model is unrelated to the electrode (`UNRELATED`). `rate` is the mean over seeds of each run's
    share (0 without findings), which is the quantity that the procedure controls; `k` of `n`
    findings are false.
    """
    rates = {}
    for fit, kinds in UNRELATED.items():
        rows = fit_rows(table, *fit)
        rows = rows[significant(rows)]
        false = rows["kind"].isin(kinds)
        each = [false[rows["seed"] == seed] for seed in table["seed"].unique()]
        by_seed = [float(run.mean()) if len(run) else 0.0 for run in each]
        rates[fit] = share(false) | {"rate": float(np.mean(by_seed)), "by_seed": by_seed}
    return rates


def sensitivities(
    table: pd.DataFrame, holds: Callable[[pd.DataFrame], pd.Series[bool]]
) -> dict[str, dict[float, dict[str, Any]]]:
    """Return the share of planted electrodes that are detected, by kind and signal-to-noise ratio.

    Parameters
    ----------
    table
        Electrodes of all seeds (`electrodes_of`).
    holds
        ``holds(rows)`` returns whether each row counts as detected (`supported`, `significant`).
    """
    rates: dict[str, dict[float, dict[str, Any]]] = {}
    for kind, fit in OF_KIND.items():
        rows = fit_rows(table, *fit)
        rows = rows[rows["kind"] == kind]
        rates[kind] = {level: share(holds(part)) for level, part in by_level(rows)}
    return rates


def supported(rows: pd.DataFrame) -> pd.Series[bool]:
    """Return whether the verdict on each row is `supported`."""
    return rows["verdict"] == "supported"


def significant(rows: pd.DataFrame) -> pd.Series[bool]:
    """Return whether q < .05 in each row."""
    return rows["q"] < LEVEL


def discoveries_by_level(table: pd.DataFrame) -> dict[str, dict[float, dict[str, Any]]]:
    """Return the false-discovery rate by kind and signal-to-noise ratio.

    Each level has a family of its own: the electrodes planted at it and an equal part of the noise
    electrodes, none of which is in two families. The rate is that of a recording whose effects all
    have this ratio. `rate` is the share of false findings, 0 without findings.
    """
    rates: dict[str, dict[float, dict[str, Any]]] = {}
    for kind, fit in OF_KIND.items():
        rows = fit_rows(table, *fit)
        noise, planted = rows[rows["kind"] == "noise"], rows[rows["kind"] == kind]
        levels = sorted(planted["level"].unique())
        rates[kind] = {}
        for number, level in enumerate(levels):
            some = noise.iloc[number :: len(levels)]
            mine = planted[planted["level"] == level]
            p = np.concatenate([some["p"].to_numpy(float), mine["p"].to_numpy(float)])
            holds = scores.false_discovery_q(p) < LEVEL
            false = int(holds[: len(some)].sum())
            n = int(holds.sum())
            rates[kind][float(level)] = {
                "rate": false / n if n else 0.0,
                "k": false,
                "n": n,
                "family": len(p),
            }
    return rates


def audited(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each electrode with the audit's p and `flagged` (q < .05)."""
    rows = fit_rows(table, "frames", "envelope").copy()
    rows["flagged"] = rows["flags"].fillna("").map(lambda text: "contaminated" in text.split(","))
    return rows


def contamination_by_level(table: pd.DataFrame) -> dict[float, dict[str, Any]]:
    """Return the share of contaminated electrodes that carry the flag, by level in dB."""
    rows = audited(table)
    rows = rows[rows["kind"] == "contaminated"]
    return {level: share(part["flagged"]) for level, part in by_level(rows)}


def clean_by_kind(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the share of clean electrodes that carry the flag, and that with p ≤ .05, by kind."""
    rows = audited(table)
    rows = rows[~rows["kind"].isin(["contaminated", "flat"])]
    return {
        str(kind): share(part["flagged"]) | {"p": share(part["contamination"] <= LEVEL)}
        for kind, part in rows.groupby("kind", sort=True)
    }


def lag_errors(table: pd.DataFrame) -> pd.DataFrame:
    """Return the detected acoustic electrodes with the error of their lag.

    Returns
    -------
    peaks
        Rows of the lag analysis with `error` of the peak (s) and `covered`, whether the planted lag
        lies within the 95 % interval of the peak.
    """
    detected = fit_rows(table, "frames", "envelope")
    detected = detected[(detected["kind"] == "acoustic") & significant(detected)]
    keys = ["seed", "participant", "electrode"]
    peaks = fit_rows(table, "lags", "envelope").merge(detected[keys], on=keys)
    peaks["error"] = (peaks["peak_lag"] - peaks["lag_s"]).abs()
    peaks["covered"] = (peaks["peak_lag_low"] <= peaks["lag_s"]) & (
        peaks["lag_s"] <= peaks["peak_lag_high"]
    )
    return peaks


def layer_errors(table: pd.DataFrame) -> pd.DataFrame:
    """Return the detected language electrodes with the `error` of their layer, in layers."""
    rows = fit_rows(table, *OF_KIND["language"])
    rows = rows[(rows["kind"] == "language") & significant(rows)].copy()
    rows["error"] = (rows["layer"].astype(float) - rows["planted_layer"].astype(float)).abs()
    return rows


def verdicts(table: pd.DataFrame) -> dict[str, dict[str, dict[str, int]]]:
    """Count the verdicts on the electrodes of each kind, by analysis and model."""
    counted: dict[str, dict[str, dict[str, int]]] = {}
    for analysis, models in files.FITS.items():
        if analysis == "lags":
            continue
        for model in models:
            rows = fit_rows(table, analysis, model)
            counted[f"{analysis}/{model}"] = {
                str(kind): {str(k): int(v) for k, v in part["verdict"].value_counts().items()}
                for kind, part in rows.groupby("kind", sort=True)
            }
    return counted


# ------------------------------------------------------------------------------------ the checks


def checks(table: pd.DataFrame, settings: SelftestSettings) -> list[Check]:
    """Return all checks of the self-test; docs/selftest.md describes them."""
    people = len(settings.seeds) * settings.participants
    all_checks: list[Check] = []
    for (analysis, model), rate in false_positives(table).items():
        low, high = interval_about(LEVEL, n=rate["n"], clusters=people)
        chosen = (analysis, model) == OF_KIND["language"]
        all_checks.append(
            Check(
                name=f"false positives, {analysis} with {model}",
                found=rate["rate"],
                expected=LEVEL,
                low=float("nan") if chosen else low,
                high=high,
                n=rate["n"],
                why="p of the best of several layers is conservative: no lower bound"
                if chosen
                else f"{DEVIATIONS} standard errors, electrodes within participants",
            )
        )
    for (analysis, model), rate in false_discoveries(table).items():
        _, high = interval_about(LEVEL, n=rate["n"], clusters=people)
        all_checks.append(
            Check(
                name=f"false discoveries, {analysis} with {model}",
                found=rate["rate"],
                expected=LEVEL,
                low=float("nan"),
                high=high,
                n=rate["n"],
                why=f"at most the level, and {DEVIATIONS} standard errors",
            )
        )
    for kind, levels in sensitivities(table, supported).items():
        all_checks += _sensitivity_checks(kind, levels)
    all_checks += _contamination_checks(table)
    all_checks += _place_checks(table)
    return all_checks


def _sensitivity_checks(kind: str, levels: Mapping[float, Mapping[str, Any]]) -> list[Check]:
    rates = list(levels.values())
    top = max(levels, default=float("nan"))
    last = rates[-1] if rates else share([])
    # Falls of the sensitivity, each with its standard error if both levels have the same rate.
    falls = [(a["rate"] - b["rate"], _deviation(a, b)) for a, b in pairwise(rates)]
    worst = max(falls, key=lambda fall: fall[0] - DEVIATIONS * fall[1], default=(np.nan, np.nan))
    return [
        Check(
            name=f"{kind} electrodes supported at the highest ratio, {top:g}",
            found=last["rate"],
            expected=1.0,
            low=SENSITIVE,
            high=float("nan"),
            n=last["n"],
            why="a bar: effects this large are missed in one of twenty at most",
        ),
        Check(
            name=f"fall of the sensitivity to {kind} electrodes from one ratio to the next",
            found=worst[0],
            expected=0.0,
            low=float("nan"),
            high=DEVIATIONS * worst[1],
            n=sum(r["n"] for r in rates),
            why=f"none, and {DEVIATIONS} standard errors of a difference",
        ),
    ]


def _deviation(a: Mapping[str, Any], b: Mapping[str, Any]) -> float:
    n = max(1, a["n"] + b["n"])
    # One more of each keeps the standard error above 0 if all or none are detected.
    rate = (a["k"] + b["k"] + 1) / (n + 2)
    return float(np.sqrt(rate * (1 - rate) * (1 / max(1, a["n"]) + 1 / max(1, b["n"]))))


def _contamination_checks(table: pd.DataFrame) -> list[Check]:
    rows = audited(table)
    foul = rows[rows["kind"] == "contaminated"]
    clean = rows[~rows["kind"].isin(["contaminated", "flat"])]
    detected, flagged = share(foul["flagged"]), share(clean["flagged"])
    by_p = share(clean["contamination"] <= LEVEL)
    people = int(rows.groupby(["seed", "participant"]).ngroups)
    _, high = interval_about(LEVEL, n=by_p["n"], clusters=people)
    return [
        Check(
            name="contaminated electrodes found (q < .05), all levels",
            found=detected["rate"],
            expected=1.0,
            low=CONTAMINATED_FOUND,
            high=float("nan"),
            n=detected["n"],
            why="a bar",
        ),
        Check(
            name="clean electrodes flagged (q < .05)",
            found=flagged["rate"],
            expected=0.0,
            low=float("nan"),
            high=CLEAN_FLAGGED,
            n=flagged["n"],
            why="a bar",
        ),
        Check(
            name="clean electrodes with p ≤ .05 in the audit",
            found=by_p["rate"],
            expected=LEVEL,
            low=float("nan"),
            high=high,
            n=by_p["n"],
            why=f"at most the level, and {DEVIATIONS} standard errors",
        ),
        Check(
            name="contaminated electrodes that pass as supported",
            found=share(supported(foul))["rate"],
            expected=0.0,
            low=float("nan"),
            high=1 - CONTAMINATED_FOUND,
            n=len(foul),
            why="a bar",
        ),
    ]


def _place_checks(table: pd.DataFrame) -> list[Check]:
    peaks, layers = lag_errors(table), layer_errors(table)
    flat = table[(table["kind"] == "flat") & (table["analysis"] != "lags")]
    return [
        Check(
            name="median error of the lag of acoustic electrodes found, s",
            found=float(peaks["error"].median()),
            expected=0.0,
            low=float("nan"),
            high=LAG_ERROR,
            n=len(peaks),
            why="a bar: one step of the curve",
        ),
        Check(
            name="mean error of the layer of language electrodes found",
            found=float(layers["error"].mean()),
            expected=0.0,
            low=float("nan"),
            high=LAYER_ERROR,
            n=len(layers),
            why="a bar: drawing lots among the four layers errs by 1",
        ),
        Check(
            name="flat electrodes that are not estimable",
            found=share(flat["verdict"] == "not estimable")["rate"],
            expected=1.0,
            low=1.0,
            high=float("nan"),
            n=len(flat),
            why="always",
        ),
    ]


# ------------------------------------------------------------------------------------ the result


def result(table: pd.DataFrame, settings: SelftestSettings) -> dict[str, Any]:
    """Return the content of `selftest.json`; docs/selftest.md describes its keys."""
    positives, discoveries = false_positives(table), false_discoveries(table)
    rows = audited(table)
    foul, peaks, layers = (
        rows[rows["kind"] == "contaminated"],
        lag_errors(table),
        layer_errors(table),
    )
    clean = rows[~rows["kind"].isin(["contaminated", "flat"])]
    all_checks = checks(table, settings)
    sensitivity = sensitivities(table, supported)
    plain: dict[str, Any] = plain_values(
        {
            "false_positive_rate": positives["frames", "envelope"]["rate"],
            "sensitivity": {
                k: {f"{a:g}": s["rate"] for a, s in v.items()} for k, v in sensitivity.items()
            },
            "false_discovery_rate": float(np.mean([d["rate"] for d in discoveries.values()])),
            "contaminated_found": float(foul["flagged"].mean()),
            "clean_flagged": float(clean["flagged"].mean()),
            "lag_error_s": float(peaks["error"].median()),
            "layer_error": float(layers["error"].mean()),
            "passed": all(check.passed for check in all_checks),
            "checks": [asdict(check) | {"passed": check.passed} for check in all_checks],
            "false_positives": {"/".join(fit): rate for fit, rate in positives.items()},
            "false_discoveries": {"/".join(fit): rate for fit, rate in discoveries.items()},
            "sensitivity_supported": sensitivity,
            "sensitivity_significant": sensitivities(table, significant),
            "false_discovery_by_level": discoveries_by_level(table),
            "contaminated_by_db": contamination_by_level(table),
            "clean_by_kind": clean_by_kind(table),
            "lag_interval_coverage": share(peaks["covered"]),
            "lag_error_by_level": {
                a: {"median": float(part["error"].median()), "n": len(part)}
                for a, part in by_level(peaks)
            },
            "layer_error_by_level": {
                a: {"mean": float(part["error"].mean()), "n": len(part)}
                for a, part in by_level(layers)
            },
            "verdicts": verdicts(table),
            "by_seed": {
                str(seed): _of_seed(part, settings) for seed, part in table.groupby("seed")
            },
            "n": {str(k): int(v) for k, v in rows["kind"].value_counts().sort_index().items()},
            "settings": asdict(settings),
        }
    )
    return plain


def _of_seed(table: pd.DataFrame, settings: SelftestSettings) -> dict[str, Any]:
    rows = audited(table)
    clean = rows[~rows["kind"].isin(["contaminated", "flat"])]
    return {
        "false_positives": {"/".join(k): v["rate"] for k, v in false_positives(table).items()},
        "false_discoveries": {"/".join(k): v["rate"] for k, v in false_discoveries(table).items()},
        "contaminated_found": float(rows[rows["kind"] == "contaminated"]["flagged"].mean()),
        "clean_flagged": float(clean["flagged"].mean()),
        "clean_p": float((clean["contamination"] <= LEVEL).mean()),
        "lag_error_s": float(lag_errors(table)["error"].median()),
        "layer_error": float(layer_errors(table)["error"].mean()),
        "supported_at_the_highest_ratio": {
            kind: levels[max(levels)]["rate"]
            for kind, levels in sensitivities(table, supported).items()
            if levels
        },
    }


def plain_values(value: Any) -> Any:
    """Return a value that JSON can hold: null for NaN, keys as text."""
    if isinstance(value, Mapping):
        return {k if isinstance(k, str) else f"{k:g}": plain_values(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(v) for v in value]
    if isinstance(value, float | np.floating):
        return round(float(value), 6) if np.isfinite(value) else None
    if isinstance(value, np.integer | np.bool_):
        return value.item()
    return value


def demand(outcome: Mapping[str, Any], *, where: str | Path) -> None:
    """Raise one error that names every failed check.

    Parameters
    ----------
    outcome
        Result of the self-test (`result`).
    where
        Path of the result, for the message.

    Raises
    ------
    InputError
        Unless every check passed.
    """
    off: Sequence[Mapping[str, Any]] = [c for c in outcome["checks"] if not c["passed"]]
    if off or not outcome["checks"]:
        lines = [f"\n  - {c['name']}: {_shown(c['found'])}, expected {bounds(c)}" for c in off]
        raise InputError(
            f"the self-test is off in {len(off)} of {len(outcome['checks'])} checks"
            + "".join(lines),
            where=where,
            remedy="do not trust results of this installation; report the file to the developers",
        )


def bounds(check: Mapping[str, Any]) -> str:
    """Return the bounds of a check in words."""
    low, high = check["low"], check["high"]
    if low is not None and high is not None:
        return f"{_shown(low)} to {_shown(high)}"
    return f"at least {_shown(low)}" if low is not None else f"at most {_shown(high)}"


def _shown(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3g}"
