"""Tables over all participants, models and layers."""


rule summary:
    input:
        scores=score_files(),
        channels=expand(RESULTS / "channels/{participant}.tsv", participant=PARTICIPANTS),
        contamination=(
            expand(RESULTS / "contamination/{participant}.nc", participant=PARTICIPANTS)
            if config["contamination"]["enabled"]
            else []
        ),
    output:
        electrodes=report(
            RESULTS / "electrodes.tsv",
            caption="../report/electrodes.rst",
            category="Tables",
            labels={"table": "electrodes"},
        ),
        layers=report(
            RESULTS / "layers.tsv",
            caption="../report/layers.rst",
            category="Tables",
            labels={"table": "layers"},
        ),
        participants=report(
            RESULTS / "participants.tsv",
            caption="../report/participants.rst",
            category="Tables",
            labels={"table": "participants"},
        ),
        summary=RESULTS / "summary.nc",
    log:
        LOGS / "summary.log",
    benchmark:
        BENCHMARKS / "summary.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1000, 0.5),
        runtime=minutes(30, 60),
    params:
        run=config["run"],
        participants=PARTICIPANTS,
        analyses=ANALYSES,
        models=sorted({m for a in ANALYSES for m in settings.analysis_models(config, a)}),
        code=code("summary"),
    message:
        "tables of {params.run}"
    script:
        "../scripts/summary.py"
