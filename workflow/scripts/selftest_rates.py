"""Compare what was found in the simulated participants with what was planted."""

from highgamma.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from highgamma.selftest import page, rates, worlds
    from highgamma.store import write_table

    settings = worlds.Settings.from_mapping(snakemake.params.settings)
    electrodes = rates.electrodes_of(snakemake.params.folder, settings)
    write_table(electrodes, snakemake.output.electrodes)
    page.write(
        rates.result(electrodes, settings),
        result=snakemake.output.result,
        page=snakemake.output.page,
        figure=snakemake.output.figure,
    )
