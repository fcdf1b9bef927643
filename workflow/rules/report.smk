"""The page that shows what was found, and what each figure in it is worth."""


rule report:
    input:
        electrodes=RESULTS / "electrodes.tsv",
        layers=RESULTS / "layers.tsv",
        participants=RESULTS / "participants.tsv",
        summary=RESULTS / "summary.nc",
        scores=score_files(),
        words=expand(RESULTS / "words/{participant}.tsv", participant=PARTICIPANTS),
        contamination=(
            expand(RESULTS / "contamination/{participant}.nc", participant=PARTICIPANTS)
            if config["contamination"]["enabled"]
            else []
        ),
        truth=(
            expand(ROOT / "truth/{participant}.tsv", participant=PARTICIPANTS) if IS_DEMO else []
        ),
        template=SOURCE / "highgamma/report/page.html.j2",
    output:
        report=report(
            RESULTS / "report.html",
            caption="../report/report.rst",
            category="Report",
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
        config={k: v for k, v in config.items() if k != "catalogue"},
        code=code("report"),
    message:
        "report of {params.run}"
    script:
        "../scripts/report.py"
