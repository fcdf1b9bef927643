"""Write random models of the sizes of the study's."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from highgamma.demo.models import write_models
    from highgamma.demo.noise import vocabulary

    write_models(
        snakemake.params.folder,
        words=[word.text for word in vocabulary(snakemake.params.words_folder)],
    )
