"""The page: complete, self-contained, escaped, the same bytes each time, whatever is missing."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from test_summary import channels_table, write_scores

from highgamma import store, summary
from highgamma.report import evidence, findings, page

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
    seconds: int = 60,
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


def summarise(root: Path, files: dict[str, list[Path]], **changes) -> None:
    options = {
        "participants": [path.stem for path in files["truth"]],
        "analyses": ANALYSES,
        "models": ["mel", "envelope", "minilm", "minilm-untrained"],
        "run": "planted",
    }
    result = summary.summarise(
        summary.read_fits(files["scores"]),
        channels=summary.read_channels(files["channels"]),
        contamination=summary.read_contamination(files["contamination"]),
        **(options | changes),
    )
    summary.write(
        result, electrodes=root / "electrodes.tsv", layers=root / "layers.tsv",
        participants=root / "participants.tsv", arrays=root / "summary.nc",
    )  # fmt: skip


def read(root: Path, files: dict[str, list[Path]]) -> evidence.Evidence:
    return evidence.read(
        run="planted", config={"run": "planted", "analyses": ANALYSES},
        electrodes=root / "electrodes.tsv", layers=root / "layers.tsv",
        participants=root / "participants.tsv", summary=root / "summary.nc",
        scores=files["scores"], contamination=files["contamination"], truth=files["truth"],
        words=files["words"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> tuple[Path, dict[str, list[Path]]]:
    root = tmp_path_factory.mktemp("planted")
    files = planted_run(root)
    summarise(root, files)
    return root, files


@pytest.fixture(scope="module")
def built(planted) -> tuple[str, list[page.Drawn]]:
    return page.build(read(*planted))


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
        "across-channels", "best_lags", "best_words", "contamination", "lags_lags", "layers_words",
        "map_words", "truth", "weights_lags",
    } <= names  # fmt: skip


def test_the_page_says_what_the_mean_predictor_reaches(built, planted):
    html, _ = built
    people = store.read_table(planted[0] / "participants.tsv")
    reached = f"{people['pcc_mean_predictor'].median():.2f}"[1:]
    assert f"which ignores its input, reaches {reached}" in html


def test_two_runs_give_the_same_bytes(planted, built, tmp_path):
    page.write(read(*planted), report=tmp_path / "report.html", folder=tmp_path / "figures")
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
    html, _ = page.build(read(tmp_path, files))
    parsed = outline(html)
    assert parsed.scripts == 1
    assert not [a for a in parsed.attributes if a[1].startswith("on")]
    text = "".join(parsed.text)
    assert "<script>alert(1)</script>" in text and "<b onclick=x>" in text and "{{ 7*7 }}" in text


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


def test_a_run_in_which_nothing_is_known_still_has_its_page(tmp_path):
    measured = np.full((30, 3), 2.0)
    scores = write_scores(
        tmp_path, analysis="words", participant="sub-01", model="text", layers=[5],
        measured=measured, predicted=np.full((1, 30, 3), 2.0), inner=np.full((1, 5, 3), np.nan),
    )  # fmt: skip
    files = {"scores": scores, "channels": [], "contamination": [], "truth": [], "words": []}
    summarise(tmp_path, files, participants=["sub-01", "sub-02"])
    html, _ = page.build(read(tmp_path, files))
    outline(html)
    assert "0 of 3 electrodes hold in words" in html
    assert "sub-02 has no scores of text" in html
    assert "nan" not in re.sub(r"<script>.*?</script>|base64,[^\"]*", "", html, flags=re.S).lower()


def test_matplotlib_is_imported_by_nothing_but_the_drawing():
    import subprocess

    code = (
        "import sys; import highgamma.report.page, highgamma.report.evidence, highgamma.summary;"
        "sys.exit('matplotlib' in sys.modules or 'jinja2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ----------------------------------------------------------------------------------------- findings


@pytest.mark.parametrize(
    ("flags", "stands"),
    [
        ("", "holds"),
        ("below-control", "explained by a control"),
        ("not-significant,below-control", "not significant"),
        ("contaminated,not-significant", "contaminated"),
        ("intercept-only,not-tested", "not estimable"),
        ("flat,not-significant", "not estimable"),
        ("leaky-split", "leaky split"),
        ("a-flag-of-tomorrow", "not significant"),
    ],
)
def test_flags_decide_where_an_electrode_stands(flags, stands):
    assert findings.standing(flags) == stands


def test_planted_truth_is_compared_with_what_was_found(planted):
    result = findings.recovery(read(*planted))
    kinds = {k.kind: k for k in result.kinds}
    assert (kinds["language"].n, kinds["language"].n_found, kinds["language"].ok) == (2, 2, True)
    assert (kinds["acoustic"].n, kinds["acoustic"].n_found) == (4, 4)
    assert (kinds["noise"].n_found, kinds["noise"].ok) == (0, True)
    assert (kinds["contaminated"].n_found, kinds["flat"].n_found) == (2, 2)
    assert kinds["speech-on-off"].ok is None
    assert {f.planted for f in result.lags} == {0.1, -0.08}
    assert all(f.ok for f in result.lags)
    assert [(f.analysis, f.planted, f.recovered) for f in result.layers] == [("words", 2, 2)]
    assert [(f.analysis, f.n_better, f.ok) for f in result.twins] == [("words", 2, True)]


def test_what_was_not_recovered_is_named(planted):
    found = read(*planted)
    table = found.electrodes.copy()
    noise = found.truth[found.truth["kind"] == "noise"].iloc[0]
    language = found.truth[found.truth["kind"] == "language"].iloc[0]
    for one, q in ((noise, 0.01), (language, 0.6)):
        same = (table["participant"] == one["participant"]) & (
            table["electrode"] == one["electrode"]
        )
        table.loc[same & table["q"].notna(), "q"] = q
    table["peak_lag"] += 0.03
    changed = evidence.Evidence(
        **{n: getattr(found, n) for n in found.__slots__ if n != "electrodes"}, electrodes=table
    )
    result = findings.recovery(changed)
    kinds = {k.kind: k for k in result.kinds}
    assert kinds["noise"].wrong == [f"{noise['participant']} {noise['electrode']}"]
    assert kinds["language"].wrong == [f"{language['participant']} {language['electrode']}"]
    assert not any(f.ok for f in result.lags)
    assert not result.ok
    html, _ = page.build(changed)
    assert "✗ not ok" in html and "Not everything came out as planted" in html


def test_an_untested_analysis_has_no_electrode_that_holds(planted):
    found = {f.analysis: f for f in findings.headline(read(*planted))}
    assert found["paper"].n_hold == 0 and not found["paper"].tested
    assert found["words"].n_hold >= 2 and found["words"].tested
    assert sum(found["words"].standings.values()) == found["words"].n == 2 * len(KINDS)
