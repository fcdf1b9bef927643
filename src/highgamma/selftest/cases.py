"""The cases of the battery: which analyses are tested."""

from __future__ import annotations

from typing import Any

CONFIGURATIONS = {
    "paper-frames": ("paper.yaml", "frames"),
    "paper-words": ("paper.yaml", "words"),
    "demo-frames": ("config.yaml", "frames"),
    "demo-words": ("config.yaml", "words"),
    "podcast-frames": ("podcast.yaml", "frames"),
}
"""The analyses that are tested: file and analysis of each."""

PLAIN: dict[str, dict[str, Any]] = {
    "frames-trial": {"unit": "frame", "split": "trial"},
    "frames-leave-one-word-out": {"unit": "frame", "split": "leave-one-word-out"},
    "frames-recording": {"unit": "frame", "split": "recording", "recordings": 3},
    "frames-kept": {"unit": "frame", "null_penalties": "kept"},
    "frames-curve": {"unit": "frame", "lags": [-0.2, 0.2], "lag_step": 0.1, "lag_mode": "curve"},
    "frames-banded": {
        "unit": "frame", "estimator": "banded-ridge", "bands": ["mel", "gpt2"], "band_draws": 5,
        "folds": 5,
    },
    "words-contiguous": {"unit": "word", "split": "contiguous"},
    "words-word": {"unit": "word", "split": "word"},
    "words-trial": {"unit": "word", "split": "trial"},
    "words-recording": {"unit": "word", "split": "recording", "recordings": 3},
    "words-folds": {"unit": "word", "split": "contiguous", "choose_by": "folds"},
    "words-elastic-net": {
        "unit": "word", "split": "word", "folds": 5, "estimator": "elastic-net", "alpha": 0.05,
        "permutations": 99,
    },
}  # fmt: skip
"""Further splits and estimators, whose size is measured with a model of text."""

EQUAL = {f"{name}-equal": name for name in ("paper-frames", "paper-words")}
"""Cases in which second draws of the controls stand in for the models."""
