"""What all rules share: the checked configuration, wildcard constraints, and where files lie."""

import os
import re
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

from snakemake.exceptions import WorkflowError
from snakemake.scheduling.job_scheduler import JobScheduler

# Jobs import the library from this checkout, whatever environment they run in.
SOURCE = Path(workflow.basedir) / "src"
sys.path.insert(0, str(SOURCE))
inherited = dict(os.environ).get("PYTHONPATH", "")
os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, [str(SOURCE), inherited])))

from highgamma import batches, catalogue, compare, fingerprint, lock, scheduling, settings
from highgamma import models as model_store
from highgamma.demo.files import MODEL_FILES, ROOT_FILES, participant_files
from highgamma.errors import InputError
from highgamma.recording import files as recordings
from highgamma.selftest import files as selftest_names


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


scheduling.without_idle_passes(JobScheduler)

# A run that was killed shall not keep the next one from starting.
if workflow.is_main_process:
    HELD = lock.hold(".snakemake")


def beside(path):
    """A file of the checkout from the working directory: who moves both together reruns nothing."""
    return os.path.relpath(Path(workflow.basedir) / path)


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
ANALYSES = config["analyses"]
MODELS = settings.embedded_models(config)
or_say(catalogue.check_names, CATALOGUE, MODELS)

# What concerns all participants; who else takes part, and from where, changes nobody's results.
DATASET = settings.in_order(
    {k: v for k, v in config["dataset"].items() if k not in ("participants", "source")}
)
ROOT = Path(DATASET["root"])
IS_DEMO = config["demo"] is not None
HAS_STIMULUS = DATASET["stimulus"] is not None
DEMO_WORDS = Path(beside("resources/demo-words"))
DEMO_MODELS = Path("resources/demo/models")
RESULTS = Path("results") / config["run"]
LOGS = RESULTS / "logs"
BENCHMARKS = RESULTS / "benchmarks"
SELFTEST = Path("results/selftest")


def participant_labels():
    """Labels of all participants; each has a folder, unless it is yet to be written or fetched."""
    named = config["dataset"]["participants"]
    awaited = IS_DEMO or (config["dataset"]["source"] and not ROOT.is_dir())
    if named == "all":
        noise = (config["demo"] or {}).get("noise") or {}
        simulated = noise.get("participants", [])
        named = list(simulated) if awaited else or_say(recordings.participants, ROOT)
    labels = sorted(n if n.startswith("sub-") else f"sub-{n}" for n in map(str, named))
    for label in labels:
        if not awaited and not (ROOT / label).is_dir():
            or_say(recordings.find, ROOT, label, task=DATASET["task"])
    return labels


PARTICIPANTS = participant_labels()


def one_of(names):
    """A pattern for these names alone: a file of another is no rule's, which Snakemake says."""
    return "|".join(re.escape(name) for name in sorted(names))


wildcard_constraints:
    participant=r"sub-[A-Za-z0-9]+|stimulus",
    model=one_of({*CATALOGUE, *(m for a in ANALYSES for m in settings.analysis_models(config, a))}),
    layers=r"\d+(-\d+)?",
    analysis=one_of(ANALYSES),
    signal=r"[a-z][a-z0-9-]*",
    seed=r"\d+",
    window=r"[a-z][a-z0-9-]*_(prompt|voice)_-?\d+\.\d{3}_-?\d+\.\d{3}",


SOURCES = fingerprint.Sources(Path(".snakemake/highgamma/sources.json"))


def code(stage):
    """Fingerprint of a stage's script and of every library module that it reaches."""
    script = Path(workflow.basedir) / f"workflow/scripts/{stage}.py"
    return fingerprint.fingerprint(script, SOURCES)


def demo_files(participant):
    """The files of one demo participant that a workflow may read: all but the truth."""
    return [ROOT / name for name in participant_files(participant) if "truth" not in name]


def simulated_how(wildcards):
    """Settings of one participant's simulation."""
    demo = config["demo"]
    if demo["noise"] is None:
        return settings.in_order({k: v for k, v in demo.items() if k != "noise"})
    own = demo["noise"]["participants"][wildcards.participant]
    spread = demo["noise"]["gain_spread"]
    return settings.in_order({"seed": demo["seed"], "gain_spread": spread, **own})


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


def all_recording_files(wildcards):
    """All files of the data set that the summarised participants' recordings are read from."""
    everyone = [SimpleNamespace(participant=name) for name in RECORDED]
    return sorted({path for one in everyone for path in recording_files(one)})


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


def size_mb(input):
    # `input.size_mb` starts an event loop for each job, a third of the time that a plan takes.
    return sum(os.path.getsize(file) for file in input) / 2**20


def megabytes(least, per_input=0.0):
    """Memory in MB, growing with the input's size and by half at each further attempt."""

    def mem_mb(wildcards, input, attempt):
        size = per_input * size_mb(input) if per_input else 0.0
        return int((least + size) * (1 + 0.5 * (attempt - 1)))

    return mem_mb


def minutes(least, per_gigabyte=0.0):
    """Run time in minutes, growing with the input's size, and doubled at each further attempt."""

    def runtime(wildcards, input, attempt):
        size = per_gigabyte * size_mb(input) / 1000 if per_gigabyte else 0.0
        return int((least + size) * 2 ** (attempt - 1))

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
    entry = CATALOGUE[wildcards.model]
    return (
        model_manifest(wildcards.model)
        or written_for_demo(entry)
        or catalogue.files_of(CATALOGUE, wildcards.model)
    )


