"""Write one participant of the demo data set."""

from highgamma.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from highgamma.demo.dataset import write_participant

    write_participant(
        snakemake.params.root,
        snakemake.params.participant,
        words_folder=snakemake.params.words_folder,
        **snakemake.params.settings,
    )
