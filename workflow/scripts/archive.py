"""Put a run into one file."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from highgamma import archive

    archive.write(
        snakemake.output.archive,
        config=snakemake.params.config,
        workflow=snakemake.params.workflow,
        results=snakemake.params.results,
    )
