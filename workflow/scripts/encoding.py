"""One encoding model for each electrode, for a batch of layers."""

from highgamma.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from highgamma.encoding.analysis import analysis_from
    from highgamma.encoding.fit import fit_analysis
    from highgamma.encoding.samples import frame_samples, layer_numbers, word_samples
    from highgamma.store import open_dataset, read_dataset, read_table, write_dataset

    participant, params = snakemake.params.participant, snakemake.params
    analysis = analysis_from(params.analysis)
    words = read_table(snakemake.input.words, strings=("word", "segment_label"))
    with open_dataset(snakemake.input.embeddings) as embeddings:
        if analysis.unit == "word":
            target = read_dataset(snakemake.input.target)
            samples = word_samples(embeddings, words, target, analysis)
        else:
            neural = read_dataset(snakemake.input.neural)
            samples = frame_samples(embeddings, words, neural, analysis)
        scores = fit_analysis(
            samples,
            analysis=analysis,
            layers=layer_numbers(embeddings, params.layers),
            seed=params.seed,
            names=(participant, params.name),
        )
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
