"""Compare what was found in the simulated participants with what was planted."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from highgamma.sections import section_from
    from highgamma.selftest import counts, page, rates
    from highgamma.selftest.settings import SelftestSettings
    from highgamma.store import write_table

    settings = section_from(SelftestSettings, snakemake.params.settings, where="selftest")
    found = {}
    if "participants" in settings.parts:
        electrodes = rates.electrodes_of(snakemake.params.folder, settings)
        write_table(electrodes, snakemake.output.electrodes)
        found = rates.result(electrodes, settings)
    if snakemake.input.battery:
        table = counts.read(snakemake.input.battery)
        found = counts.added(found, table)
        if "participants" not in settings.parts:
            write_table(table, snakemake.output.electrodes)
    page.write(
        found,
        result=snakemake.output.result,
        page=snakemake.output.page,
        figure=snakemake.output.figure,
    )
