"""Model files from the network: `snakemake models`. No other rule but `dataset` needs one."""

import re

from highgamma import models as model_store

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


localrules:
    models,
    model,
    architecture,


rule models:
    input:
        [model_manifest(name) for name in NAMED],


# The code that fetches is no parameter: what it fetches is pinned by the lock file, and a change
# of it must not compute all embeddings again.
rule model:
    output:
        manifest="resources/models/{stored}.manifest.json",
    params:
        name="{stored}",
        source=lambda wildcards: FETCHED[wildcards.stored],
        models=str(model_store.MODELS),
        lock=LOCK,
        weights=True,
    log:
        "resources/models/logs/{stored}.manifest.log",
    wildcard_constraints:
        stored="|".join(map(re.escape, FETCHED)) or "none",
    threads: 1
    resources:
        mem_mb=4000,
    conda:
        "../../envs/embeddings.yaml"
    message:
        "fetching the model {wildcards.stored}"
    script:
        "../scripts/models.py"


use rule model as architecture with:
    output:
        manifest="resources/models/{stored}.architecture.json",
    params:
        name="{stored}",
        source=lambda wildcards: FETCHED[wildcards.stored],
        models=str(model_store.MODELS),
        lock=LOCK,
        weights=False,
    log:
        "resources/models/logs/{stored}.architecture.log",
    message:
        "fetching the architecture of {wildcards.stored}"
