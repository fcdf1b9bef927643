"""Whoever adds an estimator, a kind, a split or a score column registers it, and that is all.

The toys of this test come out in the tables and the report of a small run that knows of them by
the registries alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from highgamma import catalogue, documentation, group, settings, store, summary
from highgamma.embeddings.kinds import KINDS, Entry, Given, Kind, Option
from highgamma.embeddings.making import make_embeddings
from highgamma.embeddings.stream import Embeddings
from highgamma.embeddings.text import word_coordinates
from highgamma.encoding.analysis import analysis_from
from highgamma.encoding.columns import SCORE_COLUMNS, Fits, ScoreColumn
from highgamma.encoding.cost import FitSize, total_seconds
from highgamma.encoding.estimators import ESTIMATORS, Estimator, Task
from highgamma.encoding.fit import fit_analysis
from highgamma.encoding.fits import NestedFit, empty_fit
from highgamma.encoding.nulls import Null, sums_of_fit
from highgamma.encoding.samples import word_samples
from highgamma.encoding.splits import SPLITS, SplitScheme
from highgamma.report import evidence, page

WORDS = ["ik", "de", "aap", "noot", "mies", "wim", "zus", "jet", "teun", "vuur", "gijs", "lam",
         "kees", "bok", "weide", "does", "hok", "duif", "schapen", "a", "boom", "roos", "vis",
         "pen", "tak", "maan", "sneeuw", "water", "vogel", "straat"]  # fmt: skip


class LetterCount(Kind):
    """How many letters a word has, times the powers that the entry asks for."""

    name = "letter-count"
    description = "the number of letters"
    options: ClassVar = {
        "powers": Option((int,), 1, "a count, 1 or more", "powers of the count", minimum=1)
    }
    needs = ("words",)
    reads_words = True

    def make(self, entry: dict[str, Any], given: Given) -> Embeddings:
        counts = np.array([len(word) for word in given.words.word], dtype=float)
        powers = np.arange(1, entry["powers"] + 1)
        values = (counts[:, None] ** powers / 10.0**powers).astype(np.float32)
        return Embeddings(
            unit="word", layers=[0], width=len(powers), blocks=iter([values[None]]),
            coordinates=word_coordinates(given.words), attributes={},
        )  # fmt: skip

    def width(self, entry: Entry, size: Any) -> int:
        return int(entry["powers"])


class NearestNeighbour(Estimator):
    """The target of the training word whose features are nearest."""

    name = "nearest"
    description = "the nearest training sample's target"
    alphas = (1.0,)
    units = ("word",)

    def seconds(self, analysis: Any, size: FitSize) -> float:
        return 1e-9 * size.samples**2 * (1 + size.surrogates)

    def nested(self, task: Task, prepared: Any = None) -> NestedFit:
        n, t = task.targets.shape
        fit = empty_fit(n, len(task.split.folds), t)
        X = task.design.rows(np.arange(n))
        fit.alpha[:], fit.inner_score[:] = 1.0, 0.0
        for i in task.folds:
            fold = task.split.folds[i]
            train = np.flatnonzero(fold.train)
            away = np.abs(X[fold.test][:, None] - X[train][None]).sum(axis=2)
            fit.training_mean[i] = task.targets[train].mean(axis=0)
            fit.prediction[fold.test] = task.targets[train[away.argmin(axis=1)]]
        return fit

    def refit(self, task: Task, chosen: NestedFit) -> NestedFit:
        return self.nested(task)


class OneByOne(Null):
    """A null of the test's own: each surrogate by itself."""

    def add(self, task: Task, prepared: Any, fit: NestedFit) -> None:
        self.penalties = "fixed"
        sums = []
        for k in range(len(self.surrogates)):
            series = self.surrogates.series(task.targets, slice(None), slice(k, k + 1))[:, 0].T
            moved = Task(
                design=task.design, targets=series, split=task.split, analysis=task.analysis
            )
            sums.append(sums_of_fit(ESTIMATORS[task.analysis.estimator].nested(moved), moved))
        self.put(task.split, np.stack(sums, axis=1))


class NearestWithNull(NearestNeighbour):
    name = "nearest-with-null"

    def null(self, surrogates: Any) -> Null:
        return OneByOne(surrogates)


