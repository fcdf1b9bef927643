"""The demo data set: simulated participants whose truth is known, in a published layout."""

DEMO_PREFIX = "resources/demo/{participant}/ieeg/{participant}_task-wordProduction_"


def demo_files(participant):
    """The files of one demo participant, before they exist."""
    suffixes = (
        "ieeg.nwb",
        "ieeg.json",
        "channels.tsv",
        "events.tsv",
        "space-ACPC_electrodes.tsv",
        "space-ACPC_coordsystem.json",
    )
    return [DEMO_PREFIX.format(participant=participant) + suffix for suffix in suffixes]


rule demo:
    input:
        audio="resources/demo-words/words.flac",
        words="resources/demo-words/words.tsv",
    output:
        *demo_files("{participant}"),
        truth="resources/demo/truth/{participant}.tsv",
    params:
        participant="{participant}",
        settings=config.get("demo", {}),
        code=code("demo"),
    log:
        "resources/demo/logs/{participant}.log",
    threads: 1
    resources:
        mem_mb=2000,
    conda:
        "../../envs/embeddings.yaml"
    message:
        "{wildcards.participant}: simulating the recording"
    script:
        "../scripts/demo.py"
