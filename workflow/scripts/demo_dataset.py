"""Write the files of the demo data set that all participants share."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from highgamma.demo.dataset import write_root_files

    write_root_files(snakemake.params.root, snakemake.params.participants)
