"""Set two runs against each other, electrode by electrode."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from highgamma import compare, group
    from highgamma.report.figures.compare import comparison_scatter, save

    compared, given = snakemake.params.compared, snakemake.input
    found = compare.compare(
        compare.read_run(snakemake.params.run, given.electrodes, given.scores),
        compare.read_run(compared["run"], given.other_electrodes, given.other_scores),
        analyses=compared["analyses"],
        models=compared["models"],
        settings=group.GroupSettings(**snakemake.params.settings),
    )
    compare.write(
        found,
        electrodes=snakemake.output.electrodes,
        summary_table=snakemake.output.summary,
    )
    save(comparison_scatter(found), svg=snakemake.output.svg, png=snakemake.output.png)
