"""The report's figures: each function returns one `Drawn` figure, the same bytes for the same data.

Each module draws one subject; `canvas` holds what they share.
"""

from highgamma.report.figures.audit import contamination
from highgamma.report.figures.canvas import Drawn, probability, short
from highgamma.report.figures.group import group_models, group_regions
from highgamma.report.figures.lags import lag_curves
from highgamma.report.figures.layers import layer_profiles
from highgamma.report.figures.leakage import demonstrations, leakage, leakage_rows
from highgamma.report.figures.partition import variance_partition
from highgamma.report.figures.places import electrode_map
from highgamma.report.figures.published import published_scores
from highgamma.report.figures.recreated import best_traces, response_weights
from highgamma.report.figures.study import across_channels
from highgamma.report.figures.timecourse import around_onset, trial_by_trial
from highgamma.report.figures.truth import planted_truth
from highgamma.report.figures.verdicts import verdicts

__all__ = [
    "Drawn",
    "across_channels",
    "around_onset",
    "best_traces",
    "contamination",
    "demonstrations",
    "electrode_map",
    "group_models",
    "group_regions",
    "lag_curves",
    "layer_profiles",
    "leakage",
    "leakage_rows",
    "planted_truth",
    "probability",
    "published_scores",
    "response_weights",
    "short",
    "trial_by_trial",
    "variance_partition",
    "verdicts",
]
