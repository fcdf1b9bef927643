"""Estimators: a module of this package registers each in `ESTIMATORS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from highgamma.encoding.compute import CPU, Compute
from highgamma.encoding.fits import NestedFit
from highgamma.encoding.nulls import Null, RefittedNull
from highgamma.encoding.splits import FloatArray, Split
from highgamma.encoding.statistics import Design
from highgamma.encoding.surrogates import Surrogates
from highgamma.registry import Registry

if TYPE_CHECKING:
    from highgamma.encoding.analysis import Analysis
    from highgamma.encoding.cost import FitSize


@dataclass(frozen=True, slots=True, kw_only=True)
class Spaces:
    """The feature spaces of a joint fit.

    Attributes
    ----------
    widths
        Features of each space.
    copies
        Delayed copies of each feature.
    seed
        Seed of whatever is drawn, the same for every electrode and fold.
    design_of
        ``design_of(spaces)`` returns the design of some of the spaces alone.
    """

    widths: tuple[int, ...]
    copies: int
    seed: int
    design_of: Callable[[Sequence[int]], Design]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is fitted.

    Attributes
    ----------
    design, targets
        Features (n, p) and targets (n, t) of the same samples.
    split
        Outer and inner folds.
    analysis
        The settings.
    outer
        Numbers of the outer folds that are fitted; None for all of them.
    spaces
        The feature spaces, where several models enter one fit.
    compute
        Where the heavy operations run.
    """

    design: Design
    targets: FloatArray
    split: Split
    analysis: Analysis
    outer: Sequence[int] | None = None
    spaces: Spaces | None = None
    compute: Compute = CPU

    @property
    def folds(self) -> Sequence[int]:
        """Numbers of the outer folds that are fitted."""
        return range(len(self.split.folds)) if self.outer is None else self.outer


class Estimator:
    """How weights are found; a subclass with an instance in `ESTIMATORS` is all that one needs.

    `nested` and `refit` are required. The null refits every surrogate unless a subclass knows a
    faster way to the same sums.

    Attributes
    ----------
    name, description
        What the configuration calls it, and one clause for docs/config.md.
    alphas, alphas_in_words
        Penalties to choose from where the analysis names none, ascending, and the same for
        docs/config.md; empty without a penalty.
    alpha_unit
        What a penalty multiplies.
    uses_input
        Whether predictions depend on the features. Without, there is nothing to test: no null is
        drawn and no position features are fitted beside it.
    joins_spaces
        Whether several models (`bands`) enter one fit.
    of_one_space
        The estimator that fits a control of a joint fit by itself.
    units
        The units of analysis that it is for.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    alphas: ClassVar[tuple[float, ...]] = ()
    alphas_in_words: ClassVar[str] = ""
    alpha_unit: ClassVar[str] = ""
    uses_input: ClassVar[bool] = True
    joins_spaces: ClassVar[bool] = False
    of_one_space: ClassVar[str | None] = None
    units: ClassVar[tuple[str, ...]] = ("word", "frame")

    def penalties(self, analysis: Analysis) -> tuple[float, ...]:
        """Return the penalties to choose from, ascending; only one where it is fixed."""
        if analysis.alpha is not None:
            return (float(analysis.alpha),)
        return tuple(sorted(analysis.alphas or self.alphas))

    def problems(self, analysis: Analysis) -> list[str]:
        """Return what the analysis sets that this estimator can't do, each as `key: message`."""
        problems = []
        if analysis.unit not in self.units:
            problems.append(
                f"estimator: {self.name} is fitted to {'s and '.join(self.units)}s, not to "
                f"{analysis.unit}s"
            )
        if self.joins_spaces != bool(analysis.bands):
            joining = " or ".join(e.name for e in ESTIMATORS.values() if e.joins_spaces)
            problems.append(f"bands: `bands` and `estimator: {joining}` go together")
        return problems

    def chooses_layers(self, analysis: Analysis) -> bool:
        """Return whether fits have inner scores that a layer can be chosen by."""
        return True

    def seconds(self, analysis: Analysis, size: FitSize) -> float:
        """Return the expected seconds of one core for one layer, its null included."""
        raise NotImplementedError

    def prepared(self, task: Task) -> Any:
        """Return what the fit and its null both start from, such as block statistics."""
        return None

    def nested(self, task: Task, prepared: Any = None) -> NestedFit:
        """Fit with penalties chosen on the inner folds, for each target and outer fold."""
        raise NotImplementedError

    def refit(self, task: Task, chosen: NestedFit) -> NestedFit:
        """Fit with the penalties of another fit."""
        raise NotImplementedError

    def null(self, surrogates: Surrogates) -> Null:
        """Return what gathers the scores of surrogates, design by design."""
        return RefittedNull(self, surrogates)

    def extras(self, task: Task, fit: NestedFit) -> dict[str, FloatArray]:
        """Return further results of a fit, by the names of score columns."""
        return {}


ESTIMATORS: Registry[Estimator] = Registry("estimator", package=__name__)
