"""What can be known to be wrong before the first job, and what the jobs will take."""


localrules:
    check,


rule check:
    log:
        LOGS / "check.log",
    conda:
        "../../envs/embeddings.yaml"
    threads: 1
    resources:
        mem_mb=1000,
    params:
        config=config,
        snakefile=str(workflow.main_snakefile),
    message:
        "checking data set, models and configuration"
    script:
        "../scripts/check.py"
