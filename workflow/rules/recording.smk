"""Words, sound and channels of each participant, out of the data set."""


rule recording:
    input:
        files=recording_files,
    output:
        words=RESULTS / "words/{participant}.tsv",
        audio=RESULTS / "audio/{participant}.nc",
        channels=RESULTS / "channels/{participant}.tsv",
    params:
        participant="{participant}",
        dataset=DATASET,
        code=code("recording"),
    log:
        LOGS / "recording/{participant}.log",
    benchmark:
        BENCHMARKS / "recording/{participant}.tsv"
    threads: 1
    resources:
        mem_mb=megabytes(1000, 0.5),
    conda:
        "../../envs/signals.yaml"
    message:
        "{wildcards.participant}: words, sound and channels"
    script:
        "../scripts/recording.py"
