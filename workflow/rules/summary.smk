"""Tables over all participants, models and layers."""


rule summary:
    input:
        scores=lambda wildcards: STUDY.all_score_files,
        channels=expand(RESULTS / "channels/{participant}.tsv", participant=STUDY.summarised),
        contamination=STUDY.audit_files,
        gain=STUDY.gain_files,
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
        nuisances=RESULTS / "nuisances.tsv",
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
        mem_mb=megabytes(1000 + 0.5 * len(STUDY.fits)),
        runtime=minutes(30, 2),
    params:
        run=config["run"],
        participants=PARTICIPANTS,
        analyses={name: settings.in_order(of) for name, of in STUDY.analyses.items()},
        models=sorted({m for a in STUDY.analyses for m in STUDY.fitted_models(a)}),
        expected={a: STUDY.fitted_models(a) for a in STUDY.analyses},
        lacking=STUDY.lacking(),
        roles={name: catalogue.kind_of(CATALOGUE[name]).role for name in STUDY.models},
        code=code("summary"),
    message:
        "tables of {params.run}"
    script:
        "../scripts/summary.py"
