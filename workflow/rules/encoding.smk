"""One encoding model for each electrode, for every layer of a batch."""


def fitted_to(wildcards):
    """The signal that an analysis is fitted to: frames, or means over words' windows."""
    of = ANALYSES[wildcards.analysis]
    participant = wildcards.participant
    if of["unit"] == "word":
        window = window_name(wildcards.analysis, wildcards.model)
        return {"target": RESULTS / f"targets/{window}/{participant}.nc"}
    if of["signal"] == "high-gamma":
        return {"neural": RESULTS / f"neural/{participant}.nc"}
    return {"neural": RESULTS / f"neural/{of['signal']}/{participant}.nc"}


def layers_of_name(wildcards):
    first, *last = wildcards.layers.split("-")
    return list(range(int(first), int(last[0] if last else first) + 1))


rule encoding:
    input:
        unpack(fitted_to),
        words=lambda wildcards: RESULTS / f"words/{heard_by(wildcards.participant)}.tsv",
        embeddings=lambda wildcards: (
            RESULTS / f"embeddings/{wildcards.model}/{heard_by(wildcards.participant)}.nc"
        ),
    output:
        scores=RESULTS / "scores/{analysis}/{participant}/{model}/{layers}.nc",
    params:
        participant="{participant}",
        analysis=lambda wildcards: settings.fit_settings(
            config, wildcards.analysis, wildcards.model
        ),
        name="{analysis}",
        model="{model}",
        layers=layers_of_name,
        seed=config["seed"],
        code=code("encoding"),
    log:
        LOGS / "encoding/{analysis}/{participant}/{model}/{layers}.log",
    benchmark:
        BENCHMARKS / "encoding/{analysis}/{participant}/{model}/{layers}.tsv"
    threads: 1
    resources:
        mem_mb=megabytes(2000, 2.0),
    conda:
        "../../envs/encoding.yaml"
    message:
        "{wildcards.participant}: {wildcards.analysis}, {wildcards.model}, layers {wildcards.layers}"
    script:
        "../scripts/encoding.py"
