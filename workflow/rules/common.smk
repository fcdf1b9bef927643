"""What all rules share: the checked configuration, wildcard constraints, and where files lie."""

import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# Jobs import the library from this checkout, whatever environment they run in.
SOURCE = Path(workflow.basedir) / "src"
sys.path.insert(0, str(SOURCE))
os.environ["PYTHONPATH"] = os.pathsep.join(
    dict.fromkeys([str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])])
)

from highgamma import catalogue, fingerprint, settings
from highgamma.errors import InputError
from highgamma.recording import files as recordings


def or_say(function, *arguments, **options):
    """Call a function of the library; end with its message where the input is at fault."""
    try:
        return function(*arguments, **options)
    except InputError as error:
        raise WorkflowError(str(error))


SCHEMA = settings.load_schema(Path(workflow.basedir) / "workflow/schemas/config.schema.yaml")
config = or_say(settings.checked, config, SCHEMA)
or_say(settings.cross_checked, config)

CATALOGUE = or_say(
    catalogue.load, Path(workflow.basedir) / "config/models.yaml", further=config["catalogue"]
)
ANALYSES = config["analyses"]
MODELS = sorted({m for a in ANALYSES for m in settings.analysis_models(config, a)})
or_say(catalogue.check_names, CATALOGUE, MODELS)

# What concerns all participants; who else takes part, and from where, changes nobody's results.
DATASET = {k: v for k, v in config["dataset"].items() if k not in ("participants", "source")}
ROOT = Path(DATASET["root"])
IS_DEMO = "demo" in config
HAS_STIMULUS = "stimulus" in DATASET
RESULTS = Path("results") / config["run"]
LOGS = RESULTS / "logs"
BENCHMARKS = RESULTS / "benchmarks"


def participant_labels():
    named = config["dataset"]["participants"]
    if named == "all":
        if config["dataset"]["source"] and not ROOT.is_dir():
            return []  # `snakemake dataset` has yet to fetch them
        named = or_say(recordings.participants, ROOT)
    return sorted(n if n.startswith("sub-") else f"sub-{n}" for n in map(str, named))


PARTICIPANTS = participant_labels()


wildcard_constraints:
    participant=r"sub-[A-Za-z0-9]+|stimulus",
    model=r"[a-z0-9][a-z0-9._-]*",
    layers=r"\d+(-\d+)?",
    analysis=r"[A-Za-z0-9][A-Za-z0-9-]*",
    signal=r"[a-z][a-z0-9-]*",
    window=r"[a-z][a-z0-9-]*_(prompt|voice)_-?\d+\.\d{3}_-?\d+\.\d{3}",


def code(stage):
    """Fingerprint of a stage's script and of every library module that it reaches."""
    return fingerprint.fingerprint(Path(workflow.basedir) / f"workflow/scripts/{stage}.py")


def recording_files(wildcards):
    """All files of a participant that the recording stage reads."""
    if wildcards.participant == "stimulus":
        return [ROOT / DATASET["stimulus"]["audio"], ROOT / DATASET["stimulus"]["words"]]
    if IS_DEMO:
        shared = [ROOT / name for name in ROOT_FILES]
        return demo_files(wildcards.participant) + shared
    segments = or_say(recordings.find, ROOT, wildcards.participant, task=DATASET["task"])
    return [path for segment in segments for path in segment.paths()]


def heard_by(participant):
    """Whose words and sound a participant's analyses take: their own, or the shared stimulus's."""
    return "stimulus" if HAS_STIMULUS else participant


def window_name(analysis, model):
    """Name of the word windows that a model is fitted to."""
    of = settings.fit_settings(config, analysis, model)
    start, stop = of["window"]
    return f"{of['signal']}_{of['align']}_{start:.3f}_{stop:.3f}"


def layer_batches(analysis, model):
    """The layers of a model that an analysis fits, as lists of consecutive layers, a list a job."""
    known = catalogue.layers_of(CATALOGUE, model)
    wanted = ANALYSES[analysis]["layers"]
    if wanted == "all":
        layers = known
    elif wanted == "last":
        layers = known[-1:]
    else:
        layers = [layer for layer in sorted(wanted) if layer in known] or known[-1:]
    size = config["layers_per_job"] or len(layers)
    batches = [[layers[0]]]
    for layer in layers[1:]:
        if layer == batches[-1][-1] + 1 and len(batches[-1]) < size:
            batches[-1].append(layer)
        else:
            batches.append([layer])
    return batches


def layers_name(batch):
    """`07` for one layer, `00-12` for several."""
    return f"{batch[0]:02d}" if len(batch) == 1 else f"{batch[0]:02d}-{batch[-1]:02d}"


def megabytes(least, per_input=0.0):
    """Memory in MB, growing with the input's size and by half at each further attempt."""

    def mem_mb(wildcards, input, attempt):
        return int((least + per_input * input.size_mb) * (1 + 0.5 * (attempt - 1)))

    return mem_mb
