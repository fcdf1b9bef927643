"""Fit and judge one case of the battery on one scene."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from highgamma.selftest import battery
    from highgamma.store import write_table

    params = snakemake.params
    table = battery.electrodes(
        params.case, folder=params.configurations, seed=int(params.seed), count=params.electrodes
    )
    write_table(table, snakemake.output.electrodes)
