"""What the voltage of each electrode looks like, and what is unusual in it."""


rule quality:
    input:
        files=recording_files,
        channels=RESULTS / "channels/{participant}.tsv",
    output:
        table=RESULTS / "quality/{participant}.tsv",
        figure=RESULTS / "quality/{participant}.png",
    log:
        LOGS / "quality/{participant}.log",
    benchmark:
        BENCHMARKS / "quality/{participant}.tsv"
    conda:
        "../../envs/signals.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(10, 30),
    params:
        participant="{participant}",
        dataset=DATASET,
        settings=settings.in_order(config["quality"]),
        signal=settings.in_order({key: config["neural"][key] for key in ("grids", "artefacts")}),
        code=code("quality"),
    message:
        "{wildcards.participant}: quality of the recording"
    script:
        "../scripts/quality.py"
