"""Write the configuration of the demo's tiny, untrained speech model."""

from pathlib import Path

from highgamma.workflow.job import job

with job(snakemake.log[0], threads=snakemake.threads):
    from highgamma.demo.speech_model import write_speech_model

    write_speech_model(Path(snakemake.output[0]).parent)
