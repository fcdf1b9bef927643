"""Audit simulated electrodes of one case, and count those that are flagged."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    import pandas as pd

    from highgamma.selftest import audit
    from highgamma.store import write_table

    measured = audit.measure(snakemake.params.case, snakemake.params.electrodes, seed=11)
    write_table(pd.DataFrame([measured]), snakemake.output.measured)
