"""The data set from the network: `snakemake dataset`, before anything is computed."""


localrules:
    dataset,


# Nothing depends on this rule: which recordings there are is asked when the graph is built, and a
# data set that was put there by hand is as good.
rule dataset:
    output:
        # The list of an earlier fetch says what need not be fetched again.
        manifest=update(ROOT / ".fetched.json"),
    params:
        source=config["dataset"].get("source") or "",
        root=str(ROOT),
        participants="all" if config["dataset"]["participants"] == "all" else PARTICIPANTS,
        task=DATASET["task"],
    log:
        LOGS / "dataset.log",
    threads: 1
    resources:
        mem_mb=500,
    conda:
        "../../envs/signals.yaml"
    message:
        "fetching the data set into {params.root}"
    script:
        "../scripts/dataset.py"