def written_for_demo(entry):
    """Files of a model that the workflow writes itself, whether or not they are there yet."""
    place = (entry.get("source") or {}).get("folder") or (entry.get("source") or {}).get("file")
    files = [DEMO_MODELS / name for name in MODEL_FILES] if IS_DEMO and place else []
    return [path for path in files if Path(place) in (path, path.parent)]


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
        settled |= catalogue.fit_options(CATALOGUE[model], settled)
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


def untrained_twins():
    """For each trained model of the run the names of its untrained twins."""
    twins = {}
    for name in MODELS:
        base = CATALOGUE[name]["base"]
        if CATALOGUE[name].get("untrained") and base != name:
            twins.setdefault(base, []).append(name)
    return twins


def fit_files(analysis, participant, model):
    """All files of scores of one analysis, participant and model."""
    folder = f"{RESULTS}/scores/{analysis}/{participant}/{model}"
    return [f"{folder}/{layers_name(batch)}.nc" for batch in layer_batches(analysis, model)]


def lacks(analysis, participant, model):
    """The first stage of a fit that did not finish, with the file that is not there, or nothing.

    A job that fails leaves none of its files, not even those of an earlier run.
    """
    fit = SimpleNamespace(analysis=analysis, participant=participant, model=model)
    made = {
        "recording": [
            RESULTS / f"words/{heard_by(participant)}.tsv",
            RESULTS / f"channels/{participant}.tsv",
        ],
        ("targets" if ANALYSES[analysis]["unit"] == "word" else "neural"): fitted_to(fit).values(),
        "embeddings": fitted_from(fit),
        "encoding": fit_files(analysis, participant, model),
    }
    absent = ((s, str(f)) for s, files in made.items() for f in files if not Path(f).is_file())
    return next(absent, None)


ALL_FITS = [
    (analysis, participant, model)
    for analysis in ANALYSES
    for participant in PARTICIPANTS
    for model in settings.analysis_models(config, analysis)
]
# What tables and report take: every fit, or, for a run of which something failed, those there are.
PRESENT_ONLY = config["summarise"] == "present"
LACKING = {fit: what for fit in ALL_FITS if PRESENT_ONLY and (what := lacks(*fit))}
FITS = [fit for fit in ALL_FITS if fit not in LACKING]
SUMMARISED = [p for p in PARTICIPANTS if p in {participant for _, participant, _ in FITS}]
RECORDED = SUMMARISED + (["stimulus"] if HAS_STIMULUS else [])


@cache
def score_files():
    return [path for fit in FITS for path in fit_files(*fit)]


def audit_files():
    """Audits of the participants that are summarised."""
    if not config["contamination"]["enabled"]:
        return []
    files = [RESULTS / f"contamination/{participant}.nc" for participant in SUMMARISED]
    return [path for path in files if not PRESENT_ONLY or path.is_file()]


def lacking():
    """Analysis, participant and model of every fit that is left out, its stage and its file."""
    audits = [f"{RESULTS}/contamination/{participant}.nc" for participant in SUMMARISED]
    absent = [path for path in audits if path not in map(str, audit_files())]
    return [[*fit, *what] for fit, what in LACKING.items()] + [
        ["n/a", Path(path).stem, "n/a", "contamination", path]
        for path in absent
        if config["contamination"]["enabled"]
    ]


def scores_of(wildcards):
    return fit_files(wildcards.analysis, wildcards.participant, wildcards.model)


def is_position(model):
    """Whether a model knows nothing but the time, by whatever name."""
    return model in CATALOGUE and catalogue.role(CATALOGUE[model]) == "position"


def timecourse_files():
    """Time courses of all models but position features, which are there to judge splits."""
    followed = settings.timecourse_analyses(config)
    return [
        RESULTS / f"timecourse/{analysis}/{participant}/{model}.nc"
        for analysis, participant, model in FITS
        if analysis in followed and not is_position(model)
    ]


def compared_files(wildcards):
    """Tables and scores of both runs of a comparison; the other one must be finished."""
    if COMPARED is None:
        raise WorkflowError(
            "there is no run to compare with\n"
            "  what to do: name it, as in `snakemake compare --config compare=<run>`"
        )
    own = {"electrodes": RESULTS / "electrodes.tsv", "scores": score_files()}
    other = own
    if COMPARED["run"] != config["run"]:
        table, scores = or_say(compare.files, RESULTS.parent, COMPARED["run"])
        other = {"electrodes": table, "scores": scores}
    return own | {f"other_{name}": files for name, files in other.items()}


def unfinished():
    """What to do about a run of which a part failed; nothing where all fits are there, or none."""
    done = sum(lacks(*fit) is None for fit in ALL_FITS)
    if PRESENT_ONLY or done in (0, len(ALL_FITS)):
        return ""
    return (
        f"{done} of {len(ALL_FITS)} fits are there. For tables and a report of these, which name "
        "the missing ones, repeat the command with `--config summarise=present`. Once the cause is "
        "mended, repeat it as it was: the rest is done and everything is joined.\n"
    )


def published_scores():
    """The table of published scores; a relative path may be within this checkout."""
    if config["published"] is None:
        return []
    path = Path(config["published"]["scores"])
    within = Path(workflow.basedir) / path
    return within if within.is_file() and not path.is_file() else path


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
