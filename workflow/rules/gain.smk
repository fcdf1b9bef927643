"""What each model predicts beyond nuisances and controls, and how sure that is."""


rule gain:
    input:
        scores=lambda wildcards: STUDY.scores_of(wildcards.analysis, wildcards.participant),
    output:
        # With the scores, so that a batch of the tables takes both of the same fits.
        gain=RESULTS / "scores/{analysis}/{participant}/gain.tsv",
    log:
        LOGS / "gain/{analysis}/{participant}.log",
    benchmark:
        BENCHMARKS / "gain/{analysis}/{participant}.tsv"
    conda:
        "../../envs/encoding.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1000, 8.0),
        runtime=minutes(20),
    params:
        nuisances=lambda wildcards: STUDY.nuisances(wildcards.analysis),
        controls=lambda wildcards: STUDY.controls(wildcards.analysis),
        code=code("gain"),
    message:
        "{wildcards.participant}: gains in {wildcards.analysis}"
    script:
        "../scripts/gain.py"
