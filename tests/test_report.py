"""The page: complete, self-contained, escaped, the same bytes each time, whatever is missing."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from test_summary import channels_table, write_scores

from highgamma import group, scores, store, summary, timecourse
from highgamma.embeddings.static import static_embeddings
from highgamma.embeddings.stream import Words
from highgamma.embeddings.vocabulary import joined_attribute
from highgamma.embeddings.writing import as_dataset
from highgamma.errors import InputError
from highgamma.report import evidence, figures, findings, page, table
from highgamma.summary.columns import electrode_columns

KINDS = ("acoustic", "acoustic", "language", "speech-on-off", "noise", "contaminated", "flat")
REGIONS = ("ctx_lh_G_temp_sup-Lateral", "ctx_lh_S_central", "Left-Hippocampus")
LAGS = np.round(np.arange(-0.3, 0.301, 0.02), 3)
PLANTED_LAYER = 2
ANALYSES = {
    "paper": {"unit": "word", "controls": [], "estimator": "elastic-net"},
    "words": {"unit": "word", "controls": ["mel", "minilm-untrained"]},
    "lags": {"unit": "frame", "controls": []},
}


def planted_run(
    root: Path,
    *,
    participants: int = 2,
    copies: int = 1,
    n_words: int = 60,
    seconds: int = 72,
    names: list[str] | None = None,
    region: str | None = None,
) -> dict[str, list[Path]]:
    """Score files, tables, audits and truth as a run on planted electrodes leaves them."""
    files: dict[str, list[Path]] = {k: [] for k in ("scores", "channels", "contamination", "truth")}
    files["words"] = []
    kinds = KINDS * copies
    n = len(kinds)
    for k in range(participants):
        rng = np.random.default_rng(k)
        person = f"sub-{k + 1:02d}"
        electrodes = names or [f"L{'AB'[i % 2]}{i + 1}" for i in range(n)]
        gain = np.exp(rng.normal(2, 0.5, n))
        lag = np.where(np.arange(n) % 2 == 0, 0.1, -0.08)

        def made(strength, n_samples, noise=1.0, smooth=0, rng=rng, gain=gain, n=n):
            drive, rest = (rng.normal(size=(n_samples, n)) for _ in range(2))
            if smooth:
                window = np.hanning(smooth)[:, None] / np.sqrt((np.hanning(smooth) ** 2).sum())
                drive = np.stack([np.convolve(d, window[:, 0], "same") for d in drive.T], axis=1)
                rest = np.stack([np.convolve(d, window[:, 0], "same") for d in rest.T], axis=1)
            total = np.sqrt(1 - strength**2) * rest * noise + strength * drive
            measured = gain * (8 + total)
            return measured, gain * 8, gain * drive

        def of_kind(values, default=0.0, kinds=kinds):
            return np.array([values.get(kind, default) for kind in kinds])

        flat = of_kind({"flat": 1}) > 0
        common = {"participant": person, "names": electrodes, "flat": flat.astype(int).tolist()}
        strength = of_kind({"language": 0.8, "acoustic": 0.5})
        measured, level, drive = made(strength, n_words)
        measured[:, flat] = 5.0
        folds = np.minimum(np.arange(n_words) * 10 // n_words, 9)
        means = np.stack([measured[folds != f].mean(axis=0) for f in folds])
        for model, layers, share in (
            ("mel", [0], of_kind({"acoustic": 0.9})),
            ("minilm", [0, 1, 2, 3, 4], of_kind({"language": 0.9, "acoustic": 0.4})),
            ("minilm-untrained", [0, 1, 2, 3, 4], of_kind({"acoustic": 0.3})),
        ):
            files["scores"] += write_scores(
                root, analysis="paper", model=model, layers=[layers[-1]], measured=measured,
                predicted=means[None], n_folds=10, permutations=0,
                inner=np.full((1, 10, n), np.nan), **common,
            )  # fmt: skip
            slope = np.exp(-0.15 * (np.array(layers) - PLANTED_LAYER) ** 2)[:, None, None]
            noise = rng.normal(size=(len(layers), n_words, n)) * gain * 0.12
            predicted = level + slope * (share * strength) * drive + noise
            predicted[:, :, flat] = 5.0
            files["scores"] += write_scores(
                root, analysis="words", model=model, layers=layers, measured=measured,
                predicted=predicted, n_folds=10, permutations=999, seed=k, **common,
            )  # fmt: skip
        rate = 20
        strength = of_kind({"acoustic": 0.75, "speech-on-off": 0.6, "contaminated": 0.4})
        measured, level, drive = made(strength, seconds * rate, smooth=9)
        measured[:, flat] = 5.0
        predicted = level + 0.9 * strength * drive + gain * 0.2 * rng.normal(size=drive.shape)
        predicted[:, flat] = 5.0
        curve = 0.05 * rng.normal(size=(n, len(LAGS))) + (
            strength[:, None] * np.exp(-((LAGS - np.round(lag, 2)[:, None]) ** 2) / 0.006)
        )
        files["scores"] += write_scores(
            root, analysis="lags", model="envelope", layers=[0], measured=measured,
            predicted=predicted[None], n_folds=5, unit="frame", rate=rate, lags=LAGS, lag_r=curve,
            permutations=999, seed=k, coefficients=rng.normal(size=(13, 8, n)), **common,
        )  # fmt: skip
        table = channels_table(
            electrodes,
            region=[region or REGIONS[i % 3] for i in range(n)],
            x=list(-30 - 25 * rng.uniform(size=n)),
            y=list(-40 + 80 * rng.uniform(size=n)),
            z=list(-10 + 50 * rng.uniform(size=n)),
        )
        extra = table.iloc[[0]].assign(name="EKG1", kept="no", reason="type EKG")
        files["channels"].append(root / f"channels/{person}.tsv")
        store.write_table(pd.concat([table, extra]), files["channels"][-1])
        contaminated = of_kind({"contaminated": 1}) > 0
        hertz = np.arange(10.0, 400.0, 10.0)
        matrix = rng.normal(0, 0.05, (n, len(hertz), len(hertz)))
        matrix[contaminated] += 0.5 * np.eye(len(hertz))
        audit = xr.Dataset(
            {
                "p": ("channel", np.where(contaminated, 0.001, rng.uniform(0.05, 1, n))),
                "excess": ("channel", contaminated * 0.4 + rng.normal(0, 0.02, n)),
                "matrix": (("channel", "frequency_audio", "frequency"), matrix.astype("float32")),
                "p_recording": ((), 0.004),
            },
            coords={"channel": electrodes, "frequency_audio": hertz, "frequency": hertz},
        )
        files["contamination"].append(root / f"contamination/{person}.nc")
        store.write_dataset(audit, files["contamination"][-1], stage="contamination", parameters={})
        truth = pd.DataFrame({"participant": person, "electrode": electrodes, "kind": kinds})
        acoustic, language = truth["kind"] == "acoustic", truth["kind"] == "language"
        truth["lag_s"] = np.where(acoustic, lag, np.nan)
        truth["model"] = np.where(acoustic, "envelope", np.where(language, "minilm", None))
        truth["layer"] = pd.array(np.where(language, PLANTED_LAYER, np.nan)).astype("Int64")
        files["truth"].append(root / f"truth/{person}.tsv")
        store.write_table(truth, files["truth"][-1])
        onset = np.arange(0.5, seconds - 2, 3.0)
        words = pd.DataFrame({"segment": 0, "word": "kat", "onset": onset, "offset": onset + 2})
        words["voice_onset"], words["voice_offset"] = onset + 0.5, onset + 1.1
        files["words"].append(root / f"words/{person}.tsv")
        store.write_table(words, files["words"][-1])
    return files


def gains_of(paths: list[Path]) -> dict[tuple[str, str], pd.DataFrame]:
    """The differences of skills in the stead of the stage gain's, each significant if above 0."""
    skill: dict[tuple[str, str], dict[str, pd.Series]] = {}
    for fit in summary.read_fits(paths):
        best = fit.scores["skill"].max("layer").to_pandas()
        skill.setdefault((fit.analysis, fit.participant), {})[fit.model] = best
    tables = {}
    for key, models in skill.items():
        controls = [c for c in ANALYSES.get(key[0], {}).get("controls", []) if c in models]
        rows = []
        for model in set(models) - {*controls, "position"}:
            over = {c: models[model] - models[c] for c in controls}
            if over:
                over["together"] = pd.DataFrame(over).min(axis=1)
            for name, gain in over.items():
                p = np.where(gain > 0, 1e-4, 0.9)
                rows.append(
                    pd.DataFrame({"model": model, "channel": gain.index, "against": name,
                                  "gain": gain.to_numpy(), "p": p})
                )  # fmt: skip
        if rows:
            tables[key] = pd.concat(rows, ignore_index=True)
    return tables


