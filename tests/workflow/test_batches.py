"""Batches of layers: consecutive, of equal size, and long enough to be worth a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from highgamma import settings
from highgamma.workflow import batches

ROOT = Path(__file__).parents[2]


def analysis(**keys: Any) -> dict[str, Any]:
    """The settings of a fit, all others at their defaults."""
    config = {"dataset": {"root": "x"}, "models": ["mel"], "analyses": {"a": keys}}
    return settings.fit_settings(settings.checked(config), "a", "mel")


FRAMES = {"unit": "frame", "folds": 10}


def test_every_layer_is_in_one_batch_of_consecutive_layers():
    found = batches.batches([0, 1, 2, 5, 6, 7, 8, 12], size=3)
    assert found == [[0, 1, 2], [5, 6, 7], [8], [12]]
    assert batches.batches([0, 1, 2, 5], size=0) == [[0, 1, 2], [5]]
    assert batches.batches([4], size=5) == [[4]]


def test_the_estimate_is_that_of_the_published_benchmark():
    """30,000 frames, 1024 features, 128 electrodes, 20 penalties: 17 s, and 143 s for 1000 shifts.

    Within a factor of two: measured on one core of benchmarks/README.md's machine.
    """
    fit = analysis(**FRAMES, alphas=[10.0**k for k in range(20)], permutations=0)
    null = analysis(**FRAMES, alphas=[10.0**k for k in range(20)], permutations=1000)
    seconds = batches.layer_seconds(fit, width=1024)
    assert 16.7 / 2 < seconds < 16.7 * 2
    assert 143 / 2 < batches.layer_seconds(null, width=1024) - seconds < 143 * 2


def test_the_estimate_of_the_elastic_net_is_what_was_measured(monkeypatch):
    """95 words, 66 components of a speech model, 122 electrodes: 0.73 s of one core a layer."""
    monkeypatch.setattr(batches, "WORDS", 95)
    monkeypatch.setattr(batches, "ELECTRODES", 122)
    of = analysis(
        unit="word",
        estimator="elastic-net",
        alpha=1.0,
        split="leave-one-word-out",
        permutations=0,
    )
    assert 0.73 / 2 < batches.layer_seconds(of, width=66) < 0.73 * 2


@pytest.mark.parametrize(
    ("keys", "width", "expected"),
    [
        ({"unit": "word", "split": "leave-one-word-out"}, 768, 25),
        ({**FRAMES, "permutations": 0}, 768, 25),
        ({**FRAMES, "lags": [-0.2, 0.2], "lag_step": 0.1}, 1024, 1),
        ({**FRAMES, "lags": [-0.2, 0.2], "lag_step": 0.1, "permutations": 0}, 1024, 1),
    ],
    ids=["words", "frames without a null", "delays", "delays without a null"],
)
def test_short_fits_share_a_job_and_long_ones_have_their_own(keys, width, expected):
    assert batches.layers_per_job(analysis(**keys), width=width, layers=25) == expected


def test_a_job_is_no_longer_than_asked_for_unless_a_layer_is():
    for permutations in (0, 100, 1000, 10_000):
        of = analysis(**FRAMES, permutations=permutations)
        size = batches.layers_per_job(of, width=768, layers=25)
        assert size == 1 or size * batches.layer_seconds(of, width=768) <= batches.WORTHWHILE


def test_jobs_are_of_equal_size():
    of = analysis(**FRAMES, permutations=1000)
    size = batches.layers_per_job(of, width=768, layers=25)
    sizes = [len(batch) for batch in batches.batches(range(25), size=size)]
    assert 1 < len(sizes) < 25
    assert max(sizes) - min(sizes) <= len(sizes)
