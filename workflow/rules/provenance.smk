"""Where the results come from: versions, checksums, machine, job times. Nothing depends on it."""


rule provenance:
    input:
        outputs=[
            RESULTS / name
            for name in (
                *("electrodes.tsv", "layers.tsv", "participants.tsv"),
                *("gains.tsv", "partition.tsv", "missing.tsv", "group.tsv"),
                *("contamination.tsv", "summary.nc", "report.html"),
            )
        ],
        timecourses=STUDY.timecourse_files,
        quality=STUDY.quality_files,
        audio=expand(RESULTS / "audio/{recorded}.nc", recorded=STUDY.recorded),
        files=lambda wildcards: sorted(
            {path for name in STUDY.recorded for path in or_say(STUDY.recording_files, name)}
        ),
    output:
        provenance=RESULTS / "provenance.json",
    log:
        LOGS / "provenance.log",
    benchmark:
        BENCHMARKS / "provenance.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=minutes(10),
    params:
        run=config["run"],
        config=settings.in_order(config),
        models={name: CATALOGUE[name] for name in STUDY.named},
        participants=STUDY.summarised,
        results=lambda wildcards, output: str(Path(output.provenance).parent),
        lock=LOCK,
        workflow=os.path.relpath(workflow.basedir),
        code=code("provenance"),
    message:
        "provenance of {params.run}"
    script:
        "../scripts/provenance.py"
