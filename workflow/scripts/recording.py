"""A participant's words, audio and channels."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from highgamma.recording.outputs import record
    from highgamma.store import write_dataset, write_table

    participant, dataset = snakemake.params.participant, snakemake.params.dataset
    # Who else takes part does not change what is in this participant's files.
    settings = {key: value for key, value in dataset.items() if key != "participants"}
    recorded = record(participant, dataset)
    write_table(recorded.words, snakemake.output.words)
    write_dataset(
        recorded.audio,
        snakemake.output.audio,
        stage="recording",
        parameters={"participant": participant, "dataset": settings},
    )
    write_table(recorded.channels, snakemake.output.channels)
    write_table(recorded.heard, snakemake.output.heard)
