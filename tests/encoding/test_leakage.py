"""The preset `leakage`: noise that resembles its own past, scored by the split alone."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from worlds import autocorrelated

from highgamma import catalogue, group, settings, summary
from highgamma.embeddings.position import position_embeddings
from highgamma.encoding.analysis import analysis_from
from highgamma.encoding.fit import fit_analysis
from highgamma.encoding.samples import frame_samples
from highgamma.report.evidence import Evidence
from highgamma.report.figures import demonstrations, leakage, leakage_rows
from highgamma.store import write_dataset

ROOT = Path(__file__).parents[2]
RATE, SECONDS, N_WORDS = 50.0, 180, 60


def noise_and_position():
    """Eight channels of noise, each a few seconds like its past, and features of time alone."""
    n = int(SECONDS * RATE)
    time = 0.01 + np.arange(n) / RATE
    neural = xr.Dataset(
        {"high_gamma": (("time", "channel"), 20 + autocorrelated(n, 8, seed=4, coefficient=0.99))},
        coords={
            "time": time,
            "segment": ("time", np.zeros(n, dtype=np.int16)),
            "valid": ("time", np.ones(n, dtype=np.int8)),
            "channel": [f"LA{k}" for k in range(8)],
        },
        attrs={"rate_hz": RATE},
    )
    known = catalogue.load(ROOT / "config/models.yaml")["position"]
    made = position_embeddings(known, extents=[(0, 0.0, float(SECONDS))])
    position = xr.Dataset(
        {"embedding": (("layer", "sample", "feature"), np.concatenate(list(made.blocks), axis=1))},
        coords={"layer": [0], **{k: ("sample", v) for k, v in made.coordinates.items()}},
        attrs={"unit": "frame", **made.attributes},
    )
    onset = 3.0 * np.arange(N_WORDS)
    words = pd.DataFrame(
        {"segment": 0, "word": [f"w{k}" for k in range(N_WORDS)], "onset": onset,
         "offset": onset + 2, "voice_onset": onset + 0.5, "voice_offset": onset + 1}
    )  # fmt: skip
    return neural, position, words, known


@pytest.fixture(scope="module")
def fits():
    neural, position, words, known = noise_and_position()
    config = settings.checked(
        {
            "dataset": {"root": "d"},
            "models": ["mel"],
            "analyses": {"leak": {"preset": "leakage", "unit": "frame"}},
        },
    )
    found = {}
    for name in config["analyses"]:
        settled = settings.fit_settings(config, name, "position")
        analysis = analysis_from(settled | catalogue.kind_of(known).fit_options(known, settled))
        samples = frame_samples(position, words, neural, analysis)
        found[analysis.split] = fit_analysis(
            samples, analysis=analysis, layers=[0], seed=1, names=("sub-01", name)
        )
    return found


def test_position_in_time_predicts_noise_where_neighbours_are_shuffled(fits):
    assert (fits["shuffled"]["r"].values > 0.5).all()
    assert (fits["shuffled"]["skill"].values > 0.25).all()
    assert fits["shuffled"].attrs["leaky"] == 1


def test_position_in_time_predicts_nothing_where_blocks_are_held_out(fits):
    assert abs(float(fits["contiguous"]["r"].mean())) < 0.15
    assert (fits["contiguous"]["skill"].values < 0.05).all()
    assert fits["contiguous"].attrs["leaky"] == 0


def test_a_word_left_out_takes_all_its_frames_along_and_keeps_the_gap(fits):
    one = fits["leave-one-word-out"]
    assert one.sizes["fold"] == N_WORDS
    for fold in range(N_WORDS):
        assert len(np.unique(one["word_index"].values[one["fold_of_sample"].values == fold])) == 1
    assert one.attrs["leaky"] == 0 and one.attrs["distance_s"] >= 0.5
    # What is left is the little that noise of seconds says across half a second.
    assert float(one["r"].mean()) < 0.5 * float(fits["shuffled"]["r"].mean())


def test_the_three_splits_hold_out_the_same_frames(fits):
    shuffled, contiguous, words = fits.values()
    for other in (contiguous, words):
        np.testing.assert_array_equal(shuffled["time"].values, other["time"].values)
        np.testing.assert_array_equal(shuffled["observed"].values, other["observed"].values)


def test_the_figure_sets_position_beside_the_model(fits, tmp_path):
    for split, fit in fits.items():
        for model in ("mel", "position"):
            path = tmp_path / f"scores/leak-{split}/sub-01/{model}/00.nc"
            write_dataset(fit, path, stage="encoding", parameters={})
    made = summary.summarise(
        summary.read_fits(tmp_path.rglob("*.nc")), channels={}, contamination={},
        participants=["sub-01"], models=["mel", "position"], run="test",
            roles={"position": "position"},
        analyses={f"leak-{s}": {"part_of": "leak", "split": s, "controls": []} for s in fits},
    )  # fmt: skip
    given = {name: getattr(made, name) for name in ("electrodes", "participants", "arrays")}
    evidence = Evidence(**(dict.fromkeys(field.name for field in fields(Evidence)) | given))
    table = group.table(made.electrodes, twins={}, settings=group.GroupSettings())
    assert demonstrations(evidence) == ["leak"]
    rows = leakage_rows(evidence, table, "leak")
    assert [(r.split, r.model) for r in rows] == [(s, m) for s in fits for m in ("mel", "position")]
    for row in rows:
        z = np.arctanh(fits[row.split]["r"].values[0])
        assert row.r[0] == pytest.approx(np.tanh(z.mean()))
        assert row.distance_s == pytest.approx(fits[row.split].attrs["distance_s"])
    figure = leakage(evidence, table, "leak")
    assert f"shuffled {rows[0].r[0]:.2f}".replace("0.", ".") in figure.alt
