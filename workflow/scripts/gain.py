"""What each model of one participant and analysis predicts beyond nuisances and controls."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from highgamma import gain
    from highgamma.store import write_table

    nuisances, controls = snakemake.params.nuisances, snakemake.params.controls
    write_table(
        gain.gains(
            gain.read_fits(snakemake.input.scores),
            nuisances=nuisances,
            controls=controls,
            expected=[*nuisances, *controls],
        ),
        snakemake.output.gain,
    )
