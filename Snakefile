"""highgamma: encoding models of intracranial high-gamma activity, participants × models × layers."""

from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")

# Without a data set it is the demo that runs.
STATED = set(config)
if "dataset" not in config:

    configfile: Path(workflow.basedir) / "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/dataset.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/recording.smk"
include: "workflow/rules/neural.smk"
include: "workflow/rules/targets.smk"
include: "workflow/rules/embeddings.smk"
include: "workflow/rules/encoding.smk"
include: "workflow/rules/contamination.smk"
include: "workflow/rules/gain.smk"
include: "workflow/rules/quality.smk"
include: "workflow/rules/summary.smk"
include: "workflow/rules/group.smk"
include: "workflow/rules/timecourse.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/provenance.smk"
include: "workflow/rules/archive.smk"
include: "workflow/rules/check.smk"
include: "workflow/rules/selftest.smk"


if IS_DEMO:

    include: "workflow/rules/demo.smk"


# All stages have their fingerprints now; the next process need not parse the library again.
SOURCES.keep()


report: "workflow/report/workflow.rst"


onerror:
    print(STUDY.unfinished(), end="", file=sys.stderr)


localrules:
    all,
    selftest,


rule all:
    default_target: True
    input:
        RESULTS / "report.html",
        RESULTS / "group.tsv",
        STUDY.timecourse_files,
        STUDY.quality_files,
        RESULTS / "provenance.json",
