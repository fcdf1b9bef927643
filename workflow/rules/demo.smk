"""Simulated data sets in a published layout: the demo, whose truth is known, or pure noise."""


rule demo:
    input:
        audio=DEMO_WORDS / "words.flac",
        words=DEMO_WORDS / "words.tsv",
        phones=DEMO_WORDS / "phones.tsv",
    output:
        files=STUDY.demo_files("{participant}"),
        truth=ROOT / "truth/{participant}.tsv",
        truth_words=ROOT / "truth/{participant}_words.tsv",
    log:
        LOGS / "demo/{participant}.log",
    benchmark:
        BENCHMARKS / "demo/{participant}.tsv"
    conda:
        "../../envs/embeddings.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=minutes(20),
    params:
        root=lambda wildcards, output: str(Path(output.truth).parents[1]),
        participant="{participant}",
        words_folder=lambda wildcards, input: str(Path(input.words).parent),
        kind="noise" if config["demo"]["noise"] else "planted",
        settings=lambda wildcards: STUDY.simulation(wildcards.participant),
        code=code("demo"),
    message:
        "{wildcards.participant}: simulating the recording"
    script:
        "../scripts/demo.py"


rule demo_dataset:
    output:
        expand(ROOT / "{name}", name=ROOT_FILES),
    log:
        LOGS / "demo_dataset.log",
    conda:
        "../../envs/signals.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=minutes(10),
    params:
        root=lambda wildcards, output: str(Path(output[0]).parent),
        participants=PARTICIPANTS,
        code=code("demo_dataset"),
    message:
        "the demo's participants"
    script:
        "../scripts/demo_dataset.py"


rule demo_speech_model:
    output:
        [DEMO_MODELS / name for name in TINY_FILES],
    log:
        LOGS / "demo_speech_model.log",
    conda:
        "../../envs/signals.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=minutes(10),
    params:
        code=code("demo_speech_model"),
    message:
        "a tiny speech model"
    script:
        "../scripts/demo_speech_model.py"


rule demo_models:
    input:
        audio=DEMO_WORDS / "words.flac",
        words=DEMO_WORDS / "words.tsv",
        phones=DEMO_WORDS / "phones.tsv",
    output:
        [DEMO_MODELS / name for name in MODEL_FILES],
    log:
        LOGS / "demo_models.log",
    conda:
        "../../envs/signals.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=minutes(10),
    params:
        folder=lambda wildcards, output: os.path.commonpath(list(output)),
        words_folder=lambda wildcards, input: str(Path(input.words).parent),
        code=code("demo_models"),
    message:
        "random models of the study's sizes"
    script:
        "../scripts/demo_models.py"