def summarise(root: Path, files: dict[str, list[Path]], **changes) -> None:
    options = {
        "participants": [path.stem for path in files["truth"]],
        "analyses": ANALYSES,
        "models": ["mel", "envelope", "minilm", "minilm-untrained"],
        "run": "planted",
        "roles": {"position": "position"},
    }
    result = summary.summarise(
        summary.read_fits(files["scores"]),
        channels=summary.read_channels(files["channels"]),
        contamination=summary.read_contamination(files["contamination"]),
        gains=gains_of(files["scores"]),
        **(options | changes),
    )
    summary.write(
        result, electrodes=root / "electrodes.tsv", layers=root / "layers.tsv",
        participants=root / "participants.tsv", arrays=root / "summary.nc",
        gains=root / "gains.tsv", partition=root / "partition.tsv", missing=root / "missing.tsv",
    )  # fmt: skip


def read(root: Path, files: dict[str, list[Path]], **further) -> evidence.Evidence:
    return evidence.read(
        **further, run="planted", config={"run": "planted", "analyses": ANALYSES},
        electrodes=root / "electrodes.tsv", layers=root / "layers.tsv",
        participants=root / "participants.tsv", summary=root / "summary.nc",
        scores=files["scores"], contamination=files["contamination"], truth=files["truth"],
        words=files["words"], gains=root / "gains.tsv", partition=root / "partition.tsv",
        missing=root / "missing.tsv",
    )  # fmt: skip


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> tuple[Path, dict[str, list[Path]]]:
    root = tmp_path_factory.mktemp("planted")
    files = planted_run(root)
    summarise(root, files)
    return root, files


def changed(found: evidence.Evidence, **changes) -> evidence.Evidence:
    return dataclasses.replace(found, **changes)


