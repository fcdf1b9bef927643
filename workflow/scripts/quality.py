"""A participant's quality: what the voltage of each electrode looks like."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from highgamma import neural
    from highgamma.quality import stage
    from highgamma.quality.settings import QualitySettings
    from highgamma.recording.files import selected
    from highgamma.recording.opening import open_channels
    from highgamma.recording.sidecars import mains_of
    from highgamma.sections import checked_section

    participant, dataset = snakemake.params.participant, snakemake.params.dataset
    settings = checked_section(QualitySettings, snakemake.params.settings, where="quality")
    signal = neural.neural_settings(snakemake.params.signal)
    electrodes = neural.read_electrodes(snakemake.input.channels).on_grids(signal.grids)
    segments = selected(dataset, participant)
    with open_channels(segments, electrodes.names) as recordings:
        judged = stage.quality(
            recordings,
            electrodes,
            settings,
            signal.artefacts,
            mains=mains_of(segments),
        )
    stage.write(
        judged,
        settings,
        title=participant,
        tsv=snakemake.output.table,
        png=snakemake.output.figure,
    )
