"""One encoding model for each electrode, for every layer of a batch."""


rule encoding:
    input:
        unpack(fitted_to),
        words=lambda wildcards: f"{RESULTS}/words/{heard_by(wildcards.participant)}.tsv",
        embeddings=fitted_from,
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
        mem_mb=megabytes(2000, 2.0),
        runtime=minutes(60, 240),
    params:
        participant="{participant}",
        analysis=fitted_how,
        name="{analysis}",
        model="{model}",
        layers=layers_of_name,
        last_layer=lambda wildcards: layer_batches(wildcards.analysis, wildcards.model)[-1][-1],
        bands=bands_of,
        seed=config["seed"],
        code=code("encoding"),
    message:
        "{wildcards.participant}: {wildcards.analysis}, {wildcards.model}, layers {wildcards.layers}"
    script:
        "../scripts/encoding.py"
