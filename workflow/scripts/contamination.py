"""A participant's audit for acoustic contamination."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from highgamma import neural
    from highgamma.contamination.settings import ContaminationSettings
    from highgamma.contamination.stage import contamination
    from highgamma.recording.files import selected
    from highgamma.recording.heard import sound_as_heard
    from highgamma.recording.opening import open_channels
    from highgamma.recording.sidecars import mains_of
    from highgamma.sections import section_from
    from highgamma.store import read_dataset, read_table, write_dataset

    participant, dataset = snakemake.params.participant, snakemake.params.dataset
    settings = section_from(ContaminationSettings, snakemake.params.settings, where="contamination")
    signal = neural.neural_settings(snakemake.params.signal)
    electrodes = neural.read_electrodes(snakemake.input.channels).on_grids(signal.grids)
    segments = selected(dataset, participant)
    audio = read_dataset(snakemake.input.audio)
    if dataset.get("stimulus"):
        heard = read_table(snakemake.input.heard, strings=("segment_label",))
        audio = sound_as_heard(audio, heard)
    with open_channels(segments, electrodes.names) as recordings:
        audited = contamination(
            audio,
            recordings,
            electrodes,
            settings,
            reference=signal.reference,
            artefacts=signal.artefacts,
            mains=mains_of(segments),
        )
    write_dataset(
        audited,
        snakemake.output.contamination,
        stage="contamination",
        parameters={
            "participant": participant,
            "dataset": dict(dataset),
            "settings": dict(snakemake.params.settings),
            "signal": dict(snakemake.params.signal),
        },
    )
