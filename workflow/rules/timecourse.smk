"""Measured and recreated activity around the onset of each word."""


rule timecourse:
    input:
        scores=lambda wildcards: STUDY.score_files(*fit_of(wildcards)),
        words=RESULTS / "words/{participant}.tsv",
    output:
        timecourse=RESULTS / "timecourse/{analysis}/{participant}/{model}.nc",
    log:
        LOGS / "timecourse/{analysis}/{participant}/{model}.log",
    benchmark:
        BENCHMARKS / "timecourse/{analysis}/{participant}/{model}.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1000, 12.0),
        runtime=minutes(10, 30),
    params:
        settings={
            **{k: v for k, v in config["timecourse"].items() if k != "analyses"},
            "seed": config["seed"],
        },
        code=code("timecourse"),
    message:
        "{wildcards.participant}: {wildcards.analysis}, {wildcards.model}, around each word's onset"
    script:
        "../scripts/timecourse.py"
