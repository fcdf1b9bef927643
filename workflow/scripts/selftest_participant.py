"""Simulate a participant with planted electrodes, and filter, fit and audit it."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from pathlib import Path

    from highgamma.demo.spoken import read_words
    from highgamma.sections import section_from
    from highgamma.selftest import files, stages, worlds
    from highgamma.selftest.settings import SelftestSettings

    settings = section_from(SelftestSettings, snakemake.params.settings, where="selftest")
    seed, participant = int(snakemake.params.seed), snakemake.params.participant
    stages.run(
        worlds.simulate(
            settings,
            read_words(snakemake.params.words_folder),
            seed=seed,
            number=files.participant_number(participant),
        ),
        settings,
        participant=participant,
        seed=seed,
        folder=Path(snakemake.params.folder),
    )
