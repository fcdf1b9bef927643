"""The page that shows what was found, and what each figure in it is worth."""


rule report:
    input:
        electrodes=RESULTS / "electrodes.tsv",
        layers=RESULTS / "layers.tsv",
        participants=RESULTS / "participants.tsv",
        summary=RESULTS / "summary.nc",
        scores=lambda wildcards: STUDY.all_score_files,
        words=expand(RESULTS / "words/{participant}.tsv", participant=STUDY.summarised),
        contamination=STUDY.audit_files,
        quality=STUDY.quality_files,
        truth=(
            expand(ROOT / "truth/{participant}.tsv", participant=STUDY.summarised)
            if IS_DEMO
            else []
        ),
        gains=RESULTS / "gains.tsv",
        partition=RESULTS / "partition.tsv",
        missing=RESULTS / "missing.tsv",
        published=published_scores(),
        group=RESULTS / "group.tsv",
        courses=STUDY.timecourse_files,
        # They name all participants, so they are not among what a recording is read from.
        layout=[ROOT / name for name in ROOT_FILES] if IS_DEMO else [],
        template=[beside(f"src/highgamma/report/page.{x}") for x in ("html.j2", "css", "js")],
    output:
        report=report(
            RESULTS / "report.html",
            caption="../report/report.rst",
            category="Report",
        ),
        contamination=report(
            RESULTS / "contamination.tsv",
            caption="../report/contamination.rst",
            category="Tables",
            labels={"table": "contamination"},
        ),
        figures=report(
            directory(RESULTS / "figures"),
            patterns=["{figure}.png"],
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        LOGS / "report.log",
    benchmark:
        BENCHMARKS / "report.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1500, 0.5),
        runtime=minutes(30, 60),
    params:
        run=config["run"],
        config=settings.in_order(
            {k: v for k, v in config.items() if k not in ("catalogue", "device")}
        ),
        code=code("report"),
    message:
        "report of {params.run}"
    script:
        "../scripts/report.py"
