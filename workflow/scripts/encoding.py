"""One encoding model for each electrode, for a batch of layers, or of several models together."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from contextlib import ExitStack
    from functools import partial

    from highgamma.embeddings.listening import open_as_heard
    from highgamma.embeddings.vocabulary import joined_attribute
    from highgamma.encoding.analysis import analysis_from
    from highgamma.encoding.fit import fit_analysis
    from highgamma.encoding.samples import (
        band_layers,
        frame_samples,
        joint_samples,
        layer_numbers,
        word_samples,
    )
    from highgamma.store import read_dataset, read_table, write_dataset

    participant, params = snakemake.params.participant, snakemake.params
    analysis = analysis_from(params.analysis)
    words = read_table(snakemake.input.words, strings=("word", "segment_label"))
    heard = read_table(snakemake.input.heard, strings=("segment_label",))
    if analysis.unit == "word":
        envelope = read_dataset(snakemake.input.neural) if analysis.reads_envelope else None
        signal = read_dataset(snakemake.input.target)
        samples_of = partial(word_samples, envelope=envelope)
    else:
        signal = read_dataset(snakemake.input.neural)
        samples_of = partial(frame_samples, heard=heard)
    with ExitStack() as opened:
        files = [
            opened.enter_context(open_as_heard(file, words, heard))
            for file in snakemake.input.embeddings
        ]
        if analysis.bands is None:
            samples = samples_of(files[0], words, signal, analysis)
            layers = layer_numbers(files[0], params.layers)
        else:
            chosen = band_layers(dict(zip(params.bands, files, strict=True)), params.layers)
            samples = joint_samples(
                {
                    name: (samples_of(embeddings, words, signal, analysis), chosen[name])
                    for name, embeddings in zip(params.bands, files, strict=True)
                }
            )
            layers = [0]
        scores = fit_analysis(
            samples,
            analysis=analysis,
            layers=layers,
            last_layer=params.last_layer,
            seed=params.seed,
            names=(participant, params.name),
        )
        scores.attrs |= joined_attribute(dict(zip(params.bands, files, strict=True)))
        if analysis.bands is not None:
            scores.attrs["band_layers"] = [chosen[name] for name in analysis.bands]
    write_dataset(
        scores,
        snakemake.output.scores,
        stage="encoding",
        parameters={
            "participant": participant,
            "analysis": dict(params.analysis),
            "model": params.model,
            "layers": params.layers,
            "seed": params.seed,
        },
    )