ODD_AND_EVEN = SplitScheme(
    name="odd-and-even",
    description="every second sample",
    blocks=lambda rows, *, folds, seed: np.arange(len(rows)) % 2,
    n_folds=lambda folds, words, recordings: 2,
    counts_folds=False,
    purged=(),
)


def _error(fits: Fits) -> Any:
    def root_mean_square(layer: Any) -> Any:
        return np.sqrt(np.mean((layer.fit.prediction - fits.problem.targets) ** 2, axis=0))

    return fits.by_layer(root_mean_square)


ERROR = ScoreColumn(
    name="rms_error", meaning="root mean square error", units="µV", dims=("layer", "channel"),
    values=_error, electrode_column=True, read=True,
)  # fmt: skip


@pytest.fixture(autouse=True)
def toys() -> Iterator[None]:
    with (
        KINDS.extended(LetterCount()),
        ESTIMATORS.extended(NearestNeighbour(), NearestWithNull()),
        SPLITS.extended(ODD_AND_EVEN),
        SCORE_COLUMNS.extended(ERROR),
    ):
        yield


def configuration(**analysis: Any) -> dict[str, Any]:
    chosen = {"unit": "word", "estimator": "nearest", "split": "odd-and-even", "permutations": 19,
              "surrogates": "permutation", "drift": None, "nuisances": []}  # fmt: skip
    config = settings.checked(
        {
            "dataset": {"root": "x"},
            "models": ["letters"],
            "catalogue": {"letters": {"kind": "letter-count", "powers": 2, "width": 2}},
            "analyses": {"words": {**chosen, "position": False, **analysis}},
        }
    )
    settings.cross_checked(config)
    return config


def word_table() -> pd.DataFrame:
    onset = 1.0 + 3.0 * np.arange(len(WORDS))
    return pd.DataFrame(
        {
            "segment": 0, "segment_label": "recording", "word": WORDS, "onset": onset,
            "offset": onset + 2, "voice_onset": onset + 0.5, "voice_offset": onset + 1.2,
        }
    )  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    """A small run of the toys: an electrode that follows the length of words, and a free one."""
    config = configuration(**getattr(request, "param", {}))
    words = word_table()
    store.write_table(words, tmp_path / "words.tsv")
    silence = xr.Dataset(
        {"audio": ("time", np.empty(0, np.float32))},
        coords={"time": np.empty(0), "segment": ("time", np.empty(0, np.int16))},
        attrs={"rate_hz": 16000.0},
    )
    store.write_dataset(silence, tmp_path / "audio.nc", stage="recording", parameters={})
    entries = catalogue.load(
        Path(__file__).parents[1] / "config/models.yaml", further=config["catalogue"]
    )
    embeddings = tmp_path / "embeddings.nc"
    make_embeddings(
        embeddings, name="letters", model=entries["letters"], participant="sub-01", dataset={},
        words=tmp_path / "words.tsv", audio=tmp_path / "audio.nc",
    )  # fmt: skip
    rng = np.random.default_rng(0)
    n = len(WORDS)
    follows = np.array([len(word) for word in WORDS]) + 0.1 * rng.standard_normal(n)
    target = xr.Dataset(
        {"target": (("word", "channel"), np.stack([follows, rng.standard_normal(n)], axis=1))},
        coords={
            "word_index": ("word", np.arange(n)), "word": WORDS,
            "start": ("word", words["onset"].to_numpy()),
            "stop": ("word", words["onset"].to_numpy() + 1),
            "segment": ("word", np.zeros(n, dtype=np.int16)),
            "valid": ("word", np.ones(n, dtype=np.int8)), "channel": ["LA1", "LA2"],
        },
    )  # fmt: skip
    analysis = analysis_from(settings.fit_settings(config, "words", "letters"))
    samples = word_samples(store.read_dataset(embeddings), words, target, analysis)
    scores = fit_analysis(samples, analysis=analysis, layers=[0], names=("sub-01", "words"))
    path = tmp_path / "scores/words/sub-01/letters/00.nc"
    store.write_dataset(scores, path, stage="encoding", parameters={})
    result = summary.summarise(
        summary.read_fits([path]), channels={}, contamination={}, participants=["sub-01"],
        analyses=config["analyses"], models=["letters"], run="toys",
        roles={"letters": catalogue.kind_of(entries["letters"]).role},
    )  # fmt: skip
    return {"config": config, "scores": scores, "path": path, "result": result, "root": tmp_path}


