"""All layers of a model, in one pass over what a participant said or heard."""


rule embeddings:
    input:
        words=RESULTS / "words/{participant}.tsv",
        audio=lambda wildcards: STUDY.sound_file(wildcards.participant),
        heard=RESULTS / "heard/{participant}.tsv",
        files=lambda wildcards: (
            recording_files(wildcards)
            if "recording" in catalogue.kind_of(CATALOGUE[wildcards.model]).needs
            else []
        ),
        model=lambda wildcards: STUDY.model_files(wildcards.model),
    output:
        embeddings=RESULTS / "embeddings/{model}/{participant}.nc",
    log:
        LOGS / "embeddings/{model}/{participant}.log",
    benchmark:
        BENCHMARKS / "embeddings/{model}/{participant}.tsv"
    conda:
        "../../envs/embeddings.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(3000),
        runtime=minutes(60, 600),
        gpu=lambda wildcards: STUDY.gpus(wildcards.model),
    params:
        participant="{participant}",
        dataset=DATASET,
        name="{model}",
        model=lambda wildcards: CATALOGUE[wildcards.model],
        pin=lambda wildcards: STUDY.pins.of(CATALOGUE[wildcards.model]),
        code=code("embeddings"),
    message:
        "{wildcards.participant}: embeddings of {wildcards.model}"
    script:
        "../scripts/embeddings.py"
