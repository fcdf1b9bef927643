"""The verdict on every score, and the rule that led to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

from highgamma.scores import LEVEL

VERDICTS = (
    *("supported", "not significant", "explained by controls", "contaminated", "leaky split"),
    "not estimable",
)


@dataclass(frozen=True, slots=True)
class Score:
    """Numbers of one electrode and model that lead to its verdict; NaN if unknown.

    Attributes
    ----------
    skill, q, gain, gain_q
        As in the table of electrodes.
    audit_q
        The audit's false-discovery rate within the participant.
    distance_s
        Least time (s) between a training and a held-out sample.
    flat, leaky, intercept_only, tested, contaminated
        Flags of the electrode and of the fit.
    auditable
        Whether the audit could find the sound in the electrode.
    compared
        Whether there is a nuisance or a control that the gain is measured against.
    best_control
        The nuisance or control over which the model gains least.
    lacking
        Nuisances and controls that should be there and have no score here.
    role
        `model`, `control` (named by the analysis), `position` or `nuisance`.
    """

    skill: float
    q: float
    gain: float
    gain_q: float
    audit_q: float
    distance_s: float
    flat: bool = False
    leaky: bool = False
    intercept_only: bool = False
    tested: bool = True
    contaminated: bool = False
    auditable: bool = True
    compared: bool = True
    best_control: str | None = None
    lacking: tuple[str, ...] = ()
    role: str = "model"


@dataclass(frozen=True, slots=True)
class Rule:
    """A verdict, the condition for it, and the sentence that explains it."""

    verdict: str
    applies: Callable[[Score], bool]
    sentence: Callable[[Score], str]


RULES = (
    Rule("not estimable", lambda s: s.flat, lambda s: "the signal is constant"),
    Rule("not estimable", lambda s: not isfinite(s.skill), lambda s: "there is no score"),
    Rule(
        "leaky split",
        lambda s: s.leaky,
        lambda s: (
            "the split mixes neighbours: a training sample lies "
            f"{s.distance_s:.2g} s from a held-out one"
        ),
    ),
    Rule(
        "not significant",
        lambda s: s.intercept_only,
        lambda s: "the fit ignores its input and predicts the training mean",
    ),
    Rule(
        "not significant",
        lambda s: s.skill <= 0,
        lambda s: f"skill = {s.skill:.2g} is not above 0",
    ),
    Rule(
        "not estimable",
        lambda s: not s.tested,
        lambda s: "no permutations were drawn, so there is no p",
    ),
    Rule("not estimable", lambda s: not isfinite(s.q), lambda s: "r is not defined"),
    Rule(
        "not significant",
        lambda s: s.q >= LEVEL,
        lambda s: f"q = {_beside(s.q)} is not below {LEVEL}",
    ),
    Rule(
        "contaminated",
        lambda s: s.contaminated,
        lambda s: f"the audit of sound has q = {_beside(s.audit_q)}, below {LEVEL}",
    ),
    Rule(
        "explained by controls",
        lambda s: s.role == "position",
        lambda s: "position in time is a control, never a finding",
    ),
    Rule(
        "explained by controls",
        lambda s: s.role == "nuisance",
        lambda s: "nuisances are a control, never a finding",
    ),
    Rule(
        "not estimable",
        lambda s: bool(s.lacking),
        lambda s: f"the gain over {', '.join(s.lacking)} is not known: no score of it here",
    ),
    Rule(
        "explained by controls",
        lambda s: s.compared and s.gain <= 0,
        lambda s: f"{_gained(s)} is not above 0",
    ),
    Rule(
        "not estimable",
        lambda s: s.compared and not isfinite(s.gain_q),
        lambda s: "the gain over nuisances and controls was not tested: too few samples",
    ),
    Rule(
        "explained by controls",
        lambda s: s.compared and s.gain_q >= LEVEL,
        lambda s: f"{_gained(s)} has q = {_beside(s.gain_q)}, not below {LEVEL}",
    ),
    Rule("supported", lambda s: True, lambda s: _support(s)),
)
"""In order; the first rule that applies gives the verdict."""


def judge(score: Score) -> tuple[str, str]:
    """Return the verdict on a score, and a sentence with the numbers of the rule that led to it."""
    rule = next(rule for rule in RULES if rule.applies(score))
    return rule.verdict, rule.sentence(score)


def _support(score: Score) -> str:
    against = "nothing that it is to be more than is named"
    if score.compared:
        against = f"{_gained(score)} has q = {_beside(score.gain_q)}"
    audited = "" if isfinite(score.audit_q) else "; not audited for sound"
    if not score.auditable:
        audited = "; not auditable for sound"
    return f"q = {_beside(score.q)} is below {LEVEL}; {against}{audited}"


def _gained(score: Score) -> str:
    """The gain, and what it is over: a control is measured against the nuisances alone."""
    over = "the nuisances" if score.role == "control" else "nuisances and controls"
    strongest = f" (least over {score.best_control})" if score.best_control else ""
    return f"gain over {over} together{strongest} = {score.gain:.2g}"


def _beside(value: float) -> str:
    """Return a number with two digits, or as many as it takes to tell it from the level."""
    for digits in range(2, 17):
        text = f"{value:.{digits}g}"
        if float(text) != LEVEL or value == LEVEL:
            break
    return text
