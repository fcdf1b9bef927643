"""Words, sound and channels of each participant, out of the data set."""


rule recording:
    input:
        files=recording_files,
    output:
        words=RESULTS / "words/{participant}.tsv",
        audio=RESULTS / "audio/{participant}.nc",
        channels=RESULTS / "channels/{participant}.tsv",
        heard=RESULTS / "heard/{participant}.tsv",
    log:
        LOGS / "recording/{participant}.log",
    benchmark:
        BENCHMARKS / "recording/{participant}.tsv"
    conda:
        "../../envs/signals.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1000, 0.5),
        runtime=minutes(10, 5),
    params:
        participant="{participant}",
        dataset=DATASET,
        code=code("recording"),
    message:
        "{wildcards.participant}: words, sound and channels"
    script:
        "../scripts/recording.py"
