"""The training mean: a prediction that ignores its input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from highgamma.encoding.estimators import ESTIMATORS, Estimator, Task
from highgamma.encoding.fits import NestedFit, empty_fit

if TYPE_CHECKING:
    from highgamma.encoding.analysis import Analysis
    from highgamma.encoding.cost import FitSize


class Mean(Estimator):
    """Predict each fold's training mean."""

    name = "mean"
    description = "ignores its input"
    uses_input = False

    def penalties(self, analysis: Analysis) -> tuple[float, ...]:
        """Return the one penalty that stands for none."""
        return (0.0,)

    def seconds(self, analysis: Analysis, size: FitSize) -> float:
        """Return the expected seconds of one core for one layer."""
        return 0.1

    def nested(self, task: Task, prepared: Any = None) -> NestedFit:
        """Predict the training means; there is nothing to choose."""
        folds = task.split.folds
        fit = empty_fit(len(task.targets), len(folds), task.targets.shape[1])
        for i in task.folds:
            fit.training_mean[i] = task.targets[folds[i].train].mean(axis=0)
            fit.prediction[folds[i].test] = fit.training_mean[i]
        return fit

    def refit(self, task: Task, chosen: NestedFit) -> NestedFit:
        """Predict the training means."""
        return self.nested(task)


ESTIMATORS.register(Mean())