def compared(planted, tmp_path: Path, **models: str) -> evidence.Evidence:
    lines = (
        "participant\tmodel\tpcc\tpcc_within\tr2\tsource",
        "sub-01\tnet\t0.9\t0.01\t0.5\t<i>there</i>",
        "sub-09\tnet\t0.8\t0.01\tn/a\t<i>there</i>",
        "sub-01\twords\tn/a\tn/a\t0.4\t<i>there</i>",
    )
    (tmp_path / "published.tsv").write_text("\n".join(lines) + "\n")
    found = read(*planted, published=tmp_path / "published.tsv")
    config = {"published": {"analysis": "words", "models": models}}
    return changed(found, config=config)


def with_joint_fit(found: evidence.Evidence, *, ceiling: float | str) -> evidence.Evidence:
    """A joint fit of mel and minilm on every electrode beside what was found."""
    rows = found.electrodes[found.electrodes["model"] == "minilm"]
    rows = rows[rows["analysis"] == "words"].assign(model="mel+minilm", analysis="joint")
    rows["skill"] = np.linspace(0.1, 0.6, len(rows))
    parts = [
        {
            **{k: row[k] for k in ("analysis", "participant", "electrode", "model", "skill")},
            "space": space, "unique": unique, "share": row["skill"] / 2,
            "shared": row["skill"] - 0.25, "noise_ceiling": ceiling, "explainable": ceiling,
        }
        for row in rows.to_dict("records")
        for space, unique in (("mel", 0.05), ("minilm", 0.2))
    ]  # fmt: skip
    arrays = found.arrays.reindex(
        analysis=[*found.arrays["analysis"].values, "joint"],
        model=[*found.arrays["model"].values, "mel+minilm"],
    )
    electrodes = pd.concat([found.electrodes, rows], ignore_index=True)
    return changed(found, partition=pd.DataFrame(parts), electrodes=electrodes, arrays=arrays)


def followed(root: Path, words: Path) -> xr.Dataset:
    """The time course of the analysis of lags around the words."""
    fit = store.read_dataset(root / f"scores/lags/{words.stem}/envelope/00-00.nc")
    observed, predicted = (
        fit[name].transpose("sample", "channel").values - fit["observed"].mean("sample").values
        for name in ("observed", "prediction")
    )
    held_out = timecourse.HeldOut(
        observed=observed, predicted=predicted, time=fit["time"].values,
        segment=fit["segment"].values.astype(np.int64), r=np.full(observed.shape[1], 0.5),
        skill=np.full(observed.shape[1], 0.2), channels={"channel": fit["channel"].variable},
        units="µV", distance_s=0.5, leaky=False,
    )  # fmt: skip
    table = store.read_table(words, strings=("word",))
    return timecourse.timecourse(held_out, table, window=(-0.4, 1.0), permutations=20)


@pytest.fixture(scope="module")
def whole(planted, tmp_path_factory) -> evidence.Evidence:
    """Everything that a report can show: published scores and a joint fit beside the rest."""
    found = compared(planted, tmp_path_factory.mktemp("whole"), minilm="net", mel="words")
    statistics = group.table(
        found.electrodes,
        twins={"minilm": ["minilm-untrained"]},
        settings=group.GroupSettings(min_participants=2, min_electrodes=2),
    )
    courses = [
        timecourse.Course("lags", path.stem, "envelope", followed(planted[0], path))
        for path in planted[1]["words"]
    ]
    found = changed(found, group=statistics, courses=tuple(courses))
    return with_joint_fit(found, ceiling=0.7)


@pytest.fixture(scope="module")
def built(whole) -> tuple[str, list[page.Drawn]]:
    return page.build(whole)


