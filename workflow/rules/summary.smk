"""Tables over all participants, models and layers."""


rule summary:
    input:
        scores=lambda wildcards: score_files(),
        channels=expand(RESULTS / "channels/{participant}.tsv", participant=SUMMARISED),
        contamination=audit_files(),
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
        gains=RESULTS / "gains.tsv",
        partition=RESULTS / "partition.tsv",
        missing=RESULTS / "missing.tsv",
        summary=RESULTS / "summary.nc",
    log:
        LOGS / "summary.log",
    benchmark:
        BENCHMARKS / "summary.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        # A fit of 25 layers and 110 electrodes leaves 0.25 MB in memory, whatever its file's size.
        mem_mb=megabytes(1000 + 0.5 * len(FITS)),
        runtime=minutes(30, 2),
    params:
        run=config["run"],
        participants=PARTICIPANTS,
        analyses={name: settings.in_order(of) for name, of in ANALYSES.items()},
        models=sorted({m for a in ANALYSES for m in settings.analysis_models(config, a)}),
        expected={a: settings.analysis_models(config, a) for a in ANALYSES},
        lacking=lacking(),
        roles={name: catalogue.role(CATALOGUE[name]) for name in MODELS},
        code=code("summary"),
    message:
        "tables of {params.run}"
    script:
        "../scripts/summary.py"
