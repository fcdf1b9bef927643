"""One encoding model for each electrode, for every layer of a batch."""


rule encoding:
    input:
        unpack(lambda wildcards: STUDY.signal_file(*fit_of(wildcards))),
        words=RESULTS / "words/{participant}.tsv",
        heard=RESULTS / "heard/{participant}.tsv",
        embeddings=lambda wildcards: STUDY.embedding_files(wildcards.participant, wildcards.model),
    output:
        scores=RESULTS / "scores/{analysis}/{participant}/{model}/{layers}.nc",
    log:
        LOGS / "encoding/{analysis}/{participant}/{model}/{layers}.log",
    benchmark:
        BENCHMARKS / "encoding/{analysis}/{participant}/{model}/{layers}.tsv"
    conda:
        "../../envs/encoding.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(2000, 2.0, per_signal=20.0),
        runtime=minutes(60, 240),
    params:
        participant="{participant}",
        analysis=lambda wildcards: STUDY.fit_settings(wildcards.analysis, wildcards.model),
        name="{analysis}",
        model="{model}",
        layers=lambda wildcards: study.layers_of_name(wildcards.model, wildcards.layers),
        last_layer=lambda wildcards: STUDY.last_layer(wildcards.analysis, wildcards.model),
        bands=lambda wildcards: wildcards.model.split("+"),
        seed=config["seed"],
        code=code("encoding"),
    message:
        "{wildcards.participant}: {wildcards.analysis}, {wildcards.model}, layers {wildcards.layers}"
    script:
        "../scripts/encoding.py"
