"""Count how often intervals of group means and compared runs miss what is true."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    import pandas as pd

    from highgamma.selftest import intervals
    from highgamma.store import write_table

    rows = pd.DataFrame(intervals.measure(seed=1))
    write_table(rows, snakemake.output.measured)
