"""Tables over a whole run: which electrodes are supported, for which model, at which layer.

The layer is chosen for each electrode inside every fold, on that fold's training samples alone;
the score is that of the chosen layers on the held-out samples. The significance of a score is the
share of circular shifts that score at least as high, controlled for false discoveries over a
declared family: all electrodes of all participants, for one analysis and one model.
"""

from highgamma.scores import LEVEL
from highgamma.summary.choice import FAMILY, Choice, choose
from highgamma.summary.columns import FLAGS
from highgamma.summary.fits import Fit, fold_sums, read_fits
from highgamma.summary.run import (
    Summary,
    read_channels,
    read_contamination,
    read_gains,
    read_not_auditable,
    summarise,
    write,
)

__all__ = [
    "FAMILY",
    "FLAGS",
    "LEVEL",
    "Choice",
    "Fit",
    "Summary",
    "choose",
    "fold_sums",
    "read_channels",
    "read_contamination",
    "read_fits",
    "read_gains",
    "read_not_auditable",
    "summarise",
    "write",
]
