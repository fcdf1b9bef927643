"""Count and compare the contents of the tables.

`verdicts` counts what is supported, `comparison` compares a published study with this run, `clean`
leaves contaminated electrodes out, `partition` divides a joint fit among its models, `recovery`
compares the planted truth with the results, `inputs` names what is unusual in what the fits are
made from.
"""

from highgamma.report.findings.clean import TABLE_COLUMNS, CleanRow, with_and_without, write_clean
from highgamma.report.findings.comparison import Compared, PublishedComparison, comparison
from highgamma.report.findings.inputs import (
    FlaggedChannels,
    UnknownWords,
    flag_meanings,
    flagged_channels,
    unknown_words,
)
from highgamma.report.findings.partition import Partition, partitions
from highgamma.report.findings.recovery import (
    LAG_TOLERANCE,
    LAYER_TOLERANCE,
    Recovery,
    recovery,
)
from highgamma.report.findings.verdicts import (
    PUBLISHED_RANGE,
    RULES,
    SUPPORTED,
    VERDICTS,
    AnalysisFinding,
    ModelFinding,
    best_electrodes,
    by_verdict,
    flag_counts,
    headline,
)

__all__ = [
    "LAG_TOLERANCE",
    "LAYER_TOLERANCE",
    "PUBLISHED_RANGE",
    "RULES",
    "SUPPORTED",
    "TABLE_COLUMNS",
    "VERDICTS",
    "AnalysisFinding",
    "CleanRow",
    "Compared",
    "FlaggedChannels",
    "ModelFinding",
    "Partition",
    "PublishedComparison",
    "Recovery",
    "UnknownWords",
    "best_electrodes",
    "by_verdict",
    "comparison",
    "flag_counts",
    "flag_meanings",
    "flagged_channels",
    "headline",
    "partitions",
    "recovery",
    "unknown_words",
    "with_and_without",
    "write_clean",
]
