"""Statistics over participants and the electrodes within them."""


rule group:
    input:
        electrodes=RESULTS / "electrodes.tsv",
    output:
        group=report(
            RESULTS / "group.tsv",
            caption="../report/group.rst",
            category="Tables",
            labels={"table": "group"},
        ),
    log:
        LOGS / "group.log",
    benchmark:
        BENCHMARKS / "group.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1000, 10.0),
        runtime=minutes(20),
    params:
        settings=config["group"],
        twins=STUDY.untrained_counterparts(),
        code=code("group"),
    message:
        "group statistics of {config[run]}"
    script:
        "../scripts/group.py"
