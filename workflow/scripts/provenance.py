"""Write down where a run's results come from."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from highgamma import provenance

    params = snakemake.params
    provenance.write(
        provenance.collect(
            run=params.run,
            config=params.config,
            entries=params.models,
            participants=params.participants,
            files=snakemake.input.files,
            sounds=snakemake.input.audio,
            outputs=snakemake.input.outputs,
            results=params.results,
            lock=params.lock,
            workflow=params.workflow,
        ),
        snakemake.output.provenance,
    )
