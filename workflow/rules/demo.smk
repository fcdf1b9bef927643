"""The demo data set: simulated participants whose truth is known, in a published layout."""

from highgamma.demo.dataset import ROOT_FILES, participant_files

DEMO_WORDS = Path(workflow.basedir) / "resources/demo-words"


def demo_files(participant):
    """The files of one demo participant that a workflow may read: all but the truth."""
    return [ROOT / name for name in participant_files(participant) if "truth" not in name]


rule demo:
    input:
        audio=DEMO_WORDS / "words.flac",
        words=DEMO_WORDS / "words.tsv",
        phones=DEMO_WORDS / "phones.tsv",
    output:
        files=demo_files("{participant}"),
        truth=ROOT / "truth/{participant}.tsv",
        truth_words=ROOT / "truth/{participant}_words.tsv",
    params:
        root=str(ROOT),
        participant="{participant}",
        words_folder=str(DEMO_WORDS),
        settings=config.get("demo", {}),
        code=code("demo"),
    log:
        LOGS / "demo/{participant}.log",
    benchmark:
        BENCHMARKS / "demo/{participant}.tsv"
    threads: 1
    resources:
        mem_mb=2000,
    conda:
        "../../envs/embeddings.yaml"
    message:
        "{wildcards.participant}: simulating the recording"
    script:
        "../scripts/demo.py"


rule demo_dataset:
    output:
        expand(ROOT / "{name}", name=ROOT_FILES),
    params:
        root=str(ROOT),
        participants=PARTICIPANTS,
        code=code("demo_dataset"),
    log:
        LOGS / "demo_dataset.log",
    threads: 1
    resources:
        mem_mb=500,
    conda:
        "../../envs/signals.yaml"
    message:
        "the demo's participants"
    script:
        "../scripts/demo_dataset.py"


rule demo_speech_model:
    output:
        "resources/demo/models/wav2vec2-tiny/config.json",
        "resources/demo/models/wav2vec2-tiny/preprocessor_config.json",
    params:
        code=code("demo_speech_model"),
    log:
        LOGS / "demo_speech_model.log",
    threads: 1
    resources:
        mem_mb=500,
    conda:
        "../../envs/signals.yaml"
    message:
        "a tiny speech model"
    script:
        "../scripts/demo_speech_model.py"
