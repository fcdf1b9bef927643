"""Fail unless every check of the self-test passed."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    import json
    from pathlib import Path

    from highgamma.selftest import rates

    result = snakemake.input.result
    rates.demand(json.loads(Path(result).read_text("utf-8")), where=result)
