"""Explanations of the scores, and the publications that the page cites."""

from __future__ import annotations

from dataclasses import dataclass

from highgamma.summary import FAMILY


@dataclass(frozen=True, slots=True)
class Source:
    """A publication that the page cites."""

    key: str
    text: str
    doi: str


SOURCES = (
    Source(
        "khanday",
        "Khanday, Rodríguez San Esteban, Lone, Ouellet, Gonzalez-Lopez (2025). Recreating neural "
        "activity during speech production with language and speech model embeddings. "
        "Interspeech. arXiv 2505.14074.",
        "https://arxiv.org/abs/2505.14074",
    ),
    Source(
        "verwoert",
        "Verwoert et al. (2022). Dataset of speech production in intracranial "
        "electroencephalography. Scientific Data.",
        "https://doi.org/10.1038/s41597-022-01542-9",
    ),
    Source(
        "roussel",
        "Roussel et al. (2020). Observation and assessment of acoustic contamination of "
        "electrophysiological brain signals during speech production and sound perception. "
        "Journal of Neural Engineering 17, 056028.",
        "https://doi.org/10.1088/1741-2552/abb25e",
    ),
    Source(
        "feghhi",
        "Feghhi, Hadidi et al. (2024). What are large language models mapping to in the brain? A "
        "case against over-reliance on brain scores. arXiv 2406.01538.",
        "https://arxiv.org/abs/2406.01538",
    ),
    Source(
        "benjamini",
        "Benjamini, Hochberg (1995). Controlling the false discovery rate. Journal of the Royal "
        "Statistical Society B 57, 289–300.",
        "https://doi.org/10.1111/j.2517-6161.1995.tb02031.x",
    ),
    Source(
        "phipson",
        "Phipson, Smyth (2010). Permutation p-values should never be zero. Statistical "
        "Applications in Genetics and Molecular Biology 9, 39.",
        "https://doi.org/10.2202/1544-6115.1585",
    ),
)

GLOSSARY = (
    (
        "r",
        "Correlation over time (or words) within one electrode, between what was measured and what "
        "was recreated, both minus the training mean of their fold, over all held-out samples. It "
        "says how well the shape is recreated, not its size. A constant recreation has none.",
        (),
    ),
    (
        "skill",
        "1 − (squared error of the model) / (squared error of the training mean), over all "
        "held-out samples of one electrode. 1 is perfect, 0 is no better than ignoring the input, "
        "below 0 is worse than that.",
        (),
    ),
    (
        "layer",
        "Chosen for each electrode inside every fold on the training samples alone, and scored on "
        "the held-out ones: the best of many layers by its test score would be a winner’s curse. "
        "The table gives the layer that most folds chose; stability is its share of folds. Where a "
        "fixed penalty leaves nothing to choose by, it is the last layer.",
        (),
    ),
    (
        "p",
        "(1 + number of surrogates that do as well) / (surrogates + 1), for r. A surrogate breaks "
        "the bond between signal and model and keeps the course of each: the signal is shifted in "
        "a circle within its recording. With several layers or lags the best one’s r is compared "
        "with each surrogate’s best. A constant prediction has p = 1.",
        ("phipson",),
    ),
    (
        "q",
        "p, adjusted for the number of electrodes: among those with q < .05, at most 1 in 20 is "
        f"expected to be false. The family is {FAMILY}.",
        ("benjamini",),
    ),
    (
        "gain",
        "Skill of the model with the nuisances, minus the skill of nuisances and controls "
        "together, on the same electrode. Nuisances go along with speech whatever it means: voice, "
        "loudness, duration, word frequency, time. Sound features and networks with random weights "
        "explain much of what trained networks do. A verdict requires the gain’s q to be below "
        ".05.",
        ("feghhi",),
    ),
    (
        "contamination",
        "p of the audit: does the electrode’s phase advance with the microphone’s at the same "
        "frequency, more than at unlike frequencies and more than with sound from other moments? "
        "The voice shakes cables and amplifiers, and high-gamma lies at the frequencies of speech.",
        ("roussel",),
    ),
    (
        "r across channels (PCC, R²)",
        "The published study’s score: for one held-out word, correlation over channels between "
        "the measured and the predicted vector; mean over words. Channels differ in gain in the "
        "same way for every word, so any word’s vector predicts any other’s.",
        ("khanday", "verwoert"),
    ),
    (
        "mean predictor",
        "Returns the training mean whatever the input is. What it reaches, a model must exceed.",
        (),
    ),
    (
        "position",
        "Features that know when a sample was recorded and nothing else, under the same split. "
        "What they reach, neighbouring samples give away; they are never a finding.",
        ("feghhi",),
    ),
    (
        "unique, shared",
        "Of several models in one fit: the joint skill less the skill without one of them, and "
        "what remains of the joint skill after all unique parts.",
        (),
    ),
    (
        "noise ceiling",
        "The greatest r that a function of the word alone can reach, from repetitions of the same "
        "words; not-estimable where words do not repeat.",
        (),
    ),
    (
        "distance",
        "The realised smallest time between a held-out and a training sample. Neighbours in time "
        "resemble each other: with shuffled frames a feature that knows only the time wins.",
        ("feghhi",),
    ),
)
