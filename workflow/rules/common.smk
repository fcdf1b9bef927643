"""What all rules share: the checked configuration, the study that comes out of it, resources."""

import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# Jobs import the library from this checkout, whatever environment they run in.
SOURCE = Path(workflow.basedir) / "src"
sys.path.insert(0, str(SOURCE))
inherited = dict(os.environ).get("PYTHONPATH", "")
os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, [str(SOURCE), inherited])))

from highgamma import catalogue, models, settings
from highgamma.demo.files import MODEL_FILES, ROOT_FILES, TINY_FILES
from highgamma.errors import InputError
from highgamma.selftest import files as selftest
from highgamma.workflow import fingerprint, lock, scheduling, study


def or_say(function, *arguments, **options):
    """Call a function of the library; end with its message where the input is at fault.

    `snakemake check` has then no graph to run in, and says here all that it would say there.
    """
    try:
        return function(*arguments, **options)
    except InputError as error:
        if "check" not in sys.argv[1:]:
            raise WorkflowError(str(error))
    from highgamma.check import check, told

    raise WorkflowError(told(check(config, workflow=workflow.basedir, command=None)))


def beside(path):
    """A file of the checkout from the working directory: who moves both together reruns nothing."""
    return os.path.relpath(Path(workflow.basedir) / path)


scheduling.without_idle_passes()

# A run that was killed shall not keep the next one from starting.
if workflow.is_main_process:
    HELD = lock.hold(".snakemake")

try:
    settings.refuse_without_dataset(STATED)
except InputError as error:
    raise WorkflowError(str(error))
config = or_say(settings.checked, config)
or_say(settings.cross_checked, config)

# What a run is compared with changes nothing in it.
COMPARED = settings.compared(config)
config.pop("compare")

CATALOGUE = or_say(
    catalogue.load,
    Path(workflow.basedir) / "config/models.yaml",
    further=config["catalogue"],
)
config = catalogue.heard_by_trial(config, CATALOGUE)
LOCK = beside(models.LOCK)
STUDY = or_say(study.Study, config, CATALOGUE, lock=LOCK)

PARTICIPANTS = or_say(lambda: STUDY.participants)
ROOT, DATASET, IS_DEMO = STUDY.root, STUDY.dataset, STUDY.is_demo
DEMO_WORDS = Path(beside("resources/demo-words"))
DEMO_MODELS, SELFTEST = STUDY.demo_models, STUDY.selftest
RESULTS = STUDY.results
LOGS = RESULTS / "logs"
BENCHMARKS = RESULTS / "benchmarks"


wildcard_constraints:
    participant=r"sub-[A-Za-z0-9]+|stimulus",
    model=study.one_of({*CATALOGUE, *(m for a in STUDY.analyses for m in STUDY.fitted_models(a))}),
    layers=r"\d+(-\d+)?",
    analysis=study.one_of(STUDY.analyses),
    signal=r"[a-z][a-z0-9-]*",
    seed=r"\d+",
    window=r"[a-z][a-z0-9-]*_(prompt|voice)_-?\d+\.\d{3}_-?\d+\.\d{3}",


SOURCES = fingerprint.Sources(Path(".snakemake/highgamma/sources.json"))


def code(stage):
    """Fingerprint of a stage's script and of every library module that it reaches."""
    script = Path(workflow.basedir) / f"workflow/scripts/{stage}.py"
    return fingerprint.fingerprint(script, SOURCES)


def size_mb(input):
    # `input.size_mb` starts an event loop for each job, a third of the time that a plan takes.
    return sum(os.path.getsize(file) for file in input) / 2**20


def megabytes(least, per_input=0.0, per_signal=0.0):
    """Memory in MB, growing with the input's and the signal's size, and by half at each attempt."""

    def mem_mb(wildcards, input, attempt):
        size = per_input * size_mb(input) if per_input else 0.0
        size += per_signal * size_mb([file for file in input if "/neural/" in file])
        return int((least + size) * (1 + 0.5 * (attempt - 1)))

    return mem_mb


def minutes(least, per_gigabyte=0.0):
    """Run time in minutes, growing with the input's size, and doubled at each further attempt."""

    def runtime(wildcards, input, attempt):
        size = per_gigabyte * size_mb(input) / 1000 if per_gigabyte else 0.0
        return int((least + size) * 2 ** (attempt - 1))

    return runtime


def recording_files(wildcards):
    """All files that the recording stage reads of a participant, or of the shared stimulus."""
    return or_say(STUDY.recording_files, wildcards.participant)


def fit_of(wildcards):
    """Analysis, participant and model of a job."""
    return wildcards.analysis, wildcards.participant, wildcards.model


def published_scores():
    """The table of published scores; a relative path may be within this checkout."""
    if config["published"] is None:
        return []
    path = Path(config["published"]["scores"])
    within = Path(workflow.basedir) / path
    return within if within.is_file() and not path.is_file() else path