class Outline(HTMLParser):
    """Tags, ids, links and the balance of a page."""

    VOID = frozenset({"meta", "link", "img", "br", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        self.scripts += tag == "script"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def outline(html: str) -> Outline:
    parsed = Outline()
    parsed.feed(html)
    parsed.close()
    assert parsed.open == []
    return parsed


# ---------------------------------------------------------------------------------------- the page


def test_the_page_is_whole_and_fetches_nothing(built):
    html, drawn = built
    parsed = outline(html)
    sources = [value for _, key, value in parsed.attributes if key == "src"]
    assert len(sources) == len(drawn)
    assert all(value.startswith("data:image/svg+xml;base64,") for value in sources)
    links = [value for tag, key, value in parsed.attributes if tag == "link" and key == "href"]
    assert links == ["data:,"]
    assert not re.search(r"@import|url\((?!data:)", html)
    ids = [value for _, key, value in parsed.attributes if key == "id"]
    assert len(ids) == len(set(ids))
    targets = [
        value[1:] for _, key, value in parsed.attributes if key == "href" and value[:1] == "#"
    ]
    assert set(targets) <= set(ids)


def test_every_figure_has_words_that_stand_for_it(built):
    html, drawn = built
    assert html.count("<img ") == html.count(' alt="') == len(drawn)
    assert all(len(figure.alt) > 30 and len(figure.caption) > 60 for figure in drawn)
    names = {figure.name for figure in drawn}
    assert {
        "across-channels", "group", "regions_words", "trials_lags",
        "best_lags", "best_words", "contamination", "lags_lags", "layers_words",
        "map_words", "partition_joint_mel+minilm", "published", "truth", "verdicts", "weights_lags",
    } <= names  # fmt: skip


def test_the_page_says_what_the_mean_predictor_reaches(built, planted):
    html, _ = built
    people = store.read_table(planted[0] / "participants.tsv")
    reached = f"{people['pcc_mean_predictor'].median():.2f}"[1:]
    assert f"which ignores its input, reaches {reached}" in html


def test_two_runs_give_the_same_bytes(whole, built, tmp_path):
    page.write(
        whole, report=tmp_path / "report.html", folder=tmp_path / "figures",
        contamination=tmp_path / "contamination.tsv",
    )  # fmt: skip
    html, drawn = built
    assert (tmp_path / "report.html").read_bytes() == html.encode()
    written = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    assert written == {f"{d.name}.{e}": getattr(d, e) for d in drawn for e in ("svg", "png")}
    stamps = re.compile(rb"dc:date|tIME|20\d\d-\d\d-\d\dT")
    assert not any(stamps.search(content) for content in written.values())


def test_hostile_names_stay_text(tmp_path):
    hostile = [
        "<script>alert(1)</script>",
        "a&b",
        '"><img src=x onerror=alert(1)>',
        "$\\frac{",
        "{{ 7*7 }}",
    ]
    names = [*hostile, *(f"LA{k}" for k in range(len(KINDS) - len(hostile)))]
    files = planted_run(tmp_path, participants=1, names=names, region="<b onclick=x>$x_1$</b>")
    summarise(tmp_path, files)
    found = read(tmp_path, files)
    html, _ = page.build(found)
    parsed = outline(html)
    assert parsed.scripts == 2  # the page's own, and its data
    assert not [a for a in parsed.attributes if a[1].startswith("on")]
    text = "".join(parsed.text)
    assert "<script>alert(1)</script>" in text and "<b onclick=x>" in text and "{{ 7*7 }}" in text
    rows = data_of(html)
    assert {row["electrode"] for row in rows} == set(found.electrodes["electrode"])
    assert {row["region"] for row in rows} - {None} == {"<b onclick=x>$x_1$</b>"}


def test_the_flags_of_quality_are_on_the_page(planted, tmp_path):
    names = ["LA1", "<b>LA2</b>", *(f"LB{k}" for k in range(10))]
    flags = ["unit", "unit,masked", *["masked"] * 8, "", ""]
    tables = [tmp_path / f"sub-{k:02d}.tsv" for k in (1, 2)]
    store.write_table(pd.DataFrame({"electrode": names, "flags": flags}), tables[0])
    store.write_table(pd.DataFrame({"electrode": ["LA1"], "flags": [""]}), tables[1])
    found = read(*planted, quality=tables)
    rows = [(r.participant, r.flag, r.n, r.channels) for r in findings.flagged_channels(found)]
    assert rows == [
        ("sub-01", "unit", 12, ("LA1", "<b>LA2</b>")),
        ("sub-01", "masked", 12, tuple(names[1:10])),
    ]
    html, _ = page.build(found)
    text = "".join(outline(html).text)
    assert "LA1, <b>LA2</b>" in text and "LB6 and 1 more" in text
    assert "the amplitude is implausible in µV (quality.amplitude)" in text
    html, _ = page.build(changed(found, quality={"sub-02": found.quality["sub-02"]}))
    assert "No channel carries a flag." in html
    assert 'id="quality"' not in page.build(changed(found, quality={}))[0]


def test_words_that_a_model_does_not_know_are_on_the_page(tmp_path):
    files = planted_run(tmp_path, participants=2)
    said = {"sub-01": ("de", "<img src=x>", "vis"), "sub-02": ("de", "kat", "hond")}
    (tmp_path / "small.vec").write_text("de 1 2\nkat 1 2\nhond 3 4\n")
    for path in files["scores"]:
        words = said[path.parents[1].name]
        spoken = Words(words, np.zeros(3, np.int64), *(np.zeros(3) for _ in range(4)))
        made = static_embeddings({"width": 2}, words=spoken, path=tmp_path / "small.vec")
        opened = {path.parent.name: as_dataset(made)} if "minilm" in str(path) else {}
        fit = store.read_dataset(path)
        store.write_dataset(
            fit.assign_attrs(joined_attribute(opened)), path, stage="encoding", parameters={}
        )
    summarise(tmp_path, files)
    found = read(tmp_path, files)
    (row,) = findings.unknown_words(found)
    assert row == findings.UnknownWords(
        models=("minilm", "minilm-untrained"), n_participants=2, n_affected=2, n_words=3,
        absent=2, unknown=0, alike=2, examples=("<img src=x>", "vis", "de = kat"),
    )  # fmt: skip
    html, _ = page.build(found)
    text = "".join(outline(html).text)
    assert "<img src=x>, vis, de = kat" in text and "minilm, minilm-untrained" in text
    known = {"minilm": {"sub-01": {"words": 3, "absent": 0, "unknown": 0, "alike": 0}}}
    arrays = found.arrays.assign_attrs(vocabulary=json.dumps(known))
    html, _ = page.build(changed(found, arrays=arrays))
    assert "Every word has a vector or tokens of its own in the model that reads words." in html
    arrays = found.arrays.assign_attrs(vocabulary="{}")
    assert 'id="words"' not in page.build(changed(found, arrays=arrays))[0]


# ---------------------------------------------------------------------------------- partial content


def test_a_run_without_audit_truth_lags_or_coordinates_still_has_its_page(tmp_path):
    files = planted_run(tmp_path, participants=1)
    files["scores"] = [path for path in files["scores"] if "lags" not in path.parts]
    files |= {"contamination": [], "channels": [], "words": []}
    summarise(tmp_path, files)
    html, drawn = page.build(read(tmp_path, files | {"truth": []}))
    outline(html)
    assert "The data set gives no coordinates" in html and "No audit was made" in html
    assert 'id="truth"' not in html and 'id="lags"' not in html
    assert not [d for d in drawn if d.name.startswith(("lags", "map", "truth", "contamination"))]


def test_a_run_in_which_nothing_is_known_still_has_its_page(tmp_path, caplog):
    measured = np.full((30, 3), 2.0)
    scores = write_scores(
        tmp_path, analysis="words", participant="sub-01", model="text", layers=[5],
        measured=measured, predicted=np.full((1, 30, 3), 2.0), inner=np.full((1, 5, 3), np.nan),
    )  # fmt: skip
    files = {"scores": scores, "channels": [], "contamination": [], "truth": [], "words": []}
    lacking = [
        ("words", "sub-02", "text", "encoding", "scores/words/sub-02/text/05.nc"),
        (None, "sub-03", None, "contamination", "contamination/sub-03.nc"),
    ]
    summarise(tmp_path, files, participants=["sub-01", "sub-02"], lacking=lacking)
    html, _ = page.build(read(tmp_path, files))
    outline(html)
    assert "In words text is not supported on any of 3 electrodes." in html
    assert "there are no scores of the analysis lags" in caplog.text
    assert "sub-02 has no scores of text in the analysis words: the stage encoding" in html
    assert "sub-03 has no audit of contamination" in html
    assert "nan" not in re.sub(r"<script>.*?</script>|base64,[^\"]*", "", html, flags=re.S).lower()


def test_matplotlib_is_imported_by_nothing_but_the_drawing():
    import subprocess

    code = (
        "import sys; import highgamma.report.page, highgamma.report.evidence, highgamma.summary;"
        "sys.exit('matplotlib' in sys.modules or 'jinja2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ----------------------------------------------------------------------------------------- findings


def test_an_electrode_has_the_verdict_of_the_model_that_came_through_most_rules(planted):
    found = read(*planted)
    rows = found.electrodes[found.electrodes["analysis"] == "words"].copy()
    one = (rows["participant"] == "sub-01") & (rows["electrode"] == rows["electrode"].iloc[0])
    rows = rows[one].drop_duplicates("model")
    rows["verdict"] = rows["model"].map(
        {"mel": "supported", "minilm": "not significant", "minilm-untrained": "supported"}
    )
    time = rows.iloc[[0]].assign(model="position", verdict="supported")
    other = rows.iloc[[0]].assign(model="surprisal", verdict="contaminated")
    made = changed(found, electrodes=pd.concat([rows, time, other]))
    (analysis,) = findings.headline(made)
    # Neither the controls that the analysis names nor the position model make a finding.
    assert analysis.verdicts == {"contaminated": 1}
    assert analysis.n_supported == 0
    assert {m.model for m in analysis.models if m.is_control} == {
        "mel", "minilm-untrained", "position",
    }  # fmt: skip


def test_an_unknown_verdict_supports_nothing(planted):
    found = read(*planted)
    made = changed(found, electrodes=found.electrodes.assign(verdict="of tomorrow"))
    assert all(list(f.verdicts) == ["not estimable"] for f in findings.headline(made))


def test_every_verdict_has_a_rule_in_words_and_a_colour():
    from highgamma.report.figures.canvas import VERDICT_COLOURS

    assert {name for name, _ in findings.RULES} == set(findings.VERDICTS)
    assert set(VERDICT_COLOURS) == set(page.VERDICT_CLASS) == set(findings.VERDICTS)
    assert findings.RULES[-1][0] == findings.SUPPORTED


def test_the_page_counts_what_is_supported_and_says_the_rules(built, planted):
    html, _ = built
    found = {f.analysis: f for f in findings.headline(read(*planted))}
    n = found["words"].n_supported
    assert f"In words minilm is supported on {n} of {2 * len(KINDS)} electrodes" in html
    # What was published belongs to a run that sets it beside its own.
    assert "reports .79 to .99 in every participant" in html
    own, _ = page.build(dataclasses.replace(read(*planted), published=None))
    assert ".79" not in re.sub(r"base64,[^\"]*|<script>.*?</script>", "", own, flags=re.S)
    text = "".join(outline(html).text)
    assert all(words in text for _, words in findings.RULES)


@pytest.mark.parametrize(
    ("n_permutations", "n", "said"),
    [
        (999, 40, ""),
        (19, 1, "no electrode can be significant"),
        (19, 40, "no electrode can be significant"),
        (99, 120, "25 electrodes of one model must reach it"),
    ],
)
def test_few_permutations_are_said_to_leave_little_room(n_permutations, n, said):
    rows = pd.DataFrame({"model": "gpt2", "p": np.ones(n)})
    assert said in page._least_findings(rows, n_permutations=n_permutations)
    # The sentence is true of Benjamini and Hochberg's q.
    least = int(said.split()[0]) if said[:1].isdigit() else n + 1 if said else 1
    for k in (least - 1, least):
        p = np.ones(n)
        p[:k] = 1 / (n_permutations + 1)
        if 0 < k <= n:
            assert (scores.false_discovery_q(p) < 0.05).any() == (k >= least)


def test_the_first_sentence_counts_tested_analyses_that_are_no_demonstrations(planted):
    found = read(*planted)
    headline = findings.headline(found)
    said = page._lead(headline, {"lags"})
    n = next(f.n_supported for f in headline if f.analysis == "words")
    assert said == (
        f"In words minilm is supported on {n} of {2 * len(KINDS)} electrodes. "
        "In paper nothing was tested: no permutations were drawn."
    )
    assert page._lead([], set()).startswith("No analysis of this run tests")
    words = next(f for f in headline if f.analysis == "words")
    minilm = next(m for m in words.models if m.model == "minilm")
    none = dataclasses.replace(minilm, verdicts={"not significant": 1})
    alone = dataclasses.replace(words, n=1, models=[none])
    assert page._lead([alone], set()) == "In words minilm is not supported on any of 1 electrode."
    several = [dataclasses.replace(none, model=f"m{k}") for k in range(3)]
    said = page._lead([dataclasses.replace(alone, models=several)], set())
    assert said == "In words none of 3 models is supported on any of 1 electrode."


def test_a_control_is_never_the_finding(planted, tmp_path):
    """Where the models of a run failed and only its controls have scores."""
    found = read(*planted)
    controls = set(found.controls("words"))
    kept = {
        name: table[table["model"].isin(controls)]
        for name in ("electrodes", "participants")
        if not (table := getattr(found, name)).empty
    }
    found = dataclasses.replace(found, **kept)
    words = next(f for f in findings.headline(found) if f.analysis == "words")
    assert words.n_supported == 0 and words.fitted == [] and words.verdicts == {}
    html, _ = page.build(found)
    said = "In words no model was fitted: only nuisances and controls have scores."
    assert said in html and "no model was fitted: only nuisances" in html
    assert findings.best_electrodes(found, "words", n=3).empty


def test_the_study_without_its_channels_has_no_figure(planted):
    found = read(*planted)
    people = found.participants.assign(pcc_across_channels=np.nan, pcc_mean_predictor=np.nan)
    html, _ = page.build(changed(found, participants=people))
    assert "for a predictor that ignores its input" not in html
    assert "– to –" not in html and "–––" not in html


# ------------------------------------------------------------------------- the published study


ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / "resources/paper/published.tsv"


def test_the_published_scores_are_those_of_the_study():
    rows = store.read_table(PUBLISHED, strings=("participant", "model", "source"))
    assert sorted(set(rows["participant"])) == [f"sub-{k:02d}" for k in range(1, 10)]
    wide = rows.pivot(index="participant", columns="model", values="r2")
    assert wide.loc["sub-01"].to_dict() == {"fasttext": 0.873, "gpt2": 0.872, "xls-r": 0.715}
    assert wide.loc["sub-09"].to_dict() == {"fasttext": 0.535, "gpt2": 0.534, "xls-r": -0.294}
    # Means of the columns of R², added up by hand from the table of the stored outputs.
    assert wide["gpt2"].sum() == pytest.approx(7.400)
    assert wide["fasttext"].sum() == pytest.approx(7.414)
    assert wide["xls-r"].sum() == pytest.approx(5.526)
    pcc = rows.pivot(index="participant", columns="model", values="pcc")
    assert pcc["fasttext"].isna().all()
    assert (pcc.min().min(), pcc.max().max()) == (0.793, 0.998)
    assert (rows.loc[rows["model"] == "xls-r", "pcc_within"] == 0.01).all()


def test_ours_stands_beside_the_published_participant_by_participant(planted, tmp_path):
    found = compared(planted, tmp_path, minilm="net", mel="words")
    people = found.participants.set_index(["analysis", "participant", "model"])
    result = findings.comparison(found)
    rows = {(row.participant, row.model): row for row in result.rows}
    # Both sides' participants are there: sub-02 was not published, sub-09 is not in this run.
    assert set(rows) == {
        *((p, m) for p in ("sub-01", "sub-02") for m in ("minilm", "mel")), ("sub-09", "minilm"),
    }  # fmt: skip
    ours = people.loc[("words", "sub-01", "minilm")]
    row = rows["sub-01", "minilm"]
    assert row.pcc_difference == pytest.approx(ours["pcc_across_channels"] - 0.9)
    assert row.r2_difference == pytest.approx(ours["r2_across_channels"] - 0.5)
    assert row.pcc_mean_predictor == ours["pcc_mean_predictor"]
    assert np.isnan(rows["sub-02", "minilm"].pcc_published)
    assert np.isnan(rows["sub-09", "minilm"].pcc)
    assert len(result.differences("pcc")) == 1 and len(result.differences("r2")) == 2


def test_the_page_says_what_was_not_published(built):
    text = "".join(outline(built[0]).text)
    assert "n/p" in text and "<i>there</i>" in text


def test_without_published_scores_nothing_is_compared(planted, tmp_path):
    assert findings.comparison(read(*planted)) is None
    # A model that this run lacks has nothing to be compared.
    assert findings.comparison(compared(planted, tmp_path, gpt2="net")) is None


def test_a_model_that_was_not_published_is_named_with_the_nearest(planted, tmp_path):
    with pytest.raises(InputError, match=r"'nets' is no model .* 'net'"):
        findings.comparison(compared(planted, tmp_path, minilm="nets"))
    (tmp_path / "bad.tsv").write_text("participant\tmodel\tpcc\nsub-01\tnet\t0.9\n")
    with pytest.raises(InputError, match="no column r2, source"):
        read(*planted, published=tmp_path / "bad.tsv")


# ------------------------------------------------------------------- with and without contamination


def test_the_summary_without_contaminated_electrodes_leaves_out_just_those(planted, tmp_path):
    found = read(*planted)
    rows = found.electrodes
    pairs = {(a.analysis, a.model): (a, b) for a, b in findings.with_and_without(found)}
    assert set(pairs) == set(zip(rows["analysis"], rows["model"], strict=True))
    own = rows[(rows["analysis"] == "words") & (rows["model"] == "minilm")]
    foul = found.truth.loc[found.truth["kind"] == "contaminated", "electrode"]
    kept = own[~own["electrode"].isin(foul)]
    everything, clean = pairs["words", "minilm"]
    assert (everything.n_electrodes, clean.n_electrodes) == (14, 12)
    assert clean.skill_median == np.nanmedian(kept["skill"])
    assert clean.r_median == np.nanmedian(kept["r"])
    assert everything.r_median == np.nanmedian(own["r"])
    # In frames the contaminated electrodes reach significance, and none of them is supported.
    everything, clean = pairs["lags", "envelope"]
    assert everything.n_significant == clean.n_significant + 2
    assert everything.n_supported == clean.n_supported
    findings.write_clean(list(pairs.values()), tmp_path / "contamination.tsv")
    written = store.read_table(tmp_path / "contamination.tsv")
    assert tuple(written.columns) == findings.TABLE_COLUMNS
    assert list(written["electrodes"][:2]) == ["all", "clean"] and len(written) == 2 * len(pairs)


# ------------------------------------------------------------------------------ variance partition


def test_the_audit_tells_recorded_signals_from_re_referenced_ones(planted, tmp_path):
    root, files = planted
    copies = []
    for path in files["contamination"]:
        audit = store.read_dataset(path)
        of = audit["p"].values
        audit["p_recorded"] = ("recorded_channel", np.append(of, 0.0001))
        audit["p_recording_recorded"] = ((), 0.0002)
        audit.attrs["reference"] = "bipolar"
        audit = audit.assign_coords(
            recorded_channel=[*(f"raw{k}" for k in range(len(of))), "rawfoul"]
        )
        copies.append(tmp_path / path.name)
        store.write_dataset(audit, copies[-1], stage="contamination", parameters={})
    html, _ = page.build(read(root, files | {"contamination": copies}))
    section = html.split('<section id="contamination">')[1].split("</section>")[0]
    assert section.count("<td>re-referenced</td>") == section.count("<td>recorded</td>") == 2
    assert section.count("rawfoul") == 2
    assert "<td>re-referenced</td>" not in page.build(read(root, files))[0]


@pytest.mark.parametrize(("participants", "said"), [(3, "each participant"), (12, "the 10")])
def test_the_audit_shows_the_matrices_of_those_with_the_smallest_p(participants, said):
    hertz = np.arange(60.0, 110.0, 10.0)
    names = tuple(f"L{k}" for k in range(4))
    drawn = figures.contamination(
        {
            f"sub-{k:02d}": evidence.Audit(
                electrodes=names, p=np.full(4, (k + 1) / 13), excess=np.zeros(4), p_recording=0.5,
                worst="L0", matrix=np.eye(5), frequency_audio=hertz, frequency=hertz,
            )
            for k in range(participants)
        }
    )  # fmt: skip
    assert f"for the electrode of {said}" in drawn.caption
    # Images of equal size, and the bar beside them.
    assert drawn.svg.count(b"<image") == min(participants, 10) + 1
    assert "phase" in drawn.caption and "correlation" not in drawn.caption


def test_unique_and_shared_parts_make_the_joint_skill(planted):
    (part,) = findings.partitions(with_joint_fit(read(*planted), ceiling=0.7))
    assert part.spaces == ["mel", "minilm"]
    np.testing.assert_allclose(part.unique.sum(axis=1) + part.shared, part.skill)
    supported = [v == "supported" for v in part.verdict]
    assert supported == sorted(supported, reverse=True) and 0 < sum(supported) < len(supported)
    names = [(name, round(u, 6), n) for name, u, _, n in part.medians()]
    assert names == [("mel", 0.05, 14), ("minilm", 0.2, 14)]


def test_the_noise_ceiling_is_a_number_only_where_it_was_estimated(planted, built):
    assert ">.70<" in built[0] and ">not-estimable<" not in built[0]
    found = with_joint_fit(read(*planted), ceiling="not-estimable")
    assert not findings.partitions(found)[0].has_ceiling
    joint = found.electrodes[found.electrodes["analysis"] == "joint"]
    only = {"electrodes": joint, "participants": found.participants.iloc[:0], "truth": None}
    html, _ = page.build(changed(found, **only, scores={}, audits={}))
    outline(html)
    assert html.count(">not-estimable<") == 2 * 14


# -------------------------------------------------------------------------------- all electrodes


def data_of(html: str) -> list[dict[str, object]]:
    """The rows of the page's data, texts in their places."""
    found = re.search(r'<script type="application/json" id="electrode-data">(.*?)</script>', html)
    data = json.loads(found.group(1))
    rows = []
    for numbers in data["rows"]:
        row = dict(zip(data["columns"], numbers, strict=True))
        for name in data["columns"][: data["n_texts"]]:
            row[name] = None if row[name] is None else data["texts"][row[name]]
        row["gains"] = row["gains"] and [[data["texts"][c], *rest] for c, *rest in row["gains"]]
        rows.append(row)
    return rows


def test_the_page_holds_every_row_with_the_numbers_behind_its_verdict(whole, built):
    found = whole
    rows = data_of(built[0])
    assert len(rows) == len(found.electrodes)
    verdicts = [findings.VERDICTS.index(row["verdict"]) for row in rows]
    assert verdicts == sorted(verdicts)
    keys = ("analysis", "participant", "electrode", "model")
    of = {tuple(row[k] for k in keys): row for row in rows}
    for row in found.electrodes.to_dict("records"):
        mine = of[tuple(row[k] for k in keys)]
        assert (mine["verdict"], mine["rule"]) == (row["verdict"], row["rule"])
        for name in ("r", "skill", "p", "q", "gain", "contamination", "stability", "distance_s"):
            if np.isnan(row[name]):
                assert mine[name] is None
            else:
                assert mine[name] == pytest.approx(row[name], rel=1e-3)
    table = found.gains.set_index(["analysis", "participant", "electrode", "model", "control"])
    skill = {key: row["skill"] for key, row in of.items()}
    gains = of["words", "sub-01", "LA1", "minilm"]["gains"]
    assert [name for name, _, _ in gains] == ["mel", "minilm-untrained"]
    for name, control_skill, gain in gains:
        assert control_skill == pytest.approx(skill["words", "sub-01", "LA1", name], abs=1e-3)
        expected = table.loc[("words", "sub-01", "LA1", "minilm", name), "gain"]
        assert gain == pytest.approx(expected, rel=1e-3)
    assert of["words", "sub-01", "LA1", "mel"]["gains"] is None


def test_a_page_of_the_whole_study_stays_small(planted):
    found = read(*planted)
    rng = np.random.default_rng(0)
    n = 1103 * 9
    rows = found.electrodes.sample(n, replace=True, random_state=0).reset_index(drop=True)
    rows = rows.assign(
        electrode=[f"L{k}" for k in range(n)],
        rule=[f"q = {q:.3g} is below 0.05; gain over mel = {q:.3g}" for q in rng.uniform(size=n)],
    )
    numbers = [name for name, column in electrode_columns().items() if not column.text]
    for name in numbers:
        rows[name] = rng.normal(size=n)
    made = table.electrode_table(changed(found, electrodes=rows))
    assert made.n == n and len(made.shown) == table.SHOWN
    assert len(made.data.encode()) < 4e6


def test_planted_truth_is_compared_with_what_was_found(planted):
    result = findings.recovery(read(*planted))
    kinds = {k.kind: k for k in result.kinds}
    assert (kinds["language"].n, kinds["language"].n_found, kinds["language"].ok) == (2, 2, True)
    assert (kinds["acoustic"].n, kinds["acoustic"].n_found) == (4, 4)
    assert (kinds["noise"].n_found, kinds["noise"].ok) == (0, True)
    assert (kinds["contaminated"].n_found, kinds["flat"].n_found) == (2, 2)
    # This run has neither nuisances nor controls: the envelope is supported on them.
    assert (kinds["speech-on-off"].n_found, kinds["speech-on-off"].ok) == (2, False)
    assert {f.planted for f in result.lags} == {0.1, -0.08}
    assert all(f.ok for f in result.lags)
    assert [(f.analysis, f.planted, f.recovered) for f in result.layers] == [("words", 2, 2)]
    assert [(f.analysis, f.n_better, f.ok) for f in result.twins] == [("words", 2, True)]


def test_what_was_not_recovered_is_named(planted):
    found = read(*planted)
    rows = found.electrodes.copy()
    noise = found.truth[found.truth["kind"] == "noise"].iloc[0]
    language = found.truth[found.truth["kind"] == "language"].iloc[0]
    for one, q, verdict in ((noise, 0.01, "supported"), (language, 0.6, "not significant")):
        same = (rows["participant"] == one["participant"]) & (rows["electrode"] == one["electrode"])
        rows.loc[same & rows["q"].notna(), ["q", "verdict"]] = q, verdict
    rows["peak_lag"] += 0.03
    found = changed(found, electrodes=rows, scores={})
    result = findings.recovery(found)
    kinds = {k.kind: k for k in result.kinds}
    assert kinds["noise"].wrong == [f"{noise['participant']} {noise['electrode']}"]
    assert kinds["language"].wrong == [f"{language['participant']} {language['electrode']}"]
    assert not any(f.ok for f in result.lags)
    assert not result.ok
    html, _ = page.build(found)
    assert "✗ not ok" in html and "Not everything came out as planted" in html


def test_an_untested_analysis_has_no_supported_electrode(planted):
    found = {f.analysis: f for f in findings.headline(read(*planted))}
    assert found["paper"].n_supported == 0 and not found["paper"].tested
    assert found["words"].n_supported >= 2 and found["words"].tested
    assert sum(found["words"].verdicts.values()) == found["words"].n == 2 * len(KINDS)
