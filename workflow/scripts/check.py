"""Say what is wrong before anything is computed, and what the jobs will take."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    import sys
    from pathlib import Path

    from highgamma.check import check, snakemake_command, told

    checked = check(
        snakemake.params.config,
        workflow=Path(snakemake.params.snakefile).parent,
        command=snakemake_command(snakemake.params.snakefile),
    )
    print(told(checked), flush=True)
    if not checked.ok:
        sys.exit(1)
