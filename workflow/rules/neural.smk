"""High-gamma envelope (or another signal's) of each participant, one value a frame."""


rule neural:
    input:
        files=recording_files,
        channels=RESULTS / "channels/{participant}.tsv",
    output:
        neural=RESULTS / "neural/{participant}.nc",
    log:
        LOGS / "neural/{participant}.log",
    benchmark:
        BENCHMARKS / "neural/{participant}.tsv"
    conda:
        "../../envs/signals.yaml"
    threads: 1
    resources:
        # The exact method holds whole channels: 2.3 GiB for three hours at 2048 Hz.
        mem_mb=megabytes(2000, 0.05),
        runtime=minutes(10, 30),
    params:
        participant="{participant}",
        dataset=DATASET,
        signal="high-gamma",
        settings=settings.signal_settings(config, "high-gamma"),
        code=code("neural"),
    message:
        "{wildcards.participant}: high-gamma envelope"
    script:
        "../scripts/neural.py"


use rule neural as neural_signal with:
    output:
        neural=RESULTS / "neural/{signal}/{participant}.nc",
    log:
        LOGS / "neural/{signal}/{participant}.log",
    benchmark:
        BENCHMARKS / "neural/{signal}/{participant}.tsv"
    params:
        participant="{participant}",
        dataset=DATASET,
        signal="{signal}",
        settings=lambda wildcards: settings.signal_settings(config, wildcards.signal),
        code=code("neural"),
    message:
        "{wildcards.participant}: {wildcards.signal} envelope"
