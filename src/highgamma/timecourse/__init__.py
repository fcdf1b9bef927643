"""Measured and predicted activity around the voice onset of each word.

Time 0 is the onset of the voice. Activity before it belongs to planning and articulation, activity
after it also to hearing oneself. At each time the correlation runs over trials. It shows whether
the model predicts how a trial differs from the mean time course, which is the same in all trials,
beyond what the following explain of both sides, by least squares over trials at that time:

- the level of each recording, and drift: cosines slower than 60 s;
- whether someone speaks then, and up to 0.3 s before and after: words differ in duration.

Surrogates shift the trials of a recording circularly, whole, so that neighbouring trials stay as
similar as they are.
"""

from highgamma.timecourse.courses import MIN_TRIALS, Course, best_channels, read_courses, timecourse
from highgamma.timecourse.held_out import HeldOut, read_held_out
from highgamma.timecourse.null import (
    Explained,
    explained_over_trials,
    greatest_r,
    r_over_trials,
    standardised,
    trial_shifts,
)
from highgamma.timecourse.regions import RegionCourse, by_region
from highgamma.timecourse.settings import TimecourseSettings
from highgamma.timecourse.trials import Trials, find_trials, frame_step

__all__ = [
    "MIN_TRIALS",
    "Course",
    "Explained",
    "HeldOut",
    "RegionCourse",
    "TimecourseSettings",
    "Trials",
    "best_channels",
    "by_region",
    "explained_over_trials",
    "find_trials",
    "frame_step",
    "greatest_r",
    "r_over_trials",
    "read_courses",
    "read_held_out",
    "standardised",
    "timecourse",
    "trial_shifts",
]
