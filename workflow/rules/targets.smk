"""Mean envelope over each word's window, exact to the sample.

The full-rate envelope is filtered once more here instead of being kept: it is as large as the
recording, and a window that is added later disturbs nothing that is already there.
"""


rule targets:
    input:
        files=recording_files,
        channels=RESULTS / "channels/{participant}.tsv",
        words=RESULTS / "words/{participant}.tsv",
    output:
        target=RESULTS / "targets/{window}/{participant}.nc",
    log:
        LOGS / "targets/{window}/{participant}.log",
    benchmark:
        BENCHMARKS / "targets/{window}/{participant}.tsv"
    conda:
        "../../envs/signals.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(10, 30),
    params:
        participant="{participant}",
        dataset=DATASET,
        signal=lambda wildcards: study.window_of_name(wildcards.window)["signal"],
        settings=lambda wildcards: settings.signal_settings(
            config, study.window_of_name(wildcards.window)["signal"]
        ),
        window=lambda wildcards: {
            k: v for k, v in study.window_of_name(wildcards.window).items() if k != "signal"
        },
        code=code("targets"),
    message:
        "{wildcards.participant}: envelope in the window {wildcards.window}"
    script:
        "../scripts/targets.py"
