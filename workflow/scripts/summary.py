"""Join the scores of a run into its tables."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from highgamma import summary

    summary.write(
        summary.summarise(
            summary.read_fits(snakemake.input.scores),
            channels=summary.read_channels(snakemake.input.channels),
            contamination=summary.read_contamination(snakemake.input.contamination),
            not_auditable=summary.read_not_auditable(snakemake.input.contamination),
            participants=snakemake.params.participants,
            analyses=snakemake.params.analyses,
            models=snakemake.params.models,
            run=snakemake.params.run,
            expected=snakemake.params.expected,
            lacking=snakemake.params.lacking,
            roles=snakemake.params.roles,
            gains=summary.read_gains(snakemake.input.gain),
        ),
        electrodes=snakemake.output.electrodes,
        layers=snakemake.output.layers,
        participants=snakemake.output.participants,
        gains=snakemake.output.gains,
        nuisances=snakemake.output.nuisances,
        partition=snakemake.output.partition,
        missing=snakemake.output.missing,
        arrays=snakemake.output.summary,
    )
