"""What all rules share: the checked configuration, wildcard constraints, and where files lie."""

import os
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# Jobs import the library from this checkout, whatever environment they run in.
SOURCE = Path(workflow.basedir) / "src"
sys.path.insert(0, str(SOURCE))
inherited = dict(os.environ).get("PYTHONPATH", "")
os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, [str(SOURCE), inherited])))

from highgamma import catalogue, fingerprint, lock, settings
from highgamma import models as model_store
from highgamma.demo.dataset import ROOT_FILES, participant_files
from highgamma.errors import InputError
from highgamma.recording import files as recordings
from highgamma.selftest import files as selftest_names


def or_say(function, *arguments, **options):
    """Call a function of the library; end with its message where the input is at fault."""
    try:
        return function(*arguments, **options)
    except InputError as error:
        raise WorkflowError(str(error))


# A run that was killed shall not keep the next one from starting.
if workflow.is_main_process:
    HELD = lock.hold(".snakemake")

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
DEMO_WORDS = Path(workflow.basedir) / "resources/demo-words"
RESULTS = Path("results") / config["run"]
LOGS = RESULTS / "logs"
BENCHMARKS = RESULTS / "benchmarks"
SELFTEST = Path("results/selftest")


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
    seed=r"\d+",
    window=r"[a-z][a-z0-9-]*_(prompt|voice)_-?\d+\.\d{3}_-?\d+\.\d{3}",


def code(stage):
    """Fingerprint of a stage's script and of every library module that it reaches."""
    return fingerprint.fingerprint(Path(workflow.basedir) / f"workflow/scripts/{stage}.py")


def demo_files(participant):
    """The files of one demo participant that a workflow may read: all but the truth."""
    return [ROOT / name for name in participant_files(participant) if "truth" not in name]


def recording_files(wildcards):
    """All files of a participant that the recording stage reads."""
    if wildcards.participant == "stimulus":
        return [
            ROOT / DATASET["stimulus"]["audio"],
            ROOT / DATASET["stimulus"]["words"],
        ]
    if IS_DEMO:
        shared = [ROOT / name for name in ROOT_FILES]
        return demo_files(wildcards.participant) + shared
    segments = or_say(recordings.find, ROOT, wildcards.participant, task=DATASET["task"])
    heard = [ROOT / DATASET["stimulus"]["words"]] if HAS_STIMULUS else []
    return [path for segment in segments for path in segment.paths()] + heard


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


def minutes(least, per_gigabyte=0.0):
    """Run time in minutes, growing with the input's size, and doubled at each further attempt."""

    def runtime(wildcards, input, attempt):
        return int((least + per_gigabyte * input.size_mb / 1000) * 2 ** (attempt - 1))

    return runtime


def gpus(wildcards):
    """GPUs that a job of a network asks its cluster for; other models need none."""
    network = CATALOGUE[wildcards.model]["kind"] in catalogue.NETWORKS
    return config["gpus"] if network and config["device"] != "cpu" else 0


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
        return {"target": RESULTS / f"targets/{window}/{participant}.nc"}
    if of["signal"] == "high-gamma":
        return {"neural": RESULTS / f"neural/{participant}.nc"}
    return {"neural": RESULTS / f"neural/{of['signal']}/{participant}.nc"}


def fitted_how(wildcards):
    """Settings of a fit: the analysis's, with what its model brings along."""
    settled = settings.fit_settings(config, wildcards.analysis, wildcards.model)
    if wildcards.model in CATALOGUE:
        settled |= catalogue.fit_options(CATALOGUE[wildcards.model], settled)
    return settled


def bands_of(wildcards):
    """The models that enter a fit: one, or the bands of a banded ridge."""
    return wildcards.model.split("+")


def fitted_from(wildcards):
    """The embeddings that a fit takes, in the order of its bands."""
    heard = heard_by(wildcards.participant)
    return [RESULTS / f"embeddings/{model}/{heard}.nc" for model in bands_of(wildcards)]


def layers_of_name(wildcards):
    """The layers that a file of scores is named for; of bands the last layer of each is taken."""
    if "+" in wildcards.model:
        return "last"
    first, *last = wildcards.layers.split("-")
    return list(range(int(first), int(last[0] if last else first) + 1))


def score_files():
    return [
        RESULTS / f"scores/{analysis}/{participant}/{model}/{layers_name(batch)}.nc"
        for analysis in ANALYSES
        for participant in PARTICIPANTS
        for model in settings.analysis_models(config, analysis)
        for batch in layer_batches(analysis, model)
    ]


NAMED = sorted({*MODELS, *config["models"]})
LOCK = os.path.relpath(Path(workflow.basedir) / model_store.LOCK)

# Models that share a repository (a network and its untrained twin) share its files.
FETCHED = {
    model_store.stored_name(CATALOGUE[name]): CATALOGUE[name]["source"]
    for name in NAMED
    if model_store.is_fetched(CATALOGUE[name])
}
or_say(model_store.check_lock, [CATALOGUE[name] for name in NAMED], LOCK)


def model_manifest(name):
    """The manifest that is there when a model's files are; none for models that are not fetched."""
    path = model_store.manifest_path(CATALOGUE[name])
    return [] if path is None else [path]


def selftest_files(folder, participant):
    """What is kept of one simulated participant."""
    return [str(path) for path in selftest_names.participant_files(folder, participant)]


def selftest_inputs():
    """The files of all simulated participants, seed by seed."""
    of = config["selftest"]
    return [
        file
        for seed in of["seeds"]
        for number in range(1, of["participants"] + 1)
        for file in selftest_files(SELFTEST / str(seed), selftest_names.participant_name(number))
    ]
