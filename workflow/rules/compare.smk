"""Two runs electrode by electrode: `snakemake compare --config compare=<the other run>`."""

OTHER = COMPARED["run"] if COMPARED else "none"


rule compare:
    input:
        unpack(lambda wildcards: or_say(STUDY.compared_files, COMPARED)),
    output:
        electrodes=RESULTS / f"compare/{OTHER}.tsv",
        summary=RESULTS / f"compare/{OTHER}-summary.tsv",
        svg=RESULTS / f"compare/{OTHER}.svg",
        png=RESULTS / f"compare/{OTHER}.png",
    log:
        LOGS / f"compare/{OTHER}.log",
    benchmark:
        BENCHMARKS / f"compare/{OTHER}.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1000, 1.0),
        runtime=minutes(20, 30),
    params:
        run=config["run"],
        compared=COMPARED,
        settings=config["group"],
        code=code("compare"),
    message:
        "comparing {params.run} with {OTHER}"
    script:
        "../scripts/compare.py"
