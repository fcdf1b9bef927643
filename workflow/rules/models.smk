"""Model files from the network: `snakemake models`. No other rule but `dataset` needs one."""


localrules:
    models,
    model,
    architecture,


rule models:
    input:
        [models.manifest_path(CATALOGUE[name]) or [] for name in STUDY.named],


# The code that fetches is no parameter: what it fetches is pinned by the lock file, and a change
# of it must not compute all embeddings again.
rule model:
    output:
        manifest="resources/models/{stored}.manifest.json",
    log:
        "resources/models/logs/{stored}.manifest.log",
    wildcard_constraints:
        stored=study.one_of(STUDY.pins.sources) or "none",
    conda:
        "../../envs/embeddings.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        name="{stored}",
        source=lambda wildcards: STUDY.pins.sources[wildcards.stored],
        models=lambda wildcards, output: str(Path(output.manifest).parent),
        lock=LOCK,
        pin=lambda wildcards: STUDY.pins.stored(wildcards.stored, untrained=False),
        weights=True,
    message:
        "fetching the model {wildcards.stored}"
    script:
        "../scripts/models.py"


use rule model as architecture with:
    output:
        manifest="resources/models/{stored}.architecture.json",
    log:
        "resources/models/logs/{stored}.architecture.log",
    params:
        name="{stored}",
        source=lambda wildcards: STUDY.pins.sources[wildcards.stored],
        models=lambda wildcards, output: str(Path(output.manifest).parent),
        lock=LOCK,
        pin=lambda wildcards: STUDY.pins.stored(wildcards.stored, untrained=True),
        weights=False,
    message:
        "fetching the architecture of {wildcards.stored}"
