"""One model's embeddings of one participant: words and audio in, embeddings/<model>/ out."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from highgamma.embeddings.making import make_embeddings

    make_embeddings(
        snakemake.output.embeddings,
        name=snakemake.params.name,
        model=snakemake.params.model,
        participant=snakemake.params.participant,
        dataset=snakemake.params.dataset,
        words=snakemake.input.words,
        audio=snakemake.input.audio,
        heard=snakemake.input.heard,
        files=list(snakemake.input.get("model", [])),
        # From the configuration, not a parameter: another device makes no other embeddings.
        device=snakemake.config.get("device", "auto"),
        threads=snakemake.threads,
    )
