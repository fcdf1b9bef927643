"""A participant's word-level targets: sample-exact means of the envelope in one window."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from highgamma import neural
    from highgamma.recording.files import selected
    from highgamma.recording.opening import open_channels
    from highgamma.store import read_table, write_dataset
    from highgamma.targets import targets

    participant, dataset = snakemake.params.participant, snakemake.params.dataset
    settings = neural.neural_settings(snakemake.params.settings)
    electrodes = neural.read_electrodes(snakemake.input.channels)
    segments = selected(dataset, participant)
    with open_channels(segments, electrodes.names) as recordings:
        target = targets(
            recordings,
            electrodes,
            read_table(snakemake.input.words, strings=("word", "segment_label")),
            settings,
            **snakemake.params.window,
            threads=snakemake.threads,
        )
    write_dataset(
        target,
        snakemake.output.target,
        stage="targets",
        parameters={
            "participant": participant,
            "dataset": dict(dataset),
            "signal": snakemake.params.signal,
            "neural": dict(snakemake.params.settings),
            "window": dict(snakemake.params.window),
        },
    )
