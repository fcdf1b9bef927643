"""The elastic net, its penalty fixed or chosen for each electrode and outer fold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from highgamma.encoding import cost
from highgamma.encoding.estimators import ESTIMATORS, Estimator, Task
from highgamma.encoding.fits import NestedFit

if TYPE_CHECKING:
    from highgamma.encoding.analysis import Analysis


class ElasticNet(Estimator):
    """Elastic net: argmin_w ‖y − Zw‖²/(2n) + α l₁‖w‖₁ + α (1 − l₁)/2 ‖w‖²."""

    name = "elastic-net"
    description = "absolute and squared penalty"
    alphas = tuple(10.0 ** (k / 3) for k in range(-9, 4))
    alphas_in_words = "10⁻³ to 10, three a decade"
    alpha_unit = "as in scikit-learn's ElasticNet"
    units = ("word",)

    def chooses_layers(self, analysis: Analysis) -> bool:
        """Return whether there are inner scores; a fixed penalty has none, as in the study."""
        return len(analysis.penalties) > 1

    def seconds(self, analysis: Analysis, size: cost.FitSize) -> float:
        """Return the expected seconds of one core for one layer, its null included."""
        return cost.elastic_net_seconds(size, fits=1 + size.surrogates)

    def nested(self, task: Task, prepared: Any = None) -> NestedFit:
        """Fit with penalties chosen on the inner folds."""
        from highgamma.encoding.solvers.elastic_net import nested_elastic_net

        return nested_elastic_net(
            task.design,
            task.targets,
            task.split,
            alphas=task.analysis.penalties,
            l1_ratio=task.analysis.l1_ratio,
            standardize=task.analysis.standardize,
            inner_scores=False,
            outer=task.outer,
        )

    def refit(self, task: Task, chosen: NestedFit) -> NestedFit:
        """Fit with given penalties."""
        from highgamma.encoding.solvers.elastic_net import refit_elastic_net

        return refit_elastic_net(
            task.design,
            task.targets,
            task.split,
            chosen.alpha,
            l1_ratio=task.analysis.l1_ratio,
            standardize=task.analysis.standardize,
            outer=task.outer,
        )


ESTIMATORS.register(ElasticNet())
