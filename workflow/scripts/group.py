"""Group statistics of a run's electrodes."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from highgamma import group

    group.write(
        group.table(
            group.read_electrodes(snakemake.input.electrodes),
            twins=snakemake.params.twins,
            settings=group.GroupSettings(**snakemake.params.settings),
        ),
        snakemake.output.group,
    )
