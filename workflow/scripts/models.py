"""The files of one model, from the network or where they were put by hand."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads, network=True):
    from highgamma.models import fetch_model, write_manifest

    manifest = fetch_model(
        snakemake.params.name,
        {"source": dict(snakemake.params.source)},
        snakemake.params.models,
        snakemake.params.lock,
        weights=snakemake.params.weights,
    )
    write_manifest({**manifest, "pin": snakemake.params.pin}, snakemake.output.manifest)
