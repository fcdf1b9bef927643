"""A configuration is checked whole, with the nearest known names, before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from highgamma import settings
from highgamma.errors import InputError

ROOT = Path(__file__).parents[1]
SCHEMA = settings.load_schema(ROOT / "workflow/schemas/config.schema.yaml")
CONFIGS = sorted((ROOT / "config").glob("**/*.yaml"))


def minimal(**further):
    config = {
        "dataset": {"root": "x"},
        "models": ["mel"],
        "analyses": {"words": {"unit": "word"}},
    }
    return config | further


@pytest.mark.parametrize(
    "path", [p for p in CONFIGS if p.name != "models.yaml"], ids=lambda p: p.name
)
def test_every_shipped_configuration_is_valid(path):
    config = settings.checked(yaml.safe_load(path.read_text()), SCHEMA)
    settings.cross_checked(config)
    assert settings.embedded_models(config)


def test_defaults_are_the_studys_filter():
    neural = settings.checked(minimal(), SCHEMA)["neural"]
    assert neural["band"] == [70, 170]
    assert neural["notch"] == [100, 150]
    assert neural["order"] == 4
    assert (neural["window"], neural["shift"]) == (0.05, 0.01)
    assert neural["reference"] == "none"


def test_all_problems_are_named_at_once_with_the_nearest_key():
    bad = minimal(nueral={}, analyses={"words": {"unit": "wrd", "alpah": 1}})
    with pytest.raises(InputError) as caught:
        settings.checked(bad, SCHEMA)
    message = str(caught.value)
    assert "'nueral' (did you mean 'neural'?)" in message
    assert "'alpah' (did you mean 'alpha'?)" in message
    assert "analyses.words.unit" in message


def test_references_between_keys_are_checked():
    bad = minimal(
        neural={"band": [170, 70]},
        analyses={
            "a": {"unit": "word", "signal": "betta", "lags": [-0.1, 0.1]},
            "b": {"unit": "frame", "window": [1, 0], "models": ["mle"]},
        },
        signals={"beta": {"band": [13, 35]}},
    )
    with pytest.raises(InputError) as caught:
        settings.cross_checked(settings.checked(bad, SCHEMA))
    message = str(caught.value)
    for part in ("neural.band", "did you mean 'beta'", "analyses.a.lags", "analyses.b.window"):
        assert part in message
    assert "did you mean 'mel'" in message


def test_a_named_signal_differs_only_in_what_it_states():
    config = settings.checked(
        minimal(neural={"order": 3}, signals={"beta": {"band": [13, 35]}}), SCHEMA
    )
    beta = settings.signal_settings(config, "beta")
    assert (beta["band"], beta["order"]) == ([13, 35], 3)


def test_a_fit_does_not_depend_on_which_other_models_or_controls_there_are():
    one = settings.checked(minimal(), SCHEMA)
    more = settings.checked(
        minimal(
            models=["mel", "gpt2"],
            analyses={"words": {"unit": "word", "controls": ["gpt2"], "layers": "last"}},
        ),
        SCHEMA,
    )
    assert settings.fit_settings(one, "words", "mel") == settings.fit_settings(more, "words", "mel")


def test_an_override_concerns_one_model_alone():
    config = settings.checked(
        minimal(
            models=["mel", "gpt2"],
            analyses={"words": {"unit": "word", "overrides": {"mel": {"window": [0, 2]}}}},
        ),
        SCHEMA,
    )
    assert settings.fit_settings(config, "words", "mel")["window"] == [0, 2]
    assert settings.fit_settings(config, "words", "gpt2")["window"] == [0, 1]


def test_the_bands_of_a_banded_ridge_make_one_fit_of_several_models():
    banded = {"unit": "frame", "estimator": "banded-ridge", "bands": ["mel", "gpt2"]}
    config = settings.checked(minimal(analyses={"both": banded}), SCHEMA)
    settings.cross_checked(config)
    assert settings.analysis_models(config, "both") == ["mel+gpt2"]
    assert settings.embedded_models(config) == ["gpt2", "mel"]


def test_position_is_fitted_beside_every_model_that_looks_at_its_input():
    def fitted(**analysis):
        whole = {"unit": "frame", "models": ["mel"], **analysis}
        config = settings.checked(minimal(analyses={"a": whole}), SCHEMA)
        settings.cross_checked(config)
        return settings.analysis_models(config, "a")

    assert fitted() == ["mel", "position"]
    assert fitted(controls=["position"]) == ["mel", "position"]
    assert fitted(unit="word", estimator="elastic-net") == ["mel", "position"]
    assert fitted(position=False) == ["mel"]
    assert fitted(estimator="mean") == ["mel"]
    assert fitted(estimator="banded-ridge", bands=["mel", "gpt2"]) == ["mel+gpt2"]


def test_position_beside_the_models_leaves_their_fits_as_they_are():
    config = settings.checked(minimal(), SCHEMA)
    without = settings.checked(
        minimal(analyses={"words": {"unit": "word", "position": False}}), SCHEMA
    )
    one, other = (settings.fit_settings(c, "words", "mel") for c in (config, without))
    assert one == other


def test_a_control_of_a_banded_ridge_is_a_ridge_of_its_own():
    banded = {"unit": "frame", "estimator": "banded-ridge", "bands": ["mel", "gpt2"]}
    config = settings.checked(minimal(analyses={"b": {**banded, "controls": ["mel"]}}), SCHEMA)
    assert settings.analysis_models(config, "b") == ["mel+gpt2", "mel"]
    control, joint = (settings.fit_settings(config, "b", m) for m in ("mel", "mel+gpt2"))
    assert (control["estimator"], control["bands"]) == ("ridge", None)
    assert (joint["estimator"], joint["bands"]) == ("banded-ridge", ["mel", "gpt2"])


def test_bands_without_the_banded_ridge_are_refused():
    alone = {"unit": "frame", "bands": ["mel", "gpt2"]}
    with pytest.raises(InputError, match="go together"):
        settings.cross_checked(settings.checked(minimal(analyses={"both": alone}), SCHEMA))


def test_the_order_of_keys_is_no_change():
    one = settings.checked(minimal(neural={"order": 3, "edge": 2}), SCHEMA)
    other = settings.checked(minimal(neural={"edge": 2, "order": 3}), SCHEMA)
    first, second = (settings.signal_settings(c, "high-gamma") for c in (one, other))
    assert list(first.items()) == list(second.items())


def test_every_key_is_described():
    def walk(schema, path):
        for name, part in schema.get("properties", {}).items():
            assert part.get("description") or part.get("$ref"), f"{path}.{name}"
            walk(part, f"{path}.{name}")

    walk(SCHEMA, "config")
    for name in ("neural", "analysis"):
        walk(SCHEMA["$defs"][name], name)


def test_the_reference_in_the_documentation_is_made_from_the_schema():
    assert (ROOT / "docs/config.md").read_text() == settings.reference(SCHEMA)
