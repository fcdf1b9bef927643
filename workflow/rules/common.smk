"""What all rules share: the checked configuration, wildcard constraints, and where files lie."""

import os
import re
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

# Jobs import the library from this checkout, whatever environment they run in.
SOURCE = Path(workflow.basedir) / "src"
sys.path.insert(0, str(SOURCE))
inherited = dict(os.environ).get("PYTHONPATH", "")
os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, [str(SOURCE), inherited])))

from highgamma import batches, catalogue, fingerprint, settings
from highgamma import models as model_store
from highgamma.demo.dataset import ROOT_FILES, participant_files
from highgamma.errors import InputError
from highgamma.recording import files as recordings


def or_say(function, *arguments, **options):
    """Call a function of the library; end with its message where the input is at fault."""
    try:
        return function(*arguments, **options)
    except InputError as error:
        raise WorkflowError(str(error))


def beside(path):
    """A file of the checkout from the working directory: who moves both together reruns nothing."""
    return os.path.relpath(Path(workflow.basedir) / path)


SCHEMA = settings.load_schema(Path(workflow.basedir) / "workflow/schemas/config.schema.yaml")
config = or_say(settings.checked, config, SCHEMA)
or_say(settings.cross_checked, config)

CATALOGUE = or_say(
    catalogue.load,
    Path(workflow.basedir) / "config/models.yaml",
    further=config["catalogue"],
)
ANALYSES = config["analyses"]
MODELS = settings.embedded_models(config)
or_say(catalogue.check_names, CATALOGUE, MODELS)

# What concerns all participants; who else takes part, and from where, changes nobody's results.
DATASET = settings.in_order(
    {k: v for k, v in config["dataset"].items() if k not in ("participants", "source")}
)
ROOT = Path(DATASET["root"])
IS_DEMO = "demo" in config
HAS_STIMULUS = "stimulus" in DATASET
DEMO_WORDS = Path(beside("resources/demo-words"))
RESULTS = Path("results") / config["run"]
LOGS = RESULTS / "logs"
BENCHMARKS = RESULTS / "benchmarks"


def participant_labels():
    """Labels of all participants; each has a folder, unless it is yet to be written or fetched."""
    named = config["dataset"]["participants"]
    awaited = IS_DEMO or (config["dataset"]["source"] and not ROOT.is_dir())
    if named == "all":
        named = [] if awaited else or_say(recordings.participants, ROOT)
    labels = sorted(n if n.startswith("sub-") else f"sub-{n}" for n in map(str, named))
    for label in labels:
        if not awaited and not (ROOT / label).is_dir():
            or_say(recordings.find, ROOT, label, task=DATASET["task"])
    return labels


PARTICIPANTS = participant_labels()


wildcard_constraints:
    participant=r"sub-[A-Za-z0-9]+|stimulus",
    model=r"[a-z0-9][a-z0-9._+-]*",
    layers=r"\d+(-\d+)?",
    analysis=r"[A-Za-z0-9][A-Za-z0-9-]*",
    signal=r"[a-z][a-z0-9-]*",
    window=r"[a-z][a-z0-9-]*_(prompt|voice)_-?\d+\.\d{3}_-?\d+\.\d{3}",


def code(stage):
    """Fingerprint of a stage's script and of every library module that it reaches."""
    return fingerprint.fingerprint(Path(workflow.basedir) / f"workflow/scripts/{stage}.py")


def demo_files(participant):
    """The files of one demo participant that a workflow may read: all but the truth."""
    return [ROOT / name for name in participant_files(participant) if "truth" not in name]


@cache
def found_files(participant):
    """A participant's files, as the data set's folders have them; looked for once."""
    segments = or_say(recordings.find, ROOT, participant, task=DATASET["task"])
    heard = [ROOT / DATASET["stimulus"]["words"]] if HAS_STIMULUS else []
    return [str(path) for segment in segments for path in segment.paths()] + heard


def recording_files(wildcards):
    """All files of a participant that the recording stage reads."""
    if wildcards.participant == "stimulus":
        return [
            ROOT / DATASET["stimulus"]["audio"],
            ROOT / DATASET["stimulus"]["words"],
        ]
    if IS_DEMO:
        return demo_files(wildcards.participant)
    return found_files(wildcards.participant)


def heard_by(participant):
    """Whose words and sound a participant's analyses take: their own, or the shared stimulus's."""
    return "stimulus" if HAS_STIMULUS else participant


@cache
def window_name(analysis, model):
    """Name of the word windows that a model is fitted to."""
    of = settings.fit_settings(config, analysis, model)
    start, stop = of["window"]
    return f"{of['signal']}_{of['align']}_{start:.3f}_{stop:.3f}"


