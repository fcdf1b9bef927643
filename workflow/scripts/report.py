"""Draw a run's figures and write its page."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from highgamma.report import evidence, page

    page.write(
        evidence.read(
            run=snakemake.params.run,
            config=snakemake.params.config,
            electrodes=snakemake.input.electrodes,
            layers=snakemake.input.layers,
            participants=snakemake.input.participants,
            summary=snakemake.input.summary,
            scores=snakemake.input.scores,
            contamination=snakemake.input.get("contamination", []),
            truth=snakemake.input.get("truth", []),
            words=snakemake.input.get("words", []),
            quality=snakemake.input.get("quality", []),
            gains=snakemake.input.gains,
            partition=snakemake.input.partition,
            missing=snakemake.input.missing,
            published=snakemake.input.get("published") or None,
            group=snakemake.input.group,
            courses=snakemake.input.get("courses", []),
        ),
        report=snakemake.output.report,
        folder=snakemake.output.figures,
        contamination=snakemake.output.contamination,
    )
