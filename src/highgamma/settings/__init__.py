"""The configuration: its sections, its checks, and what it fits."""

from highgamma.settings.checking import checked, cross_checked, refuse_without_dataset
from highgamma.settings.configuration import schema
from highgamma.settings.fits import (
    POSITION,
    Settings,
    analysis_models,
    compared,
    embedded_models,
    fit_settings,
    in_order,
    signal_settings,
    timecourse_analyses,
)

__all__ = [
    "POSITION",
    "Settings",
    "analysis_models",
    "checked",
    "compared",
    "cross_checked",
    "embedded_models",
    "fit_settings",
    "in_order",
    "refuse_without_dataset",
    "schema",
    "signal_settings",
    "timecourse_analyses",
]
