"""The data set from the network: `snakemake dataset`, before anything is computed."""


localrules:
    dataset,


# Nothing depends on this rule: which recordings there are is asked when the graph is built, and a
# data set that was put there by hand is as good.
rule dataset:
    output:
        # The list of an earlier fetch says what need not be fetched again.
        manifest=update(ROOT / ".fetched.json"),
    log:
        LOGS / "dataset.log",
    conda:
        "../../envs/signals.yaml"
    threads: 1
    resources:
        mem_mb=500,
    params:
        source=config["dataset"].get("source") or "",
        root=lambda wildcards, output: str(Path(output.manifest).parent),
        participants=("all" if config["dataset"]["participants"] == "all" else PARTICIPANTS),
        tasks=STUDY.tasks,
    message:
        "fetching the data set into the folder of {output.manifest}"
    script:
        "../scripts/dataset.py"
