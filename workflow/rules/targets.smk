"""Mean envelope over each word's window, exact to the sample.

The full-rate envelope is filtered once more here instead of being kept: it is as large as the
recording, and a window that is added later disturbs nothing that is already there.
"""


def window_of(wildcards):
    signal, align, start, stop = wildcards.window.rsplit("_", 3)
    return {"align": align, "start": float(start), "stop": float(stop)}


def signal_of(wildcards):
    return wildcards.window.rsplit("_", 3)[0]


rule targets:
    input:
        files=recording_files,
        channels=RESULTS / "channels/{participant}.tsv",
        words=lambda wildcards: RESULTS / f"words/{heard_by(wildcards.participant)}.tsv",
    output:
        target=RESULTS / "targets/{window}/{participant}.nc",
    params:
        participant="{participant}",
        dataset=DATASET,
        signal=signal_of,
        settings=lambda wildcards: settings.signal_settings(config, signal_of(wildcards)),
        window=window_of,
        code=code("targets"),
    log:
        LOGS / "targets/{window}/{participant}.log",
    benchmark:
        BENCHMARKS / "targets/{window}/{participant}.tsv"
    threads: 1
    resources:
        mem_mb=megabytes(2000),
    conda:
        "../../envs/signals.yaml"
    message:
        "{wildcards.participant}: envelope in the window {wildcards.window}"
    script:
        "../scripts/targets.py"
