"""Write one participant of the demo data set, or one whose electrodes follow nothing."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from highgamma.demo.dataset import write_participant
    from highgamma.demo.noise import write_noise_participant

    write = {"planted": write_participant, "noise": write_noise_participant}
    write[snakemake.params.kind](
        snakemake.params.root,
        snakemake.params.participant,
        words_folder=snakemake.params.words_folder,
        **snakemake.params.settings,
    )
