"""One file from which another lab can run a study again: `snakemake archive`."""


localrules:
    archive,


rule archive:
    input:
        provenance=RESULTS / "provenance.json",
        figures=RESULTS / "figures",
    output:
        archive=Path("results") / f"{config['run']}.zip",
    log:
        LOGS / "archive.log",
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=500,
    params:
        config=config,
        results=lambda wildcards, input: str(Path(input.provenance).parent),
        workflow=os.path.relpath(workflow.basedir),
        code=code("archive"),
    message:
        "the run in one file, {output.archive}"
    script:
        "../scripts/archive.py"
