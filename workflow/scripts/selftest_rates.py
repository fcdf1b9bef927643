"""Compare what was found in the simulated participants with what was planted."""

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    import pandas as pd

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
    battery = counts.read(snakemake.input.battery) if snakemake.input.battery else None
    audit, intervals = (counts.rows_of(snakemake.input[part]) for part in ("audit", "intervals"))
    if "participants" not in settings.parts:
        table = pd.DataFrame([*audit, *intervals]) if battery is None else battery
        write_table(table, snakemake.output.electrodes)
    found = counts.added(found, battery=battery, audit=audit, intervals=intervals)
    page.write(
        found,
        result=snakemake.output.result,
        page=snakemake.output.page,
        figure=snakemake.output.figure,
    )
