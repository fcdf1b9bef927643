"""Whether an electrode picked up the sound itself, frequency by frequency."""


rule contamination:
    input:
        files=recording_files,
        channels=RESULTS / "channels/{participant}.tsv",
        audio=lambda wildcards: STUDY.sound_file(wildcards.participant),
        heard=RESULTS / "heard/{participant}.tsv",
    output:
        contamination=RESULTS / "contamination/{participant}.nc",
    log:
        LOGS / "contamination/{participant}.log",
    benchmark:
        BENCHMARKS / "contamination/{participant}.tsv"
    conda:
        "../../envs/signals.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(10, 30),
    params:
        participant="{participant}",
        dataset=DATASET,
        settings=settings.in_order(config["contamination"]),
        # Of the signal only what changes the electrodes before they are filtered.
        signal=settings.in_order(
            {key: config["neural"][key] for key in ("reference", "grids", "artefacts")}
        ),
        code=code("contamination"),
    message:
        "{wildcards.participant}: audit of sound in the electrodes"
    script:
        "../scripts/contamination.py"
