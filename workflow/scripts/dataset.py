"""A published data set, from the network."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads, network=True):
    from highgamma.dataset import fetch_dataset, write_manifest

    manifest = fetch_dataset(
        snakemake.params.source,
        snakemake.params.root,
        participants=snakemake.params.participants,
        tasks=snakemake.params.tasks,
    )
    write_manifest(manifest, snakemake.output.manifest)