@pytest.mark.parametrize(
    "run", [{"estimator": "nearest"}, {"estimator": "nearest-with-null"}], indirect=True,
    ids=["without a null of its own", "with its null"],
)  # fmt: skip
def test_a_toy_of_each_sort_comes_out_in_the_tables(run: dict[str, Any]) -> None:
    scores, table = run["scores"], run["result"].electrodes.set_index("electrode")
    assert scores.sizes["fold"] == 2 and scores["fold_label"].values[1] == "odd-and-even 1"
    # Nearest in length among the words of the other half: what a plain loop finds.
    target, length = scores["observed"].values[:, 0], np.array([len(w) for w in WORDS])
    powers = np.stack([length / 10, length**2 / 100], axis=1).astype(np.float32)
    for k in range(len(WORDS)):
        others = np.flatnonzero(np.arange(len(WORDS)) % 2 != k % 2)
        nearest = others[np.abs(powers[others] - powers[k]).sum(axis=1).argmin()]
        assert scores["prediction"].values[k, 0] == pytest.approx(target[nearest], abs=1e-5)
    assert table.loc["LA1", "p"] == pytest.approx(0.05) and table.loc["LA2", "p"] > 0.05
    error = np.sqrt(np.mean((scores["prediction"] - scores["observed"]) ** 2, axis=0))
    np.testing.assert_allclose(table["rms_error"], error, rtol=1e-5)
    assert scores["rms_error"].attrs == {"long_name": "root mean square error", "units": "µV"}


def test_an_estimator_without_a_null_says_what_became_of_its_penalties(
    run: dict[str, Any],
) -> None:
    assert run["scores"].attrs["null_penalties_used"] == "fixed"
    assert np.isfinite(run["scores"]["p"]).all()


def test_the_toys_come_out_in_the_report(run: dict[str, Any]) -> None:
    root, result = run["root"], run["result"]
    names = ("electrodes", "layers", "participants", "gains", "partition", "missing")
    paths = {name: root / f"{name}.tsv" for name in names}
    summary.write(result, arrays=root / "summary.nc", **paths)
    group.write(
        group.table(
            group.read_electrodes(paths["electrodes"]), twins={}, settings=group.GroupSettings()
        ),
        root / "group.tsv",
    )
    found = evidence.read(
        run="toys", config=run["config"], summary=root / "summary.nc", scores=[run["path"]],
        contamination=[], truth=[], words=[root / "words.tsv"], published=None,
        group=root / "group.tsv", courses=[], **paths,
    )  # fmt: skip
    page.write(
        found, report=root / "report.html", folder=root / "figures",
        contamination=root / "contamination.tsv",
    )  # fmt: skip
    html = (root / "report.html").read_text()
    data = json.loads(re.search(r'id="electrode-data">(.*?)</script>', html, re.DOTALL)[1])
    assert data["further"] == ["rms_error"]
    errors = [row[data["columns"].index("rms_error")] for row in data["rows"]]
    assert sorted(errors) == pytest.approx(sorted(result.electrodes["rms_error"]), rel=1e-3)
    for name in ("letters", "odd-and-even", "nearest"):
        assert name in html


def test_the_schema_the_estimate_and_the_documentation_know_them() -> None:
    analysis = settings.schema()["properties"]["analyses"]["additionalProperties"]["properties"]
    assert "nearest" in analysis["estimator"]["enum"]
    assert "odd-and-even" in analysis["split"]["enum"]
    assert "every second sample" in analysis["split"]["description"]
    fit = analysis_from(settings.fit_settings(configuration(), "words", "letters"))
    size = FitSize.of_analysis(fit, samples=100, width=2, electrodes=10, words=100)
    assert size.folds == 2
    assert total_seconds(fit, size) == pytest.approx(1e-9 * 100**2 * 20)
    assert "| `rms_error` |" in documentation.columns("electrodes")
    assert "| `rms_error` | layer, channel | µV |" in documentation.columns("scores")
    assert "| `letter-count` |" in documentation.kinds("all")


def test_what_a_toy_cannot_do_is_refused_in_its_own_words() -> None:
    from highgamma.errors import InputError

    with pytest.raises(InputError, match="nearest is fitted to words, not to frames"):
        configuration(unit="frame")
    with pytest.raises(InputError, match=r"did you mean 'powers'"):
        catalogue.checked_catalogue({"l": {"kind": "letter-count", "power": 2}})