@cache
def layer_batches(analysis, model):
    """The layers of a model that an analysis fits, as lists of consecutive layers, a list a job."""
    if model not in CATALOGUE:
        return [[0]]  # the bands of a banded ridge make one fit
    known = catalogue.layers_of(CATALOGUE, model)
    wanted = ANALYSES[analysis]["layers"]
    if wanted == "all":
        layers = known
    elif wanted == "last":
        layers = known[-1:]
    else:
        layers = [layer for layer in sorted(wanted) if layer in known] or known[-1:]
    size = config["layers_per_job"]
    if size == "auto":
        size = batches.layers_per_job(
            settings.fit_settings(config, analysis, model),
            width=CATALOGUE[model]["width"] or 1,
            layers=len(layers),
        )
    return batches.batches(layers, size=size)


def layers_name(batch):
    """`07` for one layer, `00-12` for several."""
    return f"{batch[0]:02d}" if len(batch) == 1 else f"{batch[0]:02d}-{batch[-1]:02d}"


def megabytes(least, per_input=0.0):
    """Memory in MB, growing with the input's size and by half at each further attempt."""

    def mem_mb(wildcards, input, attempt):
        # `input.size_mb` starts an event loop for each job, a third of the time that a plan takes.
        size = sum(os.path.getsize(file) for file in input) / 2**20 if per_input else 0.0
        return int((least + per_input * size) * (1 + 0.5 * (attempt - 1)))

    return mem_mb


def window_of(wildcards):
    signal, align, start, stop = wildcards.window.rsplit("_", 3)
    return {"align": align, "start": float(start), "stop": float(stop)}


def signal_of(wildcards):
    return wildcards.window.rsplit("_", 3)[0]


def model_files(wildcards):
    """Files of the model that must be there before it can run."""
    return model_manifest(wildcards.model) or catalogue.files_of(CATALOGUE, wildcards.model)


def fitted_to(wildcards):
    """The signal that an analysis is fitted to: frames, or means over words' windows."""
    of = ANALYSES[wildcards.analysis]
    participant = wildcards.participant
    if of["unit"] == "word":
        window = window_name(wildcards.analysis, wildcards.model)
        return {"target": f"{RESULTS}/targets/{window}/{participant}.nc"}
    if of["signal"] == "high-gamma":
        return {"neural": f"{RESULTS}/neural/{participant}.nc"}
    return {"neural": f"{RESULTS}/neural/{of['signal']}/{participant}.nc"}


@cache
def fit_settings(analysis, model):
    """Settings of a fit: the analysis's, with what its model brings along."""
    settled = settings.fit_settings(config, analysis, model)
    if model in CATALOGUE:
        settled |= catalogue.fit_options(CATALOGUE[model])
    return settled


def fitted_how(wildcards):
    return fit_settings(wildcards.analysis, wildcards.model)


def bands_of(wildcards):
    """The models that enter a fit: one, or the bands of a banded ridge."""
    return wildcards.model.split("+")


def fitted_from(wildcards):
    """The embeddings that a fit takes, in the order of its bands."""
    heard = heard_by(wildcards.participant)
    return [f"{RESULTS}/embeddings/{model}/{heard}.nc" for model in bands_of(wildcards)]


def layers_of_name(wildcards):
    """The layers that a file of scores is named for; of bands the last layer of each is taken."""
    if "+" in wildcards.model:
        return "last"
    first, *last = wildcards.layers.split("-")
    return list(range(int(first), int(last[0] if last else first) + 1))


@cache
def score_files():
    # Plain strings: a hundred thousand paths take a second more.
    return [
        f"{RESULTS}/scores/{analysis}/{participant}/{model}/{layers_name(batch)}.nc"
        for analysis in ANALYSES
        for participant in PARTICIPANTS
        for model in settings.analysis_models(config, analysis)
        for batch in layer_batches(analysis, model)
    ]


NAMED = sorted({*MODELS, *config["models"]})
LOCK = beside(model_store.LOCK)

# Models that share a repository (a network and its untrained twin) share its files.
FETCHED = {
    model_store.stored_name(CATALOGUE[name]): CATALOGUE[name]["source"]
    for name in NAMED
    if model_store.is_fetched(CATALOGUE[name])
}
LOCKED = or_say(model_store.read_lock, LOCK)
or_say(model_store.check_lock, [CATALOGUE[name] for name in NAMED], LOCKED)
# The weights' and the architecture's, each in its manifest.
PINS = {
    (model_store.stored_name(CATALOGUE[name]), bool(CATALOGUE[name].get("untrained"))): or_say(
        model_store.pin, CATALOGUE[name], LOCKED
    )
    for name in NAMED
    if model_store.is_fetched(CATALOGUE[name])
}


def pin_of(entry):
    """The revision that a model's files are pinned to; none for models that are not fetched."""
    if not model_store.is_fetched(entry):
        return None
    return PINS[model_store.stored_name(entry), bool(entry.get("untrained"))]


def model_manifest(name):
    """The manifest that is there when a model's files are; none for models that are not fetched."""
    path = model_store.manifest_path(CATALOGUE[name])
    return [] if path is None else [path]
