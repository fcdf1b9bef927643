"""Measured and recreated activity around the onset of each word."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from highgamma import timecourse
    from highgamma.store import read_table, write_dataset

    settings = dict(snakemake.params.settings)
    write_dataset(
        timecourse.timecourse(
            timecourse.read_held_out(snakemake.input.scores),
            read_table(snakemake.input.words, strings=("word", "segment_label")),
            **settings,
        ),
        snakemake.output.timecourse,
        stage="timecourse",
        parameters=settings,
    )
