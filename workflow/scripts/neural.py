"""A participant's amplitude in a band, frame by frame."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from highgamma import neural
    from highgamma.recording.files import selected
    from highgamma.recording.opening import open_channels

    participant, dataset = snakemake.params.participant, snakemake.params.dataset
    settings = neural.neural_settings(snakemake.params.settings)
    electrodes = neural.read_electrodes(snakemake.input.channels)
    segments = selected(dataset, participant)
    with open_channels(segments, electrodes.names) as recordings:
        frames = neural.high_gamma(recordings, electrodes, settings, threads=snakemake.threads)
        neural.write_frames(
            frames,
            snakemake.output.neural,
            name=snakemake.params.signal,
            parameters={"participant": participant, "dataset": dict(dataset)},
        )
