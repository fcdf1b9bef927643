"""Planted electrodes in, rates of true and false findings out; `snakemake selftest`."""


rule selftest_participant:
    input:
        audio=DEMO_WORDS / "words.flac",
        words=DEMO_WORDS / "words.tsv",
        phones=DEMO_WORDS / "phones.tsv",
    output:
        STUDY.selftest_files(SELFTEST / "{seed}", "{participant}"),
    log:
        SELFTEST / "logs/selftest_participant/{seed}/{participant}.log",
    benchmark:
        SELFTEST / "benchmarks/selftest_participant/{seed}/{participant}.tsv"
    conda:
        "../../envs/signals.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=minutes(20),
    params:
        seed="{seed}",
        participant="{participant}",
        folder=lambda wildcards, output: str(Path(output[-1]).parents[1]),
        words_folder=lambda wildcards, input: str(Path(input.words).parent),
        settings={k: v for k, v in config["selftest"].items() if k not in selftest.ELSEWHERE},
        code=code("selftest_participant"),
    message:
        "seed {wildcards.seed}, {wildcards.participant}: planted electrodes, fitted and audited"
    script:
        "../scripts/selftest_participant.py"


rule selftest_battery:
    input:
        # The configurations that are tested: other ones make other results.
        configurations=[beside(f"config/{name}") for name in selftest.CONFIGURATION_FILES],
    output:
        electrodes=SELFTEST / "battery/{case}/{seed}.tsv",
    log:
        SELFTEST / "logs/selftest_battery/{case}/{seed}.log",
    benchmark:
        SELFTEST / "benchmarks/selftest_battery/{case}/{seed}.tsv"
    wildcard_constraints:
        case="[a-z-]+",
    conda:
        "../../envs/encoding.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=minutes(20),
    params:
        case="{case}",
        seed="{seed}",
        electrodes=config["selftest"]["scene_electrodes"],
        configurations=lambda wildcards, input: str(Path(input.configurations[0]).parent),
        code=code("selftest_battery"),
    message:
        "{wildcards.case}, scene {wildcards.seed}: fitted and judged"
    script:
        "../scripts/selftest_battery.py"


rule selftest_audit:
    output:
        measured=SELFTEST / "audit/{case}.tsv",
    log:
        SELFTEST / "logs/selftest_audit/{case}.log",
    benchmark:
        SELFTEST / "benchmarks/selftest_audit/{case}.tsv"
    wildcard_constraints:
        case="[a-z-]+",
    conda:
        "../../envs/signals.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=minutes(20),
    params:
        case="{case}",
        electrodes=config["selftest"]["audit_electrodes"],
        code=code("selftest_audit"),
    message:
        "audit of {wildcards.case}"
    script:
        "../scripts/selftest_audit.py"


rule selftest_intervals:
    output:
        measured=SELFTEST / "intervals/all.tsv",
    log:
        SELFTEST / "logs/selftest_intervals.log",
    benchmark:
        SELFTEST / "benchmarks/selftest_intervals.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=minutes(10),
    params:
        code=code("selftest_intervals"),
    message:
        "intervals of groups and comparisons"
    script:
        "../scripts/selftest_intervals.py"


rule selftest_rates:
    input:
        STUDY.selftest_inputs(),
        battery=STUDY.selftest_part("battery"),
        audit=STUDY.selftest_part("audit"),
        intervals=STUDY.selftest_part("intervals"),
    output:
        result=SELFTEST / "selftest.json",
        page=SELFTEST / "selftest.md",
        figure=SELFTEST / "selftest.png",
        electrodes=SELFTEST / "electrodes.tsv",
    log:
        SELFTEST / "logs/selftest_rates.log",
    benchmark:
        SELFTEST / "benchmarks/selftest_rates.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=megabytes(1500, 0.5),
        runtime=minutes(10),
    params:
        folder=lambda wildcards, output: str(Path(output.result).parent),
        settings=config["selftest"],
        code=code("selftest_rates"),
    message:
        "what was found against what was planted"
    script:
        "../scripts/selftest_rates.py"


# The verdict is a job of its own: the files of a job that fails are taken away.
rule selftest:
    input:
        result=SELFTEST / "selftest.json",
    log:
        SELFTEST / "logs/selftest.log",
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=minutes(5),
    params:
        code=code("selftest"),
    message:
        "checks of the self-test"
    script:
        "../scripts/selftest.py"
